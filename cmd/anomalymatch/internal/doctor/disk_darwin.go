package doctor

import (
	"slices"

	"golang.org/x/sys/unix"
)

// fileSystem says what dir is on and how many bytes this user may still write there.
func fileSystem(dir string) (fileSystemType, int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fileSystemType{}, 0, err
	}
	name := unix.ByteSliceToString(s.Fstypename[:])
	return fileSystemType{name, slices.Contains([]string{"nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse"}, name)}, int64(s.Bavail) * int64(s.Bsize), nil
}
