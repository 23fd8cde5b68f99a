package scenario

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest"
)

// A sitting with all that engines do: no process of it ever has a network socket, its Unix sockets are closed to others, and what is secret in its
// environment is written nowhere.
func TestASittingKeepsToItself(t *testing.T) {
	p := newProject(t, settings{})
	for _, part := range []string{"index", "embeddings"} { // the engine is to make them
		if err := os.RemoveAll(filepath.Join(p.dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	secret := "token-" + rand.Text()
	env := "SCENARIO_API_TOKEN=" + secret
	w := watch(t, secret)

	s := p.open(tuitest.Options{Patience: trained, Env: []string{env}})
	s.WaitFor("novelty")
	p.until("the embeddings", func(now status) bool { return now.Embedded && now.State == "idle" })
	engine := p.holder()
	s.label("a", "x", "space", "a", "x")
	s.Press("u", "ctrl+t").WaitFor("● training")

	attach := p.command("attach", p.dir)
	attach.Env = append(attach.Env, env)
	c, err := rpc.NewClient(func(ctx context.Context) (net.Conn, error) { return rpc.DialProcess(ctx, attach) })
	if err != nil {
		t.Fatal(err)
	}
	hello, err := c.Hello(t.Context(), &rpc.HelloRequest{})
	if err != nil || int(hello.Pid) != engine {
		t.Errorf("over attach engine %d answered, want %d: %v", hello.GetPid(), engine, err)
	}
	s.WaitFor("● idle").WaitFor("joint: ")
	w.until("attach to be looked at", func() bool { return w.saw(attach.Process.Pid) })
	if err := c.Close(); err != nil {
		t.Error(err)
	}

	score := p.command("score", p.dir, "--out", filepath.Join(p.home, "scores.csv"))
	score.Env = append(score.Env, env)
	if out, err := score.CombinedOutput(); err != nil {
		t.Errorf("score: %v\n%s", err, out)
	}
	s.quit()
	w.until("the engine to be looked at again", func() bool { return w.saw(engine) })
	w.end()
	if !w.saw(engine) || len(w.seen) < 3 {
		t.Errorf("looked at processes %v; the engine is %d, and there were the screen, attach and score besides", w.seen, engine)
	}
	if !w.listens {
		t.Error("the engine's own socket was not seen, so others may have been missed")
	}

	looked := 0
	for _, dir := range []string{p.dir, p.home, os.Getenv("XDG_RUNTIME_DIR")} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s holds a secret of the environment", path)
			}
			looked++
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{filepath.Join(p.home, "state"), os.Getenv("XDG_RUNTIME_DIR")} {
		closed(t, dir)
	}
	if info, err := os.Stat(filepath.Join(p.dir, "engine.log")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("engine.log can be read by others: %v, %v", info.Mode(), err)
	}
	if log, err := os.ReadFile(filepath.Join(p.dir, "engine.log")); err != nil || len(log) == 0 || looked < 8 {
		t.Errorf("%d files were looked through; engine.log has %d bytes, %v", looked, len(log), err)
	}
}

// closed checks that nobody else can come to what the program keeps of a person: every file of its folders for state and sockets is 0600, or below a folder of 0700 that is
// the program's.
func closed(t *testing.T, dir string) {
	t.Helper()
	ours := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "anomalymatch" {
			if ours++; info.Mode().Perm()&0o077 == 0 {
				return fs.SkipDir
			}
		}
		if parts := strings.Split(path, "/"); slices.Contains(parts[:len(parts)-1], "anomalymatch") && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || ours == 0 {
		t.Errorf("%s has %d folders of ours: %v", dir, ours, err)
	}
}

// watcher looks again and again at all processes that have a secret in their environment.
type watcher struct {
	t      *testing.T
	secret []byte
	others map[string]int // how often a process was seen to be none of ours
	end    func()         // looks no more

	mu      sync.Mutex
	seen    map[int]int // how often, by process
	told    map[string]bool
	listens bool // a process has a Unix socket that listens
}

func watch(t *testing.T, secret string) *watcher {
	w := &watcher{t: t, secret: []byte(secret), others: map[string]int{}, seen: map[int]int{}, told: map[string]bool{}}
	stop := make(chan struct{})
	var done sync.WaitGroup
	w.end = sync.OnceFunc(func() { close(stop); done.Wait() })
	t.Cleanup(w.end)
	done.Go(func() {
		for {
			w.look()
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return w
}

func (w *watcher) saw(pid int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[pid] > 0
}

// until waits for what the next looks bring.
func (w *watcher) until(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

func (w *watcher) look() {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range all {
		if w.others[file] > 9 { // not at once: between fork and exec a process has its parent's environment
			continue
		}
		if env, _ := os.ReadFile(file); !bytes.Contains(env, w.secret) {
			w.others[file]++
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if bytes.Contains(argv, w.secret) {
			w.tell("process %d has a secret among its arguments", pid)
		}
		network, unix := sockets(pid)
		for _, s := range network {
			w.tell("process %d (%s) has a network socket: %s", pid, bytes.ReplaceAll(argv, []byte{0}, []byte(" ")), s)
		}
		for _, path := range unix {
			w.private(pid, path)
		}
		w.mu.Lock()
		w.seen[pid]++
		w.listens = w.listens || len(unix) > 0
		w.mu.Unlock()
	}
}

// private checks a Unix socket that listens: 0600 in a folder of 0700 that is ours.
func (w *watcher) private(pid int, path string) {
	if !filepath.IsAbs(path) {
		w.tell("process %d listens on the socket %q, which no folder protects", pid, path)
		return
	}
	sock, err := os.Lstat(path)
	dir, err2 := os.Lstat(filepath.Dir(path))
	if err != nil || err2 != nil {
		return // it is going, or coming
	}
	if dir.Mode() != fs.ModeDir|0o700 || int(dir.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
		w.tell("the folder of the socket %s has mode %v", path, dir.Mode())
	}
	if sock.Mode() != fs.ModeSocket|0o600 {
		w.tell("the socket %s has mode %v", path, sock.Mode())
	}
}

func (w *watcher) tell(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.told[text] {
		w.told[text] = true
		w.t.Error(text)
	}
}

// sockets are the network sockets of a process, in any state, and the names of the Unix sockets on which it listens.
func sockets(pid int) (network, unix []string) {
	inodes := map[string]bool{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, "socket:[") {
			inodes[strings.Trim(to, "socket:[]")] = true
		}
	}
	for _, kind := range []string{"tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6"} {
		for _, f := range table(pid, kind) {
			if len(f) > 9 && inodes[f[9]] {
				network = append(network, fmt.Sprintf("%s %s, state %s", kind, f[1], f[3]))
			}
		}
	}
	for _, f := range table(pid, "unix") {
		const accepts = 0x10000
		if flags, _ := strconv.ParseUint(f[3], 16, 64); len(f) > 7 && flags&accepts != 0 && inodes[f[6]] {
			unix = append(unix, f[7])
		}
	}
	return network, unix
}

// table is a file of /proc/PID/net without its first line, in words.
func table(pid int, name string) (rows [][]string) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name))
	for i, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) > 6 {
			rows = append(rows, f)
		}
	}
	return rows
}

// The eyes of the tests above: they see what is there.
func TestSockets(t *testing.T) {
	before, _ := sockets(os.Getpid())
	listens, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listens.Close()
	packets, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		packets, err = net.ListenPacket("udp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	path := filepath.Join(work, "eye.sock")
	u, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	network, unix := sockets(os.Getpid())
	if len(network) != len(before)+2 || !strings.Contains(strings.Join(network, "; "), fmt.Sprintf(":%04X, state 0A", listens.Addr().(*net.TCPAddr).Port)) ||
		!strings.Contains(strings.Join(network, "; "), fmt.Sprintf(":%04X", packets.LocalAddr().(*net.UDPAddr).Port)) {
		t.Errorf("before: %q, with a TCP and a UDP socket: %q", before, network)
	}
	if !slices.Contains(unix, path) {
		t.Errorf("%s is not among %q", path, unix)
	}
}

// A folder for sockets that somebody else may have put there is used by nobody.
func TestTheSocketFolderOfSomebodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		make func(dir string) error
		want string
	}{
		"a link":           {func(dir string) error { return os.Symlink(t.TempDir(), dir) }, "is a symbolic link"},
		"another user's":   {func(dir string) error { return mkdirOf(dir, nobody) }, "belongs to another user"},
		"open to everyone": {func(dir string) error { return first(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)) }, "is open to other users"},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := os.MkdirTemp(work, "run-")
			if err != nil {
				t.Fatal(err)
			}
			if err := c.make(filepath.Join(run, "anomalymatch")); err != nil {
				t.Skip(err)
			}
			p := newProject(t, settings{})
			for _, args := range [][]string{{"engine", p.dir}, {"train", p.dir, "--iterations", "1"}, {"attach", "--start", p.dir}} {
				cmd := p.command(args...)
				cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+run)
				out, err := cmd.CombinedOutput()
				if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), c.want) {
					t.Errorf("%s: %v, %q; want %q", args[0], err, out, c.want)
				}
			}
			if files, _ := os.ReadDir(filepath.Join(run, "anomalymatch")); len(files) > 0 || p.holder() != 0 {
				t.Errorf("the folder was used: %v, engine %d", files, p.holder())
			}
		})
	}
}

const nobody = 65534

// first is the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func mkdirOf(dir string, uid int) error { return first(os.Mkdir(dir, 0o700), os.Chown(dir, uid, uid)) }

// Even if every mode were wrong, another user gets no word from the engine.
func TestAnotherUserKnocks(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	p := newProject(t, settings{})
	s := p.open()
	s.WaitFor("1/24")
	path, err := rpc.SocketPath(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	// A program and a way to the socket for everybody.
	open, err := os.MkdirTemp("/tmp", "knock-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(open)
	self, err := os.ReadFile("/proc/self/exe")
	exe := filepath.Join(open, "knock")
	if err := first(err, os.Chmod(open, 0o755), os.WriteFile(exe, self, 0o755)); err != nil {
		t.Fatal(err)
	}
	for file := path; strings.HasPrefix(file, work); file = filepath.Dir(file) {
		was, err := os.Stat(file)
		if err := first(err, os.Chmod(file, 0o777)); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(file, was.Mode().Perm())
	}
	knock := func(uid uint32) string {
		cmd := exec.Command(exe)
		cmd.Env = []string{"SCENARIO_KNOCK=" + path, "HOME=/"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("user %d: %v", uid, err)
		}
		return string(out)
	}
	if got := knock(0); got != "served" {
		t.Errorf("the engine's own user got %q", got)
	}
	if got := knock(nobody); got != "closed" {
		t.Errorf("another user got %q", got)
	}
	if log, _ := os.ReadFile(filepath.Join(p.dir, "engine.log")); !bytes.Contains(log, []byte("another user")) {
		t.Errorf("engine.log does not tell of it:\n%s", log)
	}
	s.WaitFor("1/24")
	s.quit()
}

// knock connects to a socket and says what came of it.
func knock(path string) string {
	c, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // a client's first words; refused, they cannot be sent
	switch n, err := c.Read(make([]byte, 1)); {
	case n > 0:
		return "served"
	case err == io.EOF, strings.Contains(err.Error(), "reset by peer"):
		return "closed"
	default:
		return err.Error()
	}
}

// init, because what knocks has no way to the folder of the other tests.
func init() {
	if path := os.Getenv("SCENARIO_KNOCK"); path != "" {
		fmt.Print(knock(path))
		os.Exit(0)
	}
}
