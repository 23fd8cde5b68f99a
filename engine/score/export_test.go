package score

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
)

var ranked = []Row{
	{ID: "a/1.jpg", Score: 0.75, Label: "anomaly", Rank: 1},
	{ID: "a/with,comma \"and\" ü.jpg", Score: 0.1, Rank: 2},
	{ID: "a/2.jpg", Score: 1e-7, Label: "skip", Rank: 3},
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	if err := WriteCSV(&b, ranked); err != nil {
		t.Fatal(err)
	}
	want := "id,score,label,rank\na/1.jpg,0.75,anomaly,1\n\"a/with,comma \"\"and\"\" ü.jpg\",0.1,,2\na/2.jpg,1e-07,skip,3\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
}

func TestNoScore(t *testing.T) {
	row := Row{ID: "a", Score: float32(math.NaN()), Rank: 1}
	if b, err := json.Marshal([]Row{row, ranked[0]}); err != nil || string(b) != `[{"id":"a","score":null,"label":"","rank":1},{"id":"a/1.jpg","score":0.75,"label":"anomaly","rank":1}]` {
		t.Errorf("JSON: %s, %v", b, err)
	}
	var b bytes.Buffer
	if err := WriteCSV(&b, []Row{row}); err != nil || b.String() != "id,score,label,rank\na,,,1\n" {
		t.Errorf("CSV: %q, %v", b.String(), err)
	}
}

func TestBatch(t *testing.T) {
	for _, c := range []struct{ wanted, size, images, want int }{
		{256, 64, 10000, 256}, {256, 64, 20, 20}, {256, 128, 10000, 64}, {256, 512, 10000, 8}, {4, 512, 10000, 4}, {256, 64, 0, 1},
	} {
		if got := Batch(c.wanted, c.size, c.images); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

func TestParquetRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.parquet")
	if err := Export(path, ranked, "deep"); err != nil {
		t.Fatal(err)
	}
	got, err := parquet.ReadFile[Row](path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, ranked) {
		t.Errorf("got %v, want %v", got, ranked)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if by, _ := f.Lookup("ranked_by"); by != "deep" {
		t.Errorf("ranked_by is %q", by)
	}
}

func TestExportRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"out.txt", "out", "out.fits"} {
		if err := Export(filepath.Join(dir, name), ranked, "deep"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) > 0 {
		t.Errorf("left %v", list)
	}
}
