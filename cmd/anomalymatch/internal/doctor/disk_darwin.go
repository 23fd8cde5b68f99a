package doctor

import (
	"slices"

	"golang.org/x/sys/unix"
)

// lookAt says what dir is on.
func lookAt(dir string) (fileSystem, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fileSystem{}, err
	}
	name := unix.ByteSliceToString(s.Fstypename[:])
	return fileSystem{
		name:   name,
		shared: slices.Contains([]string{"nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse"}, name),
		free:   int64(s.Bavail) * int64(s.Bsize),
		mount:  unix.ByteSliceToString(s.Mntonname[:]),
	}, nil
}
