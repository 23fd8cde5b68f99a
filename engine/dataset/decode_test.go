package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/internal/testdata"
)

// noise is a seeded picture without structure, smooth enough for JPEG.
func noise(seed uint64, w, h int) RGB {
	r := rand.New(rand.NewPCG(seed, 1))
	m := NewRGB(w, h)
	for y := range h {
		for x := range w * 3 {
			m.Pix[y*w*3+x] = uint8((x*3+y*5)/2) + uint8(r.IntN(24))
		}
	}
	return m
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 92}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDecodePixelTypes(t *testing.T) {
	const w, h = 5, 3
	box := image.Rect(0, 0, w, h)
	at := func(x, y int) (uint8, uint8, uint8) { return uint8(40*x + y), uint8(80*y + x), uint8(255 - 40*x) }
	grey := func(x, y int) (uint8, uint8, uint8) { v := uint8(30*x + 7*y); return v, v, v }
	draw := func(set func(x, y int, r, g, b uint8), at func(x, y int) (r, g, b uint8)) {
		for y := range h {
			for x := range w {
				r, g, b := at(x, y)
				set(x, y, r, g, b)
			}
		}
	}
	rgba, nrgba, rgba64, nrgba64 := image.NewRGBA(box), image.NewNRGBA(box), image.NewRGBA64(box), image.NewNRGBA64(box)
	gray, gray16 := image.NewGray(box), image.NewGray16(box)
	var pal color.Palette
	draw(func(x, y int, r, g, b uint8) { pal = append(pal, color.NRGBA{r, g, b, 128}) }, at)
	paletted := image.NewPaletted(box, pal)
	draw(func(x, y int, r, g, b uint8) {
		rgba.SetRGBA(x, y, color.RGBA{r, g, b, 255})
		nrgba.SetNRGBA(x, y, color.NRGBA{r, g, b, uint8(9 * x)})
		wide := func(v uint8) uint16 { return uint16(v)<<8 | 0x9c } // the low byte is cut off, not rounded
		rgba64.SetRGBA64(x, y, color.RGBA64{wide(r), wide(g), wide(b), 0xffff})
		nrgba64.SetNRGBA64(x, y, color.NRGBA64{wide(r), wide(g), wide(b), 0x1234})
		paletted.SetColorIndex(x, y, uint8(y*w+x))
	}, at)
	draw(func(x, y int, v, _, _ uint8) {
		gray.SetGray(x, y, color.Gray{v})
		gray16.SetGray16(x, y, color.Gray16{uint16(v)<<8 | 0x9c})
	}, grey)

	for name, c := range map[string]struct {
		img  image.Image
		want func(x, y int) (uint8, uint8, uint8)
	}{
		"8-bit colour": {rgba, at}, "alpha is dropped": {nrgba, at}, "16-bit colour": {rgba64, at}, "16-bit alpha": {nrgba64, at},
		"grey": {gray, grey}, "16-bit grey": {gray16, grey}, "palette": {paletted, at},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(pngOf(t, c.img), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			draw(func(x, y int, r, g, b uint8) {
				if p := got.Pix[(y*w+x)*3:]; p[0] != r || p[1] != g || p[2] != b {
					t.Errorf("pixel %d,%d is %v, want %d %d %d", x, y, p[:3], r, g, b)
				}
			}, c.want)
		})
	}
	t.Run("CMYK", func(t *testing.T) {
		m := image.NewCMYK(image.Rect(0, 0, 1, 1))
		m.SetCMYK(0, 0, color.CMYK{255, 0, 0, 0})
		if got := fromImage(m).Pix; !bytes.Equal(got, []uint8{0, 255, 255}) {
			t.Errorf("cyan is %v", got)
		}
	})
	t.Run("grey JPEG", func(t *testing.T) {
		got, err := Decode(jpegOf(t, gray), Limits{})
		if err != nil || got.W != w || got.H != h || got.Pix[0] != got.Pix[2] {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// hugePNG is a header that promises w × h pixels, with a right checksum and nothing behind it.
func hugePNG(w, h uint32) []byte {
	chunk := []byte("IHDR")
	for _, v := range []uint32{w, h} {
		chunk = append(chunk, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	chunk = append(chunk, 8, 2, 0, 0, 0)
	sum := crc32.ChecksumIEEE(chunk)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return append(b, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

func TestDecodeRefuses(t *testing.T) {
	whole := jpegOf(t, noise(1, 64, 64).Image())
	wholePNG := pngOf(t, noise(1, 64, 64).Image())
	for name, c := range map[string]struct {
		data  []byte
		limit Limits
		want  string
		over  bool
	}{
		"empty":          {data: nil, want: "is empty"},
		"text":           {data: []byte("hello"), want: "is not an image this program reads (JPEG, PNG, WebP, TIFF and FITS)"},
		"huge":           {data: hugePNG(60000, 60000), want: "is 60000×60000 pixels, the limit is 100 Mpx (setting images.max_megapixels)", over: true},
		"over a setting": {data: whole, limit: Limits{MaxPixels: 4000}, want: "is 64×64 pixels, the limit is 0.004 Mpx", over: true},
		"no pixels":      {data: hugePNG(0, 5), want: "PNG"},
		"many bytes":     {data: whole, limit: Limits{MaxBytes: 100}, want: "(setting images.max_file_mib)", over: true},
		"short JPEG":     {data: whole[:len(whole)/2], want: "is truncated: the JPEG ends too early"},
		"short PNG":      {data: wholePNG[:len(wholePNG)/2], want: "is truncated: the PNG ends too early"},
		"only a header":  {data: whole[:3], want: "is truncated"},
		"bad PNG":        {data: append(append([]byte{}, wholePNG[:60]...), wholePNG[100:]...), want: "is a damaged PNG"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(c.data, c.limit)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if errors.Is(err, ErrLimit) != c.over {
				t.Errorf("counts as a limit: %v, want %v", !c.over, c.over)
			}
		})
	}
}

func TestDecodeHostileFiles(t *testing.T) {
	dir := testdata.Shared(t, "data/formats/hostile")
	for name, want := range map[string]string{
		"bomb_60000x60000.png": "is 60000×60000 pixels",
		"not_an_image.jpg":     "is not an image",
		"empty.png":            "is empty",
		"truncated.jpg":        "is truncated",
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b, Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
}

func TestDecodeFormats(t *testing.T) {
	dir := testdata.Shared(t, "data/formats")
	var manifest map[string]struct{ SHA256 any }
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(b, &manifest)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rgba.png", "grey.png"} {
		m := decodeFile(t, filepath.Join(dir, name))
		pix := m.Pix
		if name == "grey.png" { // its sum is that of one channel
			pix = nil
			for i := 0; i < len(m.Pix); i += 3 {
				if m.Pix[i] != m.Pix[i+1] || m.Pix[i] != m.Pix[i+2] {
					t.Fatalf("%s: channels differ at %d", name, i/3)
				}
				pix = append(pix, m.Pix[i])
			}
		}
		sum := sha256.Sum256(pix)
		if got := hex.EncodeToString(sum[:]); got != manifest[name].SHA256 {
			t.Errorf("%s: pixels are %s, want %s", name, got, manifest[name].SHA256)
		}
	}
}

// TestDecodeIsPillows: pixels of JPEGs are equal to Pillow's, also those of the kinds that the standard library decodes, but for its
// rounding.
func TestDecodeIsPillows(t *testing.T) {
	var want map[string]struct {
		Size   [2]int
		SHA256 string
	}
	b, err := os.ReadFile("testdata/jpeg/pixels.json")
	if err == nil {
		err = json.Unmarshal(b, &want)
	}
	if err != nil || len(want) < 10 {
		t.Fatalf("%d cases, %v", len(want), err)
	}
	for name, want := range want {
		got := decodeFile(t, "testdata/jpeg/"+name+".jpg")
		if got.W != want.Size[0] || got.H != want.Size[1] {
			t.Errorf("%s: %d×%d", name, got.W, got.H)
			continue
		}
		if _, err := os.Stat("testdata/jpeg/" + name + ".png"); err == nil {
			if d := farthest(got.Pix, decodeFile(t, "testdata/jpeg/"+name+".png").Pix); d > 3 {
				t.Errorf("%s: differs by %d", name, d)
			}
		} else if sum := sha256.Sum256(got.Pix); hex.EncodeToString(sum[:]) != want.SHA256 {
			t.Errorf("%s: differs", name)
		}
	}
}

// farthest is the largest difference of two samples.
func farthest(a, b []uint8) int {
	d := 0
	for i := range a {
		d = max(d, int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return d
}

func decodeFile(t testing.TB, path string) RGB {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Decode(b, Limits{})
	if err != nil {
		t.Fatalf("%s %v", filepath.Base(path), err)
	}
	return m
}

func FuzzDecode(f *testing.F) {
	small := noise(2, 9, 7).Image()
	f.Add(pngOf(f, small))
	f.Add(jpegOf(f, small))
	f.Add(hugePNG(60000, 60000))
	f.Add([]byte("\xff\xd8\xff"))
	limit := Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 16}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b, limit)
		if err == nil && (m.W < 1 || m.H < 1 || m.W*m.H > limit.MaxPixels || len(m.Pix) != m.W*m.H*3) {
			t.Errorf("%d×%d with %d bytes of pixels", m.W, m.H, len(m.Pix))
		}
	})
}

// BenchmarkDecode decodes pictures of 256 × 256 in memory, of a sky with stars; docs/formats.md has its figures.
func BenchmarkDecode(b *testing.B) {
	const side = 256
	r := rand.New(rand.NewPCG(1, 2))
	sky := make([]float64, side*side)
	for range 30 {
		x, y, flux := r.IntN(side), r.IntN(side), 40+200*r.Float64()
		for v := max(0, y-9); v < min(side, y+10); v++ {
			for u := max(0, x-9); u < min(side, x+10); u++ {
				sky[v*side+u] += flux * math.Exp(-float64((u-x)*(u-x)+(v-y)*(v-y))/8)
			}
		}
	}
	grey, grey16, rgba := image.NewGray(image.Rect(0, 0, side, side)), image.NewGray16(image.Rect(0, 0, side, side)), image.NewRGBA(image.Rect(0, 0, side, side))
	for i, v := range sky {
		x, y := i%side, i/side
		level := func() uint8 { return uint8(min(v+20+4*r.NormFloat64(), 255)) }
		grey.SetGray(x, y, color.Gray{Y: level()})
		grey16.SetGray16(x, y, color.Gray16{Y: uint16(min(256*(v+20+4*r.NormFloat64()), 65535))})
		rgba.SetRGBA(x, y, color.RGBA{R: level(), G: level(), B: level(), A: 255})
	}
	for _, k := range []struct {
		name string
		data []byte
	}{
		{"JPEG colour", jpegOf(b, rgba)}, {"JPEG grey", jpegOf(b, grey)}, {"PNG colour", pngOf(b, rgba)}, {"PNG grey", pngOf(b, grey)}, {"PNG 16 bit", pngOf(b, grey16)},
	} {
		b.Run(k.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(k.data)))
			for b.Loop() {
				if _, err := Decode(k.data, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
