// Package scores is the page of the scores: how they are spread, where the labelled images are.
package scores

import (
	"math"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/pages"
)

// Page is the scores page.
type Page struct {
	env  *pages.Env
	w, h int
}

// New makes the page.
func New(env *pages.Env) *Page { return &Page{env: env} }

// Name is the page's name.
func (p *Page) Name() string { return "scores" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h }

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return p.env.Common.Keys.Pick("ranking", "score", "train", "cancel", "pages", "back", "help", "quit")
}

// Blocked is never asked: labels are given elsewhere.
func (p *Page) Blocked() string { return "" }

// Update has nothing to do: what is shown lives in the monitor.
func (p *Page) Update(tea.Msg) (pages.Page, tea.Cmd) { return p, nil }

// View draws the histogram over the whole width and the numbers below.
func (p *Page) View() string {
	e, st := p.env, p.env.Styles
	hist, s, l := e.Monitor.Hist, e.Monitor.Status, e.Desk.List()
	if hist == nil || len(hist.GetPool()) == 0 {
		return pages.Join(e.Centre([]string{"no scores yet", "they come with the first ranking; " + e.Common.Keys.Label("score") + " scores every image with the trained network"}, p.w, p.h))
	}
	w := p.w - 4
	numbers := []string{
		components.Section(st, "Ranking", common.Age(e.Now(), l.RankedAt), w),
		components.Field(st, "ordered by", e.Ranking(), w),
		components.Field(st, "images", common.Count(s.GetPool())+", "+common.Count(l.Cut)+" of them candidates", w),
		components.Field(st, "cycles", common.Count(s.GetCycle()), w),
		st.Section.Key.Render(common.Fit("labels", 11)) + components.Counts(st, s.GetAnomalies(), s.GetNormals(), s.GetSkipped()),
	}
	lines := []string{""}
	ch := max(0, p.h-len(numbers)-3)
	lines = append(lines, e.Scores(w, min(ch, 30), math.NaN())...)
	lines = append(lines, st.Dim.Render(common.Cut("images by score on a logarithmic scale; A and N: where the labelled ones are", w)), "")
	lines = append(lines, numbers...)
	lines = common.Lines(lines, w, p.h)
	for y := range lines {
		lines[y] = "  " + lines[y] + "  "
	}
	return pages.Join(lines)
}
