package fixmatch

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/internal/testdata"

	"github.com/nlpodyssey/safetensors"
)

// reference is fixmatch_step.json: what ten steps in double precision gave.
type reference struct {
	Runs map[string]struct {
		Cutoff  float64 `json:"p_cutoff"`
		LR      float64 `json:"lr"`
		Float64 struct {
			Steps []struct {
				Sup    float64 `json:"sup_loss"`
				Unsup  float64 `json:"unsup_loss"`
				Kept   int     `json:"n_kept"`
				Pseudo int     `json:"n_pseudo_anomaly"`     // of all weak views, kept or not
				Margin float64 `json:"min_margin_to_cutoff"` // of the weak view nearest to the cut-off
			}
			Gradient map[string]float64 `json:"grad_l2_step1"`
			After1   after              `json:"after_1"`
			After10  after              `json:"after_10"`
		}
	}
}

type after struct {
	Train, EMA     map[string][2]float64 // norm of the value, norm of its change since the start
	EvalScores     []float64             `json:"ema_scores_eval"`
	LabelledScores []float64             `json:"ema_scores_x_lb"`
}

// parity is the fixtures of a step: the batch, the start, and what must come out.
type parity struct {
	reference
	raw    map[string][]byte // uint8 and int64 tensors
	floats nn.Weights
	batch  Batch
	start  nn.Weights
}

func readParity(t *testing.T) *parity {
	t.Helper()
	dir := testdata.Shared(t, "parity")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(filepath.Join(dir, "fixmatch_step.safetensors"))
	must(err)
	st, err := safetensors.Deserialize(file)
	must(err)
	p := &parity{raw: map[string][]byte{}}
	for _, n := range st.Tensors() {
		p.raw[n.Name] = n.TensorView.Data()
	}
	p.floats, _, err = nn.ReadSafetensors(file)
	must(err)
	js, err := os.ReadFile(filepath.Join(dir, "fixmatch_step.json"))
	must(err)
	must(json.Unmarshal(js, &p.reference))
	p.batch = Batch{Size: 64, Labelled: p.raw["x_lb"], Weak: p.raw["x_w"], Strong: p.raw["x_s"], Anomaly: make([]int32, 16),
		DropKeep: ones(nn.Blocks() * 176), FeatureKeep: ones(176 * nn.Features)}
	for i := range p.batch.Anomaly {
		p.batch.Anomaly[i] = int32(p.raw["y_lb"][8*i])
	}
	p.start, err = nn.Pretrained(3)
	must(err)
	p.start["_fc.weight"], p.start["_fc.bias"] = p.floats["fc_weight"], p.floats["fc_bias"]
	return p
}

// tolerance of one run against the reference, from the parity README. Step 1 is held to what it asks of a careful implementation.
type tolerance struct {
	run             string
	sup             float64                // from step 2 on
	unsup           func(step int) float64 // from step 2 on
	pseudo          int                    // weak views that may take the other label
	noise           float64                // of a weak view's probability; a view that is nearer to the cut-off may be kept or not
	score10         float64                // scores of the averaged model, after ten steps
	change1         float64                // value - start of a parameter as a vector, relative, after one step
	change10        float64                // … after ten
	value10         float64                // norm of a value, relative, after ten
	stats10         float64                // change of a running statistic, relative, after ten
	ema1, ema10     float64                // averaged parameter, norm of the difference; 1.7e-5 is a float32 unit in each of _bn1.bias
	leaveOutChange1 string                 // a tensor whose change is of the size of float32's rounding
}

func always(v float64) func(int) float64 { return func(int) float64 { return v } }

var tolerances = []tolerance{
	{run: "cut0.6_slow", sup: 1e-3, unsup: always(2e-4), score10: 1e-4, change1: 0.25, change10: 0.2, value10: 1e-2, stats10: 3e-2, ema1: 1e-5, ema10: 2e-5, leaveOutChange1: "_bn1.bias"},
	{run: "cut0.5_slow", sup: 1e-3, unsup: always(2e-4), score10: 1e-4, change1: 0.25, change10: 0.2, value10: 1e-2, stats10: 3e-2, ema1: 1e-5, ema10: 2e-5, leaveOutChange1: "_bn1.bias"},
	// At this rate rounding grows about tenfold a step. The view nearest to the cut-off at step 5 is 8.6e-4 below it in the reference;
	// sums in other orders moved it by 1e-4 (as they are now) to 9e-4 (then it was kept). So one view is open there and at step 8,
	// where the nearest is 1.1e-3 away. Everywhere else the numbers must be equal.
	{run: "cut0.95", sup: 1e-2, unsup: always(2e-3), pseudo: 3, noise: 1.2e-3, score10: 5e-3, change1: 0.2, change10: 0.5, value10: 3e-2, stats10: 0.1, ema1: 1e-5, ema10: 1e-2},
	{run: "cut0.5", sup: 1e-2, unsup: func(step int) float64 {
		if step <= 4 {
			return 5e-3
		}
		return 0.15
	}, pseudo: 4, score10: 2e-2, change1: 0.2, change10: math.Inf(1), value10: 0.2, stats10: 0.2, ema1: 1e-5, ema10: 1e-2},
}

// TestStepsEqualReference trains on the fixed batch of the parity fixtures: ten steps on XLA in all four settings, one on the Go
// backend, which is slow.
func TestStepsEqualReference(t *testing.T) {
	p := readParity(t)
	for _, tol := range tolerances {
		t.Run("xla/"+tol.run, func(t *testing.T) {
			o, err := runtime.Open(runtime.Train, "xla")
			if err != nil {
				if os.Getenv("CI") == "" {
					t.Skipf("no XLA here: %v", err)
				}
				t.Fatal(err)
			}
			p.train(t, o, tol, 10)
		})
	}
	t.Run("go/cut0.6_slow", func(t *testing.T) {
		o, err := runtime.Open(runtime.Train, "go")
		if err != nil {
			t.Fatal(err)
		}
		p.train(t, o, tolerances[0], 1)
	})
}

func (p *parity) train(t *testing.T, o runtime.Opened, tol tolerance, steps int) {
	run := p.Runs[tol.run]
	want := run.Float64
	set := Settings{Labelled: 16, Unlabelled: 80, LearningRate: run.LR, Momentum: 0.9, Nesterov: true, WeightDecay: 7.5e-4, EMA: 0.99,
		Cutoff: run.Cutoff, UnlabelledWeight: 1, BNMomentum: 0.01}
	tr, err := NewTrainer(o.Backend, set, NewState(p.start))
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	for i, s := range want.Steps[:steps] {
		step := i + 1
		r, logits, err := tr.step(p.batch)
		if err != nil {
			t.Fatal(err)
		}
		sup, unsup := tol.sup, tol.unsup(step)
		if step == 1 {
			sup, unsup = 1e-5, 1e-5
			if s.Kept == 0 {
				unsup = 0
			}
		}
		pseudo, margin := 0, 1.0
		for k := 2 * set.Labelled; k < 2*(set.Labelled+set.Unlabelled); k += 2 {
			score := float64(nn.Score(logits[k], logits[k+1]))
			if score > 0.5 {
				pseudo++
			}
			margin = min(margin, math.Abs(max(score, 1-score)-set.Cutoff))
		}
		kept := int(math.Round(float64(r.Kept) * float64(set.Unlabelled)))
		t.Logf("step %d: sup %.6f (%+.1e), unsup %.6f (%+.1e), kept %d (%d), pseudo-anomalies %d (%d), margin %.2e (%.2e)", step,
			r.Sup, float64(r.Sup)-s.Sup, r.Unsup, float64(r.Unsup)-s.Unsup, kept, s.Kept, pseudo, s.Pseudo, margin, s.Margin)
		if d := math.Abs(float64(r.Sup) - s.Sup); !(d <= sup) {
			t.Errorf("step %d: sup loss %v, reference %v", step, r.Sup, s.Sup)
		}
		if d := math.Abs(float64(r.Unsup) - s.Unsup); !(d <= unsup) {
			t.Errorf("step %d: unsup loss %v, reference %v", step, r.Unsup, s.Unsup)
		}
		open := 0 // decisions that rounding may turn
		if s.Margin < tol.noise {
			open = 1
		}
		if d := kept - s.Kept; max(d, -d) > open {
			t.Errorf("step %d: %d pseudo-labels kept, reference %d", step, kept, s.Kept)
		}
		if d := pseudo - s.Pseudo; max(d, -d) > tol.pseudo {
			t.Errorf("step %d: %d weak views are pseudo-anomalies, reference %d", step, pseudo, s.Pseudo)
		}
		if step == 1 {
			p.logits(t, tol.run, logits)
		}
		if step == 1 || step == 10 {
			state, err := tr.State()
			if err != nil {
				t.Fatal(err)
			}
			if step == 1 {
				p.gradient(t, tol.run, state)
				p.state(t, tol, "after1", state, want.After1)
				p.scores(t, o, state, want.After1, 1e-5)
			} else {
				p.state(t, tol, "after10", state, want.After10)
				p.scores(t, o, state, want.After10, tol.score10)
			}
		}
	}
}

// logits compares those of step 1, in training mode.
func (p *parity) logits(t *testing.T, run string, got []float32) {
	errs := map[string]float64{}
	for _, part := range []string{"lb", "w", "s"} {
		want := p.floats[run+".step1.logits_"+part].Data
		for i, w := range want {
			errs[part] = worse(errs[part], math.Abs(float64(got[i])-float64(w)))
		}
		got = got[len(want):]
	}
	if len(got) != 0 || len(errs) != 3 {
		t.Errorf("%d logits too many, of %d parts", len(got), len(errs))
	}
	within(t, "logits of step 1", errs, 1e-4, 1e-4)
}

// gradient compares the gradients of step 1. The first momentum is gradient + weight decay × value.
func (p *parity) gradient(t *testing.T, run string, s State) {
	norms, zero, tensors := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for name, want := range p.Runs[run].Float64.Gradient {
		g := vector(s.Momentum[name])
		if nn.Decayed(name) {
			for i, v := range p.start[name].Data {
				g[i] -= 7.5e-4 * float64(v)
			}
		}
		if isZero(name) {
			zero[name] = math.Abs(norm(g) - want)
			continue
		}
		norms[name] = math.Abs(norm(g)/want - 1)
		if w, ok := p.floats[run+".step1.grad."+name]; ok {
			tensors[name] = norm(minus(g, vector(w))) / norm(vector(w))
		}
	}
	if len(norms) < 100 || len(zero) != nn.Blocks() || len(tensors) != 10 {
		t.Errorf("compared %d, %d and %d gradients", len(norms), len(zero), len(tensors))
	}
	within(t, "norms of gradients", norms, 5e-3, 1e-3)
	within(t, "gradients that are zero in exact arithmetic", zero, 1e-5, 1e-5)
	// At step 1 one pixel of the stem's channel 2 lies on ReLU6's cap: the side on which rounding puts it moves that channel's
	// gradients by 1.4e-3 and 6e-4, 1% of the norm of these two tensors.
	kink := map[string]float64{}
	for _, name := range []string{"_bn0.weight", "_bn0.bias"} {
		kink[name] = tensors[name]
		delete(tensors, name)
	}
	within(t, "gradients", tensors, 1e-2, 6e-3)
	within(t, "gradients of the stem's norm", kink, 2e-2, 2e-2)
}

// state compares parameters, averages and running statistics after one step or ten.
func (p *parity) state(t *testing.T, tol tolerance, when string, s State, want after) {
	first := when == "after1"
	value, change, average, stats, still := map[string]float64{}, map[string]float64{}, map[string]float64{}, map[string]float64{}, map[string]float64{}
	moved := func(w nn.Weights, name string) []float64 { return minus(vector(w[name]), vector(p.start[name])) }
	for name, w := range want.Train {
		v, d := norm(vector(s.Train[name])), norm(moved(s.Train, name))
		switch {
		case isStill(name):
			still[name] = math.Abs(d - w[1])
		case !nn.Trained(name):
			stats[name] = math.Abs(d/w[1] - 1)
			fallthrough
		default:
			value[name] = math.Abs(v/w[0] - 1)
		}
	}
	for name, w := range want.EMA {
		if nn.Trained(name) {
			average[name] = math.Abs(norm(vector(s.EMA[name])) - w[0])
		}
	}
	prefix := tol.run + "." + when + "."
	for key, tensor := range p.floats {
		key, ours := strings.CutPrefix(key, prefix)
		if !ours {
			continue
		}
		scope, name, _ := strings.Cut(key, ".")
		got, w := vector(s.scopes()[scope][name]), vector(tensor)
		if !nn.Trained(name) { // those of the averaged model are copies
			got = vector(s.Train[name])
		}
		off, far := norm(minus(got, w)), norm(minus(w, vector(p.start[name])))
		switch {
		case isStill(name):
			still[key] = off
		case !nn.Trained(name):
			stats[key] = off / far
		case scope == "ema":
			average[key] = off
		case !first || name != tol.leaveOutChange1:
			change[key] = off / far
		}
	}
	if len(value) < 200 || len(change) < 9 || len(average) < 150 || len(stats) < 70 || len(still) < 16 {
		t.Errorf("compared %d values, %d changes, %d averages, %d statistics and %d that stay", len(value), len(change), len(average), len(stats), len(still))
	}
	if first {
		within(t, when+" norms", value, tol.value10, tol.value10)
		within(t, when+" changes", change, tol.change1, 0.1)
		within(t, when+" averages", average, tol.ema1, tol.ema1)
		within(t, when+" statistics", stats, 5e-2, 3e-4)
		within(t, when+" statistics that stay", still, 1e-3, 1e-3)
		return
	}
	within(t, when+" norms", value, tol.value10, tol.value10)
	within(t, when+" changes", change, tol.change10, tol.change10)
	within(t, when+" averages", average, tol.ema10, tol.ema10)
	within(t, when+" statistics", stats, tol.stats10, tol.stats10)
	within(t, when+" statistics that stay", still, 1e-2, 1e-2)
}

// isZero: the next BatchNorm removes what this parameter adds, so its gradient is zero but for rounding.
func isZero(name string) bool { return strings.HasSuffix(name, "._bn2.bias") }

// isStill: batch means that are zero but for rounding, because what comes in has just been normalised or is linear in it.
func isStill(name string) bool {
	return strings.HasSuffix(name, "._bn0.running_mean") || name == "_bn1.running_mean"
}

// scores compares what the averaged model says of the evaluation and of the labelled images.
func (p *parity) scores(t *testing.T, o runtime.Opened, s State, want after, most float64) {
	t.Helper()
	m, err := nn.NewModel(o, s.Scoring())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got, err := m.Scores(append(slices.Clone(p.raw["eval_images"]), p.raw["x_lb"]...), 24, 24, 64)
	if err != nil {
		t.Fatal(err)
	}
	errs := map[string]float64{}
	for i, w := range append(slices.Clone(want.EvalScores), want.LabelledScores...) {
		part := "evaluation"
		if i >= len(want.EvalScores) {
			part = "labelled"
		}
		errs[part] = worse(errs[part], math.Abs(float64(got[i])-w))
	}
	if len(errs) != 2 {
		t.Errorf("compared %d sets of scores", len(errs))
	}
	within(t, "averaged model's scores", errs, most, most)
}

// within fails for what is over most, and for a median over median.
func within(t *testing.T, what string, errs map[string]float64, most, median float64) {
	t.Helper()
	var all []float64
	where := ""
	for name, e := range errs {
		all = append(all, e)
		if where == "" || e > errs[where] || math.IsNaN(e) {
			where = name
		}
		if !(e <= most) {
			t.Errorf("%s: %s is off by %.3g, at most %.3g", what, name, e, most)
		}
	}
	slices.Sort(all)
	m := all[len(all)/2]
	t.Logf("%s: off by %.2g at most (%s), median %.2g", what, errs[where], where, m)
	if !(m <= median) {
		t.Errorf("%s: off by %.3g in the median, at most %.3g", what, m, median)
	}
}

// worse is the larger error; NaN is the worst.
func worse(a, b float64) float64 {
	if math.IsNaN(b) {
		return math.Inf(1)
	}
	return max(a, b)
}

func vector(t nn.Tensor) []float64 {
	v := make([]float64, len(t.Data))
	for i, x := range t.Data {
		v[i] = float64(x)
	}
	return v
}

func minus(a, b []float64) []float64 {
	if len(a) != len(b) {
		return []float64{math.NaN()}
	}
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return d
}

func norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}

// BenchmarkStep is a step of the default size on XLA: 16 labelled, 80 unlabelled images twice, 64 px.
func BenchmarkStep(b *testing.B) {
	o, err := runtime.Open(runtime.Train, "xla")
	if err != nil {
		b.Skipf("no XLA here: %v", err)
	}
	start, err := nn.Pretrained(3)
	if err != nil {
		b.Fatal(err)
	}
	start["_fc.weight"], start["_fc.bias"] = nn.Tensor{Dims: []int{2, nn.Features}, Data: make([]float32, 2*nn.Features)}, nn.Tensor{Dims: []int{2}, Data: make([]float32, 2)}
	t, err := NewTrainer(o.Backend, Settings{Labelled: 16, Unlabelled: 80, LearningRate: 1e-3, Momentum: 0.9, EMA: 0.99, Cutoff: 0.95, UnlabelledWeight: 1, BNMomentum: 0.01}, NewState(start))
	if err != nil {
		b.Fatal(err)
	}
	defer t.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	pixels := func(n int) []uint8 {
		p := make([]uint8, n*64*64*3)
		for i := range p {
			p[i] = uint8(rng.Uint32())
		}
		return p
	}
	batch := Batch{Size: 64, Labelled: pixels(16), Weak: pixels(80), Strong: pixels(80), Anomaly: make([]int32, 16), DropKeep: ones(nn.Blocks() * 176), FeatureKeep: ones(176 * nn.Features)}
	if _, err := t.Step(batch); err != nil { // compiles
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := t.Step(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(176*b.N)/b.Elapsed().Seconds(), "images/s")
}
