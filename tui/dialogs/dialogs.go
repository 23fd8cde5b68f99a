// Package dialogs holds what lies on top of a page: a stack of boxes that take the keys and answer with messages, and the offer,
// which takes only its own two keys.
package dialogs

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
)

// Dialog is one box.
type Dialog interface {
	// Press takes a key. done: the box goes; answer, when not nil, is for the root.
	Press(key string) (answer tea.Msg, done bool)
	// View draws the box into at most w×h cells.
	View(w, h int) []string
}

// Stack is what lies on top, the last one topmost.
type Stack []Dialog

// Open puts a box on top.
func (s *Stack) Open(d Dialog) { *s = append(*s, d) }

// Press gives the topmost box a key.
func (s *Stack) Press(key string) tea.Msg {
	n := len(*s)
	answer, done := (*s)[n-1].Press(key)
	if done {
		*s = (*s)[:n-1]
	}
	return answer
}

// Typed tells whether the topmost box takes text.
func (s Stack) Typed() bool {
	if len(s) == 0 {
		return false
	}
	_, ok := s[len(s)-1].(Typed)
	return ok
}

// Type gives the topmost box, which takes text, a key or a paste.
func (s *Stack) Type(msg tea.Msg) tea.Msg {
	n := len(*s)
	answer, done := (*s)[n-1].(Typed).Type(msg)
	if done {
		*s = (*s)[:n-1]
	}
	return answer
}

// Over draws the boxes in the middle of the lines of a screen of w cells.
func (s Stack) Over(lines []string, w int) []string {
	for _, d := range s {
		box := d.View(w-4, len(lines)-2)
		bw := 0
		for _, l := range box {
			bw = max(bw, common.Width(l))
		}
		lines = common.Over(lines, box, max(0, (w-bw)/2), max(0, (len(lines)-len(box))/2))
	}
	return lines
}

// Choice is one way out of a question.
type Choice struct {
	Keys   []string
	Does   string
	Answer tea.Msg // nil: just close
}

// Confirm is a question.
type Confirm struct {
	Common  *common.Common
	Title   string
	Text    string
	Choices []Choice // the last is also esc
}

// Press takes a choice's key.
func (c Confirm) Press(key string) (tea.Msg, bool) {
	for i, ch := range c.Choices {
		for _, k := range ch.Keys {
			if k == key {
				return ch.Answer, true
			}
		}
		if i == len(c.Choices)-1 && key == "esc" {
			return ch.Answer, true
		}
	}
	return nil, false
}

// View draws the question with its choices.
func (c Confirm) View(w, h int) []string {
	st := c.Common.Styles.Dialog
	w = min(w, 64)
	var lines []string
	for _, l := range common.Wrap(c.Text, w-6) {
		lines = append(lines, st.Text.Render(l))
	}
	lines = append(lines, "")
	row := ""
	for _, ch := range c.Choices {
		next := strings.TrimSpace(st.Key.Render(keys.Pretty(ch.Keys[0])) + " " + ch.Does)
		if row != "" && common.Width(row)+4+common.Width(next) > w-6 {
			lines, row = append(lines, row), ""
		}
		if row != "" {
			row += "    "
		}
		row += next
	}
	lines = append(lines, row)
	return Frame(c.Common, c.Title, lines, w)
}

// Frame puts a border with a title around lines; the box is w cells wide.
func Frame(c *common.Common, title string, lines []string, w int) []string {
	st := c.Styles.Dialog
	edge := st.Frame.Render
	title = common.Cut(title, w-6)
	out := []string{edge("╭─ ") + st.Title.Render(title) + edge(" "+strings.Repeat("─", max(0, w-5-common.Width(title)))+"╮")}
	row := func(l string) string { return edge("│") + "  " + common.Fit(l, w-6) + "  " + edge("│") }
	out = append(out, row(""))
	for _, l := range lines {
		out = append(out, row(l))
	}
	return append(out, row(""), edge("╰"+strings.Repeat("─", w-2)+"╯"))
}

// Help lists every key.
type Help struct {
	Common *common.Common
	State  keys.State
	Notes  []string // below the keys: the terminal's pictures, versions
	top    int
	over   int // lines that did not fit at the last View
}

// Press scrolls and closes.
func (h *Help) Press(key string) (tea.Msg, bool) {
	switch key {
	case "down", "j", "pgdown", "]":
		h.top = min(h.top+1, h.over)
		return nil, false
	case "up", "k", "pgup", "[":
		h.top = max(0, h.top-1)
		return nil, false
	case "esc", "q", "enter", "?", "f1", "space":
		return nil, true
	}
	return nil, false // a terminal may tell of shift alone
}

// View draws the keys by group, what does nothing just now dimmed with the reason.
func (h *Help) View(w, rows int) []string {
	st := h.Common.Styles
	w = min(w, 96)
	var lines []string
	group := ""
	for _, b := range h.Common.Keys.All() {
		if b.Group != group {
			if group != "" {
				lines = append(lines, "")
			}
			group = b.Group
			lines = append(lines, st.Section.Title.Render(group))
		}
		var names []string
		for _, k := range b.Keys {
			names = append(names, keys.Pretty(k))
		}
		does, style := b.Does, st.Text
		if why := b.Why(h.State); why != "" {
			does, style = b.Does+" ("+why+")", st.Dim
		}
		for i, part := range common.Wrap(does, w-6-18) {
			name := ""
			if i == 0 {
				name = strings.Join(names, " ")
			}
			lines = append(lines, st.Hint.Key.Render(common.Fit(name, 18))+style.Render(part))
		}
	}
	if len(h.Notes) > 0 {
		lines = append(lines, "")
		for _, n := range h.Notes {
			for _, part := range common.Wrap(n, w-6) {
				lines = append(lines, st.Dim.Render(part))
			}
		}
	}
	room := max(1, rows-4)
	h.over = max(0, len(lines)-room)
	h.top = min(h.top, h.over)
	title := "Keys"
	if h.over > 0 {
		title = "Keys · ↑ ↓ for more"
		lines = lines[h.top:min(len(lines), h.top+room)]
	}
	return Frame(h.Common, title, lines, w)
}

// Offer is a question that is not in the way: two lines above the hints, with two keys of its own.
type Offer struct {
	Text    string
	Yes, No Choice
}

// Press takes one of the offer's keys; false: the key is for the page.
func (o *Offer) Press(key string) (tea.Msg, bool) {
	for _, c := range []Choice{o.Yes, o.No} {
		for _, k := range c.Keys {
			if k == key {
				return c.Answer, true
			}
		}
	}
	return nil, false
}

// View draws the offer in lines of w cells.
func (o *Offer) View(c *common.Common, w int) []string {
	st := c.Styles
	choices := st.Dialog.Key.Render("["+o.Yes.Keys[0]+"]") + " " + o.Yes.Does + "  " + st.Dialog.Key.Render("["+o.No.Keys[0]+"]") + " " + o.No.Does
	text := common.Wrap(o.Text, w-4)
	var out []string
	for _, l := range text {
		out = append(out, common.Fit(" "+st.Accent.Render("▌")+" "+l, w))
	}
	if last := len(out) - 1; last >= 0 && common.Width(text[last])+3+2+common.Width(choices) <= w {
		out[last] = common.Fit(" "+st.Accent.Render("▌")+" "+text[last]+"  "+choices, w)
	} else {
		out = append(out, common.Fit(" "+st.Accent.Render("▌")+" "+choices, w))
	}
	return out
}
