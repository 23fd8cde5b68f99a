package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"anomalymatch/engine/atlas"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/space"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The maps there are: what is alike together, the first two principal components, and the score against what differs besides.
const (
	mapNeighbours = "neighbours"
	mapPCA        = "pca"
	mapAnomaly    = "anomaly"
)

// charts are what was drawn of one set of embeddings. Guarded by the engine's mutex, but for working.
type charts struct {
	of         *space.Space
	components *atlas.Components
	drawn      map[string]*drawn // by projection
	why        map[string]string // it cannot be drawn
	wanted     []string          // projections, first come first served
	wake       chan struct{}     // there is something wanted
	news       chan struct{}     // closed when one is drawn, and made anew
	share      atomic.Int32      // percent done of the one that is being worked out
}

// drawn is one map. Another map is another pointer.
type drawn struct {
	atlas.Map
	projection string
	r          *ranking // of anomaly: whose scores it shows
}

func newCharts() charts {
	return charts{wake: make(chan struct{}, 1), news: make(chan struct{})}
}

// projections lists the maps for a ranking, the best first.
func projections(r *ranking) []string {
	list := []string{mapNeighbours, mapPCA}
	if r.by != "order" {
		list = append(list, mapAnomaly)
	}
	return list
}

// chart finds a map of v's images, or asks for it and waits a while. That of the scores is of the project's ranking. why: there is none, or
// not yet.
func (e *Engine) chart(ctx context.Context, v view, projection string, patience time.Duration) (d *drawn, why string) {
	late := time.After(patience)
	for {
		e.mu.Lock()
		m := &e.maps
		if m.of != v.space {
			m.of, m.components, m.drawn, m.why = v.space, nil, map[string]*drawn{}, map[string]string{}
		}
		d, why = m.drawn[projection], m.why[projection]
		if d != nil && (d.r == nil || d.r == e.current("")) || why != "" {
			e.mu.Unlock()
			return d, why
		}
		if !slices.Contains(m.wanted, projection) {
			m.wanted = append(m.wanted, projection)
		}
		news := m.news
		e.mu.Unlock()
		select {
		case e.maps.wake <- struct{}{}:
		default:
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, "cancelled"
		case <-late:
			return nil, fmt.Sprintf("the map is being worked out: %d%%", e.maps.share.Load())
		}
	}
}

// draw works out maps that somebody asked for, one at a time.
func (e *Engine) draw(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.maps.wake:
		}
		for ctx.Err() == nil {
			e.mu.Lock()
			m := &e.maps
			if len(m.wanted) == 0 {
				e.mu.Unlock()
				break
			}
			projection, s, components := m.wanted[0], m.of, m.components
			r := e.current("")
			var labelled []int32
			for i, v := range e.of.all() {
				if v.Trains() {
					labelled = append(labelled, i)
				}
			}
			e.mu.Unlock()
			d := &drawn{projection: projection}
			err := safely(func() (err error) {
				components, err = e.drawOne(ctx, d, s, components, r, labelled)
				return err
			})
			e.mu.Lock()
			if m.of == s && ctx.Err() == nil {
				m.components = components
				if err != nil {
					m.why[projection] = sentence(err)
				} else {
					m.drawn[projection] = d
				}
			}
			m.wanted = slices.DeleteFunc(m.wanted, func(p string) bool { return p == projection })
			close(m.news)
			m.news = make(chan struct{})
			e.mu.Unlock()
		}
	}
}

// drawOne makes one map; the components it is made of are worked out where there are none yet.
func (e *Engine) drawOne(ctx context.Context, d *drawn, s *space.Space, c *atlas.Components, r *ranking, labelled []int32) (*atlas.Components, error) {
	seed, begin := uint64(e.config().Seed), time.Now()
	whole := 1.0
	if d.projection == mapNeighbours && c == nil {
		whole = 0.6 // of the time, about
	}
	progress := func(from, to float64) func(float64) {
		return func(share float64) { e.maps.share.Store(int32(100 * (from + (to-from)*share))) }
	}
	e.maps.share.Store(0)
	if c == nil {
		var err error
		if c, err = atlas.PCA(ctx, s, seed, progress(0, whole)); err != nil {
			return nil, err
		}
	} else {
		whole = 0
	}
	switch d.projection {
	case mapPCA:
		d.Map = c.Plane()
	case mapAnomaly:
		if len(r.scores) != c.Len() {
			return c, errors.New("the scores are of other images")
		}
		d.r, d.Map = r, c.Against(r.scores, r.by)
	case mapNeighbours:
		var err error
		if d.Map, err = c.Neighbours(ctx, labelled, seed, progress(whole, 1)); err != nil {
			return c, err
		}
	}
	e.log.Info("map", "projection", d.projection, "images", c.Len(), "seconds", time.Since(begin).Seconds())
	return c, nil
}

// mappable tells why there can be no map of what v shows just now; empty: there can.
func mappable(v view) string {
	switch {
	case v.pool == nil:
		return "the images are still being listed"
	case v.space == nil:
		return "the images are not embedded yet: nobody knows which are alike"
	case !v.space.Differs() || v.space.Len() != v.pool.Len():
		return atlas.ErrAlike.Error()
	}
	return ""
}

// region is a region of the wire; false: there is nothing in it.
func region(in *rpc.Region) (atlas.Region, bool) {
	r := atlas.Region{Left: in.GetLeft(), Top: in.GetTop(), Right: in.GetRight(), Bottom: in.GetBottom()}
	return r, r.Valid()
}

// A map on the wire: cells at most, and labelled images at most.
const (
	maxCells    = 1 << 17
	maxLabelled = 5000
	mapPatience = time.Second // a small pool's map is there within
)

func (s *Service) Map(ctx context.Context, in *rpc.MapRequest) (*rpc.MapReply, error) {
	e := s.e
	v := e.view("")
	out := &rpc.MapReply{Projection: in.Projection}
	if out.Why = mappable(v); out.Why != "" {
		return out, nil
	}
	out.Projections = projections(v.r)
	if out.Projection == "" {
		out.Projection = out.Projections[0]
	}
	if !slices.Contains(out.Projections, out.Projection) {
		return nil, status.Errorf(codes.InvalidArgument, "there is no map %.100q", in.Projection)
	}
	columns, rows := int(in.Columns), int(in.Rows)
	if columns <= 0 || rows <= 0 || columns > maxCells/rows {
		return nil, status.Errorf(codes.InvalidArgument, "a map has from 1 to %d cells", maxCells)
	}
	part := atlas.Whole
	if in.Region != nil {
		var ok bool
		if part, ok = region(in.Region); !ok {
			return nil, status.Error(codes.InvalidArgument, "the region is empty")
		}
	}
	d, why := e.chart(ctx, v, out.Projection, mapPatience)
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	if d == nil {
		out.Why = why
		return out, nil
	}
	out.XName, out.YName = d.XName, d.YName
	out.Density, out.Score = make([]int64, columns*rows), make([]float32, columns*rows)
	scored := make([]int64, columns*rows)
	var normals []*rpc.MapPoint
	for i := range d.X {
		column, row, ok := part.Cell(d.X[i], d.Y[i], columns, rows)
		if !ok {
			continue
		}
		cell := row*columns + column
		out.Density[cell]++
		if score := v.r.scores[i]; score == score && v.r.by != "order" {
			out.Score[cell] += score
			scored[cell]++
		}
		to := &out.Labelled
		switch v.of.at(int32(i)) {
		case label.Anomaly:
		case label.Normal:
			to = &normals
		default:
			continue
		}
		if len(*to) < maxLabelled {
			*to = append(*to, &rpc.MapPoint{Id: v.pool.ID(i), Label: string(v.of.at(int32(i))), X: float64(d.X[i]), Y: float64(d.Y[i])})
		}
	}
	for cell, n := range scored {
		if out.Score[cell] /= float32(n); n == 0 {
			out.Score[cell] = float32(math.NaN())
		}
	}
	out.Labelled = append(out.Labelled, normals[:min(len(normals), maxLabelled-len(out.Labelled))]...)
	return out, nil
}

// regionPatience is how long a list of a region waits for the map.
const regionPatience = 25 * time.Second

// within is the map and the part of it that a list is of; nil: of all images.
func (e *Engine) within(ctx context.Context, v view, in *rpc.Region) (*drawn, atlas.Region, error) {
	if in == nil {
		return nil, atlas.Region{}, nil
	}
	part, ok := region(in)
	if !ok {
		return nil, part, status.Error(codes.InvalidArgument, "the region of the map is empty")
	}
	if why := mappable(v); why != "" {
		return nil, part, status.Error(codes.FailedPrecondition, why)
	}
	if !slices.Contains(projections(v.r), in.Projection) {
		return nil, part, status.Errorf(codes.InvalidArgument, "there is no map %.100q", in.Projection)
	}
	d, why := e.chart(ctx, v, in.Projection, regionPatience)
	if d == nil {
		return nil, part, status.Error(codes.FailedPrecondition, why)
	}
	return d, part, nil
}
