package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/engine/space"
	"anomalymatch/engine/train"
	"anomalymatch/internal/failpoint"
	"anomalymatch/internal/say"

	"github.com/gomlx/compute"
)

// job is one long piece of work.
type job struct {
	state  string // shown while it runs
	run    func(context.Context) error
	yields bool // gives way to other jobs and is taken up again after them
	cancel context.CancelCauseFunc
}

// asked reports whether a job was asked for by a person, or follows from that: it goes before the ones that yield.
func asked(j *job) bool { return !j.yields }

var (
	errCancelled = errors.New("cancelled")              // by a person
	errGiveWay   = errors.New("another job goes first") // this one is queued again
)

// enqueue adds a job; of those that yield there is one of a kind. Called with mu held.
func (e *Engine) enqueue(j *job) {
	if j.yields && slices.ContainsFunc(e.queue, func(q *job) bool { return q.state == j.state }) {
		return
	}
	e.queue = append(e.queue, j)
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// add queues a job of the engine's own.
func (e *Engine) add(j *job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.enqueue(j)
}

// next waits for a job: what a person asked for goes before what yields. nil at the end of ctx.
func (e *Engine) next(ctx context.Context) *job {
	for {
		e.mu.Lock()
		if len(e.queue) > 0 {
			first := max(0, slices.IndexFunc(e.queue, asked))
			j := e.queue[first]
			e.queue = slices.Delete(e.queue, first, first+1)
			e.mu.Unlock()
			return j
		}
		e.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		}
	}
}

// work runs jobs one at a time until ctx ends.
func (e *Engine) work(ctx context.Context) {
	for ctx.Err() == nil {
		j := e.next(ctx)
		if j == nil {
			return
		}
		jctx, cancel := context.WithCancelCause(ctx)
		e.mu.Lock()
		j.cancel = cancel
		e.busy, e.worked = j, true
		if j.yields && slices.ContainsFunc(e.queue, asked) { // just now
			cancel(errGiveWay)
		}
		e.mu.Unlock()
		e.update(func(s *rpc.Status) {
			s.State, s.Detail, s.Error, s.Step, s.Steps, s.ImagesPerSecond, s.RemainingSeconds = j.state, "", "", 0, 0, 0, -1
		})
		e.log.Info("job starts", "job", j.state)
		err := safely(func() error { return j.run(jctx) })
		cause := context.Cause(jctx)
		cancel(nil)
		e.mu.Lock()
		e.busy = nil
		e.tellKept()
		e.moved = e.moved || err == nil
		e.countPool()
		if err != nil && errors.Is(cause, errGiveWay) {
			e.enqueue(j)
		}
		e.mu.Unlock()
		if e.pool.HasNewSums() {
			e.lookAgain()
		}
		failed := ""
		switch {
		case err == nil:
			e.log.Info("job done", "job", j.state)
		case errors.Is(cause, errGiveWay):
		case errors.Is(cause, errCancelled):
			e.notice("info", j.state+" cancelled")
		case ctx.Err() != nil:
		default:
			failed = j.state + " failed: " + sentence(err)
			e.notice("error", failed) // the status may have a next job before it is seen
			e.log.Error("job failed", "job", j.state, "err", err)
		}
		offer := e.offer() // looks at files: not while everybody else waits
		e.update(func(s *rpc.Status) {
			s.State, s.Detail, s.Step, s.Steps, s.ImagesPerSecond, s.RemainingSeconds, s.Error = "idle", "", 0, 0, 0, -1, failed
			s.Offer = offer
		})
	}
}

// safely turns a panic of a library into an error: one job fails, the engine and the labels stay.
func safely(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("internal error: %v", r)
		}
	}()
	return f()
}

// start queues a job that a person asked for, unless another one is in the way.
func (e *Engine) start(j *job) (reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if why := e.inTheWay(); why != "" {
		return why
	}
	if e.busy != nil {
		e.busy.cancel(errGiveWay)
	}
	e.enqueue(j)
	return ""
}

// inTheWay says why nothing that changes the project's network can begin just now. Called with mu held.
func (e *Engine) inTheWay() (reason string) {
	switch {
	case e.pool == nil && e.status.Error != "":
		return "the images cannot be read: " + e.status.Error
	case e.pool == nil:
		return "the images are still being listed"
	case e.reopen:
		return "the images are being opened anew"
	case e.opt.ReadOnly:
		return "the project folder cannot be written: copy it, or ask its owner"
	case e.busy != nil && !e.busy.yields:
		return e.busy.state + " is running: wait, or cancel it first"
	}
	if i := slices.IndexFunc(e.queue, asked); i >= 0 {
		return e.queue[i].state + " is about to start: wait, or cancel it first"
	}
	return ""
}

// cancelJob ends the running job at its next step.
func (e *Engine) cancelJob() (reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy == nil {
		return "nothing is running"
	}
	e.busy.cancel(errCancelled)
	return ""
}

// startUp takes up what the last engine left: embeddings, a round of training that was cut off, scores that are missing.
func (e *Engine) startUp() {
	offer := e.offer()
	e.update(func(s *rpc.Status) { s.Offer = offer })
	missing := e.before == nil && e.openEmbeddings() != nil
	e.mu.Lock()
	embedded, deep := e.emb != nil, e.deepOf
	e.mu.Unlock()
	if !embedded {
		e.settled()
	}
	if e.before != nil {
		e.add(e.carryJob(e.before))
	} else {
		close(e.carried)
	}
	if e.opt.ReadOnly {
		e.notice("warning", "the project folder cannot be written: labels, embeddings and training need a copy of it")
		return
	}
	if missing {
		e.add(e.embedJob())
	}
	_, info, damaged, found, err := fixmatch.Latest(e.dir("checkpoints"))
	for _, d := range damaged {
		e.notice("warning", d)
	}
	switch {
	case err != nil:
		e.notice("warning", "checkpoints cannot be read: "+sentence(err))
	case !found:
	case !info.Done() && !train.Paused(e.opt.Dir):
		e.notice("info", fmt.Sprintf("training goes on at step %d of %d", info.RunStep, info.RunSteps))
		e.add(e.trainJob(0, true))
	case info.Done() && (int32(info.Cycle) > e.snapshot().Cycle || deep.Missing > 0 && madeBy(deep, info)):
		e.add(e.scoreJob())
	default:
		os.Remove(e.unfinished()) // of an engine that was killed when it had just kept the scores
	}
}

// unfinished are the scores that an engine has while it scores, and that the next one goes on from.
func (e *Engine) unfinished() string { return filepath.Join(e.dir("scores"), "unfinished.part") }

// offer is a runtime that would make this machine faster; nil where there is none.
func (e *Engine) offer() *rpc.RuntimeOffer {
	if e.config().Engine.Runtime == "go" {
		return nil
	}
	o := runtime.Offer()
	if o == nil || o.Kind == "onnx" && strings.HasPrefix(e.config().Engine.Runtime, "xla") {
		return nil
	}
	return &rpc.RuntimeOffer{Kind: o.Kind, DownloadBytes: o.DownloadBytes, DiskBytes: o.Bytes}
}

// goEmbeddingSize limits the pixels of embeddings on the Go backend, which is an order of magnitude slower.
const goEmbeddingSize = 64

// embeddingKeys are what this project's embeddings of a pool may be, the better first: all views, one view, and what the Go backend can do.
func (e *Engine) embeddingKeys(hash [32]byte) (keys []fast.Key) {
	size, views := e.config().Fast.Size, e.config().Fast.Views
	if views > 1 {
		keys = append(keys, fast.KeyOf(hash, size, views))
	}
	keys = append(keys, fast.KeyOf(hash, size, 1))
	if size > goEmbeddingSize {
		keys = append(keys, fast.KeyOf(hash, goEmbeddingSize, 1))
	}
	return keys
}

// madeBy reports whether scores are those of a checkpoint.
func madeBy(h score.Header, info fixmatch.Info) bool {
	return h.Cycle == info.Cycle && h.Step == info.RunStep
}

// carryJob takes over what was made of the images of the list before that stayed: prepared pixels, and the embeddings, of which those of new images
// are made then. What cannot be taken over is made anew.
func (e *Engine) carryJob(before *dataset.Before) *job {
	return &job{state: "embedding", yields: true, run: func(ctx context.Context) error {
		report := func(done, total int) {
			e.update(func(s *rpc.Status) {
				s.Step, s.Steps, s.Detail = int64(done), int64(total), "taking over what is known of the images that stayed"
			})
		}
		was := e.embeddingKeys(before.Hash)
		for n, key := range e.embeddingKeys(e.pool.Hash()) {
			if _, err := fast.Carry(ctx, e.dir("embeddings"), was[n], key, before.Kept, e.pool.Len(), report); err != nil && ctx.Err() == nil {
				e.notice("warning", sentence(err))
			}
		}
		if err := e.pool.CarryPrepared(ctx, before, report); err != nil && ctx.Err() == nil {
			e.notice("warning", sentence(err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := e.pool.CarriedOver(); err != nil { // the next start does all this again
			e.notice("warning", "the list of images before this one cannot be removed: "+sentence(err))
		} else {
			close(e.carried)
		}
		if e.openEmbeddings() != nil {
			e.add(e.embedJob())
		}
		return nil
	}}
}

// openEmbeddings uses the best embeddings that earlier runs left. nil means that none better can be made.
func (e *Engine) openEmbeddings() error {
	var best *fast.Embeddings
	at := 0
	for n, key := range e.embeddingKeys(e.pool.Hash()) {
		emb, err := fast.Open(e.dir("embeddings"), key)
		switch {
		case err != nil:
		case best == nil || emb.Missing() < best.Missing() && best.Missing() > best.Rows/10: // better ones of few images are worse ones
			best, at = emb, n
		default:
			emb.Close()
		}
	}
	if best == nil {
		return fast.ErrNone
	}
	e.useEmbeddings(best)
	if best.Missing() > 0 {
		return errors.New("some images are not embedded yet")
	}
	if at > 0 && e.config().Engine.Runtime != "go" && runtime.Fast() {
		return errors.New("better ones can be made") // a faster runtime came since
	}
	return nil
}

func (e *Engine) useEmbeddings(emb *fast.Embeddings) {
	e.mu.Lock()
	e.emb = emb // the old map, if any, stays until the process ends: the ranker may be reading it
	e.space, e.groups = space.New(emb, emb.Rows, emb.Mean, emb.Std), nil
	e.status.Embedded, e.status.Duplicates = emb.Missing() == 0, 0
	e.mu.Unlock()
	e.publish()
	e.rankAgain()
	e.lookAgain()
}

// embedJob makes the embeddings of the pool: of one view first, so that the list is ranked soon, then of all.
func (e *Engine) embedJob() *job {
	return &job{state: "embedding", yields: true, run: func(ctx context.Context) error {
		o, err := e.openRuntime(runtime.Infer)
		if err != nil {
			return err
		}
		keys := e.embeddingKeys(e.pool.Hash())
		if o.Name == "go" {
			keys = keys[len(keys)-1:]
		} else if last := len(keys) - 1; keys[last].Size != e.config().Fast.Size {
			keys = keys[:last]
		}
		e.mu.Lock()
		if e.emb != nil {
			if have := slices.Index(keys, e.emb.Key); have >= 0 && e.emb.Missing()+e.emb.Damaged() == 0 {
				keys = keys[:have]
			} else if have >= 0 {
				keys = keys[:have+1]
			}
		}
		e.mu.Unlock()
		for _, key := range slices.Backward(keys) {
			if err := e.embed(ctx, key, o); err != nil {
				return err
			}
		}
		if all := e.embeddingKeys(e.pool.Hash()); len(keys) > 0 && keys[0] == all[0] {
			for _, worse := range all[1:] { // nobody reads them any more
				fast.Remove(e.dir("embeddings"), worse)
			}
		}
		return nil
	}}
}

func (e *Engine) embed(ctx context.Context, key fast.Key, o runtime.Opened) error {
	meter, what := newMeter(), ""
	if key.Views > 1 {
		what = fmt.Sprintf("%d views of each image", key.Views)
	}
	e.update(func(s *rpc.Status) {
		s.Detail, s.Step, s.Steps, s.ImagesPerSecond, s.RemainingSeconds = "compiling the network", 0, int64(e.pool.Len()), 0, -1
	})
	emb, err := fast.Create(ctx, e.dir("embeddings"), key, e.pool, o, fast.Options{Batch: e.batch(key.Size), Workers: e.workers(), Warn: e.warn, Progress: func(done, total int) {
		speed, left := meter.at(done, total)
		e.update(func(s *rpc.Status) {
			s.Step, s.Steps, s.ImagesPerSecond, s.RemainingSeconds = int64(done), int64(total), speed, left
			if speed > 0 {
				s.Detail = what
			}
		})
	}})
	if err != nil {
		return err
	}
	e.useEmbeddings(emb)
	return nil
}

// batch is the number of images that the network takes at once.
func (e *Engine) batch(size int) int {
	return score.Batch(e.config().Model.ScoreBatch, size, e.pool.Len())
}

// meter measures speed, leaving out what happens before the first report (compiling).
type meter struct {
	begin time.Time
	from  int
}

func newMeter() *meter { return &meter{} }

// at returns images per second and seconds left, 0 and -1 while not known.
func (m *meter) at(done, total int) (speed, left float64) {
	if m.begin.IsZero() || done < m.from {
		m.begin, m.from = time.Now(), done
		return 0, -1
	}
	s := time.Since(m.begin).Seconds()
	if done == m.from || s <= 0 {
		return 0, -1
	}
	speed = float64(done-m.from) / s
	return speed, float64(total-done) / speed
}

// trainJob trains one round, or the rest of one that was cut off.
func (e *Engine) trainJob(iterations int, thenScore bool) *job {
	return &job{state: "training", run: func(ctx context.Context) error {
		if err := e.train(ctx, iterations); err != nil {
			return err
		}
		if !thenScore {
			return nil
		}
		e.update(func(s *rpc.Status) { s.State, s.ImagesPerSecond, s.RemainingSeconds = "scoring", 0, -1 })
		return e.score(ctx)
	}}
}

func (e *Engine) train(ctx context.Context, iterations int) error {
	e.mu.Lock()
	images := train.Images{Pool: e.pool, Labels: train.Hash(e.labels)}
	images.Anomalies, images.Normals = e.trainable()
	for i := range e.pool.Len() {
		if !e.of.at(int32(i)).Trains() && !e.pool.IsBad(i) {
			images.Unlabelled = append(images.Unlabelled, i)
		}
	}
	cycle := int(e.status.Cycle) + 1 // scores may be of a cycle that has no checkpoint, as those of an ensemble
	e.mu.Unlock()
	r := train.Round{Dir: e.opt.Dir, Images: images, Config: e.config(), Cycle: cycle, Steps: iterations, Workers: e.workers()}
	if err := r.Check(); err != nil {
		return err
	}
	e.setPaused(false)
	r.Print = func(ctx context.Context, size int) (*fingerprint.Print, error) {
		return fingerprint.Of(ctx, e.pool, size)
	}
	r.Open = func() (compute.Backend, error) {
		o, err := e.openRuntime(runtime.Train)
		return o.Backend, err
	}
	r.Begin = func(info fixmatch.Info, before []*rpc.TrainStep) {
		e.mu.Lock()
		e.steps = before
		e.mu.Unlock()
		e.update(func(s *rpc.Status) {
			s.Step, s.Steps, s.Detail = int64(info.RunStep), int64(info.RunSteps), "compiling the training step"
		})
	}
	r.Step = func(step *rpc.TrainStep, left float64) (keep bool) {
		e.mu.Lock()
		keep = len(e.keeps) > 0
		e.moved = true
		e.steps = append(e.steps[:len(e.steps):len(e.steps)], step)
		e.mu.Unlock()
		e.send(&rpc.Event{Step: step})
		e.update(func(s *rpc.Status) {
			s.Step, s.Detail, s.ImagesPerSecond, s.RemainingSeconds = int64(step.Step), "", step.ImagesPerSecond, left
		})
		return keep
	}
	r.Kept = func(info fixmatch.Info) {
		e.log.Info("checkpoint, as asked", "cycle", info.Cycle, "step", info.RunStep)
		e.mu.Lock()
		e.tellKept()
		e.mu.Unlock()
	}
	err := e.trainer.Round(ctx, r)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) && errors.Is(context.Cause(ctx), errCancelled) {
		e.setPaused(true)
	}
	return err
}

func (e *Engine) setPaused(on bool) {
	if err := train.SetPaused(e.opt.Dir, on); err != nil {
		e.log.Warn("remembering that training waits", "err", err)
	}
}

// scoreJob scores the pool with the newest checkpoint.
func (e *Engine) scoreJob() *job { return &job{state: "scoring", run: e.score} }

func (e *Engine) score(ctx context.Context) error {
	state, info, damaged, found, err := fixmatch.Latest(e.dir("checkpoints"))
	if err != nil {
		return err
	}
	if !found {
		return errors.Join(errors.New("nothing was trained yet: train first (ctrl+t)"), joined(damaged))
	}
	e.update(func(s *rpc.Status) { s.Detail = "comparing the images with those of the training" })
	switch odd, err := fixmatch.Unlike(ctx, e.dir("checkpoints"), info, e.pool); {
	case err != nil:
		return err
	case odd != nil:
		return fmt.Errorf("%w. Train again (ctrl+t), or have them scored all the same: anomalymatch score %s --anyway", odd, say.Path(e.opt.Dir))
	}
	o, err := e.openRuntime(runtime.Infer)
	if err != nil {
		return err
	}
	pool, known := e.pool, []float32(nil)
	if h, scores, found := score.Latest(e.dir("scores"), e.pool.Hash()); found && madeBy(h, info) && h.Missing > 0 && h.Missing <= e.pool.Len()/2 {
		pool, known = e.pool.Subset(score.Missing(scores)), scores // only what came since: the others have their scores
	}
	e.update(func(s *rpc.Status) { s.Detail, s.Step, s.Steps = "compiling the network", 0, int64(pool.Len()) })
	weights := state.Scoring()
	m, err := nn.NewModel(o, weights)
	if err != nil {
		return err
	}
	m.Warn = e.warn
	defer m.Close()
	meter := newMeter()
	batch := score.Fit(m, score.Memory(), e.config().Model.ScoreBatch, info.Size, e.pool.Len())
	opt := score.Options{Size: info.Size, Batch: batch, Workers: e.workers(), Progress: func(done, total int) {
		speed, left := meter.at(done, total)
		e.update(func(s *rpc.Status) {
			s.Step, s.Steps, s.ImagesPerSecond, s.RemainingSeconds, s.Detail = int64(done), int64(total), speed, left, ""
		})
	}}
	partial := e.unfinished()
	scores, err := score.Resume(ctx, partial, score.Scored(pool, weights, o.Name, opt), pool, m, opt)
	if err != nil {
		return err
	}
	if known != nil {
		e.pool.TakeBad(pool.Bad())
		for k, i := range score.Missing(known) {
			known[i] = scores[k]
		}
		scores = known
	}
	if err := e.keepScores(info, scores, m.Backend(), batch); err != nil {
		return err
	}
	failpoint.Hit(failpoint.ScoresKept)
	_ = os.Remove(partial) // the scores are kept; what is left of it is of these weights, and not used for others
	return nil
}

func joined(lines []string) error {
	var errs []error
	for _, l := range lines {
		errs = append(errs, errors.New(l))
	}
	return errors.Join(errs...)
}

// installJob gets a runtime. What is embedded at the Go backend's size is embedded again, better.
func (e *Engine) installJob(kind string) *job {
	return &job{state: "installing", run: func(ctx context.Context) error {
		meter := newMeter()
		err := runtime.Install(ctx, kind, "", func(done, total int64) {
			_, left := meter.at(int(done), int(total))
			e.update(func(s *rpc.Status) { s.Step, s.Steps, s.RemainingSeconds = done, total, left })
		})
		if err != nil {
			return err
		}
		e.notice("info", "the runtime is installed and used from the next job on")
		if e.openEmbeddings() != nil {
			e.add(e.embedJob())
		}
		return nil
	}}
}
