package estimate

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// world is a pool with known truth and how it is reviewed.
type world struct {
	name           string
	images, rare   int
	looks, random  int                        // from the top of an older ranking; of any image
	kind           func(r *rand.Rand) float64 // log-odds of an anomaly; a normal image has N(0,1)
	stretch, shift float64                    // of the model's log-odds against that
	older          float64                    // standard deviation of the older ranking's difference
}

var worlds = []world{
	{name: "even", images: 5000, rare: 50, looks: 100, kind: func(r *rand.Rand) float64 { return 2.5 + r.NormFloat64() }, stretch: 1, older: 0.5},
	{name: "few looks", images: 5000, rare: 50, looks: 30, kind: func(r *rand.Rand) float64 { return 2.5 + r.NormFloat64() }, stretch: 2, shift: -3, older: 0.5},
	{name: "easy and many found", images: 5000, rare: 60, looks: 200, kind: func(r *rand.Rand) float64 { return 4 + r.NormFloat64() }, stretch: 1, older: 0.5},
	{name: "wide", images: 5000, rare: 80, looks: 150, kind: func(r *rand.Rand) float64 { return 3 + 1.5*r.NormFloat64() }, stretch: 0.5, shift: 1, older: 0.5},
	{name: "two kinds", images: 5000, rare: 80, looks: 150, random: 20, kind: func(r *rand.Rand) float64 {
		if r.Float64() < 0.2 {
			return 1 + r.NormFloat64()
		}
		return 3.5 + 0.7*r.NormFloat64()
	}, stretch: 1, older: 0.3},
	{name: "hard", images: 4000, rare: 80, looks: 150, kind: func(r *rand.Rand) float64 { return 1.2 + r.NormFloat64() }, stretch: 1, older: 0.5},
	{name: "very rare", images: 20000, rare: 20, looks: 100, kind: func(r *rand.Rand) float64 { return 3.5 + r.NormFloat64() }, stretch: 1.5, older: 0.5},
	{name: "common", images: 2000, rare: 300, looks: 200, random: 30, kind: func(r *rand.Rand) float64 { return 2 + r.NormFloat64() }, stretch: 1, older: 0.5},
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// review draws a world, looks at it, and returns the estimates of what is left in the top and in the pool beside the truth.
func (w world) review(seed uint64) (top, pool Estimate, inTop, inPool float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	score, before, truth := make([]float32, w.images), make([]float64, w.images), make([]bool, w.images)
	order := make([]int, w.images)
	for i := range score {
		x := r.NormFloat64()
		if truth[i] = i < w.rare; truth[i] {
			x = w.kind(r)
		}
		score[i] = float32(sigmoid(w.shift + w.stretch*x))
		before[i] = x + w.older*r.NormFloat64()
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(before[b], before[a]) })
	looked := map[int]bool{}
	for _, i := range order[:w.looks] {
		looked[i] = true
	}
	for range w.random {
		looked[r.IntN(w.images)] = true
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(score[b], score[a]) })
	var looks []Look
	all := NewBins(slices.Values(score))
	var rest, candidates []float32
	cut := w.images / 100
	for _, i := range order {
		if looked[i] {
			z, _ := all.Z(score[i])
			looks = append(looks, Look{z, truth[i]})
			continue
		}
		rest = append(rest, score[i])
		if truth[i] {
			inPool++
		}
		if len(candidates) < cut {
			candidates = append(candidates, score[i])
			if truth[i] {
				inTop++
			}
		}
	}
	k := Calibrate(looks, all)
	return k.Sum(NewBins(slices.Values(candidates)), false), k.Sum(NewBins(slices.Values(rest)), true), inTop, inPool
}

// The 95% intervals hold the truth in at least 85 of 100 reviews of every kind, also where the form of the model is wrong, and in the
// top they are not so wide that they say nothing.
func TestIntervalsHoldTheTruth(t *testing.T) {
	const reviews = 40
	for _, w := range worlds {
		top, pool, wide, off, truth := 0, 0, 0.0, 0.0, 0.0
		for seed := range uint64(reviews) {
			a, b, inTop, inPool := w.review(seed)
			if !a.Known || !b.Known {
				t.Fatalf("%s: nothing is known after %d looks", w.name, w.looks)
			}
			if inTop >= math.Floor(a.Low) && inTop <= math.Ceil(a.High) {
				top++
			}
			if inPool >= math.Floor(b.Low) && inPool <= math.Ceil(b.High) {
				pool++
			}
			for _, e := range []Estimate{a, b} {
				if !(e.Low >= 0 && e.Low <= e.Value && e.Value <= e.High) {
					t.Fatalf("%s: %+v", w.name, e)
				}
			}
			wide += (a.High - a.Low) / reviews
			off += (b.Value - inPool) / reviews
			truth += inPool / reviews
		}
		t.Logf("%-20s top %3d%%, pool %3d%% of the intervals hold the truth; width in the top %.1f; left in the pool %.1f, estimate off by %+.1f", w.name, 100*top/reviews, 100*pool/reviews, wide, truth, off)
		if top*100 < 85*reviews || pool*100 < 85*reviews {
			t.Errorf("%s: of %d intervals %d (top) and %d (pool) hold the truth", w.name, reviews, top, pool)
		}
	}
}
