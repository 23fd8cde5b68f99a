//go:build linux

package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/internal/failpoint"
	"anomalymatch/session/journal"
)

// TestSoak is a few faults of each trial.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the program")
	}
	w, err := newWorld(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close() })
	w.points = []failpoint.Point{failpoint.JournalTorn, failpoint.JournalHalf, failpoint.PixelsWhole, failpoint.ShardScores, failpoint.ProjectFolder, failpoint.OutboxDelivered}
	var errs bytes.Buffer
	for _, c := range trials {
		if c.quick == 0 { // its package has tests of its own
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			r := w.try(t.Context(), c, 0, c.quick, &meter{to: &errs})
			var table strings.Builder
			if print(&table, []result{r}); r.bad() || r.faults < c.quick {
				t.Errorf("%d faults of %d\n%s", r.faults, c.quick, &table)
			}
		})
	}
}

// What a trial says of labels is believed, so it is shown what must not be.
func TestCheck(t *testing.T) {
	step := func(uid string, ids ...string) *rpc.LabelRequest {
		r := &rpc.LabelRequest{Uid: uid}
		for _, id := range ids {
			r.Changes = append(r.Changes, &rpc.LabelChange{Id: id, To: "anomaly"})
		}
		return r
	}
	for name, c := range map[string]struct {
		acked, written []*rpc.LabelRequest
		doubt          *rpc.LabelRequest
		lost, doubled  int
		wrong          string
	}{
		"all there":         {acked: []*rpc.LabelRequest{step("1", "a"), step("2", "a", "b")}, written: []*rpc.LabelRequest{step("1", "a"), step("2", "a", "b")}},
		"one on its way":    {acked: []*rpc.LabelRequest{step("1", "a")}, written: []*rpc.LabelRequest{step("1", "a"), step("2", "b")}, doubt: step("2", "b")},
		"one gone":          {acked: []*rpc.LabelRequest{step("1", "a"), step("2", "b")}, written: []*rpc.LabelRequest{step("2", "b")}, lost: 1, wrong: "1 was confirmed and is gone"},
		"half of one":       {acked: []*rpc.LabelRequest{step("1", "a", "b")}, written: []*rpc.LabelRequest{step("1", "a")}, lost: 1, wrong: "1 has 1 lines of 2"},
		"another image":     {acked: []*rpc.LabelRequest{step("1", "a")}, written: []*rpc.LabelRequest{step("1", "b")}, lost: 1, wrong: "in the journal, and was"},
		"twice":             {acked: []*rpc.LabelRequest{step("1", "a")}, written: []*rpc.LabelRequest{step("1", "a", "a")}, doubled: 1, wrong: "1 has 2 lines of 1"},
		"out of order":      {acked: []*rpc.LabelRequest{step("1", "a"), step("2", "b")}, written: []*rpc.LabelRequest{step("2", "b"), step("1", "a")}, wrong: "stands before"},
		"nobody gave it":    {written: []*rpc.LabelRequest{step("1", "a")}, wrong: "neither confirmed nor on its way"},
		"more on their way": {written: []*rpc.LabelRequest{step("1", "a"), step("2", "b")}, doubt: step("2", "b"), wrong: "1 is in the journal"},
	} {
		p := &project{w: &world{r: rand.New(rand.NewPCG(1, 1))}, dir: t.TempDir()}
		j, err := journal.Open(p.sub("labels"), "ann")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.written {
			var changes []label.Change
			for _, l := range s.GetChanges() {
				changes = append(changes, label.Change{ID: l.GetId(), To: label.Value(l.GetTo())})
			}
			if err := j.Append("ann", s.GetUid(), changes); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		clerk := p.clerk()
		clerk.acked, clerk.doubt = c.acked, c.doubt
		var got tally
		clerk.check(&got)
		if said := strings.Join(got.wrong, "; "); got.lost != c.lost || got.doubled != c.doubled || got.acked != len(c.acked) || (c.wrong == "") != (said == "") || !strings.Contains(said, c.wrong) {
			t.Errorf("%s: %+v, want %d lost, %d doubled, %q", name, got, c.lost, c.doubled, c.wrong)
		}
	}
}
