package imgview

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"image"
	"runtime"
	"slices"

	tea "charm.land/bubbletea/v2"
)

// A picture's way: wanted → encoded in a command → given a slot, emptied of what lay there → sent when the window has room, on a slow
// link piece by piece with frames between the pieces → acknowledged. Half-blocks end after the second step. What came with few bytes is
// refined when all others are shown: encoded and sent once more in a slot of its twin's.

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
			missing = p.wire == nil && p.full == nil && p.state == absent
		}
		if p.img == nil || p.busy || p.broken || !missing {
			continue
		}
		cmds = append(cmds, s.encode(p, inStore && !s.pace.slow()))
	}
	switch d := s.driver.(type) {
	case direct:
		cmds = append(cmds, s.assign(s.wanted), s.hang())
	case store:
		cmds = append(cmds, s.assign(s.wanted), s.send(d), s.refine(d))
	}
	return tea.Batch(cmds...)
}

// compacter is a store that can do with fewer bytes.
type compacter interface {
	store
	compact() driver
}

// encode starts an encoder for p, in full or with few bytes where the driver can.
func (s *Screen) encode(p *picture, full bool) tea.Cmd {
	by := s.encoder(p)
	d := by
	c, ok := by.(compacter)
	if full = full && ok; ok && !full {
		d = c.compact()
	}
	p.busy = true
	s.encoding++
	return encode(d, by, p.box, p.img, s.cell, full)
}

// encode runs the encoder in a command; a picture that it stumbles over is an error, never a crash.
func encode(d, by driver, b box, img image.Image, cell image.Point, full bool) tea.Cmd {
	return func() (msg tea.Msg) {
		m := encodedMsg{box: b, by: by, cell: cell, full: full}
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
		case m.full:
			p.full = m.wire
		case s.usesStore(p):
			p.wire = m.wire
		default:
			p.text = m.text
		}
	}
	return s.pump()
}

// assign gives each of the pictures a slot, taking those that were wanted longest ago, and empties what lay there before. Where pictures are
// painted a slot is no more than their number in the marks.
func (s *Screen) assign(pictures []*picture) tea.Cmd {
	var homeless []*picture
	for _, p := range pictures {
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
	st, stores := s.driver.(store)
	t := &burst{}
	for i, p := range homeless[:min(len(homeless), len(free))] {
		n := free[i]
		sl := &s.slots[n]
		if o := sl.owner; o != nil {
			o.leave()
			if stores {
				sl.dirty = true
				t.bytes += st.erase(n)
				t.clean = append(t.clean, n)
			}
		}
		if sl.owner, p.slot = p, n; stores {
			p.lines = st.place(n, p.cols, p.rows)
		} else {
			p.lines = marked(n, p.cols, p.rows)
		}
	}
	return s.write(t)
}

// leave takes a picture out of its slot.
func (p *picture) leave() {
	p.slot, p.state, p.bytes, p.lines, p.fine, p.twin, p.proves = 0, absent, 0, nil, false, nil, false
}

// limit is how many bytes may be under way.
func (s *Screen) limit(ahead bool) int {
	switch {
	case s.window > 0:
		return s.window
	case ahead:
		return s.pace.window(prefetchQueueing)
	}
	return s.pace.window(queueing)
}

// room reports whether a picture of n bytes may follow those under way: one always. On a slow link it may stick out of the window, since
// it goes in pieces: else a link that holds one picture and a half would carry one at a time, and no faster rate would ever be measured.
func (s *Screen) room(n int, ahead bool) bool {
	if s.flight > 0 && s.inPieces() {
		return s.flight <= s.limit(ahead)
	}
	return s.flight <= 0 || s.flight+n <= s.limit(ahead)
}

// inPieces reports whether pictures go out piece by piece.
func (s *Screen) inPieces() bool { return s.window == 0 && s.pace.rate() > 0 && s.pace.slow() }

// send sends the next pictures, as many as the window has room for.
func (s *Screen) send(st store) tea.Cmd {
	var cmds []tea.Cmd
	for _, p := range s.wanted {
		if s.held || s.inPieces() && len(s.outbox) > 0 {
			break
		}
		wire, fine := p.wire, false
		if wire == nil || p.full != nil && !s.pace.slow() {
			wire, fine = p.full, true
		}
		if p.slot == 0 || s.slots[p.slot].dirty || p.state != absent || wire == nil || p.refused {
			continue
		}
		if !s.room(base64.StdEncoding.EncodedLen(len(wire)), p.ahead) {
			break
		}
		cmds = append(cmds, s.transmit(st, p, wire, fine))
	}
	return tea.Batch(cmds...)
}

// transmit sends p.
func (s *Screen) transmit(st store, p *picture, wire []byte, fine bool) tea.Cmd {
	s.sends++
	p.state, p.send, p.fine = flying, s.sends, fine
	p.proves = p.round != 0 && p.round <= s.sight.out
	pieces := st.transmit(p.slot, wire, p.cols, p.rows)
	n := 0
	for _, piece := range pieces {
		n += len(piece)
	}
	p.mark = s.pace.sent(s.now(), n, s.flight)
	t := &burst{picture: p, send: p.send, pieces: pieces, paced: s.inPieces()}
	if !t.paced {
		p.bytes = n
		s.flight += n
	}
	if s.outbox = append(s.outbox, t); len(s.outbox) > 1 {
		return nil
	}
	return s.proceed(t)
}

// proceed writes what is next of a burst: of a picture on a slow link as many pieces as the link can take now, or none yet.
func (s *Screen) proceed(t *burst) tea.Cmd {
	if t.picture == nil {
		return tea.Raw(t)
	}
	p, now := t.picture, s.now()
	ahead := p.ahead || p.of != nil
	if t.paced {
		if wait := s.pace.busy(now, ahead); wait > 0 {
			return s.after(wait, pieceMsg{t})
		}
	}
	t.bytes = ""
	for len(t.pieces) > 0 && (t.bytes == "" || !t.paced || s.pace.busy(now, ahead) == 0) {
		piece := t.pieces[0]
		t.bytes, t.pieces = t.bytes+piece, t.pieces[1:]
		dry := s.pace.wrote(now, len(piece))
		if t.paced && p.state == flying && p.send == t.send { // else it was taken out of its slot meanwhile
			p.bytes += len(piece)
			s.flight += len(piece)
			p.mark.end, p.mark.idle = now, p.mark.idle || dry
		}
	}
	return tea.Raw(t)
}

// refine sends pictures in full that came with few bytes, the most interesting first, when all that is wanted is shown and nobody has
// moved for a while. On a slow link one at a time, with nothing else under way: a key that comes then waits for one picture. Where that
// is long only the first, which is the selected one, is refined.
func (s *Screen) refine(st store) tea.Cmd {
	if _, ok := st.(compacter); !ok || s.held || !s.calm || len(s.outbox) > 0 {
		return nil
	}
	for _, p := range s.wanted {
		if p.img != nil && !p.broken && !p.refused && p.state != shown {
			return nil
		}
	}
	var cmds []tea.Cmd
	for k, p := range s.wanted {
		if p.ahead || p.fine || p.state != shown || p.img == nil || p.twin != nil && (p.twin.refused || p.twin.state != absent) {
			continue
		}
		if s.pace.slow() && (s.flight > 0 || s.encoding > 0) {
			break
		}
		if n := base64.StdEncoding.EncodedLen(len(p.full)); s.pace.slow() && k > 0 && float64(n) > s.pace.rate()*refining.Seconds() {
			continue
		}
		switch {
		case p.full == nil && !p.busy && s.encoding < runtime.GOMAXPROCS(0):
			cmds = append(cmds, s.encode(p, true))
		case p.full == nil:
		case p.twin == nil || p.twin.slot == 0:
			p.twin = &picture{box: p.box, img: p.img, turn: s.turn, of: p}
			cmds = append(cmds, s.assign([]*picture{p.twin}))
		}
		if tw := p.twin; tw != nil && tw.slot != 0 && !s.slots[tw.slot].dirty && s.room(base64.StdEncoding.EncodedLen(len(p.full)), true) {
			cmds = append(cmds, s.transmit(st, tw, p.full, true))
		}
		if s.pace.slow() {
			break
		}
	}
	return tea.Batch(cmds...)
}

// swap gives p the slot that its twin was sent to; p's old one is left to the twin, and to whoever needs it next.
func (s *Screen) swap(tw *picture) {
	p := tw.of
	if p.twin != tw || p.slot == 0 {
		return
	}
	p.twin = nil
	p.slot, tw.slot = tw.slot, p.slot
	p.lines, tw.lines = tw.lines, p.lines
	p.state, tw.state = tw.state, p.state
	p.fine, tw.fine = tw.fine, p.fine
	s.slots[p.slot].owner, s.slots[tw.slot].owner = p, tw
	tw.img, tw.of, tw.turn = nil, nil, p.turn // the next frame may not be out yet
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
	return s.proceed(b)
}

// written: the burst is in the program's output, or a piece of it. Emptied slots can be shown, the wait for answers begins, the next burst
// goes.
func (s *Screen) written(b *burst) tea.Cmd {
	if len(s.outbox) == 0 || s.outbox[0] != b {
		return nil
	}
	if len(b.pieces) > 0 {
		return s.proceed(b)
	}
	s.outbox = s.outbox[1:]
	var cmds []tea.Cmd
	if len(s.outbox) > 0 {
		cmds = append(cmds, s.proceed(s.outbox[0]))
	}
	for _, n := range b.clean {
		s.slots[n].dirty = false
	}
	if b.picture != nil {
		cmds = append(cmds, s.after(s.patience, overdueMsg{b.send}))
	}
	if b.fence != nil {
		cmds = append(cmds, s.await(b.fence))
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
	if p.state != shown {
		s.pace.acknowledged(s.now(), p.mark)
		s.pace.drained(s.now(), s.flight)
	}
	p.state = shown
	p.framed = p.framed || p.proves
	if ok && p.of != nil {
		s.swap(p)
	}
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

// overdue: the answer to a send is lost, or slow; go on without it.
func (s *Screen) overdue(send uint64) tea.Cmd {
	for i := firstSlot; i <= lastSlot; i++ {
		if p := s.slots[i].owner; p != nil && p.state == flying && p.send == send {
			s.flight -= p.bytes
			p.bytes = 0
			p.state = late
			p.framed = p.framed || p.proves
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

// cost is how many bytes of p are encoded.
func (p *picture) cost() int {
	n := len(p.wire) + len(p.full)
	for _, l := range p.text {
		n += len(l)
	}
	return n
}

// tidy forgets what is neither wanted nor in the terminal, the longest unwanted first, until the encoded bytes are few enough.
func (s *Screen) tidy() {
	cached := 0
	var old []*picture
	for b, p := range s.pictures {
		c := p.cost()
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
		cached -= p.cost()
		p.wire, p.full, p.text = nil, nil, nil
		if p.slot == 0 {
			delete(s.pictures, p.box)
		}
		if cached <= cacheBytes {
			return
		}
	}
}
