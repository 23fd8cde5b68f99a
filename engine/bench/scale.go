package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"image/png"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"anomalymatch"
	"anomalymatch/engine"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
	"anomalymatch/engine/usage"

	"google.golang.org/grpc"
)

// ScaleReport is what `bench scale --json` prints.
type ScaleReport struct {
	Images   int     `json:"images"`
	Real     bool    `json:"real_files"` // the images are files that were listed; else only the list of them exists
	Embedded bool    `json:"embedded"`
	Phases   []Phase `json:"phases"`
	// Of many requests each, milliseconds.
	Page      Spread `json:"page_ms"`                 // of the list, at any place
	PageAfter Spread `json:"page_after_label_ms"`     // the first one after a label, for which the list is made anew
	Search    Spread `json:"search_ms"`               // of a text that was not searched before
	Refit     Spread `json:"refit_ms,omitzero"`       // head and new order of all images after a label
	First     Spread `json:"first_refit_ms,omitzero"` // the same for a head that knew nothing before
}

// Spread is the median and the worst of some times, and the median of the processor time of all threads meanwhile: of other work on the machine it
// depends little.
type Spread struct {
	Median float64 `json:"median"`
	Worst  float64 `json:"worst"`
	CPU    float64 `json:"cpu_median"`
}

// times are measured in milliseconds.
type times struct{ ms, cpu []float64 }

func (t *times) measure(f func() error) error {
	began, used := time.Now(), processTime()
	err := f()
	t.ms = append(t.ms, 1000*time.Since(began).Seconds())
	t.cpu = append(t.cpu, 1000*(processTime()-used).Seconds())
	return err
}

func (t times) spread() Spread {
	slices.Sort(t.ms)
	slices.Sort(t.cpu)
	return Spread{round(t.ms[len(t.ms)/2], 2), round(t.ms[len(t.ms)-1], 2), round(t.cpu[len(t.cpu)/2], 2)}
}

// ScaleOptions of Scale.
type ScaleOptions struct {
	Images   int
	Labels   int  // in the head that is refitted
	Real     bool // make a file of each image, by hard links to a few, and list them
	Embedded bool // make embeddings, 8 KB an image
	Seed     uint64

	side int // pixels of an image; 0: 64
}

const (
	drawnFiles = 64     // images that have pixels where they are not real
	perFolder  = 10_000 // images of a tile
)

// Scale measures what the engine does on a pool of any size in dir: it opens a project whose list of images is there and waits for the first
// picture, turns to pages anywhere, searches ids, labels, and refits. Scores are drawn from the seed. Without Real the images are
// simulated: the list and the scores are those of so many, and the first few can be decoded.
func Scale(ctx context.Context, dir string, cfg anomalymatch.Config, opt ScaleOptions, progress func(Progress)) (*ScaleReport, error) {
	if opt.Images < drawnFiles || opt.Labels < 10 {
		return nil, fmt.Errorf("at least %d images and 10 labels are needed", drawnFiles)
	}
	r := &ScaleReport{Images: opt.Images, Real: opt.Real, Embedded: opt.Embedded}
	phase := func(what string, f func() error) error {
		if progress != nil {
			progress(Progress{What: what, SecondsLeft: -1})
		}
		p, err := measured(what, f)
		r.Phases = append(r.Phases, p)
		return errors.Join(err, ctx.Err())
	}
	sky := filepath.Join(dir, "sky")
	sources := []dataset.NamedSource{{Name: "sky", Path: sky}}
	if err := phase("make files", func() error { return drawFiles(ctx, sky, opt) }); err != nil {
		return nil, err
	}
	index := filepath.Join(dir, "index")
	list := func() (*dataset.Pool, error) { return dataset.OpenPool(ctx, index, sources, dataset.Limits{}, nil) }
	if opt.Real {
		err := phase("list the files for the first time", func() error {
			p, err := list()
			if err == nil {
				err = p.Close()
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	} else if err := phase("simulate the list", func() error {
		return dataset.Simulate(index, sources, opt.Images, func(i int) (string, int64) { return "sky/" + drawnName(i), 4000 })
	}); err != nil {
		return nil, err
	}
	var hash [32]byte
	err := phase("open the list", func() error {
		p, err := list()
		if err != nil {
			return err
		}
		defer p.Close()
		if hash = p.Hash(); p.Len() != opt.Images {
			return fmt.Errorf("%d images are listed instead of %d", p.Len(), opt.Images)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if opt.Real {
		err := phase("list the files three times: none changed, one came, it went", func() error { return relist(ctx, list, sky, opt.Images) })
		if err != nil {
			return nil, err
		}
	}
	err = phase("draw scores", func() error {
		scores := make([]float32, 0, opt.Images)
		for rows := range drawnRows(opt.Seed)(ctx, 0, opt.Images) {
			scores = append(scores, rows...)
		}
		for i := range drawnFiles {
			scores[i] = 1 - float32(i)/1000 // these are the first page
		}
		return score.Write(filepath.Join(dir, "scores"), score.Header{Pool: hex.EncodeToString(hash[:]), Cycle: 1}, scores)
	})
	if err != nil {
		return nil, err
	}
	if opt.Embedded {
		key := fast.KeyOf(hash, cfg.Fast.Size, cfg.Fast.Views)
		var e *fast.Embeddings
		err := phase("simulate embeddings", func() (err error) {
			e, err = fast.Simulate(filepath.Join(dir, "embeddings"), key, opt.Images, opt.Seed)
			return err
		})
		if err != nil {
			return nil, err
		}
		err = phase("refit", func() error { return refits(ctx, e, cfg, opt, r) })
		e.Close()
		if err != nil {
			return nil, err
		}
	}
	cfg.Queue.Ranking, cfg.Queue.Strategy = "deep", "top"
	return r, scaleEngine(ctx, dir, sources, cfg, opt, r, phase)
}

// drawnName is a path below the source, in ascending order.
func drawnName(i int) string { return fmt.Sprintf("tile%05d/cutout_%08d.png", i/perFolder, i) }

// drawFiles makes the files of the images that have one.
func drawFiles(ctx context.Context, sky string, opt ScaleOptions) error {
	n := drawnFiles
	if opt.Real {
		n = opt.Images
	}
	const perFile = 50_000 // hard links that file systems allow
	var files [drawnFiles]struct {
		path  string
		links int
	}
	for i := range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		path := filepath.Join(sky, drawnName(i))
		if i%perFolder == 0 {
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				return err
			}
		}
		file := &files[i%drawnFiles] // the same mixture in pools of any size
		if file.path != "" && file.links < perFile {
			if err := os.Link(file.path, path); err != nil {
				return err
			}
			file.links++
			continue
		}
		m, _ := synth.Galaxy(opt.Seed, i%drawnFiles, cmp.Or(opt.side, 64))
		var b bytes.Buffer
		if err := png.Encode(&b, m.Image()); err != nil {
			return err
		}
		if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
			return err
		}
		file.path, file.links = path, 1
	}
	return nil
}

// relist lists real files again, as a start does in the background.
func relist(ctx context.Context, list func() (*dataset.Pool, error), sky string, n int) error {
	p, err := list()
	if err != nil {
		return err
	}
	defer p.Close()
	if changed, err := p.Refresh(ctx); err != nil || changed {
		return errors.Join(err, fmt.Errorf("listed again: changed %v", changed))
	}
	more := filepath.Join(sky, drawnName(n))
	if err := os.MkdirAll(filepath.Dir(more), 0o777); err != nil {
		return err
	}
	if err := os.Link(filepath.Join(sky, drawnName(0)), more); err != nil {
		return err
	}
	if changed, err := p.Refresh(ctx); err != nil || !changed {
		return errors.Join(err, fmt.Errorf("listed again with one more: changed %v", changed))
	}
	if err := os.Remove(more); err != nil { // and as it was
		return err
	}
	again, err := list()
	if err != nil {
		return err
	}
	defer again.Close()
	if changed, err := again.Refresh(ctx); err != nil || !changed {
		return errors.Join(err, fmt.Errorf("listed again without it: changed %v", changed))
	}
	return nil
}

// refits measures the head, first one that knew nothing, then after one label more each.
func refits(ctx context.Context, e *fast.Embeddings, cfg anomalymatch.Config, opt ScaleOptions, r *ScaleReport) error {
	known := map[int]bool{}
	var anomalies, normals []int
	next := 0
	label := func() {
		for ; ; next++ {
			rare := fast.SimulatedRare(opt.Seed, next)
			if wanted := len(known)%10 == 0; rare == wanted || next >= opt.Images {
				break
			}
		}
		if known[next] = true; len(known)%10 == 1 {
			anomalies = append(anomalies, next)
		} else {
			normals = append(normals, next)
		}
		next++
	}
	for len(known) < opt.Labels {
		label()
	}
	if next >= opt.Images {
		return fmt.Errorf("%d simulated images have not enough rare ones for %d labels", opt.Images, opt.Labels)
	}
	var ranker *fast.Ranker
	one := func() error {
		_, scores, _, err := ranker.Learn(anomalies, normals, known)
		if err == nil {
			score.Order(scores)
		}
		return errors.Join(err, ctx.Err())
	}
	var first, again times
	for range 3 {
		ranker = fast.NewRanker(e, fast.Best(cfg.Fast.Regularisation))
		if err := first.measure(one); err != nil {
			return err
		}
	}
	for range 9 {
		label()
		if err := again.measure(one); err != nil {
			return err
		}
	}
	r.First, r.Refit = first.spread(), again.spread()
	return nil
}

// scaleEngine measures a running engine.
func scaleEngine(ctx context.Context, dir string, sources []dataset.NamedSource, cfg anomalymatch.Config, opt ScaleOptions, r *ScaleReport, phase func(string, func() error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	labels := &drawnLabels{current: map[string]label.Value{}}
	var s *engine.Service
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	err := phase("open the project, to the first picture", func() error {
		e := engine.New(engine.Options{Dir: dir, Name: "scale", Sources: sources, Config: cfg, Labels: labels, ReadOnly: true, Log: slog.New(slog.DiscardHandler)})
		s = e.Service()
		wg.Go(func() { e.Run(ctx) })
		for ctx.Err() == nil {
			page, err := s.Ranking(ctx, &rpc.RankingRequest{Limit: 12})
			if err != nil {
				return err
			}
			if len(page.Items) > 0 {
				t := &thumbs{ctx: ctx}
				if err := s.Thumbs(&rpc.ThumbsRequest{Ids: []string{page.Items[0].Id}}, t); err != nil {
					return err
				}
				if t.errors != "" || page.RankedBy != "deep" {
					return fmt.Errorf("the first picture of the %s ranking: %s", page.RankedBy, t.errors)
				}
				return nil
			}
			if st, _ := s.GetStatus(ctx, nil); st.Error != "" {
				return errors.New(st.Error)
			}
			time.Sleep(2 * time.Millisecond)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(opt.Seed, 1))
	var page *rpc.RankingReply
	anywhere := func() (err error) {
		page, err = s.Ranking(ctx, &rpc.RankingRequest{Offset: rng.Int64N(int64(opt.Images)), Limit: 60})
		return err
	}
	err = phase("pages, labels, searches", func() error {
		var pages, after, searches times
		for k := range 300 {
			if k%15 == 0 {
				if err := anywhere(); err != nil || len(page.Items) == 0 {
					return errors.Join(err, errors.New("a page is empty"))
				}
				change := &rpc.LabelChange{Id: page.Items[0].Id, To: "normal"}
				if _, err := s.Label(ctx, &rpc.LabelRequest{Uid: fmt.Sprint(k), By: "bench", Changes: []*rpc.LabelChange{change}}); err != nil {
					return err
				}
				if err := after.measure(anywhere); err != nil {
					return err
				}
			}
			if err := pages.measure(anywhere); err != nil {
				return err
			}
		}
		for k := range 10 {
			text := fmt.Sprintf("%08d", rng.IntN(opt.Images))
			if k%2 == 1 {
				text = "CUTOUT_" + text
			}
			var found *rpc.FindReply
			err := searches.measure(func() (err error) {
				found, err = s.Find(ctx, &rpc.FindRequest{List: &rpc.RankingRequest{Filter: "all"}, Match: text})
				return err
			})
			if err != nil {
				return err
			}
			if found.Matches > 1 || found.Found && !strings.Contains(found.Id, strings.ToLower(text)) {
				return fmt.Errorf("a search for %s found %s, one of %d", text, found.Id, found.Matches)
			}
		}
		r.Page, r.PageAfter, r.Search = pages.spread(), after.spread(), searches.spread()
		return nil
	})
	cancel()
	wg.Wait()
	goruntime.KeepAlive(s)
	return err
}

// drawnLabels stand in for a journal.
type drawnLabels struct {
	mu      sync.Mutex
	current map[string]label.Value
}

func (l *drawnLabels) Append(_, _ string, changes []label.Change) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range changes {
		l.current[c.ID] = c.To
	}
	return nil
}

func (l *drawnLabels) Current() map[string]label.Value {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.current)
}

func (l *drawnLabels) Marks() map[string]label.Marks     { return nil }
func (l *drawnLabels) Poll() (bool, error)               { return false, nil }
func (l *drawnLabels) History(string, int) []label.Event { return nil }

// thumbs is where pictures go.
type thumbs struct {
	grpc.ServerStream
	ctx    context.Context
	errors string
}

func (t *thumbs) Context() context.Context { return t.ctx }

func (t *thumbs) Send(m *rpc.Thumb) error {
	t.errors += m.Error
	return nil
}

// String is the report for people.
func (r *ScaleReport) String() string {
	var b strings.Builder
	what := "simulated images"
	if r.Real {
		what = "real files"
	}
	fmt.Fprintf(&b, "%d %s\n", r.Images, what)
	for _, p := range r.Phases {
		fmt.Fprintf(&b, "%-56s %8.2f s  %6.0f MiB; processor time %.2f s\n", p.What, p.Seconds, p.Peak, p.CPU)
	}
	line := func(what string, s Spread) {
		if s != (Spread{}) {
			fmt.Fprintf(&b, "%-56s %8.1f ms, worst %.1f ms; processor time %.1f ms\n", what, s.Median, s.Worst, s.CPU)
		}
	}
	line("a page at any place", r.Page)
	line("a page at any place, the first one after a label", r.PageAfter)
	line("a search among all ids", r.Search)
	line("refit and new order after a label", r.Refit)
	line("the first refit", r.First)
	return b.String()
}

// measured runs f.
func measured(what string, f func() error) (Phase, error) {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew, where that can be
	began, used := time.Now(), processTime()
	err := f()
	return Phase{what, round(time.Since(began).Seconds(), 4), maxRSS(), round((processTime() - used).Seconds(), 4)}, err
}

// processTime of this process so far, 0 where the system does not say.
func processTime() time.Duration {
	d, _ := usage.ProcessTime()
	return d
}
