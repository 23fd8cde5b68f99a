package duplicates

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestScale(t *testing.T) {
	const n, dims = 200000, 128
	r := rand.New(rand.NewPCG(7, 1))
	pool := make(table, n)
	// clustered data
	var centres [][]float32
	for range 300 {
		centres = append(centres, draw(r, dims))
	}
	for i := range pool {
		pool[i] = near(r, centres[r.IntN(300)], 0.6)
	}
	for k := range 2000 {
		c := []float64{0.96, 0.98, 0.995, 1}[k%4]
		pool[n-1-k] = near(r, pool[k], c)
	}
	s := spaceOf(pool, dims)
	at := time.Now()
	g, err := Find(t.Context(), s, 3)
	if err != nil {
		t.Fatal(err)
	}
	var hit [4]int
	for k := range 2000 {
		if g.Of[k] != 0 && g.Of[k] == g.Of[n-1-k] {
			hit[k%4]++
		}
	}
	t.Log(time.Since(at), len(g.Sets), g.Count, hit)
}
