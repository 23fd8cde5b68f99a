package parquet

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/snappy"
	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// Table is a Parquet file as a table of columns. All methods may be called from many goroutines.
type Table struct {
	r       io.ReaderAt
	size    int64
	o       array.Options
	meta    *format.FileMetaData
	file    *pq.File
	first   []int64 // the first row of each row group, and the number of all rows
	columns []*Column

	pages   *array.Cache[pageKey, *page]
	indexes *array.Cache[pageKey, []pageAt]
	dicts   *array.Cache[pageKey, []byte]
}

// OpenTable reads the metadata of a Parquet file of size bytes. r must stay open as long as the table is read.
func OpenTable(r io.ReaderAt, size int64, o array.Options) (t *Table, err error) {
	defer recovered(&err)
	t = &Table{r: r, size: size, o: o.Or()}
	if t.meta, err = readFooter(r, size); err != nil {
		return nil, err
	}
	if t.file, err = openLibrary(t.meta); err != nil {
		return nil, err
	}
	rows := int64(0)
	for _, g := range t.meta.RowGroups {
		t.first = append(t.first, rows)
		rows += g.NumRows
	}
	t.first = append(t.first, rows)
	t.pages = array.NewCache[pageKey, *page](t.o.Cache)
	t.indexes = array.NewCache[pageKey, []pageAt](max(1<<20, t.o.Cache/8))
	t.dicts = array.NewCache[pageKey, []byte](max(1<<20, t.o.Cache/8))
	var leaves func(c *pq.Column)
	leaves = func(c *pq.Column) {
		if c.Leaf() {
			t.columns = append(t.columns, &Column{table: t, Name: strings.Join(c.Path(), "."), path: c.Path(), leaf: c, kind: c.Type().Kind()})
		}
		for _, child := range c.Columns() {
			leaves(child)
		}
	}
	leaves(t.file.Root())
	for _, c := range t.columns {
		c.describe()
	}
	return t, nil
}

// Rows is the number of rows.
func (t *Table) Rows() int64 { return t.first[len(t.first)-1] }

// Columns are the columns that hold a value a row (or none), in the order of the file. A field of a structure is called "image.path". Lists are left out.
func (t *Table) Columns() []*Column {
	var out []*Column
	for _, c := range t.columns {
		if c.leaf.MaxRepetitionLevel() == 0 {
			out = append(out, c)
		}
	}
	return out
}

// Column returns a column by its name, nil where there is none.
func (t *Table) Column(name string) *Column {
	for _, c := range t.Columns() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Kind is what the values of a column are.
type Kind int

const (
	Text Kind = iota
	Integer
	Float
	Bool
	Time
	Binary
)

// Column is one column of a table.
type Column struct {
	Name string
	Kind Kind

	table *Table
	path  []string
	leaf  *pq.Column
	kind  pq.Kind
	scale float64       // of decimals: what a stored integer is divided by; 0 for others
	tick  time.Duration // of times
	day   bool
	sign  bool // integers without a sign where false
}

func (c *Column) describe() {
	logical := c.leaf.Type().LogicalType()
	c.sign = true
	switch c.kind {
	case pq.Boolean:
		c.Kind = Bool
	case pq.Int32, pq.Int64:
		c.Kind = Integer
	case pq.Int96:
		c.Kind = Time
	case pq.Float, pq.Double:
		c.Kind = Float
	default:
		c.Kind = Binary
	}
	if logical == nil {
		return
	}
	switch l := logical.Value.(type) {
	case *format.StringType, *format.EnumType, *format.JsonType:
		if c.kind == pq.ByteArray {
			c.Kind = Text
		}
	case *format.IntType:
		c.sign = l.IsSigned
	case *format.DecimalType:
		if c.kind == pq.Int32 || c.kind == pq.Int64 || c.kind == pq.FixedLenByteArray {
			c.Kind, c.scale = Float, math.Pow10(int(l.Scale))
		}
	case *format.DateType:
		if c.kind == pq.Int32 {
			c.Kind, c.day = Time, true
		}
	case *format.TimestampType:
		if c.kind == pq.Int64 {
			c.Kind, c.tick = Time, time.Nanosecond
			switch l.Unit.Value.(type) {
			case *format.MilliSeconds:
				c.tick = time.Millisecond
			case *format.MicroSeconds:
				c.tick = time.Microsecond
			}
		}
	}
}

// Value is one value of a column.
type Value struct {
	v pq.Value
	c *Column
}

// Null says that there is no value.
func (v Value) Null() bool { return v.c == nil || v.v.IsNull() }

// Float is the value as a number; ok is false for nulls and for what is no number. Times are seconds since 1970.
func (v Value) Float() (f float64, ok bool) {
	if v.Null() {
		return 0, false
	}
	switch v.c.kind {
	case pq.Boolean:
		if v.v.Boolean() {
			f = 1
		}
		return f, true
	case pq.Float:
		return float64(v.v.Float()), true
	case pq.Double:
		return v.v.Double(), true
	case pq.Int32, pq.Int64:
		i := v.integer()
		switch {
		case v.c.scale != 0:
			return float64(i) / v.c.scale, true
		case v.c.day:
			return float64(i) * 86400, true
		case v.c.tick != 0:
			return float64(i) * v.c.tick.Seconds(), true
		case !v.c.sign:
			return float64(uint64(i)), true
		}
		return float64(i), true
	case pq.FixedLenByteArray: // a decimal: an integer of any size, the high byte first
		if v.c.scale == 0 {
			return 0, false
		}
		for i, b := range v.v.ByteArray() {
			if i == 0 {
				f = float64(int8(b))
			} else {
				f = f*256 + float64(b)
			}
		}
		return f / v.c.scale, true
	}
	return 0, false
}

func (v Value) integer() int64 {
	if v.c.kind == pq.Int32 {
		if !v.c.sign {
			return int64(uint32(v.v.Int32()))
		}
		return int64(v.v.Int32())
	}
	return v.v.Int64()
}

// Bytes are those of text and binary values, which nobody may change; nil for others.
func (v Value) Bytes() []byte {
	if v.Null() || v.c.kind != pq.ByteArray && v.c.kind != pq.FixedLenByteArray {
		return nil
	}
	return v.v.ByteArray()
}

// String is the value for people and as a name: integers with all their digits, times as in RFC 3339, "" for null. Text may hold anything.
func (v Value) String() string {
	if v.Null() {
		return ""
	}
	switch v.c.Kind {
	case Text:
		return string(v.Bytes())
	case Bool:
		return strconv.FormatBool(v.v.Boolean())
	case Integer:
		if i := v.integer(); v.c.sign {
			return strconv.FormatInt(i, 10)
		} else {
			return strconv.FormatUint(uint64(i), 10)
		}
	case Float:
		f, _ := v.Float()
		if v.c.kind == pq.Float {
			return strconv.FormatFloat(f, 'g', -1, 32)
		}
		return strconv.FormatFloat(f, 'g', -1, 64)
	case Time:
		switch {
		case v.c.day:
			return time.Unix(v.integer()*86400, 0).UTC().Format(time.DateOnly)
		case v.c.tick != 0:
			i, per := v.integer(), int64(time.Second/v.c.tick)
			return time.Unix(i/per, i%per*int64(v.c.tick)).UTC().Format(time.RFC3339Nano)
		}
		n := v.v.Int96() // nanoseconds of a day, and the Julian day
		return time.Unix((int64(n[2])-2440588)*86400, int64(uint64(n[1])<<32|uint64(n[0]))).UTC().Format(time.RFC3339Nano)
	}
	if b := v.Bytes(); utf8.Valid(b) {
		return string(b)
	}
	return hex.EncodeToString(v.Bytes())
}

// Values reads a column from a row on. An error ends it.
func (c *Column) Values(ctx context.Context, from int64) iter.Seq2[Value, error] {
	return func(yield func(Value, error) bool) {
		for row := max(0, from); row < c.table.Rows(); {
			if err := ctx.Err(); err != nil {
				yield(Value{}, err)
				return
			}
			p, i, err := c.table.at(c, row)
			if err != nil {
				yield(Value{}, err)
				return
			}
			for _, v := range p.values[i:] {
				if row++; !yield(Value{v, c}, nil) {
					return
				}
			}
		}
	}
}

// At reads the value of one row.
func (c *Column) At(ctx context.Context, row int64) (Value, error) {
	if err := ctx.Err(); err != nil {
		return Value{}, err
	}
	if row < 0 || row >= c.table.Rows() {
		return Value{}, fmt.Errorf("is not there: the table has %d rows", c.table.Rows())
	}
	p, i, err := c.table.at(c, row)
	if err != nil {
		return Value{}, err
	}
	return Value{p.values[i], c}, nil
}

// pageKey names a page: its row group, its column and its place in the file; a dictionary and an index of pages have the place -1.
type pageKey struct {
	group, column int
	at            int64
}

// page is a decoded page.
type page struct{ values []pq.Value }

// pageAt is where a page is, and what its header says.
type pageAt struct {
	at     int64 // of its bytes, behind its header
	row    int64 // its first one in the row group
	header *format.PageHeader
}

// at finds the page that has a row.
func (t *Table) at(c *Column, row int64) (*page, int64, error) {
	group := sort.Search(len(t.first)-1, func(i int) bool { return t.first[i+1] > row })
	column := int(c.leaf.Index())
	row -= t.first[group]
	pages, err := t.index(group, column)
	if err != nil {
		return nil, 0, err
	}
	i := sort.Search(len(pages), func(i int) bool { return pages[i].row > row }) - 1
	for i > 0 && pages[i].header.Type == format.DictionaryPage {
		i--
	}
	if i < 0 || pages[i].header.Type == format.DictionaryPage {
		return nil, 0, damaged("the column %.60q has fewer rows than the table", c.Name)
	}
	at := pages[i]
	p, err := t.pages.Get(pageKey{group, column, at.at}, func() (*page, int64, error) {
		return t.decode(c, group, pages, at)
	})
	if err != nil {
		return nil, 0, err
	}
	if row -= at.row; row >= int64(len(p.values)) {
		return nil, 0, damaged("the column %.60q has fewer rows than the table", c.Name)
	}
	return p, row, nil
}

const maxPages = 1 << 20 // of one column in one row group

// index walks the headers of the pages of a column in a row group.
func (t *Table) index(group, column int) ([]pageAt, error) {
	return t.indexes.Get(pageKey{group, column, -1}, func() ([]pageAt, int64, error) {
		g := &t.meta.RowGroups[group]
		m := &g.Columns[column].MetaData
		at := m.DataPageOffset
		if d := m.DictionaryPageOffset; d > 0 && d < at {
			at = d
		}
		if at < 4 || m.TotalCompressedSize < 0 || m.TotalCompressedSize > t.size-at {
			return nil, 0, damaged("a column lies behind its end")
		}
		end := at + m.TotalCompressedSize
		var out []pageAt
		row, size := int64(0), int64(0)
		for at < end && row < g.NumRows {
			header, n, err := t.header(at, end)
			if err != nil {
				return nil, 0, err
			}
			at += n
			rows, err := t.check(header, end-at)
			if err != nil {
				return nil, 0, err
			}
			if len(out) >= maxPages {
				return nil, 0, raw.Limitf("has more than %d pages in a row group", maxPages)
			}
			if rows >= 0 {
				out = append(out, pageAt{at, row, header})
				row, size = row+rows, size+256
			}
			at += int64(header.CompressedPageSize)
		}
		return out, size, nil
	})
}

// header reads a page's header, and says how many bytes it has.
func (t *Table) header(at, end int64) (h *format.PageHeader, n int64, err error) {
	for _, window := range []int64{1 << 10, 1 << 20} {
		b := make([]byte, min(window, end-at))
		if err := readFull(t.r, b, at); err != nil {
			return nil, 0, err
		}
		w := walker{b: b, structs: 64}
		if w.structure(0); w.bad {
			if int64(len(b)) == end-at {
				break
			}
			continue // longer than that, with statistics
		}
		b = b[:len(b)-len(w.b)]
		h = new(format.PageHeader)
		var p thrift.CompactProtocol
		if err := thrift.NewDecoder(p.NewReaderFromBytes(b)).Decode(h); err != nil {
			break
		}
		return h, int64(len(b)), nil
	}
	return nil, 0, damaged("the header of a page makes no sense")
}

// check checks a header against the limits and what is left of its column. rows is -1 for pages that are of no interest, 0 for dictionaries.
func (t *Table) check(h *format.PageHeader, left int64) (rows int64, err error) {
	size, stored := int64(h.UncompressedPageSize), int64(h.CompressedPageSize)
	if size < 0 || stored < 0 || stored > left {
		return 0, damaged("a page lies behind the end of its column")
	}
	if err := t.o.CheckChunk(max(size, stored)); err != nil {
		return 0, err
	}
	switch h.Type {
	case format.DataPage:
		rows = int64(h.DataPageHeader.V.NumValues)
		if !h.DataPageHeader.Valid {
			rows = -1
		}
	case format.DataPageV2:
		v := h.DataPageHeaderV2.V
		rows = int64(v.NumValues)
		if levels := int64(v.RepetitionLevelsByteLength) + int64(v.DefinitionLevelsByteLength); !h.DataPageHeaderV2.Valid || v.RepetitionLevelsByteLength < 0 ||
			v.DefinitionLevelsByteLength < 0 || levels > stored || levels > size || v.NumNulls < 0 || v.NumNulls > v.NumValues {
			rows = -1
		}
	case format.DictionaryPage:
		n := int64(h.DictionaryPageHeader.V.NumValues)
		if !h.DictionaryPageHeader.Valid || n < 0 || n > 8*size {
			return 0, damaged("a dictionary makes no sense")
		}
		return 0, nil
	default:
		return -1, nil
	}
	if rows < 0 {
		return 0, damaged("a page makes no sense")
	}
	return rows, t.o.CheckChunk(32 * rows) // what its values take, whatever they are
}

// bytes reads and decompresses a page.
func (t *Table) bytes(p pageAt, codec format.CompressionCodec) ([]byte, error) {
	h := p.header
	b := make([]byte, h.CompressedPageSize)
	if err := readFull(t.r, b, p.at); err != nil {
		return nil, err
	}
	size := int(h.UncompressedPageSize)
	var levels []byte // of a page of version 2, never compressed
	if h.Type == format.DataPageV2 {
		v := h.DataPageHeaderV2.V
		n := int(v.RepetitionLevelsByteLength + v.DefinitionLevelsByteLength)
		levels, b = b[:n], b[n:]
		size -= n
		if c := v.IsCompressed; c.Valid && !c.V {
			codec = format.Uncompressed
		}
	}
	out, err := b, error(nil)
	switch codec {
	case format.Uncompressed:
	case format.Snappy:
		n := 0
		if n, err = snappy.DecodedLen(b); err == nil && n == size {
			out, err = snappy.Decode(nil, b)
		}
	case format.Gzip:
		out, err = array.Gzip(b, int64(size))
	case format.Zstd:
		out, err = array.Zstd(b, int64(size))
	case format.Lz4Raw:
		out = make([]byte, size)
		n := 0
		if n, err = lz4.UncompressBlock(b, out); err == nil {
			out = out[:n]
		}
	default:
		return nil, fmt.Errorf("is compressed by %s, which is not read: Snappy, gzip, Zstandard and LZ4_RAW are", codec)
	}
	if size == 0 && len(b) == 0 {
		out, err = nil, nil
	}
	if err != nil || len(out) != size {
		return nil, damaged("a page cannot be decompressed (%s)", codec)
	}
	if levels != nil {
		out = append(append(make([]byte, 0, len(levels)+len(out)), levels...), out...)
	}
	return out, nil
}

// shown is a page as the view shows it: with a header that says that it is not compressed.
func shown(out []byte, h format.PageHeader, b []byte) ([]byte, error) {
	h.CompressedPageSize, h.UncompressedPageSize, h.CRC = int32(len(b)), int32(len(b)), 0
	if h.Type == format.DataPageV2 {
		h.DataPageHeaderV2.V.IsCompressed = thrift.Null[bool]{V: false, Valid: true}
		h.DataPageHeaderV2.V.Statistics = format.Statistics{}
	}
	if h.Type == format.DataPage {
		h.DataPageHeader.V.Statistics = format.Statistics{}
	}
	var p thrift.CompactProtocol
	header, err := thrift.Marshal(&p, &h)
	if err != nil {
		return nil, damaged("the header of a page makes no sense")
	}
	return append(append(out, header...), b...), nil
}

// decode makes the values of a page, and says how many bytes they take.
func (t *Table) decode(c *Column, group int, pages []pageAt, at pageAt) (out *page, size int64, err error) {
	column := int(c.leaf.Index())
	codec := t.meta.RowGroups[group].Columns[column].MetaData.Codec
	var b []byte
	for _, d := range pages {
		if d.header.Type != format.DictionaryPage {
			continue
		}
		if e := d.header.DictionaryPageHeader.V.Encoding; e != format.Plain && e != format.PlainDictionary {
			return nil, 0, fmt.Errorf("has a dictionary in the encoding %s, which is not read", e)
		}
		dict, err := t.dicts.Get(pageKey{group, column, -1}, func() ([]byte, int64, error) {
			dict, err := t.bytes(d, codec)
			return dict, int64(len(dict)), err
		})
		if err != nil {
			return nil, 0, err
		}
		if b, err = shown(b, *d.header, dict); err != nil {
			return nil, 0, err
		}
		break // a column has at most one
	}
	data, err := t.bytes(at, codec)
	if err != nil {
		return nil, 0, err
	}
	if err := checkPage(at.header, data, c.leaf.MaxDefinitionLevel(), c.kind == pq.Boolean, t.o.MaxChunk); err != nil {
		return nil, 0, err
	}
	if b, err = shown(b, *at.header, data); err != nil {
		return nil, 0, err
	}
	defer recovered(&err)
	chunk, ok := t.file.RowGroups()[group].ColumnChunks()[column].(*pq.FileColumnChunk)
	if !ok {
		return nil, 0, errors.New("cannot be read")
	}
	from := chunk.PagesFrom(view{viewAt, b})
	defer from.Close()
	p, err := from.ReadPage()
	if err != nil {
		return nil, 0, damaged("a page cannot be decoded")
	}
	// The page is not released: the values point into it.
	out = &page{values: make([]pq.Value, p.NumValues())}
	n, err := p.Values().ReadValues(out.values)
	if n < len(out.values) || err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, damaged("a page cannot be decoded")
	}
	for i := range out.values { // looked at once here, where a panic is caught
		if v := &out.values[i]; !v.IsNull() && (v.Kind() == pq.ByteArray || v.Kind() == pq.FixedLenByteArray) {
			_ = v.ByteArray()
		}
	}
	return out, int64(len(b)) + 24*int64(len(out.values)), nil
}
