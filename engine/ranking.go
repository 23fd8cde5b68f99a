package engine

import (
	"math"
	"time"

	"anomalymatch/engine/fast"
	"anomalymatch/engine/label"
	"anomalymatch/engine/score"
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

// inOrder ranks by image number: what is shown before anything is known.
func inOrder(n int, bad func(int) bool) *ranking {
	scores := make([]float32, n)
	for i := range scores {
		if bad(i) {
			scores[i] = float32(math.NaN())
		}
	}
	return rank("order", time.Time{}, scores)
}

// images lists the images of r whose label the filter wants, best first. Filters: "" unlabelled, "all", "labelled", or a label.
func (r *ranking) images(filter string, of []label.Value) []int32 {
	if filter == "all" {
		return r.order
	}
	var out []int32
	for _, i := range r.order {
		v := of[i]
		var want bool
		switch filter {
		case "":
			want = v == label.None
		case "labelled":
			want = v != label.None
		default:
			want = string(v) == filter
		}
		if want {
			out = append(out, i)
		}
	}
	return out
}

// fewest is how many candidates a small pool has at least: a page or two to label.
const fewest = 24

// cut is the number of candidates: the top percent of n images, but not fewer than fewest.
func cut(n int, percent float64) int {
	return max(min(n, fewest), int(math.Ceil(float64(n)*percent/100)))
}
