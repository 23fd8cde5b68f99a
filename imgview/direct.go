package imgview

import (
	"fmt"
	"hash/maphash"
	"image"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/kitty"
)

// Drivers that draw at the cursor know a place on screen, not a text that carries the picture. So their pictures are hung on a wall:
//
// Lines gives marks, one a cell. Frame finds them in the finished view and puts blanks in their place, all of one picture in a colour
// of their own (of which nothing is seen). The program's renderer compares cells with their colours: where a picture appears, moves or
// goes, it writes the cells anew by itself, and what is written over a picture takes its place. A picture that is damaged – something
// lay over it, or the renderer wrote over it on its way from the first to the last change of a line – gets blanks of another colour,
// and so clean cells in the same frame, and is painted again.
//
// A picture is painted when the terminal has said that the frame with its blanks is out (mark), and only if the place is still the same
// when the bytes are handed to the program's output (stroke.String). It is shown when the terminal has answered once more.

// direct is a driver that paints at the cursor.
type direct interface {
	driver
	paint(slot int, wire []byte, cols, rows int) string // the cursor stands on the box's upper left cell
	wipe(slot int) string                               // takes a picture away where blanks written over it do not; "" where they do
}

// wall is the screen as the last frame has it.
type wall struct {
	spots map[*picture]*spot
	rows  []row
	gen   uint32 // of the newest blanks

	// Frames are counted. changed: the last one in which lines with pictures changed; asked: the last one that the terminal was asked
	// about; out: the last one that it has.
	count, changed, asked, out uint64

	gone    []int // slots to be wiped
	looking bool  // a lookMsg is under way
	marking bool  // a mark is
	mute    bool  // the terminal does not answer
	fences  []*stroke
	fence   int     // number of the last fence
	orders  int     // strokes that are not in the output yet
	leaving tea.Msg // what ends or suspends the program when nothing is under way any more; nothing is painted then
	going   bool    // that has been sent
}

// spot is the place of a picture.
type spot struct {
	at      image.Point // its upper left cell
	cells   int         // of it in the frame: fewer where something lies over it
	slot    int
	gen     uint32 // colour of its blanks
	changed uint64 // the frame since which it stands so
	state   progress
}

// progress of a picture on the wall.
type progress int

const (
	bare    progress = iota // only its blanks
	ordered                 // its bytes are on their way to the output
	wet                     // they are in the output, the terminal has not answered
	dry                     // shown
)

// row is one line of a frame.
type row struct {
	text   string
	shown  string   // with blanks for pictures; "": to be made
	cells  []uint64 // what stands in each column: equal for equal characters in equal style
	runs   []run    // pictures
	lo, hi int      // columns changed since the terminal is known to have the line; hi < lo: none
	since  uint64   // the last frame that changed it
}

// run is the part of a picture that is on one line.
type run struct {
	slot, r, c int // of its first cell: slot, row and column in the box
	x, n       int
	spot       *spot // nil: not to be painted
}

// The wall's own messages.
type (
	lookMsg   struct{} // View has run since
	silentMsg struct{ *stroke }
	leaveMsg  struct{ msg tea.Msg } // waited long enough
	holdMsg   struct{ msg tea.Msg } // from Filter
)

// lookAfter is how long to wait for more changes of the view.
const lookAfter = 5 * time.Millisecond

// stroke is bytes for the terminal that depend on what is on screen when they are handed over: String is called by the program's loop,
// between one View and the next Update. It ends with a question whose answer says that all before it was drawn.
type stroke struct {
	s     *Screen
	p     *picture // nil: a mark
	spot  *spot
	gen   uint32
	bytes int

	said  bool
	text  string
	at    image.Point // of the cursor that is asked for
	frame uint64
}

// marked is a picture's box as marks: a placeholder with row, column and slot as diacritics.
func marked(slot, cols, rows int) []string {
	return placeholders(cols, rows, "", string(kitty.Diacritic(slot)), "")
}

// diacritics are the numbers of kitty's diacritics.
var diacritics = func() map[rune]int {
	m := map[rune]int{}
	for i := range maxBox {
		m[kitty.Diacritic(i)] = i
	}
	return m
}()

// unmark reads a mark.
func unmark(cell string) (slot, r, c int, ok bool) {
	runes := []rune(cell)
	if len(runes) != 4 || runes[0] != kitty.Placeholder {
		return 0, 0, 0, false
	}
	r, okR := diacritics[runes[1]]
	c, okC := diacritics[runes[2]]
	slot, okS := diacritics[runes[3]]
	return slot, r, c, okR && okC && okS && slot <= lastSlot
}

var seed = maphash.MakeSeed()

// scan takes a line apart into its cells and the pictures on it.
func scan(line string) row {
	r := row{text: line, lo: 0, hi: -1}
	style := uint64(0)
	key := func(cell string) uint64 { return (style*31 + maphash.String(seed, cell)) >> 1 } // half of the numbers: the others are blanks of pictures
	for rest := line; rest != ""; {
		seq, width, n, _ := ansi.DecodeSequence(rest, ansi.NormalState, nil)
		if n <= 0 {
			break
		}
		rest = rest[n:]
		if width == 0 {
			switch {
			case seq == "\x1b[m" || seq == "\x1b[0m":
				style = 0
			case strings.HasPrefix(seq, "\x1b"):
				style = style*31 + maphash.String(seed, seq)
			}
			continue
		}
		x := len(r.cells)
		slot, pr, pc, ok := unmark(seq)
		if !ok {
			for i := range width {
				r.cells = append(r.cells, key(seq)+uint64(i))
			}
			continue
		}
		r.cells = append(r.cells, 0)
		if k := len(r.runs) - 1; k >= 0 && r.runs[k].slot == slot && r.runs[k].r == pr && r.runs[k].x+r.runs[k].n == x && r.runs[k].c+r.runs[k].n == pc {
			r.runs[k].n++
			continue
		}
		r.runs = append(r.runs, run{slot: slot, r: pr, c: pc, x: x, n: 1})
	}
	return r
}

// fill gives a picture's cells the number of their blanks.
func (r *row) fill() {
	for _, p := range r.runs {
		k := uint64(1) << 63
		if p.spot != nil {
			k |= uint64(p.spot.gen)
		}
		for x := p.x; x < p.x+p.n; x++ {
			r.cells[x] = k
		}
	}
}

// Direct reports whether pictures are painted at places on screen. Then the lines that hold them should not change beside them: a
// selection is better shown above and below.
func (s *Screen) Direct() bool {
	_, ok := s.driver.(direct)
	return ok
}

// Frame takes the finished view and returns the one to show. The lines of Lines must be in it as they were given, whole or cut.
func (s *Screen) Frame(content string) string {
	if !s.Direct() {
		return content
	}
	w := &s.wall
	w.count++
	lines := strings.Split(content, "\n")
	rows := make([]row, len(lines))
	spots := make(map[*picture]*spot)
	for y, line := range lines {
		old := row{lo: 0, hi: -1}
		if y < len(w.rows) {
			old = w.rows[y]
		}
		if rows[y] = old; old.text != line {
			rows[y] = scan(line)
			rows[y].lo, rows[y].hi, rows[y].since = old.lo, old.hi, old.since
		} else if len(old.runs) > 0 { // cells and runs are filled in anew
			rows[y].cells, rows[y].runs = slices.Clone(old.cells), slices.Clone(old.runs)
		}
		if old.since <= w.out {
			rows[y].lo, rows[y].hi = 0, -1
		}
		for i := range rows[y].runs {
			r := &rows[y].runs[i]
			r.spot = nil
			p := s.slots[r.slot].owner
			if p == nil {
				continue
			}
			at := image.Pt(r.x-r.c, y-r.r)
			sp := spots[p]
			if sp == nil {
				if sp = w.spots[p]; sp == nil || sp.at != at || sp.slot != r.slot {
					sp = &spot{at: at, slot: r.slot, changed: w.count}
					w.gen++
					sp.gen = w.gen
				}
				sp.cells = 0
				spots[p] = sp
			}
			if sp.at == at { // twice on screen: only the first is painted
				sp.cells += r.n
				r.spot = sp
			}
		}
	}
	for p, sp := range w.spots {
		if spots[p] != sp {
			w.wipe(s, sp)
		}
	}
	w.damage(s, rows, spots)
	w.rows, w.spots = rows, spots

	for y := range rows {
		r := &rows[y]
		if len(r.runs) == 0 {
			continue
		}
		if r.shown == "" || r.since == w.count {
			r.shown = r.blanks(y)
		}
		lines[y] = r.shown
	}
	return strings.Join(lines, "\n")
}

// damage finds the pictures that the renderer will write over, or wrote over in a frame that may not be out yet, and gives them new
// blanks; these are changes of their lines too, which may reach more pictures.
func (w *wall) damage(s *Screen, rows []row, spots map[*picture]*spot) {
	wipes := s.driver.(direct).wipe(firstSlot) != ""
	if wipes { // text does not cover these pictures: one that is partly under something goes
		for p, sp := range spots {
			if sp.cells < p.cells() && sp.state >= wet {
				w.renew(s, sp)
			}
		}
	}
	for more := true; more; {
		more = false
		for y := range rows {
			r := &rows[y]
			if len(r.runs) == 0 && (y >= len(w.rows) || len(w.rows[y].runs) == 0) {
				continue
			}
			r.fill()
			lo, hi := 0, len(r.cells)-1
			if y < len(w.rows) {
				lo, hi = differ(w.rows[y].cells, r.cells)
			}
			if hi < lo {
				continue
			}
			if r.hi < r.lo {
				r.lo, r.hi = lo, hi
			} else {
				r.lo, r.hi = min(r.lo, lo), max(r.hi, hi)
			}
			r.since, w.changed = w.count, w.count
			for _, p := range r.runs {
				if p.spot == nil || p.spot.changed == w.count || p.x > r.hi || p.x+p.n-1 < r.lo {
					continue
				}
				p.spot.changed = w.count
				if p.spot.state >= wet {
					w.renew(s, p.spot)
				}
				more = true
			}
		}
	}
}

// differ is the span of columns in which two lines differ; hi < lo: none.
func differ(a, b []uint64) (lo, hi int) {
	n := max(len(a), len(b))
	same := func(i int) bool { return i < len(a) && i < len(b) && a[i] == b[i] }
	for lo < n && same(lo) {
		lo++
	}
	for hi = n - 1; hi >= lo && same(hi); hi-- {
	}
	return lo, hi
}

// renew makes a picture's cells blank, to be painted again.
func (w *wall) renew(s *Screen, sp *spot) {
	w.wipe(s, sp)
	w.gen++
	sp.gen, sp.state, sp.changed = w.gen, bare, w.count
}

// wipe takes away what blanks do not.
func (w *wall) wipe(s *Screen, sp *spot) {
	w.changed = w.count
	if sp.state >= wet && s.driver.(direct).wipe(sp.slot) != "" {
		w.gone = append(w.gone, sp.slot)
	}
}

// blanks is line y of the screen with blanks where pictures are. The renderer scrolls lines that it finds again in another place, and tells
// them by their characters; pictures would go along. So the blanks of each line are its own: its number in ordinary blanks and those that do
// not break lines, and its colours.
func (r *row) blanks(y int) string {
	var b strings.Builder
	rest, next := r.text, 0
	left, at := 0, 0 // cells of the present run, to come and done
	for rest != "" {
		seq, width, n, _ := ansi.DecodeSequence(rest, ansi.NormalState, nil)
		if n <= 0 {
			break
		}
		rest = rest[n:]
		if width == 0 || left == 0 && !strings.HasPrefix(seq, placeholder) {
			b.WriteString(seq)
			continue
		}
		if left == 0 {
			if next == len(r.runs) { // no mark of ours
				b.WriteByte(' ')
				continue
			}
			left, at = r.runs[next].n, 0
			if sp := r.runs[next].spot; sp != nil {
				fmt.Fprintf(&b, "\x1b[38;2;%d;%d;%dm", sp.gen>>8&255, sp.gen&255, y&255)
			}
			next++
		}
		if y>>(at%10)&1 == 1 {
			b.WriteRune('\u00a0')
		} else {
			b.WriteByte(' ')
		}
		at++
		if left--; left == 0 {
			b.WriteString("\x1b[39m")
		}
	}
	return b.String()
}

var placeholder = string(kitty.Placeholder)

// cells is how many cells of a picture's box are marked.
func (b box) cells() int { return min(b.cols, maxBox) * min(b.rows, maxBox) }

// afresh: all that is on screen will be written anew.
func (s *Screen) afresh() {
	d, ok := s.driver.(direct)
	if !ok {
		return
	}
	w := &s.wall
	for _, sp := range w.spots {
		if sp.state >= wet && d.wipe(sp.slot) != "" {
			w.gone = append(w.gone, sp.slot)
		}
	}
	w.spots, w.rows, w.fences, w.marking, w.changed = nil, nil, nil, false, w.count+1
	s.flight = 0
}

// watch looks at the view after it has been made from the present message.
func (s *Screen) watch(msg tea.Msg) tea.Cmd {
	if _, own := msg.(lookMsg); own || s.wall.looking || !s.Direct() {
		return nil
	}
	s.wall.looking = true
	return s.after(lookAfter, lookMsg{})
}

// look asks the terminal to say when it has the last frame, if lines with pictures changed in it.
func (s *Screen) look() tea.Cmd {
	w := &s.wall
	if !s.Direct() || w.leaving != nil || w.marking || w.changed <= w.asked || w.count == w.asked {
		return nil
	}
	w.marking = true
	w.orders++
	return tea.Raw(&stroke{s: s})
}

// hang paints the next pictures, as many as the window has room for.
func (s *Screen) hang() tea.Cmd {
	w := &s.wall
	var cmds []tea.Cmd
	if w.leaving != nil {
		return nil
	}
	for _, p := range s.wanted {
		sp := w.spots[p]
		if sp == nil || sp.state != bare || p.wire == nil || p.slot != sp.slot || sp.cells < p.cells() || sp.changed > w.out {
			continue
		}
		if !s.room(len(p.wire), p.ahead) {
			break
		}
		sp.state = ordered
		s.flight += len(p.wire)
		w.orders++
		cmds = append(cmds, tea.Raw(&stroke{s: s, p: p, spot: sp, gen: sp.gen, bytes: len(p.wire)}))
	}
	return tea.Batch(cmds...)
}

// String is the bytes, or nothing where the screen is no longer as it was when they were ordered.
func (k *stroke) String() string {
	if k.said {
		return k.text
	}
	k.said = true
	w := &k.s.wall
	d, ok := k.s.driver.(direct)
	if !ok || w.leaving != nil {
		return ""
	}
	var b strings.Builder
	for _, slot := range w.gone {
		b.WriteString(d.wipe(slot))
	}
	w.gone = nil
	if k.p != nil {
		if w.spots[k.p] != k.spot || k.spot.gen != k.gen || k.spot.state != ordered || k.spot.changed > w.out || k.spot.cells < k.p.cells() || k.p.wire == nil {
			if k.spot.state == ordered {
				k.spot.state = bare
			}
			k.s.flight = max(0, k.s.flight-k.bytes)
			k.text = b.String()
			return k.text
		}
		k.spot.state = wet
		b.WriteString("\x1b[?2026h\x1b7")
		b.WriteString(ansi.CursorPosition(k.spot.at.X+1, k.spot.at.Y+1))
		b.WriteString(d.paint(k.spot.slot, k.p.wire, k.p.cols, k.p.rows))
		b.WriteString("\x1b8\x1b[?2026l")
	}
	var ask string
	k.at, ask = k.s.elsewhere()
	k.frame = w.count
	b.WriteString(ask)
	w.fences = append(w.fences, k)
	if k.p == nil {
		w.asked = k.frame
	}
	k.text = b.String()
	return k.text
}

// struck: the stroke is in the program's output; the wait for the answer begins.
func (s *Screen) struck(k *stroke) tea.Cmd {
	s.wall.orders--
	if k.s != s || k.frame == 0 {
		if k.p == nil {
			s.wall.marking = false
		}
		return tea.Batch(s.left(), s.pump())
	}
	wait := s.patience
	if s.wall.mute && k.p == nil {
		wait = muteTime
	}
	return s.after(wait, silentMsg{k})
}

// reached: the terminal has answered the fence at a place, and so has drawn all that was before it.
func (s *Screen) reached(at image.Point) tea.Cmd {
	for i, k := range s.wall.fences {
		if k.at == at {
			s.wall.mute = false
			return s.passed(i)
		}
	}
	return nil
}

// silent: no answer came to a fence; go on as if it had.
func (s *Screen) silent(k *stroke) tea.Cmd {
	for i, f := range s.wall.fences {
		if f == k {
			s.wall.mute = true
			return s.passed(i)
		}
	}
	return nil
}

// passed takes the fences up to the i-th as answered.
func (s *Screen) passed(i int) tea.Cmd {
	w := &s.wall
	for _, k := range w.fences[:i+1] {
		if k.p == nil {
			w.marking = false
			w.out = max(w.out, k.frame)
			continue
		}
		s.flight = max(0, s.flight-k.bytes)
		if w.spots[k.p] == k.spot && k.spot.gen == k.gen && k.spot.state == wet {
			k.spot.state = dry
		}
	}
	w.fences = w.fences[i+1:]
	return tea.Batch(s.left(), s.look(), s.pump())
}

// Filter is for tea.WithFilter. It lets the program end or be suspended only when no picture is on its way to the terminal: the
// program's output may be behind, and then the picture would be painted after the screen was given back.
func (s *Screen) Filter(msg tea.Msg) tea.Msg {
	switch msg.(type) {
	case tea.QuitMsg, tea.SuspendMsg, tea.InterruptMsg:
		if s.Direct() && s.wall.leaving == nil && !s.wall.idle() {
			return holdMsg{msg}
		}
	}
	return msg
}

// idle: nothing is on its way to the terminal.
func (w *wall) idle() bool { return w.orders <= 0 && len(w.fences) == 0 }

// leave ends or suspends the program, once.
func (s *Screen) leave() tea.Cmd {
	msg := s.wall.leaving
	if msg == nil || s.wall.going {
		return nil
	}
	s.wall.going = true
	return func() tea.Msg { return msg }
}

// left ends or suspends the program once that may be.
func (s *Screen) left() tea.Cmd {
	if !s.wall.idle() {
		return nil
	}
	return s.leave()
}

// bareWall frees all numbers and takes away what blanks do not.
func (s *Screen) bareWall(d direct) tea.Cmd {
	s.afresh()
	var b strings.Builder
	for _, slot := range s.wall.gone {
		b.WriteString(d.wipe(slot))
	}
	s.wall.gone = nil
	for i := range s.slots {
		if o := s.slots[i].owner; o != nil {
			o.leave()
		}
		s.slots[i] = slot{}
	}
	return s.write(&burst{bytes: b.String()})
}
