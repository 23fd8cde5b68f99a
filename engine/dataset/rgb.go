// Package dataset is where pixels come from: sources of encoded images, limits, decoding, resizing, and the pool, which is
// every image of a project under one sorted list of ids.
//
// Decoding and resizing are pure functions, equal to libjpeg's and Pillow's to the bit for the common kinds of JPEG. Of what was measured
// (bench/decode.py, 300 → 224 px, one core, against Pillow) the fastest was kept: the decoder of package baseline and two samples a
// multiplication, 1.35 times as fast as Pillow, where the standard library's decoder is at 0.96 with the same resize; libjpeg-turbo, built in
// with a tag, is at 2.08. A pool can keep what comes out (Pool.Prepare).
//
// What the network sees has 8 bits in each of 1 to MaxChannels channels (Pixels), made once of the values in full: docs/formats.md says why.
//
// Everything read from a file or a file name is untrusted: limits are checked before
// memory is allocated, decoders never panic, and names are quoted in every message.
package dataset

import "image"

// RGB is an 8-bit colour image: interleaved R, G, B, row by row without padding, so len(Pix) == W*H*3.
type RGB struct {
	W, H int
	Pix  []uint8
}

// NewRGB returns a black image of w × h pixels.
func NewRGB(w, h int) RGB { return RGB{W: w, H: h, Pix: make([]uint8, w*h*3)} }

// Pixels are an image as the network sees it, 8 bits in any number of channels: interleaved, row by row without padding, so len(Pix) == W*H*C.
type Pixels struct {
	W, H, C int
	Pix     []uint8
}

// NewPixels returns a black image of w × h pixels.
func NewPixels(w, h, channels int) Pixels {
	return Pixels{W: w, H: h, C: channels, Pix: make([]uint8, w*h*channels)}
}

// Pixels are m; they share memory.
func (m RGB) Pixels() Pixels { return Pixels{m.W, m.H, 3, m.Pix} }

// RGB is how people see m: three channels as colours, of more the first three, of fewer those that there are; one alone is grey. Three
// channels share memory with m.
func (m Pixels) RGB() RGB {
	if m.C == 3 {
		return RGB{m.W, m.H, m.Pix}
	}
	out := NewRGB(m.W, m.H)
	m.first(out.Pixels())
	if m.C == 1 {
		out.Pixels().only(0)
	}
	return out
}

// first copies the first channels of m into out, as many as both have.
func (m Pixels) first(out Pixels) {
	n := min(m.C, out.C)
	for s, d := m.Pix, out.Pix; len(s) >= m.C && len(d) >= out.C; s, d = s[m.C:], d[out.C:] {
		copy(d[:n], s)
	}
}

// only makes one of the channels that of all.
func (m Pixels) only(channel int) {
	for p := m.Pix; len(p) >= m.C && m.C > 0; p = p[m.C:] {
		for c, v := 0, p[channel]; c < m.C; c++ {
			p[c] = v
		}
	}
}

// grey copies the first band.
func (m RGB) grey() *image.Gray {
	out := image.NewGray(image.Rect(0, 0, m.W, m.H))
	for i := range out.Pix {
		out.Pix[i] = m.Pix[3*i]
	}
	return out
}

// Image copies the pixels into an opaque image of the standard library.
func (m RGB) Image() *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, m.W, m.H))
	d := out.Pix
	for s := m.Pix; len(s) >= 3 && len(d) >= 4; s, d = s[3:], d[4:] {
		d[0], d[1], d[2], d[3] = s[0], s[1], s[2], 255
	}
	return out
}
