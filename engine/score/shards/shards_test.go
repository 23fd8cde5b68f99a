package shards

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/score"
)

// plan of some images without any pool.
func plan(images, batch, n int) Plan {
	return Plan{Pool: strings.Repeat("ab", 32), Images: images, Checkpoint: "cycle-002-step-00050.safetensors", Cycle: 2, Step: 50, Size: 32, Batch: batch, Shards: Split(images, batch, n)}
}

// drawn is work that draws scores from a seed, a batch at a time; image number 7 of each hundred cannot be read.
func drawn(batch int, host string) Work {
	return Work{Host: host, Backend: "drawn",
		Rows: func(ctx context.Context, from, to int) iter.Seq2[[]float32, error] {
			return func(yield func([]float32, error) bool) {
				for i := from; i < to; i += batch {
					if ctx.Err() != nil {
						yield(nil, ctx.Err())
						return
					}
					if !yield(draw(i, min(i+batch, to)), nil) {
						return
					}
				}
			}
		},
		Bad: func(from, to int) (bad []dataset.BadImage) {
			for i := from; i < to; i++ {
				if i%100 == 7 {
					bad = append(bad, dataset.BadImage{ID: fmt.Sprintf("s/%d", i), Reason: "is empty"})
				}
			}
			return bad
		}}
}

func draw(from, to int) []float32 {
	rng := rand.New(rand.NewPCG(1, uint64(from)))
	out := make([]float32, to-from)
	for k := range out {
		if out[k] = float32(rng.IntN(5000)) / 5000; (from+k)%100 == 7 {
			out[k] = float32(math.NaN())
		}
	}
	return out
}

// straight is the score file that one machine makes of a plan.
func straight(t *testing.T, p Plan) []byte {
	t.Helper()
	var all []float32
	for i := 0; i < p.Images; i += p.Batch {
		all = append(all, draw(i, min(i+p.Batch, p.Images))...)
	}
	dir := t.TempDir()
	if err := score.Write(dir, score.Header{Pool: p.Pool, Cycle: p.Cycle, Step: p.Step, Backend: "drawn", Batch: p.Batch}, all); err != nil {
		t.Fatal(err)
	}
	return read(t, score.Path(dir, p.Cycle))
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func create(t *testing.T, dir string, p Plan) *Folder {
	t.Helper()
	f, err := Create(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func run(t *testing.T, f *Folder, shards ...int) {
	t.Helper()
	for _, shard := range shards {
		if err := f.Run(t.Context(), shard, drawn(f.Plan.Batch, "here")); err != nil {
			t.Fatal(err)
		}
	}
}

func status(t *testing.T, f *Folder) Status {
	t.Helper()
	s, err := f.Status()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func all(f *Folder) (out []int) {
	for shard := range f.Plan.Shards {
		out = append(out, shard)
	}
	return out
}

func TestSplit(t *testing.T) {
	for _, c := range []struct{ images, batch, n, want int }{
		{1000, 16, 8, 8}, {1000, 16, 63, 63}, {1000, 16, 100, 63}, {1000, 16, 0, 1}, {15, 16, 4, 1}, {16, 16, 4, 1}, {17, 16, 4, 2}, {100_000_000, 256, 1000, 1000}, {1, 1, 1, 1},
	} {
		got := Split(c.images, c.batch, c.n)
		if len(got) != c.want {
			t.Errorf("%+v: %d shards", c, len(got))
		}
		if err := plan(c.images, c.batch, c.n).check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		shortest, longest := c.images, 0
		for _, r := range got {
			shortest, longest = min(shortest, r.Len()), max(longest, r.Len())
		}
		if longest-shortest >= 2*c.batch {
			t.Errorf("%+v: shards of %d and of %d", c, shortest, longest)
		}
	}
}

// TestPlan: the folder follows from all that decides the scores; a plan that is damaged is not worked with, and is written anew.
func TestPlan(t *testing.T) {
	dir := t.TempDir()
	p := plan(1000, 16, 8)
	f := create(t, dir, p)
	for _, change := range []func(*Plan){
		func(*Plan) {},
		func(p *Plan) { p.Pool = strings.Repeat("cd", 32) },
		func(p *Plan) { p.SHA256 = "1" },
		func(p *Plan) { p.Shards = Split(1000, 16, 9) },
		func(p *Plan) { p.Program = "2" },
		func(p *Plan) { p.MaxBytes = 5 },
	} {
		q := plan(1000, 16, 8)
		change(&q)
		g := create(t, dir, q)
		text, _ := json.Marshal(p)
		other, _ := json.Marshal(q)
		if (g.Dir == f.Dir) != bytes.Equal(text, other) {
			t.Errorf("%s is the folder of %s", g.Dir, other)
		}
		if h, err := Open(g.Dir); err != nil || h.Name != g.Name || h.Plan.SHA256 != q.SHA256 || !slices.Equal(h.Plan.Shards, q.Shards) {
			t.Errorf("opened: %+v, %v", h, err)
		}
	}
	run(t, f, 3)
	file := filepath.Join(f.Dir, planFile)
	whole := read(t, file)
	for name, text := range map[string][]byte{"cut": whole[:40], "changed": bytes.Replace(whole, []byte(`"batch": 16`), []byte(`"batch": 8`), 1), "empty": nil, "other": []byte("[]")} {
		if err := os.WriteFile(file, text, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(f.Dir); err == nil || !strings.Contains(err.Error(), "is damaged: remove the folder") {
			t.Errorf("%s: %v", name, err)
		}
	}
	f = create(t, dir, p)
	if todo := f.Todo(); len(todo) != 7 || slices.Contains(todo, 3) {
		t.Errorf("planned again: %v are to do", todo)
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no plan") {
		t.Errorf("no plan: %v", err)
	}
	if _, err := Create(dir, Plan{}); err == nil {
		t.Error("a plan of nothing was kept")
	}

	// What nobody touched for long is removed with the next plan, what is in use is not.
	old := create(t, dir, plan(1000, 16, 20))
	before := time.Now().Add(-2 * forgotten)
	if err := os.Chtimes(old.Dir, before, before); err != nil {
		t.Fatal(err)
	}
	create(t, dir, p)
	if _, err := os.Stat(old.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an old folder is there: %v", err)
	}
	if list, _ := filepath.Glob(filepath.Join(dir, prefix+"*")); len(list) != 6 {
		t.Errorf("left: %v", list)
	}
}

// TestMergeIsTheStraightRun: whatever order the shards were run in, however often and by how many at once.
func TestMergeIsTheStraightRun(t *testing.T) {
	for _, c := range []struct{ images, batch, n int }{{1003, 16, 8}, {1003, 16, 1}, {1003, 16, 63}, {300, 7, 11}, {16, 16, 3}} {
		dir := t.TempDir()
		p := plan(c.images, c.batch, c.n)
		f := create(t, dir, p)
		rng := rand.New(rand.NewPCG(5, uint64(c.n)))
		for _, k := range rng.Perm(len(p.Shards)) {
			run(t, f, k)
		}
		before := read(t, f.manifest(0))
		run(t, f, all(f)...) // nothing is run again
		if !bytes.Equal(read(t, f.manifest(0)), before) {
			t.Error("a shard that was there was run again")
		}
		if err := os.Remove(f.manifest(0)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				g, err := Open(f.Dir)
				if err == nil {
					err = g.Run(t.Context(), 0, drawn(p.Batch, "elsewhere"))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		m, err := f.Merge(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, m.Path), straight(t, p)) {
			t.Errorf("%+v: the merged file is another one", c)
		}
		_, want, err := score.Top(m.Path, Kept)
		if err != nil || !slices.Equal(m.Top, want) {
			t.Errorf("%+v: top %v, want %v, %v", c, m.Top, want, err)
		}
		if bad := drawn(c.batch, "").Bad(0, c.images); !slices.Equal(m.Bad, bad) || m.Scored != c.images-len(bad) {
			t.Errorf("%+v: %d scored, bad %v", c, m.Scored, m.Bad)
		}
		if parts, _ := filepath.Glob(filepath.Join(f.Dir, ".*")); len(parts) > 0 {
			t.Errorf("left %v", parts)
		}
	}
}

// TestDamage: a shard that is not just what was written is never merged; it is named, and running again what is to do repairs it.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	p := plan(1003, 16, 8)
	f := create(t, dir, p)
	run(t, f, all(f)...)
	want := straight(t, p)
	flip := func(path string, at int) {
		b := read(t, path)
		b[(at+len(b))%len(b)] ^= 1
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	manifest := read(t, f.manifest(3))
	for name, c := range map[string]struct {
		damage func()
		says   string
	}{
		"no manifest":      {func() { os.Remove(f.manifest(3)) }, "number 3 is missing"},
		"nothing":          {func() { os.Remove(f.manifest(3)); os.Remove(f.scores(3)) }, "number 3 is missing"},
		"no scores":        {func() { os.Remove(f.scores(3)) }, "number 3 is damaged (3: its scores: it is gone)"},
		"cut scores":       {func() { os.Truncate(f.scores(3), 100) }, "number 3 is damaged (3: its scores are 100 bytes instead of"},
		"empty scores":     {func() { os.Truncate(f.scores(3), 0) }, "its scores are 0 bytes"},
		"first byte":       {func() { flip(f.scores(3), 0) }, "number 3 is damaged (3: its scores are damaged)"},
		"last byte":        {func() { flip(f.scores(3), -1) }, "its scores are damaged"},
		"empty manifest":   {func() { os.Truncate(f.manifest(3), 0) }, "its manifest is damaged"},
		"cut manifest":     {func() { os.Truncate(f.manifest(3), 50) }, "its manifest is damaged"},
		"another manifest": {func() { os.WriteFile(f.manifest(3), read(t, f.manifest(4)), 0o666) }, "its manifest is of another shard"},
		"a digit in it": {func() {
			os.WriteFile(f.manifest(3), bytes.Replace(manifest, []byte(`"score":0.9`), []byte(`"score":0.8`), 1), 0o666)
		}, "its manifest is damaged"},
		"scores of another": {func() { os.WriteFile(f.scores(3), read(t, f.scores(4))[:4*p.Shards[3].Len()], 0o666) }, "its scores are damaged"},
		"two":               {func() { os.Remove(f.manifest(6)); os.Remove(f.manifest(3)); flip(f.scores(7), 9) }, "of 8 shards 2 (3,6) are missing, number 7 is damaged (7: its scores are damaged); score again"},
	} {
		c.damage()
		os.Remove(score.Path(dir, p.Cycle))
		_, err := f.Merge(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: merged, %v", name, err)
		}
		if _, err := os.Stat(score.Path(dir, p.Cycle)); err == nil {
			t.Errorf("%s: there is a score file", name)
		}
		if todo := f.Todo(); !slices.Contains(todo, 3) {
			t.Errorf("%s: to do %v", name, todo)
		}
		run(t, f, f.Todo()...)
		m, err := f.Merge(t.Context())
		if err != nil || !bytes.Equal(read(t, m.Path), want) {
			t.Errorf("%s: after running again: %v, or another file", name, err)
		}
	}
}

// TestStatus: what is done, what runs, what is not there, by host; asked again it sees what changed.
func TestStatus(t *testing.T) {
	f := create(t, t.TempDir(), plan(1003, 16, 8))
	if s := status(t, f); s.Done != 0 || len(s.Missing) != 8 || s.Images != 1003 || s.Scored != 0 {
		t.Errorf("at first %+v", s)
	}
	run(t, f, 0, 2)
	os.Truncate(f.manifest(2), 10)
	if err := f.Run(t.Context(), 5, drawn(16, "there")); err != nil {
		t.Fatal(err)
	}
	// One that runs, and one whose worker was killed long ago.
	begun, goOn := make(chan struct{}), make(chan struct{})
	slow := drawn(16, "there")
	slow.Report = func(done int) {
		if done == 48 {
			close(begun)
			<-goOn
		}
	}
	ended := make(chan error)
	g, err := Open(f.Dir)
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- g.Run(t.Context(), 6, slow) }()
	<-begun
	for limit := time.Now().Add(time.Minute); status(t, f).Scored <= 240 && time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
	}
	text, _ := json.Marshal(note{Host: "dead", Done: 20, Total: 128, Speed: 5})
	before := time.Now().Add(-2 * fresh)
	if err := errors.Join(os.WriteFile(f.progress(7), text, 0o666), os.Chtimes(f.progress(7), before, before)); err != nil {
		t.Fatal(err)
	}
	s := status(t, f)
	if s.Done != 2 || s.Running != 1 || !slices.Equal(s.Missing, []int{1, 3, 4, 7}) || !slices.Equal(s.Damaged, []int{2}) || s.Scored != f.Plan.Shards[0].Len()+f.Plan.Shards[5].Len()+48 {
		t.Errorf("%+v", s)
	}
	if len(s.Hosts) != 2 || s.Hosts[0].Name != "here" || s.Hosts[0].Done != 1 || s.Hosts[1].Name != "there" || s.Hosts[1].Done != 1 || s.Hosts[1].Running != 1 || s.Hosts[1].Images != f.Plan.Shards[5].Len()+48 {
		t.Errorf("hosts %+v", s.Hosts)
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	run(t, f, 1, 2, 3, 4, 7)
	os.Remove(f.scores(5))
	if s := status(t, f); s.Done != 7 || s.Running != 0 || !slices.Equal(s.Damaged, []int{5}) || s.Scored != 1003-f.Plan.Shards[5].Len() {
		t.Errorf("in the end %+v", s)
	}
	if list, _ := filepath.Glob(filepath.Join(f.Dir, "*.progress")); len(list) != 0 {
		t.Errorf("left %v", list)
	}
}

// TestEndedInBetween: the end of ctx leaves nothing, and an error of the work neither.
func TestEndedInBetween(t *testing.T) {
	f := create(t, t.TempDir(), plan(1003, 16, 8))
	ctx, cancel := context.WithCancel(t.Context())
	w := drawn(16, "here")
	w.Report = func(done int) {
		if done == 32 {
			cancel()
		}
	}
	if err := f.Run(ctx, 1, w); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	short := drawn(16, "here")
	short.Rows = func(_ context.Context, from, to int) iter.Seq2[[]float32, error] {
		return func(yield func([]float32, error) bool) { yield(draw(from, to-1), nil) }
	}
	if err := f.Run(t.Context(), 1, short); err == nil {
		t.Error("a shard of too few scores was kept")
	}
	if err := f.Run(t.Context(), 8, w); err == nil || f.Run(t.Context(), -1, w) == nil {
		t.Error("a shard that is not in the plan")
	}
	if files, _ := os.ReadDir(f.Dir); len(files) != 1 {
		t.Errorf("left %v", files)
	}
	run(t, f, all(f)...)
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := f.Merge(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("merge: %v", err)
	}
}

// TestKilled: a worker that is killed in the middle of a shard is seen to be gone after a while, and the shard is run again.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("SHARDS_TEST_WORKER"); dir != "" {
		f, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		w := drawn(16, "doomed")
		w.Report = func(done int) {
			if done == 64 {
				fmt.Println("begun")
				select {}
			}
		}
		t.Fatal(f.Run(context.Background(), 1, w))
	}
	p := plan(1003, 16, 8)
	f := create(t, t.TempDir(), p)
	worker := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	worker.Env = append(os.Environ(), "SHARDS_TEST_WORKER="+f.Dir)
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(n, err)
	}
	if s := status(t, f); s.Running != 1 || slices.Contains(s.Missing, 1) {
		t.Errorf("it runs: %+v", s)
	}
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	worker.Wait()
	part := filepath.Join(f.Dir, ".shard-00001.scores-00000000.part") // as if it had been killed while writing
	before := time.Now().Add(-2 * leftover)
	if err := errors.Join(os.WriteFile(part, []byte("half"), 0o666), os.Chtimes(part, before, before), os.Chtimes(f.progress(1), before, before)); err != nil {
		t.Fatal(err)
	}
	if s := status(t, f); s.Running != 0 || len(s.Missing) != 8 {
		t.Errorf("it is gone: %+v", s)
	}
	run(t, f, f.Todo()...)
	m, err := f.Merge(t.Context())
	if err != nil || !bytes.Equal(read(t, m.Path), straight(t, p)) {
		t.Errorf("merged: %v, or another file", err)
	}
	if files, _ := os.ReadDir(f.Dir); len(files) != 1+2*8 {
		t.Errorf("left %v", files)
	}
}

func TestShare(t *testing.T) {
	seen := map[int]int{}
	for task := range 3 {
		for _, shard := range Share([]int{2, 3, 5, 8}, task, 3) {
			seen[shard]++
		}
	}
	if len(seen) != 4 || seen[2] != 1 || seen[3] != 1 || seen[5] != 1 || seen[8] != 1 {
		t.Errorf("tasks have %v", seen)
	}
	if got := Share([]int{1, 2}, 9, 20); len(got) != 0 {
		t.Errorf("a task too many has %v", got)
	}
}

func TestList(t *testing.T) {
	p := plan(1003, 16, 20)
	for want, shards := range map[string][]int{"3": {3}, "3,7-9,12": {3, 7, 8, 9, 12}, "0-2": {0, 1, 2}, "0-19": all(&Folder{Plan: p})} {
		if got := List(shards); got != want {
			t.Errorf("%v: %q, want %q", shards, got, want)
		}
		if got, err := p.Select(want); err != nil || !slices.Equal(got, shards) {
			t.Errorf("%q: %v, %v", want, got, err)
		}
	}
	if got, err := p.Select(""); err != nil || len(got) != 20 {
		t.Errorf("all: %v, %v", got, err)
	}
	for _, list := range []string{",", "x", "3-", "-3", "5-3", "20", "3,,4", "0-20", "1-2-3"} {
		if got, err := p.Select(list); err == nil {
			t.Errorf("%q is %v", list, got)
		}
	}
	if got := shardsAre([]int{1, 11, 21, 31, 41, 51, 61, 71, 81, 91, 101, 111, 121, 131, 141, 151, 161, 171, 181, 191}); got != "20 (1,11,21,31,41,51,61,71,81,91,101,111,121,131,141,151,161,…) are" {
		t.Errorf("many: %q", got)
	}
}
