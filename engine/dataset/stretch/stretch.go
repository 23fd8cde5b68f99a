// Package stretch turns measured pixel values, of any range, into grey levels for the eye and the network: the display stretches
// of astronomy, with the formulas and limits of astropy. Pure functions.
package stretch

import (
	"math"
	"slices"
	"strings"
)

// Stretch is a choice of the values shown as black and white, and of the curve between them.
type Stretch struct {
	Name   string
	limits func(finite []float64) (lo, hi float64) // of at least one value, which it may not change
	curve  func(t float64) float64                 // [0,1] → [0,1]
}

// All stretches. asinh is that of Lupton, Gunn and Szalay (1999), with astropy's a = 0.1; zscale is IRAF's.
var All = []Stretch{
	{"linear", minMax, linear},
	{"zscale", zscale, linear},
	{"asinh", minMax, func(t float64) float64 { return math.Asinh(t/0.1) / math.Asinh(1/0.1) }},
	{"log", minMax, func(t float64) float64 { return math.Log(1000*t+1) / math.Log(1001) }},
	{"sqrt", minMax, math.Sqrt},
	{"percentile", percentile, linear},
}

// ByName finds a stretch of All.
func ByName(name string) (Stretch, bool) {
	i := slices.IndexFunc(All, func(s Stretch) bool { return s.Name == name })
	if i < 0 {
		return Stretch{}, false
	}
	return All[i], true
}

// Names of all stretches, for people.
func Names() string {
	var all []string
	for _, s := range All {
		all = append(all, s.Name)
	}
	return strings.Join(all, ", ")
}

// Between is s with the same two limits for all images.
func (s Stretch) Between(lo, hi float64) Stretch {
	s.limits = func([]float64) (float64, float64) { return lo, hi }
	return s
}

// Limits are the values that become black and white. NaN and infinities do not count; without a finite value both are 0.
func (s Stretch) Limits(pix []float64) (lo, hi float64) {
	finite := make([]float64, 0, len(pix))
	for _, v := range pix {
		if isFinite(v) {
			finite = append(finite, v)
		}
	}
	if len(finite) == 0 {
		return 0, 0
	}
	if lo, hi = s.limits(finite); !isFinite(lo) || !isFinite(hi) { // sums of values near the end of float64
		return minMax(finite)
	}
	return lo, hi
}

// Apply returns the grey level of each value, and the limits. What is not finite is black; so is everything where the limits are
// equal.
func (s Stretch) Apply(pix []float64) (grey []uint8, lo, hi float64) {
	lo, hi = s.Limits(pix)
	grey = make([]uint8, len(pix))
	s.Grey(grey, pix, lo, hi)
	return grey, lo, hi
}

// Grey puts the grey levels of values into dst, which is as long, where the limits are known: of a part of an image.
func (s Stretch) Grey(dst []uint8, pix []float64, lo, hi float64) {
	clear(dst)
	if hi <= lo {
		return
	}
	unit, from, span := 1.0, lo, hi-lo
	if math.IsInf(span, 0) {
		unit, from, span = 0.5, lo/2, hi/2-lo/2
	}
	for i, v := range pix {
		if isFinite(v) {
			t := min(max((v*unit-from)/span, 0), 1)
			dst[i] = uint8(255*s.curve(t) + 0.5)
		}
	}
}

func linear(t float64) float64 { return t }

func minMax(v []float64) (lo, hi float64) { return slices.Min(v), slices.Max(v) }

// percentile leaves a quarter of a percent out at each end, as astropy's PercentileInterval(99.5).
func percentile(v []float64) (lo, hi float64) {
	sorted := slices.Sorted(slices.Values(v))
	at := func(q float64) float64 { // numpy's linear interpolation
		x := q * float64(len(sorted)-1)
		i := int(x)
		a, b := sorted[i], sorted[min(i+1, len(sorted)-1)]
		return a + (b-a)*(x-float64(i))
	}
	return at(0.0025), at(0.9975)
}

// zscale is IRAF's choice of limits as astropy's ZScaleInterval makes it with its defaults: a line is fitted to up to 1,000 sorted
// samples, outliers clipped; its slope around the median gives the limits.
func zscale(v []float64) (lo, hi float64) {
	const (
		wanted     = 1000
		contrast   = 0.25
		maxReject  = 0.5
		minPixels  = 5
		krej       = 2.5
		iterations = 5
	)
	stride := max(1, len(v)/wanted)
	var z []float64
	for i := 0; i < len(v) && len(z) < wanted; i += stride {
		z = append(z, v[i])
	}
	slices.Sort(z)
	n := len(z)
	lo, hi = z[0], z[n-1]
	least := max(minPixels, int(float64(n)*maxReject))
	grow := max(1, int(float64(n)*0.01))
	bad := make([]bool, n)
	slope := 0.0
	good, last := n, n+1
	for range iterations {
		if good >= last || good < least {
			break
		}
		var flat []float64
		slope, flat = residuals(z, bad)
		limit := krej * deviation(flat, bad)
		hit := slices.Clone(bad)
		for i, f := range flat {
			hit[i] = hit[i] || f < -limit || f > limit
		}
		last, good = good, 0
		for i := range bad { // neighbours of a bad sample are bad too: numpy.convolve(hit, ones(grow), "same")
			near := hit[max(0, i-grow/2):min(n, i+grow-grow/2)]
			if bad[i] = slices.Contains(near, true); !bad[i] {
				good++
			}
		}
	}
	if good < least {
		return lo, hi
	}
	slope /= contrast
	centre := (n - 1) / 2
	median := (z[(n-1)/2] + z[n/2]) / 2
	return max(lo, median-float64(centre-1)*slope), min(hi, median+float64(n-centre)*slope)
}

// residuals fits a line to the samples that are not bad, by least squares, and subtracts it from all.
func residuals(z []float64, bad []bool) (slope float64, flat []float64) {
	var n, mx, mz float64
	for i, v := range z {
		if !bad[i] {
			n, mx, mz = n+1, mx+float64(i), mz+v
		}
	}
	mx, mz = mx/n, mz/n
	var sxx, sxz float64
	for i, v := range z {
		if dx := float64(i) - mx; !bad[i] {
			sxx, sxz = sxx+dx*dx, sxz+dx*(v-mz)
		}
	}
	slope = sxz / sxx
	flat = make([]float64, len(z))
	for i, v := range z {
		flat[i] = v - mz - slope*(float64(i)-mx)
	}
	return slope, flat
}

// deviation is the standard deviation of those that are not bad.
func deviation(v []float64, bad []bool) float64 {
	var n, sum, squares float64
	for i, x := range v {
		if !bad[i] {
			n, sum = n+1, sum+x
		}
	}
	for i, x := range v {
		if d := x - sum/n; !bad[i] {
			squares += d * d
		}
	}
	return math.Sqrt(squares / n)
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
