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
	level      int // of heights
}

// heights are the sizes that + and - go through, in cells.
var heights = []int{5, 6, 7, 8, 9, 11, 14, 18, 24, 32}

const (
	usual     = 11  // height of a picture that is good enough to judge it (22×11 cells)
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
	size := func(ph int) (pw, cols, rows int) {
		pw = int(math.Round(float64(ph) * ratio))
		return pw, l.width / (pw + 2), h / (ph + 2)
	}
	if level < 0 {
		level = 0
		for i, ph := range heights {
			if _, cols, rows := size(ph); ph <= usual && cols >= 4 && rows >= 2 {
				level = i
			}
		}
	}
	for l.level = min(level, len(heights)-1); l.level > 0; l.level-- {
		if _, cols, rows := size(heights[l.level]); cols > 0 && rows > 0 {
			break
		}
	}
	l.ph = heights[l.level]
	l.pw, l.cols, l.rows = size(l.ph)
	for ph := l.ph + 1; l.level+1 >= len(heights) || ph < heights[l.level+1]; ph++ { // as large as so many pictures can be
		pw, cols, rows := size(ph)
		if cols < l.cols || rows < l.rows {
			break
		}
		l.ph, l.pw = ph, pw
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
