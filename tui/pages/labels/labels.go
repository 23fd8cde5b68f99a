// Package labels is the page of who labelled what and when: the history, in which any label can be taken back, labels that the model
// doubts, and how the people agree.
package labels

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/imgview"
	"anomalymatch/tui/common"
	"anomalymatch/tui/dialogs"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
	"anomalymatch/tui/thumbs"
)

const (
	name    = "labels"
	timeout = 30 * time.Second
	part    = 200 // events asked for at a time
	doubted = 500 // doubtful labels asked for
	again   = time.Second
)

// view is one of the page's lists.
type view int

const (
	history view = iota
	doubtful
	people
	views
)

var titles = [views]string{"history", "doubtful", "people"}

// versions are what an answer depends on.
type versions struct {
	ranking, labels uint64
	engine          int32 // another one counts anew
}

// Page is the labels page.
type Page struct {
	env  *pages.Env
	link *link.Link
	w, h int

	view view
	at   [views]int
	top  [views]int

	events  []*rpc.LabelEvent // the newest first
	more    bool              // there are older ones
	doubts  []*rpc.Item       // the worst first
	writers *rpc.WritersReply

	asking [views]bool
	req    [views]uint64
	asked  [views]versions
	known  [views]bool   // the engine has answered
	saves  [views]uint64 // when what is here was asked for
	why    [views]string
	after  time.Time // after an error: not asked before then
}

// New makes the page.
func New(env *pages.Env, l *link.Link) *Page { return &Page{env: env, link: l} }

// Name is the page's name.
func (p *Page) Name() string { return name }

// SetSize takes the page's size in cells.
func (p *Page) SetSize(w, h int) { p.w, p.h = w, h }

// Keys are those of the hint line.
func (p *Page) Keys() []keys.Binding {
	return keys.Hinted(p.env.Common.Keys.Pick("open", "cancel-job", "undo", "down", "right", "pages", "back", "help", "quit"),
		map[string]string{"open": "show", "cancel-job": "take back", "down": "select", "right": titles[(p.view+1)%views]})
}

// Blocked is never asked: labels are given where the picture is large enough to judge.
func (p *Page) Blocked() string { return "" }

// rows is the length of the list on screen.
func (p *Page) rows() int {
	switch p.view {
	case doubtful:
		return len(p.doubts)
	case people:
		return len(p.writers.GetConflicts())
	}
	return len(p.events)
}

// selected is the image under the cursor.
func (p *Page) selected() (id string, ok bool) { return p.image(p.at[p.view]) }

// image is that of a line of the list.
func (p *Page) image(at int) (id string, ok bool) {
	if at < 0 || at >= p.rows() {
		return "", false
	}
	switch p.view {
	case doubtful:
		return p.doubts[at].GetId(), true
	case people:
		return p.writers.GetConflicts()[at].GetId(), true
	}
	return p.events[at].GetChange().GetId(), true
}

// Refuse tells why the selected line is nothing to show or to take back.
func (p *Page) Refuse(id string) string {
	switch id {
	case "left", "right":
		return ""
	case "cancel-job":
		if p.view != history {
			return "labels are taken back in the history"
		}
	}
	switch {
	case p.rows() == 0 && id == "cancel-job":
		return "there is nothing to take back"
	case p.rows() == 0:
		return pages.Still(id)
	case id == "open" && !p.env.Monitor.Status.GetEmbedded():
		return "the images are not embedded yet"
	case id == "cancel-job":
		return p.settled()
	}
	return ""
}

// inForce is what the newest event about the same says, and that event's place in the list.
func (p *Page) inForce(c *rpc.LabelChange) (said review.Label, at int) {
	at = slices.IndexFunc(p.events, func(e *rpc.LabelEvent) bool {
		return e.GetChange().GetId() == c.GetId() && e.GetChange().GetMark() == c.GetMark()
	})
	if at >= 0 {
		said = review.Label(p.events[at].GetChange().GetTo())
	}
	return p.env.Desk.Now(c.GetId(), c.GetMark(), said, p.saves[history]), at
}

// settled tells why there is nothing to take back.
func (p *Page) settled() string {
	c := p.events[p.at[history]].GetChange()
	if now, _ := p.inForce(c); now == review.Label(c.GetFrom()) {
		return "it is as before already: " + word(c.GetMark(), now)
	}
	return ""
}

// The page's own messages.
type (
	historyBack struct {
		req    uint64
		saves  uint64
		before int
		limit  int
		reply  *rpc.HistoryReply
		err    error
	}
	doubtsBack struct {
		req   uint64
		saves uint64
		reply *rpc.RankingReply
		err   error
	}
	writersBack struct {
		req   uint64
		saves uint64
		reply *rpc.WritersReply
		err   error
	}
	later    struct{}
	takeBack struct{ change *rpc.LabelChange } // a person said so
)

// Update moves the cursor and keeps the lists up to date.
func (p *Page) Update(msg tea.Msg) (pages.Page, tea.Cmd) {
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case historyBack:
		if msg.req == p.req[history] {
			return p, p.takeHistory(msg)
		}
		return p, nil
	case doubtsBack:
		if msg.req == p.req[doubtful] {
			if cmd = p.back(doubtful, msg.err); msg.err == nil {
				p.doubts, p.saves[doubtful] = msg.reply.GetItems(), msg.saves
			}
		}
		return p, cmd
	case writersBack:
		if msg.req == p.req[people] {
			if cmd = p.back(people, msg.err); msg.err == nil {
				p.writers, p.saves[people] = msg.reply, msg.saves
			}
		}
		return p, cmd
	case link.Up:
		for v := range views { // an answer of the engine before is stale
			p.req[v]++
			p.asking[v], p.asked[v] = false, versions{}
		}
		p.after = time.Time{}
	case takeBack:
		cmd = p.undo(msg.change)
	case pages.Pressed:
		cmd = p.press(msg.ID)
	case pages.Clicked:
		cmd = p.click(msg)
	case pages.Wheeled:
		p.move(p.at[p.view] + map[bool]int{true: 3, false: -3}[msg.Down])
	}
	p.move(p.at[p.view])
	return p, tea.Batch(cmd, p.ask(), p.fetch())
}

func (p *Page) move(to int) {
	v := p.view
	p.at[v] = max(0, min(to, p.rows()-1))
	p.top[v] = p.scrolled()
}

func (p *Page) press(id string) tea.Cmd {
	at := p.at[p.view]
	page := max(1, p.listed()-1)
	switch id {
	case "left":
		p.view = (p.view + views - 1) % views
	case "right":
		p.view = (p.view + 1) % views
	case "up":
		p.move(at - 1)
	case "down":
		p.move(at + 1)
	case "previous-page":
		p.move(at - page)
	case "next-page":
		p.move(at + page)
	case "first":
		p.move(0)
	case "last":
		p.move(p.rows() - 1)
	case "open":
		return p.open()
	case "cancel-job":
		return p.askBack()
	}
	return nil
}

// open shows the selected image large, the first of those that are like it.
func (p *Page) open() tea.Cmd {
	id, ok := p.selected()
	if !ok {
		return nil
	}
	d := p.env.Desk
	return tea.Batch(p.env.Wish(pages.Goto{Name: "single"}), d.Choose(review.View{Filter: "all", By: d.By, Like: id}))
}

// askBack takes the selected event back; where something newer was said about the image, a person is asked.
func (p *Page) askBack() tea.Cmd {
	at := p.at[history]
	e := p.events[at]
	c := e.GetChange()
	_, newest := p.inForce(c)
	if newest == at {
		return p.undo(c)
	}
	since := p.events[newest]
	now := p.env.Now()
	text := fmt.Sprintf("Since then, %s, %s said of %s: %s. To take back what %s said makes it: %s.", common.Clock(now, time.UnixMilli(since.GetUnixMs())),
		common.Clean(since.GetBy()), common.CutLeft(common.Clean(path.Base(c.GetId())), 40), word(c.GetMark(), review.Label(since.GetChange().GetTo())),
		common.Clean(e.GetBy()), word(c.GetMark(), review.Label(c.GetFrom())))
	return p.env.Wish(pages.Ask{Dialog: dialogs.Confirm{Common: p.env.Common, Title: "Take back an older label", Text: text, Choices: []dialogs.Choice{
		{Keys: []string{"y"}, Does: "take it back", Answer: takeBack{c}}, {Keys: []string{"n"}, Does: "leave it"}}}})
}

// undo gives an image back what it had before a change.
func (p *Page) undo(c *rpc.LabelChange) tea.Cmd {
	now, _ := p.inForce(c)
	to := review.Label(c.GetFrom())
	if now == to {
		return nil
	}
	return p.env.Desk.Set(review.Step{{ID: c.GetId(), To: to, From: now, Mark: c.GetMark()}},
		common.CutLeft(common.Clean(path.Base(c.GetId())), 30)+": "+word(c.GetMark(), to)+" again")
}

// word is a label, or a mark, in words.
func word(mark string, l review.Label) string {
	switch {
	case mark != "" && l == review.On:
		return common.Clean(review.MarkName(mark))
	case mark != "":
		return "no " + common.Clean(review.MarkName(mark))
	case l == review.None:
		return "no label"
	}
	return common.Clean(string(l))
}

func (p *Page) click(m pages.Clicked) tea.Cmd {
	if m.Y == 1 {
		x := 2
		for v, title := range titles {
			if m.X >= x && m.X < x+len(title) {
				p.view = view(v)
			}
			x += len(title) + 2
		}
		return nil
	}
	row, ok := p.rowAt(m.Y)
	if !ok || m.X >= p.w-p.side()-2 {
		return nil
	}
	p.move(row)
	if m.Again && p.Refuse("open") == "" {
		return p.open()
	}
	return nil
}

// ask asks for what is on screen where it has changed, or runs out; one request at a time for each list.
func (p *Page) ask() tea.Cmd {
	client, v := p.link.Client(), p.view
	if client == nil || p.asking[v] || p.env.Now().Before(p.after) {
		return nil
	}
	s := p.env.Monitor.Status
	now := versions{s.GetRankingVersion(), s.GetLabelsVersion(), s.GetPid()}
	if v != doubtful {
		now.ranking = 0
	}
	fresh := p.known[v] && now == p.asked[v]
	older := v == history && fresh && p.more && p.at[v]+p.h >= len(p.events)
	if fresh && !older {
		return nil
	}
	p.asking[v], p.asked[v] = true, now
	p.req[v]++
	ctx, req, by, saves := p.link.Context(), p.req[v], p.env.Desk.By, p.env.Desk.Saves()
	before, limit := 0, min(len(p.events)+part, 20*part) // what is new pushes nothing out
	if older {
		before, limit = len(p.events), part
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		answer := pages.For{Page: name}
		switch v {
		case doubtful:
			r, err := client.Ranking(ctx, &rpc.RankingRequest{By: by, Filter: "audit", Limit: doubted})
			answer.Msg = doubtsBack{req, saves, r, err}
		case people:
			r, err := client.Writers(ctx, &rpc.WritersRequest{})
			answer.Msg = writersBack{req, saves, r, err}
		default:
			r, err := client.History(ctx, &rpc.HistoryRequest{Everybody: true, Limit: int32(limit), Before: int64(before)})
			answer.Msg = historyBack{req, saves, before, limit, r, err}
		}
		return answer
	}
}

// back notes that an answer came.
func (p *Page) back(v view, err error) tea.Cmd {
	p.asking[v] = false
	if err == nil {
		p.known[v], p.why[v] = true, ""
		return nil
	}
	p.why[v], p.asked[v] = link.Reason(err), versions{}
	p.known[v] = false
	p.after = p.env.Now().Add(again)
	return tea.Tick(again, func(time.Time) tea.Msg { return later{} })
}

// takeHistory takes events: the newest, or older ones than those that are there. The cursor stays on its event, or at the top.
func (p *Page) takeHistory(m historyBack) tea.Cmd {
	if cmd := p.back(history, m.err); m.err != nil {
		return cmd
	}
	events := m.reply.GetEvents()
	slices.Reverse(events)
	if m.before > 0 {
		if m.before == len(p.events) {
			p.events, p.more = append(p.events, events...), len(events) >= m.limit
		}
		return nil
	}
	more := len(events) >= m.limit
	if old := len(p.events); old > 0 { // so far back as before, and what is new
		if fresh := slices.IndexFunc(events, func(e *rpc.LabelEvent) bool { return same(e, p.events[0]) }); fresh >= 0 {
			if keep := max(part, fresh+old); keep < len(events) {
				events, more = events[:keep], true
			}
		}
	}
	at := p.at[history]
	var on *rpc.LabelEvent
	if at > 0 && at < len(p.events) {
		on = p.events[at]
	}
	p.events, p.more, p.saves[history] = events, more, m.saves
	if on == nil {
		return nil
	}
	if now := slices.IndexFunc(events, func(e *rpc.LabelEvent) bool { return same(e, on) }); now >= 0 {
		p.top[history] += now - at // the lines stay where they are
		p.at[history] = now
	}
	return nil
}

// same tells whether two answers tell of the same event.
func same(a, b *rpc.LabelEvent) bool {
	return a.GetUid() == b.GetUid() && a.GetChange().GetId() == b.GetChange().GetId() && a.GetChange().GetMark() == b.GetChange().GetMark()
}

// pictureSize is that of the selected image's picture in cells.
func (p *Page) pictureSize() (w, h int) { return p.env.Square(p.side(), max(4, p.h-9)) }

// fetch asks for the selected picture and those beside it in the list, and shows the selected one.
func (p *Page) fetch() tea.Cmd {
	if p.side() == 0 || p.env.Screen.Driver() == "none" {
		return p.env.Screen.Show(nil)
	}
	w, h := p.pictureSize()
	px := p.env.Thumb(w, h)
	var reqs []thumbs.Request
	var wants []imgview.Want
	for _, by := range []int{0, 1, -1, 2, 3} {
		id, ok := p.image(p.at[p.view] + by)
		if !ok {
			continue
		}
		reqs = append(reqs, thumbs.Request{ID: id, Px: px})
		if pic, ok := p.env.Thumbs.Get(id); ok && by == 0 {
			wants = p.env.Wants(pic, w, h)
		}
	}
	return tea.Batch(p.env.Thumbs.Want(reqs), p.env.Screen.Show(wants))
}
