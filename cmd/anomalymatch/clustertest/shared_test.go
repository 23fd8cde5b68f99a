package clustertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/label"
	"anomalymatch/internal/testbed"
	"anomalymatch/session/journal"
	"anomalymatch/session/verify"
)

// machine is a host that has the folder /tmp/share: the login node on its disk, the others by sshfs from there, each with a mount of its own.
type machine struct {
	b    *bed
	name string
	pid  int // of sshfs, in whose namespaces things run; 0: the login node
}

// command is the program there, as run by a person.
func (m machine) command(ctx context.Context, who string, args ...string) *exec.Cmd {
	run := append([]string{"env", "USER=" + who, "HOME=/root", m.b.exe}, args...)
	if m.pid == 0 {
		return m.b.Command(ctx, m.name, run...)
	}
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(m.pid), "-m", "-n", "-u", "-w", "--"}, run...)...)
	cmd.Env = m.b.Environ()
	return cmd
}

func (m machine) run(who string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(m.b.t.Context(), patience)
	defer cancel()
	out, err := m.command(ctx, who, args...).CombinedOutput()
	return string(out), err
}

// share brings up the hosts and a project in the folder.
func share(t *testing.T) (b *bed, login machine, others []machine) {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("this system has no FUSE: %v", err)
	}
	for _, program := range []string{"sshfs", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(program + " is not installed")
			}
			t.Skip(program + " is not installed (apt-get install sshfs util-linux)")
		}
	}
	b = &bed{Bed: testbed.Up(t, testbed.Options{NoSlurm: true}), t: t}
	b.exe, b.project = b.Path("bin", "anomalymatch"), "/tmp/share/project"
	if out, err := exec.Command("go", "build", "-o", b.exe, "anomalymatch/cmd/anomalymatch").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	params := synth.Defaults()
	params.Size = 32
	if _, err := synth.Write(b.Path("images"), 24, params, nil); err != nil {
		t.Fatal(err)
	}
	for _, home := range []string{b.Home(testbed.Laptop), b.Home(testbed.Login)} {
		if err := os.MkdirAll(filepath.Join(home, ".config", "anomalymatch"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, ".config", "anomalymatch", "config.toml"), []byte("engine.runtime = 'go'\nfast.views = 1\nengine.idle_minutes = 0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login = machine{b, testbed.Login, 0}
	if err := os.Mkdir(b.Path("tmp", "login", "share"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{testbed.Laptop, testbed.GPU1} {
		if err := os.Mkdir(b.Path("tmp", host, "share"), 0o777); err != nil {
			t.Fatal(err)
		}
		mount := b.Command(t.Context(), host, "sshfs", "-f", "login:/tmp/share", "/tmp/share")
		var said strings.Builder
		mount.Stderr = &said
		if err := mount.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { mount.Process.Kill(); mount.Wait() })
		m := machine{b, host, mount.Process.Pid}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			mounts, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", m.pid))
			if strings.Contains(string(mounts), "fuse.sshfs") {
				break
			}
			if time.Now().After(end) {
				if os.Getenv("CI") == "" {
					t.Skip("sshfs mounts nothing here: " + said.String())
				}
				t.Fatal("sshfs mounts nothing: " + said.String())
			}
		}
		others = append(others, m)
	}
	return b, login, others
}

// TestOneFolderManyMachines: people on three machines, two of which have the project by sshfs, label at the same time, start an engine each by mistake,
// and disagree. One engine stays, wherever it was started; every label that was confirmed is there; what they disagree about is told; nothing is damaged.
func TestOneFolderManyMachines(t *testing.T) {
	b, login, others := share(t)
	machines := append([]machine{login}, others...)
	if out, err := login.run("ada", "new", b.project, "--images", b.Path("images")); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	here := b.Path("tmp", "login", "share", "project")

	t.Run("an engine each", func(t *testing.T) {
		for round := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make([]chan error, len(machines))
			for k, m := range machines {
				ended[k] = make(chan error, 1)
				cmd := m.command(ctx, "ada", "engine", b.project)
				cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				go func() { ended[k] <- cmd.Wait() }()
			}
			time.Sleep(10 * time.Second) // longer than engines need to find out
			var live []string
			for k, m := range machines {
				select {
				case err := <-ended[k]:
					ended[k] <- err
				default:
					live = append(live, m.name)
				}
			}
			if len(live) != 1 {
				t.Errorf("round %d: engines on %q", round, live)
			}
			// While one runs, nobody starts another, wherever.
			for _, m := range machines {
				if len(live) == 1 && m.name != live[0] {
					if out, err := m.run("bob", "engine", b.project); err == nil || !strings.Contains(out, "runs already on "+live[0]) {
						t.Errorf("round %d: a second engine on %s: %v, %s", round, m.name, err, out)
					}
				}
			}
			cancel()
			for k, m := range machines {
				select {
				case <-ended[k]:
				case <-time.After(patience):
					t.Fatalf("round %d: the engine on %s does not end", round, m.name)
				}
			}
			if t.Failed() {
				return
			}
		}
	})

	t.Run("labels", func(t *testing.T) {
		const each = 8
		var wg sync.WaitGroup
		var mu sync.Mutex
		confirmed := map[string]map[string]label.Value{} // writer → image → label
		for k, m := range machines {
			for p, who := range []string{"ada", "bob"} {
				wg.Go(func() {
					writer := who + "-" + m.name
					for i := range each {
						v := label.Anomaly
						if (i+k+p)%2 == 0 {
							v = label.Normal
						}
						id := fmt.Sprintf("g%06d.jpg", 1+i)
						file := filepath.Join(b.Path("bin"), fmt.Sprintf("%s-%d.csv", writer, i))
						text := "filename,label\n" + id + "," + string(v) + "\n"
						if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
							t.Error(err)
							return
						}
						out, err := m.run(who, "labels", "merge", b.project, file, "--by", writer)
						if err != nil {
							t.Errorf("%s: %v: %s", writer, err, out)
							return
						}
						mu.Lock()
						if confirmed[writer] == nil {
							confirmed[writer] = map[string]label.Value{}
						}
						confirmed[writer]["images/"+id] = v
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		j, err := journal.Open(filepath.Join(here, "labels"), "reader")
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		said := map[string]map[string]label.Value{}
		for _, e := range j.History("", 0) {
			if said[e.By] == nil {
				said[e.By] = map[string]label.Value{}
			}
			said[e.By][e.ID] = e.To
		}
		for writer, labels := range confirmed {
			for id, v := range labels {
				if got, ok := said[writer][id]; !ok || got != v {
					t.Errorf("%s said %s of %s, and the journal has %q", writer, v, id, got)
				}
			}
		}
		if len(j.Current()) != each {
			t.Errorf("%d images are labelled", len(j.Current()))
		}
		want := j.Current()
		for _, m := range machines { // everybody sees the same
			deadline := time.Now().Add(30 * time.Second) // what a mount may show late
			for {
				out, err := m.run("carl", "labels", "export", b.project)
				if err != nil {
					t.Fatalf("%s: %v: %s", m.name, err, out)
				}
				got := map[string]label.Value{}
				for line := range strings.Lines(out) {
					if f := strings.Split(strings.TrimSpace(line), ","); len(f) >= 2 && strings.HasPrefix(f[0], "images/") {
						got[f[0]] = label.Value(f[1])
					}
				}
				if maps.Equal(got, want) {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("%s sees %v, want %v\n%s", m.name, got, want, out)
					break
				}
				time.Sleep(time.Second)
			}
		}
		out, err := others[0].run("ada", "labels", "agreement", b.project)
		if err != nil || !strings.Contains(out, "ada-login anomaly") || !strings.Contains(out, "; in force: ") {
			t.Errorf("what they disagree about: %v, %s", err, out)
		}
	})

	for _, m := range machines {
		out, err := m.run("ada", "verify", b.project)
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) || err != nil || !strings.Contains(out, "all whole") {
			t.Errorf("on %s: %v: %s", m.name, err, out)
		}
	}
	if r, err := verify.Check(t.Context(), here, func(string, int64, int64) {}); err != nil || len(r.Findings) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
