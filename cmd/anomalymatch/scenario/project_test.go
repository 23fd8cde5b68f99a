//go:build unix

package scenario

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/label"
	"anomalymatch/engine/runtime"
	"anomalymatch/internal/testbed"
	"anomalymatch/session/journal"
	"anomalymatch/tui/tuitest"
)

// Of all tests.
var (
	work    string // folder of everything, removed at the end
	program string // the built binary
	backend string // engine.runtime of the projects
	plugin  string // folder of the XLA plugin; "" with the Go backend
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	var err error
	if work, err = os.MkdirTemp("", "scenario-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(work)
	// Sockets are found by this process and by those it starts.
	os.Setenv("XDG_RUNTIME_DIR", filepath.Join(work, "run"))
	if err := os.Mkdir(os.Getenv("XDG_RUNTIME_DIR"), 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	backend, plugin = findRuntime()
	if program, err = build("anomalymatch"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build makes the program as a person's is made; with the race detector where the test has it.
func build(name string, flags ...string) (string, error) {
	exe := filepath.Join(work, name)
	args := append([]string{"build", "-o", exe}, flags...)
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "anomalymatch/cmd/anomalymatch")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the program cannot be built: %w\n%s", err, out)
	}
	return exe, nil
}

// findRuntime takes XLA where the person who runs the tests has it.
func findRuntime() (backend, folder string) {
	if dir := os.Getenv("PJRT_PLUGIN_LIBRARY_PATH"); dir != "" && runtime.HasXLA() {
		return "xla", dir
	}
	for _, r := range runtime.List() {
		if r.Kind == "cpu" && r.Installed && r.Works == "" {
			return "xla", filepath.Dir(r.Path)
		}
	}
	return "go", ""
}

// images are in the sky that most stories share, and candidates in their queue.
const (
	images     = 120
	candidates = 24
)

// settings are what a story wants different.
type settings struct {
	sky        string // folder of images; "" is the shared one
	percent    int    // queue.top_percent; 0: candidates of the shared sky
	iterations int    // fixmatch.iterations; 0: few
}

func (s settings) text() string {
	labelled, unlabelled := 4, 8
	if backend == "go" {
		labelled, unlabelled = 2, 2
	}
	return fmt.Sprintf(`name = "sky"
[[source]]
name = "sky"
path = %q
[model]
size = 32
score_batch = 32
[fast]
size = 32
[fixmatch]
labelled_batch = %d
unlabelled_batch = %d
iterations = %d
[queue]
ranking = "joint"
top_percent = %d
[engine]
runtime = %q
idle_minutes = 10
checkpoint_every = 5
`, s.sky, labelled, unlabelled, cmp.Or(s.iterations, 6), cmp.Or(s.percent, 100*candidates/images), backend)
}

// shared is a sky and a project on it whose images are listed and embedded: stories that are about other things begin with a copy.
var shared = sync.OnceValues(func() (dir string, err error) {
	sky := filepath.Join(work, "sky")
	dir = filepath.Join(work, "shared")
	if _, err := synth.Write(sky, images, synth.Params{Seed: 7, Size: 48, Rare: 0.1}, nil); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "project.toml"), []byte(settings{sky: sky}.text()), 0o666); err != nil {
		return "", err
	}
	home := filepath.Join(work, "home")
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.Env = append(environ(home), "PATH="+os.Getenv("PATH"))
		return cmd
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		return "", err
	}
	engine := command("engine", dir)
	var log bytes.Buffer
	engine.Stdout, engine.Stderr = &log, &log
	if err := engine.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- engine.Wait() }()
	defer func() {
		command("stop", dir).Run()
		select {
		case <-ended:
		case <-time.After(patience):
			engine.Process.Kill()
			<-ended
		}
	}()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		var s status
		if out, err := command("status", "--json", dir).Output(); err == nil && json.Unmarshal(out, &s) == nil && s.Embedded && s.State == "idle" {
			return dir, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("the shared project is not embedded after %v:\n%s", patience, &log)
		}
	}
})

// patience is how long any wait may take: on a busy machine compiling takes a while.
const patience = time.Minute

// environ is what the program knows of the world, but for PATH.
func environ(home string) []string {
	return []string{
		"HOME=" + home, "XDG_CONFIG_HOME=" + home + "/config", "XDG_DATA_HOME=" + home + "/data", "XDG_STATE_HOME=" + home + "/state",
		"XDG_RUNTIME_DIR=" + os.Getenv("XDG_RUNTIME_DIR"), "PJRT_PLUGIN_LIBRARY_PATH=" + plugin, "GORACE=halt_on_error=1 exitcode=66",
	}
}

// project is a project folder, and a person's home.
type project struct {
	t      *testing.T
	dir    string
	home   string
	exe    string
	killed int          // process of the last engine that was killed
	bed    *testbed.Bed // nil: the project is on this machine
	host   string       // of the bed, where its engine runs
}

// newProject makes a project; without images of its own it is a copy of the shared one. Its engine is ended with the test.
func newProject(t *testing.T, s settings) *project {
	t.Helper()
	return newProjectIn(t, filepath.Join(t.TempDir(), "project"), s)
}

func newProjectIn(t *testing.T, dir string, s settings) *project {
	t.Helper()
	p := &project{t: t, dir: dir, home: t.TempDir(), exe: program}
	if s.sky == "" {
		from, err := shared()
		if err != nil {
			t.Fatal(err)
		}
		s.sky = filepath.Join(work, "sky")
		for _, part := range []string{"index", "embeddings"} {
			if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(from, part))); err != nil {
				t.Fatal(err)
			}
		}
	} else if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "project.toml"), []byte(s.text()), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	return p
}

// end stops the engine, and kills it where that does not help.
func (p *project) end() {
	out, err := p.command("stop", p.dir).CombinedOutput()
	if err != nil {
		p.t.Errorf("the engine does not stop: %v\n%s", err, out)
		if pid := p.holder(); pid > 0 {
			syscall.Kill(pid, syscall.SIGQUIT) // its log then says where it stands
			time.Sleep(3 * time.Second)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if log, err := os.ReadFile(filepath.Join(p.dir, "engine.log")); err == nil && (p.t.Failed() || bytes.Contains(log, []byte("DATA RACE"))) {
		p.t.Errorf("engine.log:\n%s", log)
	}
}

// holder is the process that engine.lock names; 0: none.
func (p *project) holder() int {
	var h struct {
		PID int `json:"pid"`
	}
	text, _ := os.ReadFile(filepath.Join(p.dir, "engine.lock"))
	_ = json.Unmarshal(text, &h)
	return h.PID
}

func (p *project) command(args ...string) *exec.Cmd {
	if p.bed != nil {
		return p.bed.Command(context.Background(), p.host, append([]string{p.exe}, args...)...)
	}
	cmd := exec.Command(p.exe, args...)
	cmd.Env = append(environ(p.home), "PATH="+os.Getenv("PATH"))
	return cmd
}

// runs runs a command without a terminal.
func (p *project) runs(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	var out, err bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &err
	var exit *exec.ExitError
	switch failed := cmd.Run(); {
	case errors.As(failed, &exit):
		code = exit.ExitCode()
	case failed != nil:
		p.t.Fatal(failed)
	}
	return out.String(), err.String(), code
}

// status is the part of `status --json` that is looked at.
type status struct {
	PID       int    `json:"pid"`
	State     string `json:"state"`
	Version   string `json:"version"`
	Step      int64  `json:"step"`
	Steps     int64  `json:"steps"`
	Bad       int64  `json:"bad"`
	Anomalies int64  `json:"anomalies"`
	Normals   int64  `json:"normals"`
	Skipped   int64  `json:"skipped"`
	Cycle     int32  `json:"cycle"`
	RankedBy  string `json:"ranked_by"`
	Embedded  bool   `json:"embedded"`
	Error     string `json:"error"`
}

func (p *project) status() (s status) {
	p.t.Helper()
	out, errs, code := p.runs("status", "--json", p.dir)
	if code != 0 {
		p.t.Fatalf("status ended with %d: %s", code, errs)
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		p.t.Fatalf("%v in %s", err, out)
	}
	return s
}

// until waits for a status, which may be that of a training.
func (p *project) until(what string, holds func(status) bool) status {
	p.t.Helper()
	for deadline := time.Now().Add(trained); ; time.Sleep(50 * time.Millisecond) {
		s := p.status()
		if holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited %v for %s; the engine is %+v", trained, what, s)
		}
	}
}

// events are the lines of all journals, in the order of the merge.
func (p *project) events() []label.Event {
	p.t.Helper()
	j, err := journal.Open(filepath.Join(p.dir, "labels"), "reader")
	if err != nil {
		p.t.Fatal(err)
	}
	return j.History("", 0)
}

// labels are those on disk, by file name.
func (p *project) labels() map[string]string {
	p.t.Helper()
	m := map[string]string{}
	for _, e := range p.events() {
		if e.Mark != "" {
			continue
		}
		name := strings.TrimPrefix(e.ID, "sky/")
		if m[name] = string(e.To); e.To == label.None {
			delete(m, name)
		}
	}
	return m
}

// has fails unless these and no other labels are on disk.
func (p *project) has(want map[string]string) {
	p.t.Helper()
	if got := p.labels(); !maps.Equal(got, want) {
		p.t.Errorf("on disk are %v, want %v", got, want)
	}
}

// kill ends the engine as a crash would, once there is one that was not killed before.
func (p *project) kill() {
	p.t.Helper()
	var pid int
	for deadline := time.Now().Add(patience); pid <= 0 || pid == p.killed; time.Sleep(time.Millisecond) {
		if pid = p.holder(); time.Now().After(deadline) {
			p.t.Fatal("engine.lock names no other engine")
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		p.t.Fatalf("kill %d: %v", pid, err)
	}
	p.killed = pid
}

// sitting is a person at a terminal.
type sitting struct {
	*tuitest.Driver
	p *project
}

// open opens the project in a terminal of 100×30, unless opt says otherwise.
func (p *project) open(opt ...tuitest.Options) sitting {
	p.t.Helper()
	o := tuitest.Options{Cols: 100, Rows: 30}
	if len(opt) > 0 {
		o = opt[0]
		o.Cols, o.Rows = cmp.Or(o.Cols, 100), cmp.Or(o.Rows, 30)
	}
	o.Patience = cmp.Or(o.Patience, patience)
	o.Env = append(environ(p.home), o.Env...)
	return sitting{tuitest.Start(p.t, o, p.exe, p.dir), p}
}

// quit leaves as a person does.
func (s sitting) quit() {
	s.p.t.Helper()
	s.Press("q")
	if code := s.Exit(); code != 0 {
		s.p.t.Errorf("the program ended with %d", code)
	}
}

// selected waits until the gallery shows the selected picture, and returns its caption.
func (s sitting) selected() (c tuitest.Caption) {
	s.p.t.Helper()
	at := -1
	s.Wait("a selected picture", func(string) bool {
		for i, k := range s.Captions() {
			if k.Selected {
				at, c = i, k
				return true
			}
		}
		return false
	})
	s.Cell(at).HasPicture()
	return c
}

// badges are the letters of the labels on screen that are on disk, in the order of the list.
func (s sitting) badges() (letters string) {
	for _, c := range s.Captions() {
		if c.Badge != "" && c.Mark == "" {
			letters += c.Badge
		}
	}
	return letters
}

// says waits for a sentence that may be broken into lines.
func (s sitting) says(text string) {
	s.p.t.Helper()
	s.Wait(fmt.Sprintf("%q", text), func(screen string) bool {
		return strings.Contains(strings.Join(strings.Fields(screen), " "), text)
	})
}

var letter = map[string]string{"a": "A", "x": "N", "space": "S"}

// label presses label keys, each once the selected picture is on screen, and waits until the labels are on disk.
func (s sitting) label(keys ...string) sitting {
	s.p.t.Helper()
	for _, key := range keys {
		c, written := s.selected(), len(s.p.events())
		s.Press(key)
		s.Wait(fmt.Sprintf("the badge %s on picture %d", letter[key], c.Number), func(string) bool {
			all := s.Captions()
			for _, k := range all {
				if k.Number == c.Number {
					return k.Badge == letter[key] && k.Mark == ""
				}
			}
			// The page was turned. Far labels are on the laptop's disk first.
			return len(all) > 0 && all[0].Number > c.Number && (s.p.bed != nil || len(s.p.events()) > written)
		})
	}
	return s
}

// picture is what the large picture's page says.
type picture struct{ name, label string }

// large reads the page of the large picture, number n of the list.
func (s sitting) large(n int) (p picture) {
	s.p.t.Helper()
	s.Wait(fmt.Sprintf("large picture %d", n), func(screen string) bool {
		if !strings.Contains(screen, "Image") || !strings.Contains(screen, strconv.Itoa(n)+" of ") {
			return false
		}
		name, said := imageName.FindString(screen), labelLine.FindStringSubmatch(screen)
		if name == "" || said == nil {
			return false
		}
		p = picture{name, said[1]}
		return true
	})
	return p
}

var (
	imageName = regexp.MustCompile(`g\d{6}\.jpg`)
	labelLine = regexp.MustCompile(`(?m)label +(?:[ANS] +)?(anomaly|normal|skip|none|no label)`)
)
