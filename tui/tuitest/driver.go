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
	"image/color"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/kitty"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// Options says what the terminal is like.
type Options struct {
	Cols, Rows int           // 0: 80×24
	Plain      bool          // a terminal that never answers
	Env        []string      // of the program, after TERM, HOME (an empty folder), PATH, LANG
	Dir        string        // where the program runs; "" = here
	Patience   time.Duration // of every wait; 0: 10 s
}

// Picture is one that the program has sent and not deleted.
type Picture struct {
	ID    int
	Bytes int // of encoded data
}

// Driver is a running program and its screen. Its methods fail the test when what they wait for does not come.
type Driver struct {
	t       testing.TB
	opt     Options
	cmd     *exec.Cmd // nil: inside this process
	end     func()    // asks the program to end
	pty     *os.File
	replies chan []byte
	done    chan struct{} // the program has ended
	closing sync.Once

	pressed string // last key

	exitCode int

	mu       sync.Mutex // guards everything below
	emu      *vt.Emulator
	pictures map[int]Picture
	sent     int // pictures sent in all
	partial  Picture
	drawing  bool      // in the middle of a frame
	raw      []byte    // what the program wrote
	last     time.Time // of the program's last output
	acked    time.Time // of the last answer to a picture
}

func start(t testing.TB, opt Options) *Driver {
	if opt.Cols == 0 {
		opt.Cols, opt.Rows = 80, 24
	}
	if opt.Patience == 0 {
		opt.Patience = 10 * time.Second
	}
	d := &Driver{t: t, opt: opt, replies: make(chan []byte, 4096), done: make(chan struct{}), emu: vt.NewEmulator(opt.Cols, opt.Rows), pictures: map[int]Picture{}}
	d.answer()
	return d
}

func (d *Driver) environ() []string {
	term := "xterm-kitty"
	if d.opt.Plain {
		term = "xterm-256color"
	}
	return append([]string{"TERM=" + term, "HOME=" + d.t.TempDir(), "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}, d.opt.Env...)
}

func (d *Driver) size() *pty.Winsize {
	return &pty.Winsize{Rows: uint16(d.opt.Rows), Cols: uint16(d.opt.Cols)}
}

func (d *Driver) run(f *os.File) *Driver {
	d.pty = f
	go d.screen()
	go d.keyboard()
	go d.ownAnswers()
	d.t.Cleanup(d.Close)
	return d
}

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

// answer makes the emulator speak what x/vt does not: kitty's graphics, XTVERSION, the size of a cell.
func (d *Driver) answer() {
	say := func(s string) {
		if !d.opt.Plain {
			d.reply([]byte(s))
		}
	}
	d.emu.RegisterCsiHandler(ansi.Command('>', 0, 'q'), func(ansi.Params) bool {
		say("\x1bP>|kitty(0.41.0)\x1b\\")
		return true
	})
	d.emu.RegisterCsiHandler('t', func(p ansi.Params) bool {
		if n, _, _ := p.Param(0, 0); n == 16 {
			say("\x1b[6;20;10t")
		}
		return true
	})
	// Synchronized output (mode 2026): what is on screen while a frame is drawn is nobody's to see.
	const synchronized = 2026
	d.emu.RegisterCsiHandler(ansi.Command('?', '$', 'p'), func(p ansi.Params) bool {
		n, _, _ := p.Param(0, 0)
		if n == synchronized {
			say("\x1b[?2026;2$y")
		}
		return n == synchronized
	})
	for final, begins := range map[byte]bool{'h': true, 'l': false} {
		d.emu.RegisterCsiHandler(ansi.Command('?', 0, final), func(p ansi.Params) bool {
			n, _, _ := p.Param(0, 0)
			if n == synchronized {
				d.drawing = begins
			}
			return n == synchronized
		})
	}
	// After the window shrank, what was drawn for the old size may still set a scroll region that is too tall; terminals cut it to their
	// height, this one would write past its lines. The program draws anew after a resize.
	d.emu.RegisterCsiHandler('r', func(p ansi.Params) bool {
		bottom, _, _ := p.Param(1, 0)
		return bottom > d.emu.Height()
	})
	d.emu.RegisterCsiHandler('c', func(ansi.Params) bool {
		say("\x1b[?62;c")
		return true
	})
	d.emu.RegisterApcHandler(func(b []byte) bool {
		control, data, _ := strings.Cut(string(b), ";")
		if !strings.HasPrefix(control, "G") {
			return false
		}
		keys := map[string]string{}
		for _, kv := range strings.Split(control[1:], ",") {
			k, v, _ := strings.Cut(kv, "=")
			keys[k] = v
		}
		id, _ := strconv.Atoi(keys["i"])
		ok := func(id int) {
			if keys["q"] == "" || keys["q"] == "0" {
				say(fmt.Sprintf("\x1b_Gi=%d;OK\x1b\\", id))
			}
		}
		switch keys["a"] {
		case "q":
			ok(id)
		case "d":
			if id == 0 {
				clear(d.pictures)
			}
			delete(d.pictures, id)
		default: // a transmission, or its next part
			if id != 0 {
				d.partial = Picture{ID: id}
			}
			d.partial.Bytes += len(data) * 3 / 4
			if keys["m"] != "1" {
				d.pictures[d.partial.ID] = d.partial
				d.sent++
				ok(d.partial.ID)
				d.acked = time.Now()
			}
		}
		return true
	})
}

// screen draws what the program writes.
func (d *Driver) screen() {
	b := make([]byte, 64<<10)
	for {
		n, err := d.pty.Read(b)
		if n > 0 {
			d.mu.Lock()
			d.emu.Write(b[:n])
			d.raw = append(d.raw, b[:n]...)
			d.last = time.Now()
			d.mu.Unlock()
		}
		if err != nil {
			d.mu.Lock()
			d.drawing = false // there comes no more of the frame
			d.mu.Unlock()
			return
		}
	}
}

// lock locks mu when a whole frame is on screen. Of a terminal that never answers nobody says where frames end: a pause must do.
func (d *Driver) lock() {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		half := d.drawing || d.opt.Plain && time.Since(d.last) < 20*time.Millisecond
		if !half || time.Now().After(deadline) {
			return
		}
		d.mu.Unlock()
	}
}

// keyboard writes answers to the program, in order.
func (d *Driver) keyboard() {
	for {
		select {
		case b := <-d.replies:
			d.pty.Write(b)
		case <-d.done:
			return
		}
	}
}

func (d *Driver) reply(b []byte) {
	select {
	case d.replies <- b:
	case <-d.done:
	}
}

// ownAnswers forwards what x/vt answers by itself.
func (d *Driver) ownAnswers() {
	b := make([]byte, 4096)
	for {
		n, err := d.emu.Read(b)
		if err != nil {
			return
		}
		if !d.opt.Plain {
			d.reply(append([]byte(nil), b[:n]...))
		}
	}
}

var named = map[string]string{
	"enter": "\r", "esc": "\x1b", "tab": "\t", "space": " ", "backspace": "\x7f", "delete": "\x1b[3~", "up": "\x1b[A", "down": "\x1b[B", "right": "\x1b[C", "left": "\x1b[D",
	"home": "\x1b[H", "end": "\x1b[F", "pgup": "\x1b[5~", "pgdown": "\x1b[6~", "f1": "\x1bOP", "f2": "\x1bOQ", "f3": "\x1bOR", "f4": "\x1bOS",
	"f5": "\x1b[15~", "f6": "\x1b[17~", "f7": "\x1b[18~", "f8": "\x1b[19~", "f9": "\x1b[20~", "shift+tab": "\x1b[Z",
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
			d.Type(s)
			if k == "esc" {
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
	if _, err := d.pty.WriteString(s); err != nil && d.Running() {
		d.t.Fatalf("typing %q: %v", s, err)
	}
	return d
}

// Paste pastes text, bracketed as terminals do.
func (d *Driver) Paste(s string) *Driver { return d.Type("\x1b[200~" + s + "\x1b[201~") }

// Resize changes the size of the terminal.
func (d *Driver) Resize(cols, rows int) *Driver {
	d.t.Helper()
	d.mu.Lock()
	d.emu.Resize(cols, rows)
	d.mu.Unlock()
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

// grid is the screen by cells: what a cell holds, its colours left out.
func (d *Driver) grid() [][]string {
	d.lock()
	defer d.mu.Unlock()
	g := make([][]string, d.emu.Height())
	for y := range g {
		g[y] = make([]string, d.emu.Width())
		for x := range g[y] {
			g[y][x] = " "
			if c := d.emu.CellAt(x, y); c != nil {
				if c.Width == 0 && c.Content == "" {
					g[y][x] = "" // the second half of a wide character
				} else if c.Content != "" {
					g[y][x] = c.Content
				}
			}
		}
	}
	return g
}

// Screen is the text on screen, without blanks at the ends of lines. Pictures are blanks.
func (d *Driver) Screen() string {
	var b strings.Builder
	for _, row := range d.grid() {
		line := strings.Join(row, "")
		line = strings.Map(func(r rune) rune {
			if r == '▀' || r == '▄' {
				return ' '
			}
			return r
		}, line)
		for strings.ContainsRune(line, kitty.Placeholder) {
			line = placeholder.ReplaceAllString(line, " ")
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

var placeholder = regexp.MustCompile(string(kitty.Placeholder) + `\pM*`)

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
		d.mu.Lock()
		defer d.mu.Unlock()
		return !d.last.IsZero() && time.Since(d.last) > quiet
	})
	return d
}

// Pictures are those the terminal holds now, by id, and how many were sent in all.
func (d *Driver) Pictures() (held map[int]Picture, sent int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	held = map[int]Picture{}
	for id, p := range d.pictures {
		held[id] = p
	}
	return held, d.sent
}

// Raw is all that the program wrote to the terminal.
func (d *Driver) Raw() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.raw)
}

// Title is what the program last called the window.
func (d *Driver) Title() string {
	raw := d.Raw()
	_, title, _ := strings.Cut(raw[max(0, strings.LastIndex(raw, ansi.SetWindowTitle("")[:4])):], ";")
	end := strings.IndexAny(title, "\x07\x1b")
	return title[:max(0, end)]
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
		if c, ok := d.emu.InputPipe().(io.Closer); ok { // emu.Close races with its own Read
			c.Close()
		}
	})
}

// Cell is the n-th picture of the gallery on screen, from 0 in reading order.
type Cell struct {
	d *Driver
	n int
}

// Cell is the n-th picture of the gallery.
func (d *Driver) Cell(n int) Cell { return Cell{d, n} }

// Caption is what stands below a picture.
type Caption struct {
	X, Y     int // where its frame begins, and its row
	Width    int // of the frame
	Number   int
	Score    string
	Copies   int    // images that the cell stands for, its near-duplicates with it
	Badge    string // A, N, S; "" for none
	Mark     string // "…" on its way, "!" not saved, "" on disk
	Selected bool
}

var caption = regexp.MustCompile(`([▸ ])(\d+) (?:· )?([01]\.\d+|–)(?: ×(\d+))?`)

// Captions reads the gallery's captions off the screen.
func (d *Driver) Captions() []Caption {
	g := d.grid()
	width := 0
	for _, row := range g { // the selected one's frame tells how wide all are
		for x := range row {
			if row[x] == "╰" && x+1 < len(row) && row[x+1] == "▸" {
				for r := x; r < len(row); r++ {
					if row[r] == "╯" {
						width = r - x + 1
						break
					}
				}
			}
		}
	}
	var out []Caption
	for y, row := range g {
		if width == 0 {
			break
		}
		line, at := "", []int{}
		for x, c := range row {
			for range []byte(c) {
				at = append(at, x)
			}
			line += c
		}
		for _, m := range caption.FindAllStringSubmatchIndex(line, -1) {
			x := at[m[2]] - 1
			if x < 0 || x+width > len(row) {
				continue
			}
			c := Caption{X: x, Y: y, Width: width, Score: line[m[6]:m[7]], Selected: line[m[2]:m[3]] == "▸"}
			c.Number, _ = strconv.Atoi(line[m[4]:m[5]])
			if c.Copies = 1; m[8] >= 0 {
				c.Copies, _ = strconv.Atoi(line[m[8]:m[9]])
			}
			if b := row[x+width-3]; strings.Contains("ANS–", b) {
				c.Badge = strings.Trim(b, "–")
				if mark := row[x+width-2]; mark == "…" || mark == "!" {
					c.Mark = mark
				}
			}
			out = append(out, c)
		}
	}
	return out
}

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
	return c.wait("a picture", c.d.drawn)
}

// Drawn tells whether the n-th picture of the gallery is drawn.
func (d *Driver) Drawn(n int) bool {
	all := d.Captions()
	return n < len(all) && d.drawn(all[n])
}

// drawn looks at the cell in the middle of the row above the caption's.
func (d *Driver) drawn(k Caption) bool {
	d.lock()
	defer d.mu.Unlock()
	c := d.emu.CellAt(k.X+k.Width/2, k.Y-2)
	if c == nil {
		return false
	}
	if strings.HasPrefix(c.Content, string(kitty.Placeholder)) {
		_, held := d.pictures[indexed(c.Style.Fg)]
		return held && time.Since(d.acked) > 100*time.Millisecond
	}
	return c.Content == "▀" || c.Content == "▄"
}

// indexed is the number of a colour of the palette; 0 for none.
func indexed(c color.Color) int {
	switch c := c.(type) {
	case ansi.IndexedColor:
		return int(c)
	case ansi.BasicColor:
		return int(c)
	}
	return 0
}
