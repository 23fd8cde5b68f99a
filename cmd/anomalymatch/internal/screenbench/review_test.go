package screenbench

import (
	"flag"
	"testing"

	"anomalymatch/engine/rpc"
)

var candidates = flag.Int("candidates", 0, "of the review, and nothing may be lost or unseen; 0: as many as fit a test, and only that no label comes of itself")

// TestReviewAtAPersonsPace labels at five keys a second over a slow link: no label comes of itself. With -candidates, on a machine that
// does nothing else, no key may be lost either, and what is labelled must have been on screen when its key was pressed. That does not
// hold yet: the program takes a page for seen when its pictures are acknowledged, which were fetched ahead; the frame that shows them may
// still be under way.
//
//	go test ./cmd/anomalymatch/internal/screenbench -candidates 200
func TestReviewAtAPersonsPace(t *testing.T) {
	n := *candidates
	if n == 0 {
		if n = 40; testing.Short() {
			n = 15
		}
	}
	for _, net := range Nets() {
		t.Run(net.Name, func(t *testing.T) {
			t.Parallel()
			r, err := Sit(t.Context(), Options{Images: 40_000, Size: 96, Cols: 80, Rows: 24, Seed: 3}, net, n, pace)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			if r.Others > 0 || r.Labels+r.Lost != n || r.Labels < n/4 {
				t.Errorf("%+v: labels come of keys", *r)
			}
			if *candidates > 0 && r.Lost+r.Unseen > 0 {
				t.Errorf("%+v: every key must label, and only what was on screen", *r)
			}
		})
	}
}

// What a label was made by is told from the order and from what was on screen.
func TestTell(t *testing.T) {
	see := func(label, marked string, shown ...string) glance {
		g := glance{label: label, marked: marked, shown: map[string]bool{marked: true}}
		for _, id := range shown {
			g.shown[id] = true
		}
		return g
	}
	keys := []glance{see("normal", "1", "2", "3"), see("skip", "2", "1", "3"), see("normal", "3", "1", "2"), see("anomaly", "3", "1", "2"), see("skip", "5", "6")}
	for _, c := range []struct {
		name   string
		labels [][2]string
		want   Review
	}{
		{"all", [][2]string{{"1", "normal"}, {"2", "skip"}, {"3", "normal"}, {"3", "anomaly"}, {"5", "skip"}}, Review{}},
		{"one lost", [][2]string{{"1", "normal"}, {"3", "normal"}, {"3", "anomaly"}, {"5", "skip"}}, Review{Lost: 1}},
		{"ahead of the eye", [][2]string{{"1", "normal"}, {"2", "skip"}, {"3", "normal"}, {"3", "anomaly"}, {"6", "skip"}}, Review{NotMarked: 1}},
		{"not seen", [][2]string{{"1", "normal"}, {"2", "skip"}, {"3", "normal"}, {"4", "anomaly"}, {"5", "skip"}}, Review{Unseen: 1}},
		{"by no key", [][2]string{{"1", "normal"}, {"1", "anomaly"}, {"2", "skip"}, {"3", "normal"}, {"3", "anomaly"}, {"5", "skip"}}, Review{Others: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var events []*rpc.LabelEvent
			for _, l := range c.labels {
				events = append(events, &rpc.LabelEvent{Change: &rpc.LabelChange{Id: l[0], To: l[1]}})
			}
			var got Review
			got.tell(keys, events)
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
