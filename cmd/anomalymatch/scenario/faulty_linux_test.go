package scenario

import (
	"flag"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"anomalymatch/internal/faultfs"
	"anomalymatch/tui/tuitest"
)

var allFaults = flag.Bool("all-faults", false, "TestAFaultyDisk with every fault, not the three that differ most")

// onFaulty is a project on a file system that can fail, with a label on it.
func onFaulty(t *testing.T) (*faultfs.FS, *project) {
	f := faultfs.Mount(t)
	p := newProjectIn(t, filepath.Join(f.Dir(), "project"), settings{percent: 100})
	t.Cleanup(f.Heal)
	return f, p
}

// told fails where a person was left without a word for more than two seconds.
func told(t *testing.T, since time.Time) {
	t.Helper()
	took := time.Since(since)
	t.Logf("it was on screen after %v", took.Round(time.Millisecond))
	if took > 2*time.Second && !raceEnabled {
		t.Error("that is more than 2 s")
	}
}

// arrive waits until so many steps are in the journal, each once.
func (p *project) arrive(s sitting, n int) {
	p.t.Helper()
	s.Wait("the labels in the journal", func(string) bool { return len(written(p.events())) >= n })
	s.WaitGone("on this machine")
	p.once(n)
}

// While the project's disk fails it is said, labelling goes on beside it, and when the disk is well again all labels are in the journal, each once.
func TestAFaultyDisk(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*faultfs.FS)
		says  string
		rare  bool
	}{
		{"full", func(f *faultfs.FS) { f.Fill(0, syscall.ENOSPC) }, "the disk is full, free some space", false},
		{"quota", func(f *faultfs.FS) { f.Fill(0, syscall.EDQUOT) }, "your share of the disk is used up", true},
		{"write", func(f *faultfs.FS) { f.Fail(faultfs.Write, "", syscall.EIO) }, "the disk or the way to it fails", true},
		{"fsync", func(f *faultfs.FS) { f.Fail(faultfs.Sync, "", syscall.EIO) }, "the disk or the way to it fails", false},
		{"all", func(f *faultfs.FS) { f.Fail(faultfs.All, "", syscall.EIO) }, "the disk or the way to it fails", true},
		{"read-only", func(f *faultfs.FS) { f.ReadOnly() }, "the project folder must be writable", true},
		{"hangs", func(f *faultfs.FS) { f.Hang() }, "does not answer", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.rare && !*allFaults {
				t.Skip("with -all-faults")
			}
			f, p := onFaulty(t)
			s := p.open(tuitest.Options{Cols: 160, Rows: 50})
			s.WaitFor("novelty")
			s.label("x")
			p.once(1)
			s.selected()
			c.fault(f)
			began := time.Now()
			s.Press("a").WaitFor(c.says)
			told(t, began)
			s.WaitFor("1 label on this machine for now").Cell(1).HasBadge("A")
			s.selected()
			s.Press("x").Cell(2).HasBadge("N")
			s.selected()
			s.Press("a").Cell(3).HasBadge("A")
			s.Press("u").Cell(3).HasNoBadge()
			s.WaitFor("4 labels on this machine")
			began = time.Now()
			s.Press("?").WaitFor("label the picture as anomaly").Press("esc").WaitGone("label the picture as anomaly")
			told(t, began)
			if f.Hits() == 0 {
				t.Error("the fault hit nothing")
			}
			f.Heal()
			p.arrive(s, 5)
			s.selected()
			s.Press("x").Cell(3).HasBadge("N")
			s.WaitFor("A 1  N 3")
			p.once(6)
			s.quit()
			if got := written(p.events()); got != "NANA-N" {
				t.Errorf("the journal has %s", got)
			}
		})
	}
}

// A label that can be kept nowhere is said, and no further one is taken, until there is a place again.
func TestNoDiskKeepsLabels(t *testing.T) {
	f, p := onFaulty(t)
	own := faultfs.Mount(t)
	if err := os.Symlink(own.Dir(), filepath.Join(p.home, "state")); err != nil {
		t.Fatal(err)
	}
	s := p.open(tuitest.Options{Cols: 160, Rows: 50})
	s.WaitFor("novelty")
	s.label("x")
	s.selected()
	f.Fill(0, syscall.ENOSPC)
	own.Fill(0, syscall.EDQUOT)
	began := time.Now()
	s.Press("a").WaitFor("1 label not saved yet: the disk is full, free some space")
	told(t, began)
	s.selected()
	s.Press("x").WaitFor("labels can be kept nowhere: the disk is full").Cell(2).HasNoBadge()
	own.Heal()
	s.WaitFor("1 label on this machine")
	s.Press("x").Cell(2).HasBadge("N")
	f.Heal()
	p.arrive(s, 3)
	s.quit()
}

// Leaving while the disk hangs does not wait for it; the labels arrive when the project is opened again.
func TestLeavingWhileTheDiskHangs(t *testing.T) {
	f, p := onFaulty(t)
	s := p.open(tuitest.Options{Cols: 160, Rows: 50})
	s.WaitFor("novelty")
	s.label("x")
	s.selected()
	f.Hang()
	s.Press("a").WaitFor("1 label on this machine").Press("q")
	if code := s.Exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	f.Heal()
	s = p.open(tuitest.Options{Cols: 160, Rows: 50})
	s.WaitFor("A 1  N 1")
	p.once(2)
	s.quit()
}
