// Package display is how pictures are shown: what the engine is asked for (stretch and band), and what is done to the 8-bit picture here
// (brightness, contrast, inversion, colour map). Pure functions; nothing of it reaches the network.
package display

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"strings"
)

// Stretches are the names the engine knows, in the order in which a person goes through them.
var Stretches = []string{"linear", "sqrt", "asinh", "log", "zscale", "percentile"}

// Most is the largest step of brightness and contrast, up and down.
const Most = 10

// Settings say how pictures are shown. The zero value: as the network sees them.
type Settings struct {
	Stretch    string // of Stretches; "" = none
	Band       int    // 0 = all as colours; from 1 that one alone
	Invert     bool
	Colours    string // of Maps; "" = none
	Brightness int    // steps from -Most to Most
	Contrast   int
}

// Source is what the engine is asked for; pictures of one source are the same until they are shown.
type Source struct {
	Stretch string
	Band    int
}

// Source is the engine's part.
func (s Settings) Source() Source { return Source{s.Stretch, s.Band} }

// Touched tells whether the picture that the engine sends is changed here.
func (s Settings) Touched() bool {
	return s.Invert || s.Colours != "" || s.Brightness != 0 || s.Contrast != 0
}

// Key names the settings: other pixels, another key. It is empty for the zero value.
func (s Settings) Key() string {
	if s == (Settings{}) {
		return ""
	}
	return fmt.Sprintf("%s/%d/%t/%s/%d/%d", s.Stretch, s.Band, s.Invert, s.Colours, s.Brightness, s.Contrast)
}

// String names the settings for people: "asinh · viridis · band 2 · inverted · +2 bright · -1 contrast". It is empty for the zero value.
func (s Settings) String() string {
	var out []string
	for _, name := range []string{s.Stretch, s.Colours} {
		if name != "" {
			out = append(out, name)
		}
	}
	if s.Band > 0 {
		out = append(out, fmt.Sprintf("band %d", s.Band))
	}
	if s.Invert {
		out = append(out, "inverted")
	}
	if s.Brightness != 0 {
		out = append(out, fmt.Sprintf("%+d bright", s.Brightness))
	}
	if s.Contrast != 0 {
		out = append(out, fmt.Sprintf("%+d contrast", s.Contrast))
	}
	return strings.Join(out, " · ")
}

// Press is what the settings become by an action of the picture group, for a picture of so many bands (0: not known). why: the action
// changes nothing.
func (s Settings) Press(id string, bands int) (to Settings, why string) {
	to = s
	step := func(v *int, by int, what string) {
		if *v+by > Most || *v+by < -Most {
			why = what
			return
		}
		*v += by
	}
	switch id {
	case "stretch":
		to.Stretch = next(Stretches, s.Stretch)
	case "colours":
		to.Colours = next(Maps, s.Colours)
	case "invert":
		to.Invert = !s.Invert
	case "channel":
		switch {
		case s.Band > 0 && s.Band >= bands:
			to.Band = 0
		case bands <= 1:
			return s, "this image has one band"
		default:
			to.Band++
		}
	case "brighter":
		step(&to.Brightness, +1, "it is as bright as it gets")
	case "darker":
		step(&to.Brightness, -1, "it is as dark as it gets")
	case "more-contrast":
		step(&to.Contrast, +1, "there is no more contrast")
	case "less-contrast":
		step(&to.Contrast, -1, "there is no less contrast")
	case "plain":
		to = Settings{}
	}
	return to, why
}

// next goes through none and all names in turn.
func next(names []string, name string) string {
	if i := slices.Index(names, name) + 1; i < len(names) {
		return names[i]
	}
	return ""
}

// curve is what brightness, contrast and inversion make of each level. A step of contrast steepens it around the middle by 2^(1/4), a
// step of brightness adds a twentieth of the range.
func (s Settings) curve() (out [256]uint8) {
	slope := math.Exp2(float64(s.Contrast) / 4)
	for i := range out {
		v := 0.5 + (float64(i)/255-0.5)*slope + float64(s.Brightness)/20
		v = min(1, max(0, v))
		if s.Invert {
			v = 1 - v
		}
		out[i] = uint8(math.Round(255 * v))
	}
	return out
}

// Apply shows a picture under the settings; the engine has done its part. The picture itself is not changed. A colour map takes the
// brightness of a picture that has colours.
func Apply(img image.Image, s Settings) image.Image {
	if img == nil || !s.Touched() {
		return img
	}
	curve := s.curve()
	grey, oneBand := img.(*image.Gray)
	if oneBand && s.Colours == "" {
		out := image.NewGray(grey.Rect)
		draw.Draw(out, grey.Rect, grey, grey.Rect.Min, draw.Src)
		for i, v := range out.Pix {
			out.Pix[i] = curve[v]
		}
		return out
	}
	b := img.Bounds()
	out := image.NewRGBA(b)
	draw.Draw(out, b, img, b.Min, draw.Src)
	m := tables()[s.Colours]
	for p := out.Pix; len(p) >= 4; p = p[4:] {
		if m == nil {
			p[0], p[1], p[2] = curve[p[0]], curve[p[1]], curve[p[2]]
			continue
		}
		luma := (19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16 // Rec. 601, as image/color has it
		c := m[curve[luma]]
		p[0], p[1], p[2] = c.R, c.G, c.B
	}
	return out
}

// Loupe is a part of a picture, every pixel drawn as Zoom × Zoom, on black: an image of Size pixels. It is worked out where it is read,
// so making one costs nothing.
type Loupe struct {
	Img  image.Image
	From image.Point // upper left pixel of the picture in view, from its own corner; it may lie outside
	Zoom int         // 1 or more
	Size image.Point
}

// ColorModel is that of colours.
func (l Loupe) ColorModel() color.Model { return color.RGBAModel }

// Bounds is Size.
func (l Loupe) Bounds() image.Rectangle { return image.Rectangle{Max: l.Size} }

// At is the colour of a pixel.
func (l Loupe) At(x, y int) color.Color {
	b := l.Img.Bounds()
	p := image.Pt(floor(x, l.Zoom), floor(y, l.Zoom)).Add(l.From).Add(b.Min)
	if !p.In(b) {
		return color.RGBA{A: 255}
	}
	return l.Img.At(p.X, p.Y)
}

func floor(a, b int) int { return int(math.Floor(float64(a) / float64(b))) }
