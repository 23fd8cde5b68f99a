package atlas

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"anomalymatch/internal/parallel"
)

const (
	landmarks = 4000 // images that are laid out by each other, at most; all others find their place among them
	near      = 15   // neighbours that an image is drawn to
	epochs    = 300
	repelled  = 5 // images that it is pushed away from, each time it is drawn to one
	anchors   = 3 // landmarks that one of the others lies between
)

// Neighbours is the map on which images that are alike lie together: a layout of landmarks as UMAP makes it (McInnes, Healy and Melville
// 2018; the kernel is t-SNE's 1/(1+d²)), and all others between the landmarks that they are most alike. Only closeness means something:
// directions and large distances do not. wanted images are landmarks in any case, half of them at most. The same seed gives the same map.
func (c *Components) Neighbours(ctx context.Context, wanted []int32, seed uint64, progress func(share float64)) (Map, error) {
	if progress == nil {
		progress = func(float64) {}
	}
	m := c.empty()
	marks := c.landmarks(wanted, seed)
	if len(marks) < 3 {
		return m, ErrAlike
	}
	points := make([]float32, 0, len(marks)*c.K)
	for _, i := range marks {
		points = append(points, c.Of(int(i))...)
	}
	edges := c.graph(points, len(marks))
	placing := float64(c.Len()) / float64(c.Len()+20_000) // of the time, about
	places, err := c.layout(ctx, points, edges, seed, func(share float64) { progress(share * (1 - placing)) })
	if err != nil {
		return m, err
	}
	at := make(map[int32]int, len(marks))
	for k, i := range marks {
		at[i] = k
	}
	parallel.Parts(c.Len(), 4*chunks, func(part, from, to int) {
		for i := from; i < to && ctx.Err() == nil; i++ {
			if !c.has(i) {
				continue
			}
			if k, ok := at[int32(i)]; ok {
				m.X[i], m.Y[i] = places[k][0], places[k][1]
				continue
			}
			m.X[i], m.Y[i] = between(c.Of(i), points, places)
		}
		progress(1 - placing + placing*float64(part+1)/(4*chunks))
	})
	spread(m.X, false)
	spread(m.Y, true)
	return m, ctx.Err()
}

// landmarks are images by chance and the wanted ones, rising, all with a place.
func (c *Components) landmarks(wanted []int32, seed uint64) []int32 {
	chosen := map[int32]bool{}
	for _, i := range wanted[:min(len(wanted), landmarks/2)] {
		if c.has(int(i)) {
			chosen[i] = true
		}
	}
	for _, i := range sample(c.Len(), landmarks-len(chosen), seed) {
		if c.has(int(i)) {
			chosen[i] = true
		}
	}
	out := make([]int32, 0, len(chosen))
	for i := range chosen {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}

// edge draws two landmarks to each other: weight from 0 to 1.
type edge struct {
	a, b   int32
	weight float32
}

// nearest keeps the k smallest distances, rising.
type nearest struct {
	who  []int32
	dist []float32
}

func (n *nearest) add(i int32, d float32, k int) {
	if len(n.dist) == k && d >= n.dist[k-1] {
		return
	}
	at, _ := slices.BinarySearch(n.dist, d)
	n.who, n.dist = slices.Insert(n.who, at, i), slices.Insert(n.dist, at, d)
	if len(n.dist) > k {
		n.who, n.dist = n.who[:k], n.dist[:k]
	}
}

// graph joins each of n points [n,K] with its nearest ones: the nearest fully, the others by their distance beyond it, on a scale on which
// each point has log2(near) neighbours.
func (c *Components) graph(points []float32, n int) []edge {
	k := min(near, n-1)
	of := make([]nearest, n)
	weights := make([][]float32, n)
	parallel.Parts(n, 4*chunks, func(_, from, to int) {
		for i := from; i < to; i++ {
			own := points[i*c.K : (i+1)*c.K]
			for j := range n {
				if j == i {
					continue
				}
				limit := float32(math.MaxFloat32)
				if len(of[i].dist) == k {
					limit = of[i].dist[k-1]
				}
				if d := distance2(own, points[j*c.K:(j+1)*c.K], limit); d < limit {
					of[i].add(int32(j), d, k)
				}
			}
			weights[i] = memberships(of[i].dist)
		}
	})
	type pair struct{ a, b int32 }
	joined := map[pair]float32{}
	for i := range of {
		for q, j := range of[i].who {
			a, b := int32(i), j
			if a > b {
				a, b = b, a
			}
			w, other := weights[i][q], joined[pair{a, b}]
			joined[pair{a, b}] = w + other - w*other
		}
	}
	out := make([]edge, 0, len(joined))
	for p, w := range joined {
		out = append(out, edge{p.a, p.b, w})
	}
	slices.SortFunc(out, func(x, y edge) int {
		if x.a != y.a {
			return int(x.a - y.a)
		}
		return int(x.b - y.b)
	})
	return out
}

// memberships turns squared distances, rising, into weights.
func memberships(squares []float32) []float32 {
	out := make([]float32, len(squares))
	dist := make([]float64, len(squares))
	for q, s := range squares {
		dist[q] = math.Sqrt(float64(s))
	}
	target := math.Log2(float64(len(dist)) + 1)
	low, high, scale := 0.0, math.Inf(1), 1.0
	if d := dist[len(dist)-1] - dist[0]; d > 0 {
		scale = d
	}
	for range 50 {
		sum := 0.0
		for _, d := range dist {
			sum += math.Exp(-(d - dist[0]) / scale)
		}
		if sum > target {
			high = scale
		} else {
			low = scale
		}
		if math.IsInf(high, 1) {
			scale *= 2
		} else {
			scale = (low + high) / 2
		}
	}
	for q, d := range dist {
		out[q] = float32(math.Exp(-(d - dist[0]) / max(scale, 1e-12)))
	}
	return out
}

// layout finds a place for each point: from the first two components on, edges draw points together as often as they weigh, and each
// time others are pushed away.
func (c *Components) layout(ctx context.Context, points []float32, edges []edge, seed uint64, progress func(float64)) ([][2]float32, error) {
	n := len(points) / c.K
	r := rand.New(rand.NewPCG(seed, 3))
	at := make([][2]float32, n)
	size := 1e-12
	for i := range at {
		for axis := range min(2, c.K) {
			size = max(size, math.Abs(float64(points[i*c.K+axis])))
		}
	}
	for i := range at {
		for axis := range 2 {
			at[i][axis] = float32(1e-3 * r.NormFloat64())
			if axis < c.K {
				at[i][axis] += float32(10 * float64(points[i*c.K+axis]) / size)
			}
		}
	}
	heaviest := float32(0)
	for _, e := range edges {
		heaviest = max(heaviest, e.weight)
	}
	due := make([]float32, len(edges)) // an edge acts each time its sum passes 1
	const most = 4                     // of one move
	move := func(i, j int, pull float32, rate float32, both bool) {
		for axis := range 2 {
			g := min(most, max(-most, pull*(at[i][axis]-at[j][axis]))) * rate
			at[i][axis] += g
			if both {
				at[j][axis] -= g
			}
		}
	}
	for epoch := range epochs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rate := float32(1 - float64(epoch)/epochs)
		for k, e := range edges {
			if due[k] += e.weight / heaviest; due[k] < 1 {
				continue
			}
			due[k]--
			a, b := int(e.a), int(e.b)
			move(a, b, -2/(1+apart(at[a], at[b])), rate, true)
			for _, from := range [2]int{a, b} {
				for range repelled {
					o := r.IntN(n)
					if o == from {
						continue
					}
					d := apart(at[from], at[o])
					move(from, o, 2/((0.001+d)*(1+d)), rate, false)
				}
			}
		}
		progress(float64(epoch+1) / epochs)
	}
	return at, nil
}

func apart(a, b [2]float32) float32 {
	x, y := a[0]-b[0], a[1]-b[1]
	return x*x + y*y
}

// between is the place of a point among the landmarks that it is most alike; the nearest counts most by far, so that nobody is put into
// the empty space between two groups.
func between(own, points []float32, places [][2]float32) (x, y float32) {
	k := len(own)
	var who [anchors]int
	dist := [anchors]float32{math.MaxFloat32, math.MaxFloat32, math.MaxFloat32}
	for j := range places {
		d := distance2(own, points[j*k:(j+1)*k], dist[anchors-1])
		if d >= dist[anchors-1] {
			continue
		}
		p := anchors - 1
		for ; p > 0 && dist[p-1] > d; p-- {
			dist[p], who[p] = dist[p-1], who[p-1]
		}
		dist[p], who[p] = d, j
	}
	var sum float32
	for p := range who {
		if dist[p] == math.MaxFloat32 {
			break
		}
		w := (dist[0] + 1e-12) / (dist[p] + 1e-12)
		w *= w
		x, y, sum = x+w*places[who[p]][0], y+w*places[who[p]][1], sum+w
	}
	return x / sum, y / sum
}

// distance2 is the squared distance of two points; where it is more than limit, anything above limit.
func distance2(a, b []float32, limit float32) float32 {
	var sum float32
	b = b[:len(a)]
	for j := 0; j < len(a); j++ {
		d := a[j] - b[j]
		sum += d * d
		if j&3 == 3 && sum > limit {
			return sum
		}
	}
	return sum
}
