//go:build unix

// Package tuitest drives a program in a pseudo-terminal, as a person would, and looks at its screen. The terminal is an emulator
// that speaks kitty's graphics protocol, or a plain one that never answers anything.
//
//	d := tuitest.Start(t, tuitest.Options{}, "./anomalymatch", "PROJECT")
//	d.WaitFor("12 candidates")
//	d.Press("a").Cell(0).HasBadge("A")
//	d.Press("u").Cell(0).HasNoBadge().IsSelected()
package tuitest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"

	"anomalymatch/internal/slowlink"
	"anomalymatch/tui/tuitest/emulator"
)

// Options says what the terminal is like.
type Options struct {
	Cols, Rows int           // 0: 80×24
	Terminal   string        // "kitty", "sixel", "iterm2" or "plain", which never answers; "": kitty
	Plain      bool          // as Terminal: "plain"
	Env        []string      // of the program, after TERM, HOME (an empty folder), PATH, LANG
	Dir        string        // where the program runs; "" = here
	Patience   time.Duration // of every wait; 0: 10 s

	Link    *slowlink.Link       // between program and terminal, as over ssh; nil: none
	Changed func(emulator.Frame) // as in emulator.Options
}

// Picture is one that the program has sent and not deleted; Caption is what stands below one.
type (
	Picture = emulator.Picture
	Caption = emulator.Caption
)

// Driver is a running program and its screen. Its methods fail the test when what they wait for does not come.
type Driver struct {
	t       testing.TB
	opt     Options
	cmd     *exec.Cmd // nil: inside this process
	end     func()    // asks the program to end
	pty     *os.File
	term    *emulator.Terminal
	keys    io.Writer     // what is typed; the terminal's answers go the same way
	wire    io.Closer     // the terminal's end of the link; nil: there is none
	done    chan struct{} // the program has ended
	closing sync.Once

	pressed string // last key
	started time.Time
	looked  map[int]time.Time // since when pictures are drawn, by the number below them; from the last key on

	exitCode int
	raw      record
}

// record keeps what is written to it.
type record struct {
	mu   sync.Mutex
	text []byte
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, b...)
	return len(b), nil
}

// Raw is all that the program wrote to the terminal.
func (d *Driver) Raw() string {
	d.raw.mu.Lock()
	defer d.raw.mu.Unlock()
	return string(d.raw.text)
}

// Title is what the program last called the window.
func (d *Driver) Title() string {
	raw := d.Raw()
	_, title, _ := strings.Cut(raw[max(0, strings.LastIndex(raw, ansi.SetWindowTitle("")[:4])):], ";")
	end := strings.IndexAny(title, "\x07\x1b")
	return title[:max(0, end)]
}

func start(t testing.TB, opt Options) *Driver {
	if opt.Cols == 0 {
		opt.Cols, opt.Rows = 80, 24
	}
	if opt.Patience == 0 {
		opt.Patience = 10 * time.Second
	}
	switch {
	case opt.Plain:
		opt.Terminal = "plain"
	case opt.Terminal == "":
		opt.Terminal = "kitty"
	}
	opt.Plain = opt.Terminal == "plain"
	return &Driver{t: t, opt: opt, done: make(chan struct{}), started: time.Now(), looked: map[int]time.Time{}}
}

func (d *Driver) environ() []string {
	term := "xterm-kitty"
	if d.opt.Terminal != "kitty" {
		term = "xterm-256color"
	}
	return append([]string{"TERM=" + term, "HOME=" + d.t.TempDir(), "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}, d.opt.Env...)
}

func (d *Driver) size() *pty.Winsize {
	return &pty.Winsize{Rows: uint16(d.opt.Rows), Cols: uint16(d.opt.Cols)}
}

func (d *Driver) run(f *os.File) *Driver {
	d.pty, d.keys = f, f
	if d.opt.Link != nil {
		keys, typed := io.Pipe()
		d.keys, d.wire = typed, typed
		go func() { keys.CloseWithError(d.opt.Link.Pipe(f, keys)) }()
	}
	d.term = emulator.New(emulator.Options{Cols: d.opt.Cols, Rows: d.opt.Rows, Terminal: d.opt.Terminal, Changed: d.opt.Changed}, d.keys)
	go d.screen()
	d.t.Cleanup(d.Close)
	return d
}

// screen shows what the program writes.
func (d *Driver) screen() {
	to := io.MultiWriter(d.term, &d.raw)
	if d.opt.Link != nil {
		d.opt.Link.Pipe(to, d.pty)
	} else {
		io.Copy(to, d.pty)
	}
	d.term.Ended()
}

// Torn says what is wrong with the painted pictures on screen, see [emulator.Frame.Torn].
func (d *Driver) Torn() (why string) {
	d.term.Look(func(f emulator.Frame) { why = f.Torn() })
	return why
}

// Terminal is what the program is in.
func (d *Driver) Terminal() *emulator.Terminal { return d.term }

// Screen is the text on screen, without blanks at the ends of lines. Pictures are blanks.
func (d *Driver) Screen() string { return d.term.Screen() }

// Captions reads the gallery's captions off the screen.
func (d *Driver) Captions() []Caption { return d.term.Captions() }

// Start runs a program in a new terminal; it is ended with the test.
func Start(t testing.TB, opt Options, argv ...string) *Driver {
	t.Helper()
	d := start(t, opt)
	d.cmd = exec.Command(argv[0], argv[1:]...)
	d.cmd.Dir, d.cmd.Env = opt.Dir, d.environ()
	f, err := pty.StartWithSize(d.cmd, d.size())
	if err != nil {
		t.Fatalf("%s does not start: %v", argv[0], err)
	}
	d.end = func() { d.cmd.Process.Signal(syscall.SIGTERM) }
	go func() {
		err := d.cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			d.exitCode = exit.ExitCode()
		}
		close(d.done)
	}()
	return d.run(f)
}

// Inside runs a function of this process as the program of a new terminal, so that a test can reach what is behind the screen.
// It is given the terminal and its environment; its error is exit code 1.
func Inside(t testing.TB, opt Options, program func(ctx context.Context, tty *os.File, environ []string) error) *Driver {
	t.Helper()
	d := start(t, opt)
	f, tty, err := pty.Open()
	if err == nil {
		err = pty.Setsize(f, d.size())
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.end = cancel
	environ := d.environ()
	go func() {
		defer close(d.done)
		defer tty.Close()
		if err := program(ctx, tty, environ); err != nil {
			d.exitCode = 1
		}
	}()
	return d.run(f)
}

var named = map[string]string{
	"enter": "\r", "esc": "\x1b", "tab": "\t", "space": " ", "backspace": "\x7f", "delete": "\x1b[3~", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D",
	"home": "\x1b[H", "end": "\x1b[F", "pgup": "\x1b[5~", "pgdown": "\x1b[6~", "f1": "\x1bOP", "f2": "\x1bOQ", "f3": "\x1bOR", "f4": "\x1bOS",
	"f5": "\x1b[15~", "f6": "\x1b[17~", "f7": "\x1b[18~", "f8": "\x1b[19~", "f9": "\x1b[20~", "shift+tab": "\x1b[Z", "shift+left": "\x1b[1;2D", "shift+right": "\x1b[1;2C", "shift+up": "\x1b[1;2A", "shift+down": "\x1b[1;2B",
}

// humanly is how quickly a person presses the same key again.
const humanly = 90 * time.Millisecond

// Press presses keys one after the other, by the names config.toml uses: a, X, ctrl+t, enter, pgdown.
func (d *Driver) Press(keys ...string) *Driver {
	d.t.Helper()
	for _, k := range keys {
		if k == d.pressed {
			time.Sleep(humanly) // sooner it would look like a key held down, also to a program that took the last one in late
		}
		d.pressed = k
		switch s, ok := named[k]; {
		case ok:
			switch {
			case k != "esc":
				d.Type(s)
			case d.opt.Terminal == "kitty":
				d.Type("\x1b[27u") // as kitty says it: no program takes it and the next key for one with alt, however late it reads them
			default:
				d.Type(s)
				time.Sleep(80 * time.Millisecond) // alone it is esc, with more behind it the start of a sequence
			}
		case strings.HasPrefix(k, "ctrl+") && len(k) == 6:
			d.Type(string(rune(k[5] & 0x1f)))
		case len([]rune(k)) == 1:
			d.Type(k)
		default:
			d.t.Fatalf("no key is called %q", k)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return d
}

// Type writes bytes to the program as they are.
func (d *Driver) Type(s string) *Driver {
	d.t.Helper()
	clear(d.looked)
	if _, err := io.WriteString(d.keys, s); err != nil && d.Running() {
		d.t.Fatalf("typing %q: %v", s, err)
	}
	return d
}

// Paste pastes text, bracketed as terminals do.
func (d *Driver) Paste(s string) *Driver { return d.Type("\x1b[200~" + s + "\x1b[201~") }

// Click clicks on the middle of the cell's picture.
func (c Cell) Click() Cell {
	c.d.t.Helper()
	c = c.wait("to be there", func(Caption) bool { return true })
	k := c.d.Captions()[c.n]
	c.d.Click(k.X+k.Width/2, k.Y-2)
	return c
}

// Click presses and lets go the left button of the mouse on a cell of the screen, from 0.
func (d *Driver) Click(x, y int) *Driver {
	d.t.Helper()
	return d.Type(fmt.Sprintf("\x1b[<0;%d;%dM\x1b[<0;%d;%dm", x+1, y+1, x+1, y+1))
}

// Wheel turns the wheel of the mouse by one notch.
func (d *Driver) Wheel(down bool) *Driver {
	d.t.Helper()
	button := 64
	if down {
		button = 65
	}
	return d.Type(fmt.Sprintf("\x1b[<%d;10;10M", button))
}

// Resize changes the size of the terminal.
func (d *Driver) Resize(cols, rows int) *Driver {
	d.t.Helper()
	d.term.Resize(cols, rows)
	d.opt.Cols, d.opt.Rows = cols, rows
	if err := pty.Setsize(d.pty, d.size()); err != nil {
		d.t.Fatal(err)
	}
	if d.cmd == nil { // it is not this process's controlling terminal: nobody else tells
		d.Signal(syscall.SIGWINCH)
	}
	return d
}

// Signal sends the program a signal.
func (d *Driver) Signal(s syscall.Signal) *Driver {
	pid := os.Getpid()
	if d.cmd != nil {
		pid = d.cmd.Process.Pid
	}
	syscall.Kill(pid, s)
	return d
}

// Wait waits until the condition holds for the screen; what names it in the failure.
func (d *Driver) Wait(what string, holds func(screen string) bool) *Driver {
	d.t.Helper()
	d.until(what, func() bool { return holds(d.Screen()) })
	return d
}

func (d *Driver) until(what string, holds func() bool) {
	d.t.Helper()
	deadline := time.Now().Add(d.opt.Patience)
	for !holds() {
		if time.Now().After(deadline) {
			state := "is running"
			if !d.Running() {
				state = fmt.Sprintf("has ended with %d", d.exitCode)
			}
			d.t.Fatalf("waited %v for %s; the program %s and the screen is\n%s", d.opt.Patience, what, state, d.Screen())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// WaitFor waits until the text is on screen.
func (d *Driver) WaitFor(text string) *Driver {
	d.t.Helper()
	return d.Wait(fmt.Sprintf("%q", text), func(s string) bool { return strings.Contains(s, text) })
}

// WaitGone waits until the text is not on screen.
func (d *Driver) WaitGone(text string) *Driver {
	d.t.Helper()
	return d.Wait(fmt.Sprintf("%q to go", text), func(s string) bool { return !strings.Contains(s, text) })
}

// WaitStill waits until nothing was drawn for a while.
func (d *Driver) WaitStill(quiet time.Duration) *Driver {
	d.t.Helper()
	d.until("the screen to be still", func() bool {
		last := d.term.Wrote()
		return !last.IsZero() && time.Since(last) > quiet
	})
	return d
}

// Pictures are those the terminal holds now, by id, and how many were sent in all.
func (d *Driver) Pictures() (held map[int]Picture, sent int) {
	return d.term.Pictures(), d.term.Counts().Pictures
}

// Running tells whether the program has not ended.
func (d *Driver) Running() bool {
	select {
	case <-d.done:
		return false
	default:
		return true
	}
}

// Exit waits until the program has ended by itself and returns its exit code.
func (d *Driver) Exit() int {
	d.t.Helper()
	select {
	case <-d.done:
		return d.exitCode
	case <-time.After(d.opt.Patience):
		d.t.Fatalf("the program does not end; the screen is\n%s", d.Screen())
		return -1
	}
}

// Close ends the program.
func (d *Driver) Close() {
	d.closing.Do(func() {
		if d.Running() {
			d.end()
			select {
			case <-d.done:
			case <-time.After(3 * time.Second):
				if d.cmd == nil {
					d.t.Error("the program does not end")
				} else {
					d.cmd.Process.Kill()
					<-d.done
				}
			}
		}
		d.pty.Close()
		if d.wire != nil {
			d.wire.Close()
		}
		d.term.Close()
	})
}

// Cell is the n-th picture of the gallery on screen, from 0 in reading order.
type Cell struct {
	d *Driver
	n int
}

// Cell is the n-th picture of the gallery.
func (d *Driver) Cell(n int) Cell { return Cell{d, n} }

func (c Cell) wait(what string, holds func(Caption) bool) Cell {
	c.d.t.Helper()
	c.d.until(fmt.Sprintf("cell %d: %s", c.n, what), func() bool {
		all := c.d.Captions()
		return c.n < len(all) && holds(all[c.n])
	})
	return c
}

// HasBadge waits for a label that is on disk: A, N or S.
func (c Cell) HasBadge(letter string) Cell {
	c.d.t.Helper()
	return c.wait("the badge "+letter, func(k Caption) bool { return k.Badge == letter && k.Mark == "" })
}

// IsUnsaved waits for a label that the engine has not taken.
func (c Cell) IsUnsaved(letter string) Cell {
	c.d.t.Helper()
	return c.wait("an unsaved "+letter, func(k Caption) bool { return k.Badge == letter && k.Mark == "!" })
}

// HasNoBadge waits until there is no label.
func (c Cell) HasNoBadge() Cell {
	c.d.t.Helper()
	return c.wait("no badge", func(k Caption) bool { return k.Badge == "" && k.Mark == "" })
}

// IsSelected waits for the cursor.
func (c Cell) IsSelected() Cell {
	c.d.t.Helper()
	return c.wait("to be selected", func(k Caption) bool { return k.Selected })
}

// StandsFor waits until the cell is so many images: 1, or one with its near-duplicates.
func (c Cell) StandsFor(n int) Cell {
	c.d.t.Helper()
	return c.wait(fmt.Sprintf("to stand for %d images", n), func(k Caption) bool { return k.Copies == n })
}

// HasPicture waits until the picture is drawn, placeholders of a picture that the terminal holds or half-blocks, and the program
// has had a moment to hear of it.
func (c Cell) HasPicture() Cell {
	c.d.t.Helper()
	return c.wait("a picture", c.d.settled)
}

// Drawn tells whether the n-th picture of the gallery is drawn.
func (d *Driver) Drawn(n int) bool {
	all := d.Captions()
	return n < len(all) && d.settled(all[n])
}

// settled tells whether a picture is drawn and the program has had a moment to hear of it: no sooner does a person label it. A terminal
// that never answers is given the time to do so first.
func (d *Driver) settled(k Caption) bool {
	const glance, silence = 400 * time.Millisecond, 2500 * time.Millisecond
	if !d.term.Drawn(k) {
		delete(d.looked, k.Number)
		return false
	}
	if d.looked[k.Number].IsZero() {
		d.looked[k.Number] = time.Now()
	}
	return time.Since(d.looked[k.Number]) > glance && time.Since(d.term.Acknowledged()) > 100*time.Millisecond && (!d.opt.Plain || time.Since(d.started) > silence)
}
