package engine

import (
	"context"
	"errors"
	"sync"

	"anomalymatch/engine/dataset"
)

// Look makes an engine of what a project's files say, for who only asks: Service().Ranking and the like answer as those of an engine that runs would.
// It lists the images and fits the fast head to the labels, but starts no job: nothing is embedded, trained, scored or written, except for a list of
// the images where there was none. Close it with the function that comes along.
func Look(ctx context.Context, opt Options) (*Engine, func(), error) {
	opt.ReadOnly = true
	e := New(opt)
	if err := e.open(ctx); err != nil {
		return nil, nil, err
	}
	e.pool.Share()
	if err := e.openEmbeddings(); err != nil && !e.snapshot().Embedded {
		e.settled()
		return e, func() { e.pool.Close() }, nil
	}
	ranking, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { e.rank(ranking) })
	select {
	case <-ctx.Done():
	case <-e.ready:
	}
	stop()
	wg.Wait() // it ends what it has begun: novelty
	e.mu.Lock()
	fitted := e.fast != nil
	e.mu.Unlock()
	if err := ctx.Err(); err != nil || !fitted {
		e.pool.Close()
		return nil, nil, errors.Join(err, errors.New("the images cannot be ranked by their labels"))
	}
	return e, func() { e.emb.Close(); e.pool.Close() }, nil
}

// Pool is the images of an engine that Look made. They are closed with it.
func (e *Engine) Pool() *dataset.Pool { return e.pool }
