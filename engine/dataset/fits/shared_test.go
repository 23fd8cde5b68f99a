package fits

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/internal/testdata"
)

// Every FITS of the shared folder of formats has the pixels that its manifest names.
func TestManifest(t *testing.T) {
	dir := testdata.Shared(t, "data/formats")
	var manifest map[string]struct {
		SHA256     json.RawMessage `json:"sha256"`
		SameAs     string          `json:"same_as"`
		SamePixels string          `json:"same_pixels_as"`
		Extensions []string
		Shape      []int
		Expect     string
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	read := func(name, which string) (raw.Image, error) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return Decode(b, which, raw.Limits{})
	}
	seen := 0
	for name, want := range manifest {
		if !strings.Contains(name, ".fits") {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "hostile/") {
				m, err := read(name, "")
				if err == nil {
					t.Fatalf("read as %d×%d", m.W, m.H)
				}
				t.Log(err)
				return
			}
			if len(want.Extensions) > 0 {
				var sums []string
				if err := json.Unmarshal(want.SHA256, &sums); err != nil {
					t.Fatal(err)
				}
				for i, ext := range want.Extensions {
					same(t, sums[i], name, func() (raw.Image, error) { return read(name, strings.ToLower(ext)) })
				}
				return
			}
			source := name
			for want.SameAs != "" || want.SamePixels != "" {
				source = want.SameAs + want.SamePixels
				want = manifest[source]
			}
			var sum string
			if want.SHA256 == nil { // told by its meaning
				m, err := read(name, "")
				if err != nil {
					t.Fatal(err)
				}
				nan, values := 0, map[float32]bool{}
				for _, v := range m.Data.([]float32) {
					if math.IsNaN(float64(v)) {
						nan++
					}
					values[v] = true
				}
				if (name == "nan.fits") != (nan > 0) || name == "constant.fits" && len(values) != 1 {
					t.Errorf("%d NaN, %d values", nan, len(values))
				}
				return
			}
			if err := json.Unmarshal(want.SHA256, &sum); err != nil {
				t.Fatal(err)
			}
			m := same(t, sum, name, func() (raw.Image, error) { return read(name, "") })
			if s := want.Shape; len(s) == 3 && (m.C != s[0] || m.H != s[1] || m.W != s[2]) {
				t.Errorf("is %d channels of %d rows of %d", m.C, m.H, m.W)
			}
		})
	}
	if seen < 10 {
		t.Errorf("only %d FITS in the manifest", seen)
	}
}

func same(t *testing.T, want, name string, read func() (raw.Image, error)) raw.Image {
	t.Helper()
	m, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(m.Bytes()); hex.EncodeToString(sum[:]) != want {
		t.Errorf("%s: %d×%d×%d %v, other pixels than the manifest's", name, m.W, m.H, m.C, m.Kind())
	}
	return m
}
