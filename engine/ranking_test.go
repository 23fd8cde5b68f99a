package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"anomalymatch/engine/label"
)

// TestFewAmongMany: a few labelled images and matches are found in a long list by their scores, as a look at all of it finds them.
func TestFewAmongMany(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	const n = 20_000
	scores := make([]float32, n)
	for i := range scores {
		scores[i] = float32(rng.IntN(500)) / 500 // many are equal
	}
	for i := range 100 {
		scores[i*7] = float32(math.NaN())
	}
	of := said{bits: make([]uint64, (n+63)/64)}
	m := matching{bits: make([]uint64, (n+63)/64)}
	for i := int32(0); i < n; i += 100 {
		j := i + rng.Int32N(90)
		of.images, of.values = append(of.images, j), append(of.values, []label.Value{label.Anomaly, label.Normal, label.Skip}[rng.IntN(3)])
		of.bits[j>>6] |= 1 << (j & 63)
		j = i + rng.Int32N(100)
		m.bits[j>>6] |= 1 << (j & 63)
	}
	for name, r := range map[string]*ranking{"deep": rank("deep", time.Time{}, scores), "joint": joint(rank("fast", time.Time{}, scores), rank("deep", time.Time{}, slices.Clone(scores))), "order": inOrder(n, []int{3, 4, 700})} {
		for _, filter := range []string{"", "labelled", "anomaly", "normal", "skip", "nothing"} {
			got, want := r.images(filter, of), r.scan(filter, of)
			if !slices.Equal(got, want) || filter != "nothing" && len(got) == 0 {
				t.Errorf("%s, filter %q: %d images, want %d", name, filter, len(got), len(want))
			}
		}
		l := &list{wanted: wanted{r: r}, images: r.order, strategy: "top"}
		for _, images := range [][]int32{r.order, r.order[:n/2]} {
			var want []int
			for k, i := range images {
				if m.has(i) {
					want = append(want, k)
				}
			}
			if got := slices.Collect(m.among(l, images)); !slices.Equal(got, want) || len(got) == 0 {
				t.Errorf("%s: %d matches, want %d", name, len(got), len(want))
			}
		}
	}
}

// TestWithout: what cores copy side by side is what one look leaves, wherever parts begin and end.
func TestWithout(t *testing.T) {
	list := make([]int32, 1<<18+1<<19+77)
	for i := range list {
		list[i] = int32(i)
	}
	rng := rand.New(rand.NewPCG(6, 7))
	many := rng.Perm(len(list))[:3000]
	slices.Sort(many)
	last := len(list) - 1
	for name, places := range map[string][]int{"none": nil, "first": {0}, "last": {last}, "both": {0, last}, "a run": {1<<18 - 1, 1 << 18, 1<<18 + 1, 1<<18 + 2}, "many": many} {
		gone := map[int]bool{}
		for _, at := range places {
			gone[at] = true
		}
		var want []int32
		for i, v := range list {
			if !gone[i] {
				want = append(want, v)
			}
		}
		if got := without(list, places); !slices.Equal(got, want) {
			t.Errorf("%s: another list", name)
		}
	}
	if got := without(nil, nil); len(got) != 0 {
		t.Errorf("%v of nothing", got)
	}
}
