package bench

import (
	"path/filepath"
	"slices"
	"testing"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fast"
)

// TestSameSeedSameBytes: same seed, data and backend give the same scores, bit by bit, and another seed gives others.
func TestSameSeedSameBytes(t *testing.T) {
	dir := t.TempDir()
	sky := filepath.Join(dir, "sky")
	truth, err := synth.Write(sky, 40, synth.Params{Seed: 7, Size: 32, Rare: 0.25, RareKind: synth.Ring}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := anomalymatch.Default()
	cfg.Model.Size, cfg.Fast.Size, cfg.Model.ScoreBatch = 32, 32, 16
	cfg.FixMatch.LabelledBatch, cfg.FixMatch.UnlabelledBatch, cfg.FixMatch.Iterations = 4, 8, 3
	cfg.Engine.Runtime = "go" // compiles in no time; XLA is compared in the test of the engine
	cfg.FixMatch.Cutoff = 0.5 // so that the unlabelled images count in so few steps
	run := func(seed int64, open func(p *Pool, opt *Options) (method, error)) []float32 {
		t.Helper()
		images, err := dataset.OpenPool(t.Context(), t.TempDir(), []dataset.NamedSource{{Name: "sky", Path: sky}}, dataset.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer images.Close()
		p := &Pool{Images: images, Truth: make([]bool, images.Len())}
		labels := map[int]bool{}
		for i := range p.Truth {
			if p.Truth[i] = truth[filepath.Base(images.ID(i))]; i%3 == 0 {
				labels[i] = p.Truth[i]
			}
		}
		opt := &Options{Config: cfg, Dir: t.TempDir()}
		opt.Config.Seed = seed
		m, err := open(p, opt)
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		if err := m.train(t.Context(), labels, 1); err != nil {
			t.Fatal(err)
		}
		scores, err := m.score(t.Context())
		if err != nil || len(scores) != 40 {
			t.Fatalf("%d scores, %v", len(scores), err)
		}
		for i, s := range scores {
			if s != s {
				t.Errorf("image %d scores NaN", i)
			}
		}
		return scores
	}
	deep := func(p *Pool, opt *Options) (method, error) { return newFixMatch(p, opt) }
	fast := func(p *Pool, opt *Options) (method, error) { return newHead(t.Context(), p, opt, 2, fast.Best(6)) }
	one := run(1, deep)
	if !slices.Equal(one, run(1, deep)) {
		t.Error("fixmatch: the same seed gives other scores")
	}
	if slices.Equal(one, run(2, deep)) {
		t.Error("fixmatch: another seed gives the same scores")
	}
	if !slices.Equal(run(1, fast), run(1, fast)) {
		t.Error("fast: the same images and labels give other scores")
	}
}
