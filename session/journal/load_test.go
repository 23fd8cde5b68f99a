package journal

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"anomalymatch/engine/label"
)

var many = flag.Int("many", 100_000, "labels of TestManyLabels")

// TestManyLabels: with very many labels a journal opens, and one more label, an undo and a look at what others wrote cost what they cost at first.
//
//	go test ./session/journal -run TestManyLabels -many 1000000 -v
func TestManyLabels(t *testing.T) {
	n := *many
	if testing.Short() {
		n = min(n, 20_000)
	}
	median := func(j *Journal, other *Journal) (appended, undone, polled time.Duration) {
		var a, u, p []time.Duration
		for i := range 100 {
			id := fmt.Sprintf("survey/new-%d.png", i)
			begin := time.Now()
			mustAppend(t, j, "", set(id, label.Anomaly))
			a = append(a, time.Since(begin))
			begin = time.Now()
			if _, err := other.Poll(); err != nil {
				t.Fatal(err)
			}
			p = append(p, time.Since(begin))
			begin = time.Now()
			last := j.History("ada", 1)
			mustAppend(t, j, "", label.Change{ID: last[0].ID, From: last[0].To})
			u = append(u, time.Since(begin))
		}
		for _, list := range [][]time.Duration{a, u, p} {
			slices.Sort(list)
		}
		return a[50], u[50], p[50]
	}
	empty := t.TempDir()
	a0, u0, p0 := median(mustOpen(t, empty, "ada"), mustOpen(t, empty, "eve"))

	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "ada.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for i := range n {
		text = appendLine(text[:0], Event{Lamport: uint64(i + 1), Time: sample.Time, By: "ada", UID: fmt.Sprintf("ABCDEFGHIJKLMNOPQRS%07d", i), Change: set(fmt.Sprintf("survey/field-%03d/cutout-%07d.png", i%100, i), label.Normal)})
		if _, err := out.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, begin := heap(), time.Now()
	j := mustOpen(t, dir, "ada")
	opened := time.Since(begin)
	bytes := (heap() - before) / int64(n)
	a, u, p := median(j, mustOpen(t, dir, "eve"))
	begin = time.Now()
	if got := len(j.Current()); got != n {
		t.Errorf("%d images are labelled", got)
	}
	t.Logf("%d labels: opened in %v, %d bytes a label; a label %v (in an empty journal %v), an undo %v (%v), a look at what others wrote %v (%v), all labels %v", n, opened, bytes, a, a0, u, u0, p, p0, time.Since(begin))
	if bytes > 1000 {
		t.Errorf("%d bytes a label", bytes)
	}
	const slack = 5 * time.Millisecond // a disk's
	if a > 3*a0+slack || u > 3*u0+slack || p > 3*p0+slack {
		t.Error("it costs more than in an empty journal")
	}
}
