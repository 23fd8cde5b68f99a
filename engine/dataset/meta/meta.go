// Package meta is what is known of images besides their pixels: columns from CSV, Parquet and FITS tables, matched with a pool by the images' names.
//
// Why a file of its own instead of the tables themselves: they have other rows than the pool, in another order, and a CSV of a million lines takes seconds to
// read. So the columns are written once, by image number, into one file beside the list of images. It is made of blocks of 16384 rows of one column, each with a
// checksum, so that opening it reads only its end, a page reads a few blocks, and a condition goes through the columns that it names in memory for one block.
// It can be made anew at any time: it says of which files, of which sizes and times, and of which pool it is.
//
// A row belongs to the image that its key names, see [Images]; keys are names of files, paths or ids, with or without the ending of the files. Where the
// column of keys is not named, it is the column with a usual name (id, filename, source_id, …) whose first rows name the most images.
//
// Nothing in a table is trusted: lines and columns have limits, names of columns are cleaned, values are cut at 4096 bytes and may hold anything that is UTF-8;
// who shows them cleans them.
package meta

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
)

// Images are those that tables are about; *dataset.Pool is one.
type Images interface {
	Len() int
	ID(i int) string
	Hash() [32]byte
	Match(name string) (int, error) // the image that a name means
}

// File is a table to take columns from.
type File struct {
	Path string
	Key  string // the column that names images; empty: found by name
}

// Type of a column's values.
type Type uint8

// The types. None is that of a value that is missing.
const (
	None Type = iota
	Int
	Float
	Text
)

func (t Type) String() string { return [...]string{"none", "int", "float", "text"}[min(t, 3)] }

// Column of a table.
type Column struct {
	Name string `json:"name"` // safe to print, one of its kind
	Unit string `json:"unit,omitempty"`
	Type Type   `json:"type"`
}

// Value is one value; the field of its type.
type Value struct {
	Type  Type
	Int   int64
	Float float64
	Text  string // any UTF-8: clean it before it is shown
}

// String is the value as text; empty where it is missing.
func (v Value) String() string {
	switch v.Type {
	case Int:
		return strconv.FormatInt(v.Int, 10)
	case Float:
		return strconv.FormatFloat(v.Float, 'g', -1, 64)
	}
	return v.Text
}

// Number is the value as a number; NaN where it is none.
func (v Value) Number() float64 {
	switch v.Type {
	case Int:
		return float64(v.Int)
	case Float:
		return v.Float
	}
	return math.NaN()
}

// What stands for a missing value in a column; of floats it is NaN, of texts "".
const missingInt = math.MinInt64

const (
	maxText = 4096 // bytes of a value
	shown   = 20   // names and lines that a report lists
)

// Report says how a table and the images fit together.
type Report struct {
	File      string    `json:"file"`
	Key       string    `json:"key"` // the column that named images
	Rows      int64     `json:"rows"`
	Matched   int64     `json:"matched"`   // images that have a row
	Twice     int64     `json:"twice"`     // rows left out because an earlier one is of the same image
	Unmatched int64     `json:"unmatched"` // rows that name no image
	Ambiguous int64     `json:"ambiguous"` // rows whose name can be several images
	Bad       int64     `json:"bad"`       // lines that are none of a table
	Names     []string  `json:"names,omitempty"`
	Lines     []BadLine `json:"lines,omitempty"` // the first ones that were left out: bad, twice or ambiguous
}

// BadLine is a line that could not be used.
type BadLine struct {
	Line   int64  `json:"line"` // from 1
	Reason string `json:"reason"`
}

// stamp says which file columns were made of.
type stamp struct {
	Path string `json:"path"`
	Key  string `json:"key,omitempty"`
	Size int64  `json:"size"`
	Time int64  `json:"time"`
}

func stampOf(f File) (stamp, error) {
	st, err := os.Stat(f.Path)
	if err != nil {
		return stamp{}, fmt.Errorf("cannot be read: %w", cause(err))
	}
	return stamp{f.Path, f.Key, st.Size(), st.ModTime().UnixNano()}, nil
}

// cause is why a file cannot be had, without its path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
