// Package single is the page with one picture large and what is known of it.
package single

import (
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/display"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
	"anomalymatch/tui/thumbs"
)

const facts = 30 // least width of the column beside the picture

// zooms are what z goes through: as fits, then so many pixels of the screen for one of the image.
var zooms = []int{0, 1, 2, 4}

// Page is the large picture.
type Page struct {
	env        *pages.Env
	w, h       int
	cols, rows int // of the picture's box

	zoom   int         // of zooms
	centre image.Point // of the part in view, in pixels of the picture; of the image below
	of     string      // id
}

// New makes the page.
func New(env *pages.Env) *Page { return &Page{env: env} }

// Name is the page's name.
func (p *Page) Name() string { return "single" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h; p.arrange() }

// arrange makes the largest square that leaves room for the facts.
func (p *Page) arrange() {
	p.cols, p.rows = p.env.Square(max(8, p.w-facts-4), p.h-1)
}

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return p.env.Common.Keys.Pick("anomaly", "normal", "skip", "undo", "back", "zoom", "stretch", "compare", "similar", "train", "cancel", "pages", "help", "quit")
}

// zoomed are the part in view of a picture, and of what it replaces until the new one is on screen.
func (p *Page) zoomed(pic thumbs.Picture, v view) []imgview.Want {
	want := func(pic thumbs.Picture) imgview.Want {
		l := v.loupe
		l.Img = pic.Img
		return imgview.Want{Key: fmt.Sprintf("%s %d:1 %v of %v", pic.Key(), l.Zoom, l.From, l.Size), Img: l, Cols: v.cols, Rows: v.rows}
	}
	out := []imgview.Want{want(pic)}
	if before := pic.Before; before != nil && before.Img.Bounds() == pic.Img.Bounds() && !p.visible(out[0]) {
		if w := want(*before); p.ready(w) {
			out = append(out, w)
		}
	}
	return out
}

func (p *Page) visible(w imgview.Want) bool { return p.env.Screen.Visible(w.Key, w.Cols, w.Rows) }
func (p *Page) ready(w imgview.Want) bool   { return p.env.Screen.Ready(w.Key, w.Cols, w.Rows) }

// view is the part of a picture that is in view.
type view struct {
	loupe      display.Loupe
	cols, rows int             // of its box
	part       image.Rectangle // of the picture, in its pixels
	all        bool            // nothing is outside
}

// view is the part of the picture that is zoomed in on; false: it is shown as it fits, also until all of its pixels are here.
func (p *Page) view(pic thumbs.Picture) (view, bool) {
	zoom := zooms[p.zoom]
	size := pic.Img.Bounds().Size()
	if zoom == 0 || max(size.X, size.Y) < p.most(pic) {
		return view{}, false
	}
	cw, ch := p.env.Screen.Grid()
	if cw <= 0 || ch <= 0 {
		cw, ch, _ = p.env.Cell()
	}
	cells := func(n, cell, most int) int { return max(1, min(most, (n*zoom+cell-1)/cell)) }
	v := view{cols: cells(size.X, cw, p.cols), rows: cells(size.Y, ch, p.rows)}
	v.loupe = display.Loupe{Zoom: zoom, Size: image.Pt(v.cols*cw, v.rows*ch)}
	window := image.Pt((v.loupe.Size.X+zoom-1)/zoom, (v.loupe.Size.Y+zoom-1)/zoom)
	centre := p.centre
	if p.of != pic.ID {
		centre = size.Div(2)
	}
	from := func(centre, window, size int) int {
		if window >= size {
			return -(window - size) / 2
		}
		return min(max(0, centre-window/2), size-window)
	}
	v.loupe.From = image.Pt(from(centre.X, window.X, size.X), from(centre.Y, window.Y, size.Y))
	v.part = image.Rectangle{Min: v.loupe.From, Max: v.loupe.From.Add(window)}.Intersect(image.Rectangle{Max: size})
	v.all = v.part.Size() == size
	return v, true
}

// most is the longest side that a picture of the image can have: the image's, less where it has too many pixels for that.
func (p *Page) most(pic thumbs.Picture) int {
	w, h := pic.SourceWidth, pic.SourceHeight
	if area := float64(w) * float64(h); area > thumbs.MaxPixels {
		return int(float64(max(w, h)) * math.Sqrt(thumbs.MaxPixels/area) * 0.999) // rounding of the other side
	}
	return max(w, h)
}

// pan moves the part in view by a quarter of it.
func (p *Page) pan(x, y int) {
	it, _ := p.env.Desk.List().Selected()
	pic, ok := p.env.Thumbs.Get(it.ID)
	if !ok || pic.Img == nil {
		return
	}
	v, zoomed := p.view(pic)
	switch {
	case !zoomed:
		p.env.Say(common.Info, p.env.Common.Keys.Label("zoom")+" zooms in first")
		return
	case v.all:
		p.env.Say(common.Info, "all of the image is in view")
		return
	}
	size := v.part.Size()
	p.of, p.centre = pic.ID, v.part.Min.Add(size.Div(2)).Add(image.Pt(x*max(1, size.X/4), y*max(1, size.Y/4)))
	if moved, _ := p.view(pic); moved.part == v.part {
		p.env.Say(common.Info, "this is the edge of the image")
	} else {
		p.centre = moved.part.Min.Add(moved.part.Size().Div(2))
	}
}

// Blocked tells why the image cannot be labelled.
func (p *Page) Blocked() string {
	it, ok := p.env.Desk.List().Selected()
	if !ok {
		return ""
	}
	if pic, ok := p.env.Thumbs.Get(it.ID); ok && pic.Img != nil {
		if v, ok := p.view(pic); ok {
			if slices.ContainsFunc(p.zoomed(pic, v), p.visible) {
				return ""
			}
			return "wait: the picture is not on screen yet"
		}
	}
	return p.env.Blocked(it, p.cols, p.rows)
}

// Refuse: an empty list has nothing to move through.
func (p *Page) Refuse(id string) string { return p.env.Unlisted(id) }

// Update moves, labels and keeps the pictures coming.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case pages.Pressed:
		cmd = p.press(msg.ID)
	case pages.Wheeled:
		cmd = p.press(map[bool]string{true: "right", false: "left"}[msg.Down])
	}
	p.arrange()
	return p, tea.Batch(cmd, p.env.Look(), p.env.Describe(), p.fetch())
}

func (p *Page) press(id string) tea.Cmd {
	d := p.env.Desk
	l := d.List()
	switch id {
	case "anomaly", "normal", "skip", "clear":
		return p.env.Label(id)
	case "left", "up", "previous-page":
		l.Move(l.Cursor - 1)
	case "right", "down", "next-page":
		l.Move(l.Cursor + 1)
	case "first":
		return d.Go(0)
	case "last":
		return d.Go(d.Len() - 1)
	case "zoom":
		p.zoom = (p.zoom + 1) % len(zooms)
		p.env.Say(common.Flash, []string{"as fits", "true pixels, 1:1", "2:1", "4:1"}[p.zoom])
	case "pan-left":
		p.pan(-1, 0)
	case "pan-right":
		p.pan(+1, 0)
	case "pan-up":
		p.pan(0, -1)
	case "pan-down":
		p.pan(0, +1)
	}
	return d.Load(false)
}

// fetch asks for this picture large, then for its neighbours.
func (p *Page) fetch() tea.Cmd {
	l := p.env.Desk.List()
	fits := p.env.Pixels(p.cols, p.rows)
	var reqs []thumbs.Request
	var wants, ahead []imgview.Want
	for _, i := range []int{l.Cursor, l.Cursor + 1, l.Cursor - 1} {
		if i < 0 || i >= len(l.Items) {
			continue
		}
		id := l.Items[i].ID
		pic, ok := p.env.Thumbs.Get(id)
		px := fits
		if i == l.Cursor && p.zoom > 0 && ok && pic.SourceWidth > 0 {
			px = max(px, p.most(pic))
		}
		reqs = append(reqs, thumbs.Request{ID: id, Px: px})
		if !ok || pic.Img == nil {
			continue
		}
		v, zoomed := p.view(pic)
		switch {
		case i != l.Cursor && p.zoom == 0:
			ahead = append(ahead, pages.Ahead(p.env.Wants(pic, p.cols, p.rows))...)
		case i != l.Cursor:
		case zoomed:
			part := p.zoomed(pic, v)
			if wants = append(wants, part...); p.visible(part[0]) {
				p.env.Thumbs.Seen(pic)
			}
		default:
			wants = append(wants, p.env.Wants(pic, p.cols, p.rows)...)
		}
	}
	if it, ok := l.Selected(); ok {
		cols, rows := p.env.NearSize()
		small := p.env.Pixels(cols, rows)
		blocks := p.blocks(it, p.side())
		heights, _ := pages.Column(blocks, p.h-1)
		for _, n := range p.env.NearDrawn(it.ID, p.side(), heights[nearest]) {
			reqs = append(reqs, thumbs.Request{ID: n.ID, Px: small})
			if pic, ok := p.env.Thumbs.Get(n.ID); ok {
				wants = append(wants, p.env.Wants(pic, cols, rows)...)
			}
		}
	}
	return tea.Batch(p.env.Thumbs.Want(reqs), p.env.Screen.Show(append(wants, ahead...)))
}

// side is the width of the facts.
func (p *Page) side() int { return min(p.w-p.cols-4, 80) }

// View draws the picture at the left, the facts beside it.
func (p *Page) View() string {
	it, ok := p.env.Desk.List().Selected()
	if !ok {
		return pages.Join(p.env.Centre(p.env.Empty(), p.w, p.h))
	}
	pic, has := p.env.Thumbs.Get(it.ID)
	box := make([]string, p.rows)
	for i := range box {
		box[i] = common.Blank(p.cols)
	}
	switch {
	case has && pic.Err != "":
		box = p.env.Centre([]string{"cannot read", pic.Err}, p.cols, p.rows)
	case has && pic.Img != nil:
		v, zoomed := p.view(pic)
		if !zoomed {
			box = p.env.Lines(pic, p.cols, p.rows)
			break
		}
		wants := p.zoomed(pic, v)
		w := wants[0]
		if len(wants) > 1 && !p.ready(w) { // what is replaced
			w = wants[1]
		}
		x, y := (p.cols-w.Cols)/2, (p.rows-w.Rows)/2
		for i, line := range p.env.Screen.Lines(w.Key, w.Cols, w.Rows) {
			box[y+i] = common.Blank(x) + line + common.Blank(p.cols-w.Cols-x)
		}
	default:
		box = p.env.Centre([]string{"", "the picture is on its way…"}, p.cols, p.rows)
	}
	width := p.w - p.cols - 4
	side := p.facts(it, p.side())
	lines := make([]string, p.h)
	for y := range lines { // the first line is left free
		left, text := common.Blank(p.cols), ""
		if y > 0 && y <= len(box) {
			left = box[y-1]
		}
		if y > 0 && y <= len(side) {
			text = side[y-1]
		}
		lines[y] = " " + left + "  " + common.Fit(text, width) + " "
	}
	return pages.Join(lines)
}

// Blocks of the facts, the most important first.
const (
	known = iota
	doubt
	metadata
	nearest
	why
	cycles
	file
	journal
	histogram
)

// facts are the lines beside the picture.
func (p *Page) facts(it review.Item, w int) []string {
	blocks := p.blocks(it, w)
	heights, blank := pages.Column(blocks, p.h-1)
	return pages.Stack(blocks, heights, []int{known, doubt, metadata, file, cycles, why, nearest, journal, histogram}, blank)
}

func (p *Page) blocks(it review.Item, w int) []pages.Block {
	out := make([]pages.Block, histogram+1)
	most := len(p.known(it, w, math.MaxInt))
	out[known] = pages.Block{Least: 4, Good: 7, Most: most, Draw: func(h int) []string { return p.known(it, w, h) }}
	if n := len(p.env.Doubt(it, w, max(3, p.h/4))); n > 0 {
		out[doubt] = pages.Block{Least: min(n, 2), Good: n, Most: n, Draw: func(h int) []string { return p.env.Doubt(it, w, h) }}
	}
	_, rows := p.env.NearSize()
	found, _, _ := p.env.Near.Of(it.ID)
	out[nearest] = pages.Block{Least: 2, Good: 2, Most: 2, Draw: func(h int) []string { return p.env.Nearest(it, w, h, true) }}
	if len(found) > 0 {
		out[nearest].Good, out[nearest].Most = rows+2, rows+2
	}
	out[why] = p.env.Why(it, w)
	out[cycles] = p.env.Cycles(it, w)
	out[file] = p.env.File(it, w)
	out[metadata] = p.env.Metadata(it, w)
	out[journal] = p.env.Journal(it, w)
	if w >= facts {
		out[histogram] = p.env.Histogram(it, w)
	}
	return out
}

// known is what is known of the image itself, in at most h lines: what matters least goes first.
func (p *Page) known(it review.Item, w, h int) []string {
	st, d := p.env.Styles, p.env.Desk
	l := d.List()
	pic, _ := p.env.Thumbs.Get(it.ID)
	type line struct {
		text   string
		weight int
	}
	var lines []line
	add := func(weight int, text string) { lines = append(lines, line{text, weight}) }
	add(9, components.Section(st, "Image", fmt.Sprintf("%s of %s", common.Count(l.Place()+1), common.Count(d.Len())), w))
	source, member, found := strings.Cut(common.Clean(it.ID), "/")
	if !found {
		source, member = "", source
	}
	names := wrapName(member, w, 3)
	for i, part := range names {
		add(8-2*(len(names)-1-i), st.Strong.Render(part)) // the end of a name says most
	}
	if source != "" {
		add(1, st.Dim.Render(common.Cut("in "+source, w)))
	}
	if pic.SourceWidth > 0 {
		size := fmt.Sprintf("%d × %d pixels", pic.SourceWidth, pic.SourceHeight)
		if pic.Bands > 0 {
			size += ", " + common.Plural(pic.Bands, "band")
		}
		add(3, components.Field(st, "size", size, w))
	}
	if text := p.part(pic); text != "" {
		add(5, components.Field(st, "zoom", text, w))
	}
	add(7, components.Field(st, "score", strings.TrimSpace(common.Score(it.Score)), w))
	if by := p.env.Ranking(); it.Rank >= 0 && by != "" && d.Like == "" && d.Sort == "" && d.Where == "" && d.Filter != "audit" && p.env.Strategy() == "top" {
		add(2, components.Field(st, "rank", common.Count(it.Rank+1)+" in the "+by+" ranking", w)) // else it is a place in another order
	}
	add(7, common.Fit(st.Section.Key.Render(common.Fit("label", 11))+p.env.Labelled(it), w))
	if marks := d.Marks(it); len(marks) > 0 {
		names := make([]string, len(marks))
		for i, m := range marks {
			names[i] = review.MarkName(m)
		}
		add(6, components.Field(st, "marks", strings.Join(names, ", "), w))
	}
	if how := p.env.Display.Settings().String(); how != "" {
		for i, part := range common.Wrap(how, max(1, w-11)) {
			add(4, components.Field(st, map[bool]string{true: "shown"}[i == 0], part, w))
		}
	}
	var out []string
	for least := 0; ; least++ { // leave out the lightest until the rest fits
		out = out[:0]
		for _, l := range lines {
			if l.weight >= least {
				out = append(out, l.text)
			}
		}
		if len(out) <= h || least == 9 {
			return out[:min(len(out), h)]
		}
	}
}

// part says what part of the image is in view; empty: it is shown as it fits.
func (p *Page) part(pic thumbs.Picture) string {
	if p.zoom == 0 || pic.Img == nil {
		return ""
	}
	v, ok := p.view(pic)
	if !ok {
		return "its pixels are on their way…"
	}
	text := fmt.Sprintf("%d:1", v.loupe.Zoom)
	if size := pic.Img.Bounds().Size(); size.X < pic.SourceWidth || size.Y < pic.SourceHeight {
		text += fmt.Sprintf(" of %.3g%% of its size", 100*float64(size.X)/float64(pic.SourceWidth))
	}
	if !v.all {
		text += fmt.Sprintf(", x %d–%d, y %d–%d", v.part.Min.X, v.part.Max.X-1, v.part.Min.Y, v.part.Max.Y-1)
	}
	return text
}

// wrapName breaks a long name into at most n lines of w cells; the end is kept.
func wrapName(s string, w, n int) []string {
	if w <= 1 {
		return nil
	}
	s = common.CutLeft(s, n*w-n)
	var out []string
	for len(s) > 0 && len(out) < n {
		part := common.Cut(s, w)
		if common.Width(s) > w {
			part = strings.TrimSuffix(part, "…")
		}
		if part == "" {
			break
		}
		out = append(out, part)
		s = s[len(part):]
	}
	return out
}
