//go:build unix

package tui

import (
	"fmt"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch"
	"anomalymatch/tui/tuitest/fake"
)

// settle runs the program without a terminal until the pictures of the first page are there.
func settle(t testing.TB, w, h int) *app {
	t.Helper()
	e := fake.New(fake.Options{Size: 64})
	t.Cleanup(e.Die)
	client, err := e.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := anomalymatch.Default()
	cfg.TUI.Images = "halfblocks"
	a, err := newApp(Options{Client: client, Config: cfg, Writer: "ann", Version: "dev"}.filled(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	msgs := make(chan tea.Msg, 10000)
	var run func(tea.Cmd)
	run = func(c tea.Cmd) {
		if c != nil {
			go func() {
				switch m := c().(type) {
				case tea.BatchMsg:
					for _, c := range m {
						run(c)
					}
				case nil:
				default:
					msgs <- m
				}
			}()
		}
	}
	run(a.Init())
	msgs <- tea.WindowSizeMsg{Width: w, Height: h}
	end := time.After(10 * time.Second)
	for {
		select {
		case m := <-msgs:
			_, cmd := a.Update(m)
			run(cmd)
		case <-end:
			t.Fatal("the pictures do not come")
		}
		if l := a.env.Desk.List(); len(l.Items) > 8 && a.page.Blocked() == "" && a.env.Monitor.Hist != nil {
			n := 0
			for _, it := range l.Items[:min(16, len(l.Items))] {
				if _, ok := a.env.Thumbs.Get(it.ID); ok {
					n++
				}
			}
			if n == min(16, len(l.Items)) {
				return a
			}
		}
	}
}

func BenchmarkView(b *testing.B) {
	for _, s := range [][2]int{{80, 24}, {250, 70}} {
		b.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(b *testing.B) {
			a := settle(b, s[0], s[1])
			for b.Loop() {
				a.content()
			}
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	a := settle(b, 250, 70)
	for b.Loop() {
		a.Update(secondMsg{})
	}
}
