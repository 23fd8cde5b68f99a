package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Entry is one image of a source, as the listing saw it.
type Entry struct {
	ID      string // <source name>/<slash path below the source>: the same on every machine
	Path    string // the slash path below the source
	Size    int64  // bytes, encoded
	ModTime int64  // Unix nanoseconds
}

// differs says whether a file of that size and time is another one than the listing saw; simulated lists know no time.
func (e Entry) differs(size, modTime int64) bool {
	return e.ModTime != 0 && (e.Size != size || e.ModTime != modTime)
}

// Source lists and reads the images of one container.
type Source interface {
	// Entries lists the images in storage order. An error beside an entry with an ID is about that one, and the listing goes
	// on; an error beside an empty entry is about the whole source and comes last.
	Entries(ctx context.Context) iter.Seq2[Entry, error]
	// Read returns the encoded bytes of e, at most Limits.MaxBytes. Its errors continue a sentence that begins with the
	// image's name; ErrSource is among them where not one image but the source is out of reach. ErrChanged comes beside the bytes.
	Read(ctx context.Context, e Entry) ([]byte, error)
	Close() error
}

// NamedSource says where a source's images are. The name begins the ids of its images, so it must never change; the path may.
type NamedSource struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// ErrSource is wrapped by errors about a whole source, such as a file system that is gone: its images are not to blame.
var ErrSource = errors.New("source out of reach")

// ErrChanged says that an image is not the file that the listing saw: of another size or time. It is used as it is now, listed, and made anew after
// the next listing.
var ErrChanged = errors.New("changed since the list was made")

// errRead is wrapped by errors of the file system about one image, which may be gone the next time.
var errRead = errors.New("cannot be read")

// openSource opens what path is. Folders are the one kind so far.
func openSource(s NamedSource, l Limits) (Source, error) { return OpenFolder(s.Name, s.Path, l) }

// checkSourceName says why name cannot begin ids, or nil.
func checkSourceName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("a source needs a name, and %q is none", name)
	case strings.ContainsAny(name, `/\`):
		return fmt.Errorf("the source name %q has a slash: the slash ends the name in every id", name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("the source name %q has characters that cannot be shown", name)
	}
	return nil
}

// reason is what a file system error says without the path, which may hold anything.
func reason(err error) string {
	var p *fs.PathError
	var l *os.LinkError
	var s *os.SyscallError
	switch {
	case errors.As(err, &p):
		err = p.Err
	case errors.As(err, &l):
		err = l.Err
	case errors.As(err, &s):
		err = s.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "it does not exist"
	}
	return strings.ToValidUTF8(err.Error(), "?")
}
