package metrics

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestAUPRCInterval: nine of ten intervals, or more, hold the area of endless images.
func TestAUPRCInterval(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 5))
	draw := func(a, n int) float64 {
		labels, scores := make([]bool, a+n), make([]float64, a+n)
		for i := range labels {
			labels[i], scores[i] = i < a, r.NormFloat64()
			if i < a {
				scores[i] += 1.5
			}
		}
		v, _ := AUPRC(labels, scores)
		return v
	}
	for _, c := range []struct{ a, n int }{{10, 100}, {40, 400}, {30, 60}} {
		ratio := c.n / c.a
		truth := draw(100_000, 100_000*ratio)
		held, draws := 0, 400
		for range draws {
			v := draw(c.a, c.n)
			low, high := AUPRCInterval(v, c.a)
			if !(low >= 0 && low <= v && v <= high && high <= 1) {
				t.Fatalf("%v in %v to %v", v, low, high)
			}
			if low <= truth && truth <= high {
				held++
			}
		}
		if share := float64(held) / float64(draws); share < 0.9 {
			t.Errorf("%d and %d images, AUPRC %.3f: %.3f of the intervals hold it", c.a, c.n, truth, share)
		}
	}
	for _, v := range []float64{0, 1} {
		if low, high := AUPRCInterval(v, 3); math.IsNaN(low) || high-low < 0.2 {
			t.Errorf("%v of three: %v to %v", v, low, high)
		}
	}
	if low, high := AUPRCInterval(1, 1); low != 0 || high != 1 {
		t.Errorf("one anomaly says nothing: %v to %v", low, high)
	}
}
