package fast

import (
	"errors"
	"math"
	"runtime"
	"sync"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/optimize"
)

// Head is a linear classifier on raw (not standardised) embeddings.
type Head struct {
	Weights []float32 // [Dims]
	Bias    float32
}

// Fit trains the head on labelled images: logistic regression on embeddings standardised over the pool, minimising
// ½|w|² + c·Σ weight·log(1+exp(-±f)), both classes weighted alike (n/2n_class), bias free, as scikit-learn does for
// LogisticRegression(C=c, class_weight="balanced").
func Fit(e *Embeddings, anomalies, normals []int, c float64) (Head, error) {
	var rows [][]float64
	var sign, weight []float64
	raw := make([]float32, e.Dims)
	for k, class := range [][]int{anomalies, normals} {
		first := len(rows)
		for _, i := range class {
			if e.Row(i, raw) {
				rows = append(rows, e.standardise(raw))
				sign = append(sign, float64(1-2*k))
			}
		}
		n := len(rows) - first
		if n == 0 {
			return Head{}, errors.New("the fast ranking needs a readable image of each class")
		}
		for range n {
			weight = append(weight, 1/(2*float64(n)))
		}
	}
	c *= float64(len(rows))
	// x = [w, bias]
	problem := optimize.Problem{
		Func: func(x []float64) float64 {
			w, bias := x[:e.Dims], x[e.Dims]
			loss := floats.Dot(w, w) / 2
			for i, r := range rows {
				loss += c * weight[i] * softplus(-sign[i]*(floats.Dot(w, r)+bias))
			}
			return loss
		},
		Grad: func(grad, x []float64) {
			w, bias := x[:e.Dims], x[e.Dims]
			copy(grad, w)
			grad[e.Dims] = 0
			for i, r := range rows {
				g := -c * weight[i] * sign[i] * sigmoid(-sign[i]*(floats.Dot(w, r)+bias))
				floats.AddScaled(grad[:e.Dims], g, r)
				grad[e.Dims] += g
			}
		},
	}
	settings := &optimize.Settings{GradientThreshold: 1e-6, MajorIterations: 500}
	result, err := optimize.Minimize(problem, make([]float64, e.Dims+1), settings, &optimize.LBFGS{})
	if result == nil || !finite(result.X) {
		return Head{}, errors.Join(errors.New("the fast ranking could not be fitted"), err)
	}
	// Fold the standardisation in, so that scoring is one product an image.
	h := Head{Weights: make([]float32, e.Dims)}
	bias := result.X[e.Dims]
	for j := range h.Weights {
		if e.Std[j] > 0 {
			w := result.X[j] / float64(e.Std[j])
			h.Weights[j] = float32(w)
			bias -= w * float64(e.Mean[j])
		}
	}
	h.Bias = float32(bias)
	return h, nil
}

func (e *Embeddings) standardise(raw []float32) []float64 {
	z := make([]float64, len(raw))
	for j, v := range raw {
		if e.Std[j] > 0 {
			z[j] = (float64(v) - float64(e.Mean[j])) / float64(e.Std[j])
		}
	}
	return z
}

// Scores returns the probability of anomaly of every image, NaN where there is no embedding.
func (e *Embeddings) Scores(h Head) []float32 {
	return e.each(func(row []float32) float32 {
		f := float64(h.Bias)
		var s [4]float32 // four sums: the processor works on them at once
		w := h.Weights[:len(row)]
		j := 0
		for ; j+4 <= len(row); j += 4 {
			s[0] += row[j] * w[j]
			s[1] += row[j+1] * w[j+1]
			s[2] += row[j+2] * w[j+2]
			s[3] += row[j+3] * w[j+3]
		}
		for ; j < len(row); j++ {
			s[0] += row[j] * w[j]
		}
		return float32(sigmoid(f + float64(s[0]) + float64(s[1]) + float64(s[2]) + float64(s[3])))
	})
}

// Novelty returns each image's mean squared standardised value squeezed into [0,1): what is unlike the rest of the pool comes
// first where nobody has labelled anything. NaN where there is no embedding.
func (e *Embeddings) Novelty() []float32 {
	return e.each(func(row []float32) float32 {
		sum, n := 0.0, 0.0
		for j, v := range row {
			if e.Std[j] > 0 {
				z := (float64(v) - float64(e.Mean[j])) / float64(e.Std[j])
				sum += z * z
				n++
			}
		}
		if n == 0 {
			return 0
		}
		return float32(1 - math.Exp(-sum/n))
	})
}

// each applies f to all rows on all cores.
func (e *Embeddings) each(f func(row []float32) float32) []float32 {
	out := make([]float32, e.Rows)
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for k := range workers {
		wg.Go(func() {
			row := make([]float32, e.Dims)
			for i := k * e.Rows / workers; i < (k+1)*e.Rows/workers; i++ {
				if e.Row(i, row) {
					out[i] = f(row)
				} else {
					out[i] = float32(math.NaN())
				}
			}
		})
	}
	wg.Wait()
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
