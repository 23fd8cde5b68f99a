package injob

import (
	"testing"
	"time"
)

func TestHere(t *testing.T) {
	for _, tt := range []struct{ id, node, want string }{
		{"", "", ""},
		{"1234", "gpu01", "1234"},
		{"1234", "", ""}, // salloc on the login node
		{"12;rm", "gpu01", ""},
		{"-1", "gpu01", ""},
		{"99999999999999999999999", "gpu01", ""},
	} {
		t.Setenv("SLURM_JOB_ID", tt.id)
		t.Setenv("SLURMD_NODENAME", tt.node)
		if got := Here(); got != Job(tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestParse(t *testing.T) {
	if j, ok := Parse(Job("17").Name()); !ok || j != "17" {
		t.Errorf("%q, %v", j, ok)
	}
	for _, name := range []string{"", "17", "slurm", "slurm ", "slurm -o x", "slurm 1 2", "pbs 17", "slurm 1\n"} {
		if j, ok := Parse(name); ok {
			t.Errorf("%q is taken for job %q", name, j)
		}
	}
}

func TestPreempted(t *testing.T) {
	for text, want := range map[string]bool{
		"": false,
		"JobId=4 JobState=RUNNING PreemptEligibleTime=2026-11-24T20:23:07 PreemptTime=None SuspendTime=None":                           false,
		"JobId=4 JobName= PreemptTime=None PreemptEligibleTime=2026-11-24T20:23:07 PreemptTime=2026-11-24T20:23:10 SuspendTime=None":   true,
		"JobId=4 JobName= PreemptTime=2026-11-24T20:23:10 x PreemptEligibleTime=2026-11-24T20:23:07 PreemptTime=None SuspendTime=None": false,
	} {
		if got := preempted(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestEnd(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Time
		bad  bool
	}{
		{"2026-11-24T20:06:05\n", time.Date(2026, 11, 24, 20, 6, 5, 0, time.UTC), false},
		{"", time.Time{}, false},
		{"N/A\n", time.Time{}, false},
		{"tomorrow\x1b[31m", time.Time{}, true},
	} {
		got, err := end(tt.text)
		if !got.Equal(tt.want) || (err != nil) != tt.bad {
			t.Errorf("%q: %v, %v", tt.text, got, err)
		}
	}
}
