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
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"anomalymatch/engine/rpc"
)

// prepared is what the fake knows of how images are read: two sources of the same images. mu of the engine guards it.
type prepared struct {
	readings [2]*rpc.Reading
	pools    int      // how often the images were opened
	asked    []string // "id stretch" of each preview
	greeted  int      // how often somebody said hello
}

var sourceNames = [2]string{"galaxies", "south"}

// Reading is how a source is read: "stretch low high channels".
func (e *Engine) Reading(source string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.prepared.readings[max(0, slices.Index(sourceNames[:], source))]
	return fmt.Sprintf("%s %v %v %s", r.GetStretch(), r.GetLow(), r.GetHigh(), r.GetChannels())
}

// Greeted is how often somebody connected.
func (e *Engine) Greeted() int { e.mu.Lock(); defer e.mu.Unlock(); return e.prepared.greeted }

// Previewed is each preview that was asked for, "id stretch".
func (e *Engine) Previewed() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.prepared.asked)
}

// Preparation tells of both sources.
func (e *Engine) Preparation(_ context.Context, in *rpc.PreparationRequest) (*rpc.PreparationReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := &rpc.PreparationReply{Source: sourceNames[0], Size: int32(e.opt.Size), Stretches: []string{"linear", "zscale", "asinh", "log", "sqrt", "percentile"}}
	if in.Source != "" {
		if out.Source = in.Source; !slices.Contains(sourceNames[:], in.Source) {
			return nil, status.Error(codes.NotFound, "the project has no such source")
		}
	}
	for k, name := range sourceNames {
		r := &rpc.Reading{}
		proto.Merge(r, e.prepared.readings[k])
		out.Sources = append(out.Sources, &rpc.ImageSource{Name: name, Reading: r, Images: int64(len(e.ids))})
	}
	if _, ok := e.place[in.Also]; ok {
		out.Ids = append(out.Ids, in.Also)
	}
	r := rand.New(rand.NewPCG(in.Seed, 3))
	for range min(in.Images, 100) {
		if id := e.ids[r.IntN(len(e.ids))]; !slices.Contains(out.Ids, id) {
			out.Ids = append(out.Ids, id)
		}
	}
	return out, nil
}

// Preview draws the galaxy of an image as values with a long range.
func (e *Engine) Preview(in *rpc.PreviewRequest, stream grpc.ServerStreamingServer[rpc.PreviewReply]) error {
	for _, id := range in.Ids {
		time.Sleep(e.opt.Slow)
		for n, r := range in.Readings {
			e.mu.Lock()
			e.prepared.asked = append(e.prepared.asked, id+" "+r.GetStretch())
			i, known := e.place[id]
			why := e.opt.Bad[id]
			e.mu.Unlock()
			out := &rpc.PreviewReply{Id: id, Reading: int32(n), Bands: 3}
			switch {
			case !known:
				out.Error = "is no image of the project"
			case why != "":
				out.Error = why
			case r.GetChannels() == "1 1":
				out.Error = "has 3 bands, and the setting channels weighs 2"
			default:
				out.Png, out.Low, out.High = e.prepare(i, r)
			}
			if err := stream.Send(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare makes grey levels of values from 0 to 1000.
func (e *Engine) prepare(i int, r *rpc.Reading) (b []byte, low, high float64) {
	src, err := png.Decode(bytes.NewReader(Galaxy(uint64(i), e.opt.Size, e.truth[e.ids[i]])))
	if err != nil {
		return nil, 0, 0
	}
	if low, high = 0, 1000; r.GetHigh() != 0 || r.GetLow() != 0 {
		low, high = r.GetLow(), r.GetHigh()
	} else if s := r.GetStretch(); s == "" || s == "percentile" || s == "zscale" {
		high = 300
	}
	dst := image.NewNRGBA(src.Bounds())
	for y := range e.opt.Size {
		for x := range e.opt.Size {
			c := color.NRGBAModel.Convert(src.At(x, y)).(color.NRGBA)
			level := func(v uint8) uint8 {
				t := min(1, max(0, (1000*math.Pow(float64(v)/255, 3)-low)/(high-low)))
				switch r.GetStretch() {
				case "asinh":
					t = math.Asinh(10*t) / math.Asinh(10)
				case "log":
					t = math.Log1p(1000*t) / math.Log1p(1000)
				case "sqrt":
					t = math.Sqrt(t)
				}
				return uint8(255*t + 0.5)
			}
			dst.SetNRGBA(x, y, color.NRGBA{level(c.R), level(c.G), level(c.B), 255})
		}
	}
	var out bytes.Buffer
	png.Encode(&out, dst) // into memory: cannot fail
	return out.Bytes(), low, high
}

// SetReading takes a reading, and cuts the connection off as an engine does that opens the images anew.
func (e *Engine) SetReading(_ context.Context, in *rpc.SetReadingRequest) (*rpc.JobReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := slices.Index(sourceNames[:], in.Source)
	switch {
	case k < 0:
		return &rpc.JobReply{Reason: "the project has no such source"}, nil
	case e.st.State != "idle" && e.st.State != "embedding":
		return &rpc.JobReply{Reason: e.st.State + " is running: wait, or cancel it first"}, nil
	}
	e.prepared.readings[k] = in.Reading
	e.prepared.pools++
	if s := e.server; s != nil {
		e.open() // at once: who dials finds the new one
		go func() { time.Sleep(20 * time.Millisecond); s.Stop() }()
	}
	return &rpc.JobReply{Started: true}, nil
}
