// Package emulator is a terminal in memory: x/vt that speaks kitty's graphics protocol besides, sixel or iTerm2's inline images, or a plain
// one that never answers anything. In those that paint at the cursor, a painted picture is cells of a character of its own: what is written
// over it takes its place. Tests and benchmarks put it at the other end of a program's pseudo-terminal and look at its screen.
//
//	term := emulator.New(emulator.Options{Cols: 80, Rows: 24}, pty) // what the terminal answers goes to pty
//	go io.Copy(term, pty)
//	fmt.Print(term.Screen())
package emulator

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"image/color"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/kitty"
	"github.com/charmbracelet/x/vt"
)

// The size of a cell in pixels, as the terminal tells it.
const CellWidth, CellHeight = 10, 20

// Options says what the terminal is like.
type Options struct {
	Cols, Rows int    // 0: 80×24
	Terminal   string // "kitty", "sixel", "iterm2" or "plain", which never answers; "": kitty
	Keep       bool   // the data of pictures, for Picture.Data
	// Changed is called, where given, when a whole frame is on screen or a picture has come, while the bytes behind it wait. It may
	// look at the frame, and must call nothing else of the terminal.
	Changed func(Frame)
}

// Picture is one that the program has sent and not deleted.
type Picture struct {
	ID    int
	Bytes int    // of encoded data
	Data  []byte // the file as it was sent, where Options say Keep
}

// Counts is what a program has sent in all.
type Counts struct {
	Bytes, Pictures, PictureBytes int // PictureBytes: of the data of pictures, decoded from base64
	Frames                        int // that were marked as such
}

// Terminal is the emulator. Its methods may be called from anywhere.
type Terminal struct {
	opt     Options
	answers io.Writer
	replies chan []byte
	closed  chan struct{}
	closing sync.Once

	mu       sync.Mutex // guards everything below
	emu      *vt.Emulator
	pictures map[int]Picture
	counts   Counts
	partial  Picture
	drawing  bool      // in the middle of a frame
	last     time.Time // of the program's last output
	acked    time.Time // of the last answer to a picture, or to a question of kitty's
}

// New makes a terminal that writes its answers to the program to answers.
func New(opt Options, answers io.Writer) *Terminal {
	if opt.Cols == 0 {
		opt.Cols, opt.Rows = 80, 24
	}
	t := &Terminal{opt: opt, answers: answers, replies: make(chan []byte, 4096), closed: make(chan struct{}), emu: vt.NewEmulator(opt.Cols, opt.Rows), pictures: map[int]Picture{}}
	t.answer()
	go t.speak()
	go t.ownAnswers()
	return t
}

// Close ends the terminal: it answers nothing more.
func (t *Terminal) Close() {
	t.closing.Do(func() {
		close(t.closed)
		if c, ok := t.emu.InputPipe().(io.Closer); ok { // emu.Close races with its own Read
			c.Close()
		}
	})
}

// Write draws what the program writes.
func (t *Terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.Bytes += len(b)
	t.last = time.Now()
	return t.emu.Write(b)
}

// Ended says that the program writes no more: what is on screen, half a frame or not, is all there is.
func (t *Terminal) Ended() { t.mu.Lock(); t.drawing = false; t.mu.Unlock() }

// Resize changes the size.
func (t *Terminal) Resize(cols, rows int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.emu.Resize(cols, rows)
}

// answer makes the emulator speak what x/vt does not: kitty's graphics, XTVERSION, the size of a cell.
func (t *Terminal) answer() {
	say := func(s string) {
		if !t.plain() {
			t.reply([]byte(s))
		}
	}
	t.emu.RegisterCsiHandler(ansi.Command('>', 0, 'q'), func(ansi.Params) bool {
		say("\x1bP>|" + cmp.Or(map[string]string{"sixel": "XTerm(390)", "iterm2": "WezTerm 20240203-110809"}[t.opt.Terminal], "kitty(0.41.0)") + "\x1b\\")
		return true
	})
	t.emu.RegisterCsiHandler('t', func(p ansi.Params) bool {
		if n, _, _ := p.Param(0, 0); n == 16 {
			say(fmt.Sprintf("\x1b[6;%d;%dt", CellHeight, CellWidth))
		}
		return true
	})
	// Synchronized output (mode 2026): what is on screen while a frame is drawn is nobody's to see.
	const synchronized = 2026
	t.emu.RegisterCsiHandler(ansi.Command('?', '$', 'p'), func(p ansi.Params) bool {
		n, _, _ := p.Param(0, 0)
		if n == synchronized {
			say("\x1b[?2026;2$y")
		}
		return n == synchronized
	})
	for final, begins := range map[byte]bool{'h': true, 'l': false} {
		t.emu.RegisterCsiHandler(ansi.Command('?', 0, final), func(p ansi.Params) bool {
			n, _, _ := p.Param(0, 0)
			if n == synchronized {
				t.drawing = begins
				if !begins {
					t.counts.Frames++
					t.changed()
				}
			}
			return n == synchronized
		})
	}
	// After the window shrank, what was drawn for the old size may still set a scroll region that is too tall; terminals cut it to their
	// height, this one would write past its lines. The program draws anew after a resize.
	t.emu.RegisterCsiHandler('r', func(p ansi.Params) bool {
		bottom, _, _ := p.Param(1, 0)
		return bottom > t.emu.Height()
	})
	t.emu.RegisterCsiHandler('c', func(ansi.Params) bool {
		if t.opt.Terminal == "sixel" {
			say("\x1b[?63;4c")
		} else {
			say("\x1b[?62;c")
		}
		return true
	})
	t.emu.RegisterCsiHandler(ansi.Command('?', 0, 'S'), func(ansi.Params) bool {
		if t.opt.Terminal == "sixel" {
			say("\x1b[?1;0;256S")
		}
		return true
	})
	t.emu.RegisterDcsHandler('q', func(_ ansi.Params, data []byte) bool {
		var w, h int
		fmt.Sscanf(string(data), "\"1;1;%d;%d", &w, &h)
		t.paint((w+CellWidth-1)/CellWidth, (h+CellHeight-1)/CellHeight)
		return true
	})
	t.emu.RegisterOscHandler(1337, func(data []byte) bool {
		var cols, rows int
		if i := strings.Index(string(data), "width="); i >= 0 {
			fmt.Sscanf(string(data[i:]), "width=%d;height=%d", &cols, &rows)
		}
		t.paint(cols, rows)
		return true
	})
	t.emu.RegisterApcHandler(func(b []byte) bool {
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
			t.acked = time.Now()
		case "d":
			if id == 0 {
				clear(t.pictures)
			}
			delete(t.pictures, id)
		default: // a transmission, or its next part
			if id != 0 {
				t.partial = Picture{ID: id}
			}
			t.partial.Bytes += len(data) * 3 / 4
			if t.opt.Keep {
				part, _ := base64.StdEncoding.DecodeString(data) // chunks are whole by themselves
				t.partial.Data = append(t.partial.Data, part...)
			}
			if keys["m"] != "1" {
				t.pictures[t.partial.ID] = t.partial
				t.counts.Pictures++
				t.counts.PictureBytes += t.partial.Bytes
				ok(t.partial.ID)
				t.acked = time.Now()
				t.changed()
			}
		}
		return true
	})
}

// firstPainted is the character of the first painted picture's cells.
const firstPainted, lastPainted = 0xf0000, 0xffffd

// paint draws a picture at the cursor.
func (t *Terminal) paint(cols, rows int) {
	t.counts.Pictures++
	t.acked = time.Now()
	c := rune(firstPainted + t.counts.Pictures)
	at := t.emu.CursorPosition()
	for y := at.Y; y < min(at.Y+rows, t.emu.Height()); y++ {
		for x := at.X; x < min(at.X+cols, t.emu.Width()); x++ {
			t.emu.SetCell(x, y, &uv.Cell{Content: string(c), Width: 1})
		}
	}
}

// painted is the number of the painted picture that a cell shows, 0 for none.
func painted(cell string) int {
	if r := []rune(cell); len(r) == 1 && r[0] > firstPainted && r[0] <= lastPainted {
		return int(r[0])
	}
	return 0
}

// Torn says what is wrong with the painted pictures on screen: one of which a part was written over; "" for nothing.
func (f Frame) Torn() string {
	type seen struct{ left, top, right, bottom, cells int }
	all := map[int]seen{}
	for y, row := range f.Grid() {
		for x, cell := range row {
			n := painted(cell)
			if n == 0 {
				continue
			}
			s, known := all[n]
			if !known {
				s = seen{left: x, top: y}
			}
			s.left, s.right, s.bottom, s.cells = min(s.left, x), max(s.right, x), y, s.cells+1
			all[n] = s
		}
	}
	for n, s := range all {
		if want := (s.right - s.left + 1) * (s.bottom - s.top + 1); s.cells != want {
			return fmt.Sprintf("picture %d has %d of %d cells", n-firstPainted, s.cells, want)
		}
	}
	return ""
}

func (t *Terminal) plain() bool { return t.opt.Terminal == "plain" }

func (t *Terminal) changed() {
	if t.opt.Changed != nil && !t.drawing {
		t.opt.Changed(Frame{t})
	}
}

// speak writes answers to the program, in order.
func (t *Terminal) speak() {
	for {
		select {
		case b := <-t.replies:
			t.answers.Write(b)
		case <-t.closed:
			return
		}
	}
}

func (t *Terminal) reply(b []byte) {
	select {
	case t.replies <- b:
	case <-t.closed:
	}
}

// ownAnswers forwards what x/vt answers by itself.
func (t *Terminal) ownAnswers() {
	b := make([]byte, 4096)
	for {
		n, err := t.emu.Read(b)
		if err != nil {
			return
		}
		if !t.plain() {
			t.reply(append([]byte(nil), b[:n]...))
		}
	}
}

// lock locks mu when a whole frame is on screen. Of a terminal that never answers nobody says where frames end: a pause must do.
func (t *Terminal) lock() {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(time.Millisecond) {
		t.mu.Lock()
		half := t.drawing || t.plain() && time.Since(t.last) < 20*time.Millisecond
		if !half || time.Now().After(deadline) {
			return
		}
		t.mu.Unlock()
	}
}

// Look calls f with the whole frame that is on screen.
func (t *Terminal) Look(f func(Frame)) {
	t.lock()
	defer t.mu.Unlock()
	f(Frame{t})
}

// Screen is the text on screen, without blanks at the ends of lines. Pictures are blanks.
func (t *Terminal) Screen() (text string) {
	t.Look(func(f Frame) { text = f.Text() })
	return text
}

// Captions reads the gallery's captions off the screen.
func (t *Terminal) Captions() (out []Caption) {
	t.Look(func(f Frame) { out = f.Captions() })
	return out
}

// Drawn tells whether the picture above a caption is drawn: half-blocks, or placeholders of a picture that the terminal holds.
func (t *Terminal) Drawn(c Caption) (drawn bool) {
	t.Look(func(f Frame) { drawn = f.Drawn(c) })
	return drawn
}

// Pictures are those that the terminal holds now, by id.
func (t *Terminal) Pictures() map[int]Picture {
	t.mu.Lock()
	defer t.mu.Unlock()
	held := map[int]Picture{}
	for id, p := range t.pictures {
		held[id] = p
	}
	return held
}

// Counts is what was sent so far.
func (t *Terminal) Counts() Counts { t.mu.Lock(); defer t.mu.Unlock(); return t.counts }

// Wrote is when the program wrote last, and Acknowledged when the terminal last said that a picture had come.
func (t *Terminal) Wrote() time.Time        { t.mu.Lock(); defer t.mu.Unlock(); return t.last }
func (t *Terminal) Acknowledged() time.Time { t.mu.Lock(); defer t.mu.Unlock(); return t.acked }

// Frame is what is on screen at one moment. It is valid only in the function that was given it.
type Frame struct{ t *Terminal }

// Size is the terminal's.
func (f Frame) Size() (cols, rows int) { return f.t.emu.Width(), f.t.emu.Height() }

// Counts is what was sent so far.
func (f Frame) Counts() Counts { return f.t.counts }

// Row is one line by cells: what a cell holds, its colours left out. The second half of a wide character is empty.
func (f Frame) Row(y int) []string {
	row := make([]string, f.t.emu.Width())
	for x := range row {
		row[x] = " "
		if c := f.t.emu.CellAt(x, y); c != nil {
			if c.Width == 0 && c.Content == "" {
				row[x] = ""
			} else if c.Content != "" {
				row[x] = c.Content
			}
		}
	}
	return row
}

// Grid is the screen by cells.
func (f Frame) Grid() [][]string {
	g := make([][]string, f.t.emu.Height())
	for y := range g {
		g[y] = f.Row(y)
	}
	return g
}

// Text is the text on screen, without blanks at the ends of lines. Pictures are blanks.
func (f Frame) Text() string {
	var b strings.Builder
	for _, row := range f.Grid() {
		line := strings.Join(row, "")
		line = strings.Map(func(r rune) rune {
			if r == '▀' || r == '▄' || r > firstPainted && r <= lastPainted {
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
	Member   bool // of the selection of several, not under the cursor
}

var caption = regexp.MustCompile(`([▸▪ ])(\d+) (?:· )?([01]\.\d+|–)(?: ×(\d+))?`)

// Captions reads the gallery's captions off the screen.
func (f Frame) Captions() []Caption {
	g := f.Grid()
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
			c := Caption{X: x, Y: y, Width: width, Score: line[m[6]:m[7]], Selected: line[m[2]:m[3]] == "▸", Member: line[m[2]:m[3]] == "▪"}
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

// Drawn tells whether the picture above a caption is drawn: half-blocks, or placeholders of a picture that the terminal holds. It
// looks at the cell in the middle of the picture's last row.
func (f Frame) Drawn(k Caption) bool {
	c := f.t.emu.CellAt(k.X+k.Width/2, k.Y-2)
	if c == nil {
		return false
	}
	_, held := f.Picture(k)
	return held || painted(c.Content) != 0 || c.Content == "▀" || c.Content == "▄"
}

// Picture is the one that the terminal shows above a caption; false where there is none yet.
func (f Frame) Picture(k Caption) (Picture, bool) {
	c := f.t.emu.CellAt(k.X+k.Width/2, k.Y-2)
	if c == nil || !strings.HasPrefix(c.Content, string(kitty.Placeholder)) {
		return Picture{}, false
	}
	p, held := f.t.pictures[indexed(c.Style.Fg)]
	return p, held
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
