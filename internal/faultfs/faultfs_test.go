//go:build linux

package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes a file without fsync.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// synced opens a file or a folder and syncs it.
func synced(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// is compares the content of a file; want "-": it is not there.
func is(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		got, err = []byte("-"), nil
	}
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", filepath.Base(path), got, err, want)
	}
}

func TestAFileSystem(t *testing.T) {
	dir := Mount(t).Dir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(in("a/b"), 0o777); err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("0123456789abcdef"), 40_000) // several requests
	write(t, in("a/b/big"), string(big))
	is(t, in("a/b/big"), string(big))
	write(t, in("a/x"), "old")
	write(t, in("a/y"), "new")
	if err := errors.Join(os.Rename(in("a/y"), in("a/x")), os.Rename(in("a/x"), in("z")), os.Link(in("z"), in("w")), os.Symlink("z", in("l")), os.Truncate(in("z"), 2)); err != nil {
		t.Fatal(err)
	}
	is(t, in("z"), "ne")
	is(t, in("w"), "ne")
	is(t, in("l"), "ne")
	is(t, in("a/x"), "-")
	f, err := os.OpenFile(in("z"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("xt")
	f.WriteString("!")
	if _, err := f.Seek(1, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(f); string(rest) != "ext!" {
		t.Errorf("read %q, %v", rest, err)
	}
	f.Close()
	if _, err := os.OpenFile(in("z"), os.O_CREATE|os.O_EXCL, 0o666); !errors.Is(err, os.ErrExist) {
		t.Errorf("made what is there: %v", err)
	}
	if err := os.Remove(in("a")); !errors.Is(err, syscall.ENOTEMPTY) {
		t.Errorf("removed a folder with files: %v", err)
	}
	for i := range 300 { // more than one request lists
		write(t, in(fmt.Sprintf("a/b/%03d", i)), "")
	}
	if list, err := os.ReadDir(in("a/b")); len(list) != 301 || err != nil {
		t.Errorf("%d names, %v", len(list), err)
	}
	if err := os.RemoveAll(in("a")); err != nil {
		t.Error(err)
	}
	list, err := os.ReadDir(dir)
	if names := fmt.Sprint(list); names != "[L l - z - w]" && len(list) != 3 {
		t.Errorf("%s, %v", names, err)
	}
}

func TestFaults(t *testing.T) {
	f := Mount(t)
	at := filepath.Join(f.Dir(), "x.part")
	read := func() error { _, err := os.ReadFile(at); return err }
	save := func() error { return os.WriteFile(at, bytes.Repeat([]byte("x"), 1000), 0o666) }
	sync := func() error {
		file, err := os.OpenFile(at, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), file.Close())
	}
	folder := func() error {
		d, err := os.Open(f.Dir())
		if err != nil {
			return err
		}
		defer d.Close()
		return d.Sync()
	}
	name := func() error { return os.Rename(at, at+"2") }
	list := func() error { _, err := os.ReadDir(f.Dir()); return err }
	for _, c := range []struct {
		name  string
		fault func()
		do    func() error
		want  error
	}{
		{"full", func() { f.Fill(0, syscall.ENOSPC) }, save, syscall.ENOSPC},
		{"half full", func() { f.Fill(500, syscall.ENOSPC) }, save, syscall.ENOSPC},
		{"quota", func() { f.Fill(10, syscall.EDQUOT) }, save, syscall.EDQUOT},
		{"full as one finds later", func() { f.Fail(Sync, "", syscall.ENOSPC) }, sync, syscall.ENOSPC},
		{"quota at close", func() { f.Fail(Close, "*.part", syscall.EDQUOT) }, save, syscall.EDQUOT},
		{"write", func() { f.Fail(Write, "*.part", syscall.EIO) }, save, syscall.EIO},
		{"read", func() { f.Fail(Read, "x.*", syscall.EIO) }, read, syscall.EIO},
		{"fsync", func() { f.Fail(Sync, "x.part", syscall.EIO) }, sync, syscall.EIO},
		{"fsync of the folder", func() { f.Fail(Sync, "", syscall.EIO) }, folder, syscall.EIO},
		{"rename", func() { f.Fail(Name, "x.part2", syscall.EIO) }, name, syscall.EIO},
		{"list", func() { f.Fail(Look, "", syscall.EIO) }, list, syscall.EIO},
		{"read-only, write", f.ReadOnly, save, syscall.EROFS},
		{"read-only, rename", f.ReadOnly, name, syscall.EROFS},
		{"all", func() { f.Fail(All, "", syscall.EIO) }, read, syscall.EIO},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.Clear()
			if err := save(); err != nil {
				t.Fatal(err)
			}
			os.Truncate(at, 0)
			before := f.Hits()
			c.fault()
			if err := c.do(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if f.Hits() == before {
				t.Error("the fault was not counted")
			}
			f.Heal()
			if err := errors.Join(save(), sync(), read(), folder(), list(), name()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	t.Run("another name", func(t *testing.T) {
		f.Clear()
		f.Fail(All, "y.*", syscall.EIO)
		f.Fail(All, "sub/*", syscall.EIO)
		defer f.Heal()
		if err := errors.Join(save(), sync(), read(), name()); err != nil {
			t.Error(err)
		}
	})
}

func TestRoom(t *testing.T) {
	f := Mount(t)
	a, b := filepath.Join(f.Dir(), "a"), filepath.Join(f.Dir(), "b")
	free := func() int64 {
		var st syscall.Statfs_t
		if err := syscall.Statfs(f.Dir(), &st); err != nil {
			t.Fatal(err)
		}
		return int64(st.Bavail) * int64(st.Bsize)
	}
	write(t, a, strings.Repeat("a", 4096))
	f.Fill(2048, syscall.ENOSPC)
	if got := free(); got != 2048 {
		t.Errorf("%d bytes are free, want 2048", got)
	}
	if err := os.WriteFile(b, make([]byte, 4096), 0o666); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote more than there is room for: %v", err)
	}
	if st, err := os.Stat(b); err != nil || st.Size() != 2048 {
		t.Errorf("what fits is %v, %v", st.Size(), err)
	}
	write(t, a, strings.Repeat("A", 4096)) // a truncation gives its room back
	os.Remove(a)
	write(t, b, strings.Repeat("b", 6000))
	f.Fill(0, syscall.EDQUOT)
	if free() < 1<<30 {
		t.Error("a quota is told by the file system")
	}
}

func TestHalf(t *testing.T) {
	f := Mount(t)
	f.Halve()
	at := filepath.Join(f.Dir(), "x")
	fd, err := syscall.Open(at, syscall.O_CREAT|syscall.O_RDWR, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if n, err := syscall.Write(fd, []byte("0123456789")); n != 5 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
	is(t, at, "01234")
	write(t, at, "0123456789") // Go goes on until all is written
	is(t, at, "0123456789")
}

func TestSlow(t *testing.T) {
	f := Mount(t)
	f.Slow(30 * time.Millisecond)
	began := time.Now()
	if _, err := os.Stat(filepath.Join(f.Dir(), "x")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

func TestHang(t *testing.T) {
	f := Mount(t)
	at, sub := filepath.Join(f.Dir(), "x"), filepath.Join(f.Dir(), "sub")
	if err := os.Mkdir(sub, 0o777); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Open(sub)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	f.Hang()
	done := make(chan error)
	go func() { done <- os.WriteFile(at, []byte("x"), 0o666) }()
	select {
	case err := <-done:
		t.Fatalf("did not hang: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	child := exec.Command("cat", "/dev/fd/3/y")
	child.ExtraFiles = []*os.File{folder} // the root is locked by who makes a file there
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); f.Hits() < 2 && time.Now().Before(end); { // both wait
		time.Sleep(10 * time.Millisecond)
	}
	if f.Hits() < 2 {
		t.Error("the child does not hang")
	}
	child.Process.Kill()
	ended := make(chan error)
	go func() { ended <- child.Wait() }()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("what hangs cannot be killed")
	}
	f.Heal()
	if err := <-done; err != nil {
		t.Error(err)
	}
	is(t, at, "x")
}

func TestPowerCut(t *testing.T) {
	f := Mount(t)
	in := func(name string) string { return filepath.Join(f.Dir(), name) }
	seen := map[string]bool{}
	for seed := range uint64(300) {
		f.Clear()
		// On disk: both synced. Lost or not: what is written since, and names.
		write(t, in("kept"), "kept")
		synced(t, in("kept"))
		synced(t, f.Dir())
		open, err := os.OpenFile(in("kept"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		open.WriteString(strings.Repeat("+", 1200))
		write(t, in("new"), "new") // neither
		write(t, in("half"), "half")
		synced(t, in("half")) // not its name
		os.Rename(in("kept"), in("moved"))
		f.Cut(seed)
		if _, err := os.ReadFile(in("kept")); !errors.Is(err, syscall.EIO) {
			t.Fatalf("read without power: %v", err)
		}
		if !f.On() {
			t.Fatal("there was no cut")
		}
		if _, err := open.WriteString("ghost"); err == nil {
			t.Fatal("a file that was open goes on")
		}
		open.Close()
		var was []string
		names, err := os.ReadDir(f.Dir())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, d := range names {
			text, err := os.ReadFile(in(d.Name()))
			if err != nil {
				t.Fatal(err)
			}
			how := "torn"
			switch rest := strings.TrimPrefix(string(text), "kept"); {
			case d.Name() == "kept" || d.Name() == "moved":
				found = true
				if !strings.HasPrefix(string(text), "kept") {
					t.Fatalf("seed %d: what was synced is %q", seed, text)
				}
				if rest == "" {
					how = "old"
				} else if rest == strings.Repeat("+", 1200) {
					how = "whole"
				}
			case string(text) == d.Name():
				how = "whole"
			case len(text) == 0:
				how = "empty"
			}
			was = append(was, d.Name()+" "+how)
			if d.Name() == "half" && how != "whole" {
				t.Fatalf("seed %d: half was synced and is %q", seed, text)
			}
		}
		if !found {
			t.Fatalf("seed %d: neither name of kept is there: %v", seed, was)
		}
		for _, w := range was {
			seen[w] = true
		}
		seen[fmt.Sprint(was)] = true
		// What is there now stays.
		f.Cut(seed + 1)
		f.On()
		again, _ := os.ReadDir(f.Dir())
		if len(again) != len(names) {
			t.Fatalf("seed %d: after a cut there were %d names, after another %d", seed, len(names), len(again))
		}
	}
	for _, want := range []string{"kept old", "kept whole", "kept torn", "moved old", "moved whole", "new empty", "new whole", "half whole", "[kept old]"} {
		if !seen[want] {
			t.Errorf("no cut in 300 left %q", want)
		}
	}
	if len(seen) < 20 {
		t.Errorf("the cuts left only %d different disks", len(seen))
	}
}

func TestTheSameSeedIsTheSameCut(t *testing.T) {
	f := Mount(t)
	after := func(seed uint64) (disk string) {
		f.Clear()
		for i := range 5 {
			name := filepath.Join(f.Dir(), fmt.Sprint(i))
			write(t, name, strings.Repeat(fmt.Sprint(i), 3000))
		}
		f.Cut(seed)
		f.On()
		list, _ := os.ReadDir(f.Dir())
		for _, d := range list {
			text, _ := os.ReadFile(filepath.Join(f.Dir(), d.Name()))
			disk += d.Name() + string(text)
		}
		return disk
	}
	var all []string
	for seed := range uint64(20) {
		first := after(seed)
		if again := after(seed); again != first {
			t.Fatalf("seed %d: the same cut left another disk", seed)
		}
		all = append(all, first)
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n < 8 {
		t.Errorf("20 seeds left %d different disks", n)
	}
}

func TestCutAt(t *testing.T) {
	f := Mount(t)
	at := filepath.Join(f.Dir(), "x")
	f.CutAt(3, 1) // create, write, sync
	file, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the third change: %v", err)
	}
	file.Close()
	if !f.On() {
		t.Error("there was no cut")
	}
	f.CutAt(100, 1)
	if f.On() {
		t.Error("there was a cut")
	}
}

// A failed fsync has lost what it should have written, whatever another one says.
func TestAFailedSyncForgets(t *testing.T) {
	f := Mount(t)
	at := filepath.Join(f.Dir(), "x")
	file, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	synced(t, f.Dir())
	file.WriteString("lost")
	f.Fail(Sync, "x", syscall.EIO)
	if file.Sync() == nil {
		t.Fatal("no error")
	}
	f.Heal()
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	is(t, at, "lost")
	f.Cut(0)
	f.On()
	is(t, at, "")
}

// A test that is killed while operations hang leaves neither a process nor a mount.
func TestAKilledTest(t *testing.T) {
	if os.Getenv("FAULTFS_VICTIM") != "" {
		f := Mount(t)
		f.Hang()
		for range 3 {
			go os.ReadDir(f.Dir())
		}
		time.Sleep(100 * time.Millisecond)
		fmt.Println("at", f.Dir())
		time.Sleep(time.Hour)
	}
	Mount(t) // skips where there is no FUSE
	victim := exec.Command(os.Args[0], "-test.run", "^TestAKilledTest$", "-test.v")
	victim.Env = append(os.Environ(), "FAULTFS_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err == nil {
		err = victim.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var dir string
	for dir == "" {
		var word string
		if _, err := fmt.Fscan(out, &word); err != nil {
			t.Fatal(err)
		}
		if word == "at" {
			fmt.Fscan(out, &dir)
		}
	}
	victim.Process.Kill()
	ended := make(chan error, 1)
	go func() { ended <- victim.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the process stays")
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(dir); !bytes.Contains(mounts, []byte(dir)) && errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s stays mounted", dir)
		}
	}
}
