package augment

import (
	"math"

	"anomalymatch/engine/dataset"
)

// The conversions around products below keep processors from fusing them with the addition that follows, which would round
// differently: a view is the same on every machine.

// table replaces each value of a channel.
type table [256]uint8

// tableOf fills a table from a function whose result is cut to 0..255.
func tableOf(f func(x int) int) (t table) {
	for x := range t {
		t[x] = uint8(min(max(f(x), 0), 255))
	}
	return t
}

// through returns src with each channel looked up in its table.
func through(src dataset.Pixels, tables []table) dataset.Pixels {
	out := dataset.NewPixels(src.W, src.H, src.C)
	d := out.Pix
	if src.C == 3 { // in one pass
		r, g, b := &tables[0], &tables[1], &tables[2]
		for s := src.Pix; len(s) >= 3 && len(d) >= 3; s, d = s[3:], d[3:] {
			d[0], d[1], d[2] = r[s[0]], g[s[1]], b[s[2]]
		}
		return out
	}
	for c := range tables {
		t := &tables[c]
		for i := c; i < len(d); i += src.C {
			d[i] = t[src.Pix[i]]
		}
	}
	return out
}

// throughOne is through with one table for all channels.
func throughOne(src dataset.Pixels, t *table) dataset.Pixels {
	out := dataset.NewPixels(src.W, src.H, src.C)
	d := out.Pix[:len(src.Pix)]
	for i, v := range src.Pix {
		d[i] = t[v]
	}
	return out
}

// mix is Pillow's blend in float32, truncated: d at v = 0, x at v = 1.
func mix(d, x uint8, v float32) uint8 {
	return uint8(min(max(float32(d)+float32(v*(float32(x)-float32(d))), 0), 255))
}

// luma is Pillow's convert("L").
func luma(p []uint8) uint8 {
	return uint8((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 32768) >> 16)
}

// grey is the grey level of a pixel: luma of three channels, the mean of another number.
func grey(p []uint8) uint8 {
	switch len(p) {
	case 1:
		return p[0]
	case 3:
		return luma(p)
	}
	sum := len(p) / 2
	for _, v := range p {
		sum += int(v)
	}
	return uint8(sum / len(p))
}

// perChannel maps each channel through the table that its histogram gives.
func perChannel(m dataset.Pixels, f func(h *[256]int) table) dataset.Pixels {
	h := make([][256]int, m.C)
	if m.C == 3 { // in one pass
		r, g, b := &h[0], &h[1], &h[2]
		for s := m.Pix; len(s) >= 3; s = s[3:] {
			r[s[0]]++
			g[s[1]]++
			b[s[2]]++
		}
	} else {
		for c := range h {
			for i := c; i < len(m.Pix); i += m.C {
				h[c][m.Pix[i]]++
			}
		}
	}
	tables := make([]table, m.C)
	for c := range h {
		tables[c] = f(&h[c])
	}
	return through(m, tables)
}

// AutoContrast stretches each channel to 0..255.
func AutoContrast(m dataset.Pixels) dataset.Pixels {
	return perChannel(m, func(h *[256]int) table {
		lo, hi := 0, 255
		for lo < 255 && h[lo] == 0 {
			lo++
		}
		for hi > 0 && h[hi] == 0 {
			hi--
		}
		if hi <= lo {
			return tableOf(func(x int) int { return x })
		}
		scale := 255 / float64(hi-lo)
		offset := float64(-float64(lo) * scale)
		return tableOf(func(x int) int { return int(float64(float64(x)*scale) + offset) })
	})
}

// Equalize makes the values of each channel equally frequent.
func Equalize(m dataset.Pixels) dataset.Pixels {
	return perChannel(m, func(h *[256]int) table {
		used, last, n := 0, 0, 0
		for x, c := range h {
			if c > 0 {
				used, last = used+1, x
			}
			n += c
		}
		step := (n - h[last]) / 255
		if used < 2 || step == 0 {
			return tableOf(func(x int) int { return x })
		}
		sum := step / 2
		return tableOf(func(x int) int { v := sum / step; sum += h[x]; return v })
	})
}

// Brightness blends with black: v = 1 leaves the image as it is, as for the three below.
func Brightness(m dataset.Pixels, v float64) dataset.Pixels {
	t := tableOf(func(x int) int { return int(mix(0, uint8(x), float32(v))) })
	return throughOne(m, &t)
}

// Contrast blends with the mean grey.
func Contrast(m dataset.Pixels, v float64) dataset.Pixels {
	sum := 0
	if m.C == 3 {
		for s := m.Pix; len(s) >= 3; s = s[3:] {
			sum += int(luma(s))
		}
	} else {
		for s := m.Pix; len(s) >= m.C; s = s[m.C:] {
			sum += int(grey(s[:m.C]))
		}
	}
	mean := uint8(float64(sum)/float64(max(1, m.W*m.H)) + 0.5)
	t := tableOf(func(x int) int { return int(mix(mean, uint8(x), float32(v))) })
	return throughOne(m, &t)
}

// Color blends with the grey image.
func Color(m dataset.Pixels, v float64) dataset.Pixels {
	out := dataset.NewPixels(m.W, m.H, m.C)
	d, f := out.Pix, float32(v)
	if m.C != 3 {
		for s := m.Pix; len(s) >= m.C; s, d = s[m.C:], d[m.C:] {
			l := grey(s[:m.C])
			for c, v := range s[:m.C] {
				d[c] = mix(l, v, f)
			}
		}
		return out
	}
	for s := m.Pix; len(s) >= 3 && len(d) >= 3; s, d = s[3:], d[3:] {
		l := luma(s)
		d[0], d[1], d[2] = mix(l, s[0], f), mix(l, s[1], f), mix(l, s[2], f)
	}
	return out
}

// Sharpness blends with the image smoothed by the kernel 1 1 1, 1 5 1, 1 1 1 over 13; the outermost pixels stay.
func Sharpness(m dataset.Pixels, v float64) dataset.Pixels {
	out := clone(m)
	n, c, f := m.W*m.C, m.C, float32(v)
	for y := 1; y < m.H-1; y++ {
		up, row, down := m.Pix[(y-1)*n:][:n], m.Pix[y*n:][:n], m.Pix[(y+1)*n:][:n]
		d := out.Pix[y*n:][:n]
		for x := c; x < n-c; x++ {
			sum := uint32(up[x-c]) + uint32(up[x]) + uint32(up[x+c]) + uint32(row[x-c]) + uint32(row[x+c]) +
				uint32(down[x-c]) + uint32(down[x]) + uint32(down[x+c]) + 5*uint32(row[x])
			d[x] = mix(uint8((2*sum+13)/26), row[x], f)
		}
	}
	return out
}

// Posterize keeps the top int(bits) bits of every value, at least one.
func Posterize(m dataset.Pixels, bits float64) dataset.Pixels {
	keep := 0xff << (8 - min(max(1, int(bits)), 8))
	t := tableOf(func(x int) int { return x & keep & 0xff })
	return throughOne(m, &t)
}

// Solarize inverts the values from v on.
func Solarize(m dataset.Pixels, v float64) dataset.Pixels {
	t := tableOf(func(x int) int {
		if float64(x) < v {
			return x
		}
		return 255 - x
	})
	return throughOne(m, &t)
}

// affine returns the image whose pixel (x,y) is the source's pixel at (a x + b y + c, d x + e y + f), taken at pixel centres,
// nearest neighbour in 16.16 fixed point, black outside.
func affine(m dataset.Pixels, a, b, c, d, e, f float64) dataset.Pixels {
	out := dataset.NewPixels(m.W, m.H, m.C)
	fix := func(v float64) int { return int(math.Floor(float64(65536*v) + 0.5)) }
	stepX, stepY := fix(a), fix(d)
	x0, y0 := fix(c+a/2+b/2), fix(f+d/2+e/2)
	p := out.Pix
	for range m.H {
		x, y := x0, y0
		for range m.W {
			if sx, sy := x>>16, y>>16; uint(sx) < uint(m.W) && uint(sy) < uint(m.H) {
				copy(p[:m.C], m.Pix[(sy*m.W+sx)*m.C:])
			}
			p = p[m.C:]
			x, y = x+stepX, y+stepY
		}
		x0, y0 = x0+fix(b), y0+fix(e)
	}
	return out
}

// Rotate turns the image counter-clockwise about its centre, by degrees.
func Rotate(m dataset.Pixels, degrees float64) dataset.Pixels {
	turn := math.Mod(degrees, 360)
	if turn < 0 {
		turn += 360
	}
	t := -turn * (math.Pi / 180)
	round := func(v float64) float64 { return math.Round(v*1e15) / 1e15 }
	cos, sin := round(math.Cos(t)), round(math.Sin(t))
	cx, cy := float64(m.W)/2, float64(m.H)/2
	c := cx - float64(cos*cx) - float64(sin*cy)
	f := cy + float64(sin*cx) - float64(cos*cy)
	return affine(m, cos, sin, c, -sin, cos, f)
}

// ShearX shifts each row by v times its distance from the top.
func ShearX(m dataset.Pixels, v float64) dataset.Pixels { return affine(m, 1, v, 0, 0, 1, 0) }

// ShearY shifts each column by v times its distance from the left.
func ShearY(m dataset.Pixels, v float64) dataset.Pixels { return affine(m, 1, 0, 0, v, 1, 0) }

// moved is the source of pixel x where the image is shifted by v sizes, which may lie outside.
func moved(x, size int, v float64) int {
	return int(math.Floor(float64(x) + 0.5 + float64(v*float64(size))))
}

// TranslateX shifts the image left by v widths, black behind it.
func TranslateX(m dataset.Pixels, v float64) dataset.Pixels {
	out := dataset.NewPixels(m.W, m.H, m.C)
	n := m.W * m.C
	for x := range m.W {
		if s := moved(x, m.W, v); s >= 0 && s < m.W {
			for y := range m.H {
				copy(out.Pix[y*n+x*m.C:][:m.C], m.Pix[y*n+s*m.C:])
			}
		}
	}
	return out
}

// TranslateY shifts the image up by v heights, black behind it.
func TranslateY(m dataset.Pixels, v float64) dataset.Pixels {
	return rows(m, func(y int) int { return moved(y, m.H, v) })
}

// VerticalShift moves the image down by n rows, black behind it.
func VerticalShift(m dataset.Pixels, n int) dataset.Pixels {
	return rows(m, func(y int) int { return y - n })
}

// rows returns the image whose row y is row from(y) of m, or black.
func rows(m dataset.Pixels, from func(y int) int) dataset.Pixels {
	out := dataset.NewPixels(m.W, m.H, m.C)
	n := m.W * m.C
	for y := range m.H {
		if s := from(y); s >= 0 && s < m.H {
			copy(out.Pix[y*n:][:n], m.Pix[s*n:])
		}
	}
	return out
}

// HorizontalFlip mirrors left and right.
func HorizontalFlip(m dataset.Pixels) dataset.Pixels {
	out := dataset.NewPixels(m.W, m.H, m.C)
	n := m.W * m.C
	for y := range m.H {
		d := out.Pix[y*n:][:n]
		for s := m.Pix[y*n:][:n]; len(s) >= m.C; s = s[m.C:] {
			copy(d[len(s)-m.C:], s[:m.C])
		}
	}
	return out
}

// Cutout paints a grey box of side size times the width around (cx, cy); both of its ends are inside, as Pillow draws it.
func Cutout(m dataset.Pixels, size, cx, cy float64) dataset.Pixels {
	if size <= 0 {
		return m
	}
	s := float64(size * float64(m.W))
	x0, y0 := int(max(0, cx-s/2)), int(max(0, cy-s/2))
	x1 := min(int(min(float64(m.W), float64(x0)+s)), m.W-1)
	y1 := min(int(min(float64(m.H), float64(y0)+s)), m.H-1)
	out := clone(m)
	for y := y0; y <= y1; y++ {
		for x := x0; x <= x1; x++ {
			p := out.Pix[(y*m.W+x)*m.C:][:m.C]
			if m.C == 3 {
				p[0], p[1], p[2] = 125, 123, 114 // the mean colour of ImageNet
				continue
			}
			for c := range p {
				p[c] = 121 // its mean
			}
		}
	}
	return out
}

func clone(m dataset.Pixels) dataset.Pixels {
	m.Pix = append([]uint8(nil), m.Pix...)
	return m
}
