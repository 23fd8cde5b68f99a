//go:build unix

package tui_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/tui"
	"anomalymatch/tui/batch"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// onJobs opens the jobs page.
func onJobs(t *testing.T, systems *fake.Systems, term tuitest.Options, options ...func(*tui.Options)) sitting {
	t.Helper()
	s := open(t, setup{term: term, options: func(o *tui.Options) {
		o.Jobs, o.Settings = systems, "/home/ann/config.toml"
		for _, set := range options {
			set(o)
		}
	}})
	s.WaitFor("1/24 candidates").Press("f8")
	return s
}

func systems(r batch.Report, err error) *fake.Systems {
	s := &fake.Systems{}
	s.Report(r, err)
	return s
}

func TestJobsPage(t *testing.T) {
	t.Parallel()
	sys := systems(fake.Cluster(time.Now()), nil)
	s := onJobs(t, sys, tuitest.Options{Cols: 80, Rows: 30})
	for _, want := range []string{"runs on    this machine, login1", "since ", "3 h 0 min ago", "does       nothing", "▸ leo       slurm · gpu · 1 GPU · 8:00:00", "enter starts it there", "old       pbs · no GPU",
		"● 4712  leo       scoring  8 running · 169 pending", "12%  1.2M of 9.8M images · 23 of 200 shards", "7 min left", "gpu03 2,600/s", "✗ 4698  leo       engine   timeout: its time was up", "✓ 4649"} {
		s.WaitFor(want)
	}
	s.Press("down", "down").WaitFor("▸ old").WaitFor("this batch system is on hydra: open the project there, with -H hydra")
	s.Press("enter").Press("D").WaitFor("select a job to cancel it")
	s.Press("j", "j").WaitFor("▸ ○ 4711").WaitFor("allows: cancel it and set a shorter time").WaitFor("D cancel")
	s.Press("enter").WaitFor("the engine is started by a profile")
	s.Press("G").WaitFor("▸ ✓ 4649").Press("D").WaitFor("this job is over")
	s.Press("a").WaitFor("works in the gallery, on the large picture")

	// the cursor stays on its job while others come
	s.Press("k", "k").WaitFor("▸ ✗ 4698")
	r := fake.Cluster(time.Now())
	r.Jobs = append([]batch.Job{{ID: "4713", Cluster: "leo", Kind: "engine", State: "ending", Submitted: time.Now()}}, r.Jobs...)
	sys.Report(r, nil)
	s.WaitFor("◐ 4713").WaitFor("▸ ✗ 4698")

	// in the smallest terminal the selected row is seen, in a wide one all stands side by side
	s.Resize(60, 16).WaitFor("▸ ✗ 4698").Press("g").WaitFor("▸ leo ").WaitFor("Start the engine as a job")
	s.Resize(160, 40).WaitFor("✓ 4649").Wait("both columns", func(screen string) bool {
		return slices.ContainsFunc(strings.Split(screen, "\n"), func(l string) bool {
			return strings.Contains(l, "Engine ──") && strings.Contains(l, "Jobs ──")
		})
	})
	s.Press("esc").WaitFor("a anomaly").Cell(0).IsSelected()
	s.Press("D").WaitFor("works on the jobs page")
}

func TestTheEngineIsStartedAsAJob(t *testing.T) {
	t.Parallel()
	sys := systems(fake.Cluster(time.Now()), nil)
	s := onJobs(t, sys, tuitest.Options{})
	top := s.engine.Top(1)[0]
	sys.Begin(func() {
		s.engine.Queue("the engine waits as job 4711 on leo until about 14:05: waits for a node to become free")
		s.engine.Die()
	})
	s.WaitFor("▸ leo").Press("enter").WaitFor("Start the engine as a job?").WaitFor("keeps its training and ends").Press("n").WaitGone("as a job?")
	s.Press("enter").WaitFor("as a job?").Press("y")
	s.WaitFor("job 4711 on leo is pending").WaitFor("waits as   job 4711 on leo").WaitFor("because    waits for a node to become free").WaitFor("starts     thought to in 1")
	s.WaitFor("the engine is job 4711 there already").WaitFor("no engine yet")
	s.Press("enter").WaitFor("the engine is job 4711 there already")

	// in the gallery it stands below the pictures, which can be labelled
	s.Press("f2").WaitFor("! the engine waits as job 4711 on leo until about 14:05").Cell(0).HasPicture()
	s.Press("a").Cell(0).IsUnsaved("A")
	s.engine.Queue("")
	s.engine.Live()
	s.WaitGone("no engine yet").Cell(0).HasBadge("A")
	s.saved(map[string]string{top: "anomaly"})

	s.Press("f8").WaitFor("○ 4711  leo ")
	for range 3 {
		s.Press("down")
	}
	s.WaitFor("▸ ○ 4711").Press("D").WaitFor("Cancel job 4711 on leo?").WaitFor("leaves the queue").Press("y").WaitFor("job 4711 on leo is cancelled").WaitFor("– 4711")
	if did := sys.Did(); !slices.Equal(did, []string{"start leo", "cancel 4711 on leo"}) {
		t.Errorf("ordered %q", did)
	}
}

func TestABatchSystemThatIsBroken(t *testing.T) {
	t.Parallel()
	r := fake.Cluster(time.Now())
	r.Jobs = nil
	sys := systems(r, errors.New("the jobs on leo: squeue: \x1b[2J cannot\ncontact the controller"))
	release := sys.Hold()
	s := onJobs(t, sys, tuitest.Options{})
	s.WaitFor("asking…").Press("f2").Cell(0).HasPicture() // it is in nobody's way
	s.label("a").Cell(0).HasBadge("A")
	s.Press("f8").WaitFor("asking…").WaitFor("no answer yet")
	if n := sys.Looks(); n != 1 {
		t.Errorf("asked %d times before there was an answer", n)
	}
	release()
	s.WaitFor("the jobs on leo: squeue: ␛[2J cannot contact the controller").WaitFor("▸ leo")
	sys.Report(fake.Cluster(time.Now()), nil)
	s.WaitFor("● 4712").WaitGone("contact the controller")
	sys.Report(batch.Report{}, errors.New("no link"))
	s.WaitFor("no link").WaitFor("● 4712")
}

func TestNoBatchSystem(t *testing.T) {
	t.Parallel()
	sys := systems(batch.Report{Engine: &batch.Engine{Host: "ws", Here: true}}, nil)
	s := onJobs(t, sys, tuitest.Options{})
	s.WaitFor("into /home/ann/config.toml").WaitFor("[cluster.leo]").WaitFor("partition = \"gpu\"").Press("enter").WaitFor("there is no profile to start the engine by")
	s.Press("down").WaitFor("there is nothing to select")
	sys.Report(fake.Cluster(time.Now()), nil)
	s.WaitFor("▸ leo").WaitGone("into /home/ann")

	far := onJobs(t, systems(batch.Report{}, nil), tuitest.Options{}, func(o *tui.Options) { o.Host = "login" })
	far.WaitFor("host = \"login\"")
}

func TestHostileJobs(t *testing.T) {
	t.Parallel()
	evil := "x\x1b[31m\n\u202e" + string(rune(0x10eeee))
	r := batch.Report{Engine: &batch.Engine{Host: evil, Job: evil}, Profiles: []batch.Profile{{Name: evil, Scheduler: evil, Host: evil, Partition: evil, Time: evil}},
		Jobs: []batch.Job{{ID: evil, Cluster: evil, Kind: evil, State: "running", Reason: strings.Repeat(evil, 40), Node: evil, Tasks: []batch.Tasks{{State: evil, N: 3, Reason: evil}},
			Shards: &batch.Shards{Shards: 3, Images: 10, Scored: 4, Nodes: []batch.Node{{Name: evil, Speed: 4}}}}}}
	s := onJobs(t, systems(r, nil), tuitest.Options{Cols: 100, Rows: 40})
	s.WaitFor("runs on    x␛[31m␊").WaitFor("▸ x␛[31m␊")
	s.Press("down").WaitFor("▸ ● x␛[31m␊").Press("D").WaitFor("Cancel job x␛[31m␊").Press("n")
}
