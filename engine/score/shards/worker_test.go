//go:build !race

package shards

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
)

// The Go backend is not clean under the race detector.

// sky is a folder of 45 galaxies, of which some files are no pictures: the first ones, one in the middle, one in the last batch.
type sky struct {
	dir, checkpoints string
	sources          []dataset.NamedSource
	info             fixmatch.Info
}

const images = 45

func newSky(t *testing.T) sky {
	t.Helper()
	s := sky{dir: t.TempDir(), info: fixmatch.Info{Cycle: 1, RunStep: 2, RunSteps: 2, Size: 32}}
	pictures := filepath.Join(s.dir, "sky")
	s.checkpoints, s.sources = filepath.Join(s.dir, "checkpoints"), []dataset.NamedSource{{Name: "sky", Path: pictures}}
	if _, err := synth.Write(pictures, images, synth.Params{Seed: 3, Size: 40, Rare: 0.1}, nil); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(pictures, "*"))
	if err != nil || len(list) != images {
		t.Fatal(list, err)
	}
	for _, i := range []int{0, 1, 19, 42} {
		if err := os.WriteFile(list[i], []byte("no picture"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	if err := fixmatch.WriteCheckpoint(s.checkpoints, fixmatch.NewState(w), s.info); err != nil {
		t.Fatal(err)
	}
	return s
}

// pool opens the images with what is remembered in the folder index.
func (s sky) pool(t *testing.T, index string) *dataset.Pool {
	t.Helper()
	pool, err := dataset.OpenPool(t.Context(), filepath.Join(s.dir, index), s.sources, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

// straight scores the pool as the engine does, some times over, and returns the score files.
func (s sky) straight(t *testing.T, pool *dataset.Pool, backend string, batch, times int) (files [][]byte) {
	t.Helper()
	o, err := runtime.Open(runtime.Infer, backend)
	if err != nil {
		t.Fatal(err)
	}
	state, _, err := fixmatch.ReadCheckpoint(filepath.Join(s.checkpoints, s.info.File()))
	if err != nil {
		t.Fatal(err)
	}
	m, err := nn.NewModel(o, state.Scoring())
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for range times {
		batch := score.Batch(batch, s.info.Size, pool.Len())
		scores, err := score.Pool(t.Context(), pool, m, score.Options{Size: s.info.Size, Batch: batch, Workers: 3})
		if err != nil {
			t.Fatal(err)
		}
		hash, dir := pool.Hash(), t.TempDir()
		if err := score.Write(dir, score.Header{Pool: hex.EncodeToString(hash[:]), Cycle: s.info.Cycle, Step: s.info.RunStep, Backend: m.Backend(), Batch: batch}, scores); err != nil {
			t.Fatal(err)
		}
		files = append(files, read(t, score.Path(dir, s.info.Cycle)))
	}
	return files
}

// TestNetworkInShards: the network's scores in shards are the bytes of one run over the whole pool, with images that cannot be read among
// them, whether that is known before or not, and whatever was run twice.
func TestNetworkInShards(t *testing.T) {
	for _, backend := range []string{"go", "xla"} {
		t.Run(backend, func(t *testing.T) {
			if _, err := runtime.Open(runtime.Infer, backend); err != nil {
				if os.Getenv("CI") != "" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			s := newSky(t)
			whole := s.pool(t, "whole")
			runs := s.straight(t, whole, backend, 4, 2)
			want := runs[0]
			if !bytes.Equal(runs[1], want) {
				t.Error("the straight run is another one once the bad images are known")
			}
			p, err := New(s.pool(t, "index"), dataset.Limits{}, s.checkpoints, s.info, 4, 5)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(p.Shards); got != "[{0 8} {8 16} {16 28} {28 36} {36 45}]" {
				t.Fatalf("shards %s", got)
			}
			f := create(t, filepath.Join(s.dir, "scores"), p)
			work := func(shards ...int) {
				t.Helper()
				pool := s.pool(t, "index") // a machine of its own: it knows no bad images
				pool.Share()
				w := Worker{Folder: f, Pool: pool, Checkpoints: s.checkpoints, Runtime: backend, Threads: 2, Host: "here"}
				if err := w.Run(t.Context(), shards); err != nil {
					t.Fatal(err)
				}
			}
			work(4, 0, 2)
			for _, shard := range []int{2, 4} {
				if err := os.Remove(f.manifest(shard)); err != nil {
					t.Fatal(err)
				}
			}
			work(0, 1, 2, 3, 4)
			m, err := f.Merge(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, m.Path), want) {
				t.Error("the merged file is not the straight run's")
			}
			if !slices.Equal(m.Bad, whole.Bad()) || len(m.Bad) != 4 || m.Scored != images-4 || len(m.Backends) != 1 {
				t.Errorf("bad %v, want %v; %d scored on %v", m.Bad, whole.Bad(), m.Scored, m.Backends)
			}
			// The bad images come to the project with the merge, not from the workers.
			if bad := s.pool(t, "index").Bad(); len(bad) > 0 {
				t.Errorf("workers wrote %v", bad)
			}
		})
	}
}

// TestChanges: another pool, checkpoint or program than the plan's is said and nothing is scored.
func TestChanges(t *testing.T) {
	s := newSky(t)
	p, err := New(s.pool(t, "index"), dataset.Limits{}, s.checkpoints, s.info, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*Plan){
		"the images of the project changed since the shards were planned: plan again":            func(p *Plan) { p.Pool = strings.Repeat("0", 64) },
		"the checkpoint cycle-001-step-00002.safetensors changed since the shards were planned":  func(p *Plan) { p.SHA256 = strings.Repeat("0", 64) },
		"the checkpoint cycle-009-step-00002.safetensors of the plan cannot be read: it is gone": func(p *Plan) { p.Checkpoint = "cycle-009-step-00002.safetensors" },
		"the plan was made by version 0.0.0 of the program, and this is":                         func(p *Plan) { p.Program = "0.0.0" },
	} {
		p := p
		change(&p)
		w := Worker{Folder: create(t, filepath.Join(s.dir, "scores"), p), Pool: s.pool(t, "index"), Checkpoints: s.checkpoints, Runtime: "go", Threads: 1}
		if err := w.Run(t.Context(), []int{0}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
	if _, err := New(s.pool(t, "index"), dataset.Limits{}, t.TempDir(), s.info, 4, 3); err == nil || !strings.Contains(err.Error(), "it is gone") {
		t.Errorf("a plan without a checkpoint: %v", err)
	}
}
