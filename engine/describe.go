package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxCycles is how many of the newest cycles tell what they scored an image: each is a file to read.
const maxCycles = 50

// Describe says what is known of one image.
func (s *Service) Describe(ctx context.Context, in *rpc.DescribeRequest) (*rpc.DescribeReply, error) {
	e := s.e
	e.mu.Lock()
	pool, fast, table := e.pool, e.fast, e.meta
	e.mu.Unlock()
	if pool == nil {
		return nil, status.Error(codes.Unavailable, "the images are still being listed")
	}
	i, ok := pool.Find(in.Id)
	if !ok {
		return nil, status.Error(codes.NotFound, "no such image in the project")
	}
	out := &rpc.DescribeReply{Fast: float32(math.NaN())}
	facts, err := pool.Facts(ctx, i)
	switch {
	case ctx.Err() != nil, errors.Is(err, dataset.ErrSource):
		return nil, err
	case err != nil:
		out.Facts = []*rpc.Fact{{Name: "unreadable", Value: err.Error()}}
	default:
		out.Facts = describe(facts)
	}
	entry := pool.Entry(i)
	out.Facts = append(out.Facts, &rpc.Fact{Name: "file", Value: size(entry.Size)})
	if entry.ModTime > 0 {
		out.Facts = append(out.Facts, &rpc.Fact{Name: "changed", Value: time.Unix(0, entry.ModTime).Format("2006-01-02 15:04")})
	}
	if table != nil {
		if err := known(table, i, out); err != nil {
			out.Metadata = []*rpc.Fact{{Name: "unreadable", Value: err.Error()}}
		}
	}
	files := score.Files(e.dir("scores"))
	for _, f := range slices.Backward(files[:min(len(files), maxCycles)]) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if h, value, rank, found := score.Place(f, pool.Hash(), i); found {
			out.Scores = append(out.Scores, &rpc.CycleScore{Cycle: int32(h.Cycle), Score: value, Rank: rank})
		}
	}
	if fast != nil && fast.head != nil {
		out.Fast = fast.scores[i]
		shares, bias := fast.head.Layers(i)
		out.Bias = float32(bias)
		for k, v := range shares {
			name := "head"
			if k < len(nn.TapBlocks) {
				name = "block " + strconv.Itoa(nn.TapBlocks[k])
			}
			out.Layers = append(out.Layers, &rpc.LayerShare{Layer: name, LogOdds: float32(v)})
		}
	}
	for _, ev := range e.opt.Labels.History("", 0) {
		if ev.ID == in.Id {
			out.History = append(out.History, &rpc.LabelEvent{Uid: ev.UID, By: ev.By, UnixMs: ev.Time.UnixMilli(),
				Change: &rpc.LabelChange{Id: ev.ID, To: string(ev.To), From: string(ev.From), Mark: ev.Mark}})
		}
	}
	return out, nil
}

// describe are the facts of a file in words.
func describe(f dataset.Facts) []*rpc.Fact {
	bands := "1 band"
	if f.Bands > 1 {
		bands = fmt.Sprintf("%d bands", f.Bands)
	}
	out := []*rpc.Fact{{Name: "size", Value: fmt.Sprintf("%d × %d pixels", f.W, f.H)}, {Name: "format", Value: fmt.Sprintf("%s, %s of %s", f.Format, bands, f.Type)}}
	var plain []*rpc.Fact
	for k, v := range f.Values {
		name := "values"
		if f.Bands > 1 {
			name = fmt.Sprintf("band %d", k+1)
		}
		odd := ""
		switch {
		case math.IsNaN(v.Mean):
			odd = "none is a finite number"
		case v.Min == v.Max:
			odd = "all " + number(v.Min)
		}
		if odd == "" {
			plain = append(plain, &rpc.Fact{Name: name, Value: fmt.Sprintf("%s … %s, mean %s", number(v.Min), number(v.Max), number(v.Mean))})
		}
		if v.Missing > 0 && !math.IsNaN(v.Mean) {
			odd = strings.TrimPrefix(odd+fmt.Sprintf(", %d are no finite number", v.Missing), ", ")
		}
		if odd != "" {
			out = append(out, &rpc.Fact{Name: name, Value: odd})
		}
	}
	out = append(out, plain...) // what is odd comes first: there may not be room for all
	return out
}

// number writes a value with four digits, a larger one as a whole number.
func number(v float64) string {
	if a := math.Abs(v); a >= 1e4 && a < 1e10 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// size writes a number of bytes.
func size(n int64) string {
	x, unit := float64(n), "bytes"
	for _, next := range []string{"kB", "MB", "GB"} {
		if x < 1000 {
			break
		}
		x, unit = x/1000, next
	}
	return strconv.FormatFloat(x, 'g', 3, 64) + " " + unit
}
