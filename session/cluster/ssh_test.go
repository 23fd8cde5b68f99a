package cluster

import (
	"fmt"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/internal/testbed"
)

// Real ssh to real sshd; the nodes share their home folder, as on a cluster.
func TestHosts(t *testing.T) {
	b := testbed.Up(t, testbed.Options{})
	t.Setenv("AM_SECRET", "hunter2")
	b.Run(testbed.Login, "sh", "-c", "printf 'BatchMode yes\n' >>/root/.ssh/config")
	q := scheduler(t, anomalymatch.Cluster{Scheduler: "ssh", Partition: "gpu01,gpu02"}, on(b))

	t.Run("one", func(t *testing.T) {
		s := sleeper(b, "one")
		s.Argv = []string{"sh", "-c", "hostname; env; exit 3"}
		id := submit(t, q, s)
		j := until(t, q, "failed", all(Failed), id)[0]
		if j.ID != id || j.Task != -1 || j.Node != testbed.GPU1 {
			t.Errorf("got %+v", j)
		}
		if log := read(t, s.Log); !strings.HasPrefix(log, "gpu01\n") || strings.Contains(log, "hunter2") {
			t.Errorf("log %q", log)
		}
	})

	t.Run("array", func(t *testing.T) {
		s := sleeper(b, "array")
		s.Tasks = 5
		s.Argv = []string{"sh", "-c", `hostname; echo "it's $` + TaskVariable + `"; [ $` + TaskVariable + ` != 2 ] || sleep 600`}
		id := submit(t, q, s)
		jobs := until(t, q, "held up by the third", func(jobs []Job) bool { return jobs[3].State == Done && jobs[2].State == Running }, id)
		if jobs[0].State != Done || jobs[1].State != Done || jobs[4].State != Pending || jobs[4].Node != testbed.GPU1 || jobs[3].Node != testbed.GPU2 {
			t.Errorf("got %+v", jobs)
		}
		if err := q.Cancel(t.Context(), jobs[2].TaskID()); err != nil {
			t.Fatal(err)
		}
		until(t, q, "over", func(jobs []Job) bool { return jobs[2].State == Cancelled && jobs[4].State == Done }, id)
		for n := range 5 {
			want := fmt.Sprintf("gpu0%d\nit's %d\n", n%2+1, n)
			if got := read(t, fmt.Sprintf("%s.%d", s.Log, n)); got != want {
				t.Errorf("log %d: %q, want %q", n, got, want)
			}
		}
	})

	t.Run("cancelled", func(t *testing.T) {
		s := sleeper(b, "cancelled")
		s.Tasks = 4
		id := submit(t, q, s)
		until(t, q, "running", func(jobs []Job) bool { return jobs[0].State == Running && jobs[1].State == Running }, id)
		wait(t, s.Log+".0", "runs\n")
		if sleepers(b, testbed.GPU1) == "" {
			t.Error("nothing sleeps")
		}
		if err := q.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		until(t, q, "cancelled", all(Cancelled), id)
		until(t, q, "without processes", func([]Job) bool { return sleepers(b, testbed.GPU1)+sleepers(b, testbed.GPU2) == "" }, id)
	})

	t.Run("power cut", func(t *testing.T) {
		id := submit(t, q, sleeper(b, "cut"))
		until(t, q, "running", all(Running), id)
		b.Stop(testbed.GPU1)
		if _, err := q.Jobs(t.Context(), id); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("of a machine that is off: %v", err)
		}
		b.Start(testbed.GPU1)
		if j := until(t, q, "gone", all(Unknown), id)[0]; !strings.Contains(j.Reason, "restarted") {
			t.Errorf("got %+v", j)
		}
	})
}

// sleepers are the processes of a host that came from a sleeper.
func sleepers(b *testbed.Bed, host string) string {
	out, _, _ := b.Try(host, "sh", "-c", "for p in $(ip netns pids $(ip netns identify $$)); do tr '\\0' ' ' </proc/$p/cmdline; echo; done | grep '^sleep 60[0]'")
	return out
}
