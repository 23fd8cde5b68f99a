//go:build linux

// Package jobtest runs the program as people on a cluster do: the engine in a Slurm job on a node, everything else on the login node.
package jobtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/rpc"
	"anomalymatch/internal/testbed"
	"anomalymatch/session/injob"
	"anomalymatch/session/journal"
	"anomalymatch/tui/tuitest"
)

// patience is how long any wait may take: on a busy machine compiling takes a while.
const patience = 3 * time.Minute

// TestMain is also an engine that says back what it hears: `jobtest.test echo PROJECT`.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "echo" {
		if err := echo(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func echo(dir string) error {
	if _, err := rpc.Lock(dir, injob.Here().Name()); err != nil {
		return err
	}
	l, err := rpc.Listen(dir)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

// cluster is a bed with the program on it.
type cluster struct {
	*testbed.Bed
	program string
}

func up(t *testing.T) *cluster {
	c := &cluster{Bed: testbed.Up(t, testbed.Options{})}
	c.program = c.Path("anomalymatch")
	if out, err := exec.Command("go", "build", "-o", c.program, "anomalymatch/cmd/anomalymatch").CombinedOutput(); err != nil {
		t.Fatalf("the program cannot be built: %v\n%s", err, out)
	}
	if _, err := synth.Write(c.Path("sky"), 40, synth.Params{Seed: 7, Size: 48, Rare: 0.1}, nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// project is a project folder that all hosts see.
type project struct {
	*cluster
	t   *testing.T
	dir string
	job string // the newest one's number
}

// project makes a project with two labels. Checkpoints are made only when they are asked for.
func (c *cluster) project(t *testing.T, name string, iterations int) *project {
	t.Helper()
	p := &project{cluster: c, t: t, dir: c.Path(name)}
	settings := fmt.Sprintf(`name = %q
[[source]]
name = "sky"
path = %q
[model]
size = 32
[fast]
size = 32
views = 1
[fixmatch]
labelled_batch = 2
unlabelled_batch = 2
iterations = %d
[engine]
runtime = "go" # it needs no time to compile
checkpoint_every = 1000000
`, name, c.Path("sky"), iterations)
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path("project.toml"), []byte(settings), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path("two.csv"), []byte("filename,label\ng000001.jpg,anomaly\ng000002.jpg,normal\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.runs(testbed.Login, "labels", "import", p.dir, p.path("two.csv"))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := os.ReadFile(p.path("job.out"))
			log, _ := os.ReadFile(p.path("engine.log"))
			t.Logf("the jobs of %s said:\n%s\nengine.log:\n%s", name, out, log)
		}
	})
	return p
}

func (p *project) path(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

// runs runs the program on a host.
func (p *project) runs(host string, args ...string) string {
	p.t.Helper()
	out, errs, err := p.Try(host, append([]string{p.program}, args...)...)
	if err != nil {
		p.t.Fatalf("on %s: %q: %v\n%s%s", host, args, err, out, errs)
	}
	return out
}

// submit has an engine run as a step of a job.
func (p *project) submit(options ...string) {
	p.t.Helper()
	p.submitStep(p.program+" engine "+p.dir+" --requeue", options...)
}

// submitStep has a command run as a step of a job.
func (p *project) submitStep(command string, options ...string) {
	p.t.Helper()
	script := p.path("job.sh")
	text := fmt.Sprintf("#!/bin/sh\n#SBATCH --export=NONE --requeue --open-mode=append --output=%s\nexec srun --export=ALL %s\n", p.path("job.out"), command)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
	out := p.Run(testbed.Login, append(append([]string{"sbatch", "--parsable"}, options...), script)...)
	p.job = strings.TrimSpace(out)
}

// status is the part of `status --json` that is looked at.
type status struct {
	PID       int       `json:"pid"`
	Host      string    `json:"host"`
	Job       string    `json:"job"`
	EndsAt    time.Time `json:"ends_at"`
	State     string    `json:"state"`
	Detail    string    `json:"detail"`
	Step      int       `json:"step"`
	Anomalies int       `json:"anomalies"`
	Error     string    `json:"error"`
}

// status asks on the login node, with more in the environment.
func (p *project) status(env ...string) (s status, err error) {
	p.t.Helper()
	out, errs, err := p.Try(testbed.Login, append(append([]string{"env"}, env...), p.program, "status", "--json", p.dir)...)
	if err != nil {
		return s, fmt.Errorf("%w: %s", err, errs)
	}
	return s, json.Unmarshal([]byte(out), &s)
}

// until waits for a status. While an engine comes or goes there may be none.
func (p *project) until(what string, holds func(status) bool) status {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		s, err := p.status()
		if err == nil && holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited %v for %s; the engine is %+v, %v", patience, what, s, err)
		}
	}
}

// client is one on the login node.
func (p *project) client() *rpc.Client {
	p.t.Helper()
	c, err := rpc.NewClient(func(ctx context.Context) (net.Conn, error) {
		return rpc.DialProcess(ctx, p.Command(context.WithoutCancel(ctx), testbed.Login, p.program, "attach", p.dir))
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// train orders a training from the login node and waits for its first steps.
func (p *project) train() {
	p.t.Helper()
	c := p.client()
	defer c.Close()
	r, err := c.Train(p.t.Context(), &rpc.TrainRequest{})
	if err != nil || !r.Started {
		p.t.Fatalf("the training does not start: %v, %v", r, err)
	}
	p.until("the first steps", func(s status) bool { return s.State == "training" && s.Step >= 2 })
}

var checkpointName = regexp.MustCompile(`^cycle-001-step-(\d{5})\.safetensors$`)

// kept is the step of the newest checkpoint; -1: none.
func (p *project) kept() int {
	p.t.Helper()
	newest := -1
	files, err := os.ReadDir(p.path("checkpoints"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range files {
		if m := checkpointName.FindStringSubmatch(f.Name()); m != nil {
			n, _ := strconv.Atoi(m[1])
			newest = max(newest, n)
		}
	}
	return newest
}

var goesOn = regexp.MustCompile(`training goes on at step (\d+) of`)

// wentOn is the step at which each engine took the training up again.
func (p *project) wentOn() (steps []int) {
	text, err := os.ReadFile(p.path("job.out"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range goesOn.FindAllStringSubmatch(string(text), -1) {
		n, _ := strconv.Atoi(m[1])
		steps = append(steps, n)
	}
	return steps
}

// refused runs a command that would start an engine on the login node, and must not.
func (p *project) refused(want string) {
	p.t.Helper()
	_, errs, err := p.Try(testbed.Login, p.program, "attach", "--start", p.dir)
	if err == nil || !strings.Contains(errs, want) {
		p.t.Errorf("a second engine: %v, %s; want %q", err, errs, want)
	}
}

func TestJobs(t *testing.T) {
	c := up(t)
	t.Run("jobs", func(t *testing.T) {
		t.Run("training", func(t *testing.T) {
			t.Parallel()
			training(t, c)
		})
		t.Run("time limit", func(t *testing.T) {
			t.Parallel()
			timeLimit(t, c)
		})
		t.Run("bytes", func(t *testing.T) {
			t.Parallel()
			everyByte(t, c)
		})
		t.Run("killed", func(t *testing.T) {
			t.Parallel()
			killed(t, c)
		})
	})
	t.Run("node down", func(t *testing.T) { nodeDown(t, c) })
}

// training: an engine in a job is found from the login node, keeps its training when asked, and goes on from there after a preemption.
func training(t *testing.T, c *cluster) {
	p := c.project(t, "training", 100_000)
	p.submit("--nodelist="+testbed.GPU1, "--gres=gpu:1", "--time=30")
	s := p.until("an idle engine", func(s status) bool { return s.State == "idle" })
	if s.Host != testbed.GPU1 || s.Job != "slurm "+p.job {
		t.Errorf("the engine is %+v, want one in job %s", s, p.job)
	}
	ends := strings.TrimSpace(p.Run(testbed.Login, "env", "TZ=UTC", "squeue", "-h", "-j", p.job, "-o", "%e"))
	if got := s.EndsAt.Format("2006-01-02T15:04:05"); got != ends {
		t.Errorf("the job ends at %s, squeue says %s", got, ends)
	}
	if over, err := p.status("ANOMALYMATCH_ATTACH=ssh"); err != nil || over.PID != s.PID || over.Host != s.Host {
		t.Errorf("over ssh: %+v, %v", over, err)
	}
	if text := p.runs(testbed.Login, "status", p.dir); !strings.Contains(text, "slurm "+p.job+" · 30 min left") && !strings.Contains(text, "slurm "+p.job+" · 29 min left") {
		t.Errorf("status says\n%s", text)
	}
	if far, _, err := p.Try(testbed.Laptop, "ssh", testbed.Login, p.program, "status", p.dir); err != nil || !strings.Contains(far, "on gpu01") {
		t.Errorf("from the laptop: %v\n%s", err, far)
	}

	a := p.client()
	if _, err := a.Label(t.Context(), &rpc.LabelRequest{Uid: "one", By: "ada", Changes: []*rpc.LabelChange{{Id: "sky/g000003.jpg", To: "anomaly"}}}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	j, err := journal.Open(p.path("labels"), "reader")
	if err != nil {
		t.Fatal(err)
	}
	if h := j.History("ada", 0); len(h) != 1 || h[0].ID != "sky/g000003.jpg" {
		t.Errorf("the journal has %v", h)
	}

	screen := tuitest.Start(t, tuitest.Options{Cols: 130, Rows: 30, Patience: patience, Env: append(p.Environ(), "TERM=xterm-256color")}, p.Argv(testbed.Login, p.program, p.dir)...)
	left := regexp.MustCompile("job slurm " + p.job + " · (30|29) min left")
	screen.Wait("the time left", left.MatchString).WaitFor("A 2  N 1")
	screen.Press("q")
	if code := screen.Exit(); code != 0 {
		t.Errorf("the screen on the login node ended with %d", code)
	}

	// Ctrl+c is for the program, and not for the srun that it talks through.
	cmd := p.Command(t.Context(), testbed.Login, p.program, "train", p.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.until("the first step", func(s status) bool { return s.State == "training" && s.Step >= 1 })
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 || !strings.Contains(errs.String(), "is kept") {
		t.Errorf("train after ctrl+c: %v\n%s", err, &errs)
	}

	first := p.kept()
	p.train()
	if n := p.kept(); n != first {
		t.Fatalf("a checkpoint of step %d after that of step %d before any was asked for", n, first)
	}
	p.Run(testbed.Login, "scancel", "--signal=USR1", p.job)
	p.until("a checkpoint", func(status) bool { return p.kept() > first })
	at := p.kept()
	after := p.until("steps after it", func(s status) bool { return s.Step > at+2 })
	if after.State != "training" || after.PID != s.PID {
		t.Errorf("after USR1 the engine is %+v, was %d", after, s.PID)
	}

	p.Run(testbed.Login, "sbatch", "--partition=urgent", "--nodelist="+testbed.GPU1, "--gres=gpu:1", "--output="+p.path("urgent.out"), "--wrap=sleep 4")
	p.until("the job in the queue", func(s status) bool {
		return s.State == "queued" && s.Job == "slurm "+p.job && strings.HasPrefix(s.Detail, "PENDING")
	})
	p.refused("slurm " + p.job)
	before := p.kept()
	if before < after.Step {
		t.Errorf("preempted after step %d; the checkpoint is of step %d", after.Step, before)
	}
	again := p.until("the training to go on", func(s status) bool { return s.State == "training" && s.Step > before })
	if w := p.wentOn(); len(w) != 1 || w[0] != before || again.Host != testbed.GPU1 {
		t.Errorf("went on at %v on %s, kept was step %d", w, again.Host, before)
	}

	p.runs(testbed.Login, "stop", p.dir)
	if s, err := p.status(); err != nil || s.State != "stopped" || s.Anomalies != 2 {
		t.Errorf("after the stop: %+v, %v", s, err)
	}
	p.ended()
}

// ended waits until Slurm knows nothing of the job any more.
func (p *project) ended() {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		if strings.TrimSpace(p.Run(testbed.Login, "squeue", "-h", "-j", p.job)) == "" {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal("the job does not end")
		}
	}
}

// timeLimit: near the end of its time the engine keeps the training and queues the job again, which goes on from there.
func timeLimit(t *testing.T, c *cluster) {
	p := c.project(t, "limit", 100_000)
	p.submit("--nodelist="+testbed.GPU2, "--time=1")
	s := p.until("an idle engine", func(s status) bool { return s.State == "idle" })
	if left := time.Until(s.EndsAt); left > time.Minute || left < 0 {
		t.Errorf("the job ends in %v", left)
	}
	p.train()
	queued := p.until("the job in the queue again", func(s status) bool { return s.State == "queued" })
	if queued.Job != "slurm "+p.job {
		t.Errorf("queued is %+v, want job %s", queued, p.job)
	}
	before := p.kept()
	again := p.until("the training to go on", func(s status) bool { return s.State == "training" && s.Step > before })
	if w := p.wentOn(); len(w) != 1 || w[0] != before || before < 2 {
		t.Errorf("went on at %v, kept was step %d", w, before)
	}
	if again.Job != queued.Job || again.PID == s.PID {
		t.Errorf("the engine that goes on is %+v", again)
	}
	text, err := os.ReadFile(p.path("job.out"))
	if err != nil || !regexp.MustCompile(`level=info text="slurm \d+ ends in \d+s: what is trained so far is kept; the job is queued again`).Match(text) {
		t.Errorf("nothing was said of the end: %v\n%s", err, text)
	}
	p.runs(testbed.Login, "stop", p.dir)
	p.ended()
}

// everyByte: what goes over ssh, and over the pseudo-terminal of srun, arrives as it was sent.
func everyByte(t *testing.T, c *cluster) {
	p := c.project(t, "bytes", 10)
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.path("echo"), self, 0o755); err != nil {
		t.Fatal(err)
	}
	p.submitStep(p.path("echo")+" echo "+p.dir, "--time=30")
	defer p.Run(testbed.Login, "scancel", p.job)
	var sent []byte
	for i := range 256 {
		sent = append(sent, byte(i), 3, '\r', '\n', 4, 26, 28, 0, 255, 17, 19)
	}
	sent = append(bytes.Repeat(sent, 400), make([]byte, 1<<20)...)
	rand.NewChaCha8([32]byte{5}).Read(sent[len(sent)-1<<20:])
	for _, by := range []string{"srun", "ssh"} {
		var conn net.Conn
		for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
			if conn, err = rpc.DialProcess(t.Context(), p.Command(context.Background(), testbed.Login, "env", "ANOMALYMATCH_ATTACH="+by, p.program, "attach", p.dir)); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("over %s: %v", by, err)
			}
		}
		go func() {
			conn.Write(sent)
			conn.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("over %s %d bytes came back of %d, or others: %v", by, len(got), len(sent), err)
		}
		conn.Close()
	}
}

// killed: an engine that was killed in its job blocks no other, and one that runs elsewhere is not doubled.
func killed(t *testing.T, c *cluster) {
	p := c.project(t, "killed", 10)
	p.submit("--time=30")
	s := p.until("an idle engine", func(s status) bool { return s.State == "idle" })
	p.Run(s.Host, "kill", "-KILL", strconv.Itoa(s.PID))
	p.ended()
	if now, err := p.status(); err != nil || now.State != "stopped" {
		t.Errorf("after the kill: %+v, %v", now, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	conn, err := rpc.DialProcess(ctx, p.Command(context.Background(), testbed.Login, p.program, "attach", "--start", p.dir))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	here := p.until("an engine on the login node", func(s status) bool { return s.PID > 0 })
	if here.Host != testbed.Login || here.Job != "" {
		t.Errorf("the engine is %+v", here)
	}
	p.submit("--time=30")
	p.ended()
	if text, err := os.ReadFile(p.path("job.out")); err != nil || !strings.Contains(string(text), fmt.Sprintf("runs already on login (pid %d)", here.PID)) {
		t.Errorf("a second engine in a job: %v\n%s", err, text)
	}
	p.runs(testbed.GPU2, "stop", p.dir) // over ssh to the login node
	if now, err := p.status(); err != nil || now.State != "stopped" {
		t.Errorf("after the stop: %+v, %v", now, err)
	}
}

// nodeDown: when a node is gone its job goes on elsewhere, and meanwhile nobody starts a second engine.
func nodeDown(t *testing.T, c *cluster) {
	p := c.project(t, "down", 10)
	p.submit("--time=30")
	s := p.until("an idle engine", func(s status) bool { return s.State == "idle" })
	p.Stop(s.Host)
	dead := p.until("Slurm to be asked", func(now status) bool { return now.State == "queued" }) // it does not know yet
	if dead.Job != s.Job {
		t.Errorf("waits for %+v, the engine was %+v", dead, s)
	}
	p.refused(s.Job)
	p.Run(testbed.Login, "scontrol", "update", "nodename="+s.Host, "state=down", "reason=gone") // what Slurm finds out by itself in half a minute
	now := p.until("the engine on the other node", func(now status) bool { return now.PID > 0 && now.Host != s.Host })
	if now.Job != s.Job || now.Host == testbed.Login {
		t.Errorf("the engine is %+v, was %+v", now, s)
	}
	if _, err := os.Stat(p.path("engine.log")); err == nil || !os.IsNotExist(err) {
		t.Errorf("an engine was started beside the job: %v", err)
	}
	p.runs(testbed.Login, "stop", p.dir)
}
