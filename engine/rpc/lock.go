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
)

// ErrRunning says that the project has an engine already; the error that wraps it says where.
var ErrRunning = errors.New("an engine for this project runs already")

var (
	errLocked  = errors.New("locked")
	errNoLocks = errors.New("no locks on this file system")
)

// Holder is who holds a project's lock, as written in engine.lock.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Socket  string    `json:"socket"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

// here says whether the holder is, or was, a process of this machine.
func (h Holder) here() bool { return h.Host == hostname() && h.PID > 0 }

// Lock makes the caller the one engine of the project until release or the end of the process, however that ends: nothing
// has to be cleaned up. The lock is PROJECT/engine.lock; if that cannot be written, or the file system knows no locks, a
// file in [SocketDir], which keeps engines of this user and machine apart only. A project that has an engine gives an error
// that wraps [ErrRunning] and names its machine and process.
func Lock(project string) (release func(), err error) {
	f, err := openLock(project)
	if err != nil {
		return nil, err
	}
	socket, err := SocketPath(project)
	if err != nil {
		f.Close()
		return nil, err
	}
	text, _ := json.Marshal(Holder{PID: os.Getpid(), Host: hostname(), Socket: socket, Version: version(), Started: time.Now().UTC()})
	// Who holds the lock is for people and for finding the socket; the lock holds without.
	if err := f.Truncate(0); err == nil {
		f.WriteAt(append(text, '\n'), 0)
	}
	return sync.OnceFunc(func() {
		f.Truncate(0)
		f.Close() // the file stays: removing it would let two engines lock two files of one name
	}), nil
}

// openLock returns the locked file.
func openLock(project string) (*os.File, error) {
	abs, err := absolute(project)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", clean(abs))
	}
	path := filepath.Join(abs, "engine.lock")
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
		return nil, fmt.Errorf("cannot lock the project %s: %s", clean(abs), reason(err))
	}
	path, err = local(project, ".lock")
	if err != nil {
		return nil, err
	}
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the project %s: %s", clean(abs), reason(err))
	}
	if err := tryLock(f); err != nil {
		f.Close()
		if errors.Is(err, errLocked) {
			return nil, runningError(path)
		}
		return nil, fmt.Errorf("cannot lock the project %s: %s", clean(abs), reason(err))
	}
	return f, nil
}

// holders returns who holds, or held, the project's locks, as far as their files can be read.
func holders(project string) (all []Holder) {
	if abs, err := absolute(project); err == nil {
		if h, ok := readHolder(filepath.Join(abs, "engine.lock")); ok {
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
	return fmt.Errorf("%w on %s (pid %d)", ErrRunning, clean(h.Host), h.PID)
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
