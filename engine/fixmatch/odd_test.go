package fixmatch

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"anomalymatch/engine/augment"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
)

// greys are images of one value each.
type greys []uint8

func (g greys) Image(_ context.Context, i int) (dataset.RGB, error) {
	m := dataset.NewRGB(32, 32)
	for k := range m.Pix {
		m.Pix[k] = g[i]
	}
	return m, nil
}

// TestOddPools: what leaves batch normalisation without variance, or the loss without an answer, still trains and scores in numbers.
func TestOddPools(t *testing.T) {
	o, err := runtime.Open(runtime.Train, "go") // small enough for it, and it is everywhere
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		images                         greys
		anomalies, normals, unlabelled []int
	}{
		"all black":                              {greys{0, 0, 0, 0}, []int{0}, []int{1}, []int{2, 3}},
		"constant images":                        {greys{255, 128, 0, 64, 200}, []int{0}, []int{1}, []int{2, 3, 4}},
		"duplicates that contradict each other":  {greys{90, 90, 90, 180, 30}, []int{0, 1}, []int{0, 2}, []int{3, 4}},
		"one image left, fewer than a batch has": {greys{10, 200, 120}, []int{0}, []int{1}, []int{2}},
	} {
		t.Run(name, func(t *testing.T) {
			set := Settings{Labelled: 4, Unlabelled: 6, LearningRate: 0.0075, Momentum: 0.9, Nesterov: true, WeightDecay: 7.5e-4, EMA: 0.99,
				Cutoff: 0.5, UnlabelledWeight: 1, Dropout: 0.2, DropConnect: 0.2, BNMomentum: 0.01}
			l := &Loader{Images: c.images, Settings: set, Augment: augment.Defaults(), Size: 32, Seed: 1, Anomalies: c.anomalies, Normals: c.normals, Unlabelled: c.unlabelled}
			if err := l.Check(); err != nil {
				t.Fatal(err)
			}
			w, err := nn.Pretrained(3)
			if err != nil {
				t.Fatal(err)
			}
			w.NewHead(rand.New(rand.NewPCG(1, 0)))
			tr, err := NewTrainer(o.Backend, set, NewState(w))
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			steps := 0
			for b, err := range l.Run(t.Context(), 0, 3) {
				if err != nil {
					t.Fatal(err)
				}
				r, err := tr.Step(b)
				if err != nil {
					t.Fatal(err)
				}
				if v := float64(r.Loss); math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("step %d: loss %v", steps, v)
				}
				steps++
			}
			if steps != 3 {
				t.Errorf("%d steps", steps)
			}
			s, err := tr.State()
			if err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{"weights": s.Train.Check(), "averages": s.EMA.CheckTrained(), "momentum": s.Momentum.CheckTrained()} {
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			m, err := nn.NewModel(o, s.Scoring())
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var pix []uint8
			for i := range c.images {
				img, _ := c.images.Image(t.Context(), i)
				pix = append(pix, img.Pix...)
			}
			scores, err := m.Scores(pix, len(c.images), len(c.images), 32)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range scores {
				if !(v >= 0 && v <= 1) {
					t.Errorf("image %d scores %v", i, v)
				}
			}
		})
	}
}
