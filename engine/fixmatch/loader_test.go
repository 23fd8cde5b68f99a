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
	features, branches := 0.0, make([]float64, nn.Blocks()) // shares dropped
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
			weak, strong := b.Weak[i*8*8*3], b.Strong[i*8*8*3]
			if weak != strong {
				t.Fatalf("step %d: the views %d are of the images %d and %d", step, i, weak, strong)
			}
			seen[weak]++
		}
		n := l.Settings.Labelled + 2*l.Settings.Unlabelled
		features += zeros(t, b.FeatureKeep, 0.2) / steps
		for k := range branches {
			branches[k] += zeros(t, b.DropKeep[k*n:][:n], 0.2*float64(k)/16) / steps
		}
	}
	// 6,400 draws: three standard deviations are 1.9%.
	if share := float64(anomalies) / (16 * steps); math.Abs(share-0.5) > 0.02 {
		t.Errorf("%.3f of the labelled images are anomalies, want a half though there are twice as many normals", share)
	}
	// Within its list every image comes as often as any other: chi-square, four standard deviations over its mean at most.
	for what, list := range map[string][]int{"anomalies": l.Anomalies, "normals": l.Normals, "unlabelled": l.Unlabelled} {
		total, chi := 0, 0.0
		for _, i := range list {
			total += seen[uint8(i)]
		}
		mean, free := float64(total)/float64(len(list)), float64(len(list)-1)
		for _, i := range list {
			d := float64(seen[uint8(i)]) - mean
			chi += d * d / mean
		}
		if chi > free+4*math.Sqrt(2*free) {
			t.Errorf("the %s are not drawn evenly: chi-square %.1f of %.0f", what, chi, free)
		}
	}
	if math.Abs(features-0.2) > 0.003 { // 16 million draws
		t.Errorf("%.4f of the features are dropped, want 0.2", features)
	}
	for k, share := range branches { // 12,800 draws: four standard deviations are 1.4%
		if want := 0.2 * float64(k) / 16; math.Abs(share-want) > 0.014 {
			t.Errorf("%.4f of the branches of block %d are dropped, want %.4f", share, k, want)
		}
	}
}

// zeros is the share of v that is dropped. The rest must keep the mean.
func zeros(t *testing.T, v []float32, rate float64) float64 {
	t.Helper()
	n, keep := 0, float32(1/(1-rate))
	for _, x := range v {
		switch x {
		case 0:
			n++
		case keep:
		default:
			t.Fatalf("a factor of %v where %v are dropped, want 0 or %v", x, rate, keep)
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
