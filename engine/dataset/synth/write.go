package synth

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
)

func fileName(i int) string { return fmt.Sprintf("g%06d.jpg", i+1) }

// Truth writes which of the first n images of the sky show a rare galaxy, as CSV filename,truth.
func Truth(w io.Writer, n int, p Params) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "filename,truth")
	for i := range n {
		what := "normal"
		if p.Kind(i).Rare() {
			what = "anomaly"
		}
		fmt.Fprintf(out, "%s,%s\n", fileName(i), what)
	}
	return out.Flush()
}

// Write draws the first n images of the sky into dir, which it makes, as g000001.jpg and so on, and returns which of them show a
// rare galaxy. progress, where given, is told how many are done; calls do not overlap.
func Write(dir string, n int, p Params, progress func(done int)) (truth map[string]bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the folder for the galaxies cannot be made: %w", err)
	}
	truth = make(map[string]bool, n)
	names := make([]string, n)
	for i := range n {
		names[i] = fileName(i)
		truth[names[i]] = p.Kind(i).Rare()
	}
	var next atomic.Int64
	var mu sync.Mutex
	var done int
	var failed error
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			var b bytes.Buffer
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				m, _ := p.Galaxy(i)
				b.Reset()
				err := jpeg.Encode(&b, m.Image(), &jpeg.Options{Quality: 92})
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, names[i]), b.Bytes(), 0o644)
				}
				mu.Lock()
				if err != nil {
					failed = errors.Join(failed, err)
					next.Store(int64(n)) // the others stop too
				} else if done++; progress != nil {
					progress(done)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return nil, fmt.Errorf("the galaxies cannot be written: %w", failed)
	}
	return truth, nil
}
