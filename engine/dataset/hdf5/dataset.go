package hdf5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// class is what the elements of a dataset are.
type class int

const (
	numbers class = iota
	fixedText
	vlenText
	vlenBytes // vlen uint8: encoded images
)

// dtype is the type of a dataset's elements.
type dtype struct {
	class class
	size  int  // of an element in the dataset
	pad   bool // text is padded with spaces
	array.Type
}

var classes = []string{"integers", "floats", "times", "strings", "bit fields", "opaque bytes", "compounds", "references", "enumerations",
	"sequences of variable length", "arrays", "complex numbers"}

func (f *file) parseType(b []byte) (t dtype, err error) {
	d := f.decoder(b)
	head, bit0, bit1 := d.u8(), d.u8(), d.u8()
	d.skip(1)
	t.size = int(d.u32())
	if d.bad || t.size < 1 || t.size > 1<<20 {
		return t, damaged("a type makes no sense")
	}
	refuse := func(what string) error {
		return fmt.Errorf("has %s: numbers of 1 to 8 bytes, strings and variable-length uint8 are read", what)
	}
	switch c := head & 15; c {
	case 0, 8: // integers; h5py's bool is an enumeration of int8
		if c == 8 {
			if t, err = f.parseType(d.b); err != nil || t.class != numbers || t.Size != 1 {
				return t, refuse("enumerations")
			}
			t.Kind = raw.U8
			return t, nil
		}
		offset, precision := d.u16(), d.u16()
		kinds := map[int][2]raw.Kind{1: {raw.U8, raw.I8}, 2: {raw.U16, raw.I16}, 4: {raw.U32, raw.I32}, 8: {raw.U64, raw.I64}}
		k, ok := kinds[t.size]
		if !ok || offset != 0 || int(precision) != 8*t.size {
			return t, refuse(fmt.Sprintf("integers of %d bits in %d bytes", precision, t.size))
		}
		t.Type = array.Type{Kind: k[bit0>>3&1], Size: t.size, Big: bit0&1 != 0}
	case 1:
		offset, precision := d.u16(), d.u16()
		exponentAt, exponent, mantissaAt, mantissa := d.u8(), d.u8(), d.u8(), d.u8()
		bias := d.u32()
		ieee := map[int][5]int{2: {10, 5, 0, 10, 15}, 4: {23, 8, 0, 23, 127}, 8: {52, 11, 0, 52, 1023}}
		has := [5]int{int(exponentAt), int(exponent), int(mantissaAt), int(mantissa), int(bias)}
		if want, ok := ieee[t.size]; !ok || has != want || offset != 0 || int(precision) != 8*t.size || bit0&0x40 != 0 || int(bit1) != 8*t.size-1 {
			return t, refuse(fmt.Sprintf("floats of %d bits that are not IEEE 754", precision))
		}
		t.Type = array.Type{Kind: raw.F32, Size: t.size, Big: bit0&1 != 0}
		if t.size == 8 {
			t.Kind = raw.F64
		}
	case 3:
		t.class, t.pad = fixedText, bit0&15 == 2
	case 9:
		if bit0&15 == 1 {
			t.class = vlenText
			break
		}
		of, err := f.parseType(d.b)
		if err != nil || of.class != numbers || of.Size != 1 {
			return t, refuse("sequences of variable length of something else than uint8")
		}
		t.class = vlenBytes
	default:
		if int(c) < len(classes) {
			return t, refuse(classes[c])
		}
		return t, refuse(fmt.Sprintf("a type of class %d", c))
	}
	if d.bad {
		return t, damaged("a type is cut off")
	}
	if t.class >= vlenText && t.size != 4+f.offset+4 {
		return t, damaged("a type of variable length has %d bytes", t.size)
	}
	return t, nil
}

// filter is one step of what was done to chunks, in the order of writing.
type filter struct {
	id   int
	args []uint32
}

const (
	deflate    = 1
	shuffle    = 2
	fletcher32 = 3
)

var filterNames = map[int]string{4: "SZIP", 5: "N-bit", 6: "scale-offset", 307: "bzip2", 32000: "LZF", 32001: "Blosc", 32002: "MAFISC", 32004: "LZ4",
	32008: "bitshuffle", 32013: "ZFP", 32015: "Zstandard", 32017: "SZ", 32026: "Blosc2"}

func (f *file) parseFilters(b []byte) (out []filter, err error) {
	d := f.decoder(b)
	version, n := d.u8(), d.u8()
	switch version {
	case 1:
		d.skip(6)
	case 2:
	default:
		return nil, damaged("a list of filters has version %d", version)
	}
	for range n {
		var x filter
		x.id = int(d.u16())
		name := 0
		if version == 1 || x.id >= 256 {
			name = int(d.u16())
		}
		d.u16()
		args := int(d.u16())
		if version == 1 {
			name = (name + 7) / 8 * 8
		}
		d.skip(name)
		for range args {
			if d.bad {
				break
			}
			x.args = append(x.args, d.u32())
		}
		if version == 1 && args%2 == 1 {
			d.skip(4)
		}
		if d.bad {
			return nil, damaged("a list of filters is cut off")
		}
		switch x.id {
		case deflate, shuffle, fletcher32:
		default:
			name, ok := filterNames[x.id]
			if !ok {
				name = fmt.Sprintf("number %d", x.id)
			}
			return nil, fmt.Errorf("is compressed by the HDF5 filter %s, which is not read: gzip, shuffle and fletcher32 are (h5repack -f GZIP=4 makes a copy)", name)
		}
		out = append(out, x)
	}
	return out, nil
}

// dataset is one array of a file.
type dataset struct {
	*file
	path   string
	shape  []int64
	most   []int64 // the shape it may grow to; -1 for any
	dtype  dtype
	fill   []byte // one element
	rest   int64  // elements behind one step of the first axis
	layout layout
}

// layout says where the elements are: at one place, or in chunks.
type layout struct {
	compact []byte
	at      int64 // contiguous; undefined where nothing was written
	whole   bool  // compact or contiguous

	index   chunkIndex
	dims    []int64 // of a chunk
	size    int64   // bytes of a chunk
	filters []filter
	partial bool // chunks that reach over the edge have no filters
}

const (
	maxRank   = 32
	maxChunks = 1 << 20 // that are put together at once
)

func (f *file) dataset(path string, ms []message) (*dataset, error) {
	s := &dataset{file: f, path: path}
	if find(ms, msgExternal) != nil {
		return nil, errors.New("keeps its data in other files, which is not read")
	}
	if err := s.parseSpace(find(ms, msgDataspace)); err != nil {
		return nil, err
	}
	var err error
	if s.dtype, err = f.parseType(find(ms, msgDatatype)); err != nil {
		return nil, err
	}
	if s.rest = 1; len(s.shape) > 0 {
		p, ok := array.Product(s.shape[1:]...)
		_, all := array.Product(append([]int64{int64(s.dtype.size)}, s.shape...)...)
		if !ok || !all {
			return nil, damaged("it says it has %s elements", array.Shape(s.shape))
		}
		s.rest = p
	}
	if b := find(ms, msgFilters); b != nil {
		if s.layout.filters, err = f.parseFilters(b); err != nil {
			return nil, err
		}
	}
	s.fill = make([]byte, s.dtype.size)
	if b := find(ms, msgFill); b != nil {
		s.parseFill(b)
	}
	return s, s.parseLayout(find(ms, msgLayout))
}

func (s *dataset) parseSpace(b []byte) error {
	d := s.decoder(b)
	version, rank, flags := d.u8(), int(d.u8()), d.u8()
	switch version {
	case 1:
		d.skip(5)
	case 2:
		if d.u8() == 2 { // a null dataspace
			s.shape = []int64{0}
			return nil
		}
	default:
		return damaged("a dataspace has version %d", version)
	}
	if rank > maxRank {
		return damaged("it has %d axes", rank)
	}
	for range rank {
		n := d.size()
		if n < 0 {
			return damaged("an axis is too long")
		}
		s.shape = append(s.shape, n)
	}
	s.most = s.shape
	if flags&1 != 0 {
		s.most = nil
		for range rank {
			s.most = append(s.most, d.size())
		}
	}
	if d.bad {
		return damaged("a dataspace is cut off")
	}
	return nil
}

func (s *dataset) parseFill(b []byte) {
	d := s.decoder(b)
	defined := true
	switch version := d.u8(); version {
	case 1, 2:
		d.skip(2)
		defined = d.u8() != 0 || version == 1
	case 3:
		defined = d.u8()&0x20 != 0
	default:
		return
	}
	if !defined {
		return
	}
	if n := int64(d.u32()); n == int64(len(s.fill)) && s.dtype.class < vlenText {
		if v := d.bytes(int(n)); !d.bad {
			copy(s.fill, v)
		}
	}
}

func (s *dataset) parseLayout(b []byte) error {
	d := s.decoder(b)
	version, class := d.u8(), d.u8()
	l := &s.layout
	l.at = undefined
	if version < 3 || version > 5 {
		return fmt.Errorf("has a data layout of version %d: versions 3 to 5 are read", version)
	}
	switch class {
	case 0:
		l.whole = true
		l.compact = d.bytes(int(d.u16()))
		if l.compact == nil {
			l.compact = []byte{}
		}
	case 1:
		l.whole = true
		l.at = d.addr()
	case 2:
		if version == 3 {
			return s.chunks3(d)
		}
		return s.chunks4(d)
	case 3:
		return errors.New("is a virtual dataset, whose data lie in other files: open those")
	default:
		return damaged("its data are laid out in an unknown way (%d)", class)
	}
	if d.bad {
		return damaged("a data layout is cut off")
	}
	if len(l.filters) > 0 {
		return damaged("it has filters, but no chunks")
	}
	return nil
}

// chunkDims checks the dimensions of a chunk, the last of which is the size of an element.
func (s *dataset) chunkDims(dims []int64) error {
	l := &s.layout
	if len(dims) != len(s.shape)+1 || len(dims) < 2 || dims[len(dims)-1] != int64(s.dtype.size) {
		return damaged("its chunks have other axes than itself")
	}
	for _, n := range dims {
		if n < 1 {
			return damaged("its chunks are empty")
		}
	}
	size, ok := array.Product(dims...)
	if !ok {
		size = -1
	}
	if err := s.options.CheckChunk(size); err != nil {
		return err
	}
	l.dims, l.size = dims[:len(dims)-1], size
	return nil
}

func (s *dataset) chunks3(d *decoder) error {
	n := int(d.u8())
	root := d.addr()
	dims := make([]int64, 0, maxRank+1)
	for range min(n, maxRank+2) {
		dims = append(dims, int64(d.u32()))
	}
	if d.bad {
		return damaged("a data layout is cut off")
	}
	if err := s.chunkDims(dims); err != nil {
		return err
	}
	s.layout.index = &tree1{file: s.file, root: root, dims: s.layout.dims, size: int64(s.dtype.size)}
	return nil
}

func (s *dataset) chunks4(d *decoder) (err error) {
	l := &s.layout
	flags, n, width := d.u8(), int(d.u8()), int(d.u8())
	if width < 1 || width > 8 {
		return damaged("a data layout makes no sense")
	}
	l.partial = flags&1 != 0
	dims := make([]int64, 0, maxRank+1)
	for range min(n, maxRank+2) {
		dims = append(dims, d.number(width))
	}
	if d.bad {
		return damaged("a data layout is cut off")
	}
	if err := s.chunkDims(dims); err != nil {
		return err
	}
	// Chunks are numbered in the grid of the largest shape; the axis without end is the slowest and needs no count.
	g, axis := grid{}, 0
	fits := []int64{}
	for i, most := range s.most {
		count := (s.shape[i] + l.dims[i] - 1) / l.dims[i]
		if most >= 0 {
			count = (max(most, s.shape[i])-1)/l.dims[i] + 1
		} else {
			axis = i
		}
		g.counts = append(g.counts, max(count, 1))
		fits = append(fits, max(count, 1))
	}
	if _, ok := array.Product(append(fits, l.size)...); !ok {
		return damaged("it has more chunks than can be counted")
	}
	switch kind := d.u8(); kind {
	case 1:
		c := chunkAt{n: l.size}
		if flags&2 != 0 {
			c.n, c.mask = d.size(), d.u32()
		}
		if c.at = d.addr(); c.n < 0 {
			d.bad = true
		}
		l.index = single{c}
	case 2:
		l.index = implicit{g, d.addr(), l.size}
	case 3:
		d.skip(1)
		l.index, err = s.fixedArray(d.addr(), g, l.size)
	case 4:
		d.skip(5)
		l.index, err = s.extensible(d.addr(), g, axis, l.size)
	case 5:
		d.skip(6)
		l.index, err = s.chunkTree(d.addr())
	default:
		return fmt.Errorf("has an index of chunks of kind %d, which is not read", kind)
	}
	if err == nil && d.bad {
		err = damaged("a data layout is cut off")
	}
	return err
}

func (s *dataset) chunkTree(at int64) (chunkIndex, error) {
	if at == undefined {
		return single{noChunk}, nil
	}
	t, err := s.tree2(at)
	if err != nil {
		return nil, err
	}
	rank := len(s.shape)
	extra := t.record - s.offset - 8*rank
	if t.kind == 10 && extra != 0 || t.kind == 11 && (extra < 5 || extra > 12) || t.kind != 10 && t.kind != 11 {
		return nil, damaged("an index of chunks is of another kind")
	}
	return chunks2{t, rank, s.layout.size}, nil
}

// chunkKey names a decoded chunk: its dataset's and its own address.
type chunkKey struct {
	of *dataset
	at int64
}

// chunk returns the decoded chunk at a place of the grid, which nobody may change; nil where it was never written.
func (s *dataset) chunk(place []int64) ([]byte, error) {
	c, err := s.layout.index.chunk(place)
	if err != nil || c.at == undefined {
		return nil, err
	}
	return s.chunks.Get(chunkKey{s, c.at}, func() ([]byte, int64, error) {
		edge := false
		for i, p := range place {
			edge = edge || (p+1)*s.layout.dims[i] > s.shape[i]
		}
		filters := s.layout.filters
		if edge && s.layout.partial {
			filters = nil
		}
		b, err := s.unfilter(c, filters)
		return b, int64(len(b)), err
	})
}

// unfilter reads a chunk and undoes its filters, the last one first.
func (s *dataset) unfilter(c chunkAt, filters []filter) ([]byte, error) {
	size := s.layout.size
	if c.n < 0 || c.n > 2*size+1<<16 {
		return nil, damaged("a chunk of %d bytes takes %d", size, c.n)
	}
	b, err := s.read(c.at, c.n)
	if err != nil {
		return nil, err
	}
	sums := int64(4 * len(filters)) // what checksums inside the compression may add
	for i := len(filters) - 1; i >= 0; i-- {
		if c.mask>>i&1 != 0 {
			continue
		}
		switch x := filters[i]; x.id {
		case fletcher32:
			if len(b) < 4 {
				return nil, damaged("a chunk is cut off")
			}
			end := len(b) - 4
			if sum := fletcher(b[:end]); verify && binary.LittleEndian.Uint32(b[end:]) != sum {
				return nil, damaged("the checksum of a chunk is wrong")
			}
			b = b[:end]
		case deflate:
			if b, err = array.Zlib(b, size+sums); err != nil {
				return nil, damaged("a chunk cannot be decompressed")
			}
		case shuffle: // without a size for strings and sequences: the library left it out of every chunk
			if len(x.args) < 1 || x.args[0] < 1 || x.args[0] > 1<<20 {
				return nil, damaged("the shuffle filter makes no sense")
			}
			out := make([]byte, len(b))
			array.Unshuffle(out, b, int(x.args[0]))
			b = out
		}
	}
	if int64(len(b)) != size {
		return nil, damaged("a chunk has %d bytes instead of %d", len(b), size)
	}
	return b, nil
}

// fletcher is Fletcher's checksum of 16-bit words as HDF5 computes it.
func fletcher(b []byte) uint32 {
	var s1, s2 uint32
	words := len(b) / 2
	for i := 0; words > 0; {
		block := min(words, 360)
		words -= block
		for range block {
			s1 += uint32(b[i])<<8 | uint32(b[i+1])
			s2 += s1
			i += 2
		}
		s1 = s1&0xffff + s1>>16
		s2 = s2&0xffff + s2>>16
	}
	if len(b)%2 == 1 {
		s1 += uint32(b[len(b)-1]) << 8
		s2 += s1
		s1 = s1&0xffff + s1>>16
		s2 = s2&0xffff + s2>>16
	}
	s1 = s1&0xffff + s1>>16
	s2 = s2&0xffff + s2>>16
	return s2<<16 | s1
}

// rows returns the elements of steps from to to of the first axis, in C order. The caller has checked how many bytes that is.
func (s *dataset) rows(from, to int64) ([]byte, error) {
	if len(s.shape) == 0 || from < 0 || to > s.shape[0] || from > to {
		return nil, damaged("it has fewer elements than it should")
	}
	row := s.rest * int64(s.dtype.size)
	l := &s.layout
	if l.whole {
		switch {
		case l.compact != nil:
			if to*row > int64(len(l.compact)) {
				return nil, damaged("it has fewer elements than it should")
			}
			return bytes.Clone(l.compact[from*row : to*row]), nil
		case l.at == undefined:
			return s.filled((to - from) * row), nil
		}
		if from*row > s.size {
			return nil, damaged("it points behind its end, or is truncated")
		}
		return s.read(l.at+from*row, (to-from)*row)
	}
	rank := len(s.shape)
	shape, first, last := make([]int, rank), make([]int64, rank), make([]int64, rank)
	chunkShape := make([]int, rank)
	for i := range rank {
		shape[i], last[i] = int(s.shape[i]), (s.shape[i]-1)/l.dims[i]
		chunkShape[i] = int(l.dims[i])
	}
	if from == to || s.rest == 0 {
		return nil, nil
	}
	shape[0] = int(to - from)
	first[0], last[0] = from/l.dims[0], (to-1)/l.dims[0]
	chunks := []int64{last[0] - first[0] + 1}
	for _, n := range last[1:] {
		chunks = append(chunks, n+1)
	}
	if n, ok := array.Product(chunks...); !ok || n > maxChunks {
		return nil, raw.Limitf("lies in more than %d chunks: store it in larger ones", maxChunks)
	}
	out := s.filled((to - from) * row)
	place := append([]int64(nil), first...)
	at, dst, count := make([]int, rank), make([]int, rank), make([]int, rank)
	for {
		b, err := s.chunk(place)
		if err != nil {
			return nil, err
		}
		for i := range rank {
			begin := place[i] * l.dims[i] // of the chunk
			end := min(begin+l.dims[i], s.shape[i])
			low := begin
			if i == 0 {
				low, end = max(begin, from), min(end, to)
				dst[i] = int(low - from)
			} else {
				dst[i] = int(low)
			}
			at[i], count[i] = int(low-begin), int(end-low)
		}
		if b != nil {
			array.CopyBlock(out, shape, dst, b, chunkShape, at, count, s.dtype.size)
		}
		i := rank - 1
		for ; i >= 0; i-- {
			if place[i]++; place[i] <= last[i] {
				break
			}
			place[i] = first[i]
		}
		if i < 0 {
			return out, nil
		}
	}
}

// filled is n bytes of the fill value.
func (s *dataset) filled(n int64) []byte {
	b := make([]byte, n)
	for at := 0; at+len(s.fill) <= len(b) && bytes.ContainsFunc(s.fill, func(r rune) bool { return r != 0 }); at += len(s.fill) {
		copy(b[at:], s.fill)
	}
	return b
}

// heap is a collection of the global heap: what elements of variable length point to.
type heap struct {
	data []byte
	at   map[int]span
}

// vlen returns what an element of variable length points to, which nobody may change; nil for an empty one.
func (s *dataset) vlen(element []byte) ([]byte, error) {
	d := s.decoder(element)
	n, at, index := int64(d.u32()), d.addr(), int(d.u32())
	if n == 0 {
		return nil, nil
	}
	if err := s.options.CheckBytes(n); err != nil {
		return nil, err
	}
	h, err := s.heaps.Get(at, func() (*heap, int64, error) {
		h, err := s.collection(at)
		if err != nil {
			return nil, 0, err
		}
		return h, int64(len(h.data) + 64*len(h.at)), nil
	})
	if err != nil {
		return nil, err
	}
	p, ok := h.at[index]
	if !ok || p.n < n {
		return nil, damaged("it points to something that is not there")
	}
	return h.data[p.at : p.at+n], nil
}

func (f *file) collection(at int64) (*heap, error) {
	head, err := f.read(at, int64(8+f.length))
	if err != nil {
		return nil, err
	}
	d := f.decoder(head)
	magic := string(d.bytes(4))
	d.skip(4)
	size := d.size()
	if magic != "GCOL" || size < int64(len(head)) {
		return nil, damaged("a part of its heap is not where it should be")
	}
	if size > f.options.MaxBytes+1<<20 {
		return nil, raw.Limitf("has a heap of %s in one part, the limit is %s", array.Bytes(size), array.Bytes(f.options.MaxBytes))
	}
	b, err := f.read(at, size)
	if err != nil {
		return nil, err
	}
	h := &heap{data: b, at: map[int]span{}}
	for p := int64(len(head)); p+int64(8+f.length) <= size; {
		d := f.decoder(b[p:])
		index := int(d.u16())
		d.skip(6)
		n := d.size()
		p += int64(8 + f.length)
		if index == 0 {
			break // free space, the rest
		}
		if n < 0 || n > size-p {
			return nil, damaged("a part of its heap is cut off")
		}
		h.at[index] = span{p, n}
		p += (n + 7) / 8 * 8
	}
	return h, nil
}

// text makes a string of an element of text.
func (s *dataset) text(element []byte) (string, error) {
	if s.dtype.class == vlenText {
		b, err := s.vlen(element)
		return text(b), err
	}
	if s.dtype.pad {
		return strings.TrimRight(text(element), " "), nil
	}
	return text(element), nil
}
