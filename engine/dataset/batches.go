package dataset

import (
	"context"
	"errors"
	"iter"
	"sync"
)

// Batch is a group of images at one size.
type Batch struct {
	Index []int   // numbers in the pool, in the order asked for
	Size  int     // pixels a side
	Pix   []uint8 // [len(Index), Size, Size, 3] RGB; the receiver may keep it
}

// Batches decodes and resizes the images idx on workers goroutines and yields them in the order of idx, at most n a batch. Images
// that cannot be used are marked bad and left out. About one batch is decoded ahead, so memory stays bounded however long idx is.
// The end of ctx, or a source that is gone, is yielded as the last error.
func (p *Pool) Batches(ctx context.Context, idx []int, size, n, workers int) iter.Seq2[Batch, error] {
	n, workers = max(n, 1), max(workers, 1)
	return func(yield func(Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()

		type job struct {
			i    int
			pix  []uint8
			err  error
			done chan struct{}
		}
		todo := make(chan *job)
		inOrder := make(chan *job, n+2*workers)
		bytes := size * size * 3
		free := sync.Pool{New: func() any { b := make([]uint8, bytes); return &b }}

		wg.Go(func() {
			defer close(inOrder)
			defer close(todo)
			for _, i := range idx {
				if p.IsBad(i) {
					continue
				}
				j := &job{i: i, done: make(chan struct{})}
				for _, queue := range []chan *job{inOrder, todo} {
					select {
					case queue <- j:
					case <-ctx.Done():
						return
					}
				}
			}
		})
		for range min(workers, len(idx)) {
			wg.Go(func() {
				for j := range todo {
					m, err := p.Image(ctx, j.i)
					if j.err = err; err == nil {
						j.pix = *free.Get().(*[]uint8)
						resizeInto(j.pix, m, size, size)
					}
					close(j.done)
				}
			})
		}

		left := len(idx)
		var b Batch
		for j := range inOrder {
			select {
			case <-j.done:
			case <-ctx.Done():
				yield(Batch{}, ctx.Err())
				return
			}
			switch {
			case j.err == nil:
			case ctx.Err() != nil:
				yield(Batch{}, ctx.Err())
				return
			case errors.Is(j.err, ErrSource):
				yield(Batch{}, j.err)
				return
			default:
				continue
			}
			if b.Index == nil {
				room := min(n, left)
				b = Batch{Index: make([]int, 0, room), Size: size, Pix: make([]uint8, 0, room*bytes)}
			}
			b.Index, b.Pix = append(b.Index, j.i), append(b.Pix, j.pix...)
			free.Put(&j.pix)
			if len(b.Index) == n {
				if !yield(b, nil) {
					return
				}
				left -= n
				b = Batch{}
			}
		}
		switch {
		case ctx.Err() != nil:
			yield(Batch{}, ctx.Err())
		case len(b.Index) > 0:
			yield(b, nil)
		}
	}
}
