// Package zarr reads images from Zarr hierarchies of version 2 and 3, in a folder or a zip file: an array N×H×W(×C) or N×C×H×W, by itself or in a group.
//
// Version 2: compressors none, zlib, gzip, zstd and blosc; orders C and F. Version 3: the codecs bytes, transpose, gzip, zstd, blosc, crc32c and
// sharding_indexed. Blosc may hold LZ4, Zstandard, zlib or BloscLZ, with either shuffle. Anything else is refused by name. What was never
// written is the fill value. The formats: zarr-specs.readthedocs.io, "Zarr storage specification version 2" and "Zarr core specification
// version 3.0".
//
// There is no Go library for Zarr that reads sharding or Blosc. Here a chunk that is not compressed, or compressed by Blosc, is read in parts: chunks of a gigabyte, which Cutana writes, cost
// no more memory than small ones. Other compressors need a whole chunk, at most Options.MaxChunk.
package zarr

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// Images are the images of one array.
type Images struct {
	*meta
	store  store
	o      array.Options
	layout array.Layout
	names  []string // nil or one for each image
	one    bool     // the array is one image: it is read as if it had an axis of length 1 before its own

	chunks *array.Cache[partKey, []byte] // decoded chunks, Blosc blocks and shard indexes
}

var _ array.Images = (*Images)(nil)

// partKey names a part of a file: a chunk by its number in a shard, a block of a chunk, or an index of chunks or blocks.
type partKey struct {
	file         string
	chunk, block int64
}

const (
	wholeChunk = -1
	tableOf    = -2 // the index of a shard (as chunk), the starts of Blosc blocks (as block)
)

// OpenFolder finds the images of the hierarchy in a folder. Links that lead out of it are not followed. Close it.
func OpenFolder(dir string, o array.Options) (*Images, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot be opened: %s", reason(err))
	}
	m, err := open(files{root.FS(), root}, o)
	if err != nil {
		root.Close()
	}
	return m, err
}

// OpenFS finds the images of the hierarchy in a file system whose files read at any place (io.ReaderAt).
func OpenFS(fsys fs.FS, o array.Options) (*Images, error) { return open(files{fsys, nil}, o) }

// OpenZip finds the images of a hierarchy in a zip file of size bytes, as zarr's ZipStore writes it. r must stay open as long as they are read.
func OpenZip(r io.ReaderAt, size int64, o array.Options) (*Images, error) {
	s, err := newZipped(r, size, o.Or())
	if err != nil {
		return nil, err
	}
	return open(s, o)
}

// IsStore says whether a folder holds a Zarr hierarchy.
func IsStore(fsys fs.FS) bool {
	for _, name := range []string{"zarr.json", ".zarray", ".zgroup"} {
		if info, err := fs.Stat(fsys, name); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// Sidecar is where AnomalyMatch and Cutana keep the names and the metadata of a hierarchy: images.zarr has images_metadata.parquet beside it.
func Sidecar(dir string) string {
	return strings.TrimSuffix(filepath.Clean(dir), filepath.Ext(filepath.Clean(dir))) + "_metadata.parquet"
}

func open(s store, o array.Options) (*Images, error) {
	o = o.Or()
	arrays, failed := list(s, o)
	m := &Images{store: s, o: o, chunks: array.NewCache[partKey, []byte](o.Cache)}
	var err error
	if m.meta, err = choose(arrays, failed, o); err != nil {
		return nil, err
	}
	if m.layout, err = array.Plan(m.shape, o.Axes, false, o.MaxValues); err != nil {
		return nil, err
	}
	if m.one = m.layout.One; m.one {
		c := *m.meta
		m.meta = &c
		m.shape = append([]int64{1}, m.shape...)
	}
	return m, m.findNames(arrays)
}

// list finds the arrays of a hierarchy, two levels deep. Those that are not read come with their errors.
func list(s store, o array.Options) (found []*meta, failed map[string]error) {
	failed = map[string]error{}
	visited := 0
	var visit func(dir string, depth int)
	visit = func(dir string, depth int) {
		if visited++; visited > maxArrays {
			return
		}
		m, err := openArray(s, dir, o)
		switch {
		case err == nil:
			found = append(found, m)
			return
		case !errors.Is(err, fs.ErrNotExist):
			failed[dir] = err
			return
		}
		if depth == 0 {
			return
		}
		for _, name := range s.folders(dir) {
			if fs.ValidPath(name) {
				visit(path.Join(dir, name), depth-1)
			}
		}
	}
	visit(".", 3)
	return found, failed
}

func choose(arrays []*meta, failed map[string]error, o array.Options) (*meta, error) {
	if o.Images != "" {
		want := path.Clean(strings.Trim(o.Images, "/"))
		for _, m := range arrays {
			if m.path == want {
				if m.text.any() {
					return nil, fmt.Errorf("has text in the array %.60q where images should be", want)
				}
				return m, nil
			}
		}
		if err := failed[want]; err != nil {
			return nil, fmt.Errorf("%w (array %.60q)", err, want)
		}
		return nil, fmt.Errorf("has no array %.60q", want)
	}
	var could []*meta
	for _, m := range arrays {
		if _, err := array.Plan(m.shape, o.Axes, false, o.MaxValues); err == nil && !m.text.any() {
			could = append(could, m)
		}
	}
	rank := func(name string) int { return array.Rank(name, array.ImageNames) }
	sort.SliceStable(could, func(i, j int) bool { return rank(could[i].path) < rank(could[j].path) })
	best := len(array.ImageNames)
	if len(could) > 0 {
		best = rank(could[0].path)
	}
	names := make([]string, 0, len(failed))
	for name := range failed {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names { // one that is called as images are, or any where there is nothing else, is worth an error
		if rank(name) < best || len(could) == 0 {
			if name == "." {
				return nil, failed[name]
			}
			return nil, fmt.Errorf("%w (array %.60q)", failed[name], name)
		}
	}
	switch {
	case len(arrays) == 1 && len(could) == 0 && !arrays[0].text.any():
		_, err := array.Plan(arrays[0].shape, o.Axes, false, o.MaxValues)
		return nil, err
	case len(could) == 0:
		return nil, errors.New("has no array of images: N×H×W×C, N×C×H×W and N×H×W are read")
	case len(could) > 1 && rank(could[1].path) == best:
		var names []string
		for _, m := range could[:min(len(could), 8)] {
			names = append(names, fmt.Sprintf("%.60q", m.path))
		}
		return nil, fmt.Errorf("has several arrays that could be images (%s): say which", strings.Join(names, ", "))
	}
	return could[0], nil
}

// Len is the number of images.
func (m *Images) Len() int { return m.layout.N }

// Close closes the folder.
func (m *Images) Close() error { return m.store.close() }

// Type is the type of the values.
func (m *Images) Type() array.Type { return m.typ }

// Entries lists the images, with their names where the hierarchy has an array of them.
func (m *Images) Entries(ctx context.Context) iter.Seq2[array.Entry, error] {
	return func(yield func(array.Entry, error) bool) {
		for i := range m.Len() {
			if err := ctx.Err(); err != nil {
				yield(array.Entry{}, err)
				return
			}
			e := array.Entry{Size: int64(m.layout.Values() * m.typ.Size)}
			if m.names != nil {
				e.Name = m.names[i]
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Read returns image i.
func (m *Images) Read(ctx context.Context, i int) (array.Image, error) {
	if err := ctx.Err(); err != nil {
		return array.Image{}, err
	}
	if i < 0 || i >= m.Len() {
		return array.Image{}, fmt.Errorf("is not there: the array has %d images", m.Len())
	}
	b, err := m.row(int64(i))
	if err != nil {
		return array.Image{}, err
	}
	return array.Image{Pixels: m.layout.Pixels(m.typ, b)}, nil
}

const maxChunks = 1 << 20 // of one image

// row returns what lies behind step i of the first axis, in C order.
func (m *Images) row(i int64) ([]byte, error) {
	chunk := m.chunkShape()
	if m.one {
		chunk = append([]int64{1}, chunk...)
	}
	rank, size := len(m.shape), m.elementSize()
	n, chunks := 1, []int64{1}
	shape, chunkShape := make([]int, rank), make([]int, rank)
	shape[0], chunkShape[0] = 1, 1
	for a := 1; a < rank; a++ {
		shape[a], chunkShape[a] = int(m.shape[a]), int(chunk[a])
		n *= shape[a]
		chunks = append(chunks, (m.shape[a]+chunk[a]-1)/chunk[a])
	}
	if all, ok := array.Product(chunks...); !ok || all > maxChunks {
		return nil, raw.Limitf("lies in more than %d chunks: store it in larger ones", maxChunks)
	}
	out := make([]byte, n*size)
	for at := 0; m.fill != nil && at < len(out); at += size {
		copy(out[at:], m.fill)
	}
	place := make([]int64, rank)
	place[0] = i / chunk[0]
	zero, dst, count := make([]int, rank), make([]int, rank), make([]int, rank)
	count[0] = 1
	for {
		b, err := m.slab(place, i%chunk[0])
		if err != nil {
			return nil, err
		}
		if b != nil {
			for a := 1; a < rank; a++ {
				begin := place[a] * chunk[a]
				dst[a] = int(begin)
				count[a] = int(min(chunk[a], m.shape[a]-begin))
			}
			array.CopyBlock(out, shape, dst, b, chunkShape, zero, count, size)
		}
		a := rank - 1
		for ; a > 0; a-- {
			if place[a]++; place[a] < chunks[a] {
				break
			}
			place[a] = 0
		}
		if a == 0 {
			return out, nil
		}
	}
}

// slab returns what lies behind step l of the first axis of the chunk at a place, in C order, which nobody may change; nil where the chunk was
// never written.
func (m *Images) slab(place []int64, l int64) ([]byte, error) {
	chunk := m.chunkShape()
	if m.one {
		place = place[1:]
	}
	bytes := int64(m.elementSize())
	for _, n := range chunk {
		bytes *= n // check found that it fits
	}
	part := bytes
	if !m.one {
		part /= chunk[0]
	}
	if part > m.o.MaxChunk {
		return nil, m.o.CheckChunk(part)
	}
	return m.read(place, l*part, part, bytes)
}

// read returns n of the size bytes of the chunk at a place, from at on.
func (m *Images) read(place []int64, at, n, size int64) ([]byte, error) {
	file, number := place, int64(0)
	if s := m.shard; s != nil {
		file = make([]int64, len(place))
		for a, p := range place {
			each := m.chunk[a] / s.chunk[a]
			file[a] = p / each
			number = number*each + p%each
		}
	}
	name := path.Join(m.path, m.key(file))
	var b *blob
	fetch := func() (*blob, error) { // opened once, and only where the cache has too little
		if b == nil {
			var err error
			if b, err = m.store.open(name); err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					return nil, err
				}
				return nil, fmt.Errorf("cannot be read: %s", reason(err))
			}
		}
		return b, nil
	}
	defer func() {
		if b != nil {
			b.close()
		}
	}()
	out, err := m.decoded(fetch, partKey{file: name, chunk: number}, at, n, size)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return out, err
}

// decoded is read for a file that is opened where it is needed.
func (m *Images) decoded(fetch func() (*blob, error), key partKey, at, n, size int64) ([]byte, error) {
	c := m.codecOfChunks()
	if !m.inParts() {
		key.block = wholeChunk
		all, err := m.chunks.Get(key, func() ([]byte, int64, error) {
			b, err := m.locate(fetch, key)
			if err != nil {
				return nil, 0, err
			}
			all, err := m.whole(b, c, size)
			return all, int64(len(all)), err
		})
		if err != nil {
			return nil, err
		}
		return all[at : at+n], nil
	}
	if len(c.steps) == 0 {
		b, err := m.locate(fetch, key)
		if err != nil {
			return nil, err
		}
		if b.n != size {
			return nil, fmt.Errorf("is damaged: a chunk has %d bytes instead of %d", b.n, size)
		}
		return b.bytes(at, n)
	}
	// Blosc: the head and the places of the blocks, then the blocks that are needed.
	table := key
	table.block = tableOf
	head, err := m.chunks.Get(table, func() ([]byte, int64, error) {
		b, err := m.locate(fetch, key)
		if err != nil {
			return nil, 0, err
		}
		head, err := bloscTable(b)
		return head, int64(len(head)) + 64, err
	})
	if err != nil {
		return nil, err
	}
	h, err := parseBlosc(head)
	if err != nil {
		return nil, err
	}
	if h.size != size {
		return nil, fmt.Errorf("is damaged: a chunk has %d bytes instead of %d", h.size, size)
	}
	if h.copied {
		b, err := m.locate(fetch, key)
		if err != nil {
			return nil, err
		}
		return b.bytes(bloscHead+at, n)
	}
	out := make([]byte, 0, n)
	for i := at / h.blockSize; int64(len(out)) < n; i++ {
		key.block = i
		block, err := m.chunks.Get(key, func() ([]byte, int64, error) {
			b, err := m.locate(fetch, key)
			if err != nil {
				return nil, 0, err
			}
			block, err := m.bloscBlock(b, h, head[bloscHead:], i)
			return block, int64(len(block)), err
		})
		if err != nil {
			return nil, err
		}
		from := max(0, at-i*h.blockSize)
		to := min(int64(len(block)), at+n-i*h.blockSize)
		if from >= to {
			return nil, errBlosc
		}
		out = append(out, block[from:to]...)
	}
	return out, nil
}

// locate finds a chunk in its file, which holds it alone or is a shard.
func (m *Images) locate(fetch func() (*blob, error), key partKey) (*blob, error) {
	b, err := fetch()
	if err != nil || m.shard == nil {
		return b, err
	}
	s := m.shard
	index, err := m.chunks.Get(partKey{file: key.file, chunk: tableOf}, func() ([]byte, int64, error) {
		at := b.n - s.indexLen
		if s.atStart {
			at = 0
		}
		index, err := b.bytes(at, s.indexLen)
		for i := len(s.index.steps); err == nil && i > 0; i-- {
			index, err = unseal(index)
		}
		return index, int64(len(index)), err
	})
	if err != nil {
		return nil, err
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if s.index.big {
		order = binary.BigEndian
	}
	at, n := order.Uint64(index[16*key.chunk:]), order.Uint64(index[16*key.chunk+8:])
	if at == 1<<64-1 && n == 1<<64-1 {
		return nil, fs.ErrNotExist
	}
	if at > uint64(b.n) || n > uint64(b.n)-at {
		return nil, errors.New("is damaged: a chunk lies behind the end of its shard")
	}
	return &blob{r: io.NewSectionReader(b.r, int64(at), int64(n)), n: int64(n)}, nil
}

// verify is false while a test fuzzes: no fuzzer finds a checksum.
var verify = true

// unseal checks and cuts off a CRC-32C.
func unseal(b []byte) ([]byte, error) {
	end := len(b) - 4
	if end < 0 || verify && binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return nil, errors.New("is damaged: the checksum of a chunk is wrong")
	}
	return b[:end], nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bloscTable reads the head of a Blosc buffer and where its blocks begin.
func bloscTable(b *blob) ([]byte, error) {
	head, err := b.bytes(0, min(bloscHead, b.n))
	if err != nil {
		return nil, err
	}
	h, err := parseBlosc(head)
	if err != nil || h.copied {
		return head, err
	}
	return b.bytes(0, bloscHead+4*h.blocks())
}

// bloscBlock reads and decompresses one block.
func (m *Images) bloscBlock(b *blob, h blosc, starts []byte, i int64) ([]byte, error) {
	if err := m.o.CheckChunk(h.blockSize); err != nil {
		return nil, err
	}
	if 4*i+4 > int64(len(starts)) {
		return nil, errBlosc
	}
	at, end := int64(binary.LittleEndian.Uint32(starts[4*i:])), min(b.n, h.stored)
	// The next block in the file ends this one; blocks may lie in any order.
	for s := starts; len(s) >= 4; s = s[4:] {
		if next := int64(binary.LittleEndian.Uint32(s)); next > at && next < end {
			end = next
		}
	}
	if at < bloscHead || at > end || h.blockSize > (end-at)*bloscGain {
		return nil, errBlosc
	}
	stored, err := b.bytes(at, end-at)
	if err != nil {
		return nil, err
	}
	return h.block(stored, i)
}

// bloscGain is more than any of its compressors gains: Zstandard writes a block of 128 KiB of one value in a few bytes.
const bloscGain = 1 << 17

// whole decompresses a whole chunk of size bytes, or of any size for text, and brings its axes in order.
func (m *Images) whole(b *blob, c codec, size int64) ([]byte, error) {
	most := size
	if m.text.vlen {
		most = m.o.MaxChunk
	}
	if b.n > most+most/8+1<<16 {
		return nil, fmt.Errorf("is damaged: a chunk of %d bytes takes %d", most, b.n)
	}
	out, err := b.bytes(0, b.n)
	if err != nil {
		return nil, err
	}
	for i := len(c.steps) - 1; i >= 0; i-- {
		inner := most + int64(4*i) // checksums inside
		switch c.steps[i] {
		case "crc32c":
			out, err = unseal(out)
		case "zstd":
			out, err = array.Zstd(out, inner)
		case "gzip":
			out, err = array.Gzip(out, inner)
		case "zlib":
			out, err = array.Zlib(out, inner)
		case "blosc":
			out, err = m.unblosc(out, inner)
		}
		if err != nil {
			if errors.Is(err, array.ErrDecompress) {
				err = fmt.Errorf("is damaged: a chunk cannot be decompressed (%s)", c.steps[i])
			}
			return nil, err
		}
	}
	if m.text.vlen {
		return out, nil
	}
	if int64(len(out)) != size {
		return nil, fmt.Errorf("is damaged: a chunk has %d bytes instead of %d", len(out), size)
	}
	if c.perm != nil {
		chunk := m.chunkShape()
		stored, back := make([]int, len(chunk)), make([]int, len(chunk))
		for i, a := range c.perm {
			stored[i], back[a] = int(chunk[a]), i
		}
		out = array.Permute(out, stored, back, m.elementSize())
	}
	return out, nil
}

// unblosc decompresses a whole buffer.
func (m *Images) unblosc(b []byte, most int64) ([]byte, error) {
	file := &blob{r: bytes.NewReader(b), n: int64(len(b))}
	head, err := bloscTable(file)
	if err != nil {
		return nil, err
	}
	h, err := parseBlosc(head)
	if err != nil || h.size > most {
		return nil, errBlosc
	}
	if h.copied {
		return file.bytes(bloscHead, h.size)
	}
	var out []byte
	for i := range h.blocks() {
		block, err := m.bloscBlock(file, h, head[bloscHead:], i)
		if err != nil {
			return nil, err
		}
		out = append(out, block...)
	}
	return out, nil
}

// findNames reads the array of names, if there is one.
func (m *Images) findNames(arrays []*meta) error {
	fits := func(a *meta) bool {
		return a.text.any() && len(a.shape) == 1 && a.shape[0] == int64(m.Len()) && path.Dir(a.path) == path.Dir(m.path)
	}
	var best *meta
	bestRank := len(array.FileNames)
	for _, a := range arrays {
		switch rank := array.Rank(a.path, array.FileNames); {
		case m.o.Names != "" && a.path == path.Clean(strings.Trim(m.o.Names, "/")):
			if !fits(a) {
				return fmt.Errorf("has no list of %d names in the array %.60q", m.Len(), a.path)
			}
			best = a
		case m.o.Names == "" && rank < bestRank && fits(a):
			best, bestRank = a, rank
		}
	}
	if best == nil {
		if m.o.Names != "" {
			return fmt.Errorf("has no array %.60q", m.o.Names)
		}
		return nil
	}
	names, err := m.text1(best)
	if err != nil && m.o.Names == "" { // it was only a guess
		return nil
	}
	m.names = names
	return err
}

// text1 reads a one-dimensional array of text.
func (m *Images) text1(a *meta) ([]string, error) {
	from := &Images{meta: a, store: m.store, o: m.o, chunks: array.NewCache[partKey, []byte](m.o.Cache)}
	n, each := a.shape[0], a.chunkShape()[0]
	var out []string
	for c := int64(0); c*each < n; c++ {
		have := int(min(each, n-c*each))
		size := each * int64(a.text.size)
		if a.text.vlen {
			size = 0
		}
		b, err := from.text1Chunk(c, size)
		if err != nil {
			return nil, err
		}
		if b == nil {
			out = append(out, make([]string, have)...)
			continue
		}
		for i := range have {
			if !a.text.vlen {
				out = append(out, a.text.decode(b[i*a.text.size:][:a.text.size]))
				continue
			}
			if i == 0 { // the count of strings comes first
				b = b[min(4, len(b)):]
			}
			if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
				return nil, errors.New("is damaged: its names are cut off")
			}
			length := int(binary.LittleEndian.Uint32(b))
			out = append(out, string(b[4:4+length]))
			b = b[4+length:]
		}
	}
	return out, nil
}

func (m *Images) text1Chunk(c, size int64) ([]byte, error) {
	if err := m.o.CheckChunk(size); err != nil {
		return nil, err
	}
	if !m.text.vlen {
		return m.read([]int64{c}, 0, size, size)
	}
	key := m.key([]int64{c})
	if m.shard != nil {
		return nil, errors.New("has its names in shards, which is not read")
	}
	b, err := m.store.open(path.Join(m.path, key))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("cannot be read: %s", reason(err))
	}
	defer b.close()
	return m.whole(b, m.codec, 0)
}

// decode makes a string of an element.
func (t textType) decode(b []byte) string {
	if !t.wide {
		return strings.TrimRight(string(b), "\x00")
	}
	var s strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		c := binary.LittleEndian.Uint32(b)
		if t.big {
			c = binary.BigEndian.Uint32(b)
		}
		if c > 0x10ffff {
			c = 0xfffd
		}
		s.WriteRune(rune(c))
	}
	return strings.TrimRight(s.String(), "\x00")
}
