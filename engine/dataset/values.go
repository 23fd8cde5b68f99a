package dataset

import (
	"image"
	"image/color"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/engine/dataset/stretch"
)

// rawPicture is the values of an image that are no colours: of more than 8 bits, signed, fractions, any number of bands. It is an image so
// that it goes the way of all others; what the network sees of it is made by fill.
type rawPicture struct{ raw.Image }

// pictureOf is values as the image that stands for them: 8 bits in one or three channels are colours already.
func pictureOf(v raw.Image) image.Image {
	if pix, ok := v.Data.([]uint8); ok {
		switch {
		case v.C == 1:
			return &image.Gray{Pix: pix, Stride: v.W, Rect: image.Rect(0, 0, v.W, v.H)}
		case v.C == 3 && !v.Planar:
			return decodedRGB{RGB{v.W, v.H, pix}}
		case v.C == 3:
			m := NewRGB(v.W, v.H)
			for i, n := 0, v.W*v.H; i < n; i++ {
				m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2] = pix[i], pix[n+i], pix[2*n+i]
			}
			return decodedRGB{m}
		}
	}
	return rawPicture{v}
}

func (m rawPicture) ColorModel() color.Model { return color.RGBAModel }
func (m rawPicture) Bounds() image.Rectangle { return image.Rect(0, 0, m.W, m.H) }
func (m rawPicture) At(x, y int) color.Color { return decodedRGB{fromImage(m)}.At(x, y) }

// asSeen is how values become what the network sees: a quarter of a percent at each end is black and white, so that one hot pixel does not
// make the rest dark.
var asSeen, _ = stretch.ByName("percentile")
