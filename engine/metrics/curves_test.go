package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The areas under the curves are the areas that scikit-learn agrees with, with and without ties.
func TestCurvesHoldTheAreas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		labels, scores := make([]bool, 2+r.IntN(60)), []float64{}
		levels := 1 + r.IntN(40) // few: many ties
		for i := range labels {
			labels[i] = r.IntN(3) == 0
			scores = append(scores, float64(r.IntN(levels)))
		}
		if n%10 == 0 {
			scores[0] = math.NaN()
		}
		for name, c := range map[string]struct {
			curve func([]bool, []float64) (Curve, bool)
			area  func([]bool, []float64) (float64, bool)
		}{"ROC": {ROC, AUROC}, "precision-recall": {PrecisionRecall, AUPRC}} {
			curve, ok := c.curve(labels, scores)
			want, known := c.area(labels, scores)
			if ok != known || ok && math.Abs(curve.Area()-want) > 1e-12 {
				t.Fatalf("%s of %v %v: area %v %v, want %v %v", name, labels, scores, curve.Area(), ok, want, known)
			}
			if !slices.IsSorted(curve.X) {
				t.Fatalf("%s goes back: %v", name, curve.X)
			}
		}
	}
}

func TestDetection(t *testing.T) {
	labels := []bool{true, false, true, false, false, true, false, false}
	scores := []float64{9, 8, 5, 5, 5, 1, 1, math.NaN()}
	c, ok := Detection(labels, scores)
	if want := (Curve{X: []float64{0, 1. / 8, 2. / 8, 5. / 8, 7. / 8, 1}, Y: []float64{0, 1. / 3, 1. / 3, 2. / 3, 1, 1}}); !ok || !slices.Equal(c.X, want.X) || !slices.Equal(c.Y, want.Y) {
		t.Fatalf("got %v %v, want %v", c, ok, want)
	}
	// One of three images with the same score is an anomaly: after one of them a third of it is found, whatever their order.
	if got := c.At(3. / 8); math.Abs(got-4./9) > 1e-12 {
		t.Errorf("in the middle of a tie: %v", got)
	}
	if _, ok := Detection([]bool{false}, []float64{1}); ok {
		t.Error("anomalies found where there are none")
	}
	if c, ok := Detection([]bool{true, true}, []float64{1, 2}); !ok || c.At(0.5) != 0.5 {
		t.Errorf("only anomalies: %v %v", c, ok)
	}
}

func TestAt(t *testing.T) {
	c := Curve{X: []float64{0, 0.5, 0.5, 1}, Y: []float64{0, 0.2, 0.6, 1}}
	for x, want := range map[float64]float64{-1: 0, 0: 0, 0.25: 0.1, 0.5: 0.6, 0.75: 0.8, 1: 1, 2: 1} {
		if got := c.At(x); math.Abs(got-want) > 1e-12 {
			t.Errorf("at %v: %v, want %v", x, got, want)
		}
	}
	if !math.IsNaN(Curve{}.At(0)) {
		t.Error("a curve without points has a height")
	}
}

func TestHistogram(t *testing.T) {
	inf := math.Inf(1)
	got := Histogram([]float64{0, 0.24, 0.25, 0.99, 1, -3, 7, inf, -inf, math.NaN()}, 4)
	if want := []int64{4, 1, 0, 4}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
