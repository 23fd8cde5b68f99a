package review

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"google.golang.org/grpc"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
)

// lister is an engine that has nothing but a list.
type lister struct {
	rpc.EngineClient
	order   []string
	labels  map[string]string
	version uint64
	cut     int64
	asked   []*rpc.RankingRequest
}

func (e *lister) Hello(context.Context, *rpc.HelloRequest, ...grpc.CallOption) (*rpc.HelloReply, error) {
	return &rpc.HelloReply{}, nil
}

func (e *lister) History(context.Context, *rpc.HistoryRequest, ...grpc.CallOption) (*rpc.HistoryReply, error) {
	return &rpc.HistoryReply{}, nil
}

func (e *lister) Label(_ context.Context, in *rpc.LabelRequest, _ ...grpc.CallOption) (*rpc.LabelReply, error) {
	for _, c := range in.Changes {
		if c.Mark == "" {
			e.labels[c.Id] = c.To
		}
	}
	return &rpc.LabelReply{}, nil
}

// list are the ids of a filter, in order.
func (e *lister) list(filter string) []string {
	if filter == "all" {
		return e.order
	}
	return slices.DeleteFunc(slices.Clone(e.order), func(id string) bool { return filter != "all" && e.labels[id] != filter })
}

func (e *lister) Ranking(_ context.Context, in *rpc.RankingRequest, _ ...grpc.CallOption) (*rpc.RankingReply, error) {
	e.asked = append(e.asked, in)
	ids := e.list(in.Filter)
	out := &rpc.RankingReply{Version: e.version, Total: int64(len(ids)), Cut: e.cut}
	for k := in.Offset; k < min(in.Offset+in.Limit, int64(len(ids))); k++ {
		out.Items = append(out.Items, &rpc.Item{Id: ids[k], Rank: k, Label: e.labels[ids[k]]})
	}
	for _, id := range in.Also {
		out.Also = append(out.Also, &rpc.Item{Id: id, Rank: -1, Label: e.labels[id]})
	}
	return out, nil
}

func (e *lister) Find(_ context.Context, in *rpc.FindRequest, _ ...grpc.CallOption) (*rpc.FindReply, error) {
	ids, out := e.list(in.List.Filter), &rpc.FindReply{Place: -1}
	if n := in.List.Limit; n > 0 {
		ids = ids[:min(n, int64(len(ids)))]
	}
	var hits []int64
	for k, id := range ids {
		if strings.Contains(strings.ToLower(id), strings.ToLower(in.Match)) {
			hits = append(hits, int64(k))
		}
	}
	if in.Back {
		slices.Reverse(hits)
	}
	for _, k := range append(hits, hits...) { // the second time: round the end
		if past := k > in.From; out.Place < 0 && (past != in.Back && k != in.From || len(hits) > 0 && out.Matches >= int64(len(hits))) {
			out.Place, out.Id, out.Found = k, ids[k], true
		}
		out.Matches++
	}
	out.Matches = int64(len(hits))
	return out, nil
}

// desk is a desk on an engine of n images, and what lets its commands come to an end.
func desk(t *testing.T, n int, cut int64) (*Desk, *lister, func(tea.Cmd)) {
	t.Helper()
	e := &lister{labels: map[string]string{}, version: 1, cut: cut}
	for i := range n {
		e.order = append(e.order, fmt.Sprintf("sky/%05d.png", i))
	}
	km, err := keys.Load(keys.Table(), nil)
	if err != nil {
		t.Fatal(err)
	}
	l := link.New(t.Context(), e, "", nil)
	l.Update(l.Init()())
	if l.Client() == nil {
		t.Fatal("no link")
	}
	d := NewDesk(&common.Common{Keys: km, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, l, "ann")
	var run func(tea.Cmd)
	run = func(cmd tea.Cmd) {
		if cmd == nil {
			return
		}
		switch m := cmd().(type) {
		case tea.BatchMsg:
			for _, c := range m {
				run(c)
			}
		default:
			run(d.Update(m))
		}
	}
	run(d.Connected())
	return d, e, run
}

// A list of 10,000 images of which a window is loaded shows the same as the whole list, wherever one goes, and never asks for more than
// a part, nor keeps more.
func TestAWindowShowsWhatTheWholeListHas(t *testing.T) {
	const n, most = 10_000, 4*window + 2*ahead
	d, e, run := desk(t, n, 100)
	run(d.Choose(View{Filter: "all"}))
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	place := int64(0)
	for step := range 300 {
		was := place
		what := ""
		l := d.List()
		move := func(by int) {
			what = fmt.Sprintf("move by %d", by)
			l.Move(l.Cursor + by)
			place = max(0, min(n-1, place+int64(by)))
			run(d.Load(false))
		}
		switch r.IntN(20) {
		case 0:
			what, place = "first", 0
			run(d.Go(0))
		case 1:
			what, place = "last", n-1
			run(d.Go(d.Len() - 1))
		case 2:
			place = r.Int64N(n)
			what = fmt.Sprintf("go to %d", place)
			run(d.Go(place))
		case 3, 4, 5, 6, 7, 8, 9:
			for range 30 { // page after page
				move(100)
			}
		case 10, 11, 12, 13:
			for range 30 {
				move(-100)
			}
		default:
			move(r.IntN(200) - 100)
		}
		l = d.List()
		it, _ := l.Selected()
		if l.Place() != place || it.ID != e.order[place] || d.Len() != n {
			t.Fatalf("seed %d, step %d, from %d: %s: %q is under the cursor at place %d of %d, want place %d", seed, step, was, what, it.ID, l.Place(), d.Len(), place)
		}
		for i, it := range l.Items {
			if at := l.Base + int64(i); at >= n || it.ID != e.order[at] {
				t.Fatalf("seed %d, step %d: %s: %q at place %d", seed, step, what, it.ID, l.Base+int64(i))
			}
		}
		if near := min(place+ahead/2, n-1) - l.Base; near >= int64(len(l.Items)) || l.Base > max(0, place-ahead/2) {
			t.Fatalf("seed %d, step %d: %s to %d: loaded is %d to %d", seed, step, what, place, l.Base, l.Base+int64(len(l.Items)))
		}
		if len(l.Items) > most {
			t.Fatalf("%d images are kept", len(l.Items))
		}
	}
	for _, q := range e.asked {
		if q.Limit > window+ahead+overlap {
			t.Fatalf("%d images were asked for at once", q.Limit)
		}
	}
}

// A review from the top, with labels and new rankings, shows what it would if the whole list were asked for each time: what was looked
// at stays, and behind it comes the newest ranking.
func TestAReviewFromTheTopIsAsWithTheWholeList(t *testing.T) {
	const n, cut = 3000, 1500
	d, e, run := desk(t, n, cut)
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 2))
	naive := List{} // asks for everything
	news := func() {
		var fresh []Item
		for _, id := range e.list("") {
			fresh = append(fresh, Item{ID: id})
		}
		naive.Items = Merge(naive.Items, naive.Kept(), fresh, cut)
	}
	news()
	for step := range 1200 {
		l := d.List()
		switch r.IntN(8) {
		case 0, 1, 2, 3: // a label, which makes a new ranking
			it, _ := l.Selected()
			if it.Label == None {
				run(d.Give(Normal, []Item{it}, l.Cursor+1))
				naive.Move(naive.Cursor + 1)
				if r.IntN(3) == 0 {
					r.Shuffle(len(e.order), func(i, j int) { e.order[i], e.order[j] = e.order[j], e.order[i] })
				}
				e.version++
				news()
				run(d.Status(&rpc.Status{RankingVersion: e.version, Embedded: true}))
			}
		case 4:
			by := r.IntN(60)
			l.Move(l.Cursor - by)
			naive.Move(naive.Cursor - by)
			run(d.Load(false))
		default:
			by := r.IntN(12)
			l.Move(l.Cursor + by)
			naive.Move(naive.Cursor + by)
			run(d.Load(false))
		}
		l = d.List()
		if l.Base != 0 || l.Cursor != naive.Cursor || len(l.Items) > len(naive.Items) || len(l.Items) < min(len(naive.Items), l.Cursor+ahead/2) {
			t.Fatalf("seed %d, step %d: %d images, cursor %d; want %d, %d", seed, step, len(l.Items), l.Cursor, len(naive.Items), naive.Cursor)
		}
		for i := range l.Items {
			if l.Items[i].ID != naive.Items[i].ID {
				t.Fatalf("seed %d, step %d: %q at %d, want %q (kept %d)", seed, step, l.Items[i].ID, i, naive.Items[i].ID, l.Kept())
			}
		}
	}
	whole := 0
	for _, q := range e.asked {
		if q.Limit > cut {
			whole++
		}
	}
	if whole > 0 {
		t.Errorf("%d times the whole list was asked for", whole)
	}
}

// What is labelled in the middle of a list leaves the queue, and the window still follows the list.
func TestAWindowOfTheQueue(t *testing.T) {
	d, e, run := desk(t, 12_000, 12_000)
	run(d.Go(9_000))
	if it, _ := d.List().Selected(); it.ID != e.order[9000] || d.List().Place() != 9000 {
		t.Fatalf("%q at place %d", it.ID, d.List().Place())
	}
	want := e.order[9000:]
	for k := range 300 {
		l := d.List()
		it, _ := l.Selected()
		if it.ID != want[k] || l.Place() != int64(9000+k) {
			t.Fatalf("%d looked at: %q at place %d, want %q", k, it.ID, l.Place(), want[k])
		}
		run(d.Give(Normal, []Item{it}, l.Cursor+1))
		e.version++
		run(d.Status(&rpc.Status{RankingVersion: e.version, Embedded: true}))
	}
	run(d.Go(0)) // back at the true start
	l := d.List()
	if it, _ := l.Selected(); it.ID != e.order[0] || l.Base != 0 || l.Offset != 0 {
		t.Errorf("the first is %q at place %d", it.ID, l.Place())
	}
	for _, q := range e.asked {
		if q.Limit > 4*ahead {
			t.Fatalf("%d images were asked for at once", q.Limit)
		}
	}
}

// A search goes through all matches, loaded or not, and round the end.
func TestSearch(t *testing.T) {
	d, e, run := desk(t, 10_000, 100)
	run(d.Choose(View{Filter: "all"}))
	run(d.Search("77.PNG"))
	var want []int64
	for k, id := range e.order {
		if strings.Contains(id, "77.png") {
			want = append(want, int64(k))
		}
	}
	for _, back := range []bool{false, true} {
		for n := range len(want) + 3 {
			k := n % len(want)
			if back {
				k = (2*len(want) + 2 - n) % len(want)
			}
			if l := d.List(); l.Place() != want[k] {
				t.Fatalf("back %v, match %d: at place %d, want %d", back, n, l.Place(), want[k])
			}
			if n < len(want)+2 {
				run(d.NextMatch(back))
			}
		}
	}
	// The queue has no such image: the matches are a list of their own.
	run(d.Choose(View{}))
	run(d.Search("05123"))
	if d.Match != "05123" || d.Filter != "all" {
		t.Errorf("the list is %+v", d.View)
	}
	run(d.Back())
	if d.View != (View{}) {
		t.Errorf("back at %+v", d.View)
	}
	run(d.Search("nosuch"))
	if said, _ := d.common.Said(); d.View != (View{}) || said.Text != "no image has nosuch in its id" {
		t.Errorf("%q, %+v", said.Text, d.View)
	}
}

func TestMarks(t *testing.T) {
	d, _, run := desk(t, 50, 50)
	items := d.List().Items
	run(d.Toggle(Bookmark, items[3:4]))
	run(d.Toggle("2", items[3:6]))
	if got := d.Marks(items[3]); !slices.Equal(got, []string{Bookmark, "2"}) {
		t.Errorf("%v", got)
	}
	run(d.Toggle("2", items[4:8])) // some have it: now all
	for i, want := range map[int]string{3: "★ #2", 4: "#2", 7: "#2", 8: ""} {
		if got := ShortMarks(d.Marks(items[i])); got != want {
			t.Errorf("image %d: %q, want %q", i, got, want)
		}
	}
	run(d.Toggle("2", items[4:8])) // all have it: now none
	if got := d.Marks(items[4]); len(got) > 0 {
		t.Errorf("%v", got)
	}
	if label, _ := d.Label(items[3]); label != None {
		t.Errorf("a mark is a label: %q", label)
	}
	run(d.Undo())
	run(d.Undo())
	if a, b := d.Marks(items[5]), d.Marks(items[7]); !slices.Equal(a, []string{"2"}) || len(b) > 0 {
		t.Errorf("after undo %v and %v", a, b)
	}
	run(d.Redo())
	if got := d.Marks(items[7]); !slices.Equal(got, []string{"2"}) {
		t.Errorf("done again: %v", got)
	}
}

// An answer to what was asked before a label was saved does not know of it, also when it comes later.
func TestASavedLabelOutlivesOlderAnswers(t *testing.T) {
	d, e, run := desk(t, 10, 10)
	asked, id := d.Saves(), e.order[0]
	run(d.Give(Normal, d.List().Items[:1], 1))
	if d.Busy() {
		t.Fatal("not saved")
	}
	if got := d.Now(id, "", None, asked); got != Normal {
		t.Errorf("asked before: %q", got)
	}
	if got := d.Now(id, "", Skip, d.Saves()); got != Skip {
		t.Errorf("asked after, when somebody had said more: %q", got)
	}
}
