package fits

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Type of a column's values.
type Type uint8

const (
	None  Type = iota // not read: vectors, complex numbers, bits, arrays of variable length
	Int               // whole numbers; logicals are 1 and 0
	Float             // floating point, and scaled whole numbers
	Text              // strings
)

// Column of a table.
type Column struct {
	Name, Unit string // TTYPE, TUNIT: printable text
	Type       Type
	Form       string // TFORM

	at, size    int64 // first byte in the row, number of bytes
	letter      byte  // of TFORM; ASCII tables: of A, I, F, E, D
	count       int64 // values of a binary field; characters of a text
	element     byte  // of arrays of variable length
	scale, zero float64
	unsigned    bool // zero is 2^15, 2^31 or 2^63: whole numbers
	null        int64
	hasNull     bool
	nullText    string // of an ASCII table
	decimals    int    // of an ASCII table, where the point is left out
}

// Table holds the columns of a binary or ASCII table.
type Table struct {
	Rows    int64
	Columns []Column

	h     *HDU
	width int64 // bytes of a row
	ascii bool
}

// longest text of a column that is read.
const maxText = 64 << 10

// IsTable says whether the HDU holds a table that is no compressed image.
func (h *HDU) IsTable() bool { return (h.kind == "BINTABLE" || h.kind == "TABLE") && !h.compressed() }

// FindTable is Find for catalogues: for "" the first table.
func (f *File) FindTable(which string) (*Table, error) {
	if strings.TrimSpace(which) != "" {
		h, err := f.Find(which)
		if err != nil {
			return nil, err
		}
		return h.Table()
	}
	for _, h := range f.hdus {
		if h.IsTable() {
			return h.Table()
		}
	}
	if f.rest != nil {
		return nil, f.rest
	}
	return nil, fmt.Errorf("holds no table: it has %d HDUs", len(f.hdus))
}

// Table reads the description of the columns.
func (h *HDU) Table() (*Table, error) {
	if h.kind != "BINTABLE" && h.kind != "TABLE" {
		return nil, fmt.Errorf("holds no table in HDU %d: it is of the kind %.40q", h.Number, h.kind)
	}
	if z, _ := h.Header.Bool("ZTABLE"); z {
		return nil, fmt.Errorf("holds a compressed table in HDU %d, which is not read; unpack it with funpack", h.Number)
	}
	if bitpix, _ := h.Header.Int("BITPIX"); len(h.axes) != 2 || bitpix != 8 {
		return nil, damaged("the table of HDU %d has %d axes, or BITPIX is not 8", h.Number, len(h.axes))
	}
	t := &Table{Rows: h.axes[1], h: h, width: h.axes[0], ascii: h.kind == "TABLE"}
	if t.width == 0 {
		t.Rows = 0
	}
	n, ok := h.Header.Int("TFIELDS")
	if !ok || n < 0 || n > 999 {
		return nil, damaged("TFIELDS is not a number from 0 to 999")
	}
	at := int64(0)
	for i := range int(n) {
		c, err := h.column(strconv.Itoa(i+1), t.ascii)
		if err != nil {
			return nil, err
		}
		if !t.ascii {
			c.at = at
		}
		if c.at < 0 || c.size > t.width-c.at {
			return nil, damaged("column %d is outside the table's rows of %d bytes", i+1, t.width)
		}
		at = c.at + c.size
		t.Columns = append(t.Columns, c)
	}
	return t, nil
}

// column reads the description of column number n.
func (h *HDU) column(n string, ascii bool) (c Column, err error) {
	c.scale = 1
	c.Name, _ = h.Header.Text("TTYPE" + n)
	c.Unit, _ = h.Header.Text("TUNIT" + n)
	form, ok := h.Header.Text("TFORM" + n)
	c.Form = strings.ToUpper(strings.TrimSpace(form))
	if !ok || c.Form == "" {
		return c, damaged("TFORM%s is missing", n)
	}
	for key, v := range map[string]*float64{"TSCAL": &c.scale, "TZERO": &c.zero} {
		if h.Header.Has(key + n) {
			if *v, ok = h.Header.Float(key + n); !ok {
				return c, damaged("%s%s is not a number", key, n)
			}
		}
	}
	scaled := c.scale != 1 || c.zero != 0
	if ascii {
		start, ok := h.Header.Int("TBCOL" + n)
		if !ok || start < 1 {
			return c, damaged("TBCOL%s is not a position", n)
		}
		c.at = start - 1
		c.letter = c.Form[0]
		width, decimals, _ := strings.Cut(c.Form[1:], ".")
		w, err := strconv.ParseUint(width, 10, 31)
		if err != nil {
			return c, damaged("TFORM%s is %.20q", n, c.Form)
		}
		c.count = int64(w)
		switch c.letter {
		case 'A':
			c.Type = Text
		case 'I':
			c.Type = Int
		case 'F', 'E', 'D':
			c.Type = Float
			d, _ := strconv.ParseUint(decimals, 10, 8)
			c.decimals = int(d)
		default:
			return c, damaged("TFORM%s is %.20q", n, c.Form)
		}
		c.nullText, c.hasNull = h.Header.Text("TNULL" + n)
		c.nullText = strings.TrimSpace(c.nullText)
		c.size = c.count
	} else {
		digits := strings.IndexFunc(c.Form, func(r rune) bool { return r < '0' || r > '9' })
		c.count = 1
		if digits < 0 {
			return c, damaged("TFORM%s is %.20q", n, c.Form)
		}
		if digits > 0 {
			v, err := strconv.ParseUint(c.Form[:digits], 10, 48)
			if err != nil {
				return c, damaged("TFORM%s is %.20q", n, c.Form)
			}
			c.count = int64(v)
		}
		c.letter = c.Form[digits]
		rest := c.Form[digits+1:]
		each := strings.IndexByte("LBIJKAEDCMPQX", c.letter)
		if each < 0 {
			return c, damaged("TFORM%s is %.20q", n, c.Form)
		}
		c.size = c.count * []int64{1, 1, 2, 4, 8, 1, 4, 8, 8, 16, 8, 16, 0}[each]
		if c.letter == 'X' {
			c.size = (c.count + 7) / 8
		}
		switch {
		case c.letter == 'A' && strings.TrimSpace(rest) == "":
			c.Type = Text
		case (c.letter == 'P' || c.letter == 'Q') && rest != "":
			c.element = rest[0]
		case c.count != 1:
		case strings.IndexByte("LBIJK", c.letter) >= 0:
			c.Type = Int
		case c.letter == 'E' || c.letter == 'D':
			c.Type = Float
		}
		c.null, c.hasNull = h.Header.Int("TNULL" + n)
		c.hasNull = c.hasNull && c.Type == Int && c.letter != 'L'
		if half, is := map[byte]float64{'B': -128, 'I': 1 << 15, 'J': 1 << 31, 'K': 1 << 63}[c.letter]; is && c.scale == 1 && c.zero == half {
			c.unsigned = true
		}
	}
	if c.Type == Int && scaled && !c.unsigned && c.letter != 'L' {
		c.Type = Float
	}
	if c.Type == Text && c.count > maxText {
		c.Type = None
	}
	return c, nil
}

// Index of the column of a name, without regard to case, as the standard asks; -1 where there is none.
func (t *Table) Index(name string) int {
	for i, c := range t.Columns {
		if strings.EqualFold(c.Name, name) {
			return i
		}
	}
	return -1
}

// Values of a column: one of the slices, by its Type.
type Values struct {
	Ints    []int64
	Floats  []float64 // NaN where missing
	Text    []string  // any bytes, without trailing blanks
	Missing []bool    // of Ints and Text: there was no value; nil where there was one in all rows
}

// Float is value i as a number; NaN where there is none.
func (v Values) Float(i int) float64 {
	switch {
	case v.Missing != nil && v.Missing[i]:
		return math.NaN()
	case v.Ints != nil:
		return float64(v.Ints[i])
	case v.Floats != nil:
		return v.Floats[i]
	}
	f, ok := parseFloat(strings.TrimSpace(v.Text[i]))
	if !ok {
		return math.NaN()
	}
	return f
}

// String is value i as text; empty where there is none.
func (v Values) String(i int) string {
	switch {
	case v.Missing != nil && v.Missing[i]:
		return ""
	case v.Ints != nil:
		return strconv.FormatInt(v.Ints[i], 10)
	case v.Floats != nil && math.IsNaN(v.Floats[i]):
		return ""
	case v.Floats != nil:
		return strconv.FormatFloat(v.Floats[i], 'g', -1, 64)
	}
	return v.Text[i]
}

// Read reads n rows from row from (0 is the first) of some columns, in their order. Large tables are read in parts.
func (t *Table) Read(from, n int64, columns ...int) ([]Values, error) {
	if from < 0 || n < 0 || n > t.Rows-from {
		return nil, fmt.Errorf("has no rows %d to %d: its table has %d", from+1, from+n, t.Rows)
	}
	out := make([]Values, len(columns))
	for i, c := range columns {
		if c < 0 || c >= len(t.Columns) {
			return nil, fmt.Errorf("has no column %d: its table has %d", c+1, len(t.Columns))
		}
		switch t.Columns[c].Type {
		case Int:
			out[i].Ints = make([]int64, n)
		case Float:
			out[i].Floats = make([]float64, n)
		case Text:
			out[i].Text = make([]string, n)
		default:
			return nil, fmt.Errorf("has the column %.40q of the kind %.20q, which is not read: one number or text in each row is",
				t.Columns[c].Name, t.Columns[c].Form)
		}
	}
	if n == 0 || len(columns) == 0 {
		return out, nil
	}
	const most = 1 << 20 // bytes at once
	if t.width > most {
		var field []byte
		for row := range n {
			for i, c := range columns {
				column := &t.Columns[c]
				field = grown(field, int(column.size))
				if err := t.h.f.readAt(field, t.h.data+(from+row)*t.width+column.at); err != nil {
					return nil, err
				}
				if err := column.parse(&out[i], int(row), field, t.ascii); err != nil {
					return nil, err
				}
			}
		}
		return out, nil
	}
	some := min(n, most/t.width)
	buf := make([]byte, some*t.width)
	for row := int64(0); row < n; row += some {
		some = min(some, n-row)
		b := buf[:some*t.width]
		if err := t.h.f.readAt(b, t.h.data+(from+row)*t.width); err != nil {
			return nil, err
		}
		for i, c := range columns {
			column := &t.Columns[c]
			for k := range some {
				field := b[k*t.width+column.at:][:column.size]
				if err := column.parse(&out[i], int(row+k), field, t.ascii); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// cell reads one value of a row that is in memory.
func (t *Table) cell(row []byte, column int) (Values, error) {
	c := &t.Columns[column]
	var v Values
	switch c.Type {
	case Int:
		v.Ints = make([]int64, 1)
	case Float:
		v.Floats = make([]float64, 1)
	default:
		return v, damaged("the column %.40q is no number", c.Name)
	}
	return v, c.parse(&v, 0, row[c.at:][:c.size], t.ascii)
}

func (v *Values) missing(i int) {
	if v.Missing == nil {
		v.Missing = make([]bool, max(len(v.Ints), len(v.Text)))
	}
	v.Missing[i] = true
}

// parse reads a field into value i.
func (c *Column) parse(v *Values, i int, b []byte, ascii bool) error {
	if ascii {
		return c.parseText(v, i, b)
	}
	if c.Type == Text {
		s, _, _ := strings.Cut(string(b), "\x00")
		v.Text[i] = strings.TrimRight(s, " ")
		return nil
	}
	var n int64
	switch c.letter {
	case 'E':
		v.Floats[i] = c.scaled(float64(math.Float32frombits(binary.BigEndian.Uint32(b))))
		return nil
	case 'D':
		v.Floats[i] = c.scaled(math.Float64frombits(binary.BigEndian.Uint64(b)))
		return nil
	case 'L':
		switch b[0] {
		case 'T':
			v.Ints[i] = 1
		case 'F':
		default:
			v.missing(i)
		}
		return nil
	case 'B':
		n = int64(b[0])
	case 'I':
		n = int64(int16(binary.BigEndian.Uint16(b)))
	case 'J':
		n = int64(int32(binary.BigEndian.Uint32(b)))
	case 'K':
		n = int64(binary.BigEndian.Uint64(b))
	}
	null := c.hasNull && n == c.null
	switch {
	case null && c.Type == Int:
		v.missing(i)
	case null:
		v.Floats[i] = math.NaN()
	case c.unsigned && c.letter == 'K':
		if n >= 0 {
			return fmt.Errorf("holds a number above 2^63 in the column %.40q", c.Name)
		}
		v.Ints[i] = n - math.MinInt64
	case c.unsigned:
		v.Ints[i] = n + int64(c.zero)
	case c.Type == Int:
		v.Ints[i] = n
	default:
		v.Floats[i] = c.scaled(float64(n))
	}
	return nil
}

func (c *Column) scaled(f float64) float64 {
	if c.scale == 1 && c.zero == 0 {
		return f
	}
	return float64(f*c.scale) + c.zero
}

// parseText reads a field of an ASCII table. Blank is zero, as the standard asks.
func (c *Column) parseText(v *Values, i int, b []byte) error {
	s := strings.TrimSpace(string(b))
	null := c.hasNull && s == c.nullText
	if c.Type == Text {
		v.Text[i] = strings.TrimRight(string(b), " ")
		if null {
			v.missing(i)
		}
		return nil
	}
	if null {
		if c.Type == Int {
			v.missing(i)
		} else {
			v.Floats[i] = math.NaN()
		}
		return nil
	}
	if s == "" {
		s = "0"
	}
	if c.letter == 'I' {
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err != nil:
			return damaged("%.30q in the column %.40q is not a whole number", s, c.Name)
		case c.Type == Int:
			v.Ints[i] = n
		default:
			v.Floats[i] = c.scaled(float64(n))
		}
		return nil
	}
	f, ok := parseFloat(s)
	if !ok {
		return damaged("%.30q in the column %.40q is not a number", s, c.Name)
	}
	if !strings.ContainsAny(s, ".eEdD") {
		f /= math.Pow10(c.decimals)
	}
	v.Floats[i] = c.scaled(f)
	return nil
}

// heap says where the array of variable length lies that a row's descriptor names, and its length in bytes; 0 for none.
func (t *Table) heap(row []byte, column int) (at, length int64, err error) {
	c := &t.Columns[column]
	if c.count == 0 {
		return 0, 0, nil
	}
	var n, offset int64
	switch c.letter {
	case 'P':
		n, offset = int64(binary.BigEndian.Uint32(row[c.at:])), int64(binary.BigEndian.Uint32(row[c.at+4:]))
	case 'Q':
		n, offset = int64(binary.BigEndian.Uint64(row[c.at:])), int64(binary.BigEndian.Uint64(row[c.at+8:]))
	default:
		return 0, 0, damaged("the column %.40q does not point to compressed data", c.Name)
	}
	size := map[byte]int64{'B': 1, 'A': 1, 'L': 1, 'I': 2, 'J': 4, 'E': 4, 'K': 8, 'D': 8}[c.element]
	start := t.width * t.h.axes[1]
	if v, ok := t.h.Header.Int("THEAP"); ok {
		if v < start {
			return 0, 0, damaged("its heap begins within its table")
		}
		start = v
	}
	if size == 0 || n < 0 || offset < 0 || start > t.h.bytes || offset > t.h.bytes-start || n > (t.h.bytes-start-offset)/size {
		return 0, 0, damaged("compressed data of the column %.40q are outside the file's heap", c.Name)
	}
	return t.h.data + start + offset, n * size, nil
}
