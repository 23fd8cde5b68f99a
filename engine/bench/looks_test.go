package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/runtime"
)

// fixed is a method with a list for each training: the last one stays. It notes what it was trained on.
type fixed struct {
	lists   [][]float32
	trained []map[int]bool
}

func (f *fixed) train(_ context.Context, labels map[int]bool, cycle int) error {
	f.trained = append(f.trained, maps.Clone(labels))
	if cycle != len(f.trained) {
		return fmt.Errorf("training %d is called cycle %d", len(f.trained), cycle)
	}
	return nil
}
func (f *fixed) score(context.Context) ([]float32, error) {
	return f.lists[min(len(f.trained), len(f.lists)-1)], nil
}
func (*fixed) backend() runtime.Opened { return runtime.Opened{} }
func (*fixed) size() int               { return 0 }
func (*fixed) close()                  {}

func at(looks int) *int { return &looks }

func TestLook(t *testing.T) {
	nan := float32(math.NaN())
	// Images 1, 4, 6 and 7 are anomalies.
	truth := []bool{false, true, false, false, true, false, true, true}
	falling := []float32{8, 7, 6, 5, 4, 3, 2, 1}
	rising := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	for _, c := range []struct {
		name        string
		method      string
		lists       [][]float32
		labels      map[int]bool
		step, looks int
		want        Review
		trained     []map[int]bool
	}{
		{name: "to the end: half and nine tenths count single looks", lists: [][]float32{falling}, step: 3, looks: 100,
			want: Review{Total: 4, Found: [][2]int{{3, 1}, {6, 2}, {8, 4}}, LooksToHalf: at(5), LooksTo90: at(8)},
			trained: []map[int]bool{ // never without an anomaly
				{0: false, 1: true, 2: false},
				{0: false, 1: true, 2: false, 3: false, 4: true, 5: false}}},
		{name: "the last step is shorter", lists: [][]float32{falling}, step: 3, looks: 4,
			want:    Review{Total: 4, Found: [][2]int{{3, 1}, {4, 1}}},
			trained: []map[int]bool{{0: false, 1: true, 2: false}}},
		{name: "what is known is not looked at; the list after training counts", lists: [][]float32{falling, rising}, labels: map[int]bool{7: true, 5: false}, step: 2, looks: 4,
			want:    Review{Total: 3, Found: [][2]int{{2, 2}, {4, 2}}, LooksToHalf: at(2)},
			trained: []map[int]bool{{7: true, 5: false}, {7: true, 5: false, 6: true, 4: true}}},
		{name: "no training on normals alone: the untrained list goes on", lists: [][]float32{{8, 1, 7, 6, 2, 5, 4, 3}, falling}, step: 2, looks: 6,
			want:    Review{Total: 4, Found: [][2]int{{2, 0}, {4, 0}, {6, 2}}, LooksToHalf: at(6)},
			trained: nil},
		{name: "fixmatch waits for a normal", method: "fixmatch", lists: [][]float32{rising, falling}, step: 2, looks: 6,
			want:    Review{Total: 4, Found: [][2]int{{2, 2}, {4, 3}, {6, 4}}, LooksToHalf: at(2), LooksTo90: at(6)},
			trained: []map[int]bool{{7: true, 6: true, 5: false, 4: true}}},
		{name: "the others need none", method: "fast", lists: [][]float32{rising, falling}, step: 2, looks: 3,
			want:    Review{Total: 4, Found: [][2]int{{2, 2}, {3, 2}}, LooksToHalf: at(2)},
			trained: []map[int]bool{{7: true, 6: true}}},
		{name: "an image without pixels has no place", lists: [][]float32{{nan, 7, nan, 5, nan, nan, nan, nan}}, step: 5, looks: 100,
			want:    Review{Total: 4, Found: [][2]int{{2, 1}}},
			trained: []map[int]bool{{1: true, 3: false}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			labels := map[int]bool{}
			maps.Copy(labels, c.labels)
			m := &fixed{lists: c.lists}
			got := Review{Total: c.want.Total}
			if err := got.look(t.Context(), m, truth, labels, &ReviewOptions{Options: Options{Method: c.method}, Step: c.step, Looks: c.looks}); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %s, want %s", text(t, got), text(t, c.want))
			}
			if !reflect.DeepEqual(m.trained, c.trained) {
				t.Errorf("trained on %v, want %v", m.trained, c.trained)
			}
		})
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKnown(t *testing.T) {
	p := &Pool{Truth: []bool{true, false, true, true, false}, Start: map[int]bool{0: true, 2: true, 4: false}}
	seen := map[int]bool{}
	for seed := range int64(20) {
		one, err := p.known(KnownOne, seed)
		again, _ := p.known(KnownOne, seed)
		if err != nil || len(one) != 1 || !maps.Equal(one, again) {
			t.Fatalf("seed %d knows %v, then %v: %v", seed, one, again, err)
		}
		for i, anomaly := range one {
			if seen[i] = true; !anomaly {
				t.Errorf("image %d is no anomaly", i)
			}
		}
	}
	if !maps.Equal(seen, map[int]bool{0: true, 2: true}) {
		t.Errorf("20 seeds drew %v from the anomalies 0 and 2 of the labels", seen)
	}
	if all, err := p.known(KnownAll, 1); err != nil || !maps.Equal(all, p.Start) {
		t.Errorf("all: %v, %v", all, err)
	} else if all[1] = true; len(p.Start) != 3 {
		t.Error("a review writes into the pool's labels")
	}
	if none, err := p.known(KnownNone, 1); err != nil || len(none) != 0 {
		t.Errorf("none: %v, %v", none, err)
	}
	p.Start = nil
	if one, err := p.known(KnownOne, 1); err != nil || len(one) != 1 {
		t.Errorf("one without labels: %v, %v", one, err)
	} else {
		for i := range one {
			if !p.Truth[i] {
				t.Errorf("image %d is no anomaly", i)
			}
		}
	}
	p.Start = map[int]bool{1: false}
	if _, err := p.known(KnownOne, 1); err == nil || !strings.Contains(err.Error(), "no anomaly to start from") {
		t.Errorf("one of no anomalies: %v", err)
	}
	if _, err := p.known("two", 1); err == nil {
		t.Error("two is accepted")
	}
}

func TestLooksRefuses(t *testing.T) {
	opt := ReviewOptions{Options: Options{Method: "fixmatch", Config: anomalymatch.Default()}, Step: 1, Looks: 1}
	for _, c := range []struct {
		name, want string
		pool       Pool
	}{
		{"fixmatch without normals", "no normal is known at the start", Pool{Truth: []bool{true, true, false}, Start: map[int]bool{0: true}}},
		{"all known", "nothing to find", Pool{Truth: []bool{true, false}, Start: map[int]bool{0: true}}},
	} {
		if _, err := Looks(t.Context(), &c.pool, opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// sky is a pool of small galaxies, and options for the fast method on it.
func sky(t *testing.T, n int) (*Pool, Options) {
	t.Helper()
	if testing.Short() {
		t.Skip("embeds images")
	}
	if raceDetector {
		t.Skip("the Go backend's matrix product stops the race detector's pointer checks")
	}
	dir := t.TempDir()
	truth, err := synth.Write(filepath.Join(dir, "sky"), n, synth.Params{Seed: 7, Size: 32, Rare: 0.2, RareKind: synth.Ring}, nil)
	if err != nil {
		t.Fatal(err)
	}
	images, err := dataset.OpenPool(t.Context(), filepath.Join(dir, "index"), []dataset.NamedSource{{Name: "sky", Path: filepath.Join(dir, "sky")}}, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { images.Close() })
	p := &Pool{Images: images, Truth: make([]bool, n), Start: map[int]bool{}}
	for i := range p.Truth {
		p.Truth[i] = truth[filepath.Base(images.ID(i))]
	}
	p.draw(3, 7, 1)
	cfg := anomalymatch.Default()
	cfg.Fast.Size, cfg.Engine.Runtime = 32, "go"
	return p, Options{Config: cfg, Method: "fast", Dir: filepath.Join(dir, "work")}
}

func TestLooksFast(t *testing.T) {
	p, opt := sky(t, 80)
	anomalies := 0
	for _, anomaly := range p.Truth {
		if anomaly {
			anomalies++
		}
	}
	for _, c := range []struct {
		known                      string
		knownAnomalies, knownOther int
	}{{KnownAll, 3, 7}, {KnownNone, 0, 0}, {KnownOne, 1, 0}} {
		t.Run("known "+c.known, func(t *testing.T) {
			run := func(looks int) *Review {
				t.Helper()
				r, err := Looks(t.Context(), p, ReviewOptions{Options: opt, Step: 9, Looks: looks, Known: c.known})
				if err != nil {
					t.Fatal(err)
				}
				r.Seconds = 0
				return r
			}
			all := run(1000)
			if all.Labels.Anomaly != c.knownAnomalies || all.Labels.Normal != c.knownOther || all.Total != anomalies-c.knownAnomalies {
				t.Errorf("starts from %d + %d labels with %d to find", all.Labels.Anomaly, all.Labels.Normal, all.Total)
			}
			if last := all.Found[len(all.Found)-1]; last != [2]int{80 - c.knownAnomalies - c.knownOther, all.Total} {
				t.Errorf("at the end: %v", last)
			}
			before := [2]int{}
			for _, row := range all.Found {
				if more, found := row[0]-before[0], row[1]-before[1]; more < 1 || more > 9 || found < 0 || found > more {
					t.Errorf("%v after %v", row, before)
				}
				before = row
			}
			if all.LooksToHalf == nil || all.LooksTo90 == nil || *all.LooksToHalf > *all.LooksTo90 {
				t.Errorf("half after %v looks, 90%% after %v", all.LooksToHalf, all.LooksTo90)
			}
			few := run(18)
			if !reflect.DeepEqual(few.Found, all.Found[:2]) {
				t.Errorf("the first looks found %v, then %v", few.Found, all.Found[:2])
			}
			if !reflect.DeepEqual(few, run(18)) {
				t.Error("the same seed finds something else")
			}
		})
	}
}

func TestSeeds(t *testing.T) {
	p := &Pool{Truth: make([]bool, 100), Start: map[int]bool{}}
	for i := range 20 {
		p.Truth[i] = true
	}
	p.draw(3, 9, 99)
	start := maps.Clone(p.Start)
	var said []string
	opt := Options{Progress: func(at Progress) { said = append(said, at.What) }}
	opt.Config.Seed = 5
	type run struct {
		seed   int64
		labels map[int]bool
	}
	all := func() []run {
		runs, err := Seeds(p, opt, 3, func(p *Pool, opt Options) (run, error) {
			opt.Progress(Progress{What: "looking"})
			return run{opt.Config.Seed, maps.Clone(p.Start)}, nil
		})
		if err != nil || len(runs) != 3 {
			t.Fatalf("%d runs: %v", len(runs), err)
		}
		return runs
	}
	runs := all()
	for k, r := range runs {
		anomalies, normals := split(r.labels)
		if r.seed != 5+int64(k) || len(anomalies) != 3 || len(normals) != 9 {
			t.Errorf("run %d: seed %d, %d + %d labels", k, r.seed, len(anomalies), len(normals))
		}
		for i, anomaly := range r.labels {
			if p.Truth[i] != anomaly {
				t.Errorf("run %d: image %d has a wrong label", k, i)
			}
		}
	}
	if !maps.Equal(runs[0].labels, start) || maps.Equal(runs[1].labels, start) || maps.Equal(runs[1].labels, runs[2].labels) {
		t.Error("the first run starts from the labels given, the others from others")
	}
	if !maps.Equal(p.Start, start) || !reflect.DeepEqual(all(), runs) {
		t.Error("the same seeds draw other labels")
	}
	if want := []string{"seed 5: looking", "seed 6: looking", "seed 7: looking"}; !reflect.DeepEqual(said[:3], want) {
		t.Errorf("said %q", said)
	}
	if _, err := Seeds(p, opt, 2, func(*Pool, Options) (int, error) { return 0, context.Canceled }); err != context.Canceled {
		t.Errorf("an error becomes %v", err)
	}
}

func TestMeans(t *testing.T) {
	got := text(t, MeanOfReviews([]*Review{
		{Total: 4, Found: [][2]int{{2, 1}, {4, 3}, {5, 4}}, LooksToHalf: at(3), LooksTo90: at(5)},
		{Total: 4, Found: [][2]int{{2, 2}, {4, 2}}, LooksToHalf: at(2)},
	}))
	want := `{"total":{"mean":4,"sd":0},"found":[{"looks":2,"mean":1.5,"sd":0.7071},{"looks":4,"mean":2.5,"sd":0.7071},{"looks":5,"mean":3,"sd":1.4142}],` +
		`"looks_to_half":{"mean":2.5,"sd":0.7071,"reached":2},"looks_to_90":{"mean":5,"sd":null,"reached":1}}`
	if got != want {
		t.Errorf("reviews:\n%s\nwant\n%s", got, want)
	}
	v := func(v float64) *float64 { return &v }
	row := func(auroc, auprc *float64, top float64) *Report {
		return &Report{Cycles: []Cycle{{AUROC: auroc, AUPRC: auprc, Precision: map[string]float64{"1": top}}}}
	}
	got = text(t, MeanOfProtocols([]*Report{row(v(0.5), nil, 0.1), row(v(0.7), nil, 0.3)}))
	want = `{"cycles":[{"cycle":0,"auroc":{"mean":0.6,"sd":0.1414},"auprc":{"mean":null,"sd":null},"precision":{"1":{"mean":0.2,"sd":0.1414}}}]}`
	if got != want {
		t.Errorf("protocols:\n%s\nwant\n%s", got, want)
	}
}
