// Package queue picks the candidates that a person looks at next from a ranking: queue strategies.
//
// A list is image numbers, the best of the ranking first, already without the images that are not wanted. Every function returns all
// of them in another order and leaves the list as it is; the same input gives the same order.
package queue

import (
	"cmp"
	"math"
	"slices"

	"anomalymatch/engine/space"
)

// The strategies, as settings and the wire write them.
const (
	Top       = "top"       // the ranking's order
	Uncertain = "uncertain" // where the model cannot tell
	Diverse   = "diverse"   // the best, each unlike those before it
	Mixed     = "mixed"     // some of each
	Random    = "random"    // any image, as likely as any other
	Similar   = "similar"   // like an example
)

// ByUncertainty lists the images by how near their score, a probability, is to the boundary between the classes in log-odds.
func ByUncertainty(list []int32, scores []float32, boundary float64) []int32 {
	middle := logit(boundary)
	return by(list, func(k int) float64 { return math.Abs(logit(float64(scores[list[k]])) - middle) })
}

// logit of a probability, finite at both ends.
func logit(p float64) float64 {
	const edge = 1e-7
	p = min(max(p, edge), 1-edge)
	return math.Log(p / (1 - p))
}

// ByChance lists the images in an order that depends on seed and number alone: labelling moves nobody.
func ByChance(list []int32, seed uint64) []int32 {
	return by(list, func(k int) float64 { return float64(space.Mix(seed^space.Mix(uint64(list[k]))) >> 11) })
}

// BySimilarity lists the images nearest to an example first; those whose similarity is not a number are last.
func BySimilarity(list []int32, similarity func(i int32) float32) []int32 {
	return by(list, func(k int) float64 {
		if s := float64(similarity(list[k])); s == s {
			return -s
		}
		return math.Inf(1)
	})
}

// by lists the images of the smallest key first, equal ones in the order of the list.
func by(list []int32, key func(k int) float64) []int32 {
	type keyed struct {
		key float64
		i   int32
	}
	all := make([]keyed, len(list))
	for k, i := range list {
		all[k] = keyed{key(k), i}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return cmp.Compare(a.key, b.key) })
	out := make([]int32, len(all))
	for k, a := range all {
		out[k] = a.i
	}
	return out
}

// Limits of ByDiversity, so that it takes a fraction of a second however large the pool is.
const (
	maxAmong = 5_000 // candidates that are compared
	maxPicks = 512   // picked one by one; nobody looks at more before the ranking is a new one
	sketch   = 64    // values an image is compared by
)

// ByDiversity begins with the best image, then takes, of the first among ones, always the one farthest from all that were taken
// (Gonzalez 1985). The others follow in the order of the list.
func ByDiversity(list []int32, s *space.Space, among int) []int32 {
	among = min(among, len(list), maxAmong)
	if among < 3 || !s.Differs() {
		return slices.Clone(list)
	}
	points := make([][sketch]float32, among)
	distance := make([]float64, among) // to the nearest taken one; < 0: taken, or not to be compared
	s.Each(list[:among], func(k int, row []float32) {
		space.Sketch(row, points[k][:], 1)
		distance[k] = math.Inf(1)
	}, func(k int) { distance[k] = -1 })
	taken := make([]bool, among)
	out := make([]int32, 0, len(list))
	for next := slices.IndexFunc(distance, func(d float64) bool { return d > 0 }); next >= 0 && len(out) < maxPicks; {
		out = append(out, list[next])
		taken[next], distance[next] = true, -1
		last, far := next, 0.0
		next = -1
		for k, d := range distance {
			if d < 0 {
				continue
			}
			if to := space.Distance2(points[k][:], points[last][:]); to < d {
				d = to
				distance[k] = d
			}
			if d > far { // the better one of two that are as far
				next, far = k, d
			}
		}
	}
	for k, i := range list {
		if k >= among || !taken[k] {
			out = append(out, i)
		}
	}
	return out
}

// Mix takes of every five images three from the top, one uncertain and one diverse, each once. The lists hold the same images.
func Mix(top, uncertain, diverse []int32) []int32 {
	lists := [][]int32{top, uncertain, diverse}
	pattern := []int{0, 1, 0, 2, 0}
	var at [3]int
	if len(top) == 0 {
		return nil
	}
	seen := make([]bool, slices.Max(top)+1)
	out := make([]int32, 0, len(top))
	for turn := 0; len(out) < len(top); turn++ {
		which := pattern[turn%len(pattern)]
		l := lists[which]
		for at[which] < len(l) && seen[l[at[which]]] {
			at[which]++
		}
		if at[which] == len(l) {
			continue
		}
		seen[l[at[which]]] = true
		out = append(out, l[at[which]])
	}
	return out
}

// Fold leaves the first image of each group in the list; more has the others of its group that the list holds, in its order.
// group[i] names the group of image i, 0 for an image that is alone. apart(i) keeps images of one group apart where it differs.
func Fold(list []int32, group []int32, apart func(i int32) string) (first []int32, more map[int32][]int32) {
	type part struct {
		group int32
		apart string
	}
	head := map[part]int32{}
	more = map[int32][]int32{}
	first = make([]int32, 0, len(list))
	for _, i := range list {
		g := group[i]
		if g == 0 {
			first = append(first, i)
			continue
		}
		p := part{g, apart(i)}
		if h, ok := head[p]; ok {
			more[h] = append(more[h], i)
			continue
		}
		head[p] = i
		first = append(first, i)
	}
	return first, more
}
