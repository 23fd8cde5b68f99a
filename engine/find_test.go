package engine

import (
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
)

// mark gives an image a mark, or takes it away.
func (p *project) mark(id, mark string, to label.Value) {
	p.t.Helper()
	from := label.On
	if to == label.On {
		from = label.None
	}
	_, err := p.Label(p.t.Context(), &rpc.LabelRequest{Uid: id + mark + string(to), By: "test", Changes: []*rpc.LabelChange{{Id: id, Mark: mark, To: string(to), From: string(from)}}})
	if err != nil {
		p.t.Fatal(err)
	}
}

func TestMarksSortAndMatchMakeLists(t *testing.T) {
	p := newProject(t)
	p.start()
	p.until("novelty", func(s *rpc.Status) bool { return s.RankedBy == "novelty" && idle(s) })
	all := ids(p.ask(&rpc.RankingRequest{Filter: "all"}))
	before, _ := p.GetStatus(t.Context(), nil)

	p.mark(all[9], label.Bookmark, label.On)
	p.mark(all[3], "2", label.On)
	p.mark(all[9], "2", label.On)
	p.mark(all[5], "7", label.On)
	p.mark(all[5], "7", label.None)
	for mark, want := range map[string][]string{label.Bookmark: {all[9]}, "2": {all[3], all[9]}, "7": nil, "any": {all[3], all[9]}, "": all} {
		r := p.ask(&rpc.RankingRequest{Filter: "all", Mark: mark})
		if !slices.Equal(ids(r), want) || r.Total != int64(len(want)) {
			t.Errorf("mark %q: %v, want %v", mark, ids(r), want)
		}
	}
	if r := p.ask(&rpc.RankingRequest{Filter: "all", Mark: label.Bookmark}); !slices.Equal(r.Items[0].Marks, []string{"bookmark", "2"}) {
		t.Errorf("the marks are %v", r.Items[0].Marks)
	}
	if s, _ := p.GetStatus(t.Context(), nil); s.LabelsVersion != before.LabelsVersion || s.RankingVersion != before.RankingVersion {
		t.Error("a mark counts as a label")
	}

	byID := slices.Sorted(slices.Values(all))
	worst := slices.Clone(all)
	slices.Reverse(worst)
	if got := ids(p.ask(&rpc.RankingRequest{Filter: "all", Sort: "worst"})); !slices.Equal(got, worst) {
		t.Error("worst first is not the ranking the other way round")
	}
	if got := ids(p.ask(&rpc.RankingRequest{Filter: "all", Sort: "id"})); !slices.Equal(got, byID) {
		t.Error("not sorted by id")
	}
	// In the queue the candidates are sorted, and stay those that were picked.
	r := p.ask(&rpc.RankingRequest{Sort: "id"})
	cut := int(r.Cut)
	if got, want := ids(r)[:cut], slices.Sorted(slices.Values(all[:cut])); !slices.Equal(got, want) || !slices.Equal(ids(r)[cut:], all[cut:]) {
		t.Errorf("candidates by id: %v", got)
	}
	if got := ids(p.ask(&rpc.RankingRequest{Filter: "all"})); !slices.Equal(got, all) {
		t.Fatal("sorting one list changed another")
	}

	p.say(all[20], label.Normal)
	p.say(all[2], label.Skip)
	p.say(all[30], label.Normal)
	p.say(all[30], label.None)
	p.mark(all[20], "1", label.On) // no label
	newest := ids(p.ask(&rpc.RankingRequest{Filter: "all", Sort: "newest"}))
	if !slices.Equal(newest[:2], []string{all[2], all[20]}) || len(newest) != len(all) {
		t.Errorf("last labelled first: %v", newest[:3])
	}

	name := strings.ToUpper(strings.TrimSuffix(strings.TrimPrefix(all[4], "sky/"), ".jpg"))
	if got := ids(p.ask(&rpc.RankingRequest{Filter: "all", Match: name})); !slices.Equal(got, []string{all[4]}) {
		t.Errorf("match %q: %v", name, got)
	}
	for _, bad := range []*rpc.RankingRequest{{Mark: "0"}, {Mark: "star"}, {Sort: "size"}} {
		if _, err := p.Ranking(t.Context(), bad); err == nil {
			t.Errorf("%v was answered", bad)
		}
	}

	// Find goes through the places of the list, round its ends.
	list := &rpc.RankingRequest{Filter: "all", Sort: "id", Match: "left out"}
	var want []int64
	for k, id := range byID {
		if strings.Contains(id, "7.jpg") {
			want = append(want, int64(k))
		}
	}
	for _, back := range []bool{false, true} {
		from, step := int64(-1), 1
		if back {
			from, step = int64(len(byID)), -1
		}
		for n := range 2 * len(want) {
			r, err := p.Find(t.Context(), &rpc.FindRequest{List: list, Match: "7.JPG", From: from, Back: back})
			k := n % len(want)
			if step < 0 {
				k = len(want) - 1 - k
			}
			if err != nil || !r.Found || r.Place != want[k] || r.Id != byID[want[k]] || r.Matches != int64(len(want)) {
				t.Fatalf("back %v, from %d: %v, %v; want place %d of %v", back, from, r, err, want[k], want)
			}
			from = r.Place
		}
	}
	list.Limit = want[0] // without the first of them
	if r, err := p.Find(t.Context(), &rpc.FindRequest{List: list, Match: "7.jpg", From: -1}); err != nil || r.Found || r.Matches != 0 {
		t.Errorf("beyond the limit: %v, %v", r, err)
	}
	list.Limit = 0
	if r, err := p.Find(t.Context(), &rpc.FindRequest{List: list, Match: "nosuch"}); err != nil || r.Found || r.Matches != 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := p.Find(t.Context(), &rpc.FindRequest{List: list}); err == nil {
		t.Error("nothing was looked for, and found")
	}
}
