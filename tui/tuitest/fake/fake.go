// Package fake is an engine without a network: an in-memory server of the same wire with drawn galaxies, for tests of the screen
// and for looking at it.
package fake

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/tui/link"
)

// Options says what the engine is like.
type Options struct {
	Images  int               // of the pool; 0 = 640
	Cut     int               // candidates; 0 = 1% of the pool, at least 24
	Size    int               // pixels of a cut-out; 0 = 96
	Names   []string          // ids of the first images, for hostile names
	Version string            // "" = "dev"
	Step    time.Duration     // of training; 0 = 40 ms
	Steps   int               // of a training run; 0 = 100
	Embed   time.Duration     // embedding takes this long at the start; 0 = it is done
	Closer  time.Duration     // and better ones take this long then
	Offer   bool              // offers a faster runtime
	OfferOf string            // its kind; empty: cpu
	Bad     map[string]string // id → why it cannot be read
	Slow    time.Duration     // each thumbnail takes this long
	Groups  int               // of three near-duplicates each, the first of them at the top of the first list
	Ponder  time.Duration     // Review takes this long
	Sweep   *rpc.SweepReply   // runs beside each other; nil: there are none
	Past    bool              // there were training runs before
	Cards   []*rpc.Gpu        // that the engine uses

	Columns []*rpc.MetadataColumn                    // of the metadata
	Known   func(id, column string) string           // what it says of an image; empty: nothing
	Where   func(id, condition string) (bool, error) // whether a condition holds of an image

	Say  func(proto.Message) // changes what the engine is about to answer, a copy
	Hear func(proto.Message) // changes what it was asked

	Picture func(i int, rare bool) []byte // an image of the pool as a file, Size pixels a side; nil: Galaxy draws it
}

// Engine is the fake. All its knobs may be turned while it runs.
type Engine struct {
	rpc.UnimplementedEngineServer
	opt Options

	mu                  sync.Mutex
	ids                 []string
	place               map[string]int  // of an id
	truth               map[string]bool // rare ones
	rare                int             // how many
	orders              map[order][]int32
	bins                map[order][]int64 // histograms of the pool
	base                map[string]float64
	deep                map[string]float64  // of the trained network
	where               map[string]point    // embeddings
	alike               map[string][]string // near-duplicates, the image itself among them
	labels              map[string]string
	marks               map[string]map[string]bool // by image and mark
	events              []*rpc.LabelEvent
	uids                map[string]int  // how often each came
	written             map[string]bool // of them
	st                  *rpc.Status
	steps               []*rpc.TrainStep
	watchers            map[chan *rpc.Event]bool
	queued              string        // what Dial says
	failing             string        // why Label fails; "" = it works
	hold                chan struct{} // Label waits for it
	cancel              func()
	stopped             int
	told                map[string]int
	asked               []string // ids thumbnails were asked for
	near                []string // ids neighbours were asked for
	described           described
	prepared            prepared
	pondering, together int // Review calls under way, and the most at a time
	drawing             int // how often the map of the scores was asked for
	conns               []*grpc.ClientConn
	file                []byte // project.toml
	server              *grpc.Server
	listener            *bufconn.Listener
}

// New makes an engine; Dial reaches it.
func New(opt Options) *Engine {
	if opt.Images == 0 {
		opt.Images = 640
	}
	if opt.Cut == 0 {
		opt.Cut = max(24, opt.Images/100)
	}
	if opt.Size == 0 {
		opt.Size = 96
	}
	if opt.Version == "" {
		opt.Version = "dev"
	}
	if opt.Step == 0 {
		opt.Step = 40 * time.Millisecond
	}
	if opt.Steps == 0 {
		opt.Steps = 100
	}
	e := &Engine{opt: opt, truth: map[string]bool{}, alike: map[string][]string{}, labels: map[string]string{}, marks: map[string]map[string]bool{}, uids: map[string]int{}, told: map[string]int{}, written: map[string]bool{}, place: map[string]int{}, watchers: map[chan *rpc.Event]bool{}}
	for i := range opt.Images {
		id := fmt.Sprintf("galaxies/img-%05d.png", i)
		if i < len(opt.Names) {
			id = opt.Names[i]
		}
		e.ids = append(e.ids, id)
		e.place[id], e.truth[id] = i, i%23 == 0
	}
	for g := range opt.Groups {
		if i := 31*g + 5; i+3 <= len(e.ids) {
			for _, id := range e.ids[i : i+3] {
				e.alike[id], e.truth[id] = e.ids[i:i+3], g%2 == 0
			}
		}
	}
	for _, rare := range e.truth {
		if rare {
			e.rare++
		}
	}
	e.roll(1, 2)
	for g := range opt.Groups {
		if i := 31*g + 5; i+3 <= len(e.ids) {
			for k, id := range e.ids[i : i+3] {
				e.base[id] = 1 - 0.01*float64(g) - 0.001*float64(k)
			}
		}
	}
	e.st = &rpc.Status{State: "idle", Backend: "xla:cpu", Version: opt.Version, Pool: int64(len(e.ids)), Bad: int64(len(opt.Bad)), RemainingSeconds: -1,
		RankedBy: "novelty", RankingVersion: 1, RankedAtUnixMs: time.Now().UnixMilli(), Embedded: true, ProjectImages: int64(opt.Cut), Duplicates: int64(2 * opt.Groups)}
	if opt.Offer {
		e.st.Backend, e.st.Offer = "go", &rpc.RuntimeOffer{Kind: cmp.Or(opt.OfferOf, "cpu"), DownloadBytes: 63e6, DiskBytes: 259e6}
	}
	if opt.Embed > 0 {
		e.st.State, e.st.Embedded, e.st.RankedBy, e.st.RankingVersion = "embedding", false, "", 0
		go e.embed()
	}
	e.listen()
	return e
}

// point is an embedding.
type point [4]float64

// roll draws everything that rankings are made of.
func (e *Engine) roll(seed, stream uint64) {
	r := rand.New(rand.NewPCG(seed, stream))
	e.orders, e.bins = map[order][]int32{}, map[order][]int64{}
	e.base, e.deep, e.where = map[string]float64{}, map[string]float64{}, map[string]point{}
	for _, id := range e.ids {
		e.base[id] = r.Float64()
	}
	for _, id := range e.ids {
		e.deep[id] = 0.5*e.base[id] + 0.5*r.Float64()
		p := point{r.NormFloat64(), r.NormFloat64(), r.NormFloat64(), r.NormFloat64()}
		if e.truth[id] {
			p[0] += 4
		}
		e.where[id] = p
		if group := e.alike[id]; len(group) > 0 && group[0] != id { // the same picture, noise apart
			p = e.where[group[0]]
			p[3] += 0.01 * r.NormFloat64()
			e.where[id], e.base[id], e.deep[id] = p, e.base[group[0]]-0.001*r.Float64(), e.deep[group[0]]-0.001*r.Float64()
		}
	}
}

// similarity is the cosine of two embeddings.
func (e *Engine) similarity(a, b string) float64 {
	var ab, aa, bb float64
	p, q := e.where[a], e.where[b]
	for i := range p {
		ab, aa, bb = ab+p[i]*q[i], aa+p[i]*p[i], bb+q[i]*q[i]
	}
	return ab / math.Sqrt(aa*bb)
}

func (e *Engine) listen() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open()
}

// open serves on a new listener; mu is held.
func (e *Engine) open() {
	l, s := bufconn.Listen(1<<20), grpc.NewServer(e.between()...)
	rpc.RegisterEngineServer(s, e)
	e.listener, e.server = l, s
	go s.Serve(l)
}

// between puts Say and Hear on the wire.
func (e *Engine) between() []grpc.ServerOption {
	if e.opt.Say == nil || e.opt.Hear == nil {
		return nil
	}
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			e.opt.Hear(in.(proto.Message))
			out, err := handle(ctx, in)
			if m, ok := out.(proto.Message); ok && err == nil {
				m = proto.Clone(m)
				e.opt.Say(m)
				out = m
			}
			return out, err
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return handle(srv, changed{s, e.opt})
		}),
	}
}

type changed struct {
	grpc.ServerStream
	opt Options
}

func (c changed) SendMsg(m any) error {
	out := proto.Clone(m.(proto.Message))
	c.opt.Say(out)
	return c.ServerStream.SendMsg(out)
}

func (c changed) RecvMsg(m any) error {
	err := c.ServerStream.RecvMsg(m)
	if err == nil {
		c.opt.Hear(m.(proto.Message))
	}
	return err
}

// Dial is a client of the engine; it fails while the engine is gone.
func (e *Engine) Dial(ctx context.Context) (rpc.EngineClient, error) {
	e.mu.Lock()
	l, queued := e.listener, e.queued
	e.mu.Unlock()
	if queued != "" {
		return nil, link.Told{Err: errors.New(queued)}
	}
	if l == nil {
		return nil, status.Error(codes.Unavailable, "no engine")
	}
	conn, err := grpc.NewClient("passthrough:///fake", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.conns = append(e.conns, conn)
	e.mu.Unlock()
	return rpc.NewEngineClient(conn), nil
}

// Queue makes Dial say why there is no engine; empty: it is reached again.
func (e *Engine) Queue(why string) { e.mu.Lock(); e.queued = why; e.mu.Unlock() }

// Die ends the engine as a crash would; what it was told is kept, as a journal would.
func (e *Engine) Die() {
	e.mu.Lock()
	s := e.server
	e.listener, e.server = nil, nil
	e.mu.Unlock()
	if s != nil {
		s.Stop()
	}
}

// Close ends it and all that was dialled.
func (e *Engine) Close() {
	e.Die()
	e.mu.Lock()
	conns, cancel := e.conns, e.cancel
	e.conns = nil
	e.mu.Unlock()
	if cancel != nil {
		cancel() // the job
	}
	for _, c := range conns {
		c.Close()
	}
}

// Live brings it back.
func (e *Engine) Live() { e.listen() }

// FailLabels makes Label fail with this sentence; empty: it works again.
func (e *Engine) FailLabels(why string) { e.mu.Lock(); e.failing = why; e.mu.Unlock() }

// HoldLabels makes Label wait until the returned function is called.
func (e *Engine) HoldLabels() (release func()) {
	ch := make(chan struct{})
	e.mu.Lock()
	e.hold = ch
	e.mu.Unlock()
	return func() { e.mu.Lock(); e.hold = nil; e.mu.Unlock(); close(ch) }
}

// Labels are the labels on "disk".
func (e *Engine) Labels() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]string{}
	for id, l := range e.labels {
		if l != "" {
			out[id] = l
		}
	}
	return out
}

// Uids is how often each label request came.
func (e *Engine) Uids() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]int{}
	for u, n := range e.uids {
		out[u] = n
	}
	return out
}

// Stopped is how often Stop was called.
func (e *Engine) Stopped() int { e.mu.Lock(); defer e.mu.Unlock(); return e.stopped }

// Asked are the ids whose thumbnails were asked for, in order.
func (e *Engine) Asked() []string { e.mu.Lock(); defer e.mu.Unlock(); return slices.Clone(e.asked) }

// SetVersion changes the version it says it is.
func (e *Engine) SetVersion(v string) { e.mu.Lock(); e.opt.Version = v; e.mu.Unlock() }

// Rerank makes a new ranking by this name, in another order.
func (e *Engine) Rerank(by string, seed uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.roll(seed, 7)
	e.ranked(by)
}

// All are the ids of the pool in its order.
func (e *Engine) All() []string { e.mu.Lock(); defer e.mu.Unlock(); return slices.Clone(e.ids) }

// Top are the ids at the top of the queue.
func (e *Engine) Top(n int) []string { return e.List(&rpc.RankingRequest{}, n) }

// ranked announces a new ranking; mu is held.
func (e *Engine) ranked(by string) {
	now := time.Now().UnixMilli()
	e.st.RankedBy, e.st.RankedAtUnixMs = by, now
	switch by {
	case "novelty":
		e.st.FastAtUnixMs = 0
	case "fast":
		e.st.FastAtUnixMs = now
	case "joint", "deep":
		e.st.FastAtUnixMs = max(e.st.FastAtUnixMs, now)
		if e.st.DeepAtUnixMs == 0 {
			e.st.DeepAtUnixMs = now
		}
	}
	e.st.RankingVersion++
	e.tell(nil)
}

// tell sends the status, or another event, to everybody; mu is held.
func (e *Engine) tell(ev *rpc.Event) {
	if ev == nil {
		ev = &rpc.Event{Status: e.status()}
	}
	for ch := range e.watchers {
		select {
		case ch <- ev:
		default:
		}
	}
}

func (e *Engine) status() *rpc.Status {
	s := e.st
	return &rpc.Status{Pid: 4711, State: s.State, Backend: s.Backend, Version: e.opt.Version, Step: s.Step, Steps: s.Steps, ImagesPerSecond: s.ImagesPerSecond,
		RemainingSeconds: s.RemainingSeconds, Detail: s.Detail, Pool: s.Pool, Bad: s.Bad, Anomalies: s.Anomalies, Normals: s.Normals, Skipped: s.Skipped,
		Cycle: s.Cycle, RankedBy: s.RankedBy, RankedAtUnixMs: s.RankedAtUnixMs, RankingVersion: s.RankingVersion, LabelsVersion: s.LabelsVersion,
		Embedded: s.Embedded, Offer: s.Offer, Error: s.Error, ProjectImages: s.ProjectImages, FastAtUnixMs: s.FastAtUnixMs, DeepAtUnixMs: s.DeepAtUnixMs,
		Duplicates: s.Duplicates, CpuPercent: s.CpuPercent, HostRssMib: 3100, HostTotalMib: 16000, Gpus: e.opt.Cards, Columns: int64(len(e.opt.Columns)),
		PoolHash: fmt.Sprint("pool ", e.prepared.pools)}
}

// score is an image's in a ranking; "" is the present one.
func (e *Engine) score(id, by string) float32 {
	if by == "" {
		by = e.st.RankedBy
	}
	base := e.base[id]
	switch by {
	case "deep":
		base = e.deep[id]
	case "joint":
		base = (e.base[id] + e.deep[id]) / 2
	}
	s := base * 0.55
	if e.truth[id] && by != "novelty" {
		s += 0.45
	}
	return float32(math.Pow(max(0, s), 1.5))
}

// order names a way to order the pool.
type order struct {
	by, strategy, like string
	n                  int // bins of a histogram
}

// value is what an order goes by, the highest first.
func (e *Engine) value(o order) func(i int32) float64 {
	place := func(i int32) uint64 { return rand.New(rand.NewPCG(uint64(i), 11)).Uint64() % 1000 }
	score := func(i int32) float64 { return float64(e.score(e.ids[i], o.by)) }
	switch o.strategy {
	case "audit":
		return func(i int32) float64 {
			return math.Abs(score(i) - map[string]float64{"anomaly": 1}[e.labels[e.ids[i]]])
		}
	case "similar":
		return func(i int32) float64 { return e.similarity(e.ids[i], o.like) }
	case "random":
		return func(i int32) float64 { return float64(place(i)) }
	case "uncertain":
		return func(i int32) float64 { return -math.Abs(score(i) - 0.5) }
	case "diverse":
		return func(i int32) float64 { return score(i) + 0.3*float64(place(i)%4) }
	case "mixed":
		return func(i int32) float64 { return score(i) + 0.6*float64(place(i)%2) }
	}
	return score
}

// sorted puts images into an order.
func (e *Engine) sorted(o order, images []int32) []int32 {
	type valued struct {
		value float64
		i     int32
	}
	value, all := e.value(o), make([]valued, len(images))
	for k, i := range images {
		all[k] = valued{value(i), i}
	}
	slices.SortFunc(all, func(a, b valued) int { return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.i, b.i)) })
	for k := range all {
		images[k] = all[k].i
	}
	return images
}

// pool is the whole pool in an order: with a million images a second's work, so it is kept.
func (e *Engine) pool(o order) []int32 {
	if _, ok := e.orders[o]; !ok {
		if len(e.orders) > 8 {
			clear(e.orders)
		}
		all := make([]int32, len(e.ids))
		for i := range all {
			all[i] = int32(i)
		}
		e.orders[o] = e.sorted(o, all)
	}
	return e.orders[o]
}

// queue are the first images of a filter in the order of ranking and strategy, near-duplicates folded where that is asked for, and
// how many there are; mu is held.
func (e *Engine) queue(r *rpc.RankingRequest, most int) (out []*rpc.Item, total int) {
	if e.st.RankingVersion == 0 {
		return nil, 0
	}
	o := order{by: cmp.Or(r.By, e.st.RankedBy), strategy: e.strategy(r.Strategy), like: r.Like}
	var images []int32
	bad := func(id string) bool { return r.Filter == "" && e.opt.Bad[id] != "" && len(e.opt.Bad) > 3 }
	switch r.Filter {
	case "", "all":
		images = e.pool(o)
		total = len(images)
		for id, l := range e.labels {
			if r.Filter == "" && (l != "" || bad(id)) {
				total--
			}
		}
	default:
		for id, l := range e.labels {
			if l != "" && (r.Filter == l || r.Filter == "audit" && e.doubt(id, r.By) != "") {
				images = append(images, int32(e.place[id]))
			}
		}
		if r.Filter == "audit" {
			o.strategy = "audit"
		}
		images, total = e.sorted(o, images), len(images)
	}
	if r.Mark != "" || r.Match != "" || r.Sort != "" || r.Where != "" || r.Region != nil {
		images = e.narrowed(r, images, bad)
		total = len(images)
	}
	skip := int(r.Offset)
	if r.Fold && len(e.alike) > 0 || len(e.opt.Bad) > 3 {
		skip, most = 0, len(images) // a group's other images may be the last, and bad ones are not counted
	}
	for _, i := range images {
		if len(out) == most {
			break
		}
		id := e.ids[i]
		if r.Filter == "" && e.labels[id] != "" || bad(id) {
			continue
		}
		if len(out) < skip { // not asked for
			out = append(out, nil)
			continue
		}
		out = append(out, &rpc.Item{Id: id, Score: e.score(id, r.By), Label: e.labels[id], Why: e.doubt(id, r.By), Marks: e.marksOf(id)})
	}
	if len(e.opt.Bad) > 3 {
		total = len(out)
	}
	if r.Fold && len(e.alike) > 0 {
		first := map[[2]string]*rpc.Item{} // by the first id of the group and the label: as in the engine, only those of one label are one item
		out = slices.DeleteFunc(out, func(it *rpc.Item) bool {
			group := e.alike[it.Id]
			if len(group) == 0 {
				return false
			}
			if head := first[[2]string{group[0], it.Label}]; head != nil {
				head.Duplicates = append(head.Duplicates, it.Id)
				return true
			}
			first[[2]string{group[0], it.Label}] = it
			return false
		})
		total = len(out)
	}
	for i, it := range out {
		if it != nil {
			it.Rank = int64(i)
		}
	}
	return out, total
}

// strategy is what a strategy comes to just now.
func (e *Engine) strategy(asked string) string {
	if asked == "" || asked == "uncertain" && e.st.FastAtUnixMs == 0 {
		return "top"
	}
	return asked
}

// doubt is what speaks against an image's label; empty: nothing.
func (e *Engine) doubt(id, by string) string {
	s := e.score(id, by)
	switch l := e.labels[id]; {
	case e.st.FastAtUnixMs == 0: // no model yet
	case l == "anomaly" && s < 0.5:
		return fmt.Sprintf("labelled anomaly, scored %.2f", s)
	case l == "normal" && s > 0.5:
		return fmt.Sprintf("labelled normal, scored %.2f", s)
	}
	return ""
}

// Review counts what was looked at and knows what is left: the fake has the truth.
func (e *Engine) Review(_ context.Context, r *rpc.ReviewRequest) (*rpc.ReviewReply, error) {
	e.mu.Lock()
	e.pondering++
	e.together = max(e.together, e.pondering)
	e.mu.Unlock()
	time.Sleep(e.opt.Ponder)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pondering--
	out := &rpc.ReviewReply{}
	last := map[string]bool{}
	for _, ev := range slices.Backward(e.events) {
		id := ev.Change.Id
		if r.By != "" && r.By != ev.By || last[id] || e.labels[id] == "" || out.Looked == 50 {
			continue
		}
		last[id] = true
		out.Looked++
		if e.labels[id] == "anomaly" {
			out.Found++
		}
	}
	if out.Looked > 0 {
		out.Precision = wilson(out.Found, out.Looked)
	}
	if e.st.Anomalies > 0 && e.st.Normals > 0 {
		left := func(n float64) *rpc.Estimate {
			return &rpc.Estimate{Known: true, Value: n, Low: math.Floor(max(0, n-1.5*math.Sqrt(n))), High: math.Ceil(n + 2*math.Sqrt(n) + 3)}
		}
		top, found, inPool := 0, 0, e.rare
		for _, i := range e.pool(order{by: e.st.RankedBy, strategy: "top"}) {
			if top == e.opt.Cut {
				break
			}
			if id := e.ids[i]; e.labels[id] == "" {
				if top++; e.truth[id] {
					found++
				}
			}
		}
		for id, l := range e.labels {
			if l != "" && e.truth[id] {
				inPool--
			}
		}
		out.InTop, out.InPool, out.Top = left(float64(found)), left(float64(inPool)), int64(top)
	}
	switch {
	case e.st.Anomalies == 0 || e.st.Normals == 0:
		out.Advice, out.Reason = "label", "a few images of either kind are needed before anything can be said"
	case e.st.Cycle == 0 && out.Looked >= 6:
		out.Advice, out.Reason = "train", fmt.Sprintf("%d labels are new since the network was trained last", out.Looked)
	case out.InTop.Value < 1:
		out.Advice, out.Reason = "stop", "less than one anomaly is expected among the candidates that are left"
	default:
		out.Advice, out.Reason = "go on", fmt.Sprintf("about %.0f anomalies are expected among the next %d images", out.InTop.Value, out.Top)
	}
	return out, nil
}

// wilson is the 95% interval of a share by Wilson's formula.
func wilson(k, n int64) *rpc.Estimate {
	const z = 1.96
	p, m := float64(k)/float64(n), float64(n)
	mid, half := (p+z*z/(2*m))/(1+z*z/m), z/(1+z*z/m)*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return &rpc.Estimate{Known: true, Value: p, Low: max(0, mid-half), High: min(1, mid+half)}
}

// ReviewsTogether is how many Review calls were under way at once, at most.
func (e *Engine) ReviewsTogether() int { e.mu.Lock(); defer e.mu.Unlock(); return e.together }

// Neighbours are the most alike.
func (e *Engine) Neighbours(_ context.Context, r *rpc.NeighboursRequest) (*rpc.NeighboursReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.near = append(e.near, r.Id)
	out := &rpc.NeighboursReply{}
	consider := func(id string) {
		if l := e.labels[id]; id != r.Id && (!r.Labelled || l == "anomaly" || l == "normal") {
			out.Neighbours = append(out.Neighbours, &rpc.Neighbour{Id: id, Label: l, Similarity: e.similarity(id, r.Id)})
		}
	}
	if r.Labelled {
		for id := range e.labels {
			consider(id)
		}
	} else {
		for _, id := range e.ids {
			consider(id)
		}
	}
	slices.SortFunc(out.Neighbours, func(a, b *rpc.Neighbour) int {
		return cmp.Or(cmp.Compare(b.Similarity, a.Similarity), cmp.Compare(e.place[a.Id], e.place[b.Id]))
	})
	out.Neighbours = out.Neighbours[:min(len(out.Neighbours), int(r.Limit))]
	return out, nil
}

// AskedNear are the ids whose neighbours were asked for, in order.
func (e *Engine) AskedNear() []string { e.mu.Lock(); defer e.mu.Unlock(); return slices.Clone(e.near) }

// Alike are the near-duplicates of an image, it among them.
func (e *Engine) Alike(id string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.alike[id])
}

// List are the first ids that a request is answered with.
func (e *Engine) List(r *rpc.RankingRequest, n int) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	items, _ := e.queue(r, n)
	for _, it := range items[:min(n, len(items))] {
		out = append(out, it.Id)
	}
	return out
}

// Rare tells whether an image is an anomaly in truth.
func (e *Engine) Rare(id string) bool { e.mu.Lock(); defer e.mu.Unlock(); return e.truth[id] }

// Hello says who is there.
func (e *Engine) Hello(context.Context, *rpc.HelloRequest) (*rpc.HelloReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prepared.greeted++
	return &rpc.HelloReply{Version: e.opt.Version, Name: "galaxies", Project: "/data/galaxies", Host: "gpu1", Pid: 4711}, nil
}

// GetStatus is the status.
func (e *Engine) GetStatus(context.Context, *rpc.StatusRequest) (*rpc.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status(), nil
}

// Watch sends the events.
func (e *Engine) Watch(_ *rpc.WatchRequest, stream grpc.ServerStreamingServer[rpc.Event]) error {
	ch := make(chan *rpc.Event, 1<<16)
	e.mu.Lock()
	e.watchers[ch] = true
	ch <- &rpc.Event{Status: e.status()}
	e.mu.Unlock()
	defer func() { e.mu.Lock(); delete(e.watchers, ch); e.mu.Unlock() }()
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case ev := <-ch:
			if err := stream.Send(ev); err != nil {
				return err
			}
		}
	}
}

// Ranking is the list.
func (e *Engine) Ranking(_ context.Context, r *rpc.RankingRequest) (*rpc.RankingReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.By == "deep" && e.st.Cycle == 0 {
		return nil, status.Error(codes.FailedPrecondition, "there is no deep ranking before the first training")
	}
	limit := int(r.Limit)
	if limit == 0 {
		limit = e.opt.Cut
	}
	if r.Where != "" {
		if _, err := e.opt.Where(e.ids[0], r.Where); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
	}
	items, total := e.queue(r, int(r.Offset)+limit)
	items = items[min(len(items), int(r.Offset)):]
	by, at := r.By, e.st.RankedAtUnixMs
	if by == "" {
		by = e.st.RankedBy
	}
	switch by {
	case "fast":
		at = e.st.FastAtUnixMs
	case "deep":
		at = e.st.DeepAtUnixMs
	}
	var also []*rpc.Item
	for _, id := range r.Also {
		if _, ok := e.place[id]; ok {
			it := &rpc.Item{Id: id, Score: e.score(id, r.By), Label: e.labels[id], Rank: -1, Marks: e.marksOf(id)}
			for _, alike := range e.alike[id] {
				if r.Fold && alike != id && e.labels[alike] == e.labels[id] {
					it.Duplicates = append(it.Duplicates, alike)
				}
			}
			also = append(also, it)
		}
	}
	return &rpc.RankingReply{Version: e.st.RankingVersion, Also: also, RankedBy: by, RankedAtUnixMs: at, Total: int64(total), Cut: int64(e.opt.Cut),
		Items: items[:min(len(items), limit)], Strategy: e.strategy(r.Strategy)}, nil
}

// Thumbs draws the pictures.
func (e *Engine) Thumbs(r *rpc.ThumbsRequest, stream grpc.ServerStreamingServer[rpc.Thumb]) error {
	for _, id := range r.Ids {
		e.mu.Lock()
		e.asked = append(e.asked, id)
		e.looked(r)
		bad, rare, seed := e.opt.Bad[id], e.truth[id], e.place[id]
		if group := e.alike[id]; len(group) > 0 {
			seed = e.place[group[0]]
		}
		e.mu.Unlock()
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(e.opt.Slow):
		}
		t := &rpc.Thumb{Id: id, SourceWidth: int32(e.opt.Size), SourceHeight: int32(e.opt.Size), Bands: 3}
		if bad != "" {
			t.Error = bad
		} else {
			var png []byte
			if e.opt.Picture != nil {
				png = e.opt.Picture(seed, rare)
			} else {
				png = Galaxy(uint64(seed), e.opt.Size, rare)
			}
			t.Png = look(png, r.Stretch, r.Band)
			t.Width, t.Height = int32(e.opt.Size), int32(e.opt.Size)
		}
		if err := stream.Send(t); err != nil {
			return err
		}
	}
	return nil
}

// Label writes labels down.
func (e *Engine) Label(ctx context.Context, r *rpc.LabelRequest) (*rpc.LabelReply, error) {
	e.mu.Lock()
	hold := e.hold
	e.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.uids[r.Uid]++
	if e.failing != "" {
		return nil, status.Error(codes.Internal, e.failing)
	}
	if e.written[r.Uid] {
		return &rpc.LabelReply{LabelsVersion: e.st.LabelsVersion}, nil
	}
	e.written[r.Uid] = true
	labels := false
	for _, c := range r.Changes {
		if c.Mark != "" {
			e.mark(c)
		} else {
			e.labels[c.Id], labels = c.To, true
		}
		e.events = append(e.events, &rpc.LabelEvent{Uid: r.Uid, By: r.By, UnixMs: time.Now().UnixMilli(), Change: c})
	}
	if !labels { // marks train nothing
		return &rpc.LabelReply{LabelsVersion: e.st.LabelsVersion}, nil
	}
	e.st.LabelsVersion++
	e.st.Anomalies, e.st.Normals, e.st.Skipped = 0, 0, 0
	for _, l := range e.labels {
		switch l {
		case "anomaly":
			e.st.Anomalies++
		case "normal":
			e.st.Normals++
		case "skip":
			e.st.Skipped++
		}
	}
	by := "fast"
	switch {
	case e.st.Cycle > 0:
		by = "joint"
	case e.st.Anomalies == 0:
		by = "novelty"
	}
	e.ranked(by)
	return &rpc.LabelReply{LabelsVersion: e.st.LabelsVersion}, nil
}

// Histogram spreads the scores over bins.
func (e *Engine) Histogram(_ context.Context, r *rpc.HistogramRequest) (*rpc.HistogramReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := int(r.Bins)
	o := order{by: cmp.Or(r.By, e.st.RankedBy), n: n}
	bin := func(id string) int { return min(n-1, int(e.score(id, r.By)*float32(n))) }
	if e.bins[o] == nil {
		e.bins[o] = make([]int64, n)
		for _, id := range e.ids {
			e.bins[o][bin(id)]++
		}
	}
	h := &rpc.HistogramReply{RankedBy: o.by, Pool: slices.Clone(e.bins[o]), Anomalies: make([]int64, n), Normals: make([]int64, n)}
	for id, l := range e.labels {
		switch l {
		case "anomaly":
			h.Anomalies[bin(id)]++
		case "normal":
			h.Normals[bin(id)]++
		}
	}
	return h, nil
}

// Run is the newest training run.
func (e *Engine) Run(context.Context, *rpc.RunRequest) (*rpc.RunReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &rpc.RunReply{Steps: slices.Clone(e.steps), Running: e.st.State == "training"}, nil
}

// Sweep is what Options say.
func (e *Engine) Sweep(context.Context, *rpc.SweepRequest) (*rpc.SweepReply, error) {
	return cmp.Or(e.opt.Sweep, &rpc.SweepReply{Best: -1}), nil
}

// UseSweep pretends that new scores are there.
func (e *Engine) UseSweep(_ context.Context, in *rpc.UseSweepRequest) (*rpc.JobReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	what := fmt.Sprintf("run %d of sweep %s is used", in.Run, in.Name)
	if in.Ensemble {
		what = "sweep " + in.Name + " is averaged"
	}
	e.tell(&rpc.Event{Notice: &rpc.Notice{Level: "info", Text: what}})
	return &rpc.JobReply{Started: true}, nil
}

func (e *Engine) start(state string) (context.Context, *rpc.JobReply) {
	if e.st.State != "idle" {
		return nil, &rpc.JobReply{Reason: "the engine is " + e.st.State + " just now"}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.st.State, e.st.Step, e.st.Steps, e.st.RemainingSeconds, e.st.CpuPercent = state, 0, 0, -1, 87
	e.tell(nil)
	return ctx, &rpc.JobReply{Started: true}
}

func (e *Engine) done() {
	e.st.State, e.st.Step, e.st.Steps, e.st.ImagesPerSecond, e.st.RemainingSeconds, e.st.Detail = "idle", 0, 0, 0, -1, ""
	e.st.CpuPercent = 1
	e.tell(nil)
}

// Train pretends to train, then to score.
func (e *Engine) Train(context.Context, *rpc.TrainRequest) (*rpc.JobReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ctx, r := e.start("training")
	if r.Started {
		e.steps = nil
		go e.train(ctx)
	}
	return r, nil
}

func (e *Engine) train(ctx context.Context) {
	rnd := rand.New(rand.NewPCG(3, 4))
	e.mu.Lock()
	e.st.Detail = "compiling the training step"
	e.tell(nil)
	cycle := e.st.Cycle + 1
	if e.opt.Past {
		cycle = max(cycle, pastRuns+1)
	}
	e.mu.Unlock()
	time.Sleep(10 * e.opt.Step)
	begin := time.Now()
	for i := 1; i <= e.opt.Steps; i++ {
		select {
		case <-ctx.Done():
			e.mu.Lock()
			e.done()
			e.mu.Unlock()
			return
		case <-time.After(e.opt.Step):
		}
		x := float64(i) / float64(e.opt.Steps)
		sup := 0.7*math.Exp(-4*x) + 0.03*rnd.Float64()
		unsup := 0.08*math.Sin(math.Min(1, x*1.3)*math.Pi) + 0.02*rnd.Float64()
		kept := 0.92 * (1 - math.Exp(-5*x)) * (0.96 + 0.04*rnd.Float64())
		s := &rpc.TrainStep{Cycle: cycle, Step: int32(i), Steps: int32(e.opt.Steps), Loss: float32(sup + unsup), SupLoss: float32(sup), UnsupLoss: float32(unsup),
			Kept: float32(kept), PseudoAnomaly: float32(0.05 * kept), ImagesPerSecond: 1200 + 80*rnd.Float64(), Seconds: time.Since(begin).Seconds()}
		e.mu.Lock()
		e.steps = append(e.steps, s)
		e.tell(&rpc.Event{Step: s})
		e.st.Step, e.st.Steps, e.st.ImagesPerSecond, e.st.Detail = int64(i), int64(e.opt.Steps), s.ImagesPerSecond, ""
		e.st.RemainingSeconds = e.opt.Step.Seconds() * float64(e.opt.Steps-i)
		e.tell(nil)
		e.mu.Unlock()
	}
	e.mu.Lock()
	e.done()
	e.mu.Unlock()
	e.scoring(true)
}

func (e *Engine) scoring(trained bool) {
	e.mu.Lock()
	ctx, r := e.start("scoring")
	e.mu.Unlock()
	if !r.Started {
		return
	}
	for i := 1; i <= 20; i++ {
		select {
		case <-ctx.Done():
		case <-time.After(e.opt.Step):
		}
		e.mu.Lock()
		e.st.Step, e.st.Steps, e.st.ImagesPerSecond, e.st.RemainingSeconds = int64(i), 20, 4100, e.opt.Step.Seconds()*float64(20-i)
		e.tell(nil)
		e.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if trained {
		e.st.Cycle = e.steps[len(e.steps)-1].Cycle
	}
	e.done()
	e.st.DeepAtUnixMs = time.Now().UnixMilli()
	e.ranked("joint")
}

func (e *Engine) embed() {
	look := func(within time.Duration) {
		const n = 50
		for i := range n {
			time.Sleep(within / n)
			e.mu.Lock()
			e.st.Step, e.st.Steps, e.st.ImagesPerSecond, e.st.RemainingSeconds = int64(i*e.opt.Images/n), int64(e.opt.Images), 730, within.Seconds()*float64(n-i)/n
			e.tell(nil)
			e.mu.Unlock()
		}
	}
	look(e.opt.Embed)
	e.mu.Lock()
	e.st.Embedded = true
	if e.opt.Closer > 0 {
		e.st.Detail = "8 views of each image"
		e.ranked("novelty")
		e.mu.Unlock()
		look(e.opt.Closer)
		e.mu.Lock()
	}
	defer e.mu.Unlock()
	e.done()
	e.ranked("novelty")
}

// Score scores everything.
func (e *Engine) Score(context.Context, *rpc.ScoreRequest) (*rpc.JobReply, error) {
	e.mu.Lock()
	idle := e.st.State == "idle"
	e.mu.Unlock()
	if !idle {
		return &rpc.JobReply{Reason: "the engine is busy"}, nil
	}
	go e.scoring(false)
	return &rpc.JobReply{Started: true}, nil
}

// Cancel ends the job.
func (e *Engine) Cancel(context.Context, *rpc.CancelRequest) (*rpc.JobReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cancel != nil {
		e.cancel()
	}
	return &rpc.JobReply{Started: true}, nil
}

// InstallRuntime pretends to download.
func (e *Engine) InstallRuntime(context.Context, *rpc.InstallRuntimeRequest) (*rpc.JobReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, r := e.start("installing")
	if !r.Started {
		return r, nil
	}
	go func() {
		for i := 1; i <= 50; i++ {
			time.Sleep(e.opt.Step)
			e.mu.Lock()
			e.st.Step, e.st.Steps, e.st.Detail = int64(i), 50, fmt.Sprintf("%d of 63 MB", i*63/50)
			e.tell(nil)
			e.mu.Unlock()
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.st.Backend, e.st.Offer = "xla:cpu", nil
		e.done()
		e.tell(&rpc.Event{Notice: &rpc.Notice{Level: "info", Text: "the faster runtime is installed"}})
	}()
	return r, nil
}

// Stop ends the engine.
func (e *Engine) Stop(context.Context, *rpc.StopRequest) (*rpc.JobReply, error) {
	e.mu.Lock()
	e.stopped++
	s := e.server
	e.listener, e.server = nil, nil
	e.mu.Unlock()
	go func() { time.Sleep(20 * time.Millisecond); s.Stop() }() // after the answer
	return &rpc.JobReply{Started: true}, nil
}

// Galaxy draws a cut-out as PNG: a disc with a bulge; a rare one has two cores and a tail between them.
func Galaxy(seed uint64, size int, rare bool) []byte {
	r := rand.New(rand.NewPCG(seed, 99))
	n := float64(size)
	type blob struct{ x, y, a, b, th, lum, n float64 }
	blobs := []blob{{n / 2, n / 2, n * (0.08 + 0.16*r.Float64()), n * (0.05 + 0.08*r.Float64()), r.Float64() * math.Pi, 0.8, 1}}
	blobs = append(blobs, blob{n / 2, n / 2, n * 0.04, n * 0.04, 0, 0.9, 2})
	if rare {
		d, th := n*0.17, r.Float64()*2*math.Pi
		x, y := n/2+d*math.Cos(th), n/2+d*math.Sin(th)
		blobs = append(blobs, blob{x, y, n * 0.09, n * 0.06, th + 1, 0.9, 1}, blob{x, y, n * 0.03, n * 0.03, 0, 0.9, 2}, blob{(x + n/2) / 2, (y + n/2) / 2, n * 0.3, n * 0.03, th + 0.5, 0.3, 1})
	}
	for range r.IntN(4) {
		blobs = append(blobs, blob{r.Float64() * n, r.Float64() * n, n * 0.015, n * 0.015, 0, 0.7, 2})
	}
	warm := 0.75 + 0.25*r.Float64()
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			v := 0.03 + 0.03*r.Float64()
			for _, b := range blobs {
				dx, dy := float64(x)-b.x, float64(y)-b.y
				u, w := dx*math.Cos(b.th)+dy*math.Sin(b.th), -dx*math.Sin(b.th)+dy*math.Cos(b.th)
				v += b.lum * math.Exp(-math.Pow((u*u)/(b.a*b.a)+(w*w)/(b.b*b.b), 1/b.n))
			}
			c := func(k float64) uint8 { return uint8(255 * math.Min(1, math.Max(0, v*k))) }
			img.SetNRGBA(x, y, color.NRGBA{c(1), c(0.9), c(0.6 + 0.4*(1-warm)), 255})
		}
	}
	var b bytes.Buffer
	png.Encode(&b, img) // into memory: cannot fail
	return b.Bytes()
}

// Settings tells the settings of a project whose file is kept in memory.
func (e *Engine) Settings(context.Context, *rpc.SettingsRequest) (*rpc.SettingsReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tellSettings(), nil
}

// SetSetting changes one.
func (e *Engine) SetSetting(_ context.Context, in *rpc.SetSettingRequest) (*rpc.SettingsReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	text, err := anomalymatch.SetKey(e.file, in.Key, in.Value)
	if err == nil {
		e.file = text
	}
	out := e.tellSettings()
	if err != nil {
		out.Error = err.Error()
	}
	return out, nil
}

func (e *Engine) tellSettings() *rpc.SettingsReply {
	c := anomalymatch.Default()
	c.Overlay("project.toml", e.file, nil)
	out := &rpc.SettingsReply{File: "/data/galaxies/project.toml"}
	own, values := anomalymatch.Says(e.file), c.Values()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		out.Settings = append(out.Settings, &rpc.Setting{Key: key, Value: values[key], Own: slices.Contains(own, key)})
	}
	return out
}

// File is what the project's file of settings holds.
func (e *Engine) File() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return string(e.file)
}

// Plain is a grey picture of w×h pixels as PNG.
func Plain(w, h int) []byte {
	var b bytes.Buffer
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	png.Encode(&b, img) // into memory: cannot fail
	return b.Bytes()
}
