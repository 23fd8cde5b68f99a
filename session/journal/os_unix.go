//go:build unix

package journal

import (
	"errors"
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

// syncDir makes a new file's name as durable as its content. Some network file systems cannot, and do so on their own.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}
