package engine

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/stretch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/internal/say"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Service answers terminals: the engine as engine/rpc's server.
type Service struct {
	rpc.UnimplementedEngineServer
	e *Engine
}

// Service is what to register on a gRPC server.
func (e *Engine) Service() *Service { return &Service{e: e} }

func (s *Service) Hello(context.Context, *rpc.HelloRequest) (*rpc.HelloReply, error) {
	host, _ := os.Hostname()
	return &rpc.HelloReply{Version: anomalymatch.Version, Project: s.e.opt.Dir, Name: s.e.opt.Name, Host: host, Pid: int32(os.Getpid())}, nil
}

func (s *Service) GetStatus(context.Context, *rpc.StatusRequest) (*rpc.Status, error) {
	return s.e.snapshot(), nil
}

func (s *Service) Watch(_ *rpc.WatchRequest, stream grpc.ServerStreamingServer[rpc.Event]) error {
	return s.e.subscribe(stream.Context(), stream.Send)
}

// maxWindow is the largest part of a ranking that one call returns, maxAlso the most images it tells of besides.
const maxWindow, maxAlso = 100_000, 1000

// maxFolded is how many near-duplicates one item names; a label that is meant for more is given again.
const maxFolded = 1000

func (s *Service) Ranking(ctx context.Context, in *rpc.RankingRequest) (*rpc.RankingReply, error) {
	e := s.e
	e.awaitRanking(ctx)
	v := e.view(in.By)
	out := &rpc.RankingReply{Version: v.version}
	if v.pool == nil {
		return out, nil
	}
	l, err := e.list(ctx, v, in)
	if err != nil {
		return nil, err
	}
	out.RankedBy, out.Cut, out.Total, out.Strategy = v.r.by, int64(v.cut), int64(len(l.images)), l.strategy
	if !v.r.at.IsZero() {
		out.RankedAtUnixMs = v.r.at.UnixMilli()
	}
	limit := int(in.Limit)
	if limit <= 0 {
		limit = v.cut
	}
	item := func(i int32, rank int64, duplicates []int32) *rpc.Item {
		score := v.r.scores[i]
		if v.r.by == "order" {
			score = float32(math.NaN()) // nothing is known yet
		}
		it := &rpc.Item{Id: v.pool.ID(int(i)), Score: score, Label: string(v.of.at(i)), Rank: rank, Marks: v.marks[i].Names()}
		for _, j := range duplicates[:min(len(duplicates), maxFolded)] {
			it.Duplicates = append(it.Duplicates, v.pool.ID(int(j)))
		}
		if d, ok := l.doubts[i]; ok {
			it.Score, it.Why = d.Score, d.Why
		}
		return it
	}
	from := min(max(in.Offset, 0), out.Total)
	for k, i := range l.images[from:min(from+int64(min(limit, maxWindow)), out.Total)] {
		out.Items = append(out.Items, item(i, from+int64(k), l.more[i]))
	}
	for _, id := range in.Also[:min(len(in.Also), maxAlso)] {
		i, ok := v.pool.Find(id)
		if !ok {
			continue
		}
		var others []int32
		if in.Fold {
			others = slices.DeleteFunc(v.groups.With(int32(i)), func(j int32) bool { return v.of.at(j) != v.of.at(int32(i)) })
		}
		out.Also = append(out.Also, item(int32(i), -1, others))
	}
	return out, nil
}

func (s *Service) Thumbs(in *rpc.ThumbsRequest, stream grpc.ServerStreamingServer[rpc.Thumb]) error {
	s.e.mu.Lock()
	pool := s.e.pool
	s.e.mu.Unlock()
	if pool == nil {
		return status.Error(codes.Unavailable, "the images are still being listed")
	}
	const maxIDs, defaultPx = 1000, 256
	if len(in.Ids) > maxIDs {
		return status.Errorf(codes.InvalidArgument, "at most %d pictures a call", maxIDs)
	}
	view := dataset.View{MaxPx: int(in.MaxPx), Compact: in.Compact, Stretch: in.Stretch, Band: max(0, int(in.Band))}
	if view.MaxPx <= 0 {
		view.MaxPx = defaultPx
	}
	if _, known := stretch.ByName(in.Stretch); !known && in.Stretch != "" {
		return status.Errorf(codes.InvalidArgument, "there is no stretch %q", in.Stretch)
	}
	for _, id := range in.Ids {
		if err := stream.Send(thumb(stream.Context(), pool, id, view)); err != nil {
			return err
		}
	}
	return nil
}

func thumb(ctx context.Context, pool *dataset.Pool, id string, view dataset.View) *rpc.Thumb {
	i, ok := pool.Find(id)
	if !ok {
		return &rpc.Thumb{Id: id, Error: "no such image in the project"}
	}
	t, err := pool.Thumb(ctx, i, view)
	if err != nil {
		return &rpc.Thumb{Id: id, Error: err.Error()}
	}
	return &rpc.Thumb{Id: id, Width: int32(t.W), Height: int32(t.H), SourceWidth: int32(t.SrcW), SourceHeight: int32(t.SrcH), Bands: int32(t.Bands), Png: t.Data}
}

func (s *Service) Label(_ context.Context, in *rpc.LabelRequest) (*rpc.LabelReply, error) {
	changes := make([]label.Change, 0, len(in.Changes))
	for _, c := range in.Changes {
		change := label.Change{ID: c.Id, To: label.Value(c.To), From: label.Value(c.From), Mark: c.Mark}
		if err := change.Check(); err != nil {
			return nil, status.Error(codes.InvalidArgument, err.Error())
		}
		changes = append(changes, change)
	}
	if in.Uid == "" || in.By == "" || len(changes) == 0 {
		return nil, status.Error(codes.InvalidArgument, "a label needs a uid, a writer and a change")
	}
	// On disk later, perhaps: the terminal keeps it and tries again.
	no := func(why string) (*rpc.LabelReply, error) { return nil, status.Error(codes.FailedPrecondition, why) }
	if s.e.hanging.Load() > 0 { // it would wait behind the one that hangs
		return no(s.e.hangs())
	}
	var version uint64
	done := make(chan error, 1)
	go func() {
		v, err := s.e.label(in.By, in.Uid, changes)
		version = v
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return no(err.Error())
		}
		return &rpc.LabelReply{LabelsVersion: version}, nil
	case <-time.After(patience):
		s.e.hanging.Add(1)
		go func() { <-done; s.e.hanging.Add(-1) }() // it may still get there: the uid is written once
		return no(s.e.hangs())
	}
}

// patience is how long a file system may take before people are told that it does not answer.
const patience = time.Second

// hangs says that the project's file system does not answer.
func (e *Engine) hangs() string {
	return fmt.Sprintf("the file system of %s does not answer, see whether its disk or server is there", say.Path(e.opt.Dir))
}

func (s *Service) History(_ context.Context, in *rpc.HistoryRequest) (*rpc.HistoryReply, error) {
	out := &rpc.HistoryReply{}
	for _, ev := range s.e.events(in) {
		out.Events = append(out.Events, &rpc.LabelEvent{Uid: ev.UID, By: ev.By, UnixMs: ev.Time.UnixMilli(),
			Change: &rpc.LabelChange{Id: ev.ID, To: string(ev.To), From: string(ev.From), Mark: ev.Mark}})
	}
	return out, nil
}

func (s *Service) Histogram(_ context.Context, in *rpc.HistogramRequest) (*rpc.HistogramReply, error) {
	return s.e.histogram(in.By, int(in.Bins)), nil
}

func (s *Service) Run(ctx context.Context, _ *rpc.RunRequest) (*rpc.RunReply, error) {
	e := s.e
	e.mu.Lock()
	out := &rpc.RunReply{Steps: e.steps, Running: e.busy != nil && e.busy.state == "training"}
	e.mu.Unlock()
	if len(out.Steps) == 0 && !out.Running { // trained by an engine before
		r, err := s.Runs(ctx, &rpc.RunsRequest{Limit: 1, Points: mostPoints})
		if err != nil {
			return nil, err
		}
		if len(r.Runs) > 0 {
			out.Steps = r.Runs[0].Steps
		}
	}
	return out, nil
}

func reply(reason string) (*rpc.JobReply, error) {
	return &rpc.JobReply{Started: reason == "", Reason: reason}, nil
}

func (s *Service) Train(_ context.Context, in *rpc.TrainRequest) (*rpc.JobReply, error) {
	e := s.e
	e.readLabels() // those that were imported just now count; what is wrong with them is told where they are watched
	e.mu.Lock()
	a, n := e.status.Anomalies, e.status.Normals
	e.mu.Unlock()
	if a == 0 || n == 0 {
		var need []string
		if a == 0 {
			need = append(need, "one anomaly (a)")
		}
		if n == 0 {
			need = append(need, "one normal image (x)")
		}
		return reply("label at least " + strings.Join(need, " and ") + " first")
	}
	return reply(e.start(e.trainJob(int(in.Iterations), in.ThenScore)))
}

func (s *Service) Score(context.Context, *rpc.ScoreRequest) (*rpc.JobReply, error) {
	return reply(s.e.start(s.e.scoreJob()))
}

func (s *Service) Cancel(context.Context, *rpc.CancelRequest) (*rpc.JobReply, error) {
	return reply(s.e.cancelJob())
}

func (s *Service) InstallRuntime(_ context.Context, in *rpc.InstallRuntimeRequest) (*rpc.JobReply, error) {
	if in.Kind == "" {
		return nil, status.Error(codes.InvalidArgument, "which runtime? The kinds are listed by `anomalymatch runtime list`")
	}
	return reply(s.e.start(s.e.installJob(in.Kind)))
}

func (s *Service) Stop(context.Context, *rpc.StopRequest) (*rpc.JobReply, error) {
	s.e.Stop()
	return reply("")
}
