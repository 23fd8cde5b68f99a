package training

import (
	"math"
	"testing"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/pages/pagetest"
)

// TestFits: whatever an engine answers, the page is as large as it should be.
func TestFits(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	steps := func(cycle int32, n int) (out []*rpc.TrainStep) {
		for i := range n {
			out = append(out, &rpc.TrainStep{Cycle: cycle, Step: int32(i + 1), Steps: int32(n), Loss: 1 / float32(i+1), SupLoss: 0.5, Kept: 0.5, PseudoAnomaly: 0.1, ImagesPerSecond: 9, Seconds: float64(i)})
		}
		return out
	}
	past := []*rpc.TrainRun{{Cycle: 2, Steps: steps(2, 50), Anomalies: 3, Normals: 12345678}, {Cycle: 1}, {Cycle: 0, Steps: steps(0, 1), EndedUnixMs: 1}}
	for name, c := range map[string]struct {
		steps  []*rpc.TrainStep
		past   []*rpc.TrainRun
		status *rpc.Status
	}{
		"nothing": {status: &rpc.Status{State: "idle"}},
		"before":  {past: past, status: &rpc.Status{State: "idle"}},
		"running": {steps(3, 90), past, &rpc.Status{State: "training", Step: 9, Steps: 90, ImagesPerSecond: 1e9, RemainingSeconds: 4e5, Detail: "a detail that is longer than there is room for it", Backend: "xla:cuda12",
			Anomalies: 5, Normals: 7e9, CpuPercent: 55, HostRssMib: 1e5, HostTotalMib: 1e6, Gpus: []*rpc.Gpu{{UsePercent: 3, MemoryMib: 1, TotalMib: 9}, {UsePercent: -1, MemoryMib: -1}, nil, {}, {}, {}}}},
		"hostile": {[]*rpc.TrainStep{{Cycle: -1, Step: -5, Loss: nan, SupLoss: inf, Kept: nan, PseudoAnomaly: inf, Seconds: math.NaN()}, {Cycle: -1, Step: -5, Loss: inf, Kept: 1e-30, PseudoAnomaly: inf}},
			[]*rpc.TrainRun{nil, {Cycle: -7, Steps: []*rpc.TrainStep{nil, {Loss: nan}}}},
			&rpc.Status{State: "training\x1b[2J", Detail: "\u202e\n", CpuPercent: math.NaN(), HostRssMib: math.Inf(1), HostTotalMib: math.NaN(), Gpus: []*rpc.Gpu{{UsePercent: math.Inf(1), MemoryMib: math.NaN(), TotalMib: 1}}}},
	} {
		env, _ := pagetest.Env(t)
		env.Monitor.Steps, env.Monitor.Past, env.Monitor.Status, env.Monitor.Known = c.steps, c.past, c.status, true
		pagetest.Fits(t, name, New(env))
	}
}
