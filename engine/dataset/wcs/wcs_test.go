package wcs

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/fits"
)

var _ Header = fits.Header{}

// keywords is a header for tests.
type keywords map[string]any

func (k keywords) Int(key string) (int64, bool) {
	f, ok := k[key].(float64)
	return int64(f), ok && f == math.Trunc(f)
}
func (k keywords) Float(key string) (float64, bool) { f, ok := k[key].(float64); return f, ok }
func (k keywords) Text(key string) (string, bool)   { s, ok := k[key].(string); return s, ok }

// The values are astropy's, by bench/wcs.py.
func TestAstropy(t *testing.T) {
	b, err := os.ReadFile("testdata/astropy.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name   string
		Header keywords
		Points [][4]float64
	}
	if err := json.Unmarshal(b, &cases); err != nil || len(cases) == 0 {
		t.Fatal(len(cases), err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			w, err := New(c.Header)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Points) < 10 {
				t.Fatalf("only %d points", len(c.Points))
			}
			for _, p := range c.Points {
				ra, dec := w.Sky(p[0], p[1])
				off := math.Hypot(math.Remainder(ra-p[2], 360)*math.Cos(p[3]*math.Pi/180), dec-p[3])
				if off > 1e-9 || ra < 0 || ra >= 360 {
					t.Errorf("(%g, %g) is at %.12g, %.12g; astropy has %.12g, %.12g", p[0], p[1], ra, dec, p[2], p[3])
				}
				x, y, ok := w.Pixel(p[2], p[3])
				if off := math.Hypot(x-p[0], y-p[1]); !ok || off > 1e-6 {
					t.Errorf("%.12g, %.12g is in (%.9f, %.9f) %v, %g px from (%g, %g)", p[2], p[3], x, y, ok, off, p[0], p[1])
				}
			}
		})
	}
}

func tan(more ...any) keywords {
	k := keywords{"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 50.0, "CRPIX2": 50.0, "CRVAL1": 10.0, "CRVAL2": 20.0, "CDELT1": -1e-4, "CDELT2": 1e-4}
	for i := 0; i < len(more); i += 2 {
		k[more[i].(string)] = more[i+1]
	}
	return k
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		header keywords
		want   string
	}{
		{keywords{}, "no sky coordinates"},
		{tan("CTYPE1", "GLON-TAN", "CTYPE2", "GLAT-TAN"), `"GLON"`},
		{tan("CTYPE1", "RA---SIN", "CTYPE2", "DEC--SIN"), `"SIN"`},
		{tan("CTYPE1", "RA---TPV", "CTYPE2", "DEC--TPV"), `"TPV"`},
		{tan("CTYPE1", "RA---TAN-TPD"), `"TPD"`},
		{tan("CTYPE2", "RA---TAN"), "both axes"},
		{tan("PV1_0", 0.0), "TPV (PV1_0)"},
		{tan("PV2_1", 1.0), "TPV (PV2_1)"},
		{tan("CPDIS1", "LOOKUP"), "LOOKUP"},
		{tan("CUNIT1", "arcsec"), "arcsec"},
		{tan("RADESYS", "FK4"), "1950"},
		{tan("EQUINOX", 1950.0), "1950"},
		{tan("CDELT1", 0.0), "no inverse"},
		{tan("CRVAL2", 91.0), "declination"},
		{tan("A_ORDER", 10.0), "order 10"},
		{tan("CRPIX1", 1e200), "CRPIX1"},
	} {
		if _, err := New(c.header); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.header, err, c.want)
		}
	}
}

func TestOutside(t *testing.T) {
	w, err := New(tan())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][2]float64{{190, -20}, {100, 0}, {math.NaN(), 0}, {10, math.Inf(1)}} {
		if x, y, ok := w.Pixel(p[0], p[1]); ok {
			t.Errorf("%v is in (%g, %g)", p, x, y)
		}
	}
	if s := w.Scale(); math.Abs(s-1e-4) > 1e-15 {
		t.Errorf("scale %g", s)
	}
}

// FuzzWCS: no header and no position panics or loops, and a position that is found lies where it was.
func FuzzWCS(f *testing.F) {
	f.Add(10.0, 20.0, -1e-4, 0.0, 0.0, 1e-4, 1e-6, -1e-6, 3.0, 5.0)
	f.Add(0.0, 90.0, -1e-4, 1e-5, 1e-5, 1e-4, 0.0, 1e-9, -300.0, 9e5)
	f.Fuzz(func(t *testing.T, ra, dec, a, b, c, d, sipA, sipB, x, y float64) {
		w, err := New(tan("CRVAL1", ra, "CRVAL2", dec, "CD1_1", a, "CD1_2", b, "CD2_1", c, "CD2_2", d, "A_ORDER", 2.0, "A_2_0", sipA, "B_ORDER", 3.0, "B_1_2", sipB))
		if err != nil {
			return
		}
		lon, lat := w.Sky(x, y)
		if px, py, ok := w.Pixel(lon, lat); ok {
			lon2, lat2 := w.Sky(px, py)
			// what float64 resolves of a position, seen through the steepest part of the projection
			if off := math.Hypot(math.Remainder(lon2-lon, 360)*math.Cos(lat*math.Pi/180), lat2-lat); off > 1e-4 && math.Abs(ra) < 360 {
				t.Errorf("(%g, %g) is at %g, %g and comes back to (%g, %g) at %g, %g", x, y, lon, lat, px, py, lon2, lat2)
			}
		}
	})
}

func BenchmarkPixel(b *testing.B) {
	w, err := New(tan("A_ORDER", 2.0, "A_2_0", 1e-6, "B_ORDER", 2.0, "B_1_1", 1e-6))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w.Pixel(10.01, 20.01)
	}
}
