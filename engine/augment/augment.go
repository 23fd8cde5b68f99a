// Package augment changes images at random so that the network learns what does not matter: the weak and the strong view of
// FixMatch. Every operation is a pure function of an image and its values, equal in every pixel to the Pillow operation it is
// named after, because the published results were made with those.
//
// Images of other than three channels go through the same operations, drawn alike. Those that Pillow does channel by channel, and those that move
// pixels, are the same for any number. The others need a grey image: of three channels that is Pillow's, by the weights that the eye has for red, green
// and blue; of another number the mean of all channels, which is the image itself where there is one, so that one channel is augmented as grey in
// three is. That is what training on many bands does in Earth observation (SSL4EO-S12, Wang et al. 2022: saturation and grey by the mean over channels).
// The box that is cut out has the mean colour of ImageNet, or the mean of that.
package augment

import (
	"math"
	"math/rand/v2"
	"slices"

	"anomalymatch/engine/dataset"
)

// Settings say how strong the augmentation is.
type Settings struct {
	Operations int     // random operations in a strong view
	Cutout     float64 // largest side of the box cut out, as a share of the width
	Shift      float64 // largest vertical shift, as a share of the height
	Flip       bool    // mirror half of the images
}

// Defaults are those of the published method.
func Defaults() Settings { return Settings{Operations: 3, Cutout: 0.5, Shift: 0.125, Flip: true} }

// Op is one operation of the strong view: from and to bound the value it is called with.
type Op struct {
	Name     string
	From, To float64
	Do       func(src dataset.Pixels, v float64) dataset.Pixels
}

// Ops are the operations that a strong view draws from.
var Ops = []Op{
	{"AutoContrast", 0, 1, func(m dataset.Pixels, _ float64) dataset.Pixels { return AutoContrast(m) }},
	{"Brightness", 0.05, 0.95, Brightness},
	{"Color", 0.05, 0.95, Color},
	{"Contrast", 0.05, 0.95, Contrast},
	{"Equalize", 0, 1, func(m dataset.Pixels, _ float64) dataset.Pixels { return Equalize(m) }},
	{"Identity", 0, 1, func(m dataset.Pixels, _ float64) dataset.Pixels { return m }},
	{"Posterize", 4, 8, Posterize},
	{"Rotate", -30, 30, Rotate},
	{"Sharpness", 0.05, 0.95, Sharpness},
	{"ShearX", -0.3, 0.3, ShearX},
	{"ShearY", -0.3, 0.3, ShearY},
	{"Solarize", 0, 256, Solarize},
	{"TranslateX", -0.3, 0.3, TranslateX},
	{"TranslateY", -0.3, 0.3, TranslateY},
}

// Weak returns src mirrored with probability one half and shifted vertically by whole rows.
func Weak(src dataset.Pixels, r *rand.Rand, s Settings) dataset.Pixels {
	flip := s.Flip && r.IntN(2) == 1
	most := s.Shift * float64(src.H)
	rows := int(math.RoundToEven(between(r, -most, most)))
	out := src
	if flip {
		out = HorizontalFlip(out)
	}
	if rows != 0 {
		out = VerticalShift(out, rows)
	}
	return own(out, src)
}

// Strong returns src after s.Operations of Ops, drawn with replacement (RandAugment, Cubuk et al. 2020), then a cutout, then Weak.
func Strong(src dataset.Pixels, r *rand.Rand, s Settings) dataset.Pixels {
	out := src
	for range s.Operations {
		op := Ops[r.IntN(len(Ops))]
		out = op.Do(out, between(r, op.From, op.To))
	}
	size := between(r, 0, s.Cutout)
	w, h := float64(src.W), float64(src.H)
	// The reference draws the centre from U(width, 1), not from U(0, width).
	out = Cutout(out, size, between(r, w, 1), between(r, h, 1))
	return own(Weak(out, r, s), src)
}

func between(r *rand.Rand, from, to float64) float64 { return from + float64((to-from)*r.Float64()) }

// own returns out, copied where no operation has changed src, so that a view never shares memory with its image.
func own(out, src dataset.Pixels) dataset.Pixels {
	if len(out.Pix) > 0 && &out.Pix[0] == &src.Pix[0] {
		out.Pix = slices.Clone(out.Pix)
	}
	return out
}
