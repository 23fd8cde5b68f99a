package synth

import "math"

// Colours of starlight as the SDSS pictures show it.
var (
	orange = colour{1.25, 0.85, 0.45}
	yellow = colour{1.15, 0.95, 0.65}
	cream  = colour{1.05, 0.98, 0.85}
	grey   = colour{0.95, 0.98, 1.02}
	blue   = colour{0.75, 0.92, 1.25}
	violet = colour{0.85, 0.75, 1.30}
)

// galaxy is the main object of one picture.
type galaxy struct {
	*canvas
	dice
	x, y float64
}

// old is the colour of old stars, the redder the farther away.
func (g galaxy) old() colour {
	if g.chance(0.4) {
		return yellow.between(orange, g.Float64())
	}
	return cream.between(yellow, g.Float64())
}

// young is the colour of discs.
func (g galaxy) young() colour {
	if g.chance(0.06) {
		return blue.between(violet, g.Float64())
	}
	return cream.between(blue, g.in(0, 0.9))
}

// tilt is the axis ratio of a disc seen from a random side, but not its edge.
func (g galaxy) tilt(from float64) float64 { return math.Sqrt(g.in(from*from, 1)) }

// brightness is log-uniform: there are always more faint ones.
func (g galaxy) brightness(from, to float64) float64 { return from * math.Pow(to/from, g.Float64()) }

func (g galaxy) elliptical() {
	col := g.old()
	outer := col.between(grey, g.in(0, 0.3))
	if g.chance(0.15) { // lenticulars and blue ones
		col, outer = g.young(), g.young()
	}
	re := g.brightness(0.055, 0.15)
	g.sersic(g.x, g.y, re, g.in(1.6, 4), facing(g.angle(), g.in(0.55, 1)), col, outer, g.brightness(8, 40)*math.Sqrt(0.05/re))
}

func (g galaxy) spiral() {
	h := g.brightness(0.055, 0.10) // scale length
	p := facing(g.angle(), g.tilt(0.45))
	light := g.brightness(18, 60)
	disc := g.young()
	bulge := g.old()
	arms := 2.0
	if g.chance(0.2) {
		arms = 3 + float64(g.IntN(2))
	}
	pitch := g.in(0.20, 0.5)
	if g.chance(0.06) {
		pitch = g.in(0.09, 0.15) // wound so tightly that it looks like rings
	}
	wind := 1 / math.Tan(pitch)
	if g.chance(0.5) {
		wind = -wind
	}
	phase, depth, sharp := g.angle(), g.in(0.25, 1), g.in(1, 2.6)
	spiralAt := func(r, a float64) float64 { return arms*(a-phase) - arms*wind*math.Log(r/h) }
	g.each(g.x, g.y, 5.5*h, func(dx, dy float64, px []float32) {
		u, v := p.at(dx, dy)
		r := math.Sqrt(u*u + v*v)
		if r > 5.5*h {
			return
		}
		f := light * (math.Exp(-r/h) - 0.004)
		if f <= 0 {
			return
		}
		strength := depth * min(1, r/(0.9*h))
		arm := math.Exp(sharp * (math.Cos(spiralAt(max(r, 0.1*h), math.Atan2(v, u))) - 1))
		f *= 1 - 0.75*strength + strength*(0.6+1.3*sharp/2)*arm
		add(px, bulge.between(disc, min(1, r/(1.5*h))).between(blue, 0.35*strength*arm), f)
	})
	for range int(depth * g.in(4, 22)) { // star-forming regions on the arms
		r := h * g.in(0.9, 3)
		a := phase + wind*math.Log(r/h) + 2*math.Pi/arms*float64(g.IntN(int(arms))) + g.NormFloat64()*0.12
		dx, dy := p.sky(r*math.Cos(a), r*math.Sin(a))
		g.blob(g.x+dx, g.y+dy, g.in(0.006, 0.012), blue.between(violet, g.in(0, 0.6)), light*math.Exp(-r/h)*g.in(0.3, 1.3))
	}
	if g.chance(0.35) { // a bar, along the roots of the arms
		a := math.Atan2(p.sin, p.cos) + g.in(-0.6, 0.6)
		g.sersic(g.x, g.y, h*g.in(0.6, 0.9), 0.7, facing(a, g.in(0.22, 0.4)), bulge, bulge.between(disc, 0.5), light*g.in(0.25, 0.6))
	}
	g.sersic(g.x, g.y, h*g.in(0.18, 0.4), g.in(1, 2.5), facing(g.angle(), g.in(0.75, 1)), bulge, bulge, light*g.in(0.2, 1.1))
}

func (g galaxy) edgeOn() {
	h := g.brightness(0.07, 0.13)
	thick := h * g.in(0.18, 0.36)
	p := facing(g.angle(), 1)
	disc, bulge := g.young().between(g.old(), g.in(0.1, 0.9)), g.old()
	light := g.brightness(28, 100)
	dust, lane, off := 0.0, thick*g.in(0.2, 0.4), thick*g.in(-0.35, 0.35)
	if g.chance(0.5) {
		dust = g.in(0.4, 0.9)
	}
	warp := g.NormFloat64() * 0.06 / h
	dim := colour{1, 1.25, 1.6} // dust takes blue light first
	g.each(g.x, g.y, 5*h, func(dx, dy float64, px []float32) {
		u, v := p.at(dx, dy)
		v += warp * u * u * thick / h
		w := math.Abs(v) / thick
		if w > 7 {
			return
		}
		s := 2 / (math.Exp(w) + math.Exp(-w))
		along := math.Abs(u) / h
		f := light * s * s * (math.Exp(-along) - 0.01) * (1 - 0.35*math.Exp(-along*along*4))
		if f <= 0 {
			return
		}
		col := bulge.between(disc, min(1, along))
		if dust > 0 {
			t := dust * math.Exp(-(v-off)*(v-off)/(2*lane*lane)-0.3*along)
			for k := range col {
				col[k] *= math.Exp(-t * dim[k])
			}
		}
		add(px, col, f)
	})
	if g.chance(0.75) {
		g.sersic(g.x, g.y, thick*g.in(0.5, 1.3), g.in(1, 2.2), facing(math.Atan2(p.sin, p.cos), g.in(0.55, 0.85)), bulge, bulge, light*g.in(0.1, 0.5))
	}
}

// annulus draws a ring of light of radius r0: around(angle) is its brightness there, width its share of the radius.
func (g galaxy) annulus(p plane, r0, width float64, col colour, around func(a float64) float64) {
	g.each(g.x, g.y, r0*(1+4*width), func(dx, dy float64, px []float32) {
		u, v := p.at(dx, dy)
		t := (math.Sqrt(u*u+v*v)/r0 - 1) / width
		if t*t < 14 {
			add(px, col, math.Exp(-t*t/2)*around(math.Atan2(v, u)))
		}
	})
}

// ring: a core and, apart from it, a clumpy ring of young stars, as after a head-on collision.
func (g galaxy) ring() {
	r0 := g.brightness(0.12, 0.21)
	p := facing(g.angle(), g.tilt(0.5))
	core := g.old()
	young := cream.between(blue, g.in(0.3, 1)).between(violet, g.in(0, 0.25))
	light := g.brightness(9, 30)
	a1, a2, w1, w2 := g.angle(), g.angle(), g.in(0.15, 0.6), g.in(0.05, 0.3)
	around := func(a float64) float64 {
		return light * (1 + w1*math.Cos(a-a1) + w2*math.Cos(2*(a-a2)))
	}
	bumps := g.in(0.1, 0.6)
	width := g.in(0.12, 0.24)
	g.annulus(p, r0, width, young, func(a float64) float64 { return around(a) * (0.9 - 0.6*bumps) })
	for range 10 + g.IntN(20) {
		a, r := g.angle(), r0*(1+0.6*width*g.NormFloat64())
		dx, dy := p.sky(r*math.Cos(a), r*math.Sin(a))
		g.blob(g.x+dx, g.y+dy, g.in(0.010, 0.022), young.between(violet, g.in(0, 0.4)), around(a)*bumps*g.in(0.2, 1.1))
	}
	g.sersic(g.x, g.y, r0*0.6, 0.8, p, core.between(young, 0.3), young, light*g.in(0.08, 0.25)) // what is left of the disc
	dx, dy := p.sky(r0*g.in(-0.3, 0.3), r0*g.in(-0.3, 0.3))
	g.sersic(g.x+dx, g.y+dy, r0*g.in(0.14, 0.26), g.in(1, 2.5), facing(g.angle(), g.in(0.7, 1)), core, core, light*g.in(0.5, 2))
}

// merger: two galaxies that overlap, in a common envelope, with tails that the tide has drawn out of them.
func (g galaxy) merger() {
	apart := g.in(0.09, 0.17)
	axis := g.angle()
	spin := 1.0
	if g.chance(0.5) {
		spin = -1
	}
	col := [2]colour{g.old(), g.old()}
	if g.chance(0.6) {
		col[0], col[1] = g.young(), g.young().between(col[1], 0.5)
	}
	light := g.brightness(16, 50)
	for k := range 2 {
		side := 1 - 2*float64(k)
		x, y := g.x+side*apart/2*math.Cos(axis), g.y+side*apart/2*math.Sin(axis)
		l := light * g.in(0.5, 1)
		re := g.in(0.032, 0.06)
		turn := axis + g.in(-0.9, 0.9)
		g.sersic(x, y, re, g.in(0.9, 2.2), facing(turn, g.in(0.45, 0.85)), col[k], col[k].between(grey, 0.4), l*0.5)
		g.sersic(x, y, re*0.4, 1.2, facing(turn, 0.9), col[k], col[k], l)
		for range 3 + g.IntN(5) { // bursts of star formation
			g.blob(x+g.NormFloat64()*re, y+g.NormFloat64()*re, g.in(0.006, 0.014), col[k].between(blue, g.in(0.3, 1)), l*g.in(0.1, 0.5))
		}
		if k == 0 || g.chance(0.75) {
			g.tail(x, y, axis+(side-1)/-2*math.Pi+g.in(-0.4, 0.4), spin*g.in(0.8, 2.8), g.in(0.18, 0.36), col[k].between(grey, 0.5), l*g.in(0.07, 0.22))
		}
	}
	g.sersic(g.x, g.y, apart*g.in(0.6, 0.9), 0.8, facing(axis+g.in(-0.3, 0.3), g.in(0.5, 0.85)), col[0], col[1].between(grey, 0.3), light*g.in(0.10, 0.22))
}

// tail draws a curved stream of stars out of (x,y): it leaves in the direction of dir, turns by bend and is long.
func (g galaxy) tail(x, y, dir, bend, long float64, col colour, light float64) {
	const steps = 48
	wobble := g.angle()
	for i := range steps {
		t := (float64(i) + 0.5) / steps
		x += long / steps * math.Cos(dir+bend*t)
		y += long / steps * math.Sin(dir+bend*t)
		clump := 1 + 0.35*math.Sin(9*t+wobble)
		g.blob(x, y, 0.014+0.016*t, col, light*clump*(1-t*t)*0.42)
	}
}

// lens: a massive elliptical, and around it the light of a galaxy far behind it, bent into arcs.
func (g galaxy) lens() {
	re := g.in(0.045, 0.075)
	einstein := g.in(0.12, 0.19)
	p := facing(g.angle(), g.in(0.82, 1))
	col := yellow.between(orange, g.in(0.3, 1))
	light := g.brightness(8, 22)
	g.sersic(g.x, g.y, re, g.in(2, 4), facing(g.angle(), g.in(0.7, 1)), col, col, light)
	arc := blue.between(violet, g.in(0, 0.4))
	bright := g.brightness(13, 32)
	a0, wide := g.angle(), g.in(0.45, 0.95)
	segment := func(a0, wide, f float64) func(float64) float64 {
		return func(a float64) float64 {
			t := math.Remainder(a-a0, 2*math.Pi) / wide
			return bright * f * math.Exp(-t*t*t*t)
		}
	}
	width := g.in(0.08, 0.13)
	g.annulus(p, einstein, width, arc, segment(a0, wide, 1))
	switch t := g.Float64(); {
	case t < 0.2: // source, lens and we in one line: a whole ring
		g.annulus(p, einstein, width, arc, func(float64) float64 { return bright * 0.55 })
	case t < 0.5: // a second arc
		g.annulus(p, einstein*g.in(0.85, 0.97), width, arc, segment(a0+math.Pi+g.in(-0.3, 0.3), wide*g.in(0.5, 0.8), 0.8))
	default: // the counter image
		a := a0 + math.Pi + g.in(-0.25, 0.25)
		dx, dy := p.sky(einstein*0.75*math.Cos(a), einstein*0.75*math.Sin(a))
		g.blob(g.x+dx, g.y+dy, 0.012, arc, bright*g.in(0.6, 1))
	}
}

// neighbours scatters stars and other galaxies. Some lie right beside the galaxy: only by chance, and without a trace of a tide.
func (g galaxy) neighbours(kind Kind) {
	place := func(near float64) (x, y float64) {
		a, r := g.angle(), math.Sqrt(g.in(near*near, 0.45))
		return r * math.Cos(a), r * math.Sin(a)
	}
	for range g.IntN(6) {
		x, y := place(0.15)
		g.star(x, y, yellow.between(blue, g.in(-0.3, 1)), g.brightness(25, 600))
	}
	for range g.IntN(4) {
		x, y := place(0.2)
		g.sersic(x, y, g.brightness(0.008, 0.025), g.in(0.8, 2), facing(g.angle(), g.in(0.4, 1)), g.old(), g.young(), g.brightness(3, 22))
	}
	if g.chance(0.05) { // a bright star with its halo
		x, y := place(0.3)
		col := cream.between(blue, g.in(-0.8, 0.8))
		g.star(x, y, col, g.brightness(2000, 9000))
		g.blob(x, y, 0.03, col, g.in(10, 40))
	}
	if kind < Ring && g.chance(0.14) { // a chance companion
		a, r := g.angle(), g.in(0.08, 0.2)
		x, y := g.x+r*math.Cos(a), g.y+r*math.Sin(a)
		if g.chance(0.4) {
			g.star(x, y, cream.between(blue, g.in(-0.6, 1)), g.brightness(150, 1500))
		} else {
			g.sersic(x, y, g.in(0.012, 0.03), g.in(1, 3), facing(g.angle(), g.in(0.5, 1)), g.old(), g.old(), g.brightness(6, 25))
		}
	}
}
