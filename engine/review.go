package engine

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"anomalymatch/engine/audit"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/duplicates"
	"anomalymatch/engine/estimate"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/space"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// assessment is what the labels say about the fast ranking, and about each other.
type assessment struct {
	doubts []audit.Doubt
	fast   *ranking              // nil: nothing was fitted to labels yet
	top    *estimate.Calibration // of the scores of fast, for the candidates; nil: not known
	pool   *estimate.Calibration // and for all the others, see estimate.Calibration
	judged []estimate.Judged     // the labelled images
	scores map[int]float32       // of these by heads that know neither them nor their near-duplicates
}

// maxHistory is how many of the newest label events are looks that count.
const maxHistory = 20_000

// review answers who asks for an assessment, one at a time. What was worked out is kept until labels, embeddings or groups change.
func (e *Engine) review(ctx context.Context) {
	defer close(e.over)
	var known struct {
		emb    *fast.Embeddings
		groups *duplicates.Groups
		labels uint64
	}
	var c checked
	var last *assessment
	for {
		var answer chan *assessment
		select {
		case <-ctx.Done():
			return
		case answer = <-e.asks:
		}
		e.mu.Lock()
		emb, groups, version, ranked := e.emb, e.groups, e.status.LabelsVersion, e.fast
		anomalies, normals := e.trainable()
		e.mu.Unlock()
		if ranked != nil && ranked.by != "fast" {
			ranked = nil
		}
		fresh := known.emb == emb && known.groups == groups && known.labels == version && last != nil
		if fresh && last.fast == ranked {
			answer <- last
			continue
		}
		if !fresh {
			var err error
			if c, err = e.check(ctx, emb, groups, anomalies, normals); err != nil {
				if ctx.Err() == nil {
					e.log.Error("scoring the labels without themselves", "err", err)
				}
				answer <- &assessment{}
				continue
			}
			known.emb, known.groups, known.labels = emb, groups, version
		}
		last = &assessment{doubts: c.doubts, fast: ranked, judged: c.judged, scores: c.scores}
		if ranked != nil {
			pool := estimate.NewBins(slices.Values(ranked.scores))
			last.top, last.pool = estimate.Calibrate(c.looks(pool), pool), estimate.Calibrate(c.forward, pool)
			if last.pool == nil { // too few looks came after the first labels of both classes
				last.pool = last.top
			}
		}
		if last.top != nil {
			e.mu.Lock()
			e.boundary = 1 / (1 + math.Exp(-last.top.Boundary()))
			e.mu.Unlock()
		}
		answer <- last
	}
}

// checked is what heads say that do not know a label.
type checked struct {
	doubts  []audit.Doubt
	judged  []estimate.Judged
	scores  map[int]float32 // of labelled images, out of fold
	forward []estimate.Look
}

// looks of the review by their out-of-fold scores. What was imported is no fair sample: it was chosen by what it is.
func (c checked) looks(pool estimate.Bins) (out []estimate.Look) {
	for _, j := range c.judged {
		if z, ok := pool.Z(c.scores[j.Image]); ok && j.Look {
			out = append(out, estimate.Look{Z: z, Anomaly: j.Anomaly})
		}
	}
	return out
}

// sampled is how many images of the pool say what the scores of a head are worth.
const sampled = 2000

// check scores labelled images by heads that do not know them; without embeddings nothing is known.
func (e *Engine) check(ctx context.Context, emb *fast.Embeddings, groups *duplicates.Groups, anomalies, normals []int) (c checked, err error) {
	var labels []audit.Labelled
	for _, i := range anomalies {
		labels = append(labels, audit.Labelled{Image: i, Anomaly: true})
	}
	for _, i := range normals {
		labels = append(labels, audit.Labelled{Image: i})
	}
	fit := func(anomalies, normals, test []int) (scores []float32, err error) {
		if emb == nil {
			return nil, nil
		}
		err = safely(func() (err error) { scores, err = e.fitFor(emb, anomalies, normals, test); return err })
		return scores, err
	}
	of := groupsOf(groups)
	seed := uint64(e.config().Seed)
	scores, err := audit.OutOfFold(ctx, labels, of, seed, fit)
	if err != nil {
		return c, err
	}
	c.doubts, c.scores, c.judged = audit.Doubts(labels, scores, of), map[int]float32{}, e.judged(labels)
	for k, l := range labels {
		c.scores[l.Image] = scores[k]
	}
	var sample []int
	for i, step := 0, max(1, e.pool.Len()/sampled); i < e.pool.Len(); i += step {
		sample = append(sample, i)
	}
	c.forward, err = estimate.Forward(ctx, c.judged, sample, seed, fit)
	return c, err
}

// judged puts labelled images in the order of their newest events. What the history does not reach is older.
func (e *Engine) judged(labels []audit.Labelled) (out []estimate.Judged) {
	type event struct {
		at   int
		look bool
	}
	newest := map[int]event{}
	for at, ev := range e.opt.Labels.History("", maxHistory) {
		if i, ok := e.pool.Find(ev.ID); ok && ev.Mark == "" {
			newest[i] = event{at + 1, !ev.Imported()}
		}
	}
	for _, l := range labels {
		out = append(out, estimate.Judged{Image: l.Image, Anomaly: l.Anomaly, Look: newest[l.Image].look})
	}
	slices.SortStableFunc(out, func(a, b estimate.Judged) int { return cmp.Compare(newest[a.Image].at, newest[b.Image].at) })
	return out
}

func groupsOf(g *duplicates.Groups) []int32 {
	if g == nil {
		return nil
	}
	return g.Of
}

// foldedWithin is how long an audit waits for near-duplicates that are being looked for.
const foldedWithin = 10 * time.Second

// assess asks the reviewer. patience is for near-duplicates; an engine that ends, or a caller who does not wait, gets an empty answer.
func (e *Engine) assess(ctx context.Context, patience time.Duration) *assessment {
	if patience > 0 && e.snapshot().Embedded {
		select {
		case <-ctx.Done():
		case <-e.over:
		case <-e.folded:
		case <-time.After(patience):
		}
	}
	answer := make(chan *assessment, 1)
	select {
	case e.asks <- answer:
	case <-e.over:
		return &assessment{}
	case <-ctx.Done():
		return &assessment{}
	}
	select {
	case a := <-answer:
		return a
	case <-e.over:
	case <-ctx.Done():
	}
	return &assessment{}
}

// fold finds the near-duplicates of new embeddings, or reads those that were found before.
func (e *Engine) fold(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.look:
		}
		e.mu.Lock()
		emb, s, pool := e.emb, e.space, e.pool
		e.mu.Unlock()
		var g *duplicates.Groups
		if emb != nil {
			var err error
			if g, err = e.groupsIn(ctx, emb, s); err != nil && ctx.Err() == nil {
				e.notice("warning", sentence(err))
			}
		}
		same, err := pool.Same(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e.notice("warning", sentence(err))
		}
		if g != nil || len(same) > 0 {
			e.tellSame(pool, same)
			g = g.Join(pool.Len(), same)
			e.mu.Lock()
			if e.emb == emb {
				e.groups = g
				e.status.Duplicates = int64(g.Count)
				e.newOrder()
			}
			e.mu.Unlock()
			e.publish()
		}
		if emb != nil {
			e.foldOnce.Do(func() { close(e.folded) })
		}
	}
}

// lookAgain has near-duplicates looked for anew.
func (e *Engine) lookAgain() {
	select {
	case e.look <- struct{}{}:
	default:
	}
}

// tellSame says which sources have the same pictures, where that was not said yet.
func (e *Engine) tellSame(pool *dataset.Pool, same [][]int32) {
	if text := sameText(pool, same); text != "" && text != e.sameTold {
		e.sameTold = text
		e.notice("warning", text)
	}
}

// samePairs is how many pairs of sources are named.
const samePairs = 3

func sameText(pool *dataset.Pool, same [][]int32) string {
	pairs := map[[2]string]int{} // of sources: pictures that are in both
	for _, set := range same {
		in := map[string]bool{}
		for _, i := range set {
			source, _, _ := strings.Cut(pool.ID(int(i)), "/")
			in[source] = true
		}
		names := slices.Sorted(maps.Keys(in))
		for k, a := range names {
			for _, b := range names[k+1:] {
				pairs[[2]string{a, b}]++
			}
		}
	}
	if len(pairs) == 0 {
		return ""
	}
	var parts []string
	order := slices.SortedFunc(maps.Keys(pairs), func(a, b [2]string) int {
		return cmp.Or(pairs[b]-pairs[a], strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	for _, p := range order[:min(len(order), samePairs)] {
		what := "pictures are"
		if pairs[p] == 1 {
			what = "picture is"
		}
		parts = append(parts, fmt.Sprintf("%d %s the same in %q and %q", pairs[p], what, p[0], p[1]))
	}
	if more := len(order) - samePairs; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more pairs of sources share some", more))
	}
	return strings.Join(parts, "; ") + ": each is shown as one with the near-duplicates, and a label there is said about all of them"
}

func (e *Engine) groupsIn(ctx context.Context, emb *fast.Embeddings, s *space.Space) (g *duplicates.Groups, err error) {
	path := filepath.Join(e.dir("embeddings"), fmt.Sprintf("duplicates-%d.json", emb.Size))
	of := fmt.Sprintf("%s, %s, %d px, %08x", emb.Pool, emb.Network, emb.Size, emb.CRC)
	if g, ok := duplicates.Read(path, of, emb.Rows); ok {
		return g, nil
	}
	err = safely(func() (err error) { g, err = duplicates.Find(ctx, s, uint64(e.config().Seed)); return err })
	if err != nil {
		return nil, fmt.Errorf("near-duplicates could not be looked for: %w", err)
	}
	if !e.opt.ReadOnly {
		err = duplicates.Write(path, of, g)
	}
	return g, err
}

func (s *Service) Review(ctx context.Context, in *rpc.ReviewRequest) (*rpc.ReviewReply, error) {
	e := s.e
	v := e.view("")
	if v.pool == nil {
		return &rpc.ReviewReply{Advice: estimate.GoOn, Reason: "the images are still being listed"}, nil
	}
	a := e.assess(ctx, 0)
	if ctx.Err() != nil {
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	st := e.snapshot()
	looks := estimate.Looks(e.opt.Labels.History(in.By, maxHistory))
	state := estimate.State{Anomalies: int(st.Anomalies), Normals: int(st.Normals), Trained: st.DeepAtUnixMs > 0}
	state.Looked, state.Found = estimate.Found(looks, estimate.LastLooks)
	if before := looks[:len(looks)-state.Looked]; len(before) >= estimate.LastLooks {
		n, found := estimate.Found(before, estimate.LastLooks)
		state.Before = estimate.Share(found, n)
	}
	for _, ev := range estimate.Looks(e.opt.Labels.History("", maxHistory)) {
		if ev.Time.UnixMilli() > st.DeepAtUnixMs { // clocks of writers differ by little against the time that a review takes
			state.New++
		}
	}
	left := v.r.images("", v.of)
	state.Top = min(v.cut, len(left))
	if a.fast != nil {
		state.InTop = a.top.Sum(estimate.NewBins(scoresOf(a.fast, left[:state.Top])), false)
		state.InPool = a.pool.Sum(estimate.NewBins(scoresOf(a.fast, left)), true).AtLeast(state.InTop)
	}
	out := &rpc.ReviewReply{Looked: int64(state.Looked), Found: int64(state.Found), Precision: onWire(estimate.Share(state.Found, state.Looked)),
		InTop: onWire(state.InTop), InPool: onWire(state.InPool), Top: int64(state.Top)}
	out.Advice, out.Reason = estimate.Advise(state)
	return out, nil
}

func scoresOf(r *ranking, images []int32) iter.Seq[float32] {
	return func(yield func(float32) bool) {
		for _, i := range images {
			if !yield(r.scores[i]) {
				return
			}
		}
	}
}

func onWire(e estimate.Estimate) *rpc.Estimate {
	return &rpc.Estimate{Known: e.Known, Value: e.Value, Low: e.Low, High: e.High}
}

// Neighbours of one image: as many as fit on a screen where no number is given, and not more than a screen could hold.
const usualNeighbours, maxNeighbours = 12, 1000

func (s *Service) Neighbours(_ context.Context, in *rpc.NeighboursRequest) (*rpc.NeighboursReply, error) {
	e := s.e
	v := e.view("")
	if v.pool == nil {
		return nil, status.Error(codes.Unavailable, "the images are still being listed")
	}
	image, ok := v.pool.Find(in.Id)
	if !ok {
		return nil, status.Errorf(codes.InvalidArgument, "no image is called %.300q", in.Id)
	}
	out := &rpc.NeighboursReply{}
	if v.space == nil {
		return out, nil
	}
	type near struct {
		i          int32
		similarity float32
	}
	var all []near
	add := func(i int32, similarity float32) {
		if int(i) != image && similarity == similarity {
			all = append(all, near{i, similarity})
		}
	}
	if in.Labelled {
		var images []int32
		for i, l := range v.of.all() {
			if l.Trains() {
				images = append(images, i)
			}
		}
		for k, c := range v.space.Similarity(image, images) {
			add(images[k], c)
		}
	} else {
		for i, c := range e.likenessTo(v.space, image) {
			add(int32(i), c)
		}
	}
	slices.SortFunc(all, func(a, b near) int { return cmp.Or(cmp.Compare(b.similarity, a.similarity), cmp.Compare(a.i, b.i)) })
	if v.groups != nil { // five copies of one image say what one of them says, unless their labels differ
		type saying struct {
			group int32
			label label.Value
		}
		said := map[saying]bool{}
		all = slices.DeleteFunc(all, func(n near) bool {
			s := saying{v.groups.Of[n.i], v.of.at(n.i)}
			again := s.group != 0 && said[s]
			said[s] = true
			return again
		})
	}
	limit := min(int(in.Limit), maxNeighbours)
	if limit <= 0 {
		limit = usualNeighbours
	}
	for _, n := range all[:min(len(all), limit)] {
		out.Neighbours = append(out.Neighbours, &rpc.Neighbour{Id: v.pool.ID(int(n.i)), Label: string(v.of.at(n.i)), Similarity: float64(n.similarity)})
	}
	return out, nil
}
