package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
)

// TestFilesThatComeAndGo: when files came, went and changed between two starts, only those that are new are embedded and scored; the others keep
// what they had, under their new numbers.
func TestFilesThatComeAndGo(t *testing.T) {
	p := newProject(t)
	sky := p.opt.Sources[0].Path
	p.start()
	p.until("embeddings", func(s *rpc.Status) bool {
		return s.Embedded && idle(s) && p.ranking("novelty", "all").RankedBy == "novelty"
	})
	first := p.ranking("novelty", "all")
	p.say(first.Items[0].Id, "anomaly")
	p.say(first.Items[1].Id, "normal")
	if r, err := p.Train(t.Context(), &rpc.TrainRequest{Iterations: 2, ThenScore: true}); err != nil || !r.Started {
		t.Fatal(r, err)
	}
	p.until("scores", func(s *rpc.Status) bool {
		if s.Error != "" {
			t.Fatal(s.Error)
		}
		return s.Cycle == 1 && idle(s)
	})
	old := p.e.pool
	hash := old.Hash()
	h, drawn, found := score.Latest(p.e.dir("scores"), hash)
	if !found {
		t.Fatal("no scores")
	}
	p.stop()
	for i := range drawn { // to be told from those of the network
		if drawn[i] == drawn[i] {
			drawn[i] = float32(i) / 1000
		}
	}
	if err := score.Write(p.e.dir("scores"), h, drawn); err != nil {
		t.Fatal(err)
	}
	keyOf := func(hash [32]byte) fast.Key { return fast.KeyOf(hash, 32, 1) }
	rowsOf := func(hash [32]byte) *fast.Embeddings {
		t.Helper()
		e, err := fast.Open(p.e.dir("embeddings"), keyOf(hash))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	was := rowsOf(hash)

	more := t.TempDir()
	if _, err := synth.Write(more, 3, synth.Params{Seed: 9, Size: 32}, nil); err != nil {
		t.Fatal(err)
	}
	pictures, _ := filepath.Glob(filepath.Join(more, "g*"))
	here, _ := filepath.Glob(filepath.Join(sky, "g*"))
	later := time.Now().Add(time.Minute)
	for _, err := range []error{os.Rename(pictures[0], filepath.Join(sky, "a.jpg")), os.Rename(pictures[1], filepath.Join(sky, "zz.jpg")),
		os.Rename(pictures[2], here[30]), os.Remove(here[10]), os.Remove(here[20]), os.Chtimes(here[40], later, later)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	p.until("the new list", func(*rpc.Status) bool {
		_, err := os.Stat(filepath.Join(p.opt.Dir, "index", "before.idx"))
		return err == nil
	})
	p.stop()
	p.start()
	s := p.until("all scored and embedded", func(s *rpc.Status) bool {
		if s.State == "embedding" && s.Detail == "" && s.Steps > 4 {
			t.Errorf("%d images are embedded", s.Steps)
		}
		_, err := os.Stat(filepath.Join(p.opt.Dir, "index", "before.idx"))
		return s.Embedded && idle(s) && os.IsNotExist(err)
	})
	pool := p.e.pool
	if s.Cycle != 1 || pool.Len() != old.Len() || pool.Hash() == hash {
		t.Errorf("cycle %d, %d images", s.Cycle, pool.Len())
	}
	now := rowsOf(pool.Hash())
	_, scores, found := score.Latest(p.e.dir("scores"), pool.Hash())
	if !found || now.Missing() != 0 || len(score.Missing(scores)) != 0 {
		t.Fatalf("scores found: %v; %d embeddings are missing, %d scores", found, now.Missing(), len(score.Missing(scores)))
	}
	stayed := 0
	a, b := make([]float32, now.Dims), make([]float32, now.Dims)
	for i := range pool.Len() {
		j, ok := old.Find(pool.ID(i))
		same := ok && old.Entry(j) == pool.Entry(i)
		if same {
			stayed++
			if had, has := was.Row(j, a), now.Row(i, b); had != has || had && !bytes.Equal(score.Bytes(a), score.Bytes(b)) {
				t.Errorf("%s: another embedding", pool.ID(i))
			}
		}
		drawnHere := same && scores[i] == drawn[j]
		if good := pool.ID(i) != "sky/broken.jpg"; good != (scores[i] == scores[i]) || good && drawnHere != same {
			t.Errorf("%s: score %v, stayed: %v", pool.ID(i), scores[i], same)
		}
	}
	if stayed != pool.Len()-4 {
		t.Errorf("%d of %d stayed", stayed, pool.Len())
	}
	p.until("the new ranking", func(*rpc.Status) bool { return len(p.ranking("fast", "all").Items) == pool.Len()-1 })
}

// TestDamagedEmbeddings: what was damaged on disk is left out of the ranking, said, and embedded again.
func TestDamagedEmbeddings(t *testing.T) {
	p := newProject(t)
	p.start()
	done := func(s *rpc.Status) bool { return s.Embedded && idle(s) }
	p.until("embeddings", done)
	p.stop()
	files, _ := filepath.Glob(filepath.Join(p.opt.Dir, "embeddings", "*.f16"))
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	whole, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	hurt := bytes.Clone(whole)
	hurt[5000] ^= 4
	if err := os.WriteFile(files[0], hurt, 0o666); err != nil {
		t.Fatal(err)
	}
	p.start()
	p.until("the file as it was", func(*rpc.Status) bool {
		now, err := os.ReadFile(files[0])
		return err == nil && bytes.Equal(now, whole)
	})
	p.until("all ranked", func(*rpc.Status) bool {
		r := p.ranking("novelty", "all")
		return r.RankedBy == "novelty" && len(r.Items) == 60
	})
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	said := 0
	for _, ev := range p.e.unheard {
		if strings.Contains(ev.GetNotice().GetText(), "embeddings of 32 images are damaged") {
			said++
		}
	}
	if said != 1 {
		t.Errorf("said %d times: %v", said, p.e.unheard)
	}
}
