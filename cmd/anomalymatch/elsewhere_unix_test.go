//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/cluster"
)

// TestHopToAPod: an engine in a batch system other than Slurm is reached as that has it. kubectl is a stand-in that knows one job.
func TestHopToAPod(t *testing.T) {
	dir := t.TempDir()
	script := `#!/bin/sh
case "$*" in
"--namespace=lens get pods --selector=job-name in (anomalymatch-rings-x7) --output=json")
echo '{"items":[{"metadata":{"labels":{"job-name":"anomalymatch-rings-x7"}},"spec":{"nodeName":"n1"},"status":{"phase":"Running"}}]}';;
*) echo "kubectl does not know: $*" >&2; exit 1;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c := anomalymatch.Default()
	if err := c.Overlay("test", []byte("[cluster.k]\nscheduler = \"kubernetes\"\npartition = \"lens\"\nextra = [\"image=am\"]\n"), nil); err != nil {
		t.Fatal(err)
	}
	p := &session.Project{Dir: t.TempDir(), Config: c}
	if err := cluster.Remember(p.Dir, cluster.Entry{ID: "anomalymatch-rings-x7", Profile: "k", Kind: cluster.KindEngine, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	cmd, err := finder(p).Hop(rpc.Holder{Host: "anomalymatch-rings-x7-abcde", PID: 1}, "/p")
	if err != nil {
		t.Fatal(err)
	}
	exe, _ := os.Executable()
	if got, want := strings.Join(cmd.Args, " "), "kubectl --namespace=lens exec --stdin job/anomalymatch-rings-x7 -- "+exe+" attach --hex 2f70"; got != want {
		t.Errorf("runs %s, want %s", got, want)
	}
}
