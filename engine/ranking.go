package engine

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/label"
	"anomalymatch/engine/score"
	"anomalymatch/internal/parallel"
)

// ranking is the whole pool in one order.
type ranking struct {
	by     string     // fast, deep, joint, novelty, order
	at     time.Time  // when its scores were made
	scores []float32  // by image number
	order  []int32    // image numbers, best first; unreadable images are not in it
	labels uint64     // of the fast one: version of the labels that it knows
	head   *fast.Head // of the fast one: what made the scores; nil for novelty
}

// rank orders images by score, best first, ties by number. Images without a score are left out.
func rank(by string, at time.Time, scores []float32) *ranking {
	return &ranking{by: by, at: at, scores: scores, order: score.Order(scores)}
}

// joint ranks by the mean of both places; the score shown is the mean of both scores.
func joint(fast, deep *ranking) *ranking {
	at := fast.at
	if deep.at.After(at) {
		at = deep.at
	}
	r := &ranking{by: "joint", at: at, scores: make([]float32, len(fast.scores)), order: score.Order(score.Joint(fast.scores, deep.scores))}
	for i := range r.scores {
		r.scores[i] = (fast.scores[i] + deep.scores[i]) / 2 // NaN where either is
	}
	return r
}

// inOrder ranks by image number: what is shown before anything is known. bad are the images that are not to be in it.
func inOrder(n int, bad []int) *ranking {
	r := &ranking{by: "order", scores: make([]float32, n), order: make([]int32, 0, n)}
	for _, i := range bad {
		r.scores[i] = float32(math.NaN())
	}
	for i, s := range r.scores {
		if s == s {
			r.order = append(r.order, int32(i))
		}
	}
	return r
}

// said is what was said about the images of a pool, most of which have no label. It is never changed once made.
type said struct {
	bits   []uint64 // of each image: whether it has a label
	images []int32  // those that have one, ascending
	values []label.Value
}

func newSaid(pool *dataset.Pool, labels map[string]label.Value) said {
	s := said{bits: make([]uint64, (pool.Len()+63)/64)}
	for id, v := range labels {
		if i, ok := pool.Find(id); ok && v != label.None {
			s.bits[i>>6] |= 1 << (i & 63)
			s.images = append(s.images, int32(i))
		}
	}
	slices.Sort(s.images)
	for _, i := range s.images {
		s.values = append(s.values, labels[pool.ID(int(i))])
	}
	return s
}

// has reports whether image i has a label.
func (s said) has(i int32) bool { return s.bits[i>>6]&(1<<(i&63)) != 0 }

// at is the label of image i.
func (s said) at(i int32) label.Value {
	if !s.has(i) {
		return label.None
	}
	k, _ := slices.BinarySearch(s.images, i)
	return s.values[k]
}

// all yields the images that have a label, in the pool's order.
func (s said) all() iter.Seq2[int32, label.Value] {
	return func(yield func(int32, label.Value) bool) {
		for k, i := range s.images {
			if !yield(i, s.values[k]) {
				return
			}
		}
	}
}

// images lists the images of r whose label the filter wants, best first. Filters: "" unlabelled, "all", "labelled", or a label.
func (r *ranking) images(filter string, of said) []int32 {
	if filter == "all" {
		return r.order
	}
	labelled, ok := r.places(r.order, of.images)
	if !ok || len(labelled) > len(r.order)/64 {
		return r.scan(filter, of)
	}
	var out []int32
	if filter == "" { // what lies between the labelled ones
		return without(r.order, labelled)
	}
	for _, at := range labelled {
		if i := r.order[at]; filter == "labelled" || string(of.at(i)) == filter {
			out = append(out, i)
		}
	}
	return out
}

// without is list but for the places, ascending, on all cores: of ten million it is 40 MB, and a person waits for it after each label.
func without(list []int32, places []int) []int32 {
	out := make([]int32, len(list)-len(places))
	const part = 1 << 18
	parallel.Parts(len(list), 1+len(list)/part, func(_, from, to int) {
		gone, _ := slices.BinarySearch(places, from)
		for from < to {
			end := to
			if gone < len(places) {
				end = min(to, places[gone])
			}
			copy(out[from-gone:], list[from:end])
			if from = end; from < to {
				from++
				gone++
			}
		}
	})
	return out
}

// scan is images by a look at all of them.
func (r *ranking) scan(filter string, of said) (out []int32) {
	if filter == "" {
		out = make([]int32, 0, len(r.order))
	}
	for _, i := range r.order {
		has := of.has(i)
		if filter == "" && !has || has && (filter == "labelled" || string(of.at(i)) == filter) {
			out = append(out, i)
		}
	}
	return out
}

// places are where in a list, whose images stand in the order of r, those of the images are that are in it, ascending: a few among millions are found
// by their scores. ok is false where they do not tell.
func (r *ranking) places(list, images []int32) (places []int, ok bool) {
	if r.by == "joint" { // in the order of other scores than those that are shown
		return nil, false
	}
	for _, i := range images {
		score := r.scores[i]
		if score != score {
			continue
		}
		at, found := slices.BinarySearchFunc(list, i, func(j, i int32) int { return cmp.Or(cmp.Compare(score, r.scores[j]), cmp.Compare(j, i)) })
		if found {
			places = append(places, at)
		}
	}
	slices.Sort(places)
	return places, true
}

// fewest is how many candidates a small pool has at least: a page or two to label.
const fewest = 24

// cut is the number of candidates: the top percent of n images, but not fewer than fewest.
func cut(n int, percent float64) int {
	return max(min(n, fewest), int(math.Ceil(float64(n)*percent/100)))
}
