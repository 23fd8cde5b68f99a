// Package synth draws galaxies as a survey would show them, with rare ones among them, so that anyone can try the program
// without data of their own. The pictures are made up; the recipe follows what the surveys see: light profiles by Sérsic, spiral
// arms as logarithmic spirals, seeing, noise and the asinh stretch of the SDSS pictures.
package synth

import (
	"fmt"
	"math/rand/v2"

	"anomalymatch/engine/dataset"
)

// Kind is what a picture shows.
type Kind int

// The common kinds, and the rare ones from Ring on. Any, as a wish, means every rare kind.
const (
	Any Kind = iota
	Elliptical
	Spiral
	EdgeOn
	Ring
	Merger
	Lens
)

var kindNames = [...]string{"any", "elliptical", "spiral", "edge-on", "ring", "merger", "lens"}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Rare says whether the kind is one of the rare ones: what the demo looks for.
func (k Kind) Rare() bool { return k >= Ring && k <= Lens }

// Params say which sky to draw.
type Params struct {
	Seed     uint64
	Size     int     // pixels a side
	Rare     float64 // share of rare galaxies
	RareKind Kind    // which of them; Any mixes all
}

// Defaults are those of the demo.
func Defaults() Params { return Params{Seed: 1, Size: 96, Rare: 0.015, RareKind: Any} }

// Galaxy draws image i of a sky with the default share of rare galaxies: a pure function, the same on every machine.
func Galaxy(seed uint64, i, size int) (dataset.RGB, Kind) {
	p := Defaults()
	p.Seed, p.Size = seed, size
	return p.Galaxy(i)
}

// Galaxy draws image i of the sky.
func (p Params) Galaxy(i int) (dataset.RGB, Kind) {
	kind := p.Kind(i)
	return p.draw(i, kind), kind
}

// Kind says what image i shows. Rare ones are spread evenly: one in each run of 1/Rare images, at a random place in it, so that
// their number never depends on luck.
func (p Params) Kind(i int) Kind {
	d := p.dice(i, 1)
	if p.Rare > 0 {
		run := max(1, int(1/min(p.Rare, 1)+0.5))
		if i%run == p.dice(i/run, 2).IntN(run) {
			if p.RareKind.Rare() {
				return p.RareKind
			}
			return Ring + Kind(d.IntN(3))
		}
	}
	switch t := d.Float64(); {
	case t < 0.42:
		return Elliptical
	case t < 0.80:
		return Spiral
	}
	return EdgeOn
}

// dice gives the random numbers of image i for one purpose.
func (p Params) dice(i int, purpose uint64) dice {
	z := uint64(i)*0x9e3779b97f4a7c15 + purpose // splitmix64, so that neighbours have nothing in common
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return dice{rand.New(rand.NewPCG(p.Seed, z^z>>31))}
}

func (p Params) draw(i int, kind Kind) dataset.RGB {
	d := p.dice(i, 3)
	size := max(p.Size, 8)
	c := newCanvas(size * 3 / 2) // lengths are in shares of this; the middle of it is the cut-out
	g := galaxy{canvas: c, dice: d}
	g.x, g.y = d.in(-0.015, 0.015), d.in(-0.015, 0.015)
	switch kind {
	case Elliptical:
		g.elliptical()
	case Spiral:
		g.spiral()
	case EdgeOn:
		g.edgeOn()
	case Ring:
		g.ring()
	case Merger:
		g.merger()
	case Lens:
		g.lens()
	}
	g.neighbours(kind)
	c.seeing(float64(size) / 96 * d.in(1.1, 2.2))
	c.noise(d, float64(size)/96*d.in(0.6, 1.0))
	return middle(c.picture(d.in(0, 1), d.in(0.85, 1.1)), size)
}

// middle cuts the middle n×n pixels out.
func middle(m dataset.RGB, n int) dataset.RGB {
	out := dataset.NewRGB(n, n)
	x, y := (m.W-n)/2, (m.H-n)/2
	for row := range n {
		copy(out.Pix[row*n*3:(row+1)*n*3], m.Pix[((y+row)*m.W+x)*3:])
	}
	return out
}
