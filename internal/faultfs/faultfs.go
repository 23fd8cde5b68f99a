//go:build linux

package faultfs

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Op is a set of operations.
type Op uint

// The operations that can fail, and All of them.
const (
	Read  Op = 1 << iota // bytes of a file
	Write                // bytes of a file, and its size
	Sync                 // fsync of a file or a folder
	Close                // what close(2) says: network file systems tell of a full disk only there
	Name                 // make, rename or remove a file or a folder
	Look                 // stat, open, list
	All   = Read | Write | Sync | Close | Name | Look
)

// FS is a mounted file system. Its methods may be called from several goroutines.
type FS struct {
	fuse.RawFileSystem
	dir string

	mu     sync.Mutex
	nodes  map[uint64]*node // by what the kernel calls them
	root   *node
	lists  map[uint64][]fuse.DirEntry // of open folders, as they were when opened
	last   uint64                     // the last number given to a node or a list
	clock  uint64                     // of changes
	used   int64                      // bytes of all files
	rules  []rule
	room   int64         // bytes that may be in use; <0: any number
	full   syscall.Errno // what is answered beyond that
	halves bool          // every write takes half of what it is given
	delay  time.Duration
	hang   chan struct{} // closed when it goes on; nil: it does not hang
	off    bool          // no power
	cutAt  int           // the power goes before this change; 0: never
	seed   uint64        // of that cut
	done   int           // changes so far
	hits   int           // operations that failed, were cut short or hung because they were told to
}

type rule struct {
	op      Op
	pattern string
	errno   syscall.Errno
}

const (
	kind   = "faultfs"
	prefix = "faultfs-" // of mount points
)

// Mount mounts an empty file system until the test ends. Where the system has no FUSE the test is skipped; in CI it fails where only fuse3 is missing.
func Mount(t testing.TB) *FS {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("this system has no FUSE: %v", err)
	}
	f, err := mount()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no FUSE: %v; install fuse3", err)
		}
		t.Skipf("this needs FUSE: %v; install fuse3", err)
	}
	return f.until(t)
}

// Dir is where it is mounted.
func (f *FS) Dir() string { return f.dir }

// Fail makes operations fail on files and folders whose name, or whose path below Dir where the pattern has a slash, matches (path.Match; "": all).
func (f *FS) Fail(op Op, pattern string, errno syscall.Errno) {
	if _, err := path.Match(pattern, ""); err != nil {
		panic(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, rule{op, pattern, errno})
}

// Fill leaves room for so many more bytes, then answers ENOSPC or EDQUOT. A write gets what fits. Removing files makes room.
func (f *FS) Fill(bytes int64, errno syscall.Errno) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room, f.full = f.used+bytes, errno
}

// ReadOnly answers EROFS to everything that would change something.
func (f *FS) ReadOnly() { f.Fail(Write|Name, "", syscall.EROFS) }

// Halve lets every write take half of what it is given, one byte at least.
func (f *FS) Halve() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.halves = true
}

// Slow delays every operation.
func (f *FS) Slow(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

// Hang lets no operation end before Heal. A process that waits for one can be killed, as with a hard mount of NFS; not where it waits for another one,
// which makes a name in the same folder.
func (f *FS) Hang() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hang == nil {
		f.hang = make(chan struct{})
	}
}

// Heal ends all faults but a power cut.
func (f *FS) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules, f.room, f.halves, f.delay = nil, -1, false, 0
	if f.hang != nil {
		close(f.hang)
		f.hang = nil
	}
}

// Hits is how many operations failed, were cut short or hung so far because they were told to: a test whose fault hit nothing shows nothing.
func (f *FS) Hits() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

// Changes is how many operations so far would not survive a power cut by themselves: writes, names, fsyncs.
func (f *FS) Changes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// Cut cuts the power now, CutAt before the nth change from now on (1: the next): every operation fails with EIO until On, which shows what the disk has then.
// What of the unsynced changes is on it is a function of the seed. Files that were open stay useless.
func (f *FS) Cut(seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut(seed)
}

// CutAt is described at Cut.
func (f *FS) CutAt(n int, seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cutAt, f.seed = f.done+n, seed
}

// On brings the power back, also where it was not cut: a cut that is still to come does not. It tells whether there was a cut.
func (f *FS) On() (cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	cut = f.off
	f.off, f.cutAt = false, 0
	return cut
}

// Clear removes everything, as a new disk.
func (f *FS) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.put(&node{mode: syscall.S_IFDIR | 0o777, made: time.Now(), names: map[string]*node{}, disk: state{names: map[string]*node{}}})
}

func mount() (*FS, error) {
	sweep()
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return nil, err
	}
	f := &FS{RawFileSystem: fuse.NewDefaultRawFileSystem(), dir: dir, room: -1}
	f.Clear()
	// Locks stay the kernel's, which is one for all processes of a test. All else comes here each time: nothing is cached.
	server, err := fuse.NewServer(f, dir, &fuse.MountOptions{Name: kind, FsName: kind, DirectMount: true, DisableXAttrs: true, MaxWrite: 1 << 17, DisableReadDirPlus: true, AllowOther: os.Getuid() == 0})
	if err == nil {
		go server.Serve()
		err = server.WaitMount()
	}
	if err != nil {
		os.Remove(dir)
		return nil, err
	}
	return f, nil
}

func (f *FS) until(t testing.TB) *FS {
	unguard, err := f.guard()
	if err != nil {
		unmount(f.dir)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Heal()
		unmount(f.dir)
		os.Remove(f.dir)
		unguard()
	})
	return f
}

// unmount takes a file system away, whoever uses it: what hangs in it gets an error.
func unmount(dir string) {
	if syscall.Unmount(dir, syscall.MNT_FORCE) == nil {
		return
	}
	if syscall.Unmount(dir, syscall.MNT_DETACH) == nil {
		return
	}
	for _, program := range []string{"fusermount3", "fusermount"} {
		if exec.Command(program, "-uz", dir).Run() == nil {
			return
		}
	}
}

// guard takes the mount away when this process is killed. Where operations hang then, its threads would wait for an answer that only this process
// can give, for ever; so another process watches one thread that never waits.
func (f *FS) guard() (end func(), err error) {
	tid, over := make(chan int), make(chan struct{})
	var idle func()
	idle = func() {
		runtime.LockOSThread()
		if me := syscall.Gettid(); me != os.Getpid() {
			tid <- me
		} else { // a process keeps its first thread, dead, until the last one has ended
			go idle()
		}
		<-over
	}
	go idle()
	const script = `while [ -d "/proc/$1/task/$2" ]; do sleep 0.5; done; umount -f "$3"; umount -l "$3" || fusermount3 -uz "$3"; rmdir "$3"`
	watch := exec.Command("sh", "-c", script, "sh", strconv.Itoa(os.Getpid()), strconv.Itoa(<-tid), f.dir)
	watch.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what ends the test's group is not to end it
	if err := watch.Start(); err != nil {
		return nil, err
	}
	return func() {
		close(over)
		syscall.Kill(-watch.Process.Pid, syscall.SIGKILL)
		watch.Wait()
	}, nil
}

// sweep takes away what tests that were killed left mounted.
func sweep() {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return
	}
	defer mounts.Close()
	for in := bufio.NewScanner(mounts); in.Scan(); {
		fields := strings.Fields(in.Text())
		if len(fields) < 5 || !strings.HasPrefix(fields[4], filepath.Join(os.TempDir(), prefix)) || !strings.Contains(in.Text(), " fuse."+kind+" ") {
			continue
		}
		var st syscall.Stat_t
		if err := syscall.Stat(fields[4], &st); errors.Is(err, syscall.ENOTCONN) {
			unmount(fields[4])
			os.Remove(fields[4])
		}
	}
}

// begin is called before every operation: it waits as long as it was told to and answers what it was told to. The lock is held where it answers OK.
func (f *FS) begin(cancel <-chan struct{}, by fuse.Caller, op Op, id uint64, name string) (*node, fuse.Status) {
	f.mu.Lock()
	delay, hang := f.delay, f.hang
	if hang != nil {
		f.hits++
	}
	f.mu.Unlock()
	time.Sleep(delay)
	if hang != nil && !wait(hang, cancel, by.Pid) {
		return nil, fuse.EINTR
	}
	f.mu.Lock()
	n, status := f.check(op, id, name)
	if status != fuse.OK {
		f.mu.Unlock()
	}
	return n, status
}

func (f *FS) check(op Op, id uint64, name string) (*node, fuse.Status) {
	if !f.off && op&(Write|Name|Sync) != 0 {
		f.done++
		if f.done == f.cutAt {
			f.cut(f.seed)
		}
	}
	if f.off {
		return nil, fuse.EIO
	}
	n := f.nodes[id]
	if n == nil {
		return nil, fuse.Status(syscall.ESTALE)
	}
	at := n.path()
	if name != "" {
		at = path.Join(at, name)
	}
	for _, r := range f.rules {
		if r.op&op != 0 && r.matches(at) {
			f.hits++
			if op == Sync && n.names == nil {
				n.since = nil // not written, and nobody will try again
			}
			return nil, fuse.Status(r.errno)
		}
	}
	return n, fuse.OK
}

func (r rule) matches(at string) bool {
	if !strings.Contains(r.pattern, "/") {
		at = path.Base(at)
	}
	ok, _ := path.Match(r.pattern, at)
	return ok || r.pattern == ""
}

// wait returns true when the hanging ends, false when the one that asks is killed.
func wait(hang, cancel <-chan struct{}, thread uint32) bool {
	select {
	case <-hang:
		return true
	case <-cancel: // there is a signal for it: the first one only is told
	}
	for {
		if killed(thread) {
			return false
		}
		select {
		case <-hang:
			return true
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// killed tells whether SIGKILL is on its way to a thread.
func killed(thread uint32) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(text)) {
		for _, set := range []string{"SigPnd:", "ShdPnd:"} {
			if hex, ok := strings.CutPrefix(line, set); ok {
				if signals, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64); err == nil && signals&(1<<(syscall.SIGKILL-1)) != 0 {
					return true
				}
			}
		}
	}
	return false
}
