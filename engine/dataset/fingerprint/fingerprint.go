// Package fingerprint tells whether images are like those that a network was trained on: the same channels, prepared in the same way, of a
// survey like that one. A network gives images of another kind scores too, and nothing in the scores says that they mean nothing.
//
// A Print is made of 300 images of a pool, one drawn from each 300th part of it by a fixed seed, as the network sees them: of each image mean,
// contrast (standard deviation), dark end, median and bright end (quantiles 5, 50, 95%) of each channel, the correlations of the channels
// and the differences of their means; of each of these features (21 of three channels) the mean and the standard deviation over the images. With it goes what is known for sure:
// how values become colours (dataset.Reading), and of 12 files the number and type of bands and the size. Two prints are compared by
// what is known for sure, and by Cohen's d of each feature - the difference of the means in standard deviations between images - less
// what chance does to samples of that size. The largest counts: a change of stretch moves one feature far and others little.
//
// Measured (go test ./engine/dataset/fingerprint -run Pools -v; 64 px; galaxies and natural photographs in 8-bit colours, radio sources
// in FITS), the largest d:
//
//	halves of one pool: by turns 0.00; in the order of ids 0.00 (galaxies, radio), 0.17 (natural, ordered by what they show)
//	25 images against all of their pool                     0.00
//	galaxies and natural 3.6, galaxies and radio 2.0, natural and radio 2.4
//	galaxies under another stretch                          1.9 (linear) 2.8 (percentile) 4.1 (asinh) 7.1 (zscale) 10 (log)
//	natural under another stretch                           0.08 (linear: the same pixels) 0.39 (zscale) 0.45 (percentile) 1.6 (asinh) 3.6 (log)
//	radio under another stretch than percentile             1.8 (linear) 0.9 (asinh) 0.8 (log) 0.0 (zscale)
//	galaxies with permuted channels                         1.2 to 1.9, and 0.00 in the right order
//	natural with permuted channels                          0.48 (red and green) to 1.1, and 0.00 in the right order
//
// So up to 0.5 is one survey, three times what the halves of one show; permuted are channels that are more than 0.3 apart and at most a
// third of that (root mean square of all features) in another order. A stretch that changes less than that goes unnoticed where
// nothing says which it is, in files that were stretched before; the stretch of a project is known for sure. Galaxies of another survey
// with the same look pass, as they should: what is asked is whether the network sees what it knows, not where it is from.
package fingerprint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"

	"anomalymatch/engine/dataset"
)

const (
	sampled = 300 // images of a pool that are looked at
	looked  = 12  // of them, whose files are described
	fewest  = 20  // images whose statistics are compared
	seed    = 20
)

// features of one image as the network sees it, in the order of Print.Mean. The first five have a value for each channel (red, green, blue), the others for
// each pair of them (red and green, red and blue, green and blue).
var features = []string{"mean", "contrast", "dark end", "median", "bright end", "correlation", "difference"}

// layout is where the features of images of so many channels are: 5 for each channel from 0 on, correlations of pairs from corr, differences of their
// means from diff, all together.
type layout struct {
	channels, corr, diff, all int
	pairs                     [][2]int
}

func layoutOf(channels int) layout {
	l := layout{channels: channels, corr: 5 * channels}
	for c := range channels {
		for d := c + 1; d < channels; d++ {
			l.pairs = append(l.pairs, [2]int{c, d})
		}
	}
	l.diff = l.corr + len(l.pairs)
	l.all = l.diff + len(l.pairs)
	return l
}

// layout of p; channels is 0 where its numbers are none.
func (p *Print) layout() layout {
	for c := 1; c <= dataset.MaxChannels; c++ {
		if n := c * (c + 4); n == len(p.Mean) && n == len(p.SD) {
			return layoutOf(c)
		}
	}
	return layout{}
}

// channel names channel c for people.
func (l layout) channel(c int) string {
	if l.channels == 3 {
		return [...]string{"red", "green", "blue"}[c]
	}
	return fmt.Sprintf("channel %d", c+1)
}

// Print is what a network was trained on, in numbers.
type Print struct {
	Size     int       `json:"size"`     // pixels a side, as the network sees them
	Images   int       `json:"images"`   // that were looked at
	Readings []string  `json:"readings"` // how values became colours, in words; sorted
	Kinds    []string  `json:"kinds"`    // bands and type of the files, in words; the commonest first
	Side     float64   `json:"side"`     // median of the longer side of the files, pixels
	Mean     []float64 `json:"mean"`     // [C(C+4)] of each feature over the images, see features; C channels
	SD       []float64 `json:"sd"`       // [C(C+4)] between images
}

// Of looks at a sample of a pool, the same for the same pool, at size × size pixels. Nil where no image can be used.
func Of(ctx context.Context, pool *dataset.Pool, size int) (*Print, error) {
	r := rand.New(rand.NewPCG(seed, 0))
	var sample []int
	if pool.Len() <= sampled {
		for i := range pool.Len() {
			sample = append(sample, i)
		}
	} else { // one of each part: sorted, so that containers are read in order
		for k := range sampled {
			from, to := k*pool.Len()/sampled, (k+1)*pool.Len()/sampled
			sample = append(sample, from+r.IntN(to-from))
		}
	}
	p := &Print{Size: size, Readings: readings(pool.Readings())}
	var rows [][]float64
	for b, err := range pool.Batches(ctx, sample, size, 64, runtime.GOMAXPROCS(0)) {
		if err != nil {
			return nil, err
		}
		for k := range b.Index {
			n := len(b.Pix) / len(b.Index)
			rows = append(rows, measure(b.Pix[k*n:][:n], pool.Channels()))
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	p.Images = len(rows)
	p.Mean, p.SD = moments(rows)
	kinds := map[string]int{}
	var sides []float64
	for k := 0; k < len(sample); k += max(1, len(sample)/looked) {
		f, err := pool.Facts(ctx, sample[k])
		if ctx.Err() != nil || errors.Is(err, dataset.ErrSource) {
			return nil, err
		}
		if err != nil {
			continue
		}
		sides = append(sides, float64(max(f.W, f.H)))
		kind := fmt.Sprintf("%d bands of %s", f.Bands, f.Type)
		if f.Bands == 1 {
			kind = "one band of " + f.Type
		}
		kinds[kind]++
	}
	p.Kinds = slices.Sorted(maps.Keys(kinds))
	slices.SortStableFunc(p.Kinds, func(a, b string) int { return kinds[b] - kinds[a] })
	if len(sides) > 0 {
		slices.Sort(sides)
		p.Side = sides[len(sides)/2]
	}
	return p, nil
}

// readings are the ways of reading in words, without what only says where in a file the image is.
func readings(all []dataset.Reading) (out []string) {
	for _, r := range all {
		words := "the stretch " + r.Stretch
		if r.Stretch == "" {
			words = "no stretch of their own"
		}
		if r.Low != 0 || r.High != 0 {
			words += fmt.Sprintf(" from %g to %g", r.Low, r.High)
		}
		if c := strings.Join(strings.Fields(r.Channels), " "); c != "" {
			words += ", channels " + c
		}
		out = append(out, words)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// measure works out the features of one image [size, size, channels].
func measure(pix []uint8, channels int) []float64 {
	l := layoutOf(channels)
	out := make([]float64, l.all)
	n := len(pix) / channels
	var sum [dataset.MaxChannels]float64
	var products [dataset.MaxChannels][dataset.MaxChannels]float64
	var counts [dataset.MaxChannels][256]int
	for i := 0; i < len(pix); i += channels {
		for c := range channels {
			v := float64(pix[i+c])
			sum[c] += v
			counts[c][pix[i+c]]++
			for d := c; d < channels; d++ {
				products[c][d] += v * float64(pix[i+d])
			}
		}
	}
	cov := func(c, d int) float64 { return products[c][d]/float64(n) - sum[c]/float64(n)*sum[d]/float64(n) }
	for c := range channels {
		out[c] = sum[c] / float64(n)
		out[channels+c] = math.Sqrt(max(0, cov(c, c)))
		for q, share := range []float64{0.05, 0.5, 0.95} {
			below, v := 0, 0
			for ; v < 255; v++ {
				if below += counts[c][v]; float64(below) >= share*float64(n) {
					break
				}
			}
			out[(2+q)*channels+c] = float64(v)
		}
	}
	for k, pair := range l.pairs {
		c, d := pair[0], pair[1]
		out[l.diff+k] = out[c] - out[d]
		switch s := out[channels+c] * out[channels+d]; {
		case s > 1e-9:
			out[l.corr+k] = min(1, max(-1, cov(c, d)/s))
		case out[channels+c] == out[channels+d]: // both flat
			out[l.corr+k] = 1
		}
	}
	return out
}

func moments(rows [][]float64) (mean, sd []float64) {
	mean, sd = make([]float64, len(rows[0])), make([]float64, len(rows[0]))
	for k := range mean {
		for _, r := range rows {
			mean[k] += r[k] / float64(len(rows))
		}
		for _, r := range rows {
			sd[k] += (r[k] - mean[k]) * (r[k] - mean[k]) / float64(len(rows))
		}
		sd[k] = math.Sqrt(sd[k])
	}
	return mean, sd
}

// permuted is p with its channels in another order: channel c becomes order[c] of p.
func (p *Print) permuted(order []int) *Print {
	q, l := *p, p.layout()
	q.Mean, q.SD = slices.Clone(p.Mean), slices.Clone(p.SD)
	for f := 0; f < l.corr; f += l.channels {
		for c := range l.channels {
			q.Mean[f+c], q.SD[f+c] = p.Mean[f+order[c]], p.SD[f+order[c]]
		}
	}
	for k, pair := range l.pairs {
		a, b, sign := order[pair[0]], order[pair[1]], 1.0
		if a > b {
			a, b, sign = b, a, -1
		}
		from := slices.Index(l.pairs, [2]int{a, b})
		q.Mean[l.corr+k], q.SD[l.corr+k] = p.Mean[l.corr+from], p.SD[l.corr+from]
		q.Mean[l.diff+k], q.SD[l.diff+k] = sign*p.Mean[l.diff+from], p.SD[l.diff+from]
	}
	return &q
}

// effects are how far the features of two pools are apart, in standard deviations between images (Cohen's d), less what chance does to
// samples of that size.
func effects(p, q *Print) []float64 {
	l := p.layout()
	out := make([]float64, l.all)
	chance := 3 * math.Sqrt(1/float64(p.Images)+1/float64(q.Images))
	for k := range out {
		floor := 3.0 // grey levels: less than the rounding of another decoder or stretch at the edge
		if k >= l.corr && k < l.diff {
			floor = 0.05
		}
		sd := math.Sqrt((p.SD[k]*p.SD[k]+q.SD[k]*q.SD[k])/2 + floor*floor)
		out[k] = max(0, math.Abs(p.Mean[k]-q.Mean[k])/sd-chance)
	}
	return out
}

// distance is the root mean square of effects.
func distance(e []float64) float64 {
	sum := 0.0
	for _, v := range e {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(e)))
}
