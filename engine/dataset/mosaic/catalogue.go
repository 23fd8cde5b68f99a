package mosaic

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/fits"
	"anomalymatch/engine/dataset/parquet"
	"anomalymatch/engine/dataset/raw"
)

const (
	blockRows  = 1024
	maxRecord  = 1 << 20 // bytes of a row of text
	maxColumns = 10_000
)

// table is a catalogue: rows in blocks, numbered from 0.
type table interface {
	columns() []string
	blocks(ctx context.Context) (int64, error)
	find(row int64) int64 // the block of a row; blocks was called
	// block reads columns of a block. The rows of a block are first, first+1 …
	block(ctx context.Context, k int64, columns []int) (first int64, values []values, err error)
	Close() error
}

// values are those of one column in one block.
type values struct {
	n      int
	number func(i int) float64 // NaN: none
	text   func(i int) string
}

func texts(t []string) values {
	return values{len(t), func(i int) float64 {
		f, err := strconv.ParseFloat(strings.TrimSpace(t[i]), 64)
		if err != nil {
			return math.NaN()
		}
		return f
	}, func(i int) string { return strings.TrimSpace(t[i]) }}
}

// The usual names of columns, the most telling first, without regard to case.
var (
	idNames  = []string{"object_id", "source_id", "objid", "id", "object", "name", "designation", "number", "target_id", "cat_id", "segment_id"}
	raNames  = []string{"ra", "right_ascension", "ra_deg", "ra_icrs", "raj2000", "_raj2000", "alpha_j2000", "alphawin_j2000", "ra_j2000", "ramean"}
	decNames = []string{"dec", "declination", "dec_deg", "de_icrs", "dej2000", "_dej2000", "delta_j2000", "deltawin_j2000", "dec_j2000", "decmean"}
	xNames   = []string{"x", "x_image", "xwin_image", "xcentroid", "x_pix"}
	yNames   = []string{"y", "y_image", "ywin_image", "ycentroid", "y_pix"}
)

// objects is a catalogue of which the columns that count are known.
type objects struct {
	table
	path       string
	size, time int64
	file       *os.File

	sky      bool
	origin   int
	names    []string // of the columns at hand: position, and what there is of size
	at       []int    // those columns
	id       int      // -1: none
	arcsec   bool     // of the sizes
	perSize  bool     // there is a column of sizes
	recently *array.Cache[int64, positions]
}

// positions of the objects of a block.
type positions struct {
	first int64
	p     []position
}

// position is where an object is: RA and Dec in degrees, or x and y from 0.
type position struct {
	a, b float64
	size size
}

func (m *Mosaic) openCatalogue(name, hdu string) (*objects, error) {
	name = m.at(name)
	o := &objects{path: name, id: -1}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is no regular file")
	}
	if o.file, err = os.Open(name); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	o.size, o.time = info.Size(), info.ModTime().UnixNano()
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".csv", ".tsv", ".txt", ".ecsv":
		o.table, err = openText(o.file, o.size)
	case ".parquet":
		o.table, err = openParquet(o.file, o.size)
	case ".fits", ".fit", ".fts":
		o.table, err = openTable(o.file, o.size, hdu, m.limits)
	default:
		err = fmt.Errorf("is of the kind %.20q, which is not read: csv, tsv, ecsv, parquet and fits are", ext)
	}
	if err == nil {
		err = o.choose(m)
	}
	if err != nil {
		o.file.Close()
		return nil, err
	}
	o.recently = array.NewCache[int64, positions](32 << 20)
	return o, nil
}

// choose finds the columns.
func (o *objects) choose(m *Mosaic) error {
	all := o.columns()
	find := func(name string) int { // exactly, or without regard to case
		found := -1
		for i, c := range all {
			if c == name {
				return i
			}
			if found < 0 && strings.EqualFold(c, name) {
				found = i
			}
		}
		return found
	}
	usual := func(names []string) int {
		for _, name := range names {
			if i := find(name); i >= 0 {
				return i
			}
		}
		return -1
	}
	named := func(what, name string, names []string) (int, error) {
		if name == "" {
			return usual(names), nil
		}
		if i := find(name); i >= 0 {
			return i, nil
		}
		return -1, fmt.Errorf("has no column %.60q (setting %s): it has %s", name, what, some(all))
	}
	var a, b int
	var err error
	take := func(what, name string, names []string) (i int) {
		if err == nil {
			i, err = named(what, name, names)
		}
		return i
	}
	o.id = take("id", m.ID, idNames)
	if m.X == "" {
		a, b = take("ra", m.RA, raNames), take("dec", m.Dec, decNames)
		o.sky = a >= 0 && b >= 0
	}
	if !o.sky {
		a, b = take("x", m.X, xNames), take("y", m.Y, yNames)
	}
	switch {
	case err != nil:
		return err
	case a < 0 || b < 0:
		return fmt.Errorf("has no columns of positions that are known by name: name them, ra = and dec =, or x = and y =; it has %s", some(all))
	}
	o.at = []int{a, b}
	switch {
	case m.Origin != nil:
		o.origin = *m.Origin
	case !o.sky && strings.HasSuffix(strings.ToLower(all[a]), "_image"):
		o.origin = 1
	}
	if m.SizeColumn != "" {
		i := find(m.SizeColumn)
		if i < 0 {
			return fmt.Errorf("has no column %.60q (setting size_column): it has %s", m.SizeColumn, some(all))
		}
		o.at, o.perSize, o.arcsec = append(o.at, i), true, m.SizeUnit == "arcsec"
	}
	for _, i := range o.at {
		o.names = append(o.names, all[i])
	}
	return nil
}

// some names a few columns.
func some(names []string) string {
	var out []string
	for _, n := range names[:min(len(names), 8)] {
		out = append(out, fmt.Sprintf("%.40q", n))
	}
	if len(names) > 8 {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}

func (o *objects) Close() error { return errors.Join(o.table.Close(), o.file.Close()) }

// withID are the columns at hand and that of the ids behind them.
func (o *objects) withID() []int {
	if o.id < 0 {
		return o.at
	}
	return append(o.at[:len(o.at):len(o.at)], o.id)
}

// same says what became of the file.
func (o *objects) same() error {
	info, err := os.Stat(o.path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the catalogue cannot be read any more: %w", ErrFile, cause(err))
	case info.Size() != o.size || info.ModTime().UnixNano() != o.time:
		return fmt.Errorf("%w: the catalogue changed while it was in use: stop the engine and start it again", ErrFile)
	}
	return nil
}

// positionsOf makes positions of the columns at o.at.
func (o *objects) positionsOf(first int64, v []values, otherwise size) positions {
	out := positions{first, make([]position, v[0].n)}
	for i := range out.p {
		p := position{v[0].number(i), v[1].number(i), otherwise}
		if !o.sky {
			p.a, p.b = p.a-float64(o.origin), p.b-float64(o.origin)
		}
		if o.perSize {
			p.size = size{v[2].number(i), o.arcsec}
		}
		out.p[i] = p
	}
	return out
}

// position of one row.
func (o *objects) position(ctx context.Context, row int64, otherwise size) (position, error) {
	if _, err := o.blocks(ctx); err != nil {
		return position{}, err
	}
	k := o.find(row)
	if k < 0 {
		return position{}, errors.New("is not in the catalogue any more")
	}
	b, err := o.recently.Get(k, func() (positions, int64, error) {
		first, v, err := o.block(ctx, k, o.at)
		if err != nil {
			return positions{}, 0, err
		}
		p := o.positionsOf(first, v, otherwise)
		return p, 40 * int64(len(p.p)), nil
	})
	if err != nil {
		return position{}, err
	}
	if i := row - b.first; i >= 0 && i < int64(len(b.p)) {
		return b.p[i], nil
	}
	return position{}, errors.New("is not in the catalogue any more")
}

// textTable is a catalogue of lines: CSV, or with tabs or semicolons. Its rows are found again by where every 1024th begins.
type textTable struct {
	r     io.ReaderAt
	size  int64
	names []string
	comma rune
	begin int64 // of the first row

	mu     sync.Mutex
	rows   []int64 // the first row of each block, and the number of all
	starts []int64 // where it begins, and the end
}

func openText(r io.ReaderAt, size int64) (*textTable, error) {
	t := &textTable{r: r, size: size}
	in := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), maxRecord)
	for { // comments, as ECSV has them, and empty lines
		line, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			return nil, fmt.Errorf("has a line of more than %d bytes", maxRecord)
		}
		t.begin += int64(len(line))
		text := strings.TrimPrefix(strings.TrimSpace(string(line)), "\ufeff")
		if text != "" && text[0] != '#' {
			t.comma = ','
			for _, c := range []rune{'\t', ';', '|'} {
				if strings.Count(text, string(c)) > strings.Count(text, string(t.comma)) {
					t.comma = c
				}
			}
			c := csv.NewReader(strings.NewReader(text))
			c.Comma = t.comma
			names, err := c.Read()
			if err != nil || len(names) > maxColumns {
				return nil, errors.New("has a first line that names no columns")
			}
			if len(names) == 1 {
				return nil, fmt.Errorf("has one column, %.60q: commas, tabs or semicolons divide the columns, and the first line names them", names[0])
			}
			for _, n := range names {
				t.names = append(t.names, strings.TrimSpace(n))
			}
			return t, nil
		}
		if err != nil {
			return nil, errors.New("is empty")
		}
	}
}

func (t *textTable) columns() []string { return t.names }
func (t *textTable) Close() error      { return nil }

// blocks finds where rows begin, in one pass.
func (t *textTable) blocks(ctx context.Context) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.starts != nil {
		return int64(len(t.starts) - 1), nil
	}
	var rows, starts []int64
	buf := make([]byte, 1<<20)
	row, begins := int64(0), t.begin
	quoted, empty, comment, first := false, true, false, true // of the row at hand
	for at := t.begin; at < t.size; {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := t.r.ReadAt(buf[:min(int64(len(buf)), t.size-at)], at)
		if n == 0 {
			return 0, fmt.Errorf("cannot be read: %w", cause(err))
		}
		for b := buf[:n]; len(b) > 0; {
			if first { // of a row: does it count?
				first, comment, empty = false, b[0] == '#', true
			}
			k := bytes.IndexByte(b, '\n')
			part := b
			if k >= 0 {
				part = b[:k+1]
			}
			if !comment {
				if bytes.Count(part, []byte{'"'})%2 == 1 {
					quoted = !quoted
				}
				empty = empty && len(bytes.TrimRight(part, "\r\n")) == 0
			}
			b, at = b[len(part):], at+int64(len(part))
			if at-begins > maxRecord {
				return 0, fmt.Errorf("has a row of more than %d bytes, row %d: is a quote missing?", maxRecord, row+1)
			}
			if k < 0 || quoted {
				continue
			}
			if !comment && !empty {
				if row%blockRows == 0 {
					rows, starts = append(rows, row), append(starts, begins)
				}
				row++
			}
			begins, first = at, true
		}
	}
	if !first && quoted {
		return 0, errors.New("has a quote that does not end")
	}
	if !first && !comment && !empty { // the last line has no end
		if row%blockRows == 0 {
			rows, starts = append(rows, row), append(starts, begins)
		}
		row++
	}
	t.rows, t.starts = append(rows, row), append(starts, t.size)
	return int64(len(t.starts) - 1), nil
}

func (t *textTable) find(row int64) int64 {
	if row < 0 || row >= t.rows[len(t.rows)-1] {
		return -1
	}
	return int64(sort.Search(len(t.rows)-1, func(i int) bool { return t.rows[i+1] > row }))
}

func (t *textTable) block(ctx context.Context, k int64, columns []int) (int64, []values, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	b := make([]byte, t.starts[k+1]-t.starts[k])
	if n, err := t.r.ReadAt(b, t.starts[k]); n < len(b) {
		return 0, nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	c := csv.NewReader(bytes.NewReader(b))
	c.Comma, c.Comment, c.FieldsPerRecord, c.ReuseRecord = t.comma, '#', -1, true
	first, n := t.rows[k], t.rows[k+1]-t.rows[k]
	out := make([][]string, len(columns))
	for row := int64(0); ; row++ {
		record, err := c.Read()
		if err == io.EOF {
			if row != n {
				return 0, nil, fmt.Errorf("has quotes that make no sense near row %d", first+row+1)
			}
			break
		}
		if err != nil || row >= n {
			return 0, nil, fmt.Errorf("has a row that is no CSV, row %d: is a quote missing?", first+row+1)
		}
		for i, col := range columns {
			text := ""
			if col < len(record) {
				text = strings.Clone(record[col])
			}
			out[i] = append(out[i], text)
		}
	}
	v := make([]values, len(columns))
	for i := range v {
		v[i] = texts(out[i])
	}
	return first, v, nil
}

// parquetTable is a catalogue in Parquet.
type parquetTable struct {
	t    *parquet.Table
	cols []*parquet.Column
}

func openParquet(r io.ReaderAt, size int64) (*parquetTable, error) {
	t, err := parquet.OpenTable(r, size, array.Options{})
	if err != nil {
		return nil, err
	}
	return &parquetTable{t, t.Columns()}, nil
}

func (t *parquetTable) columns() (names []string) {
	for _, c := range t.cols {
		names = append(names, c.Name)
	}
	return names
}
func (t *parquetTable) Close() error { return nil }
func (t *parquetTable) blocks(context.Context) (int64, error) {
	return (t.t.Rows() + blockRows - 1) / blockRows, nil
}
func (t *parquetTable) find(row int64) int64 { return evenly(row, t.t.Rows()) }

// evenly is find where all blocks are full.
func evenly(row, rows int64) int64 {
	if row < 0 || row >= rows {
		return -1
	}
	return row / blockRows
}

func (t *parquetTable) block(ctx context.Context, k int64, columns []int) (int64, []values, error) {
	first := k * blockRows
	n := int(min(blockRows, t.t.Rows()-first))
	out := make([]values, len(columns))
	for i, c := range columns {
		all := make([]parquet.Value, 0, n)
		for v, err := range t.cols[c].Values(ctx, first) {
			if err != nil {
				return 0, nil, err
			}
			if all = append(all, v); len(all) == n {
				break
			}
		}
		if len(all) < n {
			return 0, nil, errors.New("is damaged: a column ends too early")
		}
		out[i] = values{n, func(i int) float64 {
			if f, ok := all[i].Float(); ok {
				return f
			}
			f, err := strconv.ParseFloat(strings.TrimSpace(all[i].String()), 64)
			if err != nil {
				return math.NaN()
			}
			return f
		}, func(i int) string { return strings.TrimSpace(all[i].String()) }}
	}
	return first, out, nil
}

// fitsTable is a catalogue in a FITS table.
type fitsTable struct{ t *fits.Table }

func openTable(r io.ReaderAt, size int64, hdu string, limits raw.Limits) (*fitsTable, error) {
	if err := refusePacked(r); err != nil {
		return nil, err
	}
	f, err := fits.Open(r, size, limits)
	if err != nil {
		return nil, err
	}
	t, err := f.FindTable(hdu)
	if err != nil {
		return nil, err
	}
	return &fitsTable{t}, nil
}

func (t *fitsTable) columns() (names []string) {
	for _, c := range t.t.Columns {
		name := c.Name
		if c.Type == fits.None {
			name = "" // cannot be read
		}
		names = append(names, name)
	}
	return names
}
func (t *fitsTable) Close() error { return nil }
func (t *fitsTable) blocks(context.Context) (int64, error) {
	return (t.t.Rows + blockRows - 1) / blockRows, nil
}
func (t *fitsTable) find(row int64) int64 { return evenly(row, t.t.Rows) }

func (t *fitsTable) block(ctx context.Context, k int64, columns []int) (int64, []values, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	first := k * blockRows
	n := min(blockRows, t.t.Rows-first)
	read, err := t.t.Read(first, n, columns...)
	if err != nil {
		return 0, nil, err
	}
	out := make([]values, len(columns))
	for i, v := range read {
		out[i] = values{int(n), v.Float, func(i int) string { return strings.TrimSpace(v.String(i)) }}
	}
	return first, out, nil
}
