package dataset

import (
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/dataset/raw"
)

// TestMosaics: a pool of cut-outs, with objects at the border and outside, and what changes.
func TestMosaics(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	must(t, os.WriteFile(filepath.Join(dir, "m.fits"), fitsOf([]string{"A"}, 40, 30, func(_, x, y int) float32 { return float32(100*y + x) }), 0o644))
	catalogue := "id,x,y\nb/2,20,15\na,1,1\n../c,20,15\n"
	for k := range listedOutside + 5 {
		catalogue += fmt.Sprintf("out%d,900,900\n", k)
	}
	write("c.csv", catalogue)
	definition := write("sky.mosaic.toml", "catalogue = \"c.csv\"\nbands = [\"m.fits\"]\nsize = 8\n")
	index := t.TempDir()
	open := func() *Pool {
		p, err := OpenPool(t.Context(), index, []NamedSource{{Name: "s", Path: definition}}, Limits{}, nil)
		must(t, err)
		t.Cleanup(func() { p.Close() })
		return p
	}
	p := open()
	if p.Len() != 2 || p.ID(0) != "s/a" || p.ID(1) != "s/b/2" || p.Entry(0).At != 1 {
		t.Fatalf("%d images, %s, %+v", p.Len(), p.ID(0), p.Entry(0))
	}
	if n := len(p.Bad()); n != listedOutside+1 {
		t.Errorf("%d are listed as bad", n)
	}
	all := ""
	for _, b := range p.Bad() {
		all += b.ID + " " + b.Reason + "\n"
	}
	for _, want := range []string{"s/out0 lies outside the mosaics", "s/../c has a name in the mosaic that leads out of it", "s/ has 6 objects more that cannot be cut out; the last lies outside"} {
		if !strings.Contains(all, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	facts, err := p.Facts(t.Context(), 0)
	must(t, err)
	if facts.Format != "mosaic, cut off by the border, 61% is missing" || facts.Values[0].Missing != 39 || facts.W != 8 {
		t.Errorf("%+v", facts)
	}
	must(t, p.decode(t.Context(), 1, 0, func(_ codec, m image.Image) {
		v := m.(preparedImage).Image.(rawPicture).Image
		if v.Kind() != raw.F32 || v.Data.([]float32)[0] != 100*11+16 {
			t.Errorf("%v", v)
		}
	}))
	// Another size is another pool, another list of bands too.
	hash := p.Hash()
	must(t, os.WriteFile(filepath.Join(dir, "m2.fits"), fitsOf([]string{"A"}, 40, 30, func(_, x, y int) float32 { return float32(x) }), 0o644))
	write("sky.mosaic.toml", "catalogue = \"c.csv\"\nbands = [\"m2.fits\"]\nsize = 8\n")
	if changed, err := open().Refresh(t.Context()); err != nil || !changed {
		t.Errorf("other bands go unnoticed: %v", err)
	}
	if open().Hash() == hash {
		t.Error("embeddings of other bands would be taken for these")
	}
	// The engine starts with the list that it has: an object that is in another row now must not be shown as this one.
	write("c.csv", "id,x,y\nb/2,20,15\nz,20,15\na,1,1\n")
	must(t, os.Chtimes(filepath.Join(dir, "c.csv"), time.Time{}, time.Now().Add(time.Minute)))
	p = open()
	if _, err := p.Image(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "another row") {
		t.Errorf("a: %v", err)
	}
	if _, err := p.Image(t.Context(), 1); err != nil {
		t.Errorf("b/2: %v", err)
	}
	// While it is in use.
	write("c.csv", "id,x,y\n")
	if _, err := p.Image(t.Context(), 1); !errors.Is(err, ErrSource) {
		t.Errorf("a catalogue that changed: %v", err)
	}
	if _, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "s", Path: definition}}, Limits{}, nil); err == nil || !strings.Contains(err.Error(), "no images") {
		t.Errorf("an empty catalogue: %v", err)
	}
	write("c.csv", "id,x,y\na,900,900\n")
	if _, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "s", Path: definition}}, Limits{}, nil); err == nil || !strings.Contains(err.Error(), "of 1 object in its catalogue none can be cut out") {
		t.Errorf("all outside: %v", err)
	}
}
