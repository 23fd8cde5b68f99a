//go:build linux

package faultfs

import (
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file, a folder or a symbolic link, as it is read now.
type node struct {
	id     uint64
	mode   uint32 // with the kind
	made   time.Time
	data   []byte           // of a file; where a link points
	names  map[string]*node // of a folder; nil: it is none
	parent *node
	name   string // there

	disk  state    // what is on disk
	since []change // what was done since, oldest first
}

type state struct {
	data  []byte
	names map[string]*node
}

// change is a write, a truncation, or names of a folder that change in one step.
type change struct {
	clock uint64
	at    int64
	data  []byte           // nil: a truncation to at
	names map[string]*node // nil: a change of a file; a nil node: that name is gone
}

// sector is what a disk writes whole or not at all.
const sector = 512

func (n *node) path() string {
	if n.parent == nil {
		return ""
	}
	return path.Join(n.parent.path(), n.name)
}

// change does something and notes that it is not on disk.
func (f *FS) change(n *node, c change) {
	f.clock++
	c.clock = f.clock
	before := len(n.data)
	n.data = c.onto(n.data)
	f.used += int64(len(n.data) - before)
	c.in(n.names)
	for name, child := range c.names {
		if child != nil {
			child.parent, child.name = n, name
		}
	}
	n.since = append(n.since, c)
	n.made = time.Now()
}

// onto returns the data of a file behind a change.
func (c change) onto(data []byte) []byte {
	switch end := int(c.at) + len(c.data); {
	case c.names != nil:
	case c.data == nil && end <= len(data):
		data = data[:end:end] // what is written behind it later must not show in who holds the longer one
	case end > len(data):
		data = slices.Grow(data, end-len(data))
		clear(data[len(data):end])
		data = data[:end]
		fallthrough
	default:
		copy(data[c.at:], c.data)
	}
	return data
}

// in does a change to the names of a folder.
func (c change) in(names map[string]*node) {
	for name, child := range c.names {
		if child == nil {
			delete(names, name)
		} else {
			names[name] = child
		}
	}
}

// sync puts on disk what was done to a node.
func (n *node) sync() {
	for _, c := range n.since {
		n.disk.data = c.onto(n.disk.data)
		c.in(n.disk.names)
	}
	n.since = nil
}

// cut is the end of this world and the beginning of the next. Called with mu held.
func (f *FS) cut(seed uint64) {
	if f.off {
		return
	}
	f.off = true
	r := rand.New(rand.NewPCG(seed, 9))
	var lasts func(c change) bool // whether a change is on disk
	torn := false
	switch r.IntN(3) {
	case 0: // the caches of the system and of the disk are gone
		lasts = func(change) bool { return false }
	case 1: // a file system that keeps the order of everything
		until := f.clock - min(f.clock, uint64(r.IntN(20)))
		lasts = func(c change) bool { return c.clock <= until }
	default: // one that writes back what it likes
		lasts, torn = func(change) bool { return r.IntN(2) == 0 }, true
	}
	kept := map[*node]*node{} // a file may have two names
	var keep func(n *node) *node
	keep = func(n *node) *node {
		if k := kept[n]; k != nil {
			return k
		}
		k := &node{mode: n.mode, made: n.made, data: slices.Clone(n.disk.data)}
		kept[n] = k
		if n.names != nil {
			names := maps.Clone(n.disk.names)
			for _, c := range n.since {
				if lasts(c) {
					c.in(names)
				}
			}
			k.names, k.disk.names = map[string]*node{}, map[string]*node{}
			for _, name := range slices.Sorted(maps.Keys(names)) { // in an order, so that the same seed is the same cut
				k.names[name] = keep(names[name])
			}
			maps.Copy(k.disk.names, k.names)
			return k
		}
		for _, c := range n.since {
			if lasts(c) {
				k.data = c.tear(k.data, torn, r)
			}
		}
		k.disk.data = slices.Clone(k.data)
		return k
	}
	f.put(keep(f.root))
}

// tear does a write as a disk without power may do it: some of its sectors, of which the others are what they were, or zeros where the file has become longer.
func (c change) tear(data []byte, torn bool, r *rand.Rand) []byte {
	if !torn || len(c.data) == 0 || r.IntN(2) == 0 {
		return c.onto(data)
	}
	old := len(data)
	whole := c.onto(slices.Clone(data))
	data = slices.Grow(data, len(whole)-old)[:len(whole)]
	clear(data[old:])
	end := old
	for from := c.at; from < c.at+int64(len(c.data)); {
		to := min((from/sector+1)*sector, c.at+int64(len(c.data)))
		if r.IntN(2) == 0 {
			end = max(end, copy(data[from:to], whole[from:to])+int(from))
		}
		from = to
	}
	if r.IntN(2) == 0 {
		data = data[:end] // nor is the file longer than what is there
	}
	return data
}

// put makes a tree the file system. Nothing of another one can be reached any more.
func (f *FS) put(root *node) {
	f.root, f.nodes, f.lists, f.used = root, map[uint64]*node{}, map[uint64][]fuse.DirEntry{}, 0
	var walk func(n *node)
	walk = func(n *node) {
		if n.id == 0 {
			f.know(n)
			f.used += int64(len(n.data))
		}
		for name, child := range n.names {
			child.parent, child.name = n, name
			walk(child)
		}
	}
	root.id = fuse.FUSE_ROOT_ID
	f.last = max(f.last, root.id)
	f.nodes[root.id] = root
	walk(root)
}

// know gives a node a number that none had before, so that the kernel takes it for no other one.
func (f *FS) know(n *node) {
	f.last++
	n.id = f.last
	f.nodes[n.id] = n
}

func (n *node) is(kind uint32) bool { return n.mode&syscall.S_IFMT == kind }
