// Package scores is the page of the scores: how they are spread, where the labelled images are.
package scores

import (
	"math"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
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

// Refuse: there is nothing to select.
func (p *Page) Refuse(id string) string { return pages.Still(id) }

// Update has nothing to do: what is shown lives in the monitor.
func (p *Page) Update(tea.Msg) (pages.Page, tea.Cmd) { return p, nil }

// abreast is the width from which on ranking and review stand side by side.
const abreast = 72

// View draws the histogram over the whole width, ranking and review below it.
func (p *Page) View() string {
	e, st := p.env, p.env.Styles
	w := p.w - 4
	below := e.Review(min(w, 64))
	if w >= abreast {
		half := (w - 3) / 2
		left, right := e.Order(half), e.Review(half)
		below = nil
		for y := range max(len(left), len(right)) {
			below = append(below, line(left, y, half)+"   "+line(right, y, w-3-half))
		}
	} else if order := e.Order(min(w, 64)); p.h > len(below)+len(order)+9 {
		below = append(append(below, ""), order...)
	}
	var lines []string
	if hist, room := e.Monitor.Hist, p.h-len(below)-3; hist == nil || len(hist.GetPool()) == 0 {
		no := e.Centre([]string{"no scores yet", "they come with the first ranking; " + e.Common.Keys.Label("score") + " scores every image with the trained network"}, w, max(3, room))
		lines = append(append(lines, no...), "")
	} else if room >= 7 {
		lines = append(lines, "")
		lines = append(lines, e.Scores(w, min(room, 30), math.NaN())...)
		lines = append(lines, st.Dim.Render(common.Cut("images by score on a logarithmic scale; A and N: where the labelled ones are", w)), "")
	} else {
		lines = append(lines, "")
	}
	lines = common.Lines(append(lines, below...), w, p.h)
	for y := range lines {
		lines[y] = "  " + lines[y] + "  "
	}
	return pages.Join(lines)
}

func line(lines []string, y, w int) string {
	if y < len(lines) {
		return common.Fit(lines[y], w)
	}
	return common.Blank(w)
}
