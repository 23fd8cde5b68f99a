package fake

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"anomalymatch/engine/rpc"
)

// described is what the fake knows of questions about single images and of the display. mu of the engine guards it.
type described struct {
	asked []string // ids
	looks []string // "stretch/band" of each thumbnail asked for
}

// AskedDescribe are the ids that were asked about, in order.
func (e *Engine) AskedDescribe() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.described.asked)
}

// Looks are stretch and band of every thumbnail that was asked for, "asinh/0".
func (e *Engine) Looks() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.described.looks)
}

// layers of the network.
var layers = []string{"block 0", "block 2", "block 4", "block 7", "block 10", "block 14", "block 15", "head"}

// Metadata tells of the columns.
func (e *Engine) Metadata(context.Context, *rpc.MetadataRequest) (*rpc.MetadataReply, error) {
	return &rpc.MetadataReply{Columns: e.opt.Columns}, nil
}

// Describe makes up facts, the scores of earlier cycles, and shares of the layers that add up.
func (e *Engine) Describe(_ context.Context, r *rpc.DescribeRequest) (*rpc.DescribeReply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.Index(e.ids, r.Id)
	if i < 0 {
		return nil, status.Error(codes.NotFound, "no such image in the project")
	}
	e.described.asked = append(e.described.asked, r.Id)
	rnd := rand.New(rand.NewPCG(uint64(i), 5))
	out := &rpc.DescribeReply{Fast: float32(math.NaN())}
	out.Facts = []*rpc.Fact{{Name: "format", Value: "PNG, 31 kB"}, {Name: "values", Value: "3 bands of 8 bits"}, {Name: "red", Value: "8 … 255, mean 31.4"},
		{Name: "green", Value: "7 … 255, mean 28.2"}, {Name: "blue", Value: "5 … 251, mean 24.9"}, {Name: "changed", Value: "2026-03-01 12:00"}}
	if bad := e.opt.Bad[r.Id]; bad != "" {
		out.Facts = []*rpc.Fact{{Name: "unreadable", Value: bad}}
	}
	for _, c := range e.opt.Columns {
		if v := e.opt.Known(r.Id, c.Name); v != "" {
			out.Metadata = append(out.Metadata, &rpc.Fact{Name: c.Name, Value: v})
		}
	}
	if len(out.Metadata) > 0 {
		out.Place = &rpc.Place{Ra: 210.5, Dec: -54.25}
	}
	for c := range e.st.Cycle {
		s := e.score(r.Id, "deep")
		s += (0.5 - s) * float32(math.Exp2(-float64(c))) * rnd.Float32()
		out.Scores = append(out.Scores, &rpc.CycleScore{Cycle: c + 1, Score: s, Rank: int64(float32(len(e.ids)) * (1 - s) * rnd.Float32())})
	}
	if e.st.FastAtUnixMs > 0 {
		out.Fast = e.score(r.Id, "fast")
		p := min(0.9999, max(0.0001, float64(out.Fast)))
		sum := math.Log(p / (1 - p))
		out.Bias = -1.5
		rest := sum - float64(out.Bias)
		for k, name := range layers {
			v := rest
			if k < len(layers)-1 {
				v = rnd.NormFloat64()
				rest -= v
			}
			out.Layers = append(out.Layers, &rpc.LayerShare{Layer: name, LogOdds: float32(v)})
		}
	}
	for _, ev := range e.events {
		if ev.Change.Id == r.Id {
			out.History = append(out.History, ev)
		}
	}
	return out, nil
}

// look is a galaxy under a stretch and band: darker or brighter levels of the same picture.
func look(picture []byte, stretch string, band int32) []byte {
	if stretch == "" && band == 0 {
		return picture
	}
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return picture
	}
	power := cmp.Or(map[string]float64{"sqrt": 0.5, "asinh": 0.4, "log": 0.3, "zscale": 0.25, "percentile": 0.8}[stretch], 1)
	level := func(v uint8) uint8 { return uint8(255 * math.Pow(float64(v)/255, power)) }
	b := img.Bounds()
	colours, grey := image.NewNRGBA(b), image.NewGray(b)
	for y := range b.Dy() {
		for x := range b.Dx() {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			rgb := [3]uint8{level(c.R), level(c.G), level(c.B)}
			colours.SetNRGBA(x, y, color.NRGBA{rgb[0], rgb[1], rgb[2], 255})
			grey.Pix[grey.PixOffset(x, y)] = rgb[min(2, max(0, band-1))]
		}
	}
	var out bytes.Buffer
	if band > 0 {
		err = png.Encode(&out, grey)
	} else {
		err = png.Encode(&out, colours)
	}
	if err != nil {
		return picture
	}
	return out.Bytes()
}

// looked notes how a thumbnail was asked for.
func (e *Engine) looked(r *rpc.ThumbsRequest) {
	e.described.looks = append(e.described.looks, fmt.Sprintf("%s/%d", r.Stretch, r.Band))
}
