//go:build unix

package tui_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"anomalymatch/tui"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// clock is a person's patience: it goes on by itself, and can be put forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time      { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) add(d time.Duration) { c.ahead.Add(int64(d)) }

// TestNotice: what took long tells when it is over, unless the person is there.
func TestNotice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		focus  string // what the terminal says of itself
		want   string
		absent bool
	}{
		{name: "nobody knows", want: "\x1b]9;mergers: embedding finished after "},
		{name: "away", focus: "\x1b[O", want: "\x1b]9;mergers: embedding finished after "},
		{name: "here", focus: "\x1b[I", want: "\x1b]9;mergers", absent: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var clock clock
			s := open(t, setup{engine: fake.Options{Embed: 1500 * time.Millisecond}, options: func(o *tui.Options) { o.Now = clock.now }})
			s.WaitFor("embedding").Type(c.focus)
			s.Wait("the title to tell", func(string) bool { return strings.Contains(s.Title(), "% embedding – mergers") })
			clock.add(time.Minute)
			s.WaitFor("● idle").WaitStill(300 * time.Millisecond)
			if got := strings.Contains(s.Raw(), c.want); got == c.absent {
				t.Errorf("the notice: %v, want %v", got, !c.absent)
			}
			if title := s.Title(); title != "mergers – anomalymatch" {
				t.Errorf("the title is then %q", title)
			}
		})
	}
}

// TestTheme: the theme follows what the terminal says of its background, late too, and only auto does.
func TestTheme(t *testing.T) {
	t.Parallel()
	const light, dark = "38;2;13;47;119", "38;2;91;155;248" // accent
	for _, theme := range []string{"auto", "dark"} {
		s := open(t, setup{options: func(o *tui.Options) { o.Config.TUI.Theme = theme }})
		s.WaitFor("1/24").WaitStill(300 * time.Millisecond)
		if raw := s.Raw(); !strings.Contains(raw, dark) || strings.Contains(raw, light) {
			t.Errorf("%s: it does not begin dark", theme)
		}
		s.Type("\x1b]11;rgb:ffff/ffff/e0e0\x1b\\").Press("right").WaitFor("2/24").WaitStill(300 * time.Millisecond)
		if got := strings.Contains(s.Raw(), light); got != (theme == "auto") {
			t.Errorf("%s: light on a bright terminal: %v", theme, got)
		}
		s.Close()
	}
	s := open(t, setup{term: tuitest.Options{Env: []string{"NO_COLOR=1"}}, options: func(o *tui.Options) { o.Config.TUI.Theme = "contrast" }})
	s.WaitFor("1/24").WaitStill(300 * time.Millisecond)
	if raw := s.Raw(); strings.Contains(raw, "38;2;131;165;255") || strings.Contains(raw, "\x1b]11;#000000") {
		t.Error("there are colours under NO_COLOR")
	}
	s = open(t, setup{options: func(o *tui.Options) { o.Config.TUI.Theme = "contrast" }})
	s.WaitFor("1/24").WaitStill(300 * time.Millisecond)
	if raw := s.Raw(); !strings.Contains(raw, "38;2;131;165;255") || !strings.Contains(raw, "\x1b]11;#000000") {
		t.Error("high contrast is not bright on black")
	}
}

// TestWholeFrames: what is drawn is drawn at once where the terminal can do that (mode 2026), over ssh too.
func TestWholeFrames(t *testing.T) {
	t.Parallel()
	for _, env := range [][]string{nil, {"SSH_TTY=/dev/pts/9"}, {"SSH_TTY=/dev/pts/9", "TERM=xterm-256color"}} {
		s := open(t, setup{term: tuitest.Options{Env: env}})
		s.WaitFor("1/24").WaitStill(300 * time.Millisecond)
		from := len(s.Raw())
		s.Press("right").WaitFor("2/24").Press("f3").WaitFor("not trained yet").WaitStill(200 * time.Millisecond)
		raw := s.Raw()[from:]
		if n := strings.Count(raw, "\x1b[?2026h"); n == 0 || n != strings.Count(raw, "\x1b[?2026l") {
			t.Errorf("%q: %d frames begin, %d end", env, n, strings.Count(raw, "\x1b[?2026l"))
		}
		// Outside frames there is nothing that can be seen: only pictures and questions.
		for _, part := range strings.Split(raw, "\x1b[?2026l") {
			outside, _, _ := strings.Cut(part, "\x1b[?2026h")
			if strings.Contains(outside, "training") || strings.Contains(outside, "candidates") {
				t.Errorf("%q: drawn outside a frame: %.200q", env, outside)
			}
		}
		s.Close()
	}
}

// TestRightToLeft: a Hebrew name reads as it should, and moves nothing beside it.
func TestRightToLeft(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Images: 4, Names: []string{"galaxies/תמונה.png", "galaxies/漢字と長い名前.png", "galaxies/صورة ١.png", "galaxies/क्षि.png"}}, term: tuitest.Options{Cols: 120, Rows: 40}})
	s.WaitFor("1/").Cell(0).HasPicture()
	s.Press("enter")
	seen := ""
	for i := range 4 {
		s.WaitFor(fmt.Sprintf("%d of 4", i+1))
		seen += s.Screen()
		s.Press("right")
	}
	for _, want := range []string{"הנומת.png", "漢字と長い名前.png", "ةروص ١.png", "क्षि.png"} {
		if !strings.Contains(seen, " "+want+"\n") {
			t.Errorf("no %q in\n%s", want, seen)
		}
	}
}
