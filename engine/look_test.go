package engine

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
)

// Who only looks finds the rankings of the engine that ran, and leaves the folder as it was.
func TestLookRanksAsTheEngineDoes(t *testing.T) {
	p := newProject(t)
	look := func() *Service {
		t.Helper()
		e, done, err := Look(t.Context(), p.opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(done)
		return e.Service()
	}
	r, err := look().Ranking(t.Context(), &rpc.RankingRequest{Filter: "all"})
	if err != nil || r.RankedBy != "order" || r.Total != 61 { // nobody has found the broken file yet
		t.Fatalf("before anything ran: %d images by %s (%v)", r.GetTotal(), r.GetRankedBy(), err)
	}
	p.start()
	p.until("embeddings", func(s *rpc.Status) bool { return s.Embedded && s.RankedBy == "novelty" && idle(s) })
	n := 0
	for name, anomaly := range p.truth {
		if anomaly {
			p.say("sky/"+name, label.Anomaly)
		} else if n < 5 {
			n++
			p.say("sky/"+name, label.Normal)
		}
	}
	p.until("the fast ranking of the last label", func(s *rpc.Status) bool { return s.RankedBy == "fast" && s.LabelsVersion >= uint64(n+6) })
	p.until("the ranking of all labels", func(*rpc.Status) bool { v := p.e.view(""); return v.r.labels == v.labels })
	var lists [2][]*rpc.Item
	for k, by := range []string{"fast", "novelty"} {
		lists[k] = p.ranking(by, "all").Items
	}
	p.stop()

	before := files(t, p.opt.Dir)
	s := look()
	for k, by := range []string{"fast", "novelty"} {
		r, err := s.Ranking(t.Context(), &rpc.RankingRequest{By: by, Filter: "all", Limit: 1000})
		if err != nil || r.RankedBy != by {
			t.Fatalf("by %s: %v", r.GetRankedBy(), err)
		}
		if !slices.EqualFunc(r.Items, lists[k], func(a, b *rpc.Item) bool { return a.Id == b.Id && a.Score == b.Score && a.Label == b.Label }) {
			t.Errorf("who looks finds another %s ranking", by)
		}
	}
	if after := files(t, p.opt.Dir); !slices.Equal(before, after) {
		t.Errorf("the folder changed from %v to %v", before, after)
	}
}

// files of a folder, with sizes.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, fmt.Sprint(path, len(b)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
