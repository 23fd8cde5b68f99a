package imgview

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"math/bits"
	"slices"
	"strconv"

	"github.com/charmbracelet/x/ansi"
)

// sixel draws DEC's sixels at the cursor: at most 256 colours, which are chosen for each picture and dithered. It has no scaling, so
// a picture has the pixels of its box, never more; what it leaves of the box is not drawn.
// https://vt100.net/docs/vt3xx-gp/chapter14.html
type sixel struct {
	colours int // that the terminal has, 0: not said
}

func (sixel) name() string { return "sixel" }

// mostColours that a picture may have: every terminal that has more has 256 at least.
const mostColours = 256

// maxSixel is the longest side of a sixel picture: xterm takes no more (maxGraphicSize).
const maxSixel = 1000

func (s sixel) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	b := img.Bounds()
	if b.Empty() {
		return encoded{}, errNoPixels
	}
	if cell.X <= 0 || cell.Y <= 0 {
		cell = image.Pt(6, 12) // a small font: too few pixels rather than too many
	}
	box := image.Pt(min(cols, maxBox)*cell.X, min(rows, maxBox)*cell.Y)
	w, h := fit(b, min(box.X, maxSixel), min(box.Y, maxSixel), 1)
	small := flatten(img, w, h)
	left, top := (box.X-w)/2, (box.Y-h)/2
	// The margins: whole cells of them are left out by beginning at a later cell, the rest is not drawn.
	skip := image.Pt(left/cell.X, top/cell.Y)
	left, top = left%cell.X, top%cell.Y
	canvas := image.NewPaletted(image.Rect(0, 0, left+w, top+h), append(color.Palette{color.RGBA{}}, colours(small, min(s.limit(), 255))...))
	dither(canvas, small, image.Pt(left, top))

	return encoded{wire: []byte(forward(skip) + ansi.SixelGraphics(0, 1, 0, sixels(canvas)))}, nil
}

// sixels is the data of a picture: six lines of pixels at a time, for each colour in them a pattern of bits. What has the first colour
// is not drawn. There is no new line behind the last pixels: it may scroll the screen.
//
// x/ansi's encoder is not used: it chooses the colours itself, without dithering, and looks each pixel up in two maps: 2 s for a picture of
// 1000×1000 pixels instead of the 0.4 s of all that is here.
func sixels(img *image.Paletted) []byte {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := fmt.Appendf(nil, "\"1;1;%d;%d", w, h)
	for i, c := range img.Palette[1:] {
		r, g, b, _ := c.RGBA()
		percent := func(v uint32) uint32 { return (v*step + 0x7fff) / 0xffff }
		out = fmt.Appendf(out, "#%d;2;%d;%d;%d", i, percent(r), percent(g), percent(b))
	}
	bits := make([][]byte, len(img.Palette))
	for top := 0; top < h; top += 6 {
		if top > 0 {
			out = append(out, '-')
		}
		var used []int
		for y := top; y < min(top+6, h); y++ {
			for x, c := range img.Pix[y*img.Stride:][:w] {
				if c == 0 {
					continue
				}
				if bits[c] == nil {
					bits[c] = make([]byte, w)
					used = append(used, int(c))
				}
				bits[c][x] |= 1 << (y - top)
			}
		}
		for n, c := range used {
			if n > 0 {
				out = append(out, '$')
			}
			out = append(out, '#')
			out = strconv.AppendInt(out, int64(c-1), 10)
			row := bytes.TrimRight(bits[c], "\x00")
			for x := 0; x < len(row); {
				end := x + 1
				for end < len(row) && row[end] == row[x] {
					end++
				}
				if n := end - x; n > 3 {
					out = append(out, '!')
					out = strconv.AppendInt(out, int64(n), 10)
					out = append(out, '?'+row[x])
				} else {
					for range n {
						out = append(out, '?'+row[x])
					}
				}
				x = end
			}
			bits[c] = nil
		}
	}
	return out
}

// limit is how many colours a picture may have.
func (s sixel) limit() int {
	if s.colours < 2 {
		return mostColours
	}
	return min(s.colours, mostColours)
}

func (sixel) paint(_ int, wire []byte, _, _ int) string { return string(wire) }

// wipe: text that is written over a sixel picture takes its place.
func (sixel) wipe(int) string { return "" }

// forward moves the cursor by whole cells.
func forward(by image.Point) string {
	var out string
	if by.Y > 0 {
		out += ansi.CursorDown(by.Y)
	}
	if by.X > 0 {
		out += ansi.CursorForward(by.X)
	}
	return out
}

// step is how finely a sixel colour is told: channels are percentages.
const step = 100

// mostBins is how many colours are looked at when some are chosen.
const mostBins = 1 << 14

// colours chooses at most n colours for img: all greys of a picture without colours, else the means of boxes of colours that are cut
// where they are longest, weighted by their pixels (median cut, Heckbert 1982).
func colours(img *image.RGBA, n int) color.Palette {
	count := map[[3]uint8]int{}
	for mask := uint8(0xff); ; mask <<= 1 { // noise has as many colours as pixels: they are taken more coarsely then
		for i := 0; i < len(img.Pix) && len(count) <= mostBins; i += 4 {
			c := img.Pix[i : i+3]
			count[[3]uint8{c[0] & mask, c[1] & mask, c[2] & mask}]++
		}
		if len(count) <= mostBins {
			break
		}
		clear(count)
	}
	type bin struct {
		c [3]uint8
		n int
	}
	all := make([]bin, 0, len(count))
	for c, k := range count {
		all = append(all, bin{c, k})
	}
	slices.SortFunc(all, func(a, b bin) int { return bytes.Compare(a.c[:], b.c[:]) }) // the same picture, the same colours
	// longest is a box's longest side, and by how much it asks to be cut
	longest := func(box []bin) (side, badness int) {
		pixels := 0
		for _, b := range box {
			pixels += b.n
		}
		for ch := range 3 {
			lo, hi := box[0].c[ch], box[0].c[ch]
			for _, b := range box {
				lo, hi = min(lo, b.c[ch]), max(hi, b.c[ch])
			}
			// the square: faint galaxies have few pixels beside the sky's, and must keep their colours
			if d := int(hi-lo) * int(hi-lo) * bits.Len(uint(pixels)); d > badness {
				side, badness = ch, d
			}
		}
		return side, badness
	}
	type boxed struct {
		bins          []bin
		side, badness int
	}
	newBox := func(b []bin) boxed { s, d := longest(b); return boxed{b, s, d} }
	boxes := []boxed{newBox(all)}
	for len(boxes) < n {
		worst := 0
		for i, b := range boxes {
			if b.badness > boxes[worst].badness {
				worst = i
			}
		}
		b := boxes[worst]
		if b.badness == 0 {
			break
		}
		slices.SortStableFunc(b.bins, func(x, y bin) int { return int(x.c[b.side]) - int(y.c[b.side]) })
		mid := (int(b.bins[0].c[b.side]) + int(b.bins[len(b.bins)-1].c[b.side])) / 2
		at := slices.IndexFunc(b.bins, func(x bin) bool { return int(x.c[b.side]) > mid })
		boxes[worst] = newBox(b.bins[:at])
		boxes = append(boxes, newBox(b.bins[at:]))
	}
	var p color.Palette
	for _, b := range boxes {
		var sum [3]int
		pixels := 0
		for _, x := range b.bins {
			for ch := range 3 {
				sum[ch] += int(x.c[ch]) * x.n
			}
			pixels += x.n
		}
		var c [3]uint8
		for ch := range 3 {
			percent := (sum[ch]*step/pixels + 127) / 255
			c[ch] = uint8(percent * 255 / step)
		}
		p = append(p, color.RGBA{c[0], c[1], c[2], 255})
	}
	return p
}

// dither draws src at a place in dst with dst's colours, the first of which is left out; the error of each pixel goes to those not yet
// drawn (Floyd and Steinberg 1976).
func dither(dst *image.Paletted, src *image.RGBA, at image.Point) {
	w := src.Rect.Dx()
	palette := make([][3]int, len(dst.Palette))
	for i, c := range dst.Palette {
		r, g, b, _ := c.RGBA()
		palette[i] = [3]int{int(r >> 8), int(g >> 8), int(b >> 8)}
	}
	near := map[[3]int]int{} // by colours in steps of 4
	now, next := make([][3]int, w+2), make([][3]int, w+2)
	for y := range src.Rect.Dy() {
		for x := range w {
			var want, key [3]int
			for ch := range 3 {
				want[ch] = min(255, max(0, int(src.Pix[src.PixOffset(x, y)+ch])+now[x+1][ch]/16))
				key[ch] = want[ch] / 4
			}
			best, ok := near[key]
			if !ok {
				best = 1
				for i := 2; i < len(palette); i++ {
					if distance(palette[i], want) < distance(palette[best], want) {
						best = i
					}
				}
				near[key] = best
			}
			dst.Pix[dst.PixOffset(at.X+x, at.Y+y)] = uint8(best)
			for ch := range 3 {
				e := want[ch] - palette[best][ch]
				now[x+2][ch] += 7 * e
				next[x][ch] += 3 * e
				next[x+1][ch] += 5 * e
				next[x+2][ch] += e
			}
		}
		now, next = next, now
		clear(next)
	}
}

func distance(a, b [3]int) int {
	sum := 0
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return sum
}
