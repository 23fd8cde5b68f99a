package atlas

import (
	"testing"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/pages/pagetest"
)

// BenchmarkView draws a map that is full, neighbouring cells of different colours, on a large screen.
func BenchmarkView(b *testing.B) {
	env, _ := pagetest.Env(b)
	env.Monitor.Status = &rpc.Status{}
	p := New(env, nil)
	p.SetSize(250, 68)
	p.have = p.wanted()
	n := p.have.columns * p.have.rows
	p.reply = &rpc.MapReply{Projection: "pca"}
	p.pic = &picture{of: whole, columns: p.have.columns, rows: p.have.rows, density: make([]int64, n), score: make([]float32, n)}
	for i := range n {
		p.pic.density[i], p.pic.score[i] = int64(i%7), float32(i%9)/9
	}
	for b.Loop() {
		p.View()
	}
}
