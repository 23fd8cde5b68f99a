package estimate

import (
	"context"
	"math/rand/v2"
	"slices"
)

// Judged is a labelled image; those that nobody looked at were imported.
type Judged struct {
	Image   int
	Anomaly bool
	Look    bool
}

// The review is gone through again in at most blocks parts of at least block looks; a model learns from at most most images of a class.
const blocks, block, most = 8, 10, 1000

// Forward goes through the review again: each part of the looks is scored by a model that knows what was labelled before it, as it was
// when a person chose what to look at. So a look that was chosen for its score is compared with images that had the same score then, and
// low scores are not taken for as good as they look in hindsight. judged is in the order of labelling; sample is some images of the
// pool, whose scores say what each model's are worth; fit returns scores of the images test after learning from the others. Looks before
// there was one label of each class are left out.
func Forward(ctx context.Context, judged []Judged, sample []int, seed uint64, fit func(anomalies, normals, test []int) ([]float32, error)) ([]Look, error) {
	total := 0
	for _, j := range judged {
		if j.Look {
			total++
		}
	}
	size := max(block, (total+blocks-1)/blocks)
	r := rand.New(rand.NewPCG(seed, 3))
	var out []Look
	var anomalies, normals []int
	for from := 0; from < len(judged); {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		to, looks := from, 0
		var test []int
		for ; to < len(judged) && looks < size; to++ {
			if judged[to].Look {
				looks++
				test = append(test, judged[to].Image)
			}
		}
		if looks > 0 && len(anomalies) > 0 && len(normals) > 0 {
			scores, err := fit(some(anomalies, r), some(normals, r), append(slices.Clone(test), sample...))
			if err != nil {
				return nil, err
			}
			if len(scores) == len(test)+len(sample) {
				pool := NewBins(slices.Values(scores[len(test):]))
				n := 0
				for _, j := range judged[from:to] {
					if !j.Look {
						continue
					}
					if z, ok := pool.Z(scores[n]); ok {
						out = append(out, Look{Z: z, Anomaly: j.Anomaly})
					}
					n++
				}
			}
		}
		for _, j := range judged[from:to] {
			if j.Anomaly {
				anomalies = append(anomalies, j.Image)
			} else {
				normals = append(normals, j.Image)
			}
		}
		from = to
	}
	return out, nil
}

// some draws up to most images.
func some(images []int, r *rand.Rand) []int {
	if len(images) <= most {
		return images
	}
	out := make([]int, 0, most)
	for _, k := range r.Perm(len(images))[:most] {
		out = append(out, images[k])
	}
	return out
}
