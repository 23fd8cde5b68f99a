package fake

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"anomalymatch/engine/rpc"
)

// marksOf are the marks of an image, the bookmark first; mu is held.
func (e *Engine) marksOf(id string) (marks []string) {
	for m, on := range e.marks[id] {
		if on {
			marks = append(marks, m)
		}
	}
	slices.SortFunc(marks, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return marks
}

// mark takes in a mark's change; mu is held.
func (e *Engine) mark(c *rpc.LabelChange) {
	if e.marks[c.Id] == nil {
		e.marks[c.Id] = map[string]bool{}
	}
	e.marks[c.Id][c.Mark] = c.To == "on"
}

// Marks are the marks on "disk".
func (e *Engine) Marks() map[string][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string][]string{}
	for id := range e.marks {
		if marks := e.marksOf(id); len(marks) > 0 {
			out[id] = marks
		}
	}
	return out
}

// narrowed leaves of a filter's images those with a mark, a place on the map and a text, and sorts them; mu is held.
func (e *Engine) narrowed(r *rpc.RankingRequest, images []int32, bad func(id string) bool) []int32 {
	var out []int32
	text := strings.ToLower(r.Match)
	for _, i := range images {
		id := e.ids[i]
		if r.Filter == "" && e.labels[id] != "" || bad(id) || !e.inside(id, r.Region) {
			continue
		}
		if r.Mark != "" {
			marks := e.marksOf(id)
			if r.Mark != "any" && !slices.Contains(marks, r.Mark) || len(marks) == 0 {
				continue
			}
		}
		if r.Where != "" {
			if ok, _ := e.opt.Where(id, r.Where); !ok {
				continue
			}
		}
		if strings.Contains(strings.ToLower(id), text) {
			out = append(out, i)
		}
	}
	part := out
	if r.Filter == "" {
		part = out[:min(len(out), e.opt.Cut)]
	}
	switch r.Sort {
	case "worst":
		slices.Reverse(part)
	case "column":
		slices.SortStableFunc(part, func(a, b int32) int {
			x, y := e.opt.Known(e.ids[a], r.Column), e.opt.Known(e.ids[b], r.Column)
			if r.Descending {
				x, y = y, x
			}
			return cmp.Compare(x, y)
		})
	case "id":
		slices.SortFunc(part, func(a, b int32) int { return cmp.Compare(e.ids[a], e.ids[b]) })
	case "newest":
		last := map[string]int{}
		for at, ev := range e.events {
			if ev.Change.Mark == "" {
				last[ev.Change.Id] = at + 1
			}
			if ev.Change.Mark == "" && ev.Change.To == "" {
				delete(last, ev.Change.Id)
			}
		}
		slices.SortStableFunc(part, func(a, b int32) int { return cmp.Compare(last[e.ids[b]], last[e.ids[a]]) })
	}
	return out
}

// Find goes through the list.
func (e *Engine) Find(_ context.Context, in *rpc.FindRequest) (*rpc.FindReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := proto.Clone(in.List).(*rpc.RankingRequest)
	r.Match, r.Offset = "", 0
	text, out := strings.ToLower(in.Match), &rpc.FindReply{}
	first, last, before, after := int64(-1), int64(-1), int64(-1), int64(-1)
	var cells [][]string                                                                                    // each image with its near-duplicates
	if (r.Filter == "" || r.Filter == "all") && (len(e.alike) == 0 || !r.Fold) && e.st.RankingVersion > 0 { // there may be a million
		o := order{by: cmp.Or(r.By, e.st.RankedBy), strategy: e.strategy(r.Strategy), like: r.Like}
		for _, i := range e.narrowed(r, e.pool(o), func(string) bool { return false }) {
			cells = append(cells, e.ids[i:i+1])
		}
	} else {
		items, _ := e.queue(r, len(e.ids))
		for _, it := range items {
			cells = append(cells, append([]string{it.Id}, it.Duplicates...))
		}
	}
	if in.List.Limit > 0 {
		cells = cells[:min(len(cells), int(in.List.Limit))]
	}
	for k, ids := range cells {
		at := int64(k)
		if !slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(strings.ToLower(id), text) }) {
			continue
		}
		out.Matches++
		if last = at; first < 0 {
			first = at
		}
		if at < in.From {
			before = at
		}
		if at > in.From && after < 0 {
			after = at
		}
	}
	out.Place = cmp.Or(after+1, first+1) - 1
	if in.Back {
		out.Place = cmp.Or(before+1, last+1) - 1
	}
	if out.Found = out.Place >= 0; out.Found {
		out.Id = cells[out.Place][0]
	} else {
		out.Place = 0
	}
	return out, nil
}
