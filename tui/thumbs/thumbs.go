// Package thumbs fetches pictures from the engine as they are wanted, decodes them away from Update and remembers the latest.
package thumbs

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/grpc"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/display"
	"anomalymatch/tui/link"
)

// MaxPixels is how many pixels a picture has at most.
const MaxPixels = 4096 * 4096

const (
	budget = 96 << 20    // bytes of decoded pictures remembered
	again  = time.Second // pause before a broken stream is asked again
)

// Picture is one image's thumbnail, or why there is none.
type Picture struct {
	ID           string
	Img          image.Image // nil with Err
	Px           int         // longest side it was asked for
	SourceWidth  int
	SourceHeight int
	Bands        int              // of the image; 0: not known
	Err          string           // safe to draw
	Shown        display.Settings // how

	Before *Picture // what it replaced, shown until it is on screen; nil: nothing

	raw   image.Image    // as the engine sent it
	tried display.Source // the newest that was asked for
	seen  bool           // it was on screen
	pool  int            // how often the pool had changed when it came
}

// Key names the pixels for imgview: the same key is always the same picture.
func (p Picture) Key() string {
	if p.Img == nil {
		return ""
	}
	b := p.Img.Bounds()
	key := fmt.Sprintf("%s@%dx%d", p.ID, b.Dx(), b.Dy())
	if how := p.Shown.Key(); how != "" {
		key += " " + how
	}
	if p.pool > 0 {
		key += fmt.Sprintf(" of pool %d", p.pool)
	}
	return key
}

// Seen is called with a picture that is on screen: what it replaced is forgotten.
func (l *Loader) Seen(p Picture) {
	e, ok := l.byID[p.ID]
	if !ok || p.seen && p.Before == nil {
		return
	}
	now := e.Value.(Picture)
	if now.Img != p.Img {
		return
	}
	l.used -= now.bytes()
	now.seen, now.Before = true, nil
	l.used += now.bytes()
	e.Value = now
}

// under is the picture under other settings, of the same source.
func (p Picture) under(s display.Settings) Picture {
	p.Img, p.Shown, p.seen, p.Before = display.Apply(p.raw, s), s, false, nil
	return p
}

// serves tells whether p is as good as one asked for with px of a source.
func (p Picture) serves(px int, from display.Source) bool {
	if p.tried != from {
		return false
	}
	if p.Err != "" || p.Px >= px {
		return true
	}
	b := p.Img.Bounds()
	return b.Dx() >= p.SourceWidth && b.Dy() >= p.SourceHeight // it is never enlarged: this is all there is
}

func (p Picture) bytes() int {
	if p.Img == nil {
		return 64
	}
	b := p.Img.Bounds()
	n := 4 * b.Dx() * b.Dy()
	if p.Shown.Touched() {
		n *= 2
	}
	if p.Before != nil {
		n += p.Before.bytes()
	}
	return n
}

// Loader holds the pictures; it lives in Update.
type Loader struct {
	link   *link.Link
	byID   map[string]*list.Element // of Picture
	order  *list.List               // most recently used in front
	used   int
	gen    uint64
	flying map[string]int // id → px of the running request
	queue  []string       // its ids, in order, those that came left out
	cancel context.CancelFunc
	paused bool

	compact bool // the link is slow
	pools   int  // how often the pool has changed

	look    display.Settings // how pictures are shown
	changed uint64           // how often that changed
	dyeing  bool             // a command is bringing pictures up to date
}

// New makes an empty loader.
func New(l *link.Link) *Loader {
	return &Loader{link: l, byID: map[string]*list.Element{}, order: list.New(), flying: map[string]int{}, cancel: func() {}}
}

// Compact asks for pictures of few bytes, JPEG where that is smaller.
func (l *Loader) Compact() { l.compact = true }

// Look says how pictures are shown from now on: those wanted follow, the most wanted first.
func (l *Loader) Look(s display.Settings) {
	if s == l.look {
		return
	}
	if s.Source() != l.look.Source() {
		l.stop()
	}
	l.look = s
	l.changed++
	l.dyeing = false
}

// Get is the best picture there is of an image.
func (l *Loader) Get(id string) (Picture, bool) {
	e, ok := l.byID[id]
	if !ok {
		return Picture{}, false
	}
	return e.Value.(Picture), true
}

// Request is one picture wanted with its longest side of Px pixels.
type Request struct {
	ID string
	Px int
}

// Want asks for the pictures, most wanted first, and gives up what is under way but not wanted any more.
func (l *Loader) Want(wants []Request) tea.Cmd {
	return tea.Batch(l.dye(wants), l.fetch(wants))
}

// fetch asks the engine for what is not here.
func (l *Loader) fetch(wants []Request) tea.Cmd {
	client := l.link.Client()
	if client == nil || l.paused {
		return nil
	}
	look := l.look
	var missing []Request
	seen := map[string]bool{}
	for _, w := range wants {
		if seen[w.ID] || w.Px <= 0 {
			continue
		}
		seen[w.ID] = true
		if e, ok := l.byID[w.ID]; ok {
			l.order.MoveToFront(e)
			if e.Value.(Picture).serves(w.Px, look.Source()) {
				continue
			}
		}
		missing = append(missing, w)
	}
	if len(missing) == 0 {
		return nil
	}
	px := missing[0].Px // one size a request: the most wanted one's first
	var ids []string
	flying := 0
	for _, w := range missing {
		if w.Px == px {
			ids = append(ids, w.ID)
			if p, ok := l.flying[w.ID]; ok && p >= px {
				flying++
			}
		}
	}
	if flying == len(ids) {
		return nil
	}
	l.stop()
	ctx, cancel := context.WithCancel(l.link.Context())
	l.cancel = cancel
	for _, id := range ids {
		l.flying[id] = px
	}
	l.queue = ids
	gen, compact := l.gen, l.compact
	return func() tea.Msg {
		stream, err := client.Thumbs(ctx, &rpc.ThumbsRequest{Ids: ids, MaxPx: int32(px), Compact: compact, Stretch: look.Stretch, Band: int32(look.Band)})
		if err != nil {
			return arrived{gen: gen, err: err}
		}
		return next(gen, px, look, stream)()
	}
}

// dye brings pictures that are here up to date with brightness, contrast, inversion and colour map, one after the other.
func (l *Loader) dye(wants []Request) tea.Cmd {
	if l.dyeing {
		return nil
	}
	var stale []Picture
	for _, w := range wants {
		if e, ok := l.byID[w.ID]; ok {
			if p := e.Value.(Picture); p.raw != nil && p.Shown != l.look && p.Shown.Source() == l.look.Source() {
				stale = append(stale, p)
			}
		}
	}
	if len(stale) == 0 {
		return nil
	}
	l.dyeing = true
	return dyeNext(l.changed, l.look, stale)
}

type dyed struct {
	changed uint64
	pic     Picture
	next    tea.Cmd // nil: it was the last one
}

func dyeNext(changed uint64, look display.Settings, stale []Picture) tea.Cmd {
	return func() tea.Msg {
		d := dyed{changed: changed, pic: stale[0].under(look)}
		if len(stale) > 1 {
			d.next = dyeNext(changed, look, stale[1:])
		}
		return d
	}
}

// Connected forgets that the last request failed.
func (l *Loader) Connected() { l.stop(); l.paused = false }

// Forget drops pictures that could not be read, so that they are asked for again.
func (l *Loader) Forget() {
	l.stop()
	for e := l.order.Front(); e != nil; {
		after := e.Next()
		if p := e.Value.(Picture); p.Err != "" {
			l.drop(e)
		}
		e = after
	}
}

// Renew forgets all pictures: the engine has other images, or reads them in another way.
func (l *Loader) Renew() {
	l.stop()
	clear(l.byID)
	l.order.Init()
	l.used = 0
	l.pools++
}

// Stop ends the running request.
func (l *Loader) stop() {
	l.gen++
	l.cancel()
	clear(l.flying)
	l.queue = nil
}

type arrived struct {
	gen  uint64
	pic  Picture
	err  error
	next func() tea.Msg
}

type resume struct{ gen uint64 }

// Changed says that a picture arrived, or that it is time to ask again.
type Changed struct{}

// next receives and decodes one picture.
func next(gen uint64, px int, look display.Settings, stream grpc.ServerStreamingClient[rpc.Thumb]) func() tea.Msg {
	return func() tea.Msg {
		t, err := stream.Recv()
		if err != nil {
			return arrived{gen: gen, err: err}
		}
		return arrived{gen: gen, pic: decode(t, px, look), next: next(gen, px, look, stream)}
	}
}

// decode makes a picture of what came; limits before pixels.
func decode(t *rpc.Thumb, px int, look display.Settings) Picture {
	p := Picture{ID: t.GetId(), Px: px, SourceWidth: int(t.GetSourceWidth()), SourceHeight: int(t.GetSourceHeight()), Bands: int(t.GetBands()), tried: look.Source()}
	if t.GetError() != "" {
		p.Err = common.Clean(t.GetError())
		return p
	}
	cfg, _, err := image.DecodeConfig(bytes.NewReader(t.GetPng()))
	switch {
	case err != nil:
		p.Err = "the engine sent no picture"
		return p
	case cfg.Width <= 0 || cfg.Height <= 0 || int64(cfg.Width)*int64(cfg.Height) > MaxPixels:
		p.Err = fmt.Sprintf("the engine sent %d × %d pixels", cfg.Width, cfg.Height)
		return p
	}
	if p.raw, _, err = image.Decode(bytes.NewReader(t.GetPng())); err != nil {
		p.raw, p.Err = nil, "the engine sent a damaged picture"
		return p
	}
	return p.under(look)
}

// Update takes the loader's own messages; true: pictures changed and Want should be called again.
func (l *Loader) Update(msg tea.Msg) (tea.Cmd, bool) {
	switch msg := msg.(type) {
	case resume:
		if msg.gen == l.gen {
			l.paused = false
			return nil, true
		}
	case dyed:
		if msg.changed != l.changed {
			return nil, false
		}
		l.dyeing = msg.next != nil
		if e, ok := l.byID[msg.pic.ID]; ok && e.Value.(Picture).raw == msg.pic.raw { // else another one came meanwhile
			l.put(msg.pic)
		}
		return msg.next, true
	case arrived:
		if msg.gen != l.gen {
			return nil, false
		}
		if msg.err == nil {
			delete(l.flying, msg.pic.ID)
			msg.pic.pool = l.pools
			if i := slices.Index(l.queue, msg.pic.ID); i >= 0 {
				l.queue = l.queue[i+1:]
			}
			l.put(msg.pic)
			return msg.next, true
		}
		if !errors.Is(msg.err, io.EOF) && !link.Gone(msg.err) && len(l.queue) > 0 {
			id := l.queue[0] // the one that broke the stream: go on without it
			l.put(Picture{ID: id, Px: l.flying[id], Err: link.Reason(msg.err), tried: l.look.Source()})
			l.stop()
			return nil, true
		}
		if errors.Is(msg.err, io.EOF) {
			for id, px := range l.flying { // asked for and not answered: not asked again and again
				l.put(Picture{ID: id, Px: px, Err: "the engine sent no picture", tried: l.look.Source()})
			}
			l.stop()
			return nil, true
		}
		l.stop()
		l.paused = true
		gen := l.gen
		return tea.Tick(again, func(time.Time) tea.Msg { return resume{gen} }), false
	}
	return nil, false
}

func (l *Loader) put(p Picture) {
	if e, ok := l.byID[p.ID]; ok {
		if p.Err != "" && e.Value.(Picture).Err == "" {
			old := e.Value.(Picture)
			old.Px, old.tried = max(old.Px, p.Px), p.tried // keep what there is
			e.Value = old
			return
		}
		if old := e.Value.(Picture); old.Img != nil && p.Img != nil && old.Key() != p.Key() {
			if p.Before = old.Before; old.seen {
				old.Before = nil
				p.Before = &old
			}
		} else if p.Img != nil && old.Img != nil {
			p.Before, p.seen = old.Before, old.seen
		}
		l.drop(e)
	}
	l.byID[p.ID] = l.order.PushFront(p)
	l.used += p.bytes()
	for l.used > budget && l.order.Len() > 1 {
		l.drop(l.order.Back())
	}
}

func (l *Loader) drop(e *list.Element) {
	p := l.order.Remove(e).(Picture)
	delete(l.byID, p.ID)
	l.used -= p.bytes()
}
