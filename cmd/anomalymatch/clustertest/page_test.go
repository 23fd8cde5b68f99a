package clustertest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"anomalymatch/internal/testbed"
	"anomalymatch/session/journal"
	"anomalymatch/tui/tuitest"
)

// patience is how long any wait at the screen may take.
const patience = 2 * time.Minute

// screen is the program at a terminal of a host.
func (b *bed) screen(host string, args ...string) *tuitest.Driver {
	b.t.Helper()
	return tuitest.Start(b.t, tuitest.Options{Cols: 110, Rows: 40, Patience: patience, Env: b.Environ()[1:]}, b.Argv(host, append([]string{b.exe}, args...)...)...)
}

// labelled waits until so many labels, each of another image and none twice, are in the project's journal.
func (b *bed) labelled(n int) {
	b.t.Helper()
	var seen map[string]bool
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		j, err := journal.Open(filepath.Join(b.project, "labels"), "reader")
		if err != nil {
			b.t.Fatal(err)
		}
		all := j.History("", 0)
		j.Close()
		seen = map[string]bool{}
		for _, e := range all {
			seen[e.ID] = true
		}
		if len(all) == n && len(seen) == n {
			return
		}
	}
	b.t.Fatalf("the journal has labels of %v, want %d images", seen, n)
}

// fill takes both nodes.
func (b *bed) fill() (free func()) {
	var ids []string
	for range 2 {
		ids = append(ids, strings.TrimSpace(b.Run(testbed.Login, "sbatch", "--parsable", "--gres=gpu:1", "--output=/dev/null", "--wrap=sleep 600")))
	}
	return func() { b.Run(testbed.Login, append([]string{"scancel"}, ids...)...) }
}

// TestJobsPage: on the page of the screen the engine becomes a job, which is seen to wait and to run, and is cancelled. Labels are given all the time.
func TestJobsPage(t *testing.T) {
	b := up(t)
	free := b.fill()
	s := b.screen(testbed.Login, b.project)
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(b.project, "engine.log")); err == nil && t.Failed() {
			t.Logf("engine.log:\n%s", log)
		}
	})
	s.Cell(0).HasPicture()
	s.Cell(3).HasPicture()
	s.Press("a").Cell(0).HasBadge("A")
	b.labelled(1)

	s.Press("f8").WaitFor("runs on    this machine, ").WaitFor("▸ bed   slurm · 1 GPU · 10").WaitFor("nope  slurm · nope")
	s.Press("enter").WaitFor("keeps its training and ends").Press("y")
	waits := regexp.MustCompile(`waits as   job (\d+) on bed`)
	s.Wait("the job to wait", waits.MatchString).WaitFor("starts     thought to in ")
	s.Wait("the reason", regexp.MustCompile(`because    (waits for a node to become free|others are before it in the queue)`).MatchString)
	id := waits.FindStringSubmatch(s.Screen())[1]
	if log := b.waitLog("engine ends"); strings.Count(log, "engine starts") != 1 {
		t.Errorf("another engine was started before the job:\n%s", log)
	}
	s.Press("f2").WaitFor("! the engine waits as job " + id + " on bed until about ").WaitFor("no engine yet")
	s.Cell(1).HasPicture()
	s.Press("x").Cell(1).HasBadge("N")
	s.WaitFor("1 waiting")
	b.labelled(1)

	free()
	s.WaitFor("job slurm " + id + " · ").WaitGone("no engine yet")
	b.labelled(2)
	s.Cell(2).HasPicture()
	s.Press("x").Cell(2).HasBadge("N")
	b.labelled(3)
	s.Press("f8").Wait("the engine in its job", regexp.MustCompile(`runs on    gpu0\d, job `+id+` on bed`).MatchString).WaitFor("time left  ").WaitFor("engine  running on gpu0")
	s.Press("enter").WaitFor("the engine is job " + id + " there already")

	s.Press("down", "down").WaitFor("▸ ● " + id).Press("D").WaitFor("Cancel job " + id + " on bed?").Press("y").WaitFor("– " + id)
	s.WaitFor("runs on    this machine, ") // the screen needs one
	s.Press("esc")
	s.Cell(3).HasPicture()
	s.Press("x").Cell(3).HasBadge("N")
	b.labelled(4)

	// The same from the laptop, where our program on the host asks and submits.
	far := b.screen(testbed.Laptop, "-H", testbed.Login, b.project)
	far.Cell(0).HasPicture()
	far.Press("f8").WaitFor("runs on    " + testbed.Login).WaitFor("▸ bed ").WaitFor("– " + id + "  bed")
	free = b.fill()
	far.Press("enter").WaitFor("The engine on "+testbed.Login+" keeps its training and ends").Press("y").Wait("the job to wait", waits.MatchString)
	again := waits.FindStringSubmatch(far.Screen())[1]
	s.WaitFor("! the engine waits as job " + again) // the other screen did not start one
	far.Press("f2").WaitFor("! the engine waits as job " + again + " on bed until about ")
	s.Press("q")
	if code := s.Exit(); code != 0 {
		t.Errorf("the screen ended with %d", code)
	}
	late := b.screen(testbed.Laptop, "-H", testbed.Login, b.project) // opened while there is no engine
	late.WaitFor("no engine yet").WaitFor("the engine waits as job " + again).Press("q").Exit()
	far.Press("f8").WaitFor("○ "+again).Press("down", "down").WaitFor("▸ ○ " + again).Press("D").WaitFor("It leaves the queue").Press("y").WaitFor("– " + again)
	far.WaitFor("runs on    " + testbed.Login).WaitGone("no engine yet")
	free()
	far.Press("q").Exit()
	b.am("stop", b.project)
}
