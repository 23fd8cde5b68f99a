package dataset

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/engine/dataset/stretch"
)

func TestThumbsAreStretchedOverTheFullRange(t *testing.T) {
	root := tree(t, nil)
	deep := image.NewGray16(image.Rect(0, 0, 64, 1)) // all within one step of eight bits
	for x := range 64 {
		deep.SetGray16(x, 0, color.Gray16{Y: uint16(0x2000 + 4*x)})
	}
	bands := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	bands.SetNRGBA(0, 0, color.NRGBA{10, 0, 100, 255})
	bands.SetNRGBA(1, 0, color.NRGBA{20, 0, 50, 255})
	one := image.NewGray(image.Rect(0, 0, 1, 1))
	one.Pix[0] = 7
	long := noise(3, 20_000, 3)
	for name, m := range map[string]image.Image{"a.png": deep, "b.png": bands, "c.png": one, "d.png": long.Image()} {
		if err := os.WriteFile(filepath.Join(root, name), pngOf(t, m), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, t.TempDir(), NamedSource{Name: "s", Path: root})
	for _, c := range []struct {
		name  string
		image int
		view  View
		first [3]uint8 // pixels
		last  [3]uint8
		bands int
		grey  bool
	}{
		{"16 bits as the network sees them", 0, View{MaxPx: 64}, [3]uint8{32, 32, 32}, [3]uint8{32, 32, 32}, 1, false},
		{"16 bits, linear", 0, View{MaxPx: 64, Stretch: "linear"}, [3]uint8{}, [3]uint8{255, 255, 255}, 1, true},
		{"more bands than there are: the last", 0, View{MaxPx: 64, Stretch: "linear", Band: 9}, [3]uint8{}, [3]uint8{255, 255, 255}, 1, true},
		{"bands by themselves", 1, View{MaxPx: 64, Stretch: "linear"}, [3]uint8{0, 0, 255}, [3]uint8{255, 0, 0}, 3, false},
		{"one band, stretched", 1, View{MaxPx: 64, Stretch: "sqrt", Band: 3}, [3]uint8{255, 255, 255}, [3]uint8{}, 3, true},
		{"one band", 1, View{MaxPx: 64, Band: 3}, [3]uint8{100, 100, 100}, [3]uint8{50, 50, 50}, 3, true},
		{"1 × 1", 2, View{MaxPx: 64, Stretch: "zscale"}, [3]uint8{}, [3]uint8{}, 1, true},
		{"1 × 1, one band", 2, View{MaxPx: 64, Band: 1}, [3]uint8{7, 7, 7}, [3]uint8{7, 7, 7}, 1, true},
	} {
		out, err := p.Thumb(t.Context(), c.image, c.view)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		m, err := Decode(out.Data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		n := len(m.Pix)
		if got := [3]uint8(m.Pix); got != c.first {
			t.Errorf("%s: first pixel %v, want %v", c.name, got, c.first)
		}
		if got := [3]uint8(m.Pix[n-3:]); got != c.last {
			t.Errorf("%s: last pixel %v, want %v", c.name, got, c.last)
		}
		if out.Bands != c.bands {
			t.Errorf("%s: %d bands, want %d", c.name, out.Bands, c.bands)
		}
		decoded, err := png.Decode(bytes.NewReader(out.Data))
		if _, grey := decoded.(*image.Gray); err != nil || grey != c.grey {
			t.Errorf("%s: is a %T", c.name, decoded)
		}
	}
	for _, s := range append([]stretch.Stretch{{}}, stretch.All...) {
		out, err := p.Thumb(t.Context(), 3, View{MaxPx: 20_000, Stretch: s.Name})
		if err != nil || out.W != 20_000 || out.H != 3 || out.SrcH != 3 {
			t.Errorf("20,000 × 3, %s: %d×%d, %v", s.Name, out.W, out.H, err)
		}
	}
	if _, err := p.Thumb(t.Context(), 0, View{MaxPx: 8, Stretch: "sine"}); err == nil {
		t.Error("there is no such stretch")
	}
	if len(p.Bad()) != 0 {
		t.Errorf("bad: %v", p.Bad())
	}
}

// measured are planes as a decoder of measured values would give them.
func measured(w int, bands ...[]float64) Planes {
	return Planes{W: w, H: len(bands[0]) / w, Bands: len(bands), Type: "32-bit floats", row: func(dst []float64, band, y int) { copy(dst, bands[band][y*w:]) }}
}

func TestValuesOfMeasuredBands(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	for name, c := range map[string]struct {
		band []float64
		want Values
	}{
		"negative, and holes": {[]float64{-3, nan, 1, inf, -1, 7}, Values{-3, 7, 1, 2}},
		"constant":            {[]float64{5, 5}, Values{5, 5, 5, 0}},
		"all NaN":             {[]float64{nan, nan}, Values{nan, nan, nan, 2}},
	} {
		p := measured(2, c.band)
		if got := p.Values(0); !same(got.Min, c.want.Min) || !same(got.Max, c.want.Max) || !same(got.Mean, c.want.Mean) || got.Missing != c.want.Missing {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		for _, s := range stretch.All {
			m, grey := p.Stretched(s, 0)
			if !grey || len(m.Pix) != 3*len(c.band) {
				t.Fatalf("%s, %s: %d bytes, grey %v", name, s.Name, len(m.Pix), grey)
			}
			for i, v := range c.band {
				if math.IsNaN(v) && m.Pix[3*i] != 0 {
					t.Errorf("%s, %s: NaN is drawn as %d", name, s.Name, m.Pix[3*i])
				}
			}
		}
	}
	// Two bands are red and green; each has its own limits.
	linear, _ := stretch.ByName("linear")
	m, grey := measured(2, []float64{0, 1}, []float64{9e9, -9e9}).Stretched(linear, 0)
	if grey || !bytes.Equal(m.Pix, []uint8{0, 255, 0, 255, 0, 0}) {
		t.Errorf("two bands: %v", m.Pix)
	}
}

// The limits of a large image are those of evenly spaced values; here they are the same as those of all.
func TestLimitsOfALargeImage(t *testing.T) {
	w, h := 3001, 2999
	p := Planes{W: w, H: h, Bands: 1, row: func(dst []float64, _, y int) {
		for x := range dst {
			dst[x] = float64((y*w + x) % 1000)
		}
	}}
	percentile, _ := stretch.ByName("percentile")
	lo, hi := p.limits(percentile, 0)
	if math.Abs(lo-2.5) > 1.5 || math.Abs(hi-996.5) > 1.5 {
		t.Errorf("limits %v, %v", lo, hi)
	}
}
