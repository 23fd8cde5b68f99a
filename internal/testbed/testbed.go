// Package testbed makes a small cluster on one machine for tests: a laptop, a login node and two GPU nodes in network namespaces, with real sshd and
// Slurm (see testbed.sh). Nothing in it reaches, or can be reached from, outside of those namespaces.
package testbed

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

//go:embed testbed.sh
var script []byte

// The hosts. Laptop sees Login only; its ssh configuration reaches the nodes by ProxyJump.
const (
	Laptop = "laptop"
	Login  = "login"
	GPU1   = "gpu01"
	GPU2   = "gpu02"
)

// Options of a bed; the zero value is a whole cluster whose people have bash.
type Options struct {
	Shell string // login shell on every host
	SSHD  string // more lines for every sshd_config
	Env   string // what ssh logins have in their environment besides: "NAME=value NAME=value"
	// Password is asked for after the key.
	Password string
	Runtime  string // folder of installed runtimes, which every host then has; empty: none is installed
	NoSlurm  bool
}

// Bed is a running cluster.
type Bed struct {
	t      testing.TB
	Dir    string // seen by all hosts at the same place; /tmp and /root are each host's own
	prefix string
	script string
}

var beds atomic.Int64

// Up starts a cluster that lasts as long as the test. Where this is no Linux, or we are not root, or a program is missing, the test is skipped; in CI
// (the variable CI is set) that is a failure.
func Up(t testing.TB, opt Options) *Bed {
	t.Helper()
	if why := missing(opt); why != "" {
		if os.Getenv("CI") != "" {
			t.Fatal("no test bed: " + why)
		}
		t.Skip("no test bed: " + why)
	}
	dir, err := os.MkdirTemp("/var/tmp", "bed-")
	if err != nil {
		t.Fatal(err)
	}
	b := &Bed{t: t, Dir: dir, prefix: fmt.Sprintf("am%d-%d", os.Getpid(), beds.Add(1)), script: filepath.Join(dir, "testbed.sh")}
	if err := os.WriteFile(b.script, script, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := exec.Command("sh", "-c", `tail -n 15 "$0"/log/*`, dir).CombinedOutput()
			t.Logf("the bed's logs:\n%s", logs)
		}
		if out, err := exec.Command("bash", b.script, "down", dir, b.prefix).CombinedOutput(); err != nil {
			t.Logf("the bed did not go down: %v: %s", err, out)
		}
		os.RemoveAll(dir)
	})
	cmd := exec.Command("bash", b.script, "up", dir, b.prefix)
	cmd.Env = append(os.Environ(), "TESTBED_SHELL="+opt.Shell, "TESTBED_SSHD="+opt.SSHD, "TESTBED_ENV="+opt.Env, "TESTBED_RUNTIME="+opt.Runtime, "TESTBED_PASSWORD="+opt.Password)
	if opt.NoSlurm {
		cmd.Env = append(cmd.Env, "TESTBED_NO_SLURM=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the bed does not come up: %v\n%s", err, out)
	}
	return b
}

func missing(opt Options) string {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return "it needs Linux and root"
	}
	programs := []string{"ip", "unshare", "ssh", "/usr/sbin/sshd"}
	if !opt.NoSlurm {
		programs = append(programs, "slurmctld", "slurmd", "sbatch", "munged")
	}
	if opt.Shell != "" {
		programs = append(programs, opt.Shell)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return p + " is not installed (apt-get install openssh-server slurmctld slurmd slurm-client munge iproute2)"
		}
	}
	return ""
}

// Path is a path in Dir.
func (b *Bed) Path(elem ...string) string { return filepath.Join(append([]string{b.Dir}, elem...)...) }

// Home is the home folder of a host, as this process sees it; on the host it is /root.
func (b *Bed) Home(host string) string {
	if host == Laptop {
		return b.Path("home", "laptop")
	}
	return b.Path("home", "cluster")
}

// Argv is what runs argv on a host.
func (b *Bed) Argv(host string, argv ...string) []string {
	return append([]string{"bash", b.script, "on", host, b.Dir, b.prefix}, argv...)
}

// Command is a command on a host, with a clean environment.
func (b *Bed) Command(ctx context.Context, host string, argv ...string) *exec.Cmd {
	argv = b.Argv(host, argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = b.Environ()
	return cmd
}

// Environ is the environment of a person on a host.
func (b *Bed) Environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "USER=root", "LANG=C.UTF-8", "TERM=xterm-256color", "SLURM_CONF=" + b.Path("slurm.conf")}
}

// Run runs a command on a host and returns what it printed; that it fails ends the test.
func (b *Bed) Run(host string, argv ...string) string {
	b.t.Helper()
	out, errs, err := b.Try(host, argv...)
	if err != nil {
		b.t.Fatalf("on %s: %q: %v\n%s%s", host, argv, err, out, errs)
	}
	return out
}

// Try runs a command on a host.
func (b *Bed) Try(host string, argv ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := b.Command(ctx, host, argv...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// Stop kills everything that runs on a host, as a power cut does, and Start boots it again.
func (b *Bed) Stop(host string)  { b.t.Helper(); b.ip("stop", host) }
func (b *Bed) Start(host string) { b.t.Helper(); b.ip("start", host) }

// StartWith boots a host after a command of sh that its daemons see the outcome of, such as a mount.
func (b *Bed) StartWith(host, command string) {
	b.t.Helper()
	b.ip("start", host, "TESTBED_BOOT="+command)
}

func (b *Bed) ip(verb, host string, environ ...string) {
	b.t.Helper()
	cmd := exec.Command("bash", b.script, verb, host, b.Dir, b.prefix)
	cmd.Env = append(os.Environ(), environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("%s %s: %v: %s", verb, host, err, out)
	}
}

// Cable plugs the cable between the laptop and the login node in or pulls it.
func (b *Bed) Cable(plugged bool) {
	b.t.Helper()
	b.network("ip link set eth0 " + map[bool]string{true: "up", false: "down"}[plugged])
}

// Move gives the laptop another address; what was connected from the old one hears nothing any more.
func (b *Bed) Move(address string) {
	b.t.Helper()
	b.network("ip addr flush dev eth0 && ip addr add " + address + "/24 dev eth0")
}

// Shape limits the link between laptop and login node to a rate of tc ("1mbit"), both ways.
func (b *Bed) Shape(rate string) {
	b.t.Helper()
	shape := "tc qdisc replace dev eth0 root tbf rate " + rate + " burst 16kb latency 400ms"
	b.network(shape)
	b.Run(Login, "sh", "-c", shape)
}

func (b *Bed) network(command string) { b.t.Helper(); b.Run(Laptop, "sh", "-c", command) }

// Bytes is how much went over the laptop's link so far, both ways.
func (b *Bed) Bytes() int64 {
	b.t.Helper()
	var sum, n int64
	for _, s := range strings.Fields(b.Run(Laptop, "sh", "-c", "cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/tx_bytes")) {
		fmt.Sscan(s, &n)
		sum += n
	}
	return sum
}

// Pids are the processes on a host whose command line holds all the words.
func (b *Bed) Pids(host string, words ...string) (pids []int) {
	b.t.Helper()
	out, err := exec.Command("ip", "netns", "pids", b.prefix+"-"+host).Output()
	if err != nil {
		b.t.Fatalf("the processes on %s: %v", host, err)
	}
next:
	for _, f := range strings.Fields(string(out)) {
		line, _ := os.ReadFile("/proc/" + f + "/cmdline")
		for _, w := range words {
			if !strings.Contains(string(line), w) {
				continue next
			}
		}
		var pid int
		fmt.Sscan(f, &pid)
		pids = append(pids, pid)
	}
	return pids
}
