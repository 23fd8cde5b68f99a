package dataset

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// tarred is a source: the images in a tar file (POSIX pax, ustar, GNU), such as a shard of WebDataset, whose files are KEY.jpg, KEY.json, ….
// An entry keeps where its headers begin.
type tarred struct {
	*container
	length int64 // of the tar: all of the file, but for what we wrote behind one that we unpacked
	cut    error // why one that we unpacked is not whole; nil: it is, or it is as it came
}

// OpenTar opens the images in a tar file as the source name.
func OpenTar(name, path string, l Limits) (Source, error) {
	c, err := openContainer(name, path, "tar", l)
	if err != nil {
		return nil, err
	}
	return &tarred{container: c, length: c.size}, nil
}

const tarBlock = 512

func (t *tarred) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		t.list(ctx, tarInPlace{io.NewSectionReader(t.file, 0, t.length), t.cut}, yield)
	}
}

// tarBytes are those of a tar, as its listing reads them.
type tarBytes interface {
	io.Reader
	at() int64 // how many were read or passed over
	// has passes over a file's bytes, which r reads, and says whether all are there.
	has(r io.Reader, size int64, image bool) bool
	// end is told why the headers cannot be read on, nil at their end, and may know better; fatal is about the whole source.
	end(broken error) (why, fatal error)
}

// tarInPlace is a tar that can be seeked.
type tarInPlace struct {
	*io.SectionReader // archive/tar seeks over what it need not read
	cut               error
}

func (t tarInPlace) at() int64 {
	at, _ := t.Seek(0, io.SeekCurrent) // never fails
	return at
}

func (t tarInPlace) has(_ io.Reader, size int64, _ bool) bool { return size <= t.Size()-t.at() }

func (t tarInPlace) end(broken error) (why, fatal error) { return cmp.Or(t.cut, broken), nil }

var errSparse = errors.New("holds a sparse file: make the tar without --sparse")

// list lists what in holds.
func (t *tarred) list(ctx context.Context, in tarBytes, yield func(Entry, error) bool) {
	r := tar.NewReader(in)
	images, others := 0, 0
	for begins := int64(0); ; {
		if ctx.Err() != nil {
			yield(Entry{}, ctx.Err())
			return
		}
		h, err := r.Next()
		if err == nil && isSparse(h) {
			err = errSparse
		}
		if err != nil {
			why, fatal := in.end(t.broken(err))
			if fatal != nil {
				yield(Entry{}, fatal)
				return
			}
			t.ended(images, others, why, yield)
			return
		}
		data := in.at()
		at := begins
		begins = data + (h.Size+tarBlock-1)/tarBlock*tarBlock
		image := h.Typeflag == tar.TypeReg && isImageName(h.Name) && !hidden(h.Name)
		whole := in.has(r, h.Size, image)
		switch {
		case h.Typeflag == tar.TypeReg && hidden(h.Name), h.Typeflag == tar.TypeDir:
		case !image:
			others++
		default:
			images++
			e, err := t.member(h.Name, h.Size, at, h.ModTime)
			if !whole {
				err = t.failed(io.ErrUnexpectedEOF)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// isSparse says whether a file takes fewer bytes in the tar than it has: where the next one begins is not known then.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// broken says why the headers cannot be read on; nil at their end.
func (t *tarred) broken(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("ends too early")
	case errors.Is(err, errSparse):
		return err
	case errors.Is(err, tar.ErrHeader):
		return errors.New("is no tar, or damaged")
	}
	return fmt.Errorf("cannot be read: %s", reason(err))
}

func (t *tarred) Read(ctx context.Context, e Entry) (Content, error) {
	if err := ctx.Err(); err != nil {
		return Content{}, err
	}
	if e.At < 0 || e.At%tarBlock != 0 || e.At >= t.length {
		return Content{}, errors.New("is not in the tar any more")
	}
	return t.read(io.NewSectionReader(t.file, e.At, t.length-e.At), e)
}

// read reads e, whose headers are what in begins with.
func (t *tarred) read(in io.Reader, e Entry) (Content, error) {
	r := tar.NewReader(in)
	h, err := r.Next()
	if err != nil {
		if gone := t.same(); gone != nil {
			return Content{}, gone
		}
		return Content{}, errors.New("is damaged: its tar has something else in its place")
	}
	if entry, err := t.member(h.Name, h.Size, e.At, h.ModTime); err != nil || entry.Path != e.Path || h.Typeflag != tar.TypeReg {
		return Content{}, errors.New("is not where it was in the tar")
	}
	if err := t.limits.checkBytes(h.Size); err != nil {
		return Content{}, err
	}
	var b []byte
	if t.length > 0 {
		b = make([]byte, min(h.Size, t.length))
		_, err = io.ReadFull(r, b)
	} else { // nobody knows how long it is: memory grows with what comes
		b, err = io.ReadAll(r)
	}
	if err != nil {
		return Content{}, t.failed(err)
	}
	return Content{Encoded: b}, nil
}
