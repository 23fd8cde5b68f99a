//go:build linux

package scenario

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"anomalymatch/internal/testbed"
	"anomalymatch/internal/testdata"
	"anomalymatch/tui/tuitest"
)

// newFar makes a project on a host of a bed, of the shared sky or of other images. Everything lies in the bed's folder, which all hosts and this process see.
func newFar(t *testing.T, host string, opt testbed.Options, images ...string) *project {
	t.Helper()
	if plugin != "" {
		opt.Runtime = filepath.Dir(plugin)
	}
	b := testbed.Up(t, opt)
	from, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	p := &project{t: t, dir: b.Path("project"), exe: b.Path("anomalymatch"), bed: b, host: host}
	for _, image := range images {
		if err := errors.Join(os.MkdirAll(b.Path("sky"), 0o777), copyFile(image, b.Path("sky", filepath.Base(image)))); err != nil {
			t.Fatal(err)
		}
	}
	if len(images) == 0 {
		for folder, to := range map[string]string{filepath.Join(work, "sky"): b.Path("sky"), filepath.Join(from, "embeddings"): filepath.Join(p.dir, "embeddings")} {
			if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.MkdirAll(p.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(program, p.exe); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "project.toml"), []byte(settings{sky: b.Path("sky")}.text()), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(p.dir, "engine.log")); err == nil && t.Failed() {
			t.Logf("engine.log:\n%s", log)
		}
		if log, err := os.ReadFile(filepath.Join(b.Home(testbed.Laptop), ".local/state/anomalymatch/tui.log")); err == nil && t.Failed() {
			t.Logf("tui.log:\n%s", log)
		}
	})
	return p
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}

// delivered waits until so many steps are in the project's journal.
func (p *project) delivered(n int) {
	p.t.Helper()
	steps := map[string]bool{}
	for deadline := time.Now().Add(patience); len(steps) < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%d of %d steps of labelling were delivered after %v", len(steps), n, patience)
		}
		for _, e := range p.events() {
			steps[e.UID] = true
		}
	}
	p.once(n)
}

// onLaptop is the program at the laptop's terminal.
func (p *project) onLaptop(args ...string) sitting {
	p.t.Helper()
	return p.onLaptopIn(100, 30, args...)
}

func (p *project) onLaptopIn(cols, rows int, args ...string) sitting {
	p.t.Helper()
	argv := p.bed.Argv(testbed.Laptop, append([]string{p.exe}, args...)...)
	return sitting{tuitest.Start(p.t, tuitest.Options{Cols: cols, Rows: rows, Patience: trained, Env: p.bed.Environ()[1:]}, argv...), p}
}

// far opens the project from the laptop and waits for its first picture.
func (p *project) far() (s sitting, took time.Duration) {
	p.t.Helper()
	begin := time.Now()
	s = p.onLaptop("-H", p.host, p.dir)
	s.selected()
	return s, time.Since(begin)
}

const noLink = "no link to "

// TestFar: a person labels from the laptop whatever becomes of link, engine and host. Nothing is lost, nothing is there twice.
func TestFar(t *testing.T) {
	t.Parallel()
	p := newFar(t, testbed.Login, testbed.Options{NoSlurm: true})
	b := p.bed
	steps := 0
	label := func(s sitting, keys ...string) {
		t.Helper()
		s.label(keys...)
		steps += len(keys)
	}
	back := func(s sitting, repaired time.Time) {
		t.Helper()
		p.delivered(steps)
		s.WaitGone(noLink).WaitGone("no link")
		took := time.Since(repaired)
		t.Logf("reattached %.1f s after the repair", took.Seconds())
		if took > 20*time.Second {
			t.Errorf("reattached only after %v", took)
		}
	}
	kill := func(host string, words ...string) {
		t.Helper()
		pids := b.Pids(host, words...)
		if len(pids) == 0 {
			t.Fatalf("nothing on %s has %q", host, words)
		}
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}

	s, took := p.far()
	t.Logf("first picture after %.2f s, the program brought there and the engine started", took.Seconds())
	label(s, "a", "x")
	s.quit()
	p.delivered(steps)
	if s, took = p.far(); b.Pids(testbed.Login, "at-host") == nil {
		t.Error("no attach on the login node")
	}
	t.Logf("first picture after %.2f s over the kept connection", took.Seconds())

	t.Run("nothing listens but sshd", func(t *testing.T) {
		for host, want := range map[string]int{testbed.Laptop: 0, testbed.Login: 2} { // sshd's, for IPv4 and IPv6
			n := 0
			for line := range strings.Lines(b.Run(host, "cat", "/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6")) {
				if f := strings.Fields(line); len(f) > 3 && (f[3] == "0A" || f[3] == "07") { // TCP_LISTEN, and every bound UDP socket
					n++
					if host == testbed.Laptop || !strings.HasSuffix(f[1], ":0016") {
						t.Errorf("on %s somebody listens: %s", host, line)
					}
				}
			}
			if n != want {
				t.Errorf("%d listeners on %s, want %d", n, host, want)
			}
		}
	})
	t.Run("ssh is killed", func(t *testing.T) {
		kill(testbed.Laptop, "at-host")
		label(s, "a", "x")
		back(s, time.Now())
	})
	t.Run("the kept connection is killed", func(t *testing.T) {
		kill(testbed.Laptop, "[mux]")
		label(s, "a", "x")
		back(s, time.Now())
	})
	t.Run("the attach is killed", func(t *testing.T) {
		kill(testbed.Login, "at-host")
		label(s, "a", "x")
		back(s, time.Now())
	})
	t.Run("the engine is killed", func(t *testing.T) {
		p.kill()
		label(s, "a", "x")
		back(s, time.Now())
	})
	t.Run("the cable is pulled for 20 seconds", func(t *testing.T) {
		pictures(s)
		b.Cable(false)
		cut := time.Now()
		label(s, "a", "x")
		s.WaitFor(noLink)
		if took := time.Since(cut); took > 15*time.Second {
			t.Errorf("the screen says so only after %v", took)
		} else {
			t.Logf("the screen says so after %.1f s", took.Seconds())
		}
		s.WaitFor("on this machine")
		label(s, "x")
		time.Sleep(time.Until(cut.Add(20 * time.Second)))
		b.Cable(true)
		back(s, time.Now())
	})
	t.Run("the laptop gets another address", func(t *testing.T) {
		pictures(s)
		b.Move("10.99.1.7")
		moved := time.Now()
		label(s, "a", "x")
		s.WaitFor(noLink)
		back(s, moved)
	})
	t.Run("the login node is restarted", func(t *testing.T) {
		pictures(s)
		b.Stop(testbed.Login)
		label(s, "a")
		s.WaitFor(noLink)
		label(s, "x")
		b.Start(testbed.Login)
		back(s, time.Now())
	})

	t.Run("the terminal dies with labels that were not delivered", func(t *testing.T) {
		pictures(s)
		b.Cable(false)
		s.WaitFor(noLink)
		label(s, "a", "x")
		kill(testbed.Laptop, "anomalymatch", "-H")
		s.Exit()
		b.Cable(true)
		s, _ = p.far()
		p.delivered(steps)
		s.quit()
	})
	t.Run("ten attaches at once", func(t *testing.T) {
		p.runs("stop", p.dir)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if out, err := b.Command(ctx, testbed.Laptop, p.exe, "-H", testbed.Login, "score", p.dir, "--by", "novelty", "--top", "1").CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		all.Wait()
		if n := len(b.Pids(testbed.Login, "engine\x00"+p.dir)); n != 1 {
			t.Errorf("%d engines run", n)
		}
	})
	p.runs("stop", p.dir)
}

// TestFarAway: over ProxyJump, to a node that goes down for a while.
func TestFarAway(t *testing.T) {
	t.Parallel()
	p := newFar(t, testbed.GPU1, testbed.Options{NoSlurm: true})
	s, _ := p.far()
	s.label("a", "x")
	pictures(s)
	p.bed.Stop(testbed.GPU1)
	s.WaitFor(noLink + testbed.GPU1)
	s.label("a", "x")
	p.bed.Start(testbed.GPU1)
	repaired := time.Now()
	p.delivered(4)
	s.WaitGone(noLink).WaitGone("no link")
	if took := time.Since(repaired); took > 20*time.Second {
		t.Errorf("reattached only after %v", took)
	}
	s.Press("ctrl+t").WaitFor("● training").WaitFor("● idle").WaitFor("joint: ")
	s.label("x")
	p.delivered(5)
	s.quit()
	// The same without a screen, from a command line at the laptop.
	from := *p
	from.host = testbed.Laptop
	out, errs, code := from.runs("-H", testbed.GPU1, "score", p.dir, "--by", "deep", "--top", "3")
	if code != 0 || !strings.Contains(out, "120 images by the deep ranking") {
		t.Errorf("score: exit %d\n%s%s", code, out, errs)
	}
	p.runs("stop", p.dir)
}

// TestOverASlowLink: real galaxies over a megabit a second. How long things take is printed; how many bytes go over the link is held to.
func TestOverASlowLink(t *testing.T) {
	galaxies, err := filepath.Glob(filepath.Join(testdata.Shared(t, "data/galaxies/images"), "*"))
	if err != nil || len(galaxies) < 300 {
		t.Fatalf("%d galaxies: %v", len(galaxies), err)
	}
	p := newFar(t, testbed.Login, testbed.Options{NoSlurm: true}, galaxies[:300]...)
	b := p.bed
	s, _ := p.far() // brings the program
	s.WaitFor("novelty").WaitFor("● idle")
	s.quit()
	uncached := func() {
		if err := os.RemoveAll(filepath.Join(b.Home(testbed.Laptop), ".cache")); err != nil { // its pictures
			t.Fatal(err)
		}
	}
	uncached()
	s, warm := p.far()
	s.quit()
	for _, pid := range b.Pids(testbed.Laptop, "[mux]") {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	uncached()
	s, cold := p.far()
	s.quit()
	t.Logf("without a limit: first picture after %.2f s over a kept connection, %.2f s over a new one", warm.Seconds(), cold.Seconds())
	uncached()
	b.Shape("1mbit")
	from, begin := b.Bytes(), time.Now()
	s = p.onLaptopIn(160, 50, "-H", p.host, p.dir)
	s.selected()
	first := time.Since(begin)
	s.Wait("a page of pictures", func(string) bool { return s.pictured(12) })
	t.Logf("first picture after %.2f s, a page of 12 after %.2f s and %d kB", first.Seconds(), time.Since(begin).Seconds(), (b.Bytes()-from)/1000)
	var slowest time.Duration
	const n = 100
	for i := range n {
		s.selected()
		pressed := time.Now()
		s.label([]string{"a", "x"}[i%2])
		slowest = max(slowest, time.Since(pressed))
	}
	p.delivered(n)
	each := (b.Bytes() - from) / n
	t.Logf("the slowest of %d keys took %.2f s from key to badge; %d kB a labelled image, its picture and the new order with it", n, slowest.Seconds(), each/1000)
	if each > 30_000 {
		t.Errorf("a labelled image costs %d bytes", each)
	}
	s.quit()
	p.runs("stop", p.dir)
}

// pictures waits for those around the selected one, which are what can be labelled when the link is gone.
func pictures(s sitting) {
	s.p.t.Helper()
	s.Wait("the pictures of the page", func(string) bool { return s.pictured(8) })
}

// pictured tells whether so many cells show their picture.
func (s sitting) pictured(n int) bool {
	for i := range n {
		if !s.Drawn(i) {
			return false
		}
	}
	return true
}

// TestSigningInAgain: a host that asks for something makes the screen stop and hand over the terminal.
func TestSigningInAgain(t *testing.T) {
	t.Parallel()
	p := newFar(t, testbed.Login, testbed.Options{NoSlurm: true})
	s, _ := p.far()
	known := p.bed.Path("known_hosts")
	good, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(known, []byte(strings.ReplaceAll(string(good), "login ", "elsewhere ")), 0o600)
	for _, words := range []string{"[mux]", "at-host"} {
		for _, pid := range p.bed.Pids(testbed.Laptop, words) {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	s.WaitFor("signs in again").WaitFor("Host key verification failed")
	s.label("a", "x")
	if n := strings.Count(p.bed.Run(testbed.Laptop, "sh", "-c", "ps ax -o args | grep -c '[a]t-host' || true"), "ssh"); n != 0 {
		t.Errorf("%d attempts go on", n)
	}
	os.WriteFile(known, good, 0o600)
	s.Press("C").WaitGone("signs in again")
	p.delivered(2)
	s.quit()
	p.runs("stop", p.dir)
}

func TestDoctorThere(t *testing.T) {
	t.Parallel()
	p := newFar(t, testbed.Login, testbed.Options{NoSlurm: true})
	if err := os.WriteFile(filepath.Join(p.bed.Home(testbed.Login), ".bashrc"), []byte("echo welcome\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.host = testbed.Laptop // where commands run
	out, errs, code := p.runs("doctor", "-H", testbed.Login, p.dir)
	for _, want := range []string{"✓ ssh to login", "works", "the shell there says: welcome", "brought there", "processor", "socket"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("no %q (exit %d):\n%s%s", want, code, out, errs)
		}
	}
	if out, _, _ := p.runs("doctor", "-H", "nobody-knows"); !strings.Contains(out, "✗ ssh to nobody-knows") || !strings.Contains(out, "try `ssh nobody-knows`") {
		t.Errorf("a host that is not there:\n%s", out)
	}
	// Whatever a command is given arrives there as it is, and its exit code comes back.
	if _, errs, code := p.runs("-H", testbed.Login, "status", "$(touch oops) it's"); code != 1 || !strings.Contains(errs, "$(touch oops) it's is no project") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if out, errs, code := p.runs("labels", "export", p.dir, "-H", testbed.Login); code != 0 || !strings.HasPrefix(out, "filename,label\n") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

// TestInstallThere: a wheel goes from here to the host over ssh, and is checked there.
func TestInstallThere(t *testing.T) {
	t.Parallel()
	p := &project{t: t, bed: testbed.Up(t, testbed.Options{NoSlurm: true}), host: testbed.Laptop}
	p.exe = p.bed.Path("anomalymatch")
	if err := copyFile(program, p.exe); err != nil {
		t.Fatal(err)
	}
	wheel := p.bed.Path("some.whl")
	if err := os.WriteFile(wheel, []byte("no wheel"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := p.runs("runtime", "install", "cpu", "-H", testbed.Login, "--from", wheel); code != 1 || !strings.Contains(errs, "is not the file that this program knows") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(p.bed.Home(testbed.Login), ".cache/anomalymatch/part-*")); len(left) > 0 {
		t.Errorf("left on the host: %v", left)
	}
}

// TestPassword: a host that asks for more than a key gets the terminal, once; everything after that goes over the kept connection.
func TestPassword(t *testing.T) {
	t.Parallel()
	p := newFar(t, testbed.Login, testbed.Options{NoSlurm: true, Password: "open sesame"})
	s := p.onLaptop("-H", p.host, p.dir)
	s.WaitFor("Permission denied").WaitFor("root@login's password:").Type("open sesame").Press("enter")
	s.selected()
	s.label("a", "x")
	p.delivered(2)
	// ssh to the host is killed: the connection that is kept serves on, nobody is asked.
	for _, pid := range p.bed.Pids(testbed.Laptop, "at-host") {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	s.label("x")
	p.delivered(3)
	// The kept connection is gone: only the person can help, and labelling goes on meanwhile.
	for _, pid := range p.bed.Pids(testbed.Laptop, "[mux]") {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	s.WaitFor("signs in again")
	s.label("a")
	s.Press("C").Wait("another question", func(screen string) bool { return strings.Count(screen, "password:") == 2 }) // below the first one
	s.Type("open sesame").Press("enter")
	s.WaitFor("candidates").WaitGone("signs in again")
	p.delivered(4)
	s.quit()
	log, err := os.ReadFile(filepath.Join(p.bed.Home(testbed.Laptop), ".local/state/anomalymatch/tui.log"))
	if err == nil && strings.Contains(string(log), "sesame") {
		t.Error("the password is in the log")
	}
	p.runs("stop", p.dir)
}
