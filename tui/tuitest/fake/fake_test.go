package fake

import (
	"testing"
	"time"

	"anomalymatch/engine/rpc"
)

// BenchmarkMillion is what the screen asks all the time: with a million images none of it may take longer than a frame.
func BenchmarkMillion(b *testing.B) {
	start := time.Now()
	e := New(Options{Images: 1e6})
	defer e.Die()
	e.Top(1)
	e.List(&rpc.RankingRequest{By: "fast"}, 1)
	b.Logf("made in %v", time.Since(start))
	e.Label(b.Context(), &rpc.LabelRequest{Uid: "1", By: "ann", Changes: []*rpc.LabelChange{{Id: e.ids[3], To: "anomaly"}, {Id: e.ids[4], To: "normal"}}})
	for name, call := range map[string]func() error{
		"Ranking": func() error {
			_, err := e.Ranking(b.Context(), &rpc.RankingRequest{Limit: 256, Also: e.ids[1000:1100], Fold: true})
			return err
		},
		"Histogram": func() error { _, err := e.Histogram(b.Context(), &rpc.HistogramRequest{Bins: 100}); return err },
		"Review":    func() error { _, err := e.Review(b.Context(), &rpc.ReviewRequest{}); return err },
		"Neighbours": func() error {
			_, err := e.Neighbours(b.Context(), &rpc.NeighboursRequest{Id: e.ids[7], Labelled: true, Limit: 8})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
