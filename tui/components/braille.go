package components

import "math"

// dots is a drawing of 2×4 dots a cell (Unicode braille, U+2800).
type dots struct {
	w, h  int // cells
	cells [][]rune
}

func newDots(w, h int) dots {
	d := dots{w: w, h: h, cells: make([][]rune, h)}
	for y := range d.cells {
		d.cells[y] = make([]rune, w)
	}
	return d
}

// Braille is the bit of the dot in column x (0, 1) and row y (0…3) of a cell of Unicode's braille, U+2800.
var Braille = [2][4]rune{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}

func (d dots) set(x, y int) {
	if x >= 0 && y >= 0 && x < 2*d.w && y < 4*d.h {
		d.cells[y/4][x/2] |= 0x2800 | Braille[x%2][y%4]
	}
}

// line draws from one dot to another, one dot a column or row, whichever is more.
func (d dots) line(x0, y0, x1, y1 int) {
	n := max(abs(x1-x0), abs(y1-y0), 1)
	for i := range n + 1 {
		t := float64(i) / float64(n)
		d.set(x0+int(math.Round(t*float64(x1-x0))), y0+int(math.Round(t*float64(y1-y0))))
	}
}

func abs(x int) int { return max(x, -x) }
