package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"

	"google.golang.org/grpc"
)

// readings is a project's file with readings of its sources, in memory.
type readings struct {
	fileOf
	sources []dataset.NamedSource
	fail    error
}

func (f *readings) SetReading(source string, r dataset.Reading) error {
	if f.fail != nil {
		return f.fail
	}
	i := slices.IndexFunc(f.sources, func(s dataset.NamedSource) bool { return s.Name == source })
	f.sources = slices.Clone(f.sources)
	f.sources[i].Reading = r
	return nil
}

// previews is what Preview sends.
type previews struct {
	grpc.ServerStream
	ctx  context.Context
	sent []*rpc.PreviewReply
}

func (p *previews) Context() context.Context       { return p.ctx }
func (p *previews) Send(r *rpc.PreviewReply) error { p.sent = append(p.sent, r); return nil }

// TestAnotherReading: read in another way a source keeps its labels and loses its embeddings and scores; another source keeps all of it.
func TestAnotherReading(t *testing.T) {
	p := newProject(t)
	other := t.TempDir()
	if _, err := synth.Write(other, 20, synth.Params{Seed: 5, Size: 32}, nil); err != nil {
		t.Fatal(err)
	}
	p.opt.Sources = append(p.opt.Sources, dataset.NamedSource{Name: "other", Path: other})
	file := &readings{sources: p.opt.Sources}
	p.opt.Settings = file
	var ended error
	start := func() {
		t.Helper()
		p.opt.Sources = file.sources
		e := New(p.opt)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { ended = e.Run(ctx); close(done) }()
		p.Service, p.stop = e.Service(), func() { cancel(); <-done }
		t.Cleanup(p.stop)
	}
	start()
	embedded := func(s *rpc.Status) bool { return s.Embedded && idle(s) }
	p.until("embeddings", embedded)

	in, err := p.Preparation(t.Context(), &rpc.PreparationRequest{Source: "sky", Images: 4, Seed: 1, Also: p.e.pool.ID(25)})
	if err != nil || in.Source != "sky" || in.Size != 32 || len(in.Sources) != 2 || in.Sources[0].Images != 61 || in.Sources[1].Images != 20 || !slices.Contains(in.Stretches, "asinh") {
		t.Fatal(in, err)
	}
	if len(in.Ids) < 4 || in.Ids[0] != p.e.pool.ID(25) || slices.ContainsFunc(in.Ids, func(id string) bool { return !strings.HasPrefix(id, "sky/") }) {
		t.Errorf("%q", in.Ids)
	}
	if _, err := p.Preparation(t.Context(), &rpc.PreparationRequest{Source: "none"}); err == nil {
		t.Error("a source that is not there")
	}
	seen := &previews{ctx: t.Context()}
	if err := p.Preview(&rpc.PreviewRequest{Ids: []string{in.Ids[0], "sky/broken.jpg", "x"}, Readings: []*rpc.Reading{{}, {Stretch: "log"}, {Channels: "1 1"}}}, seen); err != nil || len(seen.sent) != 9 {
		t.Fatal(err, len(seen.sent))
	}
	for k, want := range []string{"", "", "has 3 bands, and the setting channels weighs 2", "is", "is", "is", "is no image", "is no image", "is no image"} {
		r := seen.sent[k]
		if (r.Error == "") != (want == "") || !strings.Contains(r.Error, want) || (len(r.Png) > 0) != (want == "") || int(r.Reading) != k%3 {
			t.Errorf("%d: %v", k, r)
		}
	}
	if err := p.Preview(&rpc.PreviewRequest{Ids: make([]string, 1000)}, seen); err == nil {
		t.Error("a thousand images")
	}

	from, to := p.e.pool.In("other")
	p.say(p.e.pool.ID(to+1), "anomaly") // of sky, which comes after other
	p.say(p.e.pool.ID(to+2), "normal")
	p.say(p.e.pool.ID(from), "normal")
	said := p.labels.Current()
	if r, err := p.Train(t.Context(), &rpc.TrainRequest{Iterations: 1, ThenScore: true}); err != nil || !r.Started {
		t.Fatal(r, err)
	}
	asinh := &rpc.SetReadingRequest{Source: "sky", Reading: &rpc.Reading{Stretch: "asinh"}}
	refused := func(in *rpc.SetReadingRequest, want string) {
		t.Helper()
		if r, err := p.SetReading(t.Context(), in); err != nil || r.Started || !strings.Contains(r.Reason, want) {
			t.Errorf("%v, %v: want %s", r, err, want)
		}
	}
	refused(asinh, "training is") // running, or about to start
	p.until("scores", func(s *rpc.Status) bool {
		if s.Error != "" {
			t.Fatal(s.Error)
		}
		return s.Cycle == 1 && embedded(s)
	})
	refused(&rpc.SetReadingRequest{Source: "sky"}, "are read so already")
	refused(&rpc.SetReadingRequest{Reading: asinh.Reading}, "no such source")
	refused(&rpc.SetReadingRequest{Source: "sky", Reading: &rpc.Reading{Stretch: "cubic"}}, "not known")
	refused(&rpc.SetReadingRequest{Source: "sky", Reading: &rpc.Reading{Channels: "2"}}, "all sources of a project give as many")
	file.fail = errors.New("the disk is full")
	refused(asinh, "the disk is full")
	file.fail = nil

	hash, n := p.e.pool.Hash(), p.e.pool.Len()
	old, err := fast.Open(p.e.dir("embeddings"), fast.KeyOf(hash, 32, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if r, err := p.SetReading(t.Context(), asinh); err != nil || !r.Started {
		t.Fatal(r, err)
	}
	<-p.e.over
	p.stop()
	p.e.Close()
	if !errors.Is(ended, ErrReopen) || file.sources[0].Reading != (dataset.Reading{Stretch: "asinh"}) || file.sources[1].Reading != (dataset.Reading{}) {
		t.Fatalf("ended with %v; the file says %+v", ended, file.sources)
	}

	start()
	s := p.until("embeddings of what is read in another way", func(s *rpc.Status) bool {
		if s.State == "embedding" && s.Detail == "" && s.Steps > 61 {
			t.Errorf("%d images are embedded", s.Steps)
		}
		_, err := os.Stat(filepath.Join(p.opt.Dir, "index", "before.idx"))
		return embedded(s) && os.IsNotExist(err)
	})
	if p.e.pool.Hash() == hash || p.e.pool.Len() != n || s.Anomalies != 1 || s.Normals != 2 || len(p.labels.Current()) != len(said) {
		t.Errorf("%d of %d images, %v", p.e.pool.Len(), n, s)
	}
	for id, v := range said {
		if i, ok := p.e.pool.Find(id); !ok || p.e.of.at(int32(i)) != v {
			t.Errorf("%s was %s", id, v)
		}
	}
	now, err := fast.Open(p.e.dir("embeddings"), fast.KeyOf(p.e.pool.Hash(), 32, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	a, b := make([]float32, now.Dims), make([]float32, now.Dims)
	for i := range n {
		had, has := old.Row(i, a), now.Row(i, b)
		same, stays := string(score.Bytes(a)) == string(score.Bytes(b)), strings.HasPrefix(p.e.pool.ID(i), "other/")
		if had != has || had && same != stays {
			t.Errorf("%s: the same embedding: %v", p.e.pool.ID(i), same)
		}
	}
}
