// Package gallery is the page with the grid of candidates.
package gallery

import (
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/components"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
	"anomalymatch/tui/thumbs"
)

// settle is how long a reordered page must have been on screen before "the rest is normal" is believed.
const settle = 1500 * time.Millisecond

// Page is the gallery.
type Page struct {
	env       *pages.Env
	w, h      int
	thumbnail int // cells across from the settings; 0: as fits
	level     int // < 0: as fits
	grid      layout
	top       int // index of the first image on screen

	sel selection

	shown     []string // ids on screen, to see when a ranking moves them
	reordered time.Time
}

// New makes the gallery; thumbnail is the width of a picture in cells, 0 as fits.
func New(env *pages.Env, thumbnail int) *Page {
	return &Page{env: env, thumbnail: thumbnail, level: -1}
}

// Name is the page's name.
func (p *Page) Name() string { return "gallery" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h; p.arrange() }

func (p *Page) arrange() {
	_, _, ratio := p.env.Cell()
	lv := p.level
	if lv < 0 && p.thumbnail > 0 {
		lv = level(p.thumbnail, ratio)
	}
	p.grid = arrange(p.w, p.h, lv, ratio)
	p.scroll()
}

// size is how many images a page has.
func (p *Page) size() int { return p.grid.cols * p.grid.rows }

// scroll turns to the page with the cursor: pages begin at places that are multiples of their size, whatever part of the list is loaded.
func (p *Page) scroll() {
	l, n := p.env.Desk.List(), int64(p.size())
	p.top = int(max(0, l.Place()/n*n-l.Base))
}

// on are the images on screen.
func (p *Page) on() []review.Item {
	items := p.env.Desk.List().Items
	return items[min(p.top, len(items)):min(p.top+p.size(), len(items))]
}

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	if p.env.Desk.Aside() {
		return p.env.Common.Keys.Pick("back", "anomaly", "normal", "skip", "undo", "open", "similar", "pages", "help", "quit")
	}
	return p.env.Common.Keys.Pick("anomaly", "normal", "skip", "undo", "rest-normal", "open", "similar", "ranking", "filter", "train", "cancel", "pages", "help", "quit", "search", "select", "bookmark")
}

// Blocked tells why the selected image cannot be labelled.
func (p *Page) Blocked() string {
	it, ok := p.env.Desk.List().Selected()
	if !ok || p.Selecting() { // each of them is looked at
		return ""
	}
	return p.env.Blocked(it, p.grid.pw, p.grid.ph)
}

// Owns: marks are for all that is selected.
func (p *Page) Owns(id string) bool { return id == review.Bookmark || strings.HasPrefix(id, "tag-") }

// Refuse: an empty list has nothing to move through.
func (p *Page) Refuse(id string) string { return p.env.Unlisted(id) }

// Update moves, labels and keeps the pictures coming.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	var cmd tea.Cmd
	switch m := msg.(type) {
	case pages.Pressed:
		cmd = p.press(m.ID)
	case pages.Clicked:
		cmd = p.click(m)
	case pages.Wheeled:
		cmd = p.press(map[bool]string{true: "down", false: "up"}[m.Down])
	case Bulk:
		cmd = p.give(m)
	}
	p.arrange()
	p.watch()
	p.look()
	if p.grid.panel > 0 {
		cmd = tea.Batch(cmd, p.env.Look())
	}
	return p, tea.Batch(cmd, p.fetch())
}

func (p *Page) press(id string) tea.Cmd {
	d := p.env.Desk
	l := d.List()
	if tag, ok := strings.CutPrefix(id, "tag-"); ok {
		return p.mark(tag)
	}
	switch id {
	case "bookmark":
		return p.mark(review.Bookmark)
	case "select":
		p.begin()
		return nil
	case "anomaly", "normal", "skip", "clear":
		if p.Selecting() {
			return p.all(review.Label(map[bool]string{false: id}[id == "clear"]))
		}
		return p.env.Label(id)
	case "rest-normal":
		return p.rest()
	case "left":
		l.Move(l.Cursor - 1)
	case "right":
		l.Move(l.Cursor + 1)
	case "up":
		if l.Cursor >= p.grid.cols {
			l.Move(l.Cursor - p.grid.cols)
		}
	case "down":
		if to := l.Cursor + p.grid.cols; to < len(l.Items) {
			l.Move(to)
		} else if (l.Cursor-p.top)/p.grid.cols < (len(l.Items)-1-p.top)/p.grid.cols {
			l.Move(len(l.Items) - 1)
		}
	case "next-page":
		if to := p.top + p.size(); to < len(l.Items) {
			l.Move(to)
		} else {
			l.Move(len(l.Items) - 1)
		}
	case "previous-page":
		l.Move(max(0, p.top-p.size()))
	case "first":
		return d.Go(0)
	case "last":
		return d.Go(d.Len() - 1)
	case "back":
		if p.Selecting() {
			p.sel = selection{}
			return nil
		}
		return d.Back()
	case "larger":
		p.resize(+1)
	case "smaller":
		p.resize(-1)
	}
	return d.Load(false)
}

func (p *Page) resize(by int) {
	was := p.grid.level
	p.level = max(0, min(len(heights)-1, was+by))
	p.arrange()
	if p.grid.level == was {
		p.level = was
		p.env.Say(common.Info, map[int]string{1: "thumbnails are as large as they fit", -1: "thumbnails are as small as they get"}[by])
	}
}

// rest labels what is unlabelled from the cursor to the end of the page as normal. It acts only on pictures that are on screen,
// and not on a page that a new ranking has just reordered under the eye.
func (p *Page) rest() tea.Cmd {
	d := p.env.Desk
	l := d.List()
	if p.env.Now().Sub(p.reordered) < settle {
		p.env.Say(common.Warning, "the page has just been reordered: look again, then "+p.env.Common.Keys.Label("rest-normal"))
		return nil
	}
	var its []review.Item
	end := p.top + len(p.on())
	for _, it := range l.Items[l.Cursor:end] {
		label, _ := d.Label(it)
		if label != review.None {
			continue
		}
		if why := p.env.Blocked(it, p.grid.pw, p.grid.ph); why != "" {
			if pic, ok := p.env.Thumbs.Get(it.ID); ok && pic.Err != "" {
				continue
			}
			p.env.Say(common.Info, "wait: not all pictures of the page are on screen yet")
			return nil
		}
		its = append(its, it)
	}
	if len(its) == 0 {
		p.env.Say(common.Info, "the rest of the page is labelled already")
		return nil
	}
	l.Move(end - 1) // the page was looked at
	return d.Give(review.Normal, its, end)
}

// watch notes when something else than the person changes the pictures ahead of the cursor.
func (p *Page) watch() {
	var ids []string
	for _, it := range p.on() {
		ids = append(ids, it.ID)
	}
	if len(ids) > 1 && len(p.shown) == len(ids) && p.shown[0] == ids[0] && !slices.Equal(p.shown, ids) {
		p.reordered = p.env.Now()
	}
	p.shown = ids
}

// fetch asks for the pictures of this page, the next and the one before, and shows those that are there.
func (p *Page) fetch() tea.Cmd {
	l, n, g := p.env.Desk.List(), p.size(), p.grid
	px := p.env.Thumb(g.pw, g.ph)
	var order []int
	if len(l.Items) > 0 {
		order = append(order, l.Cursor)
	}
	for _, start := range []int{p.top, p.top + n, p.top - n} {
		for i := start; i < start+n; i++ {
			if i >= 0 && i < len(l.Items) && i != l.Cursor {
				order = append(order, i)
			}
		}
	}
	var reqs []thumbs.Request
	var wants []imgview.Want
	for k, i := range order {
		id := l.Items[i].ID
		reqs = append(reqs, thumbs.Request{ID: id, Px: px})
		if pic, ok := p.env.Thumbs.Get(id); ok && pic.Img != nil && k < 3*n && k < 220 {
			some := p.env.Wants(pic, g.pw, g.ph)
			if i < p.top || i >= p.top+n {
				some = pages.Ahead(some)
			}
			wants = append(wants, some...)
		}
	}
	return tea.Batch(p.env.Thumbs.Want(reqs), p.env.Screen.Show(wants))
}

// View draws the grid, and the panel where there is room.
func (p *Page) View() string {
	g := p.grid
	items := p.on()
	var lines []string
	if len(items) == 0 {
		lines = p.env.Centre(p.env.Empty(), g.width, p.h)
	} else {
		lines = make([]string, 0, p.h)
		for r := 0; r < g.rows && r*g.cols < len(items); r++ {
			lines = append(lines, p.row(items[r*g.cols:min(len(items), (r+1)*g.cols)], p.top+r*g.cols)...)
		}
		for len(lines) < p.h {
			lines = append(lines, common.Blank(g.width))
		}
	}
	if g.panel > 0 {
		side := p.env.Panel(g.panel, p.h)
		for i := range lines {
			lines[i] += "  " + side[i] + " "
		}
	}
	return pages.Join(lines)
}

// row draws one row of cells: the upper side of the frames, the pictures, the captions.
func (p *Page) row(items []review.Item, first int) []string {
	g, st := p.grid, p.env.Styles
	cursor := p.env.Desk.List().Cursor
	out := make([]strings.Builder, g.ph+2)
	used := g.left
	for y := range out {
		out[y].WriteString(common.Blank(g.left))
	}
	for i, it := range items {
		selected := first+i == cursor
		framed := selected || p.selected(first+i)
		gap := common.Blank(g.gap)
		if i == 0 {
			gap = ""
		}
		used += len(gap) + g.pw + 2
		edge := " "
		if framed && !p.env.Screen.Direct() { // lines with painted pictures are best left alone
			edge = st.Cell.Frame.Render("│")
		}
		out[0].WriteString(gap + p.upper(it, framed))
		for y, line := range p.picture(it) {
			b := &out[1+y]
			b.WriteString(gap)
			b.WriteString(edge)
			b.WriteString(line)
			b.WriteString(edge)
		}
		out[g.ph+1].WriteString(gap + p.caption(it, first+i, selected, framed))
	}
	lines := make([]string, len(out))
	for y := range out {
		out[y].WriteString(common.Blank(g.width - used))
		lines[y] = out[y].String()
	}
	return lines
}

// picture is the text of one picture: exactly ph lines of pw cells.
func (p *Page) picture(it review.Item) []string {
	g := p.grid
	pic, ok := p.env.Thumbs.Get(it.ID)
	switch {
	case ok && pic.Err != "":
		return p.env.Centre([]string{"cannot read", pic.Err}, g.pw, g.ph)
	case ok:
		return p.env.Lines(pic, g.pw, g.ph)
	}
	lines := make([]string, g.ph)
	for i := range lines {
		lines[i] = common.Blank(g.pw)
	}
	lines[g.ph/2] = common.Blank(g.pw/2) + p.env.Styles.Faint.Render("·") + common.Blank(g.pw-g.pw/2-1)
	return lines
}

// upper is the upper side of a cell, above the picture: its marks at the right, ★ for the bookmark, # and the digits of the tags.
func (p *Page) upper(it review.Item, framed bool) string {
	w, st := p.grid.pw, p.env.Styles
	marks := common.Cut(review.ShortMarks(p.env.Desk.Marks(it)), w-2)
	room := w
	if marks != "" {
		room, marks = w-2-common.Width(marks), " "+st.Accent.Render(marks)+" "
	}
	if !framed {
		return common.Blank(room+1) + marks + " "
	}
	line := st.Cell.Frame.Render
	return line("╭"+strings.Repeat("─", room)) + marks + line("╮")
}

// caption is the lower side of a cell: place in the list, score, how many near-duplicates it stands for, and badge.
func (p *Page) caption(it review.Item, index int, selected, framed bool) string {
	g, st := p.grid, p.env.Styles
	label, mark := p.env.Desk.Label(it)
	badge := components.Badge(st, label.Letter(), mark == review.Pending, mark == review.Unsaved)
	room := g.pw - 4 // between marker and badge, a blank before the badge
	number, score := strconv.FormatInt(p.env.Desk.List().Base+int64(index)+1, 10), strings.TrimSpace(common.Score(it.Score))
	copies := ""
	if k := len(it.Duplicates); k > 0 {
		copies = " ×" + strconv.Itoa(k+1)
	}
	between, short := " · ", score
	if len(score) == 5 {
		short = score[:4]
	}
	n := func() int { return common.Width(number + between + score + copies) }
	if n() > room {
		between, score = " ", short
	}
	if n() > room {
		between, score = "", ""
	}
	text, used := st.Cell.Number.Render(number)+st.Faint.Render(between)+st.Cell.Score.Render(score)+st.Accent.Render(copies), n()
	if used > room {
		text, used = st.Cell.Number.Render(common.Fit(number, room)), room
	}
	if !framed {
		return "  " + text + common.Blank(room-used) + badge + " "
	}
	line := st.Cell.Frame.Render
	fill := room - used
	mid := ""
	if fill >= 2 {
		mid = " " + line(strings.Repeat("─", fill-1))
	} else {
		mid = common.Blank(fill)
	}
	if label == review.None && mark == review.Saved {
		badge = line("───")
	}
	marker := "▪"
	if selected {
		marker = "▸"
	}
	return line("╰") + st.Cell.Marker.Render(marker) + text + mid + badge + line("╯")
}
