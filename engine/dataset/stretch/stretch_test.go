package stretch

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/internal/testdata"
)

func TestStretchesAreAstropys(t *testing.T) {
	dir, radio := testdata.Shared(t, "parity/stretch"), testdata.Shared(t, "data/radio")
	var manifest struct {
		Files []struct {
			File    string
			Outputs []struct {
				Stretch, File string
				Limits        [2]float64
				Nearest       float64 `json:"nearest_to_rounding_edge"`
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(b, &manifest)
	}
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"linear_minmax": "linear", "percentile_99.5": "percentile"}
	compared := map[string]int{}
	for _, f := range manifest.Files {
		pix := readFITS(t, filepath.Join(radio, f.File))
		before := slices.Clone(pix)
		for _, out := range f.Outputs {
			name := out.Stretch
			if short, ok := names[name]; ok {
				name = short
			}
			s, ok := ByName(name)
			if !ok {
				t.Fatalf("no stretch %q", name)
			}
			want := readNPY(t, filepath.Join(dir, out.File))
			got, lo, hi := s.Apply(pix)
			limit := 1e-9
			if name == "zscale" {
				limit = 1e-6
			}
			if !(math.Abs(lo/out.Limits[0]-1) <= limit) || !(math.Abs(hi/out.Limits[1]-1) <= limit) {
				t.Errorf("%s: limits %v and %v, want %v", out.File, lo, hi, out.Limits)
			}
			if len(got) != len(want) {
				t.Fatalf("%s: %d pixels, want %d", out.File, len(got), len(want))
			}
			level := 0 // a pixel so near to a rounding edge may fall on either side of it
			if out.Nearest < 1e-6 {
				level = 1
			}
			other := 0
			for i := range got {
				if d := int(got[i]) - int(want[i]); max(d, -d) > level {
					other++
				}
			}
			if other > 0 {
				t.Errorf("%s: %d of %d pixels differ", out.File, other, len(want))
			}
			compared[name]++
		}
		if !slices.Equal(pix, before) {
			t.Errorf("%s: the input was changed", f.File)
		}
	}
	for _, s := range All {
		if compared[s.Name] != 3 {
			t.Errorf("%s: compared with %d images, want 3", s.Name, compared[s.Name])
		}
	}
}

// readFITS returns the primary image of a float32 file, as stored.
func readFITS(t *testing.T, path string) []float64 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const block, card = 2880, 80
	head := map[string]int{}
	end := 0
	for ; end+card <= len(b) && !bytes.HasPrefix(b[end:], []byte("END     ")); end += card {
		key, value, _ := strings.Cut(string(b[end:end+card]), "=")
		var n int
		if _, err := fmt.Sscan(value, &n); err == nil {
			head[strings.TrimSpace(key)] = n
		}
	}
	n := head["NAXIS1"] * head["NAXIS2"]
	data := b[min(len(b), (end/block+1)*block):]
	if head["BITPIX"] != -32 || n == 0 || len(data) < 4*n {
		t.Fatalf("%s is not a float32 image: %v", path, head)
	}
	pix := make([]float64, n)
	for i := range pix {
		pix[i] = float64(math.Float32frombits(binary.BigEndian.Uint32(data[4*i:])))
	}
	return pix
}

// readNPY returns the uint8 values of a version 1 file.
func readNPY(t *testing.T, path string) []uint8 {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("\x93NUMPY\x01\x00")) || !bytes.Contains(b[:128], []byte("|u1")) {
		t.Fatalf("%s is not a uint8 array", path)
	}
	return b[10+binary.LittleEndian.Uint16(b[8:]):]
}

func TestOddImages(t *testing.T) {
	nan, inf, huge := math.NaN(), math.Inf(1), math.MaxFloat64
	ramp := make([]float64, 2000)
	for i := range ramp {
		ramp[i] = float64(i)
	}
	for name, c := range map[string]struct {
		pix    []float64
		lo, hi float64 // of all stretches
	}{
		"empty":                   {nil, 0, 0},
		"nothing finite":          {[]float64{nan, inf, -inf}, 0, 0},
		"one value":               {[]float64{3}, 3, 3},
		"constant":                {slices.Repeat([]float64{-2}, 5000), -2, -2},
		"constant with NaN":       {append(slices.Repeat([]float64{7}, 50), nan), 7, 7},
		"black":                   {make([]float64, 64), 0, 0},
		"two values, one each":    {[]float64{-huge, huge}, -huge, huge},
		"subnormal, nothing else": {slices.Repeat([]float64{5e-324}, 9), 5e-324, 5e-324},
	} {
		for _, s := range All {
			grey, lo, hi := s.Apply(c.pix)
			if len(grey) != len(c.pix) {
				t.Errorf("%s, %s: %d pixels", name, s.Name, len(grey))
			}
			if s.Name == "percentile" && len(c.pix) == 2 {
				continue // interpolates between the two
			}
			if lo != c.lo || hi != c.hi {
				t.Errorf("%s, %s: limits %v, %v", name, s.Name, lo, hi)
			}
			if c.lo == c.hi && slices.Max(append(grey, 0)) != 0 {
				t.Errorf("%s, %s: not black", name, s.Name)
			}
		}
	}

	for _, s := range All {
		// What is not finite is black and moves nothing else.
		plain, lo, hi := s.Apply(ramp)
		holes := slices.Concat(ramp[:1000], []float64{nan, inf, -inf}, ramp[1000:])
		got, lo2, hi2 := s.Apply(holes)
		if lo2 != lo || hi2 != hi || !slices.Equal(slices.Concat(got[:1000], got[1003:]), plain) || slices.Max(got[1000:1003]) != 0 {
			t.Errorf("%s: NaN or infinity changes the others", s.Name)
		}
		if !slices.IsSorted(plain) || plain[0] != 0 || plain[1999] != 255 {
			t.Errorf("%s: a ramp becomes %v…%v, sorted %v", s.Name, plain[0], plain[1999], slices.IsSorted(plain))
		}
		// The whole range of float64.
		got, lo, hi = s.Apply([]float64{-huge, -huge / 2, 0, huge / 2, huge})
		if !slices.IsSorted(got) || got[0] != 0 || got[4] != 255 || lo < -huge || hi > huge {
			t.Errorf("%s: the range of float64 becomes %v, limits %v, %v", s.Name, got, lo, hi)
		}
	}
}

func TestByName(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range All {
		if got, ok := ByName(s.Name); !ok || got.Name != s.Name || seen[s.Name] {
			t.Errorf("%q: %v, %v", s.Name, got.Name, ok)
		}
		seen[s.Name] = true
	}
	if s, ok := ByName("cubehelix"); ok {
		t.Errorf("found %v", s.Name)
	}
}

// The clipping of outliers, worked through by hand: a straight line of samples and a few far ones at either end.
func TestZScaleClips(t *testing.T) {
	s, _ := ByName("zscale")
	for far, want := range map[float64][2]float64{
		// The line left has slope 1, so 4 after the contrast; the median is 49.5, the centre 49.
		1e5:  {0, 49.5 + 51*4},
		-1e5: {49.5 - 48*4, 99},
	} {
		pix := make([]float64, 100)
		for i := range pix {
			pix[i] = float64(i)
		}
		if far > 0 {
			pix[98], pix[99] = far/10, far
		} else {
			pix[0], pix[1] = far, far/10
		}
		if lo, hi := s.Limits(pix); math.Abs(lo-want[0]) > 1e-9 || math.Abs(hi-want[1]) > 1e-9 {
			t.Errorf("outliers to %v: limits %v, %v, want %v", far, lo, hi, want)
		}
	}
}

// On sky with noise and a few bright stars, zscale shows the noise: IRAF's published purpose. The limits lie some deviations around
// the sky; linear shows the star alone.
func TestZScaleShowsTheSky(t *testing.T) {
	const sky, noise = 1000.0, 10.0
	r := rand.New(rand.NewPCG(5, 8))
	for _, peak := range []float64{2e3, 1e4, 1e5} {
		const n = 200
		pix := make([]float64, n*n)
		for i := range pix {
			pix[i] = sky + noise*r.NormFloat64()
		}
		for range 20 {
			cx, cy := r.Float64()*n, r.Float64()*n
			for i := range pix {
				dx, dy := float64(i%n)-cx, float64(i/n)-cy
				pix[i] += peak * math.Exp(-(dx*dx+dy*dy)/8)
			}
		}
		zscale, _ := ByName("zscale")
		lo, hi := zscale.Limits(pix)
		if lo > sky-noise || lo < sky-20*noise || hi < sky+2*noise || hi > sky+30*noise {
			t.Errorf("stars of %g: limits %v, %v around a sky of %v ± %v", peak, lo, hi, sky, noise)
		}
		linear, _ := ByName("linear")
		if _, hi := linear.Limits(pix); hi < peak/2 {
			t.Errorf("stars of %g: linear ends at %v", peak, hi)
		}
	}
}
