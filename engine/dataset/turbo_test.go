//go:build turbojpeg && cgo

package dataset

import (
	"bytes"
	"image"
	"math"
	"os"
	"testing"

	"anomalymatch/internal/glob"
	"anomalymatch/internal/testdata"
)

func sizedBy(t *testing.T, quick func([]byte, image.Point, int, func(image.Image)) bool, b []byte, size, least int) []byte {
	t.Helper()
	dst := make([]byte, size*size*3)
	_, whole, err := identify(b, Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !quick(b, whole, least, func(m image.Image) { resized(dst, m, size) }) {
		return nil
	}
	return dst
}

// TestTurbo: libjpeg-turbo and the decoder in Go give the same pixels where the picture keeps its size.
func TestTurbo(t *testing.T) {
	files := append(glob.In("testdata/jpeg", "*.jpg"), first(glob.In(testdata.Shared(t, "data/galaxies/images"), "*.jpg"), 200)...)
	compared := 0
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		ours := sizedBy(t, pureJPEG, b, 50, 50)
		if ours == nil {
			continue // not of the common kind
		}
		compared++
		if theirs := sizedBy(t, turboJPEG, b, 50, 50); !bytes.Equal(ours, theirs) {
			t.Errorf("%s differs", f)
		}
		if theirs := sizedBy(t, turboJPEG, b[:len(b)*2/3], 50, 50); theirs != nil {
			t.Errorf("%s is decoded though a third is missing", f)
		}
	}
	if compared < 200 {
		t.Errorf("%d compared", compared)
	}
}

// TestTurboScales: what decoding at a half or a quarter changes in the network's pixels, on galaxies of 128 px. Printed, and bounded.
func TestTurboScales(t *testing.T) {
	files := first(glob.In(testdata.Shared(t, "data/galaxies/images"), "*.jpg"), 500)
	for _, size := range []int{32, 16} {
		sum, squares, worst, n := 0.0, 0.0, 0.0, 0.0
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			whole, scaled := sizedBy(t, turboJPEG, b, size, 1<<16), sizedBy(t, turboJPEG, b, size, size)
			for i := range whole {
				d := math.Abs(float64(whole[i]) - float64(scaled[i]))
				sum, squares, worst, n = sum+d, squares+d*d, max(worst, d), n+1
			}
		}
		mean, rms := sum/n, math.Sqrt(squares/n)
		t.Logf("128 to %d px by 1/%d: mean %.3f, root mean square %.3f, largest %.0f grey levels", size, 64/size, mean, rms, worst)
		if mean > 1 || rms > 1.5 || sum == 0 {
			t.Errorf("%d px: mean %.3f, rms %.3f", size, mean, rms)
		}
	}
}

func first(s []string, n int) []string { return s[:min(n, len(s))] }
