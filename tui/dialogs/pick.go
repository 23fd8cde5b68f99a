package dialogs

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
)

// Option is one of several things to choose from.
type Option struct {
	Key     string // chooses it at once
	Name    string
	Text    string // when it is of use, one short line
	Why     string // why it cannot be chosen just now; empty: it can
	Current bool
	Answer  tea.Msg
}

// Group is a question with its options.
type Group struct {
	Title   string
	Options []Option
}

// Pick offers groups of options, each with a current one. It closes with a choice.
type Pick struct {
	Common *common.Common
	Title  string
	Groups func() []Group // asked at every frame: what can be chosen changes while the box is open
	Next   []string       // keys that move on besides down: those that opened the box
	cursor int
}

// NewPick begins at the first current option.
func NewPick(c *common.Common, title string, groups func() []Group) *Pick {
	p := &Pick{Common: c, Title: title, Groups: groups}
	for i, o := range p.options() {
		if o.Current {
			p.cursor = i
			break
		}
	}
	return p
}

func (p *Pick) options() []Option {
	var all []Option
	for _, g := range p.Groups() {
		all = append(all, g.Options...)
	}
	return all
}

// Press moves and chooses.
func (p *Pick) Press(key string) (tea.Msg, bool) {
	all := p.options()
	if p.cursor = max(0, min(p.cursor, len(all)-1)); len(all) == 0 { // there were more a moment ago
		return nil, key == "esc" || key == "q"
	}
	if slices.Contains(p.Next, key) {
		key = "down"
	}
	switch key {
	case "esc", "q":
		return nil, true
	case "up", "k":
		p.cursor = (p.cursor + len(all) - 1) % len(all)
		return nil, false
	case "down", "j":
		p.cursor = (p.cursor + 1) % len(all)
		return nil, false
	case "home", "g":
		p.cursor = 0
		return nil, false
	case "end", "G":
		p.cursor = len(all) - 1
		return nil, false
	case "enter", "space":
		return p.choose(all[p.cursor])
	}
	for i, o := range all {
		if o.Key == key {
			p.cursor = i
			return p.choose(o)
		}
	}
	return nil, false
}

// choose answers with an option that can be had; of another one the reason stands beside it.
func (p *Pick) choose(o Option) (tea.Msg, bool) {
	if o.Why != "" {
		return nil, false
	}
	return o.Answer, true
}

// View draws a line for each option. Where there is little room, first the blanks and the last line go, then the titles, then the
// options farthest from the chosen one.
func (p *Pick) View(w, h int) []string {
	st := p.Common.Styles
	w = min(w, 78)
	groups := p.Groups()
	n, wide := 0, 0
	for _, g := range groups {
		n += len(g.Options)
		for _, o := range g.Options {
			wide = max(wide, common.Width(o.Name))
		}
	}
	p.cursor = max(0, min(p.cursor, n-1))
	const frame = 4
	titles := n+len(groups)+frame <= h
	airy := n+2*len(groups)+1+frame <= h
	var lines []string
	i, at := 0, 0
	for k, g := range groups {
		if airy && k > 0 {
			lines = append(lines, "")
		}
		if titles {
			lines = append(lines, st.Section.Title.Render(g.Title))
		}
		for _, o := range g.Options {
			marker, name, text := "  ", st.Text, st.Dim
			if i == p.cursor {
				marker, name, at = st.Cell.Marker.Render("▸ "), st.Strong, len(lines)
			}
			said := o.Text
			if o.Why != "" {
				name, said = st.Faint, o.Why
				if i == p.cursor {
					text = st.Warn
				}
			}
			dot := "  "
			if o.Current {
				dot = st.Accent.Render("● ")
			}
			room := w - 6 - 2 - 2 - 2 - wide - 2
			lines = append(lines, marker+st.Dialog.Key.Render(common.Fit(o.Key, 2))+dot+name.Render(common.Fit(o.Name, wide))+"  "+text.Render(common.Cut(said, room)))
			i++
		}
	}
	if airy {
		lines = append(lines, "", strings.Join([]string{st.Dialog.Key.Render("↑ ↓ enter") + " or its key chooses", st.Dialog.Key.Render("●") + " in use now", st.Dialog.Key.Render("esc") + " closes"}, "    "))
	}
	title := p.Title
	if room := max(1, h-frame); len(lines) > room {
		top := max(0, min(at-room/2, len(lines)-room))
		lines, title = lines[top:top+room], title+" · ↑ ↓ for more"
	}
	return Frame(p.Common, title, lines, w)
}
