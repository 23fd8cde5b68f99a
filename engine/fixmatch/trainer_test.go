package fixmatch

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/internal/testdata"

	"github.com/nlpodyssey/safetensors"
)

type reference struct {
	Runs map[string]struct {
		Cutoff  float64 `json:"p_cutoff"`
		LR      float64 `json:"lr"`
		Float64 struct {
			Steps []struct {
				Sup   float64 `json:"sup_loss"`
				Unsup float64 `json:"unsup_loss"`
				Kept  int     `json:"n_kept"`
				// of all weak views, kept or not
				Pseudo int `json:"n_pseudo_anomaly"`
			}
			After1  after `json:"after_1"`
			After10 after `json:"after_10"`
		}
	}
}

type after struct {
	Train, EMA map[string][2]float64
	EvalScores []float64 `json:"ema_scores_eval"`
}

// TestStepsEqualReference trains ten steps on the fixed batch of the parity fixtures in the setting whose decisions are all
// stable; tolerances from their README.
func TestStepsEqualReference(t *testing.T) {
	dir := testdata.Shared(t, "parity")
	raw, err := os.ReadFile(filepath.Join(dir, "fixmatch_step.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := safetensors.Deserialize(raw)
	if err != nil {
		t.Fatal(err)
	}
	bytesOf := func(name string) []byte {
		v, ok := st.Tensor(name)
		if !ok {
			t.Fatalf("no tensor %s in the fixture", name)
		}
		return v.Data()
	}
	floats, _, err := nn.ReadSafetensors(raw)
	if err != nil {
		t.Fatal(err)
	}
	js, err := os.ReadFile(filepath.Join(dir, "fixmatch_step.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ref reference
	if err := json.Unmarshal(js, &ref); err != nil {
		t.Fatal(err)
	}
	o, err := runtime.Open(runtime.Train, "xla")
	if err != nil {
		if os.Getenv("CI") == "" {
			t.Skipf("no XLA here: %v", err)
		}
		t.Fatal(err)
	}
	y := bytesOf("y_lb")
	batch := Batch{Size: 64, Labelled: bytesOf("x_lb"), Weak: bytesOf("x_w"), Strong: bytesOf("x_s"), Anomaly: make([]int32, 16),
		DropKeep: ones(nn.Blocks() * 176), FeatureKeep: ones(176 * nn.Features)}
	for i := range batch.Anomaly {
		batch.Anomaly[i] = int32(y[8*i])
	}
	for _, run := range []struct {
		name                                      string
		sup1, sup, unsup1, unsup, score1, score10 float64
	}{
		{"cut0.6_slow", 2e-4, 1e-3, 1e-4, 2e-4, 1e-5, 1e-4},
	} {
		t.Run(run.name, func(t *testing.T) {
			want := ref.Runs[run.name]
			w, err := nn.Pretrained()
			if err != nil {
				t.Fatal(err)
			}
			w["_fc.weight"], w["_fc.bias"] = floats["fc_weight"], floats["fc_bias"]
			set := Settings{Labelled: 16, Unlabelled: 80, LearningRate: want.LR, Momentum: 0.9, Nesterov: true, WeightDecay: 7.5e-4, EMA: 0.99,
				Cutoff: want.Cutoff, UnlabelledWeight: 1, BNMomentum: 0.01}
			tr, err := NewTrainer(o.Backend, set, NewState(w))
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			for i, s := range want.Float64.Steps {
				r, err := tr.Step(batch)
				if err != nil {
					t.Fatal(err)
				}
				sup, unsup := run.sup, run.unsup
				if i == 0 {
					sup, unsup = run.sup1, run.unsup1
				}
				t.Logf("step %d: sup %.6f (%+.1e) unsup %.6f (%+.1e) kept %v", i+1, r.Sup, float64(r.Sup)-s.Sup, r.Unsup, float64(r.Unsup)-s.Unsup, r.Kept*80)
				if d := math.Abs(float64(r.Sup) - s.Sup); !(d <= sup) {
					t.Errorf("step %d: sup loss %v, reference %v", i+1, r.Sup, s.Sup)
				}
				if d := math.Abs(float64(r.Unsup) - s.Unsup); !(d <= unsup) {
					t.Errorf("step %d: unsup loss %v, reference %v", i+1, r.Unsup, s.Unsup)
				}
				if got := int(math.Round(float64(r.Kept) * 80)); got != s.Kept {
					t.Errorf("step %d: %d pseudo-labels kept, reference %d", i+1, got, s.Kept)
				}
				if i == 0 {
					scores(t, o, tr, bytesOf("eval_images"), want.Float64.After1.EvalScores, run.score1)
				}
			}
			scores(t, o, tr, bytesOf("eval_images"), want.Float64.After10.EvalScores, run.score10)
		})
	}
}

// scores compares what the averaged model says of the eight evaluation images.
func scores(t *testing.T, o runtime.Opened, tr *Trainer, pix []byte, want []float64, tolerance float64) {
	t.Helper()
	s, err := tr.State()
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.NewModel(o.Backend, s.Scoring())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	r, err := m.Run(pix, 8, 64)
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		if d := math.Abs(float64(nn.Score(r.Logits[2*i], r.Logits[2*i+1])) - w); !(d <= tolerance) {
			t.Errorf("EMA score of image %d after %d steps: off by %.2g, at most %.2g", i, s.Steps, d, tolerance)
		}
	}
}

func ones(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = 1
	}
	return v
}
