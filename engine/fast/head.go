package fast

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"sort"

	"anomalymatch/engine/nn"
	"anomalymatch/engine/space"
	"anomalymatch/internal/parallel"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"
)

// Settings of the head. The zero value of what is not C is the plain method that benchmarks compare with: logistic regression on the
// standardised means.
type Settings struct {
	C float64 // inverse of the regularisation
	// Weighted looks at all values, the head convolution's and those around the centre with less weight, and compares directions, not
	// lengths: a picture that is strange in everything is not an anomaly of the kind that is looked for.
	Weighted bool
	// Expand is how many unlabelled images, as a share of the labelled anomalies, count as anomalies in a second fit: the best of the
	// first one. ExpandWeight is what each counts, as a share of a labelled one.
	Expand, ExpandWeight float64
	// Background is how many normals there are at least: images of the pool, evenly spaced, stand in for those that nobody has labelled
	// yet. Nearly all of them are normal; not all, so together they count as BackgroundWeight labelled ones.
	Background       int
	BackgroundWeight float64
}

// Best is what the program ranks with; docs/method.md has the measurements behind each figure.
func Best(c float64) Settings {
	return Settings{C: c, Weighted: true, Expand: 0.5, ExpandWeight: 0.3, Background: 300, BackgroundWeight: 5}
}

// Plain is the baseline of the benchmarks (design: "Two speeds").
func Plain() Settings { return Settings{C: 0.001} }

// Weights of squared distances, by what the values are.
const (
	headWeight   = 0.5 // head convolution against blocks
	centreWeight = 0.5 // means around the centre against means over all of the image
)

// scale is what each standardised value is multiplied with.
func (s Settings) scale() []float32 {
	scale := make([]float32, nn.EmbeddingSize)
	for j := range scale {
		w := 1.0
		if centre := j < nn.TapSize; centre && !s.Weighted {
			w = 0
		} else if centre {
			w = centreWeight
		}
		if head := j%nn.TapSize >= nn.TapSize-nn.Features; head && s.Weighted {
			w *= headWeight
		}
		scale[j] = float32(math.Sqrt(w))
	}
	return scale
}

// Head is a classifier that is linear in an image's point: its standardised and scaled embedding, divided by its length if unit.
type Head struct {
	weights []float32 // [Dims] of points
	bias    float64
	points  points
}

// points are the embeddings as a head sees them.
type points struct {
	e          *Embeddings
	mean, gain []float32 // point = (raw - mean)·gain
	unit       bool
}

func (e *Embeddings) points(s Settings) points {
	p := points{e: e, mean: e.Mean, gain: s.scale(), unit: s.Weighted}
	for j, d := range e.Std {
		if d > 0 {
			p.gain[j] /= d
		} else {
			p.gain[j] = 0 // the same in all images
		}
	}
	return p
}

// point turns raw into a point, in place.
func (p points) point(raw []float32) {
	var sum float64
	for j := range raw {
		v := (raw[j] - p.mean[j]) * p.gain[j]
		if p.gain[j] == 0 {
			v = 0 // raw may be anything
		}
		raw[j] = v
		sum += float64(v) * float64(v)
	}
	if p.unit && sum > 0 {
		inv := float32(1 / math.Sqrt(sum))
		for j := range raw {
			raw[j] *= inv
		}
	}
}

// Fit trains the head on images that are labelled and on what is believed of others: logistic regression, minimising
// ½|w|² + C·Σ weight·log(1+exp(-±f)), both classes weighted alike (n/2n_class over the labelled), bias free, as scikit-learn does for LogisticRegression(C=C, class_weight="balanced").
func Fit(e *Embeddings, anomalies, normals []int, b Beliefs, s Settings) (Head, error) {
	return fit(e, anomalies, normals, b, s, Head{weights: make([]float32, e.Dims)})
}

// fit begins at a head that is near.
func fit(e *Embeddings, anomalies, normals []int, b Beliefs, s Settings, near Head) (Head, error) {
	p := e.points(s)
	l := &loss{dims: e.Dims}
	var counts [4]int
	for k, class := range [][]int{anomalies, normals, b.Anomalies, b.Normals} {
		for _, i := range class {
			row := make([]float32, e.Dims)
			if !e.Row(i, row) {
				continue
			}
			p.point(row)
			l.rows, l.sign = append(l.rows, row), append(l.sign, [...]float64{1, -1, 1, -1}[k])
			counts[k]++
		}
	}
	background := 0.0 // normals that those believed to be normal count as
	if counts[3] > 0 {
		background = s.BackgroundWeight
	}
	all := [2]float64{float64(counts[0]), float64(counts[1]) + background}
	if all[0] == 0 || all[1] == 0 {
		return Head{}, errors.New("the fast ranking needs a readable image of each class")
	}
	for k, share := range []float64{1 / all[0], 1 / all[1], s.ExpandWeight / all[0], background / float64(max(1, counts[3])) / all[1]} {
		for range counts[k] {
			l.weight = append(l.weight, s.C*share*(all[0]+all[1])/2)
		}
	}
	x := make([]float64, e.Dims+1)
	for j, v := range near.weights {
		x[j] = float64(v)
	}
	x[e.Dims] = near.bias
	// The loss bends at least as ½|w|² does, so that the gradient bounds how far the weights are off.
	settings := &optimize.Settings{GradientThreshold: 1e-7 * max(10, s.C*(all[0]+all[1])), MajorIterations: 500}
	solver := &optimize.LBFGS{Store: 40, Linesearcher: &optimize.MoreThuente{}} // a third fewer looks at all rows than with what it has by default
	result, err := optimize.Minimize(optimize.Problem{Func: l.value, Grad: l.gradient}, x, settings, solver)
	if result == nil || !finite(result.X) {
		return Head{}, errors.Join(errors.New("the fast ranking could not be fitted"), err)
	}
	h := Head{weights: make([]float32, e.Dims), bias: result.X[e.Dims], points: p}
	for j := range h.weights {
		h.weights[j] = float32(result.X[j])
	}
	return h, nil
}

// loss is what fit minimises over x = [w, bias], and its gradient. Both are worked out where either is asked for, since nearly always both
// are, and each row is then looked at once.
type loss struct {
	dims         int
	rows         [][]float32
	sign, weight []float64

	x, grad []float64 // the place asked for last
	sum     float64
	parts   [lossParts]struct {
		grad []float64
		sum  float64
	}
}

// lossParts are added up one after the other: the sums are the same on any number of cores.
const lossParts = 16

func (l *loss) value(x []float64) float64 {
	l.at(x)
	return l.sum
}

func (l *loss) gradient(grad, x []float64) {
	l.at(x)
	copy(grad, l.grad)
}

func (l *loss) at(x []float64) {
	if slices.Equal(l.x, x) {
		return
	}
	l.x = append(l.x[:0], x...)
	w, bias := l.x[:l.dims], l.x[l.dims]
	parallel.Parts(len(l.rows), lossParts, func(k, from, to int) {
		part := &l.parts[k]
		if part.grad == nil {
			part.grad = make([]float64, l.dims+1)
		}
		clear(part.grad)
		part.sum = 0
		for i := from; i < to; i++ {
			m := -l.sign[i] * (dot(w, l.rows[i]) + bias)
			part.sum += l.weight[i] * softplus(m)
			g := -l.weight[i] * l.sign[i] * sigmoid(m)
			add(part.grad[:l.dims], g, l.rows[i])
			part.grad[l.dims] += g
		}
	})
	l.sum = floats.Dot(w, w) / 2
	l.grad = append(append(l.grad[:0], w...), 0)
	for k := range l.parts {
		l.sum += l.parts[k].sum
		floats.Add(l.grad, l.parts[k].grad)
	}
}

// Beliefs are images that count as labelled although nobody labelled them.
type Beliefs struct {
	Anomalies []int // the best of a first fit, see Settings.Expand
	Normals   []int // see Settings.Background
}

// Rank scores the pool from labels; without a labelled anomaly, or where nothing is left to be normal, by Novelty. known are all images
// that a person has looked at, the labelled ones too. NaN where an image has no embedding.
func Rank(e *Embeddings, anomalies, normals []int, known map[int]bool, s Settings) (scores []float32, b Beliefs, novelty bool, err error) {
	h, scores, b, err := Learn(e, anomalies, normals, known, s)
	return scores, b, h == nil && err == nil, err
}

// Learn is Rank with the head that made the scores; nil: novelty did.
func Learn(e *Embeddings, anomalies, normals []int, known map[int]bool, s Settings) (head *Head, scores []float32, b Beliefs, err error) {
	return NewRanker(e, s).Learn(anomalies, normals, known)
}

// Ranker is Learn for one pool whose labels become more: what it finds is the same, sooner.
type Ranker struct {
	e *Embeddings
	s Settings
	// A first fit of before, and the log-odds that it gave all images.
	first Head
	odds  []float32
}

// NewRanker makes a ranker of a pool's embeddings.
func NewRanker(e *Embeddings, s Settings) *Ranker { return &Ranker{e: e, s: s} }

// Learn is the function Learn. Not safe for concurrent use.
func (r *Ranker) Learn(anomalies, normals []int, known map[int]bool) (head *Head, scores []float32, b Beliefs, err error) {
	e, s := r.e, r.s
	if missing := s.Background - len(normals); missing > 0 {
		b.Normals = background(e, missing, known)
	}
	if len(anomalies) == 0 || len(normals)+len(b.Normals) == 0 {
		return nil, e.Novelty(), Beliefs{}, nil
	}
	h, err := Fit(e, anomalies, normals, b, s)
	if err != nil {
		return nil, nil, Beliefs{}, err
	}
	if n := int(math.Round(s.Expand * float64(len(anomalies)))); n > 0 {
		guessed := Beliefs{Anomalies: r.best(h, n, known)}
		for _, i := range b.Normals {
			if !slices.Contains(guessed.Anomalies, i) {
				guessed.Normals = append(guessed.Normals, i)
			}
		}
		if len(normals)+len(guessed.Normals) == 0 {
			return &h, h.Scores(), b, nil
		}
		b = guessed
		if h, err = fit(e, anomalies, normals, b, s, h); err != nil {
			return nil, nil, Beliefs{}, err
		}
	}
	return &h, h.Scores(), b, nil
}

// best are the n images that h scores highest of those that are not known, ties by number.
func (r *Ranker) best(h Head, n int, known map[int]bool) []int {
	if near := r.near(h, n, known); near != nil {
		scores := make([]float32, len(near))
		parallel.Parts(len(near), min(len(near), 8*runtime.GOMAXPROCS(0)), func(_, from, to int) {
			for k := from; k < to; k++ {
				scores[k] = h.Score(near[k])
			}
		})
		top := best(scores, n, nil)
		for k, at := range top {
			top[k] = near[at]
		}
		return top
	}
	odds := make([]float32, r.e.Rows)
	scores := h.points.each(h.weights, func(i int, dot, squares float64) float32 {
		o := h.odds(dot, squares)
		odds[i] = float32(o)
		return float32(sigmoid(o))
	})
	for i, v := range scores {
		if v != v {
			odds[i] = v
		}
	}
	r.first, r.odds = h, odds
	return best(scores, n, known)
}

// near lists, by number, the images among which the n best of h are; nil: that would be too many to say, and all have to be looked at. A
// point has length 1, so that its log-odds cannot differ by more from those of an earlier head than the weights do, in length. One label
// among hundreds moves them so little that a few thousand of a million images are left.
func (r *Ranker) near(h Head, n int, known map[int]bool) []int {
	if r.odds == nil || !h.points.unit {
		return nil
	}
	top := best(r.odds, n, known)
	if len(top) < n {
		return nil
	}
	moved := 0.0
	for j, v := range h.weights {
		d := float64(v) - float64(r.first.weights[j])
		moved += d * d
	}
	const rounding = 1e-3 // of log-odds in float32
	most := math.Sqrt(moved) + math.Abs(h.bias-r.first.bias) + rounding
	least := float64(r.odds[top[n-1]]) - most // of the n-th best of h
	const flat = 12                           // scores above this are equal in float32 now and then, and then the number decides
	if least > flat {
		return nil
	}
	var out []int
	for i, v := range r.odds {
		if float64(v)+most >= least && !known[i] {
			if out = append(out, i); len(out) > len(r.odds)/8 {
				return nil
			}
		}
	}
	return out
}

// background are n images that nobody has looked at, evenly spaced over the pool.
func background(e *Embeddings, n int, known map[int]bool) (out []int) {
	step := max(1, e.Rows/n)
	for i := step / 2; i < e.Rows && len(out) < n; i += step {
		if !known[i] {
			out = append(out, i)
		}
	}
	return out
}

// best are the n highest-scoring images that are not known, ties by number.
func best(scores []float32, n int, known map[int]bool) []int {
	var top []int
	for i, v := range scores {
		if v != v || len(top) == n && !(v > scores[top[n-1]]) || known[i] {
			continue
		}
		at := sort.Search(len(top), func(k int) bool { return scores[top[k]] < v })
		top = slices.Insert(top, at, i)
		top = top[:min(len(top), n)]
	}
	return top
}

// Scores returns the probability of anomaly of every image, NaN where there is no embedding.
func (h Head) Scores() []float32 {
	return h.points.each(h.weights, h.score)
}

// Score returns the probability of anomaly of image i, NaN where it has no embedding.
func (h Head) Score(i int) float32 {
	out := float32(math.NaN())
	raw := make([]byte, 2*h.points.e.Dims)
	if h.points.e.raw(i, raw) && !absent(raw) {
		h.points.measure(raw, h.weights, 1, func(_ int, dot, squares float64) { out = h.score(i, dot, squares) })
	}
	return out
}

// score is that of an image with Σ weight·value and Σ value² before its values are divided by their length.
func (h Head) score(_ int, dot, squares float64) float32 {
	return float32(sigmoid(h.odds(dot, squares)))
}

func (h Head) odds(dot, squares float64) float64 {
	if h.points.unit && squares > 0 {
		dot /= math.Sqrt(squares)
	}
	return h.bias + dot
}

// Layers splits the log-odds of image i over the layers of the network that make the embedding, nn.TapBlocks and the head convolution:
// each share is Σ w·z over its values, around the centre and over all of the image. Their sum with bias is the log-odds, but for the
// rounding of float32; nil where the image has no embedding.
func (h Head) Layers(i int) (shares []float64, bias float64) {
	row := make([]float32, h.points.e.Dims)
	if !h.points.e.Row(i, row) {
		return nil, h.bias
	}
	h.points.point(row)
	at := 0
	for _, n := range nn.TapChannels() {
		centre, all := at, nn.TapSize+at
		shares = append(shares, space.Dot(h.weights[centre:centre+n], row[centre:centre+n])+space.Dot(h.weights[all:all+n], row[all:all+n]))
		at += n
	}
	return shares, h.bias
}

// Novelty returns each image's mean squared standardised value squeezed into [0,1): what is unlike the rest of the pool comes
// first where nobody has labelled anything. NaN where there is no embedding.
func (e *Embeddings) Novelty() []float32 {
	p := points{e: e, mean: e.Mean, gain: make([]float32, e.Dims)}
	n := 0.0
	for j, d := range e.Std {
		if d > 0 {
			p.gain[j] = 1 / d
			n++
		}
	}
	return p.each(make([]float32, e.Dims), func(_ int, _, squares float64) float32 {
		if n == 0 {
			return 0
		}
		return float32(1 - math.Exp(-squares/n))
	})
}

// each applies f to all rows as measured with weights, on all cores; NaN where there is no embedding.
func (p points) each(weights []float32, f func(i int, dot, squares float64) float32) []float32 {
	e := p.e
	out := make([]float32, e.Rows)
	blocks := e.blocks()
	parallel.Parts(blocks, min(blocks, 16*runtime.GOMAXPROCS(0)), func(_, from, to int) {
		buf := make([]byte, blockRows*2*e.Dims)
		for b := from; b < to; b++ {
			first := b * blockRows
			raw := e.block(b, buf)
			if raw == nil {
				for k := range min(blockRows, e.Rows-first) {
					out[first+k] = float32(math.NaN())
				}
				continue
			}
			p.measure(raw, weights, len(raw)/(2*e.Dims), func(k int, dot, squares float64) {
				if absent(raw[2*e.Dims*k:]) {
					out[first+k] = float32(math.NaN())
				} else {
					out[first+k] = f(first+k, dot, squares)
				}
			})
		}
	})
	return out
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softplus is log(1+exp(x)) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func finite(x []float64) bool {
	for _, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
