package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"anomalymatch"
	"anomalymatch/engine/augment"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/usage"
)

// TrainSpeed is what `bench train --json` prints. Times leave out compiling.
type TrainSpeed struct {
	Backend    string `json:"backend"`
	Size       int    `json:"size"`
	Labelled   int    `json:"labelled"`   // images a step
	Unlabelled int    `json:"unlabelled"` // images a step, of which the network sees two views each
	Steps      int    `json:"steps"`      // that were measured

	StepSeconds    float64 `json:"step_seconds_median"` // from the end of a step to the end of the next
	PerSecond      float64 `json:"images_per_second"`   // labelled + both views of the unlabelled
	DeviceSeconds  float64 `json:"device_seconds_median"`
	Waited         float64 `json:"waited_share"`         // of the time, in which the device waited for augmented images
	AugmentSeconds float64 `json:"augment_seconds"`      // the images of a step alone, read and augmented by all cores, median
	CPUSeconds     float64 `json:"cpu_seconds_per_step"` // processor time; 0 where the system does not say
	CompileSeconds float64 `json:"compile_seconds"`      // the first step less a median one
	MaxRSS         float64 `json:"max_rss_mib"`
}

// Train measures steps of the training that an engine does, as the settings say: images are drawn, read and augmented by all cores while the device
// is at the step before. The first images of the pool take the part of the labelled ones, which does not matter for speed; without a pool the images
// are noise, in memory.
func Train(ctx context.Context, cfg anomalymatch.Config, pool *dataset.Pool, steps int) (*TrainSpeed, error) {
	l := &fixmatch.Loader{Settings: fixmatch.FromConfig(cfg.FixMatch), Augment: augment.Settings(cfg.Augment), Size: cfg.Model.Size, Seed: cfg.Seed}
	images := 1000
	if pool == nil {
		l.Images = newNoise(images, cfg.Model.Size)
	} else {
		l.Images, images = pool, pool.Len()
	}
	if images < 3 {
		return nil, fmt.Errorf("training needs three images or more, and there are %d", images)
	}
	const anomalies, labelled = 5, 500 // as many as a first round usually has
	for i := range images {
		switch {
		case i < min(anomalies, images/3):
			l.Anomalies = append(l.Anomalies, i)
		case i < min(labelled, 2*images/3):
			l.Normals = append(l.Normals, i)
		default:
			l.Unlabelled = append(l.Unlabelled, i)
		}
	}
	o, err := runtime.Open(runtime.Train, cfg.Engine.Runtime)
	if err != nil {
		return nil, err
	}
	w, err := nn.Pretrained(l.Channels())
	if err != nil {
		return nil, err
	}
	w.NewHead(rand.New(rand.NewPCG(uint64(cfg.Seed), 0)))
	t, err := fixmatch.NewTrainer(o.Backend, l.Settings, fixmatch.NewState(w))
	if err != nil {
		return nil, err
	}
	defer t.Close()

	r := &TrainSpeed{Backend: o.Name, Size: l.Size, Labelled: l.Settings.Labelled, Unlabelled: l.Settings.Unlabelled}
	var whole, device []float64
	var first, waited float64
	var last time.Time
	var cpu time.Duration
	for b, err := range l.Run(ctx, 0, math.MaxInt64) {
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if _, err := t.Step(b); err != nil {
			return nil, err
		}
		ended := time.Now()
		if last.IsZero() {
			first = ended.Sub(began).Seconds()
			cpu, _ = usage.ProcessTime()
		} else {
			whole, device = append(whole, ended.Sub(last).Seconds()), append(device, ended.Sub(began).Seconds())
			waited += began.Sub(last).Seconds()
		}
		last = ended
		if r.Steps = len(whole); r.Steps == max(1, steps) {
			break
		}
	}
	if now, ok := usage.ProcessTime(); ok {
		r.CPUSeconds = round((now-cpu).Seconds()/float64(r.Steps), 4)
	}
	var alone []float64
	for step := range 5 {
		began := time.Now()
		if _, err := l.Batch(ctx, int64(step)); err != nil {
			return nil, err
		}
		alone = append(alone, time.Since(began).Seconds())
	}
	total := 0.0
	for _, s := range whole {
		total += s
	}
	r.StepSeconds, r.DeviceSeconds, r.AugmentSeconds = round(median(whole), 4), round(median(device), 4), round(median(alone), 4)
	r.PerSecond = round(float64((r.Labelled+2*r.Unlabelled)*r.Steps)/total, 1)
	r.Waited = round(waited/total, 4)
	r.CompileSeconds = round(max(0, first-median(device)), 2)
	r.MaxRSS = maxRSS()
	return r, nil
}

// noise is images of random pixels: the time of a step does not depend on what is in the pictures.
type noise []dataset.RGB

func newNoise(n, size int) noise {
	r := rand.New(rand.NewPCG(1, 2))
	few := make([]dataset.RGB, min(n, 32))
	for k := range few {
		few[k] = dataset.NewRGB(size, size)
		for i := range few[k].Pix {
			few[k].Pix[i] = uint8(r.Uint32())
		}
	}
	return slices.Clip(few)
}

// Image is image i.
func (n noise) Image(_ context.Context, i int) (dataset.RGB, error) { return n[i%len(n)], nil }
