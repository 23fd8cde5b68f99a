package hdf5

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

const (
	maxLinks     = 100_000
	maxDepth     = 8 // of groups, and of the B-trees that list their links
	maxNodesTree = 65_536
)

// link is a name in a group; at is undefined for links to other files.
type link struct {
	name string
	at   int64
	soft string // a path
}

// links lists a group: old ones by symbol table, new ones by link messages or a fractal heap. ok is false for what is no group.
func (f *file) links(ms []message) (out []link, ok bool, err error) {
	for _, m := range ms {
		switch m.kind {
		case msgSymbolTable:
			d := f.decoder(m.data)
			tree, heap := d.addr(), d.addr()
			if d.bad {
				return nil, true, damaged("a symbol table message is too short")
			}
			l, err := f.symbols(tree, heap)
			return l, true, err
		case msgLink:
			l, err := f.linkMessage(m.data)
			if err != nil {
				return nil, true, err
			}
			out, ok = append(out, l), true
		case msgLinkInfo:
			ok = true
			d := f.decoder(m.data)
			version, flags := d.u8(), d.u8()
			if flags&1 != 0 {
				d.skip(8)
			}
			heap, tree := d.addr(), d.addr()
			if d.bad || version != 0 {
				return nil, true, damaged("a link information message makes no sense")
			}
			if heap != undefined {
				l, err := f.dense(heap, tree)
				if err != nil {
					return nil, true, err
				}
				out = append(out, l...)
			}
		}
	}
	return out, ok, nil
}

func (f *file) linkMessage(b []byte) (l link, err error) {
	d := f.decoder(b)
	version, flags := d.u8(), d.u8()
	kind := uint8(0)
	if flags&8 != 0 {
		kind = d.u8()
	}
	if flags&4 != 0 {
		d.skip(8)
	}
	if flags&16 != 0 {
		d.skip(1)
	}
	n := d.uint(1 << (flags & 3))
	if n > uint64(len(d.b)) || version != 1 {
		return l, damaged("a link makes no sense")
	}
	l = link{name: string(d.bytes(int(n))), at: undefined}
	switch kind {
	case 0:
		l.at = d.addr()
	case 1:
		l.soft = string(d.bytes(int(d.u16())))
	}
	if d.bad {
		return l, damaged("a link is cut off")
	}
	return l, nil
}

// symbols lists an old group: a B-tree (version 1) of symbol table nodes, with the names in a local heap.
func (f *file) symbols(tree, heapAt int64) ([]link, error) {
	b, err := f.read(heapAt, int64(8+2*f.length+f.offset))
	if err != nil {
		return nil, err
	}
	d := f.decoder(b)
	magic := d.bytes(4)
	d.skip(4)
	size := d.size()
	d.size()
	at := d.addr()
	if d.bad || string(magic) != "HEAP" || size < 0 || size > maxMeta {
		return nil, damaged("the names of a group are not where they should be")
	}
	names, err := f.read(at, size)
	if err != nil {
		return nil, err
	}
	s := symbolReader{file: f, names: names}
	err = s.node(tree, maxDepth)
	return s.out, err
}

type symbolReader struct {
	*file
	names []byte
	out   []link
	nodes int
}

func (s *symbolReader) node(at int64, depth int) error {
	if s.nodes++; depth == 0 || s.nodes > maxNodesTree {
		return damaged("the list of a group has no end")
	}
	head, err := s.read(at, 8)
	if err != nil {
		return err
	}
	switch string(head[:4]) {
	case "TREE":
		n := int(binary.LittleEndian.Uint16(head[6:]))
		if head[4] != 0 {
			return damaged("the list of a group is of another kind")
		}
		b, err := s.read(at+8+2*int64(s.offset), int64(n*(s.offset+s.length)))
		if err != nil {
			return err
		}
		for d := s.decoder(b); len(d.b) > 0; {
			d.size()
			if err := s.node(d.addr(), depth-1); err != nil {
				return err
			}
		}
	case "SNOD":
		n := int(binary.LittleEndian.Uint16(head[6:]))
		b, err := s.read(at+8, int64(n*(2*s.offset+24)))
		if err != nil {
			return err
		}
		for d := s.decoder(b); len(d.b) > 0; {
			name, object, cache := d.addr(), d.addr(), d.u32()
			d.skip(4)
			scratch := d.bytes(16)
			if name < 0 || name >= int64(len(s.names)) || len(s.out) >= maxLinks {
				return damaged("a group has a name that is not there, or too many")
			}
			l := link{name: text(s.names[name:]), at: object}
			if cache == 2 { // a soft link
				l.at = undefined
				if p := int64(binary.LittleEndian.Uint32(scratch)); p < int64(len(s.names)) {
					l.soft = text(s.names[p:])
				}
			}
			s.out = append(s.out, l)
		}
	default:
		return damaged("the list of a group is not where it should be")
	}
	return nil
}

// text is what stands before the first zero byte.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// dense lists a new group with many links: a B-tree (version 2) of places in a fractal heap.
func (f *file) dense(heapAt, tree int64) ([]link, error) {
	h, err := f.fractalHeap(heapAt)
	if err != nil {
		return nil, err
	}
	t, err := f.tree2(tree)
	if err != nil {
		return nil, err
	}
	if t.kind != 5 {
		return nil, damaged("a group is listed by a B-tree of kind %d", t.kind)
	}
	var out []link
	err = t.walk(func(record []byte) error {
		if len(record) < 5 || len(out) >= maxLinks {
			return damaged("a group has too many links")
		}
		b, err := h.object(record[4:])
		if err != nil {
			return err
		}
		l, err := f.linkMessage(b)
		out = append(out, l)
		return err
	})
	return out, err
}

// fractal is a fractal heap without filters, as far as its managed objects go.
type fractal struct {
	*file
	idSize, offsetSize, lengthSize int
	width                          int
	start, maxDirect               int64
	root                           int64
	rows                           int
	checked                        bool
}

func (f *file) fractalHeap(at int64) (*fractal, error) {
	b, err := f.read(at, int64(26+12*f.length+3*f.offset))
	if err != nil {
		return nil, err
	}
	if string(b[:4]) != "FRHP" {
		return nil, damaged("the names of a group are not where they should be")
	}
	d := f.decoder(b[5:])
	h := &fractal{file: f, idSize: int(d.u16())}
	filters := d.u16()
	h.checked = d.u8()&2 != 0
	managed := int64(d.u32())
	d.size()
	d.addr()
	d.size()
	d.addr()
	for range 8 {
		d.size()
	}
	h.width = int(d.u16())
	h.start, h.maxDirect = d.size(), d.size()
	bits := int(d.u16())
	d.u16()
	h.root = d.addr()
	h.rows = int(d.u16())
	if d.bad || filters != 0 || h.width < 1 || h.width > 1024 || h.start < 1 || h.maxDirect < h.start || h.maxDirect > maxMeta || bits > 64 || h.rows > 64 {
		return nil, damaged("a heap of names makes no sense, or is compressed")
	}
	if _, err := unseal(b, "FRHP"); err != nil {
		return nil, err
	}
	h.offsetSize = (bits + 7) / 8
	h.lengthSize = min(width(uint64(h.maxDirect)), width(uint64(managed)))
	return h, nil
}

// width is how many bytes hold numbers up to n.
func width(n uint64) int {
	w := 1
	for n >>= 8; n > 0; n >>= 8 {
		w++
	}
	return w
}

// object returns the bytes of a managed object.
func (h *fractal) object(id []byte) ([]byte, error) {
	d := h.decoder(id)
	if flags := d.u8(); flags>>4 != 0 {
		return nil, fmt.Errorf("has a group with a link of a rare kind (%#x), which is not read", flags)
	}
	at, n := d.uint(h.offsetSize), d.uint(h.lengthSize)
	if d.bad || at > 1<<62 || n > maxMeta {
		return nil, damaged("a name in a heap makes no sense")
	}
	block, err := h.find(h.root, h.rows, int64(at), 0)
	if err != nil {
		return nil, err
	}
	return h.read(block, int64(n))
}

// find returns the address of the byte at a place of the heap, below a block that begins at the place 0 of what is looked at.
func (h *fractal) find(block int64, rows int, at int64, depth int) (int64, error) {
	if block == undefined || depth > maxDepth {
		return 0, damaged("a heap of names leads nowhere")
	}
	if rows == 0 { // a direct block; places count from its header on
		return block + at, nil
	}
	var first int64
	entry := block + int64(5+h.offset+h.offsetSize)
	for row := range rows {
		size := h.start
		if row > 1 {
			if row-1 > 40 {
				return 0, damaged("a heap of names is too large")
			}
			size <<= row - 1
		}
		if all := size * int64(h.width); at >= first+all {
			first += all
			entry += int64(h.width * h.offset)
			continue
		}
		column := (at - first) / size
		b, err := h.read(entry+column*int64(h.offset), int64(h.offset))
		if err != nil {
			return 0, err
		}
		child := h.decoder(b).addr()
		below := 0
		if size > h.maxDirect { // an indirect block that covers size bytes
			for below = 1; h.covers(below) < size; below++ {
			}
		}
		return h.find(child, below, at-first-column*size, depth+1)
	}
	return 0, damaged("a name lies behind its heap")
}

// covers is how many bytes rows of a heap hold.
func (h *fractal) covers(rows int) int64 {
	n := h.start * int64(h.width)
	for row := 1; row < rows && n < 1<<62/int64(h.width); row++ {
		n *= 2
	}
	return n
}

// walkFile visits the datasets of a file, at most maxDepth groups deep. What cannot be read is left out; the first such error comes back
// with what there is.
func (f *file) walkFile(visit func(path string, ms []message)) (failed error) {
	seen := map[int64]bool{}
	var group func(path string, at int64, depth int) error
	group = func(path string, at int64, depth int) error {
		if seen[at] || depth > maxDepth {
			return nil
		}
		seen[at] = true
		ms, err := f.header(at)
		if err != nil {
			return err
		}
		if find(ms, msgLayout) != nil {
			visit(path, ms)
			return nil
		}
		links, _, err := f.links(ms)
		for _, l := range links {
			if l.at == undefined {
				continue
			}
			if err := group(path+"/"+l.name, l.at, depth+1); err != nil && failed == nil {
				failed = err
			}
		}
		return err
	}
	if err := group("", f.root, 0); err != nil {
		failed = err
	}
	return failed
}

// lookup finds an object by its path, through soft links.
func (f *file) lookup(path string) ([]message, error) {
	at := f.root
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for steps := 0; len(parts) > 0; steps++ {
		if parts[0] == "" || parts[0] == "." {
			parts = parts[1:]
			continue
		}
		ms, err := f.header(at)
		if err != nil {
			return nil, err
		}
		links, _, err := f.links(ms)
		if err != nil {
			return nil, err
		}
		found := false
		for _, l := range links {
			if l.name != parts[0] {
				continue
			}
			found = true
			parts = parts[1:]
			switch {
			case l.at != undefined:
				at = l.at
			case l.soft != "" && steps < 64:
				if strings.HasPrefix(l.soft, "/") {
					at = f.root
				}
				parts = append(strings.Split(strings.Trim(l.soft, "/"), "/"), parts...)
			default:
				return nil, fmt.Errorf("has %q as a link to another file, which is not followed", path)
			}
			break
		}
		if !found {
			return nil, fmt.Errorf("has no dataset %q", path)
		}
	}
	return f.header(at)
}
