package queue

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"anomalymatch/engine/space"
)

type table [][]float32

func (t table) Row(i int, dst []float32) bool {
	if t[i] == nil {
		return false
	}
	copy(dst, t[i])
	return true
}

func flat(t table, dims int) *space.Space {
	one := make([]float32, dims)
	for j := range one {
		one[j] = 1
	}
	return space.New(t, len(t), make([]float32, dims), one)
}

func list(n int) []int32 {
	l := make([]int32, n)
	for i := range l {
		l[i] = int32(i)
	}
	return l
}

// Every strategy returns the images of the list, each once, and leaves the list alone.
func TestNobodyIsLost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 700
	scores, rows := make([]float32, 2*n), make(table, 2*n)
	for i := range scores {
		scores[i] = r.Float32()
		if i%7 != 0 { // some have no embedding
			rows[i] = []float32{r.Float32(), r.Float32(), r.Float32()}
		}
	}
	scores[3], scores[4] = 0, 1
	in := list(2 * n)[n/2 : n/2+n]
	before := slices.Clone(in)
	s := flat(rows, 3)
	uncertain, diverse := ByUncertainty(in, scores, 0.5), ByDiversity(in, s, 200)
	for name, out := range map[string][]int32{
		"uncertain": uncertain,
		"diverse":   diverse,
		"random":    ByChance(in, 3),
		"similar":   BySimilarity(in, func(i int32) float32 { return s.Similarity(n, []int32{i})[0] }),
		"mixed":     Mix(in, uncertain, diverse),
	} {
		sorted := slices.Clone(out)
		slices.Sort(sorted)
		if !slices.Equal(sorted, before) {
			t.Errorf("%s: %d images of %d, or others", name, len(out), len(in))
		}
		if !slices.Equal(in, before) {
			t.Errorf("%s changed the list", name)
		}
	}
	for _, few := range [][]int32{nil, {5}, {5, 9}} {
		if got := len(Mix(few, ByUncertainty(few, scores, 0.5), ByDiversity(few, s, 10))); got != len(few) {
			t.Errorf("of %v remain %d", few, got)
		}
	}
}

func TestByUncertainty(t *testing.T) {
	scores := []float32{0.99, 0.9, 0.6, 0.45, 0.1, 0}
	if got := ByUncertainty(list(6), scores, 0.5); !slices.Equal(got, []int32{3, 2, 1, 4, 0, 5}) {
		t.Errorf("about 0.5: %v", got)
	}
	if got := ByUncertainty(list(6), scores, 0.92); !slices.Equal(got[:3], []int32{1, 2, 0}) {
		t.Errorf("about 0.92: %v", got)
	}
	if got := ByUncertainty(list(6), scores, 1); !slices.Equal(got, list(6)) {
		t.Errorf("where nothing is likely the best are the most uncertain: %v", got)
	}
}

// Labelling takes images out; the others keep their order.
func TestByChanceIsStable(t *testing.T) {
	all := ByChance(list(1000), 9)
	left := slices.DeleteFunc(list(1000), func(i int32) bool { return i%3 == 0 })
	slices.Reverse(left) // another ranking
	want := slices.DeleteFunc(slices.Clone(all), func(i int32) bool { return i%3 == 0 })
	if !slices.Equal(ByChance(left, 9), want) {
		t.Error("the order of the others changed")
	}
	if slices.Equal(ByChance(list(1000), 10), all) {
		t.Error("the seed has no effect")
	}
	sum := 0
	for _, i := range all[:200] {
		sum += int(i)
	}
	if mean := float64(sum) / 200; math.Abs(mean-499.5) > 4*288.7/math.Sqrt(200) {
		t.Errorf("mean number of the first 200 is %.0f: not every image is as likely", mean)
	}
}

// Ten clusters of very different sizes: the first ten picks show all of them, the ranking's first pages only the large one.
func TestByDiversityShowsEveryKind(t *testing.T) {
	const n, dims = 1000, 256
	r := rand.New(rand.NewPCG(4, 4))
	rows, kind := make(table, n), make([]int, n)
	centre := make([][]float32, 10)
	for k := range centre {
		centre[k] = make([]float32, dims)
		for j := range centre[k] {
			centre[k][j] = float32(r.NormFloat64())
		}
	}
	for i := range rows {
		if i >= 900 {
			kind[i] = 1 + (i-900)%9
		}
		rows[i] = make([]float32, dims)
		for j := range rows[i] {
			rows[i][j] = centre[kind[i]][j] + 0.2*float32(r.NormFloat64())
		}
	}
	got := ByDiversity(list(n), flat(rows, dims), n)
	seen := map[int]bool{}
	for _, i := range got[:10] {
		seen[kind[i]] = true
	}
	if got[0] != 0 || len(seen) != 10 {
		t.Errorf("begins with %v: kinds %v", got[:10], seen)
	}
	if few := ByDiversity(list(n), flat(rows, dims), 100); slices.Max(few[:100]) != 99 {
		t.Error("took images that are not among the best")
	}
	same := make(table, 50)
	for i := range same {
		same[i] = []float32{1, 1}
	}
	if got := ByDiversity(list(50), flat(same, 2), 50); !slices.Equal(got, list(50)) {
		t.Errorf("images that are all the same: %v", got)
	}
}

func TestMix(t *testing.T) {
	top, uncertain, diverse := []int32{0, 1, 2, 3, 4, 5, 6, 7}, []int32{5, 0, 1, 2, 3, 4, 6, 7}, []int32{0, 7, 1, 2, 3, 4, 5, 6}
	if got := Mix(top, uncertain, diverse); !slices.Equal(got, []int32{0, 5, 1, 7, 2, 3, 4, 6}) {
		t.Errorf("%v", got)
	}
}

func TestBySimilarityPutsTheUnknownLast(t *testing.T) {
	nan := float32(math.NaN())
	to := map[int32]float32{4: nan, 5: 0.2, 6: 0.9, 7: nan}
	if got := BySimilarity([]int32{4, 5, 6, 7}, func(i int32) float32 { return to[i] }); !slices.Equal(got, []int32{6, 5, 4, 7}) {
		t.Errorf("%v", got)
	}
}

func TestFold(t *testing.T) {
	group := []int32{1, 0, 2, 1, 2, 1}
	label := []string{"", "", "", "", "anomaly", ""}
	first, more := Fold([]int32{3, 4, 0, 1, 2, 5}, group, func(i int32) string { return label[i] })
	if !slices.Equal(first, []int32{3, 4, 1, 2}) || len(more) != 1 || !slices.Equal(more[3], []int32{0, 5}) {
		t.Errorf("%v, %v", first, more)
	}
}

func BenchmarkByDiversity(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	rows := make(table, 10_000)
	for i := range rows {
		rows[i] = make([]float32, 2064)
		for j := range rows[i] {
			rows[i][j] = float32(r.NormFloat64())
		}
	}
	s := flat(rows, 2064)
	for b.Loop() {
		ByDiversity(list(len(rows)), s, len(rows))
	}
}
