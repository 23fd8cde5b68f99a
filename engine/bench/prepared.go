package bench

import (
	"context"
	"os"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/score"
)

// PreparedSpeed is how fast scoring is from pixels that were prepared (images.prepare), which lie in the cache of the file system just then.
type PreparedSpeed struct {
	PerSecond      float64 `json:"images_per_second"`      // from prepared pixels to scores
	ReadSpeed      float64 `json:"read_images_per_second"` // read and check alone
	PrepareSeconds float64 `json:"prepare_seconds"`        // decode and write, the first pass
	MiB            float64 `json:"mib"`                    // on disk
}

// prepared measures with pixels in a temporary folder, on a pool that has none.
func prepared(ctx context.Context, pool *dataset.Pool, m *nn.Model, opt score.Options) (*PreparedSpeed, error) {
	dir, err := os.MkdirTemp("", "anomalymatch-prepared-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	pool.Prepare(dir, true)
	all := make([]int, pool.Len())
	for i := range all {
		all[i] = i
	}
	read := func() (images int, seconds float64, err error) {
		began := time.Now()
		for b, err := range pool.Batches(ctx, all, opt.Size, opt.Batch, opt.Workers) {
			if err != nil {
				return 0, 0, err
			}
			images += len(b.Index)
		}
		return images, time.Since(began).Seconds(), nil
	}
	r := &PreparedSpeed{}
	n, seconds, err := read()
	if err != nil {
		return nil, err
	}
	r.PrepareSeconds = round(seconds, 2)
	r.MiB = round(float64(n*opt.Size*opt.Size*pool.Channels())/(1<<20), 1)
	if _, seconds, err = read(); err != nil {
		return nil, err
	}
	r.ReadSpeed = round(float64(n)/seconds, 1)
	began := time.Now()
	if _, err := score.Pool(ctx, pool, m, opt); err != nil {
		return nil, err
	}
	r.PerSecond = round(float64(n)/time.Since(began).Seconds(), 1)
	return r, nil
}

// andPrepared is prepared where the settings ask for it.
func (r *ScoreSpeed) andPrepared(ctx context.Context, pool *dataset.Pool, m *nn.Model, cfg anomalymatch.Config, opt score.Options) (*ScoreSpeed, error) {
	var err error
	if cfg.Images.Prepare {
		r.Prepared, err = prepared(ctx, pool, m, opt)
	}
	return r, err
}
