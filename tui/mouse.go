package tui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"anomalymatch/tui/common"
	"anomalymatch/tui/pages"
)

// click passes a click on to the page; twice at one place soon after another counts as one of two.
func (a *app) click(m tea.Mouse) tea.Cmd {
	const soon = 400 * time.Millisecond
	if m.Button != tea.MouseLeft || m.X < 0 || m.Y < 0 || len(a.stack) > 0 || a.tooSmall() { // `CSI < 0;0;0M` is left of the screen
		return nil
	}
	now := a.env.Now()
	again := m.X == a.clicked.X && m.Y == a.clicked.Y && now.Sub(a.clickAt) < soon
	a.clicked, a.clickAt = m, now
	if again {
		a.clickAt = time.Time{}
	}
	if m.Y == 0 {
		return a.tab(m.X)
	}
	if m.Y > a.h-3-len(a.banner()) {
		return nil
	}
	return a.tell(pages.Clicked{X: m.X, Y: m.Y - 1, Again: again})
}

func (a *app) wheel(m tea.Mouse) tea.Cmd {
	if len(a.stack) > 0 || a.tooSmall() || m.Button != tea.MouseWheelDown && m.Button != tea.MouseWheelUp {
		return nil
	}
	return a.tell(pages.Wheeled{Down: m.Button == tea.MouseWheelDown})
}

// tab goes to the page whose name stands at column x of the header.
func (a *app) tab(x int) tea.Cmd {
	head := ansi.Strip(a.header())
	for _, p := range a.tabs {
		at := strings.LastIndex(head, "  "+p.Name())
		if at < 0 {
			continue
		}
		if from := common.Width(head[:at]) + 2; x >= from && x < from+len(p.Name()) {
			return a.show(p.Name())
		}
	}
	return nil
}
