// Package agreement compares what several people say about the same images.
package agreement

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"anomalymatch/engine/label"
)

// Writer is one person and their labels: the newest of each image, as far as they have not taken it back.
type Writer struct {
	Name                        string
	Events                      int
	Anomalies, Normals, Skipped int
	Last                        time.Time // of the newest event
}

// Pair is how two writers agree about the images that both labelled anomaly or normal.
type Pair struct {
	A, B   string
	Counts [2][2]int // [A's label][B's label], 0 anomaly, 1 normal
}

// Both is the number of images that both labelled.
func (p Pair) Both() int { return p.Counts[0][0] + p.Counts[0][1] + p.Counts[1][0] + p.Counts[1][1] }

// Agree is the number of those that both labelled alike.
func (p Pair) Agree() int { return p.Counts[0][0] + p.Counts[1][1] }

// Kappa is the agreement beyond what chance gives two people who label so many anomalies each (Cohen 1960): 1 is full agreement, 0 what
// chance gives. NaN where chance alone gives full agreement, or nothing was labelled by both.
func (p Pair) Kappa() float64 {
	n := float64(p.Both())
	a, b := float64(p.Counts[0][0]+p.Counts[0][1])/n, float64(p.Counts[0][0]+p.Counts[1][0])/n
	chance := a*b + (1-a)*(1-b)
	if !(chance < 1) {
		return math.NaN()
	}
	return (float64(p.Agree())/n - chance) / (1 - chance)
}

// Opinion is what one writer says about an image.
type Opinion struct {
	By    string
	Label label.Value
	Time  time.Time
}

// Conflict is an image that some label anomaly and others normal.
type Conflict struct {
	ID       string
	Label    label.Value // in force: that of the newest event of anyone
	Opinions []Opinion   // anomaly or normal, by writer
}

// Report is how the writers of a project agree.
type Report struct {
	Writers   []Writer   // by name
	Pairs     []Pair     // of writers with at least one image that both labelled, in the order of Writers
	Conflicts []Conflict // the one with the newest opinion first
}

// Of compares the writers of events, which are in the order of the merge, oldest first.
func Of(events []label.Event) Report {
	type saying struct{ id, by string }
	newest := map[saying]label.Event{}
	force := map[string]label.Value{}
	writers := map[string]*Writer{}
	for _, e := range events {
		w := writers[e.By]
		if w == nil {
			w = &Writer{Name: e.By}
			writers[e.By] = w
		}
		w.Events++
		if e.Time.After(w.Last) {
			w.Last = e.Time
		}
		if e.Mark != "" {
			continue // bookmarks and tags are no opinions
		}
		newest[saying{e.ID, e.By}], force[e.ID] = e, e.To
	}
	said := map[string][]Opinion{} // anomaly or normal, by image
	for s, e := range newest {
		w := writers[s.by]
		switch e.To {
		case label.Anomaly:
			w.Anomalies++
		case label.Normal:
			w.Normals++
		case label.Skip:
			w.Skipped++
		}
		if e.To.Trains() {
			said[s.id] = append(said[s.id], Opinion{s.by, e.To, e.Time})
		}
	}
	r := Report{}
	for _, w := range writers {
		r.Writers = append(r.Writers, *w)
	}
	slices.SortFunc(r.Writers, func(a, b Writer) int { return strings.Compare(a.Name, b.Name) })
	type two struct{ a, b string }
	pairs := map[two]*Pair{}
	for id, opinions := range said {
		slices.SortFunc(opinions, func(x, y Opinion) int { return strings.Compare(x.By, y.By) })
		differ := false
		for k, x := range opinions {
			for _, y := range opinions[k+1:] {
				p := pairs[two{x.By, y.By}]
				if p == nil {
					p = &Pair{A: x.By, B: y.By}
					pairs[two{x.By, y.By}] = p
				}
				p.Counts[class(x.Label)][class(y.Label)]++
				differ = differ || x.Label != y.Label
			}
		}
		if differ {
			r.Conflicts = append(r.Conflicts, Conflict{id, force[id], opinions})
		}
	}
	for _, p := range pairs {
		r.Pairs = append(r.Pairs, *p)
	}
	slices.SortFunc(r.Pairs, func(x, y Pair) int { return cmp.Or(strings.Compare(x.A, y.A), strings.Compare(x.B, y.B)) })
	slices.SortFunc(r.Conflicts, func(x, y Conflict) int { return cmp.Or(y.last().Compare(x.last()), strings.Compare(x.ID, y.ID)) })
	return r
}

func (c Conflict) last() (t time.Time) {
	for _, o := range c.Opinions {
		if o.Time.After(t) {
			t = o.Time
		}
	}
	return t
}

func class(v label.Value) int {
	if v == label.Anomaly {
		return 0
	}
	return 1
}
