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

	"anomalymatch/engine/dataset/mosaic"
	"anomalymatch/engine/dataset/raw"
)

// Entry is one image of a source, as the listing saw it.
type Entry struct {
	ID      string // <source name>/<slash path below the source>: the same on every machine
	Path    string // the slash path below the source
	Size    int64  // bytes, encoded
	ModTime int64  // Unix nanoseconds
	At      int64  // where a container has it: a byte or a row; 0 in a folder
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
	// Read returns e as the source holds it: encoded bytes, at most Limits.MaxBytes, or values. Its errors continue a sentence that begins
	// with the image's name; ErrSource is among them where not one image but the source is out of reach. ErrChanged comes beside the content.
	Read(ctx context.Context, e Entry) (Content, error)
	Close() error
}

// Content is one image as its source holds it.
type Content struct {
	Encoded []byte    // an image file; nil where there are values
	Values  raw.Image // of an array
	Format  string    // of the values, for people: "HDF5"
}

// NamedSource says where a source's images are. The name begins the ids of its images, so it must never change; the path may.
type NamedSource struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Reading
}

// ErrSource is wrapped by errors about a whole source, such as a file system that is gone: its images are not to blame.
var ErrSource = errors.New("source out of reach")

// ErrChanged says that an image is not the file that the listing saw: of another size or time. It is used as it is now, listed, and made anew after
// the next listing.
var ErrChanged = errors.New("changed since the list was made")

// errRead is wrapped by errors of the file system about one image, which may be gone the next time.
var errRead = errors.New("cannot be read")

// containers are the files that hold many images, by the end of their name.
var containers = []struct {
	ext  string
	open func(name, path string, l Limits, which string) (Source, error)
}{
	{".zarr.zip", openZarrZip},
	{".zip", whole(OpenZip)},
	{".tar", whole(OpenTar)},
	{".tar.gz", whole(OpenPackedTar)}, {".tgz", whole(OpenPackedTar)}, {".tar.zst", whole(OpenPackedTar)},
	{".h5", openHDF5}, {".hdf5", openHDF5}, {".hdf", openHDF5},
	{".npy", openNPY}, {".npz", openNPY},
	{".parquet", openParquet},
	{".zarr", openZarr},
	{mosaic.Extension, openMosaic},
}

// whole is for containers of files: Select is about each file.
func whole(open func(name, path string, l Limits) (Source, error)) func(name, path string, l Limits, which string) (Source, error) {
	return func(name, path string, l Limits, _ string) (Source, error) { return open(name, path, l) }
}

// Containers are the ends of the names of files that can be a source, for people: "zip, tar".
func Containers() string {
	var all []string
	for _, c := range containers {
		all = append(all, c.ext[1:])
	}
	return strings.Join(all, ", ")
}

// IsContainer says whether a file of that name can be a source.
func IsContainer(path string) bool { return opener(path) != nil }

func opener(path string) func(name, path string, l Limits, which string) (Source, error) {
	lower := strings.ToLower(path)
	for _, c := range containers {
		if strings.HasSuffix(lower, c.ext) {
			return c.open
		}
	}
	return nil
}

// OpenSource opens a folder, or a file by the end of its name.
func OpenSource(s NamedSource, l Limits) (Source, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("source %q: %w", s.Name, err)
	}
	ends := s.bandEnds()
	if open := opener(s.Path); open != nil {
		if info, err := os.Stat(s.Path); err != nil || !info.IsDir() || isZarr(s.Path) {
			if len(ends) > 0 {
				return nil, fmt.Errorf("source %q: the setting files is for a folder, and %q is a file", s.Name, s.Path)
			}
			return open(s.Name, s.Path, l, s.Select)
		}
	}
	f, err := OpenFolder(s.Name, s.Path, l)
	if err != nil || len(ends) == 0 {
		return f, err
	}
	return &bandFiles{f, ends, l.orDefault(), s.hdus()}, nil
}

// readable are the formats of single images, for people.
const readable = "JPEG, PNG, WebP, TIFF and FITS"

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
