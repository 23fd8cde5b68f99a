// Package audit finds labels that are worth a second look: those with which the model strongly disagrees, and near-duplicates that
// have different labels.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Labelled is a labelled image of the pool.
type Labelled struct {
	Image   int
	Anomaly bool
}

// Folds is into how many parts the labels are divided: each is scored by a model that knows the other parts.
const Folds = 5

// most is how many images of a class a model learns from here: more cost time and change little.
const most = 1000

// OutOfFold scores every labelled image by models that know neither its label nor those of its near-duplicates. group[i] names the group of
// near-duplicates of image i, 0 for none; nil: there are none. fit learns from anomalies and normals and returns the scores of the images
// test. Of a class with one image (or one group) nothing can be held back: its scores are NaN, as are those of images without a score.
// The same input gives the same scores.
func OutOfFold(ctx context.Context, labels []Labelled, group []int32, seed uint64, fit func(anomalies, normals, test []int) ([]float32, error)) ([]float32, error) {
	out := make([]float32, len(labels))
	fold := make([]int, len(labels))
	for k := range out {
		out[k], fold[k] = float32(math.NaN()), -1
	}
	for _, anomaly := range []bool{true, false} {
		deal(labels, group, anomaly, rand.New(rand.NewPCG(seed, 1)), fold)
	}
	for f := range Folds {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var test, at []int
		hidden := map[int32]bool{} // groups with an image in the fold, whatever its label
		for k, l := range labels {
			if fold[k] == f {
				test, at = append(test, l.Image), append(at, k)
				if group != nil && group[l.Image] != 0 {
					hidden[group[l.Image]] = true
				}
			}
		}
		var anomalies, normals []int
		for k, l := range labels {
			switch {
			case fold[k] == f, group != nil && hidden[group[l.Image]]:
			case l.Anomaly:
				anomalies = append(anomalies, l.Image)
			default:
				normals = append(normals, l.Image)
			}
		}
		if len(test) == 0 || len(anomalies) == 0 || len(normals) == 0 {
			continue
		}
		r := rand.New(rand.NewPCG(seed, uint64(2+f)))
		scores, err := fit(some(anomalies, r), some(normals, r), test)
		if err != nil {
			return nil, err
		}
		for n, s := range scores {
			out[at[n]] = s
		}
	}
	return out, nil
}

// deal gives the images of a class to the folds in turn, near-duplicates to one. A class that is one image or group stays out.
func deal(labels []Labelled, group []int32, anomaly bool, r *rand.Rand, fold []int) {
	var sets [][]int
	of := map[int32]int{}
	for k, l := range labels {
		if l.Anomaly != anomaly {
			continue
		}
		if group != nil && group[l.Image] != 0 {
			if at, ok := of[group[l.Image]]; ok {
				sets[at] = append(sets[at], k)
				continue
			}
			of[group[l.Image]] = len(sets)
		}
		sets = append(sets, []int{k})
	}
	if len(sets) < 2 {
		return
	}
	r.Shuffle(len(sets), func(a, b int) { sets[a], sets[b] = sets[b], sets[a] })
	for n, set := range sets {
		for _, k := range set {
			fold[k] = n % Folds
		}
	}
}

// some draws up to most images, in the pool's order.
func some(images []int, r *rand.Rand) []int {
	if len(images) <= most {
		return images
	}
	out := make([]int, 0, most)
	for _, k := range r.Perm(len(images))[:most] {
		out = append(out, images[k])
	}
	slices.Sort(out)
	return out
}

// Doubt is a label that is worth a second look.
type Doubt struct {
	Image int
	Score float32 // out of fold; NaN where there is none
	Why   string
}

// sure is the score from which on any model speaks strongly for an anomaly, and 1-sure against.
const sure = 0.9

// limits are the scores from which on (normal images) or up to which (anomalies) a label is in doubt: where half of the other class is
// beyond, because a model of few labels is never sure in absolute numbers, but at the latest at sure.
func limits(labels []Labelled, scores []float32) (normal, anomaly float32) {
	var of [2][]float32
	for k, l := range labels {
		switch s := scores[k]; {
		case s != s:
		case l.Anomaly:
			of[0] = append(of[0], s)
		default:
			of[1] = append(of[1], s)
		}
	}
	normal, anomaly = sure, 1-sure
	for _, class := range of {
		slices.Sort(class)
	}
	if n := len(of[0]); n > 0 {
		normal = min(normal, of[0][n/2])
	}
	if n := len(of[1]); n > 0 {
		anomaly = max(anomaly, of[1][(n-1)/2])
	}
	return normal, anomaly
}

// Doubts lists labels to look at again: first those that contradict a near-duplicate's, then those that the out-of-fold scores strongly
// speak against (see limits), the worst first in both.
func Doubts(labels []Labelled, scores []float32, group []int32) []Doubt {
	type count struct{ anomalies, normals int }
	in := map[int32]count{}
	normal, anomaly := limits(labels, scores)
	groupOf := func(l Labelled) int32 {
		if group == nil {
			return 0
		}
		return group[l.Image]
	}
	for _, l := range labels {
		c := in[groupOf(l)]
		if l.Anomaly {
			c.anomalies++
		} else {
			c.normals++
		}
		in[groupOf(l)] = c
	}
	type entry struct {
		Doubt
		contradicted bool
		against      float32 // how strongly the score speaks against the label
	}
	var all []entry
	for k, l := range labels {
		against := scores[k]
		if l.Anomaly {
			against = 1 - scores[k]
		}
		if against != against {
			against = 0
		}
		e := entry{Doubt{Image: l.Image, Score: scores[k]}, false, against}
		c, other := in[groupOf(l)], ""
		if groupOf(l) != 0 && l.Anomaly && c.normals > 0 {
			other = "normal"
		} else if groupOf(l) != 0 && !l.Anomaly && c.anomalies > 0 {
			other = "anomaly"
		}
		switch {
		case other != "":
			e.contradicted, e.Why = true, "its near-duplicate is labelled "+other
		case l.Anomaly && scores[k] < 0.5 && scores[k] <= anomaly, !l.Anomaly && scores[k] > 0.5 && scores[k] >= normal:
			e.Why = fmt.Sprintf("scored %.2f without its label", scores[k])
		default:
			continue
		}
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		if a.contradicted != b.contradicted {
			if a.contradicted {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.against, a.against), cmp.Compare(a.Image, b.Image))
	})
	out := make([]Doubt, len(all))
	for k, e := range all {
		out[k] = e.Doubt
	}
	return out
}
