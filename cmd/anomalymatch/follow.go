package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
)

// startEngine connects to the project's engine, which is started if none runs.
func startEngine(ctx context.Context, p *session.Project) (*rpc.Client, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return finder(p).Start(ctx, p.Dir, exe)
}

// follower watches an engine work and tells about it.
type follower struct {
	client *rpc.Client
	line   *progress.Line
	events chan *rpc.Event // closed when the link ended
	ended  error           // why

	status    *rpc.Status    // newest
	step      *rpc.TrainStep // newest
	cancelled bool           // somebody cancelled the job
	failures  []string       // what the engine said of jobs that failed
}

// follow connects to the project's engine and waits until it has listed the images. Close it.
func follow(ctx context.Context, p *session.Project, line *progress.Line) (*follower, error) {
	c, err := startEngine(ctx, p)
	if err != nil {
		return nil, err
	}
	f := &follower{client: c, line: line, events: make(chan *rpc.Event)}
	if err := f.open(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close ends the link, not the engine.
func (f *follower) Close() {
	f.line.Clear()
	f.client.Close()
	for range f.events {
	}
}

func (f *follower) open(ctx context.Context) error {
	hello, err := f.client.Hello(ctx, &rpc.HelloRequest{})
	if err != nil {
		close(f.events)
		return said(err)
	}
	if hello.GetVersion() != anomalymatch.Version {
		f.line.Say(fmt.Sprintf("the engine that runs is of version %s, this is %s: `anomalymatch stop PROJECT` ends it", hello.GetVersion(), anomalymatch.Version))
	}
	// The stream outlives ctx: after ctrl+c it is still told what becomes of the job.
	stream, err := f.client.Watch(context.WithoutCancel(ctx), &rpc.WatchRequest{})
	if err != nil {
		close(f.events)
		return said(err)
	}
	go func() {
		defer close(f.events)
		for {
			ev, err := stream.Recv()
			if err != nil {
				f.ended = said(err)
				if errors.Is(err, io.EOF) {
					f.ended = errors.New("the engine ended: engine.log in the project says why")
				}
				return
			}
			f.events <- ev
		}
	}()
	return f.until(ctx, func(s *rpc.Status) bool { return s.GetState() != "indexing" })
}

// until takes events in, and shows them, until a status satisfies done.
func (f *follower) until(ctx context.Context, done func(*rpc.Status) bool) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case ev, ok := <-f.events:
			if !ok {
				return f.ended
			}
			switch n := ev.GetNotice(); {
			case n == nil:
			case n.GetLevel() == "info":
				f.cancelled = f.cancelled || strings.HasSuffix(n.GetText(), " cancelled")
			default:
				if n.GetLevel() == "error" {
					f.failures = append(f.failures, n.GetText())
				}
				f.line.Say(n.GetLevel() + ": " + n.GetText())
			}
			if s := ev.GetStep(); s != nil {
				f.step = s
			}
			if s := ev.GetStatus(); s != nil {
				f.status = s
				if done(s) {
					return nil
				}
				f.line.Set(progress.Job(s, f.step))
			}
		}
	}
}

// failure is what the engine said of a job of one of these states that failed since the last order; "" where none did. The status forgets it when the next
// job begins, which may be before anybody looks.
func (f *follower) failure(states []string) string {
	for _, state := range states {
		for _, text := range f.failures {
			if strings.HasPrefix(text, state+" failed: ") {
				return text
			}
		}
	}
	return ""
}

const (
	// startsWithin is how long an idle engine may take to begin with what was ordered.
	startsWithin = 10 * time.Second
	// keptWithin is how long a cancelled job may take to end.
	keptWithin = 30 * time.Second
)

// started waits for a job that was ordered; others may go first.
func (f *follower) started(ctx context.Context, done func(*rpc.Status) bool) error {
	for {
		limit, stop := context.WithTimeout(ctx, startsWithin)
		err := f.until(limit, done)
		stop()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
		if f.status.GetState() == "idle" {
			return errIdle
		}
	}
}

var errIdle = errors.New("the job did not start: engine.log in the project says why")

// job orders a job and follows it to its end. states are those that it goes through. When ctx ends it is cancelled.
func (f *follower) job(ctx context.Context, order func(context.Context) (*rpc.JobReply, error), states ...string) error {
	runs := func(s *rpc.Status) bool {
		for _, state := range states {
			if s.GetState() == state {
				return true
			}
		}
		return false
	}
	if runs(f.status) {
		f.line.Say(f.status.GetState() + " is going on already: following it")
	} else {
		f.failures = nil
		reply, err := order(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return context.Canceled
		case err != nil:
			return said(err)
		case !reply.GetStarted():
			return errors.New(reply.GetReason())
		}
		before := f.status.GetError() // of an earlier job
		err = f.started(ctx, func(s *rpc.Status) bool {
			return runs(s) || s.GetError() != "" && s.GetError() != before || f.failure(states) != ""
		})
		switch why := cmp.Or(f.status.GetError(), f.failure(states)); {
		case ctx.Err() != nil: // the job is cancelled below
		case why != "" && !runs(f.status):
			return errors.New(why)
		case err != nil:
			return err
		}
	}
	err := f.until(ctx, func(s *rpc.Status) bool { return !runs(s) })
	if ctx.Err() != nil {
		return f.cancel(ctx, runs)
	}
	f.line.Clear()
	if err != nil {
		return err
	}
	if why := cmp.Or(f.failure(states), f.status.GetError()); why != "" {
		return errors.New(why)
	}
	if f.cancelled {
		return context.Canceled
	}
	return nil
}

// cancel ends the job that runs and waits for its end.
func (f *follower) cancel(ctx context.Context, runs func(*rpc.Status) bool) error {
	f.line.Say("cancelling…")
	ctx, stop := context.WithTimeoutCause(context.WithoutCancel(ctx), keptWithin, errors.New("the engine did not end the job yet: `anomalymatch status PROJECT` tells when it has"))
	defer stop()
	if _, err := f.client.Cancel(ctx, &rpc.CancelRequest{}); err != nil {
		return said(err)
	}
	if err := f.until(ctx, func(s *rpc.Status) bool { return !runs(s) }); err != nil {
		return err
	}
	return context.Canceled
}

// newestStep is the last one of the newest training run; nil if there is none. The stream may have begun after it.
func (f *follower) newestStep(ctx context.Context) *rpc.TrainStep {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	run, err := f.client.Run(ctx, &rpc.RunRequest{})
	if err != nil || len(run.GetSteps()) == 0 {
		return f.step
	}
	return run.GetSteps()[len(run.GetSteps())-1]
}
