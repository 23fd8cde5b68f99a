// Package duplicates finds images of a pool that show the same thing once more: another encoding, another brightness, the same
// cut-out shifted by a pixel.
//
// Two images are near-duplicates where the cosine of their standardised embeddings is at least Threshold. Measured with embeddings of
// one view, means over the whole image, 128 px (those with means around the centre pass the same test) on 1,500 SDSS galaxies, 1,500 photographs, and both in one pool: the largest cosine of two different images, and the share of
// 60 (in both: 120) images that fold with a changed copy of themselves, with the least cosine of such a pair.
//
//	                           galaxies       photographs    both
//	different images           0.865          0.777          0.928
//	JPEG again, quality 90     100%  0.995     98%  0.921     99%  0.926
//	brightness +3%             100%  0.987    100%  0.979    100%  0.981
//	brightness +10%             97%  0.941     93%  0.862     98%  0.873
//	shift by 1 px, both ways    57%  0.737     20%  0.822     67%  0.833
//	shift by 2 px, both ways    12%  0.714      3%  0.616     38%  0.644
//	crop by 3% and resize       25%  0.784      8%  0.715     49%  0.763
//	JPEG again, quality 60       0%  0.525      5%  0.686     12%  0.688
//	half the size and back       0%  0.084      0%  0.281      0%  0.358
//
// Among all 6,446 galaxies no two fold. So copies, good encodings and other brightness fold, shifts by a pixel half of the time. What is kept apart is only shown twice; the
// other way round would be worse, because a label is meant for all that is folded.
package duplicates

import (
	"cmp"
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"anomalymatch/engine/space"
	"anomalymatch/internal/parallel"
)

// Threshold is the least cosine of the standardised embeddings of near-duplicates.
const Threshold = 0.95

// Groups are the near-duplicates of a pool.
type Groups struct {
	Of    []int32           // by image number: its group from 1 on, 0 for an image without near-duplicates
	Sets  map[int32][]int32 // group → its images in the pool's order, two or more
	Count int               // images in groups
}

// Make takes sets of images, two or more in each, for a pool of n.
func Make(n int, sets [][]int32) *Groups {
	g := &Groups{Of: make([]int32, n), Sets: map[int32][]int32{}}
	for _, set := range sets {
		id := int32(len(g.Sets) + 1)
		g.Sets[id] = set
		g.Count += len(set)
		for _, i := range set {
			g.Of[i] = id
		}
	}
	return g
}

// Join is g, which may be nil, in a pool of n, with the images of each of more in one group: a set joins all groups that it has images of.
func (g *Groups) Join(n int, more [][]int32) *Groups {
	if len(more) == 0 && g != nil {
		return g
	}
	parent := map[int32]int32{}
	root := func(i int32) int32 {
		for {
			up, ok := parent[i]
			if !ok || up == i {
				return i
			}
			i = up
		}
	}
	join := func(set []int32) {
		for _, j := range set {
			a, b := root(set[0]), root(j)
			parent[max(a, b)] = min(a, b)
		}
	}
	if g != nil {
		for _, set := range g.Sets {
			join(set)
		}
	}
	for _, set := range more {
		join(set)
	}
	sets := map[int32][]int32{}
	for _, i := range slices.Sorted(maps.Keys(parent)) {
		sets[root(i)] = append(sets[root(i)], i)
	}
	var all [][]int32
	for _, first := range slices.Sorted(maps.Keys(sets)) {
		all = append(all, sets[first])
	}
	return Make(n, all)
}

// With lists the near-duplicates of image i, without itself. A nil Groups has none.
func (g *Groups) With(i int32) []int32 {
	if g == nil || g.Of[i] == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(g.Sets[g.Of[i]]), func(j int32) bool { return j == i })
}

const (
	values = 32     // of the sketch that images are compared by first: one byte each
	leaf   = 96     // images that are compared each with each
	trees  = 12     // ways to divide a large pool
	exact  = 12_000 // pools up to here are compared each with each, and nothing is missed
	loose  = 2      // times the distance of the threshold that a sketch may show: it is right to about a quarter
	rounds = 64     // leaders that a set is split by, see split
)

type point [values]int8

// scale of a sketch's values, which are those of a unit vector.
const scale = 100

func (a *point) distance2(b *point) int32 {
	var sum int32
	for k := range a {
		d := int32(a[k]) - int32(b[k])
		sum += d * d
	}
	return sum
}

// finder holds what a search needs: 44 bytes an image besides the embeddings, which are read where sketches are near.
type finder struct {
	s      *space.Space
	points []point // by image number
	usable []int32 // images with an embedding that has a direction
	parent []int32 // union-find
	a, b   []float32
	limit  int32
}

// Find looks for near-duplicates. Up to 12,000 images it compares each with each. A larger pool is divided twelve times by planes
// between two of its images, drawn anew, until 96 or fewer are together (Dasgupta and Freund 2008), and those are compared: copies
// that differ little are in one part nearly always, and what is missed is only shown twice. Time is n log n, 3 s of one core for 60,000 images (measured), and ctx ends it.
func Find(ctx context.Context, s *space.Space, seed uint64) (*Groups, error) {
	return find(ctx, s, seed, exact)
}

// find compares each with each in pools of up to each images.
func find(ctx context.Context, s *space.Space, seed uint64, each int) (*Groups, error) {
	f := &finder{s: s, points: make([]point, s.Len()), parent: make([]int32, s.Len()), a: make([]float32, s.Dims()), b: make([]float32, s.Dims())}
	f.limit = int32(loose * 2 * (1 - Threshold) * scale * scale)
	if !s.Differs() {
		return Make(s.Len(), nil), nil
	}
	if err := f.sketch(ctx, seed); err != nil {
		return nil, err
	}
	few, err := f.equal(ctx)
	if err != nil {
		return nil, err
	}
	if len(few) <= each {
		if err := f.compare(ctx, few); err != nil {
			return nil, err
		}
	} else {
		r := rand.New(rand.NewPCG(seed, 0))
		part := make([]side, len(few))
		for range trees {
			if err := f.divide(ctx, slices.Clone(few), part, r); err != nil {
				return nil, err
			}
		}
	}
	sets := map[int32][]int32{}
	for _, i := range f.usable {
		root := f.root(i)
		sets[root] = append(sets[root], i)
	}
	var out [][]int32
	for _, i := range f.usable { // in the pool's order, not the map's
		if set := sets[f.root(i)]; len(set) > 1 && set[0] == i {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			out = append(out, f.split(set)...)
		}
	}
	return Make(s.Len(), out), nil
}

// sketch reads all embeddings once.
func (f *finder) sketch(ctx context.Context, seed uint64) error {
	const block = 1024
	for i := range f.parent {
		f.parent[i] = int32(i)
	}
	has := make([]bool, f.s.Len())
	workers := runtime.GOMAXPROCS(0)
	parallel.Parts(workers, workers, func(w, _, _ int) { // block by block in turn: the file is read from its beginning to its end
		row := make([]float32, f.s.Dims())
		var short [values]float32
		for from := w * block; from < f.s.Len() && ctx.Err() == nil; from += workers * block {
			for i := from; i < min(from+block, f.s.Len()); i++ {
				if !f.s.Row(i, row) {
					continue
				}
				size := math.Sqrt(space.Dot(row, row))
				if !(size > 0) {
					continue
				}
				space.Sketch(row, short[:], seed)
				for k, v := range short {
					f.points[i][k] = int8(math.Round(min(max(float64(v)/size*scale, -127), 127)))
				}
				has[i] = true
			}
		}
	})
	for i, ok := range has {
		if ok {
			f.usable = append(f.usable, int32(i))
		}
	}
	return ctx.Err()
}

// equal joins images whose sketches are equal, however many there are of one, and returns one of each set. No plane would part them.
func (f *finder) equal(ctx context.Context) (few []int32, err error) {
	order := slices.Clone(f.usable)
	slices.SortFunc(order, func(i, j int32) int {
		return cmp.Or(slices.Compare(f.points[i][:], f.points[j][:]), cmp.Compare(i, j))
	})
	for n, i := range order {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if n > 0 && f.points[i] == f.points[order[n-1]] && f.near(order[n-1], i) {
			f.join(order[n-1], i)
		} else {
			few = append(few, i)
		}
	}
	return few, nil
}

// side says on which side of a plane an image is.
type side struct {
	along int32
	i     int32
}

// divide splits images by a plane between two of them, one half on either side, and goes on until few are left, which are compared.
func (f *finder) divide(ctx context.Context, images []int32, part []side, r *rand.Rand) error {
	if len(images) <= leaf {
		return f.compare(ctx, images)
	}
	p, q := &f.points[images[r.IntN(len(images))]], &f.points[images[r.IntN(len(images))]]
	var normal [values]int32
	for k := range normal {
		normal[k] = int32(p[k]) - int32(q[k])
	}
	part = part[:len(images)]
	for n, i := range images {
		var along int32
		x := &f.points[i]
		for k, v := range normal {
			along += v * int32(x[k])
		}
		part[n] = side{along, i}
	}
	slices.SortFunc(part, func(a, b side) int { return cmp.Or(cmp.Compare(a.along, b.along), cmp.Compare(a.i, b.i)) })
	for n, s := range part {
		images[n] = s.i
	}
	half := len(images) / 2
	if err := f.divide(ctx, images[:half], part[:half], r); err != nil {
		return err
	}
	return f.divide(ctx, images[half:], part[half:], r)
}

// compare joins the near-duplicates among images.
func (f *finder) compare(ctx context.Context, images []int32) error {
	for n, i := range images {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, j := range images[n+1:] {
			if f.points[i].distance2(&f.points[j]) > f.limit {
				continue
			}
			if f.root(i) != f.root(j) && f.near(i, j) {
				f.join(i, j)
			}
		}
	}
	return nil
}

// near compares two images by their whole embeddings.
func (f *finder) near(i, j int32) bool {
	if !f.s.Row(int(i), f.a) || !f.s.Row(int(j), f.b) {
		return false
	}
	return space.Dot(f.a, f.b) >= Threshold*math.Sqrt(space.Dot(f.a, f.a)*space.Dot(f.b, f.b))
}

func (f *finder) join(i, j int32) {
	a, b := f.root(i), f.root(j)
	f.parent[max(a, b)] = min(a, b)
}

func (f *finder) root(i int32) int32 {
	for f.parent[i] != i {
		f.parent[i] = f.parent[f.parent[i]]
		i = f.parent[i]
	}
	return i
}

// split takes apart what only hangs together by images in between: a group is an image and those near to it.
func (f *finder) split(set []int32) (groups [][]int32) {
	for range rounds {
		if len(set) < 2 {
			return groups
		}
		group, rest := []int32{set[0]}, []int32(nil)
		for _, j := range set[1:] {
			if f.near(set[0], j) {
				group = append(group, j)
			} else {
				rest = append(rest, j)
			}
		}
		if len(group) > 1 {
			groups = append(groups, group)
		}
		set = rest
	}
	return groups // a long chain: its end stays apart
}
