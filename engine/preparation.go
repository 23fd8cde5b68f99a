package engine

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/stretch"
	"anomalymatch/engine/rpc"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Readings is the part of a project's file that says how its sources are read. What implements Settings may implement it too; session does.
type Readings interface {
	SetReading(source string, r dataset.Reading) error // channels, stretch and range; on disk when it returns
}

// ErrReopen is what Run returns when the project is to be opened once more: its file says another thing of the images than this engine read.
var ErrReopen = errors.New("the project is opened anew")

func wire(r dataset.Reading) *rpc.Reading {
	return &rpc.Reading{Channels: r.Channels, Stretch: r.Stretch, Low: r.Low, High: r.High}
}

// under is a reading with what the wire says of it.
func under(r dataset.Reading, w *rpc.Reading) dataset.Reading {
	r.Channels, r.Stretch, r.Low, r.High = w.GetChannels(), w.GetStretch(), w.GetLow(), w.GetHigh()
	return r
}

// listed is the pool, or that it is not listed yet.
func (s *Service) listed() (*dataset.Pool, error) {
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	switch {
	case s.e.pool != nil:
		return s.e.pool, nil
	case s.e.status.Error != "":
		return nil, status.Error(codes.FailedPrecondition, "the images cannot be read: "+s.e.status.Error)
	}
	return nil, status.Error(codes.FailedPrecondition, "the images are still being listed")
}

func (e *Engine) source(name string) (dataset.NamedSource, bool) {
	for _, s := range e.opt.Sources {
		if s.Name == name || name == "" {
			return s, true
		}
	}
	return dataset.NamedSource{}, false
}

// Preparation tells how the sources are read, and draws images of one.
func (s *Service) Preparation(_ context.Context, in *rpc.PreparationRequest) (*rpc.PreparationReply, error) {
	pool, err := s.listed()
	if err != nil {
		return nil, err
	}
	name := in.Source
	if _, known := pool.Find(in.Also); known && name == "" {
		name, _, _ = strings.Cut(in.Also, "/")
	}
	of, ok := s.e.source(name)
	if !ok {
		return nil, status.Errorf(codes.NotFound, "the project has no source %q", in.Source)
	}
	out := &rpc.PreparationReply{Source: of.Name, Size: int32(s.e.config().Model.Size)}
	for _, src := range s.e.opt.Sources {
		from, to := pool.In(src.Name)
		out.Sources = append(out.Sources, &rpc.ImageSource{Name: src.Name, Reading: wire(src.Reading), Images: int64(to - from)})
	}
	for _, curve := range stretch.All {
		out.Stretches = append(out.Stretches, curve.Name)
	}
	from, to := pool.In(of.Name)
	if i, ok := pool.Find(in.Also); ok && i >= from && i < to {
		out.Ids = append(out.Ids, in.Also)
	}
	const most = 100
	for _, i := range pool.Sample(of.Name, int(min(max(in.Images, 0), most)), in.Seed) {
		if id := pool.ID(i); id != in.Also {
			out.Ids = append(out.Ids, id)
		}
	}
	return out, nil
}

// Preview makes pictures, in the order of the ids.
func (s *Service) Preview(in *rpc.PreviewRequest, stream grpc.ServerStreamingServer[rpc.PreviewReply]) error {
	pool, err := s.listed()
	if err != nil {
		return err
	}
	const maxIDs, maxReadings = 100, 20
	if len(in.Ids) > maxIDs || len(in.Readings) > maxReadings {
		return status.Errorf(codes.InvalidArgument, "at most %d images and %d readings a call", maxIDs, maxReadings)
	}
	readings := make([]dataset.Reading, len(in.Readings))
	for n, r := range in.Readings {
		readings[n] = under(dataset.Reading{}, r)
	}
	size := s.e.config().Model.Size
	for _, id := range in.Ids {
		seen, failed := []dataset.Preview(nil), errors.New("is no image of the project")
		if i, ok := pool.Find(id); ok {
			seen, failed = pool.Preview(stream.Context(), i, size, readings)
		}
		if stream.Context().Err() != nil {
			return stream.Context().Err()
		}
		for n := range readings {
			out := &rpc.PreviewReply{Id: id, Reading: int32(n), Low: math.NaN(), High: math.NaN()}
			err := failed
			if err == nil {
				if v := seen[n]; v.Err == nil {
					var b bytes.Buffer
					err = v.PNG(&b)
					out.Png, out.Bands, out.Low, out.High = b.Bytes(), int32(v.Bands), v.Low, v.High
				} else {
					err = v.Err
				}
			}
			if err != nil {
				out.Error = err.Error()
			}
			if err := stream.Send(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// SetReading changes how a source is read. The list of images then has another hash, so the engine ends here, for Run's caller to open the project
// anew: what was made of the images that are read as before is taken over, all else is made again.
func (s *Service) SetReading(_ context.Context, in *rpc.SetReadingRequest) (*rpc.JobReply, error) {
	e := s.e
	file, ok := e.opt.Settings.(Readings)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "this engine cannot change how images are read")
	}
	e.setting.Lock()
	defer e.setting.Unlock()
	of, ok := e.source(in.Source)
	if !ok || in.Source == "" {
		return reply("the project has no such source")
	}
	r := under(of.Reading, in.Reading)
	sources := slices.Clone(e.opt.Sources)
	sources[slices.IndexFunc(sources, func(s dataset.NamedSource) bool { return s.Name == of.Name })].Reading = r
	if err := dataset.SameChannels(sources); err != nil {
		return reply(err.Error())
	}
	if r == of.Reading {
		return reply("the images of " + of.Name + " are read so already")
	}
	e.mu.Lock()
	why := e.inTheWay()
	e.reopen = why == ""
	e.mu.Unlock()
	if why != "" {
		return reply(why)
	}
	if err := file.SetReading(of.Name, r); err != nil {
		e.mu.Lock()
		e.reopen = false
		e.mu.Unlock()
		return reply(err.Error())
	}
	e.log.Info("a source is read in another way: opening the images anew", "source", of.Name, "channels", r.Channels, "stretch", r.Stretch, "low", r.Low, "high", r.High)
	e.Stop()
	return reply("")
}

// Close frees what an engine holds whose Run has returned and that nobody asks any more.
func (e *Engine) Close() {
	e.trainer.Close()
	if e.emb != nil {
		e.emb.Close()
	}
	if e.pool != nil {
		e.pool.Close()
	}
}
