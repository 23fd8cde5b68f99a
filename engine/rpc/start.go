package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"anomalymatch/internal/say"
)

// startWait is how long an engine may take from its start to its socket.
const startWait = 10 * time.Second

// Start connects to the engine of the project on this machine, or starts it: [Finder.Start].
func Start(ctx context.Context, project, exe string, args ...string) (*Client, error) {
	return Finder{}.Start(ctx, project, exe, args...)
}

// Start connects to the engine of a project, wherever it runs, and starts `exe engine PROJECT args…` when none answers. The engine runs on
// its own, in its own session, and says what it has to say in PROJECT/engine.log, or in a file in [SocketDir] if the
// project cannot be written. Of several callers at the same time one starts it, the others connect. If it does not come up
// the error carries the last lines it wrote; [ErrRunning] is not wrapped then, but its sentence is among them.
func (w Finder) Start(ctx context.Context, project, exe string, args ...string) (*Client, error) {
	abs, err := absolute(project)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startWait, fmt.Errorf("the engine did not answer within %v", startWait))
	defer cancel()
	var turn *os.File // held while we are the one who starts
	defer func() {
		if turn != nil {
			turn.Close()
		}
	}()
	var child *engineProcess
	var held bool // another engine of this machine had the lock when child was started
	for {
		c, err := w.Dial(ctx, abs)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, ErrNotRunning) && ctx.Err() == nil {
			return nil, err
		}
		switch {
		case ctx.Err() != nil:
		case turn == nil:
			if turn, err = takeTurn(abs); err != nil {
				return nil, err
			}
			if turn != nil {
				continue // somebody may have come up just before
			}
		case child == nil:
			held = heldHere(abs)
			if child, err = startEngine(abs, exe, args); err != nil {
				return nil, err
			}
		case child.ended():
			// It gave way to another engine here, which may be coming up or going down; anything else is a failure.
			if !held && !heldHere(abs) {
				return nil, child.failure(errors.New("the engine ended right after its start"))
			}
			child = nil
			sleep(ctx, 200*time.Millisecond)
		}
		sleep(ctx, 25*time.Millisecond)
		if ctx.Err() != nil {
			return nil, child.failure(context.Cause(ctx))
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// takeTurn returns the lock of who may start the engine, nil while another process has it.
func takeTurn(project string) (*os.File, error) {
	path, err := local(project, ".start")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot start the engine: %s", reason(err))
	}
	if err := tryLock(f); err != nil {
		f.Close()
		if errors.Is(err, errLocked) {
			return nil, nil
		}
		return nil, fmt.Errorf("cannot start the engine: locking %s: %s", say.Text(path), reason(err))
	}
	return f, nil
}

// HoldStart keeps everybody on this machine from starting the project's engine until release, as for the time between the end of one engine and the
// announcement of the next. It waits for who starts one just now.
func HoldStart(ctx context.Context, project string) (release func(), err error) {
	for {
		turn, err := takeTurn(project)
		if err != nil {
			return nil, err
		}
		if turn != nil {
			return sync.OnceFunc(func() { turn.Close() }), nil
		}
		if sleep(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// heldHere says whether a live process of this machine is named by the project's lock.
func heldHere(project string) bool {
	for _, h := range holders(project) {
		if h.here() && alive(h.PID) {
			return true
		}
	}
	return false
}

// engineProcess is an engine that was started and did not answer yet.
type engineProcess struct {
	log  string // path
	from int64  // where its lines begin
	done chan struct{}
}

func startEngine(project, exe string, args []string) (*engineProcess, error) {
	exe, err := filepath.Abs(exe)
	if err != nil {
		return nil, fmt.Errorf("cannot start the engine: %w", err)
	}
	log, err := openLog(project)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &engineProcess{log: log.Name(), done: make(chan struct{})}
	if info, err := log.Stat(); err == nil {
		p.from = info.Size()
	}
	cmd := exec.Command(exe, append([]string{"engine", project}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = detached()
	// A training step asks the C library for gigabytes anew each time: with huge pages a quarter of a step's time is saved on CPUs.
	if _, set := os.LookupEnv("GLIBC_TUNABLES"); !set {
		cmd.Env = append(os.Environ(), "GLIBC_TUNABLES=glibc.malloc.hugetlb=1")
	}
	if runtime.GOOS != "windows" {
		cmd.Dir = "/" // keeps no file system busy
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the engine: %s", reason(err))
	}
	go func() {
		cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func openLog(project string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | noFollow
	if f, err := os.OpenFile(filepath.Join(project, "engine.log"), flags, 0o600); err == nil {
		return f, nil
	}
	path, err := local(project, ".log")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open a log for the engine: %s", reason(err))
	}
	return f, nil
}

func (p *engineProcess) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// failure adds what the engine wrote last to err.
func (p *engineProcess) failure(err error) error {
	if p == nil {
		return err
	}
	said := lastLines(p.log, p.from)
	if said == "" {
		said = "it wrote nothing"
	}
	return fmt.Errorf("%w; %s: %s", err, say.Text(p.log), said)
}

// lastLines returns the last few lines that were written to a log after the first `from` bytes, as say.Lines gives them.
func lastLines(path string, from int64) string {
	const window = 16 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		from = max(from, info.Size()-window)
	}
	text, _ := io.ReadAll(io.NewSectionReader(f, from, window))
	return say.Lines(text)
}
