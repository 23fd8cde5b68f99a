package start

import (
	"fmt"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"anomalymatch/tui/styles"
)

func page(t *testing.T, w, h int, recent []string, keys ...string) Page {
	t.Helper()
	var m tea.Model = New(Options{Recent: recent, Styles: styles.New("dark", false)})
	m, _ = m.Update(tea.WindowSizeMsg{Width: w, Height: h})
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k, Code: []rune(k)[0]}
		switch k {
		case "enter":
			msg = tea.KeyPressMsg{Code: tea.KeyEnter}
		case "down":
			msg = tea.KeyPressMsg{Code: tea.KeyDown}
		}
		m, _ = m.Update(msg)
	}
	return m.(Page)
}

func projects(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("/data/p%02d", i))
	}
	return all
}

func TestChoosing(t *testing.T) {
	for _, c := range []struct {
		recent int
		keys   []string
		want   Choice
	}{
		{2, []string{"enter"}, Choice{Project: "/data/p00"}},
		{2, []string{"down", "enter"}, Choice{Project: "/data/p01"}},
		{2, []string{"j", "j", "enter"}, Choice{Demo: true}},
		{2, []string{"j", "j", "j", "j", "enter"}, Choice{Demo: true}},
		{2, []string{"G", "k", "enter"}, Choice{Project: "/data/p01"}},
		{2, []string{"k", "enter"}, Choice{Project: "/data/p00"}},
		{0, []string{"enter"}, Choice{Demo: true}},
		{2, []string{"q"}, Choice{}},
		{2, []string{"x"}, Choice{}},
	} {
		if got := page(t, 80, 24, projects(c.recent), c.keys...).Chosen; got != c.want {
			t.Errorf("%d projects, %v: got %+v, want %+v", c.recent, c.keys, got, c.want)
		}
	}
}

// Whatever the size and the number of projects: the frame fits, and the selected row is in it.
func TestFits(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 50}, {60, 16}, {20, 5}, {1, 1}} {
		for _, n := range []int{0, 1, 9, 20} {
			for at := range n + 1 {
				keys := strings.Split(strings.Repeat("j", at), "")
				if at == 0 {
					keys = nil
				}
				p := page(t, size[0], size[1], projects(n), keys...)
				lines := strings.Split(p.View().Content, "\n")
				if len(lines) != size[1] {
					t.Fatalf("%v, %d projects: %d lines", size, n, len(lines))
				}
				for _, l := range lines {
					if w := ansi.StringWidth(l); w != size[0] {
						t.Fatalf("%v, %d projects: a line of %d cells: %q", size, n, w, ansi.Strip(l))
					}
				}
				if size[1] >= others+2 && !strings.Contains(ansi.Strip(p.View().Content), "▌") {
					t.Fatalf("%v, %d projects, at %d: the selected row is not on the page", size, n, at)
				}
			}
		}
	}
}

func TestHostileNames(t *testing.T) {
	p := page(t, 80, 24, []string{"/data/\x1b[2Jbad\nname"})
	if text := ansi.Strip(p.View().Content); strings.ContainsAny(text, "\x1b") || len(strings.Split(text, "\n")) != 24 {
		t.Errorf("drawn raw: %q", text)
	}
	if strings.Contains(p.View().Content, "\x1b[2J") {
		t.Error("an escape sequence of a name reaches the terminal")
	}
}
