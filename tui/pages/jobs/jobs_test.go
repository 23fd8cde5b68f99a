package jobs

import (
	"fmt"
	"strings"
	"testing"

	"anomalymatch/tui/pages"
	"anomalymatch/tui/pages/pagetest"
)

func TestFits(t *testing.T) {
	env, l := pagetest.Env(t)
	p := New(env, l, "")
	pagetest.Fits(t, "no log yet", p)
	env.Monitor.LogWhy = strings.Repeat("a sentence that is long ", 9)
	pagetest.Fits(t, "no log", p)
	env.Monitor.LogWhy = ""
	for i := range 100 {
		env.Monitor.Log = append(env.Monitor.Log, fmt.Sprintf("line %d %s", i, strings.Repeat("x", 3*i)))
	}
	pagetest.Fits(t, "log", p)
	p.SetSize(80, 21)
	p.Update(pages.Pressed{ID: "previous-page"})
	if text := p.View(); strings.Contains(text, "line 99 ") || !strings.Contains(text, "lines below") {
		t.Errorf("it does not scroll:\n%s", text)
	}
	for range 99 {
		p.Update(pages.Wheeled{})
	}
	if !strings.Contains(p.View(), "line 0 ") {
		t.Error("it does not scroll to the beginning")
	}
	p.Update(pages.Wheeled{Down: true})
	if strings.Contains(p.View(), "line 0 ") {
		t.Error("it was scrolled too far up")
	}
	pagetest.Fits(t, "scrolled", p)
}
