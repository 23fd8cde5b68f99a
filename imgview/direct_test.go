package imgview

import (
	"bytes"
	"fmt"
	"image"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

// stage is a program with a Screen in a terminal that knows pictures: a painted picture is cells of a character of its own, so that
// all that is written over it takes its place. (Kitty's pictures lie above the text and go only when they are deleted.)
type stage struct {
	t       *testing.T
	program *tea.Program
	cell    image.Point
	answers bool

	mu      sync.Mutex
	emu     *vt.Emulator
	n       int             // pictures painted
	above   map[string]hung // kitty's, by number
	written map[rune]string
	done    chan struct{}
}

type hung struct {
	at   image.Rectangle
	data string
}

const firstGlyph = 0xe000

// scene is what is on screen.
type scene struct {
	wants []Want
	view  func(lines func(i int) []string) string
}

type stageModel struct {
	s *Screen
	scene
}

func (m stageModel) Init() tea.Cmd { return m.s.Init() }

func (m stageModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmds := []tea.Cmd{m.s.Update(msg)}
	switch msg := msg.(type) {
	case scene:
		m.scene = msg
	case func(*Screen) tea.Cmd:
		cmds = append(cmds, msg(m.s))
	}
	return m, tea.Batch(append(cmds, m.s.Show(m.wants))...)
}

func (m stageModel) View() tea.View {
	text := ""
	if m.scene.view != nil {
		text = m.scene.view(func(i int) []string { w := m.wants[i]; return m.s.Lines(w.Key, w.Cols, w.Rows) })
	}
	v := tea.NewView(m.s.Frame(text))
	v.AltScreen = true
	return v
}

type lockedWriter struct{ g *stage }

func (w lockedWriter) Write(b []byte) (int, error) {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	w.g.emu.Write(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))) // as a terminal that is not raw
	return len(b), nil
}

func newStage(t *testing.T, force string, w, h int, answers bool) *stage {
	g := &stage{t: t, cell: image.Pt(10, 20), answers: answers, emu: vt.NewEmulator(w, h), above: map[string]hung{}, written: map[rune]string{}, done: make(chan struct{})}
	g.emu.RegisterDcsHandler('q', func(_ ansi.Params, data []byte) bool {
		img := readSixel(t, string(data))
		size := img.Bounds().Size()
		g.paint(string(data), (size.X+g.cell.X-1)/g.cell.X, (size.Y+g.cell.Y-1)/g.cell.Y)
		return true
	})
	g.emu.RegisterOscHandler(1337, func(data []byte) bool {
		var cols, rows int
		if i := strings.Index(string(data), "width="); i >= 0 {
			fmt.Sscanf(string(data[i:]), "width=%d;height=%d", &cols, &rows)
		}
		g.paint(string(data), cols, rows)
		return true
	})
	part := map[string]string{}
	g.emu.RegisterApcHandler(func(b []byte) bool {
		control, data, _ := strings.Cut(strings.TrimPrefix(string(b), "G"), ";")
		opts := map[string]string{}
		for o := range strings.SplitSeq(control, ",") {
			k, v, _ := strings.Cut(o, "=")
			opts[k] = v
		}
		if opts["a"] == "d" {
			delete(g.above, opts["i"])
			return true
		}
		if opts["i"] != "" {
			part = opts
		}
		part["data"] += data
		if opts["m"] == "0" {
			var cols, rows int
			fmt.Sscan(part["c"], &cols)
			fmt.Sscan(part["r"], &rows)
			at := g.emu.CursorPosition()
			g.above[part["i"]] = hung{image.Rect(at.X, at.Y, at.X+cols, at.Y+rows), part["data"]}
			g.n++
		}
		return true
	})
	in, keyboard := io.Pipe()
	replies := make(chan []byte, 1024)
	go func() {
		b := make([]byte, 1024)
		for {
			n, err := g.emu.Read(b)
			if err != nil {
				return
			}
			if answers {
				replies <- bytes.Clone(b[:n])
			}
		}
	}()
	go func() {
		for {
			select {
			case b := <-replies:
				keyboard.Write(b)
			case <-g.done:
				return
			}
		}
	}()
	s := New(Options{Force: force, Env: func(k string) string { return map[string]string{"TERM": "xterm-256color"}[k] },
		Pixels: func() (int, int, int, int) { return w, h, w * g.cell.X, h * g.cell.Y }})
	g.program = tea.NewProgram(stageModel{s: s}, tea.WithInput(in), tea.WithOutput(lockedWriter{g}), tea.WithWindowSize(w, h),
		tea.WithEnvironment([]string{"TERM=xterm-256color", "COLORTERM=truecolor"}), tea.WithoutSignals())
	go func() {
		defer close(g.done)
		if _, err := g.program.Run(); err != nil {
			t.Errorf("the program: %v", err)
		}
	}()
	t.Cleanup(func() {
		g.program.Quit()
		<-g.done
		in.Close()
		if c, ok := g.emu.InputPipe().(io.Closer); ok {
			c.Close()
		}
	})
	return g
}

// paint fills cells from the cursor with a new character.
func (g *stage) paint(data string, cols, rows int) {
	at := g.emu.CursorPosition()
	c := rune(firstGlyph + g.n)
	g.n++
	g.written[c] = data
	for y := at.Y; y < at.Y+rows; y++ {
		for x := at.X; x < at.X+cols; x++ {
			g.emu.SetCell(x, y, &uv.Cell{Content: string(c), Width: 1})
		}
	}
}

// pictures are the whole pictures on screen by their upper left cells: what was sent. Any torn one is an error.
func (g *stage) pictures(cols, rows int) (map[image.Point]string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cells := map[rune][]image.Point{}
	for y := range g.emu.Height() {
		for x := range g.emu.Width() {
			if c := g.emu.CellAt(x, y); c != nil && c.Content != "" {
				if r := []rune(c.Content)[0]; r >= firstGlyph && r < firstGlyph+0x1000 {
					cells[r] = append(cells[r], image.Pt(x, y))
				} else if r == '\U0010eeee' {
					return nil, fmt.Errorf("a mark is on screen at %d,%d", x, y)
				}
			}
		}
	}
	out := map[image.Point]string{}
	for r, at := range cells {
		if len(at) != cols*rows || at[len(at)-1] != at[0].Add(image.Pt(cols-1, rows-1)) {
			return nil, fmt.Errorf("%d cells of a picture from %v to %v", len(at), at[0], at[len(at)-1])
		}
		out[at[0]] = g.written[r]
	}
	for _, h := range g.above {
		out[h.at.Min] = h.data
	}
	return out, nil
}

func (g *stage) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n
}

func (g *stage) waitText(text string) {
	g.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains(g.text(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			g.t.Fatalf("no %q on screen:\n%s", text, g.text())
		}
	}
}

// text is what is on screen, pictures as #.
func (g *stage) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b strings.Builder
	for y := range g.emu.Height() {
		for x := range g.emu.Width() {
			switch c := g.emu.CellAt(x, y); {
			case c == nil || c.Content == "":
				b.WriteByte(' ')
			case []rune(c.Content)[0] >= firstGlyph && []rune(c.Content)[0] < firstGlyph+0x1000:
				b.WriteByte('#')
			default:
				b.WriteString(c.Content)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// wait waits until exactly these places hold whole pictures, each its own.
func (g *stage) wait(what string, cols, rows int, at ...image.Point) map[image.Point]string {
	g.t.Helper()
	var why error
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got, err := g.pictures(cols, rows)
		if why = err; err != nil {
			continue
		}
		if len(got) != len(at) {
			why = fmt.Errorf("%d pictures on screen, want %d", len(got), len(at))
			continue
		}
		distinct := map[string]bool{}
		for _, p := range at {
			if got[p] == "" {
				why = fmt.Errorf("no picture at %v", p)
			}
			distinct[got[p]] = true
		}
		if why == nil && len(distinct) == len(at) {
			return got
		}
	}
	g.t.Fatalf("%s: %v\n%s", what, why, g.text())
	return nil
}

const tileCols, tileRows = 8, 4

// grid is a view of pictures, four in a line, with a caption below and text beside each.
func grid(from, n int, beside string) scene {
	var wants []Want
	for i := range n {
		wants = append(wants, Want{Key: fmt.Sprint("g", from+i), Img: blob((from + i) % 12), Cols: tileCols, Rows: tileRows})
	}
	return scene{wants: wants, view: func(lines func(int) []string) string {
		var out []string
		for r := 0; r < n; r += 4 {
			rows := make([]string, tileRows)
			for i := r; i < min(n, r+4); i++ {
				for y, l := range lines(i) {
					rows[y] += "  " + l
				}
			}
			for y := range rows {
				rows[y] += "  " + beside
			}
			out = append(out, append(rows, fmt.Sprintf("   caption %d", from+r))...)
		}
		return strings.Join(out, "\n")
	}}
}

func places(n int) (at []image.Point) {
	for i := range n {
		at = append(at, image.Pt(2+i%4*(tileCols+2), i/4*(tileRows+1)))
	}
	return at
}

// over lays a box over the middle of a scene.
func over(sc scene) scene {
	under := sc.view
	sc.view = func(lines func(int) []string) string {
		out := strings.Split(under(lines), "\n")
		for y := 2; y < 9; y++ {
			w := ansi.StringWidth(out[y])
			out[y] = ansi.Cut(out[y], 0, 7) + "DIALOG DIALOG DIALOG " + ansi.Cut(out[y], 28, max(28, w))
		}
		return strings.Join(out, "\n")
	}
	return sc
}

// both lets text on both sides of the pictures change.
func both(sc scene, left, right string) scene {
	under := sc.view
	sc.view = func(lines func(int) []string) string {
		out := strings.Split(under(lines), "\n")
		out[1] = left + strings.TrimPrefix(out[1], strings.Repeat(" ", len(left))) + right
		return strings.Join(out, "\n")
	}
	return sc
}

// lower moves a scene down by lines.
func lower(sc scene, by int) scene {
	under := sc.view
	sc.view = func(lines func(int) []string) string { return strings.Repeat("above\n", by) + under(lines) }
	return sc
}

func TestPaintedPictures(t *testing.T) {
	for _, driver := range []string{"sixel", "iterm2", "kitty-direct"} {
		for _, answers := range []bool{true, false} {
			t.Run(fmt.Sprint(driver, ", answers ", answers), func(t *testing.T) {
				t.Parallel()
				g := newStage(t, driver, 72, 20, answers)
				all := places(12)
				g.program.Send(grid(0, 12, "beside"))
				first := g.wait("12 pictures", tileCols, tileRows, all...)

				n := g.count()
				g.program.Send(grid(0, 12, "beside them"))
				g.waitText("beside them")
				g.wait("text beside them", tileCols, tileRows, all...)
				if more := g.count() - n; more != 0 {
					t.Errorf("%d pictures were painted anew for a text beside them", more)
				}

				g.program.Send(over(grid(0, 12, "beside")))
				g.waitText("DIALOG DIALOG")
				g.program.Send(grid(0, 12, "beside"))
				g.wait("after a dialog", tileCols, tileRows, all...)

				g.program.Send(both(grid(0, 12, "beside"), "<", ">"))
				g.waitText("<")
				g.wait("text on both sides", tileCols, tileRows, all...)

				g.program.Send(grid(3, 8, "beside"))
				g.wait("another page", tileCols, tileRows, places(8)...)

				g.program.Send(lower(grid(3, 8, "beside"), 3))
				var moved []image.Point
				for _, p := range places(8) {
					moved = append(moved, p.Add(image.Pt(0, 3)))
				}
				g.wait("moved", tileCols, tileRows, moved...)

				g.program.Send(scene{view: func(func(int) []string) string { return "no pictures" }})
				g.wait("nothing", tileCols, tileRows)

				g.program.Send(grid(0, 12, "beside"))
				again := g.wait("the first page again", tileCols, tileRows, all...)
				for _, p := range all {
					if driver != "kitty-direct" && first[p] != again[p] {
						t.Errorf("another picture at %v", p)
					}
				}

				g.mu.Lock() // somebody writes over the screen
				g.emu.Write([]byte("\x1b7\x1b[2Jnonsense\x1b8"))
				clear(g.above)
				g.mu.Unlock()
				g.program.Send(func(s *Screen) tea.Cmd { return tea.Batch(tea.ClearScreen, s.Forget()) })
				g.wait("drawn again", tileCols, tileRows, all...)

				n = g.count()
				g.mu.Lock()
				g.emu.Resize(64, 18)
				g.mu.Unlock()
				g.program.Send(tea.WindowSizeMsg{Width: 64, Height: 18})
				for deadline := time.Now().Add(15 * time.Second); g.count() < n+12 && time.Now().Before(deadline); {
					time.Sleep(5 * time.Millisecond)
				}
				g.wait("another size", tileCols, tileRows, all...)

				g.program.Send(func(s *Screen) tea.Cmd { return tea.Raw(s.Close()) })
				if driver == "kitty-direct" {
					g.wait("closed", tileCols, tileRows)
				}
			})
		}
	}
}

// A burst of changes of which the renderer sees only some must not leave a picture damaged.
func TestPaintedPicturesInAHurry(t *testing.T) {
	g := newStage(t, "sixel", 72, 20, true)
	g.program.Send(grid(0, 12, "beside"))
	g.wait("12 pictures", tileCols, tileRows, places(12)...)
	for i := range 60 {
		switch i % 4 {
		case 0:
			g.program.Send(both(grid(0, 12, "beside"), "<", ""))
		case 1:
			g.program.Send(both(grid(0, 12, "beside"), "<", ">"))
		case 2:
			g.program.Send(over(grid(i%3, 12, "beside")))
		case 3:
			g.program.Send(grid(i%5, 12, "beside"))
		}
		time.Sleep(time.Duration(i%7) * 3 * time.Millisecond) // between and across the renderer's ticks
	}
	g.program.Send(grid(0, 12, "beside"))
	g.wait("after the hurry", tileCols, tileRows, places(12)...)
}

// wallBench is a Screen that paints, and a terminal that answers when it is told to.
func wallBench(t *testing.T) (b *bench, frame func(left, right string), answer func()) {
	b = newBench(t, Options{Force: "sixel"}, map[string]string{"TERM": "xterm"})
	b.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	b.send(uv.CellSizeEvent{Width: 10, Height: 20})
	b.run(b.s.Show(page(0, 1)))
	frame = func(left, right string) {
		var lines []string
		for _, l := range b.s.Lines("p0", boxCols, boxRows) {
			lines = append(lines, left+l+right)
		}
		b.s.Frame(strings.Join(lines, "\n"))
	}
	answer = func() {
		b.pass(2 * lookAfter)
		for len(b.s.wall.fences) > 0 {
			b.send(tea.CursorPositionMsg(b.s.wall.fences[0].at))
			b.pass(2 * lookAfter)
		}
	}
	frame("left", "right")
	b.send(nil)
	answer()
	if !b.s.Visible("p0", boxCols, boxRows) {
		t.Fatal("the picture is not shown")
	}
	return b, frame, answer
}

// Frames come faster than the renderer draws them: what two of them change together is what counts.
func TestFramesNotDrawn(t *testing.T) {
	for _, c := range []struct {
		name          string
		out           bool // the first is out before the second
		first, second [2]string
		shown         bool
	}{
		{"both sides in one frame", false, [2]string{"LEFT", "RIGHT"}, [2]string{"LEFT", "RIGHT"}, false},
		{"both sides in two frames, drawn as one", false, [2]string{"LEFT", "right"}, [2]string{"LEFT", "RIGHT"}, false},
		{"both sides in two frames, drawn as two", true, [2]string{"LEFT", "right"}, [2]string{"LEFT", "RIGHT"}, true},
		{"one side twice", false, [2]string{"left", "Right"}, [2]string{"left", "RIGHT"}, true},
		{"moved", true, [2]string{"left!", "right"}, [2]string{"left!", "right"}, false},
	} {
		b, frame, answer := wallBench(t)
		frame(c.first[0], c.first[1])
		b.send(nil)
		if c.out {
			b.s.wall.out = b.s.wall.count
		}
		frame(c.second[0], c.second[1])
		b.send(nil)
		if got := b.s.Visible("p0", boxCols, boxRows); got != c.shown {
			t.Errorf("%s: taken for shown: %v", c.name, got)
		}
		answer()
		if !b.s.Visible("p0", boxCols, boxRows) {
			t.Errorf("%s: not painted again", c.name)
		}
	}
}

// Bytes that were ordered for a place are not written when something else stands there by then.
func TestStaleStroke(t *testing.T) {
	b, frame, _ := wallBench(t)
	sp := b.s.wall.spots[b.s.wanted[0]]
	sp.state = bare
	hang := b.s.hang()
	frame("left!", "right") // it moves before the bytes are handed over
	raw := hang().(tea.RawMsg)
	if got := fmt.Sprint(raw.Msg); got != "" {
		t.Errorf("%.40q is written", got)
	}
	if b.s.flight != 0 {
		t.Errorf("%d bytes are taken for under way", b.s.flight)
	}
}

// Marks that a file's name brings along are no pictures.
func TestForeignMarks(t *testing.T) {
	b, _, _ := wallBench(t)
	mark := marked(200, 1, 1)[0] // of a slot that nobody has
	got := b.s.Frame("a" + mark + "b")
	if want := "a b"; ansi.Strip(got) != want {
		t.Errorf("%q, want %q", ansi.Strip(got), want)
	}
}

func BenchmarkFrame(b *testing.B) {
	s := New(Options{Force: "sixel"})
	wants := page(0, 12)
	s.Show(wants)
	for _, p := range s.wanted {
		p.wire = []byte("x")
	}
	s.assign(s.wanted)
	text := make([]string, 70)
	for y := range text {
		text[y] = strings.Repeat("\x1b[38;2;1;2;3mtext\x1b[m ", 50)
	}
	for i, w := range wants {
		for y, l := range s.Lines(w.Key, w.Cols, w.Rows) {
			text[i/4*10+y] = l + text[i/4*10+y]
		}
	}
	n := 0
	for b.Loop() {
		n++
		text[69] = fmt.Sprint(n)
		text[5] = strings.TrimRight(text[5], "0123456789") + fmt.Sprint(n)
		s.Frame(strings.Join(text, "\n"))
	}
}

// The program ends when the terminal has what is on its way: painted later, it would be in the shell.
func TestLeaving(t *testing.T) {
	for _, c := range []struct {
		name    string
		msg     tea.Msg
		busy    bool
		answers bool
	}{
		{"nothing under way", tea.QuitMsg{}, false, true},
		{"quit while painting", tea.QuitMsg{}, true, true},
		{"suspend while painting", tea.SuspendMsg{}, true, true},
		{"a terminal that went silent", tea.QuitMsg{}, true, false},
	} {
		b, frame, answer := wallBench(t)
		if c.busy {
			frame("left!", "right")
			b.send(nil)
			b.pass(2 * lookAfter)
		}
		msg := b.s.Filter(c.msg)
		if held := msg != c.msg; held != c.busy {
			t.Fatalf("%s: %T", c.name, msg)
		}
		if !c.busy {
			continue
		}
		var left tea.Msg
		var note func(tea.Cmd)
		note = func(cmd tea.Cmd) {
			if cmd == nil {
				return
			}
			switch m := cmd().(type) {
			case tea.BatchMsg:
				for _, c := range m {
					note(c)
				}
			case tea.QuitMsg, tea.SuspendMsg:
				if left != nil {
					t.Errorf("%s: %T twice", c.name, m)
				}
				left = m
			}
		}
		note(b.s.Update(msg))
		if left != nil {
			t.Errorf("%s: leaves at once", c.name)
		}
		if c.answers {
			for len(b.s.wall.fences) > 0 {
				note(b.s.Update(tea.CursorPositionMsg(b.s.wall.fences[0].at)))
			}
		} else {
			note(b.s.Update(leaveMsg{c.msg}))
		}
		if left != c.msg {
			t.Errorf("%s: %T at the end", c.name, left)
		}
		if hung := b.s.hang(); hung != nil {
			t.Errorf("%s: paints while leaving", c.name)
		}
		b.send(tea.ResumeMsg{})
		frame("left!", "right")
		b.send(nil)
		answer()
		if !b.s.Visible("p0", boxCols, boxRows) {
			t.Errorf("%s: not painted after it came back", c.name)
		}
	}
}

// TestLinesWithPicturesAreToldApart: the renderer scrolls what it takes for a line that has moved, by its characters alone.
func TestLinesWithPicturesAreToldApart(t *testing.T) {
	seen := map[string]int{}
	for y := range 70 {
		r := row{text: strings.Repeat(placeholder, 16) + " panel", runs: []run{{n: 16, spot: &spot{gen: 7}}}}
		text := ansi.Strip(r.blanks(y))
		if n := ansi.StringWidth(text); n != 22 || strings.Trim(text[:len(text)-len(" panel")], " \u00a0") != "" {
			t.Fatalf("line %d is %q, %d cells", y, text, n)
		}
		if at, known := seen[text]; known {
			t.Errorf("lines %d and %d are the same", at, y)
		}
		seen[text] = y
	}
}
