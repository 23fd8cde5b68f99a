package review

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/link"
)

// Filters are what f goes through; the empty one is the queue.
var Filters = []string{"", "all", "anomaly", "normal", "skip", "audit"}

// View is what the list shows, in the words of the wire.
type View struct {
	Filter   string
	By       string // ranking; empty: the project's own ("auto")
	Strategy string // what picks the candidates of the queue; empty: the engine's own
	Like     string // the queue by likeness to this image; empty: by ranking
}

// key is the view whose list this is: strategies are the queue's.
func (v View) key() View {
	if v.Filter != "" || v.Like != "" {
		v.Strategy = ""
	}
	return v
}

// folds tells whether near-duplicates share a cell. Not where the labels of a group may differ: each of them is to be seen.
func (v View) folds() bool { return v.Filter != "all" && v.Filter != "audit" }

const (
	ahead   = 256 // images loaded ahead of the cursor
	behind  = 128 // images looked at whose labels are kept up to date
	seeding = 500 // label events asked for to start undo from
	timeout = 30 * time.Second
)

// Mark tells how far a label has come.
type Mark int

// The marks.
const (
	Saved   Mark = iota // on disk
	Pending             // on its way
	Unsaved             // the engine did not take it; it is kept here and sent again
	Kept                // on this machine's disk, on its way to the engine
)

// Outbox keeps labels on this machine until the engine at the other end of a link has them. Its methods write to the disk.
type Outbox interface {
	Keep(*rpc.LabelRequest) error
	// Delivered: the engine has the step, or will never take it.
	Delivered(uid string)
}

type given struct {
	label Label
	mark  Mark
	req   uint64 // newest ranking request when it was saved: later ones know the label
}

type batch struct {
	uid     string
	by      string // empty: the writer of this sitting
	changes Step
	say     string
}

func (b batch) request(writer string) *rpc.LabelRequest {
	req := &rpc.LabelRequest{Uid: b.uid, By: cmp.Or(b.by, writer)}
	for _, c := range b.changes {
		req.Changes = append(req.Changes, &rpc.LabelChange{Id: c.ID, To: string(c.To), From: string(c.From)})
	}
	return req
}

// Desk is the state of a review. It lives in Update; only its commands talk to the engine.
type Desk struct {
	common *common.Common
	link   *link.Link
	writer string

	View
	before []View // where the list of images alike was asked for, newest last
	lists  map[View]*List
	given  map[string]given
	undo   Undo
	seeded bool

	out     []batch
	sending bool
	outbox  Outbox // nil: labels go to the engine only
	kept    []batch
	giving  bool   // the first of kept is on its way
	delayed string // why it does not arrive
	trouble string // why the first batch of out is not saved yet; empty: no trouble
	tries   int

	req     uint64 // number of the newest ranking request
	loading bool
	stale   bool   // ask again when the running request is back
	version uint64 // newest ranking the engine told of
	labels  uint64 // newest labels it told of
	cycle   int32
	told    int32 // cycle whose ranking was announced
}

// NewDesk makes an empty desk; writer names the journal of the person.
func NewDesk(c *common.Common, l *link.Link, writer string) *Desk {
	return &Desk{common: c, link: l, writer: writer, lists: map[View]*List{}, given: map[string]given{}, told: -1}
}

// Through makes labels go through an outbox, in which those of waiting are already.
func (d *Desk) Through(o Outbox, waiting []*rpc.LabelRequest) {
	d.outbox = o
	for _, r := range waiting {
		b := batch{uid: r.GetUid(), by: r.GetBy()}
		for _, c := range r.GetChanges() {
			b.changes = append(b.changes, Change{ID: c.GetId(), To: Label(c.GetTo()), From: Label(c.GetFrom())})
			d.given[c.GetId()] = given{label: Label(c.GetTo()), mark: Kept}
		}
		d.kept = append(d.kept, b)
	}
}

// Undelivered is the number of labels that are on this machine and not with the engine yet, and why, if that is more than the link.
func (d *Desk) Undelivered() (n int, why string) {
	for _, b := range d.kept {
		n += len(b.changes)
	}
	return n, d.delayed
}

// List is the list of the present view.
func (d *Desk) List() *List {
	l := d.lists[d.key()]
	if l == nil {
		l = &List{}
		d.lists[d.key()] = l
	}
	return l
}

// Len is the number of cells of the list, those not loaded yet included.
func (d *Desk) Len() int64 {
	l := d.List()
	n := int64(len(l.Items))
	switch {
	case n > 0 && !l.More: // near-duplicates share a cell: there may be fewer cells than candidates
		return n
	case d.Filter == "" && d.Like == "":
		return max(n, min(l.Cut, l.Total))
	}
	return max(n, l.Total)
}

// Loaded tells whether the engine has answered for the present view.
func (d *Desk) Loaded() bool {
	return d.List().Version > 0 || len(d.List().Items) > 0 || !d.loading && d.req > 0
}

// Label is the label of an image as the person sees it, and whether it is on disk.
func (d *Desk) Label(it Item) (Label, Mark) {
	if g, ok := d.given[it.ID]; ok {
		return g.label, g.mark
	}
	return it.Label, Saved
}

// Unsaved is the number of labels that the engine has not taken, and why.
func (d *Desk) Unsaved() (n int, why string) {
	if d.trouble == "" {
		return 0, ""
	}
	return d.Waiting(), d.trouble
}

// Waiting is the number of labels that are not on disk yet.
func (d *Desk) Waiting() int {
	n := 0
	for _, b := range d.out {
		n += len(b.changes)
	}
	return n
}

// Busy tells whether labels are under way.
func (d *Desk) Busy() bool { return len(d.out) > 0 }

// CanUndo and CanRedo are for the keys.
func (d *Desk) CanUndo() bool { return d.undo.CanUndo() }
func (d *Desk) CanRedo() bool { return d.undo.CanRedo() }

// Give labels the images with their near-duplicates, in one step, and moves the cursor to index next.
func (d *Desk) Give(to Label, its []Item, next int) tea.Cmd {
	var step Step
	for _, cell := range its {
		for _, it := range cell.group() {
			if from, _ := d.Label(it); from != to {
				step = append(step, Change{ID: it.ID, To: to, From: from})
			}
		}
	}
	l := d.List()
	end := next >= len(l.Items) && !l.More
	l.Move(next)
	if len(step) == 0 {
		d.common.Say(common.Info, "already "+word(to))
		return d.Load(false)
	}
	d.undo.Push(step)
	say := word(to)
	if len(step) > 1 {
		say = common.Plural(len(step), "image") + " " + say
	}
	say += " · " + d.common.Keys.Label("undo") + " undo"
	if end && d.Filter == "" {
		say += " · end of the list, " + d.common.Keys.Label("restart") + " starts again at the newest top"
	}
	return tea.Batch(d.apply(step, say), d.Load(false))
}

// Undo takes the newest step back and returns to its picture.
func (d *Desk) Undo() tea.Cmd {
	step, ok := d.undo.Undo()
	if !ok {
		return nil
	}
	d.show(step, step[len(step)-1])
	return d.apply(step, "undone · "+d.common.Keys.Label("redo")+" redo")
}

// Redo does the newest undone step again.
func (d *Desk) Redo() tea.Cmd {
	step, ok := d.undo.Redo()
	if !ok {
		return nil
	}
	d.show(step, step[0])
	return d.apply(step, "done again · "+d.common.Keys.Label("undo")+" undo")
}

// show selects the topmost image of a step; where all have left the list, first, the one that was labelled first, comes back at
// the cursor.
func (d *Desk) show(step Step, first Change) {
	l := d.List()
	top := -1
	for _, c := range step {
		if i := l.Index(c.ID); i >= 0 && (top < 0 || i < top) {
			top = i
		}
	}
	if top >= 0 {
		l.Move(top)
		return
	}
	at := min(l.Cursor, len(l.Items))
	l.Items = slices.Insert(l.Items, at, Item{ID: first.ID, Score: float32(math.NaN()), Rank: -1, Label: first.From})
	if len(l.Items) > 1 {
		l.High++
	}
	l.Move(at)
}

func (d *Desk) apply(step Step, say string) tea.Cmd {
	mark := Pending
	if d.trouble != "" {
		mark = Unsaved
	}
	for _, c := range step {
		d.given[c.ID] = given{label: c.To, mark: mark}
	}
	var uid [16]byte
	rand.Read(uid[:]) // never fails (crypto/rand)
	d.out = append(d.out, batch{uid: hex.EncodeToString(uid[:]), changes: step, say: say})
	return d.send()
}

// send sends the oldest batch, to the outbox where there is one. One at a time: labels reach the journal in the order they were given.
func (d *Desk) send() tea.Cmd {
	client := d.link.Client()
	if d.sending || len(d.out) == 0 || client == nil && d.outbox == nil {
		if client == nil && len(d.out) > 0 && d.trouble == "" {
			d.hold("the engine is not connected")
		}
		return nil
	}
	d.sending = true
	b, outbox, ctx := d.out[0], d.outbox, d.link.Context()
	req := b.request(d.writer)
	return func() tea.Msg {
		if outbox != nil {
			err := outbox.Keep(req)
			if err == nil || client == nil {
				return labelled{uid: b.uid, err: err, kept: err == nil}
			}
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		_, err := client.Label(ctx, req)
		return labelled{uid: b.uid, err: err}
	}
}

// deliver sends the oldest batch of the outbox to the engine.
func (d *Desk) deliver() tea.Cmd {
	client := d.link.Client()
	if d.giving || len(d.kept) == 0 || client == nil {
		return nil
	}
	d.giving = true
	b, outbox, ctx := d.kept[0], d.outbox, d.link.Context()
	req := b.request(d.writer)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		_, err := client.Label(ctx, req)
		if err == nil || refused(err) {
			outbox.Delivered(b.uid)
		}
		return delivered{uid: b.uid, err: err}
	}
}

// refused tells whether the engine will never take it.
func refused(err error) bool {
	code := status.Code(err)
	return code == codes.InvalidArgument || code == codes.NotFound
}

// hold marks everything that is not saved as such.
func (d *Desk) hold(why string) {
	d.trouble = why
	for _, b := range d.out {
		for _, c := range b.changes {
			g := d.given[c.ID]
			g.mark = Unsaved
			d.given[c.ID] = g
		}
	}
}

type labelled struct {
	uid  string
	err  error
	kept bool // in the outbox
}

type delivered struct {
	uid string
	err error
}

type deliverAgain struct{ tries int }

type retry struct{ tries int }

type ranked struct {
	req   uint64
	view  View
	limit int64
	reply *rpc.RankingReply
	err   error
}

type history struct {
	reply *rpc.HistoryReply
	err   error
}

// Connected is called when there is an engine, at the start or again.
func (d *Desk) Connected() tea.Cmd {
	d.loading, d.stale, d.tries = false, false, 0
	d.version = 0 // another engine counts anew
	d.giving = false
	cmds := []tea.Cmd{d.send(), d.deliver(), d.Load(true)}
	if client, ctx := d.link.Client(), d.link.Context(); !d.seeded && client != nil {
		by := d.writer
		cmds = append(cmds, func() tea.Msg {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			r, err := client.History(ctx, &rpc.HistoryRequest{By: by, Limit: seeding})
			return history{r, err}
		})
	}
	return tea.Batch(cmds...)
}

// Status is called with every status of the engine.
func (d *Desk) Status(s *rpc.Status) tea.Cmd {
	d.cycle = s.GetCycle()
	if d.told < 0 {
		d.told = d.cycle
	}
	labels := d.labels
	d.labels = s.GetLabelsVersion()
	if v := s.GetRankingVersion(); v > d.version {
		d.version = v
		return d.Load(v != d.List().Version)
	}
	if !s.GetEmbedded() && labels != d.labels { // labels of others do not make a new ranking yet
		return d.Load(true)
	}
	return nil
}

// Load asks for the ranking when there is a newer one or the loaded part runs out; force: in any case.
func (d *Desk) Load(force bool) tea.Cmd {
	l := d.List()
	if !force && !(l.More && l.Cursor+ahead/2 >= len(l.Items)) {
		return nil
	}
	client := d.link.Client()
	if client == nil {
		return nil
	}
	if d.loading {
		d.stale = d.stale || force
		return nil
	}
	d.loading = true
	d.req++
	m := ranked{req: d.req, view: d.key(), limit: int64(l.Kept() + ahead)}
	strategy := m.view.Strategy
	if m.view.Like != "" {
		strategy = "similar"
	}
	var also []string // labelled ones have left the queue: others may have changed their labels
	for _, it := range l.Items[max(0, l.Kept()-behind):l.Kept()] {
		also = append(also, it.ID)
	}
	ctx := d.link.Context()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		m.reply, m.err = client.Ranking(ctx, &rpc.RankingRequest{By: m.view.By, Filter: m.view.Filter, Limit: m.limit, Also: also,
			Strategy: strategy, Like: m.view.Like, Fold: m.view.folds()})
		return m
	}
}

// Choose goes on to another view, never one of images alike. The list of another ranking or strategy begins at its top, that of
// another filter where it was left.
func (d *Desk) Choose(v View) tea.Cmd {
	if v.By != d.By || v.Strategy != d.Strategy {
		clear(d.lists)
	}
	maps.DeleteFunc(d.lists, func(v View, _ *List) bool { return v.Like != "" })
	d.View, d.before = v, nil
	d.abandon()
	return d.Load(true)
}

// Similar shows the queue by likeness to an image, the most alike first; Back returns.
func (d *Desk) Similar(id string) tea.Cmd {
	if id == d.Like {
		return d.Restart()
	}
	d.before = append(d.before, d.View)
	d.View = View{By: d.By, Strategy: d.Strategy, Like: id}
	return d.Restart()
}

// Back leaves a list of images alike for the one where it was asked for, at the place where that was left.
func (d *Desk) Back() tea.Cmd {
	n := len(d.before) - 1
	if n < 0 {
		return nil
	}
	delete(d.lists, d.key())
	d.View, d.before = d.before[n], d.before[:n]
	d.abandon()
	return d.Load(true)
}

// Go moves the cursor to a place of the list, from 0; where that is not loaded, as far as it is.
func (d *Desk) Go(place int64) tea.Cmd {
	l := d.List()
	l.Move(int(max(0, min(place, int64(len(l.Items)-1)))))
	return d.Load(false)
}

// Restart begins a new list at the top of the newest ranking.
func (d *Desk) Restart() tea.Cmd {
	delete(d.lists, d.key())
	d.abandon()
	return d.Load(true)
}

// abandon makes the running request stale.
func (d *Desk) abandon() { d.req++; d.loading, d.stale = false, false }

// Update takes the answers of the desk's own commands.
func (d *Desk) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case ranked:
		return d.rankedBack(msg)
	case labelled:
		return d.labelledBack(msg)
	case delivered:
		return d.deliveredBack(msg)
	case deliverAgain:
		if msg.tries == d.tries {
			return d.deliver()
		}
	case retry:
		if msg.tries == d.tries && d.trouble != "" {
			return d.send()
		}
	case history:
		if msg.err == nil && !d.seeded && !d.undo.CanUndo() && !d.undo.CanRedo() {
			d.undo.Seed(msg.reply.GetEvents())
		}
		d.seeded = d.seeded || msg.err == nil
	}
	return nil
}

func (d *Desk) rankedBack(m ranked) tea.Cmd {
	if m.req != d.req {
		return nil
	}
	d.loading = false
	if m.err != nil {
		if link.Gone(m.err) {
			return nil // asked again when there is an engine
		}
		d.common.Say(common.Warning, link.Reason(m.err))
		switch { // what cannot be had: back to what can
		case m.view.Like != "":
			return d.Back()
		case m.view.By != "" || m.view.Strategy != "":
			return d.Choose(View{Filter: d.Filter})
		}
		return nil
	}
	l, r := d.List(), m.reply
	fresh, also := d.news(r.GetItems(), m.req), d.news(r.GetAlso(), m.req)
	most := 0
	if m.view.Filter == "" && m.view.Like == "" {
		most = int(r.GetCut())
	}
	if m.view.Filter == "" { // labelled a moment ago, with another one of its group: the engine did not know yet
		fresh = slices.DeleteFunc(fresh, func(it Item) bool { return it.Label != None && l.Index(it.ID) < 0 })
	}
	before, had := l.RankedBy, len(l.Items) > 0
	l.Items = Merge(Refresh(l.Items, also), l.Kept(), fresh, most)
	l.Version, l.RankedBy, l.Total, l.Cut = r.GetVersion(), r.GetRankedBy(), r.GetTotal(), r.GetCut()
	if asked, got := m.view.Strategy, r.GetStrategy(); asked != "" && got != asked && got != l.Strategy {
		d.common.Say(common.Note, "nothing to go by for "+asked+" yet: this is the top of the ranking")
	}
	l.Strategy = r.GetStrategy()
	l.RankedAt = time.Time{}
	if ms := r.GetRankedAtUnixMs(); ms > 0 {
		l.RankedAt = time.UnixMilli(ms)
	}
	l.More = int64(len(r.GetItems())) >= m.limit && (most == 0 || len(l.Items) < most)
	l.Move(l.Cursor)
	deep := l.RankedBy == "deep" || l.RankedBy == "joint"
	if had && deep && m.view.Like == "" && (before != l.RankedBy || d.cycle > d.told) { // the fast one is new after every label: no news
		d.common.Say(common.Note, "new ranking ("+common.Clean(l.RankedBy)+") – "+d.common.Keys.Label("restart")+" starts at its top")
	} else if had && !deep && d.cycle > d.told {
		d.common.Say(common.Note, "the trained network has ranked every image – "+d.common.Keys.Label("ranking")+" shows its list")
	}
	d.told = d.cycle
	if d.stale || d.version > l.Version {
		d.stale = false
		if d.version > l.Version {
			d.version = l.Version // one more try, not a loop: the next status counts again
		}
		return d.Load(true)
	}
	return nil
}

// news are images as the engine told of them in answer to request req, with the labels given since.
func (d *Desk) news(told []*rpc.Item, req uint64) []Item {
	its := items(told)
	for i := range its {
		if g, ok := d.given[its[i].ID]; ok {
			if g.mark == Saved && g.req < req { // asked for after it was on disk: whatever is different, somebody else said
				g.label = its[i].Label
				d.given[its[i].ID] = g // kept: other lists, and cells that stand for this image too, may hold older news
			} else {
				its[i].Label = g.label
			}
		}
	}
	return its
}

func (d *Desk) labelledBack(m labelled) tea.Cmd {
	if len(d.out) == 0 || d.out[0].uid != m.uid {
		return nil
	}
	d.sending = false
	b := d.out[0]
	if refused(m.err) {
		d.out = d.out[1:]
		d.takeBack(b, m.err)
		return d.send()
	}
	if m.err != nil {
		d.hold(link.Reason(m.err))
		d.tries++
		tries := d.tries
		wait := min(15*time.Second, time.Second<<min(tries-1, 4))
		return tea.Tick(wait, func(time.Time) tea.Msg { return retry{tries} })
	}
	d.out = d.out[1:]
	if d.trouble != "" && len(d.out) == 0 {
		d.common.Say(common.Note, "all labels are saved")
	} else {
		d.common.Say(common.Flash, b.say)
	}
	if len(d.out) == 0 {
		d.trouble, d.tries = "", 0
	}
	mark := Saved
	if m.kept {
		d.kept = append(d.kept, b)
		mark = Kept
	}
	for _, c := range b.changes {
		if !later(d.out, c.ID) {
			d.given[c.ID] = given{label: c.To, mark: mark, req: d.req}
		}
	}
	return tea.Batch(d.send(), d.deliver())
}

func (d *Desk) deliveredBack(m delivered) tea.Cmd {
	if len(d.kept) == 0 || d.kept[0].uid != m.uid {
		return nil
	}
	d.giving = false
	b := d.kept[0]
	switch {
	case m.err == nil:
	case refused(m.err):
		d.kept = d.kept[1:]
		d.takeBack(b, m.err)
		return d.deliver()
	case link.Gone(m.err):
		return nil // sent again when there is an engine
	default:
		d.delayed = link.Reason(m.err)
		d.tries++
		tries := d.tries
		return tea.Tick(min(15*time.Second, time.Second<<min(tries-1, 4)), func(time.Time) tea.Msg { return deliverAgain{tries} })
	}
	d.kept = d.kept[1:]
	if d.delayed != "" && len(d.kept) == 0 {
		d.common.Say(common.Note, "all labels have reached the engine")
	}
	d.delayed = ""
	for _, c := range b.changes {
		if !later(d.out, c.ID) && !later(d.kept, c.ID) {
			d.given[c.ID] = given{label: c.To, req: d.req}
		}
	}
	return d.deliver()
}

// takeBack shows the labels of before: the engine will never take this batch.
func (d *Desk) takeBack(b batch, why error) {
	for _, c := range b.changes {
		if !later(d.out, c.ID) && !later(d.kept, c.ID) {
			d.given[c.ID] = given{label: c.From, req: d.req}
		}
	}
	d.common.Say(common.Warning, "label refused: "+link.Reason(why))
}

// later tells whether one of the batches changes the image again.
func later(batches []batch, id string) bool {
	for _, b := range batches {
		for _, c := range b.changes {
			if c.ID == id {
				return true
			}
		}
	}
	return false
}

func word(l Label) string {
	if l == None {
		return "no label"
	}
	return string(l)
}
