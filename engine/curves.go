package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"sync"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/estimate"
	"anomalymatch/engine/label"
	"anomalymatch/engine/metrics"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
	"anomalymatch/engine/sweep"
	"anomalymatch/engine/truth"

	"google.golang.org/grpc/status"
)

// mostDots is the number of points of a curve that a terminal is told, and densityBins the number of bins a side of cycle against cycle.
const mostDots, densityBins = 200, 32

// curves keeps what was drawn last: it is made anew when ranking, labels or truth changed.
type curves struct {
	mu    sync.Mutex // held while they are made
	of    inputs
	reply *rpc.CurvesReply

	truth struct {
		stamp string
		known []label.Value // by image number; nil: nobody knows
	}
	deep  *ranking         // that against is of
	other *rpc.CurvesReply // only the two cycles
}

// inputs says which curves are meant.
type inputs struct {
	r, deep *ranking
	labels  uint64
	emb     any
	truth   string
}

// Curves tells how good the ranking is, as far as that can be known.
func (s *Service) Curves(ctx context.Context, in *rpc.CurvesRequest) (*rpc.CurvesReply, error) {
	e := s.e
	v := e.view(in.By)
	if v.pool == nil {
		return &rpc.CurvesReply{}, nil
	}
	e.mu.Lock()
	deep, emb := e.deep, e.emb
	e.mu.Unlock()
	c := &e.curves
	c.mu.Lock()
	defer c.mu.Unlock()
	known := e.truthOf(v.pool)
	now := inputs{v.r, deep, v.labels, emb, c.truth.stamp}
	if c.reply != nil && c.of == now {
		return c.reply, nil
	}
	out := &rpc.CurvesReply{}
	labels, scores, of := unlabelled(v, known)
	if !enough(labels) { // nobody knows the truth, or nearly all of it is labelled
		l, s, o := judgedBy(e.assess(ctx, 0))
		if rare(l) > rare(labels) || !both(labels) {
			labels, scores, of = l, s, o
		}
	}
	if ctx.Err() != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	out.Of = of
	judge(out, labels, scores)
	history := e.opt.Labels.History("", maxHistory)
	out.Found = found(estimate.Search(history))
	out.Truth = toFind(v.pool, known, history)
	if deep != nil && c.deep != deep {
		c.other, c.deep = e.cycles(v.pool), deep
	}
	if deep != nil && c.other != nil {
		o := c.other
		out.Cycle, out.Before, out.Against, out.AgainstBins, out.RankCorrelation = o.Cycle, o.Before, o.Against, o.AgainstBins, o.RankCorrelation
	}
	c.of, c.reply = now, out
	return out, nil
}

// truthOf reads the truth of the pool where the project has it, again when the file changed. Called with curves.mu held.
func (e *Engine) truthOf(pool *dataset.Pool) []label.Value {
	t := &e.curves.truth
	info, err := os.Stat(e.dir(truth.Name))
	stamp := ""
	if err == nil {
		stamp = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
	}
	if stamp == t.stamp {
		return t.known
	}
	t.stamp, t.known = stamp, nil
	if stamp == "" {
		return nil
	}
	f, err := os.Open(e.dir(truth.Name))
	if err == nil {
		defer f.Close()
		t.known, err = truth.Read(f, pool.Len(), pool.Match)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.notice("warning", truth.Name+" is not used: "+sentence(err))
	}
	return t.known
}

// unlabelled are the images whose truth is known and that no ranking has learnt from.
func unlabelled(v view, known []label.Value) (anomaly []bool, scores []float64, of string) {
	if known == nil || v.r.by == "order" {
		return nil, nil, ""
	}
	labelled := 0
	for _, i := range v.r.order {
		switch {
		case known[i] == label.None:
		case v.of.at(i).Trains():
			labelled++
		default:
			anomaly, scores = append(anomaly, known[i] == label.Anomaly), append(scores, float64(v.r.scores[i]))
		}
	}
	of = fmt.Sprintf("%s ranking, truth of %s", v.r.by, images(len(anomaly)))
	if labelled > 0 {
		of += " that are not labelled"
	}
	return anomaly, scores, of
}

func images(n int) string {
	if n == 1 {
		return "1 image"
	}
	return thousands(n) + " images"
}

// thousands writes a count as people read it: 6,446.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// judgedBy are the labelled images as scored by heads that do not know them.
func judgedBy(a *assessment) (anomaly []bool, scores []float64, of string) {
	for _, j := range a.judged {
		if s := float64(a.scores[j.Image]); !math.IsNaN(s) {
			anomaly, scores = append(anomaly, j.Anomaly), append(scores, s)
		}
	}
	return anomaly, scores, fmt.Sprintf("fast ranking, %s labels, scored by heads that do not know them", thousands(len(anomaly)))
}

// rare counts the anomalies.
func rare(anomaly []bool) (n int) {
	for _, v := range anomaly {
		if v {
			n++
		}
	}
	return n
}

// both tells whether there are images of either class.
func both(anomaly []bool) bool { return rare(anomaly) > 0 && rare(anomaly) < len(anomaly) }

// few anomalies say next to nothing about a ranking: labels are asked as well.
const few = 5

func enough(anomaly []bool) bool { return both(anomaly) && rare(anomaly) >= few }

// judge fills in what is measured of images whose class is known.
func judge(out *rpc.CurvesReply, anomaly []bool, scores []float64) {
	roc, ok := metrics.ROC(anomaly, scores)
	if !ok {
		out.Of, out.Auroc, out.Auprc = "", &rpc.Estimate{}, &rpc.Estimate{}
		return
	}
	a := rare(anomaly)
	pr, _ := metrics.PrecisionRecall(anomaly, scores)
	out.Roc, out.Pr = dots(roc), dots(pr)
	area, _ := metrics.AUROC(anomaly, scores)
	low, high := metrics.AUROCInterval(area, a, len(anomaly)-a)
	out.Auroc = &rpc.Estimate{Known: true, Value: area, Low: low, High: high}
	area, _ = metrics.AUPRC(anomaly, scores)
	low, high = metrics.AUPRCInterval(area, a)
	out.Auprc = &rpc.Estimate{Known: true, Value: area, Low: low, High: high}
}

// dots are the points of a curve in the unit square, thinned out where there are many: a point goes where it lies too near to the one before to
// be seen.
func dots(c metrics.Curve) []*rpc.Point {
	near := 0.0
	if len(c.X) > mostDots {
		near = 1.0 / mostDots
	}
	for ; ; near *= 1.5 {
		var out []*rpc.Point
		for i := range c.X {
			p := &rpc.Point{X: c.X[i], Y: c.Y[i]}
			if n := len(out); n > 0 && i+1 < len(c.X) && math.Abs(p.X-out[n-1].X)+math.Abs(p.Y-out[n-1].Y) < near {
				continue
			}
			out = append(out, p)
		}
		if len(out) <= mostDots {
			return out
		}
	}
}

// found is how many anomalies were found by how many looks.
func found(anomaly []bool) (out []*rpc.Point) {
	if len(anomaly) == 0 {
		return nil
	}
	every := (len(anomaly) + mostDots - 2) / (mostDots - 1)
	n := 0
	out = append(out, &rpc.Point{})
	for i, v := range anomaly {
		if v {
			n++
		}
		if (i+1)%every == 0 || i+1 == len(anomaly) {
			out = append(out, &rpc.Point{X: float64(i + 1), Y: float64(n)})
		}
	}
	return out
}

// toFind is how many anomalies a review can find: all but those that were imported. 0 where nobody knows.
func toFind(pool *dataset.Pool, known []label.Value, history []label.Event) int64 {
	imported := map[string]bool{}
	for _, ev := range history {
		if ev.Mark == "" {
			imported[ev.ID] = ev.Imported() && ev.To.Trains()
		}
	}
	n := int64(0)
	for i, v := range known {
		if v == label.Anomaly && !imported[pool.ID(i)] {
			n++
		}
	}
	return n
}

// cycles compares the newest deep scores with those of the cycle before; nil where there are none.
func (e *Engine) cycles(pool *dataset.Pool) *rpc.CurvesReply {
	newest, now, ok := score.Latest(e.dir("scores"), pool.Hash())
	if !ok {
		return nil
	}
	older, before, ok := score.Before(e.dir("scores"), pool.Hash(), newest.Cycle)
	if !ok {
		return nil
	}
	return &rpc.CurvesReply{Cycle: int32(newest.Cycle), Before: int32(older.Cycle), Against: against(before, now, densityBins), AgainstBins: densityBins,
		RankCorrelation: sweep.Spearman(before, now)}
}

// against counts images by their scores of two cycles in bins × bins cells of [0,1]²: row by row, rows the older score, columns the newer one.
func against(before, now []float32, bins int) []int64 {
	out := make([]int64, bins*bins)
	bin := func(s float32) int { return max(0, min(int(s*float32(bins)), bins-1)) }
	for i := range min(len(before), len(now)) {
		if b, n := before[i], now[i]; b == b && n == n {
			out[bin(b)*bins+bin(n)]++
		}
	}
	return out
}
