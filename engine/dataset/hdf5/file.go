package hdf5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"anomalymatch/engine/dataset/array"
)

// file is the bytes of an HDF5 file and how its superblock says they are to be read. All addresses are checked against the size before
// anything is allocated, so that no structure costs more than the file has.
type file struct {
	r        io.ReaderAt
	size     int64 // of the part behind base
	base     int64 // where address 0 is
	offset   int   // bytes of an address
	length   int   // bytes of a length
	root     int64 // address of the root group's object header
	options  array.Options
	chunks   *array.Cache[chunkKey, []byte] // decoded chunks
	blocks   *array.Cache[blockKey, []byte] // nodes and pages of chunk indexes
	heaps    *array.Cache[int64, *heap]     // global heap collections
	messages map[int64][]message            // of object headers that were read when the file was opened; nil afterwards
}

type blockKey struct {
	at int64
	n  int
}

const signature = "\x89HDF\r\n\x1a\n"

// undefined is the address of what is not there.
const undefined = int64(-1)

var errDamaged = errors.New("is damaged")

// damaged is an error about a structure of the file.
func damaged(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errDamaged}, a...)...)
}

// openFile reads the superblock (versions 0 to 3).
func openFile(r io.ReaderAt, size int64, o array.Options) (*file, error) {
	f := &file{r: r, size: size, options: o, messages: map[int64][]message{}}
	head := make([]byte, 128)
	at := int64(0)
	for {
		if at+int64(len(signature)) > size {
			return nil, errors.New("is no HDF5 file: its signature is missing")
		}
		n, err := r.ReadAt(head, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("cannot be read: %w", err)
		}
		if clear(head[n:]); string(head[:8]) == signature {
			break
		}
		at = max(512, at*2) // behind a user block
	}
	d := decoder{b: head[9:]}
	version := head[8]
	var eof int64
	switch version {
	case 0, 1:
		d.skip(4)
		f.offset, f.length = int(d.u8()), int(d.u8())
		d.skip(1 + 2 + 2 + 4)
		if version == 1 {
			d.skip(4)
		}
	case 2, 3:
		f.offset, f.length = int(d.u8()), int(d.u8())
		d.skip(1)
	default:
		return nil, fmt.Errorf("has a superblock of version %d: versions 0 to 3 are read", version)
	}
	if (f.offset != 4 && f.offset != 8) || (f.length != 4 && f.length != 8) {
		return nil, damaged("its superblock has addresses of %d and lengths of %d bytes", f.offset, f.length)
	}
	d.offset, d.length = f.offset, f.length
	base := d.addr()
	d.addr() // free space, or the extension
	eof = d.addr()
	if version < 2 {
		d.addr() // driver information
		d.size() // link name
	}
	f.root = d.addr()
	if version >= 2 {
		end := len(head) - len(d.b)
		if sum := d.u32(); verify && !d.bad && sum != lookup3(head[:end]) {
			return nil, damaged("the checksum of its superblock is wrong")
		}
	}
	if d.bad || f.root == undefined {
		return nil, damaged("its superblock makes no sense")
	}
	if base != 0 && base != at {
		return nil, damaged("its superblock says that it begins at byte %d", base)
	}
	f.base = at
	f.size -= at
	if eof > size {
		return nil, fmt.Errorf("is truncated: it has %d bytes, its superblock says %d; copy it again", size, eof)
	}
	f.chunks = array.NewCache[chunkKey, []byte](o.Cache)
	f.blocks = array.NewCache[blockKey, []byte](max(1<<20, o.Cache/8))
	f.heaps = array.NewCache[int64, *heap](max(1<<20, o.Cache/4))
	return f, nil
}

// maxMeta bounds the structures that are read whole.
const maxMeta = 64 << 20

// check says whether n bytes lie at an address.
func (f *file) check(at, n int64) error {
	if at < 0 || n < 0 || at > f.size-n {
		return damaged("it points behind its end, or is truncated")
	}
	return nil
}

// read returns the n bytes at an address.
func (f *file) read(at, n int64) ([]byte, error) {
	if err := f.check(at, n); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	return b, f.fill(b, at)
}

func (f *file) fill(b []byte, at int64) error {
	if err := f.check(at, int64(len(b))); err != nil {
		return err
	}
	n, err := f.r.ReadAt(b, f.base+at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("has become shorter while it was read")
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// block returns n bytes of an index, which nobody may change.
func (f *file) block(at int64, n int) ([]byte, error) {
	if n > maxMeta {
		return nil, damaged("a part of an index has %s", array.Bytes(int64(n)))
	}
	return f.blocks.Get(blockKey{at, n}, func() ([]byte, int64, error) {
		b, err := f.read(at, int64(n))
		return b, int64(n) + 64, err
	})
}

// sealed is a block that ends with its checksum and begins with a signature of four letters; the checksum is left out.
func (f *file) sealed(at int64, n int, magic string) ([]byte, error) {
	if n > maxMeta {
		return nil, damaged("a part of an index has %s", array.Bytes(int64(n)))
	}
	return f.blocks.Get(blockKey{at, n}, func() ([]byte, int64, error) {
		b, err := f.read(at, int64(n))
		if err == nil {
			b, err = unseal(b, magic)
		}
		return b, int64(n) + 64, err
	})
}

// verify is false while a test fuzzes: no fuzzer finds a checksum.
var verify = true

// unseal checks the signature and the checksum behind b.
func unseal(b []byte, magic string) ([]byte, error) {
	if len(b) < 4+len(magic) || string(b[:len(magic)]) != magic {
		return nil, damaged("%q is not where it should be", magic)
	}
	end := len(b) - 4
	if verify && binary.LittleEndian.Uint32(b[end:]) != lookup3(b[:end]) {
		return nil, damaged("a checksum is wrong (%q)", magic)
	}
	return b[:end], nil
}

// decoder reads numbers one after the other; bad says that there were too few bytes.
type decoder struct {
	b              []byte
	offset, length int
	bad            bool
}

func (f *file) decoder(b []byte) *decoder { return &decoder{b: b, offset: f.offset, length: f.length} }

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) skip(n int) { d.bytes(n) }

// uint reads n ≤ 8 bytes, little endian.
func (d *decoder) uint(n int) uint64 {
	var v uint64
	for i, b := range d.bytes(n) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

func (d *decoder) u8() uint8   { return uint8(d.uint(1)) }
func (d *decoder) u16() uint16 { return uint16(d.uint(2)) }
func (d *decoder) u32() uint32 { return uint32(d.uint(4)) }

// addr reads an address; what is not there, and what no file can hold, is undefined.
func (d *decoder) addr() int64 { return d.number(d.offset) }

// size reads a length; -1 where it is undefined or no file can hold it.
func (d *decoder) size() int64 { return d.number(d.length) }

func (d *decoder) number(n int) int64 {
	v := d.uint(n)
	if n == 4 && v == 1<<32-1 || v > 1<<62 {
		return -1
	}
	return int64(v)
}

// lookup3 is Bob Jenkins' hash of that name (hashlittle, initial value 0), the checksum of HDF5's metadata.
func lookup3(k []byte) uint32 {
	a := 0xdeadbeef + uint32(len(k))
	b, c := a, a
	rot := func(x uint32, n int) uint32 { return x<<n | x>>(32-n) }
	for len(k) > 12 {
		a += binary.LittleEndian.Uint32(k)
		b += binary.LittleEndian.Uint32(k[4:])
		c += binary.LittleEndian.Uint32(k[8:])
		a = (a - c) ^ rot(c, 4)
		c += b
		b = (b - a) ^ rot(a, 6)
		a += c
		c = (c - b) ^ rot(b, 8)
		b += a
		a = (a - c) ^ rot(c, 16)
		c += b
		b = (b - a) ^ rot(a, 19)
		a += c
		c = (c - b) ^ rot(b, 4)
		b += a
		k = k[12:]
	}
	if len(k) == 0 {
		return c
	}
	var tail [12]byte
	copy(tail[:], k)
	a += binary.LittleEndian.Uint32(tail[:])
	b += binary.LittleEndian.Uint32(tail[4:])
	c += binary.LittleEndian.Uint32(tail[8:])
	c = (c ^ b) - rot(b, 14)
	a = (a ^ c) - rot(c, 11)
	b = (b ^ a) - rot(a, 25)
	c = (c ^ b) - rot(b, 16)
	a = (a ^ c) - rot(c, 4)
	b = (b ^ a) - rot(a, 14)
	c = (c ^ b) - rot(b, 24)
	return c
}
