package meta

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"anomalymatch/engine/dataset/meta/where"

	pq "github.com/parquet-go/parquet-go"
)

// sky is a pool of images by their ids. Names match as in a dataset.Pool, in short: an id, or its end behind a slash.
type sky []string

type several int

func (s several) Error() string { return "can be several images" }
func (s several) Several() int  { return int(s) }

func (s sky) Len() int        { return len(s) }
func (s sky) ID(i int) string { return s[i] }
func (s sky) Hash() (h [32]byte) {
	copy(h[:], fmt.Sprintf("%d %s", len(s), strings.Join(s[:min(len(s), 3)], "")))
	return h
}

func (s sky) Match(name string) (int, error) {
	found, n := 0, 0
	for i, id := range s {
		if id == name {
			return i, nil
		}
		if path.Base(id) == path.Base(name) && strings.HasSuffix("/"+id, "/"+name) {
			found = i
			n++
		}
	}
	switch n {
	case 0:
		return 0, errors.New("no such image")
	case 1:
		return found, nil
	}
	return 0, several(n)
}

var four = sky{"sky/1.jpg", "sky/2.jpg", "sky/a/3.jpg", "sky/b/3.jpg"}

func write(t testing.TB, name, text string) File {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return File{Path: file}
}

func built(t testing.TB, images Images, files ...File) *Table {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "index")
	if _, err := Build(t.Context(), dir, images, files, nil); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dir, images, files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// written is a table in lines: its heading, then each image's values.
func told(t testing.TB, m *Table) string {
	t.Helper()
	var b strings.Builder
	for _, c := range m.Columns() {
		fmt.Fprintf(&b, "%s:%s ", c.Name, c.Type)
	}
	for i := range m.Images() {
		row, err := m.Row(i)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n")
		for _, v := range row {
			fmt.Fprintf(&b, "%s|", v)
		}
	}
	return b.String()
}

func TestCSV(t *testing.T) {
	for _, c := range []struct{ what, text, want string }{
		{"types", "id,mag,n,class\n2.jpg,20.5,7,spiral\n1.jpg,21,,\n", "id:text mag:float n:int class:text \n1.jpg|21|||\n2.jpg|20.5|7|spiral|\n||||\n||||"},
		{"long whole numbers", "filename,source_id,zip\n1.jpg,587725469055320114,007\n2.jpg,-3,5\n", "filename:text source_id:int zip:text \n1.jpg|587725469055320114|007|\n2.jpg|-3|5|\n|||\n|||"},
		{"no values", "id,z,k\n1.jpg,NaN,null\n2.jpg,0.5,--\n", "id:text z:float k:text \n1.jpg||null|\n2.jpg|0.5|--|\n|||\n|||"},
		{"names without ending", "source_id;mag\n1;3\n2;4\n", "source_id:int mag:int \n1|3|\n2|4|\n||\n||"},
		{"tabs, remarks, CRLF, byte order mark", "\ufeff# a remark\r\n\r\nname\tmag\r\n1.jpg\t3\r\n", "name:text mag:int \n1.jpg|3|\n||\n||\n||"},
		{"quotation marks", "id,\"a, b\"\n1.jpg,\"say \"\"x\"\"\ny\"\n2.jpg,\"\"\n", "id:text a, b:text \n1.jpg|say \"x\"\ny|\n2.jpg||\n||\n||"},
		{"the column that fits", "id,filename\n100,1.jpg\n101,sky/a/3.jpg\n", "id:int filename:text \n100|1.jpg|\n||\n101|sky/a/3.jpg|\n||"},
		{"an index of pandas", ",mag\n1.jpg,3\n", "column_1:text mag:int \n1.jpg|3|\n||\n||\n||"},
		{"same names", "id,mag,mag,\n1.jpg,1,2,3\n", "id:text mag:int mag_2:int column_4:int \n1.jpg|1|2|3|\n||||\n||||\n||||"},
		{"escapes", "id,\x1b[2Jmag\u202e\n1.jpg,\x1b]0;x\x07\n", "id:text [2Jmag:text \n1.jpg|\x1b]0;x\x07|\n||\n||\n||"},
		{"infinities", "id,x\n1.jpg,-inf\n2.jpg,1e3\n", "id:text x:float \n1.jpg|-Inf|\n2.jpg|1000|\n||\n||"},
		{"not UTF-8", "id,x\n1.jpg,caf\xe9\n", "id:text x:text \n1.jpg|caf\ufffd|\n||\n||\n||"},
	} {
		if got := told(t, built(t, four, write(t, "t.csv", c.text))); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	f := write(t, "t.csv", "id,mag\n1.jpg,1\nnone.jpg,2\n3.jpg,3\n1.jpg,4\n2.jpg,5,6\n\"2.jpg\"x,7\nother\x1b[2J,8\nb/3.jpg,9\n")
	m := built(t, four, f)
	r := m.Reports()[0]
	want := Report{File: f.Path, Key: "id", Rows: 6, Matched: 2, Twice: 1, Unmatched: 2, Ambiguous: 1, Bad: 2, Names: []string{"none.jpg", "other[2J"}}
	lines := []string{"4: can be several images", "5: \"1.jpg\" was there before: the first one counts", "6: it has 3 columns, the first line 2", "7: something follows a quotation mark that closes a field"}
	var got []string
	for _, l := range r.Lines {
		got = append(got, fmt.Sprintf("%d: %s", l.Line, l.Reason))
	}
	r.Lines = nil
	if fmt.Sprint(r) != fmt.Sprint(want) || !slices.Equal(got, lines) {
		t.Errorf("%+v\n%q", r, got)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		text, key, why string
	}{
		{"", "", "is empty"},
		{"id,mag\nx.jpg,1\n", "", "names no image of this project in its column id, such as \"x.jpg\""},
		{"mag,z\n1,2\n", "", "no column that names images, such as id or filename: name it with --key; it has mag, z"},
		{"mag,z\n1,2\n", "name", "no column \"name\": it has mag, z"},
		{"\x89PNG\r\n\x1a\n\x00\x00\x00\x00IHDR", "", "CSV, Parquet and FITS are"},
		{"id,mag\n" + strings.Repeat("\"1\"x\n", 1001), "", "more than 1000 lines"},
		{"id," + strings.Repeat("a", 2<<20), "", "the line has more than 1048576 bytes"},
		{strings.Repeat("a,", 2000), "", "more than 1000 columns"},
		{"PAR1 that is none", "", "truncated"},
	} {
		f := write(t, "t.csv", c.text)
		f.Key = c.key
		dir := t.TempDir()
		_, err := Build(t.Context(), dir, four, []File{f}, nil)
		if err == nil || !strings.Contains(err.Error(), c.why) || !strings.HasPrefix(err.Error(), "the table "+f.Path) {
			t.Errorf("%.40q: %v; want %q", c.text, err, c.why)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%.40q leaves %v", c.text, left)
		}
	}
}

// A line of any length costs the memory of a record, and what follows it is read.
func TestLongLine(t *testing.T) {
	long := io.MultiReader(strings.NewReader("id,mag\n"), io.LimitReader(letters{}, 1<<26), strings.NewReader("\n1.jpg,2\n"))
	s := &scanner{r: long, comma: ',', line: 1}
	if _, err := s.next(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.next(); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Fatal(err)
	}
	got, err := s.next()
	if err != nil || string(got[0]) != "1.jpg" || s.recordLine != 3 || len(s.buf) > 4*maxRecord {
		t.Error(got, err, s.recordLine, len(s.buf))
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// Several tables, of other kinds, are one: columns of a name that is taken get another one.
func TestParquetAndCSV(t *testing.T) {
	type row struct {
		Name  string   `parquet:"name"`
		Mag   *float64 `parquet:"mag,optional"`
		ID    int64    `parquet:"objid"`
		Image []byte   `parquet:"image"`
		Star  bool     `parquet:"star"`
	}
	mag := 19.5
	var b bytes.Buffer
	if err := pq.Write(&b, []row{{"3.jpg", &mag, 1, []byte{1}, true}, {"2.jpg", nil, 1 << 62, []byte{2}, true}, {"a/3.jpg", &mag, -5, nil, false}}); err != nil {
		t.Fatal(err)
	}
	m := built(t, four, write(t, "t.parquet", b.String()), write(t, "t.csv", "id,mag\n1.jpg,3\n"))
	want := "name:text mag:float objid:int star:int id:text mag_2:int \n||||1.jpg|3|\n2.jpg||4611686018427387904|1|||\na/3.jpg|19.5|-5|0|||\n||||||"
	if got := told(t, m); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if r := m.Reports(); len(r) != 2 || r[0].Ambiguous != 1 || r[0].Matched != 2 {
		t.Errorf("%+v", r)
	}
}

func TestFITS(t *testing.T) {
	card := func(s string) string { return fmt.Sprintf("%-80s", s) }
	pad := func(s string, fill string) string { return s + strings.Repeat(fill, (2880-len(s)%2880)%2880) }
	head := pad(card("SIMPLE  =                    T")+card("BITPIX  =                    8")+card("NAXIS   =                    0")+card("END"), " ")
	table := pad(card("XTENSION= 'BINTABLE'")+card("BITPIX  =                    8")+card("NAXIS   =                    2")+card("NAXIS1  =                   15")+card("NAXIS2  =                    2")+
		card("PCOUNT  =                    0")+card("GCOUNT  =                    1")+card("TFIELDS =                    3")+card("TTYPE1  = 'NAME'")+card("TFORM1  = '5A'")+
		card("TTYPE2  = 'RA'")+card("TFORM2  = 'D'")+card("TUNIT2  = 'deg'")+card("TTYPE3  = 'N'")+card("TFORM3  = 'I'")+card("END"), " ")
	var data []byte
	for i, name := range []string{"2.jpg", "1.jpg"} {
		data = append(data, name...)
		for s := 56; s >= 0; s -= 8 {
			data = append(data, byte(math.Float64bits(10.5+float64(i))>>s))
		}
		data = append(data, 0, byte(i))
	}
	m := built(t, four, write(t, "t.fits", head+table+pad(string(data), "\x00")))
	if got, want := told(t, m), "NAME:text RA:float N:int \n1.jpg|11.5|1|\n2.jpg|10.5|0|\n|||\n|||"; got != want || m.Columns()[1].Unit != "deg" {
		t.Errorf("%q, want %q", got, want)
	}
}

// Columns that do not fit into memory together are made in several passes, with the same result.
func TestPasses(t *testing.T) {
	f := write(t, "t.csv", "id,a,b,c\n2.jpg,1,x,2.5\n1.jpg,3,y,4\n")
	want := told(t, built(t, four, f))
	before := memory
	defer func() { memory = before }()
	memory = 1
	if got := told(t, built(t, four, f)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// many is a pool of several blocks with a table of them.
func many(t testing.TB) (sky, *Table) {
	var images sky
	var b strings.Builder
	b.WriteString("id,n,class\n")
	for i := range 2*blockRows + 100 {
		images = append(images, fmt.Sprintf("%06d", i))
	}
	for i := range images {
		if i%10 != 9 {
			fmt.Fprintf(&b, "%s,%d,%s\n", images[i], (i*7919)%1000, []string{"spiral", "ring"}[i%2])
		}
	}
	return images, built(t, fast{images, index(images)}, write(t, "t.csv", b.String()))
}

// fast is a sky that finds ids at once.
type fast struct {
	sky
	at map[string]int
}

func index(s sky) map[string]int {
	at := map[string]int{}
	for i, id := range s {
		at[id] = i
	}
	return at
}

func (f fast) Match(name string) (int, error) {
	if i, ok := f.at[name]; ok {
		return i, nil
	}
	return 0, errors.New("no such image")
}

func TestSelect(t *testing.T) {
	images, m := many(t)
	f, err := m.Check("n < 100 and class ~ 'r*'")
	if err != nil {
		t.Fatal(err)
	}
	bits, err := m.Select(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	for i := range images {
		want := i%10 != 9 && (i*7919)%1000 < 100 && i%2 == 1
		if got := bits[i>>6]&(1<<(i&63)) != 0; got != want {
			t.Fatalf("image %d: %v", i, got)
		}
	}
	var e *where.Error
	if _, err := m.Check("clas == 'x'"); !errors.As(err, &e) || !strings.Contains(e.Why, "class") {
		t.Error(err)
	}
	if _, err := (*Table)(nil).Check("mag < 1"); err == nil || !strings.Contains(err.Error(), "no metadata") {
		t.Error(err)
	}
}

func TestSort(t *testing.T) {
	images, m := many(t)
	for _, down := range []bool{false, true} {
		list := make([]int32, len(images))
		for i := range list {
			list[i] = int32(i)
		}
		if err := m.Sort(t.Context(), m.Column("N"), down, list); err != nil {
			t.Fatal(err)
		}
		last := math.Inf(-1)
		for k, i := range list {
			v, err := m.Value(m.Column("n"), int(i))
			if err != nil {
				t.Fatal(err)
			}
			n := v.Number()
			if down {
				n = -n
			}
			if (v.Type == None) != (k >= len(images)-len(images)/10) || n < last {
				t.Fatalf("down %v: place %d has image %d with %v", down, k, i, v)
			}
			if k > 0 && n == last && list[k-1] > i {
				t.Fatalf("down %v: images %d and %d are equal and changed places", down, list[k-1], i)
			}
			if v.Type != None {
				last = n
			}
		}
	}
}

func TestValues(t *testing.T) {
	_, m := many(t)
	images := []int{2*blockRows + 3, 0, 9, 0}
	got, err := m.Values(t.Context(), m.Column("class"), images)
	if err != nil || fmt.Sprint(got) != "[ring spiral  spiral]" || got[2].Type != None {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPosition(t *testing.T) {
	m := built(t, four, write(t, "t.csv", "id,RA,Dec\n1.jpg,210.5,-54\n2.jpg,999,1\n"))
	if ra, dec, ok := m.At(0); !ok || ra != 210.5 || dec != -54 {
		t.Error(ra, dec, ok)
	}
	for _, i := range []int{1, 2} {
		if _, _, ok := m.At(i); ok {
			t.Errorf("image %d has a place", i)
		}
	}
	if m := built(t, four, write(t, "t.csv", "id,ra,dec\n1.jpg,10h,2\n")); m.Column("ra") < 0 {
		t.Error("no column")
	} else if _, _, ok := m.At(0); ok {
		t.Error("a text is a place")
	}
}

// Columns are taken only if they are of these images and tables, and whole.
func TestStale(t *testing.T) {
	f := write(t, "t.csv", "id,mag\n1.jpg,1\n")
	dir := t.TempDir()
	if _, err := Build(t.Context(), dir, four, []File{f}, nil); err != nil {
		t.Fatal(err)
	}
	open := func(images Images, files []File) error {
		m, err := Open(dir, images, files)
		if err == nil {
			_, err = m.Row(0)
			m.Close()
		}
		return err
	}
	if err := open(four, []File{f}); err != nil {
		t.Error(err)
	}
	if err := open(four, nil); err != nil {
		t.Error(err)
	}
	if err := open(four[:3], []File{f}); err != errStale {
		t.Error(err)
	}
	if err := open(four, []File{{f.Path, "id"}}); err != errStale {
		t.Error(err)
	}
	if err := open(four, []File{f, f}); err != errStale {
		t.Error(err)
	}
	gone := f.Path + ".away"
	if err := os.Rename(f.Path, gone); err != nil {
		t.Fatal(err)
	}
	if err := open(four, []File{f}); err != nil { // a table that is away is no reason to forget it
		t.Error(err)
	}
	if err := os.WriteFile(f.Path, []byte("id,mag\n1.jpg,22\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := open(four, []File{f}); err != errStale {
		t.Error(err)
	}
	file := filepath.Join(dir, Name)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole { // every byte counts
		torn := slices.Clone(whole)
		torn[at] ^= 0x10
		if err := os.WriteFile(file, torn, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := open(four, nil); err == nil && at >= len(magic) {
			t.Fatalf("byte %d of %d", at, len(whole))
		}
	}
	for _, n := range []int{0, 1, 50, len(whole) - 1} {
		if err := os.WriteFile(file, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if err := open(four, nil); err == nil {
			t.Errorf("%d bytes", n)
		}
	}
}

// FuzzCSV: no text makes it panic; what encoding/csv reads without fault is read as it reads it.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"id,mag\n1.jpg,2\n", "a,\"b\"\"c\"\r\nd,\"e\nf\"\n", "\"", "a\r", "\"a\"\r\n", ",,\n\n,", "#x\n\ufeffid\n", "a;b\n1;2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &scanner{r: strings.NewReader(text), comma: ',', line: 1}
		var got [][]string
		odd := false
		for {
			fields, err := s.next()
			var o errOdd
			if errors.As(err, &o) {
				odd = true
				continue
			}
			if err != nil {
				break
			}
			var row []string
			for _, x := range fields {
				row = append(row, string(x))
			}
			got = append(got, row)
		}
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		if want, err := r.ReadAll(); err == nil && !odd && !strings.Contains(text, "\r") {
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%q: %q, encoding/csv says %q", text, got, want)
			}
		}
		dir := t.TempDir()
		file := File{Path: filepath.Join(dir, "t.csv")}
		if err := os.WriteFile(file.Path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(t.Context(), dir, four, []File{file}, nil); err != nil {
			return
		}
		m, err := Open(dir, four, []File{file})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for _, c := range m.Columns() {
			if c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return !unicode.IsPrint(r) }) || m.Column(c.Name) < 0 {
				t.Errorf("a column is called %q", c.Name)
			}
		}
		for i := range four {
			row, err := m.Row(i)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range row {
				if !utf8.ValidString(v.String()) {
					t.Errorf("%q", v)
				}
			}
		}
	})
}

// wide is a CSV of n rows with 20 columns.
type wide struct{ sky }

func (w wide) Match(name string) (int, error) {
	i, err := strconv.Atoi(name)
	if err != nil || i < 0 || i >= len(w.sky) {
		return 0, errors.New("no such image")
	}
	return i, nil
}

// BenchmarkMetadata: a million rows of 20 columns, made, opened, a page of it read, filtered by two columns, sorted by one.
func BenchmarkMetadata(b *testing.B) {
	const n = 1_000_000
	images := wide{make(sky, n)}
	var text bytes.Buffer
	text.WriteString("id")
	for c := range 20 {
		fmt.Fprintf(&text, ",c%d", c)
	}
	for i := range n {
		fmt.Fprintf(&text, "\n%d", i)
		for c := range 16 {
			fmt.Fprintf(&text, ",%.3f", float64((i*7919+c*104729)%1_000_000)/1000)
		}
		fmt.Fprintf(&text, ",%d,%d,spiral%d,ring", i%1000, i, i%7)
	}
	f := write(b, "t.csv", text.String())
	text = bytes.Buffer{}
	dir := b.TempDir()
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			if _, err := Build(b.Context(), dir, images, []File{f}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	open := func() *Table {
		m, err := Open(dir, images, []File{f})
		if errors.Is(err, os.ErrNotExist) { // only others than build are measured
			if _, err = Build(b.Context(), dir, images, []File{f}, nil); err == nil {
				m, err = Open(dir, images, []File{f})
			}
		}
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			open().Close()
		}
	})
	m := open()
	defer m.Close()
	b.Run("row", func(b *testing.B) {
		for i := 0; b.Loop(); i = (i + 123457) % n {
			if _, err := m.Row(i); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("select", func(b *testing.B) {
		filter, err := m.Check("c0 < 500 and c18 ~ \"spiral3*\"")
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := m.Select(b.Context(), filter); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sort", func(b *testing.B) {
		for b.Loop() {
			list := make([]int32, n)
			for i := range list {
				list[i] = int32(i)
			}
			if err := m.Sort(b.Context(), m.Column("c1"), false, list); err != nil {
				b.Fatal(err)
			}
		}
	})
}
