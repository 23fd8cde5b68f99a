package tui

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
)

// View draws the screen.
func (a *app) View() tea.View {
	v := tea.NewView(a.env.Screen.Frame(a.content()))
	v.AltScreen = true
	v.ReportFocus = true
	if a.opt.Config.TUI.Mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	v.WindowTitle, v.ProgressBar = a.title(), a.bar()
	v.BackgroundColor, v.ForegroundColor = a.grounds()
	if !a.term.orders() {
		v.Content = common.Visual(v.Content)
	}
	// repeats of letters are told apart from presses only when the terminal sends all keys as codes
	v.KeyboardEnhancements = tea.KeyboardEnhancements{ReportEventTypes: true, ReportAlternateKeys: true, ReportAllKeysAsEscapeCodes: true, ReportAssociatedText: true}
	return v
}

func (a *app) content() string {
	if a.w <= 0 || a.h <= 0 {
		return ""
	}
	if a.tooSmall() {
		return pages.Join(a.env.Centre([]string{fmt.Sprintf("anomalymatch needs %d × %d cells; this terminal has %d × %d", leastWidth, leastHeight, a.w, a.h)}, a.w, a.h))
	}
	lines := []string{a.header()}
	lines = append(lines, strings.Split(a.page.View(), "\n")...)
	lines = append(lines, a.banner()...)
	lines = append(lines, a.hints(), a.status())
	return pages.Join(a.stack.Over(lines, a.w))
}

// header is the project, the pages and where in the list the cursor is.
func (a *app) header() string {
	st := a.env.Styles.Header
	count := ""
	if a.env.Monitor.Known {
		count = a.count()
	}
	tabs := ""
	for _, p := range a.tabs {
		style := st.Page
		if p == a.page || p == a.tabs[0] && (a.page == a.single || a.page == a.compare) {
			style = st.Current
		}
		tabs += "  " + style.Render(p.Name())
	}
	room := a.w - 2 - common.Width(count) - 2
	name := a.project
	if a.opt.Host != "" {
		name = common.Clean(a.opt.Host) + ":" + name
	}
	left := st.Project.Render(common.Cut(name, max(8, room-common.Width(tabs)-1))) + " " + tabs
	if common.Width(left) > room {
		left = st.Project.Render(common.Cut(name, max(8, room-2-len(a.page.Name())))) + "  " + st.Current.Render(a.page.Name())
	}
	return " " + common.Ends(left, st.Count.Render(count), a.w-2) + " "
}

// count is where in the list the cursor is, and what list that is.
func (a *app) count() string {
	d := a.env.Desk
	l := d.List()
	at := int64(0)
	if len(l.Items) > 0 {
		at = l.Place() + 1
	}
	of := common.Count(at) + "/" + common.Count(d.Len())
	pool := " of " + common.Plural(a.env.Monitor.Status.GetPool(), "image")
	sorted := ""
	if d.Where != "" {
		sorted = " where " + common.Cut(common.Clean(d.Where), 28)
	}
	if d.Sort != "" {
		sorted += ", " + sorting(d.View)
	}
	switch {
	case d.Like != "":
		return of + " like " + common.CutLeft(common.Clean(path.Base(d.Like)), 28)
	case d.Match != "":
		return of + " matching " + common.Cut(common.Clean(d.Match), 28) + sorted
	case d.Aside():
		return of + " of a region of the map" + sorted
	case d.Mark == "any":
		return of + " marked" + sorted + pool
	case d.Mark == review.Bookmark:
		return of + " bookmarks" + sorted + pool
	case d.Mark != "":
		return of + " with " + review.MarkName(d.Mark) + sorted + pool
	case d.Filter == "" && a.env.Strategy() != "top":
		return of + " " + a.env.Strategy() + " candidates" + sorted + pool
	case d.Filter == "":
		return of + " candidates" + sorted + pool
	case d.Filter == "all":
		return of + " images" + sorted
	case d.Filter == "skip":
		return of + " skipped" + sorted + pool
	case d.Filter == "audit":
		return of + " doubtful labels of " + common.Count(a.env.Monitor.Status.GetAnomalies()+a.env.Monitor.Status.GetNormals())
	}
	return of + " labelled " + d.Filter + sorted + pool
}

// hints is what was just said, else what is not saved, else the keys of the page.
func (a *app) hints() string {
	st := a.env.Styles.Hint
	w := a.w - 2
	if said, ok := a.env.Said(); ok {
		style := st.Flash
		if said.Kind == common.Warning {
			style = st.Warn
		}
		return " " + common.Fit(style.Render(common.Cut(said.Text, w)), w) + " "
	}
	if n, why := a.env.Desk.Unsaved(); n > 0 {
		return " " + common.Fit(st.Warn.Render(common.Cut("! "+common.Plural(n, "label")+" not saved yet: "+why, w)), w) + " "
	}
	if text := a.away(); text != "" && a.page != a.jobs { // there it stands on the page
		return " " + common.Fit(st.Warn.Render(common.Cut(text, w)), w) + " "
	}
	if n, ok := a.page.(interface{ Note() string }); ok && n.Note() != "" {
		return " " + common.Fit(a.env.Styles.Accent.Render(common.Cut(n.Note(), w)), w) + " "
	}
	shown := ""
	if how := a.env.Display.Settings().String(); how != "" && slices.Contains([]string{"gallery", "single", "compare"}, a.page.Name()) {
		shown = "  " + common.Cut(how, 3*w/5)
		w -= common.Width(shown)
	}
	state := a.state()
	state.Picture = "" // comes and goes too quickly to hide keys for it
	line, n, help := "", 0, 0
	if b := a.env.Common.Keys.Pick("help"); len(b) > 0 && len(b[0].Keys) > 0 {
		help = common.Width(b[0].Label()+b[0].Hint) + 4 // it is always there
	}
	for _, b := range a.page.Keys() {
		if len(b.Keys) == 0 || b.Why(state) != "" {
			continue
		}
		part := st.Key.Render(b.Label()) + " " + st.Does.Render(b.Hint)
		size := common.Width(b.Label()) + 1 + common.Width(b.Hint)
		if n > 0 {
			part, size = "   "+part, size+3
		}
		if b.ID == "help" {
			help = 0
		}
		if n+size+help > w {
			continue
		}
		line, n = line+part, n+size
	}
	return " " + line + common.Blank(w-n) + a.env.Styles.Accent.Render(shown) + " "
}

// away is what there is to say while the engine or the link to its machine is away; empty: it is not.
func (a *app) away() string {
	n, why := a.env.Desk.Undelivered()
	waiting := ""
	if n > 0 {
		waiting = " · " + common.Plural(n, "label") + " on this machine, delivered when it is back"
	}
	switch st, lost := a.link.State(); {
	case why != "":
		return "! " + common.Plural(n, "label") + " on this machine for now: " + why
	case st != link.Lost:
		return ""
	case a.link.Told() != "":
		return "! " + a.link.Told() + waiting
	case a.opt.Host == "":
		return ""
	case a.link.Held() && a.opt.SignIn != nil:
		return a.env.Common.Keys.Label("sign-in") + " signs in again: " + lost + waiting
	default:
		return "no link to " + common.Clean(a.opt.Host) + ", labelling goes on" + waiting
	}
}

// status is the last line.
func (a *app) status() string {
	m, s := a.env.Monitor, a.env.Monitor.Status
	share, known := m.Progress()
	unsaved, _ := a.env.Desk.Unsaved()
	line := components.Status{
		State: m.Doing(), Detail: common.Clean(s.GetDetail()), Share: share, HasShare: known, Rate: s.GetImagesPerSecond(), Left: s.GetRemainingSeconds(),
		Backend: common.Clean(s.GetBackend()), A: s.GetAnomalies(), N: s.GetNormals(), S: s.GetSkipped(),
		Ranked: a.env.Ranked(), Bad: s.GetBad(), Driver: a.env.Screen.Driver(), Unsaved: unsaved, Job: common.Clean(s.GetJob()),
	}
	if m.Job() == "indexing" && s.GetStep() > 0 { // how many there are is what it finds out
		line.Detail = common.Plural(s.GetStep(), "image") + " so far"
	}
	if ms := s.GetEndsAtUnixMs(); ms > 0 {
		line.Ends = time.UnixMilli(ms)
	}
	line.Waiting, _ = a.env.Desk.Undelivered()
	switch st, _ := a.link.State(); st {
	case link.Lost:
		line.Gone = "engine gone, reconnecting…"
		if a.opt.Host != "" {
			line.Gone = "no link, reconnecting…"
		}
		if a.link.Held() {
			line.Gone = "not connected"
		} else if a.link.Told() != "" {
			line.Gone = "no engine yet"
		}
	case link.Connecting:
		line.Gone = "connecting to the engine…"
	}
	return components.StatusLine(a.env.Styles, line, a.env.Now(), a.w)
}
