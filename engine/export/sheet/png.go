package sheet

import (
	"image"
	"image/color"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// pixels a point.
const pixels = 2

// WritePNG writes all pictures as one image, eight in a row.
func WritePNG(w io.Writer, s Sheet) error {
	if err := s.tooMany(MostPNG, "PNG"); err != nil {
		return err
	}
	columns := max(1, min(8, len(s.Pictures)))
	g := grid{width: 24 + 92*float64(max(columns, 4)), margin: 12, title: 20, gap: 8, caption: 3*lineHeight + 2, columns: max(columns, 4)}
	g.rows = (len(s.Pictures) + g.columns - 1) / g.columns
	p := &pngCanvas{m: image.NewRGBA(image.Rect(0, 0, int(math.Ceil(g.width*pixels)), int(math.Ceil(g.height(max(g.rows, 1))*pixels)))), faces: map[float64]font.Face{}}
	draw.Draw(p.m, p.m.Bounds(), image.White, image.Point{}, draw.Src)
	var err error
	if p.font, err = opentype.Parse(goregular.TTF); err != nil {
		return err
	}
	if err := layout(p, g, s.Title, s.Pictures); err != nil {
		return err
	}
	return png.Encode(w, p.m)
}

// pngCanvas draws on pixels.
type pngCanvas struct {
	m     *image.RGBA
	font  *opentype.Font
	faces map[float64]font.Face
}

func (c *pngCanvas) face(size float64) font.Face {
	f := c.faces[size]
	if f == nil {
		f, _ = opentype.NewFace(c.font, &opentype.FaceOptions{Size: size * pixels, DPI: 72, Hinting: font.HintingFull}) // it never fails
		c.faces[size] = f
	}
	return f
}

func (c *pngCanvas) has(s string) string {
	r := []rune(s)
	for i := range r {
		if _, ok := c.face(textSize).GlyphAdvance(r[i]); !ok {
			r[i] = '?'
		}
	}
	return string(r)
}

func (c *pngCanvas) width(size float64, s string) float64 {
	return float64(font.MeasureString(c.face(size), s)) / 64 / pixels
}

func (c *pngCanvas) text(x, base, size float64, colour rgb, s string) {
	d := font.Drawer{Dst: c.m, Src: image.NewUniform(color.RGBA{colour.r, colour.g, colour.b, 255}), Face: c.face(size), Dot: fixed.P(at(x), at(base))}
	d.DrawString(s)
}

func at(points float64) int { return int(math.Round(points * pixels)) }

func (c *pngCanvas) picture(p Picture, x, y, w, _ float64) error {
	m, left, top, pw, ph, err := decoded(p, x, y, w)
	if err != nil {
		return err
	}
	draw.CatmullRom.Scale(c.m, image.Rect(at(left), at(top), at(left+pw), at(top+ph)), m, m.Bounds(), draw.Src, nil)
	return nil
}

func (c *pngCanvas) frame(x, y, w, h, line float64, colour rgb) {
	src := image.NewUniform(color.RGBA{colour.r, colour.g, colour.b, 255})
	n := max(1, at(line))
	out := image.Rect(at(x), at(y), at(x+w), at(y+h))
	for _, r := range []image.Rectangle{
		{out.Min, image.Pt(out.Max.X, out.Min.Y+n)}, {image.Pt(out.Min.X, out.Max.Y-n), out.Max},
		{out.Min, image.Pt(out.Min.X+n, out.Max.Y)}, {image.Pt(out.Max.X-n, out.Min.Y), out.Max},
	} {
		draw.Draw(c.m, r, src, image.Point{}, draw.Src)
	}
}
