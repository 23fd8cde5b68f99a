package sweep

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/label"
	"anomalymatch/engine/metrics"
	"anomalymatch/internal/say"
)

// Measure is how well scores tell the anomalies from the normal images among those labelled after the plan was made: AUROC with its 95% interval.
type Measure struct {
	AUROC float64 `json:"auroc"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Row is a run in a comparison.
type Row struct {
	Run       int      `json:"run"`
	Name      string   `json:"name"` // seed and settings
	Phase     Phase    `json:"phase"`
	Host      string   `json:"host,omitempty"`
	Backend   string   `json:"backend,omitempty"`
	Step      int      `json:"step"`
	Steps     int      `json:"steps"`
	Loss      *float64 `json:"loss,omitempty"`      // of the last steps, see lately
	Kept      *float64 `json:"kept,omitempty"`      // share of the unlabelled images, likewise
	Measure   *Measure `json:"measure,omitempty"`   // nil: not scored, or nothing to measure by
	Agreement *float64 `json:"agreement,omitempty"` // mean rank correlation of the pool's scores with those of the other runs
}

// Comparison is what the runs of a sweep say beside each other.
type Comparison struct {
	Sweep     string   `json:"sweep"`
	Anomalies int      `json:"anomalies"` // labelled after the plan was made
	Normals   int      `json:"normals"`
	Rows      []Row    `json:"runs"`
	Ensemble  *Measure `json:"ensemble,omitempty"` // of the mean of all runs that are there
	Best      int      `json:"best"`               // run that is ahead of every other by more than chance; -1: none
	Verdict   string   `json:"verdict"`            // one sentence
}

// judged are images labelled after a plan was made: no run was trained on their labels.
type judged struct {
	images  []int
	anomaly []bool
	a, n    int
}

func (p Plan) judged(pool *dataset.Pool, labels map[string]label.Value) (j judged) {
	known := map[string]bool{}
	for _, list := range [][]string{p.Anomalies, p.Normals} {
		for _, id := range list {
			known[id] = true
		}
	}
	for id, v := range labels {
		if i, ok := pool.Find(id); ok && v.Trains() && !known[id] {
			j.images = append(j.images, i)
		}
	}
	slices.Sort(j.images)
	for _, i := range j.images {
		anomaly := labels[pool.ID(i)] == label.Anomaly
		j.anomaly = append(j.anomaly, anomaly)
		if anomaly {
			j.a++
		} else {
			j.n++
		}
	}
	return j
}

// usable leaves out the images that one of the runs has no score for: all are measured by the same.
func (j judged) usable(all [][]float32) (k judged) {
	for at, i := range j.images {
		if slices.ContainsFunc(all, func(s []float32) bool { return s[i] != s[i] }) {
			continue
		}
		k.images, k.anomaly = append(k.images, i), append(k.anomaly, j.anomaly[at])
		if j.anomaly[at] {
			k.a++
		} else {
			k.n++
		}
	}
	return k
}

func (j judged) measure(scores []float32) *Measure {
	s := make([]float64, len(j.images))
	for k, i := range j.images {
		s[k] = float64(scores[i])
	}
	auroc, ok := metrics.AUROC(j.anomaly, s)
	if !ok {
		return nil
	}
	low, high := metrics.AUROCInterval(auroc, j.a, j.n)
	return &Measure{auroc, low, high}
}

// lately is the number of last steps whose mean loss and kept share a row tells: single steps jump.
const lately = 10

// Compare compares the runs, by the labels that were given since. Asked again it reads the scores only if there are others, or other labels.
func (f *Folder) Compare(pool *dataset.Pool, labels map[string]label.Value) (Comparison, error) {
	c := Comparison{Sweep: f.Name, Best: -1}
	j := f.Plan.judged(pool, labels)
	key := fmt.Sprintln(j.images, j.anomaly)
	var over []int
	for run, r := range f.Plan.Runs {
		s := f.State(run)
		row := Row{Run: run, Name: r.String(), Phase: s.Phase, Host: s.Host, Steps: r.Train.Iterations}
		if s.Last != nil {
			row.Step = int(s.Last.Step)
			last := s.Steps[max(0, len(s.Steps)-lately):]
			var loss, kept float64
			for _, t := range last {
				loss, kept = loss+float64(t.Loss)/float64(len(last)), kept+float64(t.Kept)/float64(len(last))
			}
			row.Loss, row.Kept = &loss, &kept
		}
		if d, ok := f.Done(run); ok && s.Phase == Ended {
			row.Backend = say.Text(d.Backend)
			over = append(over, run)
			key += fmt.Sprintln(run, f.stamp(run))
		}
		c.Rows = append(c.Rows, row)
	}
	if f.last.key != key {
		m, err := f.measure(c, over, j)
		if err != nil {
			return c, err
		}
		m.key, f.last = key, m
	}
	m := f.last
	c.Anomalies, c.Normals, c.Ensemble, c.Best, c.Verdict = m.anomalies, m.normals, m.ensemble, m.best, m.verdict
	for k, run := range over {
		c.Rows[run].Measure = m.runs[k]
		if len(over) > 1 {
			c.Rows[run].Agreement = &m.agreement[k]
		}
	}
	return c, nil
}

// measured is what the scores of the runs that are over say.
type measured struct {
	key                string
	anomalies, normals int
	runs               []*Measure
	agreement          []float64
	ensemble           *Measure
	best               int
	verdict            string
}

func (f *Folder) measure(c Comparison, over []int, j judged) (m measured, err error) {
	var scores [][]float32
	for _, run := range over {
		own, err := f.Scores(run)
		if err != nil {
			return m, err
		}
		scores = append(scores, own)
	}
	j = j.usable(scores)
	m.anomalies, m.normals, m.agreement = j.a, j.n, agreement(scores)
	for _, own := range scores {
		m.runs = append(m.runs, j.measure(own))
	}
	if len(over) > 1 {
		m.ensemble = j.measure(mean(scores))
	}
	m.best, m.verdict = verdict(len(c.Rows), over, m.runs, scores, j)
	return m, nil
}

// alpha is the chance of calling a run best that is not, over all comparisons with it.
const alpha = 0.05

func verdict(runs int, over []int, measures []*Measure, scores [][]float32, j judged) (best int, text string) {
	since := fmt.Sprintf("%s and %s labelled since the runs were planned", plural(j.a, "anomaly", "anomalies"), plural(j.n, "normal image", "normal images"))
	switch {
	case len(over) < runs:
		return -1, fmt.Sprintf("%d of %d runs are there", len(over), runs)
	case len(over) == 1 && j.a > 0 && j.n > 0:
		return -1, "measured by " + since
	case j.a == 0 || j.n == 0:
		return -1, "too few to tell: " + since + "; label on, and ask again"
	}
	first := 0
	for k, m := range measures {
		if m.AUROC > measures[first].AUROC {
			first = k
		}
	}
	for k := range over {
		if k != first && chance(j, scores[first], scores[k])*float64(len(over)-1) >= alpha {
			return -1, "too few to tell the best run from the others: " + since + "; label on, or use the ensemble"
		}
	}
	return over[first], fmt.Sprintf("run %d is ahead of the others by more than chance: %s", over[first], since)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// chance is how often two runs that are equally good differ by as much as these: the share of random swaps of the places that both give to an image after which
// the AUROCs differ at least as much (two-sided). With few images it cannot be small.
func chance(j judged, x, y []float32) float64 {
	const draws = 2000
	places := func(s []float32) []int {
		own := make([]float32, len(j.images))
		for k, i := range j.images {
			own[k] = s[i]
		}
		return ranks(own)
	}
	p, q := places(x), places(y)
	anomalies, normals := make([]int, 2*len(p)+1), make([]int, 2*len(p)+1)
	auroc := func(of func(k int) int) float64 { // by counting: places are whole numbers
		clear(anomalies)
		clear(normals)
		for k, anomaly := range j.anomaly {
			if anomaly {
				anomalies[of(k)]++
			} else {
				normals[of(k)]++
			}
		}
		below, sum := 0, 0.0
		for r, n := range normals {
			sum += float64(anomalies[r]) * (float64(below) + float64(n)/2)
			below += n
		}
		return sum / (float64(j.a) * float64(j.n))
	}
	swap := make([]bool, len(p))
	differ := func() float64 {
		one := func(k int) int {
			if swap[k] {
				return q[k]
			}
			return p[k]
		}
		other := func(k int) int { return p[k] + q[k] - one(k) }
		return math.Abs(auroc(one) - auroc(other))
	}
	seen := differ()
	r := rand.New(rand.NewPCG(1, 2))
	as := 1 // the one seen
	for range draws {
		for k := range swap {
			swap[k] = r.IntN(2) == 1
		}
		if differ() >= seen-1e-12 {
			as++
		}
	}
	return float64(as) / (draws + 1)
}

// ranks are twice the places of scores, the lowest first, ties in the middle.
func ranks(scores []float32) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case scores[a] < scores[b]:
			return -1
		case scores[a] > scores[b]:
			return 1
		}
		return 0
	})
	out := make([]int, len(scores))
	for from := 0; from < len(order); {
		to := from
		for to < len(order) && scores[order[to]] == scores[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			out[i] = from + to + 1 // twice the mean of from+1 … to
		}
		from = to
	}
	return out
}

// Spearman is the rank correlation of two scorings of a pool, over the images that both have a score for; 0 where one says the same of all.
func Spearman(x, y []float32) float64 { return agreement([][]float32{x, y})[0] }

// sample is the number of images that agreement looks at, at most.
const sample = 100_000

// agreement is, for each of several scorings of a pool, the mean of Spearman's rank correlation with the others.
func agreement(all [][]float32) []float64 {
	if len(all) == 0 {
		return nil
	}
	step := max(1, len(all[0])/sample)
	var images []int
	for i := 0; i < len(all[0]); i += step {
		if !slices.ContainsFunc(all, func(s []float32) bool { return s[i] != s[i] }) {
			images = append(images, i)
		}
	}
	centred := make([][]float64, len(all)) // places around their mean, of length 1
	for k, s := range all {
		own := make([]float32, len(images))
		for at, i := range images {
			own[at] = s[i]
		}
		places, sum := make([]float64, len(images)), 0.0
		for at, r := range ranks(own) {
			places[at] = float64(r) - float64(len(images)+1)
			sum += places[at] * places[at]
		}
		for at := range places {
			places[at] /= math.Sqrt(sum)
		}
		centred[k] = places
	}
	out := make([]float64, len(all))
	for x := range all {
		for y := range all {
			if x == y {
				continue
			}
			var dot float64
			for at := range images {
				dot += centred[x][at] * centred[y][at]
			}
			if math.IsNaN(dot) { // all scores of one are the same
				dot = 0
			}
			out[x] += dot / float64(len(all)-1)
		}
	}
	return out
}
