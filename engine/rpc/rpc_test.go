package rpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestMain is also the engine that Start runs: `rpc.test engine PROJECT [fail]`, and `rpc.test attach PROJECT`.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "attach" {
		if err := Attach(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) >= 3 && os.Args[1] == "engine" {
		if err := fakeEngine(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fakeServer answers Hello, streams thumbnails of 64 KiB, panics at Histogram.
type fakeServer struct {
	UnimplementedEngineServer
	project string
	stop    func()
}

func (s *fakeServer) Hello(context.Context, *HelloRequest) (*HelloReply, error) {
	return &HelloReply{Project: s.project, Pid: int32(os.Getpid())}, nil
}

func (s *fakeServer) Thumbs(r *ThumbsRequest, out Engine_ThumbsServer) error {
	for _, id := range r.Ids {
		if err := out.Send(&Thumb{Id: id, Png: bytes.Repeat([]byte{7}, 64<<10)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *fakeServer) Histogram(context.Context, *HistogramRequest) (*HistogramReply, error) {
	panic("a mistake in a handler")
}

func (s *fakeServer) Stop(context.Context, *StopRequest) (*JobReply, error) {
	go s.stop()
	return &JobReply{Started: true}, nil
}

func fakeEngine(project string, args []string) error {
	fmt.Fprintf(os.Stderr, "engine of \x1b[31m%s\x1b[0m\n", filepath.Base(project))
	if len(args) > 0 && args[0] == "fail" {
		return errors.New("no such \x1b]0;title\x07setting")
	}
	held, err := Lock(project, "")
	if err != nil {
		return err
	}
	defer held.Release()
	l, err := Listen(project)
	if err != nil {
		return err
	}
	time.AfterFunc(time.Minute, func() { os.Exit(3) }) // never outlive a broken test
	s := NewServer()
	RegisterEngineServer(s, &fakeServer{project: project, stop: s.GracefulStop})
	return s.Serve(l)
}

// place gives the test its own socket folder and a project.
func place(t *testing.T) (project string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("modes and signals are tested on unix")
	}
	tmp, err := os.MkdirTemp("", "am") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", tmp)
	project = filepath.Join(tmp, "project")
	if err := os.Mkdir(project, 0o755); err != nil {
		t.Fatal(err)
	}
	return project
}

func start(t *testing.T, project string, args ...string) *Client {
	t.Helper()
	c, err := Start(t.Context(), project, os.Args[0], args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop(context.Background(), &StopRequest{})
		c.Close()
	})
	return c
}

func hello(t *testing.T, c *Client) *HelloReply {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := c.Hello(ctx, &HelloRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSocketDir(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, dir string)
		want string // in the error; "" = it works
	}{
		{"missing", func(*testing.T, string) {}, ""},
		{"ours", func(t *testing.T, dir string) { must(t, os.Mkdir(dir, 0o700)) }, ""},
		{"open to others", func(t *testing.T, dir string) { must(t, os.Mkdir(dir, 0o700)); must(t, os.Chmod(dir, 0o755)) }, "open to other users"},
		{"a file", func(t *testing.T, dir string) { must(t, os.WriteFile(dir, nil, 0o600)) }, "not a folder"},
		{"a link", func(t *testing.T, dir string) { must(t, os.Symlink(t.TempDir(), dir)) }, "symbolic link"},
		{"a dangling link", func(t *testing.T, dir string) { must(t, os.Symlink("/nowhere", dir)) }, "symbolic link"},
		{"another user's", func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o700))
			if err := os.Chown(dir, 4711, 4711); err != nil {
				t.Skip("only root can give a folder away")
			}
		}, "another user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			place(t)
			dir := socketDirName("", os.TempDir())
			tt.make(t, dir)
			got, err := SocketDir()
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("error %v, want one with %q", err, tt.want)
				}
				return
			}
			if err != nil || got != dir {
				t.Fatalf("got %q, %v, want %q", got, err, dir)
			}
			if mode := stat(t, dir).Mode().Perm(); mode != 0o700 {
				t.Errorf("mode %o, want 700", mode)
			}
		})
	}
}

func TestSocketDirName(t *testing.T) {
	place(t)
	run := t.TempDir()
	uid := fmt.Sprint(os.Getuid())
	short, err := os.MkdirTemp("/tmp", "r")
	must(t, err)
	defer os.RemoveAll(short)
	for _, tt := range []struct{ name, run, tmp, want string }{
		{"runtime folder", short, "/tmp", short + "/anomalymatch"},
		{"none", "", "/tmp", "/tmp/anomalymatch-" + uid},
		{"not there", "/run/user/no-such", "/tmp", "/tmp/anomalymatch-" + uid},
		{"relative", "run", "/tmp", "/tmp/anomalymatch-" + uid},
		{"too long", "", "/tmp/" + strings.Repeat("x", 90), "/tmp/anomalymatch-" + uid},
		{"runtime folder too long", filepath.Join(run, strings.Repeat("y", 100)), "/tmp", "/tmp/anomalymatch-" + uid},
	} {
		if got := socketDirName(tt.run, tt.tmp); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSocketPathIsOnePerProject(t *testing.T) {
	project := place(t)
	link := project + "-link"
	must(t, os.Symlink(project, link))
	a, err := SocketPath(project)
	must(t, err)
	b, err := SocketPath(link + "/")
	must(t, err)
	c, err := SocketPath(filepath.Dir(project))
	must(t, err)
	if a != b || a == c {
		t.Errorf("paths %q and %q should be one, %q another", a, b, c)
	}
	if len(a) >= maxSocketPath {
		t.Errorf("%d bytes long", len(a))
	}
}

func TestListen(t *testing.T) {
	project := place(t)
	if _, err := Dial(t.Context(), project); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("dial without an engine: %v", err)
	}
	l, err := Listen(project)
	must(t, err)
	defer l.Close()
	path, _ := SocketPath(project)
	if mode := stat(t, path).Mode(); mode.Perm() != 0o600 || mode&fs.ModeSocket == 0 {
		t.Errorf("socket has mode %v", mode)
	}
	if _, err := Listen(project); !errors.Is(err, ErrRunning) {
		t.Errorf("a second listener: %v", err)
	}
	c, err := net.Dial("unix", path)
	must(t, err)
	defer c.Close()
	if uid, known, err := peerUID(c.(*net.UnixConn)); err != nil || known && uid != os.Getuid() {
		t.Errorf("peer is %d, %v, want us", uid, err)
	}
	if _, err := l.Accept(); err != nil {
		t.Errorf("our own connection: %v", err)
	}
}

// Sockets of engines that were killed go, once they are old, with the next engine of any project; those that somebody answers on stay.
func TestOldSockets(t *testing.T) {
	project := place(t)
	if runtime.GOOS == "windows" {
		t.Skip("sockets have no times there")
	}
	dir, err := SocketDir()
	must(t, err)
	for _, c := range []struct {
		name         string
		alive, stays bool
		age          time.Duration
	}{{"dead", false, false, 2 * leftover}, {"young", false, true, leftover / 2}, {"alive", true, true, 2 * leftover}} {
		path := filepath.Join(dir, c.name+".sock")
		l, err := net.Listen("unix", path)
		must(t, err)
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if c.alive {
			defer l.Close()
		} else {
			must(t, l.Close())
		}
		must(t, os.Chtimes(path, time.Time{}, time.Now().Add(-c.age)))
		mine, err := Listen(project)
		must(t, err)
		must(t, mine.Close())
		if _, err := os.Lstat(path); (err == nil) != c.stays {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOtherUserIsRefused(t *testing.T) {
	project := place(t)
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("needs root to be somebody else")
	}
	l, err := Listen(project)
	must(t, err)
	defer l.Close()
	path, _ := SocketPath(project)
	for p := path; p != "/tmp" && p != "/"; p = filepath.Dir(p) { // let the other user through the modes
		must(t, os.Chmod(p, 0o777))
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			accepted <- c
		}
	}()
	out, err := exec.Command(python, "-c", `
import os, socket, sys
os.setuid(4711)
s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])
print("closed" if s.recv(1) == b"" else "served")`, path).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "closed" {
		t.Errorf("another user got %q, %v", out, err)
	}
	select {
	case <-accepted:
		t.Error("another user's connection was accepted")
	default:
	}
}

func TestLock(t *testing.T) {
	project := place(t)
	held, err := Lock(project, "")
	must(t, err)
	_, err = Lock(project, "")
	host, _ := os.Hostname()
	if want := fmt.Sprintf("an engine for this project runs already on %s (pid %d)", host, os.Getpid()); !errors.Is(err, ErrRunning) || err.Error() != want {
		t.Errorf("second lock: %v, want %q", err, want)
	}
	held.Release()
	held, err = Lock(project, "")
	must(t, err)
	held.Release()

	if _, err := Lock(filepath.Join(project, "none"), ""); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("no project: %v", err)
	}
	must(t, os.Remove(filepath.Join(project, "engine.lock")))
	must(t, os.Symlink("/etc/hostname", filepath.Join(project, "engine.lock")))
	if _, err := Lock(project, ""); err == nil {
		t.Error("a linked lock file was followed")
	}
}

func TestLockOfReadOnlyProject(t *testing.T) {
	project := place(t)
	must(t, os.Chmod(project, 0o555))
	defer os.Chmod(project, 0o755)
	if writable(project) {
		t.Skip("root can write everywhere")
	}
	held, err := Lock(project, "")
	must(t, err)
	defer held.Release()
	if _, err := Lock(project, ""); !errors.Is(err, ErrRunning) {
		t.Errorf("second lock: %v", err)
	}
	start(t, filepath.Dir(project))
}

func TestStartHelloStop(t *testing.T) {
	project := place(t)
	c := start(t, project)
	r := hello(t, c)
	if r.Project != project || int(r.Pid) == os.Getpid() {
		t.Errorf("hello from %v", r)
	}
	again := start(t, project)
	if p := hello(t, again).Pid; p != r.Pid {
		t.Errorf("two engines: %d and %d", r.Pid, p)
	}
	if _, err := c.Histogram(t.Context(), &HistogramRequest{}); status.Code(err) != codes.Internal {
		t.Errorf("a panic in a handler: %v", err)
	}
	if p := hello(t, c).Pid; p != r.Pid {
		t.Errorf("after the panic the engine is %d, was %d", p, r.Pid)
	}
	// Stopped and started at once: the next engine waits for the lock of the one that goes.
	if _, err := c.Stop(t.Context(), &StopRequest{}); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if next, err := Start(t.Context(), project, os.Args[0]); err != nil {
			t.Fatal(err)
		} else if p, err := next.Hello(t.Context(), &HelloRequest{}); err == nil && p.Pid != r.Pid {
			next.Stop(t.Context(), &StopRequest{})
			next.Close()
			return
		} else {
			next.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no new engine after Stop")
}

func TestKilledEngineBlocksNothing(t *testing.T) {
	project := place(t)
	first := hello(t, start(t, project))
	path, _ := SocketPath(project)
	p, err := os.FindProcess(int(first.Pid))
	must(t, err)
	must(t, p.Kill())
	for i := 0; ; i++ { // the kernel takes a moment
		c, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		if c.Close(); i > 500 {
			t.Fatal("the killed engine still answers")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("the stale socket is gone, nothing tested: %v", err)
	}
	if second := hello(t, start(t, project)); second.Pid == first.Pid {
		t.Error("a dead engine answered")
	}
}

func TestRacingStartsLeadToOneEngine(t *testing.T) {
	project := place(t)
	var mu sync.Mutex
	pids := map[int32]bool{}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			c, err := Start(t.Context(), project, os.Args[0])
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			r, err := c.Hello(t.Context(), &HelloRequest{})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			pids[r.Pid] = true
			mu.Unlock()
		})
	}
	all.Wait()
	start(t, project) // stops it at the end
	if len(pids) != 1 {
		t.Errorf("engines: %v", pids)
	}
	log, _ := os.ReadFile(filepath.Join(project, "engine.log"))
	if n := bytes.Count(log, []byte("engine of")); n != 1 {
		t.Errorf("%d engines were started", n)
	}
}

func TestStartReportsTheLog(t *testing.T) {
	project := place(t)
	must(t, os.WriteFile(filepath.Join(project, "engine.log"), []byte("yesterday's news\n"), 0o600))
	begin := time.Now()
	_, err := Start(t.Context(), project, os.Args[0], "fail")
	if err == nil || !strings.Contains(err.Error(), "setting") || strings.ContainsAny(err.Error(), "\x1b\x07\n") || strings.Contains(err.Error(), "yesterday") {
		t.Errorf("error %q", err)
	}
	if time.Since(begin) > startWait/2 {
		t.Errorf("waited %v for an engine that had ended", time.Since(begin))
	}
	if _, err := Start(t.Context(), project, filepath.Join(project, "no-such-program")); err == nil {
		t.Error("a missing program started")
	}
}

func TestStartNamesTheOtherMachine(t *testing.T) {
	project := place(t)
	held, err := Lock(project, "") // stands for an engine elsewhere on a shared file system
	must(t, err)
	defer held.Release()
	must(t, os.WriteFile(filepath.Join(project, "engine.lock"), []byte(`{"pid":12,"host":"node17"}`), 0o600))
	if _, err := Start(t.Context(), project, os.Args[0]); err == nil || !strings.Contains(err.Error(), "runs already on node17 (pid 12)") {
		t.Errorf("error %v", err)
	}
}

func TestDialFindsTheSocketByTheLock(t *testing.T) {
	project := place(t)
	want := hello(t, start(t, project)).Pid
	other, err := os.MkdirTemp("", "am")
	must(t, err)
	defer os.RemoveAll(other)
	t.Setenv("TMPDIR", other)
	c, err := Dial(t.Context(), project)
	must(t, err)
	defer c.Close()
	if got := hello(t, c).Pid; got != want {
		t.Errorf("engine %d, want %d", got, want)
	}
}

func TestAttach(t *testing.T) {
	project := place(t)
	want := hello(t, start(t, project)).Pid
	ended := make(chan error, 8)
	c, err := NewClient(func(context.Context) (net.Conn, error) {
		near, far := net.Pipe() // stands for ssh's stdio
		go func() {
			io.WriteString(far, "Welcome to node17!\n")
			ended <- Attach(t.Context(), project, far, far)
			far.Close()
		}()
		r := bufio.NewReader(near)
		if _, err := skipSentinel(r); err != nil {
			return nil, err
		}
		return &bufferedConn{near, r}, nil
	})
	must(t, err)
	if got := hello(t, c).Pid; got != want {
		t.Errorf("engine %d, want %d", got, want)
	}
	ids := make([]string, 40)
	for i := range ids {
		ids[i] = fmt.Sprint("src/", i)
	}
	stream, err := c.Thumbs(t.Context(), &ThumbsRequest{Ids: ids})
	must(t, err)
	for i := range ids {
		th, err := stream.Recv()
		if err != nil || th.Id != ids[i] || len(th.Png) != 64<<10 {
			t.Fatalf("thumbnail %d: %v", i, err)
		}
	}
	c.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("attach ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("attach goes on after its client left")
	}
	if err := Attach(t.Context(), filepath.Dir(project), strings.NewReader(""), io.Discard); !errors.Is(err, ErrNotRunning) {
		t.Errorf("attach without an engine: %v", err)
	}
}

type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

func TestSkipSentinel(t *testing.T) {
	for _, tt := range []struct{ name, in, rest, want string }{
		{"at once", Sentinel + "rest", "rest", ""},
		{"after noise", "motd\n\x00AM\n" + Sentinel + "rest", "rest", ""},
		{"never", "bash: anomalymatch: command not\x1b[0m found\n", "", "bash: anomalymatch: command not[0m found"},
		{"nothing", "", "", "it said: nothing"},
		{"too much", strings.Repeat("x", 65<<10), "", "did not answer as expected"},
	} {
		r := bufio.NewReader(strings.NewReader(tt.in))
		_, err := skipSentinel(r)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
			}
			continue
		}
		rest, _ := io.ReadAll(r)
		if err != nil || string(rest) != tt.rest {
			t.Errorf("%s: rest %q, %v", tt.name, rest, err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func stat(t *testing.T, path string) fs.FileInfo {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	return info
}
