// Package single is the page with one picture large and what is known of it.
package single

import (
	"fmt"
	"image"
	"image/draw"
	"math"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
	"anomalymatch/tui/thumbs"
)

const (
	facts  = 30   // least width of the column beside the picture
	truePx = 4096 // longest side asked for to see true pixels
)

// Page is the large picture.
type Page struct {
	env        *pages.Env
	w, h       int
	cols, rows int // of the picture's box
	pixels     bool

	cut    imgview.Want // the picture at true size, and what it was made of
	cutKey string
}

// New makes the page.
func New(env *pages.Env) *Page { return &Page{env: env} }

// Name is the page's name.
func (p *Page) Name() string { return "single" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h; p.arrange() }

// arrange makes the largest square that leaves room for the facts.
func (p *Page) arrange() {
	_, _, ratio := p.env.Cell()
	p.rows = max(1, p.h-1)
	p.cols = int(math.Round(float64(p.rows) * ratio))
	if room := max(8, p.w-facts-4); p.cols > room {
		p.cols = room
		p.rows = max(1, min(p.rows, int(math.Round(float64(room)/ratio))))
	}
}

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return p.env.Common.Keys.Pick("anomaly", "normal", "skip", "undo", "zoom", "similar", "back", "train", "cancel", "pages", "help", "quit")
}

// want is the picture as it is to be drawn now.
func (p *Page) want() (imgview.Want, bool) {
	it, ok := p.env.Desk.List().Selected()
	if !ok {
		return imgview.Want{}, false
	}
	pic, ok := p.env.Thumbs.Get(it.ID)
	if !ok || pic.Img == nil {
		return imgview.Want{}, false
	}
	if p.pixels {
		return p.trueSize(pic), true
	}
	return imgview.Want{Key: pic.Key(), Img: pic.Img, Cols: p.cols, Rows: p.rows}, true
}

// trueSize cuts the middle out of a picture that is larger than its box, and puts one that is no multiple of the cells onto black,
// so that nothing is scaled: one pixel of the image is one of the screen.
func (p *Page) trueSize(pic thumbs.Picture) imgview.Want {
	cw, ch := p.env.Screen.Grid()
	if cw <= 0 || ch <= 0 {
		cw, ch, _ = p.env.Cell()
	}
	b := pic.Img.Bounds()
	cols, rows := min(p.cols, (b.Dx()+cw-1)/cw), min(p.rows, (b.Dy()+ch-1)/ch)
	key := fmt.Sprintf("%s 1:1 %dx%d of %dx%d", pic.Key(), cols, rows, cw, ch)
	if key == p.cutKey {
		return p.cut
	}
	box := image.NewRGBA(image.Rect(0, 0, cols*cw, rows*ch))
	draw.Draw(box, box.Bounds(), image.Black, image.Point{}, draw.Src)
	at := image.Pt((box.Bounds().Dx()-b.Dx())/2, (box.Bounds().Dy()-b.Dy())/2)
	draw.Draw(box, b.Sub(b.Min).Add(at), pic.Img, b.Min, draw.Src)
	p.cutKey, p.cut = key, imgview.Want{Key: key, Img: box, Cols: cols, Rows: rows}
	return p.cut
}

// Blocked tells why the image cannot be labelled.
func (p *Page) Blocked() string {
	it, ok := p.env.Desk.List().Selected()
	if !ok {
		return ""
	}
	w, drawn := p.want()
	if drawn && p.env.Screen.Visible(w.Key, w.Cols, w.Rows) {
		return ""
	}
	return p.env.Blocked(it, p.cols, p.rows)
}

// Update moves, labels and keeps the pictures coming.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	var cmd tea.Cmd
	if m, ok := msg.(pages.Pressed); ok {
		cmd = p.press(m.ID)
	}
	p.arrange()
	return p, tea.Batch(cmd, p.env.Look(), p.fetch())
}

func (p *Page) press(id string) tea.Cmd {
	d := p.env.Desk
	l := d.List()
	switch id {
	case "anomaly", "normal", "skip", "clear":
		it, ok := l.Selected()
		if !ok {
			return nil
		}
		next := l.Cursor + 1
		if id == "clear" {
			id, next = "", l.Cursor
		}
		return d.Give(review.Label(id), []review.Item{it}, next)
	case "left", "up", "previous-page":
		l.Move(l.Cursor - 1)
	case "right", "down", "next-page":
		l.Move(l.Cursor + 1)
	case "first":
		l.Move(0)
	case "last":
		l.Move(len(l.Items) - 1)
	case "zoom":
		p.pixels = !p.pixels
		p.env.Say(common.Flash, map[bool]string{true: "true pixels", false: "as fits"}[p.pixels])
	}
	return d.Load(false)
}

// fetch asks for this picture large, then for its neighbours.
func (p *Page) fetch() tea.Cmd {
	l := p.env.Desk.List()
	cw, ch, _ := p.env.Cell()
	px := max(p.cols*cw, p.rows*ch)
	if p.pixels {
		px = truePx
	}
	var reqs []thumbs.Request
	var wants, ahead []imgview.Want
	for _, i := range []int{l.Cursor, l.Cursor + 1, l.Cursor - 1} {
		if i < 0 || i >= len(l.Items) {
			continue
		}
		id := l.Items[i].ID
		reqs = append(reqs, thumbs.Request{ID: id, Px: px})
		if i == l.Cursor {
			if w, ok := p.want(); ok {
				wants = append(wants, w)
			}
		} else if pic, ok := p.env.Thumbs.Get(id); ok && pic.Img != nil && !p.pixels {
			ahead = append(ahead, imgview.Want{Key: pic.Key(), Img: pic.Img, Cols: p.cols, Rows: p.rows, Prefetch: true})
		}
	}
	if it, ok := l.Selected(); ok {
		cols, rows := p.env.NearSize()
		small := max(cols*cw, rows*ch)
		for _, n := range p.env.NearDrawn(it.ID, p.side(), p.h-len(p.known(it, thumbs.Picture{SourceWidth: 1}, p.side()))-2) {
			reqs = append(reqs, thumbs.Request{ID: n.ID, Px: small})
			if pic, ok := p.env.Thumbs.Get(n.ID); ok && pic.Img != nil {
				wants = append(wants, imgview.Want{Key: pic.Key(), Img: pic.Img, Cols: cols, Rows: rows})
			}
		}
	}
	return tea.Batch(p.env.Thumbs.Want(reqs), p.env.Screen.Show(append(wants, ahead...)))
}

// side is the width of the facts.
func (p *Page) side() int { return min(p.w-p.cols-4, 64) }

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
	switch w, drawn := p.want(); {
	case drawn:
		x, y := (p.cols-w.Cols)/2, (p.rows-w.Rows)/2
		for i, line := range p.env.Screen.Lines(w.Key, w.Cols, w.Rows) {
			box[y+i] = common.Blank(x) + line + common.Blank(p.cols-w.Cols-x)
		}
	case has && pic.Err != "":
		box = p.env.Centre([]string{"cannot read", pic.Err}, p.cols, p.rows)
	default:
		box = p.env.Centre([]string{"", "the picture is on its way…"}, p.cols, p.rows)
	}
	width := p.w - p.cols - 4
	side := p.facts(it, pic, p.side())
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

// facts are the lines beside the picture.
func (p *Page) facts(it review.Item, pic thumbs.Picture, w int) []string {
	out := append(p.known(it, pic, w), "")
	out = append(out, p.env.Nearest(it, w, p.h-len(out)-1, true)...)
	if rest := p.h - len(out) - 3; rest >= 10 && w >= facts {
		out = append(out, "")
		out = append(out, p.env.Scores(w, min(16, rest), float64(it.Score))...)
	}
	return out
}

// known is what is known of the image itself.
func (p *Page) known(it review.Item, pic thumbs.Picture, w int) []string {
	st, d := p.env.Styles, p.env.Desk
	l := d.List()
	label, mark := d.Label(it)
	said := st.Dim.Render("none")
	if label != review.None || mark != review.Saved {
		said = strings.TrimSpace(components.Badge(st, label.Letter(), false, false)) + " " + name(label)
		switch mark {
		case review.Pending:
			said += st.Dim.Render(" …")
		case review.Kept:
			said += st.Dim.Render(" on this machine")
		case review.Unsaved:
			said += st.Error.Render(" ! not saved yet")
		}
	}
	out := []string{components.Section(st, "Image", fmt.Sprintf("%s of %s", common.Count(l.Cursor+1), common.Count(d.Len())), w)}
	id := common.Clean(it.ID)
	source, member, found := strings.Cut(id, "/")
	if !found {
		source, member = "", id
	}
	out = append(out, "")
	for _, part := range wrapName(member, w, 3) {
		out = append(out, st.Strong.Render(part))
	}
	if source != "" {
		out = append(out, st.Dim.Render(common.Cut("in "+source, w)))
	}
	out = append(out, "")
	if pic.SourceWidth > 0 {
		size := fmt.Sprintf("%d × %d pixels", pic.SourceWidth, pic.SourceHeight)
		if p.pixels {
			size += ", true size"
		}
		out = append(out, components.Field(st, "size", size, w))
	}
	out = append(out, components.Field(st, "score", strings.TrimSpace(common.Score(it.Score)), w))
	if by := p.env.Ranking(); it.Rank >= 0 && by != "" && d.Like == "" && d.Filter != "audit" && p.env.Strategy() == "top" {
		out = append(out, components.Field(st, "rank", common.Count(it.Rank+1)+" in the "+by+" ranking", w)) // else it is a place in another order
	}
	out = append(out, common.Fit(st.Section.Key.Render(common.Fit("label", 11))+said, w))
	return append(out, p.env.Doubt(it, w, max(2, p.h/4))...)
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

func name(l review.Label) string {
	if l == review.None {
		return "no label"
	}
	return string(l)
}
