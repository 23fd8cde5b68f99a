package nn

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/runtime"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// defined is what the network computes without anything folded: BatchNorm as its own layer, pixels divided by 255.
func defined(t *testing.T, o runtime.Opened, w Weights, pix []uint8, n, size int) (r Result) {
	t.Helper()
	names := make([]string, 0, len(w))
	args := []any{tensors.FromFlatDataAndDimensions(pix, n, size, size, w.Channels())}
	for name, v := range w {
		names, args = append(names, name), append(args, tensors.FromFlatDataAndDimensions(v.Data, v.Dims...))
	}
	e, err := graph.NewExec(o.Backend, func(in []*graph.Node) []*graph.Node {
		p := Pass{Param: func(name string) *graph.Node { return in[1+slices.Index(names, name)] }}
		out := p.Forward(Pixels(in[0]))
		return []*graph.Node{out.Logits, out.Embedding}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Finalize()
	out, err := e.Call(args...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Logits, err = tensors.CopyFlatData[float32](out[0]); err != nil {
		t.Fatal(err)
	}
	if r.Embedding, err = tensors.CopyFlatData[float32](out[1]); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFormsAgree: however layers are written for inference, and with BatchNorm folded into the convolutions, the network is the one that is defined.
func TestFormsAgree(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "xla:cpu")
	forms := Forms()
	if err != nil {
		if o, err = runtime.Open(runtime.Infer, "go"); err != nil {
			t.Fatal(err)
		}
		forms = []Form{{Slices, Columns}, {Pads, Columns}}
	}
	w := withRandomHead(t)
	const n, size = 2, 33
	pix := pixels(n, size)
	want := defined(t, o, w, pix, n, size)
	for _, f := range forms {
		m, err := newGoMLX(o, w, 0, f)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.run(pix, n, size, part{true, true})
		if err != nil {
			t.Errorf("%v: %v", f, err)
			continue
		}
		near(t, fmt.Sprint(f, " logits"), r.Logits, want.Logits, 2e-5)
		near(t, fmt.Sprint(f, " embedding"), r.Embedding, want.Embedding, 1e-4)
		for i := range n {
			near(t, fmt.Sprint(f, " score"), []float32{Score(r.Logits[2*i], r.Logits[2*i+1])}, []float32{Score(want.Logits[2*i], want.Logits[2*i+1])}, 1e-5)
		}
		m.close()
	}
}

// ranks of values, equal ones by their order.
func ranks(of []float32) []float64 {
	order := make([]int, len(of))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(of[a], of[b]) })
	out := make([]float64, len(of))
	for place, i := range order {
		out[i] = float64(place)
	}
	return out
}

// rankCorrelation is Spearman's.
func rankCorrelation(a, b []float32) float64 {
	x, y := ranks(a), ranks(b)
	n := float64(len(x))
	sum := 0.0
	for i := range x {
		sum += (x[i] - y[i]) * (x[i] - y[i])
	}
	return 1 - 6*sum/(n*(n*n-1))
}

// TestBFloat16 holds the ranking in bfloat16 to that in float32.
func TestBFloat16(t *testing.T) {
	full, err := runtime.Open(runtime.Infer, "xla:cpu")
	if err != nil {
		t.Skipf("not tested here: %v", err)
	}
	half, err := runtime.Open(runtime.Infer, "xla:cpu+bf16")
	if err != nil {
		t.Fatal(err)
	}
	if half.Name != "xla:cpu+bf16" || !half.BFloat16 || full.BFloat16 {
		t.Errorf("%+v, %+v", half, full)
	}
	const n, size = 200, 64
	var pix []uint8
	for i := range n {
		m, _ := synth.Galaxy(5, i, size)
		pix = append(pix, m.Pix...)
	}
	w := withRandomHead(t)
	var got [2][]float32
	for i, o := range []runtime.Opened{full, half} {
		m, err := NewModel(o, w)
		if err != nil {
			t.Fatal(err)
		}
		m.Warn = func(text string) { t.Error(text) }
		if got[i], err = m.Scores(pix, n, n, size); err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
	worst := 0.0
	for i := range n {
		worst = max(worst, math.Abs(float64(got[0][i]-got[1][i])))
	}
	c := rankCorrelation(got[0], got[1])
	t.Logf("rank correlation %.5f, largest difference %.2g of scores from %.3f to %.3f", c, worst, slices.Min(got[0]), slices.Max(got[0]))
	if c < 0.999 || worst == 0 {
		t.Errorf("rank correlation %.5f, largest difference %g", c, worst)
	}
}

// TestProgramsServeOtherWeights: a second model on the same backend, as in the next cycle, runs what was compiled for the first, with its own weights.
func TestProgramsServeOtherWeights(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "go")
	if err != nil {
		t.Fatal(err)
	}
	if raceDetector {
		t.Skip("the Go backend stops the race detector's pointer checks")
	}
	pix := pixels(1, 32)
	scores := func(w Weights) float32 {
		m, err := NewModel(o, w)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		s, err := m.Scores(pix, 1, 1, 32)
		if err != nil {
			t.Fatal(err)
		}
		return s[0]
	}
	w := withRandomHead(t)
	first := scores(w)
	programsMu.Lock()
	n := len(programs)
	programsMu.Unlock()
	other := Weights{}
	for name, v := range w {
		other[name] = v
	}
	other["_fc.bias"] = Tensor{[]int{Classes}, []float32{0, 3}}
	if second := scores(other); !(second > first) {
		t.Errorf("with more bias towards anomaly %v, before %v", second, first)
	}
	if again := scores(w); again != first {
		t.Errorf("%v, before %v", again, first)
	}
	if len(programs) != n {
		t.Errorf("%d programs, then %d", n, len(programs))
	}
}
