package tui

import (
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/link"
)

// quit leaves once every label is saved, and asks where that does not work.
func (a *app) quit() tea.Cmd {
	n, why := a.env.Desk.Unsaved()
	switch {
	case n > 0:
		a.askQuit(why)
		return nil
	case a.env.Desk.Busy(), a.delivering():
		a.quitting = true
		a.env.Say(common.Info, "saving the last labels…")
		return tea.Tick(5*time.Second, func(time.Time) tea.Msg { return lateMsg{} })
	}
	return a.end()
}

// end keeps how pictures are displayed, and leaves.
func (a *app) end() tea.Cmd {
	a.ended = true
	if keep := a.env.Display.Leave(); keep != nil {
		return tea.Sequence(keep, tea.Quit)
	}
	return tea.Quit
}

func (a *app) askQuit(why string) {
	n := a.env.Desk.Waiting()
	a.stack.Open(dialogs.Confirm{Common: a.env.Common, Title: "Quit?",
		Text:    common.Plural(n, "label") + " not saved yet: " + why + ". Leaving now loses what is not saved.",
		Choices: []dialogs.Choice{{Keys: []string{"y"}, Does: "quit and lose them", Answer: quitMsg{}}, {Keys: []string{"n"}, Does: "stay"}}})
}

// leave quits when there is nothing left to save.
func (a *app) leave() tea.Cmd {
	if !a.quitting {
		return nil
	}
	if n, why := a.env.Desk.Unsaved(); n > 0 {
		a.quitting = false
		a.askQuit(why)
		return nil
	}
	if !a.env.Desk.Busy() && !a.delivering() {
		a.quitting = false // once
		return a.end()
	}
	return nil
}

// delivering tells whether labels of the outbox are on their way. That they arrive is worth a moment, not more: they are on this machine's disk.
func (a *app) delivering() bool {
	n, why := a.env.Desk.Undelivered()
	st, _ := a.link.State()
	return n > 0 && why == "" && st == link.Connected
}
