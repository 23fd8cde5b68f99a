package dataset

import (
	"image"
	"sync"
)

// JPEG stores colour at half resolution, and how it is enlarged again is visible: nearest neighbours make blocky colours. These
// rows are computed as libjpeg does ("fancy upsampling", jdsample.c, and jdcolor.c), because the published results and every other
// tool that looks at these images see them that way.
//
// Cb and Cr of a place go together in one uint32, Cb | Cr << 16: no sum of one reaches the other.

// chroma makes rows of Cb and Cr at full width.
type chroma struct {
	sums []uint32 // vertically weighted sums of the half-width rows
	row  []uint32 // full width, rounded up to even
}

var chromas = sync.Pool{New: func() any { return new(chroma) }}

// tint is what a value of Cb or Cr adds: to blue or red, and to green, there in 16 fractional bits.
type tint struct{ own, green int32 }

var blueTint, redTint = func() (blue, red [256]tint) {
	for i := range int32(256) {
		c := i - 128
		blue[i] = tint{(116130*c + 32768) >> 16, -22554*c + 32768}
		red[i] = tint{(91881*c + 32768) >> 16, -46802 * c}
	}
	return blue, red
}()

// ycbcr converts a whole picture.
func ycbcr(dst []uint8, m *image.YCbCr) {
	w := m.Rect.Dx()
	c := chromas.Get().(*chroma)
	defer chromas.Put(c)
	if cap(c.row) < w+4 {
		c.row = make([]uint32, w+4)
		c.sums = make([]uint32, w/2+1)
	}
	for y := range m.Rect.Dy() {
		row := dst[y*w*3:][:w*3]
		luma, colours := m.Y[y*m.YStride:][:w], c.at(m, y, w)[:w]
		for x, l := range luma {
			y, u, v := int32(l), &blueTint[uint8(colours[x])], &redTint[uint8(colours[x]>>16)]
			if len(row) < 3 { // never
				break
			}
			row[0] = clip8(y + v.own)
			row[1] = clip8(y + (u.green+v.green)>>16)
			row[2] = clip8(y + u.own)
			row = row[3:]
		}
	}
}

func clip8(v int32) uint8 {
	if uint32(v) <= 255 {
		return uint8(v)
	}
	return uint8(^(v >> 31)) // negative: 0; too large: 255
}

// at returns Cb and Cr for row y of the picture, at full width.
func (c *chroma) at(m *image.YCbCr, y, w int) []uint32 {
	h, n := m.Rect.Dy(), (w+1)/2
	row := c.row[:w+4]
	switch {
	case m.SubsampleRatio == image.YCbCrSubsampleRatio444:
		cb, cr := m.Cb[y*m.CStride:][:w], m.Cr[y*m.CStride:][:w]
		for x, v := range cb {
			row[x] = uint32(v) | uint32(cr[x])<<16
		}
	case m.SubsampleRatio == image.YCbCrSubsampleRatio420 && w > 4:
		cy, other := y/2, y/2-1+(y&1)*2
		other = min(max(other, 0), (h+1)/2-1)
		cb, cr := m.Cb[cy*m.CStride:][:n], m.Cr[cy*m.CStride:][:n]
		farCb, farCr := m.Cb[other*m.CStride:][:n], m.Cr[other*m.CStride:][:n]
		sums := c.sums[:n]
		for x, v := range cb {
			sums[x] = 3*(uint32(v)|uint32(cr[x])<<16) + (uint32(farCb[x]) | uint32(farCr[x])<<16)
		}
		widen(row, sums, 4, 8, 7)
	case m.SubsampleRatio == image.YCbCrSubsampleRatio422 && w > 4:
		sums := c.sums[:n]
		cr := m.Cr[y*m.CStride:][:n]
		for x, v := range m.Cb[y*m.CStride:][:n] {
			sums[x] = uint32(v) | uint32(cr[x])<<16
		}
		widen(row, sums, 2, 1, 2)
	default: // rare layouts and pictures of a few pixels: the nearest sample
		for x := range w {
			at := m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)
			row[x] = uint32(m.Cb[at]) | uint32(m.Cr[at])<<16
		}
	}
	return row
}

// widen doubles a row with weights 3/4 and 1/4: dst[2i] leans to the left, dst[2i+1] to the right neighbour; the ends have none.
// shift divides by the sum of all weights, left and right are the rounding terms, which alternate so that no side is favoured.
func widen(dst, s []uint32, shift uint, left, right uint32) {
	const each, bytes = 1<<16 | 1, 0xff<<16 | 0xff
	left, right = left*each, right*each
	last := s[0]
	for i, v := range s {
		next := v
		if i+1 < len(s) {
			next = s[i+1]
		}
		d := dst[2*i : 2*i+2 : 2*i+2]
		d[0] = (3*v + last + left) >> (shift & 31) & bytes
		d[1] = (3*v + next + right) >> (shift & 31) & bytes
		last = v
	}
}
