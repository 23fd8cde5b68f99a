// Package space compares images in the space of their embeddings, standardised over the pool: every value has mean 0 and standard
// deviation 1, and one that is the same in all images counts nothing.
package space

import (
	"math"
	"runtime"

	"anomalymatch/internal/parallel"
)

// Rows holds one raw embedding an image, such as fast.Embeddings. Safe for concurrent readers.
type Rows interface {
	Row(i int, dst []float32) bool // image i into dst [dims]; false where it has none
}

// Space is the embeddings of a pool of N images. Mean and Std are those of each value over the pool.
type Space struct {
	rows    Rows
	n       int
	mean    []float32
	inverse []float32 // of the standard deviation; 0 where the value is the same in all images
	alive   int       // values that differ
}

// constant is the standard deviation below which a value is the same in all images, as a share of its mean: float16 keeps 2^-11.
const constant = 1e-5

// New makes the space of n images with the mean and the standard deviation of each value.
func New(rows Rows, n int, mean, std []float32) *Space {
	s := &Space{rows: rows, n: n, mean: mean, inverse: make([]float32, len(mean))}
	for j, d := range std {
		if m := mean[j]; float64(d) > constant*math.Abs(float64(m)) && !math.IsInf(float64(d), 0) && !math.IsNaN(float64(m)) && !math.IsInf(float64(m), 0) {
			s.inverse[j] = 1 / d
			s.alive++
		}
	}
	return s
}

// Len is the number of images, those without an embedding included; Dims the number of values of each.
func (s *Space) Len() int  { return s.n }
func (s *Space) Dims() int { return len(s.mean) }

// Differs reports whether the images differ at all: all-black ones do not, and nothing can be said about who is near to whom.
func (s *Space) Differs() bool { return s.alive > 0 }

// Row reads the standardised embedding of image i into dst [Dims]; false where it has none.
func (s *Space) Row(i int, dst []float32) bool {
	if i < 0 || i >= s.n || !s.rows.Row(i, dst) {
		return false
	}
	for j, v := range dst[:len(s.mean)] {
		if s.inverse[j] == 0 { // v may be anything
			dst[j] = 0
		} else {
			dst[j] = (v - s.mean[j]) * s.inverse[j]
		}
	}
	return true
}

// Similarity returns the cosine of image like with each of the images, NaN where one has no embedding or no direction.
func (s *Space) Similarity(like int, images []int32) []float32 {
	out := make([]float32, len(images))
	example := make([]float32, s.Dims())
	size := 0.0
	if s.Row(like, example) {
		size = math.Sqrt(Dot(example, example))
	}
	s.Each(images, func(k int, row []float32) {
		own := math.Sqrt(Dot(row, row))
		out[k] = float32(Dot(row, example) / (own * size))
	}, func(k int) { out[k] = float32(math.NaN()) })
	if size == 0 {
		for k := range out {
			out[k] = float32(math.NaN())
		}
	}
	return out
}

// Each calls has(k, row) for the standardised embedding of images[k], or none(k), on all cores. row is valid during the call.
func (s *Space) Each(images []int32, has func(k int, row []float32), none func(k int)) {
	parallel.Parts(len(images), min(runtime.GOMAXPROCS(0), len(images)), func(_, from, to int) {
		row := make([]float32, s.Dims())
		for k := from; k < to; k++ {
			if s.Row(int(images[k]), row) {
				has(k, row)
			} else {
				none(k)
			}
		}
	})
}

// Sketch adds the values of row, with signs, into the few values of dst: distances between sketches are those between rows, on
// average (count sketch, Charikar et al. 2002). The same seed gives the same signs and places.
func Sketch(row, dst []float32, seed uint64) {
	clear(dst)
	for j, v := range row {
		h := Mix(seed + uint64(j))
		if h>>63 == 1 {
			v = -v
		}
		dst[h%uint64(len(dst))] += v
	}
}

// Mix is the finaliser of SplitMix64: numbers in, random numbers out.
func Mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Dot is the scalar product of two rows of one length.
func Dot(a, b []float32) float64 {
	var s [4]float32 // four sums: the processor works on them at once
	b = b[:len(a)]
	j := 0
	for ; j+4 <= len(a); j += 4 {
		s[0] += a[j] * b[j]
		s[1] += a[j+1] * b[j+1]
		s[2] += a[j+2] * b[j+2]
		s[3] += a[j+3] * b[j+3]
	}
	for ; j < len(a); j++ {
		s[0] += a[j] * b[j]
	}
	return float64(s[0]) + float64(s[1]) + float64(s[2]) + float64(s[3])
}

// Distance2 is the squared distance of two rows of one length.
func Distance2(a, b []float32) float64 {
	var s [4]float32
	b = b[:len(a)]
	j := 0
	for ; j+4 <= len(a); j += 4 {
		d0, d1, d2, d3 := a[j]-b[j], a[j+1]-b[j+1], a[j+2]-b[j+2], a[j+3]-b[j+3]
		s[0] += d0 * d0
		s[1] += d1 * d1
		s[2] += d2 * d2
		s[3] += d3 * d3
	}
	for ; j < len(a); j++ {
		d := a[j] - b[j]
		s[0] += d * d
	}
	return float64(s[0]) + float64(s[1]) + float64(s[2]) + float64(s[3])
}
