package table

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/xml"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/fits"
	"anomalymatch/engine/dataset/parquet"
	"anomalymatch/engine/dataset/raw"
	payloads "anomalymatch/internal/hostile"
	"anomalymatch/internal/say"
)

// hostile are texts that mean something to some format or terminal.
var hostile = []string{
	"survey/plain.jpg", "", "a,b;c\td", `quote " and ' and ''`, "line\nbreak\r\n", "\x1b[31mred\x1b]0;title\a", "<script>alert(1)</script>&amp;]]>",
	"right \u202eot\u2066 left", "=1+1", "näme 星 🔭", "a\\u001b", "\xff\xfe", "nul\x00", "{brace}", "trailing  ", strings.Repeat("long ", 100),
}

func init() {
	for _, p := range payloads.Payloads {
		hostile = append(hostile, p.Text)
	}
}

// of is a table of one column of each kind.
func of(t *testing.T, ids []string) *Table {
	t.Helper()
	rank := Column{Name: "rank", Kind: Int}
	s := Column{Name: "score", Kind: Float32, About: "probability of anomaly"}
	z := Column{Name: "z", Kind: Float64, Unit: "deg", UCD: "pos.eq.ra"}
	n := Column{Name: "n <&'\"\n", Kind: Int}
	for i := range ids {
		rank.Ints = append(rank.Ints, int64(i)-1)
		s.Singles = append(s.Singles, float32(1)/float32(i+3))
		z.Doubles = append(z.Doubles, math.Pi*float64(i)*1e-7)
		n.Ints, n.Missing = append(n.Ints, int64(i)<<40), append(n.Missing, i%2 == 1)
	}
	if len(ids) > 2 {
		s.Singles[1], z.Doubles[2] = float32(math.NaN()), math.NaN()
	}
	made, err := New("candidates", []Fact{{"RANKEDBY", "fast"}, {"PROJECT", "rings' \x1b<&>"}}, rank, Column{Name: "id", Kind: Text, Texts: ids, UCD: "meta.id;meta.main"}, s, z, n)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func written(t *testing.T, f func(*Table) ([]byte, error), table *Table) []byte {
	t.Helper()
	b, err := f(table)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bytesOf(f Format) func(*Table) ([]byte, error) {
	return func(t *Table) ([]byte, error) {
		var b bytes.Buffer
		err := f.Write(&b, t)
		return b.Bytes(), err
	}
}

func TestEveryFormatIsTheSameTwice(t *testing.T) {
	for _, f := range formats {
		for _, ids := range [][]string{hostile, {}} {
			a, b := written(t, bytesOf(f), of(t, ids)), written(t, bytesOf(f), of(t, ids))
			if !bytes.Equal(a, b) {
				t.Errorf("%s of %d rows: the same table made other bytes", f.Name, len(ids))
			}
		}
	}
}

// TestNoControlCharacters: what is text can be printed on a terminal.
func TestNoControlCharacters(t *testing.T) {
	for _, f := range formats {
		b := written(t, bytesOf(f), of(t, hostile))
		if f.Name == "parquet" {
			continue
		}
		text := string(b)
		if f.Name == "fits" { // the headers and the column of texts; numbers are binary
			at := strings.Index(text, "END     ")
			text = text[:at]
		}
		for _, r := range text {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar) {
				t.Fatalf("%s holds %U", f.Name, r)
			}
		}
	}
}

func TestCSVRoundTrip(t *testing.T) {
	b := written(t, bytesOf(formats[0]), of(t, hostile))
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(hostile)+1 || strings.Count(string(b), "\n") != len(rows) {
		t.Fatalf("%d rows in %d lines", len(rows), strings.Count(string(b), "\n"))
	}
	for i, id := range hostile {
		if got := rows[i+1][1]; got != say.Cell(id) || payloads.Raw([]byte(got)) != nil {
			t.Errorf("id %q is %q", id, got)
		}
	}
	if got := rows[2]; got[2] != "" || got[4] != "" || rows[3][3] != "" {
		t.Errorf("missing values are %q and %q", got, rows[3])
	}
}

// TestFITSRoundTrip: our own reader finds what was written; bench/export.py asks astropy.
func TestFITSRoundTrip(t *testing.T) {
	want := of(t, hostile)
	b := written(t, bytesOf(formats[3]), want)
	if len(b)%block != 0 {
		t.Errorf("%d bytes are no blocks", len(b))
	}
	f, err := fits.Open(bytes.NewReader(b), int64(len(b)), raw.Limits{}.OrDefault())
	if err != nil {
		t.Fatal(err)
	}
	hdu, err := f.FindTable("candidates")
	if err != nil {
		t.Fatal(err)
	}
	got, err := hdu.Read(0, hdu.Rows, 0, 1, 2, 3, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range hostile {
		c := want.Columns
		if got[0].Ints[i] != c[0].Ints[i] || got[1].Text[i] != strings.TrimRight(say.ASCII(id), " ") || !same(got[2].Float(i), float64(c[2].Singles[i])) ||
			!same(got[3].Float(i), c[3].Doubles[i]) || got[4].Missing[i] != c[4].Missing[i] || !c[4].Missing[i] && got[4].Ints[i] != c[4].Ints[i] {
			t.Errorf("row %d is %v %q %v %v %v", i, got[0].Ints[i], got[1].Text[i], got[2].Float(i), got[3].Float(i), got[4].Float(i))
		}
	}
	for _, h := range f.HDUs() {
		if by, _ := h.Header.Text("RANKEDBY"); h.IsTable() && by != "fast" {
			t.Errorf("ranked by %q", by)
		}
	}
}

func same(a, b float64) bool { return a == b || a != a && b != b }

// TestParquetRoundTrip: ids come back to the byte, columns in their order.
func TestParquetRoundTrip(t *testing.T) {
	want := of(t, hostile)
	b := written(t, bytesOf(formats[1]), want)
	got, err := parquet.OpenTable(bytes.NewReader(b), int64(len(b)), array.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range got.Columns() {
		names = append(names, c.Name)
	}
	if want := []string{"rank", "id", "score", "z", "n <&'\"\n"}; !slices.Equal(names, want) {
		t.Fatalf("columns %q, not %q", names, want)
	}
	for i, id := range hostile {
		at := func(k int) parquet.Value {
			v, err := got.Columns()[k].At(context.Background(), int64(i))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		if s := string(at(1).Bytes()); s != strings.ToValidUTF8(id, "\uFFFD") {
			t.Errorf("id %q is %q", id, s)
		}
		for k := range want.Columns {
			if at(k).Null() != (k != 1 && !want.Columns[k].has(i)) {
				t.Errorf("row %d column %d: null is %v", i, k, at(k).Null())
			}
		}
		if f, ok := at(3).Float(); ok && f != want.Columns[3].Doubles[i] {
			t.Errorf("z is %v", f)
		}
		if f, ok := at(2).Float(); ok && float32(f) != want.Columns[2].Singles[i] {
			t.Errorf("score is %v", f)
		}
	}
}

func TestVOTableRoundTrip(t *testing.T) {
	b := written(t, bytesOf(formats[2]), of(t, hostile))
	var doc struct {
		Version  string `xml:"version,attr"`
		Resource struct {
			Table struct {
				Param []struct {
					Name  string `xml:"name,attr"`
					Value string `xml:"value,attr"`
				} `xml:"PARAM"`
				Field []struct {
					Name, Datatype, UCD string
					Attr                []xml.Attr `xml:",any,attr"`
				} `xml:"FIELD"`
				TR []struct {
					TD []string
				} `xml:"DATA>TABLEDATA>TR"`
			} `xml:"TABLE"`
		} `xml:"RESOURCE"`
	}
	if err := xml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	table := doc.Resource.Table
	if doc.Version != "1.4" || len(table.Field) != 5 || len(table.TR) != len(hostile) || table.Param[0].Value != "fast" {
		t.Fatalf("version %s, %d fields, %d rows, %v", doc.Version, len(table.Field), len(table.TR), table.Param)
	}
	for i, id := range hostile {
		if got := table.TR[i].TD[1]; got != say.Escaped(id) {
			t.Errorf("id %q is %q", id, got)
		}
	}
}

func TestNames(t *testing.T) {
	one := Column{Kind: Int, Ints: []int64{1}}
	named := func(s string) Column { c := one; c.Name = s; return c }
	made, err := New("t", nil, named("id"), named("ID"), named("id_2"), named(""))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range made.Columns {
		got = append(got, c.Name)
	}
	if want := []string{"id", "ID_2", "id_2_2", "column"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
	if _, err := New("t", nil, one, Column{Name: "x", Kind: Text}); err == nil {
		t.Error("columns of other lengths were taken")
	}
}

func TestFormatOf(t *testing.T) {
	for _, c := range []struct{ name, path, want string }{
		{"", "a.csv", "csv"}, {"", "A.FITS", "fits"}, {"", "x.vot", "votable"}, {"", "x.xml", "votable"}, {"", "a.b.parquet", "parquet"},
		{"fits", "a.csv", "fits"}, {"", "a.txt", ""}, {"", "csv", ""}, {"json", "a.csv", ""},
	} {
		f, err := FormatOf(c.name, c.path)
		if f.Name != c.want || (err == nil) != (c.want != "") {
			t.Errorf("FormatOf(%q, %q) = %q, %v", c.name, c.path, f.Name, err)
		}
	}
}
