package labels

import (
	"fmt"
	"math"
	"path"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
)

// side is the width of the column with the selected picture; 0: there is no room.
func (p *Page) side() int {
	switch {
	case p.w >= 160:
		return 52
	case p.w >= 112:
		return 40
	case p.w >= 72:
		return 24
	}
	return 0
}

// head is the height of what stands above the list: an empty line, the names of the lists, another one.
const head = 3

// listed is how many lines there are for the list.
func (p *Page) listed() int { return max(1, p.h-head-p.above()) }

// above is the height of what stands above the conflicts: the people and how they agree.
func (p *Page) above() int {
	if p.view != people {
		return 0
	}
	return min(len(p.persons(80)), max(0, p.h-head-3))
}

// scrolled is the first line of the list that is on screen: where it was, or so far on that the cursor can be seen.
func (p *Page) scrolled() int {
	at, h := p.at[p.view], p.listed()
	return max(at-h+1, 0, min(p.top[p.view], at, p.rows()-h))
}

// rowAt is the line of the list that is drawn in line y of the page.
func (p *Page) rowAt(y int) (int, bool) {
	row := p.scrolled() + y - head - p.above()
	return row, y >= head+p.above() && row >= 0 && row < p.rows()
}

// View draws the list, and the selected picture beside it.
func (p *Page) View() string {
	w := p.w - 4
	if n := p.side(); n > 0 {
		w -= n + 3
	}
	lines := append([]string{"", p.tabs(w), ""}, p.list(w)...)
	lines = common.Lines(lines, w, p.h)
	if n := p.side(); n > 0 {
		lines = pages.Beside(3, lines, p.about(n))
	}
	return pages.Margin(lines, 2)
}

// tabs names the lists.
func (p *Page) tabs(w int) string {
	st := p.env.Styles
	var parts []string
	for v, title := range titles {
		style := st.Dim
		if view(v) == p.view {
			style = st.Header.Current
		}
		parts = append(parts, style.Render(title))
	}
	note := ""
	switch n := p.rows(); {
	case n == 0:
	case p.view == history && p.more:
		note = "the newest " + common.Count(n)
	case p.view == history:
		note = common.Plural(n, "event")
	case p.view == doubtful:
		note = common.Plural(n, "label")
	case p.view == people:
		note = common.Plural(n, "conflict")
	}
	return common.Ends(strings.Join(parts, "  "), st.Dim.Render(note), w)
}

// list is what is on screen of the present list, or why there is none.
func (p *Page) list(w int) []string {
	v := p.view
	h := p.listed()
	var out []string
	if v == people {
		out = p.persons(w)
		out = out[:min(len(out), p.above())]
	}
	if p.rows() == 0 {
		for i, line := range p.empty() {
			for _, l := range common.Wrap(line, max(10, w)) {
				style := p.env.Styles.Dim
				if i == 0 {
					style = p.env.Styles.Text
				}
				out = append(out, style.Render(l))
			}
		}
		return out
	}
	top := p.scrolled()
	end := min(p.rows(), top+h)
	switch v {
	case doubtful:
		out = append(out, p.doubtRows(top, end, w)...)
	case people:
		out = append(out, p.conflictRows(top, end, w)...)
	default:
		out = append(out, p.eventRows(top, end, w)...)
	}
	return out
}

// empty says why a list is empty, first line first.
func (p *Page) empty() []string {
	s := p.env.Monitor.Status
	switch {
	case p.why[p.view] != "":
		return []string{p.why[p.view]}
	case !p.known[p.view]:
		return []string{"asking the engine…"}
	case p.view == doubtful && s.GetAnomalies()+s.GetNormals() == 0, p.view == history, p.view == people && len(p.writers.GetWriters()) == 0:
		return []string{"nothing is labelled yet", "what anybody labels appears here, and can be taken back in the history"}
	case p.view == doubtful && s.GetFastAtUnixMs() == 0 && s.GetDeepAtUnixMs() == 0:
		return []string{"there is no model yet to doubt the labels"}
	case p.view == doubtful:
		return []string{"every label agrees with the model", "here stand labels with which the model strongly disagrees, and those that differ from a near-duplicate's"}
	case len(p.writers.GetPairs()) == 0:
		return []string{"no image was labelled by two people", "`anomalymatch labels merge` brings the labels of others into this project"}
	}
	return []string{"nobody contradicts anybody"}
}

// marker is what stands before a line, and its style.
func (p *Page) marker(row int) (string, lipgloss.Style) { return p.env.Marker(row == p.at[p.view]) }

// letter is a label, or a mark, in one or two cells.
func (p *Page) letter(mark string, l review.Label) string {
	st := p.env.Styles
	switch {
	case mark != "" && l == review.On:
		return st.Accent.Render(review.ShortMarks([]string{mark}))
	case l == review.Anomaly:
		return st.Chart.Anomaly.Render("A")
	case l == review.Normal:
		return st.Chart.Normal.Render("N")
	case l == review.Skip:
		return st.Chart.Skip.Render("S")
	}
	return st.Faint.Render("–")
}

// writerWidth is that of a column of names.
func writerWidth(names []string, w int) int {
	n := 0
	for _, name := range names {
		n = max(n, common.Width(common.Clean(name)))
	}
	return min(n, max(6, w/5))
}

func (p *Page) eventRows(from, to, w int) (out []string) {
	now := p.env.Now()
	st := p.env.Styles
	var names, times []string
	clock := 0
	for _, e := range p.events[from:to] {
		names = append(names, e.GetBy())
		times = append(times, common.Clock(now, time.UnixMilli(e.GetUnixMs())))
		clock = max(clock, len(times[len(times)-1]))
	}
	by := writerWidth(names, w)
	for i, e := range p.events[from:to] {
		mark, style := p.marker(from + i)
		c := e.GetChange()
		line := mark + st.Dim.Render(common.Fit(times[i], clock)+"  "+common.Fit(common.Clean(names[i]), by)) + "  " +
			p.letter(c.GetMark(), review.Label(c.GetFrom())) + st.Faint.Render(" → ") + p.letter(c.GetMark(), review.Label(c.GetTo())) + "  "
		out = append(out, common.Fit(line+style.Render(common.CutLeft(common.Clean(path.Base(c.GetId())), w-common.Width(line))), w))
	}
	return out
}

func (p *Page) doubtRows(from, to, w int) (out []string) {
	st := p.env.Styles
	for i, it := range p.doubts[from:to] {
		mark, style := p.marker(from + i)
		now := p.env.Desk.Now(it.GetId(), "", review.Label(it.GetLabel()), p.saves[doubtful])
		line := mark + p.letter("", now) + "  " + style.Render(common.CutLeft(common.Clean(path.Base(it.GetId())), max(10, w/2-5))) + "  "
		out = append(out, common.Fit(line+st.Warn.Render(common.Cut(common.Clean(it.GetWhy()), w-common.Width(line))), w))
	}
	return out
}

func (p *Page) conflictRows(from, to, w int) (out []string) {
	st := p.env.Styles
	for i, c := range p.writers.GetConflicts()[from:to] {
		mark, style := p.marker(from + i)
		now := p.env.Desk.Now(c.GetId(), "", review.Label(c.GetLabel()), p.saves[people])
		var said []string
		for _, o := range c.GetOpinions() {
			said = append(said, p.letter("", review.Label(o.GetLabel()))+" "+st.Dim.Render(common.Cut(common.Clean(o.GetBy()), 12)))
		}
		line := mark + p.letter("", now) + "  " + style.Render(common.CutLeft(common.Clean(path.Base(c.GetId())), max(10, w/2-5))) + "  "
		out = append(out, common.Fit(line+strings.Join(said, "  "), w))
	}
	return out
}

// persons are the people with their labels, and how each two agree.
func (p *Page) persons(w int) (out []string) {
	st, r, now := p.env.Styles, p.writers, p.env.Now()
	if len(r.GetWriters()) == 0 {
		return nil
	}
	var names []string
	for _, x := range r.GetWriters() {
		names = append(names, x.GetName())
	}
	by := writerWidth(names, max(w, 60))
	for _, x := range r.GetWriters() {
		line := st.Text.Render(common.Fit(common.Clean(x.GetName()), by)) + "  " + components.Counts(st, x.GetAnomalies(), x.GetNormals(), x.GetSkipped())
		out = append(out, common.Fit(common.Fit(line, by+24)+st.Dim.Render(common.Age(now, time.UnixMilli(x.GetLastUnixMs()))), w))
	}
	if len(r.GetPairs()) > 0 {
		out = append(out, "")
	}
	for _, a := range r.GetPairs() {
		line := st.Text.Render(common.Cut(common.Clean(a.GetA()), by) + " and " + common.Cut(common.Clean(a.GetB()), by))
		line += st.Dim.Render(fmt.Sprintf("  %s of %s alike  ", common.Count(a.GetAgree()), common.Count(a.GetBoth())))
		out = append(out, common.Fit(line+st.Text.Render(kappa(a.GetKappa())), w))
	}
	return append(out, "")
}

// kappa writes Cohen's kappa with the usual word for it (Landis and Koch 1977).
func kappa(k float64) string {
	if math.IsNaN(k) {
		return "κ –"
	}
	word := "almost perfect"
	for _, step := range []struct {
		below float64
		word  string
	}{{0.005, "no better than chance"}, {0.205, "slight"}, {0.405, "fair"}, {0.605, "moderate"}, {0.805, "substantial"}} {
		if k < step.below {
			word = step.word
			break
		}
	}
	return fmt.Sprintf("κ %.2f %s", k, word)
}

// about is the column of the selected image: its picture, its name, its label, and what was said about it.
func (p *Page) about(w int) []string {
	st := p.env.Styles
	id, ok := p.selected()
	if !ok {
		return common.Lines(nil, w, p.h)
	}
	pw, ph := p.pictureSize()
	out := []string{""}
	drawn := make([]string, ph)
	if pic, ok := p.env.Thumbs.Get(id); ok && pic.Err != "" {
		drawn = p.env.Centre([]string{"cannot read", pic.Err}, pw, ph)
	} else if ok && p.env.Screen.Driver() != "none" {
		drawn = p.env.Lines(pic, pw, ph)
	}
	for _, l := range drawn {
		out = append(out, common.Blank((w-pw)/2)+l)
	}
	out = append(out, "", st.Text.Render(common.CutLeft(common.Clean(id), w)))
	var said review.Label
	var events []*rpc.LabelEvent
	found, saves := false, p.saves[history]
	for _, e := range p.events { // as far as they are loaded
		if e.GetChange().GetId() != id {
			continue
		}
		if events = append(events, e); !found && e.GetChange().GetMark() == "" {
			said, found = review.Label(e.GetChange().GetTo()), true
		}
	}
	switch p.view {
	case doubtful:
		it := p.doubts[p.at[p.view]]
		if !found {
			said, saves = review.Label(it.GetLabel()), p.saves[doubtful]
		}
		for _, l := range common.Wrap(common.Clean(it.GetWhy()), w) {
			out = append(out, st.Warn.Render(l))
		}
	case people:
		c := p.writers.GetConflicts()[p.at[p.view]]
		said, saves, events = review.Label(c.GetLabel()), p.saves[people], nil
		for _, o := range c.GetOpinions() {
			out = append(out, p.opinion(o.GetUnixMs(), o.GetBy(), "", review.Label(o.GetLabel()), w))
		}
	}
	out = append(out, components.Field(st, "in force", word("", p.env.Desk.Now(id, "", said, saves)), w))
	for _, e := range events {
		out = append(out, p.opinion(e.GetUnixMs(), e.GetBy(), e.GetChange().GetMark(), review.Label(e.GetChange().GetTo()), w))
	}
	return common.Lines(out, w, p.h)
}

// opinion is a line of what somebody said about an image.
func (p *Page) opinion(ms int64, by, mark string, l review.Label, w int) string {
	when := common.Clock(p.env.Now(), time.UnixMilli(ms))
	return common.Fit(p.env.Styles.Dim.Render(when)+" "+p.letter(mark, l)+" "+p.env.Styles.Dim.Render(common.Cut(common.Clean(by), max(0, w-len(when)-4))), w)
}
