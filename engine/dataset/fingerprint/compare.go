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
	if p.Images < fewest || q.Images < fewest || len(p.Mean) != all || len(q.Mean) != all || len(p.SD) != all || len(q.SD) != all {
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
				words = append(words, fmt.Sprintf("what was %s is %s here", channels[c], channels[from]))
			}
		}
		why = append(why, "have their channels in another order: "+strings.Join(words, ", "))
	case e[worst] > near && len(why) == 0: // otherwise it is the consequence
		why = append(why, fmt.Sprintf("look like another survey, or are prepared in another way: %s is %s in the mean, in the training %s", name(worst), value(worst, q), value(worst, p)))
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

func value(k int, p *Print) string {
	if k >= corr && k < diff {
		return fmt.Sprintf("%.2f", p.Mean[k])
	}
	return fmt.Sprintf("%.0f", math.Round(p.Mean[k])+0)
}

// swapped is the distance, and that under the order of channels that brings the two nearest: channel c of p is then order[c] of q.
func swapped(p, q *Print) (as, best float64, order [3]int) {
	as = distance(effects(p, q))
	best = as
	order = [3]int{0, 1, 2}
	for _, o := range [][3]int{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		if d := distance(effects(p, q.permuted(o))); d < best {
			best, order = d, o
		}
	}
	return as, best, order
}

// name of a feature for people.
func name(k int) string {
	switch f, c := features[k/3], k%3; {
	case k < corr:
		return "the " + f + " of " + channels[c]
	default:
		return "the " + f + " of " + channels[pairs[c][0]] + " and " + channels[pairs[c][1]]
	}
}
