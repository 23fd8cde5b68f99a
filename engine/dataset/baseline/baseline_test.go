package baseline

import (
	"bytes"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/internal/glob"
)

var rare = map[string]bool{"restarts": true, "progressive": true} // left to the standard library

// TestAgainstTheStandardLibrary: what is decoded here has its size and layout, and its samples within one level. That pixels are Pillow's
// to the bit is tested in package dataset.
func TestAgainstTheStandardLibrary(t *testing.T) {
	var d Decoder
	files := glob.In("../testdata/jpeg", "*.jpg")
	if len(files) < 10 {
		t.Fatalf("%d files", len(files))
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(f[:len(f)-len(".jpg")])
		got, ok := d.Decode(b)
		if ok == rare[name] {
			t.Fatalf("%s: decoded: %v", name, ok)
		}
		want, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			same(t, name, got, want, 1)
		}
	}
}

func same(t *testing.T, name string, got, want image.Image, tolerance int) {
	t.Helper()
	if got.Bounds() != want.Bounds() {
		t.Fatalf("%s: %v, want %v", name, got.Bounds(), want.Bounds())
	}
	planes := func(m image.Image) (all [][]uint8, strides []int) {
		switch m := m.(type) {
		case *image.Gray:
			return [][]uint8{m.Pix}, []int{m.Stride}
		case *image.YCbCr:
			return [][]uint8{m.Y, m.Cb, m.Cr}, []int{m.YStride, m.CStride, m.CStride, int(m.SubsampleRatio)}
		}
		t.Fatalf("%s: %T", name, m)
		return nil, nil
	}
	a, la := planes(got)
	b, lb := planes(want)
	for i := range la {
		if la[i] != lb[i] {
			t.Fatalf("%s: layout %v, want %v", name, la, lb)
		}
	}
	for i := range a {
		if len(a[i]) < len(b[i]) {
			t.Fatalf("%s: plane %d has %d samples, want %d", name, i, len(a[i]), len(b[i]))
		}
		for k := range b[i] {
			if d := int(a[i][k]) - int(b[i][k]); d < -tolerance || d > tolerance {
				t.Fatalf("%s: plane %d differs by %d at %d, %d", name, i, d, k%la[min(i, 2)], k/la[min(i, 2)])
			}
		}
	}
}

// TestDamage: of a file with changed or missing bytes nothing is decoded that the standard library refuses, and nothing panics.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var d Decoder
	decoded := 0
	for _, f := range glob.In("../testdata/jpeg", "*.jpg") {
		whole, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			b := bytes.Clone(whole)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b))] = uint8(r.Uint32())
			}
			if r.IntN(4) == 0 {
				b = b[:r.IntN(len(b))]
			}
			if c, err := jpeg.DecodeConfig(bytes.NewReader(b)); err != nil || c.Width*c.Height > 1<<16 {
				continue
			}
			if _, ok := d.Decode(b); ok {
				decoded++
				if _, err := jpeg.Decode(bytes.NewReader(b)); err != nil {
					t.Errorf("%s, changed: the standard library says %v", filepath.Base(f), err)
				}
			}
		}
	}
	if decoded == 0 {
		t.Error("no changed file was decoded: nothing was tested")
	}
}

func FuzzDecode(f *testing.F) {
	for _, path := range glob.In("../testdata/jpeg", "*.jpg") {
		if b, err := os.ReadFile(path); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := jpeg.DecodeConfig(bytes.NewReader(b)); err != nil || c.Width*c.Height > 1<<16 {
			return
		}
		var d Decoder
		if m, ok := d.Decode(b); ok && m.Bounds().Empty() {
			t.Error("no pixels")
		}
	})
}

// BenchmarkDecode: a photograph-like JPEG of 300 px to samples, against the standard library.
func BenchmarkDecode(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	m := image.NewRGBA(image.Rect(0, 0, 300, 300))
	for i := range m.Pix {
		m.Pix[i] = uint8(i%1200/8 + i/4800 + r.IntN(16))
	}
	var data bytes.Buffer
	if err := jpeg.Encode(&data, m, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	var d Decoder
	b.Run("here", func(b *testing.B) {
		for b.Loop() {
			if _, ok := d.Decode(data.Bytes()); !ok {
				b.Fatal("refused")
			}
		}
	})
	b.Run("standard-library", func(b *testing.B) {
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(data.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}
