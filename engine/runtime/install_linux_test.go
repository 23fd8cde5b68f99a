package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"anomalymatch/internal/faultfs"
	"anomalymatch/internal/say"
)

// An install on a disk that fails says so, leaves nothing, and can be done again.
func TestInstallOnAFaultyDisk(t *testing.T) {
	k, w, file := tiny(t)
	f := faultfs.Mount(t)
	t.Setenv("XDG_DATA_HOME", f.Dir())
	for errno, fault := range map[syscall.Errno]func(){
		syscall.ENOSPC: func() { f.Fill(1, syscall.EDQUOT); f.Fail(faultfs.Write, "", syscall.ENOSPC) }, // free space is asked for before
		syscall.EDQUOT: func() { f.Fill(0, syscall.EDQUOT) },
		syscall.EIO:    func() { f.Fail(faultfs.Sync, "", syscall.EIO) },
		syscall.EROFS:  f.ReadOnly,
	} {
		f.Clear()
		if err := os.MkdirAll(folder(), 0o777); err != nil {
			t.Fatal(err)
		}
		fault()
		err := install(t.Context(), k, w, file, nil)
		f.Heal()
		if err == nil || !strings.Contains(say.Plain(err.Error()), say.Disk(errno)) || !strings.Contains(err.Error(), f.Dir()) {
			t.Errorf("%v is told as %v", errno, err)
		}
		if left, _ := filepath.Glob(filepath.Join(folder(), "part-*")); len(left) > 0 {
			t.Errorf("%v: %s stays", errno, left)
		}
		if k.sound(w) {
			t.Errorf("%v: half a runtime is taken for one", errno)
		}
		if err := install(t.Context(), k, w, file, nil); err != nil || !k.sound(w) {
			t.Errorf("%v: it does not go on: %v", errno, err)
		}
	}
}
