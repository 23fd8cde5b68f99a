package dataset

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// handmade is a Zarr 2 of three images without names, each of one grey level.
func handmade(t *testing.T, dir string) {
	t.Helper()
	pixels := slices.Concat(bytes.Repeat([]byte{10}, 8*8*3), bytes.Repeat([]byte{20}, 8*8*3), bytes.Repeat([]byte{30}, 8*8*3))
	must(t, os.MkdirAll(filepath.Join(dir, "images"), 0o777))
	must(t, os.WriteFile(filepath.Join(dir, ".zgroup"), []byte(`{"zarr_format":2}`), 0o666))
	must(t, os.WriteFile(filepath.Join(dir, "images", ".zarray"), []byte(`{"zarr_format":2,"shape":[3,8,8,3],"chunks":[3,8,8,3],"dtype":"|u1","compressor":null,"fill_value":0,"order":"C","filters":null}`), 0o666))
	must(t, os.WriteFile(filepath.Join(dir, "images", "0.0.0.0"), pixels, 0o666))
}

type cutana struct {
	Source   int64   `parquet:"source_id"`
	Original string  `parquet:"original_filename"`
	Mag      float64 `parquet:"mag"`
}

// TestSidecar: the table beside a Zarr names its images, and labels of AnomalyMatch find them.
func TestSidecar(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "images.zarr")
	handmade(t, store)
	side := filepath.Join(dir, "images_metadata.parquet")
	ids := func() ([]string, error) {
		p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "z", Path: store}}, Limits{}, nil)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		var all []string
		for i := range p.Len() {
			m, err := p.Image(t.Context(), i)
			must(t, err)
			all = append(all, fmt.Sprintf("%s %d", p.ID(i), m.Pix[0]))
		}
		return all, nil
	}
	expect := func(want ...string) {
		t.Helper()
		if got, err := ids(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	refused := func(want string) {
		t.Helper()
		if got, err := ids(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"images_metadata.parquet", which`) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	expect("z/0 10", "z/1 20", "z/2 30")
	rows := []cutana{{7, "b.fits", 20}, {8, "a.fits", 21}, {9, "dir/c.fits", 22}}
	must(t, parquet.WriteFile(side, rows))
	expect("z/a.fits 20", "z/b.fits 10", "z/dir/c.fits 30")
	rows[1].Original = "../../out"
	must(t, parquet.WriteFile(side, rows))
	if got, err := ids(); err != nil || len(got) != 2 { // that one is bad, the others are there
		t.Errorf("%q, %v", got, err)
	}
	must(t, parquet.WriteFile(side, rows[:2]))
	refused("has 2 rows for 3 images")
	must(t, os.WriteFile(side, []byte("PAR1 no"), 0o666))
	refused("mend it, or move it away")
	must(t, os.Remove(side))
	must(t, parquet.WriteFile(side, []struct {
		Mag float64 `parquet:"mag"`
	}{{1}, {2}, {3}}))
	expect("z/0 10", "z/1 20", "z/2 30")
}

// TestSidecarOfManifest: the Zarr of the shared files under the names of a table, with the same pixels.
func TestSidecarOfManifest(t *testing.T) {
	from := filepath.Join("..", "..", "..", "shared", "data", "formats", "images_v2.zarr")
	if _, err := os.Stat(from); err != nil {
		t.Skipf("no files of each format: %v", err)
	}
	dir := t.TempDir()
	must(t, os.CopyFS(filepath.Join(dir, "images.zarr"), os.DirFS(from)))
	open := func() *Pool {
		t.Helper()
		p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "z", Path: filepath.Join(dir, "images.zarr")}}, Limits{}, nil)
		must(t, err)
		t.Cleanup(func() { p.Close() })
		return p
	}
	before := open()
	var rows []cutana
	for i := range before.Len() {
		rows = append(rows, cutana{Source: int64(i), Original: fmt.Sprintf("tile-%d.fits", before.Len()-i)})
	}
	must(t, parquet.WriteFile(filepath.Join(dir, "images_metadata.parquet"), rows))
	after := open()
	if after.Len() != before.Len() || before.Len() < 2 || after.Hash() == before.Hash() {
		t.Fatalf("%d and %d images", before.Len(), after.Len())
	}
	for i := range before.Len() {
		k, ok := after.Find("z/" + rows[before.Entry(i).At].Original)
		if !ok {
			t.Fatalf("%s has no name", before.ID(i))
		}
		a, err := before.Image(t.Context(), i)
		must(t, err)
		b, err := after.Image(t.Context(), k)
		must(t, err)
		if !bytes.Equal(a.Pix, b.Pix) {
			t.Errorf("%s and %s are not the same", before.ID(i), after.ID(k))
		}
	}
}
