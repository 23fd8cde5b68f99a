package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// says writes who holds the lock into the file, as an engine elsewhere would.
func says(t *testing.T, project string, h Holder) {
	t.Helper()
	text, err := json.Marshal(h)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(project, lockName), text, 0o600))
}

// elsewhere makes an engine on another host: another folder for sockets, and another name in the lock.
func elsewhere(t *testing.T, project string) (sockets string) {
	t.Helper()
	hello(t, start(t, project))
	h, held := holder(project)
	if !held {
		t.Fatal("the engine holds no lock")
	}
	h.Host, h.Job = "node17", "slurm 9"
	says(t, project, h)
	sockets = os.Getenv("TMPDIR")
	other, err := os.MkdirTemp("", "am")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(other) })
	t.Setenv("TMPDIR", other)
	return sockets
}

// byAttach attaches to the engine in a process of the test, `rpc.test attach PROJECT`, whose sockets are in the folder.
func byAttach(sockets string, seen *[]Holder) Finder {
	return Finder{Hop: func(h Holder, project string) (*exec.Cmd, error) {
		*seen = append(*seen, h)
		cmd := exec.Command(os.Args[0], "attach", project)
		cmd.Env = append(os.Environ(), "TMPDIR="+sockets)
		return cmd, nil
	}}
}

func TestHop(t *testing.T) {
	project := place(t)
	var seen []Holder
	w := byAttach(elsewhere(t, project), &seen)
	if _, err := Dial(t.Context(), project); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("without a way to other machines: %v", err)
	}
	c, err := w.Start(t.Context(), project, "/no/such/program")
	must(t, err)
	hello(t, c)
	must(t, c.Close())
	if len(seen) != 1 || seen[0].Host != "node17" || seen[0].Job != "slurm 9" || seen[0].String() == "" {
		t.Errorf("hopped to %+v", seen)
	}

	// Attach goes on to there, for who comes over ssh.
	in, w1 := io.Pipe()
	r1, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- w.Attach(t.Context(), project, in, out); out.Close() }()
	head := make([]byte, len(Sentinel))
	if _, err := io.ReadFull(r1, head); err != nil || string(head) != Sentinel {
		t.Errorf("the answer begins with %q, %v", head, err)
	}
	w1.Close()
	go io.Copy(io.Discard, r1)
	if err := <-ended; err != nil {
		t.Error(err)
	}

	w.Hop = func(Holder, string) (*exec.Cmd, error) {
		return exec.Command("sh", "-c", "echo no \033[31mway >&2; exit 3"), nil
	}
	var far *ElsewhereError
	if _, err := w.Start(t.Context(), project, "/no/such/program"); !errors.As(err, &far) || !strings.Contains(err.Error(), "on node17 (pid ") || !strings.Contains(err.Error(), "slurm 9") || strings.Contains(err.Error(), "\033") {
		t.Errorf("where it cannot be reached: %q", err)
	}
}

// An engine that ended needs no way: what it left in the lock is stale.
func TestStaleHolderIsNotHoppedTo(t *testing.T) {
	project := place(t)
	says(t, project, Holder{PID: 12, Host: "node17"})
	var seen []Holder
	if _, err := byAttach("", &seen).Dial(t.Context(), project); !errors.Is(err, ErrNotRunning) || len(seen) > 0 {
		t.Errorf("%v, hopped to %v", err, seen)
	}
}

func TestQueuedJobIsWaitedFor(t *testing.T) {
	project := place(t)
	held, err := Lock(project, "slurm 9")
	must(t, err)
	held.Leave()
	state, said := "PENDING: Resources", ""
	w := Finder{Queued: func(_ context.Context, job string) (string, string, error) {
		if job != "slurm 9" {
			t.Errorf("asked for %q", job)
		}
		return state, said, nil
	}}
	var q *QueuedError
	if _, err := w.Start(t.Context(), project, "/no/such/program"); !errors.As(err, &q) || !strings.Contains(err.Error(), "slurm 9") || !strings.Contains(err.Error(), state) {
		t.Errorf("while it waits: %v", err)
	}
	said = "it waits for a\x1b[31m node"
	if _, err := w.Dial(t.Context(), project); !errors.As(err, &q) || !strings.HasPrefix(err.Error(), "it waits for a") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("while it waits, in a sentence: %q", err)
	}
	state = ""
	if _, err := w.Dial(t.Context(), project); !errors.Is(err, ErrNotRunning) {
		t.Errorf("when it is over: %v", err)
	}
	held, err = Lock(project, "slurm 9") // the job's next run
	must(t, err)
	held.Release()
	state = "RUNNING"
	if _, err := w.Dial(t.Context(), project); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after a release the job is still asked for: %v", err)
	}
}

// Who holds the start keeps everybody from starting an engine, until what is announced meanwhile is waited for.
func TestHoldStart(t *testing.T) {
	project := place(t)
	release, err := HoldStart(t.Context(), project)
	must(t, err)
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := HoldStart(short, project); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("held twice: %v", err)
	}
	w := Finder{Queued: func(context.Context, string) (string, string, error) { return "PENDING", "", nil }}
	started := make(chan error, 1)
	go func() {
		_, err := w.Start(t.Context(), project, "/no/such/program")
		started <- err
	}()
	must(t, Announce(project, "slurm 9"))
	if err := <-started; !errors.As(err, new(*QueuedError)) {
		t.Errorf("started while the start was held: %v", err)
	}
	release()
	release, err = HoldStart(t.Context(), project)
	must(t, err)
	release()
}

func TestWhere(t *testing.T) {
	project := place(t)
	if h, runs := Where(project); runs {
		t.Errorf("without an engine: %v", h)
	}
	held, err := Lock(project, "slurm 9")
	must(t, err)
	if h, runs := Where(project); !runs || h.PID != os.Getpid() || h.Job != "slurm 9" || h.Started.IsZero() {
		t.Errorf("with an engine: %+v, %v", h, runs)
	}
	held.Leave()
	if h, runs := Where(project); runs {
		t.Errorf("after its end: %v", h)
	}
}

// Where locks do not reach other machines, the age of the file tells whether an engine there lives.
func TestBeats(t *testing.T) {
	project := place(t)
	says(t, project, Holder{PID: 12, Host: "node17"})
	path := filepath.Join(project, lockName)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	if !beats(f) {
		t.Error("a file of now tells of no engine")
	}
	old := time.Now().Add(-2 * silence)
	must(t, os.Chtimes(path, old, old))
	if beats(f) {
		t.Error("an old file tells of an engine")
	}
}

// Of two engines that began at the same moment on machines that the other's lock does not reach, the one that wrote itself into the file first ends,
// and leaves the file to the other.
func TestTwoEnginesAtOnce(t *testing.T) {
	before := settled
	settled = 50 * time.Millisecond
	defer func() { settled = before }()
	project := place(t)
	held, err := Lock(project, "")
	must(t, err)
	select {
	case <-held.Lost():
		t.Fatal("lost to nobody")
	case <-time.After(4 * settled):
	}
	held.Release()

	held, err = Lock(project, "")
	must(t, err)
	other := Holder{PID: 12, Host: "node17", Started: time.Now().UTC(), Local: true}
	says(t, project, other)
	select {
	case <-held.Lost():
	case <-time.After(5 * time.Second):
		t.Fatal("not lost")
	}
	held.Release()
	if h, ok := readHolder(filepath.Join(project, lockName)); !ok || !h.same(other) {
		t.Errorf("the file says %+v, %t", h, ok)
	}
	// The lock of the other one does not reach here, so the age of the file tells.
	if _, err := Lock(project, ""); !errors.Is(err, ErrRunning) {
		t.Errorf("a second engine: %v", err)
	}
	if h, runs := Where(project); !runs || h.Host != "node17" {
		t.Errorf("%+v, %t", h, runs)
	}
}
