//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"

	"anomalymatch/engine/label"
	"anomalymatch/tui/tuitest/emulator"
)

// ssh is what the program takes for ssh here: it runs the line on this machine, in the place of the shell of the host. What ssh itself does is
// looked at elsewhere, with a real one between machines (cmd/anomalymatch/scenario).
const ssh = `#!/bin/sh
for last; do test "$last" = -O && exit 255; done
exec /bin/sh -c "$last"
`

const (
	cols, rows = 120, 40
	ignored    = 700 * time.Millisecond // after which a key did nothing
	glance     = 100 * time.Millisecond
	look       = 20 * time.Millisecond // between two looks at the screen: reading it costs more than drawing it
)

// sitting is the screen of a project on a host, in a pseudo-terminal.
type sitting struct {
	cmd  *exec.Cmd
	pty  *os.File
	term *emulator.Terminal
	raw  strings.Builder // what it wrote, read when it has ended
	done chan struct{}   // it has ended, and all that it wrote is on screen
}

func (p *project) screen(env ...string) (*sitting, error) {
	if err := os.WriteFile(filepath.Join(p.w.dir, "bin", "ssh"), []byte(ssh), 0o700); err != nil {
		return nil, err
	}
	s := &sitting{cmd: p.w.command("-H", "far", p.dir), done: make(chan struct{})}
	s.cmd.SysProcAttr = nil // the terminal's
	s.cmd.Env = append(append(s.cmd.Env, "TERM=xterm-kitty"), env...)
	var err error
	if s.pty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		return nil, err
	}
	s.term = emulator.New(emulator.Options{Cols: cols, Rows: rows}, s.pty)
	go func() {
		io.Copy(io.MultiWriter(s.term, &s.raw), s.pty) // until nobody has the other end
		s.term.Ended()
		s.cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

func (s *sitting) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// close ends it, however it stands.
func (s *sitting) close() {
	s.cmd.Process.Kill()
	<-s.done
	s.pty.Close()
	s.term.Close()
}

// under is the picture under the cursor, drawn, and how many pictures there are.
func (s *sitting) under() (c emulator.Caption, page int, ok bool) {
	all := s.term.Captions()
	i := slices.IndexFunc(all, func(c emulator.Caption) bool { return c.Selected && s.term.Drawn(c) })
	if i < 0 {
		return c, 0, false
	}
	return all[i], len(all), true
}

// selected waits until the picture under the cursor has been there for a moment; ok is false when the program ended, or ctx.
func (s *sitting) selected(ctx context.Context) (c emulator.Caption, page int, ok bool) {
	for since := time.Now(); !s.ended() && pause(ctx, look); {
		switch now, page, ok := s.under(); {
		case !ok || now != c:
			c, since = now, time.Now()
		case time.Since(since) > glance:
			return c, page, true
		}
	}
	return c, 0, false
}

// saved says whether the label of picture n is on screen as one that is on disk.
func (s *sitting) saved(n int, letter string) bool {
	for _, c := range s.term.Captions() {
		if c.Number == n {
			return c.Badge == letter && c.Mark == ""
		}
	}
	return false
}

// letters of the steps, as badges show them.
func letters(steps []*lines) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(map[label.Value]string{label.Anomaly: "A", label.Normal: "N", label.Skip: "S", label.None: "-"}[s.lines[0].To])
	}
	return b.String()
}

// person labels at the screen, one key after the other, each when the label before is shown as saved.
type person struct {
	p      *project
	before string // letters of all steps on this machine's disk at the last look
	seen   string // letters that were shown as saved since
	may    string // what was pressed since as a regular expression, with what need not be on disk as well

	pressed string // last
	deaf    string // a key did nothing
}

// label presses keys until the program ends, or most, or the page is full.
func (h *person) label(ctx context.Context, s *sitting, most int) {
	for range most {
		c, page, ok := s.selected(ctx)
		if !ok || c.Number >= page {
			return
		}
		if !h.press(ctx, s, c) {
			return
		}
	}
}

func (h *person) press(ctx context.Context, s *sitting, c emulator.Caption) bool {
	keys := map[string]string{"A": "a", "N": "x", "S": " "}
	var choice []string
	for _, letter := range []string{"A", "N", "S"} {
		if letter != c.Badge {
			choice = append(choice, letter)
		}
	}
	letter := choice[h.p.w.r.IntN(len(choice))]
	if letter == h.pressed {
		time.Sleep(glance) // sooner it would be a key that is held down
	}
	h.pressed = letter
	again, least := 0, 0
	// A key that was pressed again may have been slow the first time, and then the next pictures have the label as well.
	defer func() { h.may += fmt.Sprintf("%s{%d,%d}", letter, least, again+1) }()
	for ; again < 5; again++ {
		if _, err := io.WriteString(s.pty, keys[letter]); err != nil {
			return false
		}
		for begin := time.Now(); ; time.Sleep(look) {
			over := s.ended()
			if s.saved(c.Number, letter) {
				h.seen += letter
				least = 1
				return again == 0
			}
			if over || ctx.Err() != nil {
				return false
			}
			if now, _, ok := s.under(); time.Since(begin) > ignored && ok && now == c { // the program took the picture for one that nobody had seen yet
				break
			}
			if time.Since(begin) > patience {
				h.deaf = fmt.Sprintf("the key %s at picture %d was not saved; the screen is\n%s", letter, c.Number, s.term.Screen())
				return false
			}
		}
	}
	h.deaf = fmt.Sprintf("the key %s at picture %d did nothing; the screen is\n%s", letter, c.Number, s.term.Screen())
	return false
}

// box is the folder of the labels on this machine.
func (h *person) box() (string, error) {
	all, err := filepath.Glob(filepath.Join(h.p.w.dir, "home/state/anomalymatch/outbox/*"))
	if err != nil || len(all) > 1 {
		return "", fmt.Errorf("there are %d outboxes: %w", len(all), err)
	}
	return strings.Join(all, ""), nil
}

// look compares what is on this machine's disk with what the screen showed.
func (h *person) look(t *tally) error {
	dir, err := h.box()
	if err != nil {
		return err
	}
	var steps []*lines
	if dir != "" {
		if steps, err = written(dir); err != nil {
			t.say("the outbox cannot be read: %v", err)
			return nil
		}
	}
	now := letters(steps)
	if !regexp.MustCompile("^" + h.before + h.may + "$").MatchString(now) {
		t.say("the screen showed %q as saved, and %q was pressed; on disk is %q after %q", h.seen, h.may, now, h.before)
		if len(now) < len(h.before)+len(h.seen) {
			t.lost += len(h.before) + len(h.seen) - len(now)
		}
	}
	t.acked += len(h.seen)
	h.before, h.seen, h.may = now, "", ""
	if h.deaf != "" {
		return errors.New(h.deaf)
	}
	return nil
}

// delivered waits until the project has every step that is on this machine, and looks that it has each once.
func (h *person) delivered(ctx context.Context, t *tally) error {
	s, err := h.p.screen()
	if err != nil {
		return err
	}
	defer s.close()
	dir, err := h.box()
	if err != nil || dir == "" {
		return err
	}
	here, err := written(dir)
	if err != nil {
		return err
	}
	missing := ""
	for begin := time.Now(); time.Since(begin) < patience; {
		there, err := written(h.p.sub("labels"))
		if err != nil {
			return err
		}
		found := map[string]*lines{}
		for _, s := range there {
			found[s.uid] = s
		}
		missing = ""
		for _, s := range here {
			if f := found[s.uid]; f == nil || len(f.lines) < len(s.lines) {
				missing += " " + s.uid
			}
		}
		if missing != "" {
			if !pause(ctx, 20*time.Millisecond) {
				return ctx.Err()
			}
			continue
		}
		for _, s := range here {
			if len(found[s.uid].lines) > len(s.lines) {
				t.doubled++
				t.say("%s was written twice", s.uid)
			}
		}
		if len(there) != len(here) {
			t.say("%d steps are in the project, %d were given", len(there), len(here))
		}
		return nil
	}
	t.lost += strings.Count(missing, " ")
	t.say("on this machine, and never delivered:%s; the screen is\n%s", missing, s.term.Screen())
	return nil
}

// link is the process through which the screen reaches the engine.
func (s *sitting) link(w *world) int {
	for _, pid := range w.processes() {
		stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(s.cmd.Process.Pid) {
			return pid
		}
	}
	return 0
}

// killScreen kills the terminal program between, before or after keys, or the link under it. A project is for some sittings: then its
// images have labels, and all that was given must have arrived.
func killScreen(ctx context.Context, w *world, t *tally, more func() bool) error {
	for more() {
		p, err := w.project("index", "embeddings")
		if err != nil {
			return err
		}
		if err := os.RemoveAll(filepath.Join(w.dir, "home/state")); err != nil {
			return err
		}
		e, err := p.engine()
		if err != nil {
			return err
		}
		if err := p.idle(ctx, e); err != nil {
			return err
		}
		h := &person{p: p}
		for len(h.before) < images/2 && more() {
			s, err := p.screen()
			if err != nil {
				return err
			}
			if w.r.IntN(8) == 0 { // before there is anything to see
				pause(ctx, w.moment(800*time.Millisecond))
				s.close()
				t.faults++
			} else {
				if _, _, ok := s.selected(ctx); !ok {
					screen := s.term.Screen()
					s.close()
					return fmt.Errorf("the screen shows no picture:\n%s", screen)
				}
				if w.r.IntN(4) == 0 {
					if pid := s.link(w); pid > 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
						t.faults++
					}
					h.label(ctx, s, 2)
				}
				timer := time.AfterFunc(w.moment(1500*time.Millisecond), func() { s.cmd.Process.Kill() })
				h.label(ctx, s, images)
				timer.Stop()
				s.close()
				t.faults++
			}
			if err := h.look(t); err != nil {
				return err
			}
		}
		if err := errors.Join(h.delivered(ctx, t), p.idle(ctx, e), p.stop(e)); err != nil {
			return err
		}
		if err := errors.Join(p.settle(ctx, t), p.remove()); err != nil {
			return err
		}
	}
	return nil
}
