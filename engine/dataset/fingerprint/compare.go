package fingerprint

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// What two pools may differ by; the package comment says why.
const (
	near     = 0.5 // the largest effect
	permuted = 0.3 // from where on another order of the channels is looked for
	nearer   = 3   // times that the other order must bring them together
	rescaled = 2   // times that files may be larger or smaller
)

// Compare says what about q is unlike p, which a network was trained on; nil where nothing is, or p is nil. Each continues a sentence that begins with "they".
func (p *Print) Compare(q *Print) (why []string) {
	if p == nil || q == nil {
		return nil
	}
	for _, r := range q.Readings {
		if !slices.Contains(p.Readings, r) {
			why = append(why, fmt.Sprintf("are shown to the network with %s, those of the training with %s", r, strings.Join(p.Readings, " and ")))
		}
	}
	if len(p.Kinds) > 0 && len(q.Kinds) > 0 && !slices.Contains(p.Kinds, q.Kinds[0]) {
		why = append(why, fmt.Sprintf("have %s, those of the training %s", q.Kinds[0], p.Kinds[0]))
	}
	if p.Side > 0 && q.Side > 0 && max(p.Side/q.Side, q.Side/p.Side) > rescaled {
		why = append(why, fmt.Sprintf("are %.0f pixels wide or high, those of the training %.0f", q.Side, p.Side))
	}
	l := p.layout()
	if p.Images < fewest || q.Images < fewest || l.channels == 0 || l.channels != q.layout().channels {
		return why
	}
	e := effects(p, q)
	worst := 0
	for k := range e {
		if e[k] > e[worst] {
			worst = k
		}
	}
	as, best, order := swapped(p, q)
	switch {
	case e[worst] > permuted && best*nearer < as:
		var words []string
		for c, from := range order {
			if c != from {
				words = append(words, fmt.Sprintf("what was %s is %s here", l.channel(c), l.channel(from)))
			}
		}
		why = append(why, "have their channels in another order: "+strings.Join(words, ", "))
	case e[worst] > near && len(why) == 0: // otherwise it is the consequence
		why = append(why, fmt.Sprintf("look like another survey, or are prepared in another way: %s is %s in the mean, in the training %s", l.name(worst), l.value(worst, q), l.value(worst, p)))
	}
	return why
}

// Check is Compare as one sentence; nil where nothing is unlike.
func (p *Print) Check(q *Print) error {
	why := p.Compare(q)
	if why == nil {
		return nil
	}
	return errors.New("these images are not like those that the network was trained on: they " + strings.Join(why, "; they "))
}

func (l layout) value(k int, p *Print) string {
	if k >= l.corr && k < l.diff {
		return fmt.Sprintf("%.2f", p.Mean[k])
	}
	return fmt.Sprintf("%.0f", math.Round(p.Mean[k])+0)
}

// swapped is the distance, and that under the order of channels that brings the two nearest: channel c of p is then order[c] of q.
func swapped(p, q *Print) (as, best float64, order []int) {
	as = distance(effects(p, q))
	best = as
	all := orders(p.layout().channels)
	order = all[0]
	for _, o := range all[1:] {
		if d := distance(effects(p, q.permuted(o))); d < best {
			best, order = d, o
		}
	}
	return as, best, order
}

// orders are those that n channels can have, the present one first: all of up to five channels, of more those with two channels exchanged, since
// all of 16 are 2·10¹³.
func orders(n int) (all [][]int) {
	first := make([]int, n)
	for c := range first {
		first[c] = c
	}
	if n > 5 {
		all = [][]int{first}
		for a := range n {
			for b := a + 1; b < n; b++ {
				o := slices.Clone(first)
				o[a], o[b] = b, a
				all = append(all, o)
			}
		}
		return all
	}
	var extend func(begun, left []int)
	extend = func(begun, left []int) {
		if len(left) == 0 {
			all = append(all, slices.Clone(begun))
		}
		for k, c := range left {
			extend(append(begun, c), slices.Delete(slices.Clone(left), k, k+1))
		}
	}
	extend(nil, first)
	return all
}

// name of a feature for people.
func (l layout) name(k int) string {
	if k < l.corr {
		return "the " + features[k/l.channels] + " of " + l.channel(k%l.channels)
	}
	k -= l.corr
	pair := l.pairs[k%len(l.pairs)]
	return "the " + features[5+k/len(l.pairs)] + " of " + l.channel(pair[0]) + " and " + l.channel(pair[1])
}
