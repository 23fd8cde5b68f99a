package doctor

import (
	"os"
	"slices"
	"syscall"
	"testing"
)

func TestMountOf(t *testing.T) {
	const mounts = `22 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 22 0:50 / /home rw,nosuid shared:2 - nfs4 fs1:/export/home rw,vers=4.2,local_lock=none
31 30 0:51 / /home/ada/my\040data rw - fuse.sshfs ada@lab: rw,user_id=1000
32 22 0:52 / /scratch rw - lustre 10.0.0.1@o2ib:/s rw,flock
33 22 0:53 / /scratch rw,noexec - tmpfs none rw
nonsense
`
	for path, want := range map[string][3]string{
		"/":                    {"/", "ext4", "discard"},
		"/homework":            {"/", "ext4", "discard"},
		"/home/ada":            {"/home", "nfs4", "local_lock=none"},
		"/home/ada/my data/p":  {"/home/ada/my data", "fuse.sshfs", "user_id=1000"},
		"/home/ada/my datafil": {"/home", "nfs4", "local_lock=none"},
		"/scratch/p":           {"/scratch", "tmpfs", "noexec"},
	} {
		mount, kind, options := mountOf(mounts, path)
		if mount != want[0] || kind != want[1] || !slices.Contains(options, want[2]) {
			t.Errorf("%s: %q of type %q with %q, want %q", path, mount, kind, options, want)
		}
	}
	if mount, kind, options := mountOf("", "/p"); mount != "" || kind != "" || options != nil {
		t.Errorf("no mounts: %q, %q, %q", mount, kind, options)
	}
}

// A real file system that runs nothing.
func TestNoexec(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOEXEC, "size=1m"); err != nil {
		t.Skipf("only who may mount can test this: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	e := Here(t.Context(), false)
	if err := e.Start(dir); err == nil {
		t.Error("a program ran on a file system that is mounted with noexec")
	}
	fs, err := e.FS(dir)
	if err != nil || fs.mount != dir || !slices.Contains(fs.options, "noexec") || fs.free > 1<<20 {
		t.Errorf("%+v, %v", fs, err)
	}
	if err := e.Lock(dir); err != nil {
		t.Errorf("locks on tmpfs: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
