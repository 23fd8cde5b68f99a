package imgview

import (
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"
)

// on counts the pictures that are on screen.
func (b *bench) on(from, to int) (n int) {
	for _, w := range page(from, to) {
		if b.s.Visible(w.Key, w.Cols, w.Rows) {
			n++
		}
	}
	return n
}

// ahead is a page with the next one.
func ahead(from, to, next int) []Want {
	wants := page(from, next)
	for i := range wants {
		wants[i].Prefetch = i >= to-from
	}
	return wants
}

func (b *bench) fences() (n int) {
	for _, r := range b.raw {
		n += len(place.FindAllString(r, -1)) + strings.Count(r, "a=q,t=d,f=24,s=1,v=1,i=1")
	}
	return n - strings.Count(strings.Join(b.raw, ""), askGraphics)
}

// A picture that was fetched ahead is on screen when its page's frame is, and not when the terminal has the picture.
func TestPrefetchedPicturesAreSeenWithTheirFrame(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.deaf = true
	b.run(b.s.Show(ahead(0, 6, 12)))
	b.pass(frameTime)
	if b.on(0, 6) != 6 || b.fences() != 0 {
		t.Fatalf("%d of the page on screen when they were acknowledged behind their frame, %d fences", b.on(0, 6), b.fences())
	}
	b.pass(time.Second)
	if b.ready(6, 12) != 6 || b.on(6, 12) != 0 {
		t.Fatalf("of the next page %d are there and %d on screen", b.ready(6, 12), b.on(6, 12))
	}
	b.run(b.s.Show(ahead(6, 12, 12)))
	if b.on(0, 12) != 0 {
		t.Fatalf("%d on screen before the frame is out", b.on(0, 12))
	}
	b.pass(frameTime - 1)
	if len(b.questions) > 0 {
		t.Fatal("asked before the frame is out")
	}
	b.pass(1)
	if b.on(6, 12) != 0 || len(b.questions) != 1 || b.fences() != 1 {
		t.Fatalf("%d on screen and %d asked before an answer", b.on(6, 12), len(b.questions))
	}
	b.reply()
	if b.on(6, 12) != 6 {
		t.Errorf("%d on screen after the answer", b.on(6, 12))
	}

	// Nothing is asked while the page stays, whatever is selected.
	for i := range 6 {
		wants := ahead(6, 12, 12)
		wants[0], wants[i] = wants[i], wants[0]
		b.run(b.s.Show(wants))
		b.pass(time.Second)
	}
	if b.fences() != 1 || b.on(6, 12) != 6 {
		t.Errorf("%d fences, %d on screen", b.fences(), b.on(6, 12))
	}
}

// Pages turned faster than answers come: an answer is of its own page, and of the same page only when that has not been away.
func TestAnswersOfAnOldPage(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.run(b.s.Show(ahead(0, 4, 12)))
	b.pass(time.Second)
	b.deaf = true
	turn := func(from, to int) {
		wants := ahead(0, 12, 12)
		for i := range wants {
			wants[i].Prefetch = i < from || i >= to
		}
		b.run(b.s.Show(wants))
		b.pass(frameTime)
	}
	turn(4, 8)
	turn(8, 12)
	turn(4, 8)
	if len(b.questions) != 3 {
		t.Fatalf("%d asked", len(b.questions))
	}
	b.reply() // of the first visit
	if b.on(0, 12) != 0 {
		t.Error("an old answer counts")
	}
	b.reply() // of the page that is gone
	if b.on(0, 12) != 0 {
		t.Error("the answer of another page counts")
	}
	b.reply()
	if b.on(4, 8) != 4 || b.on(0, 12) != 4 {
		t.Errorf("%d of the page on screen, %d in all", b.on(4, 8), b.on(0, 12))
	}

	// Two turns within one frame: the first was never on screen.
	turn(0, 4)
	b.questions = nil
	wants := ahead(0, 12, 12)
	for i := range wants {
		wants[i].Prefetch = i < 8
	}
	b.run(b.s.Show(wants))
	turn(4, 8)
	b.pass(frameTime)
	for len(b.questions) > 0 {
		b.reply()
	}
	if b.on(4, 8) != 4 || b.on(8, 12) != 0 {
		t.Errorf("%d of the page on screen, %d of the one that was passed", b.on(4, 8), b.on(8, 12))
	}
}

// An answer that is lost, or late, is waited for as long as for a picture's.
func TestLostAndLateAnswersOfFrames(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.run(b.s.Show(ahead(0, 4, 8)))
	b.pass(time.Second)
	b.run(b.s.Show(ahead(4, 8, 8)))
	b.pass(frameTime)
	b.deaf = true
	b.run(b.s.Show(ahead(0, 4, 4)))
	b.pass(frameTime + patience - 1)
	if b.on(0, 4) != 0 {
		t.Error("on screen without an answer")
	}
	b.pass(1)
	if b.on(0, 4) != 4 {
		t.Errorf("%d on screen after the answer was lost", b.on(0, 4))
	}
	b.reply()
	if b.s.patience != 2*patience {
		t.Errorf("after a late answer the next is waited for %v", b.s.patience)
	}
}

func TestTextIsSeenWithItsFrame(t *testing.T) {
	b := newBench(t, Options{}, map[string]string{"TERM": "xterm"})
	b.send(uv.PrimaryDeviceAttributesEvent{62})
	b.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	b.deaf = true
	b.run(b.s.Show(ahead(0, 6, 12)))
	if b.ready(0, 12) != 12 || b.on(0, 12) != 0 {
		t.Fatalf("%d drawn, %d on screen before the frame", b.ready(0, 12), b.on(0, 12))
	}
	b.pass(3 * frameTime)
	n := len(b.questions)
	if b.on(0, 12) != 0 || n == 0 || n > 2 {
		t.Fatalf("%d on screen, %d questions", b.on(0, 12), n)
	}
	for _, q := range b.questions {
		if at := q.(tea.CursorPositionMsg); at.Y < 1 || at.Y > 23 || at.X > 79 {
			t.Errorf("asked at %v: an answer of the first row is the key F3", at)
		}
	}
	b.send(tea.CursorPositionMsg{X: 79, Y: 23}) // nobody's
	if b.on(0, 12) != 0 {
		t.Error("an answer to nothing counts")
	}
	for len(b.questions) > 0 {
		b.reply()
	}
	if b.on(0, 6) != 6 || b.on(6, 12) != 0 {
		t.Errorf("%d of the page on screen, %d of the next", b.on(0, 6), b.on(6, 12))
	}
}

// A terminal that answers nothing holds nobody up for longer than it takes to know that.
func TestTextInASilentTerminal(t *testing.T) {
	b := newBench(t, Options{}, map[string]string{"TERM": "xterm"})
	b.deaf = true
	b.run(b.s.Show(page(0, 6)))
	b.pass(patience - 1)
	if b.on(0, 6) != 0 {
		t.Error("on screen while the terminal may still answer")
	}
	b.pass(2 * frameTime)
	if b.on(0, 6) != 6 {
		t.Errorf("%d on screen", b.on(0, 6))
	}
	b.run(b.s.Show(page(6, 12)))
	b.pass(3 * frameTime)
	if b.on(6, 12) != 6 {
		t.Errorf("%d of the next page on screen", b.on(6, 12))
	}
}

// Through tmux the question goes as the pictures do: tmux would answer for itself.
func TestFrameThroughTmux(t *testing.T) {
	b := newBench(t, Options{}, map[string]string{"TERM": "tmux-256color", "TMUX": "x"})
	b.acks = yes
	b.send(tea.TerminalVersionMsg{Name: "kitty(0.41.1)"})
	b.answer(queryID, "OK")
	b.run(b.s.Show(ahead(0, 4, 8)))
	b.pass(time.Second)
	n := len(b.raw)
	b.run(b.s.Show(ahead(4, 8, 8)))
	b.pass(frameTime)
	if got := strings.Join(b.raw[n:], ""); !strings.HasPrefix(got, "\x1bPtmux;\x1b\x1b_G") || strings.Contains(got, "6n") {
		t.Errorf("asked %q", got)
	}
}

// After a resize the screen is drawn anew, also pictures in boxes of the same size.
func TestPicturesAreSeenAgainAfterAResize(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.send(tea.WindowSizeMsg{Width: 80, Height: 24})
	b.run(b.s.Show(page(0, 4)))
	b.pass(time.Second)
	b.deaf = true
	b.send(tea.WindowSizeMsg{Width: 100, Height: 24})
	b.pass(time.Second)
	if b.on(0, 4) != 0 || len(b.questions) != 1 {
		t.Fatalf("%d on screen, %d questions", b.on(0, 4), len(b.questions))
	}
	b.reply()
	if b.on(0, 4) != 4 {
		t.Errorf("%d on screen after the answer", b.on(0, 4))
	}
}

// A picture that came while the frame with its place was on its way proves nothing by its acknowledgement.
func TestAcknowledgedBeforeTheFrame(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.deaf = true
	b.run(b.s.Show(page(0, 1)))
	b.pass(frameTime / 2)
	b.run(b.s.Show(page(0, 2))) // sent with the first, when only that one's frame is out
	b.pass(frameTime / 2)
	if b.ready(0, 2) != 2 || b.on(0, 1) != 1 || b.on(1, 2) != 0 {
		t.Fatalf("%d there; on screen %d and %d", b.ready(0, 2), b.on(0, 1), b.on(1, 2))
	}
	b.pass(frameTime)
	if len(b.questions) != 1 || b.on(1, 2) != 0 {
		t.Fatalf("%d questions, %d on screen", len(b.questions), b.on(1, 2))
	}
	b.reply()
	if b.on(0, 2) != 2 {
		t.Errorf("%d on screen", b.on(0, 2))
	}
}

// Another page without pictures was shown in between: the frame that brings them back has to arrive.
func TestPicturesAreSeenAgainAfterAnotherPage(t *testing.T) {
	b := kittyBench(t, 0, yes)
	b.run(b.s.Show(page(0, 4)))
	b.pass(time.Second)
	b.deaf = true
	b.s.Hide()
	b.run(b.s.Show(page(0, 4)))
	if b.on(0, 4) != 0 {
		t.Fatal("on screen before the frame")
	}
	b.pass(frameTime)
	b.reply()
	if b.on(0, 4) != 4 {
		t.Errorf("%d on screen after the answer", b.on(0, 4))
	}
}
