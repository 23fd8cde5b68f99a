package atlas

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
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

// of makes a space that takes the rows as they are.
func (t table) of(dims int) *space.Space {
	mean, std := make([]float32, dims), make([]float32, dims)
	for j := range std {
		std[j] = 1
	}
	return space.New(t, len(t), mean, std)
}

// cloud draws n points: value j has standard deviation spread[j].
func cloud(n int, spread []float64, seed uint64) table {
	r := rand.New(rand.NewPCG(seed, 0))
	t := make(table, n)
	for i := range t {
		t[i] = make([]float32, len(spread))
		for j, s := range spread {
			t[i][j] = float32(s * r.NormFloat64())
		}
	}
	return t
}

// The directions of a Gaussian cloud have the axes of its covariance.
func TestPCAFindsTheAxesOfAKnownCovariance(t *testing.T) {
	spread := make([]float64, 40)
	for j := range spread {
		spread[j] = 0.3
	}
	spread[7], spread[20], spread[31] = 5, 3, 1.5
	rows := cloud(6000, spread, 1)
	rows[17] = nil
	rows[18] = make([]float32, 40) // no direction
	c, err := PCA(t.Context(), rows.of(40), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.K != Kept || c.Len() != len(rows) {
		t.Fatalf("%d components of %d images", c.K, c.Len())
	}
	for j, value := range []int{7, 20, 31} {
		if r := correlation(rows, c, j, value); r < 0.99 {
			t.Errorf("component %d goes with value %d by %.3f, want nearly 1", j, value, r)
		}
	}
	// E[x²/|x|²] of the axes, by counting
	want := make([]float64, 3)
	n := 0.0
	for _, row := range rows {
		if row == nil || space.Dot(row, row) == 0 {
			continue
		}
		n++
		for j, value := range []int{7, 20, 31} {
			want[j] += float64(row[value]) * float64(row[value]) / space.Dot(row, row)
		}
	}
	for j := range want {
		if want[j] /= n; math.Abs(c.Share[j]-want[j]) > 0.005 {
			t.Errorf("component %d has %.4f of the variance, counted %.4f", j, c.Share[j], want[j])
		}
	}
	for _, i := range []int{17, 18} {
		if c.has(i) {
			t.Errorf("image %d has a place", i)
		}
	}
	m := c.Plane()
	if m.X[17] == m.X[17] || m.Y[18] == m.Y[18] {
		t.Error("an image without embedding lies on the map")
	}
	for i := range m.X {
		if m.X[i] < 0 || m.X[i] > 1 || m.Y[i] < 0 || m.Y[i] > 1 {
			t.Fatalf("image %d lies at %v, %v", i, m.X[i], m.Y[i])
		}
	}
}

// correlation of a component with the value of the rows divided by their lengths.
func correlation(rows table, c *Components, component, value int) float64 {
	var a, b []float64
	for i, row := range rows {
		if c.has(i) {
			a = append(a, float64(c.Of(i)[component]))
			b = append(b, float64(row[value])/math.Sqrt(space.Dot(row, row)))
		}
	}
	return pearson(a, b)
}

func pearson(a, b []float64) float64 {
	var ma, mb, ab, aa, bb float64
	for i := range a {
		ma, mb = ma+a[i]/float64(len(a)), mb+b[i]/float64(len(b))
	}
	for i := range a {
		ab, aa, bb = ab+(a[i]-ma)*(b[i]-mb), aa+(a[i]-ma)*(a[i]-ma), bb+(b[i]-mb)*(b[i]-mb)
	}
	return ab / math.Sqrt(aa*bb)
}

func TestTheSameSeedGivesTheSameMapOnAnyNumberOfCores(t *testing.T) {
	rows := cloud(9000, []float64{3, 2, 1, 1, 0.5, 0.5, 0.4, 0.3}, 2)
	var first [2]Map
	for try, cores := range []int{1, 2, 5} {
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			c, err := PCA(context.Background(), rows.of(8), 7, nil)
			if err != nil {
				t.Fatal(err)
			}
			near, err := c.Neighbours(context.Background(), []int32{5, 4711}, 7, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := [2]Map{c.Plane(), near}
			if try == 0 {
				first = got
			}
			for k := range got {
				if !slices.Equal(got[k].X, first[k].X) || !slices.Equal(got[k].Y, first[k].Y) {
					t.Errorf("map %d is another one with %d cores", k, cores)
				}
			}
		}()
	}
	other, err := PCA(context.Background(), rows.of(8), 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	if near, err := other.Neighbours(context.Background(), nil, 8, nil); err != nil || slices.Equal(near.X, first[1].X) {
		t.Errorf("another seed gives the same neighbours: %v", err)
	}
}

// clusters are groups of directions that are nothing like each other.
func clusters(groups, each int, seed uint64) table {
	const dims = 24
	r := rand.New(rand.NewPCG(seed, 0))
	var t table
	for g := range groups {
		for range each {
			row := make([]float32, dims)
			for j := range row {
				row[j] = float32(0.15 * r.NormFloat64())
			}
			row[g] += 1
			t = append(t, row)
		}
	}
	return t
}

func TestNeighboursKeepGroupsTogether(t *testing.T) {
	const groups, each = 8, 700 // more than there are landmarks
	rows := clusters(groups, each, 3)
	c, err := PCA(t.Context(), rows.of(24), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Neighbours(t.Context(), nil, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	kept := func(m Map) float64 { // share of the ten nearest that are of the own group
		same, all := 0, 0
		for i := 0; i < len(rows); i += 37 {
			var n nearest
			for j := range rows {
				if j != i {
					n.add(int32(j), apart([2]float32{m.X[i], m.Y[i]}, [2]float32{m.X[j], m.Y[j]}), 10)
				}
			}
			for _, j := range n.who {
				all++
				if int(j)/each == i/each {
					same++
				}
			}
		}
		return float64(same) / float64(all)
	}
	near, plane := kept(m), kept(c.Plane())
	if near < 0.97 {
		t.Errorf("%.3f of the neighbours on the map are of one group, want nearly all", near)
	}
	if plane > near-0.1 { // else the test shows nothing: two components do not hold eight groups
		t.Errorf("two components keep %.3f, neighbours %.3f", plane, near)
	}
}

func TestAgainstScoresIsWhatTheScoreDoesNotSay(t *testing.T) {
	rows := cloud(4000, []float64{2, 1.5, 0.3, 0.3, 0.3, 0.3}, 4)
	c, err := PCA(t.Context(), rows.of(6), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	scores, z := make([]float32, len(rows)), make([]float64, len(rows))
	for i, row := range rows { // the score goes with the first value
		z[i] = 2 * float64(row[0]) / math.Sqrt(space.Dot(row, row))
		scores[i] = float32(1 / (1 + math.Exp(-z[i])))
	}
	scores[3] = float32(math.NaN())
	m := c.Against(scores, "fast")
	if m.X[3] == m.X[3] {
		t.Error("an image without a score lies on the map")
	}
	var x, y, zs, second []float64
	for i := range rows {
		if i != 3 {
			x, y, zs = append(x, float64(m.X[i])), append(y, float64(m.Y[i])), append(zs, z[i])
			second = append(second, float64(rows[i][1])/math.Sqrt(space.Dot(rows[i], rows[i])))
		}
	}
	if r := pearson(x, zs); r < 0.98 {
		t.Errorf("x goes with the log-odds by %.3f", r)
	}
	if r := math.Abs(pearson(y, zs)); r > 0.05 {
		t.Errorf("y goes with the log-odds by %.3f, want nothing", r)
	}
	if r := math.Abs(pearson(y, second)); r < 0.95 {
		t.Errorf("y goes with the second value by %.3f", r)
	}
	if empty := c.Against(slices.Repeat([]float32{float32(math.NaN())}, len(rows)), "fast"); empty.X[0] == empty.X[0] {
		t.Error("without scores images lie on the map")
	}
}

func TestPoolsThatHaveNoMap(t *testing.T) {
	for name, rows := range map[string]table{
		"nothing":   {},
		"two":       {{1, 0}, {0, 1}},
		"all alike": slices.Repeat(table{{1, 2}}, 50),
		"black":     slices.Repeat(table{{0, 0}}, 50),
		"no rows":   make(table, 50),
	} {
		if _, err := PCA(t.Context(), rows.of(2), 1, nil); err != ErrAlike {
			t.Errorf("%s: %v, want ErrAlike", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := PCA(ctx, cloud(500, []float64{1, 1, 1}, 1).of(3), 1, nil); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	// one value, and copies of each image
	c, err := PCA(t.Context(), slices.Repeat(table{{1}, {-1}}, 40).of(1), 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Neighbours(t.Context(), nil, 1, nil)
	if err != nil || m.X[0] != m.X[0] {
		t.Errorf("copies: %v, %v", m.X[0], err)
	}
	c.Plane()
}

func TestRegions(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		region      Region
		x, y        float32
		column, row int
		ok          bool
	}{
		{Whole, 0, 0, 0, 0, true},
		{Whole, 1, 1, 9, 3, true},
		{Whole, 0.5, 0.25, 5, 1, true},
		{Whole, nan, 0.5, 0, 0, false},
		{Region{0.5, 0.5, 1, 1}, 1, 0.5, 9, 0, true},
		{Region{0, 0, 0.5, 0.5}, 0.5, 0.1, 0, 0, false},
		{Region{0, 0, 0.5, 0.5}, 0.25, 0.375, 5, 3, true},
		{Region{0.5, 0.5, 0.4, 1}, 0.45, 0.7, 0, 0, false},
	} {
		column, row, ok := c.region.Cell(c.x, c.y, 10, 4)
		if ok != c.ok || ok && (column != c.column || row != c.row) {
			t.Errorf("%v of %v: column %d, row %d, %v", [2]float32{c.x, c.y}, c.region, column, row, ok)
		}
	}
}

func TestSpreadKeepsOrderAndOutliersApart(t *testing.T) {
	var v []float32
	for i := range 1000 {
		v = append(v, float32(i))
	}
	v = append(v, 5000, 90_000, float32(math.NaN()), -700)
	up, down := slices.Clone(v), slices.Clone(v)
	spread(up, false)
	spread(down, true)
	if !(up[1003] < up[0] && up[999] < up[1000] && up[1000] < up[1001] && up[1001] <= 1 && up[1003] >= 0) || up[1002] == up[1002] {
		t.Errorf("outliers lie at %v", up[999:])
	}
	if w := up[800] - up[200]; w < 0.5 {
		t.Errorf("outliers press the middle together: %v", w)
	}
	if down[0] != 1-up[0] {
		t.Errorf("turned: %v and %v", down[0], up[0])
	}
	same := []float32{3, 3, 3}
	spread(same, false)
	if same[0] < 0.4 || same[0] > 0.6 {
		t.Errorf("equal values lie at %v", same[0])
	}
}

// BenchmarkMaps prints the seconds for 10⁵ images with embeddings as wide as the network's.
func BenchmarkMaps(b *testing.B) {
	const n, dims = 100_000, 4128
	spread := make([]float64, dims)
	for j := range spread {
		spread[j] = 1 / math.Sqrt(1+float64(j))
	}
	rows := repeated{cloud(2000, spread, 1)}
	mean, std := make([]float32, dims), slices.Repeat([]float32{1}, dims)
	s := space.New(rows, n, mean, std)
	components := sync.OnceValue(func() *Components {
		c, err := PCA(context.Background(), s, 1, nil)
		if err != nil {
			b.Fatal(err)
		}
		return c
	})
	b.Run("components", func(b *testing.B) {
		for b.Loop() {
			if _, err := PCA(b.Context(), s, 1, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("plane", func(b *testing.B) {
		c := components()
		for b.Loop() {
			c.Plane()
		}
	})
	b.Run("against", func(b *testing.B) {
		c, scores := components(), slices.Repeat([]float32{0.1, 0.2, 0.9, 0.4}, n/4)
		for b.Loop() {
			c.Against(scores, "fast")
		}
	})
	b.Run("neighbours", func(b *testing.B) {
		c := components()
		for b.Loop() {
			if _, err := c.Neighbours(b.Context(), nil, 1, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// repeated gives many images the rows of few, a little apart.
type repeated struct{ table }

func (r repeated) Row(i int, dst []float32) bool {
	r.table.Row(i%len(r.table), dst)
	dst[i%len(dst)] += 0.5
	return true
}
