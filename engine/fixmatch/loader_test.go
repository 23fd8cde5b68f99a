package fixmatch

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
)

// flat images: image i is of one grey, i; the ones in bad cannot be read.
type flat struct{ bad map[int]bool }

func (f flat) Image(_ context.Context, i int) (dataset.RGB, error) {
	if f.bad[i] {
		return dataset.RGB{}, errors.New("is broken")
	}
	m := dataset.NewRGB(8, 8)
	for k := range m.Pix {
		m.Pix[k] = uint8(i)
	}
	return m, nil
}

func loader(workers int, bad ...int) *Loader {
	f := flat{map[int]bool{}}
	for _, i := range bad {
		f.bad[i] = true
	}
	l := &Loader{Images: f, Size: 8, Seed: 7, Workers: workers, Anomalies: []int{200, 201}, Normals: []int{100, 101, 102, 103},
		Settings: Settings{Labelled: 16, Unlabelled: 8, Dropout: 0.2, DropConnect: 0.2}}
	for i := range 50 {
		l.Unlabelled = append(l.Unlabelled, i)
	}
	return l
}

func TestBatchIsAFunctionOfSeedAndStep(t *testing.T) {
	for step := int64(0); step < 3; step++ {
		one, err := loader(1).Batch(t.Context(), step)
		if err != nil {
			t.Fatal(err)
		}
		four, err := loader(4).Batch(t.Context(), step)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(one, four) {
			t.Errorf("step %d: the batch depends on the number of workers", step)
		}
		other, err := loader(4).Batch(t.Context(), step+1)
		if err != nil {
			t.Fatal(err)
		}
		if reflect.DeepEqual(one, other) {
			t.Errorf("steps %d and %d are the same", step, step+1)
		}
	}
	// Ahead of the device or not, the batches are the same.
	step := int64(5)
	for b, err := range loader(2).Run(t.Context(), 5, 8) {
		if err != nil {
			t.Fatal(err)
		}
		want, _ := loader(1).Batch(t.Context(), step)
		if !reflect.DeepEqual(b, want) {
			t.Errorf("batch of step %d differs when made ahead", step)
		}
		step++
	}
	if step != 8 {
		t.Errorf("the run ended at step %d", step)
	}
}

func TestDraws(t *testing.T) {
	l := loader(2)
	const steps = 400
	anomalies, seen := 0, map[uint8]int{}
	var dropped [3]float64 // features; residual branch of the first and the last block
	for step := range int64(steps) {
		b, err := l.Batch(t.Context(), step)
		if err != nil {
			t.Fatal(err)
		}
		for i, y := range b.Anomaly {
			grey := b.Labelled[i*8*8*3]
			if (grey >= 200) != (y == 1) {
				t.Fatalf("step %d: image %d is labelled %d", step, grey, y)
			}
			anomalies += int(y)
			seen[grey]++
		}
		for i := range 8 {
			seen[b.Weak[i*8*8*3]]++
		}
		n := l.Settings.Labelled + 2*l.Settings.Unlabelled
		dropped[0] += zeros(b.FeatureKeep) / steps
		dropped[1] += zeros(b.DropKeep[:n]) / steps
		dropped[2] += zeros(b.DropKeep[(nn.Blocks()-1)*n:]) / steps
	}
	// 6,400 draws: three standard deviations are 1.9%.
	if share := float64(anomalies) / (16 * steps); math.Abs(share-0.5) > 0.02 {
		t.Errorf("%.3f of the labelled images are anomalies, want a half though there are twice as many normals", share)
	}
	for i := range 50 {
		if n := seen[uint8(i)]; n < 30 || n > 100 {
			t.Errorf("unlabelled image %d was drawn %d times of 3200, want about 64", i, n)
		}
	}
	for k, want := range []float64{0.2, 0, 0.2 * 15 / 16} {
		if math.Abs(dropped[k]-want) > 0.02 {
			t.Errorf("share dropped %d: %.3f, want %.3f", k, dropped[k], want)
		}
	}
}

func zeros(v []float32) float64 {
	n := 0
	for _, x := range v {
		if x == 0 {
			n++
		}
	}
	return float64(n) / float64(len(v))
}

func TestBrokenImagesAreReplaced(t *testing.T) {
	b, err := loader(2, 200, 100, 101, 3, 4, 5).Batch(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 16 {
		if g := b.Labelled[i*8*8*3]; g == 200 || g == 100 || g == 101 {
			t.Errorf("broken image %d is in the batch", g)
		}
	}
	_, err = loader(2, 200, 201).Batch(t.Context(), 1)
	if err == nil || !strings.Contains(err.Error(), "is broken") {
		t.Errorf("a class without a readable image: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := loader(2).Batch(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}

func TestCheckSaysWhatIsMissing(t *testing.T) {
	for want, change := range map[string]func(*Loader){
		"one image labelled anomaly": func(l *Loader) { l.Anomalies = nil },
		"one image labelled normal":  func(l *Loader) { l.Normals = nil },
		"every image is labelled":    func(l *Loader) { l.Unlabelled = nil },
	} {
		l := loader(1)
		change(l)
		if err := l.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}
