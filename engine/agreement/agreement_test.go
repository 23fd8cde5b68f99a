package agreement

import (
	"math"
	"testing"
	"time"

	"anomalymatch/engine/label"
)

func TestKappa(t *testing.T) {
	for name, c := range map[string]struct {
		counts [2][2]int
		want   float64
	}{
		"textbook":           {[2][2]int{{20, 5}, {10, 15}}, 0.4}, // po 0.7, pe 0.5
		"full":               {[2][2]int{{3, 0}, {0, 7}}, 1},
		"never":              {[2][2]int{{0, 5}, {5, 0}}, -1},
		"as chance has it":   {[2][2]int{{1, 1}, {1, 1}}, 0},
		"prevalence":         {[2][2]int{{0, 1}, {1, 98}}, (0.98 - (0.01*0.01 + 0.99*0.99)) / (1 - (0.01*0.01 + 0.99*0.99))},
		"nothing":            {[2][2]int{}, math.NaN()},
		"all normal by both": {[2][2]int{{0, 0}, {0, 9}}, math.NaN()},
	} {
		got := Pair{Counts: c.counts}.Kappa()
		if math.IsNaN(got) != math.IsNaN(c.want) || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: kappa %v, want %v", name, got, c.want)
		}
	}
}

func TestOf(t *testing.T) {
	at := time.Date(2025, 1, 31, 12, 0, 0, 0, time.UTC)
	var events []label.Event
	say := func(by, id string, to label.Value) {
		at = at.Add(time.Minute)
		events = append(events, label.Event{Lamport: uint64(len(events) + 1), Time: at, By: by, UID: "u", Change: label.Change{ID: id, To: to}})
	}
	say("ann", "1", label.Anomaly)
	say("ann", "2", label.Anomaly)
	say("ann", "3", label.Normal)
	say("bob", "1", label.Anomaly)
	say("bob", "2", label.Normal)
	say("bob", "3", label.Anomaly)
	say("bob", "3", label.Normal)  // changed his mind
	say("ann", "4", label.Anomaly) // and takes it back
	say("ann", "4", label.None)
	say("bob", "4", label.Normal)
	say("cyd", "2", label.Skip) // undecided is no opinion
	say("ann", "5", label.Normal)
	say("cyd", "5", label.Anomaly)
	say("ann", "2", label.Anomaly) // once more, in force now
	say("bob", "2", label.On)
	events[len(events)-1].Mark = label.Bookmark

	r := Of(events)
	want := []Writer{{"ann", 7, 2, 2, 0, at.Add(-time.Minute)}, {"bob", 6, 1, 3, 0, at}, {"cyd", 2, 1, 0, 1, at.Add(-2 * time.Minute)}}
	if len(r.Writers) != len(want) {
		t.Fatalf("writers %v", r.Writers)
	}
	for i := range want {
		if r.Writers[i] != want[i] {
			t.Errorf("writer %+v, want %+v", r.Writers[i], want[i])
		}
	}
	if len(r.Pairs) != 2 || r.Pairs[0] != (Pair{"ann", "bob", [2][2]int{{1, 1}, {0, 1}}}) || r.Pairs[1] != (Pair{"ann", "cyd", [2][2]int{{0, 0}, {1, 0}}}) {
		t.Errorf("pairs %+v", r.Pairs)
	}
	if len(r.Conflicts) != 2 || r.Conflicts[0].ID != "2" || r.Conflicts[1].ID != "5" {
		t.Fatalf("conflicts %+v", r.Conflicts)
	}
	if c := r.Conflicts[0]; c.Label != label.Anomaly || len(c.Opinions) != 2 || c.Opinions[0].By != "ann" || c.Opinions[1].Label != label.Normal {
		t.Errorf("conflict %+v", c)
	}
	if c := r.Conflicts[1]; c.Label != label.Anomaly {
		t.Errorf("in force is %q, want the newest", c.Label)
	}
	if r := Of(nil); len(r.Writers)+len(r.Pairs)+len(r.Conflicts) > 0 {
		t.Errorf("of nothing: %+v", r)
	}
}
