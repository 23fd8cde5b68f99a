// Package training is the page of the training run: its curves, its numbers, what the engine is doing.
package training

import (
	"fmt"
	"math"
	"strings"
	"time"

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

// abreast is the width from which on the numbers stand beside the curves, side their width then.
const abreast, side = 100, 44

// View draws the curves, and the numbers below or beside them.
func (p *Page) View() string {
	e := p.env
	w := p.w - 4
	trained := len(e.Monitor.Steps) > 0 || e.Monitor.Job() == "training" || len(p.before()) > 0
	if !trained && e.Monitor.Sweep == nil {
		todo := e.Common.Keys.Label("train") + " trains on the labels, then scores every image"
		if s := e.Monitor.Status; s.GetAnomalies() == 0 || s.GetNormals() == 0 {
			todo = "label at least one anomaly and some normal images, then " + e.Common.Keys.Label("train") + " trains and scores every image"
		}
		return pages.Join(e.Centre([]string{"not trained yet", todo}, p.w, p.h))
	}
	lines := []string{""}
	if w >= abreast {
		var right []string
		if trained {
			right = p.numbers(side, p.h-2)
		}
		if e.Monitor.Sweep != nil {
			right = append(right, p.runs(side)...)
		}
		lines = append(lines, pages.Beside(3, p.curves(w-side-3, p.h-2), common.Lines(right, side, p.h-2))...)
	} else {
		below := p.below(w)
		if e.Monitor.Sweep != nil { // the runs need the room
			below = p.runs(w)
		}
		lines = append(lines, p.curves(w, max(0, p.h-2-len(below)-1))...)
		lines = append(lines, "")
		lines = append(lines, below...)
	}
	return pages.Margin(common.Lines(lines, w, p.h), 2)
}

// curves are those of the newest training, and of the runs of a sweep where there is one.
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

// own are the curves of the project's newest training, as many charts as there is room for.
func (p *Page) own(w, h int) []string {
	columns, rows := 1, 1
	if h >= 16 {
		rows = 2
	}
	if w >= 120 {
		columns = 2
	}
	charts := []func(w, h int) []string{p.all, p.kept}
	if columns == 2 {
		charts = []func(w, h int) []string{p.loss, p.parts, p.kept, p.speed}
	}
	if columns == 1 && h >= 45 {
		charts, rows = []func(w, h int) []string{p.loss, p.parts, p.kept}, 3
	}
	const gap = 3
	cw := (w - gap*(columns-1)) / columns
	var out []string
	for r := range rows {
		from, to := r*(h+1)/rows, (r+1)*(h+1)/rows-1 // a blank line between rows
		if r == 0 && rows == 2 && columns == 1 {     // the loss first of all
			to = h * 3 / 5
		} else if rows == 2 && columns == 1 {
			from = h*3/5 + 1
		}
		if r > 0 {
			out = append(out, "")
		}
		blocks := make([][]string, columns)
		for c := range columns {
			blocks[c] = common.Lines(charts[r*columns+c](cw, to-from), cw, to-from)
		}
		out = append(out, pages.Beside(gap, blocks...)...)
	}
	return common.Lines(out, w, h)
}

// named is a line of a chart with what the legend says of it.
type named struct {
	components.Series
	name string
}

// chart is a heading, the legend and the lines; of the legend as much as fits, from the first on.
func (p *Page) chart(title, note string, lines []named, ax components.Axes, w, h int) []string {
	st := p.env.Styles
	legend := ""
	var series []components.Series
	for _, l := range lines {
		part := l.Style.Render(l.Mark) + " " + st.Dim.Render(l.name)
		if legend != "" {
			part = "   " + part
		}
		if len(l.X) > 0 && common.Width(legend)+common.Width(part) <= w {
			legend += part
		}
		series = append([]components.Series{l.Series}, series...) // the first on top
	}
	out := []string{components.Section(st, title, note, w), common.Fit(legend, w)}
	return append(out, components.LineChart(st, series, ax, w, h-2)...)
}

// line makes a line of what get says of each step.
func line(steps []*rpc.TrainStep, mark string, style lipgloss.Style, name string, get func(*rpc.TrainStep) float64) named {
	l := named{name: name}
	l.Mark, l.Style = mark, style
	for _, t := range steps {
		l.X, l.Y = append(l.X, float64(t.GetStep())), append(l.Y, get(t))
	}
	return l
}

// calm is a line of means over a twentieth of its points, since single steps jump.
func (l named) calm() named {
	window, sum := max(1, len(l.Y)/20), 0.0
	y := make([]float64, len(l.Y))
	for i, v := range l.Y {
		if sum += v; i >= window {
			sum -= l.Y[i-window]
		}
		y[i] = sum / float64(min(i+1, window))
	}
	l.Y = y
	return l
}

// before are the training runs before the one on screen, the newest first.
func (p *Page) before() []*rpc.TrainRun {
	var out []*rpc.TrainRun
	last := p.env.Monitor.Last()
	for _, r := range p.env.Monitor.Past {
		if (last == nil || r.GetCycle() < last.GetCycle()) && len(r.GetSteps()) > 0 && len(out) < len(letters) {
			out = append(out, r)
		}
	}
	return out
}

// letters mark earlier runs.
const letters = "abcde"

// overlaid are the earlier runs as dim lines.
func (p *Page) overlaid(get func(*rpc.TrainStep) float64) (out []named) {
	for i, r := range p.before() {
		out = append(out, line(r.GetSteps(), letters[i:i+1], p.env.Styles.Dim, fmt.Sprintf("cycle %d", r.GetCycle()), get).calm())
	}
	return out
}

// xmax is where the x axis of the charts ends.
func (p *Page) xmax() float64 {
	most := 1.0
	for _, t := range p.env.Monitor.Steps {
		most = max(most, float64(t.GetSteps()))
	}
	for _, r := range p.before() {
		most = max(most, float64(r.GetSteps()[len(r.GetSteps())-1].GetStep()))
	}
	return most
}

func total(t *rpc.TrainStep) float64    { return float64(t.GetLoss()) }
func labelled(t *rpc.TrainStep) float64 { return float64(t.GetSupLoss()) }
func guessed(t *rpc.TrainStep) float64  { return float64(t.GetUnsupLoss()) }

// axes are those of all charts of the page, percent for shares of 1.
func (p *Page) axes(percent bool) components.Axes {
	ax := components.Axes{XMax: p.xmax(), XName: "step", Percent: percent}
	if percent {
		ax.YMax = 1
	}
	return ax
}

func (p *Page) loss(w, h int) []string {
	lines := []named{line(p.env.Monitor.Steps, "T", p.env.Styles.Chart.Line, "total", total)}
	return p.chart("Loss", "", append(lines, p.overlaid(total)...), p.axes(false), w, h)
}

// all is the loss and its parts in one chart, where the parts have none of their own.
func (p *Page) all(w, h int) []string {
	c, steps := p.env.Styles.Chart, p.env.Monitor.Steps
	lines := []named{line(steps, "T", c.Line, "total", total), line(steps, "L", c.Second, "labelled", labelled), line(steps, "U", c.Skip, "unlabelled", guessed)}
	return p.chart("Loss", "", append(lines, p.overlaid(total)...), p.axes(false), w, h)
}

func (p *Page) parts(w, h int) []string {
	c, steps := p.env.Styles.Chart, p.env.Monitor.Steps
	return p.chart("Loss by its parts", "", []named{line(steps, "L", c.Second, "of the labelled images", labelled), line(steps, "U", c.Skip, "of the unlabelled images", guessed)}, p.axes(false), w, h)
}

func (p *Page) kept(w, h int) []string {
	c, steps := p.env.Styles.Chart, p.env.Monitor.Steps
	share := func(t *rpc.TrainStep) float64 { return float64(t.GetKept()) }
	lines := []named{line(steps, "K", c.Line, "passed the cut-off", share),
		line(steps, "A", c.Anomaly, "as anomaly", func(t *rpc.TrainStep) float64 { return float64(t.GetPseudoAnomaly()) })}
	return p.chart("Unlabelled images kept", "", append(lines, p.overlaid(share)...), p.axes(true), w, h)
}

func (p *Page) speed(w, h int) []string {
	c, steps := p.env.Styles.Chart, p.env.Monitor.Steps
	return p.chart("Images a second", "", []named{line(steps, "I", c.Line, "mean since the run began", func(t *rpc.TrainStep) float64 {
		if t.GetImagesPerSecond() <= 0 { // not known yet
			return math.NaN()
		}
		return t.GetImagesPerSecond()
	})}, p.axes(false), w, h)
}

// numbers are the facts in one column of h lines.
func (p *Page) numbers(w, h int) []string {
	var out []string
	for i, block := range [][]string{p.run(w), p.classes(w), p.machine(w, 4), p.earlier(w)} {
		if len(block) == 0 || i > 0 && len(out)+1+len(block) > h {
			continue
		}
		if len(out) > 0 {
			out = append(out, "")
		}
		out = append(out, block...)
	}
	return append(out, "")
}

// below are the facts side by side, for below the curves.
func (p *Page) below(w int) []string {
	const gap, least = 4, 30
	half := (w - gap) / 2
	if half < least-3 {
		return p.run(w)
	}
	left, right := p.run(half), append(p.classes(half), p.machine(half, 2)...)
	h := max(len(left), len(right))
	return pages.Beside(gap, common.Lines(left, half, h), common.Lines(right, w-gap-half, h))
}

// run is how the training stands.
func (p *Page) run(w int) []string {
	e, st := p.env, p.env.Styles
	s, last := e.Monitor.Status, e.Monitor.Last()
	note := ""
	if last != nil {
		note = fmt.Sprintf("cycle %d", last.GetCycle())
	}
	out := []string{components.Section(st, "Run", note, w)}
	job := e.Monitor.Job()
	if job != "" {
		out = append(out, st.Dim.Render(common.Cut(job+"  "+common.Clean(s.GetDetail()), w)))
		if share, known := e.Monitor.Progress(); known {
			out = append(out, components.Progress(st, share, max(4, w-5))+common.Blank(5-len(common.Percent(share)))+common.Percent(share))
		}
		if rate, left := common.Rate(s.GetImagesPerSecond()), common.Left(s.GetRemainingSeconds()); rate != "" || left != "" {
			out = append(out, st.Dim.Render(common.Ends(rate, left, w)))
		}
	}
	if last == nil {
		if job == "" {
			out = append(out, st.Dim.Render(common.Cut("none since the engine began", w)))
		}
		return out
	}
	step := fmt.Sprintf("%s of %s", common.Count(last.GetStep()), common.Count(last.GetSteps()))
	if t := p.stepTime(); t != "" {
		step += ", " + t + " each"
	}
	out = append(out,
		components.Field(st, "step", step, w),
		components.Field(st, "loss", fmt.Sprintf("%.3f = %.3f + %.3f", last.GetLoss(), last.GetSupLoss(), last.GetUnsupLoss()), w),
		components.Field(st, "kept", common.Percent(float64(last.GetKept()))+" of the unlabelled", w))
	if job == "" {
		out = append(out, components.Field(st, "speed", common.Rate(last.GetImagesPerSecond()), w))
	}
	return append(out, components.Field(st, "time", common.Seconds(last.GetSeconds()), w))
}

// stepTime is how long one of the last steps took; empty where that is not known.
func (p *Page) stepTime() string {
	steps := p.env.Monitor.Steps
	last := steps[max(0, len(steps)-20):]
	if len(last) < 2 {
		return ""
	}
	first, end := last[0], last[len(last)-1]
	t := (end.GetSeconds() - first.GetSeconds()) / float64(end.GetStep()-first.GetStep())
	switch {
	case !(t > 0):
		return ""
	case t < 0.0995:
		return fmt.Sprintf("%.0f ms", 1000*t)
	case t < 9.95:
		return fmt.Sprintf("%.1f s", t)
	}
	return common.Seconds(t)
}

// classes is how anomalies and normal images stand to each other, among the labels and among the pseudo-labels.
func (p *Page) classes(w int) []string {
	e, st := p.env, p.env.Styles
	s := e.Monitor.Status
	out := []string{components.Section(st, "Classes", "A anomaly, N normal", w)}
	balance := func(name, a, n string, x, y float64) {
		left, right := common.Fit(name, 11)+"A "+common.Fit(a, 6), " N "+n
		bar := components.Balance(st, x, y, max(2, w-common.Width(left)-10))
		out = append(out, common.Fit(st.Section.Key.Render(common.Fit(name, 11))+st.Section.Value.Render("A "+common.Fit(a, 6))+bar+st.Section.Value.Render(right), w))
	}
	balance("labels", common.Count(s.GetAnomalies()), common.Count(s.GetNormals()), float64(s.GetAnomalies()), float64(s.GetNormals()))
	last := e.Monitor.Last()
	if last == nil || !(last.GetKept() > 0) {
		return append(out, components.Field(st, "pseudo", "no image passed the cut-off", w))
	}
	share := min(1, float64(last.GetPseudoAnomaly()/last.GetKept()))
	balance("pseudo", common.Percent(share), common.Percent(1-share), share, 1-share)
	return out
}

// machine is what the engine takes of its machine; of the cards at most some.
func (p *Page) machine(w, cards int) []string {
	e, st := p.env, p.env.Styles
	s := e.Monitor.Status
	out := []string{components.Section(st, "Machine", common.Clean(s.GetBackend()), w)}
	meter := func(name string, share float64, text string) {
		const words = 17
		bar := components.Bar(st, share, max(4, w-11-words))
		out = append(out, common.Fit(st.Section.Key.Render(common.Fit(name, 11))+bar+" "+st.Section.Value.Render(common.Cut(text, words-1)), w))
	}
	bytes := func(mib float64) string { return common.Bytes(int64(mib * (1 << 20))) }
	of := func(used, all float64) string { return strings.TrimSpace(bytes(used)) + " of " + bytes(all) }
	meter("CPU", s.GetCpuPercent()/100, fmt.Sprintf("%.0f%%", s.GetCpuPercent()))
	switch used, all := s.GetHostRssMib(), s.GetHostTotalMib(); {
	case all > 0:
		meter("memory", used/all, of(used, all))
	case used > 0:
		out = append(out, components.Field(st, "memory", bytes(used), w))
	}
	for i, g := range s.GetGpus() {
		if i == cards {
			out = append(out, st.Dim.Render(common.Cut(fmt.Sprintf("and %d more cards", len(s.GetGpus())-cards), w)))
			break
		}
		name := "GPU"
		if len(s.GetGpus()) > 1 {
			name = fmt.Sprintf("GPU %d", i)
		}
		if u := g.GetUsePercent(); u >= 0 {
			meter(name, u/100, fmt.Sprintf("%.0f%%", u))
		}
		if used, all := g.GetMemoryMib(), g.GetTotalMib(); used >= 0 && all > 0 {
			meter(name+" mem", used/all, of(used, all))
		}
	}
	return out
}

// earlier is the table of the runs before.
func (p *Page) earlier(w int) []string {
	st := p.env.Styles
	runs := p.before()
	if len(runs) == 0 {
		return nil
	}
	out := []string{components.Section(st, "Runs before", "loss  kept", w)}
	for i, r := range runs {
		last := line(r.GetSteps(), "", st.Dim, "", total).calm()
		kept := line(r.GetSteps(), "", st.Dim, "", func(t *rpc.TrainStep) float64 { return float64(t.GetKept()) }).calm()
		name := fmt.Sprintf("cycle %d", r.GetCycle())
		if r.GetAnomalies()+r.GetNormals() > 0 {
			name += fmt.Sprintf(" · A %s N %s", common.Short(r.GetAnomalies()), common.Short(r.GetNormals()))
		} else if ms := r.GetEndedUnixMs(); ms > 0 {
			name += " · " + common.Age(p.env.Now(), time.UnixMilli(ms))
		}
		end := fmt.Sprintf("%.3f  %4s", last.Y[len(last.Y)-1], common.Percent(kept.Y[len(kept.Y)-1]))
		out = append(out, common.Fit(st.Text.Render(letters[i:i+1])+" "+common.Ends(st.Dim.Render(common.Cut(name, max(0, w-4-common.Width(end)))), st.Dim.Render(end), w-2), w))
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
		mark, style := p.sign(r.GetRun())
		l := line(r.GetSteps(), mark, style, "", total).calm()
		for i, t := range r.GetSteps() {
			xmax, most = max(xmax, float64(t.GetSteps())), max(most, l.Y[i])
		}
		series = append(series, l.Series)
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
