// Package compare is the page with two images beside each other, or in turn.
package compare

import (
	"fmt"
	"math"
	"path"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
	"anomalymatch/tui/thumbs"
)

// turn is how long each of two blinked images is seen.
const turn = 500 * time.Millisecond

// Page is the compare page: the selected image, which labels are for, and another one that stays while the first one changes.
type Page struct {
	env        *pages.Env
	w, h       int
	cols, rows int // of a picture's box

	other string // id of the second image; empty: not chosen yet

	blink  bool // in turn, not beside each other
	second bool // the second image's turn
	held   bool // by hand: no blinking
	ticks  uint64
	due    time.Time // of the next turn
}

// New makes the page.
func New(env *pages.Env) *Page { return &Page{env: env} }

// Name is the page's name.
func (p *Page) Name() string { return "compare" }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h; p.arrange() }

// foot are the lines below the pictures.
const foot = 3

// arrange makes the largest squares that fit: two beside each other, or one.
func (p *Page) arrange() {
	p.cols, p.rows = p.env.Square(p.column(), p.h-1-foot)
}

// column is the width of what one image has.
func (p *Page) column() int {
	if p.blink {
		return p.w - 2
	}
	return (p.w - 4) / 2
}

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return p.env.Common.Keys.Pick("anomaly", "normal", "skip", "undo", "back", "compare", "stretch", "pages", "help", "quit")
}

// choose finds a second image where there is none, or where it has become the first: the nearest labelled anomaly, else the next one of
// the list.
func (p *Page) choose() {
	l := p.env.Desk.List()
	it, ok := l.Selected()
	if !ok || p.other != "" && p.other != it.ID {
		return
	}
	if p.other == "" {
		found, known, why := p.env.Near.Of(it.ID)
		for _, n := range found {
			if n.Label == review.Anomaly {
				p.other = n.ID
				return
			}
		}
		s := p.env.Monitor.Status
		if !known && why == "" && s.GetEmbedded() && s.GetAnomalies() > 0 {
			return // on its way
		}
	}
	p.step(l.Cursor, +1)
}

// step goes from a place in the list to the next image that is not the first one, forwards or backwards.
func (p *Page) step(from, by int) bool {
	l := p.env.Desk.List()
	if len(l.Items) == 0 {
		return false
	}
	for i := from + by; i >= 0 && i < len(l.Items); i += by {
		if i != l.Cursor {
			p.other = l.Items[i].ID
			return true
		}
	}
	if p.other == "" || l.Items[l.Cursor].ID == p.other { // any is better than none
		p.other = ""
		for i := from - by; i >= 0 && i < len(l.Items); i -= by {
			if i != l.Cursor {
				p.other = l.Items[i].ID
				return true
			}
		}
	}
	return false
}

// images are the first and the second one; second has no id where it is not chosen.
func (p *Page) images() (first, second review.Item) {
	l := p.env.Desk.List()
	first, _ = l.Selected()
	if i := l.Index(p.other); i >= 0 {
		return first, l.Items[i]
	}
	second = review.Item{ID: p.other, Score: float32(math.NaN()), Rank: -1}
	found, _, _ := p.env.Near.Of(first.ID)
	for _, n := range found {
		if n.ID == p.other {
			second.Label = n.Label
		}
	}
	return first, second
}

// Blocked tells why the first image cannot be labelled: only one that is surely being looked at is.
func (p *Page) Blocked() string {
	it, ok := p.env.Desk.List().Selected()
	if !ok {
		return ""
	}
	key := p.env.Common.Keys.Label
	switch {
	case p.blink && !p.held:
		return "they blink: " + key("up") + " stops that, or " + key("compare") + " shows both"
	case p.blink && p.second:
		return "the other image is on screen: " + key("up") + " goes back to the selected one"
	}
	return p.env.Blocked(it, p.cols, p.rows)
}

// Owns: the key that opened the page goes on to blinking.
func (p *Page) Owns(id string) bool { return id == "compare" }

// Refuse: there is nothing to move through in an empty list, and nothing to open.
func (p *Page) Refuse(id string) string {
	if id == "open" {
		return p.env.Common.Keys.Label("back") + " goes back"
	}
	return p.env.Unlisted(id)
}

type tick struct{ n uint64 }

// Update chooses, labels, blinks and keeps the pictures coming.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case pages.Pressed:
		cmd = p.press(msg.ID)
	case pages.Wheeled:
		cmd = p.press(map[bool]string{true: "right", false: "left"}[msg.Down])
	case tick:
		if msg.n == p.ticks && p.blink && !p.held {
			p.due = time.Time{}
			if p.ready() {
				p.second = !p.second
			}
		}
	}
	p.choose()
	p.arrange()
	return p, tea.Batch(cmd, p.env.Look(), p.fetch(), p.next())
}

// next waits for the next turn. A turn that came while another page was shown is lost: the wait begins again.
func (p *Page) next() tea.Cmd {
	now := p.env.Now()
	if !p.blink || p.held || now.Before(p.due.Add(turn)) {
		return nil
	}
	p.due = now.Add(turn)
	p.ticks++
	n := p.ticks
	return tea.Tick(turn, func(time.Time) tea.Msg { return tick{n} })
}

// ready tells whether both pictures can be shown at once.
func (p *Page) ready() bool {
	a, b := p.images()
	return p.env.Ready(a, p.cols, p.rows) && p.env.Ready(b, p.cols, p.rows)
}

func (p *Page) press(id string) tea.Cmd {
	d := p.env.Desk
	l := d.List()
	switch id {
	case "anomaly", "normal", "skip", "clear":
		return p.env.Label(id)
	case "left", "right":
		by := map[string]int{"left": -1, "right": +1}[id]
		from := l.Index(p.other)
		if from < 0 {
			from = l.Cursor
		}
		if !p.step(from, by) {
			p.env.Say(common.Info, "the list ends here")
		}
	case "next-page":
		l.Move(l.Cursor + 1)
	case "previous-page":
		l.Move(l.Cursor - 1)
	case "first":
		l.Move(0)
	case "last":
		l.Move(len(l.Items) - 1)
	case "up", "down":
		switch {
		case !p.blink:
			l.Move(l.Cursor + map[string]int{"up": -1, "down": +1}[id])
		case !p.held: // the first press stops at the selected image
			p.held, p.second = true, false
		default:
			p.second = !p.second
		}
	case "compare":
		p.blink = !p.blink
		p.second, p.held, p.due = false, false, time.Time{}
	}
	return d.Load(false)
}

// fetch asks for both pictures, then for those that may come next.
func (p *Page) fetch() tea.Cmd {
	l := p.env.Desk.List()
	px := p.env.Pixels(p.cols, p.rows)
	first, second := p.images()
	ids := []string{first.ID, second.ID}
	if i := l.Index(p.other); i >= 0 && i+1 < len(l.Items) {
		ids = append(ids, l.Items[i+1].ID)
	}
	if i := l.Cursor + 1; i < len(l.Items) {
		ids = append(ids, l.Items[i].ID)
	}
	var reqs []thumbs.Request
	var wants []imgview.Want
	for k, id := range ids {
		if id == "" {
			continue
		}
		reqs = append(reqs, thumbs.Request{ID: id, Px: px})
		if pic, ok := p.env.Thumbs.Get(id); ok {
			want := p.env.Wants(pic, p.cols, p.rows)
			if k > 1 || p.blink && p.second != (k == 1) {
				want = pages.Ahead(want)
			}
			wants = append(wants, want...)
		}
	}
	return tea.Batch(p.env.Thumbs.Want(reqs), p.env.Screen.Show(wants))
}

// View draws both images, or the one whose turn it is.
func (p *Page) View() string {
	first, second := p.images()
	if first.ID == "" {
		return pages.Join(p.env.Centre(p.env.Empty(), p.w, p.h))
	}
	w := p.column()
	var out []string
	if p.blink {
		it, mark := first, "▸"
		if p.second {
			it, mark = second, " "
		}
		out = p.image(it, mark, w)
	} else {
		left, right := p.image(first, "▸", w), p.image(second, " ", w)
		for i := range left {
			out = append(out, left[i]+"  "+right[i])
		}
	}
	out = append([]string{""}, append(out, p.about(first, second))...)
	for i := range out {
		out[i] = common.Fit(" "+out[i], p.w)
	}
	return pages.Join(common.Lines(out, p.w, p.h))
}

// image is a picture in the middle of w cells with two lines about it.
func (p *Page) image(it review.Item, mark string, w int) []string {
	st := p.env.Styles
	pic, ok := p.env.Thumbs.Get(it.ID)
	var lines []string
	switch {
	case it.ID == "" && p.other == "" && len(p.env.Desk.List().Items) < 2:
		lines = p.env.Centre([]string{"", "there is no other image in the list"}, p.cols, p.rows)
	case it.ID == "":
		lines = p.env.Centre([]string{"", "looking for the nearest anomaly…"}, p.cols, p.rows)
	case ok && pic.Err != "":
		lines = p.env.Centre([]string{"cannot read", pic.Err}, p.cols, p.rows)
	case ok && pic.Img != nil:
		lines = p.env.Lines(pic, p.cols, p.rows)
	default:
		lines = p.env.Centre([]string{"", "the picture is on its way…"}, p.cols, p.rows)
	}
	side := (w - p.cols) / 2
	out := make([]string, 0, p.rows+2)
	for _, l := range lines {
		out = append(out, common.Blank(side)+l+common.Blank(w-p.cols-side))
	}
	if it.ID == "" {
		return append(out, common.Blank(w), common.Blank(w))
	}
	name := common.CutLeft(common.Clean(path.Base(it.ID)), max(1, w-2))
	facts := "score " + strings.TrimSpace(common.Score(it.Score)) + "   "
	return append(out, common.Fit(st.Cell.Marker.Render(mark)+" "+st.Strong.Render(name), w), common.Fit("  "+st.Dim.Render(facts)+p.env.Labelled(it), w))
}

// about is the line below both: how alike they are, and what keys do.
func (p *Page) about(first, second review.Item) string {
	st, key := p.env.Styles, p.env.Common.Keys.Label
	text := "  "
	found, _, _ := p.env.Near.Of(first.ID)
	for _, n := range found {
		if n.ID == second.ID {
			text += fmt.Sprintf("similarity %.2f", n.Similarity)
		}
	}
	help := key("left") + " " + key("right") + " another   " + key("compare") + " blink   " + key("previous-page") + " " + key("next-page") + " another first"
	if p.blink {
		state := "blinking"
		if p.held {
			state = map[bool]string{true: "the other one", false: "the selected one"}[p.second]
		}
		text = "  " + state + strings.Replace(text, "  s", " · s", 1)
		help = key("up") + " by hand   " + key("compare") + " side by side   " + key("left") + " " + key("right") + " another"
	}
	if common.Width(text)+common.Width(help)+2 > p.w-2 {
		help = ""
	}
	return common.Ends(st.Text.Render(text), st.Dim.Render(help), p.w-2)
}
