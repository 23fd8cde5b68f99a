package dialogs

import (
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
)

// Place is the answer to a number: go to that place in the list, from 1.
type Place struct{ Number int64 }

// place reads a number as people write it, 12,000 too.
func place(text string) (n int64, ok bool) {
	n, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimSpace(text), ",", ""), 10, 64)
	return n, err == nil && n > 0
}

// NewPlace asks for a place in a list of n.
func NewPlace(c *common.Common, n int64) *Prompt {
	return NewPrompt(Prompt{Common: c, Title: "Go to", Help: "a place in the list, 1 to " + common.Count(n),
		Check: func(text string) string {
			if at, ok := place(text); text != "" && (!ok || at > n) {
				return "this is no number from 1 to " + common.Count(n)
			}
			return ""
		},
		Answer: func(text string) tea.Msg {
			at, ok := place(text)
			if !ok {
				return nil
			}
			return Place{at}
		}}, "")
}
