package engine

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
)

func TestMargin(t *testing.T) {
	for lasts, want := range map[time.Duration]time.Duration{
		time.Minute: 10 * time.Second, 10 * time.Minute: 30 * time.Second, time.Hour: 2 * time.Minute, 48 * time.Hour: 2 * time.Minute,
	} {
		if got := margin(lasts); got != want {
			t.Errorf("of %v: %v, want %v", lasts, got, want)
		}
	}
}

// heard has somebody listen, and returns what is said to them.
func heard(t *testing.T, e *Engine) <-chan *rpc.Notice {
	notices, there := make(chan *rpc.Notice, 100), make(chan struct{}, 100)
	go e.subscribe(t.Context(), func(ev *rpc.Event) error {
		if n := ev.GetNotice(); n != nil {
			notices <- n
		}
		there <- struct{}{}
		return nil
	})
	<-there
	return notices
}

func TestGetReady(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ran     time.Duration
		moved   bool
		nobody  bool
		fails   error
		unasked bool // for going on
		want    []string
		queued  bool
	}{
		{name: "goes on", ran: time.Hour, moved: true, queued: true, want: []string{"info: slurm 7 ends in 1m0s; the job is queued again"}},
		{name: "ran for too short a time", ran: time.Second, moved: true, want: []string{"warning: slurm 7 ends in 1m0s; the job is not queued again"}},
		{name: "finished nothing", ran: time.Hour, want: []string{"warning: slurm 7 ends in 1m0s; the job is not queued again"}},
		{name: "nobody needs it", ran: time.Hour, moved: true, nobody: true},
		{name: "is not to go on", ran: time.Hour, moved: true, unasked: true, want: []string{"warning: slurm 7 ends in 1m0s"}},
		{name: "cannot", ran: time.Hour, moved: true, fails: errors.New("not allowed"), want: []string{"info: slurm 7 ends in 1m0s; the job is queued again", "error: slurm 7 could not be queued again: not allowed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, stopped := 0, false
			job := &Job{Name: "slurm 7", Requeue: func(context.Context) error { asked++; return tt.fails }}
			if tt.unasked {
				job.Requeue = nil
			}
			e := New(Options{Job: job, Log: slog.New(slog.DiscardHandler)})
			e.status.State, e.moved, e.stop = "idle", tt.moved, func() { stopped = true }
			var notices <-chan *rpc.Notice
			if !tt.nobody {
				notices = heard(t, e)
			}
			e.getReady(t.Context(), time.Now().Add(time.Minute), time.Now().Add(-tt.ran))
			for _, want := range tt.want {
				n := <-notices
				if got := n.GetLevel() + ": " + n.GetText(); !strings.HasPrefix(got, want) {
					t.Errorf("said %q, want %q", got, want)
				}
			}
			if want := tt.queued || tt.fails != nil; (asked > 0) != want || asked > 1 {
				t.Errorf("asked %d times to be queued", asked)
			}
			if stopped != tt.queued {
				t.Errorf("stopped %v", stopped)
			}
		})
	}
}

// The end of the job is told, and what was changed meanwhile counts.
func TestWatchJob(t *testing.T) {
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	ends := make(chan time.Time, 1)
	ends <- end
	e := New(Options{Job: &Job{Name: "slurm 7", Ends: func(context.Context) (time.Time, error) { return <-ends, nil }}, Log: slog.New(slog.DiscardHandler)})
	e.status.State = "idle"
	notices := heard(t, e)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { e.watchJob(ctx); close(done) }()
	until := func(want time.Time) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			if s := e.snapshot(); s.EndsAtUnixMs == want.UnixMilli() && s.Job == "slurm 7" {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("the job ends at %d, want %v", s.EndsAtUnixMs, want)
			}
		}
	}
	until(end)
	soon := time.Now().Add(5 * time.Second)
	ends <- soon
	<-e.Checkpoint() // asks again
	until(soon)
	ends <- soon // asked once more before anything is done
	if n := <-notices; n.GetLevel() != "warning" || !strings.HasPrefix(n.GetText(), "slurm 7 ends in 5s") && !strings.HasPrefix(n.GetText(), "slurm 7 ends in 4s") {
		t.Errorf("said %v", n)
	}
	ends <- soon // the checkpoint asks, too
	cancel()
	<-done
}

func TestCheckpointIsTold(t *testing.T) {
	e := New(Options{Log: slog.New(slog.DiscardHandler)})
	e.status.State = "idle"
	<-e.Checkpoint()
	e.status.State = "training"
	kept := e.Checkpoint()
	select {
	case <-kept:
		t.Fatal("told before anything was kept")
	default:
	}
	e.mu.Lock()
	e.tellKept()
	e.mu.Unlock()
	<-kept
}
