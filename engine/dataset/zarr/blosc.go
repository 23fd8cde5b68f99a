package zarr

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pierrec/lz4/v4"

	"anomalymatch/engine/dataset/array"
)

// blosc is the head of a Blosc 1 buffer: blocks that are compressed each by itself, so that a part of a large chunk costs only the blocks that it
// lies in. No Go library reads the format; lz4, zlib and zstd are libraries', BloscLZ is below.
type blosc struct {
	codec     int // 0 BloscLZ, 1 LZ4, 2 Snappy, 3 zlib, 4 Zstandard
	shuffle   bool
	bits      bool
	copied    bool // not compressed
	unsplit   bool
	typeSize  int
	size      int64 // decompressed
	blockSize int64
	stored    int64 // bytes of the whole buffer
}

const bloscHead = 16

var errBlosc = errors.New("is damaged: a chunk cannot be decompressed (Blosc)")

func parseBlosc(b []byte) (h blosc, err error) {
	if len(b) < bloscHead || b[0] != 2 && b[0] != 1 {
		return h, errBlosc
	}
	flags := b[2]
	h = blosc{
		codec: int(flags >> 5), shuffle: flags&1 != 0, copied: flags&2 != 0, bits: flags&4 != 0, unsplit: flags&16 != 0,
		typeSize: int(b[3]), size: int64(binary.LittleEndian.Uint32(b[4:])), blockSize: int64(binary.LittleEndian.Uint32(b[8:])),
		stored: int64(binary.LittleEndian.Uint32(b[12:])),
	}
	if h.size > 1<<31 || h.stored < bloscHead || h.size > 0 && (h.blockSize < 1 || h.blockSize > h.size || h.typeSize < 1) {
		return h, errBlosc
	}
	if !h.copied && h.codec == 2 {
		return h, errors.New("is compressed by Blosc with Snappy, which is not read: lz4, zstd, zlib and blosclz are")
	}
	if !h.copied && h.codec > 4 {
		return h, fmt.Errorf("is compressed by Blosc with an unknown compressor (%d)", h.codec)
	}
	return h, nil
}

// blocks is how many blocks there are.
func (h blosc) blocks() int64 {
	if h.size == 0 {
		return 0
	}
	return (h.size + h.blockSize - 1) / h.blockSize
}

// block decompresses block i, whose stored bytes begin at b. A last block may be shorter.
func (h blosc) block(b []byte, i int64) ([]byte, error) {
	size := int(min(h.blockSize, h.size-i*h.blockSize))
	parts := 1
	if !h.unsplit && int64(size) == h.blockSize && h.typeSize <= 16 && size/h.typeSize >= 128 {
		parts = h.typeSize
	}
	out := make([]byte, size)
	each := size / parts
	for p := range parts {
		if len(b) < 4 {
			return nil, errBlosc
		}
		n := int64(int32(binary.LittleEndian.Uint32(b)))
		if b = b[4:]; n < 0 || n > int64(len(b)) {
			return nil, errBlosc
		}
		dst := out[p*each:][:each]
		if int(n) == each {
			copy(dst, b)
		} else if err := h.decompress(dst, b[:n]); err != nil {
			return nil, err
		}
		b = b[n:]
	}
	switch {
	case h.shuffle && h.typeSize > 1:
		plain := make([]byte, size)
		array.Unshuffle(plain, out, h.typeSize)
		out = plain
	case h.bits && size/h.typeSize%8 == 0:
		out = unshuffleBits(out, h.typeSize)
	}
	return out, nil
}

func (h blosc) decompress(dst, b []byte) error {
	n, err := 0, error(nil)
	switch h.codec {
	case 0:
		n = blosclz(dst, b)
	case 1:
		n, err = lz4.UncompressBlock(b, dst)
	case 3:
		b, err = array.Zlib(b, int64(len(dst)))
		n = copy(dst, b)
	case 4:
		b, err = array.Zstd(b, int64(len(dst)))
		n = copy(dst, b)
	}
	if err != nil || n != len(dst) {
		return errBlosc
	}
	return nil
}

// unshuffleBits undoes Blosc's bit shuffle: src has bit 0 of byte 0 of all elements, then bit 1, and so on. The number of elements is a
// multiple of eight; bytes behind the last one stay.
func unshuffleBits(src []byte, size int) []byte {
	out := make([]byte, len(src))
	n := len(src) / size
	row := n / 8
	for b := range size {
		for k := range row { // eight elements at a time: an 8×8 matrix of bits
			var x uint64
			for bit := range 8 {
				x |= uint64(src[(b*8+bit)*row+k]) << (8 * bit)
			}
			x = transpose8(x)
			for e := range 8 {
				out[(k*8+e)*size+b] = byte(x >> (8 * e))
			}
		}
	}
	copy(out[n*size:], src[n*size:])
	return out
}

// transpose8 mirrors an 8×8 matrix of bits, a row a byte (Warren, Hacker's Delight, 7-3).
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// blosclz decompresses BloscLZ, a kin of FastLZ, and returns how many bytes it made; -1 for what makes no sense.
func blosclz(dst, src []byte) int {
	if len(src) == 0 {
		return 0
	}
	at, next := 0, 1
	code := int(src[0] & 31)
	for {
		if code < 32 { // literals
			n := code + 1
			if n > len(src)-next || n > len(dst)-at {
				return -1
			}
			copy(dst[at:], src[next:next+n])
			at, next = at+n, next+n
		} else { // a copy of what came before
			n, distance := code>>5-1, code&31<<8
			if n == 6 {
				for more := 255; more == 255; n += more {
					if next >= len(src) || n > len(dst) {
						return -1
					}
					more = int(src[next])
					next++
				}
			}
			if next >= len(src) {
				return -1
			}
			low := int(src[next])
			next++
			if n += 3; low == 255 && distance == 31<<8 {
				if next+2 > len(src) {
					return -1
				}
				distance = int(src[next])<<8 + int(src[next+1]) + 8191
				next += 2
			} else {
				distance += low
			}
			distance++
			if distance > at || n > len(dst)-at {
				return -1
			}
			for i := range n {
				dst[at+i] = dst[at+i-distance]
			}
			at += n
		}
		if next >= len(src) {
			return at
		}
		code = int(src[next])
		next++
	}
}
