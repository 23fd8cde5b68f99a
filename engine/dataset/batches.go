package dataset

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
)

// Batch is a group of images at one size.
type Batch struct {
	Index []int   // numbers in the pool, in the order asked for
	Size  int     // pixels a side
	Pix   []uint8 // [len(Index), Size, Size, Pool.Channels()]; the receiver may keep it
}

// Batches decodes and resizes the images idx on workers goroutines and yields them in the order of idx, at most n a batch. Images
// that cannot be used are marked bad and left out. About one batch is decoded ahead, so memory stays bounded however long idx is.
// The end of ctx, or a source that is gone, is yielded as the last error.
func (p *Pool) Batches(ctx context.Context, idx []int, size, n, workers int) iter.Seq2[Batch, error] {
	n = max(n, 1)
	return func(yield func(Batch, error) bool) {
		left := len(idx)
		var b Batch
		for m, err := range p.decoded(ctx, slices.Values(idx), size, n, min(workers, len(idx))) {
			if err != nil {
				yield(Batch{}, err)
				return
			}
			if m.pix == nil {
				continue
			}
			if b.Index == nil {
				room := min(n, left)
				b = Batch{Index: make([]int, 0, room), Size: size, Pix: make([]uint8, 0, room*len(m.pix))}
			}
			b.Index, b.Pix = append(b.Index, m.i), append(b.Pix, m.pix...)
			if len(b.Index) == n {
				if !yield(b, nil) {
					return
				}
				left -= n
				b = Batch{}
			}
		}
		if len(b.Index) > 0 {
			yield(b, nil)
		}
	}
}

// Block is a run of images at one size, each at its own place whatever becomes of the others.
type Block struct {
	From, To int     // numbers in the pool: image i is at the place i-From
	Usable   []bool  // [To-From]; the others are black and marked bad
	Pix      []uint8 // [n, size, size, Pool.Channels()]; black behind To
}

// Blocks is Batches over the images [from, to), n at a time, with holes where Batches moves up: which images are decoded together,
// and at which places, depends on nothing but their numbers.
func (p *Pool) Blocks(ctx context.Context, from, to, size, n, workers int) iter.Seq2[Block, error] {
	n = max(n, 1)
	return func(yield func(Block, error) bool) {
		images := func(yield func(int) bool) {
			for i := from; i < to && yield(i); i++ {
			}
		}
		bytes := size * size * p.Channels()
		var b Block
		for m, err := range p.decoded(ctx, images, size, n, workers) {
			if err != nil {
				yield(Block{}, err)
				return
			}
			if b.Pix == nil {
				b = Block{From: m.i, To: min(m.i+n, to), Pix: make([]uint8, n*bytes)}
				b.Usable = make([]bool, b.To-b.From)
			}
			if m.pix != nil {
				b.Usable[m.i-b.From] = true
				copy(b.Pix[(m.i-b.From)*bytes:], m.pix)
			}
			if m.i == b.To-1 {
				if !yield(b, nil) {
					return
				}
				b = Block{}
			}
		}
	}
}

// decodedImage is image i at the size asked for; pix is nil where it cannot be used, and the caller's until the next image.
type decodedImage struct {
	i   int
	pix []uint8
}

// decoded decodes and resizes images on workers goroutines, about ahead in advance, and yields them in their order.
func (p *Pool) decoded(ctx context.Context, images iter.Seq[int], size, ahead, workers int) iter.Seq2[decodedImage, error] {
	return func(yield func(decodedImage, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()

		type job struct {
			i    int
			pix  []uint8
			has  row
			err  error
			done chan struct{}
		}
		workers := max(workers, 1)
		todo := make(chan *job)
		inOrder := make(chan *job, ahead+2*workers)
		free := sync.Pool{New: func() any { b := make([]uint8, size*size*p.Channels()); return &b }}
		known := make(chan struct{}) // closed: done without work
		close(known)

		wg.Go(func() {
			defer close(inOrder)
			defer close(todo)
			send := func(queue chan<- *job, j *job) bool {
				select {
				case queue <- j:
					return true
				case <-ctx.Done():
					return false
				}
			}
			for i := range images {
				if p.IsBad(i) {
					if !send(inOrder, &job{i: i, done: known}) {
						return
					}
					continue
				}
				j := &job{i: i, done: make(chan struct{})}
				if !send(inOrder, j) || !send(todo, j) {
					return
				}
			}
		})
		for range workers {
			wg.Go(func() {
				for j := range todo {
					pix := free.Get().(*[]uint8)
					if j.has, j.err = p.sized(ctx, j.i, size, *pix); j.err == nil {
						j.pix = *pix
					} else {
						free.Put(pix)
					}
					close(j.done)
				}
			})
		}

		keeper := p.keeper(size)
		defer keeper.drop()
		for j := range inOrder {
			select {
			case <-j.done:
			case <-ctx.Done():
				yield(decodedImage{}, ctx.Err())
				return
			}
			switch {
			case j.err != nil && ctx.Err() != nil:
				yield(decodedImage{}, ctx.Err())
				return
			case errors.Is(j.err, ErrSource):
				yield(decodedImage{}, j.err)
				return
			}
			keeper.add(j.i, j.has, j.pix)
			if !yield(decodedImage{j.i, j.pix}, nil) {
				return
			}
			if j.pix != nil {
				free.Put(&j.pix)
			}
		}
		if ctx.Err() != nil {
			yield(decodedImage{}, ctx.Err())
		}
	}
}
