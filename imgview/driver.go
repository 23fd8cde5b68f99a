package imgview

import (
	"errors"
	"image"
	"image/color"
	"math"
	"strings"

	"golang.org/x/image/draw"
)

// driver is one way of drawing pictures. Its methods are pure: encode runs in commands, off the program's loop.
type driver interface {
	name() string
	// encode makes what the driver shows in a box of cols×rows cells of cell pixels (0,0: unknown).
	encode(img image.Image, cols, rows int, cell image.Point) (encoded, error)
}

// textDriver is a driver that draws pictures as text.
type textDriver interface {
	driver
	grid() image.Point // pixels that it draws in a cell
}

// store is a driver that keeps pictures in numbered slots of the terminal.
type store interface {
	driver
	transmit(slot int, wire []byte, cols, rows int) []string // brings the picture into the slot, in pieces; text may come between them
	abandon() string                                         // ends a picture whose last pieces do not come
	erase(slot int) string                                   // frees it
	place(slot, cols, rows int) []string                     // the text that shows it
}

// encoded is a picture made ready: wire for a store, text for all others.
type encoded struct {
	wire []byte
	text []string
}

var errNoPixels = errors.New("the picture has no pixels")

// fit is the largest w×h with the aspect of img, in pixels of aspect 1:tall, that a box of maxW×maxH of them holds; at least 1×1.
func fit(img image.Rectangle, maxW, maxH int, tall float64) (w, h int) {
	iw, ih := float64(img.Dx()), float64(img.Dy())/tall
	s := min(float64(maxW)/iw, float64(maxH)/ih)
	round := func(f float64, most int) int { return min(max(1, int(math.Round(f))), max(1, most)) }
	return round(iw*s, maxW), round(ih*s, maxH)
}

// flatten draws img over black, scaled to w×h.
func flatten(img image.Image, w, h int) *image.RGBA {
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(dst, dst.Rect, image.NewUniform(color.Black), image.Point{}, draw.Src)
	b := img.Bounds()
	switch {
	case b.Dx() == w && b.Dy() == h:
		draw.Draw(dst, dst.Rect, img, b.Min, draw.Over)
	case b.Dx() < w && b.Dy() < h:
		draw.BiLinear.Scale(dst, dst.Rect, img, b, draw.Over, nil)
	default:
		draw.CatmullRom.Scale(dst, dst.Rect, img, b, draw.Over, nil)
	}
	return dst
}

// blank is a box with nothing in it.
func blank(cols, rows int) []string {
	lines := make([]string, max(0, rows))
	for i := range lines {
		lines[i] = strings.Repeat(" ", max(0, cols))
	}
	return lines
}

// note is a box with a short text in its middle.
func note(text string, cols, rows int) []string {
	lines := blank(cols, rows)
	if len(lines) == 0 || cols <= 0 {
		return lines
	}
	text = text[:min(len(text), cols)]
	left := (cols - len(text)) / 2
	lines[(rows-1)/2] = strings.Repeat(" ", left) + text + strings.Repeat(" ", cols-left-len(text))
	return lines
}
