// Package training is the page of the training run: its curves, its numbers, what the engine is doing.
package training

import (
	"fmt"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/pages"
)

// Page is the training page.
type Page struct {
	env  *pages.Env
	w, h int
}

// New makes the page.
func New(env *pages.Env) *Page { return &Page{env: env} }

// Name is the page's name.
func (p *Page) Name() string { return "training" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h }

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return p.env.Common.Keys.Pick("train", "score", "use-run", "cancel", "pages", "back", "help", "quit")
}

// Blocked is never asked: labels are given elsewhere.
func (p *Page) Blocked() string { return "" }

// Refuse: there is nothing to select.
func (p *Page) Refuse(id string) string { return pages.Still(id) }

// Update has nothing to do: what is shown lives in the monitor.
func (p *Page) Update(tea.Msg) (pages.Page, tea.Cmd) { return p, nil }

// View draws the curves, and the numbers below or beside them.
func (p *Page) View() string {
	e := p.env
	w := p.w - 4
	if len(e.Monitor.Steps) == 0 && e.Monitor.Job() == "" && e.Monitor.Sweep == nil {
		todo := e.Common.Keys.Label("train") + " trains on the labels, then scores every image"
		if s := e.Monitor.Status; s.GetAnomalies() == 0 || s.GetNormals() == 0 {
			todo = "label at least one anomaly and some normal images, then " + e.Common.Keys.Label("train") + " trains and scores every image"
		}
		return pages.Join(e.Centre([]string{"not trained yet", todo}, p.w, p.h))
	}
	var side []string
	if len(e.Monitor.Steps) > 0 || e.Monitor.Job() != "" {
		side = append(p.numbers(min(44, w)), "")
	}
	if e.Monitor.Sweep != nil {
		if w < 100 { // the runs need the room
			side = p.runs(w)
		} else {
			side = append(side, p.runs(44)...)
		}
	}
	var lines []string
	lines = append(lines, "")
	if w >= 100 {
		cw := w - 44 - 3
		left := p.curves(cw, p.h-2)
		right := common.Lines(side, 44, p.h-2)
		for y := range left {
			lines = append(lines, left[y]+"   "+right[y])
		}
	} else {
		lines = append(lines, p.curves(w, max(0, p.h-2-len(side)-1))...)
		lines = append(lines, "")
		lines = append(lines, side...)
	}
	lines = common.Lines(lines, w, p.h)
	for y := range lines {
		lines[y] = "  " + lines[y] + "  "
	}
	return pages.Join(lines)
}

// curves are the loss with its parts and, where there is room, the pseudo-labels below.
func (p *Page) curves(w, h int) []string {
	if p.env.Monitor.Sweep != nil {
		first := 0
		var out []string
		if len(p.env.Monitor.Steps) > 0 && h >= 20 {
			first = h / 2
			out = append(common.Lines(p.own(w, first-1), w, first-1), "")
		}
		return common.Lines(append(out, p.beside(w, h-first)...), w, h)
	}
	return p.own(w, h)
}

// own are the curves of the project's newest training.
func (p *Page) own(w, h int) []string {
	e, st := p.env, p.env.Styles
	var x, loss, sup, kept, pseudo []float64
	xmax := 1.0
	for _, t := range e.Monitor.Steps {
		x = append(x, float64(t.GetStep()))
		loss, sup = append(loss, float64(t.GetLoss())), append(sup, float64(t.GetSupLoss()))
		kept, pseudo = append(kept, float64(t.GetKept())), append(pseudo, float64(t.GetPseudoAnomaly()))
		xmax = max(xmax, float64(t.GetSteps()))
	}
	legend := func(s1, n1, s2, n2 string) string {
		return st.Chart.Line.Render(s1+" ") + st.Dim.Render(n1) + "   " + st.Chart.Second.Render(s2+" ") + st.Dim.Render(n2)
	}
	first, second := h, 0
	if h >= 16 {
		second = h * 2 / 5
		first = h - second - 1
	}
	out := []string{components.Section(st, "Loss", "", w), legend("──", "total", "──", "of the labelled images")}
	out = append(out, components.LineChart(st, []components.Series{{X: x, Y: sup, Style: st.Chart.Second}, {X: x, Y: loss, Style: st.Chart.Line}},
		components.Axes{XMax: xmax}, w, first-2)...)
	if second > 0 {
		out = append(out, "", components.Section(st, "Unlabelled images kept", "", w), legend("──", "passed the cut-off", "──", "as anomaly"))
		out = append(out, components.LineChart(st, []components.Series{{X: x, Y: pseudo, Style: st.Chart.Second}, {X: x, Y: kept, Style: st.Chart.Line}},
			components.Axes{XMax: xmax, YMax: 1, Percent: true}, w, second-2)...)
	}
	return common.Lines(out, w, h)
}

// numbers are the facts of the run.
func (p *Page) numbers(w int) []string {
	e, st := p.env, p.env.Styles
	s, last := e.Monitor.Status, e.Monitor.Last()
	note := ""
	if last != nil {
		note = fmt.Sprintf("cycle %d", last.GetCycle())
	}
	out := []string{components.Section(st, "Run", note, w)}
	if job := e.Monitor.Job(); job != "" {
		share, known := e.Monitor.Progress()
		line := st.Dim.Render(common.Cut(job+"  "+common.Clean(s.GetDetail()), w))
		out = append(out, line)
		if known {
			out = append(out, components.Progress(st, share, max(4, w-5))+common.Blank(5-len(common.Percent(share)))+common.Percent(share))
		}
		if rate, left := common.Rate(s.GetImagesPerSecond()), common.Left(s.GetRemainingSeconds()); rate != "" || left != "" {
			out = append(out, st.Dim.Render(common.Ends(rate, left, w)))
		}
	}
	if last != nil {
		out = append(out,
			components.Field(st, "step", fmt.Sprintf("%s of %s", common.Count(last.GetStep()), common.Count(last.GetSteps())), w),
			components.Field(st, "loss", fmt.Sprintf("%.3f = %.3f + %.3f", last.GetLoss(), last.GetSupLoss(), last.GetUnsupLoss()), w),
			components.Field(st, "kept", common.Percent(float64(last.GetKept()))+" of the unlabelled images", w),
			components.Field(st, "as anomaly", common.Percent(float64(last.GetPseudoAnomaly())), w),
			components.Field(st, "speed", common.Rate(last.GetImagesPerSecond()), w),
			components.Field(st, "time", common.Seconds(last.GetSeconds()), w))
	}
	if s.GetBackend() != "" {
		out = append(out, components.Field(st, "backend", common.Clean(s.GetBackend()), w))
	}
	return out
}

// sign tells a run apart, with its colour.
func (p *Page) sign(run int32) (mark string, style lipgloss.Style) {
	c := p.env.Styles.Chart
	styles := []lipgloss.Style{c.Line, c.Second, c.Anomaly, c.Normal, c.Skip}
	return string("0123456789abcdefghijklmnopqrstuvwxyz"[run%36]), styles[int(run)%len(styles)]
}

// beside are the losses of the runs of a sweep in one chart, each a mean over a twentieth of the run, since single steps jump.
func (p *Page) beside(w, h int) []string {
	e, st := p.env, p.env.Styles
	var series []components.Series
	xmax, most := 1.0, 0.0
	for _, r := range e.Monitor.Sweep.GetRuns() {
		if r.GetRun() < 0 {
			continue
		}
		s := components.Series{}
		s.Mark, s.Style = p.sign(r.GetRun())
		steps := r.GetSteps()
		window := max(1, len(steps)/20)
		sum := 0.0
		for i, t := range steps {
			sum += float64(t.GetLoss())
			if i >= window {
				sum -= float64(steps[i-window].GetLoss())
			}
			xmax = max(xmax, float64(t.GetSteps()))
			s.X, s.Y = append(s.X, float64(t.GetStep())), append(s.Y, sum/float64(min(i+1, window)))
			most = max(most, s.Y[i])
		}
		series = append(series, s)
	}
	out := []string{components.Section(st, "Loss of the runs", "sweep "+common.Clean(e.Monitor.Sweep.GetName()), w)}
	return append(out, components.LineChart(st, series, components.Axes{XMax: xmax, YMax: most}, w, h-1)...)
}

// runs is the table of the runs of a sweep: what each is trained with, how far it is, how well it does by what was labelled since.
func (p *Page) runs(w int) []string {
	e, st := p.env, p.env.Styles
	s := e.Monitor.Sweep
	measure := func(m *rpc.Estimate) string {
		if !m.GetKnown() {
			return "–"
		}
		return fmt.Sprintf("%.2f (%.2f–%.2f)", m.GetValue(), m.GetLow(), m.GetHigh())
	}
	out := []string{components.Section(st, "Runs", "AUROC since", w)}
	const most = 12
	for n, r := range s.GetRuns() {
		if r.GetRun() < 0 {
			continue
		}
		if n == most {
			out = append(out, st.Dim.Render(common.Cut(fmt.Sprintf("  and %d more: `anomalymatch sweep PROJECT`", len(s.GetRuns())-most), w)))
			break
		}
		mark, style := p.sign(r.GetRun())
		loss, state := "–", common.Clean(r.GetPhase())
		if n := len(r.GetSteps()); n > 0 {
			loss = fmt.Sprintf("%.3f", r.GetSteps()[n-1].GetLoss())
		}
		right := measure(r.GetAuroc())
		if state != "done" {
			if r.GetDone() > 0 {
				state = map[bool]string{true: "scoring ", false: "step "}[state == "scoring"] + common.Count(r.GetDone()) + "/" + common.Count(r.GetTotal())
			}
			if host := common.Clean(r.GetHost()); host != "" {
				state += " " + host
			}
			right = state
		}
		if r.GetRun() == s.GetBest() {
			right = "← " + right
		}
		right = loss + "  " + common.Cut(right, 20)
		room := max(0, w-2-common.Width(right)-1)
		out = append(out, style.Render(mark)+" "+common.Ends(st.Text.Render(common.Cut(common.Clean(r.GetName()), room)), st.Dim.Render(right), w-2))
	}
	if s.GetEnsemble().GetKnown() {
		out = append(out, "  "+common.Ends(st.Text.Render("all, averaged"), st.Dim.Render(measure(s.GetEnsemble())), w-2))
	}
	for _, l := range common.Wrap(common.Clean(s.GetVerdict()), w) {
		out = append(out, st.Dim.Render(l))
	}
	if label := e.Common.Keys.Label("use-run"); label != "" && len(s.GetRuns()) > 0 {
		out = append(out, st.Dim.Render(common.Cut(label+" uses a run, or all", w)))
	}
	return out
}
