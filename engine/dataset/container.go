package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// container is a file whose parts are images. It stays open, and is read from any place by many at once.
type container struct {
	name, path string
	kind       string // for people: "zip"
	limits     Limits
	file       *os.File
	size       int64
	modTime    time.Time
}

func openContainer(name, path, kind string, l Limits) (*container, error) {
	if err := checkSourceName(name); err != nil {
		return nil, err
	}
	c := &container{name: name, path: path, kind: kind, limits: l.orDefault()}
	var err error
	if c.file, err = os.Open(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the file %q of source %q does not exist: check the path, or whether its disk is mounted", path, name)
		}
		return nil, fmt.Errorf("the file %q of source %q cannot be opened: %s", path, name, reason(err))
	}
	info, err := c.file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		c.file.Close()
		return nil, fmt.Errorf("the file %q of source %q cannot be read: %s", path, name, reason(err))
	}
	c.size, c.modTime = info.Size(), info.ModTime()
	return c, nil
}

func (c *container) Close() error {
	if c.file == nil { // a folder
		return nil
	}
	return c.file.Close()
}

// Stat tells the size and the time of e as they are now: those of the listing, unless the container is another one now.
func (c *container) Stat(ctx context.Context, e Entry) (size, modTime int64, err error) {
	if err := c.same(); err != nil {
		return 0, 0, err
	}
	return e.Size, e.ModTime, ctx.Err()
}

// same says whether the container is the file that was opened, or what became of it.
func (c *container) same() error {
	info, err := os.Stat(c.path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the file %q of source %q cannot be read any more: %s", ErrSource, c.path, c.name, reason(err))
	case info.Size() != c.size || !info.ModTime().Equal(c.modTime):
		return fmt.Errorf("%w: the file %q of source %q changed while it was in use: stop the engine and start it again", ErrSource, c.path, c.name)
	}
	return nil
}

// failed is what an error of reading e's bytes is blamed on: the container where it is gone or another one, the image otherwise.
func (c *container) failed(err error) error {
	if gone := c.same(); gone != nil {
		return gone
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("is truncated: the %s ends too early", c.kind)
	}
	return fmt.Errorf("%w: %s", errRead, reason(err))
}

// member makes the entry of a part called name, or says why it cannot be one.
func (c *container) member(name string, size, at int64, modified time.Time) (Entry, error) {
	clean := strings.TrimPrefix(name, "./")
	e := Entry{ID: c.name + "/" + clean, Path: clean, Size: size, At: at}
	if !modified.IsZero() {
		e.ModTime = modified.UnixNano()
	}
	switch {
	case !utf8.ValidString(clean):
		e.Path = strings.ToValidUTF8(clean, "\uFFFD")
		e.ID = c.name + "/" + e.Path
		return e, fmt.Errorf("has a name in the %s that is not valid UTF-8", c.kind)
	case !fs.ValidPath(clean) || !filepath.IsLocal(filepath.FromSlash(clean)):
		return e, fmt.Errorf("has a name in the %s that leads out of it", c.kind)
	}
	return e, nil
}

// hidden says whether a path has a part that begins with a dot, as the copies that some systems put beside files.
func hidden(name string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(name, "./"), "/") {
		if strings.HasPrefix(part, ".") && part != ".." {
			return true
		}
	}
	return false
}

// ended ends a listing: with what cut it off, or with why there is nothing in the container.
func (c *container) ended(images, others int, broken error, yield func(Entry, error) bool) {
	switch {
	case images > 0 && broken != nil:
		yield(Entry{ID: c.name + "/", Path: "."}, fmt.Errorf("%w, after %s", broken, count(images, "image", "images")))
	case images > 0:
	case broken != nil:
		yield(Entry{}, fmt.Errorf("no images in %q: it %w", c.path, broken))
	case others > 0:
		yield(Entry{}, fmt.Errorf("no images in %q: the %s has %s; %s are read", c.path, c.kind, count(others, "other file", "other files"), readable))
	default:
		yield(Entry{}, fmt.Errorf("no images in %q: the %s is empty", c.path, c.kind))
	}
}
