package styles

import (
	"fmt"
	"image/color"
	"math"
	"testing"
)

// linear is a colour in linear sRGB, 0 to 1.
func linear(c color.Color) (out [3]float64) {
	r, g, b, _ := c.RGBA()
	for i, v := range []uint32{r, g, b} {
		x := float64(v) / 0xffff
		if x <= 0.04045 {
			out[i] = x / 12.92
		} else {
			out[i] = math.Pow((x+0.055)/1.055, 2.4)
		}
	}
	return out
}

// ratio is the contrast of two colours (WCAG 2.1, 1.4.3): 1 to 21.
func ratio(a, b color.Color) float64 {
	luminance := func(c color.Color) float64 { l := linear(c); return 0.2126*l[0] + 0.7152*l[1] + 0.0722*l[2] }
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// eyes are how colours are seen, on linear sRGB: Machado, Oliveira, Fernandes 2009, severity 1.
var eyes = map[string][3][3]float64{
	"normal":       {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"protanopia":   {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"deuteranopia": {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	"tritanopia":   {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
}

// lab is CIE L*a*b* (D65) of a colour as an eye sees it.
func lab(c color.Color, eye [3][3]float64) [3]float64 {
	l := linear(c)
	var s [3]float64
	for i, row := range eye {
		s[i] = min(1, max(0, row[0]*l[0]+row[1]*l[1]+row[2]*l[2]))
	}
	f := func(t float64) float64 {
		if t > 216.0/24389 {
			return math.Cbrt(t)
		}
		return (24389.0/27*t + 16) / 116
	}
	x := f((0.4124564*s[0] + 0.3575761*s[1] + 0.1804375*s[2]) / 0.95047)
	y := f(0.2126729*s[0] + 0.7151522*s[1] + 0.0721750*s[2])
	z := f((0.0193339*s[0] + 0.1191920*s[1] + 0.9503041*s[2]) / 1.08883)
	return [3]float64{116*y - 16, 500 * (x - y), 200 * (y - z)}
}

// apart is the distance of two colours to an eye (CIE 1976); about 2 can just be seen side by side.
func apart(a, b color.Color, eye [3][3]float64) float64 {
	p, q := lab(a, eye), lab(b, eye)
	return math.Sqrt((p[0]-q[0])*(p[0]-q[0]) + (p[1]-q[1])*(p[1]-q[1]) + (p[2]-q[2])*(p[2]-q[2]))
}

func TestThemes(t *testing.T) {
	if got := ratio(color.Black, color.White); math.Abs(got-21) > 1e-9 {
		t.Fatalf("black on white is %.3f:1", got)
	}
	for _, theme := range []struct {
		name    string
		p       palette
		grounds []string // backgrounds that it is meant for
		least   float64
	}{
		{"dark", dark, []string{"#000000", "#1e1e2e"}, 4.5},
		{"light", light, []string{"#ffffff", "#fdf6e3", "#f0f0f0"}, 4.5},
		{"contrast", contrast, []string{"#000000"}, 7},
	} {
		t.Run(theme.name, func(t *testing.T) {
			p := theme.p
			text := map[string]color.Color{"dim": p.dim, "faint": p.faint, "accent": p.accent, "anomaly": p.anomaly, "normal": p.normal, "skip": p.skip, "error": p.err, "warning": p.warn}
			for name, col := range text {
				for _, ground := range theme.grounds {
					if got := ratio(col, c(ground)); got < theme.least {
						t.Errorf("%s on %s: %.2f:1, want %.1f", name, ground, got, theme.least)
					}
				}
			}
			for _, ground := range theme.grounds { // no text: 1.4.11
				if got := ratio(p.bar, c(ground)); got < 3 {
					t.Errorf("bar on %s: %.2f:1", ground, got)
				}
			}
			for name, col := range map[string]color.Color{"anomaly": p.anomaly, "normal": p.normal, "skip": p.skip} {
				if got := ratio(p.ink, col); got < theme.least {
					t.Errorf("the letter on %s: %.2f:1", name, got)
				}
			}
			const least = 20
			names := []string{"anomaly", "normal", "skip", "accent"}
			for eye, matrix := range eyes {
				for i, a := range names {
					for _, b := range names[:i] {
						if got := apart(text[a], text[b], matrix); got < least {
							t.Errorf("%s: %s and %s are %.1f apart, want %d", eye, a, b, got, least)
						}
					}
				}
			}
		})
	}
}

// Without colours no style sets one: letters, bold, faint and reverse say everything.
func TestNoColour(t *testing.T) {
	for _, theme := range []string{"auto", "dark", "light", "contrast"} {
		s := New(theme, true)
		for name, st := range map[string]string{"anomaly": s.Badge.Anomaly.Render("A"), "accent": s.Accent.Render("x"), "error": s.Error.Render("x"), "bar": s.Chart.Bar.Render("x"), "faint": s.Faint.Render("x")} {
			if hasColour(st) {
				t.Errorf("%s, %s: %q has a colour", theme, name, st)
			}
		}
		if b, f := Ground(theme, true); b != nil || f != nil {
			t.Errorf("%s sets the terminal's colours", theme)
		}
	}
	if !hasColour(New("dark", false).Accent.Render("x")) {
		t.Error("with colours there are none: this test tells nothing")
	}
	if a, b := fmt.Sprint(New("auto", false).Accent.GetForeground()), fmt.Sprint(New("dark", false).Accent.GetForeground()); a != b {
		t.Error("before the terminal has answered it is not dark")
	}
}

func hasColour(s string) bool {
	for i := 0; i+2 < len(s); i++ {
		if (s[i] == '[' || s[i] == ';') && (s[i+1] == '3' || s[i+1] == '4' || s[i+1] == '9') && s[i+2] >= '0' && s[i+2] <= '9' {
			return true
		}
	}
	return false
}

func TestBright(t *testing.T) {
	for value, want := range map[string]bool{"": false, "0;15": true, "0;default;15": true, "0;7": true, "15;0": false, "7": true, "15;default": false} {
		if got := Bright(func(string) string { return value }); got != want {
			t.Errorf("COLORFGBG=%s: %v", value, got)
		}
	}
}
