// Package preparation is the page on which a person chooses by looking how values become what the network sees: real images of a source, the
// stretches beside each other, at the network's size. It changes project.toml through the engine, and never how the screen shows pictures.
//
// A reading is tried by asking the engine for previews of it, which are remembered here; the engine makes them as it makes the network's pixels.
package preparation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"anomalymatch/engine/rpc"
	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
)

const (
	name    = "preparation"
	drawn   = 6 // images of a sample
	timeout = 30 * time.Second
	again   = time.Second // until the engine is asked once more after it failed
	budget  = 32 << 20    // bytes of pictures remembered
	largest = 1024        // pixels a side of a picture
)

// reading is how values become what the network sees; comparable.
type reading struct {
	channels, stretch string
	low, high         float64
}

func (r reading) ranged() bool { return r.low != 0 || r.high != 0 }

func (r reading) wire() *rpc.Reading {
	return &rpc.Reading{Channels: r.channels, Stretch: r.stretch, Low: r.low, High: r.high}
}

func read(w *rpc.Reading) reading {
	r := reading{w.GetChannels(), w.GetStretch(), w.GetLow(), w.GetHigh()}
	if r != r { // NaN, which is equal to nothing
		r.low, r.high = 0, 0
	}
	return r
}

// sample says what images are looked at; equal ones are the same images.
type sample struct {
	source string // empty: the engine's choice
	seed   uint64
	also   string // id
	engine string // another one may read the images in another way
}

// place is an image under a reading.
type place struct {
	id string
	reading
}

// cell is what the engine said of one.
type cell struct {
	key       string // names the pixels
	img       image.Image
	bands     int
	low, high float64 // NaN: colours as they are
	why       string  // there is no picture
}

// view is what belongs on screen; equal ones need no other request.
type view struct {
	ids      string
	readings string
}

// Page is the preparation page.
type Page struct {
	env  *pages.Env
	link *link.Link
	w, h int

	want   sample
	have   sample // what the reply is of
	reply  *rpc.PreparationReply
	why    string // there is none
	req    uint64
	asking bool
	after  time.Time // not asked before then

	drafts map[string]reading // by source, where it differs from what is in force
	top    int                // first image on screen

	cells  map[place]*cell
	used   int
	gen    uint64 // of the stream of previews: what belongs to another one is stale
	flying view   // what it is for
	cancel context.CancelFunc
	before map[string]*cell // by image and stretch: what was on screen last
}

// New makes the page.
func New(env *pages.Env, l *link.Link) *Page {
	return &Page{env: env, link: l, want: sample{seed: 1}, drafts: map[string]reading{}, cells: map[place]*cell{}, before: map[string]*cell{}, cancel: func() {}}
}

// Name is the page's name.
func (p *Page) Name() string { return name }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h }

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return keys.Hinted(p.env.Common.Keys.Pick("open", "right", "brighter", "more-contrast", "range", "bands", "sample", "next-page", "back", "pages", "help", "quit"),
		map[string]string{"open": "use it", "right": "stretch", "brighter": "white", "more-contrast": "black", "next-page": "source", "back": "leave as it was"})
}

// Blocked is never asked: labels are given elsewhere.
func (p *Page) Blocked() string { return "" }

// Owns: the way back lets go of what was tried, and what changes pictures elsewhere changes the range here.
func (p *Page) Owns(id string) bool {
	switch id {
	case "back", "brighter", "darker", "more-contrast", "less-contrast", "plain":
		return true
	}
	return false
}

// source is the one looked at; nil until the engine has told.
func (p *Page) source() *rpc.ImageSource {
	for _, s := range p.reply.GetSources() {
		if s.GetName() == p.reply.GetSource() {
			return s
		}
	}
	return nil
}

// inForce is how the source is read, tried how a person has it on screen.
func (p *Page) inForce() reading { return read(p.source().GetReading()) }

func (p *Page) tried() reading {
	if r, ok := p.drafts[p.reply.GetSource()]; ok {
		return r
	}
	return p.inForce()
}

// try puts another reading on screen.
func (p *Page) try(r reading) {
	if r == p.inForce() {
		delete(p.drafts, p.reply.GetSource())
		return
	}
	p.drafts[p.reply.GetSource()] = r
}

// stretches are the candidates: the usual one, those that the engine has, and one that it does not know but project.toml says.
func (p *Page) stretches() []string {
	all := append([]string{""}, p.reply.GetStretches()...)
	if len(all) > 20 {
		all = all[:20]
	}
	for _, s := range []string{p.inForce().stretch, p.tried().stretch} {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// Refuse tells why there is nothing to choose, or to apply.
func (p *Page) Refuse(id string) string {
	switch id {
	case "left", "right", "up", "down", "first", "last", "next-page", "previous-page", "open", "brighter", "darker", "more-contrast", "less-contrast", "plain", "range", "bands", "sample":
	default:
		return ""
	}
	s := p.source()
	switch {
	case s == nil && p.why != "":
		return p.why
	case s == nil:
		return "how the images are read is on its way"
	}
	switch id {
	case "next-page", "previous-page":
		if len(p.reply.GetSources()) < 2 {
			return "this is the only source"
		}
	case "up", "down":
		if _, _, rows := p.layout(); rows >= len(p.reply.GetIds()) {
			return "all of these are on screen: " + p.env.Common.Keys.Label("sample") + " shows others"
		}
	case "plain":
		if !p.tried().ranged() {
			return "each image has its own range already"
		}
	case "open":
		job := p.env.Monitor.Job()
		switch {
		case p.link.Client() == nil:
			return "the engine is not connected"
		case p.tried() == p.inForce():
			return "the network sees them so already"
		case p.unreadable():
			return "none of these images can be read so: " + p.wrong()
		case job != "" && job != "embedding":
			return "the engine is " + job + " just now: " + p.env.Common.Keys.Label("cancel") + " ends that"
		}
	}
	return ""
}

// unreadable says whether all images on screen were tried in vain: in force, the pool would have no images.
func (p *Page) unreadable() bool {
	ids := p.shown()
	return len(ids) > 0 && !slices.ContainsFunc(ids, func(id string) bool {
		c := p.cells[place{id, p.tried()}]
		return c == nil || c.why == ""
	})
}

// The page's own messages.
type (
	answer struct {
		req   uint64
		of    sample
		reply *rpc.PreparationReply
		err   error
	}
	arrived struct {
		gen  uint64
		at   place
		cell *cell
		err  error
		next func() tea.Msg
	}
	applied struct {
		source string
		reply  *rpc.JobReply
		err    error
	}
	later struct{} // time to ask again

	setRange struct {
		source    string
		low, high float64
	}
	setBands struct{ source, channels string }
	apply    struct {
		source string
		reading
	}
)

// Update takes keys and answers, and keeps the pictures coming.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case pages.For: // given to Update before
	case answer:
		if msg.req != p.req {
			return p, nil
		}
		p.asking = false
		return p, p.take(msg) // the page may not be on screen: what follows from it comes with the pages.For around it
	case arrived:
		if msg.gen != p.gen {
			return p, nil
		}
		return p, p.arrive(msg)
	case applied:
		p.told(msg)
		return p, nil
	case link.Up:
		p.stop()
		p.req++ // an answer of the engine before is stale
		p.asking, p.have, p.after = false, sample{}, time.Time{}
	case setRange:
		if r := p.tried(); msg.source == p.reply.GetSource() {
			r.low, r.high = msg.low, msg.high
			p.try(r)
		}
	case setBands:
		if r := p.tried(); msg.source == p.reply.GetSource() {
			r.channels = msg.channels
			p.try(r)
		}
	case apply:
		return p, p.apply(msg)
	case pages.Pressed:
		cmd = p.press(msg.ID)
	case pages.Wheeled:
		if id := map[bool]string{true: "down", false: "up"}[msg.Down]; p.Refuse(id) == "" {
			p.press(id)
		}
	case pages.Clicked:
		cmd = p.click(msg)
	}
	if it, ok := p.env.Desk.List().Selected(); ok {
		p.want.also = it.ID
	}
	engine := p.env.Monitor.Status
	p.want.engine = fmt.Sprint(engine.GetPid(), " ", engine.GetPoolHash())
	return p, tea.Batch(cmd, p.ask(), p.fetch(), p.show())
}

func (p *Page) press(id string) tea.Cmd {
	r, all := p.tried(), p.stretches()
	at := slices.Index(all, r.stretch)
	turn := func(to int) {
		r.stretch = all[max(0, min(to, len(all)-1))]
		p.try(r)
	}
	switch id {
	case "left":
		turn(at - 1)
	case "right":
		turn(at + 1)
	case "first":
		turn(0)
	case "last":
		turn(len(all) - 1)
	case "up":
		p.top--
	case "down":
		p.top++
	case "next-page":
		p.turn(+1)
	case "previous-page":
		p.turn(-1)
	case "sample":
		p.want.seed++
		p.top = 0
	case "plain":
		r.low, r.high = 0, 0
		p.try(r)
	case "brighter", "darker", "more-contrast", "less-contrast":
		p.widen(id)
	case "range":
		return p.askRange()
	case "bands":
		return p.askBands()
	case "open":
		return p.question()
	case "back":
		if len(p.drafts) > 0 {
			clear(p.drafts)
			p.env.Say(common.Info, "nothing is changed: the network sees the images as before")
		}
		return p.env.Wish(pages.Goto{Name: "gallery"})
	}
	return nil
}

// turn goes to the next source, or the one before.
func (p *Page) turn(by int) {
	all := p.reply.GetSources()
	i := slices.IndexFunc(all, func(s *rpc.ImageSource) bool { return s.GetName() == p.reply.GetSource() })
	p.want.source = all[(i+by+len(all))%len(all)].GetName()
	p.top = 0
}

// click chooses the stretch under the mouse; a second click asks.
func (p *Page) click(m pages.Clicked) tea.Cmd {
	if p.source() == nil {
		return nil
	}
	cols, _, _ := p.layout()
	from, n := p.columns()
	if at := (m.X - 1) / (cols + 1); m.X > 0 && at < n && m.Y >= head-2 {
		r := p.tried()
		r.stretch = p.stretches()[from+at]
		p.try(r)
		if m.Again && p.Refuse("open") == "" {
			return p.question()
		}
	}
	return nil
}

// about is the range of the images on screen under the reading that is tried, in the middle of them; false: it is not known.
func (p *Page) about() (low, high float64, ok bool) {
	var lows, highs []float64
	for _, id := range p.shown() {
		if c := p.cells[place{id, p.tried()}]; c != nil && c.low < c.high && !math.IsInf(c.high-c.low, 0) {
			lows, highs = append(lows, c.low), append(highs, c.high)
		}
	}
	if len(lows) == 0 {
		return 0, 0, false
	}
	slices.Sort(lows)
	slices.Sort(highs)
	low, high = lows[len(lows)/2], highs[len(highs)/2]
	return low, high, low < high
}

// widen moves what is black or white by a part of the range, which begins with that of the images on screen.
func (p *Page) widen(id string) {
	r := p.tried()
	if !r.ranged() {
		var ok bool
		if r.low, r.high, ok = p.about(); !ok {
			r.low, r.high = 0, 255 // colours
		}
	}
	span := r.high - r.low
	switch id {
	case "brighter":
		r.high = r.low + 0.8*span
	case "darker":
		r.high = r.low + 1.25*span
	case "more-contrast":
		r.low += 0.1 * span
	case "less-contrast":
		r.low -= 0.1 * span
	}
	if r.low, r.high = round(r.low, span), round(r.high, span); !(r.low < r.high) || math.IsInf(r.high-r.low, 0) || !r.ranged() {
		p.env.Say(common.Info, "the range ends there")
		return
	}
	p.try(r)
}

// round leaves digits that make no difference in a range of that width.
func round(v, span float64) float64 {
	if !(span > 0) || math.IsInf(v, 0) {
		return v
	}
	unit := math.Floor(math.Log10(span)) - 3
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', int(max(0, -unit)), 64), 64)
	if err != nil {
		return v
	}
	if unit > 0 {
		rounded = math.Round(v/math.Pow(10, unit)) * math.Pow(10, unit)
	}
	return rounded
}

func (p *Page) askRange() tea.Cmd {
	r, text := p.tried(), ""
	if r.ranged() {
		text = number(r.low) + " " + number(r.high)
	} else if low, high, ok := p.about(); ok {
		text = number(low) + " " + number(high)
	}
	source := p.reply.GetSource()
	return p.env.Wish(pages.Ask{Dialog: dialogs.NewPrompt(dialogs.Prompt{Common: p.env.Common, Title: "Range of values", Help: "what becomes black and what becomes white, in all images alike; empty: each image by itself",
		Check: func(text string) string { _, _, why := limits(text); return why },
		Answer: func(text string) tea.Msg {
			low, high, _ := limits(text)
			return setRange{source, low, high}
		}}, text)})
}

// limits reads a range that a person typed.
func limits(text string) (low, high float64, why string) {
	const want = "Two numbers are needed: what becomes black, and what becomes white."
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' || r == ';' })
	if len(parts) == 0 {
		return 0, 0, ""
	}
	if len(parts) != 2 {
		return 0, 0, want
	}
	low, err := strconv.ParseFloat(parts[0], 64)
	high, err2 := strconv.ParseFloat(parts[1], 64)
	switch {
	case err != nil || err2 != nil || math.IsNaN(low+high) || math.IsInf(high-low, 0):
		return 0, 0, want
	case low >= high:
		return 0, 0, "What becomes black must be less than what becomes white."
	}
	return low, high, ""
}

func (p *Page) askBands() tea.Cmd {
	source := p.reply.GetSource()
	help := "weights of the bands for each channel: 1 0 0; 0 1 0; 0 0.5 0.5 · or how many of the first bands: 5 · empty: three, the first three bands or one for all · shown are the first three"
	if n := p.bands(); n > 0 {
		help = "these images have " + common.Plural(n, "band") + " · " + help
	}
	return p.env.Wish(pages.Ask{Dialog: dialogs.NewPrompt(dialogs.Prompt{Common: p.env.Common, Title: "Channels", Help: help, Check: weights,
		Answer: func(text string) tea.Msg { return setBands{source, strings.TrimSpace(text)} }}, common.Clean(p.tried().channels))})
}

// weights tells why weights that a person typed are none. How many channels there may be is the engine's to say.
func weights(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	n := 0
	for i, part := range strings.Split(text, ";") {
		fields := strings.Fields(strings.ReplaceAll(part, ",", " "))
		for _, f := range fields {
			if w, err := strconv.ParseFloat(f, 64); err != nil || math.IsNaN(w) || math.IsInf(w, 0) {
				return common.Clean(fmt.Sprintf("%.40s is no weight.", f))
			}
		}
		switch {
		case len(fields) == 0:
			return "Each channel needs a weight for every band."
		case i == 0:
			n = len(fields)
		case len(fields) != n:
			return "Each channel needs as many weights: one for every band."
		}
	}
	return ""
}

// bands of the images on screen, whatever was tried on them; 0: not known, or not all alike.
func (p *Page) bands() (n int) {
	ids := p.shown()
	for at, c := range p.cells {
		if c.bands <= 0 || !slices.Contains(ids, at.id) {
			continue
		}
		if n > 0 && n != c.bands {
			return 0
		}
		n = c.bands
	}
	return n
}

// question says what happens before it does.
func (p *Page) question() tea.Cmd {
	s := p.source()
	text := fmt.Sprintf("All labels stay. From now on the network sees the %s of %s so: %s. What was made of them as they were (embeddings, scores, prepared pixels) is made anew, "+
		"which takes as long as the first time; other sources keep theirs. A trained network stays, but knows other pixels: scoring compares them and stops where they are unlike; train again then. "+
		"The engine opens the images anew, which takes some seconds.", common.Plural(s.GetImages(), "image"), common.Clean(s.GetName()), p.describe(p.tried()))
	return p.env.Wish(pages.Ask{Dialog: dialogs.Confirm{Common: p.env.Common, Title: "Another preparation", Text: text, Choices: []dialogs.Choice{
		{Keys: []string{"y"}, Does: "yes, use it", Answer: apply{s.GetName(), p.tried()}}, {Keys: []string{"n"}, Does: "no"}}}})
}

// apply has the engine read the source so.
func (p *Page) apply(a apply) tea.Cmd {
	client, ctx := p.link.Client(), p.link.Context()
	if client == nil {
		p.env.Say(common.Warning, "the engine is not connected: nothing is changed")
		return nil
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		r, err := client.SetReading(ctx, &rpc.SetReadingRequest{Source: a.source, Reading: a.wire()})
		return pages.For{Page: name, Msg: applied{a.source, r, err}}
	}
}

// told says how that went.
func (p *Page) told(m applied) {
	switch {
	case m.err != nil:
		p.env.Say(common.Warning, link.Reason(m.err))
	case !m.reply.GetStarted():
		p.env.Say(common.Warning, common.Clean(m.reply.GetReason()))
	default:
		delete(p.drafts, m.source)
		p.reply, p.have = nil, sample{}
		p.env.Say(common.Note, "prepared so from now on · the engine opens the images anew, labels stay")
	}
}

// ask asks what there is to look at, one request at a time.
func (p *Page) ask() tea.Cmd {
	client, want := p.link.Client(), p.want
	if client == nil || p.asking || want == p.have || p.env.Now().Before(p.after) {
		return nil
	}
	p.asking = true
	p.req++
	ctx, req := p.link.Context(), p.req
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		r, err := client.Preparation(ctx, &rpc.PreparationRequest{Source: want.source, Seed: want.seed, Images: drawn, Also: want.also})
		return pages.For{Page: name, Msg: answer{req, want, r, err}}
	}
}

// take takes the engine's answer.
func (p *Page) take(m answer) tea.Cmd {
	if m.err != nil {
		p.why = link.Reason(m.err)
		if status.Code(m.err) == codes.NotFound {
			p.want.source = "" // it is no more
		}
		p.after = p.env.Now().Add(again)
		return tea.Tick(again, func(time.Time) tea.Msg { return later{} })
	}
	if m.reply.GetSize() != p.reply.GetSize() && p.reply != nil {
		p.forget()
	}
	p.reply, p.have, p.why = m.reply, m.of, ""
	return nil
}

func (p *Page) forget() {
	p.stop()
	clear(p.cells)
	clear(p.before)
	p.used = 0
}

// shown are the ids of the images on screen.
func (p *Page) shown() []string {
	ids := p.reply.GetIds()
	_, _, rows := p.layout()
	p.top = max(0, min(p.top, len(ids)-rows))
	return ids[p.top:min(len(ids), p.top+rows)]
}

// readings are those of the columns on screen.
func (p *Page) readings() (all []reading) {
	from, n := p.columns()
	for _, s := range p.stretches()[from : from+n] {
		r := p.tried()
		r.stretch = s
		all = append(all, r)
	}
	return all
}

// stop ends the stream of previews.
func (p *Page) stop() {
	p.gen++
	p.cancel()
	p.flying = view{}
}

// fetch asks for what is to be on screen and is not here.
func (p *Page) fetch() tea.Cmd {
	client := p.link.Client()
	if client == nil || p.source() == nil || p.env.Now().Before(p.after) {
		return nil
	}
	ids, readings := p.shown(), p.readings()
	now := view{strings.Join(ids, "\x00"), fmt.Sprintf("%#v", readings)}
	if p.flying == now {
		return nil
	}
	in := &rpc.PreviewRequest{}
	var missing []reading
	for _, r := range readings {
		if slices.ContainsFunc(ids, func(id string) bool { return p.cells[place{id, r}] == nil }) {
			missing = append(missing, r)
			in.Readings = append(in.Readings, r.wire())
		}
	}
	for _, id := range ids {
		if slices.ContainsFunc(missing, func(r reading) bool { return p.cells[place{id, r}] == nil }) {
			in.Ids = append(in.Ids, id)
		}
	}
	if len(in.Ids) == 0 {
		return nil
	}
	p.stop()
	p.flying = now
	ctx, cancel := context.WithCancel(p.link.Context())
	p.cancel = cancel
	gen, size := p.gen, p.reply.GetSize()
	return func() tea.Msg {
		stream, err := client.Preview(ctx, in)
		if err != nil {
			return pages.For{Page: name, Msg: arrived{gen: gen, err: err}}
		}
		return next(gen, size, missing, stream)()
	}
}

// next receives and decodes one preview.
func next(gen uint64, size int32, readings []reading, stream grpc.ServerStreamingClient[rpc.PreviewReply]) func() tea.Msg {
	return func() tea.Msg {
		a := arrived{gen: gen}
		r, err := stream.Recv()
		switch {
		case err != nil:
			a.err = err
		case r.GetReading() < 0 || int(r.GetReading()) >= len(readings):
			a.err = errors.New("the engine is of another version and draws other previews")
		default:
			a.at = place{r.GetId(), readings[r.GetReading()]}
			a.cell, a.next = decode(r, a.at, size), next(gen, size, readings, stream)
		}
		return pages.For{Page: name, Msg: a}
	}
}

// decode makes a picture of what came; limits before pixels.
func decode(r *rpc.PreviewReply, at place, size int32) *cell {
	c := &cell{key: fmt.Sprintf("prepared %d %#v", size, at), bands: int(r.GetBands()), low: r.GetLow(), high: r.GetHigh(), why: common.Clean(r.GetError())}
	if c.why != "" {
		return c
	}
	cfg, err := png.DecodeConfig(bytes.NewReader(r.GetPng()))
	if err == nil && (cfg.Width <= 0 || cfg.Height <= 0 || cfg.Width > largest || cfg.Height > largest) {
		c.why = fmt.Sprintf("the engine sent %d × %d pixels", cfg.Width, cfg.Height)
		return c
	}
	if err == nil {
		c.img, err = png.Decode(bytes.NewReader(r.GetPng()))
	}
	if err != nil {
		c.img, c.why = nil, "the engine sent no picture"
	}
	return c
}

func (c *cell) bytes() int {
	if c.img == nil {
		return 64
	}
	b := c.img.Bounds()
	return 4 * b.Dx() * b.Dy()
}

// arrive takes one preview, or the end of them.
func (p *Page) arrive(m arrived) tea.Cmd {
	if m.err == nil {
		if p.used > budget {
			p.thin()
		}
		if p.cells[m.at] == nil {
			p.cells[m.at] = m.cell
			p.used += m.cell.bytes()
		}
		return m.next
	}
	done := errors.Is(m.err, io.EOF)
	for _, id := range p.shown() { // asked for and not answered: not asked again and again
		for _, r := range p.readings() {
			if at := (place{id, r}); p.cells[at] == nil && (done || !link.Gone(m.err)) {
				why := "the engine sent no picture"
				if !done {
					why = link.Reason(m.err)
				}
				p.cells[at] = &cell{why: why}
			}
		}
	}
	p.stop()
	if done {
		return nil
	}
	p.after = p.env.Now().Add(again)
	return tea.Tick(again, func(time.Time) tea.Msg { return later{} })
}

// thin forgets what is not on screen.
func (p *Page) thin() {
	ids, readings := p.shown(), p.readings()
	p.used = 0
	for at, c := range p.cells {
		if slices.Contains(ids, at.id) && slices.Contains(readings, at.reading) {
			p.used += c.bytes()
		} else {
			delete(p.cells, at)
		}
	}
}

// show asks the screen for the pictures; of one that changes what was there stays until the new one is.
func (p *Page) show() tea.Cmd {
	if p.source() == nil {
		return p.env.Screen.Show(nil)
	}
	cols, rows, _ := p.layout()
	want := func(c *cell) imgview.Want { return imgview.Want{Key: c.key, Img: c.img, Cols: cols, Rows: rows} }
	var wants, old []imgview.Want
	before := map[string]*cell{}
	for _, id := range p.shown() {
		for _, r := range p.readings() {
			c, was := p.cells[place{id, r}], p.before[spot(id, r)]
			if c != nil && c.img != nil {
				wants = append(wants, want(c))
			}
			if c != nil && (c.img == nil || p.env.Screen.Visible(c.key, cols, rows)) {
				before[spot(id, r)] = c
			} else if was != nil && was.img != nil {
				before[spot(id, r)] = was
				old = append(old, want(was))
			}
		}
	}
	p.before = before
	return p.env.Screen.Show(append(wants, old...))
}

// spot names a place on screen, whatever the range and the channels.
func spot(id string, r reading) string { return r.stretch + "\x00" + id }
