package dialogs

import (
	"testing"

	"anomalymatch/tui/common"
)

// TestPickOfFewerOptions: what can be chosen became less while the box is open.
func TestPickOfFewerOptions(t *testing.T) {
	all := []Option{{Name: "a", Answer: "a"}, {Name: "b", Answer: "b"}, {Name: "c", Answer: "c"}}
	p := NewPick(&common.Common{}, "which", func() []Group { return []Group{{Options: all}} })
	p.Press("end")
	all = all[:2]
	p.View(40, 10)
	if got, closed := p.Press("enter"); got != "b" || !closed {
		t.Errorf("chose %v, closed %v; want the last one, b", got, closed)
	}
	all = nil
	p.View(40, 10)
	for _, key := range []string{"enter", "down", "up", "end", "x"} {
		if got, closed := p.Press(key); got != nil || closed {
			t.Errorf("%s chose %v of nothing", key, got)
		}
	}
	if _, closed := p.Press("esc"); !closed {
		t.Error("esc does not close it")
	}
}
