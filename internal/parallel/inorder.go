package parallel

import (
	"context"
	"iter"
	"sync"
	"time"
)

// Waits is who waited for whom in InOrder: the slower of the two sets the speed, and hardly waits.
type Waits struct {
	Things  time.Duration // things that were there waited for a worker
	Workers time.Duration // workers waited for things: the mean of all
}

// ahead is how many things for each worker may be begun before the first of them is yielded: one slow worker holds up the others then, and memory
// stays bounded.
const ahead = 4

// InOrder does one thing after the other on workers that work side by side, and yields what they made in the order of the things, whoever made it. Each
// worker has one thing at a time and one more is fetched meanwhile.
//
// A worker whose do fails is asked for nothing more, and its thing is given to another; where none is left, the error of the last one ends it all. So
// does an error among the things, in its place, and the end of ctx. A panic in do is one of the caller. waits, where it is not nil, is right once the
// loop over what is yielded has ended.
func InOrder[W, T, R any](ctx context.Context, workers []W, things iter.Seq2[T, error], do func(W, T) (R, error), waits *Waits) iter.Seq2[R, error] {
	type item struct {
		n     int
		thing T
	}
	type result struct {
		n        int
		value    R
		err      error // in its place
		end      bool  // there was nothing more
		gone     bool  // the last worker failed, with err
		panicked any
	}
	return func(yield func(R, error) bool) {
		var nothing R
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		todo, again := make(chan item), make(chan item, len(workers))
		results := make(chan result)
		room := make(chan struct{}, ahead*len(workers))
		tell := func(r result) bool {
			select {
			case results <- r:
				return true
			case <-ctx.Done():
				return false
			}
		}

		wg.Go(func() {
			n := 0
			defer func() {
				if r := recover(); r != nil {
					tell(result{n: n, panicked: r})
				}
			}()
			for thing, err := range things {
				if err != nil {
					tell(result{n: n, err: err})
					return
				}
				began := time.Now()
				select {
				case room <- struct{}{}:
				case <-ctx.Done():
					return
				}
				select {
				case todo <- item{n, thing}:
				case <-ctx.Done():
					return
				}
				if waits != nil {
					waits.Things += time.Since(began)
				}
				n++
			}
			tell(result{n: n, end: true})
		})

		var mu sync.Mutex
		left := len(workers)
		for _, w := range workers {
			wg.Go(func() {
				at := 0
				defer func() {
					if r := recover(); r != nil {
						tell(result{n: at, panicked: r})
					}
				}()
				for {
					began := time.Now()
					var it item
					select {
					case it = <-again:
					case it = <-todo:
					case <-ctx.Done():
						return
					}
					if waits != nil {
						mu.Lock()
						waits.Workers += time.Since(began) / time.Duration(len(workers))
						mu.Unlock()
					}
					at = it.n
					r := result{n: it.n}
					r.value, r.err = do(w, it.thing)
					if r.err != nil {
						mu.Lock()
						left--
						r.gone = left == 0
						mu.Unlock()
						if !r.gone {
							again <- it // there is room: each worker fails once
							return
						}
					}
					if !tell(r) || r.gone {
						return
					}
				}
			})
		}

		early := map[int]result{}
		for next := 0; ; {
			var r result
			select {
			case r = <-results:
			case <-ctx.Done():
				yield(nothing, ctx.Err())
				return
			}
			if r.panicked != nil {
				panic(r.panicked)
			}
			if r.gone {
				yield(nothing, r.err)
				return
			}
			early[r.n] = r
			for {
				r, ok := early[next]
				if !ok {
					break
				}
				if r.end {
					return
				}
				if !yield(r.value, r.err) || r.err != nil {
					return
				}
				delete(early, next)
				next++
				<-room
			}
		}
	}
}
