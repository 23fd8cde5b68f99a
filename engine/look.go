package engine

import (
	"context"
	"errors"
	"sync"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/score"
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

// Ranked is the whole ranking of an engine that Look made, by name or "" for the project's: its name, the images by number, best first, and all scores
// by number. They are the engine's own and must not be changed.
func (e *Engine) Ranked(by string) (name string, order []int32, scores []float32) {
	r := e.view(by).r
	return r.by, r.order, r.scores
}

// Made is what the rankings of an engine that Look made are of: the embeddings, what made them and how many images have none yet, and the scores of
// the network. Zero where there are none.
func (e *Engine) Made() (embeddings fast.Key, backend string, missing int, deep score.Header) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.emb != nil {
		embeddings, backend, missing = e.emb.Key, e.emb.Backend, e.emb.Missing()
	}
	return embeddings, backend, missing, e.deepOf
}
