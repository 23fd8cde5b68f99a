package bench

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// PaperReport is what `bench paper --json` prints: the paper's table after the last cycle, the runs behind it, and the curves.
type PaperReport struct {
	Layout     string    `json:"layout"`
	Setting    Setting   `json:"setting"`
	Method     string    `json:"method"`
	Backends   []string  `json:"backends"`
	Size       int       `json:"size"`
	Cycles     int       `json:"cycles"`
	Iterations int       `json:"iterations"`
	Seeds      []int64   `json:"seeds"`
	LeftOut    int       `json:"left_out"` // images or rows that could not be used
	Classes    []ClassOf `json:"classes"`
	Mean       struct {
		OverClasses Figures `json:"over_classes"` // mean and deviation of the classes' means
		OverSeeds   Figures `json:"over_seeds"`   // mean and deviation of the seeds' means
	} `json:"mean"`
	Curves struct {
		X               []float64 `json:"x"` // shares, of all bands
		ROC             Band      `json:"roc"`
		PrecisionRecall Band      `json:"precision_recall"`
		Detection       Band      `json:"detection"`
		Anomaly         []int64   `json:"anomaly_scores"` // of all runs, in bins from 0 to 1
		Normal          []int64   `json:"normal_scores"`
	} `json:"curves"`
}

// ClassOf is a row of the table: one class as anomaly, over the seeds.
type ClassOf struct {
	Class     string `json:"class"`
	Images    int    `json:"images"`
	Anomalies int    `json:"anomalies"`
	Figures
	Runs []*PaperRun `json:"runs"`
}

// Stat is a mean and the standard deviation of what it is the mean of (n-1); nil where there is nothing, or no second value.
type Stat struct {
	Mean *float64 `json:"mean"`
	SD   *float64 `json:"sd"`
}

// Figures are the columns of the table.
type Figures struct {
	AUROC     Stat            `json:"auroc"`
	AUPRC     Stat            `json:"auprc"`
	Precision map[string]Stat `json:"precision"` // among the top percent named
	Recall    map[string]Stat `json:"recall"`
}

// Band is a mean curve: over the classes of each seed, then over the seeds.
type Band struct {
	Mean    []float64   `json:"mean"`
	SD      []float64   `json:"sd"`      // over the seeds; null where there is one
	Classes [][]float64 `json:"classes"` // of each class, over its seeds
}

func (p *paper) report() *PaperReport {
	r := &PaperReport{Layout: p.Layout, Setting: p.Setting, Method: p.Method, Cycles: p.Cycles, Iterations: p.Config.FixMatch.Iterations, LeftOut: p.LeftOut}
	var runs []*PaperRun
	byClass, bySeed := make([][]*PaperRun, len(p.Anomalies)), make([][]*PaperRun, p.Seeds)
	for k, j := range p.jobs {
		runs = append(runs, j.run)
		byClass[k/p.Seeds] = append(byClass[k/p.Seeds], j.run)
		bySeed[k%p.Seeds] = append(bySeed[k%p.Seeds], j.run)
	}
	for s := range p.Seeds {
		r.Seeds = append(r.Seeds, p.Config.Seed+int64(s))
	}
	for _, of := range byClass {
		r.Classes = append(r.Classes, ClassOf{Class: of[0].Class, Images: of[0].Images, Anomalies: of[0].Anomalies, Figures: figures(each(of)), Runs: of})
	}
	r.Mean.OverClasses, r.Mean.OverSeeds = figures(byClass), figures(bySeed)
	r.Curves.X = Grid
	r.Curves.ROC = band(byClass, bySeed, func(c *Curves) []float64 { return c.ROC })
	r.Curves.PrecisionRecall = band(byClass, bySeed, func(c *Curves) []float64 { return c.PrecisionRecall })
	r.Curves.Detection = band(byClass, bySeed, func(c *Curves) []float64 { return c.Detection })
	r.Curves.Anomaly, r.Curves.Normal = make([]int64, scoreBins), make([]int64, scoreBins)
	for _, run := range runs {
		r.Size = run.Size
		if !slices.Contains(r.Backends, run.Backend) {
			r.Backends = append(r.Backends, run.Backend)
		}
		for k := range scoreBins {
			r.Curves.Anomaly[k] += run.Curves.Anomaly[k]
			r.Curves.Normal[k] += run.Curves.Normal[k]
		}
	}
	return r
}

// each puts every run into a group of its own.
func each(runs []*PaperRun) [][]*PaperRun {
	out := make([][]*PaperRun, len(runs))
	for k := range runs {
		out[k] = runs[k : k+1]
	}
	return out
}

// figures are means over groups of runs of the mean of each group.
func figures(groups [][]*PaperRun) Figures {
	of := func(value func(*Cycle) *float64) Stat {
		var means []float64
		for _, runs := range groups {
			var values []float64
			for _, r := range runs {
				if v := value(r.last()); v != nil {
					values = append(values, *v)
				}
			}
			if len(values) > 0 {
				means = append(means, stat.Mean(values, nil))
			}
		}
		return statOf(means)
	}
	f := Figures{Precision: map[string]Stat{}, Recall: map[string]Stat{}}
	f.AUROC = of(func(c *Cycle) *float64 { return c.AUROC })
	f.AUPRC = of(func(c *Cycle) *float64 { return c.AUPRC })
	for _, percent := range []string{"0.1", "1"} {
		f.Precision[percent] = of(func(c *Cycle) *float64 { return in(c.Precision, percent) })
		f.Recall[percent] = of(func(c *Cycle) *float64 { return in(c.Recall, percent) })
	}
	return f
}

func in(m map[string]float64, key string) *float64 {
	if v, ok := m[key]; ok {
		return &v
	}
	return nil
}

func statOf(values []float64) (s Stat) {
	mean, sd := stat.MeanStdDev(values, nil)
	if mean, sd = round(mean, 4), round(sd, 4); !math.IsNaN(mean) {
		s.Mean = &mean
	}
	if !math.IsNaN(sd) {
		s.SD = &sd
	}
	return s
}

func band(byClass, bySeed [][]*PaperRun, of func(*Curves) []float64) Band {
	means := func(groups [][]*PaperRun) [][]float64 {
		out := make([][]float64, len(groups))
		for k, runs := range groups {
			out[k], _ = over(runs, func(r *PaperRun) []float64 { return of(&r.Curves) })
		}
		return out
	}
	b := Band{Classes: means(byClass)}
	b.Mean, b.SD = over(means(bySeed), func(c []float64) []float64 { return c })
	return b
}

// over is the mean of the curves and their standard deviation, nil where there is one.
func over[T any](all []T, curve func(T) []float64) (mean, sd []float64) {
	values := make([]float64, len(all))
	for i := range Grid {
		for k, v := range all {
			values[k] = curve(v)[i]
		}
		m, s := stat.MeanStdDev(values, nil)
		mean = append(mean, round(m, 5))
		if !math.IsNaN(s) {
			sd = append(sd, round(s, 5))
		}
	}
	return mean, sd
}
