// Package npy reads images from NumPy's files through an io.ReaderAt: npy, one array of images or one image, and npz, a zip of such arrays,
// either one of all images or one per image. The format: numpy.lib.format, versions 1.0 to 3.0.
//
// It is a reader of its own: the library for it, sbinet/npyio, reads whole arrays by reflection (27 s for 34 MB of uint8). Arrays of
// Python objects are refused, since loading them runs what is in them.
//
// An array lies in its file as it is, so any image costs one read. In Fortran order images are interleaved: such an array is read whole, up to
// Options.MaxChunk. A compressed array in an npz can only be read forwards: blocks of about 1 MiB are kept as they come, which serves readers
// that go through the images in order, in any number; a jump back begins again at the start. np.savez (without compression) has no such cost.
package npy

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// Open finds the images in an npy or npz file of size bytes. r must stay open as long as they are read.
func Open(r io.ReaderAt, size int64, o array.Options) (array.Images, error) {
	o = o.Or()
	var head [6]byte
	if n, err := r.ReadAt(head[:], 0); n < len(head) && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if string(head[:2]) == "PK" {
		return openZip(r, size, o)
	}
	section := io.NewSectionReader(r, 0, size)
	h, err := readHeader(section)
	if err != nil {
		return nil, err
	}
	return newImages(h, section, o)
}

// bytesAt is where the elements of an array come from, counted from the first one.
type bytesAt interface {
	readAt(b []byte, at int64) error
}

// images is one array.
type images struct {
	header
	layout array.Layout
	data   bytesAt
	names  []string // nil or N
}

// newImages makes images of an array whose header was read, in a file or in the stored member of a zip.
func newImages(h header, r *io.SectionReader, o array.Options) (*images, error) {
	m := &images{header: h}
	if err := m.plan(o, false); err != nil {
		return nil, err
	}
	if h.size > r.Size()-h.at {
		return nil, fmt.Errorf("is truncated: its header says %d bytes, it has %d", h.at+h.size, r.Size())
	}
	plain := section{r, h.at}
	if m.data = plain; h.fortran && len(h.shape) > 1 {
		if err := o.CheckChunk(h.size); err != nil {
			return nil, raw.Limitf("is %s in Fortran order, where the limit is %s: save np.ascontiguousarray(images)", array.Bytes(h.size), array.Bytes(o.MaxChunk))
		}
		m.data = &fortran{h: h, from: plain}
	}
	return m, nil
}

func (m *images) plan(o array.Options, one bool) (err error) {
	if m.text > 0 {
		return errors.New("holds text, not images")
	}
	m.layout, err = array.Plan(m.shape, o.Axes, one, o.MaxValues)
	return err
}

func (m *images) imageBytes() int { return m.layout.Values() * m.typ.Size }

func (m *images) Len() int     { return m.layout.N }
func (m *images) Close() error { return nil }

// Type is the type of the values.
func (m *images) Type() array.Type { return m.typ }

func (m *images) Entries(ctx context.Context) iter.Seq2[array.Entry, error] {
	return func(yield func(array.Entry, error) bool) {
		for i := range m.layout.N {
			e := array.Entry{Size: int64(m.imageBytes())}
			if m.names != nil {
				e.Name = m.names[i]
			}
			if err := ctx.Err(); err != nil {
				yield(array.Entry{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *images) Read(ctx context.Context, i int) (array.Image, error) {
	if err := ctx.Err(); err != nil {
		return array.Image{}, err
	}
	if i < 0 || i >= m.layout.N {
		return array.Image{}, fmt.Errorf("is not there: the array has %d images", m.layout.N)
	}
	b := make([]byte, m.imageBytes())
	if err := m.data.readAt(b, int64(i)*int64(len(b))); err != nil {
		return array.Image{}, err
	}
	return array.Image{Pixels: m.layout.Pixels(m.typ, b)}, nil
}

// section is an array that lies as it is.
type section struct {
	r  io.ReaderAt
	at int64
}

func (s section) readAt(b []byte, at int64) error {
	n, err := s.r.ReadAt(b, s.at+at)
	switch {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("has become shorter while it was read")
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// fortran is an array in Fortran order, in memory from its first use on.
type fortran struct {
	h    header
	from bytesAt
	once sync.Once
	all  []byte
	err  error
}

func (f *fortran) readAt(b []byte, at int64) error {
	f.once.Do(func() {
		stored := make([]byte, f.h.size)
		if f.err = f.from.readAt(stored, 0); f.err != nil {
			return
		}
		f.all = inOrder(f.h, stored)
	})
	if f.err == nil {
		copy(b, f.all[at:])
	}
	return f.err
}

// inOrder brings an array in Fortran order into C order.
func inOrder(h header, b []byte) []byte {
	shape := make([]int, len(h.shape))
	for i, n := range h.shape {
		shape[i] = int(n)
	}
	return array.FromFortran(b, shape, h.typ.Size)
}

const maxMembers = 64 // of an npz in which an array of all images is looked for by shape

func openZip(r io.ReaderAt, size int64, o array.Options) (array.Images, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, errors.New("is a damaged or truncated npz: its zip directory cannot be read")
	}
	var members []*zip.File
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, ".npy") {
			members = append(members, f)
		}
	}
	if len(members) == 0 {
		return nil, errors.New("has no arrays: an npz holds npy files")
	}
	all, err := findAll(members, o)
	if err != nil {
		return nil, err
	}
	if all != nil {
		m, err := member(all, o)
		if err != nil {
			return nil, fmt.Errorf("%w (array %.60q)", err, all.Name)
		}
		m.names, err = findNames(members, o, m.layout.N)
		return m, err
	}
	return &single{members: members, o: o}, nil
}

// arrayName is what numpy calls the array of a member.
func arrayName(f *zip.File) string { return strings.TrimSuffix(f.Name, ".npy") }

// findAll finds the one array of all images; nil where each array is an image of its own.
func findAll(members []*zip.File, o array.Options) (*zip.File, error) {
	if o.Images != "" {
		i := slices.IndexFunc(members, func(f *zip.File) bool { return arrayName(f) == o.Images })
		if i < 0 {
			return nil, fmt.Errorf("has no array %.60q", o.Images)
		}
		return members[i], nil
	}
	var best *zip.File
	bestRank, lists, arrays := len(array.ImageNames), 0, 0 // lists: of four axes, which no image has
	for _, f := range members {
		rank := array.Rank(arrayName(f), array.ImageNames)
		if len(members) > maxMembers && (rank == len(array.ImageNames) || arrayName(f) == "arr_0") { // arr_0 of many is the first image
			continue
		}
		h, err := memberHeader(f)
		if err != nil && rank < bestRank && arrayName(f) != "arr_0" {
			return nil, fmt.Errorf("%w (array %.60q)", err, f.Name)
		}
		if err != nil || h.text > 0 || len(h.shape) < 2 {
			continue
		}
		arrays++
		l, err := array.Plan(h.shape, o.Axes, false, o.MaxValues)
		if err != nil && len(h.shape) == 4 && rank < bestRank {
			return nil, fmt.Errorf("%w (array %.60q)", err, f.Name)
		}
		if err != nil || l.One {
			continue
		}
		list := len(h.shape) == 4
		if list {
			lists++
		}
		if best == nil || rank < bestRank || list && lists == 1 && bestRank == len(array.ImageNames) {
			best, bestRank = f, rank
		}
	}
	// arr_0, arr_1, ... of three axes each are images, C×H×W; one array alone, or one that is called as images are, is all of them.
	if best != nil && (arrays == 1 || lists == 1 || bestRank < len(array.ImageNames) && arrayName(best) != "arr_0") {
		return best, nil
	}
	return nil, nil
}

func memberHeader(f *zip.File) (header, error) {
	h, r, err := openMember(f)
	if err == nil {
		r.Close()
	}
	return h, err
}

// openMember opens an array of a zip. What comes next from r is its first element.
func openMember(f *zip.File) (h header, r io.ReadCloser, err error) {
	if r, err = f.Open(); err != nil {
		return h, nil, fmt.Errorf("cannot be read: %.80q", err.Error())
	}
	h, err = readHeader(r)
	if most := f.CompressedSize64 * 1040; err == nil && (f.UncompressedSize64 != uint64(h.at)+uint64(h.size) || f.UncompressedSize64 > most) { // no deflate gains more
		err = fmt.Errorf("is damaged: its header says %d bytes, its zip entry %d", h.at+h.size, f.UncompressedSize64)
	}
	if err != nil {
		r.Close()
	}
	return h, r, err
}

// member opens one array of a zip as a list of images.
func member(f *zip.File, o array.Options) (*images, error) {
	h, err := memberHeader(f)
	if err != nil {
		return nil, err
	}
	if f.Method == zip.Store {
		r, err := f.OpenRaw()
		if err != nil {
			return nil, fmt.Errorf("cannot be read: %.80q", err.Error())
		}
		if s, ok := r.(*io.SectionReader); ok {
			return newImages(h, s, o)
		}
	}
	m := &images{header: h}
	if err := m.plan(o, false); err != nil {
		return nil, err
	}
	s := newForward(f, h, m.imageBytes(), o)
	if m.data = s; h.fortran {
		if err := o.CheckChunk(h.size); err != nil {
			return nil, raw.Limitf("is %s in Fortran order, where the limit is %s: save np.ascontiguousarray(images)", array.Bytes(h.size), array.Bytes(o.MaxChunk))
		}
		m.data = &fortran{h: h, from: s}
	}
	return m, nil
}

// findNames reads the array of names, if there is one.
func findNames(members []*zip.File, o array.Options, n int) ([]string, error) {
	best, bestRank := (*zip.File)(nil), len(array.FileNames)
	for _, f := range members {
		if o.Names != "" && arrayName(f) == o.Names {
			best = f
			break
		}
		if rank := array.Rank(arrayName(f), array.FileNames); o.Names == "" && rank < bestRank {
			best, bestRank = f, rank
		}
	}
	if best == nil {
		if o.Names != "" {
			return nil, fmt.Errorf("has no array %.60q", o.Names)
		}
		return nil, nil
	}
	names, err := readNames(best, o, n)
	if err != nil && o.Names == "" { // it was only a guess
		return nil, nil
	}
	return names, err
}

func readNames(f *zip.File, o array.Options, n int) ([]string, error) {
	h, r, err := openMember(f)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if h.text == 0 || len(h.shape) != 1 || h.shape[0] != int64(n) {
		return nil, fmt.Errorf("has no list of %d names in the array %.60q", n, f.Name)
	}
	if err := o.CheckChunk(h.size); err != nil {
		return nil, err
	}
	names, b := []string(nil), make([]byte, h.text)
	for range n {
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, fmt.Errorf("is damaged: its names cannot be decompressed (array %.60q)", f.Name)
		}
		names = append(names, h.decode(b))
	}
	return names, nil
}

// single is an npz in which each array is one image.
type single struct {
	members []*zip.File
	o       array.Options
}

func (s *single) Len() int     { return len(s.members) }
func (s *single) Close() error { return nil }

func (s *single) Entries(ctx context.Context) iter.Seq2[array.Entry, error] {
	return func(yield func(array.Entry, error) bool) {
		for _, f := range s.members {
			if err := ctx.Err(); err != nil {
				yield(array.Entry{}, err)
				return
			}
			if !yield(array.Entry{Name: path.Clean(arrayName(f)), Size: int64(min(f.UncompressedSize64, 1<<62))}, nil) {
				return
			}
		}
	}
}

func (s *single) Read(ctx context.Context, i int) (array.Image, error) {
	if err := ctx.Err(); err != nil {
		return array.Image{}, err
	}
	if i < 0 || i >= len(s.members) {
		return array.Image{}, fmt.Errorf("is not there: the file has %d arrays", len(s.members))
	}
	h, r, err := openMember(s.members[i])
	if err != nil {
		return array.Image{}, err
	}
	defer r.Close()
	m := images{header: h}
	if err := m.plan(s.o, true); err != nil {
		return array.Image{}, err
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(m.imageBytes()))) // grows with what is there
	if err != nil || len(b) != m.imageBytes() {
		return array.Image{}, errors.New("is damaged: it cannot be decompressed")
	}
	if h.fortran {
		b = inOrder(h, b)
	}
	return array.Image{Pixels: m.layout.Pixels(h.typ, b)}, nil
}
