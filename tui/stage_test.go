package tui

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/kitty"

	"anomalymatch"
	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/tuitest/fake"
)

// stage runs the screen inside a testing/synctest bubble: without a terminal, and in the bubble's time, which passes only while nothing
// is to be done. What the program writes to the terminal it answers itself, as kitty does.
type stage struct {
	t      testing.TB
	engine *fake.Engine
	app    *app
	msgs   chan tea.Msg
	cancel context.CancelFunc

	w, h int
	left bool // the program has asked to end

	before func(tea.Msg)         // called before and
	after  func(tea.Msg)         // after each message, where given
	answer func(msgs ...tea.Msg) // how the terminal answers; nil: at once
}

// newStage starts the program; it has seen nothing yet but its start.
func newStage(t testing.TB, e *fake.Engine, w, h int, options ...func(*Options)) *stage {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	client, err := e.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Client: client, Reconnect: e.Dial, Config: anomalymatch.Default(), Writer: "ann", Version: "dev", Project: "mergers", Environ: []string{"TERM=xterm-kitty"}}
	for _, o := range options {
		o(&opt)
	}
	a, err := newApp(opt.filled(ctx))
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, engine: e, app: a, msgs: make(chan tea.Msg, 1<<16), cancel: cancel, w: w, h: h}
	s.run(a.Init())
	s.update(tea.ColorProfileMsg{Profile: colorprofile.TrueColor})
	s.update(tea.WindowSizeMsg{Width: w, Height: h})
	return s
}

// close ends everything, so that the bubble can end.
func (s *stage) close() {
	s.cancel()
	s.engine.Close()
	time.Sleep(time.Hour) // every timer under way ends: a bubble's time stops with its function
}

// run runs a command as Bubble Tea does.
func (s *stage) run(c tea.Cmd) {
	if c == nil {
		return
	}
	go func() {
		m := c()
		if m == nil {
			return
		}
		if cmds, ok := m.(tea.BatchMsg); ok {
			for _, c := range cmds {
				s.run(c)
			}
			return
		}
		if v := reflect.ValueOf(m); v.Kind() == reflect.Slice && v.Type().Elem() == reflect.TypeFor[tea.Cmd]() { // a sequence
			for i := range v.Len() {
				if c := v.Index(i).Interface().(tea.Cmd); c != nil {
					if m := c(); m != nil {
						s.msgs <- m
					}
				}
			}
			return
		}
		s.msgs <- m
	}()
}

// update gives the program a message.
func (s *stage) update(m tea.Msg) {
	if m = s.app.env.Screen.Filter(m); m == nil {
		return
	}
	switch m := m.(type) {
	case tea.QuitMsg:
		s.left = true
		return
	case tea.SuspendMsg:
		m2 := tea.Msg(tea.ResumeMsg{})
		defer func() { s.msgs <- m2 }()
	case tea.RawMsg:
		s.terminal(fmt.Sprint(m.Msg))
	case tea.WindowSizeMsg:
		s.w, s.h = m.Width, m.Height
	}
	for ; m != nil; m = s.app.env.Wished() { // as Update does
		if s.before != nil {
			s.before(m)
		}
		cmd := s.app.take(m)
		if s.after != nil {
			s.after(m)
		}
		s.run(cmd)
	}
}

var graphics = regexp.MustCompile(`\x1b_G([^;\x1b]*)`)

// terminal answers what the program writes to it.
func (s *stage) terminal(written string) {
	var out []tea.Msg
	if strings.Contains(written, "\x1b[>q") || strings.Contains(written, "\x1b[>0q") {
		out = append(out, tea.TerminalVersionMsg{Name: "kitty(0.41.0)"})
	}
	if strings.Contains(written, "\x1b[16t") {
		out = append(out, uv.CellSizeEvent{Width: 10, Height: 20})
	}
	for _, g := range graphics.FindAllStringSubmatch(written, -1) {
		var id int
		what := ""
		for _, kv := range strings.Split(g[1], ",") {
			k, v, _ := strings.Cut(kv, "=")
			switch k {
			case "i":
				fmt.Sscan(v, &id)
			case "a":
				what = v
			}
		}
		if id > 0 && (what == "T" || what == "q") {
			out = append(out, uv.KittyGraphicsEvent{Options: kitty.Options{ID: id}, Payload: []byte("OK")})
		}
	}
	if strings.Contains(written, "\x1b[c") {
		out = append(out, uv.PrimaryDeviceAttributesEvent{62})
	}
	if s.answer != nil {
		s.answer(out...)
		return
	}
	for _, m := range out {
		s.msgs <- m
	}
}

// pass lets time go by.
func (s *stage) pass(d time.Duration) {
	end := time.NewTimer(d)
	defer end.Stop()
	for !s.left {
		select {
		case m := <-s.msgs:
			s.update(m)
		case <-end.C:
			return
		}
	}
}

// drain takes what has come already.
func (s *stage) drain() {
	for !s.left {
		select {
		case m := <-s.msgs:
			s.update(m)
		default:
			return
		}
	}
}

// until lets time go by until something holds.
func (s *stage) until(what string, holds func() bool) {
	s.t.Helper()
	for range 3000 {
		if holds() {
			return
		}
		s.pass(10 * time.Millisecond)
	}
	s.t.Fatalf("waited in vain for %s; the screen is\n%s", what, ansi.Strip(s.app.content()))
}

// ready waits for the first pictures.
func (s *stage) ready() {
	s.t.Helper()
	s.until("the first picture", func() bool { return len(s.app.env.Desk.List().Items) > 0 && s.app.page.Blocked() == "" })
	s.pass(2 * time.Second)
}

// press presses keys by the names of config.toml, as quickly as a person.
func (s *stage) press(names ...string) *stage {
	for _, n := range names {
		s.update(keyPress(n))
		s.pass(200 * time.Millisecond)
	}
	return s
}

// text is what is on screen.
func (s *stage) text() string { return ansi.Strip(s.app.content()) }

// whole is what is wrong with the screen; empty: it is as it must be.
func (s *stage) whole() string {
	content := s.app.content()
	if s.w <= 0 || s.h <= 0 {
		return ""
	}
	lines := strings.Split(content, "\n")
	if len(lines) != s.h {
		return fmt.Sprintf("%d lines on a terminal of %d × %d", len(lines), s.w, s.h)
	}
	for y, l := range lines {
		if n := common.Width(l); n != s.w {
			return fmt.Sprintf("line %d is %d cells wide on a terminal of %d × %d: %q", y, n, s.w, s.h, l)
		}
		for _, r := range ansi.Strip(l) {
			if unicode.IsControl(r) {
				return fmt.Sprintf("line %d holds %q", y, r)
			}
		}
	}
	if strings.Contains(content, "internal error") {
		return "an internal error is on screen"
	}
	return ""
}

var codes = map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "space": tea.KeySpace, "backspace": tea.KeyBackspace, "delete": tea.KeyDelete, "up": tea.KeyUp,
	"down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight, "home": tea.KeyHome, "end": tea.KeyEnd, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown}

// keyPress is the message of a key by its name.
func keyPress(name string) tea.KeyPressMsg {
	var k tea.KeyPressMsg
	rest := name
	for prefix, mod := range map[string]tea.KeyMod{"ctrl+": tea.ModCtrl, "alt+": tea.ModAlt, "shift+": tea.ModShift} {
		if strings.Contains(name, prefix) && name != prefix {
			rest = strings.Replace(rest, prefix, "", 1)
			k.Mod |= mod
		}
	}
	if c, ok := codes[rest]; ok {
		k.Code = c
		if c == tea.KeySpace && k.Mod == 0 {
			k.Text = " "
		}
		return k
	}
	var n int
	if _, err := fmt.Sscanf(rest, "f%d", &n); err == nil && n >= 1 {
		k.Code = tea.KeyF1 + rune(n-1)
		return k
	}
	r := []rune(rest)[0]
	k.Code = r
	if k.Mod&^tea.ModShift == 0 {
		k.Text = string(r)
		if low := unicode.ToLower(r); low != r {
			k.Code, k.ShiftedCode, k.Mod = low, r, k.Mod|tea.ModShift
		}
	}
	return k
}

// The keys of the tests are named as the table names them.
func TestKeyPress(t *testing.T) {
	for _, b := range keys.Table() {
		for _, k := range b.Keys {
			if got := keyPress(k).String(); got != k {
				t.Errorf("%s: pressing %q is %q", b.ID, k, got)
			}
		}
	}
}
