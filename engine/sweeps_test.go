package engine

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/sweep"
)

// TestSweepBesideTheEngine: another process makes runs while the engine is asked about them; one is used, then the mean of all.
func TestSweepBesideTheEngine(t *testing.T) {
	p := newProject(t)
	if raceBuild {
		t.Skip("the Go backend does not pass the pointer checks of a race build")
	}
	for name, anomaly := range p.truth {
		if anomaly {
			p.labels.current["sky/"+name] = label.Anomaly
		} else if name < "g000020" {
			p.labels.current["sky/"+name] = label.Normal
		}
	}
	p.start()
	p.until("embeddings", func(s *rpc.Status) bool { return s.Embedded && idle(s) })
	if r, err := p.Sweep(t.Context(), &rpc.SweepRequest{}); err != nil || r.Name != "" || len(r.Runs) > 0 {
		t.Errorf("without a sweep: %v, %v", r, err)
	}
	if r, _ := p.UseSweep(t.Context(), &rpc.UseSweepRequest{Ensemble: true}); r.Started || !strings.Contains(r.Reason, "there is no sweep yet") {
		t.Errorf("%v", r)
	}

	pool, err := dataset.OpenPool(t.Context(), filepath.Join(p.opt.Dir, "index"), p.opt.Sources, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	config := p.opt.Config
	config.FixMatch.Iterations, config.Engine.Runtime = 3, "go"
	runs, err := sweep.Grid(config, []int64{1, 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := sweep.New(pool, dataset.Limits{MaxPixels: dataset.DefaultMaxPixels, MaxBytes: dataset.DefaultMaxBytes}, p.labels.Current(), runs)
	if err != nil {
		t.Fatal(err)
	}
	f, err := sweep.Create(filepath.Join(p.opt.Dir, "sweeps"), plan)
	if err != nil {
		t.Fatal(err)
	}
	w := &sweep.Worker{Folder: f, Pool: pool, Config: config, Threads: 2, Host: "gpu01"}
	defer w.Close()
	ctx, cut := context.WithCancel(t.Context())
	w.Report = func(run int, s sweep.State) {
		if run == 1 && s.Phase == sweep.Training && s.Done == 2 {
			cut()
		}
	}
	w.Run(ctx, []int{0, 1})
	r, err := p.Sweep(t.Context(), &rpc.SweepRequest{})
	if err != nil || r.Name != "001" || len(r.Runs) != 2 || r.Best != -1 || r.Verdict != "1 of 2 runs are there" {
		t.Fatalf("%v, %v", r, err)
	}
	if a, b := r.Runs[0], r.Runs[1]; a.Phase != "done" || a.Name != "seed 1" || a.Host != "gpu01" || len(a.Steps) != 3 || b.Phase != "waiting" || b.Done != 2 || b.Total != 3 || len(b.Steps) != 2 || b.Auroc.Known {
		t.Errorf("%v, %v", a, b)
	}
	if r, _ := p.UseSweep(t.Context(), &rpc.UseSweepRequest{Name: "001", Run: 1}); r.Started || r.Reason != "run 1 is not over yet" {
		t.Errorf("%v", r)
	}
	w.Report = nil
	if err := w.Run(t.Context(), []int{1}); err != nil {
		t.Fatal(err)
	}

	// Labelled meanwhile: that measures them.
	found := 0
	for name := range p.truth {
		if _, known := p.labels.Current()["sky/"+name]; !known && found < 9 {
			v := label.Normal
			if found%3 == 0 {
				v = label.Anomaly
			}
			p.say("sky/"+name, v)
			found++
		}
	}
	r, err = p.Sweep(t.Context(), &rpc.SweepRequest{Name: "001"})
	if err != nil || r.Anomalies != 3 || r.Normals != 6 || !r.Ensemble.Known || !r.Runs[1].Auroc.Known || !r.Runs[1].Agreement.Known || !strings.HasPrefix(r.Verdict, "too few to tell") && r.Best < 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := p.Sweep(t.Context(), &rpc.SweepRequest{Name: "../checkpoints"}); err == nil {
		t.Error("a name that is none")
	}

	ranked := func(cycle int32, want []float32) {
		t.Helper()
		if s, _ := p.GetStatus(t.Context(), nil); s.Cycle != cycle {
			t.Errorf("cycle %d, want %d", s.Cycle, cycle)
		}
		for _, it := range p.ranking("deep", "all").Items {
			if i, _ := pool.Find(it.Id); math.Float32bits(it.Score) != math.Float32bits(want[i]) {
				t.Fatalf("%s is ranked with %v, want %v", it.Id, it.Score, want[i])
			}
		}
	}
	if r, err := p.UseSweep(t.Context(), &rpc.UseSweepRequest{Run: 1}); err != nil || !r.Started {
		t.Fatalf("%v, %v", r, err)
	}
	own, err := f.Scores(1)
	if err != nil {
		t.Fatal(err)
	}
	ranked(1, own)
	if r, err := p.UseSweep(t.Context(), &rpc.UseSweepRequest{Ensemble: true}); err != nil || !r.Started {
		t.Fatalf("%v, %v", r, err)
	}
	mean, _, err := f.Mean()
	if err != nil || slices.Equal(mean, own) {
		t.Fatal("the mean is one run's scores", err)
	}
	ranked(2, mean)

	// Older scores that come later do not take their place.
	file := filepath.Join(p.opt.Dir, "scores", "cycle-001.scores")
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := p.Score(t.Context(), &rpc.ScoreRequest{}); !r.Started {
		t.Fatal(r.Reason)
	}
	p.until("the used network has scored", func(s *rpc.Status) bool {
		now, err := os.Stat(file)
		return idle(s) && err == nil && !now.ModTime().Equal(before.ModTime())
	})
	ranked(2, mean)
}
