package audit

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// line is a pool on a line: images above zero are anomalies. The model is the distance to the nearest labelled image of each class, so
// that a label which is known is believed.
type line []float64

func (x line) fit(anomalies, normals, test []int) ([]float32, error) {
	out := make([]float32, len(test))
	for n, i := range test {
		to := func(class []int) float64 {
			best := math.Inf(1)
			for _, j := range class {
				best = min(best, math.Abs(x[i]-x[j]))
			}
			return best
		}
		out[n] = float32(1 / (1 + math.Exp(20*(to(anomalies)-to(normals)))))
	}
	return out, nil
}

func TestALabelCannotDefendItself(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var x line
	var labels []Labelled
	for i := range 60 {
		v := -1 - r.Float64()
		if i%3 == 0 {
			v = 1 + r.Float64()
		}
		x = append(x, v)
		labels = append(labels, Labelled{i, v > 0})
	}
	// Two wrong labels; the second one has a copy with the same wrong label, which must not defend it either.
	labels[9].Anomaly = false
	x[20] = x[17]
	labels[17].Anomaly, labels[20].Anomaly = true, true
	group := make([]int32, len(x))
	group[17], group[20] = 1, 1
	scores, err := OutOfFold(t.Context(), labels, group, 5, x.fit)
	if err != nil {
		t.Fatal(err)
	}
	doubts := Doubts(labels, scores, group)
	var found []int
	for _, d := range doubts {
		found = append(found, d.Image)
	}
	slices.Sort(found)
	if !slices.Equal(found, []int{9, 17, 20}) {
		t.Errorf("doubts %+v", doubts)
	}
	again, _ := OutOfFold(t.Context(), labels, group, 5, x.fit)
	if !slices.Equal(again, scores) {
		t.Error("other scores the second time")
	}
}

func TestContradictionsComeFirst(t *testing.T) {
	labels := []Labelled{{0, true}, {1, false}, {2, true}, {3, false}, {4, false}}
	nan := float32(math.NaN())
	got := Doubts(labels, []float32{0.9, 0.3, 0.02, 0.97, nan}, []int32{1, 1, 0, 0, 2})
	want := []Doubt{{1, 0.3, "its near-duplicate is labelled anomaly"}, {0, 0.9, "its near-duplicate is labelled normal"},
		{2, 0.02, "scored 0.02 without its label"}, {3, 0.97, "scored 0.97 without its label"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	// A model of few labels is not sure of anything: as high as most of the other class is high.
	got = Doubts([]Labelled{{0, true}, {1, true}, {2, true}, {3, false}, {4, false}, {5, false}}, []float32{0.7, 0.65, 0.45, 0.3, 0.66, 0.35}, nil)
	if len(got) != 1 || got[0].Image != 4 {
		t.Errorf("%+v", got)
	}
	// All of them contradicted, nothing scored.
	got = Doubts(labels[:2], []float32{nan, nan}, []int32{7, 7})
	if len(got) != 2 || got[0].Image != 0 {
		t.Errorf("%+v", got)
	}
}

func TestTooFewToHoldBack(t *testing.T) {
	x := line{1, -1, -1.1, -1.2, 1.1}
	for name, c := range map[string]struct {
		labels []Labelled
		group  []int32
		scored []bool
	}{
		"nothing":            {nil, nil, nil},
		"one class":          {[]Labelled{{1, false}, {2, false}}, nil, []bool{false, false}},
		"one of each":        {[]Labelled{{0, true}, {1, false}}, nil, []bool{false, false}},
		"one anomaly":        {[]Labelled{{0, true}, {1, false}, {2, false}}, nil, []bool{false, true, true}},
		"one group of them":  {[]Labelled{{0, true}, {4, true}, {1, false}, {2, false}}, []int32{1, 0, 0, 0, 1}, []bool{false, false, true, true}},
		"all contradictions": {[]Labelled{{0, true}, {1, false}}, []int32{1, 1, 0, 0, 0}, []bool{false, false}},
	} {
		scores, err := OutOfFold(t.Context(), c.labels, c.group, 1, x.fit)
		if err != nil {
			t.Fatal(err)
		}
		for k, s := range scores {
			if (s == s) != c.scored[k] {
				t.Errorf("%s: scores %v", name, scores)
			}
		}
	}
}

// Large label sets are learnt from in part, and still every label is scored.
func TestManyLabels(t *testing.T) {
	var labels []Labelled
	for i := range 7000 {
		labels = append(labels, Labelled{i, i < 20})
	}
	scores, err := OutOfFold(t.Context(), labels, nil, 1, func(anomalies, normals, test []int) ([]float32, error) {
		if len(anomalies) != 16 || len(normals) != most || len(test) < 1000 {
			t.Errorf("learns from %d and %d for %d", len(anomalies), len(normals), len(test))
		}
		return make([]float32, len(test)), nil
	})
	if err != nil || slices.ContainsFunc(scores, func(s float32) bool { return s != 0 }) {
		t.Errorf("not all are scored, %v", err)
	}
}

func TestAnEndOrAnErrorEndsIt(t *testing.T) {
	labels := []Labelled{{0, true}, {1, true}, {2, false}, {3, false}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OutOfFold(ctx, labels, nil, 1, line{1, 1, 0, 0}.fit); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	broken := errors.New("broken")
	if _, err := OutOfFold(t.Context(), labels, nil, 1, func(_, _, _ []int) ([]float32, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}
