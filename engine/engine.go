// Package engine is the process behind a project: it holds the pool and the labels, ranks, trains and scores, and tells every
// terminal what changes.
//
// Six goroutines share the work, so that a person is never kept waiting: the worker runs one job at a time (embed, train, score,
// install), the ranker refits the fast head when labels change, the reviewer works out what the labels say about the ranking and
// about each other when somebody asks, the folder finds near-duplicates among new embeddings, the mapper draws the maps that somebody
// asks for, the watcher picks up labels that other writers put into the project folder. State is behind one mutex; nobody computes
// while holding it.
package engine

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/duplicates"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/engine/space"
	"anomalymatch/engine/train"
	"anomalymatch/internal/say"
)

// Labels is the project's label store, safe for concurrent use. session/journal implements it.
type Labels interface {
	Append(by, uid string, changes []label.Change) error // on disk when it returns; the same uid twice is written once
	Current() map[string]label.Value
	Marks() map[string]label.Marks
	Poll() (changed bool, err error) // reads what other writers appended
	History(by string, limit int) []label.Event
}

// Options of an engine.
type Options struct {
	Dir      string // project folder
	Name     string
	Sources  []dataset.NamedSource
	Metadata []meta.File
	Config   anomalymatch.Config // at the start
	Labels   Labels
	Settings Settings // nil: they cannot be changed
	ReadOnly bool     // the folder cannot be written: nothing is computed that has to be kept there
	Job      *Job     // of a batch system, in which the engine runs; nil: none
	Log      *slog.Logger
}

// Engine of one project.
type Engine struct {
	opt Options
	log *slog.Logger

	settings atomic.Pointer[anomalymatch.Config] // in force
	setting  sync.Mutex                          // held while they change

	reading  sync.Mutex   // of labels
	hanging  atomic.Int64 // labels that wait for the file system longer than patience
	mu       sync.Mutex
	status   *rpc.Status
	backends [2]string       // what does each runtime.Task
	pool     *dataset.Pool   // nil until listed
	before   *dataset.Before // the list before, of which something is to be taken over
	labels   map[string]label.Value
	of       said                  // the same by image number
	marks    map[int32]label.Marks // by image number
	marked   uint64                // version of the marks
	emb      *fast.Embeddings
	beliefs  fast.Beliefs       // of the fast ranking
	space    *space.Space       // of emb
	groups   *duplicates.Groups // of emb; nil until they are found
	fast     *ranking           // fast or novelty
	novel    *ranking           // novelty, for who asks for it though there are labels
	deep     *ranking
	deepOf   score.Header // of the scores that deep is from
	joint    *ranking
	plain    *ranking
	steps    []*rpc.TrainStep // of the newest run
	worked   bool             // a job began since the machine was measured last
	busy     *job
	subs     map[*subscriber]bool
	unheard  []*rpc.Event // warnings given while nobody was there
	used     time.Time    // last sign of a client
	lists    []*list      // picked lately, the newest first
	boundary float64      // fast score of images that are as likely anomalies as not; 0: not known
	like     likeness     // to the example asked for last
	maps     charts
	hits     matching // of the text searched for last
	meta     *meta.Table
	metaSeen string // stamp of the columns that meta is of
	metaOpen bool   // what there was at the start is open
	choice   chosen // of the condition asked for last

	scoreFile sync.Mutex // held while the score files change or are read
	scored    string     // stamp of the one that deep is from

	trainer train.Trainer // the worker's own
	sweeps  sweeps
	past    past
	curves  curves

	keeps []chan struct{} // who asked for a checkpoint; told when it is on disk
	anew  chan struct{}   // ask the batch system again when the job ends
	moved bool            // this engine did something that the next one builds on

	reopen bool // Run is to end for the project to be opened anew

	queue []*job        // waiting for the worker
	wake  chan struct{} // the queue is not empty
	dirty chan struct{} // labels or embeddings changed: rank again
	ready chan struct{} // closed by settled
	once  sync.Once
	stop  context.CancelFunc

	asks     chan chan *assessment // for the reviewer
	over     chan struct{}         // closed when the reviewer ended
	carried  chan struct{}         // closed when nothing of the list before is to be taken over any more
	look     chan struct{}         // new embeddings: look for near-duplicates
	sameTold string                // by the folder
	folded   chan struct{}         // closed when near-duplicates were looked for once
	foldOnce sync.Once
}

// New makes an engine that does nothing yet.
func New(opt Options) *Engine {
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	e := &Engine{opt: opt, log: opt.Log, status: &rpc.Status{Pid: int32(os.Getpid()), State: "indexing", Version: anomalymatch.Version, RankedBy: "order", RemainingSeconds: -1},
		labels: map[string]label.Value{}, subs: map[*subscriber]bool{}, used: time.Now(), wake: make(chan struct{}, 1), dirty: make(chan struct{}, 1), ready: make(chan struct{}),
		asks: make(chan chan *assessment), over: make(chan struct{}), look: make(chan struct{}, 1), folded: make(chan struct{}), carried: make(chan struct{}), anew: make(chan struct{}, 1), maps: newCharts()}
	e.settings.Store(&opt.Config)
	if opt.Job != nil {
		e.status.Job = opt.Job.Name
	}
	return e
}

// settled says that what earlier runs left is ranked: who asks for the list from now on need not wait.
func (e *Engine) settled() { e.once.Do(func() { close(e.ready) }) }

func (e *Engine) dir(name string) string { return filepath.Join(e.opt.Dir, name) }

func (e *Engine) workers() int {
	if n := e.config().Images.DecodeWorkers; n > 0 {
		return n
	}
	return goruntime.GOMAXPROCS(0)
}

// Run works until ctx ends, Stop is called or nobody needed the engine for the idle time. A running training is checkpointed
// before it returns. It returns ErrReopen when the project is to be opened anew.
func (e *Engine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	e.mu.Lock()
	e.stop = stop
	e.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	if e.opt.Job != nil {
		wg.Go(func() { e.watchJob(ctx) })
	}
	if err := e.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		// The terminal shows the sentence; the engine stays to be asked.
		e.update(func(s *rpc.Status) { s.State, s.Detail, s.Error = "idle", "", sentence(err) })
		e.log.Error("opening the images", "err", err)
		wg.Go(func() { e.watch(ctx) })
		<-ctx.Done()
		return nil
	}
	wg.Go(func() { e.rank(ctx) })
	wg.Go(func() { e.review(ctx) })
	wg.Go(func() { e.fold(ctx) })
	e.lookAgain() // earlier runs may have found the same picture in two sources
	wg.Go(func() { e.draw(ctx) })
	wg.Go(func() { e.watch(ctx) })
	wg.Go(func() { e.refresh(ctx) })
	wg.Go(func() { e.openMetadata(ctx) })
	wg.Go(func() { e.measure(ctx) })
	wg.Go(func() { e.warmUp(ctx) })
	if !e.opt.ReadOnly {
		wg.Go(e.sweep)
	}
	e.startUp()
	e.work(ctx)
	stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reopen {
		return ErrReopen
	}
	return nil
}

// Stop ends Run.
func (e *Engine) Stop() {
	e.mu.Lock()
	stop := e.stop
	e.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// open lists the images and reads what earlier runs left.
func (e *Engine) open(ctx context.Context) error {
	limits := dataset.Limits{MaxPixels: e.config().Images.MaxMegapixels * 1e6, MaxBytes: int64(e.config().Images.MaxFileMiB) << 20}
	pool, err := dataset.OpenPool(ctx, e.dir("index"), e.opt.Sources, limits, func(done int64) {
		e.update(func(s *rpc.Status) { s.Step = done })
	})
	if err != nil {
		return err
	}
	limitMemory(pool.Len())
	current, marks := e.opt.Labels.Current(), e.opt.Labels.Marks()
	plain := inOrder(pool.Len(), pool.Unusable())
	e.scored = score.Stamp(e.dir("scores"))
	e.before = e.listBefore(ctx, pool)
	header, deep, scored := score.Latest(e.dir("scores"), pool.Hash())
	pool.Prepare(e.dir("prepared"), e.config().Images.Prepare && !e.opt.ReadOnly)
	var left *ranking
	if scored {
		left = rank("deep", header.Made, deep)
	}
	e.mu.Lock()
	e.pool, e.plain, e.deep = pool, plain, left // at once: who asks now gets no list that is over in a moment
	if scored {
		e.status.Cycle, e.deepOf = int32(header.Cycle), header
	}
	e.setLabels(current)
	e.setMarks(marks)
	e.countPool()
	e.mu.Unlock()
	e.take(nil, left)
	e.update(func(s *rpc.Status) { s.State, s.Step = "idle", 0 })
	return nil
}

// listBefore is the list that was in use before the sources changed, if something was made of it. The scores of images that stayed are taken over
// at once, since the first list may be in their order; what takes longer is a job (see carryJob).
func (e *Engine) listBefore(ctx context.Context, pool *dataset.Pool) *dataset.Before {
	if e.opt.ReadOnly {
		return nil
	}
	before, err := pool.Before(ctx)
	if before != nil {
		err = score.Carry(e.dir("scores"), before, pool.Hash(), pool.Len())
	}
	if err != nil && ctx.Err() == nil {
		e.notice("warning", sentence(err))
	}
	return before
}

// limitMemory has the collector keep what Go holds of a pool of n images, ids and rankings, near what is needed, where the pool is so large that
// the usual twice as much is too much: elsewhere a limit would only make the Go backend, whose buffers count too, wait for the collector. A limit
// of the person's, GOMEMLIMIT, stays.
func limitMemory(n int) {
	const image, least, most = 130, 1 << 30, 3 << 29 // bytes; those of an image with an id of 35: 55 in the list of images, 8 in each ranking and list
	if need := int64(n) * image; 2*need > most && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(max(least, need))
	}
}

// refresh looks whether files came or went since the index was written.
func (e *Engine) refresh(ctx context.Context) {
	select {
	case <-e.carried: // a new list has this one before it
	case <-ctx.Done():
		return
	}
	changed, err := e.pool.Refresh(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		e.notice("warning", "the sources could not be listed again: "+sentence(err))
	case changed:
		e.notice("warning", "files were added, changed or removed in the sources: `anomalymatch stop` and open the project again to see them")
	}
}

// warmUp opens the runtime before the first job needs it, so that the screen says from the start what will run; the first pictures
// go before.
func (e *Engine) warmUp(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(time.Second):
	}
	for _, task := range []runtime.Task{runtime.Infer, runtime.Train} {
		if o, err := runtime.Open(task, e.config().Engine.Runtime); err == nil {
			e.update(func(s *rpc.Status) { e.runs(s, task, o) })
		}
	}
}

// setLabels replaces the label set. Called with mu held.
func (e *Engine) setLabels(current map[string]label.Value) {
	e.labels = current
	if e.pool == nil {
		return
	}
	e.of = newSaid(e.pool, current)
	e.countLabels()
}

// setMarks replaces the marks. Called with mu held.
func (e *Engine) setMarks(all map[string]label.Marks) {
	if e.pool == nil {
		return
	}
	marks := map[int32]label.Marks{}
	for id, m := range all {
		if i, ok := e.pool.Find(id); ok && m != 0 {
			marks[int32(i)] = m
		}
	}
	if !maps.Equal(marks, e.marks) {
		e.marks = marks
		e.marked++
	}
}

// countLabels brings the counts of the status up to date. Called with mu held.
func (e *Engine) countLabels() {
	s := e.status
	s.Anomalies, s.Normals, s.Skipped = 0, 0, 0
	for _, v := range e.labels {
		switch v {
		case label.Anomaly:
			s.Anomalies++
		case label.Normal:
			s.Normals++
		case label.Skip:
			s.Skipped++
		}
	}
	s.LabelsVersion++
}

// countPool brings the image counts of the status up to date. Called with mu held.
func (e *Engine) countPool() {
	e.status.Bad, e.status.Pool = int64(len(e.pool.Bad())), int64(e.pool.Len()-len(e.pool.Unusable()))
	e.status.ProjectImages = int64(cut(e.pool.Len(), e.config().Queue.TopPercent))
	hash := e.pool.Hash()
	e.status.PoolHash = hex.EncodeToString(hash[:])
}

// current is the ranking for a name; "" is the setting's. What is not there yet falls back to the next best. Called with mu held.
func (e *Engine) current(by string) *ranking {
	if by == "" {
		by = e.config().Queue.Ranking
	}
	have := map[string]*ranking{"deep": e.deep, "joint": e.joint, "novelty": e.novel, "order": e.plain}
	if e.fast != nil {
		have[e.fast.by] = e.fast
	}
	choice := []string{by, "fast", "joint", "deep", "novelty", "order"}
	if e.config().Method == "fixmatch" {
		choice = []string{by, "deep", "fast", "novelty", "order"}
	}
	for _, name := range choice {
		if r := have[name]; r != nil {
			return r
		}
	}
	return nil
}

// take takes in a new fast ranking, a new deep one, or both; nil leaves what there is.
func (e *Engine) take(fast, deep *ranking) {
	for {
		e.mu.Lock()
		f, d := cmp.Or(fast, e.fast), cmp.Or(deep, e.deep)
		e.mu.Unlock()
		var j *ranking
		if f != nil && f.by == "fast" && d != nil && len(f.scores) == len(d.scores) {
			j = joint(f, d)
		}
		e.mu.Lock()
		current := f == cmp.Or(fast, e.fast) && d == cmp.Or(deep, e.deep)
		if current {
			e.fast, e.deep, e.joint = f, d, j
			e.newOrder()
		}
		e.mu.Unlock()
		if current {
			return
		}
	}
}

// newOrder tells that the lists changed. Called with mu held.
func (e *Engine) newOrder() {
	at := func(r *ranking) int64 {
		if r == nil || r.at.IsZero() {
			return 0
		}
		return r.at.UnixMilli()
	}
	r, s := e.current(""), e.status
	s.RankedBy, s.RankedAtUnixMs, s.DeepAtUnixMs, s.FastAtUnixMs = r.by, at(r), at(e.deep), 0
	if e.fast != nil && e.fast.by == "fast" {
		s.FastAtUnixMs = at(e.fast)
	}
	s.RankingVersion++
}

// label writes changes and takes them into the label set. It returns when they are on disk.
func (e *Engine) label(by, uid string, changes []label.Change) (version uint64, err error) {
	if err := e.opt.Labels.Append(by, uid, changes); err != nil {
		return 0, err
	}
	e.takeLabels()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.moved = true
	return e.status.LabelsVersion, nil
}

// readLabels takes in what other writers have appended.
func (e *Engine) readLabels() error {
	e.reading.Lock() // who asks finds what another one has just read taken in
	defer e.reading.Unlock()
	changed, err := e.opt.Labels.Poll()
	if changed {
		e.takeLabels()
	}
	return err
}

// takeLabels brings labels and marks up to date with the journal. Where only marks changed nothing is to be ranked anew.
func (e *Engine) takeLabels() {
	current, marks := e.opt.Labels.Current(), e.opt.Labels.Marks()
	e.mu.Lock()
	e.setMarks(marks)
	same := maps.Equal(current, e.labels)
	if !same {
		e.setLabels(current)
	}
	e.mu.Unlock()
	if same {
		return
	}
	e.publish()
	e.rankAgain()
}

func (e *Engine) rankAgain() {
	select {
	case e.dirty <- struct{}{}:
	default:
	}
}

// rank refits the fast head whenever labels or embeddings changed.
func (e *Engine) rank(ctx context.Context) {
	var fitted uint64 // labels it knows
	var by float64    // regularisation
	var on *fast.Embeddings
	var ranker *fast.Ranker
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.dirty:
		}
		e.mu.Lock()
		emb, version := e.emb, e.status.LabelsVersion
		anomalies, normals := e.trainable()
		known := map[int]bool{}
		for i := range e.of.all() {
			known[int(i)] = true
		}
		e.mu.Unlock()
		c := e.config().Fast.Regularisation
		if emb == nil || (emb == on && version == fitted && c == by) {
			continue
		}
		if emb != on || c != by || ranker == nil {
			ranker = fast.NewRanker(emb, fast.Best(c))
		}
		r, beliefs, err := fit(ranker, anomalies, normals, known)
		if err != nil {
			e.settled()
			e.notice("error", sentence(err))
			continue
		}
		if emb != on && emb.Damaged() > 0 {
			e.notice("warning", fmt.Sprintf("the embeddings of %d images are damaged on disk: they are left out of the ranking and made again", emb.Damaged()))
			if !e.opt.ReadOnly {
				e.add(e.embedJob())
			}
		}
		renewed := emb != on
		on, by, fitted, r.labels = emb, c, version, version
		e.mu.Lock()
		e.beliefs = beliefs
		e.mu.Unlock()
		e.take(r, nil)
		e.settled()
		e.publish()
		if !renewed {
			continue
		}
		novel := r
		if r.by != "novelty" { // nobody waits for it
			novel = rank("novelty", time.Now(), emb.Novelty())
		}
		e.mu.Lock()
		e.novel = novel
		e.newOrder()
		e.mu.Unlock()
		e.publish()
	}
}

// fit makes the fast ranking, or novelty where there is nothing to fit to.
func fit(r *fast.Ranker, anomalies, normals []int, known map[int]bool) (*ranking, fast.Beliefs, error) {
	head, scores, beliefs, err := r.Learn(anomalies, normals, known)
	if err != nil {
		return nil, beliefs, err
	}
	by := "fast"
	if head == nil {
		by = "novelty"
	}
	made := rank(by, time.Now(), scores)
	made.head = head
	return made, beliefs, nil
}

// fitFor is what a head fitted to anomalies and normals, both at least one, says of the images test; NaN where one has no embedding. It
// believes what the ranking on screen believes, but nothing about what it is asked.
func (e *Engine) fitFor(emb *fast.Embeddings, anomalies, normals, test []int) ([]float32, error) {
	e.mu.Lock()
	beliefs := e.beliefs
	e.mu.Unlock()
	asked := map[int]bool{}
	for _, i := range test {
		asked[i] = true
	}
	without := func(list []int) []int {
		return slices.DeleteFunc(slices.Clone(list), func(i int) bool { return asked[i] })
	}
	beliefs = fast.Beliefs{Anomalies: without(beliefs.Anomalies), Normals: without(beliefs.Normals)}
	h, err := fast.Fit(emb, anomalies, normals, beliefs, fast.Best(e.config().Fast.Regularisation))
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(test))
	for n, i := range test {
		out[n] = h.Score(i)
	}
	return out, nil
}

// trainable lists the labelled images by class, in the pool's order. Called with mu held.
func (e *Engine) trainable() (anomalies, normals []int) {
	for i, v := range e.of.all() {
		if e.pool.IsBad(int(i)) {
			continue
		}
		switch v {
		case label.Anomaly:
			anomalies = append(anomalies, int(i))
		case label.Normal:
			normals = append(normals, int(i))
		}
	}
	return anomalies, normals
}

// takeScores takes in scores that another process put into the project folder: those of a cluster, merged, or of a sweep.
func (e *Engine) takeScores() {
	e.scoreFile.Lock()
	defer e.scoreFile.Unlock()
	if cycle, taken := e.newestScores(); taken {
		e.notice("info", fmt.Sprintf("the scores of cycle %d are there", cycle))
	}
}

// keepScores writes the scores of a checkpoint and takes them in, unless there are newer ones.
func (e *Engine) keepScores(info fixmatch.Info, scores []float32, backend string, batch int) error {
	e.scoreFile.Lock()
	defer e.scoreFile.Unlock()
	hash := e.pool.Hash()
	err := score.Write(e.dir("scores"), score.Header{Pool: hex.EncodeToString(hash[:]), Cycle: info.Cycle, Step: info.RunStep, Backend: backend, Batch: batch}, scores)
	e.newestScores()
	return err
}

// newestScores takes in the newest scores, if those are others than what was taken in last. Called with scoreFile held.
func (e *Engine) newestScores() (cycle int, taken bool) {
	e.mu.Lock()
	pool, known := e.pool, e.status.Cycle
	e.mu.Unlock()
	if pool == nil {
		return 0, false
	}
	stamp := score.Stamp(e.dir("scores"))
	if stamp == e.scored {
		return 0, false
	}
	e.scored = stamp
	h, scores, found := score.Latest(e.dir("scores"), pool.Hash())
	if !found || int32(h.Cycle) < known {
		return 0, false
	}
	pool.LoadBad()
	e.take(nil, rank("deep", h.Made, scores))
	e.mu.Lock()
	e.deepOf = h
	e.countPool()
	e.mu.Unlock()
	e.update(func(s *rpc.Status) { s.Cycle = int32(h.Cycle) })
	return h.Cycle, true
}

// watch picks up other writers' labels and scores, and ends the engine when nobody needs it.
func (e *Engine) watch(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	var said string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		read := make(chan error, 1)
		go func() { read <- e.readLabels() }()
		var err error
		select {
		case err = <-read:
		case <-time.After(patience):
			e.notice("warning", e.hangs())
			select {
			case err = <-read:
				e.notice("info", "the file system answers again")
			case <-ctx.Done():
				return
			}
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			e.notice("warning", sentence(err))
		}
		e.takeScores()
		e.takeMetadata()
		idle := time.Duration(e.config().Engine.IdleMinutes) * time.Minute
		e.mu.Lock()
		if len(e.subs) > 0 || e.busy != nil {
			e.used = time.Now()
		}
		over := idle > 0 && time.Since(e.used) > idle
		e.mu.Unlock()
		if over {
			e.log.Info("nobody was here for the idle time: ending", "minutes", e.config().Engine.IdleMinutes)
			e.Stop()
			return
		}
	}
}

// histogram counts scores in equal bins of [0,1]: all ranked images, labelled anomalies, labelled normals.
func (e *Engine) histogram(by string, bins int) *rpc.HistogramReply {
	bins = min(max(bins, 1), 1000)
	e.mu.Lock()
	r, of := e.current(by), e.of
	e.mu.Unlock()
	h := &rpc.HistogramReply{Pool: make([]int64, bins), Anomalies: make([]int64, bins), Normals: make([]int64, bins)}
	if r == nil || r.by == "order" { // nothing is known yet
		return &rpc.HistogramReply{}
	}
	h.RankedBy = r.by
	for _, i := range r.order {
		b := min(int(r.scores[i]*float32(bins)), bins-1)
		h.Pool[b]++
		switch of.at(i) {
		case label.Anomaly:
			h.Anomalies[b]++
		case label.Normal:
			h.Normals[b]++
		}
	}
	return h
}

// openRuntime finds the backend for a task and says on screen which it is.
func (e *Engine) openRuntime(task runtime.Task) (runtime.Opened, error) {
	e.update(func(s *rpc.Status) { s.Detail = "starting the runtime" })
	o, err := runtime.Open(task, e.config().Engine.Runtime)
	if err != nil {
		return o, err
	}
	if o.Note != "" {
		e.notice("warning", o.Note)
	}
	e.update(func(s *rpc.Status) { e.runs(s, task, o) })
	return o, nil
}

// runs notes what does a task; the status names both where they differ. Called with mu held.
func (e *Engine) runs(s *rpc.Status, task runtime.Task, o runtime.Opened) {
	e.backends[task] = o.Name
	s.Backend = runtime.Together(e.backends[runtime.Infer], e.backends[runtime.Train])
}

// warn tells the person in a sentence what did not go as it should.
func (e *Engine) warn(text string) { e.notice("warning", text) }

// memory of this process in MiB, 0 where the system does not say.
func memory() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var total, resident float64
	if _, err := fmt.Sscan(string(b), &total, &resident); err != nil {
		return 0
	}
	return math.Round(resident * float64(os.Getpagesize()) / (1 << 20))
}

// sentence is an error for people.
func sentence(err error) string {
	if errors.Is(err, context.Canceled) {
		return "cancelled"
	}
	return say.Plain(err.Error())
}
