package metrics

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"anomalymatch/internal/testdata"
)

type top struct {
	N, Found          int
	Precision, Recall float64
}

func TestMetricsAreScikitLearns(t *testing.T) {
	b, err := os.ReadFile(testdata.Shared(t, "parity/metrics.json"))
	var file struct {
		Cases []struct {
			Name     string
			Labels   []int
			Scores   []float64
			Expected struct {
				AUROC    *float64
				AUPRC    *float64 `json:"auprc_trapezoid"`
				AP       *float64 `json:"average_precision"`
				PerMille top      `json:"top_0.1pct"`
				Percent  top      `json:"top_1pct"`
			}
		}
	}
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil || len(file.Cases) != 9 {
		t.Fatalf("%d cases, %v", len(file.Cases), err)
	}
	for _, c := range file.Cases {
		labels := make([]bool, len(c.Labels))
		for i, v := range c.Labels {
			labels[i] = v == 1
		}
		for name, area := range map[string]struct {
			of   func([]bool, []float64) (float64, bool)
			want *float64
		}{"AUROC": {AUROC, c.Expected.AUROC}, "AUPRC": {AUPRC, c.Expected.AUPRC}, "AP": {AveragePrecision, c.Expected.AP}} {
			got, ok := area.of(labels, c.Scores)
			if ok != (area.want != nil) || ok && math.Abs(got-*area.want) > 1e-12 {
				t.Errorf("%s: %s = %v, %v", c.Name, name, got, ok)
			}
		}
		for p, want := range map[float64]top{0.1: c.Expected.PerMille, 1: c.Expected.Percent} {
			precision, recall, ok := TopPercent(labels, c.Scores, p)
			if !ok || precision != want.Precision || recall != want.Recall {
				t.Errorf("%s: top %v%% = %v, %v, %v, want %+v", c.Name, p, precision, recall, ok, want)
			}
		}
	}
}

func TestEdges(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]struct {
		labels []bool
		scores []float64
		auroc  float64
		ok     bool
	}{
		"nothing":         {nil, nil, 0, false},
		"only anomalies":  {[]bool{true, true}, []float64{1, 2}, 0, false},
		"NaN ranks last":  {[]bool{true, false, false}, []float64{0, nan, nan}, 1, true},
		"NaNs are a tie":  {[]bool{true, false}, []float64{nan, nan}, 0.5, true},
		"infinite scores": {[]bool{true, false}, []float64{math.Inf(-1), math.Inf(1)}, 0, true},
	} {
		if got, ok := AUROC(c.labels, c.scores); ok != c.ok || ok && got != c.auroc {
			t.Errorf("%s: %v, %v", name, got, ok)
		}
	}
	if _, _, ok := TopPercent(nil, nil, 1); ok {
		t.Error("a top of nothing")
	}
	if precision, recall, _ := TopPercent([]bool{true, false}, []float64{1, 2}, 500); precision != 0.5 || recall != 1 {
		t.Errorf("more than all: %v, %v", precision, recall)
	}
}
