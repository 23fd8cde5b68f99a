package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/hdf5"
	"anomalymatch/engine/dataset/npy"
	"anomalymatch/engine/dataset/parquet"
	"anomalymatch/engine/dataset/zarr"
)

// arrays is a source: the images of a container of arrays, or of a column of images. An entry keeps its number there. Images without a name are
// called by it; their time is that of the container, since nothing else tells that an array is another one.
type arrays struct {
	*container
	images array.Images
}

const zarrKind = "Zarr"

var (
	openHDF5    = openArrays("HDF5", func(r io.ReaderAt, size int64, o array.Options) (array.Images, error) { return hdf5.Open(r, size, o) })
	openNPY     = openArrays("NumPy", npy.Open)
	openParquet = openArrays("Parquet", func(r io.ReaderAt, size int64, o array.Options) (array.Images, error) {
		return parquet.Open(r, size, o)
	})
	openZarrZip = openArrays(zarrKind, func(r io.ReaderAt, size int64, o array.Options) (array.Images, error) {
		return zarr.OpenZip(r, size, o)
	})
)

// isZarr says whether a folder is a Zarr hierarchy.
func isZarr(dir string) bool { return zarr.IsStore(os.DirFS(dir)) }

func openZarr(name, path string, l Limits, which string) (Source, error) {
	if err := checkSourceName(name); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		if err == nil {
			err = errors.New("it is no folder")
		}
		return nil, fmt.Errorf("the Zarr folder %q of source %q cannot be read: %s", path, name, reason(err))
	}
	c := &container{name: name, path: path, kind: zarrKind, limits: l.orDefault(), size: info.Size(), modTime: info.ModTime()}
	return c.arrays(which, func(o array.Options) (array.Images, error) { return zarr.OpenFolder(path, o) })
}

// arrays opens the arrays of c, or closes it.
func (c *container) arrays(which string, open func(array.Options) (array.Images, error)) (Source, error) {
	images, err := open(array.Options{Images: which, MaxValues: c.limits.MaxPixels, MaxBytes: c.limits.MaxBytes})
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("the file %q of source %q %w", c.path, c.name, err)
	}
	if c.kind == zarrKind {
		named, err := c.sidecar(images)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("the file %q of source %q %w", c.path, c.name, err), images.Close(), c.Close())
		}
		images = named
	}
	return &arrays{c, images}, nil
}

// withSidecar are images whose names are in a table that is open as long as they are.
type withSidecar struct {
	array.Images
	table *os.File
}

func (w withSidecar) Close() error { return errors.Join(w.Images.Close(), w.table.Close()) }

// sidecar gives the images of a Zarr hierarchy the names of the table beside it, as Cutana and AnomalyMatch keep them: row i names image i. They count
// before names in the hierarchy itself, since labels of AnomalyMatch are of them. A table that is there but names other images is an error: left out, it
// would leave the images with other ids, and their labels lost.
func (c *container) sidecar(images array.Images) (array.Images, error) {
	path := zarr.Sidecar(strings.TrimSuffix(c.path, ".zip"))
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return images, nil
	}
	wrong := func(err error) (array.Images, error) {
		return nil, fmt.Errorf("has a table of names beside it, %q, which %w: mend it, or move it away", filepath.Base(path), err)
	}
	if err != nil || !info.Mode().IsRegular() {
		return wrong(errors.New("cannot be read"))
	}
	file, err := os.Open(path)
	if err != nil {
		return wrong(fmt.Errorf("cannot be opened (%s)", reason(err)))
	}
	table, err := parquet.OpenTable(file, info.Size(), array.Options{})
	if err == nil && table.Rows() != int64(images.Len()) {
		err = fmt.Errorf("has %d rows for %d images", table.Rows(), images.Len())
	}
	if err != nil {
		file.Close()
		return wrong(err)
	}
	names := table.NameColumn()
	if names == nil { // it says other things
		return images, file.Close()
	}
	return withSidecar{array.WithNames(images, names.Names), file}, nil
}

// openArrays opens a container by the reader of its kind.
func openArrays(kind string, open func(r io.ReaderAt, size int64, o array.Options) (array.Images, error)) func(name, path string, l Limits, which string) (Source, error) {
	return func(name, path string, l Limits, which string) (Source, error) {
		c, err := openContainer(name, path, kind, l)
		if err != nil {
			return nil, err
		}
		return c.arrays(which, func(o array.Options) (array.Images, error) { return open(c.file, c.size, o) })
	}
}

func (a *arrays) Close() error { return errors.Join(a.images.Close(), a.container.Close()) }

func (a *arrays) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		i := 0
		digits := len(fmt.Sprint(max(0, a.images.Len()-1)))
		for e, err := range a.images.Entries(ctx) {
			name := e.Name
			if name == "" {
				name = fmt.Sprintf("%0*d", digits, i)
			}
			entry, odd := a.member(strings.TrimLeft(name, "/"), e.Size, int64(i), a.modTime)
			switch {
			case ctx.Err() != nil:
				yield(Entry{}, ctx.Err())
				return
			case err != nil:
				a.ended(i, 0, err, yield)
				return
			case !yield(entry, odd):
				return
			}
			i++
		}
		a.ended(i, 0, nil, yield)
	}
}

func (a *arrays) Read(ctx context.Context, e Entry) (Content, error) {
	if e.At < 0 || e.At >= int64(a.images.Len()) {
		return Content{}, fmt.Errorf("is not in the %s any more", a.kind)
	}
	m, err := a.images.Read(ctx, int(e.At))
	if err != nil {
		if gone := a.same(); gone != nil && ctx.Err() == nil {
			return Content{}, gone
		}
		return Content{}, err
	}
	return Content{Encoded: m.Encoded, Values: m.Pixels, Format: a.kind}, nil
}
