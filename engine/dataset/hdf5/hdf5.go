// Package hdf5 reads images from HDF5 files through an io.ReaderAt: arrays N×H×W(×C) or N×C×H×W of numbers, and encoded images in a dataset of
// variable-length uint8, which is AnomalyMatch's layout (images, filenames).
//
// It is a reader of its own. The pure-Go library of the field (github.com/scigolib/hdf5 0.14) reads chunks that LZF compressed as if they were
// pixels, reads the layout of libver="latest" as the one before it, opens paths only, turns every number into a float64 and panics on
// odd files; the others need the C library. What is read here is what h5py writes: superblocks 0 to 3, old groups (symbol tables) and new ones (link messages, fractal heaps),
// contiguous, compact and chunked data with every index of chunks (B-trees 1 and 2, single, implicit, fixed and extensible arrays), the filters
// gzip, shuffle and fletcher32, the global heap. Any other filter or type is refused by name. Links to other files are not followed. The
// format: "HDF5 File Format Specification Version 3.0", The HDF Group.
//
// Nothing is allocated before its size was compared with what the file has, or with a limit for what is decompressed. Checksums are checked
// where the format has them.
package hdf5

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sort"
	"strings"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// Images are the images of one dataset of a file.
type Images struct {
	*dataset
	names  *dataset // may be nil
	n      int
	layout array.Layout // of numbers
	o      array.Options
}

var _ array.Images = (*Images)(nil)

// Open finds the images in an HDF5 file of size bytes. With no name given it takes the dataset that is called as images are, or the only one
// that could be images. r must stay open as long as the images are read.
func Open(r io.ReaderAt, size int64, o array.Options) (*Images, error) {
	o = o.Or()
	f, err := openFile(r, size, o)
	if err != nil {
		return nil, err
	}
	m := &Images{o: o}
	if m.dataset, err = f.findImages(o.Images); err != nil {
		return nil, err
	}
	if m.dtype.class == numbers {
		if m.layout, err = array.Plan(m.shape, o.Axes, false, o.MaxValues); err != nil {
			return nil, err
		}
		m.n = m.layout.N
	} else {
		if m.n = int(min(m.shape[0], 1<<31)); m.n == 1<<31 {
			return nil, raw.Limitf("says it has %d images: more than can be counted here", m.shape[0])
		}
	}
	if m.names, err = f.findNames(o.Names, m); err != nil {
		return nil, err
	}
	f.messages = nil
	return m, nil
}

// could says whether a dataset can be one of images.
func (s *dataset) could(o array.Options) bool {
	switch s.dtype.class {
	case numbers:
		if len(s.shape) < 2 {
			return false
		}
		_, err := array.Plan(s.shape, o.Axes, false, o.MaxValues)
		return err == nil
	case vlenBytes:
		return len(s.shape) == 1
	}
	return false
}

func (f *file) findImages(name string) (*dataset, error) {
	if name != "" {
		ms, err := f.lookup(name)
		if err != nil {
			return nil, err
		}
		if find(ms, msgLayout) == nil {
			return nil, fmt.Errorf("has a group %q where a dataset of images should be", name)
		}
		s, err := f.dataset("/"+strings.Trim(name, "/"), ms)
		if err != nil {
			return nil, fmt.Errorf("%w (dataset %q)", err, name)
		}
		if s.dtype.class != numbers && (s.dtype.class != vlenBytes || len(s.shape) != 1) {
			return nil, fmt.Errorf("has text in the dataset %q where images should be", name)
		}
		return s, nil
	}
	type candidate struct {
		path string
		s    *dataset
		err  error
		rank int
	}
	var all []candidate
	failed := f.walkFile(func(path string, ms []message) {
		rank := array.Rank(path, array.ImageNames)
		s, err := f.dataset(path, ms)
		if err == nil && s.could(f.options) || err != nil && rank < len(array.ImageNames) {
			all = append(all, candidate{path, s, err, rank})
		}
	})
	sort.SliceStable(all, func(i, j int) bool { return all[i].rank < all[j].rank })
	if len(all) == 0 && failed != nil {
		return nil, failed
	}
	if len(all) == 0 {
		return nil, errors.New("has no dataset of images: N×H×W×C numbers, or JPEG or PNG files as variable-length uint8, are read")
	}
	best := all[0]
	if len(all) > 1 && best.rank == all[1].rank {
		var names []string
		for _, c := range all[:min(len(all), 8)] {
			names = append(names, fmt.Sprintf("%.60q", strings.TrimPrefix(c.path, "/")))
		}
		return nil, fmt.Errorf("has several datasets that could be images (%s): say which", strings.Join(names, ", "))
	}
	if best.err != nil {
		return nil, fmt.Errorf("%w (dataset %.60q)", best.err, strings.TrimPrefix(best.path, "/"))
	}
	return best.s, nil
}

func (f *file) findNames(name string, m *Images) (*dataset, error) {
	fits := func(s *dataset) bool {
		return (s.dtype.class == fixedText || s.dtype.class == vlenText) && len(s.shape) == 1 && s.shape[0] == int64(m.n)
	}
	if name != "" {
		ms, err := f.lookup(name)
		if err != nil {
			return nil, err
		}
		s, err := f.dataset(name, ms)
		if err != nil {
			return nil, fmt.Errorf("%w (dataset %.60q)", err, name)
		}
		if !fits(s) {
			return nil, fmt.Errorf("has %s in the dataset %.60q where %d names should be", array.Shape(s.shape), name, m.n)
		}
		return s, nil
	}
	var best *dataset
	bestRank := len(array.FileNames)
	folder := func(path string) string { return path[:strings.LastIndexByte(path, '/')+1] }
	f.walkFile(func(path string, ms []message) {
		rank := array.Rank(path, array.FileNames)
		if rank >= bestRank || folder(path) != folder(m.path) {
			return
		}
		if s, err := f.dataset(path, ms); err == nil && fits(s) {
			best, bestRank = s, rank
		}
	})
	return best, nil
}

// Len is the number of images.
func (m *Images) Len() int { return m.n }

// Close does nothing: the file is the caller's.
func (m *Images) Close() error { return nil }

// Type is the type of the values; nothing for encoded images.
func (m *Images) Type() array.Type { return m.dtype.Type }

// Entries lists the images with their names from the dataset of names, if there is one, and the bytes of each.
func (m *Images) Entries(ctx context.Context) iter.Seq2[array.Entry, error] {
	return func(yield func(array.Entry, error) bool) {
		part := 4096
		if m.names != nil {
			part = max(1, min(part, 4<<20/m.names.dtype.size))
		}
		for from := 0; from < m.n; from += part {
			if err := ctx.Err(); err != nil {
				yield(array.Entry{}, err)
				return
			}
			to := min(from+part, m.n)
			var names, sizes []byte
			var err error
			if m.names != nil {
				if names, err = m.names.rows(int64(from), int64(to)); err != nil {
					yield(array.Entry{}, err)
					return
				}
			}
			if m.dtype.class == vlenBytes {
				if sizes, err = m.rows(int64(from), int64(to)); err != nil {
					yield(array.Entry{}, err)
					return
				}
			}
			for i := range to - from {
				e := array.Entry{Size: int64(m.layout.Values() * m.dtype.Size)}
				if sizes != nil {
					e.Size = int64(m.decoder(sizes[i*m.dtype.size:]).u32())
				}
				if names != nil {
					if e.Name, err = m.names.text(names[i*m.names.dtype.size:][:m.names.dtype.size]); err != nil {
						yield(array.Entry{}, err)
						return
					}
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Read returns image i.
func (m *Images) Read(ctx context.Context, i int) (array.Image, error) {
	if err := ctx.Err(); err != nil {
		return array.Image{}, err
	}
	if i < 0 || i >= m.n {
		return array.Image{}, fmt.Errorf("is not there: the file has %d images", m.n)
	}
	if m.dtype.class == vlenBytes {
		b, err := m.rows(int64(i), int64(i+1))
		if err != nil {
			return array.Image{}, err
		}
		if b, err = m.vlen(b); err != nil {
			return array.Image{}, err
		}
		if len(b) == 0 {
			return array.Image{}, errors.New("is empty: it has 0 bytes")
		}
		return array.Image{Encoded: bytes.Clone(b)}, nil
	}
	from, to := int64(i), int64(i+1)
	if m.layout.One {
		from, to = 0, m.shape[0]
	}
	b, err := m.rows(from, to)
	if err != nil {
		return array.Image{}, err
	}
	return array.Image{Pixels: m.layout.Pixels(m.dtype.Type, b)}, nil
}
