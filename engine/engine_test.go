package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
)

// memory labels stand in for the journal.
type memoryLabels struct {
	mu      sync.Mutex
	current map[string]label.Value
	foreign map[string]label.Value // what another writer has put into the folder
	fail    error
	events  []label.Event
	marks   map[string]label.Marks
}

func (m *memoryLabels) Marks() map[string]label.Marks {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.marks)
}

func (m *memoryLabels) Append(by, uid string, changes []label.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, c := range changes {
		if c.Mark != "" {
			m.marks[c.ID] = m.marks[c.ID].With(c.Mark, c.To == label.On)
		} else {
			m.current[c.ID] = c.To
		}
		m.events = append(m.events, label.Event{Lamport: uint64(len(m.events) + 1), Time: time.Now(), By: by, UID: uid, Change: c})
	}
	return nil
}

func (m *memoryLabels) Current() map[string]label.Value {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]label.Value{}
	for id, v := range m.current {
		out[id] = v
	}
	return out
}

func (m *memoryLabels) Poll() (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := len(m.foreign) > 0
	for id, v := range m.foreign {
		m.current[id] = v
	}
	m.foreign = nil
	return changed, nil
}

func (m *memoryLabels) History(by string, limit int) []label.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := slices.DeleteFunc(slices.Clone(m.events), func(ev label.Event) bool { return by != "" && ev.By != by })
	if limit == 0 {
		return h
	}
	return h[max(0, len(h)-limit):]
}

// project is a folder with a small synthetic sky and an engine on it.
type project struct {
	t      *testing.T
	opt    Options
	labels *memoryLabels
	truth  map[string]bool
	*Service
	stop func()
}

// pool of a few images, one unreadable; a runtime that can be tested here.
func newProject(t *testing.T) *project {
	t.Helper()
	dir := t.TempDir()
	images := filepath.Join(dir, "sky")
	truth, err := synth.Write(images, 60, synth.Params{Seed: 3, Size: 32, Rare: 0.1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(images, "broken.jpg"), []byte("no picture"), 0o666); err != nil {
		t.Fatal(err)
	}
	cfg := anomalymatch.Default()
	cfg.Model.Size, cfg.Fast.Size, cfg.Model.ScoreBatch = 32, 32, 16
	cfg.Fast.Views = 1 // embeddings of more views come in a second stage, and with them another order
	cfg.FixMatch.LabelledBatch, cfg.FixMatch.UnlabelledBatch, cfg.FixMatch.Iterations = 4, 8, 6
	cfg.Engine.CheckpointEvery = 2
	cfg.Engine.Runtime = "xla"
	if _, err := runtime.Open(runtime.Train, "xla"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("no XLA here: %v", err)
	}
	p := &project{t: t, labels: &memoryLabels{current: map[string]label.Value{}, marks: map[string]label.Marks{}}, truth: truth}
	p.opt = Options{Dir: dir, Name: "sky", Sources: []dataset.NamedSource{{Name: "sky", Path: images}}, Config: cfg, Labels: p.labels, Log: slog.New(slog.DiscardHandler)}
	return p
}

// start runs an engine until stop or the end of the test.
func (p *project) start() {
	p.t.Helper()
	e := New(p.opt)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	p.Service = e.Service()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
	p.t.Cleanup(p.stop)
}

// until waits for a status.
func (p *project) until(what string, ok func(*rpc.Status) bool) *rpc.Status {
	p.t.Helper()
	deadline := time.Now().Add(5 * time.Minute) // a busy machine compiles slowly
	for time.Now().Before(deadline) {
		s, _ := p.GetStatus(context.Background(), nil)
		if ok(s) {
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	s, _ := p.GetStatus(context.Background(), nil)
	p.t.Fatalf("never came: %s; status is %v", what, s)
	return nil
}

func idle(s *rpc.Status) bool { return s.State == "idle" }

func (p *project) ranking(by, filter string) *rpc.RankingReply {
	p.t.Helper()
	r, err := p.Ranking(context.Background(), &rpc.RankingRequest{By: by, Filter: filter, Limit: 1000})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func ids(r *rpc.RankingReply) (out []string) {
	for _, i := range r.Items {
		out = append(out, i.Id)
	}
	return out
}

func (p *project) say(id string, v label.Value) {
	p.t.Helper()
	_, err := p.Label(context.Background(), &rpc.LabelRequest{Uid: id + string(v), By: "test", Changes: []*rpc.LabelChange{{Id: id, To: string(v)}}})
	if err != nil {
		p.t.Fatal(err)
	}
}

func TestFromNothingToTrainedRanking(t *testing.T) {
	p := newProject(t)
	p.opt.Config.Fast.Views = 2
	p.start()
	s := p.until("embeddings", func(s *rpc.Status) bool { return s.Embedded && s.RankedBy == "novelty" && idle(s) })
	if s.Pool != 60 || s.Bad != 1 {
		t.Errorf("pool %d, bad %d: want 60 and the broken file", s.Pool, s.Bad)
	}
	p.e.mu.Lock()
	if p.e.emb.Views != 2 {
		t.Errorf("embeddings of %d views", p.e.emb.Views)
	}
	p.e.mu.Unlock()
	if r, _ := p.Train(t.Context(), &rpc.TrainRequest{}); r.Started || !strings.Contains(r.Reason, "one anomaly (a) and one normal") {
		t.Errorf("training without labels: %v", r)
	}

	// Labels re-rank at once, without training.
	before := p.ranking("", "")
	if before.Total != 60 || before.Cut != 24 {
		t.Errorf("%d images to review, cut %d", before.Total, before.Cut)
	}
	normals := 0
	for name, anomaly := range p.truth {
		if anomaly {
			p.say("sky/"+name, label.Anomaly)
		} else if normals < 10 {
			normals++
			p.say("sky/"+name, label.Normal)
		}
	}
	s = p.until("the fast ranking of the last label", func(s *rpc.Status) bool { return s.RankedBy == "fast" && s.LabelsVersion >= uint64(normals+6) })
	if s.Anomalies != 6 || s.Normals != 10 {
		t.Errorf("%d anomalies, %d normals", s.Anomalies, s.Normals)
	}
	if r := p.ranking("", ""); r.Total != 60-16 || r.Version <= before.Version {
		t.Errorf("labelled images stayed in the queue: %d left, version %d after %d", r.Total, r.Version, before.Version)
	}
	if r := p.ranking("", "anomaly"); r.Total != 6 {
		t.Errorf("filter anomaly shows %d", r.Total)
	}
	for _, i := range p.ranking("", "all").Items {
		if i.Id == "sky/broken.jpg" {
			t.Error("an unreadable file is ranked")
		}
	}

	// Training, watched.
	steps := make(chan *rpc.TrainStep, 100)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go p.e.subscribe(ctx, func(ev *rpc.Event) error {
		if ev.Step != nil {
			steps <- ev.Step
		}
		return nil
	})
	if r, _ := p.Train(t.Context(), &rpc.TrainRequest{ThenScore: true}); !r.Started {
		t.Fatal(r.Reason)
	}
	s = p.until("the trained network's scores", func(s *rpc.Status) bool { return s.Cycle == 1 && idle(s) })
	if s.RankedBy != "fast" || s.DeepAtUnixMs == 0 || s.Error != "" {
		t.Errorf("ranked by %s, deep at %d, error %q", s.RankedBy, s.DeepAtUnixMs, s.Error)
	}
	for n := int32(1); n <= 6; n++ {
		if st := <-steps; st.Step != n || st.Steps != 6 || !(st.Loss > 0) {
			t.Errorf("step %v", st)
		}
	}
	// The next round goes on from there, without compiling anew.
	if r, _ := p.Train(t.Context(), &rpc.TrainRequest{ThenScore: true}); !r.Started {
		t.Fatal(r.Reason)
	}
	p.until("the second round", func(s *rpc.Status) bool { return s.Cycle == 2 && idle(s) })
	if _, info, _, _, _ := fixmatch.Latest(p.e.dir("checkpoints")); info.Cycle != 2 || info.Steps != 12 {
		t.Errorf("after two rounds of 6 steps: cycle %d, %d steps", info.Cycle, info.Steps)
	}
	joint, deep := ids(p.ranking("joint", "")), ids(p.ranking("deep", ""))

	// Everything is there after a restart.
	p.stop()
	p.start()
	p.until("the rankings again", func(s *rpc.Status) bool { return s.RankedBy == "fast" && s.DeepAtUnixMs > 0 && idle(s) })
	if again := ids(p.ranking("deep", "")); !slices.Equal(again, deep) {
		t.Error("the deep ranking changed over a restart")
	}
	if again := ids(p.ranking("joint", "")); !slices.Equal(again, joint) {
		t.Error("the joint ranking changed over a restart")
	}
	h, _ := p.Histogram(t.Context(), &rpc.HistogramRequest{By: "deep", Bins: 10})
	sum := func(v []int64) (n int64) {
		for _, x := range v {
			n += x
		}
		return n
	}
	if sum(h.Pool) != 60 || sum(h.Anomalies) != 6 || sum(h.Normals) != 10 {
		t.Errorf("histogram counts %d images, %d anomalies, %d normals", sum(h.Pool), sum(h.Anomalies), sum(h.Normals))
	}
}

// A round that is cut off goes on, and ends where an uninterrupted one ends: same seed, same labels, same scores bit by bit.
func TestTrainingGoesOnAndIsTheSame(t *testing.T) {
	train := func(interrupt bool) (scores [2][]float32) {
		p := newProject(t)
		for name, anomaly := range p.truth {
			if v := label.Normal; anomaly {
				p.labels.current["sky/"+name] = label.Anomaly
			} else if name < "g000020" {
				p.labels.current["sky/"+name] = v
			}
		}
		p.start()
		p.until("idle", func(s *rpc.Status) bool { return idle(s) && s.Embedded })
		if r, _ := p.Train(t.Context(), &rpc.TrainRequest{ThenScore: true}); !r.Started {
			t.Fatal(r.Reason)
		}
		if interrupt {
			p.until("step 3", func(s *rpc.Status) bool { return s.State == "training" && s.Step >= 3 && s.Step < 6 })
			p.stop() // as TERM does
			_, info, _, found, err := fixmatch.Latest(p.e.dir("checkpoints"))
			if err != nil || !found || info.Done() || info.RunStep < 3 {
				t.Fatalf("checkpoint after a stop: %+v, found %v, %v", info, found, err)
			}
			p.start()
		}
		p.until("trained and scored", func(s *rpc.Status) bool { return idle(s) && s.Cycle == 1 })
		run, _ := p.Run(t.Context(), nil)
		if len(run.Steps) != 6 {
			t.Errorf("interrupted %v: %d steps on record, want 6", interrupt, len(run.Steps))
		}
		for k, by := range []string{"fast", "deep"} {
			items := p.ranking(by, "all").Items
			slices.SortFunc(items, func(a, b *rpc.Item) int { return strings.Compare(a.Id, b.Id) })
			for _, i := range items {
				scores[k] = append(scores[k], i.Score)
			}
			if len(items) != 60 {
				t.Errorf("%d images are ranked %s", len(items), by)
			}
		}
		return scores
	}
	straight, cut := train(false), train(true)
	for k, by := range []string{"fast", "deep"} {
		if !slices.Equal(straight[k], cut[k]) {
			t.Errorf("the %s scores differ after an interruption", by)
		}
	}
}

func TestCancelledTrainingWaits(t *testing.T) {
	p := newProject(t)
	p.opt.Config.FixMatch.Iterations = 1000
	for name, anomaly := range p.truth {
		v := label.Normal
		if anomaly {
			v = label.Anomaly
		}
		if anomaly || name < "g000020" {
			p.labels.current["sky/"+name] = v
		}
	}
	p.start()
	p.until("idle", func(s *rpc.Status) bool { return idle(s) && s.Embedded })
	if r, _ := p.Train(t.Context(), &rpc.TrainRequest{}); !r.Started {
		t.Fatal(r.Reason)
	}
	p.until("a step", func(s *rpc.Status) bool { return s.Step > 0 && s.State == "training" })
	if r, _ := p.Score(t.Context(), nil); r.Started || !strings.Contains(r.Reason, "training is running") {
		t.Errorf("a second job: %v", r)
	}
	if r, _ := p.Cancel(t.Context(), nil); !r.Started {
		t.Error(r.Reason)
	}
	p.until("the end of the job", idle)
	p.stop()
	p.start()
	p.until("idle", idle)
	time.Sleep(100 * time.Millisecond)
	if s, _ := p.GetStatus(t.Context(), nil); s.State != "idle" {
		t.Errorf("cancelled training went on by itself: %s", s.State)
	}
	if r, _ := p.Train(t.Context(), &rpc.TrainRequest{}); !r.Started {
		t.Fatal(r.Reason)
	}
	if s := p.until("training again", func(s *rpc.Status) bool { return s.State == "training" && s.Steps > 0 }); s.Step == 0 {
		t.Error("training began anew instead of going on")
	}
}

func TestLabelsOfOthersAndFailures(t *testing.T) {
	p := newProject(t)
	p.start()
	p.until("idle", idle)
	p.labels.mu.Lock()
	p.labels.foreign = map[string]label.Value{"sky/g000001.jpg": label.Anomaly}
	p.labels.mu.Unlock()
	p.until("a label of another writer", func(s *rpc.Status) bool { return s.Anomalies == 1 })

	p.labels.mu.Lock()
	p.labels.foreign = map[string]label.Value{"sky/g000003.jpg": label.Normal}
	p.labels.mu.Unlock()
	if r, err := p.Train(t.Context(), &rpc.TrainRequest{Iterations: 2}); err != nil || !r.Started {
		t.Errorf("a label that was imported just now does not count: %v, %v", r, err)
	}
	p.Cancel(t.Context(), nil)
	p.until("idle", idle)

	p.labels.mu.Lock()
	p.labels.fail = errors.New("the disk is full")
	p.labels.mu.Unlock()
	_, err := p.Label(t.Context(), &rpc.LabelRequest{Uid: "u", By: "test", Changes: []*rpc.LabelChange{{Id: "sky/g000002.jpg", To: "anomaly"}}})
	if err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("a label that was not kept: %v", err)
	}
	if s, _ := p.GetStatus(t.Context(), nil); s.Anomalies != 1 {
		t.Errorf("a label that was not kept counts: %d", s.Anomalies)
	}
	if _, err := p.Label(t.Context(), &rpc.LabelRequest{Uid: "u", By: "test", Changes: []*rpc.LabelChange{{Id: "sky/g000002.jpg", To: "star"}}}); err == nil {
		t.Error("an unknown label was taken")
	}
}

// TestScoresOfOthers: scores that come into the project folder while the engine runs are the deep ranking within seconds, with what was
// found bad meanwhile; those of another pool are not.
func TestScoresOfOthers(t *testing.T) {
	p := newProject(t)
	p.start()
	p.until("listed", func(s *rpc.Status) bool { return s.Pool > 0 })
	pool, err := dataset.OpenPool(t.Context(), filepath.Join(p.opt.Dir, "index"), p.opt.Sources, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	scores := make([]float32, pool.Len())
	for i := range scores {
		scores[i] = float32(i) / 100
	}
	broken, _ := pool.Find("sky/broken.jpg")
	scores[broken] = float32(math.NaN())
	pool.Image(t.Context(), broken)
	hash := pool.Hash()
	put := func(hash string, cycle int) {
		if err := score.Write(filepath.Join(p.opt.Dir, "scores"), score.Header{Pool: hash, Cycle: cycle}, scores); err != nil {
			t.Fatal(err)
		}
	}
	put(hex.EncodeToString(hash[:]), 3)
	p.until("the scores of others", func(s *rpc.Status) bool { return s.Cycle == 3 && s.DeepAtUnixMs > 0 && s.Bad == 1 })
	r := p.ranking("deep", "all")
	if len(r.Items) != pool.Len()-1 || r.Items[0].Id != pool.ID(pool.Len()-1) || r.RankedBy != "deep" {
		t.Errorf("%d images by %s, first %v", len(r.Items), r.RankedBy, r.Items[0])
	}
	put(strings.Repeat("0", 64), 4)
	p.e.takeScores()
	if s, _ := p.GetStatus(t.Context(), nil); s.Cycle != 3 {
		t.Errorf("scores of another pool are cycle %d", s.Cycle)
	}
}

func TestSourceThatIsGone(t *testing.T) {
	p := newProject(t)
	p.opt.Sources[0].Path = filepath.Join(p.opt.Dir, "nowhere")
	p.start()
	s := p.until("the error", func(s *rpc.Status) bool { return s.Error != "" })
	if !strings.Contains(s.Error, "nowhere") || s.State != "idle" {
		t.Errorf("state %q, error %q", s.State, s.Error)
	}
	if r, _ := p.Train(t.Context(), &rpc.TrainRequest{}); r.Started {
		t.Error("training started without images")
	}
}

func TestJobsThatYieldDoNotStopEachOther(t *testing.T) {
	p := newProject(t)
	p.start()
	e := p.e
	p.until("the end of the first embedding", func(s *rpc.Status) bool { return s.Embedded && idle(s) })
	ran := make(chan string, 100)
	yielding := func(state string) *job {
		return &job{state: state, yields: true, run: func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				ran <- state + " gave way"
				return ctx.Err()
			case <-time.After(50 * time.Millisecond):
				ran <- state
				return nil
			}
		}}
	}
	e.mu.Lock()
	e.enqueue(yielding("one"))
	e.enqueue(yielding("two"))
	e.enqueue(yielding("two")) // there already
	e.mu.Unlock()
	if got := <-ran + ", " + <-ran; got != "one, two" {
		t.Errorf("two jobs that yield: %s", got)
	}
	p.until("idle", idle)

	// What a person asks for goes first; what gave way is taken up again.
	e.add(yielding("slow"))
	p.until("slow", func(s *rpc.Status) bool { return s.State == "slow" })
	if why := e.start(&job{state: "asked", run: func(context.Context) error { ran <- "asked"; return nil }}); why != "" {
		t.Fatal(why)
	}
	if got := <-ran + ", " + <-ran + ", " + <-ran; got != "slow gave way, asked, slow" {
		t.Errorf("a job that was asked for: %s", got)
	}
}

func TestNobodyThereEndsTheEngine(t *testing.T) {
	p := newProject(t)
	e := New(p.opt)
	done := make(chan error, 1)
	go func() { done <- e.Run(t.Context()) }()
	p.Service = e.Service()
	p.until("the end of the embedding", func(s *rpc.Status) bool { return s.Embedded && idle(s) })
	select {
	case <-done:
		t.Fatal("the engine ended before its idle time")
	case <-time.After(3 * time.Second):
	}
	e.mu.Lock()
	e.used = time.Now().Add(-time.Duration(p.opt.Config.Engine.IdleMinutes+1) * time.Minute)
	e.mu.Unlock()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("nobody was there for the idle time, and the engine runs on")
	}
}

// TestDamagedCheckpointsAreSaid: a checkpoint with NaN is left out, the one before it goes on, and people are told.
func TestDamagedCheckpointsAreSaid(t *testing.T) {
	p := newProject(t)
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	state := fixmatch.NewState(w)
	dir := filepath.Join(p.opt.Dir, "checkpoints")
	for cycle := 1; cycle <= 2; cycle++ {
		if err := fixmatch.WriteCheckpoint(dir, state, fixmatch.Info{Size: 32, Cycle: cycle, RunStep: 6, RunSteps: 6}); err != nil {
			t.Fatal(err)
		}
		w["_bn1.weight"].Data[7] = float32(math.NaN())
	}
	e := New(p.opt)
	notices := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	subscribed := make(chan struct{})
	once := sync.OnceFunc(func() { close(subscribed) })
	go e.subscribe(ctx, func(ev *rpc.Event) error {
		once()
		if ev.Notice != nil {
			notices <- ev.Notice.Level + ": " + ev.Notice.Text
		}
		return nil
	})
	<-subscribed
	go func() { done <- e.Run(ctx) }()
	p.Service = e.Service()
	defer func() {
		cancel()
		<-done
	}()
	p.until("the scores of the good checkpoint", func(s *rpc.Status) bool { return s.Cycle == 1 && idle(s) })
	select {
	case got := <-notices:
		if want := "warning: checkpoint cycle-002-step-00006.safetensors is left out: tensor _bn1.weight holds NaN"; !strings.HasPrefix(got, want) {
			t.Errorf("notice %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody was told")
	}
	for _, i := range p.ranking("deep", "all").Items {
		if !(i.Score >= 0 && i.Score <= 1) {
			t.Errorf("%s is ranked with %v", i.Id, i.Score)
		}
	}
}

// TestImagesOfAnotherKind: what is unlike the images of the training is scored only where somebody said so; the training itself says what they were.
func TestImagesOfAnotherKind(t *testing.T) {
	p := newProject(t)
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	dir := filepath.Join(p.opt.Dir, "checkpoints")
	open := func(r dataset.Reading) *dataset.Pool {
		named := slices.Clone(p.opt.Sources)
		named[0].Reading = r
		pool, err := dataset.OpenPool(t.Context(), t.TempDir(), named, dataset.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pool.Close() })
		return pool
	}
	other, err := fingerprint.Of(t.Context(), open(dataset.Reading{Stretch: "log"}), 32)
	if err != nil || other == nil {
		t.Fatal(other, err)
	}
	info := fixmatch.Info{Size: 32, Channels: 3, Cycle: 1, RunStep: 6, RunSteps: 6, Print: other}
	if err := fixmatch.WriteCheckpoint(dir, fixmatch.NewState(w), info); err != nil {
		t.Fatal(err)
	}
	p.start()
	p.until("embeddings", func(s *rpc.Status) bool { return s.Embedded && idle(s) })
	if r, err := p.Score(t.Context(), &rpc.ScoreRequest{}); err != nil || !r.Started {
		t.Fatal(r, err)
	}
	s := p.until("a refusal", func(s *rpc.Status) bool { return idle(s) && s.Error != "" })
	for _, want := range []string{"not like those that the network was trained on", "the stretch log", "Train again (ctrl+t)", "--anyway"} {
		if !strings.Contains(s.Error, want) {
			t.Errorf("%q does not say %q", s.Error, want)
		}
	}
	if s.Cycle != 0 {
		t.Error("they are scored")
	}
	if err := fixmatch.Accept(t.Context(), dir, info, open(dataset.Reading{})); err != nil {
		t.Fatal(err)
	}
	if r, err := p.Score(t.Context(), &rpc.ScoreRequest{}); err != nil || !r.Started {
		t.Fatal(r, err)
	}
	p.until("the scores", func(s *rpc.Status) bool { return s.Cycle == 1 && idle(s) })
	// What was accepted is these images, not any.
	if odd, err := fixmatch.Unlike(t.Context(), dir, info, open(dataset.Reading{Stretch: "asinh"})); odd == nil || err != nil {
		t.Errorf("others are accepted too: %v", err)
	}
	if odd, err := fixmatch.Unlike(t.Context(), dir, fixmatch.Info{Size: 32, Channels: 3, Cycle: 1}, open(dataset.Reading{Stretch: "asinh"})); odd != nil || err != nil {
		t.Errorf("an old checkpoint: %v, %v", odd, err)
	}
}
