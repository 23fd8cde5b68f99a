package zarr

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"anomalymatch/engine/dataset/array"
)

// store is where the files of a hierarchy are.
type store interface {
	// open returns a file; an error that is fs.ErrNotExist where there is none.
	open(name string) (*blob, error)
	// folders lists the folders in a folder.
	folders(dir string) []string
	close() error
}

// blob is an open file.
type blob struct {
	r    io.ReaderAt
	n    int64
	done io.Closer // may be nil
}

func (b *blob) close() {
	if b.done != nil {
		b.done.Close()
	}
}

// bytes reads n bytes at a place.
func (b *blob) bytes(at, n int64) ([]byte, error) {
	if at < 0 || n < 0 || at > b.n-n {
		return nil, errors.New("is damaged: a chunk is cut off")
	}
	out := make([]byte, n)
	if got, err := b.r.ReadAt(out, at); int64(got) < n {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, errors.New("has become shorter while it was read")
		}
		return nil, fmt.Errorf("cannot be read: %s", reason(err))
	}
	return out, nil
}

// reason is what a file system error says without the path.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return strings.ToValidUTF8(err.Error(), "?")
}

// files is a store in a file system.
type files struct {
	fsys fs.FS
	done io.Closer
}

func (s files) open(name string) (*blob, error) {
	f, err := s.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	r, ok := f.(io.ReaderAt)
	if err == nil && !ok {
		err = errors.New("its file system reads forwards only")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &blob{r, info.Size(), f}, nil
}

func (s files) folders(dir string) (out []string) {
	items, _ := fs.ReadDir(s.fsys, dir)
	for _, item := range items {
		if item.IsDir() || item.Type()&fs.ModeSymlink != 0 {
			out = append(out, item.Name())
		}
	}
	return out
}

func (s files) close() error {
	if s.done == nil {
		return nil
	}
	return s.done.Close()
}

// zipped is a store in a zip file.
type zipped struct {
	members map[string]*zip.File
	below   map[string][]string
	o       array.Options
}

func newZipped(r io.ReaderAt, size int64, o array.Options) (*zipped, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, errors.New("is a damaged or truncated zip: its directory cannot be read")
	}
	s := &zipped{members: map[string]*zip.File{}, below: map[string][]string{}, o: o}
	for _, f := range z.File {
		if !fs.ValidPath(f.Name) {
			continue
		}
		s.members[f.Name] = f
		if base := path.Base(f.Name); base == ".zarray" || base == "zarr.json" { // folders of chunks are of no interest
			if dir := path.Dir(f.Name); dir != "." && !slices.Contains(s.below[path.Dir(dir)], path.Base(dir)) && len(s.below) < maxArrays {
				s.below[path.Dir(dir)] = append(s.below[path.Dir(dir)], path.Base(dir))
			}
		}
	}
	return s, nil
}

func (s *zipped) open(name string) (*blob, error) {
	f := s.members[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	if f.Method == zip.Store { // as zarr's ZipStore writes it
		if r, err := f.OpenRaw(); err == nil {
			if section, ok := r.(*io.SectionReader); ok {
				return &blob{r: section, n: section.Size()}, nil
			}
		}
	}
	if f.UncompressedSize64 > uint64(s.o.MaxChunk) {
		return nil, s.o.CheckChunk(int64(min(f.UncompressedSize64, 1<<62)))
	}
	r, err := f.Open()
	if err != nil {
		return nil, errors.New("cannot be decompressed from its zip")
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, s.o.MaxChunk))
	if err != nil {
		return nil, errors.New("cannot be decompressed from its zip")
	}
	return &blob{r: strings.NewReader(string(b)), n: int64(len(b))}, nil
}

func (s *zipped) folders(dir string) []string { return s.below[dir] }
func (s *zipped) close() error                { return nil }
