package score

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/parallel"
)

// Waits is who waited for whom while images were scored: the slower of the two sets the speed, and hardly waits.
type Waits struct {
	Decoding time.Duration // decoded batches waited for the network
	Network  time.Duration // the network waited for pictures; the mean of all devices
}

// Network is what scores pictures, such as nn.Device.
type Network interface {
	Scores(pix []uint8, n, batch, size int) ([]float32, error)
}

// Range yields the scores of the images [from, to) as Pool has them, batch by batch. Every device of the model takes batches from the same row, and
// one more is decoded meanwhile, so that decoding and networks overlap and memory stays bounded. A device that fails costs the batch that it had, which
// another does again.
//
// The last digits of a network's answer depend on the shape of the batch and on the image's place in it, on XLA and on the Go backend; on what
// the other images are they do not, nor on the number of cores (measured on CPUs), nor on which of several like devices it is. So an image has its place by
// its number, also where others cannot be read, and ranges that begin at a multiple of opt.Batch give the bytes of the whole pool.
func Range(ctx context.Context, pool *dataset.Pool, m *nn.Model, from, to int, opt Options) iter.Seq2[[]float32, error] {
	if err := nn.FitChannels(m.Channels(), pool.Channels()); err != nil {
		return func(yield func([]float32, error) bool) { yield(nil, err) }
	}
	return scored(ctx, pool, m.Lanes(), from, to, opt)
}

// answer is what a network says of a block.
type answer struct {
	block  dataset.Block
	scores []float32
}

func scored[N Network](ctx context.Context, pool *dataset.Pool, networks []N, from, to int, opt Options) iter.Seq2[[]float32, error] {
	return func(yield func([]float32, error) bool) {
		var waits parallel.Waits
		if opt.Waits != nil {
			defer func() { opt.Waits.Decoding, opt.Waits.Network = waits.Things, waits.Workers }()
		}
		ask := func(n N, b dataset.Block) (answer, error) {
			s, err := n.Scores(b.Pix, opt.Batch, opt.Batch, opt.Size)
			if err != nil {
				return answer{}, err
			}
			b.Pix = nil
			return answer{b, s[:len(b.Usable)]}, nil
		}
		for a, err := range parallel.InOrder(ctx, networks, pool.Blocks(ctx, from, to, opt.Size, opt.Batch, opt.Workers), ask, &waits) {
			if err == nil {
				err = check(a.scores, a.block.Usable)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if opt.Progress != nil {
				opt.Progress(a.block.To-from, to-from)
			}
			if !yield(a.scores, nil) {
				return
			}
		}
	}
}

// check puts NaN where an image cannot be used. A network that answers NaN is an error.
func check(scores []float32, usable []bool) error {
	for k, ok := range usable {
		if !ok {
			scores[k] = float32(math.NaN())
		} else if math.IsNaN(float64(scores[k])) {
			return errors.New("the network answers NaN: its weights are damaged, train again")
		}
	}
	return nil
}
