//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
	"anomalymatch/engine/score/shards"
)

// killEngine kills the engine while a client gives labels. One time in five it trains, one in ten it embeds anew.
func killEngine(ctx context.Context, w *world, t *tally, more func() bool) error {
	p, err := w.project("index", "embeddings", "checkpoints", "runs", "scores")
	if err != nil {
		return err
	}
	labels := p.clerk()
	for more() {
		most, trains := 400*time.Millisecond, w.r.IntN(5) == 0
		if trains {
			most = 2500 * time.Millisecond
		}
		if w.r.IntN(10) == 0 {
			if err := os.RemoveAll(p.sub("embeddings")); err != nil {
				return err
			}
		}
		e, err := p.engine()
		if err != nil {
			return err
		}
		end, kill := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			labels.work(end)
		}()
		if moment := w.moment(most); trains {
			ask, cancel := context.WithTimeout(ctx, moment)
			if c, err := p.dial(ask); err == nil {
				c.Train(ask, &rpc.TrainRequest{ThenScore: true}) // that it trains already is as good
				c.Close()
			}
			<-ask.Done()
			cancel()
		} else {
			pause(ctx, moment)
		}
		if !e.kill() {
			t.say("the engine ended by itself: %s", e.said())
		}
		t.faults++
		kill()
		<-done
		labels.check(t)
		if trains || w.r.IntN(10) == 0 {
			p.checkpoints(t)
		}
	}
	if err := p.settle(ctx, t); err != nil {
		return err
	}
	labels.check(t)
	p.checkpoints(t)
	p.same(t, "embeddings/frozen-32x1.f16")
	return p.remove()
}

// killScoring kills the engine while it scores; each time that the scores are there they are compared, and made anew.
func killScoring(ctx context.Context, w *world, t *tally, more func() bool) error {
	p, err := w.project("index", "embeddings", "checkpoints", "runs", "labels")
	if err != nil {
		return err
	}
	const scores = "scores/cycle-001.scores"
	whole := func() error {
		if _, err := os.Stat(p.sub(scores)); err != nil {
			return nil
		}
		p.same(t, scores)
		return os.RemoveAll(p.sub("scores"))
	}
	took, err := p.scoring(ctx)
	if err != nil {
		return err
	}
	if err := whole(); err != nil {
		return err
	}
	for more() {
		e, err := p.engine()
		if err != nil {
			return err
		}
		pause(ctx, time.Duration(w.r.Float64()*1.2*float64(took)))
		if !e.kill() {
			t.say("the engine ended by itself: %s", e.said())
		}
		t.faults++
		if err := whole(); err != nil {
			return err
		}
	}
	if _, err := p.scoring(ctx); err != nil {
		return err
	}
	p.same(t, scores)
	if err := p.settle(ctx, t); err != nil {
		return err
	}
	p.checkpoints(t)
	return p.remove()
}

// scoring lets the engine score to the end, and tells how long that takes from its start.
func (p *project) scoring(ctx context.Context) (took time.Duration, err error) {
	begin := time.Now()
	e, err := p.engine()
	if err != nil {
		return 0, err
	}
	for len(score.Files(p.sub("scores"))) == 0 {
		if time.Since(begin) > patience || e.ended(0) || !pause(ctx, 5*time.Millisecond) {
			e.kill()
			return 0, fmt.Errorf("the engine does not score: %s", e.said())
		}
	}
	took = time.Since(begin)
	return took, errors.Join(p.idle(ctx, e), p.stop(e))
}

// killWorker kills a worker that scores shards, until all of them are there and merge to what one engine makes.
func killWorker(ctx context.Context, w *world, t *tally, more func() bool) error {
	p, err := w.project("index", "embeddings", "checkpoints", "runs", "labels")
	if err != nil {
		return err
	}
	const parts = "6"
	merge := func() error {
		out, err := w.command("score", p.dir, "--shards", parts).CombinedOutput()
		if err != nil {
			return fmt.Errorf("the shards cannot be merged: %w: %s", err, out)
		}
		return nil
	}
	begin := time.Now()
	if err := merge(); err != nil {
		return err
	}
	took := time.Since(begin)
	plans, err := filepath.Glob(p.sub("scores", "shards-*"))
	if err != nil || len(plans) != 1 {
		return fmt.Errorf("there are %d plans: %w", len(plans), err)
	}
	want, err := os.ReadFile(p.sub("scores/cycle-001.scores"))
	if err != nil {
		return err
	}
	p.same(t, "scores/cycle-001.scores")
	anew := func() error {
		files, err := filepath.Glob(filepath.Join(plans[0], "shard-*"))
		for _, f := range append(files, p.sub("scores/cycle-001.scores")) {
			err = errors.Join(err, os.Remove(f))
		}
		return err
	}
	if err := anew(); err != nil {
		return err
	}
	for more() {
		begin := time.Now()
		worker, err := w.start(nil, "shard", plans[0], p.dir)
		if err != nil {
			return err
		}
		if !worker.ended(time.Duration(w.r.Float64() * 1.2 * float64(took))) {
			if worker.kill() {
				t.faults++
			}
			f, err := shards.Open(plans[0])
			if err != nil {
				t.say("the plan: %v", err)
				continue
			}
			if _, err := f.Status(); err != nil {
				t.say("the shards: %v", err)
			}
			continue
		}
		if worker.cmd.ProcessState.ExitCode() != 0 {
			t.say("the worker ended with %v: %s", worker.cmd.ProcessState, worker.said())
			continue
		}
		os.Remove(worker.log)
		took = min(took, time.Since(begin)) // the first time was that of a machine which was busy, perhaps
		f, err := shards.Open(plans[0])
		if err == nil {
			_, err = f.Merge(ctx)
		}
		if err != nil {
			t.say("the shards cannot be merged: %v", err)
			continue
		}
		got, err := os.ReadFile(p.sub("scores/cycle-001.scores"))
		if err != nil || string(got) != string(want) {
			t.say("the merged scores are not those of an uninterrupted run: %v", err)
		}
		if err := anew(); err != nil {
			return err
		}
	}
	if err := merge(); err != nil {
		t.say("%v", err)
	}
	p.same(t, "scores/cycle-001.scores")
	if err := p.settle(ctx, t); err != nil {
		return err
	}
	return p.remove()
}

// killAttach kills the process that joins a client to the engine, which lives on.
func killAttach(ctx context.Context, w *world, t *tally, more func() bool) error {
	p, err := w.project("index", "embeddings")
	if err != nil {
		return err
	}
	e, err := p.engine()
	if err != nil {
		return err
	}
	if err := p.idle(ctx, e); err != nil {
		return err
	}
	labels := p.clerk()
	for more() {
		labels.dial = func(ctx context.Context) (*rpc.Client, error) {
			conn, err := rpc.DialProcess(ctx, w.command("attach", p.dir))
			if err != nil {
				return nil, err
			}
			return rpc.OnConn(conn)
		}
		end, kill := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			labels.work(end)
		}()
		pause(ctx, w.moment(300*time.Millisecond))
		for _, pid := range w.processes() {
			if pid != e.cmd.Process.Pid && syscall.Kill(pid, syscall.SIGKILL) == nil {
				t.faults++
			}
		}
		kill()
		<-done
		labels.check(t)
		if e.ended(0) {
			return fmt.Errorf("the engine ended with the attach: %s", e.said())
		}
	}
	if err := errors.Join(p.idle(ctx, e), p.stop(e), p.settle(ctx, t)); err != nil {
		return err
	}
	labels.check(t)
	return p.remove()
}
