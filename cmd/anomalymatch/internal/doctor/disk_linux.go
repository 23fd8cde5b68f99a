package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const fuseMagic = 0x65735546

// The magic numbers of statfs(2), and of the file systems' own sources.
var fileSystems = map[uint32]fileSystem{
	0xef53:     {name: "ext4"},
	0x58465342: {name: "xfs"},
	0x9123683e: {name: "btrfs"},
	0x2fc12fc1: {name: "zfs"},
	0xf2f52010: {name: "f2fs"},
	0x794c7630: {name: "overlay"},
	0x01021994: {name: "tmpfs: gone when the machine restarts"},
	0x4d44:     {name: "FAT"},
	0x2011bab0: {name: "exFAT"},
	0x73717368: {name: "squashfs: nothing can be written"},
	0x6969:     {name: "NFS", shared: true},
	0x0bd00bd0: {name: "Lustre", shared: true},
	0x47504653: {name: "GPFS", shared: true},
	0x19830326: {name: "BeeGFS", shared: true},
	0x00c36400: {name: "Ceph", shared: true},
	0xaad7aaea: {name: "PanFS", shared: true},
	0x01161970: {name: "GFS2", shared: true},
	0x7461636f: {name: "OCFS2", shared: true},
	0xff534d42: {name: "CIFS", shared: true},
	0xfe534d42: {name: "SMB", shared: true},
	0x5346414f: {name: "AFS", shared: true},
	0x6b414653: {name: "AFS", shared: true},
	0x01021997: {name: "9p", shared: true},
	fuseMagic:  {name: "FUSE", shared: true},
}

// lookAt says what dir is on.
func lookAt(dir string) (fileSystem, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fileSystem{}, err
	}
	magic := uint32(s.Type)
	fs, ok := fileSystems[magic]
	if !ok {
		fs.name = fmt.Sprintf("a file system of type %#x", magic)
	}
	fs.free = int64(s.Bavail) * int64(s.Bsize)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		var kind string
		fs.mount, kind, fs.options = mountOf(string(mounts), real)
		if name, ok := strings.CutPrefix(kind, "fuse."); ok && magic == fuseMagic {
			fs.name = name
		}
	}
	return fs, nil
}

// mountOf finds in /proc/self/mountinfo the mount that an absolute path lies on, its type and options.
func mountOf(mountinfo, path string) (mount, kind string, options []string) {
	for line := range strings.Lines(mountinfo) {
		at, what, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(at), strings.Fields(what)
		if len(f) < 6 || len(g) < 2 {
			continue
		}
		dir := octal.Replace(f[4])
		if len(dir) < len(mount) || path != dir && !strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/") {
			continue // of two at one place the later one lies on top
		}
		mount, kind, options = dir, g[0], strings.Split(f[5], ",")
		if len(g) > 2 {
			options = append(options, strings.Split(g[2], ",")...)
		}
	}
	return mount, kind, options
}

// octal undoes how the kernel writes blanks in paths.
var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
