package estimate

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/label"
)

// ev reads events "image>label", an import with ! before it.
func ev(steps ...string) (out []label.Event) {
	for _, s := range steps {
		id, to, _ := strings.Cut(s, ">")
		e := label.Event{UID: "u", Change: label.Change{To: label.Value(to)}}
		if e.ID = strings.TrimPrefix(id, "!"); e.ID != id {
			e.UID = label.ImportedUID + "x"
		}
		out = append(out, e)
	}
	return out
}

func TestLooks(t *testing.T) {
	for name, c := range map[string]struct {
		events        []label.Event
		looked, found int
	}{
		"none":                        {nil, 0, 0},
		"skips are no looks":          {ev("a>anomaly", "b>skip", "c>normal"), 2, 1},
		"imports are no looks":        {ev("!a>anomaly", "!b>normal", "c>normal"), 1, 0},
		"undone":                      {ev("a>anomaly", "b>anomaly", "b>"), 1, 1},
		"corrected":                   {ev("a>anomaly", "b>normal", "a>normal"), 2, 0},
		"an import after it replaces": {ev("a>anomaly", "!a>normal"), 0, 0},
		"a look after an import":      {ev("!a>normal", "a>anomaly"), 1, 1},
		"only the last":               {ev("a>anomaly", "b>anomaly", "c>anomaly", "d>normal", "e>normal", "f>normal"), 4, 1},
	} {
		if looked, found := Found(Looks(c.events), 4); looked != c.looked || found != c.found {
			t.Errorf("%s: %d looks, %d found; want %d, %d", name, looked, found, c.looked, c.found)
		}
	}
	looks := Looks(ev("a>anomaly", "b>normal", "a>normal"))
	if looks[0].ID != "b" || looks[1].ID != "a" {
		t.Errorf("a corrected label is the newest look: %v", looks)
	}
}

func TestShare(t *testing.T) {
	if Share(0, 0).Known {
		t.Error("nothing was looked at, and something is known")
	}
	// Against the table in Newcombe (1998), method 3.
	for _, c := range []struct {
		found, looked int
		low, high     float64
	}{{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}} {
		e := Share(c.found, c.looked)
		if math.Abs(e.Low-c.low) > 1e-4 || math.Abs(e.High-c.high) > 1e-4 || e.Value != float64(c.found)/float64(c.looked) {
			t.Errorf("%d of %d: %+v", c.found, c.looked, e)
		}
	}
	// Coverage of shares as they come.
	r := rand.New(rand.NewPCG(1, 1))
	held := 0
	const tries = 4000
	for range tries {
		p, found := r.Float64(), 0
		for range LastLooks {
			if r.Float64() < p {
				found++
			}
		}
		if e := Share(found, LastLooks); p >= e.Low && p <= e.High {
			held++
		}
	}
	if held < tries*93/100 || held > tries*97/100 {
		t.Errorf("%d of %d intervals hold the truth", held, tries)
	}
}

func TestAdvise(t *testing.T) {
	known := func(v, low, high float64) Estimate { return Estimate{true, v, low, high} }
	some := State{Anomalies: 10, Normals: 40, Looked: 50, Found: 10, New: 5, Trained: true, Top: 60, InTop: known(8, 4, 13), InPool: known(20, 8, 60)}
	with := func(change func(*State)) State { s := some; change(&s); return s }
	for name, c := range map[string]struct {
		s              State
		advice, reason string
	}{
		"nothing yet":     {State{}, MoreKind, "nothing is labelled"},
		"only normals":    {State{Normals: 3}, MoreKind, "no anomaly is labelled beside 3 normal images"},
		"only anomalies":  {State{Anomalies: 1}, MoreKind, "no normal image is labelled beside 1 anomaly;"},
		"in the middle":   {some, GoOn, "10 of the last 50 looks found an anomaly; 8.0 (4.0 to 13) are expected among the 60 candidates"},
		"imported only":   {with(func(s *State) { s.Looked, s.Found, s.New, s.InTop, s.InPool = 0, 0, 0, Estimate{}, Estimate{} }), GoOn, "how many are left is not known yet"},
		"enough is new":   {with(func(s *State) { s.New = 20 }), Train, "20 new labels since the last training"},
		"the first time":  {with(func(s *State) { s.New, s.Trained = 31, false }), Train, "31 new labels and no training yet"},
		"too few of them": {with(func(s *State) { s.New, s.Anomalies = 31, 4 }), GoOn, ""},
		"precision drops": {with(func(s *State) { s.Before, s.Found = known(0.6, 0.4, 0.8), 10 }), Train, "before it was 60%, and 20 (8.0 to 60) are expected in the pool"},
		"it drops because nothing is left": {with(func(s *State) {
			s.Before, s.Found, s.InPool = known(0.6, 0.4, 0.8), 2, known(0.4, 0, 2)
		}), GoOn, ""},
		"found nothing, nothing left":       {with(func(s *State) { s.Found, s.New, s.InTop = 0, 40, known(0.3, 0, 2) }), Stop, "0 of the last 50 looks found an anomaly and 0.3 (0 to 2.0) are expected among the 60 candidates"},
		"found nothing, but it may be left": {with(func(s *State) { s.Found, s.InTop = 0, known(0.9, 0, 7) }), GoOn, ""},
		"found nothing in few looks":        {with(func(s *State) { s.Looked, s.Found, s.InTop = 20, 0, known(0.3, 0, 2) }), GoOn, ""},
		"found nothing, nothing known":      {with(func(s *State) { s.Found, s.InTop = 0, Estimate{} }), GoOn, ""},
	} {
		advice, reason := Advise(c.s)
		if advice != c.advice || !strings.Contains(reason, c.reason) {
			t.Errorf("%s: %q because %q", name, advice, reason)
		}
	}
}

func TestCalibrationWhereThereIsNothingToLearn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var scores []float32
	for range 1000 {
		scores = append(scores, r.Float32())
	}
	pool := NewBins(slices.Values(append(scores, float32(math.NaN()))))
	looks := make([]Look, 20)
	for i := range looks {
		looks[i].Z = 3
	}
	if Calibrate(looks[:Fewest-1], pool) != nil {
		t.Error("learnt from fewer looks than it takes")
	}
	same := NewBins(slices.Values(slices.Repeat([]float32{0.5}, 100)))
	if k := Calibrate(looks, same); k != nil || k.Sum(same, true).Known {
		t.Error("learnt from scores that are all the same")
	}
	// One class only: still numbers, and sensible ones.
	for _, anomaly := range []bool{false, true} {
		for i := range looks {
			looks[i].Anomaly = anomaly
		}
		k := Calibrate(looks, pool)
		e := k.Sum(pool, true)
		if !e.Known || math.IsNaN(e.Value+e.Low+e.High) || e.Low < 0 || e.High > 1000 {
			t.Errorf("anomaly %v: %+v", anomaly, e)
		}
		if p := k.Probability(6); (p > 0.5) != anomaly {
			t.Errorf("anomaly %v: probability %.2f of another one like the 20 looks", anomaly, p)
		}
	}
	// The boundary is where it says.
	for i := range looks {
		looks[i] = Look{Z: float64(i)/4 - 2, Anomaly: i >= 10}
	}
	if k := Calibrate(looks, pool); math.Abs(k.Probability(k.Boundary())-0.5) > 1e-6 || k.Boundary() < -1 || k.Boundary() > 3 {
		t.Errorf("boundary at %.2f", k.Boundary())
	}
}

// The review is gone through in its order: no look is scored by what came later.
func TestForward(t *testing.T) {
	var judged []Judged
	for i := range 200 { // every third imported, at first one class only
		judged = append(judged, Judged{Image: i, Anomaly: i >= 30 && i%5 == 0, Look: i%3 != 0})
	}
	fits := 0
	looks, err := Forward(t.Context(), judged, []int{1000, 1001, 1002}, 1, func(anomalies, normals, test []int) ([]float32, error) {
		fits++
		first := slices.Min(test)
		for _, i := range append(slices.Clone(anomalies), normals...) {
			if i >= first && judged[i].Look {
				t.Errorf("look %d is scored by what knows %d", first, i)
			}
		}
		out := make([]float32, len(test))
		for n, i := range test {
			out[n] = 0.25 + 0.5*float32(i%5)/5
		}
		return out, nil
	})
	if err != nil || fits < 4 || fits > blocks || len(looks) < 80 || len(looks) > 133-20 {
		t.Errorf("%d fits, %d looks scored, %v", fits, len(looks), err)
	}
	for _, l := range looks {
		if math.IsNaN(l.Z) {
			t.Errorf("%+v", l)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Forward(ctx, judged, nil, 1, nil); err == nil {
		t.Error("went on after a cancel")
	}
}

func TestSearch(t *testing.T) {
	say := func(id string, to label.Value, uid string) label.Event {
		return label.Event{UID: uid, Change: label.Change{ID: id, To: to}}
	}
	a, n := label.Anomaly, label.Normal
	got := Search([]label.Event{say("known", a, "import-1"), say("first", n, "1"), say("skipped", label.Skip, "2"), say("gone", a, "3"), say("second", a, "4"), say("gone", label.None, "5"),
		say("first", a, "6"), say("skipped", n, "7"), say("known", a, "8"), say("second", a, "import-2")})
	// first is one although it was called normal once; known counts from where somebody looked; second is said by a file in the end
	if want := []bool{true, false, true}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
