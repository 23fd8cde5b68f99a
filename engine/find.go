package engine

import (
	"context"
	"iter"
	"math/bits"
	"slices"
	"strings"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/rpc"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// matching is which images of a pool have a text in their ids, a bit an image.
type matching struct {
	pool *dataset.Pool
	text string // in lower case
	bits []uint64
}

func (m matching) has(i int32) bool { return m.bits[i>>6]&(1<<(i&63)) != 0 }

// matches looks for a text, in lower case, in all ids of the pool. The answer for the last text is kept: the next match is asked for
// soon, and the ids of a million images are 40 MB.
func (e *Engine) matches(ctx context.Context, pool *dataset.Pool, text string) (matching, error) {
	e.mu.Lock()
	m := e.hits
	e.mu.Unlock()
	if m.pool == pool && m.text == text {
		return m, nil
	}
	found, err := pool.Holding(ctx, text)
	if err != nil {
		return m, status.FromContextError(err).Err()
	}
	m = matching{pool, text, found}
	e.mu.Lock()
	e.hits = m
	e.mu.Unlock()
	return m, nil
}

// among yields the places in images, the beginning of the list or all of it, of those that have the text, in their order.
func (m matching) among(l *list, images []int32) iter.Seq[int] {
	return func(yield func(int) bool) {
		n := 0
		for _, b := range m.bits {
			n += bits.OnesCount64(b)
		}
		if l.inOrder() && n < len(images)/64 {
			found := make([]int32, 0, n)
			for w, b := range m.bits {
				for ; b != 0; b &= b - 1 {
					found = append(found, int32(64*w+bits.TrailingZeros64(b)))
				}
			}
			if places, ok := l.r.places(images, found); ok {
				for _, at := range places {
					if !yield(at) {
						return
					}
				}
				return
			}
		}
		for k, i := range images {
			if m.has(i) && !yield(k) {
				return
			}
		}
	}
}

// maxMatch is the longest text that is looked for, bytes.
const maxMatch = 4096

// Find goes through the places of a list, of which the request's limit, where it has one, leaves the first: the queue ends at its cut.
func (s *Service) Find(ctx context.Context, in *rpc.FindRequest) (*rpc.FindReply, error) {
	e := s.e
	if in.Match == "" || len(in.Match) > maxMatch {
		return nil, status.Errorf(codes.InvalidArgument, "a text to look for has 1 to %d bytes", maxMatch)
	}
	request := &rpc.RankingRequest{}
	if in.List != nil {
		request = proto.Clone(in.List).(*rpc.RankingRequest)
	}
	request.Match = ""
	v := e.view(request.By)
	if v.pool == nil {
		return &rpc.FindReply{}, nil
	}
	l, err := e.list(ctx, v, request)
	if err != nil {
		return nil, err
	}
	hits, err := e.matches(ctx, v.pool, strings.ToLower(in.Match))
	if err != nil {
		return nil, err
	}
	out := &rpc.FindReply{}
	first, last, before, after := int64(-1), int64(-1), int64(-1), int64(-1)
	if len(l.more) > 0 { // what was folded into an image is found there
		own := hits
		hits.bits = slices.Clone(own.bits)
		for i, others := range l.more {
			if slices.ContainsFunc(others, own.has) {
				hits.bits[i>>6] |= 1 << (i & 63)
			}
		}
	}
	images := l.images
	if n := in.List.GetLimit(); n > 0 {
		images = images[:min(n, int64(len(images)))]
	}
	for k := range hits.among(l, images) {
		at := int64(k)
		out.Matches++
		if last = at; first < 0 {
			first = at
		}
		if at < in.From {
			before = at
		}
		if at > in.From && after < 0 {
			after = at
		}
	}
	if out.Place = after; in.Back {
		out.Place = before
	}
	if out.Place < 0 { // round the end
		if out.Place = first; in.Back {
			out.Place = last
		}
	}
	if out.Found = out.Place >= 0; out.Found {
		out.Id = v.pool.ID(int(l.images[out.Place]))
	} else {
		out.Place = 0
	}
	return out, nil
}
