package nn

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/engine/runtime"
	"anomalymatch/internal/testdata"

	"github.com/nlpodyssey/safetensors"
)

// fixture reads a parity file: float tensors, and the raw bytes of the others.
func fixture(t testing.TB, name string) (Weights, map[string][]byte, map[string][]uint64) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testdata.Shared(t, "parity"), name))
	if err != nil {
		t.Fatal(err)
	}
	w, _, err := ReadSafetensors(b)
	if err != nil {
		t.Fatal(err)
	}
	st, err := safetensors.Deserialize(b)
	if err != nil {
		t.Fatal(err)
	}
	raw, shape := map[string][]byte{}, map[string][]uint64{}
	for _, n := range st.Tensors() {
		raw[n.Name], shape[n.Name] = n.TensorView.Data(), n.TensorView.Shape()
	}
	return w, raw, shape
}

// backends are those that can be tested here: the Go backend always, XLA and ONNX Runtime where they are installed.
func backends(t *testing.T, each func(t *testing.T, o runtime.Opened)) {
	for _, want := range []string{"go", "xla", "onnx"} {
		t.Run(want, func(t *testing.T) {
			o, err := runtime.Open(runtime.Infer, want)
			if err != nil {
				if want != "go" && os.Getenv("CI") == "" {
					t.Skipf("not tested here: %v", err)
				}
				t.Fatal(err)
			}
			each(t, o)
		})
	}
}

// TestForwardEqualsReference: parity/README.md gives the tolerances.
func TestForwardEqualsReference(t *testing.T) {
	w, raw, shape := fixture(t, "forward.safetensors")
	backends(t, func(t *testing.T, o runtime.Opened) {
		start, err := Pretrained(3)
		if err != nil {
			t.Fatal(err)
		}
		start["_fc.weight"], start["_fc.bias"] = w["fc_weight"], w["fc_bias"]
		m, err := NewModel(o, start)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for _, size := range []string{"64", "224", "150"} {
			s := shape["images_"+size]
			r, err := m.Run(raw["images_"+size], int(s[0]), int(s[1]))
			if err != nil {
				t.Fatal(err)
			}
			n := int(s[0])
			var features []float32
			for i := range n {
				features = append(features, r.Embedding[(i+1)*EmbeddingSize-Features:(i+1)*EmbeddingSize]...)
			}
			near(t, size+" px features", features, w["features_"+size].Data, 1e-4)
			near(t, size+" px logits", r.Logits, w["logits_"+size].Data, 2e-5)
			scores := make([]float32, n)
			for i := range scores {
				scores[i] = Score(r.Logits[2*i], r.Logits[2*i+1])
			}
			near(t, size+" px scores", scores, w["scores_"+size].Data, 1e-5)
		}
	})
}

func near(t *testing.T, what string, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	worst := 0.0
	for i := range got {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		worst = max(worst, d)
	}
	t.Logf("%s: largest difference %.2g (allowed %.2g)", what, worst, tolerance)
	if worst > tolerance {
		t.Errorf("%s: differs by %.3g, at most %.3g is allowed", what, worst, tolerance)
	}
}

// TestTapsThatSeeOnlyPadding: at 64 px the last 5×5 filters lie over images of 2×2 pixels, at 224 px over 7×7.
func TestTapsThatSeeOnlyPadding(t *testing.T) {
	for _, c := range []struct {
		block, n, h int
		want        string
	}{
		{12, 2, 2, ".xxx."},
		{12, 7, 7, "xxxxx"},
		{11, 4, 2, "xxxxx"},
		{11, 2, 1, ".xx.."},
		{15, 2, 2, "xxx"},
		{15, 1, 1, ".x."},
	} {
		got := ""
		for i := range blocks[c.block].kernel {
			if blocks[c.block].reaches(i, c.n, c.h) {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != c.want {
			t.Errorf("block %d on %d pixels: taps %s, want %s", c.block, c.n, got, c.want)
		}
	}
}
