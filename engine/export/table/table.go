// Package table writes lists of images as tables that astronomers' programs read: CSV, Parquet, VOTable 1.4 (IVOA, XML with TABLEDATA) and
// FITS binary tables (standard 4.0). Columns have a type, so that a position stays a double and an id a text in all four.
//
// Text comes from file names and other people's tables. Parquet holds it to the byte. CSV, VOTable and FITS have no escapes of their own for
// control characters, and XML forbids them: there they stand as \u001b (say.Escaped), in FITS, whose texts are ASCII, all that is not ASCII.
// Formulas of spreadsheets are left as they are: a changed id would not be found again.
//
// The same table makes the same bytes: nothing writes a time, a host or a path.
package table

import (
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"anomalymatch/internal/say"
)

// Kind is the type of a column's values.
type Kind uint8

const (
	Text    Kind = iota // Texts; "" is no value
	Int                 // Ints, but where Missing
	Float32             // Singles; NaN is no value
	Float64             // Doubles; NaN is no value
)

// Column of a table. Only the slice of its kind is looked at.
type Column struct {
	Name  string
	About string // one sentence for people; may be empty
	Unit  string // as VOUnits and FITS have it: "deg"
	UCD   string // of the IVOA: "meta.id;meta.main"
	Kind  Kind

	Texts   []string
	Ints    []int64
	Missing []bool // of Ints; nil: all are there
	Singles []float32
	Doubles []float64
}

// Len is the number of values.
func (c *Column) Len() int {
	switch c.Kind {
	case Int:
		return len(c.Ints)
	case Float32:
		return len(c.Singles)
	case Float64:
		return len(c.Doubles)
	}
	return len(c.Texts)
}

// has says whether row i has a value.
func (c *Column) has(i int) bool {
	switch c.Kind {
	case Int:
		return c.Missing == nil || !c.Missing[i]
	case Float32:
		return c.Singles[i] == c.Singles[i]
	case Float64:
		return c.Doubles[i] == c.Doubles[i]
	}
	return c.Texts[i] != ""
}

// text is the value of row i as it may be shown, "" where there is none. Numbers have as many digits as tell them apart.
func (c *Column) text(i int) string {
	switch {
	case !c.has(i):
		return ""
	case c.Kind == Int:
		return strconv.FormatInt(c.Ints[i], 10)
	case c.Kind == Float32:
		return strconv.FormatFloat(float64(c.Singles[i]), 'g', -1, 32)
	case c.Kind == Float64:
		return strconv.FormatFloat(c.Doubles[i], 'g', -1, 64)
	}
	return say.Escaped(c.Texts[i])
}

// Fact is something to know about a whole table, such as what ranked it.
type Fact struct{ Name, Value string }

// Table is columns of equal length.
type Table struct {
	Name    string
	Facts   []Fact // of names of at most eight capital letters, as FITS has them
	Columns []Column
	Rows    int
}

// New makes a table. Names are made unique, without regard to case, as FITS and databases ask for: the second "id" is called id_2.
func New(name string, facts []Fact, columns ...Column) (*Table, error) {
	t := &Table{Name: name, Facts: facts, Columns: columns}
	if len(columns) == 0 || len(columns) > 999 {
		return nil, fmt.Errorf("a table of %d columns cannot be written: 1 to 999 are possible", len(columns))
	}
	t.Rows = columns[0].Len()
	seen := map[string]bool{}
	for i := range t.Columns {
		c := &t.Columns[i]
		if n := c.Len(); n != t.Rows || c.Missing != nil && len(c.Missing) != n {
			return nil, fmt.Errorf("the column %.100q has %d values, the others %d", c.Name, n, t.Rows)
		}
		name := c.Name
		if name == "" {
			name = "column"
		}
		c.Name = name
		for k := 2; seen[strings.ToLower(c.Name)]; k++ {
			c.Name = fmt.Sprintf("%s_%d", name, k)
		}
		seen[strings.ToLower(c.Name)] = true
	}
	return t, nil
}

// Format is how a table is written.
type Format struct {
	Name  string
	Ends  []string // of the names of its files
	Write func(io.Writer, *Table) error
}

var formats = []Format{
	{"csv", []string{".csv"}, WriteCSV},
	{"parquet", []string{".parquet", ".pq"}, WriteParquet},
	{"votable", []string{".vot", ".votable", ".xml"}, WriteVOTable},
	{"fits", []string{".fits", ".fit", ".fts"}, WriteFITS},
}

// FormatOf is the format of a name, or, for "", that of a file by the end of its name. The error says what there is.
func FormatOf(name, path string) (Format, error) {
	ext := strings.ToLower(filepath.Ext(path))
	for _, f := range formats {
		if name == f.Name {
			return f, nil
		}
		for _, end := range f.Ends {
			if name == "" && ext == end {
				return f, nil
			}
		}
	}
	if name != "" {
		return Format{}, fmt.Errorf("there is no format %.40q: use csv, parquet, votable or fits", name)
	}
	return Format{}, fmt.Errorf("%q ends in none of .csv, .parquet, .vot and .fits: rename it, or say --format", path)
}

// missingInt is what stands for no value in FITS, named in TNULL.
const missingInt = math.MinInt64
