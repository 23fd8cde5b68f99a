package dialogs

import (
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"anomalymatch/tui/common"
)

// Typed is a dialog that takes text: it is given what was typed or pasted as it is.
type Typed interface {
	Dialog
	// Type takes a key or a paste. done: the box goes; answer, when not nil, is for the root.
	Type(msg tea.Msg) (answer tea.Msg, done bool)
}

// Prompt asks for a line of text.
type Prompt struct {
	Common *common.Common
	Title  string
	Help   string                    // below the line
	Check  func(text string) string  // why the text will not do; empty or nil: it does
	Answer func(text string) tea.Msg // what enter sends
	Live   func(text string) tea.Msg // what every change sends; nil: nothing
	input  textinput.Model
}

// NewPrompt makes a prompt with a text to begin with.
func NewPrompt(p Prompt, text string) *Prompt {
	p.input = Input()
	p.input.SetValue(text)
	p.input.CursorEnd()
	return &p
}

// Input is a line to type into, its cursor drawn in the text: the terminal's own may be anywhere.
func Input() textinput.Model {
	in := textinput.New()
	in.Prompt = ""
	in.CharLimit = 4096
	in.SetVirtualCursor(true)
	s := in.Styles()
	s.Cursor.Blink = false
	in.SetStyles(s)
	in.Focus()
	return in
}

// Press is not used: Type is.
func (p *Prompt) Press(string) (tea.Msg, bool) { return nil, false }

// Type edits the line; enter answers, esc closes.
func (p *Prompt) Type(msg tea.Msg) (tea.Msg, bool) {
	if key, ok := msg.(tea.KeyPressMsg); ok {
		switch key.String() {
		case "esc":
			return nil, true
		case "enter":
			if p.why() != "" {
				return nil, false
			}
			return p.Answer(p.input.Value()), true
		}
	}
	before := p.input.Value()
	p.input, _ = p.input.Update(msg)
	if text := p.input.Value(); p.Live != nil && text != before {
		return p.Live(text), false
	}
	return nil, false
}

func (p *Prompt) why() string {
	if p.Check == nil {
		return ""
	}
	return p.Check(p.input.Value())
}

// View draws the line, and below it the help or why the text will not do; both before there is any.
func (p *Prompt) View(w, h int) []string {
	st := p.Common.Styles
	w = min(w, 72)
	p.input.SetWidth(max(1, w-6-3))
	p.input.SetCursor(p.input.Position()) // of a long line the part with the cursor is seen
	lines := []string{st.Dialog.Key.Render("▸ ") + p.input.View(), ""}
	say := func(text string, style lipgloss.Style) {
		for _, l := range common.Wrap(text, w-6) {
			lines = append(lines, style.Render(l))
		}
	}
	switch why := p.why(); {
	case why == "":
		say(p.Help, st.Dim)
	case p.input.Value() != "":
		say(why, st.Warn)
	default: // nothing is wrong yet
		say(why, st.Text)
		say(p.Help, st.Dim)
	}
	return Frame(p.Common, p.Title, lines, w)
}
