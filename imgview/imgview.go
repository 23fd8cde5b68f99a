// Package imgview shows decoded pictures in a grid of terminal cells.
//
// A Screen asks the terminal what it can draw, without ever waiting for the answer, and picks a driver: kitty's Unicode
// placeholders, where a picture behaves like text; sixel, iTerm2's inline images or kitty's protocol at the cursor, where a picture is
// painted at a place (direct.go); half-blocks and their like, which work everywhere; a ramp of greys. The program hands it the pictures
// it wants to see (Show), puts the text of Lines into its view, passes the finished view through Frame and every message to Update.
//
//	s := imgview.New(imgview.Options{})
//	func (m model) Init() tea.Cmd { return s.Init() }
//	func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) { cmd := s.Update(msg); …; return m, tea.Batch(cmd, s.Show(wants)) }
//	func (m model) View() tea.View { … s.Lines(key, cols, rows) … tea.NewView(s.Frame(text)) }
//	tea.NewProgram(m, tea.WithFilter(func(_ tea.Model, msg tea.Msg) tea.Msg { return s.Filter(msg) }))
//
// A frame goes out first, then its pictures: so a key answers at once on a slow link. Only so many bytes of pictures are under way
// without the terminal's word that they arrived as its link carries in a moment, and pictures that are no longer wanted are never
// sent. On a slow link pictures come with few bytes first (compact.go), in pieces of 2 KB as the link can take them (rate.go), and in full
// when nothing else is to be sent.
package imgview

import (
	"fmt"
	"image"
	"os"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"
)

// Options says how a Screen finds its driver and how much it sends at once. The zero value is right for most programs.
type Options struct {
	Force string              // "auto" or "": ask the terminal; one of Names: use that
	Env   func(string) string // TERM, TMUX, …; nil: os.Getenv
	// Pixels is the size of the terminal in cells and in pixels, as the system knows it, for terminals that do not say how large a cell
	// is; 0: not known. It is called in commands. nil: there is no such knowledge.
	Pixels func() (cols, rows, width, height int)
	Window int // bytes of pictures under way to the terminal without its answer; 0: by the measured rate of the link
}

// Want is one picture to be shown in a box of Cols×Rows cells. Key names the picture and its version (another stretch, another
// key): the same key must always mean the same pixels. A nil Img is a picture that is not there yet: it stays blank. The pixels
// are read in the background: they must not change after they were given.
type Want struct {
	Key        string
	Img        image.Image
	Cols, Rows int
	Prefetch   bool // not on screen: sent behind the others, and on slow links never in full
}

// MaxWants is how many pictures can be on screen: so many numbers the terminal has for them.
const MaxWants = lastSlot - firstSlot + 1

const (
	patience    = 2 * time.Second         // for an answer: after it, go on without
	maxPatience = 30 * time.Second        // on a link whose answers come late
	frameTime   = 25 * time.Millisecond   // three frames at 120 a second: the view is on its way
	muteTime    = 40 * time.Millisecond   // for a terminal that never answers where its cursor is
	quiet       = 300 * time.Millisecond  // since the pictures changed: nobody is paging
	quietSlow   = 1500 * time.Millisecond // on a slow link: somebody is looking closely, which is worth the bytes
	cacheBytes  = 64 << 20                // of encoded pictures
	maxDepth    = 3                       // tmux in tmux in tmux
)

// Screen shows pictures. One per program; all methods run in the program's Update or View, none of them waits.
type Screen struct {
	window  int // 0: by pace
	pace    pace
	asked   time.Time // when the last questions went out; zero: answered
	facts   facts
	pixels  func() (cols, rows, width, height int)
	cell    image.Point
	told    bool // by the terminal itself how large that is
	doubted int  // slot that was asked about
	size    tea.WindowSizeMsg
	probing uint64 // number of the last round of questions

	driver   driver // nil: none
	pictures map[box]*picture
	wanted   []*picture // most interesting first
	turn     uint64     // number of the last Show, from 2
	slots    [lastSlot + 1]slot
	encoding int    // commands under way
	held     bool   // the frame of a new page has not gone out yet,
	heldFor  uint64 // that of this round
	calm     bool   // the pictures have not changed for a moment
	shows    int    // how often they changed
	flight   int    // bytes sent and not acknowledged
	sends    uint64
	patience time.Duration
	outbox   []*burst // the first is on its way to the output

	wall  wall  // of drivers that paint at the cursor
	sight sight // of all others

	blanks map[image.Point][]string
	after  func(time.Duration, tea.Msg) tea.Cmd // tests keep their own time
	now    func() time.Time
}

// box names one drawing: a picture in a size.
type box struct {
	key        string
	cols, rows int
}

// picture is all that is known of one drawing.
type picture struct {
	box
	img  image.Image // nil when not wanted
	turn uint64      // of the last Show that wanted it

	busy    bool   // being encoded
	broken  bool   // cannot be encoded
	refused bool   // the terminal did not take it: shown as text
	wire    []byte // encoded for a store, few bytes
	full    []byte // the same in full
	text    []string
	ahead   bool // Want.Prefetch

	slot  int // 0: none
	state state
	send  uint64 // number of the last send
	bytes int    // under way
	mark  mark   // of the last send
	fine  bool   // was sent in full
	lines []string

	// What is known of the frame that shows it.
	round  uint64 // in which it came into view; 0: it is not
	fenced uint64 // the round that a fence was sent for
	proves bool   // it was sent behind its frame
	framed bool   // the frame has arrived

	// A picture is refined in a second slot, so that nothing is blank meanwhile: its twin is sent in full, and the two change slots when it
	// has come.
	twin *picture
	of   *picture // of a twin
}

// slot is one numbered place in the terminal.
type slot struct {
	owner *picture
	dirty bool // still holds something older than its owner
}

// state of a picture in its slot.
type state int

const (
	absent state = iota
	flying       // sent, not acknowledged
	late         // sent, and no answer came in time: taken for shown
	shown        // acknowledged
)

// The Screen's own messages. Those about the terminal carry a number, so that old ones are dropped.
type (
	encodedMsg struct {
		box
		by   driver // s.encoder's
		cell image.Point
		full bool
		encoded
		err error
	}
	frameMsg   struct{ round uint64 }
	pieceMsg   struct{ *burst }           // the link has room for more of it
	pixelsMsg  struct{ cell image.Point } // from the terminal's size
	quietMsg   struct{ shows int }
	silenceMsg struct{ probing uint64 } // no answers to the questions
	overdueMsg struct{ send uint64 }    // no answer to a picture
	burst      struct {                 // what tea.Raw is given: comes back to Update once it is in the output
		bytes string
		clean []int  // slots emptied
		fence *fence // asked; nil: none

		picture *picture // that is sent
		send    uint64
		pieces  []string // still to be written
		paced   bool     // as the link can take them
	}
)

func (b *burst) String() string { return b.bytes }

// New makes a Screen; nothing is drawn or asked before Init.
func New(opt Options) *Screen {
	env := opt.Env
	if env == nil {
		env = os.Getenv
	}
	s := &Screen{
		window: max(0, opt.Window), patience: patience, turn: 1, now: time.Now, sight: sight{open: 1},
		pictures: map[box]*picture{}, blanks: map[image.Point][]string{},
		facts: environment(opt.Force, env), pixels: opt.Pixels,
		after: func(d time.Duration, msg tea.Msg) tea.Cmd {
			return tea.Tick(d, func(time.Time) tea.Msg { return msg })
		},
	}
	s.choose()
	return s
}

// Init asks the terminal what it can draw.
func (s *Screen) Init() tea.Cmd {
	if s.driver == nil {
		return nil
	}
	return s.ask()
}

// ask starts a new round of questions.
func (s *Screen) ask() tea.Cmd {
	s.probing++
	n := s.probing
	f := &s.facts
	f.asked, f.counted, f.version, f.graphics, f.cell, f.sixel, f.colours = false, false, "", "", "", false, 0
	f.fences, f.fenced, f.waited = 0, 0, false
	s.sight.answered, s.sight.mute = false, false
	return tea.Batch(s.question(askVersion, askCell), s.measure(), s.after(patience, silenceMsg{n}))
}

// measure works out the size of a cell from that of the terminal.
func (s *Screen) measure() tea.Cmd {
	pixels := s.pixels
	if pixels == nil {
		return nil
	}
	return func() tea.Msg {
		cols, rows, w, h := pixels()
		if cols <= 0 || rows <= 0 || w < cols || h < rows {
			return nil
		}
		return pixelsMsg{image.Pt(w/cols, h/rows)} // a border may be counted in: rounded down
	}
}

// measured takes a size of cells.
func (s *Screen) measured(cell image.Point) tea.Cmd {
	old := s.cell
	s.cell, s.facts.cell = cell, fmt.Sprintf("%d×%d", cell.X, cell.Y)
	if s.Direct() && old != cell { // pictures were made for the old one
		for _, p := range s.pictures {
			p.wire, p.full = nil, nil
		}
		s.afresh()
	}
	return tea.Batch(s.choose(), s.pump())
}

// question asks the terminal, through every tmux, and about graphics too as soon as that is worth it.
func (s *Screen) question(qs ...string) tea.Cmd {
	f := &s.facts
	if !f.asked && f.worthAsking() {
		f.asked = true
		qs = append(qs, askGraphics)
	}
	if f.sixel && !f.counted {
		f.counted = true
		qs = append(qs, askColours)
	}
	if len(qs) == 0 {
		return nil
	}
	f.fences++
	s.asked = s.now()
	var q strings.Builder
	for _, question := range append(qs, askFence) {
		q.WriteString(wrap(question, f.depth))
	}
	return s.write(&burst{bytes: q.String()}) // never between the pieces of a picture
}

// Update takes the terminal's answers and the Screen's own messages; it ignores all others. Give it every message, tea.RawMsg too.
// The program must not ask for the terminal's version itself: inside tmux, tmux would answer.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	return tea.Batch(s.update(msg), s.enter(), s.watch(msg))
}

func (s *Screen) update(msg tea.Msg) tea.Cmd {
	f := &s.facts
	if msg == clearScreen {
		s.afresh()
	}
	switch msg := msg.(type) {
	// answers about the terminal
	case tea.ColorProfileMsg:
		f.profile = msg.Profile
		return tea.Batch(s.moreColours(), s.choose())
	case tea.TerminalVersionMsg:
		if name, _ := parseVersion(msg.Name); name == "tmux" {
			if f.depth < maxDepth { // one more tmux than the environment knows, as after ssh from within one
				f.depth++
				return s.ask()
			}
			return nil
		}
		f.version = msg.Name
		return tea.Batch(s.question(), s.moreColours(), s.choose())
	case uv.CellSizeEvent:
		if msg.Width > 0 && msg.Height > 0 {
			s.told = true
			return s.measured(image.Pt(min(msg.Width, 100), min(msg.Height, 200)))
		}
	case pixelsMsg:
		if !s.told {
			return s.measured(image.Pt(min(msg.cell.X, 100), min(msg.cell.Y, 200)))
		}
	case uv.UnknownCsiEvent:
		if n, ok := parseColours(string(msg)); ok {
			f.colours = n
			return s.choose()
		}
	case uv.PrimaryDeviceAttributesEvent:
		f.sixel = f.sixel || slices.Contains(msg, 4)
		if f.fenced++; f.fenced == f.fences && !s.asked.IsZero() {
			s.pace.roundTrip(s.now().Sub(s.asked))
			s.asked = time.Time{}
		}
		return tea.Batch(s.question(), s.moreColours(), s.choose())
	case tea.CursorPositionMsg:
		at := image.Pt(msg.X, msg.Y)
		return tea.Batch(s.reached(at), s.glimpsed(func(f *fence) bool { return f.id == 0 && f.at == at }))
	case silenceMsg:
		if msg.probing == s.probing {
			f.waited = true
			if s.silentTerminal() {
				s.proven(s.sight.fences)
			}
			return s.choose()
		}
	case uv.KittyGraphicsEvent:
		if msg.Options.ID == queryID {
			f.graphics = string(msg.Payload)
			return s.choose()
		}
		if msg.Options.ID >= firstFence {
			return s.glimpsed(func(f *fence) bool { return f.id == msg.Options.ID })
		}
		if strings.HasPrefix(string(msg.Payload), "ENOENT") && s.doubted == msg.Options.ID {
			s.doubted = 0
			return s.Forget()
		}
		return s.answered(msg.Options.ID, string(msg.Payload) == "OK")
	case tea.FocusMsg:
		return s.doubt()
	case tea.WindowSizeMsg:
		old := s.size
		s.size = msg
		s.afresh() // the renderer clears the screen
		if old != msg {
			s.Hide()
		}
		if old.Width > 0 && old != msg && f.cell != "" { // perhaps another font
			return tea.Batch(tea.Raw(wrap(askCell, f.depth)), s.measure(), s.doubt())
		}

	// news of pictures
	case encodedMsg:
		return s.encoded(msg)
	case drawnMsg:
		return s.drawn()
	case frameMsg:
		return s.framed(msg.round)
	case blindMsg:
		return s.blind(msg.fence)
	case pieceMsg:
		return s.proceed(msg.burst)
	case quietMsg:
		if msg.shows == s.shows {
			s.calm = true
			return s.pump()
		}
	case tea.RawMsg:
		switch b := msg.Msg.(type) {
		case *burst:
			return s.written(b)
		case *stroke:
			return s.struck(b)
		}
	case lookMsg:
		s.wall.looking = false
		return s.look()
	case silentMsg:
		return s.silent(msg.stroke)
	case holdMsg:
		s.wall.leaving = msg.msg
		return tea.Batch(s.left(), s.after(patience/2, leaveMsg(msg)))
	case leaveMsg:
		if s.wall.leaving == msg.msg {
			return s.leave()
		}
	case tea.ResumeMsg:
		s.wall.leaving, s.wall.going = nil, false
		s.afresh()
	case overdueMsg:
		return s.overdue(msg.send)
	}
	return nil
}

// doubt asks whether the terminal still has the pictures, when tmux may have been attached in another one: the answer to a placement of
// a picture that is not there is ENOENT.
func (s *Screen) doubt() tea.Cmd {
	k, ok := s.driver.(kittyStore)
	if !ok || k.depth == 0 {
		return nil
	}
	for _, p := range s.wanted {
		if p.slot != 0 && p.state == shown {
			s.doubted = p.slot
			return s.write(&burst{bytes: k.exists(p.slot, p.cols, p.rows)})
		}
	}
	return nil
}

// clearScreen is what the program does to its screen after tea.ClearScreen.
var clearScreen = tea.ClearScreen()

// moreColours lets the program use 24-bit colours where TERM promises fewer, as over ssh or in xterm: every terminal that answers
// XTVERSION (xterm since 2020, and those that followed) or has sixel has them, and tmux brings them down to what its terminal has. The screen is
// drawn again, since its cells were written with the fewer.
func (s *Screen) moreColours() tea.Cmd {
	if p := s.facts.profile; s.facts.version == "" && !s.facts.sixel || p != colorprofile.ANSI && p != colorprofile.ANSI256 {
		return nil
	}
	more := func() tea.Msg { return tea.ColorProfileMsg{Profile: colorprofile.TrueColor} }
	return tea.Sequence(more, tea.ClearScreen)
}

// choose picks the driver that the facts allow. While a later round of questions is open only a better one is taken.
func (s *Screen) choose() tea.Cmd {
	name, _ := s.facts.decide()
	if !textual(s.Driver()) && textual(name) && s.driver != nil && !s.facts.settled() {
		return nil
	}
	next := s.made(name)
	if next == s.driver {
		return nil
	}
	erase := s.empty()
	if next != nil { // what was made for the old driver
		_, isText := next.(textDriver)
		for _, p := range s.pictures {
			p.wire, p.full, p.refused, p.broken = nil, nil, false, false
			if isText {
				p.text = nil
			}
		}
	}
	s.driver = next
	return tea.Batch(erase, s.pump())
}

// made is the driver of a name.
func (s *Screen) made(name string) driver {
	f := s.facts
	switch name {
	case "kitty":
		return kittyStore{depth: f.depth}
	case "kitty-direct":
		return kittyDirect{}
	case "iterm2":
		return iterm2{}
	case "sixel":
		return sixel{colours: f.colours}
	case "half-blocks":
		return halfBlocks{}
	case "quadrants":
		return quadrants{}
	case "sextants":
		return sextants{}
	case "text":
		return text{colours: f.profile != colorprofile.ASCII}
	}
	return nil
}

// Driver is "kitty", "kitty-direct", "iterm2", "sixel", "half-blocks", "quadrants", "sextants", "text" or "none".
func (s *Screen) Driver() string {
	if s.driver == nil {
		return "none"
	}
	return s.driver.name()
}

// Grid is how many pixels the driver draws in a cell: those of the screen, where it draws pictures; 0,0 where it draws them and the
// terminal did not say how many that are, or where there is no driver.
func (s *Screen) Grid() (w, h int) {
	if t, ok := s.driver.(textDriver); ok {
		g := t.grid()
		return g.X, g.Y
	}
	if s.driver == nil {
		return 0, 0
	}
	return s.cell.X, s.cell.Y
}

// Why says what was asked, what came back and what was chosen: three lines for `doctor` and the help page.
func (s *Screen) Why() string { return s.facts.why() }

// Hint is one sentence on how to see better pictures here, "" when there is nothing to say.
func (s *Screen) Hint() string { return s.facts.hint() }

// CellPixels is the size of one cell in pixels, 0,0 when the terminal did not say.
func (s *Screen) CellPixels() (w, h int) { return s.cell.X, s.cell.Y }

// Show says which pictures are wanted now, most interesting first; it replaces the last call's. Those after the first MaxWants stay
// blank. Cheap when nothing changed.
func (s *Screen) Show(wants []Want) tea.Cmd {
	s.turn++
	old, fresh, gone, changed := s.wanted, false, len(s.wanted) == 0, false
	s.wanted = make([]*picture, 0, len(wants))
	for _, w := range wants {
		if w.Cols <= 0 || w.Rows <= 0 || len(s.wanted) == MaxWants {
			continue
		}
		b := box{w.Key, w.Cols, w.Rows}
		p := s.pictures[b]
		if p == nil {
			p = &picture{box: b}
			s.pictures[b] = p
		}
		if p.turn == s.turn {
			continue // named twice
		}
		k := len(s.wanted)
		changed = changed || k >= len(old) || old[k] != p || p.ahead != w.Prefetch || p.img == nil && w.Img != nil
		fresh = fresh || p.turn != s.turn-1 && p.state == absent
		p.turn, p.ahead = s.turn, w.Prefetch
		if w.Img != nil {
			p.img = w.Img
		}
		s.wanted = append(s.wanted, p)
	}
	for _, p := range old {
		if p.turn != s.turn {
			p.img = nil
			gone = gone || !p.ahead
			p.out()
		}
	}
	var frame, rest tea.Cmd
	if changed {
		s.shows++
		s.calm = false
		d := quiet
		if s.pace.slow() {
			d = quietSlow
		}
		rest = s.after(d, quietMsg{s.shows})
	}
	if fresh {
		s.tidy()
	}
	if _, isText := s.driver.(textDriver); gone && changed && !isText && !s.held { // another page: its frame first
		s.held, s.heldFor = true, s.sight.open
		frame = s.close()
	}
	return tea.Batch(frame, rest, s.pump(), s.enter())
}

// Forget takes every picture out of the terminal, sends the wanted ones again and asks the terminal again: for ctrl+l, after a
// suspended program comes back, after tmux is attached elsewhere.
func (s *Screen) Forget() tea.Cmd {
	if s.driver == nil {
		return nil
	}
	for _, p := range s.pictures {
		p.refused, p.broken = false, false
	}
	s.patience, s.pace = patience, pace{}
	return tea.Batch(s.empty(), s.ask(), s.pump())
}

// Close is what to write to the terminal before leaving: it frees every picture there.
func (s *Screen) Close() string {
	if d, ok := s.driver.(direct); ok {
		var b strings.Builder
		for _, slot := range s.wall.gone {
			b.WriteString(d.wipe(slot))
		}
		for _, sp := range s.wall.spots {
			if sp.state >= ordered {
				b.WriteString(d.wipe(sp.slot))
			}
		}
		return b.String()
	}
	st, ok := s.driver.(store)
	if !ok {
		return ""
	}
	var b strings.Builder
	if len(s.outbox) > 0 && len(s.outbox[0].pieces) > 0 {
		b.WriteString(st.abandon())
	}
	for i := firstSlot; i <= lastSlot; i++ {
		if s.slots[i].owner != nil || s.slots[i].dirty {
			b.WriteString(st.erase(i))
		}
	}
	return b.String()
}

// Lines is the text of a picture's box: exactly rows lines of cols cells, blank until there is something to see. The lines are
// shared: they must not be changed.
func (s *Screen) Lines(key string, cols, rows int) []string {
	if cols <= 0 || rows <= 0 {
		return blank(cols, rows)
	}
	p := s.pictures[box{key, cols, rows}]
	if s.driver == nil || p != nil && p.broken {
		return note("no picture", cols, rows)
	}
	if p != nil {
		// A slot that still holds another picture must not be seen; text, where there is some, stays until the picture is there.
		inSlot := p.slot != 0 && !s.slots[p.slot].dirty
		if s.Direct() && inSlot && p.wire != nil {
			return p.lines
		}
		if inSlot && (p.state >= late || p.text == nil) {
			return p.lines
		}
		if p.text != nil {
			return p.text
		}
	}
	size := image.Pt(cols, rows)
	if s.blanks[size] == nil {
		s.blanks[size] = blank(cols, rows)
	}
	return s.blanks[size]
}

// Visible reports whether the picture is on screen: Show wants it, not ahead, the terminal holds it, or it is text, and the frame that shows it
// has arrived.
func (s *Screen) Visible(key string, cols, rows int) bool {
	if !s.Ready(key, cols, rows) {
		return false
	}
	return s.Direct() || s.pictures[box{key, cols, rows}].framed
}

// Hide says that the view is another one now, whatever Show wants: no picture is on screen before its next frame is.
func (s *Screen) Hide() {
	for _, p := range s.wanted {
		p.out()
	}
}

// Ready reports whether there is a picture to be drawn: the terminal holds it, or it is text. With a driver that paints at the cursor:
// whether it is on screen.
func (s *Screen) Ready(key string, cols, rows int) bool {
	p := s.pictures[box{key, cols, rows}]
	if s.driver == nil || p == nil || p.broken {
		return false
	}
	if s.Direct() && p.slot != 0 {
		sp := s.wall.spots[p]
		return sp != nil && sp.state == dry
	}
	return p.text != nil || p.state >= late
}
