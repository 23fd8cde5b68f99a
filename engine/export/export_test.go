package export

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/raw"
	"anomalymatch/engine/export/table"
	payloads "anomalymatch/internal/hostile"
	"anomalymatch/internal/say"
)

// hostile are ids that mean something to some format, shell or terminal.
var hostile = []string{
	"survey/a.jpg", "s/../../etc/passwd", "s/\x1b[31m.png", "s/}\n circle(0,0,1\")", "s/\u202egnp.exe", "s/a,\"b\"\r\n=1", "s/<b>&amp;", "s/.hidden", "s/" + strings.Repeat("x", 300) + ".fits", "s/name 星.png", "s/-rf", "s/CON.txt", "s/",
}

func init() {
	for _, p := range payloads.Payloads {
		hostile = append(hostile, "s/"+p.Text)
	}
}

func listOf() List {
	l := List{Project: "rings", RankedBy: "fast", Images: 99, Version: "test"}
	for i, id := range hostile {
		c := Candidate{ID: id, Rank: int64(3*i + 1), Score: 1 / float32(i+1), Fast: 1 / float32(i+1), Deep: NoScore()}
		if i == 1 {
			c.Label, c.Marks = "anomaly", []string{"bookmark", "1", "9"}
		}
		l.Candidates = append(l.Candidates, c)
	}
	return l
}

// further columns are what a table of metadata would give.
type further []table.Column

func (f further) Columns(context.Context, []string) ([]table.Column, error) { return f, nil }

func TestTable(t *testing.T) {
	l := listOf()
	mag := table.Column{Name: "Score", Kind: table.Float64, Doubles: make([]float64, len(hostile))} // a name that is taken
	more, err := l.Further(t.Context(), further{mag})
	if err != nil {
		t.Fatal(err)
	}
	made, err := l.Table(more...)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range made.Columns {
		names = append(names, c.Name)
	}
	if got, want := strings.Join(names, " "), "rank id score score_fast label bookmark tags source path Score_2"; got != want {
		t.Errorf("columns %s, not %s", got, want)
	}
	var b bytes.Buffer
	if err := table.WriteCSV(&b, made); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rows[2], "|"); got != "4|s/../../etc/passwd|0.5|0.5|anomaly|1|1 9|s|../../etc/passwd|0" {
		t.Errorf("row 2 is %s", got)
	}
}

func TestRegions(t *testing.T) {
	l := listOf()
	var b bytes.Buffer
	missing, err := WriteRegions(&b, l, func(i int) (dataset.Position, bool) {
		return dataset.Position{RA: 10.5 + float64(i), Dec: -1.25, Radius: .001}, i != 2
	})
	if err != nil || missing != 1 {
		t.Fatal(missing, err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 3+len(hostile)-1 || lines[0] != "# Region file format: DS9 version 4.1" || lines[2] != "fk5" {
		t.Fatalf("%d lines: %q", len(lines), lines[:3])
	}
	form := regexp.MustCompile(`^circle\([\d.]+,-?[\d.]+,[\d.]+"\) # text=\{[^{}]*\}( color=red tag=\{anomaly\})?$`)
	for _, line := range lines[3:] {
		if !form.MatchString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is no region", line)
		}
	}
	if lines[4] != `circle(11.5000000,-1.2500000,3.60") # text={s/../../etc/passwd} color=red tag={anomaly}` {
		t.Error(lines[4])
	}
	at := Positions([]table.Column{{Name: "RA", Kind: table.Float64, Doubles: []float64{-1, 400}}, {Name: "dec", Kind: table.Float32, Singles: []float32{5, 95}}})
	if p, ok := at(0); !ok || p.RA != 359 || p.Dec != 5 || p.Radius != DefaultRadius {
		t.Error(p, ok)
	}
	if p, ok := at(1); ok {
		t.Error(p, "is a position")
	}
	if Positions([]table.Column{{Name: "ra", Kind: table.Float64}}) != nil {
		t.Error("half a position is one")
	}
}

// fill copies all images: of every other one an array.
func fill(l List) func(*Copies) error {
	return func(into *Copies) error {
		for i, c := range l.Candidates {
			has, seen := dataset.Content{Encoded: fmt.Appendf(nil, "\xff\xd8\xff jpeg %d", i)}, dataset.RGB{}
			if i%2 == 1 {
				has = dataset.Content{Values: raw.Image{W: 2, H: 1, C: 1, Data: []float32{1.5, -2}}}
				seen = dataset.NewRGB(2, 1)
			}
			if err := into.Add(c, has, seen); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestCopiesIntoAFolder(t *testing.T) {
	outer := t.TempDir()
	dir, l := filepath.Join(outer, "out"), listOf()
	if err := Copy(dir, l, fill(l)); err != nil {
		t.Fatal(err)
	}
	if list, _ := os.ReadDir(outer); len(list) != 1 {
		t.Errorf("beside the folder there is %v", list)
	}
	rows := manifest(t, func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != len(hostile)+len(hostile)/2+1 {
		t.Errorf("%d files, %v", len(list), err)
	}
	safe := regexp.MustCompile(`^\d{6}-[A-Za-z0-9._+-]*\.(jpg|png|npy)$`)
	for _, f := range list {
		if n := f.Name(); n != Manifest && (!safe.MatchString(n) || len(n) > 100) {
			t.Errorf("a file is called %q", n)
		}
	}
	if rows[2][0] != "000004-passwd.npy" || rows[2][1] != "000004-passwd.png" || rows[1][0] != "000001-a.jpg" || rows[1][1] != "" {
		t.Errorf("%q %q", rows[1], rows[2])
	}
	if err := Copy(dir, l, fill(l)); err == nil {
		t.Error("a folder that is full was written to")
	}
	empty := filepath.Join(outer, "empty")
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := Copy(empty, l, fill(l)); err != nil {
		t.Error("into an empty folder:", err)
	}
	broken := errors.New("broken")
	if err := Copy(filepath.Join(outer, "none"), l, func(*Copies) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if list, _ := os.ReadDir(outer); len(list) != 2 {
		t.Errorf("a copy that failed left %v", list)
	}
}

func TestCopiesIntoAZip(t *testing.T) {
	dir, l := t.TempDir(), listOf()
	var all [2][]byte
	for k := range all {
		path := filepath.Join(dir, fmt.Sprint(k, ".zip"))
		if err := Copy(path, l, fill(l)); err != nil {
			t.Fatal(err)
		}
		all[k], _ = os.ReadFile(path)
	}
	if !bytes.Equal(all[0], all[1]) {
		t.Error("the same list made another zip")
	}
	z, err := zip.NewReader(bytes.NewReader(all[0]), int64(len(all[0])))
	if err != nil {
		t.Fatal(err)
	}
	rows := manifest(t, func(name string) []byte {
		f, err := z.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var b bytes.Buffer
		b.ReadFrom(f)
		return b.Bytes()
	})
	if len(rows) != len(hostile)+1 {
		t.Errorf("%d rows", len(rows))
	}
}

// manifest reads it and checks that each file is the one it says.
func manifest(t *testing.T, read func(string) []byte) [][]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(read(Manifest))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range rows[1:] {
		sum := sha256.Sum256(read(row[0]))
		if row[2] != hex.EncodeToString(sum[:]) || row[4] != say.Cell(hostile[i]) {
			t.Errorf("%q of %q has another sum", row[0], row[4])
		}
	}
	return rows
}
