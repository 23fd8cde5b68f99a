// Package atlas lays images out in two dimensions by what is alike in their embeddings.
//
// Images are compared by the direction of their standardised embeddings, as space.Similarity does. The principal components of these
// directions are worked out once and kept, Kept numbers an image; every map is made of those.
package atlas

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"anomalymatch/engine/space"
	"anomalymatch/internal/parallel"

	"gonum.org/v1/gonum/blas/blas32"
	"gonum.org/v1/gonum/mat"
)

// Kept is the number of principal components kept of each image: 64 bytes.
const Kept = 16

const (
	sampled = 10_000 // images that the components are learnt from, at most
	spare   = 4      // directions beyond those kept: the last ones converge slowly
	passes  = 12     // over the sample, at most
	settled = 1e-3   // change of a variance, as a share of the largest, below which it is known
	chunks  = 16     // parts of a sum: fixed, so that it is the same on any number of cores
)

// Components are the principal components of a pool's images.
type Components struct {
	K      int
	Share  []float64 // of the variance, the largest first [K]
	values []float32 // [N,K]; NaN where an image has no embedding or no direction
}

// Len is the number of images.
func (c *Components) Len() int { return len(c.values) / max(1, c.K) }

// Of are the components of image i [K]; NaN where it has none.
func (c *Components) Of(i int) []float32 { return c.values[i*c.K : (i+1)*c.K] }

// has tells whether image i has a place.
func (c *Components) has(i int) bool { return c.values[i*c.K] == c.values[i*c.K] }

// ErrAlike says that the images do not differ, or that there are fewer than three.
var ErrAlike = errors.New("the images do not differ enough for a map")

// PCA works out the components: orthogonal iteration with random directions at first (Halko, Martinsson and Tropp 2011) on a sample, then
// one pass over all images. The same seed gives the same components on any number of cores. progress, from 0 to 1, may be nil.
func PCA(ctx context.Context, s *space.Space, seed uint64, progress func(share float64)) (*Components, error) {
	if progress == nil {
		progress = func(float64) {}
	}
	images := sample(s.Len(), sampled, seed)
	d := s.Dims()
	k := min(Kept, d)
	r := rand.New(rand.NewPCG(seed, 1))
	basis := make([][]float32, min(k+spare, d))
	for i := range basis {
		basis[i] = make([]float32, d)
		for j := range basis[i] {
			basis[i][j] = float32(r.NormFloat64())
		}
	}
	orthonormal(basis)
	sampling := 0.5 * min(1, float64(passes*len(images))/float64(passes*len(images)+s.Len())) // of the time, about
	var mean []float32
	var before []float64
	share := make([]float64, k)
	for pass := range passes {
		m := multiply(ctx, s, images, basis)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if m.n < 3 {
			return nil, ErrAlike
		}
		variances, turned := m.ritz(basis)
		if !(variances[0] > 1e-6) {
			return nil, ErrAlike
		}
		mean = m.mean
		for j := range share {
			share[j] = max(0, variances[j]) / m.total
		}
		known := before != nil
		for j := 0; known && j < k; j++ {
			known = math.Abs(variances[j]-before[j]) <= settled*variances[0]
		}
		before = variances
		progress(sampling * float64(pass+1) / passes)
		if known || pass == passes-1 {
			basis = turned
			break
		}
		basis = rotate(m.product, m.vectors)
		orthonormal(basis)
	}
	basis = basis[:k]
	for _, v := range basis { // a direction and its opposite are the same component
		big := 0
		for j := range v {
			if math.Abs(float64(v[j])) > math.Abs(float64(v[big])) {
				big = j
			}
		}
		if v[big] < 0 {
			for j := range v {
				v[j] = -v[j]
			}
		}
	}
	c := &Components{K: k, Share: share, values: make([]float32, s.Len()*k)}
	c.project(ctx, s, basis, mean, func(done float64) { progress(sampling + (1-sampling)*done) })
	return c, ctx.Err()
}

// project fills in the components of all images.
func (c *Components) project(ctx context.Context, s *space.Space, basis [][]float32, mean []float32, progress func(float64)) {
	offset := make([]float32, c.K)
	for j, v := range basis {
		offset[j] = dot(v, mean)
	}
	var done atomic.Int64
	var telling sync.Mutex
	parallel.Parts(s.Len(), chunks, func(_, from, to int) {
		row := make([]float32, s.Dims())
		for i := from; i < to && ctx.Err() == nil; i++ {
			out := c.Of(i)
			if !direction(s, i, row) {
				for j := range out {
					out[j] = float32(math.NaN())
				}
			} else {
				for j, v := range basis {
					out[j] = dot(v, row) - offset[j]
				}
			}
			if n := done.Add(1); n%4096 == 0 && telling.TryLock() {
				progress(float64(n) / float64(s.Len()))
				telling.Unlock()
			}
		}
	})
}

// direction reads the standardised embedding of image i, divided by its length, into row.
func direction(s *space.Space, i int, row []float32) bool {
	if !s.Row(i, row) {
		return false
	}
	size := math.Sqrt(space.Dot(row, row))
	if !(size > 0) || math.IsInf(size, 0) {
		return false
	}
	blas32.Scal(float32(1/size), vector(row))
	return true
}

// moments of a sample: its mean, and the product of its covariance with a basis.
type moments struct {
	n       int
	mean    []float32
	total   float64     // variance of all values together
	product [][]float32 // [L,dims]
	vectors *mat.Dense  // of the covariance within the basis, by falling variance; set by ritz
}

func multiply(ctx context.Context, s *space.Space, images []int32, basis [][]float32) moments {
	d, l := s.Dims(), len(basis)
	type part struct {
		n       int
		sum     []float32
		product [][]float32
	}
	parts := make([]part, chunks)
	parallel.Parts(len(images), chunks, func(chunk, from, to int) {
		p := part{sum: make([]float32, d), product: matrix(l, d)}
		row := make([]float32, d)
		for _, i := range images[from:to] {
			if ctx.Err() != nil {
				return
			}
			if !direction(s, int(i), row) {
				continue
			}
			p.n++
			blas32.Axpy(1, vector(row), vector(p.sum))
			for k, v := range basis {
				blas32.Axpy(dot(v, row), vector(row), vector(p.product[k]))
			}
		}
		parts[chunk] = p
	})
	m := moments{mean: make([]float32, d), product: matrix(l, d)}
	for _, p := range parts {
		if m.n += p.n; p.n == 0 {
			continue
		}
		blas32.Axpy(1, vector(p.sum), vector(m.mean))
		for k := range m.product {
			blas32.Axpy(1, vector(p.product[k]), vector(m.product[k]))
		}
	}
	if m.n == 0 {
		return m
	}
	blas32.Scal(1/float32(m.n), vector(m.mean))
	m.total = 1 - space.Dot(m.mean, m.mean) // every row has length 1
	for k, p := range m.product {
		blas32.Scal(1/float32(m.n), vector(p))
		blas32.Axpy(-dot(basis[k], m.mean), vector(m.mean), vector(p))
	}
	return m
}

// ritz returns the variances along the best directions within the basis, falling, and these directions (Rayleigh-Ritz).
func (m *moments) ritz(basis [][]float32) ([]float64, [][]float32) {
	l := len(basis)
	inner := mat.NewSymDense(l, nil)
	for i := range l {
		for j := i; j < l; j++ {
			inner.SetSym(i, j, (space.Dot(basis[i], m.product[j])+space.Dot(basis[j], m.product[i]))/2)
		}
	}
	values, vectors := eigen(inner)
	m.vectors = vectors
	return values, rotate(basis, vectors)
}

// eigen are the eigenvalues of a, falling, and the eigenvectors in the columns of the matrix.
func eigen(a *mat.SymDense) ([]float64, *mat.Dense) {
	n := a.SymmetricDim()
	var e mat.EigenSym
	values, vectors := make([]float64, n), mat.NewDense(n, n, nil)
	if !e.Factorize(a, true) {
		return values, vectors
	}
	var rising mat.Dense
	e.VectorsTo(&rising)
	for i, v := range e.Values(nil) {
		values[n-1-i] = v
		for j := range n {
			vectors.Set(j, n-1-i, rising.At(j, i))
		}
	}
	return values, vectors
}

// rotate makes rows of combinations of rows: row k of the answer is the sum of vectors[i,k]·rows[i].
func rotate(rows [][]float32, vectors *mat.Dense) [][]float32 {
	out := matrix(len(rows), len(rows[0]))
	for k := range out {
		for i, row := range rows {
			blas32.Axpy(float32(vectors.At(i, k)), vector(row), vector(out[k]))
		}
	}
	return out
}

// orthonormal makes the rows orthonormal (Gram and Schmidt, twice: once is not enough for rows that are nearly alike). A row that adds
// nothing becomes zero.
func orthonormal(rows [][]float32) {
	for i, row := range rows {
		was := math.Sqrt(space.Dot(row, row))
		for range 2 {
			for _, before := range rows[:i] {
				blas32.Axpy(-float32(space.Dot(row, before)), vector(before), vector(row))
			}
		}
		size := math.Sqrt(space.Dot(row, row))
		if !(size > 1e-5*was) {
			clear(row)
			continue
		}
		blas32.Scal(float32(1/size), vector(row))
	}
}

// sample is n of the numbers below of, rising, by chance; all where there are not more.
func sample(of, n int, seed uint64) []int32 {
	out := make([]int32, 0, min(of, n))
	if of <= n {
		for i := range of {
			out = append(out, int32(i))
		}
		return out
	}
	r := rand.New(rand.NewPCG(seed, 2))
	for k := range n { // one of each stretch
		from, to := k*of/n, (k+1)*of/n
		out = append(out, int32(from+r.IntN(to-from)))
	}
	return out
}

func matrix(rows, cols int) [][]float32 {
	all := make([]float32, rows*cols)
	return slices.Collect(slices.Chunk(all, cols))
}

func vector(v []float32) blas32.Vector { return blas32.Vector{N: len(v), Inc: 1, Data: v} }

func dot(a, b []float32) float32 { return blas32.Dot(vector(a), vector(b)) }
