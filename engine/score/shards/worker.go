package shards

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strconv"
	"strings"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/internal/say"
)

// Worker runs shards with the network.
type Worker struct {
	Folder      *Folder
	Pool        *dataset.Pool // opened with the plan's limits
	Checkpoints string        // folder
	Runtime     string        // see runtime.Open
	Threads     int           // that decode
	Host        string

	// Say, if not nil, is told what a person should know, Report how many images of a shard are done.
	Say    func(text string)
	Report func(shard, done int)
}

// Run makes the shards, one after the other; those that are there already cost nothing. The end of ctx ends it at the next batch.
func (w *Worker) Run(ctx context.Context, shards []int) error {
	var work *Work
	for _, shard := range shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if shard >= 0 && shard < len(w.Folder.Plan.Shards) && w.Folder.Verify(shard) == nil {
			continue
		}
		if work == nil {
			model, opened, err := w.open()
			if err != nil {
				return err
			}
			defer model.Close()
			work = w.work(model, opened)
		}
		work.Report = nil
		if w.Report != nil {
			work.Report = func(done int) { w.Report(shard, done) }
		}
		if err := w.Folder.Run(ctx, shard, *work); err != nil {
			return err
		}
	}
	return nil
}

// Check says whether pool and checkpoint are still those of the plan.
func (w *Worker) Check() error {
	p, hash := w.Folder.Plan, w.Pool.Hash()
	if p.Program != anomalymatch.Version {
		return fmt.Errorf("the plan was made by version %s of the program, and this is %s: plan again with the one that runs the shards", say.Text(p.Program), anomalymatch.Version)
	}
	if p.Pool != hex.EncodeToString(hash[:]) {
		return errors.New("the images of the project changed since the shards were planned: plan again")
	}
	sum, err := fileSum(filepath.Join(w.Checkpoints, p.Checkpoint))
	if err != nil {
		return fmt.Errorf("the checkpoint %s of the plan cannot be read: %w", say.Text(p.Checkpoint), cause(err))
	}
	if sum != p.SHA256 {
		return fmt.Errorf("the checkpoint %s changed since the shards were planned: plan again", say.Text(p.Checkpoint))
	}
	return nil
}

func (w *Worker) open() (*nn.Model, runtime.Opened, error) {
	if err := w.Check(); err != nil {
		return nil, runtime.Opened{}, err
	}
	name := w.Folder.Plan.Checkpoint
	state, _, err := fixmatch.ReadCheckpoint(filepath.Join(w.Checkpoints, name))
	if err != nil {
		return nil, runtime.Opened{}, fmt.Errorf("the checkpoint %s: %w", say.Text(name), err)
	}
	o, err := runtime.Open(runtime.Infer, w.Runtime)
	if err != nil {
		return nil, o, err
	}
	if o.Note != "" && w.Say != nil {
		w.Say("warning: " + o.Note)
	}
	model, err := nn.NewModel(o, state.Scoring())
	if err == nil && w.Say != nil {
		model.Warn = func(text string) { w.Say("warning: " + text) }
	}
	return model, o, err
}

func (w *Worker) work(model *nn.Model, o runtime.Opened) *Work {
	p := w.Folder.Plan
	opt := score.Options{Size: p.Size, Batch: p.Batch, Workers: w.Threads}
	return &Work{Host: w.Host, Backend: o.Name, Bad: w.Pool.BadIn, Rows: func(ctx context.Context, from, to int) iter.Seq2[[]float32, error] {
		return score.Range(ctx, w.Pool, model, from, to, opt)
	}}
}

// Share is what falls to task t of n: every n-th shard, so that tasks differ by one shard at most.
func Share(shards []int, t, n int) (share []int) {
	for k := t; k < len(shards); k += n {
		share = append(share, shards[k])
	}
	return share
}

// Select is Select of the plan's shards.
func (p Plan) Select(list string) ([]int, error) { return Select(list, len(p.Shards)) }

// Select reads a list of shards, of n, as List writes it, if it is whole; "" are all.
func Select(list string, n int) ([]int, error) {
	var out []int
	if list == "" {
		list = fmt.Sprintf("0-%d", n-1)
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || from < 0 || to < from || to >= n {
			return nil, fmt.Errorf("%q is no shard, or no range of shards, of a plan of %d", part, n)
		}
		for shard := from; shard <= to; shard++ {
			out = append(out, shard)
		}
	}
	return out, nil
}
