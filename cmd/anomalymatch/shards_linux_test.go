package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/internal/testbed"
	"anomalymatch/internal/testdata"
	"anomalymatch/session"
	"anomalymatch/tui/batch"
)

// farm is a project on a cluster, whose scores lie on a small disk of their own.
type farm struct {
	t       *testing.T
	bed     *testbed.Bed
	exe     string // seen by all hosts
	project string
	scores  string // on the small disk
	want    []byte // the score file of one machine's run
}

// farmSky is what a farm scores.
type farmSky struct {
	images  string // folder; "": 384 synthetic ones, four of which are broken
	runtime string
	batch   int
}

const farmImages = 384

var smallSky = farmSky{runtime: "go", batch: 8}

func newFarm(t *testing.T, sky farmSky) *farm {
	if testing.Short() || raceBuild {
		t.Skip("scores for long, on the Go backend, which does not pass the pointer checks of a race build")
	}
	var runtimes string
	if sky.runtime != "go" {
		if _, err := runtime.Open(runtime.Infer, sky.runtime); err != nil {
			t.Skip(err)
		}
		for _, r := range runtime.List() {
			if r.Installed {
				runtimes = filepath.Dir(filepath.Dir(r.Path))
			}
		}
	}
	disk, err := os.MkdirTemp("/var/tmp", "scores-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(disk) })
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("only who may mount can test this: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
	b := testbed.Up(t, testbed.Options{Runtime: runtimes})
	f := &farm{t: t, bed: b, exe: b.Path("anomalymatch"), project: b.Path("project"), scores: disk}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(f.exe, os.O_CREATE|os.O_WRONLY, 0o755)
	if err == nil {
		_, err = io.Copy(out, in)
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		t.Fatal(err)
	}

	if from := sky.images; from != "" { // where the hosts see them, wherever this checkout lies
		sky.images = b.Path("sky")
		if err := os.CopyFS(sky.images, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	} else {
		sky.images = b.Path("sky")
		if _, err := synth.Write(sky.images, farmImages, synth.Params{Seed: 5, Size: 64, Rare: 0.1}, nil); err != nil {
			t.Fatal(err)
		}
		list, _ := filepath.Glob(filepath.Join(sky.images, "*"))
		for _, i := range []int{0, 100, 101, farmImages - 1} {
			if err := os.WriteFile(list[i], []byte("no picture"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(f.project, 0o777); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[[source]]\nname = \"sky\"\npath = %q\n[model]\nscore_batch = %d\n[engine]\nruntime = %q\n[cluster.bed]\ntime = \"10\"\n", sky.images, sky.batch, sky.runtime)
	if err := errors.Join(os.WriteFile(filepath.Join(f.project, "project.toml"), []byte(text), 0o666), os.Symlink(disk, filepath.Join(f.project, "scores"))); err != nil {
		t.Fatal(err)
	}
	w, err := nn.Pretrained(3)
	if err != nil {
		t.Fatal(err)
	}
	w.NewHead(rand.New(rand.NewPCG(1, 2)))
	info := fixmatch.Info{Cycle: 1, RunStep: 2, RunSteps: 2, Size: 64}
	if err := fixmatch.WriteCheckpoint(filepath.Join(f.project, "checkpoints"), fixmatch.NewState(w), info); err != nil {
		t.Fatal(err)
	}
	f.want = f.straight(w, info, sky)
	return f
}

// straight is the score file that one machine's run makes.
func (f *farm) straight(w nn.Weights, info fixmatch.Info, sky farmSky) []byte {
	f.t.Helper()
	p, err := session.Open(f.project)
	if err != nil {
		f.t.Fatal(err)
	}
	pool, err := p.OpenPool(f.t.Context(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	defer pool.Close()
	pool.Share()
	o, err := runtime.Open(runtime.Infer, sky.runtime)
	if err != nil {
		f.t.Fatal(err)
	}
	state := fixmatch.NewState(w)
	m, err := nn.NewModel(o, state.Scoring())
	if err != nil {
		f.t.Fatal(err)
	}
	defer m.Close()
	batch := score.Batch(sky.batch, info.Size, pool.Len())
	scores, err := score.Pool(f.t.Context(), pool, m, score.Options{Size: info.Size, Batch: batch, Workers: 2})
	if err != nil {
		f.t.Fatal(err)
	}
	hash, dir := pool.Hash(), f.t.TempDir()
	if err := score.Write(dir, score.Header{Pool: hex.EncodeToString(hash[:]), Cycle: info.Cycle, Step: info.RunStep, Backend: m.Backend(), Batch: batch}, scores); err != nil {
		f.t.Fatal(err)
	}
	return f.read(score.Path(dir, info.Cycle))
}

func (f *farm) read(path string) []byte {
	f.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// scoring is `anomalymatch score --cluster` on the login node.
type scoring struct {
	*exec.Cmd
	out, errs bytes.Buffer
	ended     chan error
}

func (f *farm) score(shards int) *scoring {
	f.t.Helper()
	s := &scoring{ended: make(chan error, 1)}
	s.Cmd = f.bed.Command(f.t.Context(), testbed.Login, f.exe, "score", f.project, "--cluster", "bed", "--shards", fmt.Sprint(shards), "--json")
	s.Stdout, s.Stderr, s.WaitDelay = &s.out, &s.errs, time.Second
	if err := s.Start(); err != nil {
		f.t.Fatal(err)
	}
	go func() { s.ended <- s.Wait() }()
	return s
}

// exit waits for the end.
func (s *scoring) exit(t *testing.T, code int) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(8 * time.Minute):
		s.Process.Kill()
		<-s.ended
		t.Fatalf("it does not end:\n%s%s", s.out.Bytes(), s.errs.Bytes())
	}
	if got := s.ProcessState.ExitCode(); got != code {
		t.Fatalf("ended with %d, want %d:\n%s%s", got, code, s.out.Bytes(), s.errs.Bytes())
	}
}

// until waits for something to be so.
func (f *farm) until(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	out, _, _ := f.bed.Try(testbed.Login, "squeue", "-r", "-t", "all")
	f.t.Fatalf("never: %s\n%s", what, out)
}

// at lists the processes that work on a shard, by the shard's files.
func (f *farm) at() map[string]int {
	out := map[string]int{}
	files, _ := filepath.Glob(filepath.Join(f.scores, "shards-*", "*.progress"))
	for _, file := range files {
		var n struct{ PID int }
		if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &n) == nil && n.PID > 1 {
			out[strings.TrimSuffix(file, ".progress")] = n.PID
		}
	}
	return out
}

// tasks counts the tasks in a state, as Slurm calls it.
func (f *farm) tasks(state string) (ids []string) {
	f.t.Helper()
	return strings.Fields(f.bed.Run(testbed.Login, "squeue", "-h", "-r", "-t", state, "-o", "%F_%K"))
}

// TestScoreOnACluster: sixteen shards by two nodes, with all that can happen to them.
func TestScoreOnACluster(t *testing.T) {
	f := newFarm(t, smallSky)
	s := f.mishaps()
	s.exit(t, exitBadInputs)
	f.check(s)
	if want := "4 files could not be used"; !strings.Contains(s.errs.String(), want) {
		t.Errorf("not said: %q", want)
	}
	var list rankedList
	if err := json.Unmarshal(s.out.Bytes(), &list); err != nil || list.Images != farmImages-4 || list.Bad != 4 || len(list.Top) != 20 || list.RankedBy != "deep" {
		t.Errorf("%v, %+v", err, list)
	}
}

// TestGalaxiesOnACluster is the same with real galaxies on XLA.
func TestGalaxiesOnACluster(t *testing.T) {
	f := newFarm(t, farmSky{images: testdata.Shared(t, "data/galaxies/images"), runtime: "xla", batch: 64})
	s := f.mishaps()
	s.exit(t, 0)
	f.check(s)
}

// check says whether what came out is the file of one machine's run, in spite of all.
func (f *farm) check(s *scoring) {
	f.t.Helper()
	f.t.Logf("%s%.500s", s.errs.Bytes(), s.out.Bytes())
	if !bytes.Equal(f.read(score.Path(f.scores, 1)), f.want) {
		f.t.Error("the file of the cluster is another one than that of one machine")
	}
	for _, want := range []string{"is at work on these shards already", "makes them again", "gpu01: ", "gpu02: "} {
		if !strings.Contains(s.errs.String(), want) {
			f.t.Errorf("not said: %q", want)
		}
	}
}

// mishaps begins to score in sixteen shards; the command that submitted them is killed and begun again, a worker is killed, a task is requeued,
// the disk is full for a while. It returns the second command, which runs.
func (f *farm) mishaps() *scoring {
	t := f.t
	t.Helper()
	first := f.score(16)
	f.until("a shard is being scored", func() bool { return len(f.at()) > 0 })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	second := f.score(16)
	f.until("the array is told as one job, with its shards", func() bool {
		out, _, err := f.bed.Try(testbed.Login, f.exe, "jobs", f.project, "--json", "--fold")
		var r batch.Report
		if err != nil || json.Unmarshal([]byte(out), &r) != nil || len(r.Jobs) != 1 {
			return false
		}
		j := r.Jobs[0]
		return j.Kind == "score" && j.Task == nil && len(j.Tasks) > 0 && j.State == j.Tasks[0].State && j.Shards != nil && j.Shards.Shards == 16 && j.Shards.Images > 0 && len(j.Shards.Nodes) > 0
	})

	var killed string // the shard whose worker was killed in the middle
	f.until("a worker is killed in a shard", func() bool {
		for shard, pid := range f.at() {
			if syscall.Kill(pid, syscall.SIGKILL) != nil {
				continue
			}
			for syscall.Kill(pid, 0) == nil {
				time.Sleep(time.Millisecond)
			}
			if _, err := os.Stat(shard + ".json"); err != nil {
				killed = shard
				return true
			}
		}
		return false
	})
	f.until("its task has failed", func() bool { return len(f.tasks("F")) > 0 })

	var requeued string
	f.until("a task is requeued", func() bool {
		for _, id := range f.tasks("R") {
			if _, _, err := f.bed.Try(testbed.Login, "scontrol", "requeue", id); err == nil {
				requeued = id
				return true
			}
		}
		return false
	})

	// A full disk, until a task fails on it.
	failed := len(f.tasks("F"))
	ballast, err := os.Create(filepath.Join(f.scores, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	f.until("a task fails on a full disk", func() bool {
		for err = nil; err == nil; { // who ends leaves some room
			_, err = ballast.Write(make([]byte, 512))
		}
		return len(f.tasks("F")) > failed
	})
	ballast.Close()
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}

	t.Logf("killed in %s, requeued %s", filepath.Base(killed), requeued)

	// Slurm lets a requeued task wait for two minutes: shorter.
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	go func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Second):
				f.bed.Command(t.Context(), testbed.Login, "scontrol", "update", "JobId="+requeued, "StartTime=now").Run()
			}
		}
	}()
	return second
}

// TestScoreOnAClusterIsCancelled: ctrl+c ends the jobs; the same command goes on with what is there.
func TestScoreOnAClusterIsCancelled(t *testing.T) {
	f := newFarm(t, smallSky)
	s := f.score(12)
	f.until("a shard is there and another being scored", func() bool {
		done, _ := filepath.Glob(filepath.Join(f.scores, "shards-*", "shard-*.json"))
		return len(done) > 0 && len(f.at()) > 0
	})
	if err := s.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.exit(t, exitCancelled)
	if !strings.Contains(s.errs.String(), "of 12 shards are there and kept") || s.out.Len() > 0 {
		t.Errorf("said %q, %q", s.errs.String(), s.out.String())
	}
	f.until("no task waits or runs", func() bool { return len(f.tasks("PD,R,CG")) == 0 })
	before, _ := filepath.Glob(filepath.Join(f.scores, "shards-*", "shard-*.json"))
	if len(before) == 12 {
		t.Fatal("nothing was left to do")
	}
	kept := f.read(before[0])
	s = f.score(12)
	s.exit(t, exitBadInputs)
	if !bytes.Equal(f.read(score.Path(f.scores, 1)), f.want) || !bytes.Equal(f.read(before[0]), kept) {
		t.Error("another file than that of one machine, or what was there was made again")
	}
	if want := fmt.Sprintf(" makes %d shards", 12-len(before)); !strings.Contains(s.errs.String(), want) {
		t.Errorf("not said: %q in %q", want, s.errs.String())
	}
}
