package baseline

import "encoding/binary"

// block is 8 × 8 coefficients, row by row, already multiplied by the quantisation table.
type block struct {
	v    [64]int32
	seen uint64 // bit i: v[i] was coded; the first one always is
}

// natural is where the coefficients in zigzag order stand.
var natural = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
}

// Constants of libjpeg's jidctint.c, in 13 fractional bits; columns keep 2 of them for the rows.
const (
	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172

	constBits = 13
	passBits  = 2
)

// transform writes the samples of b to the 8 rows that begin at dst (Loeffler, Ligtenberg and Moschytz 1989, as jpeg_idct_islow).
func (b *block) transform(dst []byte, stride int) {
	if b.seen == 0 {
		v := uint64(sample((b.v[0]<<passBits+1<<(passBits+2))>>(passBits+3))) * 0x0101010101010101
		for y := range 8 {
			binary.LittleEndian.PutUint64(dst[y*stride:], v)
		}
		return
	}
	v := &b.v
	below := b.seen >> 8 // bit x: column x has more than its first value
	below |= below >> 32
	below |= below >> 16
	below |= below >> 8
	const shift, half = constBits - passBits, 1 << (constBits - passBits - 1)
	for x := range 8 {
		if below>>x&1 == 0 {
			w := v[x] << passBits
			v[x], v[8+x], v[16+x], v[24+x], v[32+x], v[40+x], v[48+x], v[56+x] = w, w, w, w, w, w, w, w
			continue
		}
		e0, e1, e2, e3, o0, o1, o2, o3 := eight(v[x], v[8+x], v[16+x], v[24+x], v[32+x], v[40+x], v[48+x], v[56+x])
		v[x], v[56+x] = (e0+o3+half)>>shift, (e0-o3+half)>>shift
		v[8+x], v[48+x] = (e1+o2+half)>>shift, (e1-o2+half)>>shift
		v[16+x], v[40+x] = (e2+o1+half)>>shift, (e2-o1+half)>>shift
		v[24+x], v[32+x] = (e3+o0+half)>>shift, (e3-o0+half)>>shift
	}
	for y := range 8 {
		const shift, half = constBits + passBits + 3, 1 << (constBits + passBits + 2)
		r := v[8*y : 8*y+8 : 8*y+8]
		e0, e1, e2, e3, o0, o1, o2, o3 := eight(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
		binary.LittleEndian.PutUint64(dst[y*stride:], uint64(sample((e0+o3+half)>>shift))|uint64(sample((e1+o2+half)>>shift))<<8|
			uint64(sample((e2+o1+half)>>shift))<<16|uint64(sample((e3+o0+half)>>shift))<<24|
			uint64(sample((e3-o0+half)>>shift))<<32|uint64(sample((e2-o1+half)>>shift))<<40|
			uint64(sample((e1-o2+half)>>shift))<<48|uint64(sample((e0-o3+half)>>shift))<<56)
	}
}

// eight is the transform of one column or row: its outputs are e±o.
func eight(c0, c1, c2, c3, c4, c5, c6, c7 int32) (e0, e1, e2, e3, o0, o1, o2, o3 int32) {
	z1 := (c2 + c6) * fix0541
	t2, t3 := z1-c6*fix1847, z1+c2*fix0765
	t0, t1 := (c0+c4)<<constBits, (c0-c4)<<constBits
	e0, e3, e1, e2 = t0+t3, t0-t3, t1+t2, t1-t2

	z5 := (c7 + c3 + c5 + c1) * fix1175
	z1, z2 := -(c7+c1)*fix0899, -(c5+c3)*fix2562
	z3, z4 := z5-(c7+c3)*fix1961, z5-(c5+c1)*fix0390
	o0 = c7*fix0298 + z1 + z3
	o1 = c5*fix2053 + z2 + z4
	o2 = c3*fix3072 + z2 + z3
	o3 = c1*fix1501 + z1 + z4
	return
}

// sample moves v, around 0, to 0…255.
func sample(v int32) uint8 {
	v += 128
	if uint32(v) <= 255 {
		return uint8(v)
	}
	return uint8(^(v >> 31))
}
