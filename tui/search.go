package tui

import (
	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/review"
)

// What the line of / sends: what is typed so far, and what is searched for.
type (
	liveMsg   string
	searchMsg string
)

const searchHelp = "a part of the id is enough, upper and lower case alike"

// search asks for a part of an id.
func (a *app) search() {
	a.asked = dialogs.NewPrompt(dialogs.Prompt{Common: a.env.Common, Title: "Search", Help: searchHelp,
		Live: func(text string) tea.Msg { return liveMsg(text) }, Answer: func(text string) tea.Msg { return searchMsg(text) }}, "")
	a.stack.Open(a.asked)
}

// counted says below the line how many images match what is typed.
func (a *app) counted(m review.Counted) {
	if a.asked == nil || m.Err != nil {
		return
	}
	switch {
	case m.Text == "":
		a.asked.Help = searchHelp
	case m.Matches == 0:
		a.asked.Help = "none in this list"
	default:
		a.asked.Help = common.Plural(m.Matches, "image") + " of this list"
	}
}
