// Package sweep trains one project several times on the same labels, with other seeds or settings, and says what that tells.
//
// A plan fixes the labels and the settings of every run, so that whoever makes a run, wherever and in however many pieces, makes the same weights and
// scores: the person labels on meanwhile. A run's folder is laid out as a project's. What is there is told by the files alone; any number of processes
// use the same folder.
package sweep

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/label"
	"anomalymatch/engine/train"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/glob"
	"anomalymatch/internal/say"
)

// Plan of a sweep.
type Plan struct {
	Program   string    `json:"program"` // version of the program
	Made      time.Time `json:"time"`
	Pool      string    `json:"pool"` // hash of the pool, hexadecimal
	Images    int       `json:"images"`
	MaxPixels int       `json:"max_pixels"` // what an image may have
	MaxBytes  int64     `json:"max_bytes"`  // and its file
	Labels    string    `json:"labels"`     // hash of the label set
	Anomalies []string  `json:"anomalies"`  // ids, in order
	Normals   []string  `json:"normals"`
	Bad       []string  `json:"bad"` // that could not be used when the plan was made
	Runs      []Run     `json:"runs"`
}

// Run is what one run is trained with.
type Run struct {
	Changed []Change              `json:"set,omitempty"` // settings of --set, for people
	Seed    int64                 `json:"seed"`
	Size    int                   `json:"size"`
	Batch   int                   `json:"score_batch"`
	Every   int                   `json:"checkpoint_every"`
	Train   anomalymatch.FixMatch `json:"fixmatch"`
	Augment anomalymatch.Augment  `json:"augment"`
}

// Change is a setting that runs differ in.
type Change struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// String names what the run differs in: "seed 43, learning_rate 0.02".
func (r Run) String() string {
	text := fmt.Sprintf("seed %d", r.Seed)
	for _, c := range r.Changed {
		text += ", " + say.Text(c.Key[strings.LastIndexByte(c.Key, '.')+1:]) + " " + say.Text(c.Value)
	}
	return text
}

func runOf(c anomalymatch.Config, changed []Change) Run {
	return Run{Changed: changed, Seed: c.Seed, Size: c.Model.Size, Batch: c.Model.ScoreBatch, Every: c.Engine.CheckpointEvery, Train: c.FixMatch, Augment: c.Augment}
}

// settings are c as the run has them.
func (r Run) settings(c anomalymatch.Config) anomalymatch.Config {
	c.Seed, c.Model.Size, c.Model.ScoreBatch, c.Engine.CheckpointEvery, c.FixMatch, c.Augment = r.Seed, r.Size, r.Batch, r.Every, r.Train, r.Augment
	c.Engine.KeepCheckpoints = 1
	return c
}

// MaxRuns is the largest number of runs of a plan.
const MaxRuns = 200

// Grid makes runs of every seed with every combination of settings. A setting is KEY=VALUE,VALUE…; without seeds it is that of c. The order is the
// same every time: seeds change fastest.
func Grid(c anomalymatch.Config, seeds []int64, sets []string) ([]Run, error) {
	if len(seeds) == 0 {
		seeds = []int64{c.Seed}
	}
	type mixed struct {
		config  anomalymatch.Config
		changed []Change
	}
	all := []mixed{{config: c}}
	keys := map[string]bool{}
	for _, set := range sets {
		key, list, found := strings.Cut(set, "=")
		key = strings.TrimSpace(key)
		table, _, _ := strings.Cut(key, ".")
		switch {
		case !found || list == "":
			return nil, fmt.Errorf("%q is no setting with values, such as fixmatch.learning_rate=0.005,0.01", set)
		case !keyForm.MatchString(key) || table != "fixmatch" && table != "augment" && key != "model.size":
			return nil, fmt.Errorf("%q cannot differ between runs: fixmatch.…, augment.… and model.size can", key)
		case keys[key]:
			return nil, fmt.Errorf("%s is given twice: write all its values behind one another, with commas", key)
		}
		keys[key] = true
		var next []mixed
		for _, m := range all {
			for value := range strings.SplitSeq(list, ",") {
				value = strings.TrimSpace(value)
				if !valueForm.MatchString(value) {
					return nil, fmt.Errorf("%q is no value of %s", value, key)
				}
				changed := m.config
				if err := changed.Overlay("set", []byte(key+" = "+value), nil); err != nil {
					return nil, errors.New(strings.TrimPrefix(err.Error(), "set:1: "))
				}
				next = append(next, mixed{changed, append(slices.Clone(m.changed), Change{key, value})})
				if len(next)*len(seeds) > MaxRuns {
					return nil, fmt.Errorf("these are more than %d runs", MaxRuns)
				}
			}
		}
		all = next
	}
	if len(seeds) > MaxRuns {
		return nil, fmt.Errorf("these are more than %d runs", MaxRuns)
	}
	var runs []Run
	for _, m := range all {
		for _, seed := range seeds {
			m.config.Seed = seed
			r := runOf(m.config, m.changed)
			if slices.ContainsFunc(runs, func(o Run) bool { o.Changed = r.Changed; return reflect.DeepEqual(o, r) }) {
				return nil, fmt.Errorf("two runs are the same: %s", r)
			}
			runs = append(runs, r)
		}
	}
	return runs, nil
}

var (
	keyForm   = regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)
	valueForm = regexp.MustCompile(`^[\w.+-]+$`)
)

// New plans runs on a pool with the labels of now.
func New(pool *dataset.Pool, limits dataset.Limits, labels map[string]label.Value, runs []Run) (Plan, error) {
	hash := pool.Hash()
	p := Plan{Program: anomalymatch.Version, Made: time.Now().UTC().Truncate(time.Second), Pool: hex.EncodeToString(hash[:]), Images: pool.Len(), MaxPixels: limits.MaxPixels, MaxBytes: limits.MaxBytes,
		Labels: train.Hash(labels), Anomalies: []string{}, Normals: []string{}, Bad: []string{}, Runs: runs}
	for i := range pool.Len() {
		id := pool.ID(i)
		switch v := labels[id]; {
		case pool.IsBad(i):
			p.Bad = append(p.Bad, id)
		case v == label.Anomaly:
			p.Anomalies = append(p.Anomalies, id)
		case v == label.Normal:
			p.Normals = append(p.Normals, id)
		}
	}
	return p, p.round(pool, 0, anomalymatch.Default()).Check()
}

// round is a run as a round of training on pool, which must be the plan's.
func (p Plan) round(pool *dataset.Pool, run int, c anomalymatch.Config) train.Round {
	taken := map[int]bool{}
	numbers := func(ids []string) (list []int) {
		for _, id := range ids {
			if i, ok := pool.Find(id); ok {
				list, taken[i] = append(list, i), true
			}
		}
		return list
	}
	im := train.Images{Pool: pool, Labels: p.Labels, Anomalies: numbers(p.Anomalies), Normals: numbers(p.Normals)}
	numbers(p.Bad)
	for i := range pool.Len() {
		if !taken[i] {
			im.Unlabelled = append(im.Unlabelled, i)
		}
	}
	return train.Round{Images: im, Config: p.Runs[run].settings(c)}
}

// check says why p cannot be worked with, or nil.
func (p Plan) check() error {
	if len(p.Runs) < 1 || len(p.Runs) > MaxRuns || p.Images < 1 {
		return errors.New("it is no plan")
	}
	if sum, err := hex.DecodeString(p.Pool); err != nil || len(sum) != 32 {
		return errors.New("its pool has no hash")
	}
	for _, r := range p.Runs {
		if r.Size < 1 || r.Batch < 0 || r.Every < 1 || r.Train.Iterations < 1 || r.Train.LabelledBatch < 1 || r.Train.UnlabelledBatch < 1 {
			return errors.New("a run has settings that cannot be")
		}
	}
	return nil
}

func (p Plan) hash() (sum [32]byte) {
	raw, _ := hex.DecodeString(p.Pool)
	copy(sum[:], raw)
	return sum
}

// Same says whether the plan is of the same runs on the same pool, by this version of the program; its labels may be others.
func (p Plan) Same(pool *dataset.Pool, runs []Run) bool {
	hash := pool.Hash()
	return p.Program == anomalymatch.Version && p.hash() == hash && reflect.DeepEqual(p.Runs, runs)
}

// Folder holds a plan and its runs. One goroutine uses it at a time.
type Folder struct {
	Dir  string // absolute
	Name string // 001
	Plan Plan

	seen map[int]seen // steps, as State knows
	last measured     // by Compare
}

const planFile = "plan.json"

// Create keeps a plan in a new folder of sweeps, the project's.
func Create(sweeps string, p Plan) (*Folder, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*Folder, error) {
		return nil, fmt.Errorf("the plan of the runs cannot be kept: %w", cause(err))
	}
	if err := atomicfile.MkdirAll(sweeps, 0o777); err != nil {
		return fail(err)
	}
	number := 0
	entries, _ := os.ReadDir(sweeps)
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			number = max(number, n)
		}
	}
	for {
		number++
		dir := filepath.Join(sweeps, fmt.Sprintf("%03d", number))
		err := os.Mkdir(dir, 0o777)
		if errors.Is(err, fs.ErrExist) {
			continue // another one was quicker
		}
		if err == nil {
			err = atomicfile.Write(filepath.Join(dir, planFile), func(w io.Writer) error { _, err := w.Write(append(text, '\n')); return err })
			err = errors.Join(err, atomicfile.SyncDir(sweeps))
		}
		if err != nil {
			return fail(err)
		}
		return Open(dir)
	}
}

// Open reads the plan in dir.
func Open(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q has no plan of runs", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("the plan in %q cannot be read: %w", dir, cause(err))
	}
	var p Plan
	if err = json.Unmarshal(text, &p); err == nil {
		err = p.check()
	}
	if err != nil {
		return nil, fmt.Errorf("the plan in %q is damaged: remove the folder and begin again", dir)
	}
	return &Folder{Dir: dir, Name: filepath.Base(dir), Plan: p}, nil
}

// Names lists the sweeps of a project, the newest first.
func Names(sweeps string) []string {
	plans := glob.In(sweeps, "*/"+planFile)
	names := make([]string, 0, len(plans))
	for _, p := range plans {
		names = append(names, filepath.Base(filepath.Dir(p)))
	}
	slices.SortFunc(names, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		if x != y {
			return y - x
		}
		return strings.Compare(b, a)
	})
	return names
}

// RunDir is the folder of a run, laid out as a project's.
func (f *Folder) RunDir(run int) string { return filepath.Join(f.Dir, fmt.Sprintf("run-%03d", run)) }

// cause is what the file system said, without the path.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
