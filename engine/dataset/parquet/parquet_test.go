package parquet

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func table(t testing.TB, name string) *Table {
	t.Helper()
	b := arraytest.Samples(t, name, 1<<20)[name]
	table, err := OpenTable(bytes.NewReader(b), int64(len(b)), array.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestTable(t *testing.T) {
	want := map[string][]string{
		"source_id": {"9007199254740993", "-1", "0"}, // no float64
		"big":       {"18446744073709551615", "0", "1"},
		"small":     {"-3", "", "2"},
		"mag":       {"21.5", "", "NaN"},
		"z":         {"0.1", "-1e+300", ""},
		"flag":      {"true", "", "false"},
		"name":      {"NGC 1", "é", ""},
		"day":       {"2024-02-29", "", "1969-12-31"},
		"at":        {"2024-02-29T01:02:03.25Z", "", "1969-12-31T23:59:59Z"},
		"price":     {"12.25", "", "-0.5"}, // as an integer, or as bytes
		"sky.ra":    {"1.5", "", "0"},
		"sky.dec":   {"-2", "", "90"},
	}
	kinds := map[string]Kind{"source_id": Integer, "big": Integer, "small": Integer, "mag": Float, "z": Float, "flag": Bool, "name": Text, "day": Time, "at": Time,
		"price": Float, "sky.ra": Float, "sky.dec": Float}
	for _, name := range []string{"table.parquet", "table_plain.parquet"} {
		tab := table(t, name)
		if tab.Rows() != 3 {
			t.Errorf("%s: %d rows", name, tab.Rows())
		}
		for _, c := range tab.Columns() {
			if strings.HasPrefix(c.Name, "bands") {
				t.Error("a list is a column")
			}
			values, ok := want[c.Name]
			if !ok {
				continue
			}
			var got []string
			for v, err := range c.Values(context.Background(), 0) {
				if err != nil {
					t.Fatal(name, c.Name, err)
				}
				got = append(got, v.String())
			}
			if !slices.Equal(got, values) || c.Kind != kinds[c.Name] {
				t.Errorf("%s: %s of kind %d is %q, want %q of kind %d", name, c.Name, c.Kind, got, values, kinds[c.Name])
			}
			for row := range int64(3) {
				v, err := c.At(context.Background(), row)
				if err != nil || v.String() != values[row] || v.Null() != (values[row] == "" && row > 0) {
					t.Errorf("%s: %s of row %d is %q, %v", name, c.Name, row, v, err)
				}
			}
		}
		if c := tab.Column("mag"); c == nil {
			t.Error("there is no mag")
		} else if v, _ := c.At(context.Background(), 0); v.Null() {
			t.Error("mag is null")
		} else if f, ok := v.Float(); f != 21.5 || !ok {
			t.Error(f, ok)
		}
		if f, ok := first(t, tab, "name").Float(); ok {
			t.Error("a name is the number", f)
		}
		if f, ok := first(t, tab, "at").Float(); !ok || f != 1709168523.25 {
			t.Error("the time is", f)
		}
		if c := tab.NameColumn(); c == nil || c.Name != "name" {
			t.Errorf("the rows are named by %v", c)
		}
	}
}

func first(t testing.TB, tab *Table, name string) Value {
	v, err := tab.Column(name).At(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPagesAtAnyRow(t *testing.T) {
	for _, name := range []string{"pages_True.parquet", "pages_False.parquet"} {
		tab := table(t, name)
		mag := tab.Column("mag")
		n := tab.Rows()
		if n < 50 || len(tab.meta.RowGroups) < 2 {
			t.Fatalf("%s has %d rows in %d groups", name, n, len(tab.meta.RowGroups))
		}
		for i := range n {
			row := i * 37 % n
			v, err := mag.At(context.Background(), row)
			if f, ok := v.Float(); err != nil || !ok || f != float64(row)/8 {
				t.Errorf("%s: row %d is %v, %v", name, row, v, err)
			}
		}
		row := int64(45)
		for v, err := range mag.Values(context.Background(), row) {
			if f, _ := v.Float(); err != nil || f != float64(row)/8 {
				t.Fatalf("%s: row %d is %v, %v", name, row, v, err)
			}
			row++
		}
		if row != n {
			t.Errorf("%s: %d rows, want %d", name, row, n)
		}
		if _, err := mag.At(context.Background(), n); err == nil {
			t.Error("there is a row behind the last one")
		}
	}
}

// TestBombs opens footers that would cost the library more memory than there is.
func TestBombs(t *testing.T) {
	file := func(footer ...byte) []byte {
		b := append([]byte("PAR1"), footer...)
		return append(binary.LittleEndian.AppendUint32(b, uint32(len(footer))), "PAR1"...)
	}
	varint := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	huge := varint(math.MaxInt32)
	deep := []byte{0x15, 2, 0x19}
	deep = append(deep, 0xfc)
	deep = append(deep, varint(2_000)...)
	for range 2_000 { // a schema of groups within groups
		deep = append(deep, 0x48, 1, 'a', 0x15, 2, 0)
	}
	deep = append(deep, 0x16, 0, 0x19, 0x0c, 0)
	for name, b := range map[string][]byte{
		"list of columns":  file(append(append([]byte{0x15, 2, 0x19, 0xfc}, huge...), 0)...),
		"list in a list":   file(append(append([]byte{0x15, 2, 0x19, 0x1c, 0x19, 0xfc}, huge...), 0)...),
		"text":             file(append(append([]byte{0x15, 2, 0x68}, huge...), 0)...),
		"map":              file(append(append([]byte{0x1b}, huge...), 0x55)...),
		"nested":           file(bytes.Repeat([]byte{0x1c}, 100_000)...),
		"groups in groups": file(deep...),
		"nothing":          file(),
		"stop":             file(0),
		"long footer":      append(append([]byte("PAR1"), 0xff, 0xff, 0xff, 0x7f), "PAR1"...),
	} {
		before := arraytest.Allocated()
		if _, err := OpenTable(bytes.NewReader(b), int64(len(b)), array.Options{}); err == nil {
			t.Errorf("%s: it was opened", name)
		}
		if used := arraytest.Allocated() - before; used > 4<<20 {
			t.Errorf("%s: %d MB were used", name, used>>20)
		}
	}
}

func TestSaysWhat(t *testing.T) {
	for _, c := range []struct{ name, image, want string }{
		{"table_plain.parquet", "", "no column of images"},
		{"table_plain.parquet", "nope", `no column "nope"`},
		{"binary.parquet", "filename", "no bytes"},
		{"hf_brotli_1.0.parquet", "", "BROTLI"},
	} {
		b := arraytest.Samples(t, c.name, 1<<20)[c.name]
		m, err := Open(bytes.NewReader(b), int64(len(b)), array.Options{Images: c.image})
		if err == nil {
			_, err = m.Read(context.Background(), 0)
		}
		if err == nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestNamesBeside gives images of one file the names of another.
func TestNamesBeside(t *testing.T) {
	b := arraytest.Samples(t, "large.parquet", 1<<20)["large.parquet"]
	m, err := Open(bytes.NewReader(b), int64(len(b)), array.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := table(t, "table.parquet").NameColumn()
	if got := arraytest.Names(t, array.WithNames(m, c.Names)); !slices.Equal(got, []string{"NGC 1", "é", "", "", ""}) {
		t.Errorf("%q", got)
	}
}

// TestPageBombs asks for levels, indexes and lengths that the library would make room for.
func TestPageBombs(t *testing.T) {
	huge := binary.AppendUvarint(nil, 2*math.MaxInt32)
	packed := binary.AppendUvarint(nil, 2*(math.MaxInt32/8)+1)
	deltas := func(total uint64, values ...byte) []byte { // one block of one part of 128 values of 8 bits
		b := binary.AppendUvarint([]byte{0x80, 1, 1}, total)
		b = append(b, 0, 0, 8)
		return append(b, append(values, make([]byte, 128-len(values))...)...)
	}
	sized := func(b []byte) []byte { return append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...) }
	page := func(n int32, e format.Encoding) *format.PageHeader {
		h := &format.PageHeader{Type: format.DataPage}
		h.DataPageHeader = thrift.Null[format.DataPageHeader]{Valid: true, V: format.DataPageHeader{NumValues: n, Encoding: e, DefinitionLevelEncoding: format.RLE}}
		return h
	}
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for _, c := range []struct {
		name       string
		n          int32
		encoding   format.Encoding
		definition int
		b          []byte
		ok         bool
	}{
		{"levels", 10, format.Plain, 1, sized(join(huge, []byte{1})), false},
		{"packed levels", 10, format.Plain, 1, sized(join(packed, []byte{1})), false},
		{"right levels", 10, format.Plain, 1, sized([]byte{20, 1}), true},
		{"levels that are cut off", 10, format.Plain, 1, []byte{9, 0, 0, 0, 1}, false},
		{"indexes", 10, format.RLEDictionary, 0, join([]byte{1}, huge, []byte{0}), false},
		{"indexes of no bits", 10, format.RLEDictionary, 0, join([]byte{0}, packed), false},
		{"indexes of 33 bits", 10, format.RLEDictionary, 0, []byte{33, 2, 0}, false},
		{"right indexes", 10, format.RLEDictionary, 0, []byte{1, 20, 0}, true},
		{"truth", 10, format.RLE, 0, sized(join(huge, []byte{1})), false},
		{"differences", 10, format.DeltaBinaryPacked, 0, deltas(math.MaxInt32), false},
		{"right differences", 10, format.DeltaBinaryPacked, 0, deltas(10), true},
		{"lengths", 10, format.DeltaLengthByteArray, 0, deltas(11), false},
		{"beginnings", 10, format.DeltaByteArray, 0, join(deltas(10), deltas(math.MaxInt32)), false},
		{"shared beginnings", 100, format.DeltaByteArray, 0, join(deltas(100, 200, 200, 200, 200, 200), deltas(100)), false}, // 98 times up to 1000
		{"right beginnings", 10, format.DeltaByteArray, 0, join(deltas(10), deltas(10, 5)), true},
		{"bit packed", 10, format.BitPacked, 0, nil, false},
	} {
		err := checkPage(page(c.n, c.encoding), c.b, c.definition, true, 50_000)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
