package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/internal/testbed"
)

// TestMain lets the test's own binary be the program that is brought to hosts.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "at-host" {
		c, err := Decode(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(program(c))
	}
	os.Exit(m.Run())
}

// program is what runs on the host.
func program(c Call) int {
	switch c.Args[0] {
	case "attach": // echoes
		io.WriteString(os.Stdout, rpc.Sentinel)
		io.Copy(os.Stdout, os.Stdin)
	case "args":
		fmt.Printf("%q in %s, settings %q\n", c.Args[1:], first(os.Getwd()), c.Settings)
		fmt.Fprintln(os.Stderr, "to people")
		return 3
	case "wait":
		fmt.Println("waiting")
		io.Copy(io.Discard, os.Stdin)
		os.WriteFile("ended", nil, 0o600)
		return 130
	case "broken":
		fmt.Fprintln(os.Stderr, "no project \x1b[31mhere")
		return 1
	}
	return 0
}

func first(s string, _ error) string { return s }

// host is a host of the bed as its laptop sees it; the test itself runs outside of the bed.
func host(t *testing.T, b *testbed.Bed, name string) *Host {
	t.Helper()
	run := b.Path("run")
	if err := os.MkdirAll(run, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", run)
	programs, err := Programs("1.2.3-test")
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(name, "", programs)
	if err != nil {
		t.Fatal(err)
	}
	h.ssh = b.Argv(testbed.Laptop, "ssh")
	t.Cleanup(h.Forget)
	return h
}

func run(t *testing.T, h *Host, args ...string) (code int, out, errs string, sent int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var o, e bytes.Buffer
	code, err := h.Run(ctx, Call{Args: args}, Streams{Out: &o, Err: &e}, func(n, _ int64) { sent = n })
	if err != nil {
		t.Fatalf("%q: %v\n%s%s", args, err, &o, &e)
	}
	return code, o.String(), e.String(), sent
}

var odd = []string{"", "-x", "a b", "'", `"`, "$(touch /tmp/oops)", "`id`", "line\nfeed", `back\slash`, "!!", "é☃", "*", "~", ";", "%d", "\t"}

func TestEveryShell(t *testing.T) {
	for _, shell := range []string{"/bin/bash", "/bin/dash", "/bin/csh", "/usr/bin/fish"} {
		t.Run(filepath.Base(shell), func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip(shell + " is not installed")
			}
			b := testbed.Up(t, testbed.Options{NoSlurm: true, Shell: shell})
			home := b.Home(testbed.Login)
			for _, rc := range []string{".bashrc", ".profile", ".cshrc", ".config/fish/config.fish"} {
				os.MkdirAll(filepath.Dir(filepath.Join(home, rc)), 0o700)
				if err := os.WriteFile(filepath.Join(home, rc), []byte("echo welcome to the cluster\necho AMX1-0000 ok\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			h := host(t, b, testbed.Login)
			code, out, errs, sent := run(t, h, append([]string{"args"}, odd...)...)
			if want := fmt.Sprintf("%q in /root, settings \"\"\n", odd); out != want {
				t.Errorf("out %q, want %q", out, want)
			}
			if code != 3 || !strings.HasSuffix(errs, "to people\n") || sent == 0 {
				t.Errorf("exit %d, errors %q, %d bytes brought", code, errs, sent)
			}
			if _, _, _, sent := run(t, h, "args"); sent != 0 {
				t.Errorf("brought again: %d bytes", sent)
			}
			if _, err := os.Stat(b.Path("tmp", testbed.Login, "oops")); err == nil {
				t.Error("an argument was run by a shell")
			}
			echo(t, h)
		})
	}
}

// echo sends bytes that terminals and shells might change through an attach.
func echo(t *testing.T, h *Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := h.Dial(ctx, Call{Args: []string{"attach", "project"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := make([]byte, 256<<10)
	for i := range want {
		want[i] = byte(i * 7 / 3)
	}
	go c.Write(want)
	got := make([]byte, len(want))
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("an attach changes bytes: %v", err)
	}
}

// TestPlaces: the program is checked each time, brought again when it was changed, and goes where it can run.
func TestPlaces(t *testing.T) {
	b := testbed.Up(t, testbed.Options{NoSlurm: true, Env: "XDG_CACHE_HOME=/root/cache"})
	h := host(t, b, testbed.Login)
	run(t, h, "args")
	cache := filepath.Join(b.Home(testbed.Login), "cache", "anomalymatch")
	file := filepath.Join(cache, h.programs[0].name())
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o500 {
		t.Fatalf("the program: %v, %v", st, err)
	}
	if st, _ := os.Stat(cache); st.Mode().Perm() != 0o700 {
		t.Errorf("its folder has mode %v", st.Mode())
	}

	// Somebody puts another program there: it must not run.
	evil := "#!/bin/sh\ntouch /root/evil\n"
	os.Chmod(file, 0o700)
	if err := os.WriteFile(file, []byte(evil), 0o700); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(cache, "anomalymatch-0.9-old")
	os.WriteFile(old, nil, 0o500)
	os.Chtimes(old, time.Now(), time.Now().Add(-40*24*time.Hour))
	if _, out, _, sent := run(t, h, "args"); sent == 0 || !strings.Contains(out, "/root") {
		t.Errorf("a changed program was not replaced: %q", out)
	}
	if _, err := os.Stat(filepath.Join(b.Home(testbed.Login), "evil")); err == nil {
		t.Error("a changed program ran")
	}
	if list, _ := os.ReadDir(cache); len(list) != 1 {
		t.Errorf("old programs and parts should be swept: %v", list)
	}

	// A cache folder that runs nothing, and one without room: the next place is taken.
	for _, options := range []string{"noexec", "size=64k"} {
		os.RemoveAll(cache)
		b.Stop(testbed.Login)
		os.MkdirAll(cache, 0o700)
		b.StartWith(testbed.Login, "mount -t tmpfs -o "+options+" bed /root/cache/anomalymatch && chmod 700 /root/cache/anomalymatch")
		h.Forget()
		if code, _, _, sent := run(t, h, "args"); code != 3 || sent == 0 {
			t.Errorf("%s: exit %d, %d bytes", options, code, sent)
		}
		next := filepath.Join(b.Home(testbed.Login), ".anomalymatch")
		if list, _ := os.ReadDir(next); len(list) != 1 {
			t.Errorf("%s: the next place holds %v", options, list)
		}
		os.RemoveAll(next)
	}
}

func TestTroubles(t *testing.T) {
	b := testbed.Up(t, testbed.Options{NoSlurm: true})
	h := host(t, b, testbed.Login)

	if goos, arch, err := h.System(t.Context()); err != nil || goos != runtime.GOOS || arch != runtime.GOARCH {
		t.Errorf("the host is a %s/%s, %v", goos, arch, err)
	}
	code, _, errs, _ := run(t, h, "broken")
	if code != 1 || !strings.Contains(errs, "no project") {
		t.Errorf("a command that fails: exit %d, %q", code, errs)
	}
	if _, err := h.Dial(t.Context(), Call{Args: []string{"attach", "x"}}, nil); err != nil {
		t.Errorf("dial: %v", err)
	}

	// A command is told when the person breaks it off.
	ctx, cancel := context.WithCancel(t.Context())
	ended := filepath.Join(b.Home(testbed.Login), "ended")
	out := writer(func(p []byte) {
		if bytes.Contains(p, []byte("waiting")) {
			cancel()
		}
	})
	if code, err := h.Run(ctx, Call{Args: []string{"wait"}}, Streams{Out: out, Err: io.Discard}, nil); err != nil || code != 130 {
		t.Errorf("broken off: exit %d, %v", code, err)
	}
	if _, err := os.Stat(ended); err != nil {
		t.Error("the command was not told")
	}

	// The kept connection answers without a new login; it can be forgotten.
	if !connected(h) {
		t.Error("no connection is kept")
	}
	if st, err := os.Stat(h.control); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the control socket: %v, %v", st, err)
	}
	h.Forget()
	if connected(h) {
		t.Error("the connection was not forgotten")
	}

	// Another host key: ssh's own words, and no second try.
	known := b.Path("known_hosts")
	good, _ := os.ReadFile(known)
	bad := bytes.Replace(good, []byte("login ssh-ed25519 AAAA"), []byte("other ssh-ed25519 AAAA"), 1)
	other, _ := os.ReadFile(b.Path("gpu01.hk.pub"))
	for name, text := range map[string][]byte{"unknown": bad, "changed": append(slices.Clone(bad), []byte("login "+string(other))...)} {
		os.WriteFile(known, text, 0o600)
		_, err := h.Run(t.Context(), Call{Args: []string{"args"}}, Streams{Out: io.Discard, Err: io.Discard}, nil)
		var e *Error
		if !errors.As(err, &e) || !e.Person || !strings.Contains(e.Said, "ost key verification failed") {
			t.Errorf("%s host key: %v", name, err)
		}
		if _, err := h.Dial(t.Context(), Call{Args: []string{"attach", "x"}}, nil); !errors.As(err, &e) || !e.Person {
			t.Errorf("%s host key: dial: %v", name, err)
		}
	}
	os.WriteFile(known, good, 0o600)

	b.Cable(false)
	_, err := h.Dial(t.Context(), Call{Args: []string{"attach", "x"}}, nil)
	var e *Error
	if !errors.As(err, &e) || e.Person {
		t.Errorf("the cable is pulled: %v", err)
	}
	b.Cable(true)
	if _, err := h.Dial(t.Context(), Call{Args: []string{"attach", "x"}}, nil); err != nil {
		t.Errorf("the cable is back: %v", err)
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestForcedCommand(t *testing.T) {
	b := testbed.Up(t, testbed.Options{NoSlurm: true, SSHD: "ForceCommand echo this account is for backups \x1b[31m"})
	h := host(t, b, testbed.Login)
	_, err := h.Run(t.Context(), Call{Args: []string{"args"}}, Streams{Out: io.Discard, Err: io.Discard}, nil)
	if err == nil || !strings.Contains(err.Error(), "ForceCommand") || !strings.Contains(err.Error(), "for backups") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("run: %v", err)
	}
	if _, err = h.Dial(t.Context(), Call{Args: []string{"attach", "x"}}, nil); err == nil || !strings.Contains(err.Error(), "for backups") {
		t.Errorf("dial: %v", err)
	}
}

// TestForcedWrapper: a ForceCommand that runs what was asked for is no obstacle.
func TestForcedWrapper(t *testing.T) {
	b := testbed.Up(t, testbed.Options{NoSlurm: true, SSHD: `ForceCommand echo logged; sh -c "$SSH_ORIGINAL_COMMAND"`})
	echo(t, host(t, b, testbed.Login))
}

func TestJump(t *testing.T) {
	b := testbed.Up(t, testbed.Options{NoSlurm: true})
	echo(t, host(t, b, testbed.GPU1))
}

func TestNames(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	os.Chmod(os.Getenv("XDG_RUNTIME_DIR"), 0o700)
	for _, name := range []string{"", "-oProxyCommand=touch oops", "a b", "a\nb", "a\x1b[31mb"} {
		if _, err := New(name, "", nil); err == nil {
			t.Errorf("%q is taken for a host", name)
		}
	}
	for _, name := range []string{"hpc", "ada@hpc.example.org", "ssh://ada@hpc:2222", "::1"} {
		h, err := New(name, "a config", nil)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		argv := h.argv(false, false)
		if i := slices.Index(argv, "--"); i != len(argv)-2 || argv[i+1] != name || !slices.Contains(argv, "BatchMode=yes") {
			t.Errorf("%q: %q", name, argv)
		}
	}
}

func TestNoProgram(t *testing.T) {
	h := &Host{Name: "far", programs: []Program{{OS: "linux", Arch: "amd64"}}}
	err := h.bring(t.Context(), answer{"missing", []string{"SunOS", "sun4v"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "far is a SunOS sun4v") {
		t.Errorf("%v", err)
	}
}

func TestAfterMark(t *testing.T) {
	text := "noise AMX1-zz ok\nAMX1-aa ok\nthe output\nAMX1-aa ok\n"
	for n := 1; n <= len(text); n++ { // however it is cut
		var out bytes.Buffer
		a := &afterMark{out: &out, mark: mark("aa")}
		for rest := []byte(text); len(rest) > 0; {
			k := min(n, len(rest))
			a.Write(rest[:k])
			rest = rest[k:]
		}
		if out.String() != "the output\nAMX1-aa ok\n" || a.line != "ok" {
			t.Fatalf("cut by %d: %q, %q", n, out.String(), a.line)
		}
	}
}

// TestScripts: what goes to a login shell is read by sh, and holds nothing that csh or fish would change.
func TestScripts(t *testing.T) {
	p := Program{OS: "linux", Arch: "amd64", SHA256: strings.Repeat("ab", 32), Version: safe("v1.2 'x'!"), Size: 7}
	h := &Host{programs: []Program{p, {OS: "darwin", Arch: "arm64", SHA256: "cd", Version: "1"}}}
	lines := []string{h.runScript(newNonce(), Call{Args: odd, Settings: "[cluster.x]\nhost = 'a!'"})}
	for place := range places {
		lines = append(lines, bringScript(newNonce(), p, place, place > 0))
	}
	for _, line := range lines {
		text, ok := strings.CutPrefix(line, "exec /bin/sh -c '")
		text, ok2 := strings.CutSuffix(text, "'")
		if !ok || !ok2 || strings.ContainsAny(text, "'!\\\n") {
			t.Errorf("not one plain word: %s", line)
		}
		if out, err := exec.Command("sh", "-n", "-c", text).CombinedOutput(); err != nil {
			t.Errorf("%v: %s: %s", err, out, text)
		}
	}
}

// connected says whether a connection is kept and its ssh answers; the line behind it may be dead all the same.
func connected(h *Host) bool {
	if h.control == "" {
		return false
	}
	if _, err := os.Stat(h.control); err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	argv := h.argv(false, false)
	argv = append(argv[:len(argv)-2:len(argv)-2], "-O", "check", "--", h.Name)
	return exec.CommandContext(ctx, argv[0], argv[1:]...).Run() == nil
}
