package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"anomalymatch/engine/score"
)

// What is known at the start of a review.
const (
	KnownAll  = ""     // the pool's labels
	KnownNone = "none" // no label
	KnownOne  = "one"  // one anomaly: of the pool's labels, or of its truth where it has no labels
)

// ReviewOptions of a run of Looks. Cycles and Scored are not used.
type ReviewOptions struct {
	Options
	Step  int    // images that are looked at and labelled between two trainings
	Looks int    // all of them
	Known string // KnownAll, KnownNone or KnownOne
}

// Review is what `bench review --json` prints.
type Review struct {
	Total       int      `json:"total"`         // anomalies that are not known at the start
	Found       [][2]int `json:"found"`         // images looked at, anomalies found among them
	LooksToHalf *int     `json:"looks_to_half"` // single images, until half of the total is found; nil where it is not
	LooksTo90   *int     `json:"looks_to_90"`   // the same for nine tenths
	Backend     string   `json:"backend"`
	Seed        int64    `json:"seed"`
	Method      string   `json:"method"`
	Size        int      `json:"size"`
	Labels      struct { // known at the start
		Anomaly int `json:"anomaly"`
		Normal  int `json:"normal"`
	} `json:"labels"`
	Seconds float64 `json:"seconds"` // training and ranking, without the embeddings
	// Note says why a slower runtime was used, "" if all is well.
	Note string `json:"note,omitempty"`
}

// Looks works as a person does, without an oracle: look at the top of the list, label what is there with the truth, train, and again.
func Looks(ctx context.Context, p *Pool, opt ReviewOptions) (*Review, error) {
	labels, err := p.known(opt.Known, opt.Config.Seed)
	if err != nil {
		return nil, err
	}
	r := &Review{Found: [][2]int{}, Seed: opt.Config.Seed, Method: opt.Method}
	anomalies, normals := split(labels)
	r.Labels.Anomaly, r.Labels.Normal = len(anomalies), len(normals)
	for i, anomaly := range p.Truth {
		if _, known := labels[i]; anomaly && !known {
			r.Total++
		}
	}
	switch {
	case r.Total == 0:
		return nil, errors.New("there is nothing to find: the pool has no anomaly beyond those known at the start")
	case opt.Method == "fixmatch" && len(anomalies) > 0 && len(normals) == 0:
		return nil, errors.New("fixmatch trains on both classes, and no normal is known at the start: choose fast or best, or give labels of both")
	}
	m, err := newMethod(ctx, p, &opt.Options)
	if err != nil {
		return nil, err
	}
	defer m.close()
	backend := m.backend()
	r.Backend, r.Note, r.Size = backend.Name, backend.Note, m.size()
	began := time.Now()
	if err := r.look(ctx, m, p.Truth, labels, &opt); err != nil {
		return nil, err
	}
	r.Seconds = round(time.Since(began).Seconds(), 2)
	return r, nil
}

// known are the labels to start from: a map of its own.
func (p *Pool) known(what string, seed int64) (map[int]bool, error) {
	start := &Pool{Truth: p.Truth, Start: map[int]bool{}}
	switch what {
	case KnownAll:
		for i, anomaly := range p.Start {
			start.Start[i] = anomaly
		}
	case KnownNone:
	case KnownOne:
		if len(p.Start) == 0 {
			start.draw(1, 0, seed)
			break
		}
		anomalies, _ := split(p.Start)
		if len(anomalies) == 0 {
			return nil, errors.New("the labels have no anomaly to start from")
		}
		start.Start[anomalies[rand.New(rand.NewPCG(uint64(seed), 1)).IntN(len(anomalies))]] = true
	default:
		return nil, fmt.Errorf("nothing is called %q that could be known at the start: choose none or one", what)
	}
	return start.Start, nil
}

// look fills in what is found; labels are added to.
func (r *Review) look(ctx context.Context, m method, truth []bool, labels map[int]bool, opt *ReviewOptions) error {
	var order []int32
	found, cycle := 0, 0
	for looked := 0; looked < opt.Looks && len(labels) < len(truth); {
		// Until there is something to learn from, the list is the untrained one.
		train := trainable(opt.Method, labels)
		if train {
			cycle++
			if err := m.train(ctx, labels, cycle); err != nil {
				return err
			}
		}
		if train || order == nil {
			scores, err := m.score(ctx)
			if err != nil {
				return err
			}
			order = score.Order(scores)
		}
		before := looked
		for _, n := range order {
			i := int(n)
			if _, known := labels[i]; known {
				continue
			}
			labels[i] = truth[i]
			looked++
			if truth[i] {
				found++
				r.reached(looked, found)
			}
			if looked == before+opt.Step || looked == opt.Looks {
				break
			}
		}
		if looked == before { // what is left cannot be read
			break
		}
		r.Found = append(r.Found, [2]int{looked, found})
		if opt.Progress != nil {
			opt.Progress(Progress{What: fmt.Sprintf("%d of %d anomalies found; looking", found, r.Total), Done: looked, All: opt.Looks, SecondsLeft: -1})
		}
	}
	return nil
}

// trainable says whether the labels are enough for the method: the network learns from both classes, the fast ranking from anomalies.
func trainable(method string, labels map[int]bool) bool {
	anomalies, normals := split(labels)
	return len(anomalies) > 0 && (method != "fixmatch" || len(normals) > 0)
}

func (r *Review) reached(looked, found int) {
	if r.LooksToHalf == nil && 2*found >= r.Total {
		r.LooksToHalf = &looked
	}
	if r.LooksTo90 == nil && 10*found >= 9*r.Total {
		r.LooksTo90 = &looked
	}
}

// ReviewMean is the mean over runs with several seeds.
type ReviewMean struct {
	Total       Stat        `json:"total"`
	Found       []FoundMean `json:"found"`
	LooksToHalf LooksMean   `json:"looks_to_half"`
	LooksTo90   LooksMean   `json:"looks_to_90"`
}

// FoundMean is how many anomalies are found among the first looks.
type FoundMean struct {
	Looks int `json:"looks"`
	Stat
}

// LooksMean is over the runs that reached it.
type LooksMean struct {
	Stat
	Reached int `json:"reached"`
}

// MeanOfReviews of runs with the same step.
func MeanOfReviews(runs []*Review) ReviewMean {
	looks := func(of func(*Review) *int) LooksMean {
		var values []float64
		for _, r := range runs {
			if v := of(r); v != nil {
				values = append(values, float64(*v))
			}
		}
		return LooksMean{statOf(values), len(values)}
	}
	m := ReviewMean{
		Found:       []FoundMean{},
		LooksToHalf: looks(func(r *Review) *int { return r.LooksToHalf }),
		LooksTo90:   looks(func(r *Review) *int { return r.LooksTo90 }),
	}
	var totals []float64
	longest := runs[0].Found
	for _, r := range runs {
		totals = append(totals, float64(r.Total))
		if len(r.Found) > len(longest) {
			longest = r.Found
		}
	}
	m.Total = statOf(totals)
	for k, row := range longest {
		var found []float64
		for _, r := range runs {
			if len(r.Found) > 0 { // a run that ended early stays at what it found
				found = append(found, float64(r.Found[min(k, len(r.Found)-1)][1]))
			}
		}
		m.Found = append(m.Found, FoundMean{row[0], statOf(found)})
	}
	return m
}
