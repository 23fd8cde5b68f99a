package main

import (
	"context"
	"os"
	"testing"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/rpc"
)

// TestAFailureIsNotForgotten: the engine begins its next job, and with it a new status, before anybody has looked at the end of the one that failed.
func TestAFailureIsNotForgotten(t *testing.T) {
	status := func(state string) *rpc.Event {
		return &rpc.Event{Status: &rpc.Status{State: state}}
	}
	notice := func(text string) *rpc.Event {
		return &rpc.Event{Notice: &rpc.Notice{Level: "error", Text: text}}
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, c := range map[string]struct {
		events []*rpc.Event
		want   string
	}{
		"seen at work":           {[]*rpc.Event{status("training"), notice("training failed: no memory"), status("embedding")}, "training failed: no memory"},
		"over before it is seen": {[]*rpc.Event{notice("training failed: no memory"), status("embedding"), status("embedding")}, "training failed: no memory"},
		"another job failed":     {[]*rpc.Event{status("training"), notice("embedding failed: no disk"), status("idle")}, ""},
	} {
		f := &follower{line: progress.New(null), events: make(chan *rpc.Event, 9), status: &rpc.Status{State: "idle"}, failures: []string{"training failed: long ago"}}
		for _, e := range c.events {
			f.events <- e
		}
		err := f.job(t.Context(), func(context.Context) (*rpc.JobReply, error) { return &rpc.JobReply{Started: true}, nil }, "training")
		if err == nil && c.want != "" || err != nil && err.Error() != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
