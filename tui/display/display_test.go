package display

import (
	"image"
	"image/color"
	"slices"
	"testing"
)

func TestMapsAreMatplotlibs(t *testing.T) {
	// Levels 0, 64, 128, 200 and 255 of matplotlib 3.9.
	for name, want := range map[string][5][3]float64{
		"viridis":   {{68.09, 1.24, 84}, {58.58, 82.2, 139.16}, {32.53, 144.57, 140.39}, {112.23, 206.84, 86.95}, {253.28, 231.07, 36.7}},
		"magma":     {{0.37, 0.12, 3.54}, {80.75, 18.28, 123.77}, {182.68, 54.82, 121.2}, {253.16, 151.7, 104.62}, {251.7, 252.82, 191.12}},
		"cubehelix": {{0, 0, 0}, {21.73, 83.29, 75.82}, {161.37, 121.07, 74.13}, {194.43, 194.91, 242.47}, {255, 255, 255}},
		"grey":      {{0, 0, 0}, {64, 64, 64}, {128, 128, 128}, {200, 200, 200}, {255, 255, 255}},
	} {
		m := tables()[name]
		if m == nil {
			t.Fatalf("no map %s", name)
		}
		for k, level := range []int{0, 64, 128, 200, 255} {
			got := [3]uint8{m[level].R, m[level].G, m[level].B}
			for c := range got {
				if d := float64(got[c]) - want[k][c]; d > 1.5 || d < -1.5 {
					t.Errorf("%s, level %d: %v, want %v", name, level, got, want[k])
					break
				}
			}
		}
	}
	if len(tables()) != len(Maps) {
		t.Errorf("%d tables, %d names", len(tables()), len(Maps))
	}
}

func TestApply(t *testing.T) {
	grey := image.NewGray(image.Rect(5, 7, 8, 8)) // not at the origin
	copy(grey.Pix, []uint8{0, 100, 255})
	colour := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	colour.SetNRGBA(0, 0, color.NRGBA{200, 100, 0, 255})
	viridis := tables()["viridis"]
	at := func(img image.Image, i int) color.RGBA {
		b := img.Bounds()
		return color.RGBAModel.Convert(img.At(b.Min.X+i, b.Min.Y)).(color.RGBA)
	}
	for _, c := range []struct {
		name string
		img  image.Image
		s    Settings
		want []color.RGBA
	}{
		{"nothing", grey, Settings{}, []color.RGBA{{0, 0, 0, 255}, {100, 100, 100, 255}, {255, 255, 255, 255}}},
		{"the engine's part is not done twice", grey, Settings{Stretch: "log", Band: 2}, []color.RGBA{{0, 0, 0, 255}, {100, 100, 100, 255}, {255, 255, 255, 255}}},
		{"inverted", grey, Settings{Invert: true}, []color.RGBA{{255, 255, 255, 255}, {155, 155, 155, 255}, {0, 0, 0, 255}}},
		{"brighter", grey, Settings{Brightness: 2}, []color.RGBA{{26, 26, 26, 255}, {126, 126, 126, 255}, {255, 255, 255, 255}}},
		{"twice the contrast", grey, Settings{Contrast: 4}, []color.RGBA{{0, 0, 0, 255}, {73, 73, 73, 255}, {255, 255, 255, 255}}},
		{"half the contrast", grey, Settings{Contrast: -4}, []color.RGBA{{64, 64, 64, 255}, {114, 114, 114, 255}, {191, 191, 191, 255}}},
		{"a map", grey, Settings{Colours: "viridis"}, []color.RGBA{viridis[0], viridis[100], viridis[255]}},
		{"a map, inverted", grey, Settings{Colours: "viridis", Invert: true}, []color.RGBA{viridis[255], viridis[155], viridis[0]}},
		{"colours, inverted", colour, Settings{Invert: true}, []color.RGBA{{55, 155, 255, 255}}},
		{"colours as grey, by brightness", colour, Settings{Colours: "grey"}, []color.RGBA{{118, 118, 118, 255}}},
		{"an unknown map is none", colour, Settings{Colours: "rainbow"}, []color.RGBA{{200, 100, 0, 255}}},
	} {
		out := Apply(c.img, c.s)
		if out.Bounds() != c.img.Bounds() {
			t.Errorf("%s: bounds %v", c.name, out.Bounds())
		}
		for i, want := range c.want {
			if got := at(out, i); got != want {
				t.Errorf("%s, pixel %d: %v, want %v", c.name, i, got, want)
			}
		}
	}
	if !slices.Equal(grey.Pix[:3], []uint8{0, 100, 255}) {
		t.Error("the picture itself was changed")
	}
	if Apply(nil, Settings{Invert: true}) != nil {
		t.Error("no picture became one")
	}
}

func TestKeysTellSettingsApart(t *testing.T) {
	all := []Settings{{}, {Stretch: "log"}, {Band: 1}, {Invert: true}, {Colours: "magma"}, {Brightness: 1}, {Contrast: 1}, {Brightness: -1}}
	keys := map[string]bool{}
	for _, s := range all {
		keys[s.Key()] = true
		if (s.String() == "") != (s == Settings{}) {
			t.Errorf("%+v is called %q", s, s)
		}
	}
	if len(keys) != len(all) || (Settings{}).Key() != "" {
		t.Errorf("keys %v", keys)
	}
	s := Settings{"asinh", 2, true, "viridis", 2, -1}
	if got := s.String(); got != "asinh · viridis · band 2 · inverted · +2 bright · -1 contrast" {
		t.Errorf("called %q", got)
	}
}

func TestPress(t *testing.T) {
	s := Settings{}
	press := func(id string, bands int) string {
		var why string
		s, why = s.Press(id, bands)
		return why
	}
	var went []string
	for range len(Stretches) + 1 {
		press("stretch", 3)
		went = append(went, s.Stretch)
	}
	if !slices.Equal(went, append(slices.Clone(Stretches), "")) {
		t.Errorf("stretches: %q", went)
	}
	var bands []int
	for range 4 {
		press("channel", 3)
		bands = append(bands, s.Band)
	}
	if !slices.Equal(bands, []int{1, 2, 3, 0}) {
		t.Errorf("bands: %v", bands)
	}
	if why := press("channel", 1); why == "" || s.Band != 0 {
		t.Errorf("one band: %q, band %d", why, s.Band)
	}
	s.Band = 3 // chosen on another image
	if press("channel", 1); s.Band != 0 {
		t.Errorf("back to all: band %d", s.Band)
	}
	for range Most {
		press("brighter", 0)
	}
	if why := press("brighter", 0); why == "" || s.Brightness != Most {
		t.Errorf("brightness %d: %q", s.Brightness, why)
	}
	press("invert", 0)
	press("less-contrast", 0)
	press("colours", 0)
	if want := (Settings{Invert: true, Colours: "grey", Brightness: Most, Contrast: -1}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	if press("plain", 0); s != (Settings{}) {
		t.Errorf("plain: %+v", s)
	}
}

func TestLoupe(t *testing.T) {
	img := image.NewGray(image.Rect(10, 10, 13, 12)) // 3 × 2
	copy(img.Pix, []uint8{1, 2, 3, 4, 5, 6})
	l := Loupe{Img: img, From: image.Pt(1, 0), Zoom: 2, Size: image.Pt(6, 4)}
	want := [4][6]uint8{{2, 2, 3, 3, 0, 0}, {2, 2, 3, 3, 0, 0}, {5, 5, 6, 6, 0, 0}, {5, 5, 6, 6, 0, 0}}
	for y, row := range want {
		for x, v := range row {
			if r, _, _, a := l.At(x, y).RGBA(); uint8(r>>8) != v || a != 0xffff {
				t.Errorf("%d,%d: %d, want %d", x, y, r>>8, v)
			}
		}
	}
	l.From = image.Pt(-1, -1)
	if r, _, _, _ := l.At(1, 1).RGBA(); r != 0 {
		t.Error("outside is not black")
	}
	if r, _, _, _ := l.At(2, 2).RGBA(); uint8(r>>8) != 1 {
		t.Error("the corner is not where it belongs")
	}
}

func BenchmarkApply(b *testing.B) {
	img := image.NewRGBA(image.Rect(0, 0, 1024, 1024))
	for b.Loop() {
		Apply(img, Settings{Colours: "viridis", Contrast: 1})
	}
}
