package thumbs

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"

	"anomalymatch/engine/rpc"
)

// engine answers with pictures of its own making and remembers what it was asked for.
type engine struct {
	rpc.EngineClient
	asked []string
	last  *rpc.ThumbsRequest
	pool  string
}

// watched is a client that knows the pool.
func (c *client) watched(t *testing.T) *client {
	w, err := c.Watch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Recv()
	return c
}

func (e *engine) Watch(context.Context, *rpc.WatchRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[rpc.Event], error) {
	return &list[rpc.Event]{items: []*rpc.Event{{Status: &rpc.Status{PoolHash: e.pool}}}}, nil
}

func (e *engine) Thumbs(_ context.Context, in *rpc.ThumbsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[rpc.Thumb], error) {
	e.last = in
	s := &list[rpc.Thumb]{}
	for _, id := range in.Ids {
		e.asked = append(e.asked, id)
		t := &rpc.Thumb{Id: id, Png: []byte("picture of " + id + " in " + e.pool)}
		if id == "bad" {
			t = &rpc.Thumb{Id: id, Error: "damaged"}
		}
		s.items = append(s.items, t)
	}
	return s, nil
}

type list[T any] struct {
	grpc.ServerStreamingClient[T]
	items []*T
}

func (l *list[T]) Recv() (*T, error) {
	if len(l.items) == 0 {
		return nil, io.EOF
	}
	t := l.items[0]
	l.items = l.items[1:]
	return t, nil
}

func ask(t *testing.T, c rpc.EngineClient, px int32, ids ...string) (got []string) {
	t.Helper()
	w, err := c.Watch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Recv()
	s, err := c.Thumbs(t.Context(), &rpc.ThumbsRequest{Ids: ids, MaxPx: px})
	if err != nil {
		t.Fatal(err)
	}
	for {
		p, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.GetId()+": "+string(p.GetPng())+p.GetError())
	}
}

func TestPicturesCrossOnce(t *testing.T) {
	dir := t.TempDir()
	e := &engine{pool: "p1"}
	open := func() rpc.EngineClient {
		c, err := Open(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return c.Client(e, "hpc:rings")
	}
	want := []string{"a: picture of a in p1", "bad: damaged", "b: picture of b in p1"}
	if got := ask(t, open(), 64, "a", "bad", "b"); !slices.Equal(got, want) {
		t.Errorf("first: %q", got)
	}
	e.asked = nil
	if got := ask(t, open(), 64, "a", "bad", "b", "c"); !slices.Equal(got, append(want, "c: picture of c in p1")) || !slices.Equal(e.asked, []string{"bad", "c"}) {
		t.Errorf("again: %q, asked for %q", got, e.asked)
	}
	e.asked = nil
	if ask(t, open(), 128, "a"); !slices.Equal(e.asked, []string{"a"}) {
		t.Errorf("of another size: asked for %q", e.asked)
	}
	for _, in := range []*rpc.ThumbsRequest{{Ids: []string{"a"}, MaxPx: 64, Stretch: "asinh"}, {Ids: []string{"a"}, MaxPx: 64, Band: 1}} {
		e.asked, e.last = nil, nil
		stream, err := open().(*client).watched(t).Thumbs(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil || !slices.Equal(e.asked, []string{"a"}) || e.last.Stretch != in.Stretch || e.last.Band != in.Band {
			t.Errorf("%v: asked for %v, %v", in, e.last, err)
		}
	}
	// Other images under the same names.
	e.pool, e.asked = "p2", nil
	if got := ask(t, open(), 64, "a"); !slices.Equal(got, []string{"a: picture of a in p2"}) {
		t.Errorf("of another pool: %q", got)
	}
	// A damaged file is asked for again.
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		os.WriteFile(f, []byte("\xff\xff\xff"), 0o600)
	}
	if got := ask(t, open(), 64, "a"); !slices.Equal(got, []string{"a: picture of a in p2"}) {
		t.Errorf("damaged: %q", got)
	}
	// Nothing is kept while it is not known which images these are.
	e.pool, e.asked = "", nil
	c := open()
	ask(t, c, 64, "z")
	if ask(t, c, 64, "z"); len(e.asked) != 2 {
		t.Errorf("asked for %q", e.asked)
	}
}

func TestBudget(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"old", "new"} {
		path := filepath.Join(dir, name)
		os.WriteFile(path, make([]byte, 500), 0o600)
		when := time.Now().Add(time.Duration(i-2) * time.Hour)
		os.Chtimes(path, when, when)
	}
	c, err := Open(dir, 1000)
	if err != nil {
		t.Fatal(err)
	}
	c.Trim(1000)
	if list, _ := os.ReadDir(dir); len(list) != 1 || list[0].Name() != "new" {
		t.Errorf("kept: %v", list)
	}
	c.put("x", &rpc.Thumb{Png: make([]byte, 300)})
	c.put("y", &rpc.Thumb{Png: make([]byte, 300)})
	if list, _ := os.ReadDir(dir); len(list) != 2 {
		t.Errorf("more is kept than there is room for: %v", list)
	}
}
