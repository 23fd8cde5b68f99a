package components

import (
	"math"
	"strings"

	"charm.land/lipgloss/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"
)

// shades are the densities from few to many.
var shades = []rune("░▒▓█")

// Density draws how often pairs of values from 0 to 1 come together: counts are bins × bins cells, row by row, rows y from 0 up, columns x. Shades
// are of a logarithmic scale; ╱ is the diagonal, on which both are the same, where nothing else is. It is h lines of w cells with axes; x names
// the lower one.
func Density(st styles.Styles, counts []int64, bins int, x string, w, h int) []string {
	const margin = 6
	pw, ph := w-margin-1, h-2
	if pw < 4 || ph < 2 || bins <= 0 || len(counts) < bins*bins {
		return common.Lines(nil, w, h)
	}
	cells, most := regrid(counts, bins, pw, ph), int64(1)
	for _, row := range cells {
		for _, n := range row {
			most = max(most, n)
		}
	}
	var out []string
	for r := range ph {
		label := ""
		switch {
		case r == 0:
			label = "1"
		case r == ph-1:
			label = "0"
		}
		edge := "│"
		if label != "" {
			edge = "┤"
		}
		var b strings.Builder
		b.WriteString(st.Chart.Axis.Render(right(label, margin) + edge))
		on := diagonal(r, pw, ph)
		for c := 0; c < pw; {
			glyph, style := cell(st, cells[r][c], most, on[0] <= c && c < on[1])
			run := []rune{glyph}
			end := c + 1
			for end < pw {
				g, s := cell(st, cells[r][end], most, on[0] <= end && end < on[1])
				if kind(g) != kind(glyph) || s.GetForeground() != style.GetForeground() {
					break
				}
				run = append(run, g)
				end++
			}
			if glyph == ' ' {
				b.WriteString(string(run))
			} else {
				b.WriteString(style.Render(string(run)))
			}
			c = end
		}
		out = append(out, b.String())
	}
	out = append(out, st.Chart.Axis.Render(common.Blank(margin)+"└"+strings.Repeat("─", pw)))
	return append(out, common.Blank(margin+1)+below(st, "0", x, "1", pw))
}

func kind(r rune) int {
	switch r {
	case ' ':
		return 0
	case '╱':
		return 1
	}
	return 2
}

// cell is the sign of a count. What is on the diagonal is of another colour.
func cell(st styles.Styles, n, most int64, on bool) (rune, lipgloss.Style) {
	switch {
	case n == 0 && on:
		return '╱', st.Chart.Axis
	case n == 0:
		return ' ', st.Chart.Axis
	}
	style := st.Chart.Line
	if on {
		style = st.Chart.Second
	}
	level := 0
	if most > 1 {
		level = int(math.Log1p(float64(n-1)) / math.Log1p(float64(most-1)) * float64(len(shades)))
	}
	return shades[max(0, min(level, len(shades)-1))], style
}

// diagonal is the columns [from, to) of row r from the top in which both values are the same.
func diagonal(r, w, h int) [2]int {
	from, to := (h-1-r)*w/h, (h-r)*w/h
	return [2]int{from, max(from+1, to)}
}

// regrid spreads bins × bins counts over a drawing of w columns and h rows, from the top down. A cell holds all the bins whose middle lies in it, or
// the one that it lies in.
func regrid(counts []int64, bins, w, h int) [][]int64 {
	span := func(i, n int) (lo, hi int) {
		lo, hi = (i*bins+n/2)/n, ((i+1)*bins+n/2)/n
		if hi <= lo {
			lo = min(bins-1, i*bins/n)
			hi = lo + 1
		}
		return lo, hi
	}
	out := make([][]int64, h)
	for r := range out {
		out[r] = make([]int64, w)
		y0, y1 := span(h-1-r, h)
		for c := range out[r] {
			x0, x1 := span(c, w)
			for y := y0; y < min(y1, bins); y++ {
				for x := x0; x < min(x1, bins); x++ {
					out[r][c] += counts[y*bins+x]
				}
			}
		}
	}
	return out
}
