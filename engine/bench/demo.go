package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/runtime"
)

// DemoReport is what `demo --headless --json` prints.
type DemoReport struct {
	Report
	Images    int     `json:"images"`
	Anomalies int     `json:"anomalies"` // among them
	Seconds   float64 `json:"seconds"`   // all of it
	Setting   string  `json:"setting"`   // what was made smaller, and why
}

// Demo draws a sky of n synthetic galaxies with rings among them in dir, lets the oracle label, and runs three cycles, both rankings
// joined. cfg gives seed and runtime; the rest is set so that two cores need a few minutes: less on the Go backend, which is an order of magnitude slower.
// n 0 is the backend's own number of images.
func Demo(ctx context.Context, dir string, n int, cfg anomalymatch.Config, progress func(Progress)) (*DemoReport, error) {
	began := time.Now()
	o, err := runtime.Open(runtime.Train, cfg.Engine.Runtime)
	if err != nil {
		return nil, err
	}
	r := &DemoReport{Images: 3000}
	// The average follows faster than the default's, because there are fewer steps.
	cfg.Model.Size, cfg.Fast.Size, cfg.FixMatch.LabelledBatch, cfg.FixMatch.UnlabelledBatch, cfg.FixMatch.Iterations, cfg.FixMatch.EMA = 64, 96, 16, 48, 40, 0.95
	cfg.Fast.Views = 2 // of eight: half a minute instead of two
	if o.Name == "go" {
		r.Images = 2800
		cfg.Model.Size, cfg.Fast.Size, cfg.FixMatch.LabelledBatch, cfg.FixMatch.UnlabelledBatch, cfg.FixMatch.Iterations, cfg.FixMatch.EMA = 48, 48, 8, 16, 20, 0.9
	}
	r.Setting = fmt.Sprintf("%d px, %d iterations a cycle on %d labelled and %d unlabelled images each, EMA %v: a setting for a few minutes on two cores with %s",
		cfg.Model.Size, cfg.FixMatch.Iterations, cfg.FixMatch.LabelledBatch, cfg.FixMatch.UnlabelledBatch, cfg.FixMatch.EMA, o.Name)
	if n > 0 {
		r.Images = n
	}
	params := synth.Defaults()
	params.Seed, params.RareKind = uint64(cfg.Seed), synth.Ring
	sky := filepath.Join(dir, "sky")
	draw := (&Options{Progress: progress}).meter("drawing galaxies", r.Images)
	truth, err := synth.Write(sky, r.Images, params, func(done int) { draw(done, 1) })
	if err != nil {
		return nil, err
	}
	pool, err := dataset.OpenPool(ctx, filepath.Join(dir, "index"), []dataset.NamedSource{{Name: "sky", Path: sky}}, dataset.Limits{}, nil)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	p := &Pool{Images: pool, Truth: make([]bool, pool.Len()), Start: map[int]bool{}}
	for i := range p.Truth {
		if p.Truth[i] = truth[filepath.Base(pool.ID(i))]; p.Truth[i] {
			r.Anomalies++
		}
	}
	p.draw(5, 45, cfg.Seed)
	if len(p.Start) < 50 {
		return nil, errors.New("the demo needs more images: 500 or more")
	}
	report, err := Protocol(ctx, p, Options{Config: cfg, Method: "joint", Cycles: 3, Dir: dir, Progress: progress})
	if err != nil {
		return nil, err
	}
	r.Report, r.Seconds = *report, round(time.Since(began).Seconds(), 1)
	return r, nil
}

// draw labels random images to start from.
func (p *Pool) draw(anomalies, normals int, seed int64) {
	left := map[bool]int{true: anomalies, false: normals}
	for _, i := range rand.New(rand.NewPCG(uint64(seed), 1)).Perm(len(p.Truth)) {
		if v := p.Truth[i]; left[v] > 0 {
			p.Start[i] = v
			left[v]--
		}
	}
}
