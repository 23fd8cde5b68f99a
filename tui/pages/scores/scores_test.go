package scores

import (
	"math"
	"testing"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/pages/pagetest"
)

// TestFits: whatever an engine answers, the page is as large as it should be.
func TestFits(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	line := []*rpc.Point{{X: 0, Y: 0}, {X: 0.1, Y: 0.7}, {X: 1, Y: 1}}
	for name, c := range map[string]*rpc.CurvesReply{
		"none":  nil,
		"empty": {},
		"all": {Of: "fast ranking, truth of 6,446 images that are not labelled", Roc: line, Pr: line, Found: line, Truth: 3, Auroc: &rpc.Estimate{Known: true, Value: 0.9, Low: 0.8, High: 1},
			Auprc: &rpc.Estimate{Known: true, Value: 0.9, Low: 0.8, High: 1}, Cycle: 3, Before: 2, Against: make([]int64, 16), AgainstBins: 4, RankCorrelation: 0.5},
		"hostile": {Of: "\x1b[2J\n\u202e" + string(rune(0x10eeee)), Roc: []*rpc.Point{{X: nan, Y: nan}, nil, {X: inf, Y: -inf}}, Pr: []*rpc.Point{{X: nan}, {Y: nan}}, Found: []*rpc.Point{{}, {X: inf, Y: nan}}, Truth: math.MaxInt64,
			Auroc: &rpc.Estimate{Known: true, Value: nan, Low: inf}, Cycle: -1, Against: []int64{-5, math.MinInt64, math.MaxInt64, 1}, AgainstBins: 2, RankCorrelation: nan},
		"wrong": {Against: []int64{1}, AgainstBins: math.MaxInt32},
		"less":  {Against: []int64{1}, AgainstBins: -4},
	} {
		env, _ := pagetest.Env(t)
		p := New(env)
		env.Monitor.Curves = c
		env.Monitor.Hist = &rpc.HistogramReply{RankedBy: "fast", Pool: []int64{5, 3, 0, 1}, Anomalies: []int64{0, 0, 0, 1}, Normals: []int64{1, 0, 0, 0}}
		for range charts {
			pagetest.Fits(t, name, p)
			p.Update(pages.Pressed{ID: "right"})
		}
	}
}

func TestChartsInTurn(t *testing.T) {
	env, _ := pagetest.Env(t)
	p := New(env)
	p.SetSize(80, 21)
	for _, step := range []struct {
		id string
		at int
	}{{"right", 1}, {"down", 2}, {"left", 1}, {"up", 0}, {"left", 4}, {"right", 0}, {"last", 4}, {"first", 0}, {"next-page", 1}, {"previous-page", 0}} {
		if why := p.Refuse(step.id); why != "" {
			t.Errorf("%s: %s", step.id, why)
		}
		if p.Update(pages.Pressed{ID: step.id}); p.at != step.at {
			t.Fatalf("after %s it is chart %d, want %d", step.id, p.at, step.at)
		}
	}
	p.SetSize(250, 67)
	if p.Refuse("right") == "" || p.plan().shown != charts {
		t.Error("there is room for all charts")
	}
	if p.Update(pages.Wheeled{Down: true}); p.at != 0 {
		t.Error("the wheel turns what is on screen anyway")
	}
}
