package space

import (
	"math"
	"math/rand/v2"
	"testing"
)

type table [][]float32

func (t table) Row(i int, dst []float32) bool {
	if t[i] == nil {
		return false
	}
	copy(dst, t[i])
	return true
}

func TestSpace(t *testing.T) {
	rows := table{{1, 5, 2}, {3, 5, 2}, nil, {2, 5, 8}}
	// The second value is the same in all images; its standard deviation is what float32 makes of zero.
	s := New(rows, len(rows), []float32{2, 5, 4}, []float32{0.5, 1e-6, 2})
	row := make([]float32, 3)
	if !s.Row(0, row) || row[0] != -2 || row[1] != 0 || row[2] != -1 {
		t.Errorf("row 0: %v", row)
	}
	for _, i := range []int{2, -1, 4} {
		if s.Row(i, row) {
			t.Errorf("image %d has a row", i)
		}
	}
	got := s.Similarity(0, []int32{0, 1, 2, 3})
	for k, want := range []float64{1, (-4 + 1) / 5.0, math.NaN(), -2 / (math.Sqrt(5) * 2)} {
		if math.Abs(float64(got[k])-want) > 1e-6 || math.IsNaN(want) != math.IsNaN(float64(got[k])) {
			t.Errorf("similarity of 0 and %d: %v, want %v", k, got[k], want)
		}
	}
	for _, c := range s.Similarity(2, []int32{0, 1}) {
		if !math.IsNaN(float64(c)) {
			t.Errorf("similarity to an image without embedding: %v", c)
		}
	}
}

func TestConstantAndBrokenValuesCountNothing(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	s := New(table{{0, 7, inf, 1}}, 1, []float32{0, 7, inf, nan}, []float32{0, 0, nan, 1})
	if s.Differs() {
		t.Error("images that are all the same differ")
	}
	row := make([]float32, 4)
	if !s.Row(0, row) || row[0] != 0 || row[2] != 0 || row[3] != 0 {
		t.Errorf("its row is %v", row)
	}
	for _, c := range s.Similarity(0, []int32{0}) {
		if !math.IsNaN(float64(c)) {
			t.Errorf("an image without direction has similarity %v", c)
		}
	}
}

// Distances between sketches are those between rows, within the error that count sketches have.
func TestSketchKeepsDistances(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const dims, short, pairs = 1000, 64, 200
	a, b := make([]float32, dims), make([]float32, dims)
	x, y := make([]float32, short), make([]float32, short)
	sum, squares := 0.0, 0.0
	for range pairs {
		for j := range a {
			a[j], b[j] = float32(r.NormFloat64()), float32(r.NormFloat64())
		}
		Sketch(a, x, 5)
		Sketch(b, y, 5)
		q := Distance2(x, y) / Distance2(a, b)
		sum += q
		squares += q * q
	}
	mean := sum / pairs
	if sd := math.Sqrt(squares/pairs - mean*mean); math.Abs(mean-1) > 0.05 || sd > 1.5*math.Sqrt(2.0/short) {
		t.Errorf("distance of sketches over distance: mean %.3f, standard deviation %.3f", mean, sd)
	}
}
