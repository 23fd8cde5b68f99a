package engine

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// chartOf asks for a map until it is there.
func (p *project) chartOf(in *rpc.MapRequest) *rpc.MapReply {
	p.t.Helper()
	for range 60 {
		r, err := p.Map(p.t.Context(), in)
		if err != nil {
			p.t.Fatal(err)
		}
		if r.Why == "" {
			return r
		}
		if !strings.Contains(r.Why, "worked out") {
			p.t.Fatalf("no map: %s", r.Why)
		}
	}
	p.t.Fatal("the map never came")
	return nil
}

func sum(density []int64) (n int64) {
	for _, v := range density {
		n += v
	}
	return n
}

func TestMapsAndTheListsOfTheirRegions(t *testing.T) {
	p := newProject(t)
	p.start()
	p.until("embeddings", func(s *rpc.Status) bool { return idle(s) && s.Embedded })
	p.labelSome(6, 2)
	pool := p.fitted().Pool
	first := p.chartOf(&rpc.MapRequest{Columns: 8, Rows: 4})
	if want := []string{"neighbours", "pca", "anomaly"}; !slices.Equal(first.Projections, want) || first.Projection != want[0] {
		t.Errorf("projections %v, first %s", first.Projections, first.Projection)
	}
	for _, projection := range first.Projections {
		r := p.chartOf(&rpc.MapRequest{Projection: projection, Columns: 6, Rows: 4})
		if sum(r.Density) != pool || len(r.Density) != 24 || len(r.Score) != 24 {
			t.Errorf("%s: %d of %d images in %d cells", projection, sum(r.Density), pool, len(r.Density))
		}
		counts := map[string]int{}
		for _, l := range r.Labelled {
			counts[l.Label]++
			if p.labels.Current()[l.Id] != label.Value(l.Label) {
				t.Errorf("%s: %s is marked %s", projection, l.Id, l.Label)
			}
		}
		if st := p.until("labels", idle); counts["anomaly"] != int(st.Anomalies) || counts["normal"] != int(st.Normals) {
			t.Errorf("%s: marks %v", projection, counts)
		}
		var seen []string
		for cell, n := range r.Density {
			x, y := float64(cell%6), float64(cell/6)
			region := &rpc.Region{Projection: projection, Left: x / 6, Top: y / 4, Right: (x + 1) / 6, Bottom: (y + 1) / 4}
			list := p.ask(&rpc.RankingRequest{Filter: "all", Region: region})
			if list.Total != n || int64(len(list.Items)) != n {
				t.Errorf("%s: cell %d has %d images, its list %d", projection, cell, n, list.Total)
			}
			mean := 0.0
			for _, it := range list.Items {
				seen = append(seen, it.Id)
				mean += float64(it.Score) / float64(n)
			}
			if got := float64(r.Score[cell]); n > 0 && math.Abs(got-mean) > 1e-5 || n == 0 && !math.IsNaN(got) {
				t.Errorf("%s: cell %d scores %v, its list %v", projection, cell, got, mean)
			}
			if n > 0 { // closer
				part := p.chartOf(&rpc.MapRequest{Projection: projection, Columns: 3, Rows: 3, Region: region})
				if sum(part.Density) != n {
					t.Errorf("%s: cell %d has %d images, looked at closely %d", projection, cell, n, sum(part.Density))
				}
			}
		}
		slices.Sort(seen)
		if all := ids(p.ranking("", "all")); len(slices.Compact(seen)) != len(all) {
			t.Errorf("%s: %d images in all regions, %d in the list of all", projection, len(seen), len(all))
		}
	}

	// the map of the scores follows the ranking, the others do not
	p.e.mu.Lock()
	plane, scores := p.e.maps.drawn["pca"], p.e.maps.drawn["anomaly"]
	p.e.mu.Unlock()
	rare := ""
	for name, anomaly := range p.truth {
		if anomaly && p.labels.Current()["sky/"+name] == label.None {
			rare = "sky/" + name
		}
	}
	p.say(rare, label.Anomaly)
	p.fitted()
	p.chartOf(&rpc.MapRequest{Projection: "pca", Columns: 1, Rows: 1})
	p.chartOf(&rpc.MapRequest{Projection: "anomaly", Columns: 1, Rows: 1})
	p.e.mu.Lock()
	if p.e.maps.drawn["pca"] != plane || p.e.maps.drawn["anomaly"] == scores {
		t.Error("a label changes the map of the components, or does not change that of the scores")
	}
	p.e.mu.Unlock()

	for name, in := range map[string]*rpc.MapRequest{
		"unknown projection": {Projection: "mercator", Columns: 1, Rows: 1},
		"no cells":           {Columns: 0, Rows: 5},
		"too many cells":     {Columns: 1 << 20, Rows: 1 << 20},
		"empty region":       {Columns: 1, Rows: 1, Region: &rpc.Region{Left: 0.5, Right: 0.5, Bottom: 1}},
	} {
		if _, err := p.Map(t.Context(), in); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.Ranking(t.Context(), &rpc.RankingRequest{Region: &rpc.Region{Projection: "mercator", Right: 1, Bottom: 1}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a list of an unknown map: %v", err)
	}
}

func TestWritersAndPagesOfTheirHistory(t *testing.T) {
	at := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)
	m := &memoryLabels{current: map[string]label.Value{}}
	for i := range 10 {
		by := []string{"ann", "bob"}[i%2]
		m.events = append(m.events, label.Event{Lamport: uint64(i + 1), Time: at.Add(time.Duration(i) * time.Minute), By: by, UID: string(rune('a' + i)),
			Change: label.Change{ID: string(rune('0' + i/2)), To: []label.Value{label.Anomaly, label.Normal, label.Normal, label.Normal}[i%4]}})
	}
	s := New(Options{Labels: m}).Service()
	w, err := s.Writers(t.Context(), &rpc.WritersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Writers) != 2 || w.Writers[0].Name != "ann" || w.Writers[0].Anomalies != 3 || w.Writers[0].Normals != 2 || w.Writers[1].LastUnixMs != at.Add(9*time.Minute).UnixMilli() {
		t.Errorf("writers %v", w.Writers)
	}
	if len(w.Pairs) != 1 || w.Pairs[0].Both != 5 || w.Pairs[0].Agree != 2 || w.Pairs[0].Kappa != 0 {
		t.Errorf("pairs %v", w.Pairs)
	}
	if len(w.Conflicts) != 3 || w.Conflicts[0].Id != "4" || w.Conflicts[0].Label != "normal" || len(w.Conflicts[0].Opinions) != 2 {
		t.Errorf("conflicts %v", w.Conflicts)
	}
	for _, c := range []struct {
		in   *rpc.HistoryRequest
		want string
	}{
		{&rpc.HistoryRequest{Everybody: true, Limit: 3}, "hij"},
		{&rpc.HistoryRequest{Everybody: true, Limit: 3, Before: 3, By: "ann"}, "efg"},
		{&rpc.HistoryRequest{Everybody: true, Limit: 3, Before: 9}, "a"},
		{&rpc.HistoryRequest{Everybody: true, Limit: 3, Before: 10}, ""},
		{&rpc.HistoryRequest{Everybody: true, Before: 8}, "ab"},
		{&rpc.HistoryRequest{By: "ann", Limit: 2, Before: 1}, "eg"},
		{&rpc.HistoryRequest{By: "ann", Limit: 2, Before: -5}, "gi"},
	} {
		r, err := s.History(t.Context(), c.in)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, ev := range r.Events {
			got += ev.Uid
		}
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.in, got, c.want)
		}
	}
}
