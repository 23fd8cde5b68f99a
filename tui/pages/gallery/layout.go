package gallery

import "math"

// layout is where the cells of the grid are. A cell is a picture with a frame of one cell around it; the caption stands in the
// frame's lower side.
type layout struct {
	cols, rows int // pictures across and down
	pw, ph     int // cells of one picture
	left, gap  int // blanks before the first cell and between cells
	panel      int // width of the side panel, 0: none
	width      int // of the grid
}

// heights are the sizes that + and - go through, in cells.
var heights = []int{5, 6, 7, 8, 9, 11, 14, 18, 24, 32}

const (
	panelFrom = 120 // columns of the page from which on there is a side panel
	most      = 160 // pictures of a page: the terminal has 240 places, the pages beside this one use the rest
)

// arrange makes a grid of the page. level chooses the height of a picture, < 0 as fits: the largest that leaves room for four
// across and two down. ratio is height to width of a terminal cell.
func arrange(w, h, level int, ratio float64) layout {
	var l layout
	if w >= panelFrom {
		l.panel = min(54, max(38, w/5))
	}
	l.width = w - l.panel
	if l.panel > 0 {
		l.width -= 3
	}
	if level < 0 {
		level = Fit(w, h, ratio)
	}
	for level = min(level, len(heights)-1); ; level-- {
		l.ph = heights[level]
		l.pw = int(math.Round(float64(l.ph) * ratio))
		l.cols, l.rows = l.width/(l.pw+2), h/(l.ph+2)
		if l.cols > 0 && l.rows > 0 || level == 0 {
			break
		}
	}
	l.cols, l.rows = max(1, l.cols), max(1, l.rows)
	for l.cols*l.rows > most {
		l.rows--
	}
	spare := max(0, l.width-l.cols*(l.pw+2))
	l.gap = min(3, spare/(l.cols+1))
	l.left = max(0, (l.width-l.cols*(l.pw+2)-(l.cols-1)*l.gap)/2)
	return l
}

// Fit is the level of the pictures as they fit a page.
func Fit(w, h int, ratio float64) int {
	if w >= panelFrom {
		w -= min(54, max(38, w/5)) + 3
	}
	best := 0
	for i, ph := range heights {
		pw := int(math.Round(float64(ph) * ratio))
		if ph <= 11 && w/(pw+2) >= 4 && h/(ph+2) >= 2 {
			best = i
		}
	}
	return best
}

// level is the one whose pictures are at most cols cells wide.
func level(cols int, ratio float64) int {
	best := 0
	for i, ph := range heights {
		if int(math.Round(float64(ph)*ratio)) <= cols {
			best = i
		}
	}
	return best
}
