package fast

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
)

// change makes a sky another one: some images come, some go, one has another picture and one only another time.
func change(t *testing.T, sky string, seed uint64) {
	t.Helper()
	more := filepath.Join(t.TempDir(), "more")
	if _, err := synth.Write(more, 4, synth.Params{Seed: seed, Size: 48, Rare: 0.5, RareKind: synth.Ring}, nil); err != nil {
		t.Fatal(err)
	}
	pictures, _ := filepath.Glob(filepath.Join(more, "*"))
	here, _ := filepath.Glob(filepath.Join(sky, "g*"))
	rng := rand.New(rand.NewPCG(seed, 0))
	rng.Shuffle(len(here), func(i, j int) { here[i], here[j] = here[j], here[i] })
	for k, to := range []string{filepath.Join(sky, "a first.jpg"), here[0][:len(here[0])-4] + "y.jpg", filepath.Join(sky, "z last.jpg"), here[1]} {
		if err := os.Rename(pictures[k], to); err != nil {
			t.Fatal(err)
		}
	}
	later := time.Now().Add(time.Minute)
	for _, err := range []error{os.Remove(here[2]), os.Remove(here[3]), os.Chtimes(here[4], later, later), os.Chtimes(here[1], later, later)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// reopened is the pool after its sources were listed again, and what it knows of the list before.
func reopened(t *testing.T, index, sky string) (*dataset.Pool, *dataset.Before) {
	t.Helper()
	open := func() *dataset.Pool {
		p, err := dataset.OpenPool(t.Context(), index, []dataset.NamedSource{{Name: "sky", Path: sky}}, dataset.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	if _, err := open().Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := open()
	before, err := p.Before(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p, before
}

// When files came, went and changed, only what is new is embedded, and the file is the one that embedding everything makes, byte for byte: of
// embeddings that were finished, of ones that were not, and again after a second change. One image a batch: the last digits of what the network says
// of one depend on its place among others.
func TestCarry(t *testing.T) {
	o, err := runtime.Open(runtime.Infer, "go")
	if err != nil {
		t.Fatal(err)
	}
	for name, finished := range map[string]bool{"finished": true, "cut off": false} {
		t.Run(name, func(t *testing.T) {
			p, _ := pool(t)
			sky := p.Sources[0].Path
			dir, index := t.TempDir(), filepath.Join(filepath.Dir(sky), "index")
			opt := Options{Batch: 1, Workers: 2}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if !finished {
				opt.Progress = func(done, _ int) {
					if done >= 20 {
						cancel()
					}
				}
			}
			e, err := Create(ctx, dir, KeyOf(p.Hash(), 32, 1), p, o, opt)
			if finished == (err != nil) {
				t.Fatal(err)
			}
			if err == nil {
				e.Close()
			}
			for round := range map[bool]int{true: 2, false: 1}[finished] {
				old := p.Hash()
				change(t, sky, uint64(100+round))
				var before *dataset.Before
				p, before = reopened(t, index, sky)
				if before == nil || before.Hash != old {
					t.Fatalf("before: %+v", before)
				}
				from, to := KeyOf(old, 32, 1), KeyOf(p.Hash(), 32, 1)

				cut, stop := context.WithCancel(t.Context())
				stop()
				if _, err := Carry(cut, dir, from, to, before.Kept, p.Len(), nil); !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled: %v", err)
				}
				n, err := Carry(t.Context(), dir, from, to, before.Kept, p.Len(), nil)
				if err != nil || finished && n != before.Stayed() || !finished && (n < 10 || n >= before.Stayed()) && round == 0 {
					t.Fatalf("%d carried, %d stayed, %v", n, before.Stayed(), err)
				}
				if again, err := Carry(t.Context(), dir, from, to, before.Kept, p.Len(), nil); again != 0 || err != nil {
					t.Errorf("carried twice: %d, %v", again, err)
				}
				some, err := Open(dir, to)
				if err != nil || some.Missing() != p.Len()-n {
					t.Fatalf("%d of %d are missing, %v", some.Missing(), p.Len(), err)
				}
				ranked := 0
				for _, s := range some.Novelty() {
					if s == s {
						ranked++
					}
				}
				if ranked > n || ranked < n-1 { // one is no picture
					t.Errorf("%d of %d are ranked", ranked, n)
				}
				some.Close()
				todo := 0
				full, err := Create(t.Context(), dir, to, p, o, Options{Batch: 1, Workers: 2, Progress: func(_, of int) { todo = of }})
				if err != nil || full.Missing() != 0 || todo != p.Len()-n {
					t.Fatalf("%d were embedded, %v", todo, err)
				}
				full.Close()
				anew := t.TempDir()
				fresh, err := Create(t.Context(), anew, to, p, o, Options{Batch: 1, Workers: 2})
				if err != nil {
					t.Fatal(err)
				}
				fresh.Close()
				a, _ := os.ReadFile(base(dir, to) + ".f16")
				b, _ := os.ReadFile(base(anew, to) + ".f16")
				if len(a) == 0 || !bytes.Equal(a, b) {
					t.Error("carried over and embedded anew differ")
				}
				if files, _ := os.ReadDir(dir); len(files) != 1 {
					t.Errorf("left behind: %v", files)
				}
				if err := p.CarriedOver(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens the embeddings of ten million images, whose 82 GB of rows are a hole in the file.
func BenchmarkOpen(b *testing.B) {
	const n = 10_000_000
	dir, key := b.TempDir(), Key{Size: 128, Views: 8}
	p, err := openPart(base(dir, key)+".f16.part", key)
	if err != nil {
		b.Fatal(err)
	}
	p.rows, p.sums = n, slices.Repeat([]uint32{crc32.Checksum(make([]byte, blockRows*rowBytes), castagnoli)}, n/blockRows)
	if err := p.file.Truncate(n * int64(rowBytes)); err != nil {
		b.Skip("no such files here:", err)
	}
	if _, err := p.file.Seek(n*int64(rowBytes), io.SeekStart); err != nil {
		b.Fatal(err)
	}
	if err := p.finish(base(dir, key) + ".f16"); err != nil {
		b.Fatal(err)
	}
	row := make([]float32, nn.EmbeddingSize)
	b.ReportAllocs()
	for b.Loop() {
		e, err := Open(dir, key)
		if err != nil || !e.Row(n-1, row) || e.Missing()+e.Damaged() > 0 {
			b.Fatal(err)
		}
		e.Close()
	}
}

// Many readers at once find the same damage, once, and nobody sees a damaged row.
func TestReadersFindDamage(t *testing.T) {
	const n, hurt = 300, 70
	dir, key := t.TempDir(), Key{Size: 128, Views: 8}
	e, err := Simulate(dir, key, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := e.Novelty()
	e.Close()
	f, err := os.OpenFile(base(dir, key)+".f16", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1, 2, 3, 4}, hurt*int64(rowBytes)+99); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(dir, key); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			row := make([]float32, e.Dims)
			for i := range n {
				if e.Row((i+77*k)%n, row) == ((i+77*k)%n/blockRows == hurt/blockRows) {
					t.Errorf("row %d", (i+77*k)%n)
				}
			}
		})
		wg.Go(func() {
			for i, s := range e.Novelty() {
				if spoilt := i/blockRows == hurt/blockRows; spoilt != (s != s) || !spoilt && s != want[i] {
					t.Errorf("image %d: %v, want %v", i, s, want[i])
				}
			}
		})
	}
	wg.Wait()
	if e.Damaged() != blockRows || e.Missing() != 0 {
		t.Errorf("%d damaged, %d missing", e.Damaged(), e.Missing())
	}
}
