// Package clustertest runs the program on a cluster of the test bed.
package clustertest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/internal/testbed"
)

// bed is a cluster with the program, a person's settings and a project whose folder has an odd name.
type bed struct {
	*testbed.Bed
	t            *testing.T
	exe, project string
}

func up(t *testing.T) *bed {
	t.Helper()
	b := &bed{Bed: testbed.Up(t, testbed.Options{}), t: t}
	b.exe, b.project = b.Path("bin", "anomalymatch"), b.Path("it's \"$(touch pwned)\"\n`touch pwned` #SBATCH -p nope")
	if out, err := exec.Command("go", "build", "-o", b.exe, "anomalymatch/cmd/anomalymatch").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	params := synth.Defaults()
	params.Size = 32
	if _, err := synth.Write(b.Path("images"), 12, params, nil); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(b.Home(testbed.Login), ".config", "anomalymatch")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	const settings = "engine.runtime = 'go'\nfast.views = 1\n[cluster.bed]\ntime = '10'\nscratch = '/tmp/$SLURM_JOB_ID'\n[cluster.nope]\npartition = 'nope'\n"
	if err := os.WriteFile(filepath.Join(config, "config.toml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Run(testbed.Login, b.exe, "new", b.project, "--images", b.Path("images"))
	return b
}

// am runs the program on the login node, by somebody who has a secret in the environment.
func (b *bed) am(args ...string) string {
	b.t.Helper()
	return b.Run(testbed.Login, append([]string{"env", "AM_SECRET=hunter2", "SBATCH_EXPORT=ALL", b.exe}, args...)...)
}

func (b *bed) fails(want string, args ...string) {
	b.t.Helper()
	out, errs, err := b.Try(testbed.Login, append([]string{b.exe}, args...)...)
	if err == nil || !strings.Contains(errs, want) || strings.Count(errs, "\n") > 1 {
		b.t.Errorf("%q: %v, %q, %q; want %q", args, err, out, errs, want)
	}
}

type report struct {
	Jobs []struct {
		ID, Project, Cluster, Kind, State, Reason, Node string
		Start, End                                      *time.Time
	}
}

func (b *bed) jobs(args ...string) report {
	b.t.Helper()
	var r report
	if err := json.Unmarshal([]byte(b.am(append([]string{"jobs", "--json"}, args...)...)), &r); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// matched returns what the expression finds in text, which must be something.
func (b *bed) matched(expression, text string) []string {
	b.t.Helper()
	m := regexp.MustCompile(expression).FindStringSubmatch(text)
	if m == nil {
		b.t.Fatalf("%q does not match %s", text, expression)
	}
	return m
}

func TestEngineAsAJob(t *testing.T) {
	b := up(t)
	b.fails("there is no cluster \"leo\" in your settings", "engine", b.project, "--cluster", "leo")
	b.fails("invalid partition specified: nope", "engine", b.project, "--cluster", "nope")
	b.fails("name its --cluster", "engine", b.project, "--wait")
	b.fails("has a job \"77\"", "jobs", "cancel", "77")
	if got := b.am("jobs"); got != "no jobs\n" {
		t.Errorf("jobs says %q", got)
	}

	// Both nodes are taken.
	var fill []string
	for range 2 {
		fill = append(fill, strings.TrimSpace(b.Run(testbed.Login, "sbatch", "--parsable", "--gres=gpu:1", "--output=/dev/null", "--wrap=sleep 600")))
	}
	id := b.matched(`^job (\d+) on bed is pending: (?:waits for a node to become free|others are before it in the queue); thought to start in .* \(... \d\d:\d\d\)\n$`, b.am("engine", b.project, "--cluster", "bed"))[1]
	if again := b.matched(`^job (\d+) on bed is pending`, b.am("engine", b.project, "--cluster", "bed"))[1]; again != id {
		t.Errorf("submitted again, as job %s", again)
	}
	r := b.jobs()
	if len(r.Jobs) != 1 || r.Jobs[0].ID != id || r.Jobs[0].Project != b.project || r.Jobs[0].Kind != "engine" || r.Jobs[0].State != "pending" || r.Jobs[0].Start == nil {
		t.Errorf("jobs are %+v", r)
	}
	if r := b.jobs(b.project, "--cluster", "nope"); len(r.Jobs) != 0 {
		t.Errorf("jobs elsewhere are %+v", r)
	}
	b.matched(`^the engine's job `+id+` on bed is cancelled; it was pending: `, b.am("stop", b.project))
	if r := b.jobs(b.project); len(r.Jobs) != 1 || r.Jobs[0].State != "cancelled" {
		t.Errorf("jobs are %+v", r)
	}
	if got := b.am("stop", b.project); got != "no engine runs for this project on this machine\n" {
		t.Errorf("stop says %q", got)
	}

	// A node is free.
	for _, id := range fill {
		b.am("jobs", "cancel", id, "--cluster", "bed")
	}
	m := b.matched(`^job (\d+) on bed is running on (gpu0\d), (.*) left\n$`, b.am("engine", b.project, "--cluster", "bed", "--wait"))
	if m[1] == id {
		t.Errorf("job %s runs, which was cancelled", id)
	}
	id = m[1]
	log := b.waitLog("engine starts")
	pid := b.matched(`pid=(\d+)`, log)[1]
	environ, err := os.ReadFile(filepath.Join("/proc", pid, "environ"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"SLURM_JOB_ID=" + id, "SLURM_STEP_ID=0", "TMPDIR=/tmp/" + id, "HOME=/root", "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"} {
		if !strings.Contains(string(environ), want+"\x00") {
			t.Errorf("the engine's environment has no %s: %q", want, environ)
		}
	}
	cmdline, _ := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
	if want := b.exe + "\x00engine\x00" + b.project + "\x00--requeue\x00"; string(cmdline) != want {
		t.Errorf("the engine is %q, not %q", cmdline, want)
	}
	script := b.Run(testbed.Login, "scontrol", "write", "batch_script", id, "-")
	for what, text := range map[string]string{"environment": string(environ), "script": script, "log": log} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "AM_SECRET") {
			t.Errorf("the secret is in the %s", what)
		}
	}
	if got := b.am("jobs", b.project); !strings.Contains(got, "running on "+m[2]+", ") {
		t.Errorf("jobs says %q", got)
	}
	// Cancelling is a TERM first.
	b.am("jobs", "cancel", id)
	b.waitLog("engine ends")
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if r = b.jobs(b.project); r.Jobs[0].State == "cancelled" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("never cancelled: %+v", r)
		}
	}
	if _, err := os.Stat(b.Path("pwned")); err == nil {
		t.Error("a name was obeyed")
	}
}

// waitLog waits until engine.log of the project holds text.
func (b *bed) waitLog(text string) string {
	b.t.Helper()
	var log []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if log, _ = os.ReadFile(filepath.Join(b.project, "engine.log")); strings.Contains(string(log), text) {
			return string(log)
		}
	}
	b.t.Fatalf("engine.log never holds %q: %s", text, log)
	return ""
}
