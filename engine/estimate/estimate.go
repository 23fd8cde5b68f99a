// Package estimate says what a review has shown so far: how many of the last looks found something, how many anomalies are still to be
// expected, and what to do next. All of it is pure functions.
package estimate

import (
	"math"
	"slices"

	"anomalymatch/engine/label"
)

// Estimate is a value with its 95% interval. Where it is not Known nothing can be said.
type Estimate struct {
	Known            bool
	Value, Low, High float64
}

// Looks are what people said about images in front of them, by the newest event of each image, oldest first. Imported labels, skips
// labels that were taken back, and marks are no looks.
func Looks(events []label.Event) []label.Event {
	seen := map[string]bool{}
	var looks []label.Event
	for _, ev := range slices.Backward(events) {
		if ev.Mark != "" || seen[ev.ID] {
			continue
		}
		seen[ev.ID] = true
		if ev.To.Trains() && !ev.Imported() {
			looks = append(looks, ev)
		}
	}
	slices.Reverse(looks)
	return looks
}

// Search tells of each image that was looked at, in the order of the first looks, whether it is an anomaly by its newest label. Looks are those of
// [Looks].
func Search(events []label.Event) (anomaly []bool) {
	looks := map[string]label.Value{}
	for _, ev := range Looks(events) {
		looks[ev.ID] = ev.To
	}
	for _, ev := range events {
		if v, ok := looks[ev.ID]; ok && ev.To.Trains() && !ev.Imported() {
			anomaly = append(anomaly, v == label.Anomaly)
			delete(looks, ev.ID)
		}
	}
	return anomaly
}

// Found counts the anomalies among the last n looks; looked is how many those are.
func Found(looks []label.Event, n int) (looked, found int) {
	for _, ev := range looks[max(0, len(looks)-n):] {
		looked++
		if ev.To == label.Anomaly {
			found++
		}
	}
	return looked, found
}

const z95 = 1.959964

// Share is found of looked with Wilson's interval (1927): it is right for few looks, for none found and for all.
func Share(found, looked int) Estimate {
	if looked == 0 {
		return Estimate{}
	}
	n, p := float64(looked), float64(found)/float64(looked)
	middle := (p + z95*z95/(2*n)) / (1 + z95*z95/n)
	half := z95 / (1 + z95*z95/n) * math.Sqrt(p*(1-p)/n+z95*z95/(4*n*n))
	return Estimate{Known: true, Value: p, Low: max(0, min(p, middle-half)), High: min(1, max(p, middle+half))}
}

// AtLeast is e for a set that holds the one of part: not below it.
func (e Estimate) AtLeast(part Estimate) Estimate {
	if e.Known && part.Known {
		e.Value, e.Low, e.High = max(e.Value, part.Value), max(e.Low, part.Low), max(e.High, part.High)
	}
	return e
}
