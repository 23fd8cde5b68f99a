package fake

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"anomalymatch/engine/rpc"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lies is where an image lies on a map; mu is held.
func (e *Engine) lies(id, projection string) (x, y float64) {
	p := e.where[id]
	squash := func(v float64) float64 { return 1 / (1 + math.Exp(-1.2*v)) }
	switch projection {
	case "pca":
		return squash(p[0]), squash(p[1])
	case "anomaly":
		return float64(e.score(id, "")), squash(p[1])
	}
	angle, far := 2*math.Pi*squash(p[2]), 0.2+0.1*squash(p[3]) // a ring, and the rare ones in a corner
	if e.truth[id] {
		return 0.85 + 0.02*p[1], 0.15 + 0.02*p[2]
	}
	return 0.45 + far*math.Cos(angle), 0.55 + far*math.Sin(angle)
}

// inside tells whether an image lies in a region of a map; mu is held.
func (e *Engine) inside(id string, r *rpc.Region) bool {
	if r == nil {
		return true
	}
	x, y := e.lies(id, r.Projection)
	return x >= r.Left && x < r.Right && y >= r.Top && y < r.Bottom
}

// Inside counts the images of a region.
func (e *Engine) Inside(r *rpc.Region) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range e.ids {
		if e.inside(id, r) {
			n++
		}
	}
	return n
}

// Where is the place of an image on a map.
func (e *Engine) Where(id, projection string) (x, y float64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lies(id, projection)
}

// Map counts the images; the map of the scores is worked out for a moment at first.
func (e *Engine) Map(_ context.Context, r *rpc.MapRequest) (*rpc.MapReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := &rpc.MapReply{Projection: r.Projection, Projections: []string{"neighbours", "pca", "anomaly"}}
	switch {
	case !e.st.Embedded:
		return &rpc.MapReply{Why: "the images are not embedded yet: nobody knows which are alike"}, nil
	case r.Projection == "":
		out.Projection = "neighbours"
	case !slices.Contains(out.Projections, r.Projection):
		return nil, status.Error(codes.InvalidArgument, "there is no such map")
	}
	if out.Projection == "anomaly" {
		if e.drawing++; e.drawing < 3 {
			out.Why = "the map is being worked out: 40%"
			return out, nil
		}
		out.XName, out.YName = "log-odds of the fast score", "what differs most at the same score"
	}
	if out.Projection == "pca" {
		out.XName, out.YName = "component 1 (50%)", "component 2 (20%)"
	}
	n := int(r.Columns * r.Rows)
	out.Density, out.Score = make([]int64, n), make([]float32, n)
	g := r.Region
	for _, id := range e.ids {
		x, y := e.lies(id, out.Projection)
		if x < g.Left || x >= g.Right || y < g.Top || y >= g.Bottom {
			continue
		}
		at := int((y-g.Top)/(g.Bottom-g.Top)*float64(r.Rows))*int(r.Columns) + int((x-g.Left)/(g.Right-g.Left)*float64(r.Columns))
		out.Density[at]++
		out.Score[at] += e.score(id, "")
		if l := e.labels[id]; l == "anomaly" || l == "normal" {
			out.Labelled = append(out.Labelled, &rpc.MapPoint{Id: id, Label: l, X: x, Y: y})
		}
	}
	for i := range out.Score {
		out.Score[i] /= float32(out.Density[i]) // NaN where there is none
	}
	return out, nil
}

// Said puts a label into the history as another writer's, some time ago.
func (e *Engine) Said(by, id, label string, ago time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, &rpc.LabelEvent{Uid: by + id + time.Now().String(), By: by, UnixMs: time.Now().Add(-ago).UnixMilli(),
		Change: &rpc.LabelChange{Id: id, To: label, From: e.labels[id]}})
	e.labels[id] = label
	e.st.LabelsVersion++
	e.st.Anomalies, e.st.Normals = 0, 0
	for _, l := range e.labels {
		switch l {
		case "anomaly":
			e.st.Anomalies++
		case "normal":
			e.st.Normals++
		}
	}
	e.tell(nil)
}

// History is what a writer said, or everybody.
func (e *Engine) History(_ context.Context, r *rpc.HistoryRequest) (*rpc.HistoryReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*rpc.LabelEvent
	for _, ev := range e.events {
		if ev.By == r.By || r.Everybody {
			out = append(out, ev)
		}
	}
	out = out[:max(0, len(out)-int(r.Before))]
	return &rpc.HistoryReply{Events: out[max(0, len(out)-int(r.Limit)):]}, nil
}

// Writers compares everybody with everybody. Kappa is not Cohen's here, only a number: the agreement, from -1 to 1.
func (e *Engine) Writers(context.Context, *rpc.WritersRequest) (*rpc.WritersReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out, newest := &rpc.WritersReply{}, map[string]map[string]*rpc.LabelEvent{}
	var names []string
	count := map[string]int64{}
	for _, ev := range e.events {
		if ev.Change.Mark != "" {
			continue
		}
		if newest[ev.By] == nil {
			newest[ev.By] = map[string]*rpc.LabelEvent{}
			names = append(names, ev.By)
		}
		newest[ev.By][ev.Change.Id] = ev
		count[ev.By]++
	}
	slices.Sort(names)
	opinions := map[string][]*rpc.Opinion{}
	for i, a := range names {
		w := &rpc.Writer{Name: a, Events: count[a]}
		for id, ev := range newest[a] {
			switch ev.Change.To {
			case "anomaly":
				w.Anomalies++
			case "normal":
				w.Normals++
			default:
				continue
			}
			w.LastUnixMs = max(w.LastUnixMs, ev.UnixMs)
			opinions[id] = append(opinions[id], &rpc.Opinion{By: a, Label: ev.Change.To, UnixMs: ev.UnixMs})
		}
		out.Writers = append(out.Writers, w)
		for _, b := range names[i+1:] {
			p := &rpc.Agreement{A: a, B: b}
			for id, ev := range newest[a] {
				if other := newest[b][id]; other != nil {
					p.Both++
					if other.Change.To == ev.Change.To {
						p.Agree++
					}
				}
			}
			if p.Kappa = math.NaN(); p.Both > 0 {
				p.Kappa = 2*float64(p.Agree)/float64(p.Both) - 1
			}
			if p.Both > 0 {
				out.Pairs = append(out.Pairs, p)
			}
		}
	}
	for id, o := range opinions {
		if slices.ContainsFunc(o, func(x *rpc.Opinion) bool { return x.Label != o[0].Label }) {
			slices.SortFunc(o, func(x, y *rpc.Opinion) int { return strings.Compare(x.By, y.By) })
			out.Conflicts = append(out.Conflicts, &rpc.Conflict{Id: id, Label: e.labels[id], Opinions: o})
		}
	}
	slices.SortFunc(out.Conflicts, func(x, y *rpc.Conflict) int { return strings.Compare(x.Id, y.Id) })
	return out, nil
}
