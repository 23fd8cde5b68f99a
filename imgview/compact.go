package imgview

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"io"
	"math"
	"sync"
)

// Pictures of few bytes, for slow links: PNGs whose colours are a little off, so that they are shorter.
//
// A PNG holds, for every pixel and colour, its difference from what its neighbours let expect. Here the differences are rounded to
// multiples of a step, and the next are taken from the rounded picture, so no error is larger than half a step (near-lossless
// coding, as in JPEG-LS). The step is the largest with which the error stays below minPSNR and no window's mean brightness is off by more than
// maxBand: that would be seen as a contour, and could hide what is faint. Half of a full PNG's bytes on galaxies; TestBytes prints it.
// Palettes lost against this: at 40 dB, and no contours on the sky, 256 colours by entropy-constrained k-means with diffusion of the error cost
// as much on most galaxies, and were not enough for every third of the SDSS's 128 px pictures.
const (
	minPSNR    = 40.0 // dB, over all colours
	maxBand    = 1.0  // grey levels, where a window is flat; a quarter of its standard deviation where that is more
	bandWindow = 5    // pixels a side
	maxBanded  = 1000 // one in so many windows may be off by more
)

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
	for _, step := range steps {
		var got plane
		if rows, got = src.rounded(filter, step); src.looksLike(got) {
			break
		}
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
	rows := make([]byte, 0, (w*n+1)*p.h)
	above := make([]byte, w*n)
	for y := range p.h {
		rows = append(rows, byte(filter))
		row := got.pix[y*w*n : (y+1)*w*n]
		src := p.pix[y*w*p.stride:]
		for x := range w {
			for j := range n {
				i := x*n + j
				var left, corner int
				if x > 0 {
					left, corner = int(row[i-n]), int(above[i-n])
				}
				guess := left
				switch filter {
				case filterUp:
					guess = int(above[i])
				case filterPaeth:
					guess = paeth(left, int(above[i]), corner)
				}
				d := int(near[int(src[x*p.stride+j])-guess+255])
				if guess+d < 0 {
					d += step
				} else if guess+d > 255 {
					d -= step
				}
				row[i] = byte(guess + d)
				rows = append(rows, byte(d))
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

func abs(n int) int { return max(n, -n) }

// looksLike reports whether got is near enough to p.
func (p plane) looksLike(got plane) bool {
	var squares int
	light, off := make([]int, p.w*p.h), make([]int, p.w*p.h) // 256 × brightness, and how much brighter got is
	weights := []int{77, 150, 29}                            // of red, green and blue (BT.601)
	if p.n == 1 {
		weights = []int{256}
	}
	for i := range light {
		for j, weight := range weights {
			a, b := int(p.pix[i*p.stride+j]), int(got.pix[i*got.stride+j])
			squares += (b - a) * (b - a)
			light[i] += weight * a
			off[i] += weight * (b - a)
		}
	}
	if allowed := 255 * 255 / math.Pow(10, minPSNR/10) * float64(p.n*len(light)); float64(squares) > allowed {
		return false
	}

	// Sums over windows: those of columns go down with the rows, those of windows along the columns.
	type sums struct{ off, light, squares int }
	columns := make([]sums, p.w)
	const area = bandWindow * bandWindow
	banded := 0
	for y := range p.h {
		for x := range columns {
			c, i := &columns[x], y*p.w+x
			c.off, c.light, c.squares = c.off+off[i], c.light+light[i], c.squares+light[i]*light[i]
			if y >= bandWindow {
				i -= bandWindow * p.w
				c.off, c.light, c.squares = c.off-off[i], c.light-light[i], c.squares-light[i]*light[i]
			}
		}
		if y < bandWindow-1 {
			continue
		}
		var s sums
		for x, c := range columns {
			s.off, s.light, s.squares = s.off+c.off, s.light+c.light, s.squares+c.squares
			if x >= bandWindow {
				c = columns[x-bandWindow]
				s.off, s.light, s.squares = s.off-c.off, s.light-c.light, s.squares-c.squares
			}
			if x < bandWindow-1 || float64(abs(s.off)) <= 256*maxBand*area {
				continue
			}
			if variance := float64(s.squares*area - s.light*s.light); 16*float64(s.off*s.off) > variance {
				banded++
			}
		}
	}
	return banded*maxBanded <= p.w*p.h
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
