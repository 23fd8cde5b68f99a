// Package metrics measures a ranking against the truth. The numbers are scikit-learn's (roc_auc_score, auc of
// precision_recall_curve, average_precision_score), with which the published results were made.
//
// In all functions labels[i] says whether image i is an anomaly and scores[i] is its score; both have one length. Scores that are
// not numbers rank last.
package metrics

import (
	"cmp"
	"math"
	"slices"
)

// ranking returns the indices by score, highest first, ties in input order.
func ranking(scores []float64) []int {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) }) // NaN compares as the smallest
	return order
}

// point counts what is found at or above one distinct score.
type point struct{ found, seen int }

// points returns one point for every distinct score, from the highest on, and the number of anomalies. ok is false where only
// one class is present, or none.
func points(labels []bool, scores []float64) (out []point, total int, ok bool) {
	order := ranking(scores)
	var p point
	for k, i := range order {
		if labels[i] {
			p.found++
		}
		p.seen++
		if k+1 == len(order) || cmp.Compare(scores[order[k+1]], scores[i]) != 0 {
			out = append(out, p)
		}
	}
	return out, p.found, p.found > 0 && p.found < p.seen
}

// AUROC is the probability that an anomaly scores higher than a normal image, ties counting half. It is undefined (false) where
// only one class is present, as are the two areas below.
func AUROC(labels []bool, scores []float64) (float64, bool) {
	curve, total, ok := points(labels, scores)
	if !ok {
		return math.NaN(), false
	}
	area, before := 0.0, point{}
	for _, p := range curve {
		area += float64((p.seen-p.found)-(before.seen-before.found)) * float64(p.found+before.found) / 2
		before = p
	}
	return area / (float64(total) * float64(len(labels)-total)), true
}

// AUPRC is the area under the precision-recall curve by trapezia, from recall 0 and precision 1 on.
func AUPRC(labels []bool, scores []float64) (float64, bool) {
	curve, total, ok := points(labels, scores)
	if !ok {
		return math.NaN(), false
	}
	area, recall, precision := 0.0, 0.0, 1.0
	for _, p := range curve {
		r, q := float64(p.found)/float64(total), float64(p.found)/float64(p.seen)
		area += (r - recall) * (q + precision) / 2
		recall, precision = r, q
	}
	return area, true
}

// AveragePrecision is the mean of the precision at every anomaly found: the area by steps.
func AveragePrecision(labels []bool, scores []float64) (float64, bool) {
	curve, total, ok := points(labels, scores)
	if !ok {
		return math.NaN(), false
	}
	area, found := 0.0, 0
	for _, p := range curve {
		area += float64(p.found-found) / float64(total) * (float64(p.found) / float64(p.seen))
		found = p.found
	}
	return area, true
}

// TopPercent looks at the p percent of images with the highest scores, at least one, ties in input order: which share of them are
// anomalies, and which share of all anomalies is among them (0 where there are none). It is undefined (false) without images.
func TopPercent(labels []bool, scores []float64, p float64) (precision, recall float64, ok bool) {
	if len(labels) == 0 {
		return math.NaN(), math.NaN(), false
	}
	n := min(max(1, int(float64(len(labels))*p/100)), len(labels))
	found, total := 0, 0
	for k, i := range ranking(scores) {
		if labels[i] {
			total++
			if k < n {
				found++
			}
		}
	}
	return float64(found) / float64(n), float64(found) / float64(max(1, total)), true
}
