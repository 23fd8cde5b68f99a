package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"anomalymatch/engine/rpc"
)

// Job is the job of a batch system that the engine runs in.
type Job struct {
	Name string // "slurm 1234"
	// Ends asks when the batch system ends the job; the zero time: never.
	Ends func(context.Context) (time.Time, error)
	// Requeue puts the job back into the queue, from where it goes on; the batch system may end this process at once. nil: the job is not to go on.
	Requeue func(context.Context) error
}

const (
	// leastRun is how long an engine must have run before it queues its job again, and it must have finished something: one that cannot work, or
	// not in so short a time, must not go round in circles.
	leastRun = 30 * time.Second
	// askEvery is how often the batch system is asked for the end of the job, which people can change.
	askEvery = 10 * time.Minute
)

// margin is how long before the end of a job that lasts so long the engine gets ready for it.
func margin(lasts time.Duration) time.Duration {
	return min(2*time.Minute, max(10*time.Second, lasts/20))
}

// Checkpoint keeps a running training at its next step, and goes on. The channel is closed when that is on disk, or nothing trains any more.
func (e *Engine) Checkpoint() <-chan struct{} {
	kept := make(chan struct{})
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.status.State == "training" {
		e.keeps = append(e.keeps, kept)
	} else {
		close(kept)
	}
	select {
	case e.anew <- struct{}{}: // batch systems ask for checkpoints when something is about to change
	default:
	}
	return kept
}

// tellKept tells who asked for a checkpoint. Called with mu held.
func (e *Engine) tellKept() {
	for _, kept := range e.keeps {
		close(kept)
	}
	e.keeps = nil
}

// watchJob knows when the batch system ends the job, and gets ready for it in time.
func (e *Engine) watchJob(ctx context.Context) {
	began := time.Now()
	var said string
	var ends, ready time.Time // ready for this end
	ask := func() {
		t, err := e.opt.Job.Ends(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if said != err.Error() {
				said = err.Error()
				e.log.Warn("when the job ends is not known", "job", e.opt.Job.Name, "err", err)
			}
		case !t.Equal(ends):
			ends = t
			e.update(func(s *rpc.Status) {
				if s.EndsAtUnixMs = 0; !t.IsZero() {
					s.EndsAtUnixMs = t.UnixMilli()
				}
			})
		}
	}
	ask()
	for {
		var near <-chan time.Time
		if !ends.IsZero() && !ends.Equal(ready) {
			near = time.After(time.Until(ends) - margin(ends.Sub(began)))
		}
		select {
		case <-ctx.Done():
			return
		case <-e.anew:
			ask()
		case <-time.After(askEvery):
			ask()
		case <-near:
			before := ends
			if ask(); ends.Equal(before) { // nobody gave it more time
				ready = ends
				e.getReady(ctx, ends, began)
			}
		}
	}
}

// getReady keeps the training before the job ends, and queues the job again where that is wanted and somebody needs it.
func (e *Engine) getReady(ctx context.Context, ends, began time.Time) {
	j := e.opt.Job
	e.mu.Lock()
	working := e.busy != nil && !e.busy.yields || slices.ContainsFunc(e.queue, asked)
	needed := working || e.busy != nil || len(e.queue) > 0 || len(e.subs) > 0
	able := e.moved && time.Since(began) >= leastRun
	e.mu.Unlock()
	left := time.Until(ends)
	text := fmt.Sprintf("%s ends in %v", j.Name, max(0, left.Round(time.Second)))
	if working {
		text += ": what is trained so far is kept"
	}
	again := j.Requeue != nil && needed && able
	level := "warning"
	switch {
	case again:
		level = "info"
		text += "; the job is queued again and goes on from there"
	case j.Requeue != nil && needed:
		text += "; the job is not queued again, since nothing was finished in its time: give it more"
	}
	e.notice(level, text)
	select {
	case <-e.Checkpoint():
	case <-ctx.Done():
		return
	case <-time.After(left / 2):
	}
	if !again {
		return
	}
	if err := j.Requeue(ctx); err != nil {
		if ctx.Err() == nil {
			e.notice("error", fmt.Sprintf("%s could not be queued again: %s", j.Name, sentence(err)))
		}
		return
	}
	e.log.Info("the job is queued again: ending", "job", j.Name)
	e.Stop()
}
