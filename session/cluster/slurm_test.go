package cluster

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anomalymatch"
	"anomalymatch/internal/testbed"
)

// on is a Runner that runs commands on the bed's login node.
func on(b *testbed.Bed) Runner {
	return func(ctx context.Context, stdin string, argv ...string) (string, error) {
		return Exec(ctx, stdin, b.Argv(testbed.Login, argv...)...)
	}
}

func profile(change func(*anomalymatch.Cluster)) anomalymatch.Cluster {
	p := anomalymatch.Cluster{Scheduler: "slurm", GPUs: 1, Attach: "ssh"}
	if change != nil {
		change(&p)
	}
	return p
}

// sleeper is a job that says it runs and then waits.
func sleeper(b *testbed.Bed, name string) Spec {
	return Spec{Name: name, Argv: []string{"sh", "-c", "echo runs; sleep 600"}, Dir: b.Dir, Log: b.Path(name + ".log")}
}

// until asks for jobs until ok says that they are as wanted.
func until(t *testing.T, q Scheduler, what string, ok func([]Job) bool, ids ...string) []Job {
	t.Helper()
	var jobs []Job
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var err error
		if jobs, err = q.Jobs(t.Context(), ids...); err != nil {
			t.Fatal(err)
		}
		if ok(jobs) {
			return jobs
		}
	}
	t.Fatalf("never %s: %+v", what, jobs)
	return nil
}

func all(state State) func([]Job) bool {
	return func(jobs []Job) bool {
		for _, j := range jobs {
			if j.State != state {
				return false
			}
		}
		return true
	}
}

func submit(t *testing.T, q Scheduler, s Spec) string {
	t.Helper()
	id, err := q.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func scheduler(t *testing.T, p anomalymatch.Cluster, run Runner) Scheduler {
	t.Helper()
	q, err := New(p, run)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestSlurm(t *testing.T) {
	b := testbed.Up(t, testbed.Options{})
	q := scheduler(t, profile(nil), on(b))

	t.Run("pending, running, cancelled", func(t *testing.T) {
		one, two := submit(t, q, sleeper(b, "one")), submit(t, q, sleeper(b, "two"))
		running := until(t, q, "running", all(Running), one, two)
		if running[0].ID != one || running[1].ID != two || running[0].Node == running[1].Node || !strings.HasPrefix(running[0].Node, "gpu0") {
			t.Errorf("got %+v", running)
		}
		if left := time.Until(running[0].End); left < 4*time.Minute || left > 5*time.Minute+time.Second {
			t.Errorf("of the partition's five minutes are left %v", left)
		}
		three, four := submit(t, q, sleeper(b, "three")), submit(t, q, sleeper(b, "four"))
		waiting := until(t, q, "pending for a node", func(jobs []Job) bool {
			return jobs[0].Reason == "waits for a node to become free" && jobs[1].Reason == "others are before it in the queue" && !jobs[0].Start.IsZero()
		}, three, four)
		if waiting[0].State != Pending || waiting[0].Node != "" {
			t.Errorf("got %+v", waiting[0])
		}
		if in := time.Until(waiting[0].Start); in < 3*time.Minute || in > 6*time.Minute {
			t.Errorf("thought to start in %v", in)
		}
		for _, id := range []string{one, two, three, four} {
			if err := q.Cancel(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
		until(t, q, "cancelled", all(Cancelled), one, two, three, four)
		if err := q.Cancel(t.Context(), one); err != nil {
			t.Errorf("cancelling twice: %v", err)
		}
	})

	t.Run("done and failed", func(t *testing.T) {
		s := sleeper(b, "exits")
		s.Argv = []string{"true"}
		good := submit(t, q, s)
		s.Argv = []string{"sh", "-c", "echo because >&2; exit 3"}
		bad := submit(t, q, s)
		until(t, q, "done", all(Done), good)
		if j := until(t, q, "failed", all(Failed), bad)[0]; j.Reason != "its command failed: its log says why" || !j.State.Ended() {
			t.Errorf("got %+v", j)
		}
		if log := read(t, s.Log); !strings.Contains(log, "because\n") {
			t.Errorf("log %q", log)
		}
	})

	t.Run("unknown", func(t *testing.T) {
		jobs, err := q.Jobs(t.Context(), "99999", "88888")
		if err != nil || len(jobs) != 2 || jobs[0].ID != "99999" || jobs[0].State != Unknown || !jobs[1].State.Ended() {
			t.Errorf("got %+v, %v", jobs, err)
		}
		if jobs, err = q.Jobs(t.Context(), "99999"); err != nil || len(jobs) != 1 || jobs[0].State != Unknown {
			t.Errorf("got %+v, %v", jobs, err)
		}
		if jobs, err = q.Jobs(t.Context()); err != nil || len(jobs) != 0 {
			t.Errorf("got %+v, %v", jobs, err)
		}
		for _, id := range []string{"-u", "", "1 2", "1,2", "$(id)", "--me"} {
			if _, err := q.Jobs(t.Context(), id); err == nil {
				t.Errorf("%q was asked for", id)
			}
			if err := q.Cancel(t.Context(), id); err == nil {
				t.Errorf("%q was cancelled", id)
			}
		}
	})

	t.Run("refused", func(t *testing.T) {
		q := scheduler(t, profile(func(p *anomalymatch.Cluster) { p.Partition = "nope" }), on(b))
		if _, err := q.Submit(t.Context(), sleeper(b, "refused")); err == nil || !strings.Contains(err.Error(), "invalid partition specified: nope") || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v", err)
		}
	})

	t.Run("array", func(t *testing.T) {
		if n, err := q.MaxTasks(t.Context()); err != nil || n != 100 {
			t.Errorf("largest array %d, %v", n, err)
		}
		s := sleeper(b, "array")
		s.Tasks, s.AtOnce = 4, 1
		s.Argv = []string{"sh", "-c", `echo "task $` + TaskVariable + `"; [ "$` + TaskVariable + `" != 2 ] || sleep 600`}
		id := submit(t, q, s)
		jobs := until(t, q, "at the third task", func(jobs []Job) bool { return len(jobs) == 4 && jobs[2].State == Running }, id)
		for n, j := range jobs {
			if j.ID != id || j.Task != n {
				t.Errorf("task %d: %+v", n, j)
			}
		}
		if jobs[1].State != Done || jobs[3].State != Pending || jobs[3].Reason != "as many tasks of the array run as may at once" {
			t.Errorf("got %+v", jobs)
		}
		wait(t, s.Log+".2", "task 2\n")
		if err := q.Cancel(t.Context(), jobs[2].TaskID()); err != nil {
			t.Fatal(err)
		}
		until(t, q, "over", func(jobs []Job) bool { return jobs[2].State == Cancelled && jobs[3].State == Done }, id)
		if j, err := q.Jobs(t.Context(), jobs[2].TaskID()); err != nil || len(j) != 1 || j[0].Task != 2 {
			t.Errorf("got %+v, %v", j, err)
		}
		for n := range 4 {
			if got, want := read(t, s.Log+"."+string(rune('0'+n))), "task "+string(rune('0'+n))+"\n"; !strings.HasPrefix(got, want) {
				t.Errorf("log %d: %q", n, got)
			}
		}
	})

	t.Run("after", func(t *testing.T) {
		first := submit(t, q, sleeper(b, "first"))
		s := sleeper(b, "second")
		s.Argv, s.After = []string{"true"}, first
		second := submit(t, q, s)
		until(t, q, "waiting", func(jobs []Job) bool { return jobs[0].Reason == "waits for another job to end" }, second)
		if err := q.Cancel(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		until(t, q, "done", all(Done), second)
	})

	// The step hears USR1 in time, and TERM when the job is cancelled; it has time to end in its own way.
	t.Run("signals", func(t *testing.T) {
		s := sleeper(b, "signals")
		s.Argv = []string{"sh", "-c", `trap 'echo usr1' USR1; trap 'echo term; sleep 1; echo kept; exit' TERM; echo runs; while :; do sleep 0.1; done`}
		s.Warn, s.Time = 2*time.Minute, time.Minute // Slurm warns at once where the time is shorter
		id := submit(t, q, s)
		wait(t, s.Log, "usr1\n")
		if err := q.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		until(t, q, "cancelled", all(Cancelled), id)
		wait(t, s.Log, "term\n")
		wait(t, s.Log, "kept\n")
	})

	// What goes on after its TERM until it is killed comes back; what ends by itself before counts as done for Slurm.
	t.Run("preempted", func(t *testing.T) {
		s := sleeper(b, "preempted")
		s.Requeue = true
		s.Argv = []string{"sh", "-c", `trap 'echo term' TERM; echo runs; while :; do sleep 0.1; done`}
		ids := []string{submit(t, q, s), submit(t, q, sleeper(b, "stays"))}
		until(t, q, "running", all(Running), ids...)
		wait(t, s.Log, "runs\n")
		urgent := scheduler(t, profile(func(p *anomalymatch.Cluster) {
			p.Partition, p.Extra = "urgent", []string{"--nodelist=" + must(q.Jobs(t.Context(), ids[0]))(t)[0].Node}
		}), on(b))
		u := sleeper(b, "urgent")
		ids = append(ids, submit(t, urgent, u))
		until(t, q, "the urgent job runs and the other one waits", func(jobs []Job) bool { return jobs[0].State == Pending && jobs[2].State == Running }, ids...)
		wait(t, s.Log, "term\n")
		for _, id := range ids {
			if err := q.Cancel(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
		until(t, q, "cancelled", all(Cancelled), ids...)
	})
}

// A job has nothing of who submits it, and what is odd in its name, its folder and its arguments stays text.
func TestSlurmKeepsTextText(t *testing.T) {
	b := testbed.Up(t, testbed.Options{})
	t.Setenv("AM_SECRET", "hunter2")
	t.Setenv("SBATCH_PARTITION", "nope")
	t.Setenv("SBATCH_EXPORT", "ALL")
	t.Setenv("SQUEUE_STATES", "CANCELLED")
	q := scheduler(t, profile(func(p *anomalymatch.Cluster) {
		p.Scratch = "/tmp/$SLURM_JOB_ID/it's $(touch pwned1)"
		p.Extra = []string{"--comment='a b'"}
	}), on(b))
	dir := b.Path("a b'\"$(touch pwned2)`touch pwned3`\n#SBATCH --partition=nope\n%j \\ -x!")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"", "a b", "$(touch pwned4)", "it's", "`x`", "a\nb", "!!", `\`, "\xff", "*", "-n", "é", "%s"}
	s := Spec{Name: "x\n#SBATCH --partition=nope; $(touch pwned5) '\"é", Argv: append([]string{"sh", "-c", `env; echo "TMP $TMPDIR"; [ -d "$TMPDIR" ] && echo there; pwd; printf '<%s>' "$@"`, "sh"}, args...),
		Dir: dir, Log: filepath.Join(dir, "job.log")}
	id := submit(t, q, s)
	j := until(t, q, "done", all(Done), id)[0]
	if j.Name != "x--SBATCH---partition-nope----touch-pwned5-----" {
		t.Errorf("name %q", j.Name)
	}
	log := read(t, s.Log)
	if want := "<" + strings.Join(args, "><") + ">"; !strings.HasSuffix(log, want) {
		t.Errorf("log %q\nends not with %q", log, want)
	}
	for _, want := range []string{"\n" + dir + "\n", "\nTMP /tmp/" + id + "/it's $(touch pwned1)\nthere\n", "\nHOME=/root\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("log %q\nhas no %q", log, want)
		}
	}
	for _, not := range []string{"AM_SECRET", "hunter2", "SBATCH_"} {
		if strings.Contains(log, not) {
			t.Errorf("the job has %s: %q", not, log)
		}
	}
	if st, err := os.Stat(s.Log); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the log is %v, %v", st.Mode(), err)
	}
	text := must(q.Script(s))(t)
	if shown := b.Run(testbed.Login, "scontrol", "write", "batch_script", id, "-"); !strings.Contains(shown, text) || strings.Contains(shown, "hunter2") {
		t.Errorf("Slurm has another script:\n%s", shown)
	}
	err := filepath.WalkDir(b.Dir, func(path string, _ os.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), "pwned") {
			t.Errorf("%q was made", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSlurmTimeout(t *testing.T) {
	if testing.Short() {
		t.Skip("a job's shortest time is a minute")
	}
	t.Parallel()
	b := testbed.Up(t, testbed.Options{})
	q := scheduler(t, profile(func(p *anomalymatch.Cluster) { p.Time = "1" }), on(b))
	id := submit(t, q, sleeper(b, "long"))
	until(t, q, "running", all(Running), id)
	var jobs []Job
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		if jobs = must(q.Jobs(t.Context(), id))(t); jobs[0].State.Ended() {
			break
		}
	}
	if j := jobs[0]; j.State != Timeout || j.Reason != "its time was up" {
		t.Errorf("got %+v", j)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	return string(must(os.ReadFile(path))(t))
}

// wait reads a file until it holds text.
func wait(t *testing.T, path, text string) {
	t.Helper()
	var got []byte
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if got, _ = os.ReadFile(path); strings.Contains(string(got), text) {
			return
		}
	}
	t.Fatalf("%s never holds %q: %q", path, text, got)
}
