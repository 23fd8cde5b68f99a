// Package baseline decodes the common kind of JPEG quickly: baseline Huffman coding in one scan, grey or YCbCr, without restart markers.
// The samples are those of libjpeg's accurate integer transform (jidctint.c), bit for bit, so that pixels are equal to what Pillow and
// most other programs see.
//
// It is a shortcut and judges nothing: whatever is rare or looks damaged it refuses, and the standard library's decoder says what is
// wrong with it. What makes it about twice as fast as that one (BenchmarkDecode): escapes are taken out of the coded bytes beforehand, so that 56
// bits are read at once; most coefficients are one look-up, value included; and columns without alternating parts are not transformed.
package baseline

import (
	"bytes"
	"image"
)

// Decoder holds buffers and tables, which most JPEGs share. It is for one goroutine at a time.
type Decoder struct {
	quant  [4][64]int32 // zigzag order
	known  [4]bool      // quantisation tables that this file has
	tables [2][4]table  // DC, AC
	coded  []byte       // of the scan, without escapes
	bits   bits
	pix    []byte // of all planes
	comps  []component
	w, h   int
}

type component struct {
	id     byte
	h, v   int // samples for each of those with the fewest, across and down
	quant  *[64]int32
	dc, ac *table
	last   int32 // DC value of the block before
	plane  []byte
	stride int
	tq     byte
}

// Decode returns the picture in b as *image.Gray or *image.YCbCr, valid until the next call; false where it is not of the common kind.
// It may allocate as much as the size in b's header asks for: check that before. It never panics.
func (d *Decoder) Decode(b []byte) (image.Image, bool) {
	scan, ok := d.headers(b)
	if !ok {
		return nil, false
	}
	rest, ok := d.unescape(scan)
	if !ok || !bytes.HasPrefix(rest, []byte{0xff, 0xd9}) {
		return nil, false
	}
	m := d.planes()
	if !d.scan() {
		return nil, false
	}
	return m, true
}

// headers reads everything before the coded bytes, and returns what follows.
func (d *Decoder) headers(b []byte) (rest []byte, ok bool) {
	d.comps = d.comps[:0]
	d.known = [4]bool{}
	for i := range d.tables {
		for j := range d.tables[i] {
			d.tables[i][j].known = false
		}
	}
	if len(b) < 2 || b[0] != 0xff || b[1] != 0xd8 {
		return nil, false
	}
	b = b[2:]
	jfif, adobe := false, false
	for {
		if len(b) < 4 || b[0] != 0xff {
			return nil, false
		}
		marker, n := b[1], int(b[2])<<8|int(b[3])
		if n < 2 || len(b) < 2+n {
			return nil, false
		}
		body := b[4 : 2+n]
		b = b[2+n:]
		switch {
		case marker == 0xe0:
			jfif = jfif || bytes.HasPrefix(body, []byte("JFIF\x00"))
		case marker == 0xee:
			adobe = adobe || bytes.HasPrefix(body, []byte("Adobe"))
		case marker > 0xe0 && marker < 0xf0, marker == 0xfe:
		case marker == 0xdb:
			ok = d.quantisation(body)
			if !ok {
				return nil, false
			}
		case marker == 0xc4:
			if !d.huffman(body) {
				return nil, false
			}
		case marker == 0xc0:
			if !d.frame(body) {
				return nil, false
			}
		case marker == 0xda:
			rgb := len(d.comps) == 3 && d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B'
			if !jfif && (adobe || rgb) {
				return nil, false
			}
			return b, d.selection(body)
		default:
			return nil, false
		}
	}
}

func (d *Decoder) quantisation(b []byte) bool {
	for len(b) > 0 {
		t := b[0]
		if t > 3 || len(b) < 65 { // 16-bit tables are rare
			return false
		}
		for i, v := range b[1:65] {
			d.quant[t][i] = int32(v)
		}
		d.known[t] = true
		b = b[65:]
	}
	return true
}

func (d *Decoder) huffman(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 17 || b[0]>>4 > 1 || b[0]&15 > 3 {
			return false
		}
		n := 0
		for _, v := range b[1:17] {
			n += int(v)
		}
		if len(b) < 17+n {
			return false
		}
		if !d.tables[b[0]>>4][b[0]&15].set(b[1:17+n], b[0]>>4 == 1) {
			return false
		}
		b = b[17+n:]
	}
	return true
}

func (d *Decoder) frame(b []byte) bool {
	if len(d.comps) > 0 || len(b) < 6 || b[0] != 8 {
		return false
	}
	d.h, d.w = int(b[1])<<8|int(b[2]), int(b[3])<<8|int(b[4])
	n := int(b[5])
	if d.w == 0 || d.h == 0 || n != 1 && n != 3 || len(b) != 6+3*n {
		return false
	}
	for i := range n {
		c := component{id: b[6+3*i], h: int(b[7+3*i] >> 4), v: int(b[7+3*i] & 15), tq: b[8+3*i]}
		if n == 1 {
			c.h, c.v = 1, 1
		}
		most := 1 // only the first one has more samples than the others
		if i == 0 {
			most = 2
		}
		if c.h < 1 || c.h > most || c.v < 1 || c.v > most || c.tq > 3 {
			return false
		}
		d.comps = append(d.comps, c)
	}
	return true
}

// selection reads the header of the scan: all components in their order, all coefficients.
func (d *Decoder) selection(b []byte) bool {
	n := len(d.comps)
	if n == 0 || len(b) != 4+2*n || int(b[0]) != n || b[1+2*n] != 0 || b[2+2*n] != 63 || b[3+2*n] != 0 {
		return false
	}
	for i := range d.comps {
		c := &d.comps[i]
		td, ta := b[2+2*i]>>4, b[2+2*i]&15
		if b[1+2*i] != c.id || td > 3 || ta > 3 || !d.known[c.tq] {
			return false
		}
		c.quant, c.dc, c.ac = &d.quant[c.tq], &d.tables[0][td], &d.tables[1][ta]
		if !c.dc.known || !c.ac.known {
			return false
		}
	}
	return true
}

// unescape copies the coded bytes up to the next marker, and returns what begins there.
func (d *Decoder) unescape(b []byte) (rest []byte, ok bool) {
	d.coded = d.coded[:0]
	for {
		i := bytes.IndexByte(b, 0xff)
		if i < 0 || i+1 >= len(b) {
			return nil, false
		}
		if b[i+1] != 0 {
			d.bits = bits{end: len(d.coded) + i}
			d.coded = append(append(d.coded, b[:i]...), 0, 0, 0, 0, 0, 0, 0, 0)
			return b[i:], true
		}
		d.coded = append(d.coded, b[:i+1]...)
		b = b[i+2:]
	}
}

// keep is the size from which on planes are not kept for the next picture.
const keep = 16 << 20

// planes makes room for the samples of whole blocks.
func (d *Decoder) planes() image.Image {
	first := &d.comps[0]
	across, down := blocks(d.w, first.h), blocks(d.h, first.v) // groups of blocks
	total := 0
	for i := range d.comps {
		c := &d.comps[i]
		c.stride = across * c.h * 8
		total += c.stride * down * c.v * 8
	}
	pix := d.pix
	if cap(pix) < total {
		pix = make([]byte, total)
		if total <= keep {
			d.pix = pix
		}
	}
	pix = pix[:total]
	for i := range d.comps {
		c := &d.comps[i]
		n := c.stride * down * c.v * 8
		c.plane, pix = pix[:n:n], pix[n:]
	}
	box := image.Rect(0, 0, d.w, d.h)
	if len(d.comps) == 1 {
		return &image.Gray{Pix: first.plane, Stride: first.stride, Rect: box}
	}
	ratio := [3][3]image.YCbCrSubsampleRatio{
		1: {1: image.YCbCrSubsampleRatio444, 2: image.YCbCrSubsampleRatio440},
		2: {1: image.YCbCrSubsampleRatio422, 2: image.YCbCrSubsampleRatio420},
	}[first.h][first.v]
	return &image.YCbCr{Y: first.plane, Cb: d.comps[1].plane, Cr: d.comps[2].plane, YStride: first.stride, CStride: d.comps[1].stride,
		SubsampleRatio: ratio, Rect: box}
}

// blocks is how many groups of n blocks of 8 samples hold a length.
func blocks(length, n int) int { return (length + 8*n - 1) / (8 * n) }

// scan decodes all blocks.
func (d *Decoder) scan() bool {
	first := &d.comps[0]
	across, down := blocks(d.w, first.h), blocks(d.h, first.v)
	var b block
	for y := range down {
		for x := range across {
			for i := range d.comps {
				c := &d.comps[i]
				for v := range c.v {
					for h := range c.h {
						if !d.block(&b, c) {
							return false
						}
						b.transform(c.plane[(y*c.v+v)*8*c.stride+(x*c.h+h)*8:], c.stride)
					}
				}
			}
		}
		if d.bits.left() < 0 {
			return false
		}
	}
	return d.bits.left() < 16 // else there is something that no block needs
}

// block decodes one block of c.
func (d *Decoder) block(b *block, c *component) bool {
	r, coded := d.bits, d.coded
	b.v, b.seen = [64]int32{}, 0
	r.fill(coded)
	s, ok := c.dc.symbol(&r)
	if !ok || s > 11 {
		return false
	}
	c.last += r.extend(s)
	b.v[0] = c.last * c.quant[0]
	for k := 1; k < 64; k++ {
		if r.n < 32 { // a code and its value have at most 31 bits
			r.fill(coded)
		}
		var value int32
		if e := c.ac.whole[r.acc>>(64-lookBits)]; e != 0 {
			r.skip(uint(e) & 31)
			k += int(e>>5) & 127
			value = e >> 16
		} else {
			s, ok := c.ac.symbol(&r)
			if !ok {
				return false
			}
			if s == 0 {
				break
			}
			if s&15 == 0 && s != 0xf0 {
				return false
			}
			k += int(s >> 4)
			value = r.extend(s & 15)
		}
		if k > 63 {
			if k < endOfBlock {
				return false
			}
			break
		}
		at := natural[k]
		b.seen |= 1 << at
		b.v[at] = value * c.quant[k]
	}
	d.bits = r
	return true
}
