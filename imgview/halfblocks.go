package imgview

import (
	"image"
	"image/color"
	"strconv"
	"strings"
)

// halfBlocks draws two pixels a cell: the upper half is the colour of the character ▀, the lower half its background.
//
// go-termimg's half-block encoder is not used: it takes 2×2 pixels a cell and keeps upper and lower half apart only where one is
// brighter than 50 % grey and the other darker. All else, that is nearly all of a galaxy on dark sky, becomes one colour a cell:
// half the rows are lost (TestTermimgLosesRows shows it, and says when that changes).
type halfBlocks struct{}

func (halfBlocks) name() string { return "half-blocks" }

func (halfBlocks) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	if img.Bounds().Empty() {
		return encoded{}, errNoPixels
	}
	tall := 1.0 // height by width of half a cell
	if cell.X > 0 && cell.Y > 0 {
		tall = float64(cell.Y) / 2 / float64(cell.X)
	}
	w, h := fit(img.Bounds(), cols, 2*rows, tall)
	pix := flatten(img, w, h)
	left, top := (cols-w)/2, (2*rows-h)/2

	lines := make([]string, rows)
	var b strings.Builder
	var seq []byte
	for r := range lines {
		y := 2*r - top // of the upper pixel
		if y+1 < 0 || y >= h {
			lines[r] = strings.Repeat(" ", cols)
			continue
		}
		b.Reset()
		b.WriteString(strings.Repeat(" ", left))
		var fg, bg color.RGBA // alpha 0: not set yet
		for x := range w {
			seq = seq[:0]
			glyph := "▀"
			upper, lower := color.RGBA{}, color.RGBA{}
			switch {
			case y < 0: // the picture begins in the lower half
				glyph, upper = "▄", pix.RGBAAt(x, y+1)
			case y+1 >= h: // and ends in the upper
				upper = pix.RGBAAt(x, y)
			default:
				upper, lower = pix.RGBAAt(x, y), pix.RGBAAt(x, y+1)
			}
			if upper != fg {
				seq, fg = appendColour(seq, 38, upper), upper
			}
			if lower != bg {
				seq, bg = appendColour(seq, 48, lower), lower
			}
			b.Write(seq)
			b.WriteString(glyph)
		}
		b.WriteString("\x1b[39;49m")
		b.WriteString(strings.Repeat(" ", cols-left-w))
		lines[r] = b.String()
	}
	return encoded{text: lines}, nil
}

// appendColour sets the foreground (38) or background (48).
func appendColour(b []byte, which int, c color.RGBA) []byte {
	b = append(b, "\x1b["...)
	b = strconv.AppendInt(b, int64(which), 10)
	b = append(b, ";2"...)
	for _, v := range [3]uint8{c.R, c.G, c.B} {
		b = append(b, ';')
		b = strconv.AppendInt(b, int64(v), 10)
	}
	return append(b, 'm')
}
