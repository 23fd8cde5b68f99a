package screenbench

import (
	"flag"
	"testing"

	"anomalymatch/engine/rpc"
)

var candidates = flag.Int("candidates", 24, "of the review")

// TestReviewAtAPersonsPace labels at five keys a second, near and over a slow link: every choice is written down once, and nothing that was
// not on the person's screen.
//
//	go test ./cmd/anomalymatch/internal/screenbench -run Review -v -candidates 200
func TestReviewAtAPersonsPace(t *testing.T) {
	for _, net := range Nets() {
		t.Run(net.Name, func(t *testing.T) {
			t.Parallel()
			r, err := Sit(t.Context(), Options{Images: 40_000, Size: 96, Cols: 80, Rows: 24, Seed: 3}, net, *candidates, pace)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			if r.Lost+r.Doubled+r.Unseen > 0 || r.Labels != *candidates || r.Blind < *candidates/20 {
				t.Errorf("%+v: every key must label once, and only what was on screen", *r)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	choices := []choice{{"1", "normal"}, {"2", "skip"}, {"3", "anomaly"}}
	for _, c := range []struct {
		name   string
		labels []choice
		want   Review
	}{
		{"all", choices, Review{Labels: 3}},
		{"one lost", []choice{{"1", "normal"}, {"3", "anomaly"}}, Review{Labels: 2, Lost: 1}},
		{"one twice", []choice{{"1", "normal"}, {"2", "skip"}, {"2", "skip"}, {"3", "anomaly"}}, Review{Labels: 4, Doubled: 1}},
		{"one ahead of the eye", []choice{{"1", "normal"}, {"2", "skip"}, {"4", "anomaly"}}, Review{Labels: 3, Lost: 1, Unseen: 1}},
		{"another label", []choice{{"1", "normal"}, {"2", "normal"}, {"3", "anomaly"}}, Review{Labels: 3, Lost: 1, Unseen: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var events []*rpc.LabelEvent
			for _, l := range c.labels {
				events = append(events, &rpc.LabelEvent{Change: &rpc.LabelChange{Id: l.id, To: l.label}})
			}
			var got Review
			got.compare(choices, events)
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
