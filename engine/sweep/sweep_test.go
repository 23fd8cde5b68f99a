package sweep

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/engine/train"
)

// sky is a project with labels, and the pool of its images.
type sky struct {
	dir    string
	pool   *dataset.Pool
	config anomalymatch.Config
	labels map[string]label.Value
	later  map[string]label.Value // what a person says of the others
}

func newSky(t *testing.T) *sky {
	t.Helper()
	s := &sky{dir: t.TempDir(), config: anomalymatch.Default(), labels: map[string]label.Value{}, later: map[string]label.Value{}}
	images := filepath.Join(s.dir, "sky")
	truth, err := synth.Write(images, 48, synth.Params{Seed: 3, Size: 32, Rare: 0.2}, nil)
	if err == nil {
		err = os.WriteFile(filepath.Join(images, "broken.jpg"), []byte("no picture"), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.pool, err = dataset.OpenPool(t.Context(), filepath.Join(s.dir, "index"), []dataset.NamedSource{{Name: "sky", Path: images}}, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.pool.Close() })
	c := &s.config
	c.Model.Size, c.Model.ScoreBatch, c.Engine.CheckpointEvery, c.Engine.Runtime = 32, 16, 2, "xla"
	c.FixMatch.LabelledBatch, c.FixMatch.UnlabelledBatch, c.FixMatch.Iterations = 4, 8, 4
	anomalies := 0
	for i := range s.pool.Len() {
		id := s.pool.ID(i)
		v, given := label.Normal, i%3 == 0
		if truth[strings.TrimPrefix(id, "sky/")] {
			v, anomalies = label.Anomaly, anomalies+1
			given = anomalies%2 == 0
		}
		if into := s.later; given {
			s.labels[id] = v
		} else if id != "sky/broken.jpg" {
			into[id] = v
		}
	}
	return s
}

func (s *sky) plan(t *testing.T, runs []Run) *Folder {
	t.Helper()
	p, err := New(s.pool, dataset.Limits{MaxPixels: dataset.DefaultMaxPixels, MaxBytes: dataset.DefaultMaxBytes}, s.labels, runs)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Create(filepath.Join(s.dir, "sweeps"), p)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (s *sky) worker(f *Folder) *Worker {
	return &Worker{Folder: f, Pool: s.pool, Config: s.config, Threads: 2, Host: "here"}
}

func TestGrid(t *testing.T) {
	c := anomalymatch.Default()
	runs, err := Grid(c, []int64{1, 2}, []string{"fixmatch.learning_rate=0.01, 0.02", "augment.flip=false"})
	if err != nil || len(runs) != 4 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	if r := runs[3]; r.String() != "seed 2, learning_rate 0.02, flip false" || r.Train.LearningRate != 0.02 || r.Augment.Flip || r.Seed != 2 || r.Train.Momentum != c.FixMatch.Momentum {
		t.Errorf("%s: %+v", r, r)
	}
	if runs, err := Grid(c, nil, nil); err != nil || len(runs) != 1 || runs[0].Seed != c.Seed {
		t.Errorf("%+v, %v", runs, err)
	}
	for want, bad := range map[string]struct {
		seeds []int64
		sets  []string
	}{
		"is no setting with values":                       {nil, []string{"fixmatch.ema"}},
		`"tui.theme" cannot differ between runs`:          {nil, []string{"tui.theme=light"}},
		"fixmatch.ema = 2: must be":                       {nil, []string{"fixmatch.ema=2"}},
		`"0.5\nseed = 1" is no value of fixmatch.ema`:     {nil, []string{"fixmatch.ema=0.5\nseed = 1"}},
		"fixmatch.emma":                                   {nil, []string{"fixmatch.emma=0.5"}},
		"fixmatch.ema is given twice":                     {nil, []string{"fixmatch.ema=0.5", "fixmatch.ema=0.6"}},
		"two runs are the same: seed 3":                   {[]int64{3, 4, 3}, nil},
		"two runs are the same: seed 42, ema 0.50":        {nil, []string{"fixmatch.ema=0.5,0.50"}},
		"these are more than 200 runs":                    {make([]int64, 201), nil},
		`"" is no value of fixmatch.ema`:                  {nil, []string{"fixmatch.ema=0.5,"}},
		`"fixmatch" cannot differ between runs: fixmatch`: {nil, []string{"fixmatch=1"}},
	} {
		if _, err := Grid(c, bad.seeds, bad.sets); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestSweep is the whole of it: two runs, one of them cut off twice, compared, used and averaged.
func TestSweep(t *testing.T) {
	if _, err := runtime.Open(runtime.Train, "xla"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("no XLA here: %v", err)
	}
	s := newSky(t)
	runs, err := Grid(s.config, []int64{1, 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	straight := s.plan(t, runs)
	if straight.Name != "001" || len(straight.Plan.Anomalies) < 2 || straight.Plan.Labels != train.Hash(s.labels) || !straight.Plan.Same(s.pool, runs) {
		t.Fatalf("%+v", straight.Plan)
	}
	w := s.worker(straight)
	defer w.Close()
	if err := w.Run(t.Context(), []int{0, 1}); err != nil {
		t.Fatal(err)
	}
	if len(straight.Todo()) > 0 || straight.There() != 2 {
		t.Fatalf("to do after all runs: %v", straight.Todo())
	}
	differ := bytes.Equal(read(t, weights(straight, 0)), read(t, weights(straight, 1)))
	if differ {
		t.Error("two seeds give the same weights")
	}

	// Cut off and gone on with, while the person labels on: the same bytes.
	for id, v := range s.later {
		s.labels[id] = v
	}
	cut, err := Create(filepath.Join(s.dir, "sweeps"), straight.Plan)
	if err != nil || cut.Name != "002" {
		t.Fatal(err)
	}
	for _, stop := range []struct {
		phase Phase
		done  int
	}{{Training, 3}, {Scoring, 16}} {
		ctx, cancel := context.WithCancel(t.Context())
		w.Folder = cut // nothing but what is compiled goes along: the state comes from the files
		w.Report = func(run int, st State) {
			if run != 1 {
				t.Errorf("run %d is made", run)
			}
			if st.Phase == stop.phase && st.Done == stop.done {
				cancel()
			}
		}
		if err := w.Run(ctx, []int{1}); !errors.Is(err, context.Canceled) {
			t.Fatalf("ended at %v with %v", stop, err)
		}
		cancel()
		if _, busy := cut.note(1); busy {
			t.Error("nobody is at work, but it looks so")
		}
		if st := cut.State(1); st.Phase != Waiting || stop.phase == Training && st.Done != stop.done || len(st.Steps) != st.Done {
			t.Errorf("after %v: %+v", stop, st)
		}
		if stop.phase == Training && cut.Progress() != stop.done {
			t.Errorf("kept up to step %d, cut off at %d", cut.Progress(), stop.done)
		}
	}
	w.Report = nil
	if err := w.Run(t.Context(), []int{1}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, weights(straight, 1)), read(t, weights(cut, 1))) || !bytes.Equal(read(t, scores(straight, 1)), read(t, scores(cut, 1))) {
		t.Error("a run that was cut off ends in other weights or scores")
	}
	if got := cut.Todo(); !slices.Equal(got, []int{0}) {
		t.Errorf("to do: %v", got)
	}

	// Compared by what was labelled since.
	c, err := straight.Compare(s.pool, s.labels)
	if err != nil {
		t.Fatal(err)
	}
	anomalies := 0
	for _, v := range s.later {
		if v == label.Anomaly {
			anomalies++
		}
	}
	if c.Anomalies != anomalies || c.Normals != len(s.later)-anomalies || len(c.Rows) != 2 || c.Ensemble == nil || c.Verdict == "" {
		t.Errorf("%+v", c)
	}
	for _, r := range c.Rows {
		if r.Phase != Ended || r.Step != 4 || r.Steps != 4 || r.Loss == nil || r.Measure == nil || r.Agreement == nil || r.Measure.Low >= r.Measure.High || r.Backend == "" || r.Host != "here" {
			t.Errorf("%+v", r)
		}
	}
	none, err := straight.Compare(s.pool, map[string]label.Value{})
	if err != nil || none.Rows[0].Measure != nil || none.Best != -1 || !strings.HasPrefix(none.Verdict, "too few to tell: 0 anomalies and 0 normal images") {
		t.Errorf("without any label: %+v, %v", none, err)
	}
	part, err := cut.Compare(s.pool, s.labels)
	if err != nil || part.Verdict != "1 of 2 runs are there" || part.Rows[0].Phase != Waiting || part.Rows[0].Measure != nil || part.Ensemble != nil || part.Rows[1].Measure == nil {
		t.Errorf("%+v, %v", part, err)
	}

	// Used: the run's weights are the project's, and training would go on from there.
	if _, err := straight.Use(s.dir, 2); err == nil || !strings.Contains(err.Error(), "there is no run 2 in sweep 001: they are 0 to 1") {
		t.Error(err)
	}
	if _, err := cut.Use(s.dir, 0); err == nil || err.Error() != "run 0 is not over yet" {
		t.Error(err)
	}
	if _, _, err := cut.Ensemble(s.dir); err == nil || !strings.Contains(err.Error(), "1 of 2 are there") {
		t.Error(err)
	}
	if round, err := straight.Use(s.dir, 1); err != nil || round != 1 {
		t.Fatalf("round %d, %v", round, err)
	}
	state, info, _, _, err := fixmatch.Latest(train.Checkpoints(s.dir))
	own, _, _, _, _ := fixmatch.Latest(train.Checkpoints(straight.RunDir(1)))
	if err != nil || info.Cycle != 1 || !info.Done() || info.Seed != 2 || !slices.Equal(state.Scoring()["_fc.weight"].Data, own.Scoring()["_fc.weight"].Data) {
		t.Errorf("%+v, %v", info, err)
	}
	used, _ := straight.Scores(1)
	if h, got, ok := score.Latest(filepath.Join(s.dir, "scores"), s.pool.Hash()); !ok || h.Cycle != 1 || h.Step != 4 || !slices.EqualFunc(got, used, same) {
		t.Errorf("scores of %+v", h)
	}

	// Averaged.
	round, of, err := straight.Ensemble(s.dir)
	h, got, ok := score.Latest(filepath.Join(s.dir, "scores"), s.pool.Hash())
	if err != nil || round != 2 || of != 2 || !ok || h.Cycle != 2 {
		t.Fatalf("round %d of %d runs, %v; %+v", round, of, err, h)
	}
	for i := range got {
		var sum float64
		for run := range 2 {
			sc, _ := straight.Scores(run)
			sum += float64(sc[i])
		}
		if want := float32(sum / 2); !same(got[i], want) {
			t.Errorf("image %d: mean %v, want %v", i, got[i], want)
		}
	}
	// A training that is under way is not overtaken.
	info.Cycle, info.RunStep = 3, 1
	if err := fixmatch.WriteCheckpoint(train.Checkpoints(s.dir), state, info); err != nil {
		t.Fatal(err)
	}
	if _, err := straight.Use(s.dir, 0); err == nil || !strings.Contains(err.Error(), "at step 1 of 4: let it end") {
		t.Error(err)
	}
	if err := train.SetPaused(s.dir, true); err != nil {
		t.Fatal(err)
	}
	if round, err := straight.Use(s.dir, 0); err != nil || round != 4 {
		t.Errorf("after a training that was cancelled: round %d, %v", round, err)
	}

	// Damage is noticed, and mended by running again.
	file := scores(straight, 1)
	good := read(t, file)
	if err := os.WriteFile(file, good[:len(good)-3], 0o666); err != nil {
		t.Fatal(err)
	}
	if got := straight.Todo(); !slices.Equal(got, []int{1}) {
		t.Errorf("to do after damage: %v", got)
	}
	if err := s.worker(straight).Run(t.Context(), []int{0, 1}); err != nil || !bytes.Equal(read(t, file), good) {
		t.Errorf("mended: %v", err)
	}
}

// TestOneAtATime: a run that somebody is at work on is waited for, and taken over when the last sign of them is old.
func TestOneAtATime(t *testing.T) {
	s := newSky(t)
	runs, _ := Grid(s.config, nil, nil)
	f := s.plan(t, runs)
	if err := os.MkdirAll(f.RunDir(0), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.notePath(0), []byte(`{"host":"gpu\u001b01","phase":"training","done":2,"total":5,"images_per_second":10,"seconds_left":-1}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if st := f.State(0); st.Phase != Training || st.Host != "gpu01" || st.Done != 2 {
		t.Errorf("%+v", st)
	}
	var said []string
	ctx, cancel := context.WithCancel(t.Context())
	w := s.worker(f)
	w.Say = func(text string) { said = append(said, text); cancel() }
	if err := w.Run(ctx, []int{0}); !errors.Is(err, context.Canceled) || len(said) != 1 || !strings.HasPrefix(said[0], "gpu01 is at work on run 0 already") {
		t.Errorf("%v, said %q", err, said)
	}
	old := time.Now().Add(-2 * fresh)
	if err := os.Chtimes(f.notePath(0), old, old); err != nil {
		t.Fatal(err)
	}
	if st := f.State(0); st.Phase != Waiting {
		t.Errorf("%+v", st)
	}
	if err := s.worker(f).wait(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func TestPlansThatAreNone(t *testing.T) {
	s := newSky(t)
	runs, _ := Grid(s.config, nil, nil)
	f := s.plan(t, runs)
	if _, err := New(s.pool, dataset.Limits{}, nil, runs); err == nil || !strings.Contains(err.Error(), "at least one image labelled anomaly") {
		t.Errorf("a plan without labels: %v", err)
	}
	text := read(t, filepath.Join(f.Dir, planFile))
	for name, bad := range map[string]string{"cut": string(text[:len(text)/2]), "no runs": "{}", "a run of no steps": strings.Replace(string(text), `"Iterations": 4`, `"Iterations": 0`, 1),
		"another pool's hash": strings.Replace(string(text), f.Plan.Pool, "../..", 1)} {
		if bad == string(text) {
			t.Fatal(name + " changes nothing")
		}
		if err := os.WriteFile(filepath.Join(f.Dir, planFile), []byte(bad), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(f.Dir); err == nil || !strings.Contains(err.Error(), "is damaged") {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.Plan.Program = "0.0"
	if err := s.worker(f).Run(t.Context(), []int{0}); err == nil || !strings.Contains(err.Error(), "were planned by version 0.0") {
		t.Error(err)
	}
	f.Plan.Program, f.Plan.Pool = anomalymatch.Version, strings.Repeat("00", 32)
	if err := s.worker(f).Run(t.Context(), []int{0}); err == nil || !strings.Contains(err.Error(), "images of the project changed") {
		t.Error(err)
	}
	if got := Names(filepath.Join(s.dir, "sweeps")); !slices.Equal(got, []string{"001"}) {
		t.Errorf("%q", got)
	}
}

func weights(f *Folder, run int) string {
	files, _ := fixmatch.Checkpoints(train.Checkpoints(f.RunDir(run)))
	return files[0]
}

func scores(f *Folder, run int) string {
	return score.Path(filepath.Join(f.RunDir(run), scoresFolder), cycle)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func same(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b }
