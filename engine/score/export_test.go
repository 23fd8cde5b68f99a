package score

import (
	"bytes"
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
