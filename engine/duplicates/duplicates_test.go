package duplicates

import (
	"bytes"
	"context"
	"errors"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/space"
	"anomalymatch/internal/testdata"
)

// table is embeddings in memory; a nil row is an image without one.
type table [][]float32

func (t table) Row(i int, dst []float32) bool {
	if t[i] == nil {
		return false
	}
	copy(dst, t[i])
	return true
}

// spaceOf standardises t over the rows that count.
func spaceOf(t table, dims int) *space.Space {
	mean, std := make([]float32, dims), make([]float32, dims)
	for j := range dims {
		n, sum, squares := 0.0, 0.0, 0.0
		for _, r := range t {
			if r != nil {
				n++
				sum += float64(r[j])
				squares += float64(r[j]) * float64(r[j])
			}
		}
		mean[j] = float32(sum / n)
		std[j] = float32(math.Sqrt(max(0, squares/n-sum/n*sum/n)))
	}
	return space.New(t, len(t), mean, std)
}

func draw(r *rand.Rand, dims int) []float32 {
	v := make([]float32, dims)
	for j := range v {
		v[j] = float32(r.NormFloat64())
	}
	return v
}

// near is a row at the cosine from v, about.
func near(r *rand.Rand, v []float32, cosine float64) []float32 {
	noise := math.Sqrt(1/(cosine*cosine) - 1)
	out := make([]float32, len(v))
	for j := range out {
		out[j] = v[j] + float32(noise*r.NormFloat64())
	}
	return out
}

// A pool with copies at known places: compared each with each all are found, divided nearly all, and never anything else.
func TestCopiesAreFound(t *testing.T) {
	const n, dims, copies = 2500, 128, 200
	r := rand.New(rand.NewPCG(7, 1))
	var pool table
	for range n {
		pool = append(pool, draw(r, dims))
	}
	pool[17] = nil
	want := map[[2]int32]bool{}
	for k := range copies {
		i, j := int32(20+k), int32(n-1-k)
		pool[j] = near(r, pool[i], 0.98)
		want[[2]int32{i, j}] = true
	}
	s := spaceOf(pool, dims)
	for _, c := range []struct {
		each, least int
	}{{n, copies}, {600, copies * 97 / 100}} {
		g, err := find(t.Context(), s, 3, c.each)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range g.Sets {
			if len(set) != 2 || !want[[2]int32{set[0], set[1]}] {
				t.Errorf("each %d: %v are no copies", c.each, set)
			}
		}
		if len(g.Sets) < c.least || g.Count != 2*len(g.Sets) {
			t.Errorf("each %d: %d of %d pairs found, %d images counted", c.each, len(g.Sets), copies, g.Count)
		}
		again, _ := find(t.Context(), s, 3, c.each)
		if !reflect.DeepEqual(again, g) {
			t.Errorf("each %d: another result the second time", c.each)
		}
	}
}

// Of a chain, in which only neighbours are near, nobody ends up with a label meant for something else.
func TestAChainIsNoGroup(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	a, b := draw(r, 64), draw(r, 64)
	var pool table
	for k := range 12 { // turning from a to b
		x := float64(k) / 11 * math.Pi / 2
		row := make([]float32, 64)
		for j := range row {
			row[j] = float32(math.Cos(x))*a[j] + float32(math.Sin(x))*b[j]
		}
		pool = append(pool, row)
	}
	for range 200 {
		pool = append(pool, draw(r, 64))
	}
	s := spaceOf(pool, 64)
	g, err := Find(t.Context(), s, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Sets) < 2 {
		t.Fatalf("groups %v: the chain should fall into parts", g.Sets)
	}
	for _, set := range g.Sets {
		for _, c := range s.Similarity(int(set[0]), set) {
			if c < Threshold {
				t.Errorf("group %v holds an image at cosine %.3f from its first", set, c)
			}
		}
	}
	for i := range int32(len(pool)) {
		for _, j := range g.With(i) {
			if j == i || g.Of[j] != g.Of[i] {
				t.Errorf("image %d is told to be folded with %d", i, j)
			}
		}
	}
}

func TestImagesThatAreAllTheSame(t *testing.T) {
	black := table{}
	for range 50 {
		black = append(black, []float32{0, 0.3, 7})
	}
	g, err := Find(t.Context(), spaceOf(black, 3), 1)
	if err != nil || g.Count != 0 {
		t.Errorf("all-black images: %+v, %v", g, err)
	}
	// Among others they are one group, however many.
	r := rand.New(rand.NewPCG(2, 2))
	var pool table
	for i := range 3000 {
		if i%2 == 0 {
			pool = append(pool, make([]float32, 40))
		} else {
			v := draw(r, 40)
			for j := range v {
				v[j] += 1
			}
			pool = append(pool, v)
		}
	}
	g, err = find(t.Context(), spaceOf(pool, 40), 1, 500)
	if err != nil || len(g.Sets[g.Of[0]]) != 1500 {
		t.Errorf("1500 copies of one image: a group of %d, %v", len(g.Sets[g.Of[0]]), err)
	}
	if g, err := Find(t.Context(), space.New(table{}, 0, nil, nil), 1); err != nil || g.Count != 0 {
		t.Errorf("no images: %v, %v", g, err)
	}
}

func TestACancelEndsTheSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var pool table
	for range 2000 {
		pool = append(pool, draw(r, 16))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, each := range []int{10, 5000} {
		if g, err := find(ctx, spaceOf(pool, 16), 1, each); !errors.Is(err, context.Canceled) || g != nil {
			t.Errorf("each %d: %v after a cancel", each, err)
		}
	}
}

func TestGroupsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "duplicates-128.json")
	g := Make(9, [][]int32{{1, 4, 8}, {2, 3}})
	if _, ok := Read(path, "x", 9); ok {
		t.Error("groups were read from nowhere")
	}
	if err := Write(path, "x", g); err != nil {
		t.Fatal(err)
	}
	got, ok := Read(path, "x", 9)
	if !ok || !reflect.DeepEqual(got, g) || got.Count != 5 {
		t.Errorf("read %+v, %v", got, ok)
	}
	if w := got.With(4); !reflect.DeepEqual(w, []int32{1, 8}) {
		t.Errorf("image 4 is folded with %v", w)
	}
	for name, read := range map[string]func() (*Groups, bool){
		"other embeddings": func() (*Groups, bool) { return Read(path, "y", 9) },
		"another pool":     func() (*Groups, bool) { return Read(path, "x", 8) },
		"damage": func() (*Groups, bool) {
			b, _ := os.ReadFile(path)
			os.WriteFile(path, bytes.Replace(b, []byte("[2,3]"), []byte("[2,8]"), 1), 0o666)
			return Read(path, "x", 9)
		},
	} {
		if g, ok := read(); ok {
			t.Errorf("%s: groups %+v", name, g)
		}
	}
}

// What folds on real images is what the package comment says.
func TestRealImages(t *testing.T) {
	if testing.Short() {
		t.Skip("embeds 1,000 images")
	}
	o, err := runtime.Open(runtime.Infer, "xla")
	if err != nil {
		t.Skipf("no XLA here: %v", err)
	}
	const size, batch, each, more = 128, 32, 60, 240
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.NewModel(o, w)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	embed := func(images []dataset.RGB) (out table) {
		for from := 0; from < len(images); from += batch {
			some := images[from:min(from+batch, len(images))]
			var pix []uint8
			for _, im := range some {
				pix = append(pix, dataset.Resize(im, size, size).Pix...)
			}
			e, err := m.Embed(pix, len(some), batch, size)
			if err != nil {
				t.Fatal(err)
			}
			for k := range some {
				out = append(out, e[k*nn.EmbeddingSize:(k+1)*nn.EmbeddingSize])
			}
		}
		return out
	}
	changes := []struct {
		name   string
		change func(dataset.RGB) dataset.RGB
		folds  float64 // at least
	}{
		{"the same", func(m dataset.RGB) dataset.RGB { return m }, 1},
		{"quality 90", func(m dataset.RGB) dataset.RGB { return again(t, m, 90) }, 0.95},
		{"brightness +3%", brighter, 0.95},
	}
	for _, set := range []string{"galaxies", "natural"} {
		files, err := filepath.Glob(filepath.Join(testdata.Shared(t, "data/"+set+"/images"), "*.jpg"))
		if err != nil || len(files) < each+more {
			t.Fatalf("%d images, %v", len(files), err)
		}
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(files), func(a, b int) { files[a], files[b] = files[b], files[a] })
		var images []dataset.RGB
		for _, f := range files[:each+more] {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			im, err := dataset.Decode(b, dataset.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			images = append(images, im)
		}
		different := embed(images)
		g, err := Find(t.Context(), spaceOf(different, nn.EmbeddingSize), 1)
		if err != nil || g.Count != 0 {
			t.Errorf("%s: %d different images are folded (%v), %v", set, g.Count, g.Sets, err)
		}
		for _, c := range changes {
			var changed []dataset.RGB
			for _, im := range images[:each] {
				changed = append(changed, c.change(im))
			}
			g, err := Find(t.Context(), spaceOf(append(different[:len(different):len(different)], embed(changed)...), nn.EmbeddingSize), 1)
			if err != nil {
				t.Fatal(err)
			}
			folded := 0
			for i := range each {
				if w := g.With(int32(i)); len(w) == 1 && int(w[0]) == each+more+i {
					folded++
				} else if len(w) > 0 {
					t.Errorf("%s, %s: image %d is folded with %v", set, c.name, i, w)
				}
			}
			t.Logf("%s, %s: %d of %d fold", set, c.name, folded, each)
			if float64(folded) < c.folds*each {
				t.Errorf("%s, %s: only %d of %d fold", set, c.name, folded, each)
			}
		}
	}
}

func again(t *testing.T, m dataset.RGB, quality int) dataset.RGB {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m.Image(), &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	out, err := dataset.Decode(b.Bytes(), dataset.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func brighter(m dataset.RGB) dataset.RGB {
	out := dataset.NewRGB(m.W, m.H)
	for i, v := range m.Pix {
		out.Pix[i] = uint8(min(255, math.Round(1.03*float64(v))))
	}
	return out
}

func TestJoin(t *testing.T) {
	var none *Groups
	for name, c := range map[string]struct {
		g    *Groups
		more [][]int32
		want map[int32][]int32
	}{
		"no near-duplicates": {none, [][]int32{{1, 4}}, map[int32][]int32{1: {1, 4}}},
		"nothing":            {none, nil, map[int32][]int32{}},
		"apart":              {Make(9, [][]int32{{5, 6}}), [][]int32{{1, 4}}, map[int32][]int32{1: {1, 4}, 2: {5, 6}}},
		"a bridge":           {Make(9, [][]int32{{0, 2}, {5, 6}}), [][]int32{{2, 3, 6}}, map[int32][]int32{1: {0, 2, 3, 5, 6}}},
		"a chain":            {none, [][]int32{{3, 4}, {1, 4}, {1, 8}}, map[int32][]int32{1: {1, 3, 4, 8}}},
	} {
		if got := c.g.Join(9, c.more); !reflect.DeepEqual(got.Sets, c.want) {
			t.Errorf("%s: %v, want %v", name, got.Sets, c.want)
		}
	}
}
