package dataset

import (
	"encoding/binary"
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
	if w <= 0 || h <= 0 || src.W <= 0 || src.H <= 0 {
		return
	}
	s := resizers.Get().(*resizer)
	defer resizers.Put(s)
	switch {
	case w == src.W && h == src.H:
		copy(dst, src.Pix)
	case h == src.H:
		s.horizontal(dst, src, w)
	case w == src.W:
		vertical(dst, src, h)
	case src.H > h && src.H-h > 2*(src.W-w): // where Pillow 13 begins with the vertical pass; found by comparing with it
		mid := RGB{src.W, h, s.middle(src.W * h * 3)}
		vertical(mid.Pix, src, h)
		s.horizontal(dst, mid, w)
	default:
		mid := RGB{w, src.H, s.middle(w * src.H * 3)}
		s.horizontal(mid.Pix, src, w)
		vertical(dst, mid, h)
	}
}

// resizer is memory that resizing needs, kept for the next picture.
type resizer struct {
	mid  []uint8  // between the passes
	both []uint64 // two rows
}

var resizers = sync.Pool{New: func() any { return new(resizer) }}

// keptBytes is how much memory for one picture is kept for the next.
const keptBytes = 16 << 20

func (s *resizer) middle(n int) []uint8 { return room(&s.mid, n) }

// room returns n bytes, of *kept where they are not too many.
func room(kept *[]uint8, n int) []uint8 {
	if cap(*kept) >= n {
		return (*kept)[:n]
	}
	b := make([]uint8, n)
	if n <= keptBytes {
		*kept = b
	}
	return b
}

// One filter tap is a weight of 22 fractional bits; those of one output sample are not negative and add up to about one. 255 times
// that stays below 2^32, so one 64-bit multiplication serves two samples, in the halves of a word; no sum of one reaches the other.
const (
	tapBits = 22
	lanes   = 0x000000ff_000000ff
	rounded = 1<<(tapBits-1) | 1<<(tapBits-1)<<32
)

// taps are the weights of one output pixel, for the input pixels first, first+1, …
type taps struct {
	first  int
	weight []uint64
}

// horizontal resizes every row of src to w pixels, two rows at a time.
func (s *resizer) horizontal(dst []uint8, src RGB, w int) {
	all := tapsFor(src.W, w)
	n := src.W * 3
	if cap(s.both) < n {
		s.both = make([]uint64, n)
	}
	both := s.both[:n]
	for y := 0; y < src.H; y += 2 {
		other := min(y+1, src.H-1)
		a, b := src.Pix[y*n:][:n], src.Pix[other*n:][:n]
		for i := range both {
			both[i] = uint64(a[i]) | uint64(b[i])<<32
		}
		outA, outB := dst[y*w*3:][:w*3], dst[other*w*3:][:w*3]
		for _, t := range all {
			var r, g, b uint64 = rounded, rounded, rounded
			p := both[t.first*3:]
			for _, k := range t.weight {
				if len(p) < 3 { // never: for the compiler, which then drops the bounds checks
					break
				}
				r += k * p[0]
				g += k * p[1]
				b += k * p[2]
				p = p[3:]
			}
			if len(outA) < 3 || len(outB) < 3 { // never
				break
			}
			outA[0], outA[1], outA[2] = uint8(r>>tapBits), uint8(g>>tapBits), uint8(b>>tapBits)
			outB[0], outB[1], outB[2] = uint8(r>>(tapBits+32)), uint8(g>>(tapBits+32)), uint8(b>>(tapBits+32))
			outA, outB = outA[3:], outB[3:]
		}
	}
}

// vertical resizes every column of src to h pixels, eight bytes of a row at a time.
func vertical(dst []uint8, src RGB, h int) {
	n := src.W * 3
	for y, t := range tapsFor(src.H, h) {
		rows := src.Pix[t.first*n:][:len(t.weight)*n]
		out := dst[y*n:][:n]
		i := 0
		for ; i+8 <= n; i += 8 {
			var a, b, c, d uint64 = rounded, rounded, rounded, rounded
			at := i
			for _, k := range t.weight {
				v := binary.LittleEndian.Uint64(rows[at:])
				a += k * (v & lanes)
				b += k * (v >> 8 & lanes)
				c += k * (v >> 16 & lanes)
				d += k * (v >> 24 & lanes)
				at += n
			}
			binary.LittleEndian.PutUint64(out[i:], a>>tapBits&lanes|b>>tapBits&lanes<<8|c>>tapBits&lanes<<16|d>>tapBits&lanes<<24)
		}
		for ; i < n; i++ {
			var a uint64 = rounded
			for j, k := range t.weight {
				a += k * uint64(rows[j*n+i])
			}
			out[i] = uint8(a >> tapBits)
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
		all[i] = taps{first, make([]uint64, len(weights))}
		white := uint64(1 << (tapBits - 1))
		for j, v := range weights {
			k := uint64(0.5 + float64(v/sum*(1<<tapBits)))
			all[i].weight[j] = k
			white += 255 * k
		}
		for j := 0; white >= 256<<tapBits; j = (j + 1) % len(weights) { // thousands of weights rounded up; Pillow cuts the sum off at 255
			if all[i].weight[j] > 0 {
				all[i].weight[j]--
				white -= 255
			}
		}
	}
	return all
}
