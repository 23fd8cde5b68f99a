package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"anomalymatch/engine/atlas"
	"anomalymatch/engine/audit"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/duplicates"
	"anomalymatch/engine/label"
	"anomalymatch/engine/queue"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/space"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// view is what an answer is made from, taken at one moment: nothing in it changes.
type view struct {
	pool     *dataset.Pool // nil: not listed yet
	r        *ranking
	of       said                  // by image number
	marks    map[int32]label.Marks // by image number
	marked   uint64                // version of the marks
	space    *space.Space          // nil: not embedded yet
	groups   *duplicates.Groups
	version  uint64 // of the rankings
	labels   uint64 // of the labels
	cut      int    // candidates
	boundary float64
	meta     *meta.Table // nil: there is none, or it is not read yet
}

// view takes the ranking by its name, see current.
func (e *Engine) view(by string) view {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := view{pool: e.pool, version: e.status.RankingVersion, labels: e.status.LabelsVersion, of: e.of, marks: e.marks, marked: e.marked, space: e.space, groups: e.groups, cut: int(e.status.ProjectImages), boundary: 0.5, meta: e.meta}
	if e.pool != nil {
		v.r = e.current(by)
		if v.r.by == "fast" && e.boundary > 0 {
			v.boundary = e.boundary
		}
	}
	return v
}

// wanted says which list is meant. Lists of one are the same list.
type wanted struct {
	r        *ranking
	labels   uint64
	groups   *duplicates.Groups
	filter   string
	strategy string
	like     int // -1: nothing
	fold     bool
	boundary float64
	on       *drawn // the images of a part of this map; nil: all
	part     atlas.Region
	mark     string // only images with it
	marked   uint64 // version of the marks, where they count
	match    string // only images whose id holds it, in lower case
	sort     string

	meta       *meta.Table // where one of these is asked for
	where      string      // only images of which it holds
	column     int         // for sort "column"
	descending bool
}

// list is a ranking's images in the order in which they are looked at.
type list struct {
	wanted
	images   []int32
	more     map[int32][]int32     // near-duplicates folded into an image
	doubts   map[int32]audit.Doubt // of the audit
	strategy string                // what picked the images in the end
}

// inOrder reports whether the images stand in the order of the ranking.
func (l *list) inOrder() bool {
	return l.strategy == queue.Top && l.sort == "" && l.filter != "audit"
}

// kept is how many lists are kept, so that paging in them costs nothing.
const kept = 6

// list finds or makes the list that a request means. Its errors are for who asked.
func (e *Engine) list(ctx context.Context, v view, in *rpc.RankingRequest) (*list, error) {
	w, err := v.condition(in)
	if err != nil {
		return nil, err
	}
	w.r, w.labels, w.filter, w.strategy, w.like, w.fold, w.mark, w.match, w.sort = v.r, v.labels, in.Filter, in.Strategy, -1, in.Fold, in.Mark, strings.ToLower(in.Match), in.Sort
	switch w.sort {
	case "", "worst", "id", "newest", "column":
	default:
		return nil, status.Errorf(codes.InvalidArgument, "no order %.100q: choose worst, id, newest or column, or none for the ranking's", in.Sort)
	}
	if w.mark != "" {
		if w.marked = v.marked; w.mark != anyMark && label.Marks(0).With(w.mark, true) == 0 {
			return nil, status.Errorf(codes.InvalidArgument, "no mark %.100q: choose bookmark, any, or a tag from 1 to 9", in.Mark)
		}
	}
	if w.strategy == "" {
		w.strategy = queue.Top
		if w.filter == "" {
			w.strategy = e.config().Queue.Strategy
		}
	}
	switch w.strategy {
	case queue.Top, queue.Diverse, queue.Random:
	case queue.Uncertain, queue.Mixed:
		w.boundary = v.boundary
	case queue.Similar:
		i, ok := v.pool.Find(in.Like)
		if !ok {
			return nil, status.Errorf(codes.InvalidArgument, "similar to what? No image is called %.300q", in.Like)
		}
		w.like = i
	default:
		return nil, status.Errorf(codes.InvalidArgument, "no strategy %.100q: choose top, uncertain, diverse, mixed, random or similar", in.Strategy)
	}
	if w.fold || w.filter == "audit" {
		w.groups = v.groups
	}
	if w.on, w.part, err = e.within(ctx, v, in.Region); err != nil {
		return nil, err
	}
	e.mu.Lock()
	at := slices.IndexFunc(e.lists, func(l *list) bool { return l.wanted == w })
	if at >= 0 {
		l := e.lists[at]
		e.lists = slices.Insert(slices.Delete(e.lists, at, at+1), 0, l)
		e.mu.Unlock()
		return l, nil
	}
	e.mu.Unlock()
	l, err := e.pick(ctx, v, w)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.lists = slices.DeleteFunc(e.lists, func(o *list) bool { return o.labels < w.labels }) // nobody asks for those any more, and one of ten million images has 40 MB
	e.lists = slices.Insert(e.lists, 0, l)
	if len(e.lists) > kept {
		e.lists = slices.Delete(e.lists, kept, len(e.lists))
	}
	e.mu.Unlock()
	return l, nil
}

// pick makes a list.
func (e *Engine) pick(ctx context.Context, v view, w wanted) (*list, error) {
	l := &list{wanted: w, strategy: queue.Top}
	if w.filter == "audit" {
		l.doubts = map[int32]audit.Doubt{}
		for _, d := range e.assess(ctx, foldedWithin).doubts {
			l.images = append(l.images, int32(d.Image))
			l.doubts[int32(d.Image)] = d
		}
		if w.where != "" {
			c, err := e.chosen(ctx, w.meta, w.where)
			if err != nil {
				return nil, err
			}
			l.images = slices.DeleteFunc(l.images, func(i int32) bool { return !c.has(i) })
		}
		return l, ctx.Err()
	}
	top, err := e.narrow(ctx, v, w, v.r.images(w.filter, v.of))
	if err != nil {
		return nil, err
	}
	l.images = top
	ranked := v.r.by != "order" && v.r.by != "novelty" // by what was learnt from labels
	embedded := v.space != nil && v.space.Len() == len(v.r.scores)
	among := 2 * v.cut // the best, and those that nearly are
	switch {
	case w.strategy == queue.Random:
		h := v.pool.Hash()
		l.images, l.strategy = queue.ByChance(top, uint64(e.config().Seed)^uint64(h[0])<<56^uint64(h[1])<<48^uint64(h[2])<<40^uint64(h[3])<<32), w.strategy
	case w.strategy == queue.Uncertain && ranked:
		l.images, l.strategy = queue.ByUncertainty(top, v.r.scores, w.boundary), w.strategy
	case w.strategy == queue.Diverse && embedded:
		l.images, l.strategy = queue.ByDiversity(top, v.space, among), w.strategy
	case w.strategy == queue.Mixed && (ranked || embedded):
		uncertain, diverse := top, top
		if ranked {
			uncertain = queue.ByUncertainty(top, v.r.scores, w.boundary)
		}
		if embedded {
			diverse = queue.ByDiversity(top, v.space, among)
		}
		l.images, l.strategy = queue.Mix(top, uncertain, diverse), w.strategy
	case w.strategy == queue.Similar && embedded:
		if to := e.likenessTo(v.space, w.like); to != nil {
			l.images, l.strategy = queue.BySimilarity(top, func(i int32) float32 { return to[i] }), w.strategy
		}
	}
	if w.groups != nil {
		l.images, l.more = queue.Fold(l.images, w.groups.Of, func(i int32) string { return string(v.of.at(i)) })
	}
	l.images, err = e.sorted(ctx, v, w, l.images)
	return l, err
}

// anyMark stands for all marks.
const anyMark = "any"

// narrow leaves of images, in their order, those with the mark, the place on the map, the text and the metadata that are wanted.
func (e *Engine) narrow(ctx context.Context, v view, w wanted, images []int32) ([]int32, error) {
	keep := func(want func(i int32) bool) {
		var out []int32
		for _, i := range images {
			if want(i) {
				out = append(out, i)
			}
		}
		images = out
	}
	switch w.mark {
	case "":
	case anyMark:
		keep(func(i int32) bool { return v.marks[i] != 0 })
	default:
		keep(func(i int32) bool { return v.marks[i].Has(w.mark) })
	}
	if w.on != nil {
		keep(func(i int32) bool { return w.on.Contains(w.part, i) })
	}
	if w.match != "" {
		hits, err := e.matches(ctx, v.pool, w.match)
		if err != nil {
			return nil, err
		}
		keep(hits.has)
	}
	if w.where != "" {
		c, err := e.chosen(ctx, w.meta, w.where)
		if err != nil {
			return nil, err
		}
		keep(c.has)
	}
	return images, nil
}

// sorted puts images into the order that is wanted; in the queue the candidates among themselves: they stay those that were picked.
func (e *Engine) sorted(ctx context.Context, v view, w wanted, images []int32) ([]int32, error) {
	if w.sort == "" {
		return images, nil
	}
	images = slices.Clone(images) // they may be the ranking's own
	part := images
	if w.filter == "" {
		part = images[:min(v.cut, len(images))]
	}
	switch w.sort {
	case "worst":
		slices.Reverse(part)
	case "id": // numbers are in the order of ids
		slices.Sort(part)
	case "newest":
		last := map[int32]int{}
		for at, ev := range e.opt.Labels.History("", 0) {
			if i, ok := v.pool.Find(ev.ID); ok && ev.Mark == "" {
				last[int32(i)] = at + 1
			}
		}
		slices.SortStableFunc(part, func(a, b int32) int {
			if x, y := v.of.at(a), v.of.at(b); x == label.None || y == label.None { // what is not labelled comes last
				return cmp.Compare(min(1, len(y)), min(1, len(x)))
			}
			return cmp.Compare(last[b], last[a])
		})
	case "column":
		if err := w.meta.Sort(ctx, w.column, w.descending, part); err != nil {
			return nil, status.Error(codes.FailedPrecondition, sentence(err))
		}
	}
	return images, nil
}

// likeness of all images to one. Reading millions of embeddings takes seconds, and a label does not change it.
type likeness struct {
	space *space.Space
	image int
	to    []float32 // by image number; nil: the image has no embedding
}

func (e *Engine) likenessTo(s *space.Space, image int) []float32 {
	e.mu.Lock()
	known := e.like
	e.mu.Unlock()
	if known.space == s && known.image == image {
		return known.to
	}
	known = likeness{space: s, image: image}
	if s.Differs() && s.Row(image, make([]float32, s.Dims())) {
		all := make([]int32, s.Len())
		for i := range all {
			all[i] = int32(i)
		}
		known.to = s.Similarity(image, all)
	}
	e.mu.Lock()
	e.like = known
	e.mu.Unlock()
	return known.to
}

// rankedWithin is how long the first list may wait for the ranking of embeddings that are there: the first picture would stay where it
// is, at the top or not.
const rankedWithin = 300 * time.Millisecond

// awaitRanking waits a moment for the ranking that earlier runs left, once.
func (e *Engine) awaitRanking(ctx context.Context) {
	e.mu.Lock()
	listed := e.pool != nil
	e.mu.Unlock()
	if !listed {
		return
	}
	select {
	case <-ctx.Done():
	case <-e.ready:
	case <-time.After(rankedWithin):
		e.settled() // nobody waits twice: of millions of images the first ranking takes seconds, and somebody turns pages meanwhile
	}
}
