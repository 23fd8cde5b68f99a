//go:build linux || darwin

// Package disk tells what may still be written.
package disk

import "golang.org/x/sys/unix"

// Free is what the user may still write in a folder's file system, bytes; false where nobody knows. Quotas are not in it.
func Free(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}
