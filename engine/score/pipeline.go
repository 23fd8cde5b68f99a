package score

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
)

// Waits is who waited for whom while images were scored: the slower of the two sets the speed, and hardly waits.
type Waits struct {
	Decoding time.Duration // decoded batches waited for the network
	Network  time.Duration // the network waited for pictures
}

// Network is what scores pictures, such as nn.Model.
type Network interface {
	Scores(pix []uint8, n, batch, size int) ([]float32, error)
}

// Range yields the scores of the images [from, to) as Pool has them, batch by batch. Two batches are under way: one is in the network, the next
// is decoded meanwhile, and a third not begun before the first is done, so that memory stays bounded.
//
// The last digits of a network's answer depend on the shape of the batch and on the image's place in it, on XLA and on the Go backend; on what
// the other images are they do not, nor on the number of cores (measured on CPUs). So an image has its place by its number, also where others
// cannot be read, and ranges that begin at a multiple of opt.Batch give the bytes of the whole pool.
func Range(ctx context.Context, pool *dataset.Pool, m *nn.Model, from, to int, opt Options) iter.Seq2[[]float32, error] {
	return scored(ctx, pool, m, from, to, opt)
}

func scored(ctx context.Context, pool *dataset.Pool, m Network, from, to int, opt Options) iter.Seq2[[]float32, error] {
	return func(yield func([]float32, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var decoding sync.WaitGroup
		defer decoding.Wait()
		defer cancel()
		blocks := make(chan dataset.Block)
		var failed error // why there are no more blocks; read when they are over
		waits := &Waits{}
		if opt.Waits != nil {
			waits = opt.Waits
		}
		decoding.Go(func() {
			defer close(blocks)
			for b, err := range pool.Blocks(ctx, from, to, opt.Size, opt.Batch, opt.Workers) {
				if failed = err; err != nil {
					return
				}
				began := time.Now()
				select {
				case blocks <- b:
				case <-ctx.Done():
					failed = ctx.Err()
					return
				}
				waits.Decoding += time.Since(began)
			}
		})
		n := batches{m, opt.Batch, opt.Size}
		for {
			began := time.Now()
			b, more := <-blocks
			if !more {
				break
			}
			waits.Network += time.Since(began)
			s, err := n.score(b)
			if err != nil {
				yield(nil, err)
				return
			}
			if opt.Progress != nil {
				opt.Progress(b.To-from, to-from)
			}
			if !yield(s, nil) {
				return
			}
		}
		if failed != nil {
			yield(nil, failed)
		}
	}
}

// batches runs blocks through a network in batches that its device has memory for.
type batches struct {
	network Network
	n       int // images a batch
	size    int // pixels a side
}

// score is the scores of a block. A device that runs out of memory is asked again for half as many images at a time, down to one, and stays at
// what it can do: the scores then differ in their last digits.
func (b *batches) score(block dataset.Block) ([]float32, error) {
	bytes := b.size * b.size * 3
	for {
		out := make([]float32, 0, len(block.Usable))
		var err error
		for at := 0; at < len(block.Usable) && err == nil; at += b.n {
			var s []float32
			n := min(b.n, len(block.Pix)/bytes-at)
			if s, err = b.network.Scores(block.Pix[at*bytes:(at+n)*bytes], n, b.n, b.size); err == nil {
				out = append(out, s[:min(n, len(block.Usable)-at)]...)
			}
		}
		if err == nil {
			return out, check(out, block.Usable)
		}
		if !outOfMemory(err) || b.n == 1 {
			return nil, err
		}
		b.n = max(1, b.n/2)
		slog.Warn("the device has no memory for so many images: half as many are scored at a time", "images", b.n, "err", err)
	}
}

// check puts NaN where an image cannot be used. A network that answers NaN is an error.
func check(scores []float32, usable []bool) error {
	for k, ok := range usable {
		if !ok {
			scores[k] = float32(math.NaN())
		} else if math.IsNaN(float64(scores[k])) {
			return errors.New("the network answers NaN: its weights are damaged, train again")
		}
	}
	return nil
}

// outOfMemory tells from a runtime's error that the device has no memory left: XLA's status and what allocators of GPUs and ONNX Runtime say.
func outOfMemory(err error) bool {
	text := strings.ToLower(err.Error())
	return slices.ContainsFunc([]string{"resource_exhausted", "resource exhausted", "out of memory", "outofmemory", "failed to allocate memory", "bad_alloc"}, func(s string) bool {
		return strings.Contains(text, s)
	})
}
