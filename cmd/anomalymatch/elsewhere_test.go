package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/cluster"
)

func TestHop(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    rpc.Holder
		by   string
		exe  string
		want string // in the command; "" = refused
	}{
		{"a job", rpc.Holder{Host: "gpu01", Job: "slurm 12"}, "", "/x/am", "srun --unbuffered --overlap --jobid=12"},
		{"a job over ssh", rpc.Holder{Host: "gpu01", Job: "slurm 12"}, "ssh", "/x/am", "gpu01 exec '/x/am' attach --hex 2f70"},
		{"a host", rpc.Holder{Host: "ws-3.lab.example"}, "", "/x y/am", "ws-3.lab.example exec '/x y/am' attach --hex 2f70"},
		{"no job", rpc.Holder{Host: "gpu01"}, "srun", "/x/am", ""},
		{"an option", rpc.Holder{Host: "-oProxyCommand=x"}, "ssh", "/x/am", ""},
		{"an option at the end", rpc.Holder{Host: "gpu01-"}, "ssh", "/x/am", ""},
		{"somebody at", rpc.Holder{Host: "root@gpu01"}, "ssh", "/x/am", ""},
		{"two words", rpc.Holder{Host: "gpu01 rm"}, "ssh", "/x/am", ""},
		{"a line", rpc.Holder{Host: "gpu01\n"}, "ssh", "/x/am", ""},
		{"nothing", rpc.Holder{}, "ssh", "/x/am", ""},
		{"a job that is an option", rpc.Holder{Host: "gpu01", Job: "slurm --bcast"}, "srun", "/x/am", ""},
		{"a program with a quote", rpc.Holder{Host: "gpu01"}, "ssh", "/o'x/am", ""},
		{"another way", rpc.Holder{Host: "gpu01"}, "rsh", "/x/am", ""},
	} {
		cmd, err := hop(tt.h, tt.by, tt.exe, "/p")
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s: runs %q", tt.name, cmd.Args)
			}
			continue
		}
		if err != nil || !strings.Contains(strings.Join(cmd.Args, " "), tt.want) {
			t.Errorf("%s: %v, %v", tt.name, cmd, err)
		}
	}
}

func TestWithoutSlurm(t *testing.T) {
	got := withoutSlurm([]string{"HOME=/h", "SLURM_JOB_ID=1", "SLURM_CONF=/c", "SRUN_DEBUG=3"})
	if !slices.Equal(got, []string{"HOME=/h", "SLURM_CONF=/c"}) {
		t.Error(got)
	}
}

func TestSubmittedByIsTheNewest(t *testing.T) {
	p := &session.Project{Dir: t.TempDir(), Config: anomalymatch.Default()}
	if e, _ := submittedBy(p); e.ID != "" {
		t.Errorf("of a new project: %v", e)
	}
	p.Config.Cluster = map[string]anomalymatch.Cluster{"leo": {Scheduler: "slurm"}}
	for _, e := range []cluster.Entry{{ID: "3", Profile: "leo", Kind: "engine"}, {ID: "6", Profile: "leo", Kind: "engine"}, {ID: "7", Profile: "leo", Kind: "score"}, {ID: "8", Profile: "gone", Kind: "engine"}} {
		if err := cluster.Remember(p.Dir, e); err != nil {
			t.Fatal(err)
		}
	}
	if e, profile := submittedBy(p); e.ID != "6" || profile.Scheduler != "slurm" {
		t.Errorf("it is %v", e)
	}
}

func TestEngineWaits(t *testing.T) {
	now := time.Date(2026, 3, 3, 13, 50, 0, 0, time.Local)
	for _, tt := range []struct {
		job  cluster.Job
		want string
	}{
		{cluster.Job{ID: "12", State: cluster.Pending, Reason: "waits for a node to become free", Start: now.Add(15 * time.Minute)}, "the engine waits as job 12 on leo until about 14:05: waits for a node to become free"},
		{cluster.Job{ID: "12", State: cluster.Pending, Start: now.Add(24 * time.Hour)}, "the engine waits as job 12 on leo until about Wed 13:50"},
		{cluster.Job{ID: "12", State: cluster.Pending, Start: now.Add(-time.Hour)}, "the engine waits as job 12 on leo"},
		{cluster.Job{ID: "12", State: cluster.Running, Node: "gpu\x1b01"}, "the engine's job 12 on leo is running on gpu␛01 and does not answer yet"},
	} {
		if got := engineWaits(tt.job, "leo", now); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
