package gallery

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
)

// selection is several pictures, from the one where it began to the cursor.
type selection struct {
	list  *review.List    // it is of; nil: nothing is selected
	begin int64           // place in the list
	seen  map[string]bool // images whose pictures were on screen since
}

// Bulk labels a selection once that is confirmed.
type Bulk struct {
	Label review.Label
	its   []review.Item
	next  int64 // place of the cursor then
}

// Selecting tells whether several pictures are selected.
func (p *Page) Selecting() bool { return p.sel.list != nil }

// Note is what the hint line says instead of the keys of the page.
func (p *Page) Note() string {
	if !p.Selecting() {
		return ""
	}
	from, to := p.span()
	key := p.env.Common.Keys.Label
	return common.Plural(to-from, "image") + " selected · " + strings.Join([]string{key("anomaly"), key("normal"), key("skip"), key("clear"), key("bookmark"), key("tag-1") + "-" + key("tag-9")}, " ") +
		" are for all of them · " + key("back") + " lets go"
}

// begin starts a selection at the cursor, or ends the present one.
func (p *Page) begin() {
	if p.Selecting() {
		p.sel = selection{}
		return
	}
	l := p.env.Desk.List()
	p.sel = selection{list: l, begin: l.Place(), seen: map[string]bool{}}
}

// span are the indices of the selection: from, and behind its last.
func (p *Page) span() (from, to int) {
	l := p.env.Desk.List()
	a, b := int(p.sel.begin-l.Base), l.Cursor
	return max(0, min(a, b)), min(len(l.Items), max(a, b)+1)
}

// selected tells whether image i of the list is in the selection.
func (p *Page) selected(i int) bool {
	if !p.Selecting() {
		return false
	}
	from, to := p.span()
	return i >= from && i < to
}

// look notes which pictures were on screen, and ends a selection that the list has left behind.
func (p *Page) look() {
	if !p.Selecting() {
		return
	}
	l := p.env.Desk.List()
	if at := p.sel.begin - l.Base; l != p.sel.list || at < 0 || at >= int64(len(l.Items)) {
		p.sel = selection{}
		p.env.Say(common.Info, "nothing is selected any more: the list is another one, or went on too far")
		return
	}
	for _, it := range p.on() {
		if !p.sel.seen[it.ID] && p.env.Blocked(it, p.grid.pw, p.grid.ph) == "" {
			p.sel.seen[it.ID] = true
		}
	}
}

// all labels the selected images in one step. It acts only on pictures that were on screen, and asks where they are more than a page.
func (p *Page) all(to review.Label) tea.Cmd {
	p.look()
	d := p.env.Desk
	l := d.List()
	from, end := p.span()
	b := Bulk{Label: to, next: l.Base + int64(end)}
	if to == review.None {
		b.next = l.Place()
	}
	unseen, unreadable := 0, 0
	for _, it := range l.Items[from:end] {
		if pic, ok := p.env.Thumbs.Get(it.ID); ok && pic.Err != "" {
			unreadable++
		} else if !p.sel.seen[it.ID] {
			unseen++
		} else {
			b.its = append(b.its, it)
		}
	}
	switch {
	case unseen > 0:
		p.env.Say(common.Warning, fmt.Sprintf("%s of the selection never on screen: look at all of them first", was(unseen)))
		return nil
	case len(b.its) == 0:
		p.env.Say(common.Info, "none of these images can be read: there is nothing to label")
		return nil
	case len(b.its) > p.size():
		return p.env.Wish(pages.Ask{Dialog: p.question(b, unreadable)})
	}
	return p.give(b)
}

func was(n int) string {
	if n == 1 {
		return "1 picture was"
	}
	return common.Count(n) + " pictures were"
}

// question asks whether so many images are really meant, and says which labels it would change.
func (p *Page) question(b Bulk, unreadable int) dialogs.Confirm {
	what, does := "Label "+common.Plural(len(b.its), "image")+" as "+string(b.Label), "label them"
	if b.Label == review.None {
		what, does = "Take the labels of "+common.Plural(len(b.its), "image")+" away", "take them away"
	}
	now := map[review.Label]int{}
	for _, it := range b.its {
		if l, _ := p.env.Desk.Label(it); l != b.Label {
			now[l]++
		}
	}
	var parts []string
	for _, l := range []review.Label{review.Anomaly, review.Normal, review.Skip} {
		if n := now[l]; n > 0 {
			parts = append(parts, common.Count(n)+" labelled "+string(l))
		}
	}
	text := "None of them has another label now."
	if len(parts) > 0 {
		text = "Of them, " + strings.Join(parts, ", ") + " now."
	}
	if unreadable > 0 {
		text += " " + common.Plural(unreadable, "image") + " that cannot be read are left out."
	}
	text += " It is one step: " + p.env.Common.Keys.Label("undo") + " takes it back."
	return dialogs.Confirm{Common: p.env.Common, Title: what + "?", Text: text,
		Choices: []dialogs.Choice{{Keys: []string{"y"}, Does: does, Answer: b}, {Keys: []string{"n"}, Does: "back to the selection"}}}
}

// give labels what was selected and lets go.
func (p *Page) give(b Bulk) tea.Cmd {
	if !p.Selecting() {
		return nil // the list has changed since it was asked
	}
	p.sel = selection{}
	return p.env.Desk.Give(b.Label, b.its, int(b.next-p.env.Desk.List().Base))
}

// mark bookmarks or tags the selected images, or the one under the cursor.
func (p *Page) mark(mark string) tea.Cmd {
	d := p.env.Desk
	it, ok := d.List().Selected()
	its := []review.Item{it}
	switch {
	case !ok:
		return nil
	case p.Selecting():
		from, to := p.span()
		its = d.List().Items[from:to]
		p.sel = selection{}
	}
	return d.Toggle(mark, its)
}

// at is the index of the image whose cell is at x, y of the page; false: there is none.
func (p *Page) at(x, y int) (int, bool) {
	g := p.grid
	x -= g.left
	step := g.pw + 2 + g.gap
	col, row := x/step, y/(g.ph+2)
	if x < 0 || y < 0 || col >= g.cols || row >= g.rows || x%step >= g.pw+2 {
		return 0, false
	}
	i := row*g.cols + col
	return p.top + i, i < len(p.on())
}

// click selects the picture; twice opens it. It never labels.
func (p *Page) click(m pages.Clicked) tea.Cmd {
	i, ok := p.at(m.X, m.Y)
	if !ok {
		return nil
	}
	p.env.Desk.List().Move(i)
	if m.Again && !p.Selecting() {
		return p.env.Wish(pages.Goto{Name: "single"})
	}
	return p.env.Desk.Load(false)
}
