package dataset

import "image"

// JPEG stores colour at half resolution, and how it is enlarged again is visible: nearest neighbours make blocky colours. These
// rows are computed as libjpeg does ("fancy upsampling", jdsample.c, and jdcolor.c), because the published results and every other
// tool that looks at these images see them that way.

// chroma is one row of Cb or Cr at full width, rebuilt for every row.
type chroma struct {
	sums []int32 // vertically weighted sums of the half-width row
	row  []uint8 // full width, rounded up to even
}

// ycbcr converts a whole picture.
func ycbcr(dst []uint8, m *image.YCbCr) {
	r := m.Rect
	w := r.Dx()
	var cb, cr chroma
	for y := range r.Dy() {
		luma := m.Y[y*m.YStride:][:w]
		u, v := cb.at(m.Cb, m, y, w), cr.at(m.Cr, m, y, w)
		row := dst[y*w*3:][:w*3]
		for x, l := range luma {
			b, r := int32(u[x])-128, int32(v[x])-128
			y := int32(l)
			p := row[x*3 : x*3+3 : x*3+3]
			p[0] = clip8(y + (91881*r+32768)>>16)
			p[1] = clip8(y + (-22554*b-46802*r+32768)>>16)
			p[2] = clip8(y + (116130*b+32768)>>16)
		}
	}
}

func clip8(v int32) uint8 {
	if uint32(v) <= 255 {
		return uint8(v)
	}
	return uint8(^(v >> 31)) // negative: 0; too large: 255
}

// at returns the samples of plane for row y of the picture, at full width.
func (c *chroma) at(plane []uint8, m *image.YCbCr, y, w int) []uint8 {
	h := m.Rect.Dy()
	if c.row == nil {
		c.row = make([]uint8, w+4)
		c.sums = make([]int32, w/2+1)
	}
	switch {
	case m.SubsampleRatio == image.YCbCrSubsampleRatio444:
		return plane[y*m.CStride:][:w]
	case m.SubsampleRatio == image.YCbCrSubsampleRatio420 && w > 4:
		cy, other := y/2, y/2-1+(y&1)*2
		other = min(max(other, 0), (h+1)/2-1)
		n := (w + 1) / 2
		near, far := plane[cy*m.CStride:][:n], plane[other*m.CStride:][:n]
		sums := c.sums[:n]
		for x, v := range near {
			sums[x] = 3*int32(v) + int32(far[x])
		}
		widen(c.row, sums, 4, 8, 7)
	case m.SubsampleRatio == image.YCbCrSubsampleRatio422 && w > 4:
		n := (w + 1) / 2
		sums := c.sums[:n]
		for x, v := range plane[y*m.CStride:][:n] {
			sums[x] = int32(v)
		}
		widen(c.row, sums, 2, 1, 2)
	default: // rare layouts and pictures of a few pixels: the nearest sample
		for x := range w {
			c.row[x] = plane[m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)]
		}
	}
	return c.row
}

// widen doubles a row with weights 3/4 and 1/4: dst[2i] leans to the left, dst[2i+1] to the right neighbour; the ends have none.
// shift divides by the sum of all weights, left and right are the rounding terms, which alternate so that no side is favoured.
func widen(dst []uint8, s []int32, shift uint, left, right int32) {
	last := s[0]
	for i, v := range s {
		next := v
		if i+1 < len(s) {
			next = s[i+1]
		}
		d := dst[2*i : 2*i+2 : 2*i+2]
		d[0] = uint8((3*v + last + left) >> shift)
		d[1] = uint8((3*v + next + right) >> shift)
		last = v
	}
}
