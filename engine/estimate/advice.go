package estimate

import "fmt"

// State is what advice is drawn from.
type State struct {
	Anomalies, Normals int      // labels there are
	Looked, Found      int      // of the last looks, at most LastLooks
	Before             Estimate // share of anomalies among the looks before those, as many
	New                int      // looks since the newest training, or all where there was none
	Trained            bool
	Top                int // unlabelled candidates
	InTop, InPool      Estimate
}

// LastLooks is how many looks count as the last ones.
const LastLooks = 50

const (
	enough      = 20  // new labels that make a training worth its time, as many as the published protocol adds in a cycle
	enoughFound = 5   // anomalies that a first training needs
	fewLooks    = 15  // precision of fewer says little
	droppedTo   = 0.5 // of the precision before
	nothingLeft = 3.0 // upper end of the interval where less than one is expected: what chance alone makes of one
)

// The advices, as the wire writes them.
const (
	GoOn     = "go on"
	Train    = "train"
	Stop     = "stop"
	MoreKind = "label" // label one of each first
)

// Advise says what to do next, and why in one sentence with the figures that speak for it.
func Advise(s State) (advice, reason string) {
	left := "how many are left is not known yet"
	if s.InTop.Known {
		left = fmt.Sprintf("%s (%s to %s) are expected among the %s", figure(s.InTop.Value), figure(s.InTop.Low), figure(s.InTop.High), plural(s.Top, "candidate"))
	}
	looks := fmt.Sprintf("%d of the last %s found an anomaly", s.Found, plural(s.Looked, "look"))
	dropped := s.Before.Known && s.Looked >= fewLooks && s.Before.Value > 0 && float64(s.Found)/float64(s.Looked) <= droppedTo*s.Before.Value
	more := s.InPool.Known && s.InPool.Value >= 1
	switch {
	case s.Anomalies == 0 && s.Normals == 0:
		return MoreKind, "nothing is labelled yet; it takes at least one anomaly (a) and one normal image (x)"
	case s.Anomalies == 0:
		return MoreKind, fmt.Sprintf("no anomaly is labelled beside %s; it takes at least one (a), or look on in another order (o)", plural(s.Normals, "normal image"))
	case s.Normals == 0:
		return MoreKind, fmt.Sprintf("no normal image is labelled beside %s; it takes at least one (x)", plural(s.Anomalies, "anomaly"))
	case s.Looked >= LastLooks && s.Found == 0 && s.InTop.Known && s.InTop.Value < 1 && s.InTop.High <= nothingLeft:
		return Stop, looks + " and " + left
	case s.Anomalies >= enoughFound && s.New >= enough && (!s.InPool.Known || more):
		since := "since the last training"
		if !s.Trained {
			since = "and no training yet"
		}
		return Train, fmt.Sprintf("%s %s; %s", plural(s.New, "new label"), since, left)
	case s.Anomalies >= enoughFound && s.New > 0 && dropped && more:
		return Train, fmt.Sprintf("%s, before it was %.0f%%, and %s (%s to %s) are expected in the pool", looks, 100*s.Before.Value, figure(s.InPool.Value), figure(s.InPool.Low), figure(s.InPool.High))
	case s.Looked == 0:
		return GoOn, "nobody has looked at a candidate yet: " + left
	}
	return GoOn, looks + "; " + left
}

// figure is a number of images, which need not be whole.
func figure(x float64) string {
	switch {
	case x < 0.05:
		return "0"
	case x < 9.95:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func plural(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "anomaly":
		return fmt.Sprintf("%d anomalies", n)
	}
	return fmt.Sprintf("%d %ss", n, what)
}
