//go:build unix

package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

// lock takes the file for this process without waiting. held: another process has it. can: the file system knows locks (some
// clusters' do not).
func lock(f *os.File) (held, can bool, err error) {
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			break
		}
	}
	switch {
	case err == nil:
		return false, true, nil
	case err == unix.EWOULDBLOCK:
		return true, true, nil
	case err == unix.ENOSYS || err == unix.ENOTSUP || err == unix.ENOLCK || err == unix.EINVAL:
		return false, false, nil
	}
	return false, false, err
}
