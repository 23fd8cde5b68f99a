package imgview

import (
	"image"
	"slices"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// A picture is on screen when the terminal holds it, or it is text, and the frame that shows it has arrived. Of the frame the terminal
// says nothing by itself: so when other pictures are shown than before, and their frame is out, a question goes behind it, the fence. What
// comes before the answer was typed before the frame was there. A picture that was sent behind its frame needs no fence: its own
// acknowledgement proves both.
//
// Pictures that come into view are counted in rounds. A round closes when a command's message is back, as by then the program has made
// the view of every message before it, and its frames are out a moment later. Pictures painted at the cursor have the wall instead.
type sight struct {
	open    uint64 // the round of pictures that come into view now
	out     uint64 // the last one whose frame is out
	closing bool   // a round closes, its view may not have been made
	leaving int    // closed rounds whose frames go out
	entered bool   // a picture has come into view in the open round

	fences   []*fence // unanswered, oldest first
	fence    int      // number of the last one
	answered bool     // one was, since the terminal was last asked what it is
	mute     bool     // the first was not
}

// fence is a question behind a frame, and the pictures that the frame shows.
type fence struct {
	id    int         // of kitty's question; 0: it is
	at    image.Point // the cursor's place that is asked for
	shows []inRound
	given bool // up
}

// inRound is a picture in the round in which it came into view.
type inRound struct {
	*picture
	round uint64
}

type (
	drawnMsg struct{}         // the view with all that came before it has been made
	blindMsg struct{ *fence } // no answer
)

// firstFence and lastFence are the numbers of kitty's questions behind frames, far from those of pictures.
const firstFence, lastFence = 1000, 9999

// inView reports whether p is drawn in the view, or its place is.
func (s *Screen) inView(p *picture) bool {
	if p.ahead || p.broken || p.turn != s.turn {
		return false
	}
	return p.text != nil || p.slot != 0 && !s.slots[p.slot].dirty
}

// out takes p out of view.
func (p *picture) out() { p.round, p.framed, p.proves = 0, false, false }

// enter notes which pictures have come into view or left it, and closes the round where there is something to prove.
func (s *Screen) enter() tea.Cmd {
	if s.driver == nil || s.Direct() {
		return nil
	}
	g := &s.sight
	for _, p := range s.wanted {
		switch in := s.inView(p); {
		case !in && p.round != 0:
			p.out()
		case in && p.round == 0:
			p.out()
			p.round, g.entered = g.open, true
		}
	}
	if !g.entered || g.leaving > 0 { // a fence for all that come in a moment
		return nil
	}
	return s.close()
}

// close closes the round as soon as the program has drawn it.
func (s *Screen) close() tea.Cmd {
	if s.sight.closing {
		return nil
	}
	s.sight.closing = true
	return func() tea.Msg { return drawnMsg{} }
}

// drawn: the view of the round has been made; its frame is out at the renderer's next tick. While the renderer, or the output before it,
// waits for a slow terminal, the program's loop waits too, so that a question asked a few ticks from now is behind the frame.
func (s *Screen) drawn() tea.Cmd {
	g := &s.sight
	round := g.open
	g.open++
	g.closing, g.entered = false, false
	g.leaving++
	return s.after(frameTime, frameMsg{round})
}

// framed: the frames of the round are out, and the pictures that waited for them can follow.
func (s *Screen) framed(round uint64) tea.Cmd {
	g := &s.sight
	g.out = round
	g.leaving--
	s.held = s.held && s.heldFor > round
	return tea.Batch(s.prove(), s.pump())
}

// prove sends a fence for the pictures whose frame is out, and which prove nothing by themselves.
func (s *Screen) prove() tea.Cmd {
	g := &s.sight
	f := &fence{}
	for _, p := range s.wanted {
		if p.round == 0 || p.round > g.out || p.framed || p.fenced == p.round || p.proves || p.text == nil && p.state == absent {
			continue
		}
		p.fenced = p.round
		f.shows = append(f.shows, inRound{p, p.round})
	}
	if len(f.shows) == 0 {
		return nil
	}
	g.fence++
	var ask string
	if k, ok := s.driver.(kittyStore); ok { // tmux would answer any other question itself
		f.id = firstFence + g.fence%(lastFence-firstFence+1)
		ask = wrap(askKitty(f.id), k.depth)
	} else { // inside tmux it is tmux that answers: no text can be sent past it
		f.at, ask = s.elsewhere()
	}
	g.fences = append(g.fences, f)
	return s.write(&burst{bytes: ask, fence: f})
}

// elsewhere is a new place on screen and the question that is answered with it. The first row is left out: there the answer looks like
// the key F3.
func (s *Screen) elsewhere() (image.Point, string) {
	width, height := max(1, s.size.Width), max(2, s.size.Height)
	s.wall.fence++
	at := image.Pt(s.wall.fence%width, 1+s.wall.fence/width%(height-1))
	return at, "\x1b7" + ansi.CursorPosition(at.X+1, at.Y+1) + ansi.RequestCursorPositionReport + "\x1b8"
}

// await: the fence is in the program's output; the wait for the answer begins.
func (s *Screen) await(f *fence) tea.Cmd {
	wait := s.patience
	if s.silentTerminal() {
		wait = 0
	}
	return s.after(wait, blindMsg{f})
}

// silentTerminal reports whether the terminal has answered nothing at all.
func (s *Screen) silentTerminal() bool {
	return !s.sight.answered && (s.sight.mute || s.facts.waited && s.facts.fenced == 0)
}

// glimpsed takes the answer to a fence, and so to those before it.
func (s *Screen) glimpsed(is func(*fence) bool) tea.Cmd {
	g := &s.sight
	i := slices.IndexFunc(g.fences, is)
	if i < 0 {
		return nil
	}
	g.answered, g.mute = true, false
	if g.fences[i].given {
		s.patience = min(2*s.patience, maxPatience)
	}
	s.proven(g.fences[:i+1])
	g.fences = g.fences[i+1:]
	return s.pump()
}

// blind: no answer came to a fence; go on as if it had.
func (s *Screen) blind(f *fence) tea.Cmd {
	g := &s.sight
	if f.given = slices.Contains(g.fences, f); !f.given {
		return nil
	}
	g.mute = !g.answered
	s.proven([]*fence{f})
	if n := len(g.fences); n > 16 { // their answers will not come
		g.fences = g.fences[n-16:]
	}
	return nil
}

// proven: the frames before the fences have arrived.
func (s *Screen) proven(fences []*fence) {
	for _, f := range fences {
		for _, p := range f.shows {
			if p.picture.round == p.round {
				p.framed = true
			}
		}
	}
}
