package review

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/link"
)

// search is what was looked for last.
type search struct {
	text    string
	view    View   // whose matches were counted
	matches int64  // in the whole list
	req     uint64 // number of the newest question: what belongs to another one is stale

	counting bool   // a question about what is being typed is under way
	typed    string // the newest that is to be counted
}

// Counted is how many images of the list match what is being typed.
type Counted struct {
	Text    string
	Matches int64
	Err     error
}

type found struct {
	req        uint64
	view       View
	back       bool
	moved      bool // the cursor is there already
	reply      *rpc.FindReply
	everywhere int64 // matches among all images, where the list has none
	err        error
}

// reach is how many images of the engine's list are of the list on screen: the queue ends at the cut, for which those labelled meanwhile
// count too; 0: all.
func (d *Desk) reach() int64 {
	l := d.List()
	members := count(l.Items, d.member)
	switch left := l.Cut - l.Base - int64(len(l.Items)); {
	case !d.Queue():
		return 0
	case l.More && left > 0:
		return l.Offset + members + left
	default:
		return max(1, l.Offset+members)
	}
}

func matches(it Item, lower string) bool {
	for _, alike := range it.group() {
		if strings.Contains(strings.ToLower(alike.ID), lower) {
			return true
		}
	}
	return false
}

// CountMatches asks how many images of the list match a text that is being typed: Counted comes for the newest.
func (d *Desk) CountMatches(text string) tea.Cmd {
	s := &d.search
	s.typed = text
	client, ctx, list := d.link.Client(), d.link.Context(), d.key().request(0, d.reach())
	if s.counting || client == nil {
		return nil
	}
	if text == "" {
		return func() tea.Msg { return Counted{} }
	}
	s.counting = true
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		r, err := client.Find(ctx, &rpc.FindRequest{List: list, Match: strings.ToValidUTF8(text, "\ufffd"), From: -1})
		return Counted{text, r.GetMatches(), err}
	}
}

// Search goes to the first image at the cursor or after it whose id holds the text. Where the list has none, those of all images that
// match are listed.
func (d *Desk) Search(text string) tea.Cmd {
	d.search.text, d.search.matches, d.search.view = strings.ToValidUTF8(text, "\ufffd"), 0, View{}
	d.search.req++
	if text == "" {
		return nil
	}
	if d.Match != "" { // every image of the list matches already
		return d.find(false, false)
	}
	l := d.List()
	if l.Cursor < len(l.Items) && matches(l.Items[l.Cursor], strings.ToLower(d.search.text)) {
		return d.find(false, true)
	}
	return d.next(false)
}

// NextMatch goes to the next image that matches, or to the one before, round the end of the list.
func (d *Desk) NextMatch(back bool) tea.Cmd {
	l := d.List()
	switch {
	case d.search.text == "":
		d.common.Say(common.Info, "nothing was searched for yet: "+d.common.Keys.Label("search")+" searches")
		return nil
	case d.Match == d.search.text: // all of them match
		to := l.Place() + 1
		if back {
			to = l.Place() - 1
		}
		return d.Go((to + d.Len()) % max(1, d.Len()))
	case d.Match != "":
		return d.find(back, false)
	}
	return d.next(back)
}

// next looks among the images loaded first: what was looked at stands in an order of its own.
func (d *Desk) next(back bool) tea.Cmd {
	l, lower := d.List(), strings.ToLower(d.search.text)
	n := len(l.Items)
	step := 1
	if back {
		step = -1
	}
	to := -1
	for i := l.Cursor + step; i >= 0 && i < n; i += step {
		if matches(l.Items[i], lower) {
			to = i
			break
		}
	}
	if whole := l.Offset == 0 && !l.More; whole && to < 0 { // round the end
		for k := range n {
			i := k
			if back {
				i = n - 1 - k
			}
			if matches(l.Items[i], lower) {
				to = i
				break
			}
		}
	}
	if to < 0 {
		return d.find(back, false)
	}
	l.Move(to)
	if d.search.view == d.key() && d.search.matches > 0 {
		d.sayMatch()
		return d.Load(false)
	}
	return tea.Batch(d.Load(false), d.find(back, true))
}

// find asks the engine for the next match beyond what is loaded; moved: only for their number.
func (d *Desk) find(back, moved bool) tea.Cmd {
	client, ctx := d.link.Client(), d.link.Context()
	if client == nil {
		d.common.Say(common.Info, "the engine is not connected")
		return nil
	}
	l := d.List()
	d.search.req++
	m := found{req: d.search.req, view: d.key(), back: back, moved: moved}
	text, from, list := d.search.text, l.Offset, m.view.request(0, d.reach())
	if !back {
		from += count(l.Items, d.member) - 1
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		m.reply = &rpc.FindReply{}
		if m.view.Match == "" {
			if m.reply, m.err = client.Find(ctx, &rpc.FindRequest{List: list, Match: text, From: from, Back: back}); m.err != nil {
				return m
			}
		}
		if !m.reply.GetFound() && !m.moved {
			var r *rpc.FindReply
			r, m.err = client.Find(ctx, &rpc.FindRequest{List: View{Filter: "all", By: m.view.By}.request(0, 0), Match: text, From: -1})
			m.everywhere = r.GetMatches()
		}
		return m
	}
}

func (d *Desk) foundBack(m found) tea.Cmd {
	s := &d.search
	if m.req != s.req || m.view != d.key() {
		return nil
	}
	if m.err != nil {
		if !link.Gone(m.err) {
			d.common.Say(common.Warning, "the search did not work: "+link.Reason(m.err))
		}
		return nil
	}
	what := common.Cut(common.Clean(s.text), 40)
	r, l := m.reply, d.List()
	s.view, s.matches = m.view, r.GetMatches()
	switch {
	case m.moved:
		d.sayMatch()
		return nil
	case r.GetFound():
		if i := l.Index(r.GetId()); i >= 0 {
			l.Move(i)
			d.sayMatch()
			return d.Load(false)
		}
		place, end := l.Base+r.GetPlace()-l.Offset, l.Offset+count(l.Items, d.member)
		if r.GetPlace() >= end {
			place = l.Base + int64(len(l.Items)) + r.GetPlace() - end
		}
		return d.toward(goal{place: max(0, place), at: r.GetPlace(), id: r.GetId()})
	case m.everywhere > 0:
		d.common.Say(common.Note, fmt.Sprintf("%s · not in the list: %s of all images · %s goes back", what, plural(m.everywhere), d.common.Keys.Label("back")))
		return d.Choose(View{Filter: "all", By: d.By, Match: s.text})
	}
	d.common.Say(common.Info, "no image has "+what+" in its id")
	return nil
}

// sayMatch says which match the cursor is at: of a list that is loaded as a whole, else how many there are.
func (d *Desk) sayMatch() {
	l, lower := d.List(), strings.ToLower(d.search.text)
	text := plural(d.search.matches) + " in this list"
	if l.Offset == 0 && !l.More {
		at, all := 0, 0
		for i, it := range l.Items {
			if matches(it, lower) {
				if all++; i <= l.Cursor {
					at++
				}
			}
		}
		text = fmt.Sprintf("%d of %d", at, all)
	}
	key := d.common.Keys.Label
	d.common.Say(common.Info, fmt.Sprintf("%s · %s · %s next, %s before", common.Cut(common.Clean(d.search.text), 40), text, key("next-match"), key("previous-match")))
}

func plural(n int64) string {
	if n == 1 {
		return "1 match"
	}
	return common.Count(n) + " matches"
}

// countedTyped takes the number of matches of what was typed, and asks for more that was typed meanwhile.
func (d *Desk) countedTyped(m Counted) tea.Cmd {
	d.search.counting = false
	if m.Text != d.search.typed {
		return d.CountMatches(d.search.typed)
	}
	return nil
}
