package engine

import (
	"context"
	goruntime "runtime"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
)

// TestTheMachineIsMeasuredWhileThereIsAJob, and nobody is woken when there is none.
func TestTheMachineIsMeasuredWhileThereIsAJob(t *testing.T) {
	p := newProject(t)
	p.start()
	news := make(chan *rpc.Status, 10_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go p.e.subscribe(ctx, func(ev *rpc.Event) error {
		if s := ev.GetStatus(); s != nil {
			news <- s
		}
		return nil
	})
	p.until("embeddings", func(s *rpc.Status) bool { return s.Embedded && idle(s) })
	cpu, memory := 0.0, 0.0
	for deadline := time.Now().Add(time.Minute); ; {
		select {
		case s := <-news:
			cpu, memory = max(cpu, s.CpuPercent), s.HostTotalMib
			if time.Now().After(deadline) {
				t.Fatalf("there is still news: %v", s)
			}
			continue
		case <-time.After(3 * measureEvery):
		}
		break
	}
	if goruntime.GOOS == "linux" && (cpu <= 0 || cpu > 100 || memory <= 0) {
		t.Errorf("embedding took %v%% of the cores; the memory is %v MiB", cpu, memory)
	}
}
