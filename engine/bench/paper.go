package bench

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	"anomalymatch/engine/fast"
	"anomalymatch/engine/metrics"
	"anomalymatch/engine/runtime"
	"anomalymatch/internal/atomicfile"
)

// Setting is a way of the paper to make a pool and its first labels from a data set and one of its classes.
type Setting struct {
	Name      string `json:"name"`
	OneIn     int    `json:"one_in,omitempty"` // one in so many images of the pool is an anomaly; 0: all images of the class are kept
	Anomalies int    `json:"anomalies"`        // labelled at the start
	Normals   int    `json:"normals"`
}

// Settings are the paper's two: on miniImageNet and on GalaxyMNIST.
func Settings() []Setting {
	return []Setting{
		{Name: "miniimagenet", OneIn: 100, Anomalies: 5, Normals: 495},
		{Name: "galaxymnist", Anomalies: 10, Normals: 30},
	}
}

// PaperOptions of a run over classes and seeds. Config.Seed is the first seed; Dir keeps finished runs and the embeddings of the
// data set.
type PaperOptions struct {
	Options
	Setting Setting
	Seeds   int
	Say     func(string) // what a person should see and keep: a run is done

	protocol func(context.Context, *Pool, Options) (*Report, error) // Protocol but in tests
}

// PaperRun is the protocol with one class as anomaly and one seed.
type PaperRun struct {
	Class     string `json:"class"`
	Images    int    `json:"images"`    // of the pool
	Anomalies int    `json:"anomalies"` // among them
	Report
	Curves Curves `json:"-"`
}

// last is the row after the last cycle.
func (r *PaperRun) last() *Cycle { return &r.Cycles[len(r.Cycles)-1] }

// Curves of the ranking after the last cycle, as heights at the places of Grid. They are of the images without a label, as the
// metrics are: the oracle's labels are no measure of what a person would have had to look at.
type Curves struct {
	ROC             []float64 `json:"roc"`
	PrecisionRecall []float64 `json:"precision_recall"`
	Detection       []float64 `json:"detection"`      // share of the anomalies found, by share of the images inspected
	Anomaly         []int64   `json:"anomaly_scores"` // in bins from 0 to 1
	Normal          []int64   `json:"normal_scores"`
}

const scoreBins = 50

// Grid is where curves are kept, from 0 to 1 and closer near 0, where the top of a ranking is.
var Grid = func() []float64 {
	const near, far = 80, 100
	g := []float64{0}
	for k := range near {
		g = append(g, math.Pow(10, -4+4*float64(k)/near))
	}
	for k := range far {
		g = append(g, float64(k+1)/far)
	}
	slices.Sort(g)
	return slices.CompactFunc(g, func(a, b float64) bool { return math.Abs(b-a) < 1e-9 })
}()

// Unfinished says that some runs are missing, and why. Those that are done are kept.
type Unfinished struct {
	Done, All int
	Why       error
}

func (u *Unfinished) Error() string {
	return fmt.Sprintf("%d of %d runs are done and kept; the next ended: %v", u.Done, u.All, u.Why)
}
func (u *Unfinished) Unwrap() error { return u.Why }

// Paper runs the protocol with each class as anomaly and with several seeds. Runs that were finished before, with the same
// options on the same images, are taken from Dir. It ends with *Unfinished where a run fails or ctx ends.
func Paper(ctx context.Context, d *DataSet, opt PaperOptions) (*PaperReport, error) {
	if opt.protocol == nil {
		opt.protocol = Protocol
	}
	if err := d.enough(opt.Setting, opt.Cycles); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(opt.Dir, "runs"), 0o777); err != nil {
		return nil, err
	}
	p := &paper{DataSet: d, PaperOptions: opt}
	var missing []int
	for _, class := range d.Anomalies {
		for s := range opt.Seeds {
			j := job{class: class, seed: opt.Config.Seed + int64(s)}
			j.file = filepath.Join(opt.Dir, "runs", fmt.Sprintf("%s-%d-%s.json", fileWord(d.Names[class]), j.seed, p.fingerprint(j)))
			if j.run = loadRun(j.file); j.run == nil {
				missing = append(missing, len(p.jobs))
			}
			p.jobs = append(p.jobs, j)
		}
	}
	if kept := len(p.jobs) - len(missing); kept > 0 {
		p.say("%d of %d runs were done before", kept, len(p.jobs))
	}
	err := p.embed(ctx, len(missing) > 0)
	defer p.close()
	p.pace = pace{began: time.Now(), all: float64(len(missing))}
	for n, k := range missing {
		if err == nil {
			err = p.run(ctx, k, float64(n))
		}
		if err != nil {
			return nil, &Unfinished{Done: len(p.jobs) - len(missing) + n, All: len(p.jobs), Why: err}
		}
	}
	return p.report(), nil
}

// enough says what is missing where a class has too few images to be labelled and still be found.
func (d *DataSet) enough(s Setting, cycles int) error {
	later := oracleStep * max(0, cycles-1)
	for _, class := range d.Anomalies {
		anomalies, normals := d.Counts(class, s)
		switch {
		case normals < s.Normals+later+1:
			return fmt.Errorf("beside %.100q there are %d images; the setting %s with --cycles %d needs %d: %d labelled at the start, %d by the oracle later, and one to rank",
				d.Names[class], normals, s.Name, cycles, s.Normals+later+1, s.Normals, later)
		case anomalies < s.Anomalies+later+1:
			need := s.Anomalies + later + 1
			have := fmt.Sprintf("%.100q has %d images", d.Names[class], anomalies)
			if s.OneIn > 0 && normals/(s.OneIn-1) == anomalies {
				have = fmt.Sprintf("1 in %d of the pool is %d images of %.100q beside %d others", s.OneIn, anomalies, d.Names[class], normals)
			}
			sentence := fmt.Sprintf("%s; the setting %s with --cycles %d needs %d anomalies: %d labelled at the start, %d by the oracle later, and one to find", have, s.Name, cycles, need, s.Anomalies, later)
			if s.OneIn > 0 {
				return fmt.Errorf("%s, so %d other images or more; fewer --cycles need fewer", sentence, need*(s.OneIn-1))
			}
			return fmt.Errorf("%s; fewer --cycles need fewer", sentence)
		}
	}
	return nil
}

// Counts is how many images of the class, and how many others, make its pool.
func (d *DataSet) Counts(class int, s Setting) (anomalies, normals int) {
	for _, c := range d.Class {
		if c == class {
			anomalies++
		}
	}
	normals = len(d.Class) - anomalies
	if s.OneIn > 1 {
		anomalies = min(anomalies, normals/(s.OneIn-1))
	}
	return anomalies, normals
}

// pool is the images of one run, drawn with the seed, and their numbers in the data set.
func (d *DataSet) pool(class int, s Setting, seed int64) (*Pool, []int) {
	keep, _ := d.Counts(class, s)
	var numbers []int
	for _, i := range rand.New(rand.NewPCG(uint64(seed), 2)).Perm(len(d.Class)) {
		if d.Class[i] != class {
			numbers = append(numbers, i)
		} else if keep > 0 {
			numbers = append(numbers, i)
			keep--
		}
	}
	slices.Sort(numbers)
	p := &Pool{Images: d.Images.Subset(numbers), Truth: make([]bool, len(numbers)), Start: map[int]bool{}}
	for k, i := range numbers {
		p.Truth[k] = d.Class[i] == class
	}
	p.draw(s.Anomalies, s.Normals, seed)
	return p, numbers
}

// paper is a run of Paper.
type paper struct {
	*DataSet
	PaperOptions
	jobs  []job
	whole *fast.Embeddings // of the data set; nil where the method uses none
	pace
}

// pace tells the time left from how long runs took so far. It is measured where a cycle ends; in between the time left goes down.
type pace struct {
	began, at time.Time // of the first missing run; of the last measurement
	done, all float64   // runs
}

func (p *pace) reach(done float64) { p.done, p.at = done, time.Now() }

// left is in seconds; -1 before the first cycle is done.
func (p *pace) left() float64 {
	if p.done == 0 {
		return -1
	}
	return max(0, p.at.Sub(p.began).Seconds()/p.done*(p.all-p.done)-time.Since(p.at).Seconds())
}

type job struct {
	class int
	seed  int64
	file  string    // where the finished run is kept
	run   *PaperRun // nil until it is done
}

func (p *paper) say(format string, args ...any) {
	if p.Say != nil {
		p.Say(fmt.Sprintf(format, args...))
	}
}

// fingerprint is of everything that decides a run's outcome.
func (p *paper) fingerprint(j job) string {
	cfg := p.Config
	h := sha256.New()
	images := p.Images.Hash()
	err := json.NewEncoder(h).Encode([]any{anomalymatch.Version, images[:], p.Class, j.class, j.seed, p.Setting, p.Method, p.Cycles,
		cfg.Model.Size, cfg.Fast, cfg.FixMatch, cfg.Augment, cfg.Engine.Runtime})
	if err != nil {
		panic(err) // numbers and words
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// fileWord is a class's name as part of a file name.
func fileWord(name string) string {
	word := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, name)
	return word[:min(len(word), 40)]
}

// stored is a finished run on disk.
type stored struct {
	PaperRun
	Curves Curves `json:"curves"`
}

// loadRun reads a finished run; nil if there is none, or a damaged one.
func loadRun(file string) *PaperRun {
	b, err := os.ReadFile(file)
	var s stored
	if err != nil || json.Unmarshal(b, &s) != nil || len(s.Cycles) == 0 || len(s.Curves.ROC) != len(Grid) || len(s.Curves.PrecisionRecall) != len(Grid) ||
		len(s.Curves.Detection) != len(Grid) || len(s.Curves.Anomaly) != scoreBins || len(s.Curves.Normal) != scoreBins {
		return nil
	}
	s.PaperRun.Curves = s.Curves
	return &s.PaperRun
}

// embed embeds the data set once; the pools of all runs are parts of it.
func (p *paper) embed(ctx context.Context, needed bool) error {
	key, has := p.EmbeddingKey(p.Images.Hash())
	if !needed || !has {
		return nil
	}
	var err error
	if p.whole, err = fast.Open(p.Dir, key); !errors.Is(err, fast.ErrNone) {
		return err
	}
	o, err := runtime.Open(runtime.Infer, p.Config.Engine.Runtime)
	if err != nil {
		return err
	}
	progress := p.meter("embedding the data set", p.Images.Len())
	p.whole, err = fast.Create(ctx, p.Dir, key, p.Images, o, fast.Options{Batch: 64, Workers: goruntime.GOMAXPROCS(0),
		Progress: func(done, _ int) { progress(done, 1) }})
	return err
}

func (p *paper) close() {
	if p.whole != nil {
		p.whole.Close()
	}
}

// run does job k. n of the missing ones are done.
func (p *paper) run(ctx context.Context, k int, n float64) error {
	j := &p.jobs[k]
	pool, numbers := p.pool(j.class, p.Setting, j.seed)
	// A name of its own: what a killed run left there is used and cleared by the next try.
	dir := filepath.Join(p.Dir, "run-"+strings.TrimSuffix(filepath.Base(j.file), ".json"))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	opt := p.Options
	opt.Config.Seed, opt.Dir = j.seed, dir
	if p.whole != nil {
		key, _ := opt.EmbeddingKey(pool.Images.Hash())
		if err := p.whole.Subset(dir, key, numbers); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("run %d of %d: %s, seed %d", k+1, len(p.jobs), p.Names[j.class], j.seed)
	if p.Progress != nil {
		opt.Progress = func(s Progress) {
			s.What, s.SecondsLeft = name+" · "+s.What, p.left()
			p.Progress(s)
		}
	}
	run := &PaperRun{Class: p.Names[j.class], Images: len(numbers)}
	opt.Scored = func(cycle int, scores []float32, labels map[int]bool) {
		p.reach(n + float64(cycle)/float64(max(1, p.Cycles)))
		if cycle == p.Cycles {
			run.Curves = curvesOf(pool.Truth, labels, scores)
		}
	}
	report, err := p.protocol(ctx, pool, opt)
	if err != nil {
		return err
	}
	run.Report = *report
	for _, anomaly := range pool.Truth {
		if anomaly {
			run.Anomalies++
		}
	}
	if err := atomicfile.Write(j.file, func(w io.Writer) error { return json.NewEncoder(w).Encode(stored{*run, run.Curves}) }); err != nil {
		return fmt.Errorf("the finished run could not be kept: %w", err)
	}
	j.run = run
	p.say("%s: %s", name, run.last())
	return nil
}

// curvesOf measures the ranking by scores; labels are those that it was trained on.
func curvesOf(truth []bool, labels map[int]bool, scores []float32) Curves {
	var t []bool
	var s, anomalies, normals []float64
	for i, v := range scores {
		if _, labelled := labels[i]; labelled || math.IsNaN(float64(v)) {
			continue
		}
		t, s = append(t, truth[i]), append(s, float64(v))
		if truth[i] {
			anomalies = append(anomalies, float64(v))
		} else {
			normals = append(normals, float64(v))
		}
	}
	roc, _ := metrics.ROC(t, s)
	pr, _ := metrics.PrecisionRecall(t, s)
	detection, _ := metrics.Detection(t, s)
	return Curves{ROC: onGrid(roc), PrecisionRecall: onGrid(pr), Detection: onGrid(detection), Anomaly: metrics.Histogram(anomalies, scoreBins), Normal: metrics.Histogram(normals, scoreBins)}
}

// onGrid is the curve's height at the places of Grid; 0 where there is no curve.
func onGrid(c metrics.Curve) []float64 {
	out := make([]float64, len(Grid))
	for k, x := range Grid {
		if y := c.At(x); !math.IsNaN(y) {
			out[k] = round(y, 5)
		}
	}
	return out
}
