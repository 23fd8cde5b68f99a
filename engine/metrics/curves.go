package metrics

import (
	"math"
	"sort"
)

// Curve is a line through points; X never falls. Where several points share an X the line is upright.
type Curve struct {
	X, Y []float64
}

func (c *Curve) add(x, y float64) { c.X, c.Y = append(c.X, x), append(c.Y, y) }

// At is the height of the line at x, straight between points, level beyond the ends. Where the line is upright it is the last
// point there. NaN without points.
func (c Curve) At(x float64) float64 {
	i := sort.Search(len(c.X), func(i int) bool { return c.X[i] > x }) // the first point to the right
	switch {
	case len(c.X) == 0:
		return math.NaN()
	case i == 0:
		return c.Y[0]
	case i == len(c.X):
		return c.Y[i-1]
	}
	share := (x - c.X[i-1]) / (c.X[i] - c.X[i-1])
	return c.Y[i-1] + share*(c.Y[i]-c.Y[i-1])
}

// Area is the area under the line by trapezia.
func (c Curve) Area() float64 {
	area := 0.0
	for i := 1; i < len(c.X); i++ {
		area += (c.X[i] - c.X[i-1]) * (c.Y[i] + c.Y[i-1]) / 2
	}
	return area
}

// ROC is the share of normal images taken for anomalies (x) against the share of anomalies found (y), as the line that decides
// comes down from the highest score. Its area is AUROC. It is undefined (false) where only one class is present.
func ROC(labels []bool, scores []float64) (Curve, bool) {
	all, total, ok := points(labels, scores)
	if !ok {
		return Curve{}, false
	}
	c := Curve{X: []float64{0}, Y: []float64{0}}
	for _, p := range all {
		c.add(float64(p.seen-p.found)/float64(len(labels)-total), float64(p.found)/float64(total))
	}
	return c, true
}

// PrecisionRecall is recall (x) against precision (y), from recall 0 and precision 1 on. Its area is AUPRC. It is undefined
// (false) where only one class is present.
func PrecisionRecall(labels []bool, scores []float64) (Curve, bool) {
	all, total, ok := points(labels, scores)
	if !ok {
		return Curve{}, false
	}
	c := Curve{X: []float64{0}, Y: []float64{1}}
	for _, p := range all {
		c.add(float64(p.found)/float64(total), float64(p.found)/float64(p.seen))
	}
	return c, true
}

// Detection is the share of images inspected, best score first (x), against the share of the anomalies that are among them (y).
// Images of one score are inspected in no order: the line between its points is what is found on average. It is undefined
// (false) where there is no anomaly.
func Detection(labels []bool, scores []float64) (Curve, bool) {
	all, total, _ := points(labels, scores)
	if total == 0 {
		return Curve{}, false
	}
	c := Curve{X: []float64{0}, Y: []float64{0}}
	for _, p := range all {
		c.add(float64(p.seen)/float64(len(labels)), float64(p.found)/float64(total))
	}
	return c, true
}

// Histogram counts scores in bins of equal width from 0 to 1. Scores beyond the ends count in the outer bins, those that are not
// numbers nowhere.
func Histogram(scores []float64, bins int) []int64 {
	out := make([]int64, max(bins, 1))
	for _, s := range scores {
		if !math.IsNaN(s) {
			out[int(min(float64(len(out)-1), max(0, math.Floor(s*float64(len(out))))))]++
		}
	}
	return out
}
