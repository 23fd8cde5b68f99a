package imgview

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"io"
	"math"
	"sort"
	"sync"
)

// Pictures of few bytes, for slow links: PNGs whose colours are a little off, so that they are shorter.
//
// A PNG holds, for every pixel and colour, its difference from what its neighbours let expect. Here the differences are rounded to
// multiples of a step, and the next are taken from the rounded picture, so no error is larger than half a step (near-lossless coding,
// as in JPEG-LS). The step is the largest that keeps to minPSNR and, in every window, to what its grain hides: errors that are seen are
// contours where there is no grain. Half of a full PNG's bytes on galaxies; TestBytes prints it. Palettes lost against this: without
// contours on the sky, 256 colours by entropy-constrained k-means with diffusion of the error cost as much or more, and for every third of
// the SDSS's pictures of 128 px they did not reach 40 dB.
const (
	minPSNR    = 40.0 // dB, over all colours
	window     = 5    // pixels a side
	exceptions = 1000 // one window in so many may be off by more
)

// hidden is what is not seen in a window: how far its mean brightness may be off, and the root mean square of the errors of its colours, in
// grey levels. Grain is half the root mean square of the second differences along the rows: 1.2 σ of white noise, 0 of a slope.
func hidden(grain float64) (mean, rms float64) {
	return max(0.6, min(1, 1.5*grain), grain/2), max(0.9, 4*grain)
}

// steps are those tried, largest first; the last keeps every error within one grey level.
var steps = []int{9, 7, 6, 5, 4, 3}

// compact is the picture as a PNG of few bytes. img must be opaque.
func compact(img *image.RGBA) []byte {
	src := plane{pix: img.Pix, w: img.Rect.Dx(), h: img.Rect.Dy(), n: 3, stride: 4}
	if grey, ok := thin(img).(*image.Gray); ok {
		src.pix, src.n, src.stride = grey.Pix, 1, 1
	}
	filter, least := 0, math.Inf(1)
	for _, f := range []int{filterSub, filterUp, filterPaeth} {
		if rows, _ := src.middle().rounded(f, 5); entropy(rows) < least {
			filter, least = f, entropy(rows)
		}
	}
	var rows []byte
	last := len(steps) - 1
	k := sort.Search(last, func(k int) bool {
		r, got := src.rounded(filter, steps[k])
		ok := src.looksLike(got)
		if ok {
			rows = r // the search ends at the last that is good
		}
		return ok
	})
	if k == last {
		rows, _ = src.rounded(filter, steps[last])
	}
	return encodePNG(src.w, src.h, src.n, rows)
}

// plane is a picture of n colours, pix[stride×(y×w+x)+colour].
type plane struct {
	pix             []byte
	w, h, n, stride int
}

// middle is half of the picture's rows.
func (p plane) middle() plane {
	skip := p.h / 4
	p.h -= 2 * skip
	p.pix = p.pix[skip*p.w*p.stride:]
	return p
}

// Filters of PNG: what a value is expected to be.
const (
	filterSub   = 1 // as at its left
	filterUp    = 2 // as above
	filterPaeth = 4 // as that of left, above and above left that is nearest to left + above - above left
)

// rounded is the picture's rows as PNG wants them, each with the number of its filter, and the picture that they make.
func (p plane) rounded(filter, step int) ([]byte, plane) {
	var near [511]int16 // difference + 255 → nearest multiple
	for i := range near {
		near[i] = int16(int(math.Round(float64(i-255)/float64(step))) * step)
	}
	w, n := p.w, p.n
	got := plane{pix: make([]byte, w*p.h*n), w: w, h: p.h, n: n, stride: n}
	rows := make([]byte, (w*n+1)*p.h)
	above := make([]byte, w*n)
	for y := range p.h {
		row, out := got.pix[y*w*n:(y+1)*w*n], rows[y*(w*n+1):(y+1)*(w*n+1)]
		out[0] = byte(filter)
		out = out[1:]
		for j := range n {
			left, corner := 0, 0
			for i, k := j, y*w*p.stride+j; i < len(row); i, k = i+n, k+p.stride {
				up := int(above[i])
				guess := left
				switch filter {
				case filterUp:
					guess = up
				case filterPaeth:
					guess = paeth(left, up, corner)
				}
				d := int(near[int(p.pix[k])-guess+255])
				if guess+d < 0 {
					d += step
				} else if guess+d > 255 {
					d -= step
				}
				left, corner = guess+d, up
				row[i], out[i] = byte(left), byte(d)
			}
		}
		above = row
	}
	return rows, got
}

func paeth(left, above, corner int) int {
	a, b, c := abs(above-corner), abs(left-corner), abs(left+above-2*corner)
	switch {
	case a <= b && a <= c:
		return left
	case b <= c:
		return above
	}
	return corner
}

// looksLike reports whether got is near enough to p.
func (p plane) looksLike(got plane) bool {
	weights := []int{77, 150, 29} // of red, green and blue in 256 × brightness (BT.601)
	if p.n == 1 {
		weights = []int{256}
	}
	type sums struct{ off, loud, grain int } // errors of brightness, squared errors, squared second differences
	pixels := make([]sums, p.w*p.h)
	squares := 0
	for y := range p.h {
		var last, last2 int
		for x := range p.w {
			i, light := y*p.w+x, 0
			s := &pixels[i]
			for j, weight := range weights {
				a := int(p.pix[i*p.stride+j])
				e := int(got.pix[i*got.stride+j]) - a
				light += weight * a
				s.off += weight * e
				s.loud += e * e
			}
			squares += s.loud
			if d := light - 2*last + last2; x > 1 {
				pixels[i-1].grain = d * d
			}
			last, last2 = light, last
		}
	}
	if float64(squares) > 255*255/math.Pow(10, minPSNR/10)*float64(p.n*len(pixels)) {
		return false
	}

	// Sums over windows: those of columns go down with the rows, those of windows along the columns.
	columns := make([]sums, p.w)
	const area = window * window
	seen := 0
	for y := range p.h {
		for x := range columns {
			c, i := &columns[x], y*p.w+x
			c.off, c.loud, c.grain = c.off+pixels[i].off, c.loud+pixels[i].loud, c.grain+pixels[i].grain
			if y >= window {
				i -= window * p.w
				c.off, c.loud, c.grain = c.off-pixels[i].off, c.loud-pixels[i].loud, c.grain-pixels[i].grain
			}
		}
		if y < window-1 {
			continue
		}
		var s sums
		for x, c := range columns {
			s.off, s.loud, s.grain = s.off+c.off, s.loud+c.loud, s.grain+c.grain
			if x >= window {
				c = columns[x-window]
				s.off, s.loud, s.grain = s.off-c.off, s.loud-c.loud, s.grain-c.grain
			}
			if x < window-1 {
				continue
			}
			mean, rms := hidden(math.Sqrt(float64(s.grain)/area) / 256 / 2)
			if float64(abs(s.off)) > mean*256*area || float64(s.loud) > rms*rms*float64(area*p.n) {
				seen++
			}
		}
	}
	return seen*exceptions <= p.w*p.h
}

// entropy is how many bits the bytes take by how often each comes.
func entropy(data []byte) float64 {
	var n [256]int
	for _, b := range data {
		n[b]++
	}
	var bits float64
	for _, k := range n {
		if k > 0 {
			bits += float64(k) * math.Log2(float64(len(data))/float64(k))
		}
	}
	return bits
}

// encodePNG makes a PNG of filtered rows of n colours, 1 or 3, 8 bits each.
func encodePNG(w, h, n int, rows []byte) []byte {
	var out bytes.Buffer
	out.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(name string, data []byte) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(len(data)))
		out.Write(b[:])
		start := out.Len()
		out.WriteString(name)
		out.Write(data)
		binary.BigEndian.PutUint32(b[:], crc32.ChecksumIEEE(out.Bytes()[start:]))
		out.Write(b[:])
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(w))
	head = binary.BigEndian.AppendUint32(head, uint32(h))
	chunk("IHDR", append(head, 8, byte(n/3*2), 0, 0, 0)) // grey is 0, RGB 2
	chunk("IDAT", deflate(rows))
	chunk("IEND", nil)
	return out.Bytes()
}

// deflaters are kept: a new one takes up to a megabyte.
var huffman, fast, thorough = deflater(zlib.HuffmanOnly), deflater(zlib.BestSpeed), deflater(5)

func deflater(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		z, err := zlib.NewWriterLevel(io.Discard, level)
		if err != nil {
			panic(err) // no such level
		}
		return z
	}}
}

// deflate compresses rounded differences: their noise by its frequencies only, where compress/flate's short matches cost more than they save
// (a sixth on galaxies), and with matches where the quickest look finds good ones.
func deflate(data []byte) []byte {
	by := func(pool *sync.Pool) []byte {
		var out bytes.Buffer
		z := pool.Get().(*zlib.Writer)
		defer pool.Put(z)
		z.Reset(&out)
		z.Write(data) // a bytes.Buffer takes all
		z.Close()
		return out.Bytes()
	}
	best := by(huffman)
	if len(by(fast)) < len(best) {
		best = by(thorough)
	}
	return best
}
