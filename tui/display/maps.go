package display

import (
	"encoding/hex"
	"image/color"
	"math"
	"sync"
)

// Maps are the names of the colour maps, in the order in which a person goes through them.
var Maps = []string{"grey", "viridis", "magma", "cubehelix"}

// table is a colour map: the colour of each grey level.
type table [256]color.RGBA

// tables by name, made when one is asked for first.
var tables = sync.OnceValue(func() map[string]*table {
	return map[string]*table{"grey": grey(), "viridis": sampled(viridis), "magma": sampled(magma), "cubehelix": cubehelix()}
})

func grey() *table {
	t := new(table)
	for i := range t {
		t[i] = color.RGBA{uint8(i), uint8(i), uint8(i), 255}
	}
	return t
}

// Every fifth colour of matplotlib's maps of these names, by Stéfan van der Walt and Nathaniel Smith (2015), released under CC0; straight
// lines between them are nowhere further than one level from the others.
const (
	viridis = "44015446085c471063481769481d6f482475472a7a46307e453781433d844142873f48893d4e8a3a538b38598c355e8d33638d31" +
		"688e2e6d8e2c718e2a768e297b8e27808e25848e23898e218e8d20928c1f978b1e9c891fa18821a58524aa8328ae802eb37c35b7" +
		"793dbc7446c06f50c46a5ac86465cb5e70cf577cd25089d54895d840a2da37b0dd2fbddf26cae11fd8e219e5e419f1e51dfde725"
	magma = "00000402020b0504160907200e0b2b140e361a104221114e29115a311165390f6e420f754a107952137c5a167e6219806a1c8172" +
		"1f81792282812581892881912b81992d80a1307eaa337db2357bba3878c23b75ca3e72d2426fd9466be04c67e75263ec5860f160" +
		"5df4695cf7725cf97b5dfb8560fc8e64fd9869fea16efeaa74feb47bfebd82fec68afecf92fed89afde2a3fdebacfcf4b6fcfdbf"
)

// sampled makes a map of evenly spaced colours, six hexadecimal digits each.
func sampled(digits string) *table {
	t := new(table)
	rgb, err := hex.DecodeString(digits)
	if err != nil || len(rgb) < 6 || len(rgb)%3 != 0 {
		return grey() // never: a test looks at both
	}
	last := len(rgb)/3 - 1
	for i := range t {
		x := float64(i) / 255 * float64(last)
		k := min(int(x), last-1)
		at := func(c int) uint8 {
			a, b := float64(rgb[3*k+c]), float64(rgb[3*k+3+c])
			return uint8(math.Round(a + (b-a)*(x-float64(k))))
		}
		t[i] = color.RGBA{at(0), at(1), at(2), 255}
	}
	return t
}

// cubehelix is the map of Green (2011), Bull. Astr. Soc. India 39, 289, with its defaults: start 0.5, -1.5 rotations, hue 1, gamma 1. Its
// perceived brightness grows evenly.
func cubehelix() *table {
	const start, rotations, hue = 0.5, -1.5, 1.0
	t := new(table)
	for i := range t {
		x := float64(i) / 255
		angle := 2 * math.Pi * (start/3 + 1 + rotations*x)
		amplitude := hue * x * (1 - x) / 2
		sin, cos := math.Sincos(angle)
		level := func(a, b float64) uint8 {
			return uint8(math.Round(255 * min(1, max(0, x+amplitude*(a*cos+b*sin)))))
		}
		t[i] = color.RGBA{level(-0.14861, 1.78277), level(-0.29227, -0.90649), level(1.97294, 0), 255}
	}
	return t
}
