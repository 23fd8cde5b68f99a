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
	resizeInto(out.Pix, src.Pixels(), w, h)
	return out
}

// resizeInto is Resize of any number of channels into dst, which holds w*h*src.C bytes.
func resizeInto(dst []uint8, src Pixels, w, h int) {
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
		mid := Pixels{src.W, h, src.C, s.middle(src.W * h * src.C)}
		vertical(mid.Pix, src, h)
		s.horizontal(dst, mid, w)
	default:
		mid := Pixels{w, src.H, src.C, s.middle(w * src.H * src.C)}
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

// taps are the weights of all output pixels: n for each, of the input pixels from first on. Where an output pixel has fewer, the others
// are zero, so that loops over two to four of them, as in most resizing, need not be loops.
type taps struct {
	n      int
	first  []int
	weight []uint64
}

// horizontal resizes every row of src to w pixels, two rows at a time.
func (s *resizer) horizontal(dst []uint8, src Pixels, w int) {
	t := tapsFor(src.W, w)
	n := src.W * src.C
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
		row, below := dst[y*w*src.C:][:w*src.C], dst[other*w*src.C:][:w*src.C]
		if src.C == 3 {
			t.across(row, below, both)
		} else {
			t.acrossChannels(row, below, both, src.C)
		}
	}
}

// acrossChannels is across for any number of channels.
func (t *taps) acrossChannels(a, b []uint8, both []uint64, channels int) {
	for i, first := range t.first {
		k := t.weight[i*t.n:][:t.n]
		for c := range channels {
			v := uint64(rounded)
			for j, k := range k {
				v += k * both[(first+j)*channels+c]
			}
			a[i*channels+c], b[i*channels+c] = uint8(v>>tapBits), uint8(v>>(tapBits+32))
		}
	}
}

// across makes the rows a and b of three channels from both of theirs.
func (t *taps) across(a, b []uint8, both []uint64) {
	k := t.weight
	for _, first := range t.first {
		p := both[first*3:]
		var red, green, blue uint64
		switch {
		case t.n == 3 && len(p) >= 9 && len(k) >= 3:
			red = rounded + k[0]*p[0] + k[1]*p[3] + k[2]*p[6]
			green = rounded + k[0]*p[1] + k[1]*p[4] + k[2]*p[7]
			blue = rounded + k[0]*p[2] + k[1]*p[5] + k[2]*p[8]
			k = k[3:]
		case t.n == 4 && len(p) >= 12 && len(k) >= 4:
			red = rounded + k[0]*p[0] + k[1]*p[3] + k[2]*p[6] + k[3]*p[9]
			green = rounded + k[0]*p[1] + k[1]*p[4] + k[2]*p[7] + k[3]*p[10]
			blue = rounded + k[0]*p[2] + k[1]*p[5] + k[2]*p[8] + k[3]*p[11]
			k = k[4:]
		default:
			red, green, blue = rounded, rounded, rounded
			for _, k := range k[:t.n] {
				if len(p) < 3 { // never: for the compiler, which then drops the bounds checks
					break
				}
				red += k * p[0]
				green += k * p[1]
				blue += k * p[2]
				p = p[3:]
			}
			k = k[t.n:]
		}
		if len(a) < 3 || len(b) < 3 { // never
			break
		}
		a[0], a[1], a[2] = uint8(red>>tapBits), uint8(green>>tapBits), uint8(blue>>tapBits)
		b[0], b[1], b[2] = uint8(red>>(tapBits+32)), uint8(green>>(tapBits+32)), uint8(blue>>(tapBits+32))
		a, b = a[3:], b[3:]
	}
}

// vertical resizes every column of src to h pixels.
func vertical(dst []uint8, src Pixels, h int) {
	t := tapsFor(src.H, h)
	n := src.W * src.C
	for y, first := range t.first {
		down(dst[y*n:][:n], src.Pix[first*n:][:t.n*n], t.weight[y*t.n:][:t.n])
	}
}

// down makes a row from as many as there are weights, eight bytes at a time.
func down(dst, rows []uint8, weight []uint64) {
	n := len(dst)
	i := 0
	switch len(weight) {
	case 3:
		k0, k1, k2 := weight[0], weight[1], weight[2]
		r0, r1, r2 := rows[:n], rows[n:][:n], rows[2*n:][:n]
		for ; i+8 <= n; i += 8 {
			u, v, w := binary.LittleEndian.Uint64(r0[i:]), binary.LittleEndian.Uint64(r1[i:]), binary.LittleEndian.Uint64(r2[i:])
			a := rounded + k0*(u&lanes) + k1*(v&lanes) + k2*(w&lanes)
			b := rounded + k0*(u>>8&lanes) + k1*(v>>8&lanes) + k2*(w>>8&lanes)
			c := rounded + k0*(u>>16&lanes) + k1*(v>>16&lanes) + k2*(w>>16&lanes)
			d := rounded + k0*(u>>24&lanes) + k1*(v>>24&lanes) + k2*(w>>24&lanes)
			binary.LittleEndian.PutUint64(dst[i:], a>>tapBits&lanes|b>>tapBits&lanes<<8|c>>tapBits&lanes<<16|d>>tapBits&lanes<<24)
		}
	default:
		for ; i+8 <= n; i += 8 {
			var a, b, c, d uint64 = rounded, rounded, rounded, rounded
			at := i
			for _, k := range weight {
				v := binary.LittleEndian.Uint64(rows[at:])
				a += k * (v & lanes)
				b += k * (v >> 8 & lanes)
				c += k * (v >> 16 & lanes)
				d += k * (v >> 24 & lanes)
				at += n
			}
			binary.LittleEndian.PutUint64(dst[i:], a>>tapBits&lanes|b>>tapBits&lanes<<8|c>>tapBits&lanes<<16|d>>tapBits&lanes<<24)
		}
	}
	for ; i < n; i++ {
		var a uint64 = rounded
		for j, k := range weight {
			a += k * uint64(rows[j*n+i])
		}
		dst[i] = uint8(a >> tapBits)
	}
}

// tapCache keeps the weights of the sizes in use: a pool has few, and computing them takes longer than a small picture.
var tapCache struct {
	sync.Mutex
	of map[[2]int]*taps
}

func tapsFor(in, out int) *taps {
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
		tapCache.of = map[[2]int]*taps{}
	}
	tapCache.of[key] = t
	return t
}

// makeTaps computes the weights of each of out pixels made from in pixels, in the order of operations of Pillow's
// precompute_coeffs (Resample.c), so that they round alike; the conversions keep processors from fusing two steps into one.
func makeTaps(in, out int) *taps {
	scale := float64(in) / float64(out)
	support := max(scale, 1)
	ends := func(i int) (centre float64, first, end int) {
		centre = float64((float64(i) + 0.5) * scale)
		return centre, max(0, int(centre-support+0.5)), min(in, int(centre+support+0.5))
	}
	t := &taps{first: make([]int, out)}
	for i := range out {
		_, first, end := ends(i)
		t.n = max(t.n, end-first)
	}
	t.weight = make([]uint64, out*t.n)
	exact := make([]float64, t.n)
	for i := range out {
		centre, first, end := ends(i)
		weights := exact[:end-first]
		sum := 0.0
		for j := range weights {
			weights[j] = max(0, 1-math.Abs(float64((float64(first+j)-centre+0.5)*(1/support))))
			sum += weights[j]
		}
		t.first[i] = min(first, in-t.n)
		fixed := t.weight[i*t.n:][:t.n]
		white := uint64(1 << (tapBits - 1))
		for j, v := range weights {
			k := uint64(0.5 + float64(v/sum*(1<<tapBits)))
			fixed[first-t.first[i]+j] = k
			white += 255 * k
		}
		for j := 0; white >= 256<<tapBits; j = (j + 1) % t.n { // thousands of weights rounded up; Pillow cuts the sum off at 255
			if fixed[j] > 0 {
				fixed[j]--
				white -= 255
			}
		}
	}
	return t
}
