package fixmatch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync"

	"anomalymatch/engine/augment"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
)

// Images gives pixels by number, as colours. *dataset.Pool is one.
type Images interface {
	Image(ctx context.Context, i int) (dataset.RGB, error)
}

// channelled are images of any number of channels, each at the size asked for. *dataset.Pool is one.
type channelled interface {
	Channels() int
	Sized(ctx context.Context, i, size int, dst []uint8) error
}

// Loader draws and augments the batches of a run.
type Loader struct {
	Images                         Images
	Settings                       Settings
	Augment                        augment.Settings
	Size                           int
	Seed                           int64
	Anomalies, Normals, Unlabelled []int // numbers of images, each in a fixed order
	Workers                        int   // 0 = all cores

	labelled sync.Map // number → resized dataset.Pixels: there are few and they come again and again
}

// Check says what is missing for training, in one sentence.
func (l *Loader) Check() error {
	switch {
	case len(l.Anomalies) == 0:
		return errors.New("training needs at least one image labelled anomaly")
	case len(l.Normals) == 0:
		return errors.New("training needs at least one image labelled normal")
	case len(l.Unlabelled) == 0:
		return errors.New("every image is labelled: there is nothing left to search")
	}
	return nil
}

// Channels is the number of channels of the images.
func (l *Loader) Channels() int {
	if p, ok := l.Images.(channelled); ok {
		return p.Channels()
	}
	return 3
}

// random is the stream of one image of one step: batches do not depend on the number of workers, nor on where a run began.
func (l *Loader) random(step int64, slot int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(l.Seed)*0x9E3779B97F4A7C15+uint64(step), uint64(slot)+1))
}

// Batch makes the input of a step. An unlabelled image that cannot be read is replaced by another draw; a labelled one too, as
// long as its class has others.
func (l *Loader) Batch(ctx context.Context, step int64) (Batch, error) {
	nl, nu := l.Settings.Labelled, l.Settings.Unlabelled
	image := l.Size * l.Size * l.Channels()
	b := Batch{Size: l.Size, Labelled: make([]uint8, nl*image), Weak: make([]uint8, nu*image), Strong: make([]uint8, nu*image), Anomaly: make([]int32, nl)}
	l.noise(&b, l.random(step, nl+nu))

	workers := l.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for slot := range slots {
				if err := l.fill(ctx, &b, slot, step); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	for slot := range nl + nu {
		select {
		case slots <- slot:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(slots)
	wg.Wait()
	return b, context.Cause(ctx)
}

// fill draws and augments one labelled (slot < L) or unlabelled image.
func (l *Loader) fill(ctx context.Context, b *Batch, slot int, step int64) error {
	r := l.random(step, slot)
	n := l.Size * l.Size * l.Channels()
	at := func(pix []uint8, i int) []uint8 { return pix[i*n : (i+1)*n] }
	if slot < l.Settings.Labelled {
		class := l.Normals
		if r.IntN(2) == 1 { // both classes alike, with replacement
			class, b.Anomaly[slot] = l.Anomalies, 1
		}
		m, err := l.draw(ctx, class, r, true)
		if err != nil {
			return err
		}
		copy(at(b.Labelled, slot), augment.Weak(m, r, l.Augment).Pix)
		return nil
	}
	m, err := l.draw(ctx, l.Unlabelled, r, false)
	if err != nil {
		return err
	}
	i := slot - l.Settings.Labelled
	copy(at(b.Weak, i), augment.Weak(m, r, l.Augment).Pix)
	copy(at(b.Strong, i), augment.Strong(m, r, l.Augment).Pix)
	return nil
}

// draw picks an image of the list until one can be read.
func (l *Loader) draw(ctx context.Context, from []int, r *rand.Rand, keep bool) (dataset.Pixels, error) {
	const tries = 100
	var last error
	for range tries {
		i := from[r.IntN(len(from))]
		if m, ok := l.labelled.Load(i); ok {
			return m.(dataset.Pixels), nil
		}
		m, err := l.sized(ctx, i)
		if err == nil {
			if keep {
				l.labelled.Store(i, m)
			}
			return m, nil
		}
		if ctx.Err() != nil {
			return dataset.Pixels{}, ctx.Err()
		}
		if errors.Is(err, dataset.ErrSource) {
			return dataset.Pixels{}, err
		}
		last = err
	}
	return dataset.Pixels{}, fmt.Errorf("no readable image to train on after %d tries: %w", tries, last)
}

// sized is image i at the size of the network.
func (l *Loader) sized(ctx context.Context, i int) (dataset.Pixels, error) {
	if p, ok := l.Images.(channelled); ok {
		m := dataset.NewPixels(l.Size, l.Size, p.Channels())
		return m, p.Sized(ctx, i, l.Size, m.Pix)
	}
	m, err := l.Images.Image(ctx, i)
	return dataset.Resize(m, l.Size, l.Size).Pixels(), err
}

// noise draws what dropout and drop-connect leave out.
func (l *Loader) noise(b *Batch, r *rand.Rand) {
	n := l.Settings.Labelled + 2*l.Settings.Unlabelled
	b.DropKeep = make([]float32, nn.Blocks()*n)
	for i := range b.DropKeep {
		b.DropKeep[i] = kept(r, l.Settings.DropConnect*float64(i/n)/float64(nn.Blocks()))
	}
	b.FeatureKeep = make([]float32, n*nn.Features)
	for i := range b.FeatureKeep {
		b.FeatureKeep[i] = kept(r, l.Settings.Dropout)
	}
}

// kept is 0 with probability rate, else what keeps the mean.
func kept(r *rand.Rand, rate float64) float32 {
	if rate > 0 && r.Float64() < rate {
		return 0
	}
	return float32(1 / (1 - rate))
}

// Run yields the batches of steps from…to-1, one of them made ahead while the device trains.
func (l *Loader) Run(ctx context.Context, from, to int64) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		type made struct {
			b   Batch
			err error
		}
		ahead := make(chan made, 1)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			defer close(ahead)
			for step := from; step < to; step++ {
				b, err := l.Batch(ctx, step)
				select {
				case ahead <- made{b, err}:
				case <-ctx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		})
		for m := range ahead {
			if !yield(m.b, m.err) || m.err != nil {
				return
			}
		}
		if ctx.Err() != nil {
			yield(Batch{}, ctx.Err())
		}
	}
}
