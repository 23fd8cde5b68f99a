//go:build linux

package faultfs

import (
	"maps"
	"math"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

func (f *FS) String() string { return kind }

func (f *FS) attr(n *node, out *fuse.Attr) {
	at := uint64(n.made.Unix())
	ns := uint32(n.made.Nanosecond())
	*out = fuse.Attr{Ino: n.id, Size: uint64(len(n.data)), Blocks: uint64(len(n.data)+sector-1) / sector, Mode: n.mode, Nlink: 1, Blksize: 4096,
		Atime: at, Mtime: at, Ctime: at, Atimensec: ns, Mtimensec: ns, Ctimensec: ns, Owner: fuse.Owner{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}}
}

func (f *FS) entry(n *node, out *fuse.EntryOut) fuse.Status {
	out.NodeId, out.Generation = n.id, 1
	f.attr(n, &out.Attr)
	return fuse.OK
}

func (f *FS) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Look, in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	child := n.names[name]
	if child == nil {
		return fuse.ENOENT
	}
	return f.entry(child, out)
}

func (f *FS) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Look, in.NodeId, "")
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	f.attr(n, &out.Attr)
	return fuse.OK
}

func (f *FS) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Write, in.NodeId, "")
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if status := f.resize(n, int64(size)); status != fuse.OK {
			return status
		}
	}
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&syscall.S_IFMT | mode
	}
	if at, ok := in.GetMTime(); ok {
		n.made = at
	}
	f.attr(n, &out.Attr)
	return fuse.OK
}

func (f *FS) resize(n *node, size int64) fuse.Status {
	if grows := size - int64(len(n.data)); grows > 0 && f.room >= 0 && f.used+grows > f.room {
		f.hits++
		return fuse.Status(f.full)
	}
	f.change(n, change{at: size})
	return fuse.OK
}

// make gives a new node a name in a folder.
func (f *FS) make(cancel <-chan struct{}, in *fuse.InHeader, name string, child *node, out *fuse.EntryOut) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Name, in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	if n.names[name] != nil {
		return fuse.Status(syscall.EEXIST)
	}
	child.made, child.disk.data = time.Now(), slices.Clone(child.data)
	f.know(child)
	f.change(n, change{names: map[string]*node{name: child}})
	return f.entry(child, out)
}

func (f *FS) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.make(cancel, &in.InHeader, name, &node{mode: syscall.S_IFDIR | in.Mode, names: map[string]*node{}, disk: state{names: map[string]*node{}}}, out)
}

func (f *FS) Symlink(cancel <-chan struct{}, in *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	return f.make(cancel, in, name, &node{mode: syscall.S_IFLNK | 0o777, data: []byte(to)}, out)
}

func (f *FS) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return f.make(cancel, &in.InHeader, name, &node{mode: syscall.S_IFREG | in.Mode&^in.Umask}, &out.EntryOut)
}

func (f *FS) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Name, in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	child := f.nodes[in.Oldnodeid]
	switch {
	case child == nil:
		return fuse.Status(syscall.ESTALE)
	case n.names[name] != nil:
		return fuse.Status(syscall.EEXIST)
	}
	f.change(n, change{names: map[string]*node{name: child}})
	return f.entry(child, out)
}

func (f *FS) Readlink(cancel <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	n, status := f.begin(cancel, in.Caller, Look, in.NodeId, "")
	if status != fuse.OK {
		return nil, status
	}
	defer f.mu.Unlock()
	return n.data, fuse.OK
}

func (f *FS) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return f.remove(cancel, in, name, false)
}

func (f *FS) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return f.remove(cancel, in, name, true)
}

func (f *FS) remove(cancel <-chan struct{}, in *fuse.InHeader, name string, folder bool) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Name, in.NodeId, name)
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	child := n.names[name]
	switch {
	case child == nil:
		return fuse.ENOENT
	case folder && !child.is(syscall.S_IFDIR):
		return fuse.ENOTDIR
	case folder && len(child.names) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	f.gone(child)
	f.change(n, change{names: map[string]*node{name: nil}})
	return fuse.OK
}

// gone gives back the room of a file that loses its name.
func (f *FS) gone(n *node) {
	if n != nil {
		f.used -= int64(len(n.data))
	}
}

func (f *FS) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Name, in.NodeId, from)
	if status != fuse.OK {
		return status
	}
	if _, status := f.check(Name, in.Newdir, to); status != fuse.OK { // both names count
		f.mu.Unlock()
		return status
	}
	defer f.mu.Unlock()
	dir := f.nodes[in.Newdir]
	child, there := n.names[from], dir.names[to]
	const noReplace = 1
	switch {
	case child == nil:
		return fuse.ENOENT
	case in.Flags&^noReplace != 0:
		return fuse.EINVAL
	case there == child:
		return fuse.OK
	case there != nil && in.Flags == noReplace:
		return fuse.Status(syscall.EEXIST)
	case there != nil && len(there.names) > 0:
		return fuse.Status(syscall.ENOTEMPTY)
	}
	f.gone(there)
	if dir == n {
		f.change(n, change{names: map[string]*node{from: nil, to: child}})
		return fuse.OK
	}
	f.change(dir, change{names: map[string]*node{to: child}})
	f.change(n, change{names: map[string]*node{from: nil}})
	return fuse.OK
}

func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Look, in.NodeId, "")
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	if in.Flags&syscall.O_ACCMODE != syscall.O_RDONLY {
		for _, r := range f.rules {
			if r.errno == syscall.EROFS && r.matches(n.path()) {
				f.hits++
				return fuse.EROFS
			}
		}
	}
	if in.Flags&syscall.O_TRUNC != 0 {
		if status := f.resize(n, 0); status != fuse.OK {
			return status
		}
	}
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	return fuse.OK
}

func (f *FS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n, status := f.begin(cancel, in.Caller, Read, in.NodeId, "")
	if status != fuse.OK {
		return nil, status
	}
	defer f.mu.Unlock()
	at := min(in.Offset, uint64(len(n.data)))
	return fuse.ReadResultData(buf[:copy(buf, n.data[at:])]), fuse.OK
}

func (f *FS) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	n, status := f.begin(cancel, in.Caller, Write, in.NodeId, "")
	if status != fuse.OK {
		return 0, status
	}
	defer f.mu.Unlock()
	if f.halves && len(data) > 1 {
		data = data[:len(data)/2]
		f.hits++
	}
	if room := int64(len(n.data)) - int64(in.Offset) + f.room - f.used; f.room >= 0 && room < int64(len(data)) {
		f.hits++
		if room <= 0 {
			return 0, fuse.Status(f.full)
		}
		data = data[:room]
	}
	f.change(n, change{at: int64(in.Offset), data: slices.Clone(data)})
	return uint32(len(data)), fuse.OK
}

func (f *FS) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	_, status := f.begin(cancel, in.Caller, Close, in.NodeId, "")
	if status == fuse.OK {
		f.mu.Unlock()
	}
	return status
}

func (f *FS) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Sync, in.NodeId, "")
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	n.sync()
	return fuse.OK
}

func (f *FS) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return f.Fsync(cancel, in)
}

func (f *FS) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	n, status := f.begin(cancel, in.Caller, Look, in.NodeId, "")
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	var list []fuse.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		list = append(list, fuse.DirEntry{Name: name, Ino: n.names[name].id, Mode: n.names[name].mode})
	}
	f.last++
	f.lists[f.last] = list
	out.Fh = f.last
	return fuse.OK
}

func (f *FS) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	_, status := f.begin(cancel, in.Caller, Look, in.NodeId, "")
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	list := f.lists[in.Fh]
	for i := int(min(in.Offset, uint64(len(list)))); i < len(list) && out.AddDirEntry(list[i]); i++ {
	}
	return fuse.OK
}

func (f *FS) ReleaseDir(in *fuse.ReleaseIn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.lists, in.Fh)
}

// StatFs tells of a full disk. It does not tell of a quota, as most file systems do not.
func (f *FS) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	_, status := f.begin(cancel, in.Caller, Look, in.NodeId, "")
	if status != fuse.OK {
		return status
	}
	defer f.mu.Unlock()
	const block = 512
	free := int64(math.MaxInt32) * block
	if f.room >= 0 && f.full == syscall.ENOSPC {
		free = max(0, f.room-f.used)
	}
	*out = fuse.StatfsOut{Bsize: block, Frsize: block, NameLen: 255, Files: 1 << 20, Ffree: 1 << 20,
		Blocks: uint64(f.used+free) / block, Bfree: uint64(free) / block, Bavail: uint64(free) / block}
	return fuse.OK
}
