package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// described is what ../shared/data/formats/manifest.json says of a file.
type described struct {
	SHA    any      `json:"sha256"`      // of all values; of each extension
	JPEGs  []string `json:"jpeg_sha256"` // of each image's bytes
	N      int      `json:"n"`
	Shape  []int    `json:"shape"`
	SameAs string   `json:"same_as"`
	Pixels string   `json:"same_pixels_as"`
	Expect string   `json:"expect"`
}

// refused are the files that must not be read, and what is said of them.
var refused = map[string]string{
	"plain_lzf.h5":                 "LZF",
	"truncated.h5":                 "truncated",
	"hostile/bomb_60000x60000.png": "is 60000×60000 pixels, the limit is",
	"hostile/truncated.jpg":        "is truncated: the JPEG ends too early",
	"hostile/huge_naxis.fits":      "more than any file holds",
}

// TestFormats reads every file of the manifest as a pool of its own: its values by their hash, or its refusal.
func TestFormats(t *testing.T) {
	root := filepath.Join("..", "..", "..", "shared", "data", "formats")
	text, err := os.ReadFile(filepath.Join(root, "manifest.json"))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI must have the files: %v", err)
		}
		t.Skipf("no files of each format: %v", err)
	}
	var manifest map[string]described
	must(t, json.Unmarshal(text, &manifest))
	for _, name := range slices.Sorted(maps.Keys(manifest)) {
		t.Run(name, func(t *testing.T) {
			d := manifest[name]
			for _, as := range []string{d.SameAs, d.Pixels} {
				if as != "" {
					d.SHA = manifest[as].SHA
				}
			}
			path := filepath.Join(root, filepath.FromSlash(name))
			if !IsContainer(path) {
				path = t.TempDir()
				abs, err := filepath.Abs(filepath.Join(root, filepath.FromSlash(name)))
				must(t, err)
				must(t, os.Symlink(abs, filepath.Join(path, filepath.Base(name))))
			}
			p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "it", Path: path}}, Limits{}, nil)
			why := refused[name]
			if err != nil {
				if why == "" || !strings.Contains(err.Error(), why) {
					t.Fatal(err)
				}
				return
			}
			defer p.Close()
			order := make([]int, p.Len()) // of the file
			for i := range order {
				order[i] = i
			}
			slices.SortFunc(order, func(a, b int) int { return int(p.Entry(a).At - p.Entry(b).At) })
			all := sha256.New()
			for k, i := range order {
				err := p.decode(t.Context(), i, 0, func(_ codec, m image.Image) {
					if p, ok := m.(preparedImage); ok {
						m = p.Image
					}
					switch m := m.(type) {
					case rawPicture:
						all.Write(m.Bytes())
					case *image.Gray:
						all.Write(m.Pix)
					default:
						all.Write(fromImage(m).Pix)
					}
				})
				if why != "" {
					if err == nil || !strings.Contains(err.Error(), why) {
						t.Errorf("%s: %v, want …%s", p.ID(i), err, why)
					}
					return
				}
				if err != nil {
					t.Fatalf("%s: %v", p.ID(i), err)
				}
				if d.JPEGs != nil {
					has, err := p.sources["it"].Read(t.Context(), p.Entry(i))
					must(t, err)
					if sum := sha256.Sum256(has.Encoded); hex.EncodeToString(sum[:]) != d.JPEGs[k] {
						t.Errorf("%s has other bytes", p.ID(i))
					}
				}
				// The network and a person see something of it.
				m, err := p.Image(t.Context(), i)
				must(t, err)
				if name != "constant.fits" && slices.Max(m.Pix) == slices.Min(m.Pix) {
					t.Errorf("%s is shown flat", p.ID(i))
				}
				_, err = p.Thumb(t.Context(), i, View{MaxPx: 64, Stretch: "asinh"})
				must(t, err)
				_, err = p.Facts(t.Context(), i)
				must(t, err)
			}
			if why != "" {
				t.Fatal("it is read")
			}
			if want := max(1, d.N, len(d.JPEGs)); len(d.Shape) != 4 && d.SHA != manifest["images.npy"].SHA && p.Len() != want || len(d.Shape) == 4 && p.Len() != d.Shape[0] {
				t.Errorf("%d images", p.Len())
			}
			sum := hex.EncodeToString(all.Sum(nil))
			switch want := d.SHA.(type) {
			case string:
				if sum != want {
					t.Errorf("the values have the hash %s, want %s", sum, want)
				}
			case []any:
				if sum != want[0] {
					t.Errorf("the values of the first have the hash %s, want %s", sum, want[0])
				}
			}
		})
	}
}
