// Package sheet shows the top of a list to people: contact sheets as PNG and PDF, and a page for a browser that needs nothing but itself.
//
// PNG and PDF share one layout, drawn on a canvas of points. The PDF is written here, in a hundred lines: pictures as JPEG, text in Helvetica, which
// every viewer has, so that it stays text and can be searched. Libraries do the same with fonts, forms and dates that nobody needs; dates would make
// every file another one. Characters that Helvetica's encoding (Windows-1252) or, in PNG, the Go font lacks are question marks; the page has them all.
package sheet

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg" // pictures may be
	_ "image/png"
	"strings"

	"anomalymatch/engine/export"
	"anomalymatch/engine/label"
	"anomalymatch/internal/say"
)

// Picture is one image of a list with what is shown of it.
type Picture struct {
	export.Candidate
	Data []byte // PNG or JPEG; empty: it cannot be shown
	Why  string // then
}

// Sheet is what is shown.
type Sheet struct {
	Title    string
	Pictures []Picture
}

// The most pictures that a file may hold; more would be a file that nobody can open.
const (
	MostPNG  = 1000
	MostPDF  = 10_000
	MostPage = 2000
)

// PictureSize is the longer side of pictures in pixels: what the sheets and the page show.
const PictureSize = 256

type rgb struct{ r, g, b uint8 }

// Colours of labels. They never say anything that the text does not.
var (
	ink     = rgb{0x20, 0x22, 0x26}
	faint   = rgb{0x6b, 0x70, 0x78}
	borders = map[label.Value]rgb{label.Anomaly: {0xd0, 0x30, 0x20}, label.Normal: {0x20, 0x70, 0xb0}, label.Skip: {0xb0, 0x8a, 0x10}, label.None: {0xd0, 0xd2, 0xd6}}
)

// canvas is a page to draw on, in points from its upper left corner.
type canvas interface {
	picture(p Picture, x, y, w, h float64) error
	text(x, base, size float64, colour rgb, s string)
	width(size float64, s string) float64
	frame(x, y, w, h, line float64, colour rgb)
	// has is s as the font can show it.
	has(s string) string
}

// grid is the layout of a page.
type grid struct {
	width, margin, title, gap, caption float64
	columns, rows                      int
}

const lineHeight, textSize, titleSize = 9.0, 7.0, 11.0

func (g grid) cell() float64 {
	return (g.width - 2*g.margin - float64(g.columns-1)*g.gap) / float64(g.columns)
}

// rowsIn is how many rows a page of a height has room for.
func (g grid) rowsIn(height float64) int {
	return int((height - 2*g.margin - g.title + g.gap) / (g.cell() + g.caption + g.gap))
}

// height of a page of so many rows.
func (g grid) height(rows int) float64 {
	return 2*g.margin + g.title + float64(rows)*(g.cell()+g.caption+g.gap) - g.gap
}

func layout(c canvas, g grid, title string, pictures []Picture) error {
	c.text(g.margin, g.margin+titleSize, titleSize, ink, fit(c, titleSize, title, g.width-2*g.margin))
	size := g.cell()
	for k, p := range pictures {
		x := g.margin + float64(k%g.columns)*(size+g.gap)
		y := g.margin + g.title + float64(k/g.columns)*(size+g.caption+g.gap)
		if len(p.Data) > 0 {
			if err := c.picture(p, x, y, size, size); err != nil {
				return err
			}
		} else {
			c.text(x+4, y+size/2, textSize, faint, fit(c, textSize, p.Why, size-8))
		}
		line := 0.75
		if p.Label != label.None {
			line = 1.5
		}
		c.frame(x, y, size, size, line, borders[p.Label])
		for n, s := range caption(p.Candidate) {
			colour := ink
			if n == 2 {
				colour = faint
			}
			c.text(x, y+size+lineHeight*float64(n+1), textSize, colour, fit(c, textSize, s, size))
		}
	}
	return nil
}

// caption is what stands below a picture: rank and score, label and marks, a short name.
func caption(c export.Candidate) [3]string {
	first := fmt.Sprintf("%d", c.Rank)
	if c.Score == c.Score {
		first += fmt.Sprintf(" · %.3f", c.Score)
	}
	second := string(c.Label)
	if c.Bookmarked() {
		second = strings.TrimSpace(second + " bookmark")
	}
	for _, t := range c.Tags() {
		second = strings.TrimSpace(second + " #" + t)
	}
	if second == "" {
		second = "–"
	}
	return [3]string{first, second, c.Name()}
}

// fit cuts a text in its middle to a width: names differ at their ends.
func fit(c canvas, size float64, s string, width float64) string {
	s = c.has(say.Text(s))
	if c.width(size, s) <= width {
		return s
	}
	r := []rune(s)
	for n := min(len(r)-1, 200); n > 1; n-- {
		head, tail := n/2, n-n/2
		if cut := string(r[:head]) + "…" + string(r[len(r)-tail:]); c.width(size, cut) <= width {
			return cut
		}
	}
	return "…"
}

// decoded is the picture, at its place within a square of a side: as large as fits, in the middle.
func decoded(p Picture, x, y, side float64) (m image.Image, left, top, w, h float64, err error) {
	m, _, err = image.Decode(bytes.NewReader(p.Data))
	if err != nil {
		return nil, 0, 0, 0, 0, fmt.Errorf("the picture of %q is damaged: %w", p.ID, err)
	}
	b := m.Bounds()
	long := float64(max(b.Dx(), b.Dy()))
	w, h = side*float64(b.Dx())/long, side*float64(b.Dy())/long
	return m, x + (side-w)/2, y + (side-h)/2, w, h, nil
}

// tooMany is the error about a sheet that is too large.
func (s Sheet) tooMany(most int, kind string) error {
	if len(s.Pictures) > most {
		return fmt.Errorf("a %s of %d pictures is too large: the limit is %d; choose fewer with --top", kind, len(s.Pictures), most)
	}
	return nil
}
