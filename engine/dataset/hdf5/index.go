package hdf5

import (
	"encoding/binary"
	"math/bits"
)

// chunkAt is where a chunk lies in the file.
type chunkAt struct {
	at   int64  // undefined: it was never written
	n    int64  // bytes, as stored
	mask uint32 // filters that were left out
}

var noChunk = chunkAt{at: undefined}

// chunkIndex finds chunks by their place in the grid of chunks. It reads what it needs each time, through a cache: an index of millions of
// chunks costs no memory.
type chunkIndex interface {
	chunk(place []int64) (chunkAt, error)
}

// single is the index of a dataset of one chunk.
type single struct{ c chunkAt }

func (s single) chunk([]int64) (chunkAt, error) { return s.c, nil }

// grid numbers chunks in C order.
type grid struct{ counts []int64 }

func (g grid) number(place []int64) int64 {
	n := int64(0)
	for i, p := range place {
		n = n*g.counts[i] + p
	}
	return n
}

// implicit is the index of chunks that lie one behind the other.
type implicit struct {
	grid
	at, n int64
}

func (x implicit) chunk(place []int64) (chunkAt, error) {
	if x.at == undefined {
		return noChunk, nil
	}
	i := x.number(place)
	if i > (1<<62)/max(x.n, 1) {
		return noChunk, damaged("a chunk lies behind its end")
	}
	return chunkAt{at: x.at + i*x.n, n: x.n}, nil
}

// tree1 is a B-tree of version 1, as h5py writes it by default.
type tree1 struct {
	*file
	root int64
	dims []int64 // of a chunk, in elements
	size int64   // of an element
}

func (t *tree1) chunk(place []int64) (chunkAt, error) {
	if t.root == undefined {
		return noChunk, nil
	}
	want := make([]int64, len(place)+1)
	for i, p := range place {
		want[i] = p * t.dims[i]
	}
	key := 8 + 8*len(want)
	at, level := t.root, -1
	for {
		head, err := t.block(at, 8+2*t.offset)
		if err != nil {
			return noChunk, err
		}
		n := int(binary.LittleEndian.Uint16(head[6:]))
		if string(head[:4]) != "TREE" || head[4] != 1 || level >= 0 && int(head[5]) != level-1 {
			return noChunk, damaged("an index of chunks is not where it should be")
		}
		level = int(head[5])
		b, err := t.block(at+int64(len(head)), n*(key+t.offset))
		if err != nil {
			return noChunk, err
		}
		// The last child whose first key is not behind what is wanted.
		low, high := 0, n
		for low < high {
			if mid := (low + high) / 2; t.compare(b[mid*(key+t.offset):], want) <= 0 {
				low = mid + 1
			} else {
				high = mid
			}
		}
		if low == 0 {
			return noChunk, nil
		}
		entry := b[(low-1)*(key+t.offset):]
		child := t.decoder(entry[key:]).addr()
		if level == 0 {
			if t.compare(entry, want) != 0 {
				return noChunk, nil
			}
			return chunkAt{child, int64(binary.LittleEndian.Uint32(entry)), binary.LittleEndian.Uint32(entry[4:])}, nil
		}
		at = child
	}
}

// compare tells the order of a key's offsets and those wanted.
func (t *tree1) compare(key []byte, want []int64) int {
	for i, w := range want {
		if v := binary.LittleEndian.Uint64(key[8+8*i:]); v < uint64(w) {
			return -1
		} else if v > uint64(w) {
			return 1
		}
	}
	return 0
}

// tree2 is a B-tree of version 2: chunks of datasets that can grow along several axes, and links of groups.
type tree2 struct {
	*file
	kind    int
	node    int // bytes of a node
	record  int // bytes of a record
	root    int64
	records int // of the root
	depth   int
	counts  []int // bytes of the number of records of a child, by the child's height
	totals  []int // bytes of the number of all records below a child
}

func (f *file) tree2(at int64) (*tree2, error) {
	b, err := f.sealed(at, 16+f.offset+2+f.length+4, "BTHD")
	if err != nil {
		return nil, err
	}
	d := f.decoder(b[4:])
	d.skip(1)
	t := &tree2{file: f, kind: int(d.u8()), node: int(d.u32()), record: int(d.u16()), depth: int(d.u16())}
	d.skip(2)
	t.root, t.records = d.addr(), int(d.u16())
	const prefix = 10
	if d.bad || t.node > maxMeta || t.record < 1 || t.depth > 16 || t.node < prefix+t.record {
		return nil, damaged("a B-tree makes no sense")
	}
	most := (t.node - prefix) / t.record // records of a node of each height
	all := uint64(most)
	t.counts, t.totals = []int{width(uint64(most))}, []int{0}
	for h := 1; h <= t.depth; h++ {
		pointer := f.offset + t.counts[0] + t.totals[h-1]
		most = (t.node - prefix - pointer) / (t.record + pointer)
		if most < 1 {
			return nil, damaged("a B-tree makes no sense")
		}
		if over, low := bits.Mul64(uint64(most+1), all); over != 0 || low > 1<<62 {
			all = 1 << 62
		} else {
			all = low + uint64(most)
		}
		t.totals = append(t.totals, width(all))
		t.counts = append(t.counts, t.counts[0])
	}
	return t, nil
}

// child2 is a node and how many records it has.
type child2 struct {
	at      int64
	records int
}

// read2 returns the records and the children of a node of a height.
func (t *tree2) read2(c child2, height int) (records []byte, children *decoder, err error) {
	magic := "BTLF"
	n := 6 + c.records*t.record
	pointer := 0
	if height > 0 {
		magic = "BTIN"
		pointer = t.offset + t.counts[height-1] + t.totals[height-1]
		n += (c.records + 1) * pointer
	}
	if c.records < 0 || n+4 > t.node {
		return nil, nil, damaged("a node of a B-tree is too full")
	}
	b, err := t.sealed(c.at, n+4, magic)
	if err != nil {
		return nil, nil, err
	}
	if int(b[5]) != t.kind {
		return nil, nil, damaged("a node of a B-tree is of another kind")
	}
	b = b[6:]
	return b[:c.records*t.record], t.decoder(b[c.records*t.record:]), nil
}

func (t *tree2) child(children *decoder, i, height int) child2 {
	pointer := t.offset + t.counts[height-1] + t.totals[height-1]
	d := *children
	d.skip(i * pointer)
	return child2{d.addr(), int(d.uint(t.counts[height-1]))}
}

// walk visits all records in order.
func (t *tree2) walk(visit func(record []byte) error) error {
	if t.root == undefined {
		return nil
	}
	nodes := 0
	var node func(c child2, height int) error
	node = func(c child2, height int) error {
		if nodes++; nodes > maxNodesTree {
			return damaged("a B-tree has no end")
		}
		records, children, err := t.read2(c, height)
		if err != nil {
			return err
		}
		for i := range c.records + 1 {
			if height > 0 {
				if err := node(t.child(children, i, height), height-1); err != nil {
					return err
				}
			}
			if i < c.records {
				if err := visit(records[i*t.record:][:t.record]); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return node(child2{t.root, t.records}, t.depth)
}

// chunks2 is a tree2 of chunks.
type chunks2 struct {
	*tree2
	rank int
	n    int64 // bytes of a chunk without filters
}

func (x chunks2) chunk(place []int64) (chunkAt, error) {
	if x.root == undefined {
		return noChunk, nil
	}
	c := child2{x.root, x.records}
	for height := x.depth; ; height-- {
		records, children, err := x.read2(c, height)
		if err != nil {
			return noChunk, err
		}
		low, high := 0, c.records // the first record not before what is wanted
		for low < high {
			if mid := (low + high) / 2; x.compare(records[mid*x.record:], place) < 0 {
				low = mid + 1
			} else {
				high = mid
			}
		}
		if low < c.records && x.compare(records[low*x.record:], place) == 0 {
			return x.where(records[low*x.record:]), nil
		}
		if height == 0 {
			return noChunk, nil
		}
		c = x.child(children, low, height)
	}
}

func (x chunks2) where(record []byte) chunkAt {
	d := x.decoder(record)
	c := chunkAt{at: d.addr(), n: x.n}
	if x.kind == 11 {
		c.n = int64(d.uint(x.record - x.offset - 4 - 8*x.rank))
		c.mask = d.u32()
	}
	return c
}

func (x chunks2) compare(record []byte, place []int64) int {
	record = record[x.record-8*x.rank:]
	for i, p := range place {
		if v := binary.LittleEndian.Uint64(record[8*i:]); v < uint64(p) {
			return -1
		} else if v > uint64(p) {
			return 1
		}
	}
	return 0
}

// element reads an entry of a fixed or extensible array.
func (f *file) element(b []byte, filtered bool, n int64) chunkAt {
	d := f.decoder(b)
	c := chunkAt{at: d.addr(), n: n}
	if filtered {
		c.n = int64(d.uint(len(b) - f.offset - 4))
		c.mask = d.u32()
	}
	return c
}

// fixedArray is the index of chunks of a dataset that cannot grow.
type fixedArray struct {
	grid
	*file
	filtered bool
	entry    int // bytes of an entry
	page     int64
	entries  int64
	data     int64 // address of its data block
	n        int64 // bytes of a chunk without filters
}

func (f *file) fixedArray(at int64, g grid, n int64) (chunkIndex, error) {
	if at == undefined {
		return single{noChunk}, nil
	}
	b, err := f.sealed(at, 8+f.length+f.offset+4, "FAHD")
	if err != nil {
		return nil, err
	}
	d := f.decoder(b[5:])
	x := &fixedArray{grid: g, file: f, n: n}
	x.filtered = d.u8() == 1
	x.entry = int(d.u8())
	pageBits := d.u8()
	x.entries, x.data = d.size(), d.addr()
	if !f.entrySize(x.entry, x.filtered) || pageBits > 30 || x.entries < 0 {
		return nil, damaged("an index of chunks makes no sense")
	}
	x.page = 1 << pageBits
	return x, nil
}

// entrySize says whether an entry of an array of chunks can have n bytes.
func (f *file) entrySize(n int, filtered bool) bool {
	return !filtered && n == f.offset || filtered && n > f.offset+4 && n <= f.offset+4+8
}

func (x *fixedArray) chunk(place []int64) (chunkAt, error) {
	i := x.number(place)
	if i >= x.entries || x.data == undefined {
		return noChunk, nil
	}
	prefix := 6 + x.offset
	if x.entries <= x.page {
		b, err := x.sealed(x.data, prefix+int(x.entries)*x.entry+4, "FADB")
		if err != nil {
			return noChunk, err
		}
		return x.element(b[prefix+int(i)*x.entry:][:x.entry], x.filtered, x.n), nil
	}
	pages := (x.entries + x.page - 1) / x.page
	if pages > maxMeta {
		return noChunk, damaged("an index of chunks has %d pages", pages)
	}
	bitmap := int(pages+7) / 8
	b, err := x.sealed(x.data, prefix+bitmap+4, "FADB")
	if err != nil {
		return noChunk, err
	}
	p := i / x.page
	if b[prefix+int(p/8)]&(0x80>>(p%8)) == 0 {
		return noChunk, nil
	}
	in := min(x.page, x.entries-p*x.page) // the last one is shorter
	at := x.data + int64(len(b)+4) + p*(x.page*int64(x.entry)+4)
	if b, err = x.sealed(at, int(in)*x.entry+4, ""); err != nil {
		return noChunk, err
	}
	return x.element(b[int(i%x.page)*x.entry:][:x.entry], x.filtered, x.n), nil
}

// extensible is the index of chunks of a dataset that can grow along one axis: the extensible array of the format.
type extensible struct {
	grid
	*file
	axis               int // the one that grows
	filtered           bool
	entry              int
	bits               int // of an index
	inIndex            int64
	least, pointers    int64 // entries of the smallest data block; data block pointers of the smallest super block
	pageSize           int64
	index              int64 // address of the index block
	firstBlocks, first int64 // data blocks and super blocks named in the index block
	supers             int64
	n                  int64
}

func (f *file) extensible(at int64, g grid, axis int, n int64) (chunkIndex, error) {
	if at == undefined {
		return single{noChunk}, nil
	}
	b, err := f.sealed(at, 12+6*f.length+f.offset+4, "EAHD")
	if err != nil {
		return nil, err
	}
	d := f.decoder(b[5:])
	x := &extensible{grid: g, file: f, axis: axis, n: n}
	x.filtered = d.u8() == 1
	x.entry, x.bits = int(d.u8()), int(d.u8())
	x.inIndex, x.least, x.pointers = int64(d.u8()), int64(d.u8()), int64(d.u8())
	pageBits := d.u8()
	for range 6 {
		d.size()
	}
	x.index = d.addr()
	power := func(n int64) bool { return n > 0 && n&(n-1) == 0 }
	if !f.entrySize(x.entry, x.filtered) || x.bits > 62 || x.bits < 1 || !power(x.least) || !power(x.pointers) || pageBits > 30 || x.bits < log2(x.least) {
		return nil, damaged("an index of chunks makes no sense")
	}
	x.pageSize = 1 << pageBits
	x.first = 2 * int64(log2(x.pointers)) // super blocks whose data blocks are named in the index block
	x.firstBlocks = 2 * (x.pointers - 1)
	x.supers = max(0, int64(1+x.bits-log2(x.least))-x.first)
	return x, nil
}

func log2(n int64) int { return bits.Len64(uint64(n)) - 1 }

func (x *extensible) chunk(place []int64) (chunkAt, error) {
	// The axis that grows is the slowest, whichever it is.
	i := place[x.axis]
	for a, p := range place {
		if a != x.axis {
			i = i*x.counts[a] + p
		}
	}
	if x.index == undefined {
		return noChunk, nil
	}
	prefix := 6 + x.offset
	head := int64(prefix) + x.inIndex*int64(x.entry)
	size := head + (x.firstBlocks+x.supers)*int64(x.offset)
	b, err := x.sealed(x.index, int(size)+4, "EAIB")
	if err != nil {
		return noChunk, err
	}
	if i < x.inIndex {
		return x.element(b[int64(prefix)+i*int64(x.entry):][:x.entry], x.filtered, x.n), nil
	}
	i -= x.inIndex
	if i < 0 || i > 1<<50 {
		return noChunk, damaged("an index of chunks is too large")
	}
	super := int64(log2(i/x.least + 1))
	each := x.least << ((super + 1) / 2) // entries of each of its data blocks
	start := x.least * (1<<super - 1)    // entries before
	block := (i - start) / each
	i = (i - start) % each
	pointer := func(b []byte, at int64) int64 {
		if at < 0 || at+int64(x.offset) > int64(len(b)) {
			return undefined
		}
		return x.decoder(b[at:]).addr()
	}
	arrOff := (x.bits + 7) / 8
	pages := int64(0)
	if each > x.pageSize {
		pages = each / x.pageSize
	}
	var data int64
	var used bool
	if super < x.first {
		before := int64(0) // data blocks of smaller super blocks
		for s := range super {
			before += 1 << (s / 2)
		}
		data, used = pointer(b, head+(before+block)*int64(x.offset)), true
	} else {
		at := pointer(b, head+(x.firstBlocks+super-x.first)*int64(x.offset))
		if at == undefined {
			return noChunk, nil
		}
		blocks := int64(1) << (super / 2)
		bitmap := (pages + 7) / 8
		if blocks > maxMeta/(bitmap+int64(x.offset)) {
			return noChunk, damaged("an index of chunks is too large")
		}
		head := int64(prefix+arrOff) + blocks*bitmap
		if b, err = x.sealed(at, int(head+blocks*int64(x.offset))+4, "EASB"); err != nil {
			return noChunk, err
		}
		data, used = pointer(b, head+block*int64(x.offset)), true
		if pages > 0 {
			p := block*pages + i/x.pageSize // one bitmap for all its data blocks
			used = b[int64(prefix+arrOff)+p/8]&(0x80>>(p%8)) != 0
		}
	}
	if data == undefined || !used {
		return noChunk, nil
	}
	prefix += arrOff
	if pages == 0 {
		if each > maxMeta {
			return noChunk, damaged("an index of chunks is too large")
		}
		if b, err = x.sealed(data, prefix+int(each)*x.entry+4, "EADB"); err != nil {
			return noChunk, err
		}
		return x.element(b[prefix+int(i)*x.entry:][:x.entry], x.filtered, x.n), nil
	}
	at := data + int64(prefix+4) + i/x.pageSize*(x.pageSize*int64(x.entry)+4)
	if b, err = x.sealed(at, int(x.pageSize)*x.entry+4, ""); err != nil {
		return noChunk, err
	}
	return x.element(b[int(i%x.pageSize)*x.entry:][:x.entry], x.filtered, x.n), nil
}
