// Package components draws the parts that pages are made of: pure functions from data to lines of a given size.
package components

import (
	"math"
	"strconv"
	"strings"

	"charm.land/lipgloss/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"
)

// Series is one line of a chart. X grows.
type Series struct {
	X, Y  []float64
	Style lipgloss.Style
	Mark  string // one cell, at the line's last point: what tells the line apart without colour; empty: none
}

// Axes says how a chart is scaled and named. Max ≤ Min: from the data.
type Axes struct {
	XMin, XMax, YMin, YMax float64
	Percent                bool   // y is a share of 1
	XName                  string // below the x axis, where there is room
}

// LineChart draws the series in braille, later ones over earlier ones, with the y axis at the left and the x axis below.
// It is h lines of w cells; a chart without two points is an empty frame.
func LineChart(st styles.Styles, series []Series, ax Axes, w, h int) []string {
	const margin = 6 // y labels
	pw, ph := w-margin-1, h-2
	if pw < 4 || ph < 2 {
		return common.Lines(nil, w, h)
	}
	ax = ax.fill(series)
	glyphs := make([][]rune, ph)
	owner := make([][]int, ph)
	for y := range ph {
		glyphs[y], owner[y] = make([]rune, pw), make([]int, pw)
	}
	type mark struct{ x, y, of int }
	var marks []mark
	for n, s := range series {
		g := newDots(pw, ph)
		var lastX, lastY int
		have, drawn := false, false
		for i := range min(len(s.X), len(s.Y)) {
			x, y := s.X[i], s.Y[i]
			if math.IsNaN(y) || math.IsInf(y, 0) || x < ax.XMin || x > ax.XMax {
				have = false
				continue
			}
			y = min(ax.YMax, max(ax.YMin, y))
			dx := int(math.Round((x - ax.XMin) / (ax.XMax - ax.XMin) * float64(2*pw-1)))
			dy := int(math.Round((ax.YMax - y) / (ax.YMax - ax.YMin) * float64(4*ph-1)))
			if have {
				g.line(lastX, lastY, dx, dy)
			} else {
				g.set(dx, dy)
			}
			lastX, lastY, have, drawn = dx, dy, true, true
		}
		if !drawn {
			continue
		}
		if s.Mark != "" {
			marks = append(marks, mark{lastX / 2, lastY / 4, n})
		}
		for y, row := range g.cells {
			for x, r := range row {
				if r != 0 { // the dots of both lines, in the colour of the later one
					glyphs[y][x], owner[y][x] = glyphs[y][x]|r, n
				}
			}
		}
	}
	taken := map[[2]int]bool{}
	for _, m := range marks { // lines that end in one place are marked beside each other
		for m.x > 1 && taken[[2]int{m.x, m.y}] {
			m.x -= 2
		}
		taken[[2]int{m.x, m.y}] = true
		glyphs[m.y][m.x], owner[m.y][m.x] = []rune(series[m.of].Mark)[0], m.of
	}
	var out []string
	for y := range ph {
		label := ""
		switch y {
		case 0:
			label = tick(ax.YMax, ax.Percent)
		case ph - 1:
			label = tick(ax.YMin, ax.Percent)
		case (ph - 1) / 2:
			if ph >= 5 && ph%2 == 1 {
				label = tick((ax.YMax+ax.YMin)/2, ax.Percent)
			}
		}
		edge := "│"
		if label != "" {
			edge = "┤"
		}
		var b strings.Builder
		b.WriteString(st.Chart.Axis.Render(right(label, margin) + edge))
		for x := 0; x < pw; {
			end := x + 1
			for end < pw && owner[y][end] == owner[y][x] && (glyphs[y][end] == 0) == (glyphs[y][x] == 0) {
				end++
			}
			if glyphs[y][x] == 0 {
				b.WriteString(common.Blank(end - x))
			} else {
				b.WriteString(series[owner[y][x]].Style.Render(string(glyphs[y][x:end])))
			}
			x = end
		}
		out = append(out, b.String())
	}
	out = append(out, st.Chart.Axis.Render(common.Blank(margin)+"└"+strings.Repeat("─", pw)))
	lo, hi := tick(ax.XMin, false), tick(ax.XMax, false)
	out = append(out, common.Blank(margin+1)+below(st, lo, ax.XName, hi, pw))
	return out
}

// below is the line under an x axis of w cells: both ends, and the name between them where it fits.
func below(st styles.Styles, lo, name, hi string, w int) string {
	left, room := (w-common.Width(name))/2, 0
	if name != "" {
		room = min(left-common.Width(lo), w-left-common.Width(name)-common.Width(hi))
	}
	if room < 1 {
		return st.Chart.Axis.Render(common.Ends(lo, hi, w))
	}
	rest := w - left - common.Width(name)
	return st.Chart.Axis.Render(common.Fit(lo, left)) + st.Dim.Render(name) + st.Chart.Axis.Render(right(hi, rest))
}

func (ax Axes) fill(series []Series) Axes {
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range series {
		for i := range min(len(s.X), len(s.Y)) {
			if !math.IsNaN(s.Y[i]) && !math.IsInf(s.Y[i], 0) {
				x0, x1 = min(x0, s.X[i]), max(x1, s.X[i])
				y0, y1 = min(y0, s.Y[i]), max(y1, s.Y[i])
			}
		}
	}
	if ax.XMax <= ax.XMin {
		ax.XMin, ax.XMax = x0, x1
	}
	if ax.YMax <= ax.YMin {
		ax.YMax = y1
		if y0 < ax.YMin {
			ax.YMin = y0
		}
	}
	if !(ax.XMax > ax.XMin) {
		ax.XMin, ax.XMax = 0, 1
	}
	if !(ax.YMax > ax.YMin) || math.IsInf(ax.YMax, 0) {
		ax.YMin, ax.YMax = 0, 1
	}
	return ax
}

func tick(v float64, percent bool) string {
	if percent {
		return common.Percent(v)
	}
	if v == math.Trunc(v) && math.Abs(v) < 100000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if math.Abs(v) >= 1000 {
		return common.Short(int64(v))
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

func right(s string, w int) string { return common.Blank(w-common.Width(s)) + s }

// Histogram draws the counts as columns of a logarithmic scale, scores from 0 to 1, and below them where the labelled images
// are: A in bins with anomalies, N in bins with normal ones; ▲ on the axis is the score here (NaN: none). It is h lines of
// w cells.
func Histogram(st styles.Styles, pool, anomalies, normals []int64, here float64, w, h int) []string {
	const margin = 6
	pw, ph := w-margin-1, h-4
	if pw < 10 || ph < 2 || len(pool) == 0 {
		return common.Lines(nil, w, h)
	}
	cols := rebin(pool, pw)
	top := int64(1)
	for _, n := range cols {
		top = max(top, n)
	}
	scale := math.Log1p(float64(top))
	levels := []rune(" ▁▂▃▄▅▆▇█")
	var out []string
	for y := range ph {
		label := ""
		if y == 0 {
			label = common.Short(top)
		} else if y == ph-1 {
			label = "1"
		}
		edge := "│"
		if label != "" {
			edge = "┤"
		}
		row := make([]rune, pw)
		for x, n := range cols {
			eighths := int(math.Round(math.Log1p(float64(n)) / scale * float64(ph*8)))
			if n > 0 {
				eighths = max(1, eighths)
			}
			row[x] = levels[min(8, max(0, eighths-(ph-1-y)*8))]
		}
		out = append(out, st.Chart.Axis.Render(right(label, margin)+edge)+st.Chart.Bar.Render(string(row)))
	}
	axis := []rune(ruler(pw))
	line := st.Chart.Axis.Render(common.Blank(margin) + "└" + string(axis))
	if here >= 0 && here <= 1 {
		x := min(pw-1, int(here*float64(pw)))
		line = st.Chart.Axis.Render(common.Blank(margin)+"└"+string(axis[:x])) + st.Accent.Render("▲") + st.Chart.Axis.Render(string(axis[x+1:]))
	}
	out = append(out, line)
	out = append(out, common.Blank(margin+1)+st.Chart.Anomaly.Render(marks(anomalies, pw, 'A')))
	out = append(out, common.Blank(margin+1)+st.Chart.Normal.Render(marks(normals, pw, 'N')))
	mid := "0.5"
	scaleLine := common.Fit("0", pw/2-1) + mid
	out = append(out, st.Chart.Axis.Render(common.Blank(margin+1)+common.Ends(scaleLine, "1", pw)))
	return out
}

// ruler is an axis with marks at each quarter.
func ruler(w int) string {
	r := []rune(strings.Repeat("─", w))
	for _, q := range []int{w / 4, w / 2, 3 * w / 4, w - 1} {
		r[q] = '┴'
	}
	return string(r)
}

// rebin spreads the bins over w columns: a column shows the bins it covers, a wide bin fills its columns.
func rebin(bins []int64, w int) []int64 {
	out := make([]int64, w)
	for x := range out {
		lo, hi := x*len(bins)/w, (x+1)*len(bins)/w
		for i := lo; i < max(hi, lo+1) && i < len(bins); i++ {
			out[x] += bins[i]
		}
	}
	return out
}

// marks puts a letter in the middle of each bin that has images.
func marks(bins []int64, w int, letter rune) string {
	row := []rune(common.Blank(w))
	for i, n := range bins {
		if n > 0 {
			row[min(w-1, (2*i+1)*w/(2*len(bins)))] = letter
		}
	}
	return string(row)
}

// Progress is a bar of w cells with the share done, drawn in half cells.
func Progress(st styles.Styles, share float64, w int) string {
	if w <= 0 {
		return ""
	}
	if !(share > 0) {
		share = 0
	}
	halves := int(math.Round(min(1, share) * float64(2*w)))
	done := strings.Repeat("━", halves/2)
	rest := w - halves/2
	if halves%2 == 1 {
		done += "╸"
		rest--
	}
	return st.Bar.Done.Render(done) + st.Bar.Rest.Render(strings.Repeat("─", rest))
}

// Bar is a share of 1 as a bar of w cells, drawn in eighths: how full something is just now. NaN and what is below 0 is an empty bar.
func Bar(st styles.Styles, share float64, w int) string {
	if w <= 0 {
		return ""
	}
	if !(share > 0) {
		share = 0
	}
	eighths := int(math.Round(min(1, share) * float64(8*w)))
	if share > 0 {
		eighths = max(1, eighths)
	}
	full := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		full += string([]rune("▏▎▍▌▋▊▉")[part-1])
	}
	return st.Bar.Done.Render(full) + st.Bar.Rest.Render(strings.Repeat("·", w-common.Width(full)))
}

// Balance is how two classes stand to each other, in w cells: dense for the anomalies at the left, light for the others. Each that is there at all
// has a cell. Nothing at all is dots.
func Balance(st styles.Styles, anomalies, normals float64, w int) string {
	total := anomalies + normals
	if w <= 0 {
		return ""
	}
	if !(total > 0) || math.IsInf(total, 0) {
		return st.Bar.Rest.Render(strings.Repeat("·", w))
	}
	n := int(math.Round(anomalies / total * float64(w)))
	if anomalies > 0 {
		n = max(1, n)
	}
	if normals > 0 {
		n = min(w-1, n)
	}
	n = max(0, n)
	return st.Chart.Anomaly.Render(strings.Repeat("▓", n)) + st.Chart.Normal.Render(strings.Repeat("░", w-n))
}

// Section is a heading with a rule to the full width and a word at its end.
func Section(st styles.Styles, title, note string, w int) string {
	end := ""
	if note != "" {
		end = " " + st.Dim.Render(common.Cut(note, max(0, w-common.Width(title)-4)))
	}
	rule := w - common.Width(title) - 1 - common.Width(end)
	return common.Fit(st.Section.Title.Render(title)+" "+st.Section.Rule.Render(strings.Repeat("─", max(0, rule)))+end, w)
}

// Field is a line of a name and its value.
func Field(st styles.Styles, name, value string, w int) string {
	const col = 11
	return common.Fit(st.Section.Key.Render(common.Fit(name, col))+st.Section.Value.Render(common.Cut(value, w-col)), w)
}

// Badge is the sign of a label, three cells wide: its letter on a ground; … while it is on its way, ! while it is not saved.
func Badge(st styles.Styles, letter string, pending, unsaved bool) string {
	switch {
	case unsaved:
		if letter == "" {
			letter = "–"
		}
		return st.Badge.Unsaved.Render(" " + letter + "!")
	case pending:
		if letter == "" {
			letter = "–"
		}
		return st.Badge.Pending.Render(" " + letter + "…")
	case letter == "":
		return "   "
	}
	return st.Label(letter).Render(" " + letter + " ")
}

// Counts are the labels so far: A 3  N 12  S 1.
func Counts(st styles.Styles, a, n, s int64) string {
	return st.Chart.Anomaly.Render("A") + " " + st.Status.Value.Render(common.Count(a)) + "  " +
		st.Chart.Normal.Render("N") + " " + st.Status.Value.Render(common.Count(n)) + "  " +
		st.Chart.Skip.Render("S") + " " + st.Status.Value.Render(common.Count(s))
}
