package imgview

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"image"
	"runtime"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// A picture's way: wanted → encoded in a command → given a slot, emptied of what lay there → sent when the window has room →
// acknowledged. Half-blocks end after the second step.

// usesStore reports whether p is, or will be, kept in the terminal, or painted there.
func (s *Screen) usesStore(p *picture) bool {
	_, isText := s.driver.(textDriver)
	return !isText && !p.refused
}

// encoder is the driver that draws p.
func (s *Screen) encoder(p *picture) driver {
	if s.usesStore(p) {
		return s.driver
	}
	if t, ok := s.driver.(textDriver); ok {
		return t
	}
	return halfBlocks{}
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
		p.busy = true
		s.encoding++
		cmds = append(cmds, encode(s.encoder(p), p.box, p.img, s.cell))
	}
	if s.Direct() {
		s.number()
		cmds = append(cmds, s.hang())
	}
	if st, ok := s.driver.(store); ok {
		cmds = append(cmds, s.assign(st), s.send(st))
	}
	return tea.Batch(cmds...)
}

// encode runs the encoder in a command; a picture that it stumbles over is an error, never a crash.
func encode(d driver, b box, img image.Image, cell image.Point) tea.Cmd {
	return func() (msg tea.Msg) {
		m := encodedMsg{box: b, by: d, cell: cell}
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
		case s.driver == nil || m.by != s.encoder(p) || s.Direct() && m.cell != s.cell: // for a driver of before
		case m.err != nil:
			p.broken = true
		case s.usesStore(p):
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
		if s.flight > 0 && s.flight+base64.StdEncoding.EncodedLen(len(p.wire)) > s.window {
			break
		}
		seq := st.transmit(p.slot, p.wire, p.cols, p.rows)
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
	if d, ok := s.driver.(direct); ok {
		return s.bareWall(d)
	}
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
