package imgview

import (
	"fmt"
	"image"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi/kitty"
	"golang.org/x/image/draw"
)

// bench runs a Screen without a program: commands at once and in order, time by hand, and a terminal that keeps what it was sent.
type bench struct {
	open    int // slot of a picture whose last piece is still to come; 0: none
	t       *testing.T
	s       *Screen
	now     time.Duration
	timers  []timer
	raw     []string       // all that was written
	store   map[int]string // slot → its picture's data
	unacked []int          // slots, in the order they were filled
	acks    func(slot int) string

	link *link // answers by itself

	deaf      bool      // answers no questions behind frames,
	questions []tea.Msg // these
}

// link is a slow way to the terminal.
type link struct {
	rate    float64 // bytes a second
	trip    time.Duration
	free    time.Duration // when all that was sent has left
	longest time.Duration // that a key's frame would have waited behind pictures
}

type timer struct {
	at  time.Duration
	msg tea.Msg
}

func newBench(t *testing.T, opt Options, env map[string]string) *bench {
	b := &bench{t: t, store: map[int]string{}}
	opt.Env = func(k string) string { return env[k] }
	b.s = New(opt)
	b.s.after = func(d time.Duration, msg tea.Msg) tea.Cmd {
		b.timers = append(b.timers, timer{b.now + d, msg})
		return nil
	}
	b.s.now = func() time.Time { return time.Unix(1e9, 0).Add(b.now) }
	b.run(b.s.Init())
	return b
}

// kittyBench is a kitty that acknowledges at once what acks names; nil: nothing.
func kittyBench(t *testing.T, window int, acks func(int) string) *bench {
	b := newBench(t, Options{Window: window}, map[string]string{"TERM": "xterm-kitty"})
	b.acks = acks
	b.send(uv.KittyGraphicsEvent{Options: kitty.Options{ID: queryID}, Payload: []byte("OK")})
	b.send(tea.TerminalVersionMsg{Name: "kitty(0.41.1)"})
	b.send(uv.CellSizeEvent{Width: 10, Height: 20})
	b.send(uv.PrimaryDeviceAttributesEvent{62})
	if b.s.Driver() != "kitty" {
		t.Fatalf("driver %s: %s", b.s.Driver(), b.s.Why())
	}
	return b
}

func yes(int) string { return "OK" }

func (b *bench) send(msg tea.Msg) { b.run(b.s.Update(msg)) }

func (b *bench) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil:
	case tea.BatchMsg:
		for _, c := range msg {
			b.run(c)
		}
	case tea.RawMsg:
		b.receive(fmt.Sprint(msg.Msg))
		b.send(msg)
		for !b.deaf && b.link == nil && len(b.questions) > 0 {
			b.reply()
		}
		for i := 0; b.acks != nil && i < len(b.unacked); i++ {
			if a := b.acks(b.unacked[i]); a != "" {
				slot := b.unacked[i]
				b.unacked = slices.Delete(b.unacked, i, i+1)
				i = -1
				b.answer(slot, a)
			}
		}
	default:
		b.send(msg)
	}
}

// reply answers the oldest question behind a frame.
func (b *bench) reply() {
	q := b.questions[0]
	b.questions = b.questions[1:]
	b.send(q)
}

func (b *bench) answer(slot int, text string) {
	b.send(uv.KittyGraphicsEvent{Options: kitty.Options{ID: slot}, Payload: []byte(text)})
}

var apc = regexp.MustCompile("\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\\\")

var place = regexp.MustCompile(`\x1b7\x1b\[(\d+);(\d+)H\x1b\[6n\x1b8`)

func (b *bench) receive(s string) {
	b.raw = append(b.raw, s)
	if m := place.FindStringSubmatch(s); m != nil && !b.s.Direct() { // of a wall others answer
		y, _ := strconv.Atoi(m[1])
		x, _ := strconv.Atoi(m[2])
		b.questions = append(b.questions, tea.CursorPositionMsg{X: x - 1, Y: y - 1})
	}
	slot := b.open
	for _, m := range apc.FindAllStringSubmatch(s, -1) {
		opts := map[string]string{}
		for o := range strings.SplitSeq(m[1], ",") {
			k, v, _ := strings.Cut(o, "=")
			opts[k] = v
		}
		if opts["i"] != "" {
			slot, _ = strconv.Atoi(opts["i"])
		}
		if b.open != 0 && opts["a"] != "" {
			b.t.Errorf("%v: a command comes between the pieces of the picture in slot %d: %v", b.now, b.open, opts)
		}
		switch opts["a"] {
		case "d":
			delete(b.store, slot)
			continue
		case "T":
			b.store[slot] = ""
		case "q":
			if slot < firstFence {
				continue
			}
			msg := uv.KittyGraphicsEvent{Options: kitty.Options{ID: slot}, Payload: []byte("OK")}
			if l := b.link; l != nil && !b.deaf {
				b.timers = append(b.timers, timer{max(l.free, b.now) + l.trip, msg})
				continue
			}
			b.questions = append(b.questions, msg)
			continue
		}
		b.store[slot] += m[2]
		if l := b.link; l != nil {
			l.free = max(l.free, b.now) + time.Duration(float64(len(m[0]))/l.rate*1e9)
			l.longest = max(l.longest, l.free-b.now)
		}
		if b.open = slot; opts["m"] != "0" {
			continue
		}
		b.open = 0
		b.unacked = append(b.unacked, slot)
		if l := b.link; l != nil {
			b.timers = append(b.timers, timer{l.free + l.trip, uv.KittyGraphicsEvent{Options: kitty.Options{ID: slot}, Payload: []byte("OK")}})
		}
	}
}

// pass lets time go by.
func (b *bench) pass(d time.Duration) {
	end := b.now + d
	for {
		sort.SliceStable(b.timers, func(i, j int) bool { return b.timers[i].at < b.timers[j].at })
		if len(b.timers) == 0 || b.timers[0].at > end {
			break
		}
		t := b.timers[0]
		b.timers = b.timers[1:]
		b.now = t.at
		b.send(t.msg)
	}
	b.now = end
}

// show wants the pictures from..to-1 and lets the frame go out.
func (b *bench) show(from, to int) []Want {
	wants := page(from, to)
	b.run(b.s.Show(wants))
	b.pass(frameTime)
	return wants
}

const boxCols, boxRows = 12, 6

func page(from, to int) []Want {
	var wants []Want
	for n := from; n < to; n++ {
		wants = append(wants, Want{Key: "p" + strconv.Itoa(n), Img: numbered(n), Cols: boxCols, Rows: boxRows})
	}
	return wants
}

// numbered is a picture with noise, so that it does not compress, all its own.
func numbered(n int) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, 32, 32))
	x := uint32(n)*2654435761 + 1
	for i := range img.Pix {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		img.Pix[i] = uint8(x)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	return img
}

func (b *bench) ready(from, to int) (n int) {
	for i := from; i < to; i++ {
		if b.s.Ready("p"+strconv.Itoa(i), boxCols, boxRows) {
			n++
		}
	}
	return n
}

var placed = regexp.MustCompile(`38;5;(\d+)m`)

// shows checks that the placeholders of every picture lead to a slot that holds this picture and no other.
func (b *bench) shows(from, to int) {
	b.t.Helper()
	for i := from; i < to; i++ {
		lines := b.s.Lines("p"+strconv.Itoa(i), boxCols, boxRows)
		checkSize(b.t, lines, boxCols, boxRows)
		m := placed.FindStringSubmatch(lines[0])
		if m == nil {
			b.t.Fatalf("picture %d has no placeholders: %q", i, lines[0])
		}
		slot, _ := strconv.Atoi(m[1])
		if q := b.quality(slot, i); q == "" {
			b.t.Fatalf("slot %d does not hold picture %d", slot, i)
		}
	}
}

// quality is how picture i lies in the slot: "full", "compact", or "": not at all.
func (b *bench) quality(slot, i int) string {
	for name, d := range map[string]kittyStore{"full": {}, "compact": {few: true}} {
		e, _ := d.encode(numbered(i), boxCols, boxRows, image.Pt(10, 20))
		var data string
		for _, w := range apc.FindAllStringSubmatch(strings.Join(d.transmit(slot, e.wire, 1, 1), ""), -1) {
			data += w[2]
		}
		if b.store[slot] == data {
			return name
		}
	}
	return ""
}

func TestTwelvePicturesInTwelveSlots(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.show(0, 12)
	if n := b.ready(0, 12); n != 12 {
		t.Fatalf("%d visible, want 12", n)
	}
	b.shows(0, 12)
}

func TestFrameGoesFirst(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.run(b.s.Show(page(0, 12)))
	if len(b.store) != 0 {
		t.Fatalf("%d pictures sent before the frame", len(b.store))
	}
	if l := b.s.Lines("p0", boxCols, boxRows); !strings.ContainsRune(l[0], kitty.Placeholder) {
		t.Errorf("no placeholders in the first frame: %q", l[0])
	}
	b.pass(frameTime)
	if len(b.store) != 12 {
		t.Errorf("%d pictures sent after the frame, want 12", len(b.store))
	}
}

func TestPacing(t *testing.T) {
	b := kittyBench(t, 12<<10, nil)
	b.show(0, 12)
	one := b.s.flight / len(b.unacked)
	if b.s.flight > 12<<10+100*len(b.unacked) || b.s.flight+one < 12<<10 {
		t.Fatalf("%d bytes under way, the window is %d and one picture %d", b.s.flight, 12<<10, one)
	}
	first := len(b.unacked)
	if b.ready(0, 12) != 0 {
		t.Error("visible without an answer")
	}

	b.answer(b.unacked[0], "OK") // makes room for one
	if len(b.unacked) != first+1 || b.ready(0, 12) != 1 || !b.s.Visible("p0", boxCols, boxRows) {
		t.Errorf("after one answer %d sent and %d visible", len(b.unacked), b.ready(0, 12))
	}
	b.answer(99, "OK") // about nothing of ours
	b.answer(b.unacked[0], "OK")
	if len(b.unacked) != first+1 {
		t.Error("an answer that was given before makes room again")
	}

	// The page is turned: what was not sent is not sent any more, and what is under way keeps its room.
	b.show(100, 112)
	if len(b.unacked) != first+1 {
		t.Errorf("%d sent without room", len(b.unacked)-first-1)
	}
	b.acks = yes
	for _, slot := range b.unacked[1 : first+1] {
		b.answer(slot, "OK")
	}
	if b.ready(100, 112) != 12 {
		t.Errorf("%d of the new page visible", b.ready(100, 112))
	}
	if b.ready(0, 12) != first+1 {
		t.Errorf("%d of the old page were sent, want %d", b.ready(0, 12), first+1)
	}
	b.shows(100, 112)
}

func TestLargePicture(t *testing.T) {
	b := kittyBench(t, 100, yes) // every picture is larger than the window: one by one
	b.show(0, 5)
	if b.ready(0, 5) != 5 {
		t.Errorf("%d visible, want 5", b.ready(0, 5))
	}
}

func TestLostAnswers(t *testing.T) {
	b := kittyBench(t, 100, nil)
	b.show(0, 3)
	for i := range 3 {
		if len(b.unacked) != i+1 || b.ready(0, 3) != i {
			t.Fatalf("after %d timeouts %d sent, %d visible", i, len(b.unacked), b.ready(0, 3))
		}
		b.pass(patience)
	}
	if b.ready(0, 3) != 3 {
		t.Errorf("%d visible at the end", b.ready(0, 3))
	}
	b.answer(b.unacked[0], "OK")
	if b.s.patience != 2*patience || b.s.flight != 0 {
		t.Errorf("a late answer: patience %v, flight %d", b.s.patience, b.s.flight)
	}
}

func TestOrderOfWants(t *testing.T) {
	b := kittyBench(t, 100, nil)
	wants := b.show(0, 4)
	slices.Reverse(wants[1:])
	b.run(b.s.Show(wants))
	b.acks = yes
	b.answer(b.unacked[0], "OK")
	if b.ready(0, 4) != 4 {
		t.Fatalf("%d visible", b.ready(0, 4))
	}
	var order []uint64
	for _, w := range wants {
		order = append(order, b.s.pictures[box{w.Key, w.Cols, w.Rows}].send)
	}
	if !slices.IsSorted(order) {
		t.Errorf("sent in the order %v", order)
	}
}

func TestRefusedPictureIsText(t *testing.T) {
	b := kittyBench(t, 0, func(slot int) string {
		if slot == firstSlot+3 {
			return "EINVAL:bad png"
		}
		return "OK"
	})
	b.show(0, 12)
	if b.ready(0, 12) != 12 {
		t.Errorf("%d visible, want 12", b.ready(0, 12))
	}
	if l := b.s.Lines("p3", boxCols, boxRows); !strings.Contains(l[2], "▀") {
		t.Errorf("the refused picture is %q", l[2])
	}
	b.shows(0, 3)
	b.shows(4, 12)
}

func TestSlotsAreReused(t *testing.T) {
	b := kittyBench(t, 0, yes)
	const pages = 24 // 288 pictures through 240 slots
	for p := range pages {
		from := p * 12
		b.show(from, from+12)
		if b.ready(from, from+12) != 12 {
			t.Fatalf("page %d: %d visible", p, b.ready(from, from+12))
		}
		if p < 2 || p >= pages-2 {
			b.shows(from, from+12)
		}
	}
	if len(b.store) != MaxWants {
		t.Errorf("%d pictures in the terminal", len(b.store))
	}
	sent := len(b.raw)
	b.show((pages-2)*12, (pages-1)*12)                           // the page before is still there
	if strings.Contains(strings.Join(b.raw[sent:], ""), "a=T") { // the frame is asked after, no more
		t.Error("a picture that the terminal has was sent again")
	}
	b.shows((pages-2)*12, (pages-1)*12)

	wants := page(0, 300) // more than there are slots: the first get them
	b.run(b.s.Show(wants))
	b.pass(frameTime)
	if n := b.ready(0, 300); n != MaxWants || b.ready(0, MaxWants) != MaxWants {
		t.Errorf("%d of 300 visible, want the first 240", n)
	}
	b.shows(0, 12)
	b.shows(228, 240)
}

// A slot's old picture must not be seen in its new owner's place: until it is erased, the place is blank.
func TestDirtySlotIsBlank(t *testing.T) {
	b := kittyBench(t, 0, yes)
	for p := range 20 {
		b.show(p*12, p*12+12)
	}
	cmd := b.s.Show(page(1000, 1012))
	if l := b.s.Lines("p1000", boxCols, boxRows); strings.TrimSpace(l[0]) != "" {
		t.Errorf("before the slot is empty: %q", l[0])
	}
	b.run(cmd)
	if l := b.s.Lines("p1000", boxCols, boxRows); strings.TrimSpace(l[0]) == "" {
		t.Error("blank after the slot was emptied")
	}
	b.pass(frameTime)
	b.shows(1000, 1012)
}

func TestForgetSendsAgain(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.show(0, 12)
	b.show(12, 24)
	b.store[16] = "something else was drawn" // and nobody told us
	b.run(b.s.Forget())
	if len(b.store) != 12 || b.ready(12, 24) != 12 || b.ready(0, 12) != 0 {
		t.Errorf("%d in the terminal, %d visible", len(b.store), b.ready(12, 24))
	}
	b.shows(12, 24)
	if b.s.Driver() != "kitty" {
		t.Errorf("driver %s while the answers are open", b.s.Driver())
	}
	b.send(tea.TerminalVersionMsg{Name: "XTerm(379)"}) // tmux was attached in another terminal
	b.send(uv.PrimaryDeviceAttributesEvent{62})
	if b.s.Driver() != "half-blocks" || len(b.store) != 0 || b.ready(12, 24) != 12 {
		t.Errorf("in another terminal: %s, %d in it, %d visible", b.s.Driver(), len(b.store), b.ready(12, 24))
	}
}

func TestClose(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.show(0, 12)
	b.receive(b.s.Close())
	if len(b.store) != 0 {
		t.Errorf("%d pictures left behind", len(b.store))
	}
	if s := newBench(t, Options{}, map[string]string{"TERM": "xterm"}).s.Close(); s != "" {
		t.Errorf("half-blocks close with %q", s)
	}
}

func TestHalfBlocksAtOnceThenUpgrade(t *testing.T) {
	b := newBench(t, Options{}, map[string]string{"TERM": "xterm-kitty"})
	b.acks = yes
	b.run(b.s.Show(page(0, 12)))
	if b.s.Driver() != "half-blocks" || b.ready(0, 12) != 12 {
		t.Fatalf("before any answer: %s, %d visible", b.s.Driver(), b.ready(0, 12))
	}
	b.pass(10 * time.Second) // no answer: stay
	if b.s.Driver() != "half-blocks" {
		t.Fatalf("without an answer: %s", b.s.Driver())
	}
	b.acks = nil
	b.send(uv.KittyGraphicsEvent{Options: kitty.Options{ID: queryID}, Payload: []byte("OK")})
	b.send(tea.TerminalVersionMsg{Name: "kitty(0.41.1)"}) // a late answer
	if b.s.Driver() != "kitty" || b.ready(0, 12) != 12 {
		t.Errorf("after a late answer: %s, %d visible", b.s.Driver(), b.ready(0, 12))
	}
	if l := b.s.Lines("p0", boxCols, boxRows); !strings.Contains(l[0], "▀") {
		t.Error("the text goes before the picture has come")
	}
	b.acks = yes
	for len(b.unacked) > 0 {
		slot := b.unacked[0]
		b.unacked = b.unacked[1:]
		b.answer(slot, "OK")
	}
	if l := b.s.Lines("p0", boxCols, boxRows); !strings.ContainsRune(l[0], kitty.Placeholder) {
		t.Error("the text stays after the picture has come")
	}
}

func TestTmux(t *testing.T) {
	b := newBench(t, Options{}, map[string]string{"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"})
	if want := wrap(askVersion, 1) + wrap(askCell, 1) + wrap(askFence, 1); b.raw[0] != want {
		t.Errorf("asked %q, want %q", b.raw[0], want)
	}
	if b.s.Hint() != "" {
		t.Errorf("hint before the time is over: %q", b.s.Hint())
	}
	b.pass(patience)
	if !strings.Contains(b.s.Hint(), "allow-passthrough") {
		t.Errorf("hint %q", b.s.Hint())
	}
}

// tmux was attached in another terminal: it has none of the pictures.
func TestAttachedElsewhere(t *testing.T) {
	b := newBench(t, Options{}, map[string]string{"TERM": "tmux-256color", "TMUX": "x"})
	b.send(tea.TerminalVersionMsg{Name: "kitty(0.41.1)"})
	b.send(uv.KittyGraphicsEvent{Options: kitty.Options{ID: queryID}, Payload: []byte("OK")})
	b.show(0, 3)
	for slot := firstSlot; slot < firstSlot+3; slot++ {
		b.answer(slot, "OK")
	}
	n := len(b.raw)
	b.send(tea.FocusMsg{})
	if len(b.raw) != n+1 || !strings.Contains(b.raw[n], "a=p,U=1,q=1,i=16,") {
		t.Fatalf("asked %q", b.raw[n:])
	}
	n = len(b.raw)
	b.send(uv.KittyGraphicsEvent{Options: kitty.Options{ID: 16}, Payload: []byte("ENOENT:no such image")})
	if all := strings.Join(b.raw[n:], ""); strings.Count(all, "a=T,") != 3 || !strings.Contains(all, wrap(askVersion, 1)) {
		t.Errorf("sent %.200q", all)
	}
	for _, p := range b.s.wanted {
		b.answer(p.slot, "OK")
	}
	if b.ready(0, 3) != 3 {
		t.Errorf("%d visible", b.ready(0, 3))
	}
}

// From within tmux over ssh, nothing in the environment tells: tmux itself answers, and is asked through.
func TestTmuxBehindSSH(t *testing.T) {
	b := newBench(t, Options{}, map[string]string{"TERM": "screen-256color"})
	b.send(tea.TerminalVersionMsg{Name: "tmux 3.5a"})
	b.send(tea.TerminalVersionMsg{Name: "kitty(0.41.1)"})
	b.send(uv.KittyGraphicsEvent{Options: kitty.Options{ID: queryID}, Payload: []byte("OK")})
	if want := []string{askVersion + askCell + askFence, wrap(askVersion, 1) + wrap(askCell, 1) + wrap(askFence, 1),
		wrap(askGraphics, 1) + wrap(askFence, 1)}; !slices.Equal(b.raw, want) {
		t.Fatalf("asked %q, want %q", b.raw, want)
	}
	b.show(0, 1)
	if last := b.raw[len(b.raw)-1]; b.s.Driver() != "kitty" || !strings.HasPrefix(last, "\x1bPtmux;\x1b\x1b_Ga=T") {
		t.Errorf("%s, sent %.40q", b.s.Driver(), last)
	}
	for range 10 { // no end of tmux: give up
		b.send(tea.TerminalVersionMsg{Name: "tmux 3.5a"})
	}
	if b.s.facts.depth > maxDepth {
		t.Errorf("depth %d", b.s.facts.depth)
	}
}

func TestMoreColours(t *testing.T) {
	for _, c := range []struct {
		promised, want colorprofile.Profile
	}{
		{colorprofile.ANSI, colorprofile.TrueColor},
		{colorprofile.ANSI256, colorprofile.TrueColor},
		{colorprofile.TrueColor, colorprofile.TrueColor},
		{colorprofile.ASCII, colorprofile.ASCII}, // NO_COLOR is a wish
	} {
		s := New(Options{Env: func(string) string { return "xterm" }})
		s.Update(tea.ColorProfileMsg{Profile: c.promised})
		s.facts.version = "XTerm(379)"
		got := c.promised
		if s.moreColours() != nil {
			got = colorprofile.TrueColor
		}
		if got != c.want {
			t.Errorf("%v becomes %v, want %v", c.promised, got, c.want)
		}
	}
}

func TestNone(t *testing.T) {
	b := newBench(t, Options{}, map[string]string{"TERM": "dumb"})
	b.show(0, 2)
	if len(b.raw) != 0 {
		t.Errorf("a dumb terminal is sent %q", b.raw)
	}
	lines := b.s.Lines("p0", 20, 3)
	checkSize(t, lines, 20, 3)
	if strings.TrimSpace(lines[1]) != "no picture" || b.s.Visible("p0", boxCols, boxRows) || b.s.Driver() != "none" {
		t.Errorf("%s, %q", b.s.Driver(), lines)
	}
	checkSize(t, b.s.Lines("p0", 4, 1), 4, 1)
}

// crash is a picture that cannot be read.
type crash struct{ image.Image }

func (crash) Bounds() image.Rectangle { panic("broken") }

func TestBadWants(t *testing.T) {
	var none *image.RGBA
	for _, force := range []string{"kitty", "halfblocks", "none"} {
		b := newBench(t, Options{Force: force}, nil)
		b.acks = yes
		wants := []Want{
			{"nil", nil, 5, 2, false}, {"typed nil", none, 5, 2, false}, {"crash", crash{}, 5, 2, false}, {"empty", image.NewRGBA(image.Rectangle{}), 5, 2, false},
			{"no box", numbered(0), 0, 2, false}, {"negative", numbered(0), 5, -1, false}, {"good", numbered(0), 5, 2, false}, {"good", numbered(0), 5, 2, false},
			{"", numbered(1), 5, 2, false}, {"huge", numbered(1), 1000, 500, false},
		}
		b.run(b.s.Show(wants))
		b.pass(time.Second)
		for _, w := range wants {
			if w.Rows > 0 {
				checkSize(t, b.s.Lines(w.Key, w.Cols, w.Rows), w.Cols, w.Rows)
			}
			good := force != "none" && (w.Key == "good" || w.Key == "" || w.Key == "huge")
			if b.s.Visible(w.Key, w.Cols, w.Rows) != good {
				t.Errorf("%s: %q is visible: %v", force, w.Key, !good)
			}
		}
		checkSize(t, b.s.Lines("never shown", 5, 2), 5, 2)
		b.run(b.s.Show([]Want{{"nil", numbered(9), 5, 2, false}})) // it came
		b.pass(time.Second)
		if b.s.Visible("nil", 5, 2) != (force != "none") {
			t.Errorf("%s: a picture that came later is not shown", force)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.show(0, 12)
	for _, p := range b.s.pictures {
		p.wire = make([]byte, cacheBytes/8)
	}
	b.show(12, 24)
	b.s.tidy()
	sum := 0
	for _, p := range b.s.pictures {
		sum += len(p.wire)
	}
	if sum > cacheBytes {
		t.Errorf("%d bytes kept", sum)
	}
	b.shows(12, 24)
	b.show(0, 12) // still in the terminal
	b.shows(0, 12)
}

func TestCellPixels(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	n := len(b.raw)
	b.send(tea.WindowSizeMsg{Width: 60, Height: 20})
	if len(b.raw) != n+1 || b.raw[n] != askCell {
		t.Errorf("a new size is not asked about: %q", b.raw[n:])
	}
	b.send(uv.CellSizeEvent{Width: 14, Height: 28})
	if w, h := b.s.CellPixels(); w != 14 || h != 28 {
		t.Errorf("%d×%d", w, h)
	}
}

func BenchmarkShowAndLines(b *testing.B) {
	bb := &bench{store: map[int]string{}}
	bb.s = New(Options{Force: "kitty"})
	wants := page(0, 24)
	bb.s.Show(wants)
	for b.Loop() {
		bb.s.Show(wants)
		for _, w := range wants {
			bb.s.Lines(w.Key, w.Cols, w.Rows)
			bb.s.Visible(w.Key, w.Cols, w.Rows)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, d := range []driver{kittyStore{}, halfBlocks{}} {
		for _, size := range []int{64, 256, 1024} {
			b.Run(fmt.Sprint(d.name(), size), func(b *testing.B) {
				img := image.NewRGBA(image.Rect(0, 0, size, size))
				draw.BiLinear.Scale(img, img.Rect, blob(3), image.Rect(0, 0, 64, 64), draw.Src, nil)
				for b.Loop() {
					d.encode(img, 22, 11, image.Pt(10, 20))
				}
			})
		}
	}
}
