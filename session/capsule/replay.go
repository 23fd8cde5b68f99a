package capsule

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"anomalymatch"
	"anomalymatch/engine"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/engine/sweep"
	"anomalymatch/engine/train"
	"anomalymatch/internal/say"
	"anomalymatch/session"
	"anomalymatch/session/journal"

	"github.com/gomlx/compute"
)

// Replay derives the ranking of a capsule again.
type Replay struct {
	Dir       string   // empty folder to work in, laid out as a project's
	Sources   []string // where the images are: PATH in the order of the capsule's sources, or NAME=PATH; nil: where the capsule says
	ScoreOnly bool     // with the network in the capsule, without training it again
	Runtime   string   // instead of engine.runtime of the capsule's settings, if not empty

	Say      func(text string)                  // told what a person should know
	Progress func(what string, done, total int) // how far something is

	noted string // of the runtime, said already
}

// Result says how the derived ranking compares.
type Result struct {
	Project  string   `json:"project"`
	RankedBy string   `json:"ranked_by"`
	Images   int      `json:"images"`            // ranked now
	Same     bool     `json:"same"`              // the same images in the same order
	Exact    bool     `json:"exact"`             // and the same scores, bit for bit
	Trained  int      `json:"trained"`           // trainings that were done again
	Network  string   `json:"network,omitempty"` // of these: same or other, compared bit for bit
	Want     string   `json:"capsule_hash"`
	Got      string   `json:"hash"`
	Rank     float64  `json:"rank_correlation"`
	Overlap  float64  `json:"top_overlap"`                // share of the capsule's top 1% that is in the top 1% now
	Top      int      `json:"top"`                        // images of that
	First    int      `json:"first_difference,omitempty"` // place from 1 where the two lists part
	Differs  []string `json:"differs"`                    // versions, backends and images that are not those of the capsule, for people
	Backend  string   `json:"backend"`                    // that scored, or embedded
}

// ErrSources wraps errors about images that are not there, or not those of the capsule.
var ErrSources = errors.New("not the images of the capsule")

type sourceError struct{ error }

func (sourceError) Is(target error) bool { return target == ErrSources }

func lacking(format string, args ...any) error { return sourceError{fmt.Errorf(format, args...)} }

// Run derives the ranking again and compares.
func (r *Replay) Run(ctx context.Context, c *Capsule) (Result, error) {
	res := Result{Project: c.Project, Want: c.Ranking.Order, Differs: []string{}}
	parts, err := c.parts()
	if err != nil {
		return res, err
	}
	deep := c.Ranking.By == "deep" || c.Ranking.By == "joint"
	switch {
	case deep && r.ScoreOnly && !c.Network.Contained:
		return res, errors.New("the capsule holds no network, so its trainings must be done again: leave out --score-only")
	case deep && len(parts) == 0 && !c.Network.Contained:
		return res, errors.New("the capsule holds neither its network nor what it was trained on: nothing can be derived from it")
	}
	c.Config.Images.DecodeWorkers = 0
	if r.Runtime != "" {
		c.Config.Engine.Runtime = r.Runtime
	}
	sources, err := c.sources(r.Sources)
	if err != nil {
		return res, err
	}
	p := &session.Project{Dir: r.Dir, Name: c.Project, Sources: sources, Config: c.Config}
	pool, err := p.OpenPool(ctx, func(n int64) { r.Progress("listing images", int(n), 0) })
	if err != nil {
		return res, lacking("%w", err)
	}
	defer pool.Close()
	if err := c.samePool(pool, p.NamedSources()); err != nil {
		return res, err
	}
	for name := range c.files {
		if base, ok := strings.CutPrefix(name, labelsDir); ok {
			if err := c.unpackTo(name, p.Sub("labels"), base); err != nil {
				return res, err
			}
		}
	}
	labels, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return res, err
	}
	if now := labelsOf(labels.Current()); now.Hash != c.Labels.Hash {
		return res, fmt.Errorf("the capsule is damaged: its journals say %d anomalies and %d normal images, its manifest %d and %d, or others", now.Anomalies, now.Normals, c.Labels.Anomalies, c.Labels.Normals)
	}
	r.Progress("comparing versions and pixels", 0, 0)
	if r.ScoreOnly {
		parts = nil
	}
	if res.Differs, err = r.differs(ctx, c, pool, parts); err != nil {
		return res, err
	}
	for _, d := range res.Differs {
		r.Say(d)
	}
	if deep {
		if err := r.network(ctx, c, pool, parts, &res); err != nil {
			return res, err
		}
		if err := r.score(ctx, c, pool, &res); err != nil {
			return res, err
		}
	}
	if c.Ranking.By != "deep" {
		if err := r.embed(ctx, c, pool, &res); err != nil {
			return res, err
		}
	}
	r.Progress("ranking the images", 0, 0)
	e, done, err := engine.Look(ctx, engine.Options{Dir: p.Dir, Name: p.Name, Sources: p.NamedSources(), Config: p.Config, Labels: labels, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return res, err
	}
	defer done()
	got := rankedBy(e, c.Ranking.By)
	if got.by != c.Ranking.By {
		return res, fmt.Errorf("there is no ranking by %s of what the capsule holds, only by %s", c.Ranking.By, got.by)
	}
	return res, res.compare(c, got)
}

// sources are those of the capsule at the places that a person says.
func (c *Capsule) sources(said []string) ([]session.Source, error) {
	var out []session.Source
	for _, s := range c.Pool.Sources {
		out = append(out, session.Source{Name: s.Name, Path: s.Path, Reading: s.Reading})
	}
	next := 0
	for _, arg := range said {
		at := -1
		if name, path, ok := strings.Cut(arg, "="); ok {
			if at = slices.IndexFunc(out, func(s session.Source) bool { return s.Name == name }); at >= 0 {
				arg = path
			}
		}
		if at < 0 {
			at = next
			next++
		}
		if at >= len(out) {
			return nil, lacking("the capsule has %d sources, and more are named with --sources", len(out))
		}
		path, err := filepath.Abs(arg)
		if err != nil {
			return nil, err
		}
		out[at].Path = path
	}
	for _, s := range out {
		if _, err := os.Stat(s.Path); err != nil {
			return nil, lacking("the images of source %s are not at %s: say where they are with --sources PATH, or --sources %s=PATH", say.Path(s.Name), say.Path(s.Path), say.Text(s.Name))
		}
	}
	return out, nil
}

// samePool says what about the list of images is another one.
func (c *Capsule) samePool(pool *dataset.Pool, sources []dataset.NamedSource) error {
	sum := pool.Hash()
	if hex.EncodeToString(sum[:]) == c.Pool.Hash {
		return nil
	}
	var all []string
	for k, now := range describe(pool, sources) {
		was := c.Pool.Sources[k]
		switch {
		case now.Images != was.Images:
			all = append(all, fmt.Sprintf("source %s has %d images here, %d in the capsule", say.Path(now.Name), now.Images, was.Images))
		case now.Hash != was.Hash:
			all = append(all, fmt.Sprintf("source %s has as many images here as in the capsule, but names or sizes of files are others", say.Path(now.Name)))
		}
	}
	if len(all) == 0 {
		all = append(all, "their catalogue says something else than it did")
	}
	return lacking("the images are not those of the capsule, so its ranking cannot be derived: %s", strings.Join(all, "; "))
}

// differs says what here is not as it was when the capsule was made.
func (r *Replay) differs(ctx context.Context, c *Capsule, pool *dataset.Pool, parts []train.Part) ([]string, error) {
	out := []string{}
	diff := func(what, was, now string) {
		if was != now {
			out = append(out, fmt.Sprintf("%s: %s here, %s in the capsule", what, orNone(now), orNone(was)))
		}
	}
	now, was := versionsHere(), c.Versions
	diff("program", was.Program, now.Program)
	diff("Go", was.Go, now.Go)
	diff("platform", was.Platform, now.Platform)
	o, err := r.open(runtime.Infer, c)
	if err != nil {
		return nil, err
	}
	infer := o.Name
	if c.Ranking.By == "deep" || c.Ranking.By == "joint" {
		if c.Network.Backend != "" {
			diff("backend that scores", c.Network.Backend, infer)
		}
		if c.Network.Missing > 0 {
			out = append(out, fmt.Sprintf("%d images had no score yet when the capsule was made", c.Network.Missing))
		}
		for k, p := range parts {
			if k == 0 { // opened only where anything is trained
				if o, err = r.open(runtime.Train, c); err != nil {
					return nil, err
				}
			}
			diff(fmt.Sprintf("backend that trains cycle %d", p.Cycle), p.Backend, o.Name)
			if p.Program != was.Program {
				diff(fmt.Sprintf("program that trains cycle %d", p.Cycle), p.Program, now.Program)
			}
		}
	}
	diff("runtimes", strings.Join(was.Runtimes, ", "), strings.Join(now.Runtimes, ", "))
	diff("modules", strings.Join(was.Modules, ", "), strings.Join(now.Modules, ", "))
	if e := c.Embeddings; e != nil && c.Ranking.By != "deep" {
		diff("network of the embeddings", e.Network, fast.KeyOf(pool.Hash(), e.Size, e.Views).Network)
		if e.Backend != "" {
			diff("backend that embeds", e.Backend, infer)
		}
		if e.Missing > 0 {
			out = append(out, fmt.Sprintf("%d images had no embedding yet when the capsule was made", e.Missing))
		}
	}
	print, err := fingerprint.Of(ctx, pool, c.Config.Model.Size)
	if err != nil {
		return nil, err
	}
	a, _ := json.Marshal(c.Pool.Print)
	b, _ := json.Marshal(print)
	if string(a) != string(b) {
		text := "pixels: a sample of the images is not the same to the network as it was"
		if odd := c.Pool.Print.Check(print); odd != nil {
			text += "; " + odd.Error()
		}
		out = append(out, say.Text(text))
	}
	return out, nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return say.Text(s)
}

func (r *Replay) open(task runtime.Task, c *Capsule) (runtime.Opened, error) {
	o, err := runtime.Open(task, c.Config.Engine.Runtime)
	if err == nil && o.Note != "" && o.Note != r.noted {
		r.noted = o.Note
		r.Say("warning: " + o.Note)
	}
	return o, err
}

// network puts the network that scores into the folder: the one of the capsule, or by training it again.
func (r *Replay) network(ctx context.Context, c *Capsule, pool *dataset.Pool, parts []train.Part, res *Result) error {
	dir := train.Checkpoints(r.Dir)
	if r.ScoreOnly || len(parts) == 0 {
		if !r.ScoreOnly {
			r.Say("what this network was trained on is not known: it is taken from the capsule")
		}
		return c.unpackTo(networkDir+c.Network.File, dir, c.Network.File)
	}
	if c.Start != "" {
		if err := c.unpackTo(networkDir+c.Start, dir, c.Start); err != nil {
			return err
		}
	}
	var trainer train.Trainer
	defer trainer.Close()
	prints := map[int]*fingerprint.Print{}
	last := fixmatch.Info{Cycle: c.Network.Cycle, RunStep: c.Network.Step}
	for k, p := range parts {
		if err := r.part(ctx, c, &trainer, pool, p, endOf(parts, k, last), fmt.Sprintf("training %d of %d", k+1, len(parts)), prints); err != nil {
			return err
		}
		res.Trained++
	}
	sum, err := sumOf(filepath.Join(dir, c.Network.File))
	if err != nil {
		return fmt.Errorf("the trainings did not lead to %s", say.Path(c.Network.File))
	}
	res.Network = map[bool]string{true: "same", false: "other"}[sum == c.Network.SHA256]
	return nil
}

// part trains one part, to the step end.
func (r *Replay) part(ctx context.Context, c *Capsule, trainer *train.Trainer, pool *dataset.Pool, p train.Part, end int, what string, prints map[int]*fingerprint.Print) error {
	images, err := p.Images(pool)
	if err != nil {
		return err
	}
	config, err := trainingSettings(c.Config, p)
	if err != nil {
		return err
	}
	own, enough := context.WithCancel(ctx)
	defer enough()
	round := train.Round{Dir: r.Dir, Images: images, Config: config, Cycle: p.Cycle, Steps: p.Steps, Workers: workers(c.Config),
		Print: func(ctx context.Context, size int) (_ *fingerprint.Print, err error) {
			if prints[size] == nil {
				prints[size], err = fingerprint.Of(ctx, pool, size)
			}
			return prints[size], err
		},
		Open: func() (compute.Backend, error) {
			o, err := r.open(runtime.Train, c)
			return o.Backend, err
		},
		Begin: func(info fixmatch.Info, _ []*rpc.TrainStep) { r.Progress(what, info.RunStep-p.Step, end-p.Step) },
		Step: func(s *rpc.TrainStep, _ float64) bool {
			r.Progress(what, int(s.Step)-p.Step, end-p.Step)
			if int(s.Step) >= end && end < p.Steps { // here it was taken up again with other labels or settings
				enough()
			}
			return false
		}}
	err = trainer.Round(own, round)
	if err != nil && (ctx.Err() != nil || own.Err() == nil) {
		return err
	}
	if _, info, _, _, err := fixmatch.Latest(train.Checkpoints(r.Dir)); err != nil || info.Cycle != p.Cycle || info.RunStep != end {
		return fmt.Errorf("cycle %d cannot be trained again as it was", p.Cycle)
	}
	return nil
}

func workers(c anomalymatch.Config) int {
	if c.Images.DecodeWorkers > 0 {
		return c.Images.DecodeWorkers
	}
	return goruntime.GOMAXPROCS(0)
}

// score scores the pool with the network of the folder.
func (r *Replay) score(ctx context.Context, c *Capsule, pool *dataset.Pool, res *Result) error {
	state, info, err := fixmatch.ReadCheckpoint(filepath.Join(train.Checkpoints(r.Dir), c.Network.File))
	if err != nil {
		return fmt.Errorf("the network of the capsule cannot be used: %w", err)
	}
	o, err := r.open(runtime.Infer, c)
	if err != nil {
		return err
	}
	m, err := nn.NewModel(o, state.Scoring())
	if err != nil {
		return err
	}
	defer m.Close()
	m.Warn = func(text string) { r.Say("warning: " + text) }
	batch := c.Network.Batch
	if batch == 0 {
		batch = score.Batch(c.Config.Model.ScoreBatch, info.Size, pool.Len())
	}
	scores, err := score.Pool(ctx, pool, m, score.Options{Size: info.Size, Batch: batch, Workers: workers(c.Config), Progress: func(done, total int) { r.Progress("scoring", done, total) }})
	if err != nil {
		return err
	}
	res.Backend = m.Backend()
	return score.Write(filepath.Join(r.Dir, "scores"), score.Header{Pool: c.Pool.Hash, Cycle: c.Network.Cycle, Step: c.Network.Step, Backend: res.Backend, Batch: batch}, scores)
}

// embed makes the embeddings of the fast ranking.
func (r *Replay) embed(ctx context.Context, c *Capsule, pool *dataset.Pool, res *Result) error {
	o, err := r.open(runtime.Infer, c)
	if err != nil {
		return err
	}
	e := c.Embeddings
	emb, err := fast.Create(ctx, filepath.Join(r.Dir, "embeddings"), fast.KeyOf(pool.Hash(), e.Size, e.Views), pool, o, fast.Options{
		Batch: score.Batch(c.Config.Model.ScoreBatch, e.Size, pool.Len()), Workers: workers(c.Config),
		Warn: func(text string) { r.Say("warning: " + text) }, Progress: func(done, total int) { r.Progress("embedding", done, total) }})
	if err != nil {
		return err
	}
	if res.Backend == "" {
		res.Backend = o.Name
	}
	return emb.Close()
}

// compare says how the ranking got is another one than that of the capsule.
func (res *Result) compare(c *Capsule, got ranked) error {
	now := got.Ranking()
	res.RankedBy, res.Images, res.Got = now.By, now.Images, now.Order
	res.Same, res.Exact = now.Order == c.Ranking.Order, now == withoutTop(c.Ranking)
	order, err := c.bytes(orderName)
	if err != nil {
		return err
	}
	was := make([]int32, 0, c.Ranking.Images)
	seen := make([]bool, got.pool.Len())
	for ; len(order) >= 4; order = order[4:] {
		i := binary.LittleEndian.Uint32(order)
		if int64(i) >= int64(len(seen)) || seen[i] {
			return errors.New("the capsule is damaged: its ranking names an image that is not there, or one twice")
		}
		seen[i] = true
		was = append(was, int32(i))
	}
	res.Rank = 1
	if !res.Same {
		res.Rank = sweep.Spearman(places(was, len(seen)), places(got.order, len(seen)))
		for k := 0; k < min(len(was), len(got.order)) && was[k] == got.order[k]; k++ {
			res.First = k + 1
		}
		res.First++
	}
	res.Top = int(math.Ceil(float64(len(was)) / 100))
	best := map[int32]bool{}
	for _, i := range was[:res.Top] {
		best[i] = true
	}
	both := 0
	for _, i := range got.order[:min(res.Top, len(got.order))] {
		if best[i] {
			both++
		}
	}
	if res.Top > 0 {
		res.Overlap = float64(both) / float64(res.Top)
	}
	return nil
}

func withoutTop(r Ranking) Ranking {
	r.Top = 0
	return r
}

// places are scores that rank as order does; NaN for what is not in it.
func places(order []int32, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(math.NaN())
	}
	for k, i := range order {
		out[i] = float32(-k)
	}
	return out
}
