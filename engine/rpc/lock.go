package rpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"anomalymatch/internal/age"
	"anomalymatch/internal/say"
)

// ErrRunning says that the project has an engine already; the error that wraps it says where.
var ErrRunning = errors.New("an engine for this project runs already")

// lockName is the file in the project.
const lockName = "engine.lock"

var (
	errLocked  = errors.New("locked")
	errNoLocks = errors.New("no locks on this file system")
)

// Holder is who holds a project's lock, as written in engine.lock.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Job     string    `json:"job,omitempty"` // of a batch system, "slurm 1234"
	Socket  string    `json:"socket"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Local   bool      `json:"local,omitempty"` // as the holder sees it, its lock keeps out nobody on other machines
}

// here says whether the holder is, or was, a process of this machine.
func (h Holder) here() bool { return h.Host == hostname() && h.PID > 0 }

// same says whether both are one process.
func (h Holder) same(o Holder) bool {
	return h.Host == o.Host && h.PID == o.PID && h.Started.Equal(o.Started)
}

// String is where the holder is, safe to print: "gpu01 (pid 12, slurm 34)".
func (h Holder) String() string {
	job := ""
	if h.Job != "" {
		job = ", " + say.Text(h.Job)
	}
	return fmt.Sprintf("%s (pid %d%s)", say.Text(h.Host), h.PID, job)
}

// Held is a project's lock in the hand of its engine.
type Held struct {
	files []*os.File // the locked one, and engine.lock where locks are not known there
	stop  func()
	lost  chan struct{}
}

const (
	// beat is how often an engine shows that it lives, by the time of its lock file; one that was silent for the time of silence is taken for
	// dead. Both count only on file systems whose locks do not reach other machines.
	beat    = 20 * time.Second
	silence = 90 * time.Second
)

// settled is when an engine looks for the first time whether it is the one that engine.lock names: no file system shows others an older content of a
// file that is opened anew for that long.
var settled = 3 * time.Second

// Lock makes the caller, in a job of a batch system if job is not empty, the one engine of the project until Release, Leave or the end of the
// process, however that ends: nothing has to be cleaned up. The lock is PROJECT/engine.lock; if that cannot be written, or the file system knows
// no locks, a file in [SocketDir], which keeps engines of this user and machine apart only. Where locks do not reach other machines, an engine
// there is known by the age of the file. A project that has an engine gives an error that wraps [ErrRunning] and names its machine and process.
func Lock(project, job string) (*Held, error) {
	f, err := openLock(project)
	for range 10 { // somebody may be looking whether it is held
		if !errors.Is(err, ErrRunning) {
			break
		}
		time.Sleep(30 * time.Millisecond)
		f, err = openLock(project)
	}
	if err != nil {
		return nil, err
	}
	files := []*os.File{f}
	closeAll := func() {
		for _, f := range files {
			f.Close()
		}
	}
	if abs, err := absolute(project); err == nil && filepath.Dir(f.Name()) != abs {
		if at, err := os.OpenFile(filepath.Join(abs, lockName), os.O_RDWR|os.O_CREATE|noFollow, 0o666); err == nil {
			files = append(files, at)
		}
	}
	shown := files[len(files)-1]                                                                                                                                                    // what other machines read
	if h, ok := readHolder(shown.Name()); ok && !h.here() && h.Host != "" && beats(shown) && (len(files) > 1 || h.Local || !reaches(shown.Name())) && (job == "" || h.Job != job) { // our job's earlier run is over
		closeAll()
		return nil, fmt.Errorf("%w on %v, or did until a minute ago", ErrRunning, h)
	}
	socket, err := SocketPath(project)
	if err != nil {
		closeAll()
		return nil, err
	}
	me := Holder{PID: os.Getpid(), Host: hostname(), Job: job, Socket: socket, Version: version(), Started: time.Now().UTC(), Local: len(files) > 1 || !reaches(shown.Name())}
	text, _ := json.Marshal(me)
	text = append(text, '\n')
	// Who holds the lock is for people and for finding the socket; the lock holds without.
	named := false
	for _, f := range files {
		if err := f.Truncate(0); err == nil {
			_, err = f.WriteAt(text, 0)
			named = err == nil
		}
	}
	held := &Held{files: files, lost: make(chan struct{})}
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for next := settled; ; next = beat {
			select {
			case <-over:
				return
			case <-time.After(next):
			}
			switch h, ok := readHolder(shown.Name()); {
			case !named: // a colleague's file, which says nothing of this engine
				continue
			case ok && h.Host != "" && !h.same(me):
				close(held.lost)
				return
			case !ok:
				shown.Truncate(0)
			}
			shown.WriteAt(text, 0)
		}
	}()
	held.stop = sync.OnceFunc(func() {
		close(over)
		<-done
	})
	return held, nil
}

// Lost is closed when an engine on another machine, which this one's lock does not reach, has written itself into engine.lock since. Of two that began
// at the same moment the one that wrote last stays.
func (h *Held) Lost() <-chan struct{} { return h.lost }

// Release gives the lock back.
func (h *Held) Release() { h.end(false) }

// Leave gives the lock back and lets stand who had it: its job is queued again, or may be, and whoever looks for the engine is to know.
func (h *Held) Leave() { h.end(true) }

func (h *Held) end(leave bool) {
	h.stop()
	select {
	case <-h.lost: // it is another one's now
		leave = true
	default:
	}
	for _, f := range h.files {
		if !leave {
			f.Truncate(0)
		}
		f.Close() // the file stays: removing it would let two engines lock two files of one name
	}
}

// Announce writes into the lock of a project that nobody holds in which job its engine will run, so that nobody starts another one meanwhile
// (see [QueuedError]).
func Announce(project, job string) error {
	f, err := openLock(project)
	if err != nil {
		return err
	}
	defer f.Close()
	text, _ := json.Marshal(Holder{PID: 1, Job: job, Version: version(), Started: time.Now().UTC()})
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("%s: %s", say.Text(f.Name()), reason(err))
	}
	_, err = f.WriteAt(append(text, '\n'), 0)
	return err
}

// beats says whether the engine that wrote a lock file showed that it lives not long ago.
func beats(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && age.Of(f.Name(), info).Abs() < silence
}

// Free returns nil where nobody holds the project's lock, and locks work; else the error of [Lock].
func Free(project string) error {
	f, err := openLock(project)
	if err == nil {
		f.Close()
	}
	return err
}

// holder is who holds the project's lock, or held it last, as far as its files tell; held says that it is held now, as far as can be known.
func holder(project string) (h Holder, held bool) {
	abs, err := absolute(project)
	if err != nil {
		return Holder{}, false
	}
	f, err := openExisting(filepath.Join(abs, lockName))
	if err != nil {
		return Holder{}, false
	}
	defer f.Close()
	h, ok := readHolder(f.Name())
	if !ok {
		return Holder{}, false
	}
	switch err := tryLock(f); {
	case errors.Is(err, errLocked):
		return h, true
	case h.Host == "": // announced only
	case err != nil, !h.here() && (h.Local || !reaches(f.Name())): // the lock tells nothing
		return h, beats(f)
	}
	return h, false
}

// Where is who holds the project's lock, as far as its files tell; runs is false where nobody does. What it says is somebody's word.
func Where(project string) (h Holder, runs bool) {
	if h, runs = holder(project); runs {
		return h, true
	}
	for _, h := range holders(project) { // the project cannot be written
		if h.here() && alive(h.PID) && Free(project) != nil {
			return h, true
		}
	}
	return Holder{}, false
}

// openExisting opens a lock file for writing if that can be: without, locks do not reach over NFS.
func openExisting(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|noFollow, 0)
	if err != nil {
		f, err = os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	}
	return f, err
}

// openLock returns the locked file.
func openLock(project string) (*os.File, error) {
	abs, err := absolute(project)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", say.Text(abs))
	}
	path := filepath.Join(abs, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o666)
	if errors.Is(err, fs.ErrPermission) && writable(abs) {
		f, err = os.OpenFile(path, os.O_RDONLY|noFollow, 0) // a colleague's file in a shared project locks as well
	}
	if err == nil {
		switch err = tryLock(f); {
		case err == nil:
			return f, nil
		case errors.Is(err, errLocked):
			f.Close()
			return nil, runningError(path)
		}
		f.Close()
	}
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) && !errors.Is(err, errNoLocks) {
		return nil, fmt.Errorf("cannot lock the project %s: %s", say.Text(abs), reason(err))
	}
	path, err = local(project, ".lock")
	if err != nil {
		return nil, err
	}
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the project %s: %s", say.Text(abs), reason(err))
	}
	if err := tryLock(f); err != nil {
		f.Close()
		if errors.Is(err, errLocked) {
			return nil, runningError(path)
		}
		return nil, fmt.Errorf("cannot lock the project %s: %s", say.Text(abs), reason(err))
	}
	return f, nil
}

// holders returns who holds, or held, the project's locks, as far as their files can be read.
func holders(project string) (all []Holder) {
	if abs, err := absolute(project); err == nil {
		if h, ok := readHolder(filepath.Join(abs, lockName)); ok {
			all = append(all, h)
		}
	}
	if path, err := local(project, ".lock"); err == nil {
		if h, ok := readHolder(path); ok {
			all = append(all, h)
		}
	}
	return all
}

func readHolder(path string) (h Holder, ok bool) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return Holder{}, false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return h, err == nil && json.Unmarshal(text, &h) == nil && h.PID > 0
}

func runningError(lock string) error {
	h, ok := readHolder(lock)
	if !ok {
		return ErrRunning
	}
	return fmt.Errorf("%w on %v", ErrRunning, h)
}

func hostname() string {
	name, _ := os.Hostname()
	return name
}

// version is that of the running binary, as the Go tools stamped it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
