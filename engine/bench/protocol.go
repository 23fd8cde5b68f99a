// Package bench measures the engine: the published protocol, speed of scoring, speed of training. Every figure in
// docs/benchmark.md is printed by it.
package bench

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/engine/augment"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/metrics"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
)

// Pool is a set of images with known truth, and the labels a run starts from.
type Pool struct {
	Images *dataset.Pool
	Truth  []bool       // by image number: anomaly
	Start  map[int]bool // image number → anomaly
}

// OpenPool reads the images of folder that poolCSV (filename,truth) lists, and labelsCSV (filename,label; "": no labels). index is a folder for
// what is remembered about the images.
func OpenPool(ctx context.Context, folder, poolCSV, labelsCSV, index string) (*Pool, error) {
	all, err := dataset.OpenPool(ctx, index, []dataset.NamedSource{{Name: "images", Path: folder}}, dataset.Limits{}, nil)
	if err != nil {
		return nil, err
	}
	truth, err := readCSV(poolCSV, "truth", all)
	if err != nil {
		return nil, err
	}
	start := map[int]bool{}
	if labelsCSV != "" {
		if start, err = readCSV(labelsCSV, "label", all); err != nil {
			return nil, err
		}
	}
	numbers := make([]int, 0, len(truth))
	for i := range truth {
		numbers = append(numbers, i)
	}
	slices.Sort(numbers)
	p := &Pool{Images: all.Subset(numbers), Truth: make([]bool, len(numbers)), Start: map[int]bool{}}
	for i, anomaly := range truth {
		k, _ := p.Images.Find(all.ID(i))
		p.Truth[k] = anomaly
	}
	for i, anomaly := range start {
		k, ok := p.Images.Find(all.ID(i))
		if !ok {
			return nil, fmt.Errorf("%s labels %q, which %s does not list", filepath.Base(labelsCSV), all.ID(i), filepath.Base(poolCSV))
		}
		p.Start[k] = anomaly
	}
	return p, nil
}

// readCSV reads `filename,COLUMN` with anomaly or normal in the column.
func readCSV(path, column string, pool *dataset.Pool) (map[int]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := csv.NewReader(f)
	head, err := in.Read()
	if err != nil || len(head) < 2 || head[0] != "filename" || head[1] != column {
		return nil, fmt.Errorf("%s must begin with the line filename,%s", filepath.Base(path), column)
	}
	out := map[int]bool{}
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		line, _ := in.FieldPos(0)
		if row[1] != "anomaly" && row[1] != "normal" {
			return nil, fmt.Errorf("%s:%d: %s is %q, not anomaly or normal", filepath.Base(path), line, column, row[1])
		}
		i, err := pool.Match(row[0])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", filepath.Base(path), line, err)
		}
		out[i] = row[1] == "anomaly"
	}
}

// Options of a run.
type Options struct {
	Config   anomalymatch.Config // size, iterations, seed and every number of the method
	Method   string              // one of Methods
	Cycles   int
	Dir      string // for embeddings
	Progress func(Progress)
	// Scored, where given, sees the scores of each cycle by image number and the labels that the cycle was trained on. It keeps neither.
	Scored func(cycle int, scores []float32, labels map[int]bool)
}

// Progress of a run: what it does, how far that is, images per second and seconds left (0 and -1 while not known).
type Progress struct {
	What        string
	Done, All   int
	Speed       float64
	SecondsLeft float64
}

// Cycle is one row of the protocol's result. Metrics leave out the labelled images; they are nil where one class is left.
type Cycle struct {
	Cycle  int `json:"cycle"`
	Labels struct {
		Anomaly int `json:"anomaly"`
		Normal  int `json:"normal"`
	} `json:"labels"`
	AUROC        *float64           `json:"auroc"`
	AUPRC        *float64           `json:"auprc"`
	Precision    map[string]float64 `json:"precision"`
	Recall       map[string]float64 `json:"recall"`
	TrainSeconds float64            `json:"train_seconds"`
	ScoreSeconds float64            `json:"score_seconds"`
	Images       int                `json:"images"`
}

// Report is what `bench protocol --json` prints.
type Report struct {
	Backend string  `json:"backend"`
	Seed    int64   `json:"seed"`
	Method  string  `json:"method"`
	Size    int     `json:"size"`
	Cycles  []Cycle `json:"cycles"`
	// Note says why a slower runtime was used, "" if all is well.
	Note string `json:"note,omitempty"`
}

// oracleStep is how many images of each class the oracle labels after a cycle.
const oracleStep = 10

// Protocol runs the paper's protocol: cycle 0 is scored before training; then, each cycle: train on the labels, score the pool,
// measure on what has no label, and let an oracle label the 10 highest-scoring normals and the 10 highest-scoring anomalies.
func Protocol(ctx context.Context, p *Pool, opt Options) (*Report, error) {
	m, err := newMethod(ctx, p, &opt)
	if err != nil {
		return nil, err
	}
	defer m.close()
	backend := m.backend()
	r := &Report{Backend: backend.Name, Note: backend.Note, Seed: opt.Config.Seed, Method: opt.Method, Size: m.size()}
	labels := map[int]bool{}
	for i, anomaly := range p.Start {
		labels[i] = anomaly
	}
	for c := range opt.Cycles + 1 {
		row := Cycle{Cycle: c}
		began := time.Now()
		if c > 0 {
			if err := m.train(ctx, labels, c); err != nil {
				return nil, err
			}
			row.TrainSeconds = round(time.Since(began).Seconds(), 2)
		}
		began = time.Now()
		scores, err := m.score(ctx)
		if err != nil {
			return nil, err
		}
		row.ScoreSeconds = round(time.Since(began).Seconds(), 2)
		row.measure(p.Truth, labels, scores)
		r.Cycles = append(r.Cycles, row)
		if opt.Scored != nil {
			opt.Scored(c, scores, labels)
		}
		if opt.Progress != nil {
			opt.Progress(Progress{What: row.String(), Done: c, All: opt.Cycles, SecondsLeft: -1})
		}
		if c > 0 && c < opt.Cycles {
			oracle(p.Truth, labels, scores)
		}
	}
	return r, nil
}

// oracle adds the highest-scoring unlabelled images of each class.
func oracle(truth []bool, labels map[int]bool, scores []float32) {
	left := map[bool]int{true: oracleStep, false: oracleStep}
	for _, n := range score.Order(scores) {
		i := int(n)
		if _, done := labels[i]; !done && left[truth[i]] > 0 {
			labels[i] = truth[i]
			left[truth[i]]--
		}
	}
}

func (c *Cycle) measure(truth []bool, labels map[int]bool, scores []float32) {
	var t []bool
	var s []float64
	for i, v := range scores {
		anomaly, labelled := labels[i]
		switch {
		case labelled && anomaly:
			c.Labels.Anomaly++
		case labelled:
			c.Labels.Normal++
		case !math.IsNaN(float64(v)):
			t, s = append(t, truth[i]), append(s, float64(v))
		}
	}
	c.Images = len(t)
	known := func(v float64, ok bool) *float64 {
		if !ok {
			return nil
		}
		v = round(v, 4)
		return &v
	}
	c.AUROC, c.AUPRC = known(metrics.AUROC(t, s)), known(metrics.AUPRC(t, s))
	c.Precision, c.Recall = map[string]float64{}, map[string]float64{}
	for name, percent := range map[string]float64{"0.1": 0.1, "1": 1} {
		if p, r, ok := metrics.TopPercent(t, s, percent); ok {
			c.Precision[name], c.Recall[name] = round(p, 4), round(r, 4)
		}
	}
}

func (c *Cycle) String() string {
	of := func(v *float64) string {
		if v == nil {
			return "–"
		}
		return fmt.Sprintf("%.4f", *v)
	}
	return fmt.Sprintf("cycle %d: %d + %d labels, AUROC %s, AUPRC %s, top 1%% %.1f%%", c.Cycle, c.Labels.Anomaly, c.Labels.Normal, of(c.AUROC), of(c.AUPRC), 100*c.Precision["1"])
}

func round(v float64, digits int) float64 {
	p := math.Pow(10, float64(digits))
	return math.Round(v*p) / p
}

// method is a way to score the pool from labels.
type method interface {
	train(ctx context.Context, labels map[int]bool, cycle int) error
	score(ctx context.Context) ([]float32, error)
	backend() runtime.Opened
	size() int
	close()
}

func split(labels map[int]bool) (anomalies, normals []int) {
	for i, anomaly := range labels {
		if anomaly {
			anomalies = append(anomalies, i)
		} else {
			normals = append(normals, i)
		}
	}
	slices.Sort(anomalies)
	slices.Sort(normals)
	return anomalies, normals
}

// fixMatch is the published method: weights and optimiser go on from cycle to cycle.
type fixMatch struct {
	pool    *Pool
	opt     *Options
	runtime runtime.Opened
	trainer *fixmatch.Trainer
	steps   int
}

func newFixMatch(p *Pool, opt *Options) (*fixMatch, error) {
	o, err := runtime.Open(runtime.Train, opt.Config.Engine.Runtime)
	if err != nil {
		return nil, err
	}
	w, err := nn.Pretrained(p.Images.Channels())
	if err != nil {
		return nil, err
	}
	w.NewHead(rand.New(rand.NewPCG(uint64(opt.Config.Seed), 0)))
	t, err := fixmatch.NewTrainer(o.Backend, fixmatch.FromConfig(opt.Config.FixMatch), fixmatch.NewState(w))
	if err != nil {
		return nil, err
	}
	return &fixMatch{pool: p, opt: opt, runtime: o, trainer: t}, nil
}

func (m *fixMatch) backend() runtime.Opened { return m.runtime }
func (m *fixMatch) size() int               { return m.opt.Config.Model.Size }
func (m *fixMatch) close()                  { m.trainer.Close() }

func (m *fixMatch) train(ctx context.Context, labels map[int]bool, cycle int) error {
	cfg := m.opt.Config
	anomalies, normals := split(labels)
	var rest []int
	for i := range m.pool.Truth {
		if _, labelled := labels[i]; !labelled {
			rest = append(rest, i)
		}
	}
	set := fixmatch.FromConfig(cfg.FixMatch)
	l := &fixmatch.Loader{Images: m.pool.Images, Settings: set, Augment: augment.Settings(cfg.Augment), Size: cfg.Model.Size, Seed: cfg.Seed,
		Anomalies: anomalies, Normals: normals, Unlabelled: rest}
	if err := l.Check(); err != nil {
		return err
	}
	n := cfg.FixMatch.Iterations
	from := int64(cycle-1) * int64(n)
	p := m.opt.meter(fmt.Sprintf("cycle %d: training", cycle), n)
	images := float64(set.Labelled + 2*set.Unlabelled)
	done := 0
	for b, err := range l.Run(ctx, from, from+int64(n)) {
		if err != nil {
			return err
		}
		r, err := m.trainer.Step(b)
		if err != nil {
			return err
		}
		if v := float64(r.Loss); math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("the loss is not a number at step %d", done+1)
		}
		done++
		m.steps++
		p(done, images)
	}
	return nil
}

func (m *fixMatch) score(ctx context.Context) ([]float32, error) {
	state, err := m.trainer.State()
	if err != nil {
		return nil, err
	}
	model, err := nn.NewModel(m.runtime, state.Scoring())
	if err != nil {
		return nil, err
	}
	defer model.Close()
	p := m.opt.meter("scoring", m.pool.Images.Len())
	return score.Pool(ctx, m.pool.Images, model, score.Options{Size: m.size(), Batch: score.Batch(m.opt.Config.Model.ScoreBatch, m.size(), m.pool.Images.Len()), Workers: goruntime.GOMAXPROCS(0),
		Progress: func(done, _ int) { p(done, 1) }})
}

// Methods are what a benchmark can measure: the published one, the baseline head, what the program ranks with, and that joined with the
// published one.
var Methods = []string{"fixmatch", "fast", "best", "joint"}

func newMethod(ctx context.Context, p *Pool, opt *Options) (method, error) {
	f := opt.Config.Fast
	switch opt.Method {
	case "fixmatch":
		return newFixMatch(p, opt)
	case "fast":
		return newHead(ctx, p, opt, 1, fast.Plain())
	case "best":
		return newHead(ctx, p, opt, f.Views, fast.Best(f.Regularisation))
	case "joint":
		head, err := newHead(ctx, p, opt, f.Views, fast.Best(f.Regularisation))
		if err != nil {
			return nil, err
		}
		deep, err := newFixMatch(p, opt)
		if err != nil {
			head.close()
			return nil, err
		}
		return &joint{deep, head}, nil
	}
	return nil, fmt.Errorf("no method %q: choose %s", opt.Method, strings.Join(Methods, ", "))
}

// EmbeddingKey is the key of the embeddings that a method uses; false where it uses none.
func (o Options) EmbeddingKey(hash [32]byte) (fast.Key, bool) {
	switch o.Method {
	case "fixmatch":
		return fast.Key{}, false
	case "fast":
		return fast.KeyOf(hash, o.Config.Fast.Size, 1), true
	}
	return fast.KeyOf(hash, o.Config.Fast.Size, o.Config.Fast.Views), true
}

// head ranks by a logistic head on frozen embeddings.
type head struct {
	pool     *Pool
	opt      *Options
	runtime  runtime.Opened
	emb      *fast.Embeddings
	settings fast.Settings
	scores   []float32
}

func newHead(ctx context.Context, p *Pool, opt *Options, views int, s fast.Settings) (*head, error) {
	o, err := runtime.Open(runtime.Infer, opt.Config.Engine.Runtime)
	if err != nil {
		return nil, err
	}
	key := fast.KeyOf(p.Images.Hash(), opt.Config.Fast.Size, views)
	emb, err := fast.Open(opt.Dir, key)
	if err != nil {
		progress := opt.meter("embedding", p.Images.Len())
		emb, err = fast.Create(ctx, opt.Dir, key, p.Images, o, fast.Options{Batch: 64, Workers: goruntime.GOMAXPROCS(0),
			Progress: func(done, _ int) { progress(done, 1) }})
	}
	if err != nil {
		return nil, err
	}
	return &head{pool: p, opt: opt, runtime: o, emb: emb, settings: s, scores: emb.Novelty()}, nil
}

func (m *head) backend() runtime.Opened { return m.runtime }
func (m *head) size() int               { return m.opt.Config.Fast.Size }
func (m *head) close()                  { m.emb.Close() }

func (m *head) train(_ context.Context, labels map[int]bool, _ int) error {
	anomalies, normals := split(labels)
	known := map[int]bool{}
	for i := range labels {
		known[i] = true
	}
	scores, _, _, err := fast.Rank(m.emb, anomalies, normals, known, m.settings)
	if err == nil {
		m.scores = scores
	}
	return err
}

func (m *head) score(context.Context) ([]float32, error) { return m.scores, nil }

// joint is what the program ranks by once the network is trained: both rank orders.
type joint struct {
	deep *fixMatch
	fast *head
}

func (m *joint) backend() runtime.Opened { return m.deep.backend() }
func (m *joint) size() int               { return m.deep.size() }
func (m *joint) close() {
	m.deep.close()
	m.fast.close()
}

func (m *joint) train(ctx context.Context, labels map[int]bool, cycle int) error {
	if err := m.fast.train(ctx, labels, cycle); err != nil {
		return err
	}
	return m.deep.train(ctx, labels, cycle)
}

func (m *joint) score(ctx context.Context) ([]float32, error) {
	fast, err := m.fast.score(ctx)
	if err != nil || m.deep.steps == 0 { // before any training the network knows nothing
		return fast, err
	}
	deep, err := m.deep.score(ctx)
	if err != nil {
		return nil, err
	}
	return score.Joint(fast, deep), nil
}

// meter reports progress with speed, leaving out what happens before the first report (compiling). perUnit is the images of one
// unit of done.
func (o *Options) meter(what string, all int) func(done int, perUnit float64) {
	var began time.Time
	first := 0
	return func(done int, perUnit float64) {
		if o.Progress == nil {
			return
		}
		p := Progress{What: what, Done: done, All: all, SecondsLeft: -1}
		if began.IsZero() {
			began, first = time.Now(), done
		} else if s := time.Since(began).Seconds(); s > 0 && done > first {
			perSecond := float64(done-first) / s
			p.Speed, p.SecondsLeft = perSecond*perUnit, float64(all-done)/perSecond
		}
		o.Progress(p)
	}
}
