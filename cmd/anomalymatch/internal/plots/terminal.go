package plots

import (
	"fmt"

	"anomalymatch/engine/bench"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/styles"
)

// Terminal draws the four charts of the report as lines of w cells, two beside each other where there is room. against may be
// nil.
func Terminal(st styles.Styles, r *bench.PaperReport, against *Points, w int) []string {
	const height, gap = 13, 2
	cell := w
	if w >= 100 {
		cell = (w - gap) / 2
	}
	x := r.Curves.X
	curve := func(title, note string, band bench.Band, others []components.Series, to float64) []string {
		series := append(others, components.Series{X: x, Y: band.Mean, Style: st.Chart.Line})
		ax := components.Axes{XMin: 0, XMax: to, YMin: 0, YMax: 1, Percent: true}
		return append([]string{components.Section(st, title, note, cell)}, components.LineChart(st, series, ax, cell, height)...)
	}
	diagonal := components.Series{X: []float64{0, 1}, Y: []float64{0, 1}, Style: st.Chart.Axis}
	charts := [][]string{curve("ROC", "diagonal: chance", r.Curves.ROC, []components.Series{diagonal}, 1)}
	charts = append(charts, curve("Precision and recall", "", r.Curves.PrecisionRecall, nil, 1))

	to := reach(r.Curves.Detection.Mean, x)
	others, note := []components.Series{{X: []float64{0, to}, Y: []float64{0, to}, Style: st.Chart.Axis}}, "straight line: chance"
	if against != nil {
		others, note = append(others, components.Series{X: against.X, Y: against.Y, Style: st.Chart.Second}), "straight: chance; "+common.Clean(against.Name)
	}
	charts = append(charts, curve("Detection", note, r.Curves.Detection, others, to))

	all := make([]int64, len(r.Curves.Normal))
	for k := range all {
		all[k] = r.Curves.Anomaly[k] + r.Curves.Normal[k]
	}
	charts = append(charts, append([]string{components.Section(st, "Scores", "A: anomalies here, N: normal ones", cell)}, components.Histogram(st, all, r.Curves.Anomaly, r.Curves.Normal, -1, cell, height)...))

	var out []string
	for k := 0; k < len(charts); k++ {
		if cell == w {
			out = append(out, append(charts[k], "")...)
			continue
		}
		for i, left := range charts[k] {
			out = append(out, left+common.Blank(gap)+charts[k+1][i])
		}
		out = append(out, "")
		k++
	}
	return out
}

// reach is how far the axis goes so that nearly everything is found on it.
func reach(mean, x []float64) float64 {
	for _, to := range []float64{0.02, 0.05, 0.1, 0.2, 0.5} {
		for k := range x {
			if x[k] <= to && mean[k] >= 0.98 {
				return to
			}
		}
	}
	return 1
}

// Found says in one line how much was found after how much was inspected.
func Found(r *bench.PaperReport) string {
	line := "found after inspecting"
	sep := " "
	for k, x := range r.Curves.X {
		for _, at := range []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5} {
			if x > at-1e-9 && x < at+1e-9 {
				line += fmt.Sprintf("%s%s: %.0f%%", sep, percent(x), 100*r.Curves.Detection.Mean[k])
				sep = " · "
			}
		}
	}
	return line
}
