package review

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/link"
)

// View is what the list shows, in the words of the wire.
type View struct {
	Filter   string
	By       string // ranking; empty: the project's own ("auto")
	Strategy string // what picks the candidates of the queue; empty: the engine's own
	Sort     string // empty: by the ranking, best first; "worst", "id", "newest", "column"
	Column   string // of the metadata, for Sort "column"
	Down     bool   // its largest values first
	Where    string // only images of which this condition on the metadata holds
	Mark     string // only images with this mark: "bookmark", "1" to "9", "any"
	Like     string // the queue by likeness to this image; empty: by ranking
	Match    string // only images whose id holds this text
	Region   Region // only images that lie there on the map; the zero Region: all
}

// Region is a rectangle of the map, as on the wire.
type Region struct {
	Projection               string
	Left, Top, Right, Bottom float64
}

// key is the view whose list this is: strategies are the queue's.
func (v View) key() View {
	if !v.Queue() {
		v.Strategy = ""
	}
	return v
}

// Queue tells whether the list is that of the candidates.
func (v View) Queue() bool { return v.Filter == "" && !v.Aside() }

// Aside tells whether the list is one that was asked for in passing, from which Back returns: images alike, matches of a search, a
// region of the map.
func (v View) Aside() bool { return v.Like != "" || v.Match != "" || v.Region != Region{} }

// folds tells whether near-duplicates share a cell. Not where the labels of a group may differ: each of them is to be seen.
func (v View) folds() bool { return v.Filter != "all" && v.Filter != "audit" }

// request asks for a part of the view's list.
func (v View) request(offset, limit int64) *rpc.RankingRequest {
	r := &rpc.RankingRequest{By: v.By, Filter: v.Filter, Offset: offset, Limit: limit, Strategy: v.Strategy, Like: v.Like, Fold: v.folds(),
		Match: v.Match, Mark: v.Mark, Sort: v.Sort, Column: v.Column, Descending: v.Down, Where: strings.ToValidUTF8(v.Where, "\ufffd")}
	if v.Like != "" {
		r.Strategy = "similar"
	}
	if g := v.Region; g != (Region{}) {
		r.Region = &rpc.Region{Projection: g.Projection, Left: g.Left, Top: g.Top, Right: g.Right, Bottom: g.Bottom}
	}
	return r
}

const (
	ahead   = 256 // images loaded ahead of the cursor
	overlap = 8   // images asked for again, to see that the next ones follow
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
	save  uint64 // which save that was: what is asked for later knows the label
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
		req.Changes = append(req.Changes, &rpc.LabelChange{Id: c.ID, To: string(c.To), From: string(c.From), Mark: c.Mark})
	}
	return req
}

// Desk is the state of a review. It lives in Update; only its commands talk to the engine.
type Desk struct {
	common *common.Common
	link   *link.Link
	writer string

	View
	before []View // where the lists aside were asked for, newest last
	lists  map[View]*List
	given  map[subject]given
	search search
	where  typing           // of a condition
	marked map[string]int64 // images by mark; nil: not counted yet
	undo   Undo
	seeded bool

	out     []batch
	sending bool
	outbox  Outbox // nil: labels go to the engine only
	beside  bool   // they go there only where the engine cannot keep them
	nowhere bool   // nor can the outbox
	kept    []batch
	giving  bool   // the first of kept is on its way
	delayed string // why it does not arrive
	late    int    // how often it was tried in vain
	trouble string // why the first batch of out is not saved yet; empty: no trouble
	tries   int    // how often it was tried in vain
	saves   uint64 // steps that the engine has taken, or refused

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
	return &Desk{common: c, link: l, writer: writer, lists: map[View]*List{}, given: map[subject]given{}, told: -1}
}

// Through makes labels go through an outbox, in which those of waiting are already.
func (d *Desk) Through(o Outbox, waiting []*rpc.LabelRequest) {
	d.outbox = o
	for _, r := range waiting {
		b := batch{uid: r.GetUid(), by: r.GetBy()}
		for _, c := range r.GetChanges() {
			b.changes = append(b.changes, change(c))
			d.given[change(c).subject()] = given{label: Label(c.GetTo()), mark: Kept}
		}
		d.kept = append(d.kept, b)
	}
}

// Beside makes an outbox take what the engine cannot keep, or not soon, as on a disk that is full or hangs; those of waiting are in it already.
func (d *Desk) Beside(o Outbox, waiting []*rpc.LabelRequest) {
	d.Through(o, waiting)
	d.beside = true
}

// Stuck is why labels can be kept nowhere, neither by the engine nor on this machine; empty: they can.
func (d *Desk) Stuck() string {
	if !d.nowhere {
		return ""
	}
	return d.trouble
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

// Len is the number of cells of the list, those not loaded included.
func (d *Desk) Len() int64 {
	l := d.List()
	n := l.Base + int64(len(l.Items))
	switch {
	case len(l.Items) > 0 && !l.More: // near-duplicates share a cell: there may be fewer cells than candidates
		return n
	case d.Queue():
		return max(n, min(l.Cut, l.Total))
	}
	return max(n, l.Total)
}

// member tells whether an image is in the engine's list just now: what was labelled has left the queue.
func (d *Desk) member(it Item) bool {
	if d.Mark != "" && d.Mark != "any" && !slices.Contains(d.Marks(it), d.Mark) || d.Mark == "any" && len(d.Marks(it)) == 0 {
		return false
	}
	switch l, _ := d.Label(it); d.Filter {
	case "":
		return l == None
	case "all", "audit":
		return true
	case "labelled":
		return l != None
	default:
		return string(l) == d.Filter
	}
}

// Loaded tells whether the engine has answered for the present view.
func (d *Desk) Loaded() bool {
	return d.List().Version > 0 || len(d.List().Items) > 0 || !d.loading && d.req > 0
}

// Label is the label of an image as the person sees it, and whether it is on disk.
func (d *Desk) Label(it Item) (Label, Mark) {
	if g, ok := d.given[subject{id: it.ID}]; ok {
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
	in := map[string]bool{} // an image may have a cell of its own, brought back by undo, beside the one that stands for it too
	for _, cell := range its {
		own, _ := d.Label(cell)
		for _, it := range cell.group() {
			from, _ := d.Label(it)
			if it.ID != cell.ID && from != own {
				continue // it was labelled by itself since it was folded in: that stands
			}
			if from != to && !in[it.ID] {
				step = append(step, Change{ID: it.ID, To: to, From: from})
				in[it.ID] = true
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
	if end && d.Queue() {
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
	it := Item{ID: first.ID, Score: float32(math.NaN()), Rank: -1}
	if first.Mark == "" {
		it.Label = first.From
	}
	l.Items = slices.Insert(l.Items, at, it)
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
		d.given[c.subject()] = given{label: c.To, mark: mark}
	}
	var uid [16]byte
	rand.Read(uid[:]) // never fails (crypto/rand)
	d.out = append(d.out, batch{uid: hex.EncodeToString(uid[:]), changes: step, say: say})
	return d.send()
}

// send sends the oldest batch, to the outbox where there is one. One at a time: labels reach the journal in the order they were given.
func (d *Desk) send() tea.Cmd {
	client := d.link.Client()
	if d.sending || len(d.out) == 0 || client == nil && (d.outbox == nil || d.beside) {
		if client == nil && len(d.out) > 0 && d.trouble == "" {
			d.hold("the engine is not connected")
		}
		return nil
	}
	d.sending = true
	b, outbox, ctx := d.out[0], d.outbox, d.link.Context()
	req := b.request(d.writer)
	if d.beside {
		first := len(d.kept) == 0 // else those go before it
		return func() tea.Msg { return keepSomewhere(ctx, client, outbox, req, first) }
	}
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

// soon is how long whoever keeps a label may take before it is given to another one: together they are quicker than a person wonders.
const soon = time.Second

// keepSomewhere gives a label to the engine, if it is its turn, and to the outbox where the engine cannot keep it.
func keepSomewhere(ctx context.Context, client rpc.EngineClient, outbox Outbox, req *rpc.LabelRequest, first bool) labelled {
	m := labelled{uid: req.GetUid()}
	if first {
		limited, cancel := context.WithTimeout(ctx, soon*3/2) // the engine says after a second that its disk does not answer
		defer cancel()
		_, m.err = client.Label(limited, req)
		switch code := status.Code(m.err); {
		case m.err == nil, refused(m.err), code == codes.Unavailable, code == codes.Canceled: // another engine comes
			return m
		}
	}
	kept := make(chan error, 1)
	go func() { kept <- outbox.Keep(req) }()
	select {
	case err := <-kept:
		m.kept, m.nowhere = err == nil, err != nil
		m.err = cmp.Or(m.err, err)
	case <-time.After(soon):
		m.nowhere = true
		m.err = cmp.Or(m.err, errors.New("the disk of this machine does not answer"))
	}
	return m
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
			g := d.given[c.subject()]
			g.mark = Unsaved
			d.given[c.subject()] = g
		}
	}
}

type labelled struct {
	uid     string
	err     error // where it is kept in the outbox: why the engine does not take it
	kept    bool  // in the outbox
	nowhere bool  // neither by the engine nor in the outbox
}

type delivered struct {
	uid string
	err error
}

type deliverAgain struct{ tries int }

type retry struct{ tries int }

// kind is which part of a list is asked for.
type kind int

const (
	anew   kind = iota // all that may have changed: from the window's beginning on, without what was looked at
	more               // what comes after the last image loaded
	before             // what comes before the first
	around             // another window, around a place
)

type ranked struct {
	req    uint64
	saves  uint64 // when it was asked
	view   View
	kind   kind
	offset int64
	limit  int64
	goal   goal
	reply  *rpc.RankingReply
	err    error
}

// goal is where the cursor goes once that is loaded.
type goal struct {
	place int64  // in the list on screen, from 0
	at    int64  // the same in the engine's list
	id    string // the image that should be there; empty: any
}

type history struct {
	reply *rpc.HistoryReply
	err   error
}

// Connected is called when there is an engine, at the start or again.
func (d *Desk) Connected() tea.Cmd {
	d.loading, d.stale, d.tries, d.late = false, false, 0, 0
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

// Load asks for the ranking when there is a newer one or the cursor comes near the end of what is loaded; force: in any case.
func (d *Desk) Load(force bool) tea.Cmd {
	l := d.List()
	l.trim(d.member)
	switch {
	case force:
		return d.ask(ranked{kind: anew, offset: l.Offset, limit: count(l.Items[:l.Kept()], d.member) + ahead})
	case l.More && l.Cursor+ahead/2 >= len(l.Items):
		return d.ask(d.further(ahead))
	case l.Offset > 0 && l.Cursor < ahead:
		from := max(0, l.Offset-2*ahead)
		return d.ask(ranked{kind: before, offset: from, limit: l.Offset - from})
	}
	return nil
}

// further is the request for the next n images.
func (d *Desk) further(n int64) ranked {
	l := d.List()
	members := count(l.Items, d.member)
	again := min(members, overlap)
	return ranked{kind: more, offset: l.Offset + members - again, limit: n + again}
}

// ask sends a request for a part of the list, one at a time.
func (d *Desk) ask(m ranked) tea.Cmd {
	l, client := d.List(), d.link.Client()
	if client == nil {
		return nil
	}
	if d.loading {
		d.stale = d.stale || m.kind == anew
		return nil
	}
	d.loading = true
	d.req++
	m.req, m.saves, m.view = d.req, d.saves, d.key()
	r := m.view.request(m.offset, m.limit)
	for _, it := range l.Items[max(0, l.Kept()-behind):l.Kept()] { // labelled ones have left the queue: others may have changed their labels
		r.Also = append(r.Also, it.ID)
	}
	ctx := d.link.Context()
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		m.reply, m.err = client.Ranking(ctx, r)
		return m
	}
}

// Choose goes on to another view. The list of another ranking or strategy begins at its top, that of another filter where it was
// left. One aside is a list of its own: Back returns to the present one.
func (d *Desk) Choose(v View) tea.Cmd {
	if v.By != d.By || v.Strategy != d.Strategy {
		clear(d.lists)
	}
	same := v.Like == d.Like && v.Match == d.Match && v.Region == d.Region
	if v.Aside() && !same {
		d.before = append(d.before, d.View)
	} else if !v.Aside() {
		d.before = nil
		maps.DeleteFunc(d.lists, func(v View, _ *List) bool { return v.Aside() })
	}
	d.View = v
	if v.Aside() {
		return d.Restart()
	}
	d.abandon()
	return d.Load(true)
}

// Similar shows the queue by likeness to an image, the most alike first; Back returns.
func (d *Desk) Similar(id string) tea.Cmd {
	return d.Choose(View{By: d.By, Strategy: d.Strategy, Like: id})
}

// Back leaves a list aside for the one where it was asked for, at the place where that was left.
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

// Go moves the cursor to a place of the list, from 0, which is loaded where it is not.
func (d *Desk) Go(place int64) tea.Cmd {
	l := d.List()
	place = max(0, min(place, d.Len()-1))
	i := place - l.Base
	switch end := int64(len(l.Items)); {
	case i >= 0 && (i < end || !l.More) || i < 0 && l.Offset == 0:
		l.Move(int(i))
		return d.Load(false)
	case i < 0:
		return d.toward(goal{place: place, at: max(0, l.Offset+i)})
	default:
		return d.toward(goal{place: place, at: l.Offset + count(l.Items, d.member) + i - end})
	}
}

// toward loads what is around a place: a list from its top goes on, so that what was looked at stays, where that is not too far; else it
// is another window.
func (d *Desk) toward(g goal) tea.Cmd {
	l := d.List()
	d.abandon()
	if past := g.place - l.Base - int64(len(l.Items)); l.Offset == 0 && past >= 0 && past < window {
		m := d.further(past + 1 + ahead)
		m.goal = g
		return d.ask(m)
	}
	return d.around(g)
}

// around asks for the images around a place, as another window.
func (d *Desk) around(g goal) tea.Cmd {
	return d.ask(ranked{kind: around, offset: max(0, g.at-ahead), limit: 2 * ahead, goal: g})
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
		if msg.tries == d.late {
			return d.deliver()
		}
	case retry:
		if msg.tries == d.tries && d.trouble != "" {
			return d.send()
		}
	case Counted:
		return d.countedTyped(msg)
	case Chosen:
		return d.chosenTyped(msg)
	case found:
		return d.foundBack(msg)
	case counted:
		d.countedBack(msg)
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
		case m.view.Aside():
			return d.Back()
		case m.view.Where != "" || m.view.Column != "": // the metadata is another one now
			return d.Choose(View{Filter: d.Filter, Mark: d.Mark, By: d.By, Strategy: d.Strategy})
		case m.view.By != "" || m.view.Strategy != "":
			return d.Choose(View{Filter: d.Filter})
		}
		return nil
	}
	l, r := d.List(), m.reply
	if m.kind == around && len(r.GetItems()) == 0 && r.GetTotal() > 0 && m.goal.at >= r.GetTotal() { // it has become shorter
		return d.toward(goal{place: r.GetTotal() - 1, at: r.GetTotal() - 1})
	}
	told := r.GetItems()
	if m.kind == more {
		next, follow := d.follows(told)
		switch {
		case follow && r.GetVersion() == l.Version:
		case m.goal.place > 0:
			return d.around(m.goal)
		default:
			return d.Load(true)
		}
		told = next
	}
	fresh, also := d.news(told, m.saves), d.news(r.GetAlso(), m.saves)
	d.relabel(fresh, also)
	if m.view.Filter == "" { // labelled a moment ago, with another one of its group: the engine did not know yet
		fresh = slices.DeleteFunc(fresh, func(it Item) bool { return it.Label != None && l.Index(it.ID) < 0 })
	}
	l.Items = Refresh(l.Items, also)
	version, by, had := l.Version, l.RankedBy, len(l.Items) > 0
	l.Total, l.Cut = r.GetTotal(), r.GetCut()
	switch m.kind {
	case before:
		l.prepend(fresh, m.offset)
		return d.again(version)
	case more:
		n := len(l.Items)
		l.Items = Merge(l.Items, n, fresh, d.most(l))
		l.More = len(l.Items) > n && d.goesOn(m, l)
		if m.goal.place > 0 {
			d.arrive(m.goal, int(m.goal.place-l.Base))
		}
		return d.again(version)
	case around:
		l.Items, l.Offset, l.Base = nil, m.offset, m.goal.place-(m.goal.at-m.offset)
		if m.offset == 0 {
			l.Base = 0
		}
		l.Items = Merge(nil, 0, fresh, d.most(l))
		l.High = 0
		d.arrive(m.goal, int(m.goal.at-m.offset))
	default:
		l.Items = Merge(l.Items, l.Kept(), fresh, d.most(l))
		l.Move(l.Cursor)
	}
	l.More = d.goesOn(m, l)
	l.Version, l.RankedBy = r.GetVersion(), r.GetRankedBy()
	if asked, got := m.view.Strategy, r.GetStrategy(); asked != "" && got != asked && got != l.Strategy {
		d.common.Say(common.Note, "nothing to go by for "+asked+" yet: this is the top of the ranking")
	}
	l.Strategy = r.GetStrategy()
	l.RankedAt = time.Time{}
	if ms := r.GetRankedAtUnixMs(); ms > 0 {
		l.RankedAt = time.UnixMilli(ms)
	}
	deep := l.RankedBy == "deep" || l.RankedBy == "joint"
	if had && deep && m.view.Like == "" && (by != l.RankedBy || d.cycle > d.told) { // the fast one is new after every label: no news
		d.common.Say(common.Note, "new ranking ("+common.Clean(l.RankedBy)+") – "+d.common.Keys.Label("restart")+" starts at its top")
	} else if had && !deep && d.cycle > d.told {
		d.common.Say(common.Note, "the trained network has ranked every image – "+d.common.Keys.Label("ranking")+" shows its list")
	}
	d.told = d.cycle
	return d.again(l.Version)
}

// arrive puts the cursor on the goal: image i, unless the one that should be there is elsewhere.
func (d *Desk) arrive(g goal, i int) {
	l := d.List()
	if g.id == "" {
		l.Move(i)
		return
	}
	if at := l.Index(g.id); at >= 0 {
		i = at
	}
	l.Move(i)
	d.sayMatch()
}

// most is how many images the window may hold: the queue ends at the cut; 0: there is no end.
func (d *Desk) most(l *List) int {
	if !d.Queue() {
		return 0
	}
	return int(max(1, l.Cut-l.Base))
}

// goesOn tells whether the engine has images behind those of its answer.
func (d *Desk) goesOn(m ranked, l *List) bool {
	most := d.most(l)
	return int64(len(m.reply.GetItems())) >= m.limit && (most == 0 || len(l.Items) < most)
}

// again asks once more where that was wanted meanwhile, or where the list is of an older ranking than the engine told of.
func (d *Desk) again(version uint64) tea.Cmd {
	if d.stale || d.version > version {
		d.stale = false
		if d.version > version {
			d.version = version // one more try, not a loop: the next status counts again
		}
		return d.Load(true)
	}
	return d.Load(false)
}

// follows finds the images of an answer that come after the last one loaded; false: the engine's list is another one by now.
func (d *Desk) follows(told []*rpc.Item) ([]*rpc.Item, bool) {
	for _, it := range slices.Backward(d.List().Items) {
		if !d.member(it) {
			continue
		}
		i := slices.IndexFunc(told, func(t *rpc.Item) bool { return t.GetId() == it.ID })
		if i < 0 {
			return nil, false
		}
		return told[i+1:], true
	}
	return told, true
}

// news are images as the engine told of them when it was asked after so many saves, with the labels and marks given since.
func (d *Desk) news(told []*rpc.Item, saves uint64) []Item {
	its := items(told)
	if len(d.given) == 0 {
		return its
	}
	since := func(s subject, told Label) Label {
		g, ok := d.given[s]
		if !ok {
			return told
		}
		if g.mark == Saved && g.save <= saves { // asked for after it was on disk: whatever is different, somebody else said
			g.label = told
			d.given[s] = g // kept: a cell that stands for this image too may hold older news
		}
		return g.label
	}
	for i := range its {
		it := &its[i]
		it.Label = since(subject{id: it.ID}, it.Label)
		for _, m := range Marks {
			told := None
			if slices.Contains(it.Marks, m) {
				told = On
			}
			if to := since(subject{it.ID, m}, told); to != told {
				it.Marks = with(it.Marks, m, to == On)
			}
		}
	}
	return its
}

// relabel tells every list what the engine said of labels and marks: one that is shown again later would else begin with what it held
// before.
func (d *Desk) relabel(told ...[]Item) {
	newest := map[string]Item{}
	for _, its := range told {
		for _, it := range its {
			newest[it.ID] = it
		}
	}
	for _, l := range d.lists {
		for i := range l.Items {
			if it, ok := newest[l.Items[i].ID]; ok {
				l.Items[i].Label, l.Items[i].Marks = it.Label, it.Marks
			}
		}
	}
}

func (d *Desk) labelledBack(m labelled) tea.Cmd {
	if len(d.out) == 0 || d.out[0].uid != m.uid {
		return nil
	}
	d.sending = false
	b := d.out[0]
	if refused(m.err) && !m.kept {
		d.out = d.out[1:]
		d.takeBack(b, m.err)
		return d.send()
	}
	d.nowhere = m.nowhere
	if m.err != nil && !m.kept {
		d.hold(link.Reason(m.err))
		d.tries++
		return after(retry{d.tries}, d.patient(d.tries))
	}
	d.out = d.out[1:]
	if m.kept && m.err != nil && d.delayed == "" {
		d.common.Say(common.Warning, "kept on this machine for now: "+link.Reason(m.err))
	} else if d.trouble != "" && len(d.out) == 0 {
		d.common.Say(common.Note, "all labels are saved")
	} else {
		d.common.Say(common.Flash, b.say)
	}
	if len(d.out) == 0 {
		d.trouble, d.tries = "", 0
	}
	d.saves++
	mark := Saved
	if m.kept {
		d.kept = append(d.kept, b)
		mark = Kept
		if m.err != nil {
			d.delayed = link.Reason(m.err)
		}
	}
	for _, c := range b.changes {
		if !later(d.out, c) {
			d.given[c.subject()] = given{label: c.To, mark: mark, save: d.saves}
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
		d.kept, d.delayed, d.late = d.kept[1:], "", 0
		d.takeBack(b, m.err)
		return d.deliver()
	case link.Gone(m.err):
		return nil // sent again when there is an engine
	default:
		d.delayed = link.Reason(m.err)
		d.late++
		return after(deliverAgain{d.late}, d.patient(d.late))
	}
	d.kept = d.kept[1:]
	d.late = 0
	if d.delayed != "" && len(d.kept) == 0 {
		d.delayed = ""
		d.common.Say(common.Note, "all labels have reached the engine")
	}
	d.saves++
	for _, c := range b.changes {
		if !later(d.out, c) && !later(d.kept, c) {
			d.given[c.subject()] = given{label: c.To, save: d.saves}
		}
	}
	return d.deliver()
}

// takeBack shows the labels of before: the engine will never take this batch.
func (d *Desk) takeBack(b batch, why error) {
	d.saves++
	for _, c := range b.changes {
		if !later(d.out, c) && !later(d.kept, c) {
			d.given[c.subject()] = given{label: c.From, save: d.saves}
		}
	}
	d.common.Say(common.Warning, "label refused: "+link.Reason(why))
}

// later tells whether one of the batches changes the same thing again.
func later(batches []batch, of Change) bool {
	for _, b := range batches {
		for _, c := range b.changes {
			if c.subject() == of.subject() {
				return true
			}
		}
	}
	return false
}

// patient is how often something was tried in vain, for after: an engine on this machine is asked every few seconds.
func (d *Desk) patient(tries int) int {
	if d.beside {
		return min(tries, 3)
	}
	return tries
}

// after sends a message after a pause, a longer one the more was tried in vain.
func after(msg tea.Msg, tries int) tea.Cmd {
	return tea.Tick(min(15*time.Second, time.Second<<min(tries-1, 4)), func(time.Time) tea.Msg { return msg })
}

func word(l Label) string {
	if l == None {
		return "no label"
	}
	return string(l)
}
