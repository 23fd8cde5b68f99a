package fits

import (
	"encoding/binary"
	"math/bits"
)

// rice unpacks RICE_1 (Rice coding of differences in blocks, White et al. 2013, section 10.4.1 of the standard) into dst: integers of
// bytepix (1, 2, 4) bytes, of 2 and 4 with a sign. It says whether b held them all.
func rice(dst []int32, b []byte, bytepix, blocksize int) bool {
	width := 8 * bytepix
	selector, most := 3, 6 // bits that choose a block's coding; the choice that means "not coded"
	switch bytepix {
	case 2:
		selector, most = 4, 14
	case 4:
		selector, most = 5, 25
	}
	if len(b) < bytepix {
		return len(dst) == 0
	}
	last := uint32(0)
	for _, x := range b[:bytepix] {
		last = last<<8 | uint32(x)
	}
	r := bitReader{b: b[bytepix:]}
	all := dst
	for len(dst) > 0 {
		n := min(blocksize, len(dst))
		fs := int(r.take(selector)) - 1
		if r.over {
			return false
		}
		switch {
		case fs < 0: // no difference in the whole block
			for i := range dst[:n] {
				dst[i] = int32(last)
			}
		case fs == most:
			for i := range dst[:n] {
				last += unfold(r.take(width))
				dst[i] = int32(last)
			}
		default:
			for i := range dst[:n] {
				last += unfold(r.split(fs))
				dst[i] = int32(last)
			}
		}
		if r.over {
			return false
		}
		dst = dst[n:]
	}
	switch width { // differences are modulo the pixel's range
	case 8:
		for i, v := range all {
			all[i] = int32(uint8(v))
		}
	case 16:
		for i, v := range all {
			all[i] = int32(int16(v))
		}
	}
	return true
}

// unfold undoes the interleaving of signs: 0, 1, 2, 3 … are 0, -1, 1, -2 …
func unfold(u uint32) uint32 {
	return u>>1 ^ -(u & 1)
}

// bitReader reads bits from the highest on. Past the end it gives zeros and sets over.
type bitReader struct {
	b    []byte
	have uint64 // the next n bits, at its top
	n    int
	over bool
}

func (r *bitReader) fill() {
	if len(r.b) >= 8 && r.n <= 56 {
		some := (64 - r.n) / 8
		r.have |= binary.BigEndian.Uint64(r.b) >> (64 - 8*some) << (64 - r.n - 8*some)
		r.n += 8 * some
		r.b = r.b[some:]
		return
	}
	for r.n <= 56 && len(r.b) > 0 {
		r.have |= uint64(r.b[0]) << (56 - r.n)
		r.b = r.b[1:]
		r.n += 8
	}
}

// split reads a number whose bits from bit fs on are a count of zeros, and the rest as they are.
func (r *bitReader) split(fs int) uint32 {
	if r.n < 32 {
		r.fill()
	}
	zeros := bits.LeadingZeros64(r.have)
	if used := zeros + 1 + fs; used <= r.n && used < 64 {
		low := r.have << (zeros + 1) >> 1 >> (63 - fs)
		r.have <<= used
		r.n -= used
		return uint32(zeros)<<fs | uint32(low)
	}
	return r.zeros()<<fs | r.take(fs)
}

// take reads up to 32 bits.
func (r *bitReader) take(n int) uint32 {
	if r.n < n {
		if r.fill(); r.n < n {
			r.over = true
			return 0
		}
	}
	v := uint32(r.have >> (64 - n) & (1<<n - 1))
	r.have <<= n
	r.n -= n
	return v
}

// zeros reads zeros and the one after them, and counts the zeros.
func (r *bitReader) zeros() uint32 {
	count := uint32(0)
	for {
		if r.have != 0 {
			z := bits.LeadingZeros64(r.have)
			r.have = r.have << z << 1
			r.n -= z + 1
			return count + uint32(z)
		}
		count += uint32(r.n)
		r.n = 0
		if r.fill(); r.n == 0 {
			r.over = true
			return 0
		}
	}
}
