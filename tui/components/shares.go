package components

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"
)

// Spark is a line of one cell a value, as high as the value in [0,1]; of more than w values the last w. What is not a number is a gap.
func Spark(values []float64, w int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	values = values[max(0, len(values)-max(0, w)):]
	out := make([]rune, len(values))
	for i, v := range values {
		out[i] = ' '
		if !math.IsNaN(v) {
			out[i] = levels[min(len(levels)-1, int(min(1, max(0, v))*float64(len(levels))))]
		}
	}
	return string(out)
}

// Part is one part of a sum, with its name.
type Part struct {
	Name  string // safe to draw
	Value float64
}

// Parts draws the parts of a sum as h lines of w cells: name, value with its sign, and a bar as long as it counts. Where not all fit, those
// that count most are drawn, in their order.
func Parts(st styles.Styles, parts []Part, w, h int) []string {
	const number = 6 // "+12.3 "
	shown := make([]int, len(parts))
	most, name := 0.0, 0
	for i, p := range parts {
		shown[i] = i
		if v := math.Abs(p.Value); !math.IsInf(v, 0) && v > most {
			most = v
		}
	}
	slices.SortStableFunc(shown, func(a, b int) int {
		x, y := math.Abs(parts[a].Value), math.Abs(parts[b].Value)
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	shown = shown[:min(len(shown), max(0, h))]
	slices.Sort(shown)
	for _, i := range shown {
		name = max(name, common.Width(parts[i].Name))
	}
	name = min(name, max(4, w-number-4))
	var out []string
	for _, i := range shown {
		p := parts[i]
		style := st.Chart.Anomaly
		if p.Value < 0 {
			style = st.Chart.Normal
		}
		length := 0.0
		if v := math.Abs(p.Value); most > 0 && v >= 0 {
			length = min(1, v/most) * float64(max(0, w-name-1-number))
		}
		bar := strings.Repeat("█", int(length))
		if rest := length - math.Floor(length); rest >= 0.125 {
			bar += string([]rune(" ▏▎▍▌▋▊▉")[int(rest*8)])
		}
		out = append(out, common.Fit(st.Section.Key.Render(common.Fit(p.Name, name))+" "+st.Section.Value.Render(right(fmt.Sprintf("%+.1f", p.Value), number-1))+" "+style.Bold(false).Render(bar), w))
	}
	return out
}
