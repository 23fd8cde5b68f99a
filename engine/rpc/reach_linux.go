package rpc

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The magic numbers of statfs(2), and of the file systems' own sources.
const (
	lustreMagic = 0x0bd00bd0
	beegfsMagic = 0x19830326
)

// reaches says whether a lock on the file holds on other machines too, as far as the kernel tells; true for file systems of this machine.
func reaches(path string) bool {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return true
	}
	switch s.Type {
	case unix.NFS_SUPER_MAGIC: // flock is handed to the server since Linux 2.6.12, unless it was mounted otherwise: nfs(5)
		options := mountOptions(path)
		return !options["local_lock=flock"] && !options["local_lock=all"] && !options["nolock"]
	case lustreMagic:
		return !mountOptions(path)["localflock"]
	case unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, beegfsMagic: // each as it likes
		return false
	}
	return true
}

// mountOptions are those of the file system that path is on.
func mountOptions(path string) map[string]bool {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	var best string
	options := map[string]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		at, opts, ok := mount(lines.Text())
		if !ok || !within(path, at) || len(at) < len(best) {
			continue
		}
		best = at
		clear(options)
		for o := range strings.SplitSeq(opts, ",") {
			options[o] = true
		}
	}
	return options
}

// mount reads a line of /proc/self/mountinfo: where, and with which options of the mount and of the file system, joined by commas.
func mount(line string) (at, options string, ok bool) {
	front, back, found := strings.Cut(line, " - ")
	fields, super := strings.Fields(front), strings.Fields(back)
	if !found || len(fields) < 6 || len(super) < 3 {
		return "", "", false
	}
	at = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
	return at, fields[5] + "," + super[2], true
}

// within says whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
