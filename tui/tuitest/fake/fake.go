// Package fake is an engine without a network: an in-memory server of the same wire with drawn galaxies, for tests of the screen
// and for looking at it.
package fake

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sort"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"anomalymatch/engine/rpc"
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
	Offer   bool              // offers a faster runtime
	Bad     map[string]string // id → why it cannot be read
	Slow    time.Duration     // each thumbnail takes this long
}

// Engine is the fake. All its knobs may be turned while it runs.
type Engine struct {
	rpc.UnimplementedEngineServer
	opt Options

	mu       sync.Mutex
	ids      []string
	truth    map[string]bool // rare ones
	base     map[string]float64
	labels   map[string]string
	events   []*rpc.LabelEvent
	uids     map[string]int // how often each came
	st       *rpc.Status
	steps    []*rpc.TrainStep
	watchers map[chan *rpc.Event]bool
	failing  string        // why Label fails; "" = it works
	hold     chan struct{} // Label waits for it
	cancel   func()
	stopped  int
	asked    []string // ids thumbnails were asked for
	server   *grpc.Server
	listener *bufconn.Listener
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
	e := &Engine{opt: opt, truth: map[string]bool{}, base: map[string]float64{}, labels: map[string]string{}, uids: map[string]int{}, watchers: map[chan *rpc.Event]bool{}}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range opt.Images {
		id := fmt.Sprintf("galaxies/img-%05d.png", i)
		if i < len(opt.Names) {
			id = opt.Names[i]
		}
		e.ids = append(e.ids, id)
		e.truth[id] = i%23 == 0
		e.base[id] = r.Float64()
	}
	e.st = &rpc.Status{State: "idle", Backend: "xla:cpu", Version: opt.Version, Pool: int64(len(e.ids)), Bad: int64(len(opt.Bad)), RemainingSeconds: -1,
		RankedBy: "novelty", RankingVersion: 1, RankedAtUnixMs: time.Now().UnixMilli(), Embedded: true, ProjectImages: int64(opt.Cut)}
	if opt.Offer {
		e.st.Backend, e.st.Offer = "go", &rpc.RuntimeOffer{Kind: "cpu", DownloadBytes: 63e6, DiskBytes: 259e6}
	}
	if opt.Embed > 0 {
		e.st.State, e.st.Embedded, e.st.RankedBy, e.st.RankingVersion = "embedding", false, "", 0
		go e.embed()
	}
	e.listen()
	return e
}

func (e *Engine) listen() {
	l, s := bufconn.Listen(1<<20), grpc.NewServer()
	rpc.RegisterEngineServer(s, e)
	e.mu.Lock()
	e.listener, e.server = l, s
	e.mu.Unlock()
	go s.Serve(l)
}

// Dial is a client of the engine; it fails while the engine is gone.
func (e *Engine) Dial(ctx context.Context) (rpc.EngineClient, error) {
	e.mu.Lock()
	l := e.listener
	e.mu.Unlock()
	if l == nil {
		return nil, status.Error(codes.Unavailable, "no engine")
	}
	conn, err := grpc.NewClient("passthrough:///fake", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		return nil, err
	}
	return rpc.NewEngineClient(conn), nil
}

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
	r := rand.New(rand.NewPCG(seed, 7))
	for _, id := range e.ids {
		e.base[id] = r.Float64()
	}
	e.ranked(by)
}

// Top are the ids at the top of the queue.
func (e *Engine) Top(n int) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, it := range e.queue("", "") {
		if len(out) < n {
			out = append(out, it.Id)
		}
	}
	return out
}

// ranked announces a new ranking; mu is held.
func (e *Engine) ranked(by string) {
	e.st.RankedBy, e.st.RankedAtUnixMs = by, time.Now().UnixMilli()
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
		Embedded: s.Embedded, Offer: s.Offer, Error: s.Error, ProjectImages: s.ProjectImages}
}

func (e *Engine) score(id string) float32 {
	s := e.base[id] * 0.55
	if e.truth[id] && e.st.RankedBy != "novelty" {
		s += 0.45
	}
	return float32(math.Pow(s, 1.5))
}

// queue ranks the images of a filter; mu is held.
func (e *Engine) queue(filter, _ string) []*rpc.Item {
	var out []*rpc.Item
	if e.st.RankingVersion == 0 {
		return nil
	}
	for _, id := range e.ids {
		l := e.labels[id]
		if filter == "all" || filter == l || filter == "" && l == "" {
			if filter == "" && e.opt.Bad[id] != "" && len(e.opt.Bad) > 3 {
				continue
			}
			out = append(out, &rpc.Item{Id: id, Score: e.score(id), Label: l})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Score > out[j].Score })
	for i, it := range out {
		it.Rank = int64(i)
	}
	return out
}

// Hello says who is there.
func (e *Engine) Hello(context.Context, *rpc.HelloRequest) (*rpc.HelloReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
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
	items := e.queue(r.Filter, r.By)
	total := len(items)
	items = items[min(len(items), int(r.Offset)):]
	limit := int(r.Limit)
	if limit == 0 {
		limit = e.opt.Cut
	}
	by := r.By
	if by == "" {
		by = e.st.RankedBy
	}
	var also []*rpc.Item
	for _, id := range r.Also {
		if slices.Contains(e.ids, id) {
			also = append(also, &rpc.Item{Id: id, Score: e.score(id), Label: e.labels[id], Rank: -1})
		}
	}
	return &rpc.RankingReply{Version: e.st.RankingVersion, Also: also, RankedBy: by, RankedAtUnixMs: e.st.RankedAtUnixMs, Total: int64(total), Cut: int64(e.opt.Cut),
		Items: items[:min(len(items), limit)]}, nil
}

// Thumbs draws the pictures.
func (e *Engine) Thumbs(r *rpc.ThumbsRequest, stream grpc.ServerStreamingServer[rpc.Thumb]) error {
	for _, id := range r.Ids {
		e.mu.Lock()
		e.asked = append(e.asked, id)
		bad, rare, seed := e.opt.Bad[id], e.truth[id], uint64(slices.Index(e.ids, id))
		e.mu.Unlock()
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(e.opt.Slow):
		}
		t := &rpc.Thumb{Id: id, SourceWidth: int32(e.opt.Size), SourceHeight: int32(e.opt.Size)}
		if bad != "" {
			t.Error = bad
		} else {
			t.Png = Galaxy(seed, e.opt.Size, rare)
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
	for _, ev := range e.events {
		if ev.Uid == r.Uid {
			return &rpc.LabelReply{LabelsVersion: e.st.LabelsVersion}, nil
		}
	}
	for _, c := range r.Changes {
		e.labels[c.Id] = c.To
		e.events = append(e.events, &rpc.LabelEvent{Uid: r.Uid, By: r.By, UnixMs: time.Now().UnixMilli(), Change: c})
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

// History is what a writer said.
func (e *Engine) History(_ context.Context, r *rpc.HistoryRequest) (*rpc.HistoryReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*rpc.LabelEvent
	for _, ev := range e.events {
		if ev.By == r.By {
			out = append(out, ev)
		}
	}
	return &rpc.HistoryReply{Events: out[max(0, len(out)-int(r.Limit)):]}, nil
}

// Histogram spreads the scores over bins.
func (e *Engine) Histogram(_ context.Context, r *rpc.HistogramRequest) (*rpc.HistogramReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := int(r.Bins)
	h := &rpc.HistogramReply{RankedBy: e.st.RankedBy, Pool: make([]int64, n), Anomalies: make([]int64, n), Normals: make([]int64, n)}
	for _, id := range e.ids {
		b := min(n-1, int(e.score(id)*float32(n)))
		h.Pool[b]++
		switch e.labels[id] {
		case "anomaly":
			h.Anomalies[b]++
		case "normal":
			h.Normals[b]++
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

func (e *Engine) start(state string) (context.Context, *rpc.JobReply) {
	if e.st.State != "idle" {
		return nil, &rpc.JobReply{Reason: "the engine is " + e.st.State + " just now"}
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.st.State, e.st.Step, e.st.Steps, e.st.RemainingSeconds = state, 0, 0, -1
	e.tell(nil)
	return ctx, &rpc.JobReply{Started: true}
}

func (e *Engine) done() {
	e.st.State, e.st.Step, e.st.Steps, e.st.ImagesPerSecond, e.st.RemainingSeconds, e.st.Detail = "idle", 0, 0, 0, -1, ""
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
		e.st.Cycle++
	}
	e.done()
	e.ranked("joint")
}

func (e *Engine) embed() {
	const n = 50
	for i := range n {
		time.Sleep(e.opt.Embed / n)
		e.mu.Lock()
		e.st.Step, e.st.Steps, e.st.ImagesPerSecond, e.st.RemainingSeconds = int64(i*e.opt.Images/n), int64(e.opt.Images), 730, e.opt.Embed.Seconds()*float64(n-i)/n
		e.tell(nil)
		e.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.st.Embedded = true
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
