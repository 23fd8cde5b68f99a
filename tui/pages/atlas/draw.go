package atlas

import (
	"image/color"
	"math"
	"strings"

	"charm.land/lipgloss/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/components"
	"anomalymatch/tui/styles"
)

// region is a part of the map, in the map's own units: 0 to 1, y downwards.
type region struct{ left, top, right, bottom float64 }

var whole = region{0, 0, 1, 1}

func (r region) width() float64  { return r.right - r.left }
func (r region) height() float64 { return r.bottom - r.top }

func (r region) wire(projection string) *rpc.Region {
	return &rpc.Region{Projection: projection, Left: r.left, Top: r.top, Right: r.right, Bottom: r.bottom}
}

// shifted is the region moved, as far as the map goes.
func (r region) shifted(dx, dy float64) region {
	dx = min(1-r.right, max(-r.left, dx))
	dy = min(1-r.bottom, max(-r.top, dy))
	return region{r.left + dx, r.top + dy, r.right + dx, r.bottom + dy}
}

// scaled is the region made larger or smaller around a point of it that stays where it is on screen, as far as the map goes.
func (r region) scaled(by, x, y float64) region {
	w, h := min(1, r.width()*by), min(1, r.height()*by)
	left, top := x-(x-r.left)/r.width()*w, y-(y-r.top)/r.height()*h
	left, top = min(1-w, max(0, left)), min(1-h, max(0, top))
	return region{left, top, left + w, top + h}
}

// picture is what the engine said of a part of a map.
type picture struct {
	of            region
	columns, rows int
	density       []int64   // images a field, row by row
	score         []float32 // mean score a field; NaN: none
	labelled      []*rpc.MapPoint
}

// field is the place of a point among the fields; false: the point is not on the picture.
func (p *picture) field(x, y float64) (int, bool) {
	column, row := int(math.Floor((x-p.of.left)/p.of.width()*float64(p.columns))), int(math.Floor((y-p.of.top)/p.of.height()*float64(p.rows)))
	if column < 0 || row < 0 || column >= p.columns || row >= p.rows {
		return 0, false
	}
	return row*p.columns + column, true
}

// sum is what lies in a part of the picture: images, labels, and the mean score, NaN where there is none.
func (p *picture) sum(r region) (images, anomalies, normals int64, score float64) {
	var scored int64
	const inside = 1e-9 // the borders of r are borders of fields, up to rounding
	for f, n := range p.density {
		x := p.of.left + (float64(f%p.columns)+0.5)/float64(p.columns)*p.of.width()
		y := p.of.top + (float64(f/p.columns)+0.5)/float64(p.rows)*p.of.height()
		if x < r.left-inside || x >= r.right-inside || y < r.top-inside || y >= r.bottom-inside {
			continue
		}
		images += n
		if s := float64(p.score[f]); s == s {
			score += s * float64(n)
			scored += n
		}
	}
	for _, l := range p.labelled {
		if l.GetX() < r.left || l.GetY() < r.top || l.GetX() > r.right || l.GetY() > r.bottom ||
			l.GetX() == r.right && r.right < 1 || l.GetY() == r.bottom && r.bottom < 1 {
			continue
		}
		if l.GetLabel() == "anomaly" {
			anomalies++
		} else {
			normals++
		}
	}
	if scored == 0 {
		return images, anomalies, normals, math.NaN()
	}
	return images, anomalies, normals, score / float64(scored)
}

// canvas is a drawing of one character and one style a cell.
type canvas struct {
	w, h  int
	glyph []rune
	style []int // of looks
	looks []look
}

// look is a style as what stands before a text and behind it: a map has thousands of runs, and to style each anew takes most of a frame.
type look struct{ before, behind string }

func newCanvas(w, h int) *canvas {
	return &canvas{w: w, h: h, glyph: []rune(strings.Repeat(" ", w*h)), style: make([]int, w*h), looks: []look{{}}}
}

// look adds a style and returns its number.
func (c *canvas) look(s lipgloss.Style) int {
	before, behind, _ := strings.Cut(s.Render("x"), "x")
	c.looks = append(c.looks, look{before, behind})
	return len(c.looks) - 1
}

func (c *canvas) put(x, y int, g rune, style int) {
	if x >= 0 && y >= 0 && x < c.w && y < c.h {
		c.glyph[y*c.w+x], c.style[y*c.w+x] = g, style
	}
}

// lines is the drawing as text.
func (c *canvas) lines() []string {
	out := make([]string, c.h)
	for y := range out {
		var b strings.Builder
		for x := 0; x < c.w; {
			end := x + 1
			for end < c.w && c.style[y*c.w+end] == c.style[y*c.w+x] {
				end++
			}
			look := c.looks[c.style[y*c.w+x]]
			b.WriteString(look.before)
			b.WriteString(string(c.glyph[y*c.w+x : y*c.w+end]))
			b.WriteString(look.behind)
			x = end
		}
		out[y] = b.String()
	}
	return out
}

// steps of a scale of colours.
const steps = 6

// scale is colours from little to much; without colours one style for all.
func scale(st styles.Styles, score bool) []lipgloss.Style {
	stops := []color.Color{st.Faint.GetForeground(), st.Chart.Bar.GetForeground(), st.Chart.Line.GetForeground()}
	if score {
		stops = []color.Color{st.Chart.Normal.GetForeground(), st.Dim.GetForeground(), st.Chart.Anomaly.GetForeground()}
	}
	out := make([]lipgloss.Style, steps)
	colourless := false
	for _, c := range stops {
		_, none := c.(lipgloss.NoColor)
		colourless = colourless || none || c == nil
	}
	if colourless {
		for i := range out {
			out[i] = lipgloss.NewStyle()
		}
		return out
	}
	for i, c := range lipgloss.Blend1D(steps, stops...) {
		out[i] = lipgloss.NewStyle().Foreground(c)
	}
	return out
}

// colourless tells that a scale says nothing by its colours.
func colourless(scale []lipgloss.Style) bool {
	_, none := scale[0].GetForeground().(lipgloss.NoColor)
	return none
}

// dots draws the images that lie in a part of the map: each dot of braille is a field with images, a cell full of dots is ▒, ▓ or █ the
// more there are; colours say how many, on a logarithmic scale, or their mean score. Without colours the score is a digit, its tenths.
func (c *canvas) dots(st styles.Styles, p *picture, shown region, score bool) {
	colours := scale(st, score)
	var looks []int
	for _, s := range colours {
		looks = append(looks, c.look(s))
	}
	digits := score && colourless(colours)
	type cell struct {
		n, dots int64
		mask    rune
		score   float64
		scored  int64
	}
	cells, most := make([]cell, c.w*c.h), int64(1)
	same := shown == p.of && p.columns == 2*c.w && (p.rows == 4*c.h || p.rows == 2*c.h)
	tall := 4
	if same {
		tall = p.rows / c.h // rows of fields a cell
	}
	for row := range tall * c.h {
		for column := range 2 * c.w {
			f, ok := row*p.columns+column, true
			if !same { // what was drawn before, until the engine answers
				f, ok = p.field(shown.left+(float64(column)+0.5)/float64(2*c.w)*shown.width(), shown.top+(float64(row)+0.5)/float64(tall*c.h)*shown.height())
			}
			if !ok || p.density[f] == 0 {
				continue
			}
			at := &cells[row/tall*c.w+column/2]
			at.n += p.density[f]
			at.dots++
			for y := row % tall * 4 / tall; y < (row%tall+1)*4/tall; y++ {
				at.mask |= components.Braille[column%2][y]
			}
			if s := float64(p.score[f]); s == s {
				at.score += s * float64(p.density[f])
				at.scored += p.density[f]
			}
			most = max(most, at.n)
		}
	}
	top := math.Log1p(float64(most))
	for i, at := range cells {
		if at.n == 0 {
			continue
		}
		share := math.Log1p(float64(at.n)) / top
		glyph, level := 0x2800|at.mask, int(share*steps)
		if at.mask == 0xff { // dots say no more
			switch per := float64(at.n) / 8; {
			case per >= 64:
				glyph = '█'
			case per >= 16:
				glyph = '▓'
			case per >= 4:
				glyph = '▒'
			}
		}
		if score {
			mean := at.score / float64(at.scored)
			level = int(mean * steps)
			if at.scored == 0 {
				level = 0
			}
			if digits && at.scored > 0 {
				glyph = '0' + rune(min(9, max(0, int(mean*10))))
			}
		}
		c.glyph[i], c.style[i] = glyph, looks[min(steps-1, max(0, level))]
	}
}

// marks puts a letter where a labelled image lies; anomalies lie on top.
func (c *canvas) marks(st styles.Styles, labelled []*rpc.MapPoint, shown region) {
	looks := map[string]int{"anomaly": c.look(st.Badge.Anomaly), "normal": c.look(st.Badge.Normal)}
	for _, label := range []string{"normal", "anomaly"} {
		for _, l := range labelled {
			if l.GetLabel() != label {
				continue
			}
			x, y := (l.GetX()-shown.left)/shown.width()*float64(c.w), (l.GetY()-shown.top)/shown.height()*float64(c.h)
			if l.GetX() == 1 && shown.right == 1 {
				x = float64(c.w) - 0.5
			}
			if l.GetY() == 1 && shown.bottom == 1 {
				y = float64(c.h) - 0.5
			}
			c.put(int(math.Floor(x)), int(math.Floor(y)), map[string]rune{"normal": 'N', "anomaly": 'A'}[label], looks[label])
		}
	}
}

// frame draws a box around the cells from (x, y), w×h of them.
func (c *canvas) frame(st lipgloss.Style, x, y, w, h int) {
	look := c.look(st)
	for i := range w {
		c.put(x+i, y-1, '─', look)
		c.put(x+i, y+h, '─', look)
	}
	for i := range h {
		c.put(x-1, y+i, '│', look)
		c.put(x+w, y+i, '│', look)
	}
	c.put(x-1, y-1, '┌', look)
	c.put(x+w, y-1, '┐', look)
	c.put(x-1, y+h, '└', look)
	c.put(x+w, y+h, '┘', look)
}
