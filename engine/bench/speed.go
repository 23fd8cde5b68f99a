package bench

import (
	"context"
	"fmt"
	"os"
	goruntime "runtime"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
)

// ScoreSpeed is what `bench score --json` prints. Times leave out compiling.
type ScoreSpeed struct {
	Prepared *PreparedSpeed `json:"prepared,omitempty"` // where images.prepare is set

	Backend        string  `json:"backend"`
	Images         int     `json:"images"`
	Size           int     `json:"size"`
	PerSecond      float64 `json:"images_per_second"`        // from encoded files to scores
	DecodeSpeed    float64 `json:"decode_images_per_second"` // read, decode, resize alone
	InferSpeed     float64 `json:"infer_images_per_second"`  // the network alone
	CompileSeconds float64 `json:"compile_seconds"`
	MaxRSS         float64 `json:"max_rss_mib"`
	// While images were scored: how long decoded batches waited for the network, and the network for them.
	DecodingWaited float64 `json:"decoding_waited_seconds"`
	NetworkWaited  float64 `json:"network_waited_seconds"`
}

// Score measures scoring n images of the pool (all where n is 0 or more than there are) at the configured size.
func Score(ctx context.Context, pool *dataset.Pool, cfg anomalymatch.Config, n int) (*ScoreSpeed, error) {
	if n > 0 && n < pool.Len() {
		some := make([]int, n)
		for i := range some {
			some[i] = i
		}
		pool = pool.Subset(some)
	}
	size, workers := cfg.Model.Size, goruntime.GOMAXPROCS(0)
	batch := score.Batch(cfg.Model.ScoreBatch, size, pool.Len())
	o, err := runtime.Open(runtime.Infer, cfg.Engine.Runtime)
	if err != nil {
		return nil, err
	}
	w, err := nn.Pretrained(pool.Channels())
	if err != nil {
		return nil, err
	}
	m, err := nn.NewModel(o, w)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	r := &ScoreSpeed{Backend: o.Name, Images: pool.Len(), Size: size}
	began := time.Now()
	pix := make([]uint8, batch*size*size*pool.Channels())
	if _, err := m.Scores(pix, batch, batch, size); err != nil {
		return nil, err
	}
	r.CompileSeconds = round(time.Since(began).Seconds(), 2)

	all := make([]int, pool.Len())
	for i := range all {
		all[i] = i
	}
	began = time.Now()
	decoded := 0
	for b, err := range pool.Batches(ctx, all, size, batch, workers) {
		if err != nil {
			return nil, err
		}
		decoded += len(b.Index)
	}
	r.DecodeSpeed = round(float64(decoded)/time.Since(began).Seconds(), 1)

	if r.InferSpeed, _, err = (&NetworkTimes{Size: size, model: m, pix: pix}).speed(ctx, batch, 3*time.Second); err != nil {
		return nil, err
	}
	r.InferSpeed = round(r.InferSpeed, 1)

	began = time.Now()
	var waits score.Waits
	if _, err := score.Pool(ctx, pool, m, score.Options{Size: size, Batch: batch, Workers: workers, Waits: &waits}); err != nil {
		return nil, err
	}
	r.DecodingWaited, r.NetworkWaited = round(waits.Decoding.Seconds(), 3), round(waits.Network.Seconds(), 3)
	r.PerSecond = round(float64(decoded)/time.Since(began).Seconds(), 1)
	r.MaxRSS = maxRSS()
	return r.andPrepared(ctx, pool, m, cfg, score.Options{Size: size, Batch: batch, Workers: workers})
}

// maxRSS is the largest resident memory of this process so far in MiB, 0 where the system does not say.
func maxRSS() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return round(kib/1024, 0)
		}
	}
	return 0
}
