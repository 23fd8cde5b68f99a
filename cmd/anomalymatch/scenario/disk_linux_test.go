package scenario

import (
	"os"
	"strconv"
	"syscall"
	"testing"
)

// smallDisk is a file system of its own with room for so many bytes.
func smallDisk(t *testing.T, bytes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(bytes)); err != nil {
		t.Skipf("only who may mount can test this: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// readOnly is a folder that can be written until protect is called.
func readOnly(t *testing.T) (dir string, protect func()) {
	t.Helper()
	if os.Getuid() != 0 {
		return chmod(t)
	}
	dir = smallDisk(t, 8<<20)
	return dir, func() {
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Skipf("the disk cannot be protected: %v", err)
		}
	}
}
