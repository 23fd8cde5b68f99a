package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/engine/train"
	"anomalymatch/internal/age"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"

	"github.com/gomlx/compute"
)

// cycle is the number of the one round of a run.
const cycle = 1

// Done is what a run says of itself when it is over: done.json in its folder, written last.
type Done struct {
	Host    string             `json:"host"`
	Backend string             `json:"backend"`
	Scored  int                `json:"scored"` // images with a score
	Bad     []dataset.BadImage `json:"bad,omitempty"`
}

// Worker makes runs in this process. Close it.
type Worker struct {
	Folder  *Folder
	Pool    *dataset.Pool       // opened with the plan's limits
	Config  anomalymatch.Config // of the project: what the plan does not fix, such as the runtime
	Threads int                 // that decode
	Host    string
	Keep    <-chan os.Signal // each asks for a checkpoint

	// Say, if not nil, is told what a person should know, Report how a run goes.
	Say    func(text string)
	Report func(run int, s State)

	trainer train.Trainer
}

// Limits are what an image of the plan may cost.
func (p Plan) Limits() dataset.Limits {
	return dataset.Limits{MaxPixels: p.MaxPixels, MaxBytes: p.MaxBytes}
}

// Check says whether program and pool are still those of the plan.
func (w *Worker) Check() error {
	p := w.Folder.Plan
	if p.Program != anomalymatch.Version {
		return fmt.Errorf("the runs were planned by version %s of the program, and this is %s: begin again", say.Text(p.Program), anomalymatch.Version)
	}
	if p.hash() != w.Pool.Hash() {
		return errors.New("the images of the project changed since the runs were planned: begin again")
	}
	return nil
}

// Close frees what was compiled.
func (w *Worker) Close() { w.trainer.Close() }

// Run makes the runs, one after the other; what is there already of one costs nothing. One that another process is at work on is waited for. The end of
// ctx keeps what is trained so far and ends it.
func (w *Worker) Run(ctx context.Context, runs []int) error {
	if err := w.Check(); err != nil {
		return err
	}
	for _, run := range runs {
		if run < 0 || run >= len(w.Folder.Plan.Runs) {
			return fmt.Errorf("there is no run %d in a sweep of %d", run, len(w.Folder.Plan.Runs))
		}
		if err := w.wait(ctx, run); err != nil {
			return err
		}
		if w.Folder.verify(run) == nil {
			continue
		}
		if err := w.one(ctx, run); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("run %d (%s): %w", run, w.Folder.Plan.Runs[run], err)
		}
	}
	return nil
}

// wait waits until nobody else is at work on a run.
func (w *Worker) wait(ctx context.Context, run int) error {
	said := false
	for {
		n, busy := w.Folder.note(run)
		if !busy {
			return nil
		}
		if !said && w.Say != nil {
			w.Say(fmt.Sprintf("%s is at work on run %d already, or ended a moment ago: waiting", say.Text(n.Host), run))
		}
		said = true
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(often):
		}
	}
}

func (w *Worker) say(text string) {
	if w.Say != nil {
		w.Say(text)
	}
}

func (w *Worker) open(task runtime.Task) (runtime.Opened, error) {
	o, err := runtime.Open(task, w.Config.Engine.Runtime)
	if err == nil && o.Note != "" {
		w.say("warning: " + o.Note)
	}
	return o, err
}

func (w *Worker) one(ctx context.Context, run int) error {
	f, dir := w.Folder, w.Folder.RunDir(run)
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return cause(err)
	}
	os.Remove(filepath.Join(dir, doneFile)) // of what was damaged
	t := tell(f.notePath(run), note{Host: w.Host, PID: os.Getpid(), Phase: Training, Total: f.Plan.Runs[run].Train.Iterations}, func(n note) {
		if w.Report != nil {
			w.Report(run, n.state())
		}
	})
	defer t.stop()
	for len(w.Keep) > 0 { // asked for before it began
		<-w.Keep
	}

	_, info, damaged, found, err := fixmatch.Latest(train.Checkpoints(dir))
	if err != nil {
		return err
	}
	for _, d := range damaged {
		w.say("warning: " + d)
	}
	if !found || !info.Done() {
		r := f.Plan.round(w.Pool, run, w.Config)
		r.Dir, r.Workers = dir, w.Threads
		r.Print = func(ctx context.Context, size int) (*fingerprint.Print, error) {
			return fingerprint.Of(ctx, w.Pool, size)
		}
		r.Open = func() (compute.Backend, error) {
			o, err := w.open(runtime.Train)
			return o.Backend, err
		}
		r.Begin = func(info fixmatch.Info, before []*rpc.TrainStep) {
			t.set(func(n *note) { n.Done = info.RunStep })
		}
		r.Step = func(s *rpc.TrainStep, left float64) (keep bool) {
			t.set(func(n *note) { n.Done, n.Speed, n.Left, n.last = int(s.Step), s.ImagesPerSecond, left, s })
			select {
			case <-w.Keep:
				return true
			default:
				return false
			}
		}
		r.Kept = func(info fixmatch.Info) { w.say(fmt.Sprintf("run %d is kept at step %d, as asked", run, info.RunStep)) }
		if err := w.trainer.Round(ctx, r); err != nil {
			return err
		}
	}

	state, info, _, _, err := fixmatch.Latest(train.Checkpoints(dir))
	if err != nil {
		return err
	}
	o, err := w.open(runtime.Infer)
	if err != nil {
		return err
	}
	m, err := nn.NewModel(o, state.Scoring())
	if err != nil {
		return err
	}
	m.Warn = func(text string) { w.say("warning: " + text) }
	defer m.Close()
	t.set(func(n *note) { n.Phase, n.Done, n.Total, n.Speed, n.Left = Scoring, 0, w.Pool.Len(), 0, -1 })
	var began time.Time
	from := 0
	batch := score.Batch(f.Plan.Runs[run].Batch, info.Size, w.Pool.Len())
	scores, err := score.Pool(ctx, w.Pool, m, score.Options{Size: info.Size, Batch: batch, Workers: w.Threads, Progress: func(done, total int) {
		speed, left := 0.0, -1.0
		if began.IsZero() { // the first batch compiles
			began, from = time.Now(), done
		} else if spent := time.Since(began).Seconds(); spent > 0 {
			speed = float64(done-from) / spent
			left = float64(total-done) / speed
		}
		t.set(func(n *note) { n.Done, n.Speed, n.Left = done, speed, left })
	}})
	if err != nil {
		return err
	}
	if err := score.Write(filepath.Join(dir, scoresFolder), score.Header{Pool: f.Plan.Pool, Cycle: cycle, Step: info.RunStep, Backend: m.Backend(), Batch: batch}, scores); err != nil {
		return err
	}
	d := Done{Host: w.Host, Backend: m.Backend(), Scored: len(score.Order(scores)), Bad: w.Pool.Bad()}
	err = atomicfile.Write(filepath.Join(dir, doneFile), func(out io.Writer) error { return json.NewEncoder(out).Encode(d) })
	if err != nil {
		return fmt.Errorf("the run cannot be kept: %w", cause(err))
	}
	return nil
}

const (
	doneFile     = "done.json"
	noteFile     = "now.json"
	scoresFolder = "scores"
)

// verify reads a run as a whole. nil: it is there and undamaged.
func (f *Folder) verify(run int) error {
	if _, err := f.done(run); err != nil {
		return err
	}
	_, err := f.Scores(run)
	return err
}

func (f *Folder) done(run int) (d Done, err error) {
	text, err := os.ReadFile(filepath.Join(f.RunDir(run), doneFile))
	if err != nil {
		return d, cause(err)
	}
	if json.Unmarshal(text, &d) != nil {
		return d, errors.New("done.json is damaged")
	}
	return d, nil
}

// Done says how a run ended; false while it is not there.
func (f *Folder) Done(run int) (Done, bool) {
	d, err := f.done(run)
	return d, err == nil
}

// Scores are those of a run that is over, in the pool's order.
func (f *Folder) Scores(run int) ([]float32, error) {
	_, scores, found := score.Latest(filepath.Join(f.RunDir(run), scoresFolder), f.Plan.hash())
	if !found || len(scores) != f.Plan.Images {
		return nil, fmt.Errorf("the scores of run %d are not there, or damaged", run)
	}
	return scores, nil
}

// Todo lists the runs that are not there or damaged. It reads them all.
func (f *Folder) Todo() []int {
	var todo []int
	for run := range f.Plan.Runs {
		if f.verify(run) != nil {
			todo = append(todo, run)
		}
	}
	return todo
}

// note is what a worker writes about a run while it makes it.
type note struct {
	Host  string  `json:"host"`
	PID   int     `json:"pid"`
	Phase Phase   `json:"phase"`
	Done  int     `json:"done"`
	Total int     `json:"total"`
	Speed float64 `json:"images_per_second"`
	Left  float64 `json:"seconds_left"` // < 0: not known

	last *rpc.TrainStep
}

func (n note) state() State {
	return State{Phase: n.Phase, Host: say.Text(n.Host), Done: n.Done, Total: n.Total, Speed: n.Speed, Left: n.Left, Last: n.last}
}

const (
	// often is the time between two notes.
	often = time.Second
	// fresh is how old a note may be, by the clock of the file system: who wrote an older one was killed.
	fresh = 30 * time.Second
)

func (f *Folder) notePath(run int) string { return filepath.Join(f.RunDir(run), noteFile) }

// note reads how a run goes; busy is false where nobody works on it, as far as can be told. A note that is just being written counts, but says nothing.
func (f *Folder) note(run int) (n note, busy bool) {
	info, err := os.Stat(f.notePath(run))
	if err != nil || age.Of(f.notePath(run), info) > fresh {
		return n, false
	}
	text, err := os.ReadFile(f.notePath(run))
	if err != nil {
		return n, false
	}
	if json.Unmarshal(text, &n) != nil || n.Done < 0 || n.Done > n.Total {
		n = note{Phase: Training, Left: -1}
	}
	return n, true
}

// teller writes a note every moment, for who looks on; best effort.
type teller struct {
	mu     sync.Mutex
	now    note
	report func(note)
	over   chan struct{}
	ended  chan struct{}
}

func tell(path string, first note, report func(note)) *teller {
	first.Left = -1
	t := &teller{now: first, report: report, over: make(chan struct{}), ended: make(chan struct{})}
	write := func() {
		t.mu.Lock()
		text, err := json.Marshal(t.now)
		t.mu.Unlock()
		if err == nil {
			_ = os.WriteFile(path, text, 0o666)
		}
	}
	write()
	report(first)
	go func() {
		defer close(t.ended)
		tick := time.NewTicker(often)
		defer tick.Stop()
		for {
			select {
			case <-t.over:
				os.Remove(path)
				return
			case <-tick.C:
				write()
			}
		}
	}()
	return t
}

func (t *teller) set(change func(*note)) {
	t.mu.Lock()
	change(&t.now)
	n := t.now
	t.mu.Unlock()
	t.report(n)
}

func (t *teller) stop() {
	close(t.over)
	<-t.ended
}

// Use makes a run's checkpoint the newest one of a project, and its scores the newest ones, as a round of their own.
func (f *Folder) Use(project string, run int) (round int, err error) {
	scores, err := f.usable(run)
	if err != nil {
		return 0, err
	}
	state, info, _, found, err := fixmatch.Latest(train.Checkpoints(f.RunDir(run)))
	if err != nil {
		return 0, err
	}
	if !found || !info.Done() {
		return 0, fmt.Errorf("the checkpoint of run %d is not there, or damaged", run)
	}
	if round, err = NextRound(project); err != nil {
		return 0, err
	}
	parts, err := train.Parts(f.RunDir(run))
	if err != nil {
		return 0, err
	}
	for i := range parts {
		parts[i].Cycle = round
	}
	info.Cycle = round
	if err := errors.Join(train.AddParts(project, parts...), fixmatch.WriteCheckpoint(train.Checkpoints(project), state, info)); err != nil {
		return 0, err
	}
	d, _ := f.Done(run)
	return round, f.put(project, score.Header{Cycle: round, Step: info.RunStep, Backend: d.Backend, Batch: score.Batch(f.Plan.Runs[run].Batch, info.Size, f.Plan.Images)}, scores)
}

// Ensemble makes the mean of the scores of all runs that are there the newest scores of a project, as a round of their own. It has no
// checkpoint: training goes on from the one that there was.
func (f *Folder) Ensemble(project string) (round, runs int, err error) {
	mean, runs, err := f.Mean()
	if err != nil {
		return 0, runs, err
	}
	if runs < 2 {
		return 0, runs, fmt.Errorf("an ensemble is two runs or more, and %d of %d are there", runs, len(f.Plan.Runs))
	}
	if round, err = NextRound(project); err != nil {
		return 0, runs, err
	}
	return round, runs, f.put(project, score.Header{Cycle: round}, mean)
}

func (f *Folder) usable(run int) ([]float32, error) {
	if run < 0 || run >= len(f.Plan.Runs) {
		return nil, fmt.Errorf("there is no run %d in sweep %s: they are 0 to %d", run, say.Text(f.Name), len(f.Plan.Runs)-1)
	}
	if _, ok := f.Done(run); !ok {
		return nil, fmt.Errorf("run %d is not over yet", run)
	}
	return f.Scores(run)
}

func (f *Folder) put(project string, h score.Header, scores []float32) error {
	h.Pool = f.Plan.Pool
	return score.Write(filepath.Join(project, scoresFolder), h, scores)
}

// NextRound is the number of a round after all that a project has.
func NextRound(project string) (int, error) {
	_, info, _, found, err := fixmatch.Latest(train.Checkpoints(project))
	if err != nil {
		return 0, err
	}
	if found && !info.Done() && !train.Paused(project) {
		return 0, fmt.Errorf("a training of the project is at step %d of %d: let it end, or cancel it, first", info.RunStep, info.RunSteps)
	}
	last := info.Cycle
	if files := score.Files(filepath.Join(project, scoresFolder)); len(files) > 0 {
		n := 0
		if _, err := fmt.Sscanf(filepath.Base(files[0]), "cycle-%d.scores", &n); err == nil {
			last = max(last, n)
		}
	}
	return last + 1, nil
}

// Mean is the mean score of each image over the runs that are there, and how many those are.
func (f *Folder) Mean() ([]float32, int, error) {
	var all [][]float32
	for run := range f.Plan.Runs {
		if _, ok := f.Done(run); !ok {
			continue
		}
		scores, err := f.Scores(run)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, scores)
	}
	return mean(all), len(all), nil
}

// mean averages scores of a pool. An image that some run could not read is judged by the others.
func mean(all [][]float32) []float32 {
	if len(all) == 0 {
		return nil
	}
	out := make([]float32, len(all[0]))
	for i := range out {
		sum, n := 0.0, 0
		for _, s := range all {
			if s[i] == s[i] {
				sum += float64(s[i])
				n++
			}
		}
		out[i] = float32(sum / float64(n)) // 0/0 is NaN, as it should be
	}
	return out
}
