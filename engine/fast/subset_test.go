package fast

import (
	"slices"
	"testing"

	"anomalymatch/engine/runtime"
)

// Some rows of the whole pool's embeddings are what embedding those images alone gives.
func TestSubset(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "auto")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pool(t)
	whole, err := Create(t.Context(), t.TempDir(), KeyOf(p.Hash(), 32, 2), p, o, Options{Batch: 8, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	images := []int{1, 2, 3, 8, 9, 10, 11, 40} // the unreadable one among them
	some := p.Subset(images)
	key, dir := KeyOf(some.Hash(), 32, 2), t.TempDir()
	if err := whole.Subset(dir, key, images); err != nil {
		t.Fatal(err)
	}
	e, err := Create(t.Context(), dir, key, some, runtime.Opened{}, Options{}) // no backend: nothing is left to embed
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	a, b := make([]float32, e.Dims), make([]float32, e.Dims)
	bad := 0
	for k, i := range images {
		has := whole.Row(i, a)
		if !has {
			bad++
		}
		if e.Row(k, b) != has || has && !slices.Equal(a, b) {
			t.Errorf("row %d is not row %d of the whole", k, i)
		}
	}
	if bad != 1 || e.Rows != len(images) {
		t.Errorf("%d rows, %d without values", e.Rows, bad)
	}
	if e.Mean[0] == whole.Mean[0] {
		t.Error("the mean is the whole pool's")
	}
}
