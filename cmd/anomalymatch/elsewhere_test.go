package main

import (
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/rpc"
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
