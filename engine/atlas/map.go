package atlas

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Map is where images lie, by image number: X and Y from 0 to 1, y downwards; NaN where an image has no place. The names of the axes are
// for people; empty where an axis says nothing.
type Map struct {
	X, Y         []float32
	XName, YName string
}

// Region is a part of a map.
type Region struct{ Left, Top, Right, Bottom float64 }

// Whole is all of a map.
var Whole = Region{0, 0, 1, 1}

// Valid tells whether there is anything in it.
func (r Region) Valid() bool { return r.Right > r.Left && r.Bottom > r.Top }

// Cell is where (x, y) lies when the region is cut into columns × rows; false: not in it. What lies on the line between two cells is in
// the one after it, on the map's own border in the last one.
func (r Region) Cell(x, y float32, columns, rows int) (column, row int, ok bool) {
	column, right := place(float64(x), r.Left, r.Right, columns)
	row, down := place(float64(y), r.Top, r.Bottom, rows)
	return column, row, right && down
}

func place(v, from, to float64, n int) (int, bool) {
	switch {
	case v >= from && v < to:
		return min(n-1, int((v-from)/(to-from)*float64(n))), true
	case v == 1 && to >= 1 && from < 1:
		return n - 1, true
	}
	return 0, false // NaN too
}

// Contains tells whether image i lies in the region.
func (m Map) Contains(r Region, i int32) bool {
	_, _, ok := r.Cell(m.X[i], m.Y[i], 1, 1)
	return ok
}

// Plane is the map of the first two components.
func (c *Components) Plane() Map {
	m := c.empty()
	for i := range m.X {
		if c.has(i) {
			m.X[i] = c.Of(i)[0]
			if c.K > 1 {
				m.Y[i] = c.Of(i)[1]
			} else {
				m.Y[i] = 0
			}
		}
	}
	spread(m.X, false)
	spread(m.Y, true)
	name := func(j int) string {
		if j >= c.K {
			return ""
		}
		return fmt.Sprintf("component %d (%.0f%%)", j+1, 100*c.Share[j])
	}
	m.XName, m.YName = name(0), name(1)
	return m
}

// Against is the map of the log-odds of scores (x) and of what tells images apart most when the part that goes with the score is taken out
// (y): images of one score, laid out by how they differ. by names the scores; NaN: no score.
func (c *Components) Against(scores []float32, by string) Map {
	m := c.empty()
	const edge = 1e-6
	n := 0.0
	sums := make([]float64, c.K)
	var zsum float64
	for i := range m.X {
		if s := float64(scores[i]); s == s && c.has(i) {
			m.X[i] = float32(math.Log(max(edge, s) / max(edge, 1-s)))
			for j, v := range c.Of(i) {
				sums[j] += float64(v)
			}
			zsum += float64(m.X[i])
			n++
		}
	}
	if n == 0 {
		return m
	}
	zmean := zsum / n
	slope, square := make([]float64, c.K), 0.0
	for i, x := range m.X {
		if x == x {
			dz := float64(x) - zmean
			square += dz * dz
			for j, v := range c.Of(i) {
				slope[j] += dz * (float64(v) - sums[j]/n)
			}
		}
	}
	for j := range slope {
		if square > 0 {
			slope[j] /= square
		}
	}
	rest := func(i int, dst []float64) {
		for j, v := range c.Of(i) {
			dst[j] = float64(v) - sums[j]/n - slope[j]*(float64(m.X[i])-zmean)
		}
	}
	covariance, e := mat.NewSymDense(c.K, nil), make([]float64, c.K)
	for i, x := range m.X {
		if x == x {
			rest(i, e)
			for a := range e {
				for b := a; b < len(e); b++ {
					covariance.SetSym(a, b, covariance.At(a, b)+e[a]*e[b])
				}
			}
		}
	}
	_, vectors := eigen(covariance)
	axis, big := make([]float64, c.K), 0
	for j := range axis {
		if axis[j] = vectors.At(j, 0); math.Abs(axis[j]) > math.Abs(axis[big]) {
			big = j
		}
	}
	turn := math.Copysign(1, axis[big])
	for i, x := range m.X {
		if x == x {
			rest(i, e)
			y := 0.0
			for j, v := range e {
				y += turn * axis[j] * v
			}
			m.Y[i] = float32(y)
		}
	}
	spread(m.X, false)
	spread(m.Y, true)
	m.XName, m.YName = "log-odds of the "+by+" score", "what differs most at the same score"
	return m
}

// empty is a map without any image in its place.
func (c *Components) empty() Map {
	m := Map{X: make([]float32, c.Len()), Y: make([]float32, c.Len())}
	for i := range m.X {
		m.X[i], m.Y[i] = float32(math.NaN()), float32(math.NaN())
	}
	return m
}

const (
	tail   = 0.005 // share of images at either end that are far out
	margin = 0.06  // of the map, at either end, for those
)

// spread brings values to 0…1: all but the tails linearly into the middle, the tails pressed together into the margins, in their order,
// so that a few outliers neither push all others together nor lie on top of each other. turned: the largest becomes 0. NaN stays.
func spread(values []float32, turned bool) {
	var known []float32
	step := max(1, len(values)/200_000) // quantiles of a part will do
	for i := 0; i < len(values); i += step {
		if v := values[i]; v == v {
			known = append(known, v)
		}
	}
	if len(known) == 0 {
		return
	}
	slices.Sort(known)
	at := func(p float64) float64 { return float64(known[int(p*float64(len(known)-1)+0.5)]) }
	low, high := at(tail), at(1-tail)
	if !(high > low) {
		low, high = at(0), at(1)
	}
	if !(high > low) {
		low, high = low-1, high+1
	}
	scale := (1 - 2*margin) / (high - low)
	press := func(beyond float64) float64 { t := beyond * scale / margin; return margin * t / (1 + t) } // its slope begins with scale
	for i, v := range values {
		x := float64(v)
		switch {
		case x != x:
			continue
		case x < low:
			x = margin - press(low-x)
		case x > high:
			x = 1 - margin + press(x-high)
		default:
			x = margin + (x-low)*scale
		}
		if turned {
			x = 1 - x
		}
		values[i] = float32(min(1, max(0, x)))
	}
}
