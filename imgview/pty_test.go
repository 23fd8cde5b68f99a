//go:build unix

package imgview

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi/kitty"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// TestMain turns the test program into a small program with pictures when the tests run it in a pseudo-terminal.
func TestMain(m *testing.M) {
	if os.Getenv("IMGVIEW_APP") == "" {
		os.Exit(m.Run())
	}
	if _, err := tea.NewProgram(app{s: New(Options{})}).Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// app shows four pictures a page; n turns it, q leaves.
type app struct {
	s    *Screen
	page int
}

func (a app) Init() tea.Cmd { return a.s.Init() }

func (a app) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := a.s.Update(msg)
	if k, ok := msg.(tea.KeyPressMsg); ok {
		switch k.String() {
		case "n":
			a.page++
		case "q":
			return a, tea.Sequence(tea.Raw(a.s.Close()), tea.Quit)
		}
	}
	return a, tea.Batch(cmd, a.s.Show(page(4*a.page, 4*a.page+4)))
}

func (a app) View() tea.View {
	seen := 0
	var text strings.Builder
	for i, w := range page(4*a.page, 4*a.page+4) {
		if a.s.Visible(w.Key, w.Cols, w.Rows) {
			seen++
		}
		if i < 3 { // three fit
			text.WriteString(strings.Join(a.s.Lines(w.Key, w.Cols, w.Rows), "\n") + "\n")
		}
	}
	v := tea.NewView(text.String() + fmt.Sprintf("page %d: %d seen, %s", a.page, seen, a.s.Driver()))
	v.AltScreen = true
	return v
}

// terminal runs the app in a pseudo-terminal with an emulator that answers as kitty does, or not at all.
type terminal struct {
	*vt.SafeEmulator
	t    *testing.T
	pty  *os.File
	cmd  *exec.Cmd
	mu   sync.Mutex
	kept map[string]bool // pictures in it, by number
}

func start(t *testing.T, answers bool) *terminal {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{"IMGVIEW_APP=1", "TERM=xterm-kitty", "LANG=C.UTF-8", "PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	e := &terminal{SafeEmulator: vt.NewSafeEmulator(80, 24), t: t, pty: f, cmd: cmd, kept: map[string]bool{}}
	reply := func(s string) { go f.WriteString(s) } // never from within the emulator's own writing
	number := ""
	e.RegisterApcHandler(func(b []byte) bool {
		control, _, _ := strings.Cut(strings.TrimPrefix(string(b), "G"), ";")
		opts := map[string]string{}
		for o := range strings.SplitSeq(control, ",") {
			k, v, _ := strings.Cut(o, "=")
			opts[k] = v
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if opts["i"] != "" {
			number = opts["i"]
		}
		switch {
		case opts["a"] == "d":
			delete(e.kept, number)
		case answers && opts["a"] == "q":
			reply("\x1b_Gi=" + number + ";OK\x1b\\")
		case opts["m"] == "0":
			e.kept[number] = true
			if answers {
				reply("\x1b_Gi=" + number + ";OK\x1b\\")
			}
		}
		return true
	})
	var asked strings.Builder
	go func() { // the emulator's own answers
		b := make([]byte, 1024)
		for {
			n, err := e.Read(b)
			if err != nil {
				return
			}
			if answers {
				f.Write(b[:n])
			}
		}
	}()
	go func() {
		b := make([]byte, 32<<10)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			if asked.Len() < 1<<16 && answers && !strings.Contains(asked.String(), askVersion) {
				asked.Write(b[:n])
				if strings.Contains(asked.String(), askVersion) {
					reply("\x1bP>|kitty(0.41.1)\x1b\\\x1b[6;20;10t")
				}
			}
			e.Write(b[:n])
		}
	}()
	t.Cleanup(func() {
		f.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return e
}

func (e *terminal) pictures() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.kept)
}

// wait waits until text is on the screen.
func (e *terminal) wait(text string) {
	e.t.Helper()
	e.waitFor(text, func() bool { return strings.Contains(e.Render(), text) })
}

func (e *terminal) waitFor(what string, done func() bool) {
	e.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Fatalf("no %s on the screen:\n%s", what, e.Render())
		}
	}
}

func (e *terminal) quit() {
	e.t.Helper()
	e.pty.WriteString("q")
	done := make(chan error, 1)
	go func() { done <- e.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			e.t.Errorf("the program ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		e.t.Error("the program does not end")
	}
}

func TestInKitty(t *testing.T) {
	e := start(t, true)
	e.wait("page 0: 4 seen, kitty")
	colours := map[string]bool{}
	e.waitFor("placeholder of its own in each cell of three boxes", func() bool { // half-blocks until then, and rows and columns come behind the placeholder
		clear(colours)
		for i := range 3 {
			for r := range boxRows {
				for c := range boxCols {
					cell := e.CellAt(c, i*boxRows+r)
					want := string([]rune{kitty.Placeholder, kitty.Diacritic(r), kitty.Diacritic(c)})
					if cell == nil || cell.Content != want {
						return false
					}
					if r == 0 && c == 0 {
						colours[fmt.Sprint(cell.Style.Fg)] = true
					}
				}
			}
		}
		return true
	})
	if len(colours) != 3 {
		t.Errorf("3 pictures have %d numbers: %v", len(colours), colours)
	}
	e.pty.WriteString("n")
	e.wait("page 1: 4 seen, kitty")
	if n := e.pictures(); n != 8 {
		t.Errorf("%d pictures in the terminal, want 8", n)
	}
	e.quit()
	e.waitFor("empty terminal", func() bool { return e.pictures() == 0 })
}

func TestInSilentTerminal(t *testing.T) {
	e := start(t, false)
	e.wait("page 0: 4 seen, half-blocks")
	if c := e.CellAt(0, 0); c == nil || c.Content == "" || c.Content == " " {
		t.Errorf("nothing is drawn: %+v", c)
	}
	e.pty.WriteString("n")
	e.wait("page 1: 4 seen, half-blocks")
	if e.pictures() != 0 {
		t.Error("pictures were sent to a terminal that never said it takes them")
	}
	e.quit()
}
