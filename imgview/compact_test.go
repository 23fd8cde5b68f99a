package imgview

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
)

var skies = map[int][]*image.RGBA{} // by size

// sky is n galaxies as the demo draws them.
func sky(n, size int) []*image.RGBA {
	out := skies[size]
	for i := len(out); i < n; i++ {
		m, _ := synth.Galaxy(1, i, size)
		img := image.NewRGBA(image.Rect(0, 0, size, size))
		for j := range size * size {
			copy(img.Pix[4*j:], m.Pix[3*j:3*j+3])
			img.Pix[4*j+3] = 255
		}
		out = append(out, img)
	}
	skies[size] = out
	return out[:n]
}

// smooth is a galaxy without any noise: nothing hides a band.
func smooth(size int, scale float64, tint [3]float64) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			r := math.Hypot(float64(x)-float64(size)/2, 1.4*(float64(y)-float64(size)/2))
			f := 12 + 200*math.Exp(-r/scale)
			img.SetRGBA(x, y, color.RGBA{uint8(f*tint[0] + 0.5), uint8(f*tint[1] + 0.5), uint8(f*tint[2] + 0.5), 255})
		}
	}
	return img
}

// files is n pictures of a folder, evenly chosen.
func files(t testing.TB, n int, pattern string) []*image.RGBA {
	names, _ := filepath.Glob(pattern)
	var out []*image.RGBA
	for i := 0; i < n && len(names) >= n; i++ {
		f, err := os.Open(names[i*(len(names)/n)])
		if err != nil {
			t.Fatal(err)
		}
		img, _, err := image.Decode(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		b := img.Bounds()
		rgba := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
		draw.Draw(rgba, rgba.Rect, img, b.Min, draw.Src)
		out = append(out, rgba)
	}
	return out
}

// difference is the PSNR in dB of a PNG against its source, and the largest error of the mean brightness of 5×5 pixels.
func difference(t testing.TB, img *image.RGBA, wire []byte) (psnr, band float64) {
	t.Helper()
	got, err := png.Decode(bytes.NewReader(wire))
	if err != nil {
		t.Fatal(err)
	}
	if got.Bounds() != img.Rect {
		t.Fatalf("%v, want %v", got.Bounds(), img.Rect)
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	off := make([]float64, w*h)
	var sum float64
	for i := range off {
		r, g, b, _ := got.At(i%w, i/w).RGBA()
		for j, v := range []uint32{r, g, b} {
			d := float64(v>>8) - float64(img.Pix[4*i+j])
			sum += d * d
			off[i] += d * []float64{0.299, 0.587, 0.114}[j]
		}
	}
	for y := 0; y+5 <= h; y++ {
		for x := 0; x+5 <= w; x++ {
			var s float64
			for k := range 25 {
				s += off[(y+k/5)*w+x+k%5]
			}
			band = max(band, math.Abs(s)/25)
		}
	}
	return 10 * math.Log10(255*255*3*float64(w*h)/sum), band
}

// TestBytes prints what the ways of sending a picture cost, and holds the ones of few bytes to what they promise. Real pictures are looked at
// where there are some.
func TestBytes(t *testing.T) {
	data := os.Getenv("ANOMALYMATCH_DATA")
	encoders := []struct {
		name   string
		encode func(*image.RGBA) []byte
	}{
		{"full", func(img *image.RGBA) []byte { return fullPNG(img, png.BestSpeed) }},
		{"full, small", func(img *image.RGBA) []byte { return fullPNG(img, png.BestCompression) }},
		{"compact", compact},
	}
	for _, set := range []struct {
		name  string
		imgs  []*image.RGBA
		share float64 // of full that compact may take
	}{
		{"SDSS 128", files(t, 10, filepath.Join(data, "galaxies/images/*.jpg")), 0.7},
		{"photographs 64", files(t, 10, filepath.Join(data, "natural/images/*")), 0.7},
		{"synthetic 96", sky(10, 96), 0.5},
		{"synthetic 128", sky(10, 128), 0.5},
		{"smooth 128", []*image.RGBA{smooth(128, 20, [3]float64{1, .8, .5}), smooth(128, 9, [3]float64{.8, .9, 1.1}), smooth(128, 40, [3]float64{1, .9, .9})}, 0.7},
	} {
		n := len(set.imgs)
		if n == 0 || n > 3 && testing.Short() {
			continue
		}
		full := 0
		for _, e := range encoders {
			size, least, worst := 0, math.Inf(1), 0.0
			took := time.Duration(math.MaxInt64)
			for _, img := range set.imgs {
				start := time.Now()
				wire := e.encode(img)
				took = min(took, time.Since(start))
				size += len(wire)
				psnr, band := difference(t, img, wire)
				least, worst = min(least, psnr), max(worst, band)
			}
			t.Logf("%-14s  %-11s  %5d bytes a picture, %6d for 100 of them on the wire, at least %5.1f dB, mean of 5×5 off by at most %.2f, %.1f ms",
				set.name, e.name, size/n, 100*base64.StdEncoding.EncodedLen(size/n), least, worst, took.Seconds()*1000)
			if least < minPSNR {
				t.Errorf("%s, %s: %.1f dB", set.name, e.name, least)
			}
			switch e.name {
			case "full":
				full = size
			case "compact":
				if float64(size) > set.share*float64(full) {
					t.Errorf("%s: %d bytes, more than %.0f%% of %d", set.name, size, 100*set.share, full)
				}
				if worst > 4.5 {
					t.Errorf("%s: the mean of a window is off by %.2f", set.name, worst)
				}
			}
		}
	}
}

// Where nothing hides a contour there is none.
func TestNoBands(t *testing.T) {
	for _, tint := range [][3]float64{{1, 1, 1}, {1, .8, .5}, {.8, .9, 1.1}, {1, .5, .5}} {
		for _, scale := range []float64{7, 15, 30, 60} {
			img := smooth(128, scale, tint)
			psnr, band := difference(t, img, compact(img))
			if psnr < minPSNR || band > 1 {
				t.Errorf("tint %v, scale %v: %.1f dB, the mean of 5×5 is off by %.2f", tint, scale, psnr, band)
			}
		}
	}
}

func TestCompactFormats(t *testing.T) {
	grey := smooth(64, 10, [3]float64{1, 1, 1})
	extremes := image.NewRGBA(image.Rect(0, 0, 33, 21)) // rounding must not leave 0…255
	for i := range extremes.Pix {
		extremes.Pix[i] = uint8(i*i*7919>>5) | uint8(-(i & 1))
		if i%5 == 0 {
			extremes.Pix[i] = 0
		}
		if i%4 == 3 {
			extremes.Pix[i] = 255
		}
	}
	for name, img := range map[string]*image.RGBA{"grey": grey, "1×1": extremes.SubImage(image.Rect(0, 0, 1, 1)).(*image.RGBA),
		"extremes": extremes, "colour": smooth(30, 9, [3]float64{1, .5, .2})} {
		img = flatten(img, img.Rect.Dx(), img.Rect.Dy())
		wire := compact(img)
		psnr, _ := difference(t, img, wire)
		if psnr < minPSNR {
			t.Errorf("%s: %.1f dB", name, psnr)
		}
		cfg, _ := png.DecodeConfig(bytes.NewReader(wire))
		if isGrey := cfg.ColorModel == color.GrayModel; isGrey != (name == "grey") {
			t.Errorf("%s: grey %v", name, isGrey)
		}
	}
	if c, f := len(compact(grey)), len(fullPNG(thin(grey), png.BestSpeed)); c >= f {
		t.Errorf("a grey picture takes %d bytes, and in full %d", c, f)
	}
}

// BenchmarkBytes is the protocol's cost of a labelled image of the demo: bytes a picture on the wire.
func BenchmarkBytes(b *testing.B) {
	imgs := sky(12, 96)
	for _, k := range []kittyStore{{}, {few: true}} {
		b.Run(map[bool]string{false: "full", true: "compact"}[k.few], func(b *testing.B) {
			n := 0
			for i := 0; b.Loop(); i++ {
				e, err := k.encode(imgs[i%len(imgs)], 22, 11, image.Pt(10, 20))
				if err != nil {
					b.Fatal(err)
				}
				n += len(strings.Join(k.transmit(firstSlot, e.wire, 22, 11), ""))
			}
			b.ReportMetric(float64(n)/float64(b.N), "B/picture")
		})
	}
}

func fullPNG(img image.Image, level png.CompressionLevel) []byte {
	var out bytes.Buffer
	(&png.Encoder{CompressionLevel: level}).Encode(&out, img)
	return out.Bytes()
}

func BenchmarkCompact(b *testing.B) {
	for _, size := range []int{96, 128, 512} {
		imgs := sky(4, size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				compact(imgs[i%len(imgs)])
			}
		})
	}
}
