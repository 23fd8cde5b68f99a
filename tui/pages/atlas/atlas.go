// Package atlas is the map: all images in two dimensions by what is alike.
package atlas

import (
	"context"
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
	"anomalymatch/tui/thumbs"
)

const (
	name    = "map"
	timeout = 30 * time.Second
	rest    = 200 * time.Millisecond // how long the box stays before the engine is asked what is in it
	again   = 300 * time.Millisecond // until a map that is being worked out is asked for once more
	most    = 6                      // pictures of the box
	closest = 1.0 / 4096             // part of the map on screen
	fields  = 1 << 16                // of a picture, about: what a slow link carries in a second
)

// asked is what a picture is of; equal ones are the same picture.
type asked struct {
	projection      string
	of              region
	columns, rows   int
	ranking, labels uint64
	engine          int32 // another one counts anew
}

// Page is the map page.
type Page struct {
	env  *pages.Env
	link *link.Link
	w, h int

	projection string // as a person chose it; empty: the engine's first
	shown      region
	x, y       int // upper left cell of the box in the plot
	placed     bool
	byScore    bool

	reply  *rpc.MapReply // nil until there is one
	pic    *picture      // nil: there is no map
	why    string        // there is none
	have   asked         // what pic is of
	asking bool
	req    uint64
	after  time.Time // not asked before then

	box    inBox
	boxReq uint64
}

// spot is a part of a map as it stands; of equal ones the same can be told.
type spot struct {
	projection      string
	of              region
	ranking, labels uint64
}

// inBox are examples of what lies in a part of the map, the best of the ranking.
type inBox struct {
	spot
	items []*rpc.Item
	known bool
}

// New makes the page.
func New(env *pages.Env, l *link.Link) *Page { return &Page{env: env, link: l, shown: whole} }

// Name is the page's name.
func (p *Page) Name() string { return name }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) {
	if w == p.w && h == p.h {
		return
	}
	p.w, p.h, p.placed = w, h, false
	p.place(p.x, p.y)
}

// panel is the width of the side panel, 0: none. It is wide where that leaves the map wide.
func (p *Page) panel() int {
	switch {
	case p.w >= 200:
		return 60
	case p.w >= 112:
		return 40
	case p.w >= 76:
		return 20
	}
	return 0
}

// size is that of the plot in cells: under a line of names, above one of the axes.
func (p *Page) size() (w, h int) {
	w = p.w - 2
	if n := p.panel(); n > 0 {
		w -= n + 2
	}
	return max(4, w), max(3, p.h-2)
}

// boxSize is that of the box in cells, its frame left out.
func (p *Page) boxSize() (w, h int) {
	pw, ph := p.size()
	return max(2, pw/10), max(1, ph/8)
}

// place puts the box on the plot, first into its middle.
func (p *Page) place(x, y int) {
	pw, ph := p.size()
	bw, bh := p.boxSize()
	if !p.placed {
		x, y, p.placed = (pw-bw)/2, (ph-bh)/2, true
	}
	p.x, p.y = max(0, min(x, pw-bw)), max(0, min(y, ph-bh))
}

// at is the point of the map at a place of the plot, in cells.
func (p *Page) at(x, y float64) (float64, float64) {
	pw, ph := p.size()
	return p.shown.left + x/float64(pw)*p.shown.width(), p.shown.top + y/float64(ph)*p.shown.height()
}

// under is the part of the map under the box.
func (p *Page) under() region {
	bw, bh := p.boxSize()
	r := region{}
	r.left, r.top = p.at(float64(p.x), float64(p.y))
	r.right, r.bottom = p.at(float64(p.x+bw), float64(p.y+bh))
	return r
}

// here is what lies under the box.
func (p *Page) here() spot {
	return spot{p.reply.GetProjection(), p.under(), p.have.ranking, p.have.labels}
}

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return keys.Hinted(p.env.Common.Keys.Pick("open", "right", "larger", "colours", "next-page", "first", "pages", "back", "help", "quit"),
		map[string]string{"open": "list these", "right": "move", "larger": "closer", "next-page": "other map", "first": "whole map"})
}

// Blocked is never asked: labels are given elsewhere.
func (p *Page) Blocked() string { return "" }

// Owns: the map has colours of its own.
func (p *Page) Owns(id string) bool { return id == "colours" }

// Refuse tells why there is nothing to move on, or to list.
func (p *Page) Refuse(id string) string {
	switch id {
	case "next-page", "previous-page":
		if len(p.reply.GetProjections()) < 2 {
			return p.missing()
		}
	case "first":
		if p.pic != nil && p.shown == whole {
			return "this is the whole map"
		}
		fallthrough
	case "left", "right", "up", "down", "last", "open", "larger", "smaller", "colours":
		switch {
		case p.pic == nil:
			return p.missing()
		case id == "last":
			return p.env.Common.Keys.Label("first") + " shows the whole map"
		case id == "open":
			if n, _, _, _ := p.pic.sum(p.under()); n == 0 {
				return "no image lies in the box"
			}
		}
	}
	return ""
}

// missing says why there is no map.
func (p *Page) missing() string {
	if p.why != "" {
		return p.why
	}
	return "the map is on its way"
}

// The page's own messages.
type (
	answer struct {
		req   uint64
		of    asked
		reply *rpc.MapReply
		err   error
	}
	examples struct {
		req   uint64
		reply *rpc.RankingReply
		err   error
	}
	later  struct{} // time to ask again
	rested struct{ req uint64 }
)

// Update moves the box and keeps map and pictures up to date.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case answer:
		if msg.req != p.req {
			return p, nil
		}
		p.asking = false
		return p, p.take(msg)
	case examples:
		if msg.req == p.boxReq && msg.err == nil {
			p.box.items, p.box.known = msg.reply.GetItems(), true
		}
		return p, nil
	case pages.For: // given to Update before
	case link.Up:
		p.req++ // an answer of the engine before is stale
		p.asking, p.have, p.after = false, asked{}, time.Time{}
	case rested:
		if msg.req == p.boxReq {
			cmd = p.lookInto()
		}
	case pages.Pressed:
		cmd = p.press(msg.ID)
	case pages.Clicked:
		cmd = p.click(msg)
	case pages.Wheeled:
		if p.pic != nil {
			p.zoom(map[bool]float64{true: 2, false: 0.5}[msg.Down])
		}
	}
	return p, tea.Batch(cmd, p.ask(), p.look(), p.fetch())
}

func (p *Page) press(id string) tea.Cmd {
	pw, ph := p.size()
	dx, dy := max(2, pw/40), max(1, ph/30)
	switch id {
	case "left":
		p.move(-dx, 0)
	case "right":
		p.move(dx, 0)
	case "up":
		p.move(0, -dy)
	case "down":
		p.move(0, dy)
	case "larger":
		p.zoom(0.5)
	case "smaller":
		p.zoom(2)
	case "first":
		p.shown = whole
	case "colours":
		p.byScore = !p.byScore
	case "next-page":
		p.turn(+1)
	case "previous-page":
		p.turn(-1)
	case "open":
		d := p.env.Desk
		g := p.under()
		p.env.Say(common.Info, "what lies there, the best first · "+p.env.Common.Keys.Label("back")+" goes back")
		return tea.Batch(p.env.Wish(pages.Goto{Name: "gallery"}), d.Choose(review.View{Filter: "all", By: d.By,
			Region: review.Region{Projection: p.reply.GetProjection(), Left: g.left, Top: g.top, Right: g.right, Bottom: g.bottom}}))
	}
	return nil
}

// move moves the box by cells, and the map under it where the box is at the border.
func (p *Page) move(dx, dy int) {
	x, y := p.x+dx, p.y+dy
	p.place(x, y)
	pw, ph := p.size()
	p.shown = p.shown.shifted(float64(x-p.x)/float64(pw)*p.shown.width(), float64(y-p.y)/float64(ph)*p.shown.height())
}

// zoom shows a part of the map that is larger or smaller by a factor, the middle of the box staying where it is.
func (p *Page) zoom(by float64) {
	switch {
	case by > 1 && p.shown == whole:
		p.env.Say(common.Info, "this is the whole map")
		return
	case by < 1 && p.shown.width()*by < closest:
		p.env.Say(common.Info, "closer shows nothing more")
		return
	}
	bw, bh := p.boxSize()
	x, y := p.at(float64(p.x)+float64(bw)/2, float64(p.y)+float64(bh)/2)
	p.shown = p.shown.scaled(by, x, y)
	if p.shown.width() > 0.999 {
		p.shown = whole
	}
	pw, ph := p.size() // at the border of the map the box goes with what it was on
	p.place(int(math.Round((x-p.shown.left)/p.shown.width()*float64(pw)-float64(bw)/2)), int(math.Round((y-p.shown.top)/p.shown.height()*float64(ph)-float64(bh)/2)))
}

// turn goes on to the next projection, or the one before.
func (p *Page) turn(by int) {
	all := p.reply.GetProjections()
	i := max(0, slices.Index(all, p.reply.GetProjection()))
	p.projection = all[(i+by+len(all))%len(all)]
	p.shown, p.pic, p.why = whole, nil, ""
	p.reply = &rpc.MapReply{Projection: p.projection, Projections: all}
	p.after = time.Time{}
}

// click puts the box around a place of the plot; a second click lists what is there.
func (p *Page) click(m pages.Clicked) tea.Cmd {
	x, y := m.X-1, m.Y-1
	pw, ph := p.size()
	if x < 0 || y < 0 || x >= pw || y >= ph || p.pic == nil {
		return nil
	}
	bw, bh := p.boxSize()
	p.place(x-bw/2, y-bh/2)
	if m.Again && p.Refuse("open") == "" {
		return p.press("open")
	}
	return nil
}

// wanted is the picture that belongs on screen.
func (p *Page) wanted() asked {
	pw, ph := p.size()
	tall := 4 // fields a cell, one above the other
	if 2*pw*4*ph > fields {
		tall = 2
	}
	s := p.env.Monitor.Status
	return asked{p.projection, p.shown, 2 * pw, tall * ph, s.GetRankingVersion(), s.GetLabelsVersion(), s.GetPid()}
}

// ask asks for the map, one request at a time.
func (p *Page) ask() tea.Cmd {
	client, want := p.link.Client(), p.wanted()
	if client == nil || p.asking || want == p.have || p.env.Now().Before(p.after) {
		return nil
	}
	p.asking = true
	p.req++
	ctx, req := p.link.Context(), p.req
	in := &rpc.MapRequest{Projection: want.projection, Columns: int32(want.columns), Rows: int32(want.rows), Region: want.of.wire(want.projection)}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		r, err := client.Map(ctx, in)
		return pages.For{Page: name, Msg: answer{req, want, r, err}}
	}
}

// take takes the engine's answer.
func (p *Page) take(m answer) tea.Cmd {
	if m.of.projection != p.projection {
		return nil
	}
	wait := again
	switch r := m.reply; {
	case m.err != nil:
		p.why, wait = link.Reason(m.err), time.Second
		if p.projection != "" && p.pic == nil { // what there is no more
			p.projection = ""
		}
	case r.GetWhy() != "":
		p.reply, p.pic, p.why = r, nil, common.Clean(r.GetWhy())
	case len(r.GetDensity()) != m.of.columns*m.of.rows || len(r.GetScore()) != len(r.GetDensity()):
		p.reply, p.pic, p.why, wait = r, nil, "the engine is of another version and draws other maps", timeout
	default:
		p.reply, p.why, p.have = r, "", m.of
		p.pic = &picture{m.of.of, m.of.columns, m.of.rows, r.GetDensity(), r.GetScore(), r.GetLabelled()}
		return nil
	}
	p.after = p.env.Now().Add(wait)
	return tea.Tick(wait, func(time.Time) tea.Msg { return later{} })
}

// look waits until the box rests on a part of the map.
func (p *Page) look() tea.Cmd {
	if p.pic == nil || p.panel() == 0 || p.env.Screen.Driver() == "none" {
		return nil
	}
	now := p.here()
	if p.box.spot == now {
		return nil
	}
	if now.projection != p.box.projection || now.of != p.box.of { // else the old ones until the new ones are there
		p.box = inBox{}
	}
	p.box.spot = now
	p.boxReq++
	req := p.boxReq
	return tea.Tick(rest, func(time.Time) tea.Msg { return rested{req} })
}

// lookInto asks for examples of what is in the box.
func (p *Page) lookInto() tea.Cmd {
	client := p.link.Client()
	if client == nil || p.pic == nil {
		return nil
	}
	if n, _, _, _ := p.pic.sum(p.box.of); n == 0 {
		p.box.items, p.box.known = nil, true
		return nil
	}
	ctx, req := p.link.Context(), p.boxReq
	in := &rpc.RankingRequest{By: p.env.Desk.By, Filter: "all", Limit: most, Region: p.box.of.wire(p.box.projection)}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		r, err := client.Ranking(ctx, in)
		return pages.For{Page: name, Msg: examples{req, r, err}}
	}
}

// pictures is how the examples are laid out in the panel: columns of them, rows, and the size of one in cells. Many are better than
// large ones, as long as one can be told from the other.
func (p *Page) pictures() (columns, rows, w, h int) {
	room, tall := p.panel(), p.h-factLines
	best := 0.0
	for c := 1; c <= 3; c++ {
		least := 1 // rows
		if c == 1 {
			least = 2
		}
		pw, ph := p.env.Square((room-(c-1))/c, tall/least-1)
		if pw < 12 || ph < 5 {
			continue
		}
		r := tall / (ph + 1)
		if worth := float64(min(most, c*r)) * math.Sqrt(float64(pw*ph)); worth > best {
			best, columns, rows, w, h = worth, c, r, pw, ph
		}
	}
	return columns, rows, w, h
}

// drawn are the examples that are drawn.
func (p *Page) drawn() []*rpc.Item {
	columns, rows, _, _ := p.pictures()
	return p.box.items[:min(len(p.box.items), columns*rows)]
}

// fetch asks for the examples' pictures and shows those that are there.
func (p *Page) fetch() tea.Cmd {
	if p.pic == nil || p.panel() == 0 {
		return p.env.Screen.Show(nil)
	}
	_, _, w, h := p.pictures()
	px := p.env.Thumb(w, h)
	var reqs []thumbs.Request
	var wants []imgview.Want
	for _, it := range p.drawn() {
		reqs = append(reqs, thumbs.Request{ID: it.GetId(), Px: px})
		if pic, ok := p.env.Thumbs.Get(it.GetId()); ok {
			wants = append(wants, p.env.Wants(pic, w, h)...)
		}
	}
	return tea.Batch(p.env.Thumbs.Want(reqs), p.env.Screen.Show(wants))
}

// View draws the map, the box, and beside it what is in the box.
func (p *Page) View() string {
	pw, ph := p.size()
	var plot []string
	if p.pic == nil {
		lines := []string{p.missing()}
		if p.env.Monitor.Known && !p.env.Monitor.Status.GetEmbedded() {
			lines = append(lines, "the map appears by itself")
		}
		plot = p.env.Centre(lines, pw, ph)
	} else {
		st := p.env.Styles
		c := newCanvas(pw, ph)
		c.dots(st, p.pic, p.shown, p.byScore)
		c.marks(st, p.pic.labelled, p.shown)
		bw, bh := p.boxSize()
		c.frame(st.Cell.Marker, p.x, p.y, bw, bh)
		plot = c.lines()
	}
	lines := append(append([]string{p.head(pw)}, plot...), p.foot(pw))
	lines = common.Lines(lines, pw, p.h)
	if n := p.panel(); n > 0 {
		lines = pages.Beside(2, lines, p.side(n))
	}
	return pages.Margin(lines, 1)
}

// head names the maps, what the colours say, and how close the map is.
func (p *Page) head(w int) string {
	st := p.env.Styles
	left := ""
	for i, projection := range p.reply.GetProjections() {
		if i > 0 {
			left += "  "
		}
		style := st.Dim
		if projection == p.reply.GetProjection() {
			style = st.Header.Current
		}
		left += style.Render(common.Clean(projection))
	}
	right := ""
	if p.pic != nil {
		right = "colour: how many"
		if p.byScore {
			right = "colour: score, 0 "
			for i, s := range scale(st, true) {
				if i < steps {
					right += s.Render("▪")
				}
			}
			right += " 1"
		}
		if by := 1 / p.shown.width(); by > 1.01 {
			right = fmt.Sprintf("×%.0f  ", by) + right
		}
	}
	return common.Ends(left, st.Dim.Render(right), w)
}

// foot names the axes, or says what is in the box where there is no panel for it.
func (p *Page) foot(w int) string {
	st := p.env.Styles
	if p.pic == nil {
		return common.Blank(w)
	}
	x, y := common.Clean(p.reply.GetXName()), common.Clean(p.reply.GetYName())
	text := "what is alike lies together; directions mean nothing"
	switch {
	case p.panel() == 0:
		text = strings.Join(p.facts(), " · ")
	case x != "" && y != "":
		text = "→ " + x + "   ↑ " + y
	}
	return common.Fit(st.Dim.Render(common.Cut(text, w)), w)
}

// facts says what is in the box.
func (p *Page) facts() []string {
	images, anomalies, normals, score := p.pic.sum(p.under())
	out := []string{common.Plural(images, "image")}
	if anomalies+normals > 0 {
		out = append(out, fmt.Sprintf("A %s  N %s", common.Count(anomalies), common.Count(normals)))
	}
	if !math.IsNaN(score) {
		out = append(out, "mean score "+common.Score(float32(score)))
	}
	return out
}

// factLines is the height of what the panel says above the pictures.
const factLines = 5

// side is the panel: what is in the box, and pictures of the best of it.
func (p *Page) side(w int) []string {
	st := p.env.Styles
	out := []string{components.Section(st, "In the box", "", w)}
	if p.pic == nil {
		return common.Lines(out, w, p.h)
	}
	for _, f := range p.facts() {
		out = append(out, st.Text.Render(common.Cut(f, w)))
	}
	for len(out) < factLines {
		out = append(out, "")
	}
	columns, _, cw, ch := p.pictures()
	items := p.drawn()
	if columns == 0 || p.box.spot != p.here() && !p.box.known {
		return common.Lines(out, w, p.h)
	}
	for len(items) > 0 {
		row := items[:min(columns, len(items))]
		items = items[len(row):]
		lines := make([]string, ch+1)
		for i, it := range row {
			gap := ""
			if i > 0 {
				gap = " "
			}
			drawn := slices.Repeat([]string{common.Blank(cw)}, ch)
			caption := common.Score(it.GetScore())
			if pic, ok := p.env.Thumbs.Get(it.GetId()); ok && pic.Err != "" {
				drawn = p.env.Centre([]string{"cannot read"}, cw, ch)
			} else if ok {
				drawn = p.env.Lines(pic, cw, ch)
			}
			badge := components.Badge(st, review.Label(it.GetLabel()).Letter(), false, false)
			if cw >= 18 {
				caption += " " + common.CutLeft(common.Clean(path.Base(it.GetId())), cw-10)
			}
			for y, l := range drawn {
				lines[y] += gap + l
			}
			lines[ch] += gap + common.Ends(st.Dim.Render(caption), badge, cw)
		}
		out = append(out, lines...)
	}
	return common.Lines(out, w, p.h)
}
