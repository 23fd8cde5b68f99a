package dataset

import (
	"math"
	"sync"
)

// Resize returns src at w × h pixels, equal in every pixel to Pillow 13's Image.resize(BILINEAR): a triangle filter that widens
// when shrinking, weights in 22-bit fixed point, each pass rounded to 8 bits. The result never shares memory with src.
func Resize(src RGB, w, h int) RGB {
	out := NewRGB(w, h)
	resizeInto(out.Pix, src, w, h)
	return out
}

// resizeInto is Resize into dst, which holds w*h*3 bytes.
func resizeInto(dst []uint8, src RGB, w, h int) {
	switch {
	case w <= 0 || h <= 0 || src.W <= 0 || src.H <= 0:
	case w == src.W && h == src.H:
		copy(dst, src.Pix)
	case h == src.H:
		horizontal(dst, src, w)
	case w == src.W:
		vertical(dst, src, h)
	case src.H > h && src.H-h > 2*(src.W-w): // where Pillow 13 begins with the vertical pass; found by comparing with it
		mid := NewRGB(src.W, h)
		vertical(mid.Pix, src, h)
		horizontal(dst, mid, w)
	default:
		mid := NewRGB(w, src.H)
		horizontal(mid.Pix, src, w)
		vertical(dst, mid, h)
	}
}

// One filter tap is a weight of 22 fractional bits; those of one output pixel add up to about one, so that 255 times them
// stays below 2^31.
const tapBits = 22

// taps are the weights of one output pixel, for the input pixels first, first+1, …
type taps struct {
	first  int
	weight []int32
}

// horizontal resizes every row of src to w pixels.
func horizontal(dst []uint8, src RGB, w int) {
	all := tapsFor(src.W, w)
	for y := range src.H {
		row := src.Pix[y*src.W*3:][:src.W*3]
		out := dst[y*w*3:][:w*3]
		for x, t := range all {
			r, g, b := int32(1<<(tapBits-1)), int32(1<<(tapBits-1)), int32(1<<(tapBits-1))
			p := row[t.first*3:]
			p = p[:len(t.weight)*3]
			for _, k := range t.weight {
				if len(p) < 3 { // never: for the compiler, which then drops the bounds checks
					break
				}
				r += k * int32(p[0])
				g += k * int32(p[1])
				b += k * int32(p[2])
				p = p[3:]
			}
			o := out[x*3 : x*3+3 : x*3+3]
			o[0], o[1], o[2] = clip8(r>>tapBits), clip8(g>>tapBits), clip8(b>>tapBits)
		}
	}
}

// vertical resizes every column of src to h pixels, a row at a time.
func vertical(dst []uint8, src RGB, h int) {
	n := src.W * 3
	sum := make([]int32, n)
	for y, t := range tapsFor(src.H, h) {
		for i := range sum {
			sum[i] = 1 << (tapBits - 1)
		}
		for j, k := range t.weight {
			for i, v := range src.Pix[(t.first+j)*n:][:n] {
				sum[i] += k * int32(v)
			}
		}
		out := dst[y*n:][:n]
		for i, v := range sum {
			out[i] = clip8(v >> tapBits)
		}
	}
}

// tapCache keeps the weights of the sizes in use: a pool has few, and computing them takes longer than a small picture.
var tapCache struct {
	sync.Mutex
	of map[[2]int][]taps
}

func tapsFor(in, out int) []taps {
	key := [2]int{in, out}
	tapCache.Lock()
	t, ok := tapCache.of[key]
	tapCache.Unlock()
	if ok {
		return t
	}
	t = makeTaps(in, out)
	tapCache.Lock()
	defer tapCache.Unlock()
	if tapCache.of == nil || len(tapCache.of) >= 256 {
		tapCache.of = map[[2]int][]taps{}
	}
	tapCache.of[key] = t
	return t
}

// makeTaps computes the weights of each of out pixels made from in pixels, in the order of operations of Pillow's
// precompute_coeffs (Resample.c), so that they round alike; the conversions keep processors from fusing two steps into one.
func makeTaps(in, out int) []taps {
	scale := float64(in) / float64(out)
	support := max(scale, 1)
	all := make([]taps, out)
	for i := range all {
		centre := float64((float64(i) + 0.5) * scale)
		first := max(0, int(centre-support+0.5))
		end := min(in, int(centre+support+0.5))
		weights := make([]float64, end-first)
		sum := 0.0
		for j := range weights {
			weights[j] = max(0, 1-math.Abs(float64((float64(first+j)-centre+0.5)*(1/support))))
			sum += weights[j]
		}
		all[i] = taps{first, make([]int32, len(weights))}
		for j, v := range weights {
			all[i].weight[j] = int32(0.5 + float64(v/sum*(1<<tapBits)))
		}
	}
	return all
}
