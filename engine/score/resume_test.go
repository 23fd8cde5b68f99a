package score

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
)

// sums is a network whose scores depend on an image's pixels and on its place in the batch, as those of a real one do in their last digits.
type sums struct {
	calls int
	fails int // the call from which on it fails; 0: it does not
}

func (s *sums) Scores(pix []uint8, n, batch, size int) ([]float32, error) {
	if s.calls++; s.fails > 0 && s.calls >= s.fails {
		return nil, errors.New("no such device")
	}
	if len(pix) != n*size*size*3 || n > batch {
		return nil, fmt.Errorf("%d bytes are not %d images", len(pix), n)
	}
	out := make([]float32, n)
	for k := range out {
		sum := 0
		for _, v := range pix[k*size*size*3 : (k+1)*size*size*3] {
			sum += int(v)
		}
		out[k] = float32(sum)/float32(255*3*size*size) + float32(k)*1e-6
	}
	return out, nil
}

// sky is a pool of n small images, the third of which is none.
func sky(t *testing.T, n int) (p *dataset.Pool, dir string) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		m, _ := synth.Galaxy(1, i, 16)
		var b bytes.Buffer
		if err := png.Encode(&b, m.Image()); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			b.Reset()
			b.WriteString("no picture")
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.png", i)), b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	p, err := dataset.OpenPool(t.Context(), t.TempDir(), []dataset.NamedSource{{Name: "s", Path: dir}}, dataset.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, dir
}

// file is the score file of scores.
func file(t *testing.T, scores []float32) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := Write(dir, Header{Pool: "p", Cycle: 1}, scores); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(Path(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestScoringGoesOn: cut off anywhere, scoring goes on where it stopped, and the file is the one of a run that was not, byte for byte.
func TestScoringGoesOn(t *testing.T) {
	const images, batch = 50, 8
	p, _ := sky(t, images)
	opt := Options{Size: 16, Batch: batch, Workers: 2}
	straight := &sums{}
	whole, err := resume(t.Context(), filepath.Join(t.TempDir(), "part"), "a", p, []*sums{straight}, opt)
	if err != nil || len(whole) != images {
		t.Fatal(len(whole), err)
	}
	want := file(t, whole)
	cut := func(t *testing.T, path string, after int) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		opt := opt
		opt.Progress = func(done, _ int) {
			if done >= after {
				cancel()
			}
		}
		if _, err := resume(ctx, path, "a", p, []*sums{{}}, opt); !errors.Is(err, context.Canceled) {
			t.Fatalf("cut off after %d: %v", after, err)
		}
	}
	for name, harm := range map[string]func(b []byte) []byte{
		"as it was left": func(b []byte) []byte { return b },
		"torn":           func(b []byte) []byte { return b[:len(b)-3] },
		"zeros at end":   func(b []byte) []byte { return append(b[:len(b)-20], make([]byte, 20)...) },
		"a bit flipped":  func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"empty":          func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "scores", "part")
			cut(t, path, 24)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, harm(b), 0o666); err != nil {
				t.Fatal(err)
			}
			network, first := &sums{}, -1
			opt := opt
			opt.Progress = func(done, total int) {
				if first < 0 {
					first = done
				}
				if total != images {
					t.Errorf("%d of %d", done, total)
				}
			}
			again, err := resume(t.Context(), path, "a", p, []*sums{network}, opt)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(file(t, again), want) {
				t.Error("another file")
			}
			if name == "as it was left" && (first < 24 || network.calls >= straight.calls) {
				t.Errorf("it began at %d and ran %d of %d batches", first, network.calls, straight.calls)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "part")
	cut(t, path, 24)
	network := &sums{}
	if _, err := resume(t.Context(), path, "b", p, []*sums{network}, opt); err != nil || network.calls != straight.calls {
		t.Errorf("what another network left is used: %d batches, %v", network.calls, err)
	}
}

// TestFilesThatGo: an image that disappears or is cut short while the pool is scored has no score and is listed; the others have theirs.
func TestFilesThatGo(t *testing.T) {
	p, dir := sky(t, 60)
	want, err := resume(t.Context(), filepath.Join(t.TempDir(), "part"), "a", p, []*sums{{}}, Options{Size: 16, Batch: 4, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{Size: 16, Batch: 4, Workers: 1, Progress: func(done, _ int) {
		if done == 4 {
			os.Remove(filepath.Join(dir, "050.png"))
			os.Truncate(filepath.Join(dir, "055.png"), 70)
		}
	}}
	got, err := resume(t.Context(), filepath.Join(t.TempDir(), "part"), "a", p, []*sums{{}}, opt)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		switch lost := i == 2 || i == 50 || i == 55; {
		case lost != (got[i] != got[i]), !lost && got[i] != want[i]:
			t.Errorf("image %d scores %v, want %v", i, got[i], want[i])
		}
	}
	var listed []string
	for _, b := range p.Bad() {
		listed = append(listed, b.ID)
		if b.ID == "s/050.png" && !strings.Contains(b.Reason, "not exist") {
			t.Errorf("%s %s", b.ID, b.Reason)
		}
	}
	if !slices.Equal(listed, []string{"s/002.png", "s/050.png", "s/055.png"}) {
		t.Errorf("listed: %v", listed)
	}
}

// TestSeveralDevices: whichever device takes a batch, and whichever fail meanwhile, the file is the one that a single device makes, byte for byte; one
// that fails costs a batch, and the last one's error ends the run.
func TestSeveralDevices(t *testing.T) {
	const images, batch = 83, 8
	p, _ := sky(t, images)
	opt := Options{Size: 16, Batch: batch, Workers: 2}
	path := filepath.Join(t.TempDir(), "part")
	whole, err := resume(t.Context(), path, "a", p, []*sums{{}}, opt)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, fails := range map[string][]int{
		"two": {0, 0}, "four": {0, 0, 0, 0}, "one of three fails at once": {0, 1, 0}, "one of two fails midway": {3, 0}, "three of four fail": {1, 2, 0, 2}, "all fail": {2, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var devices []*sums
			calls, failing := 0, 0
			for _, f := range fails {
				devices = append(devices, &sums{fails: f})
				if f > 0 {
					failing++
				}
			}
			path := filepath.Join(t.TempDir(), "part")
			got, err := resume(t.Context(), path, "a", p, devices, opt)
			if failing == len(fails) {
				if err == nil || !strings.Contains(err.Error(), "no such device") {
					t.Fatalf("all failed: %v", err)
				}
				// What was done is kept: with devices that work it goes on, and ends in the same file.
				got, err = resume(t.Context(), path, "a", p, []*sums{{}, {}}, opt)
			}
			if err != nil || !bytes.Equal(file(t, got), file(t, whole)) {
				t.Fatalf("another file: %v", err)
			}
			if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, want) {
				t.Errorf("the file of what was done is another one: %v", err)
			}
			for i, d := range devices {
				calls += d.calls
				if fails[i] > 0 && d.calls > fails[i] {
					t.Errorf("device %d was asked again after it failed", i)
				}
			}
			if most := (images+batch-1)/batch + failing; failing < len(fails) && calls > most {
				t.Errorf("%d batches were run, %d are enough", calls, most)
			}
		})
	}
}
