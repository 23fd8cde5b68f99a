// Package parquet reads images from a column of a Parquet file, and tables of metadata. Images are encoded (JPEG, PNG, ...), in a column of bytes
// or in Hugging Face's layout, a structure of bytes and path.
//
// Values are decoded by github.com/parquet-go/parquet-go, which believes what a file says about sizes and panics on some odd files.
// So the footer and the headers of pages are checked before they reach it, pages are decompressed here (Snappy, gzip, Zstandard,
// LZ4_RAW), and a panic of it is an error about the file. One image costs one page of its column, which the next images share through a
// cache; an index of pages in the file is not needed.
package parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"

	pq "github.com/parquet-go/parquet-go"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// Images are the images of one column of a file.
type Images struct {
	table *Table
	image *Column
	names *Column // may be nil
}

var _ array.Images = (*Images)(nil)

// Open finds the column of images in a Parquet file of size bytes. r must stay open as long as they are read.
func Open(r io.ReaderAt, size int64, o array.Options) (*Images, error) {
	t, err := OpenTable(r, size, o)
	if err != nil {
		return nil, err
	}
	if t.Rows() > math.MaxInt32 {
		return nil, raw.Limitf("has %d rows: more images than can be counted here", t.Rows())
	}
	m := &Images{table: t}
	if m.image, err = t.findImages(); err != nil {
		return nil, err
	}
	m.names, err = t.findNames(m.image)
	return m, err
}

func (t *Table) findImages() (*Column, error) {
	if name := t.o.Images; name != "" {
		for _, try := range []string{name + ".bytes", name} {
			if c := t.Column(try); c != nil {
				if c.Kind != Binary {
					return nil, fmt.Errorf("has no bytes in the column %.60q where images should be", try)
				}
				return c, nil
			}
		}
		return nil, fmt.Errorf("has no column %.60q", name)
	}
	var best []*Column
	bestRank := math.MaxInt
	for _, c := range t.Columns() {
		if c.Kind != Binary || c.kind != pq.ByteArray || len(c.path) > 2 || len(c.path) == 2 && c.path[1] != "bytes" {
			continue
		}
		switch rank := array.Rank(c.path[0], array.ImageNames); {
		case rank < bestRank:
			best, bestRank = []*Column{c}, rank
		case rank == bestRank:
			best = append(best, c)
		}
	}
	switch len(best) {
	case 0:
		return nil, errors.New("has no column of images: a column of bytes, or a structure of bytes and path, is read")
	case 1:
		return best[0], nil
	}
	var names []string
	for _, c := range best[:min(len(best), 8)] {
		names = append(names, fmt.Sprintf("%.60q", c.path[0]))
	}
	return nil, fmt.Errorf("has several columns that could be images (%s): say which", strings.Join(names, ", "))
}

func (t *Table) findNames(image *Column) (*Column, error) {
	if t.o.Names != "" {
		if c := t.Column(t.o.Names); c != nil {
			return c, nil
		}
		return nil, fmt.Errorf("has no column %.60q", t.o.Names)
	}
	if c := t.NameColumn(); c != nil {
		return c, nil
	}
	if len(image.path) == 2 {
		return t.Column(image.path[0] + ".path"), nil
	}
	return nil, nil
}

// NameColumn is the column that names the rows, by what it is called ("original_filename", "filename", ..., "source_id"); nil where there is none.
func (t *Table) NameColumn() *Column {
	var best *Column
	bestRank := len(array.FileNames)
	for _, c := range t.Columns() {
		if rank := array.Rank(c.Name, array.FileNames); len(c.path) == 1 && rank < bestRank && (c.Kind == Text || c.Kind == Integer || c.Kind == Binary) && c != t.Column(t.o.Images) {
			best, bestRank = c, rank
		}
	}
	return best
}

// Names reads a column as names, for array.WithNames.
func (c *Column) Names(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for v, err := range c.Values(ctx, 0) {
			if !yield(v.String(), err) || err != nil {
				return
			}
		}
	}
}

// Table is the whole file: the other columns are metadata of the images.
func (m *Images) Table() *Table { return m.table }

// Len is the number of images.
func (m *Images) Len() int { return int(m.table.Rows()) }

// Close does nothing: the file is the caller's.
func (m *Images) Close() error { return nil }

// Entries lists the images. Their sizes are not known before they are read.
func (m *Images) Entries(ctx context.Context) iter.Seq2[array.Entry, error] {
	return func(yield func(array.Entry, error) bool) {
		if m.names == nil {
			for range m.Len() {
				if err := ctx.Err(); err != nil {
					yield(array.Entry{}, err)
					return
				}
				if !yield(array.Entry{}, nil) {
					return
				}
			}
			return
		}
		for v, err := range m.names.Values(ctx, 0) {
			if err != nil {
				yield(array.Entry{}, err)
				return
			}
			if !yield(array.Entry{Name: v.String()}, nil) {
				return
			}
		}
	}
}

// Read returns image i.
func (m *Images) Read(ctx context.Context, i int) (array.Image, error) {
	v, err := m.image.At(ctx, int64(i))
	if err != nil {
		return array.Image{}, err
	}
	b := v.Bytes()
	if len(b) == 0 {
		return array.Image{}, errors.New("is empty: its row has no bytes")
	}
	if err := m.table.o.CheckBytes(int64(len(b))); err != nil {
		return array.Image{}, err
	}
	return array.Image{Encoded: bytes.Clone(b)}, nil
}
