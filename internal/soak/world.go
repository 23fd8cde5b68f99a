//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
	"anomalymatch/internal/failpoint"
	"anomalymatch/session/verify"
)

// images are in the sky. Everything is as small as it can be while all of it is there: several batches of scores, several blocks of embeddings.
const images = 60

// patience is how long anything may take that is sure to come.
const patience = time.Minute

// world is a folder with the program, a sky of synthetic galaxies, and a project that is embedded, trained and scored, of which trials take copies.
type world struct {
	dir, exe string
	seed     uint64
	r        *rand.Rand        // of the trial
	until    time.Time         // when the time of the trial is over; zero: it has none
	points   []failpoint.Point // only these, once; nil: all
	shared   string            // the project
	ids      []string          // of the images
	projects int
}

// newWorld builds the program with failpoints, and the project.
func newWorld(ctx context.Context, seed uint64) (w *world, err error) {
	w = &world{seed: seed, r: rand.New(rand.NewPCG(seed, 0))}
	if w.dir, err = os.MkdirTemp("", "soak-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for _, dir := range []string{"run", "home", "bin"} {
		if err := os.Mkdir(filepath.Join(w.dir, dir), 0o700); err != nil {
			return nil, err
		}
	}
	// This process looks for sockets where those that it starts have them.
	if err := os.Setenv("XDG_RUNTIME_DIR", filepath.Join(w.dir, "run")); err != nil {
		return nil, err
	}
	w.exe = filepath.Join(w.dir, "anomalymatch")
	if out, err := w.tool(ctx, "go", "build", "-tags", "failpoints", "-ldflags", "-s -w", "-o", w.exe, "anomalymatch/cmd/anomalymatch"); err != nil {
		return nil, fmt.Errorf("the program cannot be built: %w\n%s", err, out)
	}
	sky := filepath.Join(w.dir, "sky")
	if _, err := synth.Write(sky, images, synth.Params{Seed: 7, Size: 48, Rare: 0.1}, nil); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(sky)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".jpg") {
			w.ids = append(w.ids, "sky/"+f.Name())
		}
	}
	p, err := w.project()
	if err != nil {
		return nil, err
	}
	w.shared = p.dir
	e, err := p.engine()
	if err != nil {
		return nil, err
	}
	if err := p.idle(ctx, e); err != nil {
		return nil, err
	}
	labels := p.clerk()
	labels.give(ctx, []string{"anomaly", "normal", "anomaly", "normal", "anomaly", "normal"})
	if labels.doubt != nil {
		return nil, errors.New("the first labels were not taken")
	}
	if out, err := w.command("train", p.dir, "--score").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the first training: %w\n%s", err, out)
	}
	return w, p.stop(e)
}

// tool runs a command of the developer's machine.
func (w *world) tool(ctx context.Context, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.CombinedOutput()
}

// environ is all that the program knows of the world.
func (w *world) environ() []string {
	home := filepath.Join(w.dir, "home")
	return []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home + "/config", "XDG_DATA_HOME=" + home + "/data", "XDG_STATE_HOME=" + home + "/state", "XDG_CACHE_HOME=" + home + "/cache",
		"XDG_RUNTIME_DIR=" + filepath.Join(w.dir, "run"), "PATH=" + filepath.Join(w.dir, "bin") + ":" + os.Getenv("PATH"), "LANG=C.UTF-8"}
}

// command is one of the program, that ctrl+c at this terminal does not reach.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(w.exe, args...)
	cmd.Env = w.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// moment is a random time up to most. One time in three it is as often below a tenth of it as above: much happens early.
func (w *world) moment(most time.Duration) time.Duration {
	part := w.r.Float64()
	if w.r.IntN(3) == 0 {
		part = math.Pow(300, part-1)
	}
	return time.Duration(float64(most) * part)
}

// pause waits; false: ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// process is one of the program that is ours to kill.
type process struct {
	cmd  *exec.Cmd
	log  string // file of what it said
	done chan struct{}
}

func (w *world) start(env []string, args ...string) (*process, error) {
	cmd := w.command(args...)
	cmd.Env = append(cmd.Env, env...)
	log, err := os.CreateTemp(w.dir, args[0]+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	p := &process{cmd: cmd, log: log.Name(), done: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// kill kills the process, if it has not ended, and tells whether it had not.
func (p *process) kill() (running bool) {
	p.cmd.Process.Kill()
	<-p.done
	running = p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled()
	if running {
		os.Remove(p.log)
	}
	return running
}

// ended tells whether the process ends by itself within d.
func (p *process) ended(d time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(d):
		return false
	}
}

// said is what it wrote.
func (p *process) said() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// project is a copy of the shared one.
type project struct {
	w   *world
	dir string
	sky string
}

// project copies these folders of the shared project; without any it is new.
func (w *world) project(parts ...string) (*project, error) {
	w.projects++
	p := &project{w: w, dir: filepath.Join(w.dir, "project-"+strconv.Itoa(w.projects)), sky: filepath.Join(w.dir, "sky")}
	for _, part := range parts {
		if err := os.CopyFS(filepath.Join(p.dir, part), os.DirFS(filepath.Join(w.shared, part))); err != nil {
			return nil, err
		}
	}
	return p, errors.Join(os.MkdirAll(p.dir, 0o777), p.configure(p.sky, false))
}

// whole are all folders of a project that was trained.
var whole = []string{"index", "embeddings", "checkpoints", "runs", "scores", "labels"}

func (p *project) configure(sky string, prepare bool) error {
	p.sky = sky
	text := fmt.Sprintf(`name = "sky"
[[source]]
name = "sky"
path = %q
[images]
prepare = %v
[model]
size = 32
score_batch = 8
[fast]
size = 32
[fixmatch]
labelled_batch = 2
unlabelled_batch = 2
iterations = 2
[queue]
ranking = "joint"
top_percent = 80
[engine]
runtime = "go"
idle_minutes = 10
checkpoint_every = 1
keep_checkpoints = 1
`, sky, prepare)
	return os.WriteFile(filepath.Join(p.dir, "project.toml"), []byte(text), 0o666)
}

func (p *project) sub(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

func (p *project) remove() error { return os.RemoveAll(p.dir) }

// engine starts the project's engine as a process of this one.
func (p *project) engine(env ...string) (*process, error) { return p.w.start(env, "engine", p.dir) }

// dial connects to the engine as soon as it is there.
func (p *project) dial(ctx context.Context) (*rpc.Client, error) {
	for {
		c, err := rpc.Dial(ctx, p.dir)
		if !errors.Is(err, rpc.ErrNotRunning) {
			return c, err
		}
		if !pause(ctx, time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

// idle waits until the engine has nothing more to do, everything embedded and scored.
func (p *project) idle(ctx context.Context, e *process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the engine does not come to an end"))
	defer cancel()
	c, err := p.dial(ctx)
	if err != nil {
		return errors.Join(err, errors.New(e.said()))
	}
	defer c.Close()
	for {
		s, err := c.GetStatus(ctx, &rpc.StatusRequest{})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && e.ended(0):
			return fmt.Errorf("the engine ended: %s", e.said())
		case err == nil && s.GetState() == "idle" && s.GetError() != "":
			return errors.New(s.GetError())
		case err == nil && s.GetState() == "idle" && s.GetEmbedded():
			return nil
		}
		if !pause(ctx, 10*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// stop ends the engine as a person does.
func (p *project) stop(e *process) error {
	out, err := p.w.command("stop", p.dir).CombinedOutput()
	if err != nil {
		e.kill()
		return fmt.Errorf("the engine does not stop: %w: %s", err, out)
	}
	if !e.ended(patience) {
		e.kill()
		return errors.New("the engine does not stop")
	}
	if e.cmd.ProcessState.ExitCode() != 0 {
		return fmt.Errorf("the engine ended with %v: %s", e.cmd.ProcessState, e.said())
	}
	return os.Remove(e.log)
}

// checkpoints says what of the project's checkpoints and score files cannot be read.
func (p *project) checkpoints(t *tally) {
	_, info, damaged, found, err := fixmatch.Latest(p.sub("checkpoints"))
	if err != nil || !found || len(damaged) > 0 {
		t.say("no checkpoint can be loaded (found %v): %v %v", found, err, damaged)
	}
	for _, f := range score.Files(p.sub("scores")) {
		if err := score.Verify(f); err != nil {
			t.say("%s: %v", filepath.Base(f), err)
		}
	}
	files, _ := fixmatch.Checkpoints(p.sub("checkpoints"))
	for _, f := range files[min(len(files), 2):] { // the last of each cycle is kept for ever, and there are many here
		if !strings.HasPrefix(filepath.Base(f), info.Prefix()) {
			os.Remove(f)
		}
	}
}

// settle is what a person does the day after: the engine runs once more to its end. Then everything in the project can be believed, and
// nothing is left of those that were killed.
func (p *project) settle(ctx context.Context, t *tally) error {
	parts, err := p.aged()
	if err != nil {
		return err
	}
	e, err := p.engine()
	if err != nil {
		return err
	}
	if err := errors.Join(p.idle(ctx, e), p.stop(e)); err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := os.Stat(part); err == nil {
			t.orphans++
			t.say("%s is left of a process that was killed a day ago", part)
		}
	}
	p.believed(ctx, t)
	if left, _ := filepath.Glob(filepath.Join(p.w.dir, "run", "anomalymatch", "*.sock")); len(left) > 0 {
		t.orphans += len(left)
		t.say("sockets are left: %v", left)
	}
	return nil
}

// believed says what `anomalymatch verify` finds.
func (p *project) believed(ctx context.Context, t *tally) {
	report, err := verify.Check(ctx, p.dir, func(string, int64, int64) {})
	if err != nil {
		t.say("the project cannot be checked: %v", err)
	}
	for _, f := range report.Findings {
		if f.Damage {
			t.say("damaged: %s: %s", f.File, f.What)
		}
	}
}

// aged makes everything unfinished in the project two days old, and lists it.
func (p *project) aged() (parts []string, err error) {
	old := time.Now().Add(-48 * time.Hour)
	err = filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(d.Name(), ".part") {
			return err
		}
		parts = append(parts, path)
		return os.Chtimes(path, old, old)
	})
	return parts, err
}

// same says whether a file of the project is that of the shared one.
func (p *project) same(t *tally, name string) {
	want, err := os.ReadFile(filepath.Join(p.w.shared, name))
	got, err2 := os.ReadFile(p.sub(name))
	if err := errors.Join(err, err2); err != nil || !bytes.Equal(got, want) {
		t.say("%s is not as an uninterrupted run makes it: %v", name, err)
	}
}

// processes are those of the world, this one not among them.
func (w *world) processes() (pids []int) {
	mark := []byte("XDG_RUNTIME_DIR=" + filepath.Join(w.dir, "run") + "\x00")
	list, _ := os.ReadDir("/proc")
	for _, d := range list {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if env, err := os.ReadFile(filepath.Join("/proc", d.Name(), "environ")); err == nil && bytes.Contains(env, mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// close removes the world.
func (w *world) close() error {
	w.end()
	return os.RemoveAll(w.dir)
}

// end ends what is left of a trial, and tells how many processes that were. They have some seconds to end by themselves.
func (w *world) end() (n int) {
	for range 50 {
		if n = len(w.processes()); n == 0 {
			return 0
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, pid := range w.processes() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	return n
}
