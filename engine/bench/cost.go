package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
)

// CostReport is what `bench scale --cost --json` prints: what an image costs in pools of several sizes, measured in one run.
type CostReport struct {
	Sizes []CostOf `json:"sizes"`
	// Of the largest pool to the smallest, an image, all phases together and each by itself.
	Ratio    Cost            `json:"ratio"`
	RatioOf  map[string]Cost `json:"ratio_of"`
	Embedded bool            `json:"embedded"`
}

// CostOf is what an image costs in a pool of so many; where it was measured several times the median.
type CostOf struct {
	Images int             `json:"images"`
	Runs   int             `json:"runs"`
	Peak   float64         `json:"peak_rss_mib"` // of this process in all phases
	All    Cost            `json:"microseconds"` // an image, all phases together
	Of     map[string]Cost `json:"microseconds_of"`
}

// Cost in time on the clock and in processor time of all threads, of which other work on the machine takes little.
type Cost struct {
	Wall float64 `json:"wall"`
	CPU  float64 `json:"cpu"`
}

// The phases of a CostReport, in their order.
var costPhases = []string{"list the files", "list them again", "score", "keep and rank the scores", "embed", "refit and rank"}

// drawnNetwork stands for a network: it looks at every pixel once, and answers with numbers that depend on all of them.
type drawnNetwork struct{}

func (drawnNetwork) sum(pix []uint8) (s uint32) {
	for _, v := range pix {
		s = s*31 + uint32(v)
	}
	return s
}

func (d drawnNetwork) Scores(pix []uint8, n, _, _ int) ([]float32, error) {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(d.sum(pix[i*len(pix)/n:(i+1)*len(pix)/n])) / (1 << 32)
	}
	return out, nil
}

func (d drawnNetwork) Embed(pix []uint8, n, _, _ int) ([]float32, error) {
	out := make([]float32, n*nn.EmbeddingSize)
	for i := range n {
		s := d.sum(pix[i*len(pix)/n : (i+1)*len(pix)/n])
		for j := range nn.EmbeddingSize {
			s = s*1664525 + 1013904223
			out[i*nn.EmbeddingSize+j] = float32(s>>16) / (1 << 16)
		}
	}
	return out, nil
}

// costSize is pixels a side of the files and of what the drawn network sees: little, so that what grows with the pool would be seen.
const costSize = 16

// Costs measures what an image costs in pools of the given sizes, ascending, all phases of each in dir/N, which is removed behind it. Files, list,
// pipeline, resumable scores, embeddings' file and ranking are the program's; images are small PNGs (hard links to a few, the same mixture in each), and a
// network stands in that takes microseconds. The smallest pool is measured before, between and behind the others. With embedded the
// embeddings are made, too: 8 KB an image.
func Costs(ctx context.Context, dir string, cfg anomalymatch.Config, sizes []int, opt ScaleOptions, progress func(Progress)) (*CostReport, error) {
	if len(sizes) < 2 || !slices.IsSorted(sizes) || sizes[0] < 10*drawnFiles {
		return nil, fmt.Errorf("costs are compared between two sizes or more, ascending, from %d images on", 10*drawnFiles)
	}
	r := &CostReport{Embedded: opt.Embedded, RatioOf: map[string]Cost{}}
	order := []int{sizes[0]}
	for _, n := range sizes[1:] {
		order = append(order, n, sizes[0])
	}
	runs := map[int][]CostOf{}
	for k, n := range order {
		if progress != nil {
			progress(Progress{What: fmt.Sprintf("%d images", n), Done: k, All: len(order), SecondsLeft: -1})
		}
		o := opt
		o.Images, o.Real, o.side = n, true, costSize
		c, err := costOf(ctx, filepath.Join(dir, fmt.Sprint(n)), cfg, o)
		if err != nil {
			return nil, err
		}
		runs[n] = append(runs[n], c)
	}
	for _, n := range sizes {
		r.Sizes = append(r.Sizes, medianCost(runs[n]))
	}
	first, last := r.Sizes[0], r.Sizes[len(r.Sizes)-1]
	over := func(a, b Cost) Cost {
		return Cost{round(a.Wall/b.Wall, 3), round(a.CPU/max(b.CPU, 1e-9), 3)}
	}
	r.Ratio = over(last.All, first.All)
	for what := range first.Of {
		r.RatioOf[what] = over(last.Of[what], first.Of[what])
	}
	return r, nil
}

func medianCost(runs []CostOf) CostOf {
	median := func(of func(CostOf) float64) float64 {
		v := make([]float64, len(runs))
		for k, c := range runs {
			v[k] = of(c)
		}
		slices.Sort(v)
		return round(v[len(v)/2], 4)
	}
	out := CostOf{Images: runs[0].Images, Runs: len(runs), Of: map[string]Cost{}, Peak: median(func(c CostOf) float64 { return c.Peak })}
	out.All = Cost{median(func(c CostOf) float64 { return c.All.Wall }), median(func(c CostOf) float64 { return c.All.CPU })}
	for what := range runs[0].Of {
		out.Of[what] = Cost{median(func(c CostOf) float64 { return c.Of[what].Wall }), median(func(c CostOf) float64 { return c.Of[what].CPU })}
	}
	return out
}

func costOf(ctx context.Context, dir string, cfg anomalymatch.Config, opt ScaleOptions) (c CostOf, err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	n := float64(opt.Images)
	c = CostOf{Images: opt.Images, Runs: 1, Of: map[string]Cost{}}
	sky := filepath.Join(dir, "sky")
	if err := drawFiles(ctx, sky, opt); err != nil {
		return c, err
	}
	phase := func(what string, f func() error) error {
		p, err := measured(what, f)
		cost := Cost{1e6 * p.Seconds / n, 1e6 * p.CPU / n}
		c.Of[what] = cost
		c.All = Cost{c.All.Wall + cost.Wall, c.All.CPU + cost.CPU}
		c.Peak = max(c.Peak, p.Peak)
		return errors.Join(err, ctx.Err())
	}
	var pool *dataset.Pool
	err = phase(costPhases[0], func() (err error) {
		pool, err = dataset.OpenPool(ctx, filepath.Join(dir, "index"), []dataset.NamedSource{{Name: "sky", Path: sky}}, dataset.Limits{}, nil)
		return err
	})
	if err != nil {
		return c, err
	}
	defer pool.Close()
	err = phase(costPhases[1], func() error {
		changed, err := pool.Refresh(ctx)
		if changed {
			err = errors.Join(err, errors.New("listed again the files are others"))
		}
		return err
	})
	if err != nil {
		return c, err
	}
	var scores []float32
	err = phase(costPhases[2], func() (err error) {
		o := score.Options{Size: costSize, Batch: 256, Workers: goruntime.GOMAXPROCS(0)}
		scores, err = score.ResumeOn(ctx, filepath.Join(dir, "part"), "drawn", pool, drawnNetwork{}, o)
		return err
	})
	if err != nil {
		return c, err
	}
	err = phase(costPhases[3], func() error {
		score.Order(scores)
		return score.Write(filepath.Join(dir, "scores"), score.Header{Pool: "drawn", Cycle: 1}, scores)
	})
	if err != nil || !opt.Embedded {
		return c, err
	}
	var e *fast.Embeddings
	err = phase(costPhases[4], func() (err error) {
		o := fast.Options{Batch: 64, Workers: goruntime.GOMAXPROCS(0), Network: drawnNetwork{}}
		e, err = fast.Create(ctx, filepath.Join(dir, "embeddings"), fast.KeyOf(pool.Hash(), costSize, 1), pool, runtime.Opened{}, o)
		return err
	})
	if err != nil {
		return c, err
	}
	defer e.Close()
	return c, phase(costPhases[5], func() error {
		s := fast.Best(cfg.Fast.Regularisation)
		s.Expand = 0
		anomalies, normals := []int{0, 1, 2, 3, 4}, []int{5, 6, 7, 8, 9}
		h, err := fast.Fit(e, anomalies, normals, fast.Beliefs{}, s)
		if err == nil {
			score.Order(h.Scores())
		}
		return err
	})
}

// String is the report for people.
func (r *CostReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s", "microseconds an image (cpu)")
	for _, s := range r.Sizes {
		fmt.Fprintf(&b, "%20d", s.Images)
	}
	fmt.Fprintf(&b, "%20s\n", "last : first")
	line := func(what string, of func(CostOf) Cost, ratio Cost) {
		fmt.Fprintf(&b, "%-28s", what)
		for _, s := range r.Sizes {
			fmt.Fprintf(&b, "%20s", fmt.Sprintf("%.2f (%.2f)", of(s).Wall, of(s).CPU))
		}
		fmt.Fprintf(&b, "%20s\n", fmt.Sprintf("%.2f (%.2f)", ratio.Wall, ratio.CPU))
	}
	for _, what := range costPhases {
		if _, ok := r.RatioOf[what]; ok {
			line(what, func(c CostOf) Cost { return c.Of[what] }, r.RatioOf[what])
		}
	}
	line("all", func(c CostOf) Cost { return c.All }, r.Ratio)
	fmt.Fprintf(&b, "%-28s", "peak memory, MiB")
	for _, s := range r.Sizes {
		fmt.Fprintf(&b, "%20.0f", s.Peak)
	}
	return b.String() + "\n"
}
