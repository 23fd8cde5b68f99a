package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"anomalymatch/tui/common"

	"github.com/gofrs/flock"
)

// fileSystem is what a folder is on.
type fileSystem struct {
	name    string
	shared  bool     // between machines
	free    int64    // bytes that this user may still write
	mount   string   // where it is mounted, "" if that is not known
	options []string // of the mount
}

// disk looks at the room below a folder.
func disk(e Env, name, dir string, least int64, todo string) Check {
	fs, err := e.FS(dir)
	if err != nil {
		return Check{Name: name, State: Absent, Text: "not known on this system"}
	}
	c := Check{Name: name, State: Good, Text: fs.name + ", " + common.Bytes(fs.free) + " free"}
	if used, limit, ok := quota(e, dir, fs); ok {
		c.Text += fmt.Sprintf(", %s of the quota of %s used", common.Bytes(used), common.Bytes(limit))
		fs.free = min(fs.free, limit-used)
	}
	if fs.free < least {
		c.State, c.Todo = Bad, todo
	}
	return c
}

// quota asks what a person may use of a file system, bytes. Many say nothing, or give what is left as the free space.
func quota(e Env, dir string, fs fileSystem) (used, limit int64, ok bool) {
	var out string
	switch {
	case fs.name == "Lustre" && e.Look("lfs") != "":
		out, _ = e.Run("lfs", "quota", "-q", "-u", cmp.Or(e.Get("USER"), e.Get("LOGNAME")), dir)
	case fs.mount != "" && e.Look("quota") != "":
		out, _ = e.Run("quota", "-w", "-p", "-f", fs.mount) // fails where more than the quota is used
	}
	return parseQuota(out)
}

// parseQuota reads the line of quota(1) or lfs-quota(1): file system, used, soft and hard limit in KiB, then more.
func parseQuota(out string) (used, limit int64, ok bool) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if n := len(lines); n > 1 && len(strings.Fields(lines[n-2])) == 1 {
		lines[n-1] = lines[n-2] + " " + lines[n-1] // lfs breaks behind a long name
	}
	f := strings.Fields(lines[len(lines)-1])
	if len(f) < 4 {
		return 0, 0, false
	}
	var kib [3]int64
	for i := range kib {
		var err error
		if kib[i], err = strconv.ParseInt(strings.Trim(f[i+1], "*[]"), 10, 64); err != nil || kib[i] < 0 || kib[i] > 1<<50 {
			return 0, 0, false
		}
	}
	limit = cmp.Or(kib[2], kib[1])
	return kib[0] << 10, limit << 10, limit > 0
}

// locks looks whether a lock in the project keeps a second engine out.
func locks(e Env, dir string) Check {
	c := Check{Name: "locks", State: Good, Text: "keep a second engine out"}
	if err := e.Lock(dir); err != nil {
		c.State, c.Text = Bad, fmt.Sprintf("do not work here: %v", err)
		c.Todo = "start the project's engine always on the same machine: there, a lock in the socket's folder keeps a second one out"
		return c
	}
	if fs, err := e.FS(dir); err == nil {
		if why := localLocks(e, fs); why != "" {
			c.State, c.Text = Bad, fmt.Sprintf("keep a second engine out on this machine only (%s: %s)", fs.name, why)
			c.Todo = "start the project's engine always on the same machine, or ask for a mount whose locks hold everywhere"
		}
	}
	return c
}

var beegfsLocks = regexp.MustCompile(`(?m)^\s*tuneUseGlobalFileLocks\s*=\s*true`)

// localLocks says why the locks of a shared file system are not seen by other machines; "" if they are, as far as can be known.
func localLocks(e Env, fs fileSystem) string {
	config := "/etc/beegfs/beegfs-client.conf"
	for _, o := range fs.options {
		switch name, value, _ := strings.Cut(o, "="); {
		case o == "nolock", o == "localflock", o == "nobrl", name == "local_lock" && value != "none" && value != "posix":
			return "mounted with " + o
		case name == "cfgFile":
			config = value
		}
	}
	switch {
	case fs.name == "BeeGFS" && !beegfsLocks.MatchString(e.Read(config)):
		return "tuneUseGlobalFileLocks is off"
	case fs.name == "sshfs":
		return "it knows no locks"
	}
	return ""
}

// syncs looks how long a label takes to be on disk.
func syncs(e Env, dir string) Check {
	took, err := e.Sync(dir)
	c := Check{Name: "fsync", State: Good, Text: fmt.Sprintf("a label is on disk after %v", took.Round(100*time.Microsecond))}
	switch {
	case err != nil:
		c.State, c.Text, c.Todo = Bad, fmt.Sprintf("what is written does not get to the disk: %v", err), "keep the project on another file system"
	case took > 300*time.Millisecond:
		c.Todo = "that is slow, and every label waits for it: keep the project on another file system"
	}
	return c
}

// probe makes a file for a trial in a folder.
func probe(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".anomalymatch-doctor-*")
	return f, cause(err)
}

// cause is what went wrong with a file, without the path.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// tryStart writes a program into a folder, or into what of its path is there, and runs it.
func tryStart(dir string) error {
	for {
		if st, err := os.Stat(dir); err == nil && st.IsDir() || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	f, err := probe(dir)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("#!/bin/sh\nexit 0\n")
	if err := cmp.Or(err, f.Chmod(0o700), f.Close()); err != nil {
		return cause(err)
	}
	return cause(exec.Command(f.Name()).Run())
}

// trySync writes a line as the journal does.
func trySync(dir string) (time.Duration, error) {
	f, err := probe(dir)
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	began := time.Now()
	if _, err := f.WriteString("one label\n"); err != nil {
		return 0, cause(err)
	}
	return time.Since(began), cause(f.Sync())
}

// tryLock holds a lock in a folder, as an engine does, and looks whether flock(1) is kept out; without flock(1) this process tries twice.
func tryLock(dir string, run func(argv ...string) (string, error)) error {
	f, err := probe(dir)
	if err != nil {
		return err
	}
	f.Close()
	defer os.Remove(f.Name())
	first := flock.New(f.Name())
	defer first.Close()
	if ok, err := first.TryLock(); err != nil {
		return cause(err)
	} else if !ok {
		return errors.New("a new file is locked already")
	}
	if err := second(f.Name(), run); err == nil {
		return errors.New("two processes get the same lock")
	} else if !errors.Is(err, errLocked) {
		return err
	}
	if err := first.Unlock(); err != nil {
		return cause(err)
	}
	if err := second(f.Name(), run); errors.Is(err, errLocked) {
		return errors.New("a lock is not given back")
	} else if err != nil {
		return err
	}
	return nil
}

var errLocked = errors.New("locked")

// second tries to lock a file from another process.
func second(file string, run func(argv ...string) (string, error)) error {
	_, err := run("flock", "-n", file, "true")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return errLocked
	case errors.Is(err, errSlow):
		return err
	}
	l := flock.New(file)
	defer l.Close()
	ok, err := l.TryLock()
	if err == nil && !ok {
		return errLocked
	}
	return cause(err)
}
