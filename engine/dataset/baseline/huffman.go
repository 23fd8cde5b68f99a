package baseline

import (
	"bytes"
	"encoding/binary"
)

// bits reads coded bytes, which end in eight bytes of padding.
type bits struct {
	acc uint64 // the next bits, the first one on top
	n   uint   // of them are counted as read
	pos int    // of the first byte that is not counted
	end int    // of what was coded
}

// fill makes n at least 56.
func (r *bits) fill(coded []byte) {
	if r.pos+8 <= len(coded) {
		r.acc |= binary.BigEndian.Uint64(coded[r.pos:]) >> (r.n & 63)
	}
	r.pos += int(63-r.n) >> 3
	r.n |= 56
}

func (r *bits) skip(k uint) {
	r.acc <<= k & 63
	r.n -= k
}

// extend reads a value of s bits (EXTEND of the standard, F.2.2.1).
func (r *bits) extend(s uint) int32 {
	x := int32(r.acc >> 1 >> (63 - s&63))
	r.skip(s)
	if x < 1<<(s&31)>>1 {
		x -= 1<<(s&31) - 1
	}
	return x
}

// left is how many bits were coded and not used; negative where more were used than there are.
func (r *bits) left() int { return 8*(r.end-r.pos) + int(r.n) }

// lookBits is how many bits are looked up at once.
const lookBits = 10

// endOfBlock in the place of a run: no more coefficients. No sum of true runs in a block is as large.
const endOfBlock = 100

// table is a Huffman table.
type table struct {
	raw   []byte // of the file: mostly the same as that of the file before
	known bool   // this file has it

	// whole: value << 16 | run << 5 | length of a code with its value, by the next bits; 0 where they are more than lookBits.
	whole [1 << lookBits]int32
	// short: symbol << 8 | length of a code, 0 where it is longer than lookBits.
	short [1 << lookBits]uint16
	// Longer codes: those of l bits are below above[l], of 16 bits, and have the symbols from first[l] on.
	above   [17]uint32
	first   [17]int32
	symbols [256]byte
}

// set makes the table of counts of codes by length, and their symbols.
func (t *table) set(raw []byte, ac bool) bool {
	t.known = bytes.Equal(t.raw, raw) && len(raw) > 0
	if t.known {
		return true
	}
	t.raw = t.raw[:0] // nothing to compare with until all of it is right
	counts, symbols := raw[:16], raw[16:]
	if len(symbols) > 256 {
		return false
	}
	copy(t.symbols[:], symbols)
	clear(t.whole[:])
	clear(t.short[:])
	code, k := 0, 0
	for l := 1; l <= 16; l++ {
		code <<= 1
		t.first[l] = int32(k - code)
		n := int(counts[l-1])
		if code+n > 1<<l {
			return false
		}
		for range n {
			if l <= lookBits {
				t.add(code, l, symbols[k], ac)
			}
			code++
			k++
		}
		t.above[l] = uint32(code) << (16 - l)
	}
	t.raw, t.known = append(t.raw, raw...), true
	return true
}

// add enters a code of l bits for a symbol.
func (t *table) add(code, l int, symbol byte, ac bool) {
	from, n := code<<(lookBits-l), 1<<(lookBits-l)
	for i := range n {
		t.short[from+i] = uint16(symbol)<<8 | uint16(l)
	}
	if !ac {
		return
	}
	run, size := int32(symbol>>4), int(symbol&15)
	switch {
	case symbol == 0:
		run = endOfBlock
	case size == 0 && run != 15, l+size > lookBits: // no symbol of baseline; too long
		return
	}
	for i := range n {
		r := bits{acc: uint64(from+i) << (64 - lookBits) << l}
		t.whole[from+i] = r.extend(uint(size))<<16 | run<<5 | int32(l+size)
	}
}

// symbol reads a code; false where there is no such code.
func (t *table) symbol(r *bits) (uint, bool) {
	if e := t.short[r.acc>>(64-lookBits)]; e != 0 {
		r.skip(uint(e & 255))
		return uint(e >> 8), true
	}
	return t.long(r)
}

func (t *table) long(r *bits) (uint, bool) {
	next := uint32(r.acc >> 48)
	for l := lookBits + 1; l <= 16; l++ {
		if next < t.above[l] {
			r.skip(uint(l))
			return uint(t.symbols[(t.first[l]+int32(next>>(16-l)))&255]), true
		}
	}
	return 0, false
}
