package dialogs

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
)

// Run is the palette's answer: do what the action with this id does.
type Run struct{ ID string }

// Palette finds an action by its name.
type Palette struct {
	common *common.Common
	state  func() keys.State
	input  textinput.Model
	cursor int
	top    int
}

// NewPalette makes a palette; state tells what works just now.
func NewPalette(c *common.Common, state func() keys.State) *Palette {
	return &Palette{common: c, state: state, input: Input()}
}

// What it costs that a text is in the sentence and not in the name, and that an action does nothing just now: where names fit as well, those
// that work come first.
const elsewhere, idle = 100, 1

// found are the actions that fit what was typed, the best first; all of them while nothing is typed.
func (p *Palette) found() []keys.Binding {
	text := strings.TrimSpace(p.input.Value())
	type hit struct {
		b    keys.Binding
		cost int
	}
	var hits []hit
	state := p.state()
	for _, b := range p.common.Keys.All() {
		cost := fits(text, strings.ReplaceAll(b.ID, "-", " "))
		if cost < 0 && strings.Contains(strings.ToLower(b.Does), strings.ToLower(text)) { // of letters apart, any long sentence has some
			cost = elsewhere
		}
		if cost < 0 || b.ID == "palette" {
			continue
		}
		if b.Why(state) != "" {
			cost += idle
		}
		hits = append(hits, hit{b, cost})
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(a.cost, b.cost) })
	out := make([]keys.Binding, len(hits))
	for i, h := range hits {
		out[i] = h.b
	}
	return out
}

// fits tells how well the letters of text are found in s, in their order: the letters that lie between, fewer for the beginnings of
// words; -1: they are not found.
func fits(text, s string) int {
	cost, last, before := 0, -1, ' '
	at := []rune(strings.ToLower(s))
	i := 0
	for _, r := range strings.ToLower(text) {
		if unicode.IsSpace(r) {
			continue
		}
		for ; i < len(at) && at[i] != r; i++ {
			before = at[i]
		}
		if i == len(at) {
			return -1
		}
		if last >= 0 && i != last+1 && before != ' ' {
			cost += i - last
		} else if last < 0 && before != ' ' {
			cost += 2 + i
		}
		last, before = i, at[i]
		i++
	}
	return cost
}

// number is the place that was typed.
func (p *Palette) number() (n int64, ok bool) { return place(p.input.Value()) }

// Press is not used: Type is.
func (p *Palette) Press(string) (tea.Msg, bool) { return nil, false }

// Type edits the text and moves through what was found; enter does it.
func (p *Palette) Type(msg tea.Msg) (tea.Msg, bool) {
	if key, ok := msg.(tea.KeyPressMsg); ok {
		switch key.String() {
		case "esc":
			return nil, true
		case "up", "ctrl+p", "shift+tab":
			p.cursor = max(0, p.cursor-1)
			return nil, false
		case "down", "ctrl+n", "tab":
			p.cursor = min(p.cursor+1, max(0, len(p.found())-1))
			return nil, false
		case "enter":
			if n, ok := p.number(); ok {
				return Place{n}, true
			}
			all := p.found()
			if p.cursor >= len(all) || all[p.cursor].Why(p.state()) != "" {
				return nil, false
			}
			return Run{all[p.cursor].ID}, true
		}
	}
	before := p.input.Value()
	p.input, _ = p.input.Update(msg)
	if p.input.Value() != before {
		p.cursor, p.top = 0, 0
	}
	return nil, false
}

// View draws the line and below it what was found, with its key; what does nothing just now dimmed, with the reason.
func (p *Palette) View(w, h int) []string {
	st := p.common.Styles
	w = min(w, 84)
	p.input.SetWidth(max(1, w-6-3))
	lines := []string{st.Dialog.Key.Render(": ") + p.input.View(), ""}
	room := max(1, min(16, h-6))
	if n, ok := p.number(); ok {
		lines = append(lines, st.Text.Render(common.Cut("enter goes to place "+common.Count(n)+" of the list", w-6)))
		room--
	}
	all, state := p.found(), p.state()
	p.top = max(0, min(p.top, p.cursor, len(all)-room))
	p.top = max(p.top, p.cursor-room+1)
	if len(all) == 0 {
		if _, ok := p.number(); !ok {
			lines = append(lines, st.Dim.Render("no action is called that"))
		}
	}
	for i, b := range all[min(p.top, len(all)):min(len(all), p.top+room)] {
		marker, name, text := "  ", st.Text, st.Dim
		if p.top+i == p.cursor {
			marker, name = st.Cell.Marker.Render("▸ "), st.Strong
		}
		does := b.Does
		if why := b.Why(state); why != "" {
			name, does = st.Faint, why
			if p.top+i == p.cursor {
				text = st.Warn
			}
		}
		key := ""
		if len(b.Keys) > 0 {
			key = b.Label()
		}
		const wide = 18
		lines = append(lines, marker+name.Render(common.Fit(strings.ReplaceAll(b.ID, "-", " "), wide))+st.Dialog.Key.Render(common.Fit(key, 9))+text.Render(common.Fit(does, w-6-2-wide-9)))
	}
	for len(lines) < room+2 {
		lines = append(lines, "")
	}
	return Frame(p.common, "Do what?", lines, w)
}
