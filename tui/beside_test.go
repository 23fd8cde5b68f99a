//go:build unix

package tui_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui"
)

// drawer is an outbox in memory.
type drawer struct {
	mu        sync.Mutex
	full      bool
	kept      []string // uids
	delivered map[string]bool
}

func (d *drawer) Keep(r *rpc.LabelRequest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errors.New("this disk is full too")
	}
	d.kept = append(d.kept, r.GetUid())
	return nil
}

func (d *drawer) Delivered(uid string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delivered[uid] = true
}

func (d *drawer) fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

// counts are the steps that were kept, and those of them that were delivered.
func (d *drawer) counts() (kept, delivered int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.kept), len(d.delivered)
}

func beside(d *drawer) func(*tui.Options) {
	return func(o *tui.Options) { o.Outbox, o.Beside = d, true }
}

// within fails where something took longer than a person may be left without a word.
func within(t *testing.T, began time.Time) {
	t.Helper()
	if took := time.Since(began); took > 2*time.Second && !tui.RaceEnabled {
		t.Errorf("it was on screen after %v", took)
	}
}

func TestLabellingGoesOnBesideAFullDisk(t *testing.T) {
	t.Parallel()
	d := &drawer{delivered: map[string]bool{}}
	s := open(t, setup{options: beside(d)})
	// saved compares how many labels of each kind are on disk: what comes behind the first follows the ranking.
	saved := func(anomalies, normals int) {
		t.Helper()
		s.Wait("labels on disk", func(string) bool {
			n := map[string]int{}
			for _, l := range s.engine.Labels() {
				n[l]++
			}
			return n["anomaly"] == anomalies && n["normal"] == normals
		})
	}
	s.Cell(0).HasPicture()
	s.Press("a").Cell(0).HasBadge("A")
	saved(1, 0)
	if kept, _ := d.counts(); kept != 0 {
		t.Error("what the engine keeps is kept here too")
	}
	s.engine.FailLabels("the disk is full, free some space")
	began := time.Now()
	s.Cell(1).HasPicture()
	s.Press("x").WaitFor("the disk is full, free some space")
	within(t, began)
	s.Cell(1).HasBadge("N")
	s.Cell(2).HasPicture()
	s.Press("a").Cell(2).HasBadge("A")
	s.Press("u").Cell(2).HasNoBadge() // goes the same way, behind it
	s.Press("a").Cell(2).HasBadge("A")
	s.WaitFor("4 labels on this machine for now: the disk is full")
	saved(1, 0)
	s.engine.FailLabels("")
	s.WaitGone("on this machine")
	saved(2, 1)
	if kept, delivered := d.counts(); kept != 4 || delivered != 4 {
		t.Errorf("%d steps were kept here, %d delivered, want 4", kept, delivered)
	}
	s.Cell(3).HasPicture()
	s.Press("x").Cell(3).HasBadge("N")
	saved(2, 2)
	if kept, _ := d.counts(); kept != 4 {
		t.Error("what the engine keeps again is kept here too")
	}
}

func TestLabellingIsBlockedWhereNothingKeepsLabels(t *testing.T) {
	t.Parallel()
	d := &drawer{full: true, delivered: map[string]bool{}}
	s := open(t, setup{options: beside(d)})
	top := s.engine.Top(2)
	s.Cell(0).HasPicture()
	s.engine.FailLabels("the disk is full, free some space")
	began := time.Now()
	s.Press("a").WaitFor("1 label not saved yet: the disk is full, free some space")
	within(t, began)
	s.Cell(1).HasPicture()
	s.Press("x").WaitFor("labels can be kept nowhere: the disk is full").Cell(1).HasNoBadge()
	s.Press("?").WaitFor("label the picture as anomaly").Press("esc").WaitGone("label the picture as anomaly") // all else works
	d.fill(false)
	s.WaitFor("1 label on this machine")
	s.Press("x").Cell(1).HasBadge("N")
	s.engine.FailLabels("")
	s.saved(map[string]string{top[0]: "anomaly", top[1]: "normal"})
}

func TestLabellingGoesOnWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	d := &drawer{delivered: map[string]bool{}}
	s := open(t, setup{options: beside(d)})
	top := s.engine.Top(2)
	s.Cell(0).HasPicture()
	release := s.engine.HoldLabels()
	began := time.Now()
	s.Press("a").WaitFor("the engine does not answer")
	within(t, began)
	s.Cell(1).HasPicture()
	s.Press("x").WaitFor("2 labels on this machine").Press("?").WaitFor("label the picture as anomaly").Press("esc").WaitGone("label the picture as anomaly")
	release()
	s.WaitGone("on this machine")
	s.saved(map[string]string{top[0]: "anomaly", top[1]: "normal"})
}
