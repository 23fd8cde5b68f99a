package dataset

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fitsFile is a primary image of zeros, 8 bits, with further cards.
func fitsFile(w, h int, cards ...string) []byte {
	var b strings.Builder
	for _, c := range append([]string{"SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    2", fmt.Sprintf("NAXIS1  = %20d", w), fmt.Sprintf("NAXIS2  = %20d", h)}, append(cards, "END")...) {
		fmt.Fprintf(&b, "%-80s", c)
	}
	b.WriteString(strings.Repeat(" ", 2880-b.Len()%2880))
	b.WriteString(strings.Repeat("\x00", w*h))
	b.WriteString(strings.Repeat("\x00", 2880-w*h%2880))
	return []byte(b.String())
}

var tan = []string{"CTYPE1  = 'RA---TAN'", "CTYPE2  = 'DEC--TAN'", "CRVAL1  =                150.0", "CRVAL2  =                  2.0", "CRPIX1  =                  5.5", "CRPIX2  =                  3.5",
	"CDELT1  =              -0.0001", "CDELT2  =               0.0001"}

func TestPositionAndContent(t *testing.T) {
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(fitsFile(10, 6, tan...))
	must(t, z.Close())
	files := map[string]struct {
		b   []byte
		ext string
		why string
	}{
		"a.fits":       {fitsFile(10, 6, tan...), ".fits", ""},
		"b.fits.gz":    {packed.Bytes(), ".fits.gz", ""},
		"none.fits":    {fitsFile(10, 6), ".fits", "CTYPE1"},
		"fk4.fits":     {fitsFile(10, 6, append(tan, "RADESYS = 'FK4'")...), ".fits", `"FK4", which is not converted`},
		"jpeg.fits":    {[]byte("\xff\xd8\xff"), ".jpg", "no FITS file"},
		"unknown.jpeg": {[]byte("what"), "", "no FITS file"},
	}
	for name, f := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), f.b, 0o666))
	}
	p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "s", Path: dir}}, Limits{}, nil)
	must(t, err)
	defer p.Close()
	if p.Len() != len(files) {
		t.Fatalf("%d images", p.Len())
	}
	for i := range p.Len() {
		f := files[strings.TrimPrefix(p.ID(i), "s/")]
		has, err := p.Content(t.Context(), i)
		if err != nil || !bytes.Equal(has.Encoded, f.b) || has.Ext() != f.ext {
			t.Errorf("%s has %d bytes and ends in %q (%v)", p.ID(i), len(has.Encoded), has.Ext(), err)
		}
		at, err := p.Position(t.Context(), i)
		switch {
		case f.why != "":
			if err == nil || !strings.Contains(err.Error(), f.why) {
				t.Errorf("%s: %v, not %q", p.ID(i), err, f.why)
			}
		case err != nil || math.Abs(at.RA-150) > 1e-9 || math.Abs(at.Dec-2) > 1e-9 || math.Abs(at.Radius-.0005) > 1e-9:
			t.Errorf("%s is at %v (%v)", p.ID(i), at, err)
		}
	}
}
