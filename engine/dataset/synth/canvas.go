package synth

import (
	"math"
	"math/rand/v2"

	"anomalymatch/engine/dataset"
)

// dice draws the random numbers of one image.
type dice struct{ *rand.Rand }

// in is uniform over [from, to).
func (d dice) in(from, to float64) float64 { return from + (to-from)*d.Float64() }

func (d dice) chance(p float64) bool { return d.Float64() < p }

func (d dice) angle() float64 { return d.in(0, 2*math.Pi) }

// colour is the flux in red, green and blue.
type colour [3]float64

// between mixes two colours: t = 0 is c, t = 1 is o.
func (c colour) between(o colour, t float64) colour {
	for k := range c {
		c[k] += (o[k] - c[k]) * t
	}
	return c
}

// canvas is a square sky in units of the noise: light first, then seeing, noise and stretch make it a picture. Places and lengths
// are in shares of its side, with (0,0) in the middle.
type canvas struct {
	n    int
	side float64
	pix  []float32 // [n,n,3]
	row  []float32 // scratch: one line
}

func newCanvas(n int) *canvas {
	return &canvas{n: n, side: float64(n), pix: make([]float32, n*n*3), row: make([]float32, 3*n)}
}

// each calls f for every pixel within reach of (x,y), with its distance from there in shares of the side.
func (c *canvas) each(x, y, reach float64, f func(dx, dy float64, p []float32)) {
	px := func(v float64) float64 { return (v + 0.5) * c.side }
	x0, x1 := max(0, int(px(x-reach))), min(c.n-1, int(px(x+reach)))
	y0, y1 := max(0, int(px(y-reach))), min(c.n-1, int(px(y+reach)))
	for j := y0; j <= y1; j++ {
		dy := (float64(j)+0.5)/c.side - 0.5 - y
		for i := x0; i <= x1; i++ {
			o := (j*c.n + i) * 3
			f((float64(i)+0.5)/c.side-0.5-x, dy, c.pix[o:o+3:o+3])
		}
	}
}

func add(p []float32, c colour, f float64) {
	p[0] += float32(c[0] * f)
	p[1] += float32(c[1] * f)
	p[2] += float32(c[2] * f)
}

// plane is a flat thing seen at an angle: turned by a position angle and flattened to the axis ratio q.
type plane struct{ cos, sin, q float64 }

func facing(angle, q float64) plane { return plane{math.Cos(angle), math.Sin(angle), q} }

// at is where the offset (dx,dy) on the sky lies in the plane.
func (p plane) at(dx, dy float64) (u, v float64) {
	return dx*p.cos + dy*p.sin, (dy*p.cos - dx*p.sin) / p.q
}

// sky is where the place (u,v) of the plane is seen.
func (p plane) sky(u, v float64) (dx, dy float64) {
	v *= p.q
	return u*p.cos - v*p.sin, u*p.sin + v*p.cos
}

// sersic draws a smooth galaxy of index n whose half-light radius is re, light at that radius, colours from inner to outer: the
// light falls as exp(-b((r/re)^(1/n) - 1)).
func (c *canvas) sersic(x, y, re, n float64, p plane, inner, outer colour, light float64) {
	const steps = 256
	reach := re * (3 + 1.2*n)
	b := 2*n - 1.0/3
	soft := 0.35 / c.side // a pixel averages over the cusp
	var table [steps + 1]float64
	for i := range table { // by the root of the radius, because the middle is steep
		t := float64(i) / steps
		table[i] = light * math.Exp(-b*(math.Pow(max(reach*t*t, soft)/re, 1/n)-1))
	}
	cut := table[steps]
	c.each(x, y, reach, func(dx, dy float64, px []float32) {
		u, v := p.at(dx, dy)
		r := math.Sqrt(u*u + v*v)
		t := math.Sqrt(r/reach) * steps
		i := int(t)
		if i >= steps {
			return
		}
		f := table[i] + (table[i+1]-table[i])*(t-float64(i)) - cut
		add(px, inner.between(outer, min(1, r/(2*re))), f)
	})
}

// blob draws a round Gaussian of the given width, light in its middle.
func (c *canvas) blob(x, y, sigma float64, col colour, light float64) {
	k := -1 / (2 * sigma * sigma)
	c.each(x, y, 3*sigma, func(dx, dy float64, p []float32) {
		add(p, col, light*math.Exp(k*(dx*dx+dy*dy)))
	})
}

// star puts all light into one place; the seeing spreads it. flux is the light of the brightest pixel before that.
func (c *canvas) star(x, y float64, col colour, flux float64) {
	px, py := (x+0.5)*c.side-0.5, (y+0.5)*c.side-0.5
	x0, y0 := math.Floor(px), math.Floor(py)
	for k := range 4 {
		i, j := int(x0)+k%2, int(y0)+k/2
		if i >= 0 && j >= 0 && i < c.n && j < c.n {
			w := (1 - math.Abs(px-float64(i))) * (1 - math.Abs(py-float64(j)))
			add(c.pix[(j*c.n+i)*3:], col, flux*w)
		}
	}
}

// seeing blurs by a Gaussian of sigma pixels, one direction after the other.
func (c *canvas) seeing(sigma float64) { c.blur(gauss(sigma)) }

// gauss is half a kernel: the weight in the middle, then those to one side.
func gauss(sigma float64) []float32 {
	w := make([]float64, 1+int(math.Ceil(3*sigma)))
	sum := 0.0
	for i := range w {
		w[i] = math.Exp(-float64(i*i) / (2 * sigma * sigma))
		sum += w[i]
		if i > 0 {
			sum += w[i]
		}
	}
	half := make([]float32, len(w))
	for i := range w {
		half[i] = float32(w[i] / sum)
	}
	return half
}

// blur convolves with a kernel that gauss made. The conversions keep processors from fusing a product with its sum: in float32 that
// would change pixels from machine to machine.
func (c *canvas) blur(half []float32) {
	n := c.n * 3
	reach := len(half) - 1
	padded := make([]float32, n+6*reach)
	for j := range c.n { // along rows
		row := c.pix[j*n:][:n]
		copy(padded[3*reach:], row)
		for k := range 3 * reach { // the sky goes on as it ends
			padded[k] = row[k%3]
			padded[len(padded)-1-k] = row[n-1-k%3]
		}
		for i := range row {
			row[i] = half[0] * padded[i+3*reach]
		}
		for k := 1; k <= reach; k++ {
			w, left, right := half[k], padded[3*(reach-k):][:len(row)], padded[3*(reach+k):][:len(row)]
			for i := range row {
				row[i] += float32(w * (left[i] + right[i]))
			}
		}
	}
	out := make([]float32, len(c.pix))
	at := func(j int) []float32 { return c.pix[min(max(j, 0), c.n-1)*n:][:n] }
	for j := range c.n { // along columns, a row at a time
		row := out[j*n:][:n]
		for i, v := range at(j) {
			row[i] = half[0] * v
		}
		for k := 1; k <= reach; k++ {
			w, up, down := half[k], at(j - k)[:len(row)], at(j + k)[:len(row)]
			for i := range row {
				row[i] += float32(w * (up[i] + down[i]))
			}
		}
	}
	c.pix = out
}

// noise adds the sky's noise of standard deviation 1 and that of the light itself. Neighbouring pixels share some, as in pictures
// that were resampled.
func (c *canvas) noise(d dice, grain float64) {
	light := c.pix
	c.pix = make([]float32, len(light))
	for i := range c.pix {
		c.pix[i] = float32(d.NormFloat64())
	}
	half := gauss(grain)
	c.blur(half)
	norm := float32(half[0] * half[0])
	for _, w := range half[1:] {
		norm += float32(2 * w * w)
	}
	for i, v := range light { // norm is the variance left in one direction, so the deviation left in both
		c.pix[i] = v + float32(c.pix[i]/norm*float32(math.Sqrt(1+0.04*float64(max(v, 0)))))
	}
}

// picture stretches the light as the SDSS pictures are (Lupton et al. 2004): asinh of the mean, colours kept, sky just above black.
func (c *canvas) picture(sky, contrast float64) dataset.RGB {
	out := dataset.NewRGB(c.n, c.n)
	const knee = 0.09
	white := contrast / math.Asinh(knee*120)
	for o := 0; o < len(c.pix); o += 3 {
		r, g, b := float64(c.pix[o])+sky, float64(c.pix[o+1])+sky, float64(c.pix[o+2])+sky
		mean := (r + g + b) / 3
		f := knee * white
		if m := math.Abs(mean * knee); m > 0.01 {
			f = white * math.Log(m+math.Sqrt(m*m+1)) / math.Abs(mean)
		}
		if top := max(r, g, b) * f; top > 1 { // a bright star keeps its colour, but only just
			f /= top
		}
		for k, v := range [3]float64{r, g, b} {
			out.Pix[o+k] = uint8(min(max(v*f*255+0.5, 0), 255))
		}
	}
	return out
}
