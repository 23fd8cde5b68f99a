package tui

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/tuitest/fake"
)

var sizes = [][2]int{{80, 24}, {120, 40}, {250, 70}}

// TestEveryKeyOnEveryPage presses each key of the table on each page, once with labels and a training run behind it and once with
// nothing, and looks at the screen: as many lines as the terminal has, each as wide as it, header and status line in their places.
func TestEveryKeyOnEveryPage(t *testing.T) {
	for _, size := range sizes {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%dx%d used=%v", size[0], size[1], used), func(t *testing.T) {
				if (testing.Short() || raceEnabled) && size[0] > 120 {
					t.Skip("slow under the race detector")
				}
				synctest.Test(t, func(t *testing.T) { everyKey(t, size[0], size[1], used) })
			})
		}
	}
}

func everyKey(t *testing.T, w, h int, used bool) {
	opt := fake.Options{Images: 120, Size: 12, Groups: 2, Step: time.Millisecond, Steps: 20, Names: hostile}
	if used {
		opt.Sweep = &rpc.SweepReply{Name: "003", Anomalies: 7, Normals: 30, Best: -1, Verdict: "too few to tell the best run from the others",
			Runs: []*rpc.SweepRun{{Run: 0, Name: "seed 42", Phase: "done", Done: 50, Total: 50}, {Run: 1, Name: "seed \x1b[2J43", Phase: "training", Host: "gpu07", Done: 20, Total: 50}}}
	}
	systems := &fake.Systems{}
	systems.Report(fake.Cluster(time.Now()), nil)
	s := newStage(t, fake.New(opt), w, h, func(o *Options) { o.Jobs = systems })
	defer s.close()
	s.ready()
	if used {
		s.press("a", "x", "a", "space", "x", "x", "ctrl+t")
		s.until("the ranking", func() bool { return s.app.env.Monitor.Status.GetDeepAtUnixMs() > 0 && s.app.env.Monitor.Job() == "" })
		s.press("R")
	}
	names := []string{"single", "compare"}
	for _, p := range s.app.tabs {
		names = append(names, p.Name())
	}
	for _, page := range names {
		s.app.stack = nil
		s.app.show(page)
		s.pass(100 * time.Millisecond)
		for _, at := range [][2]int{{-1, -1}, {0, -1}, {-1, 0}, {3, -1}, {-1, 3}, {w, h}, {w - 1, h - 1}, {0, h}, {999, 999}} { // some terminals count beside the screen too
			for range 2 {
				s.update(tea.MouseClickMsg{X: at[0], Y: at[1], Button: tea.MouseLeft})
			}
			s.update(tea.MouseWheelMsg{X: at[0], Y: at[1], Button: tea.MouseWheelDown})
		}
		for _, b := range keys.Table() {
			if b.ID == "quit" || b.ID == "suspend" { // end this
				continue
			}
			for _, k := range b.Keys {
				s.app.stack = nil
				s.app.show(page)
				s.pass(100 * time.Millisecond)
				s.press(k)
				why := s.whole()
				if why == "" && len(s.app.stack) == 0 {
					lines := strings.Split(s.text(), "\n")
					if !strings.HasPrefix(lines[0], " mergers ") {
						why = fmt.Sprintf("the header is %q", lines[0])
					}
					if last := lines[len(lines)-1]; !strings.HasPrefix(last, " ● ") && !strings.Contains(last, "engine gone") {
						why = fmt.Sprintf("the status line is %q", last)
					}
				}
				if why != "" {
					t.Errorf("%s (%s) on the %s page: %s\n%s", k, b.ID, page, why, ansi.Strip(s.app.content()))
				}
				if len(s.app.stack) > 0 { // what it opened takes any key too
					s.press("down", "ö", "backspace")
					if why := s.whole(); why != "" {
						t.Errorf("%s (%s) on the %s page, its box: %s", k, b.ID, page, why)
					}
				}
				if t.Failed() || s.left {
					return
				}
			}
		}
	}
}
