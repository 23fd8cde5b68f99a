package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/link"
	"anomalymatch/tui/review"
)

// What the line of F sends, and the boxes that open it or the list of columns.
type (
	askWhereMsg  struct{}
	typedMsg     string // a condition as far as it is typed
	whereMsg     string
	askColumnMsg struct{}
	columnMsg    struct {
		name string
		down bool
	}
)

// condition is what is known of what is typed into the line of F.
type condition struct {
	prompt *dialogs.Prompt
	text   string // that why is about
	why    string // why it is no condition
}

// where asks for a condition on the metadata.
func (a *app) where() tea.Cmd {
	c := &condition{}
	c.prompt = dialogs.NewPrompt(dialogs.Prompt{Common: a.env.Common, Title: "Where", Help: a.whereHelp(),
		Check: func(text string) string {
			if text != "" && text == c.text {
				return c.why
			}
			return ""
		},
		Live:   func(text string) tea.Msg { return typedMsg(text) },
		Answer: func(text string) tea.Msg { return whereMsg(strings.TrimSpace(text)) }}, a.env.Desk.Where)
	a.condition = c
	a.stack.Open(c.prompt)
	return a.env.Desk.Columns()
}

// whereHelp is what can be written.
func (a *app) whereHelp() string {
	var names []string
	n := 0
	for _, c := range a.columns {
		name := common.Clean(c.GetQuoted())
		if n += len(name) + 2; n > 150 {
			names = append(names, "…")
			break
		}
		names = append(names, name)
	}
	help := "mag < 21 and not class ~ \"spiral*\" · z is missing · an empty line: all images"
	if len(names) > 0 {
		help = "columns: " + strings.Join(names, ", ") + ". Such as: " + help
	}
	return help
}

// chosen says below the line how many images the condition chooses, or what is wrong with it.
func (a *app) chosen(m review.Chosen) {
	c := a.condition
	if c == nil {
		return
	}
	c.text, c.why = m.Text, ""
	switch {
	case m.Text == "":
		c.prompt.Help = a.whereHelp()
	case m.Err != nil:
		c.why = link.Reason(m.Err)
	default:
		c.prompt.Help = common.Plural(m.Images, "image") + " of this list"
	}
}

// setWhere lists the images of which a condition holds.
func (a *app) setWhere(text string) tea.Cmd {
	a.condition = nil
	v := a.env.Desk.View
	if v.Where == text {
		return nil
	}
	if text == "" {
		a.env.Say(common.Info, "without a condition")
	} else {
		a.env.Say(common.Info, "where "+common.Cut(common.Clean(text), 60))
	}
	v.Where = text
	return a.env.Desk.Choose(v)
}

// askColumn offers the columns to sort by. The one in use, chosen again, sorts the other way round.
func (a *app) askColumn() tea.Cmd {
	a.stack.Open(dialogs.NewPick(a.env.Common, "Sort by", a.columnGroups))
	return a.env.Desk.Columns()
}

func (a *app) columnGroups() []dialogs.Group {
	d := a.env.Desk
	var options []dialogs.Option
	for i, c := range a.columns {
		name := c.GetName()
		now := d.Sort == "column" && d.Column == name
		o := dialogs.Option{Name: common.Cut(common.Clean(name), 24), Current: now, Answer: columnMsg{name, now && !d.Down}, Text: map[string]string{"text": "a to z"}[c.GetType()]}
		if o.Text == "" {
			o.Text = "smallest first"
		}
		if unit := common.Clean(c.GetUnit()); unit != "" {
			o.Text += ", in " + unit
		}
		if now && !d.Down {
			o.Text += "; again: the other way round"
		}
		if i < 9 {
			o.Key = fmt.Sprint(i + 1)
		}
		options = append(options, o)
	}
	if len(options) == 0 {
		options = []dialogs.Option{{Name: "…", Why: "the engine is asked for its columns"}}
	}
	return []dialogs.Group{{Title: "Columns of the metadata; images without a value come last", Options: options}}
}

// sortColumn sorts the list by a column.
func (a *app) sortColumn(m columnMsg) tea.Cmd {
	v := a.env.Desk.View
	v.Sort, v.Column, v.Down, v.Like = "column", m.name, m.down, ""
	a.env.Say(common.Info, "sorted: "+sorting(v))
	return a.env.Desk.Choose(v)
}

// sorting says how a list is sorted; empty: by the ranking.
func sorting(v review.View) string {
	if v.Sort != "column" {
		return sorts[v.Sort]
	}
	text := "by " + common.Cut(common.Clean(v.Column), 24)
	if v.Down {
		text += ", largest first"
	}
	return text
}
