package cluster

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch"
)

func TestLedger(t *testing.T) {
	dir := t.TempDir()
	if all, err := Remembered(dir); err != nil || len(all) != 0 {
		t.Errorf("of a new project: %v, %v", all, err)
	}
	a := Entry{ID: "1", Profile: "leo", Kind: KindEngine, At: time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC)}
	b := Entry{ID: "12[].pbs", Profile: "juno", Kind: "score", Tasks: 8, At: a.At.Add(time.Hour)}
	if err := Remember(dir, a); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, ledgerFile)
	if want := `{"id":"1","profile":"leo","kind":"engine","time":"2026-11-24T20:00:00Z"}` + "\n"; read(t, path) != want {
		t.Errorf("got %q, want %q", read(t, path), want)
	}
	if err := os.WriteFile(path, []byte(read(t, path)+`{"id":"2","prof`), 0o600); err != nil { // the disk was full
		t.Fatal(err)
	}
	if err := Remember(dir, b); err != nil {
		t.Fatal(err)
	}
	if all, err := Remembered(dir); err != nil || !slices.Equal(all, []Entry{b, a}) {
		t.Errorf("got %+v, %v", all, err)
	}
	if err := Remember(filepath.Join(dir, "none"), a); err == nil || !strings.Contains(err.Error(), "job 1 was submitted, but cannot be remembered") {
		t.Errorf("got %v", err)
	}
}

// One batch system that cannot be asked does not hide the others; ids of the file go into no command unseen.
func TestOf(t *testing.T) {
	dir := t.TempDir()
	for _, e := range []Entry{{ID: "1", Profile: "leo", Kind: KindEngine}, {ID: "2", Profile: "leo", Kind: KindEngine}, {ID: "-u", Profile: "vela", Kind: KindEngine}, {ID: "3", Profile: "gone", Kind: "score"}} {
		if err := Remember(dir, e); err != nil {
			t.Fatal(err)
		}
	}
	config := anomalymatch.Config{Cluster: map[string]anomalymatch.Cluster{"leo": {Scheduler: "lsf"}, "vela": {Scheduler: "slurm"}}}
	run := func(_ context.Context, _ string, argv ...string) (string, error) {
		if argv[0] != "bjobs" || !slices.Equal(argv[len(argv)-2:], []string{"2", "1"}) {
			t.Errorf("asked %q", argv)
			return "", errors.New("no")
		}
		return `{"RECORDS":[{"JOBID":"1","JOBINDEX":"0","STAT":"RUN"},{"JOBID":"2","JOBINDEX":"0","STAT":"DONE"}]}`, nil
	}
	all, err := Of(t.Context(), dir, config, run, func(Entry) bool { return true })
	if err == nil || !strings.Contains(err.Error(), `"-u" is no job of Slurm`) || !strings.Contains(err.Error(), `no cluster "gone"`) {
		t.Errorf("got %v", err)
	}
	var got []string
	for _, told := range all {
		got = append(got, told.ID, strings.Join(brief(told.Jobs), ";"))
	}
	if want := []string{"3", "", "-u", "", "2", "2/-1 done ", "1", "1/-1 running "}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if engine, err := EngineJob(t.Context(), dir, config, run); err != nil || engine == nil || engine.ID != "1" {
		t.Errorf("engine %+v, %v", engine, err)
	}
}

func TestAttach(t *testing.T) {
	j := Job{ID: "12", Task: 3, Node: "gpu07"}
	argv := []string{"/opt/a b", "attach", "/p/it's"}
	for _, c := range []struct {
		p    anomalymatch.Cluster
		want []string
	}{
		{anomalymatch.Cluster{Scheduler: "slurm", Attach: "ssh"}, []string{"ssh", "-T", "--", "gpu07", `'/opt/a b' attach '/p/it'"'"'s'`}},
		{anomalymatch.Cluster{Scheduler: "slurm", Attach: "srun"}, append([]string{"srun", "--unbuffered", "--overlap", "--jobid=12_3", "--nodes=1", "--ntasks=1", "--gres=none", "--export=HOME,USER,LOGNAME,PATH,LANG,SLURM_CONF", "--quiet", "--"}, argv...)},
		{anomalymatch.Cluster{Scheduler: "kubernetes", Partition: "lab"}, append([]string{"kubectl", "--namespace=lab", "exec", "--stdin", "job/12", "--"}, argv...)},
	} {
		if got := scheduler(t, c.p, nil).Attach(j, argv...); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.p.Scheduler, got, c.want)
		}
	}
}

func TestAbsent(t *testing.T) {
	for _, argv := range [][]string{{"no-such-squeue", "-h"}, {"env", "SLURM_TIME_FORMAT=%s", "no-such-squeue", "-h"}} {
		_, err := Exec(t.Context(), "", argv...)
		if !errors.Is(err, exec.ErrNotFound) || !strings.Contains(err.Error(), "there is no no-such-squeue on this machine") {
			t.Errorf("%q: %v", argv, err)
		}
	}
}
