package engine

import (
	"context"

	"anomalymatch/engine/agreement"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
)

// maxConflicts is how many conflicts the wire carries.
const maxConflicts = 2000

func (s *Service) Writers(context.Context, *rpc.WritersRequest) (*rpc.WritersReply, error) {
	report := agreement.Of(s.e.opt.Labels.History("", 0))
	out := &rpc.WritersReply{}
	for _, w := range report.Writers {
		out.Writers = append(out.Writers, &rpc.Writer{Name: w.Name, Events: int64(w.Events), Anomalies: int64(w.Anomalies), Normals: int64(w.Normals), Skipped: int64(w.Skipped),
			LastUnixMs: w.Last.UnixMilli()})
	}
	for _, p := range report.Pairs {
		out.Pairs = append(out.Pairs, &rpc.Agreement{A: p.A, B: p.B, Both: int64(p.Both()), Agree: int64(p.Agree()), Kappa: p.Kappa()})
	}
	for _, c := range report.Conflicts[:min(len(report.Conflicts), maxConflicts)] {
		conflict := &rpc.Conflict{Id: c.ID, Label: string(c.Label)}
		for _, o := range c.Opinions {
			conflict.Opinions = append(conflict.Opinions, &rpc.Opinion{By: o.By, Label: string(o.Label), UnixMs: o.Time.UnixMilli()})
		}
		out.Conflicts = append(out.Conflicts, conflict)
	}
	return out, nil
}

// events are those that a request means, oldest first: of one writer or everybody, without the newest before of them.
func (e *Engine) events(in *rpc.HistoryRequest) []label.Event {
	by, before := in.By, int(max(0, in.Before))
	if in.Everybody {
		by = ""
	}
	limit := int(max(0, in.Limit))
	if limit > 0 {
		limit += before
	}
	all := e.opt.Labels.History(by, limit)
	return all[:max(0, len(all)-before)]
}
