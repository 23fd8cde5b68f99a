package dataset

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// tarred is a source: the images in a tar file (POSIX pax, ustar, GNU), such as a shard of WebDataset, whose files are KEY.jpg, KEY.json, ….
// An entry keeps where its headers begin.
type tarred struct{ *container }

// OpenTar opens the images in a tar file as the source name.
func OpenTar(name, path string, l Limits) (Source, error) {
	c, err := openContainer(name, path, "tar", l)
	if err != nil {
		return nil, err
	}
	return &tarred{c}, nil
}

const tarBlock = 512

func (t *tarred) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		section := io.NewSectionReader(t.file, 0, t.size)
		r := tar.NewReader(section) // which seeks over what it need not read
		images, others := 0, 0
		for at := int64(0); ; {
			if ctx.Err() != nil {
				yield(Entry{}, ctx.Err())
				return
			}
			h, err := r.Next()
			if err != nil {
				t.ended(images, others, t.broken(err), yield)
				return
			}
			if isSparse(h) {
				t.ended(images, others, errors.New("holds a sparse file: make the tar without --sparse"), yield)
				return
			}
			begins := at
			data, err := section.Seek(0, io.SeekCurrent)
			if err != nil {
				t.ended(images, others, t.broken(err), yield)
				return
			}
			at = data + (h.Size+tarBlock-1)/tarBlock*tarBlock
			switch {
			case h.Typeflag == tar.TypeReg && hidden(h.Name), h.Typeflag == tar.TypeDir:
			case h.Typeflag != tar.TypeReg, !isImageName(h.Name):
				others++
			case data+h.Size > t.size:
				images++
				e, _ := t.member(h.Name, h.Size, begins, h.ModTime)
				if !yield(e, t.failed(io.ErrUnexpectedEOF)) {
					return
				}
			default:
				images++
				e, err := t.member(h.Name, h.Size, begins, h.ModTime)
				if !yield(e, err) {
					return
				}
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
	case errors.Is(err, tar.ErrHeader):
		return errors.New("is no tar, or damaged")
	}
	return fmt.Errorf("cannot be read: %s", reason(err))
}

func (t *tarred) Read(ctx context.Context, e Entry) (Content, error) {
	if err := ctx.Err(); err != nil {
		return Content{}, err
	}
	if e.At < 0 || e.At%tarBlock != 0 || e.At >= t.size {
		return Content{}, errors.New("is not in the tar any more")
	}
	r := tar.NewReader(io.NewSectionReader(t.file, e.At, t.size-e.At))
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
	b := make([]byte, min(h.Size, t.size))
	if _, err := io.ReadFull(r, b); err != nil {
		return Content{}, t.failed(err)
	}
	return Content{Encoded: b}, nil
}
