// Package imgview shows decoded pictures in a grid of terminal cells.
//
// A Screen asks the terminal what it can draw, without ever waiting for the answer, and picks a driver: kitty's Unicode
// placeholders, where a picture behaves like text, or half-blocks, which work everywhere. The program hands it the pictures
// it wants to see (Show), puts the text of Lines into its view, and passes it every message (Update).
//
//	s := imgview.New(imgview.Options{})
//	func (m model) Init() tea.Cmd { return s.Init() }
//	func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) { cmd := s.Update(msg); …; return m, tea.Batch(cmd, s.Show(wants)) }
//	func (m model) View() tea.View { … s.Lines(key, cols, rows) … }
//
// A frame goes out first, then its pictures: so a key answers at once on a slow link. At most Options.Window bytes of pictures are
// under way without the terminal's word that they arrived, and pictures that are no longer wanted are never sent.
package imgview

import (
	"cmp"
	"fmt"
	"image"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"
)

// Options says how a Screen finds its driver and how much it sends at once. The zero value is right for most programs.
type Options struct {
	Force  string              // "auto" or "": ask the terminal; "kitty", "halfblocks", "none": use that
	Env    func(string) string // TERM, TMUX, …; nil: os.Getenv
	Window int                 // bytes of pictures under way to the terminal without its answer; 0: 32 KiB
}

// Want is one picture to be shown in a box of Cols×Rows cells. Key names the picture and its version (another stretch, another
// key): the same key must always mean the same pixels. A nil Img is a picture that is not there yet: it stays blank. The pixels
// are read in the background: they must not change after they were given.
type Want struct {
	Key        string
	Img        image.Image
	Cols, Rows int
}

// MaxWants is how many pictures can be on screen: so many numbers the terminal has for them.
const MaxWants = lastSlot - firstSlot + 1

const (
	defaultWindow = 32 << 10
	patience      = 2 * time.Second       // for an answer: after it, go on without
	maxPatience   = 30 * time.Second      // on a link whose answers come late
	frameTime     = 40 * time.Millisecond // two frames at 60 a second: the view is on its way
	cacheBytes    = 64 << 20              // of encoded pictures
	maxDepth      = 3                     // tmux in tmux in tmux
)

// Screen shows pictures. One per program; all methods run in the program's Update or View, none of them waits.
type Screen struct {
	window  int
	tmux    int // how many tmux the environment admits to
	facts   facts
	cell    image.Point
	size    tea.WindowSizeMsg
	probing uint64 // number of the last round of questions

	driver   driver // nil: none
	pictures map[box]*picture
	wanted   []*picture // most interesting first
	turn     uint64     // number of the last Show, from 2
	slots    [lastSlot + 1]slot
	encoding int  // commands under way
	held     bool // the frame of a new page has not gone out yet
	flight   int  // bytes sent and not acknowledged
	sends    uint64
	patience time.Duration
	outbox   []*burst // the first is on its way to the output

	blanks map[image.Point][]string
	after  func(time.Duration, tea.Msg) tea.Cmd // tests keep their own time
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
	wire    []byte // encoded for a store
	text    []string

	slot  int // 0: none
	state state
	send  uint64 // number of the last send
	bytes int    // under way
	lines []string
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
		store bool
		encoded
		err error
	}
	frameMsg   struct{}
	silenceMsg struct{ probing uint64 } // no answers to the questions
	overdueMsg struct{ sends []uint64 } // no answers to pictures
	burst      struct {                 // what tea.Raw is given: comes back to Update once it is in the output
		bytes string
		clean []int    // slots emptied
		sends []uint64 // pictures sent
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
		window: opt.Window, patience: patience, turn: 1,
		pictures: map[box]*picture{}, blanks: map[image.Point][]string{},
		facts: facts{force: opt.Force, term: env("TERM")},
		after: func(d time.Duration, msg tea.Msg) tea.Cmd {
			return tea.Tick(d, func(time.Time) tea.Msg { return msg })
		},
	}
	if s.window <= 0 {
		s.window = defaultWindow
	}
	if env("TMUX") != "" || strings.HasPrefix(env("TERM"), "tmux") {
		s.tmux = 1
	}
	s.facts.depth = s.tmux
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
	f.asked, f.version, f.graphics, f.cell, f.fences, f.fenced, f.waited = false, "", "", "", 0, 0, false
	return tea.Batch(s.question(askVersion, askCell), s.after(patience, silenceMsg{n}))
}

// question asks the terminal, through every tmux, and about graphics too as soon as that is worth it.
func (s *Screen) question(qs ...string) tea.Cmd {
	f := &s.facts
	if !f.asked && f.worthAsking() {
		f.asked = true
		qs = append(qs, askGraphics)
	}
	if len(qs) == 0 {
		return nil
	}
	f.fences++
	var q strings.Builder
	for _, question := range append(qs, askFence) {
		q.WriteString(wrap(question, f.depth))
	}
	return tea.Raw(q.String())
}

// Update takes the terminal's answers and the Screen's own messages; it ignores all others. Give it every message, tea.RawMsg too.
// The program must not ask for the terminal's version itself: inside tmux, tmux would answer.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	f := &s.facts
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
			s.cell = image.Pt(msg.Width, msg.Height)
			f.cell = fmt.Sprintf("%d×%d", msg.Width, msg.Height)
		}
	case uv.PrimaryDeviceAttributesEvent:
		f.fenced++
		return s.choose()
	case silenceMsg:
		if msg.probing == s.probing {
			f.waited = true
			return s.choose()
		}
	case uv.KittyGraphicsEvent:
		if msg.Options.ID == queryID {
			f.graphics = string(msg.Payload)
			return s.choose()
		}
		return s.answered(msg.Options.ID, string(msg.Payload) == "OK")
	case tea.WindowSizeMsg:
		old := s.size
		s.size = msg
		if old.Width > 0 && old != msg && f.cell != "" { // perhaps another font
			return tea.Raw(wrap(askCell, f.depth))
		}

	// news of pictures
	case encodedMsg:
		return s.encoded(msg)
	case frameMsg:
		s.held = false
		return s.pump()
	case tea.RawMsg:
		if b, ok := msg.Msg.(*burst); ok {
			return s.written(b)
		}
	case overdueMsg:
		return s.overdue(msg.sends)
	}
	return nil
}

// moreColours lets the program use 24-bit colours where TERM promises fewer, as over ssh or in xterm: every terminal that answers
// XTVERSION (xterm since 2020, and those that followed) has them, and tmux brings them down to what its terminal has. The screen is
// drawn again, since its cells were written with the fewer.
func (s *Screen) moreColours() tea.Cmd {
	if p := s.facts.profile; s.facts.version == "" || p != colorprofile.ANSI && p != colorprofile.ANSI256 {
		return nil
	}
	more := func() tea.Msg { return tea.ColorProfileMsg{Profile: colorprofile.TrueColor} }
	return tea.Sequence(more, tea.ClearScreen)
}

// choose picks the driver that the facts allow. While a later round of questions is open only a better one is taken.
func (s *Screen) choose() tea.Cmd {
	name, _ := s.facts.decide()
	if name == s.Driver() && name != "kitty" {
		return nil
	}
	if s.Driver() == "kitty" && name == "half-blocks" && !s.facts.settled() {
		return nil
	}
	var next driver
	switch name {
	case "kitty":
		next = kittyStore{depth: s.facts.depth}
	case "half-blocks":
		next = halfBlocks{}
	}
	if next == s.driver {
		return nil
	}
	erase := s.empty()
	s.driver = next
	return tea.Batch(erase, s.pump())
}

// Driver is "kitty", "half-blocks" or "none".
func (s *Screen) Driver() string {
	if s.driver == nil {
		return "none"
	}
	return s.driver.name()
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
	old, fresh := s.wanted, false
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
		fresh = fresh || p.turn != s.turn-1 && p.state == absent
		p.turn = s.turn
		if w.Img != nil {
			p.img = w.Img
		}
		s.wanted = append(s.wanted, p)
	}
	for _, p := range old {
		if p.turn != s.turn {
			p.img = nil
		}
	}
	var frame tea.Cmd
	if fresh {
		s.tidy()
		if !s.held {
			s.held = true
			frame = s.after(frameTime, frameMsg{})
		}
	}
	return tea.Batch(frame, s.pump())
}

// usesStore reports whether p is, or will be, kept in the terminal.
func (s *Screen) usesStore(p *picture) bool {
	_, ok := s.driver.(store)
	return ok && !p.refused
}

// pump does what can be done now: starts encoders, hands out slots, sends.
func (s *Screen) pump() tea.Cmd {
	if s.driver == nil {
		return nil
	}
	var cmds []tea.Cmd
	for _, p := range s.wanted {
		if s.encoding >= runtime.GOMAXPROCS(0) {
			break
		}
		inStore := s.usesStore(p)
		missing := p.text == nil
		if inStore {
			missing = p.wire == nil && p.state == absent
		}
		if p.img == nil || p.busy || p.broken || !missing {
			continue
		}
		var d driver = halfBlocks{}
		if inStore {
			d = s.driver
		}
		p.busy = true
		s.encoding++
		cmds = append(cmds, encode(d, p.box, p.img, s.cell))
	}
	if st, ok := s.driver.(store); ok {
		cmds = append(cmds, s.assign(st), s.send(st))
	}
	return tea.Batch(cmds...)
}

// encode runs the encoder in a command; a picture that it stumbles over is an error, never a crash.
func encode(d driver, b box, img image.Image, cell image.Point) tea.Cmd {
	return func() (msg tea.Msg) {
		_, inStore := d.(store)
		m := encodedMsg{box: b, store: inStore}
		defer func() {
			if r := recover(); r != nil {
				m.err = fmt.Errorf("encoding: %v", r)
				msg = m
			}
		}()
		m.encoded, m.err = d.encode(img, b.cols, b.rows, cell)
		return m
	}
}

func (s *Screen) encoded(m encodedMsg) tea.Cmd {
	s.encoding--
	if p := s.pictures[m.box]; p != nil {
		p.busy = false
		switch {
		case m.err != nil:
			p.broken = true
		case m.store:
			p.wire = m.wire
		default:
			p.text = m.text
		}
	}
	return s.pump()
}

// assign gives every wanted picture a slot, taking those that were wanted longest ago, and empties what lay there before.
func (s *Screen) assign(st store) tea.Cmd {
	var homeless []*picture
	for _, p := range s.wanted {
		if p.slot == 0 && p.img != nil && !p.broken && !p.refused {
			homeless = append(homeless, p)
		}
	}
	if len(homeless) == 0 {
		return nil
	}
	free := make([]int, 0, len(s.slots))
	for i := firstSlot; i <= lastSlot; i++ {
		if o := s.slots[i].owner; o == nil || o.turn != s.turn && o.state != flying {
			free = append(free, i)
		}
	}
	since := func(i int) uint64 { // empty ones first, then the longest unwanted
		switch sl := s.slots[i]; {
		case sl.owner != nil:
			return sl.owner.turn + 2
		case sl.dirty:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(free, func(a, b int) int { return cmp.Compare(since(a), since(b)) })
	t := &burst{}
	for i, p := range homeless[:min(len(homeless), len(free))] {
		n := free[i]
		sl := &s.slots[n]
		if o := sl.owner; o != nil {
			o.leave()
			sl.dirty = true
			t.bytes += st.erase(n)
			t.clean = append(t.clean, n)
		}
		sl.owner, p.slot = p, n
		p.lines = st.place(n, p.cols, p.rows)
	}
	return s.write(t)
}

// leave takes a picture out of its slot.
func (p *picture) leave() { p.slot, p.state, p.bytes, p.lines = 0, absent, 0, nil }

// send sends the next pictures, as many as the window has room for.
func (s *Screen) send(st store) tea.Cmd {
	if s.held {
		return nil
	}
	var out strings.Builder
	t := &burst{}
	for _, p := range s.wanted {
		if p.slot == 0 || s.slots[p.slot].dirty || p.state != absent || p.wire == nil || p.refused {
			continue
		}
		seq := st.transmit(p.slot, p.wire, p.cols, p.rows)
		if s.flight > 0 && s.flight+len(seq) > s.window {
			break
		}
		out.WriteString(seq)
		s.sends++
		p.state, p.send, p.bytes = flying, s.sends, len(seq)
		s.flight += len(seq)
		t.sends = append(t.sends, p.send)
	}
	t.bytes = out.String()
	return s.write(t)
}

// write queues bytes for the terminal. Only one burst is on its way to the output at a time: commands may overtake each other,
// and an old picture must not land in a slot that has been given to another.
func (s *Screen) write(b *burst) tea.Cmd {
	if b.bytes == "" {
		return nil
	}
	s.outbox = append(s.outbox, b)
	if len(s.outbox) > 1 {
		return nil
	}
	return tea.Raw(b)
}

// written: the burst is in the program's output. Emptied slots can be shown, the wait for answers begins, the next burst goes.
func (s *Screen) written(b *burst) tea.Cmd {
	if len(s.outbox) == 0 || s.outbox[0] != b {
		return nil
	}
	s.outbox = s.outbox[1:]
	var cmds []tea.Cmd
	if len(s.outbox) > 0 {
		cmds = append(cmds, tea.Raw(s.outbox[0]))
	}
	for _, n := range b.clean {
		s.slots[n].dirty = false
	}
	if len(b.sends) > 0 {
		cmds = append(cmds, s.after(s.patience, overdueMsg{b.sends}))
	}
	return tea.Batch(append(cmds, s.pump())...)
}

// answered: the terminal has taken, or refused, the picture in slot n.
func (s *Screen) answered(n int, ok bool) tea.Cmd {
	if n < firstSlot || n > lastSlot || s.slots[n].owner == nil {
		return nil
	}
	p := s.slots[n].owner
	switch p.state {
	case absent:
		return nil
	case late: // the link is slower than thought
		s.patience = min(2*s.patience, maxPatience)
	}
	s.flight -= p.bytes
	p.bytes = 0
	p.state = shown
	if !ok {
		p.refused = true
		p.leave()
		s.slots[n] = slot{dirty: true}
		if st, ok := s.driver.(store); ok {
			return tea.Batch(s.write(&burst{bytes: st.erase(n), clean: []int{n}}), s.pump())
		}
	}
	return s.pump()
}

// overdue: the answers to these sends are lost, or slow; go on without them.
func (s *Screen) overdue(sends []uint64) tea.Cmd {
	for i := firstSlot; i <= lastSlot; i++ {
		if p := s.slots[i].owner; p != nil && p.state == flying && slices.Contains(sends, p.send) {
			s.flight -= p.bytes
			p.bytes = 0
			p.state = late
		}
	}
	return s.pump()
}

// empty frees every slot in the terminal; their owners keep them, to be sent again.
func (s *Screen) empty() tea.Cmd {
	s.flight = 0
	st, ok := s.driver.(store)
	if !ok {
		return nil
	}
	t := &burst{}
	for i := firstSlot; i <= lastSlot; i++ {
		sl := &s.slots[i]
		if sl.owner == nil && !sl.dirty {
			continue
		}
		if sl.owner != nil {
			sl.owner.leave()
			sl.owner = nil
		}
		sl.dirty = true
		t.bytes += st.erase(i)
		t.clean = append(t.clean, i)
	}
	return s.write(t)
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
	s.patience = patience
	return tea.Batch(s.empty(), s.ask(), s.pump())
}

// Close is what to write to the terminal before leaving: it frees every picture there.
func (s *Screen) Close() string {
	st, ok := s.driver.(store)
	if !ok {
		return ""
	}
	var b strings.Builder
	for i := firstSlot; i <= lastSlot; i++ {
		if s.slots[i].owner != nil || s.slots[i].dirty {
			b.WriteString(st.erase(i))
		}
	}
	return b.String()
}

// tidy forgets what is neither wanted nor in the terminal, the longest unwanted first, until the encoded bytes are few enough.
func (s *Screen) tidy() {
	cached := 0
	var old []*picture
	for b, p := range s.pictures {
		c := encoded{p.wire, p.text}.cost()
		cached += c
		switch {
		case p.turn == s.turn || p.busy:
		case c > 0:
			old = append(old, p)
		case p.slot == 0:
			delete(s.pictures, b)
		}
	}
	if cached <= cacheBytes {
		return
	}
	slices.SortFunc(old, func(a, b *picture) int { return cmp.Compare(a.turn, b.turn) })
	for _, p := range old {
		cached -= encoded{p.wire, p.text}.cost()
		p.wire, p.text = nil, nil
		if p.slot == 0 {
			delete(s.pictures, p.box)
		}
		if cached <= cacheBytes {
			return
		}
	}
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

// Visible reports whether the picture is on screen: the terminal said so, or it is drawn as text.
func (s *Screen) Visible(key string, cols, rows int) bool {
	p := s.pictures[box{key, cols, rows}]
	if s.driver == nil || p == nil || p.broken {
		return false
	}
	return p.text != nil || p.state >= late
}
