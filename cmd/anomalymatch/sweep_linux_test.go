package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/score"
	"anomalymatch/engine/sweep"
	"anomalymatch/internal/testbed"
	"anomalymatch/session"
)

// TestSweepOnACluster: three seeds as an array on two nodes while an engine runs on the login node and a person labels. A run is killed, a task is
// told to keep and another one to end; what comes out is what one machine makes, and the engine takes in the mean.
func TestSweepOnACluster(t *testing.T) {
	if testing.Short() || raceBuild {
		t.Skip("trains for long, on the Go backend, which does not pass the pointer checks of a race build")
	}
	b := testbed.Up(t, testbed.Options{})
	exe, project, images := bedProgram(t, b), b.Path("project"), b.Path("sky")
	truth, err := synth.Write(images, 60, synth.Params{Seed: 5, Size: 32, Rare: 0.2}, nil)
	if err == nil {
		err = os.MkdirAll(project, 0o777)
	}
	toml := fmt.Sprintf("[[source]]\nname = \"sky\"\npath = %q\n[model]\nsize = 32\nscore_batch = 8\n[fast]\nsize = 32\nviews = 1\n[fixmatch]\niterations = 16\nlabelled_batch = 4\nunlabelled_batch = 6\n"+
		"[engine]\nruntime = \"go\"\ncheckpoint_every = 2\n[cluster.bed]\ntime = \"10\"\n", images)
	if err == nil {
		err = os.WriteFile(filepath.Join(project, "project.toml"), []byte(toml), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	var first, later strings.Builder
	first.WriteString("id,label\n")
	later.WriteString("id,label\n")
	anomalies, normals := 0, 0 // of later
	for n := range 40 {
		name := fmt.Sprintf("g%06d.jpg", n+1)
		into, word := &first, "normal"
		if truth[name] {
			word = "anomaly"
		}
		if n >= 20 {
			if into = &later; truth[name] {
				anomalies++
			} else {
				normals++
			}
		}
		fmt.Fprintf(into, "sky/%s,%s\n", name, word)
	}
	label := func(csv string) {
		t.Helper()
		file := b.Path("labels.csv")
		if err := os.WriteFile(file, []byte(csv), 0o666); err != nil {
			t.Fatal(err)
		}
		b.Run(testbed.Login, exe, "labels", "import", project, file)
	}
	label(first.String())
	engine := b.Command(t.Context(), testbed.Login, exe, "engine", project)
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Try(testbed.Login, exe, "stop", project)
		engine.Wait()
	})

	train := &scoring{ended: make(chan error, 1)}
	train.Cmd = b.Command(t.Context(), testbed.Login, exe, "train", project, "--seeds", "1,2,3", "--cluster", "bed", "--json")
	train.Stdout, train.Stderr, train.WaitDelay = &train.out, &train.errs, time.Second
	if err := train.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { train.ended <- train.Wait() }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if ok() {
				return
			}
		}
		out, _, _ := b.Try(testbed.Login, "squeue", "-r", "-t", "all")
		t.Fatalf("never: %s\n%s%s", what, out, train.errs.Bytes())
	}
	// worker is the process that makes a run, once it has trained some steps.
	worker := func(run, steps int) (pid int) {
		text, err := os.ReadFile(filepath.Join(project, fmt.Sprintf("sweeps/001/run-%03d/now.json", run)))
		var n struct {
			PID, Done int
			Phase     string
		}
		if err != nil || json.Unmarshal(text, &n) != nil || n.Phase != "training" || n.Done < steps {
			return 0
		}
		return n.PID
	}
	var killed int
	until("run 1 is killed in the middle", func() bool {
		pid := worker(1, 3)
		if pid > 1 && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed = pid
		}
		return killed > 0
	})
	label(later.String())
	until("run 2 is asked to keep", func() bool {
		pid := worker(2, 1)
		return pid > 1 && syscall.Kill(pid, syscall.SIGUSR1) == nil
	})
	until("run 2 is told to end", func() bool {
		pid := worker(2, 4)
		return pid > 1 && syscall.Kill(pid, syscall.SIGTERM) == nil
	})
	train.exit(t, 0)
	t.Logf("%s%s", train.errs.Bytes(), train.out.Bytes())
	var c comparison
	if err := json.Unmarshal(train.out.Bytes(), &c); err != nil || c.Sweep != "001" || c.Anomalies != anomalies || c.Normals != normals || c.Ensemble == nil || len(c.Rows) != 3 {
		t.Errorf("%v, %+v", err, c)
	}
	if want := "jobs ended without 2 runs: job "; !strings.Contains(train.errs.String(), want) {
		t.Errorf("not said: %q", want)
	}

	// One machine's runs of the same plan.
	p, err := session.Open(project)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := p.OpenPool(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	pool.Share()
	made, err := sweep.Open(p.Sub("sweeps/001"))
	if err != nil {
		t.Fatal(err)
	}
	here, err := sweep.Create(filepath.Join(t.TempDir(), "sweeps"), made.Plan)
	if err != nil {
		t.Fatal(err)
	}
	w := &sweep.Worker{Folder: here, Pool: pool, Config: p.Config, Threads: 2, Host: "here"}
	defer w.Close()
	if err := w.Run(t.Context(), []int{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	for run := range 3 {
		for _, glob := range []string{"checkpoints/cycle-001-step-00016.safetensors", "scores/cycle-001.scores"} {
			got, err1 := os.ReadFile(filepath.Join(made.RunDir(run), glob))
			want, err2 := os.ReadFile(filepath.Join(here.RunDir(run), glob))
			if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
				t.Errorf("%s of run %d is another one than that of one machine: %v, %v", glob, run, err1, err2)
			}
		}
	}

	// The mean is taken in by the engine.
	b.Run(testbed.Login, exe, "sweep", project, "--ensemble")
	until("the engine has the scores of the ensemble", func() bool {
		out, _, err := b.Try(testbed.Login, exe, "status", project, "--json")
		return err == nil && strings.Contains(out, `"cycle":1,`)
	})
	mean, _, err := here.Mean()
	if err != nil {
		t.Fatal(err)
	}
	h, scores, ok := score.Latest(p.Sub("scores"), pool.Hash())
	if !ok || h.Cycle != 1 || !bytes.Equal(score.Bytes(scores), score.Bytes(mean)) {
		t.Errorf("the ensemble's scores: %+v", h)
	}
}

// bedProgram puts this program where all hosts of a bed see it.
func bedProgram(t *testing.T, b *testbed.Bed) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exe := b.Path("anomalymatch")
	if out, err := exec.Command("cp", self, exe).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return exe
}
