package imgview

import (
	"image"
	"image/color"
	"strconv"
	"strings"
)

// The drivers that draw pictures as text: half-blocks, quadrants and sextants divide a cell into 1×2, 2×2 and 2×3 pixels of two
// colours; text has one grey a cell.
//
// go-termimg's half-block encoder is not used: it takes 2×2 pixels a cell and keeps upper and lower half apart only where one is
// brighter than 50 % grey and the other darker. All else, that is nearly all of a galaxy on dark sky, becomes one colour a cell:
// half the rows are lost (TestTermimgLosesRows shows it, and says when that changes).
type (
	halfBlocks struct{} // two pixels a cell, both exact: every font has ▀
	quadrants  struct{} // four, whose two colours are the best for them; most fonts have these characters
	sextants   struct{} // six; U+1FB00 is in few fonts, but some terminals draw it themselves
)

func (halfBlocks) name() string { return "half-blocks" }
func (quadrants) name() string  { return "quadrants" }
func (sextants) name() string   { return "sextants" }

func (halfBlocks) grid() image.Point { return image.Pt(1, 2) }
func (quadrants) grid() image.Point  { return image.Pt(2, 2) }
func (sextants) grid() image.Point   { return image.Pt(2, 3) }
func (text) grid() image.Point       { return image.Pt(1, 1) }

func (halfBlocks) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	return mosaic(img, cols, rows, cell, halfBlocks{}.grid(), []rune(" ▀▄█"))
}

func (quadrants) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	return mosaic(img, cols, rows, cell, quadrants{}.grid(), []rune(" ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"))
}

func (sextants) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	return mosaic(img, cols, rows, cell, sextants{}.grid(), sextantRunes)
}

// sextantRunes by which sixths are filled: bit 0 is the upper left one, bit 1 the upper right. Those that older blocks had before are
// not at their place in Unicode.
var sextantRunes = func() []rune {
	runes := make([]rune, 64)
	next := rune(0x1fb00)
	for bits := range runes {
		switch bits {
		case 0:
			runes[bits] = ' '
		case 0b010101:
			runes[bits] = '▌'
		case 0b101010:
			runes[bits] = '▐'
		case 0b111111:
			runes[bits] = '█'
		default:
			runes[bits] = next
			next++
		}
	}
	return runes
}()

// mosaic draws img with grid pixels in every cell. runes are the characters by the pixels that have the foreground's colour, the first
// pixel in bit 0, row by row.
func mosaic(img image.Image, cols, rows int, cell, grid image.Point, runes []rune) (encoded, error) {
	if img.Bounds().Empty() {
		return encoded{}, errNoPixels
	}
	tall := 2 * float64(grid.X) / float64(grid.Y) // height by width of a pixel
	if cell.X > 0 && cell.Y > 0 {
		tall *= float64(cell.Y) / 2 / float64(cell.X)
	}
	w, h := fit(img.Bounds(), grid.X*cols, grid.Y*rows, tall)
	pix := flatten(img, w, h)
	left, top := (grid.X*cols-w)/2, (grid.Y*rows-h)/2
	from, to := left/grid.X, (left+w+grid.X-1)/grid.X // the columns that hold some of it

	lines := make([]string, rows)
	var b strings.Builder
	var seq []byte
	px := make([]color.RGBA, grid.X*grid.Y)
	for r := range lines {
		first, last := r*grid.Y-top, r*grid.Y-top+grid.Y-1
		if last < 0 || first >= h {
			lines[r] = strings.Repeat(" ", cols)
			continue
		}
		b.Reset()
		b.WriteString(strings.Repeat(" ", from))
		var fg, bg color.RGBA // alpha 0: the terminal's own
		for c := from; c < to; c++ {
			inside := 0
			for i := range px {
				at := image.Pt(c*grid.X-left+i%grid.X, first+i/grid.X)
				if px[i] = (color.RGBA{}); at.In(pix.Rect) {
					px[i] = pix.RGBAAt(at.X, at.Y)
					inside |= 1 << i
				}
			}
			bits, upper, lower := twoColours(px, inside)
			seq = seq[:0]
			if upper != fg {
				seq, fg = appendColour(seq, 38, upper), upper
			}
			if lower != bg {
				seq, bg = appendColour(seq, 48, lower), lower
			}
			b.Write(seq)
			b.WriteRune(runes[bits])
		}
		b.WriteString("\x1b[39;49m")
		b.WriteString(strings.Repeat(" ", cols-to))
		lines[r] = b.String()
	}
	return encoded{text: lines}, nil
}

// twoColours divides a cell's pixels into those of the foreground (bits) and the rest, so that their two means differ least from them
// (least squares). A cell at the edge of a picture has its inside pixels in one colour and nothing behind them.
func twoColours(px []color.RGBA, inside int) (bits int, fg, bg color.RGBA) {
	all := 1<<len(px) - 1
	if inside != all {
		return inside, mean(px, inside), color.RGBA{}
	}
	best := -1
	for try := 1; try <= all; try += 2 { // the first pixel is always in the foreground: the other half of the ways is the same
		f, g := mean(px, try), mean(px, all&^try)
		sum := 0
		for i, p := range px {
			m := f
			if try>>i&1 == 0 {
				m = g
			}
			sum += square(p.R, m.R) + square(p.G, m.G) + square(p.B, m.B)
		}
		if best < 0 || sum < best {
			best, bits, fg, bg = sum, try, f, g
		}
		if sum == 0 {
			break
		}
	}
	if bg.A == 0 {
		bg = fg
	}
	return bits, fg, bg
}

func square(a, b uint8) int { d := int(a) - int(b); return d * d }

// mean is the mean colour of the pixels named by bits, nothing for none.
func mean(px []color.RGBA, bits int) color.RGBA {
	var r, g, b, n int
	for i, p := range px {
		if bits>>i&1 == 1 {
			r, g, b, n = r+int(p.R), g+int(p.G), b+int(p.B), n+1
		}
	}
	if n == 0 {
		return color.RGBA{}
	}
	return color.RGBA{uint8((r + n/2) / n), uint8((g + n/2) / n), uint8((b + n/2) / n), 255}
}

// appendColour sets the foreground (38) or background (48); alpha 0 is the terminal's own.
func appendColour(b []byte, which int, c color.RGBA) []byte {
	b = append(b, "\x1b["...)
	if c.A == 0 {
		return append(strconv.AppendInt(b, int64(which+1), 10), 'm')
	}
	b = strconv.AppendInt(b, int64(which), 10)
	b = append(b, ";2"...)
	for _, v := range [3]uint8{c.R, c.G, c.B} {
		b = append(b, ';')
		b = strconv.AppendInt(b, int64(v), 10)
	}
	return append(b, 'm')
}

// text draws one grey a cell, for terminals of 16 colours or none: enough to see where something is, and how large.
type text struct{ colours bool }

func (text) name() string { return "text" }

// level is one grey: a character, its colour of the 16 (0: the terminal's own) and how bright it looks, 0 to 255.
type level struct {
	glyph  rune
	colour int
	bright int
}

// The greys. The shades cover a quarter, a half and three quarters of a cell; the colours are those of xterm (90: 127, 37: 229, 97: 255).
// The letters' figures are the shares of a cell that they cover in DejaVu Sans Mono, measured, with that of @ as 255.
var (
	greys16 = []level{{' ', 0, 0}, {'░', 90, 32}, {'▒', 90, 64}, {'▓', 90, 95}, {'▒', 37, 115}, {'█', 90, 127}, {'▓', 37, 172}, {'▓', 97, 191}, {'█', 37, 229}, {'█', 97, 255}}
	letters = []level{{' ', 0, 0}, {'.', 0, 24}, {':', 0, 49}, {'*', 0, 89}, {'+', 0, 105}, {'=', 0, 115}, {'o', 0, 163}, {'#', 0, 230}, {'@', 0, 255}}
)

func (t text) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	if img.Bounds().Empty() {
		return encoded{}, errNoPixels
	}
	tall := 2.0
	if cell.X > 0 && cell.Y > 0 {
		tall = float64(cell.Y) / float64(cell.X)
	}
	w, h := fit(img.Bounds(), cols, rows, tall)
	pix := flatten(img, w, h)
	left, top := (cols-w)/2, (rows-h)/2
	levels := letters
	if t.colours {
		levels = greys16
	}
	lines := blank(cols, rows)
	var b strings.Builder
	for y := range h {
		b.Reset()
		b.WriteString(strings.Repeat(" ", left))
		if t.colours {
			b.WriteString("\x1b[40m") // the terminal's own may be light
		}
		colour := 0
		for x := range w {
			l := nearest(levels, int(color.GrayModel.Convert(pix.RGBAAt(x, y)).(color.Gray).Y))
			if l.colour != 0 && l.colour != colour {
				colour = l.colour
				b.WriteString("\x1b[" + strconv.Itoa(colour) + "m")
			}
			b.WriteRune(l.glyph)
		}
		if t.colours {
			b.WriteString("\x1b[39;49m")
		}
		b.WriteString(strings.Repeat(" ", cols-left-w))
		lines[top+y] = b.String()
	}
	return encoded{text: lines}, nil
}

// nearest is the grey that looks most like y.
func nearest(levels []level, y int) level {
	best := levels[0]
	for _, l := range levels[1:] {
		if abs(l.bright-y) < abs(best.bright-y) {
			best = l
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }
