package dataset

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/internal/testdata"
)

func TestResizeIsPillows(t *testing.T) {
	dir := testdata.Shared(t, "parity/resize")
	var manifest struct {
		Input string
		Cases []struct {
			Size [2]int
			File string
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(b, &manifest)
	}
	if err != nil || len(manifest.Cases) != 4 {
		t.Fatalf("%d cases, %v", len(manifest.Cases), err)
	}
	src := decodeFile(t, filepath.Join(dir, manifest.Input))
	for _, c := range manifest.Cases {
		want := decodeFile(t, filepath.Join(dir, c.File))
		got := Resize(src, c.Size[0], c.Size[1])
		if got.W != want.W || got.H != want.H || !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%s: differs", c.File)
		}
	}
}

func TestResizeEdges(t *testing.T) {
	src := noise(4, 7, 5)
	same := Resize(src, 7, 5)
	if !bytes.Equal(same.Pix, src.Pix) {
		t.Error("the same size changes pixels")
	}
	if same.Pix[0]++; same.Pix[0] == src.Pix[0] {
		t.Error("the same size shares memory")
	}
	for _, size := range [][2]int{{1, 1}, {7, 1}, {1, 5}, {300, 2}, {2, 300}, {7, 9}, {9, 5}} {
		if m := Resize(src, size[0], size[1]); len(m.Pix) != size[0]*size[1]*3 {
			t.Errorf("%v: %d bytes", size, len(m.Pix))
		}
	}
	white := NewRGB(1000, 3)
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	for i, v := range Resize(white, 7, 2).Pix {
		if v != 255 {
			t.Fatalf("white becomes %d at %d", v, i)
		}
	}
}

func BenchmarkResize128To64(b *testing.B) {
	src := noise(5, 128, 128)
	b.ReportAllocs()
	for b.Loop() {
		Resize(src, 64, 64)
	}
}
