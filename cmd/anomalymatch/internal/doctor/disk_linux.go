package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// The magic numbers of statfs(2), and of the file systems' own sources.
var fileSystems = map[uint32]fileSystemType{
	0xef53:     {"ext4", false},
	0x58465342: {"xfs", false},
	0x9123683e: {"btrfs", false},
	0x2fc12fc1: {"zfs", false},
	0xf2f52010: {"f2fs", false},
	0x794c7630: {"overlay", false},
	0x01021994: {"tmpfs: gone when the machine restarts", false},
	0x6969:     {"NFS", true},
	0x0bd00bd0: {"Lustre", true},
	0x47504653: {"GPFS", true},
	0x19830326: {"BeeGFS", true},
	0x00c36400: {"Ceph", true},
	0xff534d42: {"CIFS", true},
	0xfe534d42: {"SMB", true},
	0x5346414f: {"AFS", true},
	0x6b414653: {"AFS", true},
	0x01021997: {"9p", true},
	0x65735546: {"FUSE (sshfs, for example)", true},
}

// fileSystem says what dir is on and how many bytes this user may still write there.
func fileSystem(dir string) (fileSystemType, int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fileSystemType{}, 0, err
	}
	magic := uint32(s.Type)
	t, ok := fileSystems[magic]
	if !ok {
		t.name = fmt.Sprintf("a file system of type %#x", magic)
	}
	return t, int64(s.Bavail) * int64(s.Bsize), nil
}
