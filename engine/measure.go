package engine

import (
	"context"
	goruntime "runtime"
	"strings"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/engine/usage"
)

// What the engine takes of its machine is measured this often; cards more seldom, since asking starts a program, and hardly ever where that fails.
const (
	measureEvery = 2 * time.Second
	cardsEvery   = 4 * time.Second
	cardsLater   = time.Minute
)

// measure keeps what the status says of processor and cards up to date while there is a job, and until it has seen the rest after it. Then nobody is
// told any more: what is idle is not to wake terminals.
func (e *Engine) measure(ctx context.Context) {
	total := usage.Memory()
	e.update(func(s *rpc.Status) { s.HostTotalMib = total })
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	var cpu usage.CPU
	var cards time.Time // to be asked again then
	const after = 2     // of the time in which a job ended, and of the time after it
	left := 0           // so many measurements are told yet
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		percent, _ := cpu.Percent(goruntime.GOMAXPROCS(0))
		e.mu.Lock()
		busy := e.busy != nil || e.worked // also where it was shorter than the time between two looks
		e.worked = false
		backend := e.status.Backend
		e.mu.Unlock()
		if left--; busy {
			left = after
		}
		if left < 0 {
			continue
		}
		var gpus []*rpc.Gpu
		asked := false
		if strings.Contains(backend, "cuda") && !time.Now().Before(cards) {
			asked = true
			found, err := usage.GPUs(ctx)
			cards = time.Now().Add(cardsEvery)
			if err != nil {
				e.log.Debug("the cards are not known", "err", err)
				cards = time.Now().Add(cardsLater)
			}
			for _, g := range found {
				gpus = append(gpus, &rpc.Gpu{Name: g.Name, UsePercent: g.Percent, MemoryMib: g.UsedMiB, TotalMib: g.AllMiB})
			}
		}
		e.update(func(s *rpc.Status) {
			s.CpuPercent = percent
			if asked {
				s.Gpus = gpus
			}
		})
	}
}
