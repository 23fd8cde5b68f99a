package estimate

import (
	"cmp"
	"math"
	"slices"
)

// Look is an image that somebody judged: what a model that did not know its label made of it (see Bins.Z), and what it was.
type Look struct {
	Z       float64
	Anomaly bool
}

// Fewest is how many looks a calibration needs: fewer say next to nothing.
const Fewest = 10

// Calibration turns a model's score into the probability that an image is an anomaly: P = 1/(1+exp(-(c + a·(z-z0)))), where z is the score's
// log-odds in standard deviations of the pool (Platt 1999). It is no single fit but the posterior of a and c on a grid, so that the
// intervals are wide where few looks, or none near a score, tell what is there.
//
// People look at what the model ranked first. Given the score of that moment the choice says nothing more about an image, so the looks need
// no weights; but below the scores that were looked at all rests on the model's form and on the priors. There are two ways to score a
// look without its label. Out of fold it is scored by today's model: right for the candidates, but what was chosen from an older ranking
// is better than its score of today says, and for the pool too much is expected. Forward (see there) it is scored by the model of its
// day: right for the pool, but earlier models were worse, and for the candidates too little is expected. Measured in reviews of 6,446
// galaxies (mergers, edge-on and clockwise spirals as what is sought, 8 reviews each, after 100 and 200 looks), the 95% interval held the truth
//
//	             candidates  pool
//	out of fold       45/48  25/48
//	forward           38/48  43/48
type Calibration struct {
	mean, sd float64 // of the pool's log-odds
	centre   float64 // z0: mean z of the looks, where c is known best
	points   []point // of the posterior, those that count
}

type point struct{ a, c, stray, weight float64 }

// strays are anomalies unlike those found so far: their share of the images, wherever the model ranks them, and what is believed of it
// before the first look. Only looks at images far down the ranking tell.
var strays = []struct{ share, prior float64 }{{0, 0.5}, {1e-4, 0.15}, {5e-4, 0.15}, {2e-3, 0.1}, {8e-3, 0.1}}

// The priors, weak ones. From the pool's mean to one standard deviation above it an anomaly becomes e^a times as likely: 0.5 to 12 in
// 95 of 100 cases. At the mean anomalies are rare: log-odds of -7, ±8.
const (
	slopeMiddle, slopeSD = 2.5, 0.8 // of a; standard deviation of its logarithm
	rareMiddle, rareSD   = -7.0, 4.0
	slopes, levels       = 31, 61 // points of the grid
	deviations           = 3.0    // that it reaches to either side of the prior of a
	levelLow, levelHigh  = -15.0, 10.0
)

// Calibrate learns from looks; pool is the log-odds of all images, those that are not numbers left out by the caller. nil: there are
// fewer than Fewest looks, or all scores are the same.
func Calibrate(looks []Look, pool Bins) *Calibration {
	if len(looks) < Fewest {
		return nil
	}
	mean, sd := pool.moments()
	if !(sd > flat) {
		return nil
	}
	k := &Calibration{mean: mean, sd: sd}
	type seen struct{ z, found, rest float64 }
	bins := map[int]*seen{} // looks of nearly the same score are one
	var at []*seen
	const fine = 20 // a standard deviation
	for _, l := range looks {
		k.centre += l.Z / float64(len(looks))
		b := int(math.Round(l.Z * fine))
		if bins[b] == nil {
			bins[b] = &seen{z: float64(b) / fine}
			at = append(at, bins[b])
		}
		if l.Anomaly {
			bins[b].found++
		} else {
			bins[b].rest++
		}
	}
	best := math.Inf(-1)
	for i := range slopes {
		d := deviations * (2*float64(i)/(slopes-1) - 1)
		a := slopeMiddle * math.Exp(slopeSD*d)
		for j := range levels {
			c := levelLow + (levelHigh-levelLow)*float64(j)/(levels-1)
			r := (c - a*k.centre - rareMiddle) / rareSD // log-odds at the pool's mean
			for _, stray := range strays {
				log := -d*d/2 - r*r/2 + math.Log(stray.prior)
				for _, s := range at {
					x := c + a*(s.z-k.centre)
					if s.found > 0 {
						log += s.found * math.Log(stray.share+(1-stray.share)/(1+math.Exp(-x))+1e-300)
					}
					log += s.rest * (math.Log1p(-stray.share) - softplus(x))
				}
				k.points = append(k.points, point{a, c, stray.share, log})
				best = max(best, log)
			}
		}
	}
	total := 0.0
	for i := range k.points {
		k.points[i].weight = math.Exp(k.points[i].weight - best)
		total += k.points[i].weight
	}
	kept := k.points[:0]
	for _, p := range k.points {
		if p.weight /= total; p.weight > 1e-6 {
			kept = append(kept, p)
		}
	}
	k.points = kept
	return k
}

func (k *Calibration) z(logit float64) float64 { return inSD(logit, k.mean, k.sd) }

// inSD is log-odds in standard deviations of a pool, bounded where a pool has nothing.
func inSD(logit, mean, sd float64) float64 { return min(max((logit-mean)/sd, -20), 20) }

// flat is the standard deviation of log-odds that are all the same.
const flat = 1e-9

// Probability that an image with this score is an anomaly.
func (k *Calibration) Probability(logit float64) float64 {
	sum := 0.0
	for _, p := range k.points {
		sum += p.weight / (1 + math.Exp(-(p.c + p.a*(k.z(logit)-k.centre))))
	}
	return sum
}

// Boundary is the log-odds score of an image that is an anomaly or not with the same probability.
func (k *Calibration) Boundary() float64 {
	low, high := k.mean-20*k.sd, k.mean+20*k.sd
	for range 50 {
		if middle := (low + high) / 2; k.Probability(middle) < 0.5 {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

// Sum is how many anomalies to expect among the images of the bins: the posterior's median, because its mean follows a long tail where
// little is known. The interval holds what is not known about the calibration and, on
// top, chance: each image is one or is not (Poisson binomial).
//
// far counts the strays in. Among the candidates, which is where people look, they show in the looks like any other.
func (k *Calibration) Sum(images Bins, far bool) Estimate {
	if k == nil {
		return Estimate{}
	}
	means, variances := make([]float64, len(k.points)), make([]float64, len(k.points))
	e := Estimate{Known: true}
	total := 0.0
	images.each(func(logit, n float64) {
		total += n
		for g, p := range k.points {
			q := 1 / (1 + math.Exp(-(p.c + p.a*(k.z(logit)-k.centre))))
			means[g] += n * q
			variances[g] += n * q * (1 - q)
		}
	})
	if far {
		for g, p := range k.points {
			means[g] = p.stray*total + (1-p.stray)*means[g]
			variances[g] += p.stray * total
		}
	}
	e.Value = k.median(means)
	below := func(x float64) (sum float64) { // probability of at most x
		for g, p := range k.points {
			sum += p.weight * math.Erfc(-(x+0.5-means[g])/math.Sqrt(2*variances[g]+1e-9)) / 2
		}
		return sum
	}
	quantile := func(q float64) float64 {
		low, high := 0.0, total
		for range 50 {
			if middle := (low + high) / 2; below(middle) < q {
				low = middle
			} else {
				high = middle
			}
		}
		return high
	}
	e.Low, e.High = min(quantile(0.025), e.Value), max(quantile(0.975), e.Value)
	if below(0) >= 0.025 {
		e.Low = 0
	}
	return e
}

// median of a value at each point of the posterior.
func (k *Calibration) median(values []float64) float64 {
	order := make([]int, len(values))
	for g := range order {
		order[g] = g
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	sum := 0.0
	for _, g := range order {
		if sum += k.points[g].weight; sum >= 0.5 {
			return values[g]
		}
	}
	return 0
}

// Bins counts images by log-odds: a pool of millions in a few hundred numbers.
type Bins struct {
	low, width float64
	count      []float64
}

// maxLogit bounds log-odds: a score of 0 or 1 is as sure as float32 can say.
const maxLogit = 16

const binCount = 512

// NewBins counts scores, probabilities; those that are not numbers are left out.
func NewBins(scores func(yield func(float32) bool)) Bins {
	b := Bins{low: -maxLogit, width: 2 * maxLogit / float64(binCount), count: make([]float64, binCount)}
	for s := range scores {
		if s == s {
			b.count[min(max(int((Logit(float64(s))-b.low)/b.width), 0), binCount-1)]++
		}
	}
	return b
}

// each calls f with the middle and the count of every bin that is not empty.
func (b Bins) each(f func(logit, n float64)) {
	for k, n := range b.count {
		if n > 0 {
			f(b.low+(float64(k)+0.5)*b.width, n)
		}
	}
}

// Z is a score, a probability, as log-odds in standard deviations above the mean of the images counted; false where score is no number or
// all are the same.
func (b Bins) Z(score float32) (float64, bool) {
	mean, sd := b.moments()
	if score != score || !(sd > flat) {
		return 0, false
	}
	return inSD(Logit(float64(score)), mean, sd), true
}

func (b Bins) moments() (mean, sd float64) {
	n, sum, squares := 0.0, 0.0, 0.0
	b.each(func(x, c float64) {
		n += c
		sum += c * x
		squares += c * x * x
	})
	if n == 0 {
		return 0, 0
	}
	mean = sum / n
	return mean, math.Sqrt(max(0, squares/n-mean*mean))
}

// Logit is the log-odds of a probability, finite at both ends.
func Logit(p float64) float64 {
	if p != p {
		return p
	}
	return min(max(math.Log(p/(1-p)), -maxLogit), maxLogit)
}

// softplus is log(1+exp(x)) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
