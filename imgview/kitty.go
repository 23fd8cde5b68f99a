package imgview

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/kitty"
)

// Slots are image numbers that one of 256 colours can name. The first 16 are left out: programs and terminals map those colours
// to others. Numbers of 24 bits would need a tmux that passes 24-bit colours.
const firstSlot, lastSlot = 16, 255

// maxBox is how many rows or columns the diacritics can count.
const maxBox = 297

// chunk is the most base64 bytes of one command.
const chunk = 2048

// kittyStore is kitty's graphics protocol with Unicode placeholders: a picture is sent once (U=1), and every cell that shows a
// part of it is the character U+10EEEE with its row and column as diacritics and the picture's number as its colour. The terminal
// scales the picture into the box, centred, its aspect kept.
// https://sw.kovidgoyal.net/kitty/graphics-protocol/#unicode-placeholders
type kittyStore struct {
	depth int
	few   bool // bytes rather than every grey level
}

func (kittyStore) name() string { return "kitty" }

func (k kittyStore) compact() driver { return kittyStore{depth: k.depth, few: true} }

func (k kittyStore) encode(img image.Image, cols, rows int, cell image.Point) (encoded, error) {
	b := img.Bounds()
	if b.Empty() {
		return encoded{}, errNoPixels
	}
	if cell.X <= 0 || cell.Y <= 0 {
		cell = image.Pt(20, 40) // a large font: better too many pixels than too few
	}
	w, h := b.Dx(), b.Dy()
	if maxW, maxH := cols*cell.X, rows*cell.Y; w > maxW || h > maxH {
		w, h = fit(b, maxW, maxH, 1)
	}
	flat := flatten(img, w, h)
	if k.few {
		return encoded{wire: compact(flat)}, nil
	}
	return inFull(thin(flat))
}

// inFull makes a PNG of every pixel as it is, quickly.
func inFull(img image.Image) (encoded, error) {
	var buf bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	err := enc.Encode(&buf, img)
	return encoded{wire: buf.Bytes()}, err
}

// thin turns a picture without colours into one byte a pixel: a third of what goes over the link.
func thin(img *image.RGBA) image.Image {
	grey := image.NewGray(img.Rect)
	for i := range grey.Pix {
		r, g, b := img.Pix[4*i], img.Pix[4*i+1], img.Pix[4*i+2]
		if r != g || g != b {
			return img
		}
		grey.Pix[i] = color.Gray{Y: r}.Y
	}
	return grey
}

func (k kittyStore) transmit(slot int, wire []byte, cols, rows int) []string {
	return transmit(wire, k.depth, "a=T", "U=1", "f=100", "t=d", "i="+strconv.Itoa(slot),
		"c="+strconv.Itoa(min(cols, maxBox)), "r="+strconv.Itoa(min(rows, maxBox)))
}

// transmit cuts a picture into commands; the first has the options.
func transmit(wire []byte, depth int, opts ...string) []string {
	data := make([]byte, base64.StdEncoding.EncodedLen(len(wire)))
	base64.StdEncoding.Encode(data, wire)
	var out []string
	for first := true; first || len(data) > 0; first = false {
		n := min(chunk, len(data))
		more := "m=0"
		if n < len(data) {
			more = "m=1"
		}
		if !first {
			opts = nil
		}
		out = append(out, wrap(ansi.KittyGraphics(data[:n], append(opts, more)...), depth))
		data = data[n:]
	}
	return out
}

func (k kittyStore) abandon() string { return wrap(ansi.KittyGraphics(nil, "m=0", "q=2"), k.depth) }

func (k kittyStore) erase(slot int) string {
	return wrap(ansi.KittyGraphics(nil, "a=d", "d=I", "q=2", "i="+strconv.Itoa(slot)), k.depth)
}

// exists places a picture once more, which fails where it is not there.
func (k kittyStore) exists(slot, cols, rows int) string {
	return wrap(ansi.KittyGraphics(nil, "a=p", "U=1", "q=1", "i="+strconv.Itoa(slot),
		"c="+strconv.Itoa(min(cols, maxBox)), "r="+strconv.Itoa(min(rows, maxBox))), k.depth)
}

func (kittyStore) place(slot, cols, rows int) []string {
	return placeholders(cols, rows, fmt.Sprintf("\x1b[38;5;%dm", slot), "", "\x1b[39m")
}

// placeholders is a box of them, each with its row and column as diacritics and mark behind; begin and end enclose those of a line.
func placeholders(cols, rows int, begin, mark, end string) []string {
	w, h := min(cols, maxBox), min(rows, maxBox)
	lines := blank(cols, rows)
	left := (cols - w) / 2
	var b strings.Builder
	for r := range h {
		b.Reset()
		b.WriteString(strings.Repeat(" ", left))
		b.WriteString(begin)
		for c := range w {
			b.WriteRune(kitty.Placeholder)
			b.WriteRune(kitty.Diacritic(r))
			b.WriteRune(kitty.Diacritic(c))
			b.WriteString(mark)
		}
		b.WriteString(end)
		b.WriteString(strings.Repeat(" ", cols-left-w))
		lines[(rows-h)/2+r] = b.String()
	}
	return lines
}

// wrap brings a sequence through depth tmux to the terminal.
func wrap(seq string, depth int) string {
	for range depth {
		seq = ansi.TmuxPassthrough(seq)
	}
	return seq
}
