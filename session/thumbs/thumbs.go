// Package thumbs keeps the pictures that came over a link on this machine, so that they cross it once.
package thumbs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"anomalymatch/engine/rpc"
	"anomalymatch/internal/age"
	"anomalymatch/internal/failpoint"
)

// Budget is how many bytes of pictures are kept; what was not looked at for longest goes first: Trim.
const Budget = 256 << 20

// Cache is a folder of pictures. All methods may be called from several goroutines, and several processes may use one folder.
type Cache struct {
	dir string

	mu   sync.Mutex
	room int64 // bytes that may still be written
}

// Folder is where pictures are kept: below the person's folder for such things.
func Folder() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "anomalymatch", "thumbs"), err
}

// Open opens a folder of pictures, made where it is missing. A quarter of the budget is for this sitting, until Trim has found more.
func Open(dir string, budget int64) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Cache{dir: dir, room: budget / 4}, nil
}

// Trim removes what was not looked at for longest, where there is more than three quarters of the budget. It looks at every file: nobody should wait.
func (c *Cache) Trim(budget int64) {
	list, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	type file struct {
		name string
		size int64
		used time.Time
	}
	var files []file
	for _, d := range list {
		if st, err := d.Info(); err == nil && st.Mode().IsRegular() {
			path := filepath.Join(c.dir, d.Name())
			if strings.HasPrefix(d.Name(), partPrefix) && age.Of(path, st) > 24*time.Hour { // of a process that was killed
				os.Remove(path)
				continue
			}
			files = append(files, file{d.Name(), st.Size(), st.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return b.used.Compare(a.used) })
	left := budget
	for _, f := range files {
		if left-f.size < budget/4 {
			os.Remove(filepath.Join(c.dir, f.name))
			continue
		}
		left -= f.size
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room += left - budget/4 // what was written meanwhile has come off already
}

// Client keeps the pictures of an engine in the cache. of names whose images they are: host and project.
func (c *Cache) Client(engine rpc.EngineClient, of string) rpc.EngineClient {
	return &client{EngineClient: engine, cache: c, of: of}
}

// client is an engine whose pictures come from the cache where it has them.
type client struct {
	rpc.EngineClient
	cache *Cache
	of    string

	mu   sync.Mutex
	pool string // hash, from the status; without it nothing is known to be the same picture
}

// Watch learns which images these are.
func (c *client) Watch(ctx context.Context, in *rpc.WatchRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[rpc.Event], error) {
	s, err := c.EngineClient.Watch(ctx, in, opts...)
	if err != nil {
		return nil, err
	}
	return &watch{s, c}, nil
}

type watch struct {
	grpc.ServerStreamingClient[rpc.Event]
	c *client
}

func (w *watch) Recv() (*rpc.Event, error) {
	e, err := w.ServerStreamingClient.Recv()
	if s := e.GetStatus(); s != nil {
		w.c.mu.Lock()
		w.c.pool = s.GetPoolHash()
		w.c.mu.Unlock()
	}
	return e, err
}

// Thumbs asks the engine for the pictures that are not here.
func (c *client) Thumbs(ctx context.Context, in *rpc.ThumbsRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[rpc.Thumb], error) {
	c.mu.Lock()
	pool := c.pool
	c.mu.Unlock()
	if pool == "" {
		return c.EngineClient.Thumbs(ctx, in, opts...)
	}
	s := &stream{ids: in.Ids, here: map[string]*rpc.Thumb{}, keep: func(t *rpc.Thumb) { c.cache.put(c.name(pool, t.GetId(), in), t) }}
	ask := &rpc.ThumbsRequest{MaxPx: in.MaxPx, Compact: in.Compact, Stretch: in.Stretch, Band: in.Band}
	for _, id := range in.Ids {
		if t := c.cache.get(c.name(pool, id, in)); t.GetId() == id {
			s.here[id] = t
		} else {
			ask.Ids = append(ask.Ids, id)
		}
	}
	if len(ask.Ids) > 0 {
		var err error
		if s.ServerStreamingClient, err = c.EngineClient.Thumbs(ctx, ask, opts...); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (c *client) name(pool, id string, in *rpc.ThumbsRequest) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "2\x00%s\x00%s\x00%s\x00%d\x00%t\x00%s\x00%d", c.of, pool, id, in.MaxPx, in.Compact, in.Stretch, in.Band)) // 2: with Thumb.bands
	return hex.EncodeToString(sum[:16])
}

// stream is the pictures in the order asked for, from here and from there.
type stream struct {
	grpc.ServerStreamingClient[rpc.Thumb] // of what is not here; nil: all is
	ids                                   []string
	here                                  map[string]*rpc.Thumb
	keep                                  func(*rpc.Thumb)
}

func (s *stream) Recv() (*rpc.Thumb, error) {
	if len(s.ids) == 0 {
		return nil, io.EOF
	}
	id := s.ids[0]
	s.ids = s.ids[1:]
	if t, ok := s.here[id]; ok {
		return t, nil
	}
	t, err := s.ServerStreamingClient.Recv()
	if err == nil && t.GetError() == "" {
		s.keep(t)
	}
	return t, err
}

// get returns nil where there is no such picture.
func (c *Cache) get(name string) *rpc.Thumb {
	path := filepath.Join(c.dir, name)
	b, err := os.ReadFile(path)
	t := new(rpc.Thumb)
	if err != nil || proto.Unmarshal(b, t) != nil {
		return nil
	}
	now := time.Now()
	_ = os.Chtimes(path, now, now) // looked at
	return t
}

const partPrefix = "part-"

// put keeps a picture, if there is room. That it cannot be kept is nobody's trouble.
func (c *Cache) put(name string, t *rpc.Thumb) {
	b, err := proto.Marshal(t)
	if err != nil {
		return
	}
	c.mu.Lock()
	c.room -= int64(len(b))
	room := c.room
	c.mu.Unlock()
	if room < 0 {
		return
	}
	f, err := os.CreateTemp(c.dir, partPrefix)
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if err = cmp.Or(err, f.Close()); err == nil {
		failpoint.Hit(failpoint.ThumbWhole)
		err = os.Rename(f.Name(), filepath.Join(c.dir, name))
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
