package dataset

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

const preparedSize = 24

// preparing is a pool of n good and 3 bad images with prepared pixels, 5 images a shard.
func preparing(t testing.TB, n int, keep bool) (p *Pool, root, dir string) {
	p, _, root = mixed(t, n)
	dir = t.TempDir()
	prepare(p, dir, keep)
	return p, root, dir
}

func prepare(p *Pool, dir string, keep bool) {
	p.Prepare(dir, keep)
	p.prepared.bytes = 5 * preparedSize * preparedSize * 3
}

// pass reads the whole pool.
func pass(t testing.TB, p *Pool) [][]byte {
	t.Helper()
	out := make([][]byte, p.Len())
	for b, err := range p.Blocks(t.Context(), 0, p.Len(), preparedSize, 4, 3) {
		if err != nil {
			t.Fatal(err)
		}
		for k, ok := range b.Usable {
			if ok {
				out[b.From+k] = bytes.Clone(b.Pix[k*preparedSize*preparedSize*3:][:preparedSize*preparedSize*3])
			}
		}
	}
	return out
}

// fresh reads the pool without prepared pixels.
func fresh(t testing.TB, p *Pool) [][]byte {
	t.Helper()
	return pass(t, open(t, t.TempDir(), p.named...))
}

func shardsIn(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out[filepath.ToSlash(rel)], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func samePixels(t *testing.T, what string, got, want [][]byte) {
	t.Helper()
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("%s: image %d differs", what, i)
		}
	}
}

// swap changes what is in the file of an image but neither its size nor its time, as no program that writes pictures does.
func swap(t *testing.T, p *Pool, root string, i int) {
	t.Helper()
	path := filepath.Join(root, p.Entry(i).Path)
	info, err := os.Stat(path)
	if err == nil {
		err = os.WriteFile(path, make([]byte, info.Size()), 0o644)
	}
	if err == nil {
		err = os.Chtimes(path, info.ModTime(), info.ModTime())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestPreparedPixelsAreRead(t *testing.T) {
	p, root, dir := preparing(t, 12, true)
	want := pass(t, p)
	samePixels(t, "first pass", want, fresh(t, p))
	files := shardsIn(t, dir)
	if len(files) != 3 || files["24/000000.pix"] == nil || files["24/000002.pix"] == nil {
		t.Fatalf("%d files", len(files))
	}
	for i := range p.Len() { // now the files hold nothing
		if !p.IsBad(i) {
			swap(t, p, root, i)
		}
	}
	samePixels(t, "second pass", pass(t, p), want)
	q := open(t, t.TempDir(), p.named...)
	prepare(q, dir, false)
	samePixels(t, "another process", pass(t, q), want)
	dst := make([]byte, preparedSize*preparedSize*3)
	for i, want := range want {
		if err := q.Sized(t.Context(), i, preparedSize, dst); want != nil && (err != nil || !bytes.Equal(dst, want)) {
			t.Errorf("one image: %d differs, %v", i, err)
		}
	}
	if got := shardsIn(t, dir); len(got) != len(files) {
		t.Errorf("%d files afterwards", len(got))
	}
}

// TestPreparedDamage: whichever byte of a shard differs, and wherever it ends, the pixels are right and the shard is set right, too.
func TestPreparedDamage(t *testing.T) {
	p, _, dir := preparing(t, 12, true)
	want, files := pass(t, p), map[string][]byte{}
	files = shardsIn(t, dir)
	whole := files["24/000001.pix"]
	path := filepath.Join(dir, "24", "000001.pix")
	rows := 5 * preparedSize * preparedSize * 3
	damage := map[string][]byte{"empty": {}, "missing": nil, "longer": append(bytes.Clone(whole), 0)}
	for _, n := range []int{1, rows - 1, rows, rows + 30, len(whole) - 1} {
		damage[fmt.Sprintf("cut off at %d", n)] = whole[:n]
	}
	for _, i := range []int{0, rows/2 + 3, rows - 1, rows, rows + 39, rows + 40, rows + 59, rows + 61, len(whole) - 16, len(whole) - 9, len(whole) - 1} {
		b := bytes.Clone(whole)
		b[i] ^= 4
		damage[fmt.Sprintf("byte %d of %d", i, len(whole))] = b
	}
	damage["another shard"] = files["24/000000.pix"]
	for name, b := range damage {
		for _, opened := range []bool{false, true} { // before this process looked at the shard, or since
			t.Run(fmt.Sprint(name, opened), func(t *testing.T) {
				q := open(t, t.TempDir(), p.named...)
				prepare(q, dir, true)
				if opened {
					pass(t, q)
				}
				var err error
				if b == nil {
					err = os.Remove(path)
				} else {
					err = os.WriteFile(path, b, 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
				samePixels(t, "damaged", pass(t, q), want)
				if opened && b == nil && runtime.GOOS != "windows" {
					return // this process still has the file
				}
				samePixels(t, "again", pass(t, q), want)
				r := open(t, t.TempDir(), p.named...)
				prepare(r, dir, true)
				samePixels(t, "set right", pass(t, r), want)
				if got := shardsIn(t, dir); !bytes.Equal(got["24/000001.pix"], whole) || len(got) != len(files) {
					t.Errorf("the shard was not set right; %d files", len(got))
				}
			})
			if err := os.WriteFile(path, whole, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPreparedOfChangedFiles(t *testing.T) {
	p, root, dir := preparing(t, 12, true)
	pass(t, p)
	first, changed, gone := p.Entry(0).Path, p.Entry(6).Path, p.Entry(7).Path
	for _, name := range []string{first, changed} {
		path := filepath.Join(root, name)
		info, err := os.Stat(path)
		if err == nil {
			err = os.WriteFile(path, pngOf(t, noise(99, 30, 30).Image()), 0o644)
		}
		if err == nil {
			err = os.Chtimes(path, info.ModTime().Add(time.Second), info.ModTime().Add(time.Second))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(root, gone)); err != nil {
		t.Fatal(err)
	}
	got := pass(t, p)
	if got[7] != nil || !p.IsBad(7) {
		t.Error("an image without a file has pixels")
	}
	small := Resize(noise(99, 30, 30), preparedSize, preparedSize).Pix
	if !bytes.Equal(got[0], small) || !bytes.Equal(got[6], small) {
		t.Error("a changed file has its old pixels")
	}
	// A listing that knows of it: every image behind the one that is gone has another number.
	q := open(t, t.TempDir(), p.named...)
	prepare(q, dir, true)
	want := fresh(t, q)
	samePixels(t, "other numbers", pass(t, q), want)
	for i := range q.Len() {
		if !q.IsBad(i) {
			swap(t, q, root, i)
		}
	}
	samePixels(t, "other numbers, prepared", pass(t, q), want)
	for i := range 6 { // 14 images become 8
		if err := os.Remove(filepath.Join(root, q.Entry(i).Path)); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, t.TempDir(), p.named...)
	prepare(r, dir, true)
	pass(t, r)
	if got := shardsIn(t, dir); len(got) != 2 {
		t.Errorf("%d shards of 8 images", len(got))
	}
}

func TestPreparedInParts(t *testing.T) {
	p, _, dir := preparing(t, 12, true)
	for b, err := range p.Blocks(t.Context(), 3, 12, preparedSize, 4, 2) { // 5 to 9 are a shard
		if err != nil || b.From > 12 {
			t.Fatal(err)
		}
	}
	if got := shardsIn(t, dir); len(got) != 1 || got["24/000001.pix"] == nil {
		t.Errorf("%d files after a part", len(got))
	}
	for range p.Batches(t.Context(), []int{0, 1, 2, 4, 3, 10, 11, 12, 13, 14}, preparedSize, 3, 2) {
		break
	}
	if got := shardsIn(t, dir); len(got) != 1 {
		t.Errorf("%d files after a pass that was cut off", len(got))
	}
	for range p.Batches(t.Context(), []int{0, 1, 2, 4, 3, 10, 11, 12, 13, 14}, preparedSize, 3, 2) {
	}
	if got := shardsIn(t, dir); len(got) != 2 || got["24/000002.pix"] == nil {
		t.Errorf("%d files after a pass in no order", len(got))
	}

	q, _, elsewhere := preparing(t, 12, false)
	pass(t, q)
	if got := shardsIn(t, elsewhere); len(got) != 0 {
		t.Errorf("%d files without the setting", len(got))
	}

	if os.Geteuid() != 0 {
		q.Prepare("/nowhere/to/write", true)
	} else {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		q.Prepare(file, true)
	}
	samePixels(t, "nowhere to keep pixels", pass(t, q), fresh(t, q))
}

// BenchmarkPrepared: pixels of 64 px from shards, with as many workers as cores.
func BenchmarkPrepared(b *testing.B) {
	p, _, dir := preparing(b, 64, true)
	p.Prepare(dir, true)
	idx := make([]int, p.Len())
	for i := range idx {
		idx[i] = i
	}
	const size = 64
	for range p.Batches(b.Context(), idx, size, 64, 2) {
	}
	idx = slices.Repeat(idx, 16)
	for b.Loop() {
		for range p.Batches(b.Context(), idx, size, 64, runtime.GOMAXPROCS(0)) {
		}
	}
	b.ReportMetric(float64(len(idx)*b.N)/b.Elapsed().Seconds(), "images/s")
}
