package dataset

import (
	"image"
	"math"

	"anomalymatch/engine/dataset/stretch"
)

// Planes are the values of an image as its file holds them: each band by itself, with its full range.
type Planes struct {
	W, H  int
	Bands int
	Type  string                           // of a value, for people: "8 bits"
	row   func(dst []float64, band, y int) // W values
}

// Row reads row y of a band, both from 0, into dst [W]. NaN: nothing was measured there.
func (p Planes) Row(dst []float64, band, y int) { p.row(dst, band, y) }

// planesOf finds the bands in what the decoders return. Alpha is no band.
func planesOf(m image.Image) Planes {
	size := m.Bounds().Size()
	p := Planes{W: size.X, H: size.Y, Bands: 3, Type: "8 bits"}
	bytes := func(pix []uint8, stride, step int) {
		p.row = func(dst []float64, band, y int) {
			for x, s := 0, pix[y*stride+band:]; x < len(dst); x++ {
				dst[x] = float64(s[x*step])
			}
		}
	}
	words := func(pix []uint8, stride, step int) { // big endian
		p.Type = "16 bits"
		p.row = func(dst []float64, band, y int) {
			for x, s := 0, pix[y*stride+2*band:]; x < len(dst); x++ {
				dst[x] = float64(uint16(s[x*step])<<8 | uint16(s[x*step+1]))
			}
		}
	}
	switch m := m.(type) {
	case preparedImage:
		return planesOf(m.Image)
	case rawPicture:
		p.Bands, p.Type = m.C, m.Kind().String()
		p.row = func(dst []float64, band, y int) { m.Row(dst, band, y) }
	case *image.Gray:
		p.Bands = 1
		bytes(m.Pix, m.Stride, 1)
	case *image.Gray16:
		p.Bands = 1
		words(m.Pix, m.Stride, 2)
	case *image.RGBA:
		bytes(m.Pix, m.Stride, 4)
	case *image.NRGBA:
		bytes(m.Pix, m.Stride, 4)
	case *image.RGBA64:
		words(m.Pix, m.Stride, 8)
	case *image.NRGBA64:
		words(m.Pix, m.Stride, 8)
	default:
		rgb := fromImage(m)
		bytes(rgb.Pix, 3*rgb.W, 3)
	}
	return p
}

// bandsOf is planesOf(m).Bands.
func bandsOf(m image.Image) int {
	switch m := m.(type) {
	case preparedImage:
		return bandsOf(m.Image)
	case rawPicture:
		return m.C
	case *image.Gray, *image.Gray16:
		return 1
	}
	return 3
}

// sampled is how many values of a band choose the limits of a stretch; of a larger one every so many-th value does.
const sampled = 4_000_000

// limits of a band under a stretch.
func (p Planes) limits(s stretch.Stretch, band int) (lo, hi float64) {
	step := max(1, (p.W*p.H+sampled-1)/sampled)
	values := make([]float64, 0, p.W*p.H/step+1)
	row := make([]float64, p.W)
	next := 0
	for y := range p.H {
		if next >= p.W {
			next -= p.W
			continue
		}
		p.Row(row, band, y)
		for ; next < p.W; next += step {
			values = append(values, row[next])
		}
		next -= p.W
	}
	return s.Limits(values)
}

// Stretched are the grey levels of a band, from 1 (of the last where there are not so many), or of the first three bands as colours for
// band 0, each stretched by itself. Grey: the three channels are equal.
func (p Planes) Stretched(s stretch.Stretch, band int) (out RGB, grey bool) {
	out = NewRGB(p.W, p.H)
	return out, p.stretch(out.Pixels(), s, band)
}

// stretch is Stretched into a black picture of the same size and any number of channels. One band alone fills all of them.
func (p Planes) stretch(out Pixels, s stretch.Stretch, band int) (grey bool) {
	from, to := 0, min(p.Bands, out.C)
	if band > 0 {
		from, to = min(band, p.Bands)-1, min(band, p.Bands)
	}
	row, levels := make([]float64, p.W), make([]uint8, p.W)
	for b := from; b < to; b++ {
		lo, hi := p.limits(s, b)
		for y := range p.H {
			p.Row(row, b, y)
			s.Grey(levels, row, lo, hi)
			for x, v := range levels {
				out.Pix[out.C*(y*p.W+x)+b-from] = v
			}
		}
	}
	if to-from == 1 {
		out.only(0)
	}
	return to-from == 1
}

// bytes copies the first bands, which are of 8 bits.
func (p Planes) bytes(out Pixels) {
	row := make([]float64, p.W)
	for b := range min(p.Bands, out.C) {
		for y := range p.H {
			p.Row(row, b, y)
			for x, v := range row {
				out.Pix[out.C*(y*p.W+x)+b] = uint8(v)
			}
		}
	}
}

// Values says what the values of a band are.
type Values struct {
	Min, Max, Mean float64 // of the finite ones; NaN where there is none
	Missing        int     // those that are not finite
}

// Values of a band, from 0.
func (p Planes) Values(band int) Values {
	v := Values{Min: math.Inf(1), Max: math.Inf(-1)}
	row := make([]float64, p.W)
	sum, n := 0.0, 0
	for y := range p.H {
		p.Row(row, band, y)
		for _, x := range row {
			if math.IsNaN(x) || math.IsInf(x, 0) {
				v.Missing++
				continue
			}
			v.Min, v.Max = min(v.Min, x), max(v.Max, x)
			n++
			sum += (x - sum) / float64(n)
		}
	}
	v.Mean = sum
	if n == 0 {
		v.Min, v.Max, v.Mean = math.NaN(), math.NaN(), math.NaN()
	}
	return v
}
