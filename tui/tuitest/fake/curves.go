package fake

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
)

// pastRuns is the number of training runs that there were before the fake began, steps how many each had.
const pastRuns, pastSteps = 2, 80

// Runs are two older runs and the newest one.
func (e *Engine) Runs(_ context.Context, in *rpc.RunsRequest) (*rpc.RunsReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told["runs"]++
	out := &rpc.RunsReply{}
	if !e.opt.Past {
		return out, nil
	}
	if n := len(e.steps); n > 0 {
		out.Runs = append(out.Runs, &rpc.TrainRun{Cycle: e.steps[n-1].Cycle, Steps: slices.Clone(e.steps), Anomalies: e.st.Anomalies, Normals: e.st.Normals})
	}
	for k := range pastRuns {
		cycle := int32(pastRuns - k)
		r := rand.New(rand.NewPCG(uint64(cycle), 17))
		run := &rpc.TrainRun{Cycle: cycle, Anomalies: int64(4 * cycle), Normals: int64(30 * cycle), EndedUnixMs: time.Now().Add(-time.Duration(k+1) * time.Hour).UnixMilli()}
		for i := range pastSteps {
			x := float64(i) / pastSteps
			sup := (0.5+0.1*float64(k+1))*math.Exp(-3*x) + 0.05*r.Float64()
			run.Steps = append(run.Steps, &rpc.TrainStep{Cycle: cycle, Step: int32(i + 1), Steps: pastSteps, Loss: float32(sup + 0.05), SupLoss: float32(sup), UnsupLoss: 0.05, Kept: float32(0.9 * x), PseudoAnomaly: float32(0.04 * x)})
		}
		out.Runs = append(out.Runs, run)
	}
	return out, nil
}

// Curves are measured on the fake's own truth.
func (e *Engine) Curves(_ context.Context, in *rpc.CurvesRequest) (*rpc.CurvesReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told["curves"]++
	out := &rpc.CurvesReply{Auroc: &rpc.Estimate{}, Auprc: &rpc.Estimate{}}
	seen, found := 0, 0
	out.Found = []*rpc.Point{{}}
	for _, ev := range e.events {
		if l := e.labels[ev.Change.Id]; l == ev.Change.To && (l == "anomaly" || l == "normal") {
			seen++
			if l == "anomaly" {
				found++
			}
			out.Found = append(out.Found, &rpc.Point{X: float64(seen), Y: float64(found)})
		}
	}
	if seen == 0 {
		out.Found = nil
	}
	total := 0
	for _, v := range e.truth {
		if v {
			total++
		}
	}
	out.Truth = int64(total)
	if e.st.FastAtUnixMs == 0 { // nothing was learnt yet
		return out, nil
	}
	ids := slices.Clone(e.ids)
	slices.SortStableFunc(ids, func(a, b string) int {
		if x, y := e.score(a, in.By), e.score(b, in.By); x > y {
			return -1
		} else if x < y {
			return 1
		}
		return 0
	})
	out.Of = e.st.RankedBy + " ranking, truth of " + common.Plural(len(ids), "image")
	hits, area := 0, 0.0
	out.Roc, out.Pr = []*rpc.Point{{}}, []*rpc.Point{{Y: 1}}
	for i, id := range ids {
		if e.truth[id] {
			hits++
			out.Pr = append(out.Pr, &rpc.Point{X: float64(hits) / float64(total), Y: float64(hits) / float64(i+1)})
		} else {
			area += float64(hits) / float64(total)
		}
		if i%max(1, len(ids)/150) == 0 || i+1 == len(ids) {
			out.Roc = append(out.Roc, &rpc.Point{X: float64(i+1-hits) / float64(len(ids)-total), Y: float64(hits) / float64(total)})
		}
	}
	v := area / float64(len(ids)-total)
	out.Auroc = &rpc.Estimate{Known: true, Value: v, Low: max(0, v-0.03), High: min(1, v+0.01)}
	out.Auprc = &rpc.Estimate{Known: true, Value: 0.62, Low: 0.5, High: 0.73}
	if e.st.DeepAtUnixMs > 0 {
		const bins = 32
		out.Cycle, out.Before, out.AgainstBins, out.Against, out.RankCorrelation = e.st.Cycle, max(0, e.st.Cycle-1), bins, make([]int64, bins*bins), 0.83
		for _, id := range e.ids {
			bin := func(s float32) int { return min(bins-1, int(s*bins)) }
			out.Against[bin(e.score(id, "fast"))*bins+bin(e.score(id, "deep"))]++
		}
	}
	return out, nil
}

// Log is a log that grows by a line each time it is looked at; one of them tries to paint over the screen.
func (e *Engine) Log(_ context.Context, in *rpc.LogRequest) (*rpc.LogReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told["log"]++
	out := &rpc.LogReply{File: "/data/galaxies/engine.log"}
	begin := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	line := func(i int, text string) {
		out.Lines = append(out.Lines, fmt.Sprintf("time=%s level=INFO msg=%s", begin.Add(time.Duration(i)*time.Second).Format(time.RFC3339), text))
	}
	line(0, `"engine starts" version=dev pid=4711`)
	line(1, "\"\x1b[2J hostile\" \u202e file=x")
	for i := range 60 {
		line(i+2, fmt.Sprintf(`"job starts" job=embedding n=%d`, i+1))
	}
	for i := range e.told["log"] {
		line(i+70, fmt.Sprintf(`"looked at" n=%d`, i+1))
	}
	out.Lines = out.Lines[max(0, len(out.Lines)-int(in.Lines)):]
	return out, nil
}

// Told is how often the engine was asked for "runs", "curves" or "log".
func (e *Engine) Told(what string) int { e.mu.Lock(); defer e.mu.Unlock(); return e.told[what] }
