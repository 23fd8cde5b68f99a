package components

import (
	"fmt"
	"time"

	"anomalymatch/tui/common"
)

// Ranked is what orders the list, and what there is to order it by.
type Ranked struct {
	By         string    // fast, deep, joint, novelty, order; safe to draw
	At         time.Time // of the ranking on screen
	Fast, Deep time.Time // of these two; zero: there is none
	Cycle      int32     // that the deep one is of
}

// Names says which ranking is on screen and how old both are, the longest way first. Empty: nothing is known.
func (r Ranked) Names(now time.Time) []string {
	if r.By == "" {
		return nil
	}
	if r.By == "order" {
		return []string{"no ranking yet"}
	}
	ways := []struct{ cycle, ago bool }{{true, true}, {false, true}, {false, false}}
	var out []string
	for _, w := range ways {
		age := func(t time.Time) string {
			if w.ago || now.Sub(t) < time.Second {
				return common.Age(now, t)
			}
			return common.Seconds(now.Sub(t).Seconds())
		}
		name := func(by string) string {
			if by == "deep" && w.cycle && r.Cycle > 0 {
				return fmt.Sprintf("deep (cycle %d)", r.Cycle)
			}
			return by
		}
		text, others := name(r.By)+", "+age(r.At), 0
		if r.At.IsZero() {
			text = name(r.By)
		}
		if r.By == "joint" && !(r.Fast.IsZero() && r.Deep.IsZero()) {
			text = "joint"
		}
		for _, o := range []struct {
			by string
			at time.Time
		}{{"fast", r.Fast}, {"deep", r.Deep}} {
			if o.at.IsZero() || o.by == r.By {
				continue
			}
			between := " · "
			if r.By == "joint" && others == 0 {
				between = ": "
			}
			text += between + name(o.by) + " " + age(o.at)
			others++
		}
		out = append(out, text)
		if others == 0 {
			break
		}
	}
	if out[len(out)-1] != r.By {
		out = append(out, r.By)
	}
	return out
}
