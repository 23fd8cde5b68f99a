package bench

import "fmt"

// Many is what a benchmark with several seeds prints: the runs, and what they have in common.
type Many[R, M any] struct {
	Runs []R `json:"runs"`
	Mean M   `json:"mean"`
}

// Seeds runs a benchmark n times, with the seed of opt and those after it. The first run starts from the pool's labels; each other one
// from as many of each class, drawn anew from the truth: what a figure owes to the labels shows as its deviation. All share opt.Dir.
func Seeds[R any](p *Pool, opt Options, n int, run func(*Pool, Options) (R, error)) ([]R, error) {
	anomalies, normals := split(p.Start)
	var runs []R
	for k := range n {
		q, o := &Pool{Images: p.Images, Truth: p.Truth, Start: p.Start}, opt
		o.Config.Seed += int64(k)
		if k > 0 {
			q.Start = map[int]bool{}
			q.draw(len(anomalies), len(normals), o.Config.Seed)
		}
		if n > 1 && opt.Progress != nil {
			o.Progress = func(at Progress) {
				at.What = fmt.Sprintf("seed %d: %s", o.Config.Seed, at.What)
				opt.Progress(at)
			}
		}
		r, err := run(q, o)
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

// ProtocolMean is the mean over runs with several seeds.
type ProtocolMean struct {
	Cycles []CycleMean `json:"cycles"`
}

// CycleMean is a row of it.
type CycleMean struct {
	Cycle     int             `json:"cycle"`
	AUROC     Stat            `json:"auroc"`
	AUPRC     Stat            `json:"auprc"`
	Precision map[string]Stat `json:"precision"` // among the top percent named
}

// MeanOfProtocols of runs with the same number of cycles.
func MeanOfProtocols(runs []*Report) (m ProtocolMean) {
	for c := range runs[0].Cycles {
		of := func(value func(*Cycle) *float64) Stat {
			var values []float64
			for _, r := range runs {
				if v := value(&r.Cycles[c]); v != nil {
					values = append(values, *v)
				}
			}
			return statOf(values)
		}
		m.Cycles = append(m.Cycles, CycleMean{
			Cycle:     c,
			AUROC:     of(func(c *Cycle) *float64 { return c.AUROC }),
			AUPRC:     of(func(c *Cycle) *float64 { return c.AUPRC }),
			Precision: map[string]Stat{"1": of(func(c *Cycle) *float64 { return in(c.Precision, "1") })},
		})
	}
	return m
}
