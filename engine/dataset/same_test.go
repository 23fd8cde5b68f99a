package dataset

import (
	"archive/tar"
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestSame finds what two sources share, however each holds it, keeps it, and forgets what changed.
func TestSame(t *testing.T) {
	files := map[string][]byte{}
	for k := range 6 {
		files[fmt.Sprintf("%d.png", k)] = pngOf(t, noise(uint64(k), 12, 12).Image())
	}
	folder, dir := t.TempDir(), t.TempDir()
	for _, name := range []string{"0.png", "1.png", "5.png"} {
		must(t, os.WriteFile(filepath.Join(folder, "a"+name), files[name], 0o644))
		must(t, os.WriteFile(filepath.Join(folder, "b"+name), files[name], 0o644)) // twice in one source is none of this
	}
	delete(files, "5.png")
	sources := []NamedSource{{Name: "folder", Path: folder}, {Name: "tar", Path: packedOf(t, "gz", tarOf(t, tar.FormatPAX, files))}, {Name: "zip", Path: zipOf(t, zip.Deflate, map[string][]byte{"x/1.png": files["1.png"]})}}
	open := func(sources ...NamedSource) *Pool {
		p, err := OpenPool(t.Context(), dir, sources, Limits{}, nil)
		must(t, err)
		return p
	}
	read := func(p *Pool) {
		all := make([]int, p.Len())
		for i := range all {
			all[i] = i
		}
		for _, err := range p.Batches(t.Context(), all, 8, 4, 2) {
			must(t, err)
		}
	}
	check := func(when string, p *Pool, want ...string) {
		t.Helper()
		sets, err := p.Same(t.Context())
		must(t, err)
		var got []string
		for _, set := range sets {
			text := ""
			for _, i := range set {
				text += p.ID(int(i)) + " "
			}
			got = append(got, text)
		}
		if !slices.Equal(got, want) || p.HasNewSums() {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	zero, one := "folder/a0.png folder/b0.png tar/0.png ", "folder/a1.png folder/b1.png tar/1.png zip/x/1.png "
	p := open(sources...)
	check("nothing read", p)
	read(p)
	check("read", p, zero, one)
	must(t, p.Close())
	p = open(sources...)
	check("opened again", p, zero, one)
	must(t, p.Close())
	p = open(sources[:2]...) // another list takes over what stayed
	check("a source less", p, zero, "folder/a1.png folder/b1.png tar/1.png ")
	must(t, p.Close())
	must(t, os.WriteFile(filepath.Join(folder, "a0.png"), files["4.png"], 0o644))
	must(t, os.Remove(filepath.Join(folder, "b0.png")))
	must(t, os.Remove(filepath.Join(dir, indexName)))
	p = open(sources...)
	check("changed", p, one)
	read(p)
	check("and read", p, "folder/a0.png tar/4.png ", one)
	must(t, p.Close())
	b, err := os.ReadFile(filepath.Join(dir, sumsName))
	must(t, err)
	b[len(b)/2] ^= 1
	must(t, os.WriteFile(filepath.Join(dir, sumsName), b, 0o644))
	p = open(sources...)
	check("damaged", p)
	read(p)
	check("made again", p, "folder/a0.png tar/4.png ", one)
	must(t, p.Close())
	p = open(sources[0])
	read(p)
	check("one source", p)
	must(t, p.Close())
}

// TestSameArrays: values count with their type and shape, not the container.
func TestSameArrays(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "data", "formats")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("no files of each format: %v", err)
	}
	p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "npy", Path: filepath.Join(root, "images.npy")}, {Name: "zarr", Path: filepath.Join(root, "images_v2.zarr")}}, Limits{}, nil)
	must(t, err)
	defer p.Close()
	for i := range p.Len() {
		_, err := p.Image(t.Context(), i)
		must(t, err)
	}
	sets, err := p.Same(t.Context())
	must(t, err)
	if len(sets) != p.Len()/2 {
		t.Errorf("%d of %d pairs", len(sets), p.Len()/2)
	}
}
