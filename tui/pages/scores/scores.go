// Package scores is the page of the scores: how they are spread, how good the ranking is, what was found by it, and how the newest cycle stands to
// the one before.
package scores

import (
	"fmt"
	"math"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/pages"
)

// Page is the scores page.
type Page struct {
	env  *pages.Env
	w, h int
	at   int // the chart that is shown first where there is no room for all
}

// New makes the page.
func New(env *pages.Env) *Page { return &Page{env: env} }

// Name is the page's name.
func (p *Page) Name() string { return "scores" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h }

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return keys.Hinted(p.env.Common.Keys.Pick("right", "ranking", "score", "train", "cancel", "pages", "back", "help", "quit"),
		map[string]string{"right": "next chart"})
}

// Blocked is never asked: labels are given elsewhere.
func (p *Page) Blocked() string { return "" }

// Refuse: there is nothing to select but charts, where not all of them are on screen.
func (p *Page) Refuse(id string) string {
	switch id {
	case "left", "right", "up", "down", "next-page", "previous-page", "first", "last":
		if p.plan().shown >= charts {
			return "all charts are on screen"
		}
		return ""
	}
	return pages.Still(id)
}

// Update turns from chart to chart.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	by := 0
	switch msg := msg.(type) {
	case pages.Pressed:
		switch msg.ID {
		case "right", "down", "next-page":
			by = 1
		case "left", "up", "previous-page":
			by = -1
		case "first":
			p.at = 0
		case "last":
			p.at = charts - 1
		}
	case pages.Wheeled:
		if by = -1; msg.Down {
			by = 1
		}
		if p.plan().shown >= charts {
			by = 0
		}
	}
	p.at = (p.at + by + charts) % charts
	return p, nil
}

// charts is the number of charts; each is least cells wide and high, or more.
const charts, leastWidth, leastHeight = 5, 42, 11

// plan is how the page is laid out: charts in columns and rows, the text below them or, where all charts are shown, in the cell that is left.
type plan struct {
	columns, rows, shown int
	below                []string // text below the charts
	h                    int      // lines for charts
}

const gap = 3

func (p *Page) plan() plan {
	w := p.w - 4
	h := p.h - 1
	columns := max(1, min(3, (w+gap)/(leastWidth+gap)))
	if rows := (charts + columns) / columns; columns > 1 && h+1 >= rows*(leastHeight+1) { // with a cell for the text
		return plan{columns: columns, rows: rows, shown: charts, h: h}
	}
	below := p.text(w)
	if h -= len(below) + 1; h < 7 {
		h = 0
	}
	if rows := max(1, (h+1)/(leastHeight+2)); h > 0 {
		if columns*rows >= charts {
			rows = (charts - 1 + columns) / columns
		}
		return plan{columns: columns, rows: rows, shown: min(charts, columns*rows), below: below, h: h}
	}
	return plan{below: below}
}

// abreast is the width from which on ranking and review stand side by side.
const abreast = 72

// text is the blocks of review and ranking.
func (p *Page) text(w int) []string {
	e := p.env
	if w >= abreast {
		half := (w - gap) / 2
		left, right := e.Order(half), e.Review(half)
		h := max(len(left), len(right))
		return pages.Beside(gap, common.Lines(left, half, h), common.Lines(right, w-gap-half, h))
	}
	out := e.Review(min(w, 64))
	if order := e.Order(min(w, 64)); p.h > len(out)+len(order)+leastHeight {
		out = append(append(out, ""), order...)
	}
	return out
}

// View draws the charts, and the text below or beside them.
func (p *Page) View() string {
	w := p.w - 4
	plan := p.plan()
	lines := []string{""}
	for r := range plan.rows {
		from, to := r*(plan.h+1)/plan.rows, (r+1)*(plan.h+1)/plan.rows-1 // a blank line between rows
		if r > 0 {
			lines = append(lines, "")
		}
		cw := (w - gap*(plan.columns-1)) / plan.columns
		lines = append(lines, p.row(plan, r, cw, to-from)...)
	}
	if len(plan.below) > 0 {
		if plan.rows > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, plan.below...)
	}
	return pages.Margin(common.Lines(lines, w, p.h), 2)
}

// row is one row of charts, each of w cells and h lines; after the last chart the text.
func (p *Page) row(plan plan, r, w, h int) []string {
	var blocks [][]string
	for c := range plan.columns {
		switch n := r*plan.columns + c; {
		case plan.shown < charts && n < plan.shown:
			note := ""
			if n == 0 {
				note = fmt.Sprintf("%d of %d · %s next", p.at+1, charts, p.env.Common.Keys.Label("right"))
			}
			blocks = append(blocks, p.draw((p.at+n)%charts, note, w, h))
		case plan.shown == charts && n < charts:
			blocks = append(blocks, p.draw(n, "", w, h))
		case n == charts && len(plan.below) == 0:
			text := p.env.Review(w)
			if order := p.env.Order(w); len(text)+1+len(order) <= h {
				text = append(append(text, ""), order...)
			}
			blocks = append(blocks, text)
		default:
			blocks = append(blocks, nil)
		}
	}
	for c, b := range blocks {
		blocks[c] = common.Lines(b, w, h)
	}
	return pages.Beside(gap, blocks...)
}

// draw is one chart under its heading; note is what the heading says instead of what it says by itself.
func (p *Page) draw(n int, note string, w, h int) []string {
	return []func(note string, w, h int) []string{p.histogram, p.precision, p.roc, p.found, p.cycles}[n](note, w, h)
}

// framed is a heading with a number and a note, a dim line or two that say what is drawn, and the drawing in what is left of h lines. A number that
// finds no room in the heading goes before what is said.
func (p *Page) framed(title, number, note, says string, w, h int, draw func(w, h int) []string) []string {
	st := p.env.Styles
	switch {
	case note == "":
		note = number
	case number == "":
	case common.Width(title)+common.Width(number)+common.Width(note)+7 <= w:
		note = number + " · " + note
	default:
		says = number + " · " + says
	}
	out := []string{components.Section(st, title, note, w)}
	text := common.Wrap(says, w)
	if len(text) > 2 || len(text) > 1 && h < leastHeight-1 {
		text = []string{says}
	}
	for _, l := range text {
		out = append(out, st.Dim.Render(common.Cut(l, w)))
	}
	return append(out, draw(w, h-len(out))...)
}

// missing is a heading and why there is no drawing below it.
func (p *Page) missing(title, note string, why []string, w, h int) []string {
	out := []string{components.Section(p.env.Styles, title, note, w)}
	return append(out, p.env.Centre(why, w, max(0, h-1))...)
}

func (p *Page) histogram(note string, w, h int) []string {
	e := p.env
	hist := e.Monitor.Hist
	if hist == nil || len(hist.GetPool()) == 0 {
		return p.missing("Scores", note, []string{"no scores yet", "they come with the first ranking; " + e.Common.Keys.Label("score") + " scores every image with the trained network"}, w, h)
	}
	says := "images by score on a logarithmic scale; A and N: where the labelled ones are"
	if w < common.Width(says) {
		says = "images by score, logarithmic; A, N: labelled"
	}
	return p.framed("Scores", common.Clean(hist.GetRankedBy()), note, says, w, h, func(w, h int) []string {
		return components.Histogram(e.Styles, hist.GetPool(), hist.GetAnomalies(), hist.GetNormals(), math.NaN(), w, h)
	})
}

// why says why there is no curve of the ranking.
func (p *Page) why() []string {
	e := p.env
	s := e.Monitor.Status
	switch {
	case e.Monitor.CurvesWhy != "":
		return []string{"the engine does not tell", e.Monitor.CurvesWhy}
	case e.Monitor.Curves == nil:
		return []string{"…"}
	case !s.GetEmbedded():
		return []string{"not known yet", "it is measured once the images are embedded"}
	case s.GetAnomalies() < 2 || s.GetNormals() < 2:
		return []string{"not known yet", "it is measured on labels: two anomalies and two normal images, or more"}
	}
	return []string{"not known yet", "the labels are too few, or too much alike, to be measured by"}
}

// points makes a line of points.
func points(all []*rpc.Point, mark string, style lipgloss.Style) components.Series {
	s := components.Series{Mark: mark, Style: style}
	for _, q := range all {
		s.X, s.Y = append(s.X, q.GetX()), append(s.Y, q.GetY())
	}
	return s
}

// area writes the area under a curve with its interval.
func area(name string, e *rpc.Estimate) string {
	if !e.GetKnown() {
		return ""
	}
	return fmt.Sprintf("%s %.3f (%.2f–%.2f)", name, e.GetValue(), e.GetLow(), e.GetHigh())
}

// unit are axes from 0 to 1.
func unit(x string) components.Axes { return components.Axes{XMax: 1, YMax: 1, XName: x} }

func (p *Page) precision(note string, w, h int) []string {
	st, c := p.env.Styles, p.env.Monitor.Curves
	pr := c.GetPr()
	if len(pr) < 2 {
		return p.missing("Precision and recall", note, p.why(), w, h)
	}
	chance := pr[len(pr)-1].GetY() // all images: the share of anomalies among them
	return p.framed("Precision and recall", area("AUPRC", c.GetAuprc()), note, common.Clean(c.GetOf()), w, h, func(w, h int) []string {
		return components.LineChart(st, []components.Series{{X: []float64{0, 1}, Y: []float64{chance, chance}, Style: st.Chart.Axis, Mark: "C"}, points(pr, "", st.Chart.Line)}, unit("recall →, precision ↑, C chance"), w, h)
	})
}

func (p *Page) roc(note string, w, h int) []string {
	st, c := p.env.Styles, p.env.Monitor.Curves
	roc := c.GetRoc()
	if len(roc) < 2 {
		return p.missing("ROC", note, p.why(), w, h)
	}
	return p.framed("ROC", area("AUROC", c.GetAuroc()), note, common.Clean(c.GetOf()), w, h, func(w, h int) []string {
		return components.LineChart(st, []components.Series{{X: []float64{0, 0.5}, Y: []float64{0, 0.5}, Style: st.Chart.Axis, Mark: "C"}, {X: []float64{0.5, 1}, Y: []float64{0.5, 1}, Style: st.Chart.Axis},
			points(roc, "", st.Chart.Line)}, unit("false →, true positives ↑, C chance"), w, h)
	})
}

func (p *Page) found(note string, w, h int) []string {
	st, c := p.env.Styles, p.env.Monitor.Curves
	all := c.GetFound()
	if len(all) < 2 {
		why := []string{"nothing was looked at yet", "each label that you give counts, imported ones do not"}
		if c == nil {
			why = p.why()
		}
		return p.missing("Found", note, why, w, h)
	}
	last := all[len(all)-1]
	says := fmt.Sprintf("%s in %s", pages.Anomalies(int64(last.GetY())), common.Plural(int64(last.GetX()), "look"))
	series := []components.Series{points(all, "", st.Chart.Anomaly)}
	ax := components.Axes{XMax: last.GetX(), YMax: last.GetY(), XName: "looks"}
	if total := float64(c.GetTruth()); total > 0 {
		says += fmt.Sprintf(", of %s that there are", common.Count(c.GetTruth()))
		if total <= 2*last.GetY() { // else the curve would lie flat on the axis
			says += " (T)"
			ax.YMax = max(total, ax.YMax)
			series = append([]components.Series{{X: []float64{0, last.GetX()}, Y: []float64{total, total}, Style: st.Chart.Axis, Mark: "T"}}, series...)
		}
	}
	if !(ax.YMax > 0) {
		ax.YMax = 1
	}
	return p.framed("Found", "", note, says, w, h, func(w, h int) []string { return components.LineChart(st, series, ax, w, h) })
}

func (p *Page) cycles(note string, w, h int) []string {
	e := p.env
	c := e.Monitor.Curves
	if len(c.GetAgainst()) == 0 {
		why := []string{"there is no cycle to compare with", "train and score twice: here stands how the second ranking differs from the first"}
		if c == nil {
			why = p.why()
		}
		return p.missing("Cycle against cycle", note, why, w, h)
	}
	now := fmt.Sprintf("score of cycle %d", c.GetCycle())
	says := fmt.Sprintf("cycle %d upwards · ╱ alike · ░▒▓█ few to many", c.GetBefore())
	return p.framed("Cycle against cycle", fmt.Sprintf("rank correlation %.2f", c.GetRankCorrelation()), note, says, w, h, func(w, h int) []string {
		return components.Density(e.Styles, c.GetAgainst(), int(c.GetAgainstBins()), now, w, h)
	})
}
