package start

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"anomalymatch"
)

// full are options of a page with everything on it.
func full(n int) Options {
	opt := Options{Here: "/data", Config: anomalymatch.Default().TUI, Now: func() time.Time { return time.Unix(1e9, 0) },
		Create: func(context.Context, string, string, func(int64)) (string, error) { return "", nil }, Hosts: func() []string { return []string{"leo", "juno"} }}
	for i := range n {
		opt.Recent = append(opt.Recent, Choice{Project: fmt.Sprintf("/data/p%02d", i)})
	}
	return opt
}

func page(t *testing.T, w, h int, opt Options, keys ...string) *Page {
	t.Helper()
	p := New(t.Context(), opt)
	p.Update(tea.WindowSizeMsg{Width: w, Height: h})
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k, Code: []rune(k)[0]}
		switch k {
		case "enter":
			msg = tea.KeyPressMsg{Code: tea.KeyEnter}
		case "down":
			msg = tea.KeyPressMsg{Code: tea.KeyDown}
		}
		p.Update(msg)
	}
	return p
}

func TestChoosing(t *testing.T) {
	far := Options{Recent: []Choice{{Project: "/data/p00"}, {Host: "leo", Project: "rings"}}}
	for _, c := range []struct {
		opt  Options
		keys []string
		want Choice
	}{
		{full(2), []string{"enter"}, Choice{Project: "/data/p00"}},
		{full(2), []string{"down", "enter"}, Choice{Project: "/data/p01"}},
		{full(2), []string{"G", "enter"}, Choice{Demo: true}},
		{full(2), []string{"G", "j", "j", "enter"}, Choice{Demo: true}},
		{full(2), []string{"G", "g", "j", "enter"}, Choice{Project: "/data/p01"}},
		{full(2), []string{"k", "enter"}, Choice{Project: "/data/p00"}},
		{Options{}, []string{"enter"}, Choice{Demo: true}},
		{far, []string{"j", "enter"}, Choice{Host: "leo", Project: "rings"}},
		{full(2), []string{"q"}, Choice{}},
		{full(2), []string{"x"}, Choice{}},
	} {
		if got := page(t, 80, 24, c.opt, c.keys...).Chosen; got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.keys, got, c.want)
		}
	}
}

// Whatever the size and the number of projects: the frame fits, the selected row is in it, and a click on a row is for what stands there.
func TestFits(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 50}, {60, 16}, {20, 5}, {1, 1}} {
		for _, n := range []int{0, 1, 9, 20} {
			for at := range n + 3 {
				keys := strings.Split(strings.Repeat("j", at), "")
				if at == 0 {
					keys = nil
				}
				p := page(t, size[0], size[1], full(n), keys...)
				text := ansi.Strip(p.View().Content)
				lines := strings.Split(p.View().Content, "\n")
				if len(lines) != size[1] {
					t.Fatalf("%v, %d projects: %d lines", size, n, len(lines))
				}
				for _, l := range lines {
					if w := ansi.StringWidth(l); w != size[0] {
						t.Fatalf("%v, %d projects: a line of %d cells: %q", size, n, w, ansi.Strip(l))
					}
				}
				if size[1] < others+3 {
					continue
				}
				if strings.Count(text, "▌") != 1 {
					t.Fatalf("%v, %d projects, at %d: the selected row is not on the page:\n%s", size, n, at, text)
				}
				_, rows := p.lines()
				for y, l := range strings.Split(text, "\n")[:len(rows)] {
					if rows[y] >= 0 && !strings.Contains(l, p.rows[rows[y]].name) || rows[y] == p.at && !strings.Contains(l, "▌") {
						t.Fatalf("%v: line %d, row %d: %q", size, y, rows[y], l)
					}
				}
			}
		}
	}
}

func TestFacts(t *testing.T) {
	opt := full(5)
	opt.About = func(context.Context, string) About { return About{} }
	p := page(t, 120, 40, opt)
	for dir, a := range map[string]About{
		"/data/p00": {Known: true, Images: 12345, Anomalies: 3, Normal: 40, Used: time.Unix(1e9-7200, 0), Engine: "here"},
		"/data/p01": {Known: true, Images: -1, Engine: "gpu\x1b[2J01"},
		"/data/p02": {Err: "project.toml:3: unknown key"},
		"/data/p03": {},
	} {
		p.Update(aboutMsg{dir, a})
	}
	text := ansi.Strip(p.View().Content)
	for _, want := range []string{"12,345 images · A 3 N 40 · 2 h 0 min ago · ● engine runs", "not listed yet · ● engine on gpu␛[2J01", "project.toml:3: unknown key"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	p.Update(tea.KeyPressMsg{Text: "j", Code: 'j'})
	p.Update(tea.KeyPressMsg{Text: "j", Code: 'j'})
	p.Update(tea.KeyPressMsg{Code: tea.KeyEnter})
	if p.Chosen != (Choice{}) || !strings.Contains(ansi.Strip(p.View().Content), "! project.toml:3: unknown key") {
		t.Errorf("a broken project was chosen: %+v", p.Chosen)
	}
}

func TestHostileNames(t *testing.T) {
	opt := full(0)
	opt.Recent = []Choice{{Project: "/data/\x1b[2Jbad\nname"}, {Host: "l\x1b[2J", Project: "x\n"}}
	p := page(t, 80, 24, opt)
	if text := ansi.Strip(p.View().Content); strings.ContainsAny(text, "\x1b") || len(strings.Split(text, "\n")) != 24 {
		t.Errorf("drawn raw: %q", text)
	}
	if strings.Contains(p.View().Content, "\x1b[2J") {
		t.Error("an escape sequence of a name reaches the terminal")
	}
}

// TestTheme: it is dark until the terminal says that it is bright, and says nothing of colours under NO_COLOR.
func TestTheme(t *testing.T) {
	p := page(t, 80, 24, full(1))
	before := p.View().Content
	p.Update(tea.BackgroundColorMsg{Color: ansi.BrightWhite})
	if p.View().Content == before {
		t.Error("a bright terminal changes nothing")
	}
	opt := full(1)
	opt.Config.Theme, opt.Environ = "contrast", []string{"NO_COLOR=1"}
	if p = page(t, 80, 24, opt); strings.Contains(p.View().Content, "38;") || p.View().BackgroundColor != nil {
		t.Errorf("NO_COLOR: %q", p.View().Content)
	}
	opt.Environ = nil
	if p = page(t, 80, 24, opt); p.View().BackgroundColor == nil {
		t.Error("contrast is not on black")
	}
}

// TestClicksBesideTheScreen: a report may name the row before the first.
func TestClicksBesideTheScreen(t *testing.T) {
	p := page(t, 80, 24, full(3))
	for _, y := range []int{-1, 23, 24, 999} {
		p.Update(tea.MouseClickMsg{X: y, Y: y, Button: tea.MouseLeft})
		p.Update(tea.MouseClickMsg{X: y, Y: y, Button: tea.MouseLeft})
	}
	if p.Chosen != (Choice{}) {
		t.Errorf("a click beside the screen chose %+v", p.Chosen)
	}
}
