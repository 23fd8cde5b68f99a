package journal

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"anomalymatch/engine/label"
)

// One label at a time, each on disk: what a key press waits for.
func BenchmarkAppend(b *testing.B) {
	j := mustOpen(b, b.TempDir(), "ada")
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		mustAppend(b, j, "", set(fmt.Sprint("survey/", i, ".png"), label.Normal))
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
}

// A million labels, each its own step: far more than people make.
func BenchmarkOpenMillion(b *testing.B) {
	events := make([]Event, 1_000_000)
	for i := range events {
		events[i] = Event{
			Lamport: uint64(i + 1), Time: sample.Time, By: "ada-lab", UID: fmt.Sprintf("ABCDEFGHIJKLMNOPQRS%07d", i),
			Change: set(fmt.Sprintf("survey/field-%03d/cutout-%07d.png", i%100, i), label.Normal),
		}
	}
	dir := b.TempDir()
	put(b, dir, "ada", events)
	events = nil
	for b.Loop() {
		if n := len(mustOpen(b, dir, "x").Current()); n != 1_000_000 {
			b.Fatal(n)
		}
	}
}
