package imgview

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"regexp"
	"strings"
	"testing"

	termimg "github.com/blacktop/go-termimg"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/kitty"
)

// blob is a picture whose bright spot lies elsewhere for every n of 12: its mean, size and corners are those of all others.
func blob(n int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range img.Pix {
		img.Pix[i] = 20
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	for y := range 10 {
		for x := range 10 {
			img.SetRGBA(8+n%4*12+x, 12+n/4*14+y, color.RGBA{240, 200, 90, 255})
		}
	}
	return img
}

func TestTwelvePicturesAreTwelve(t *testing.T) {
	for _, d := range everyDriver {
		seen := map[string]int{}
		for n := range 12 {
			e, err := d.encode(blob(n), 22, 11, image.Pt(10, 20))
			if err != nil {
				t.Fatal(err)
			}
			k := string(e.wire) + strings.Join(e.text, "\n")
			if m, ok := seen[k]; ok {
				t.Errorf("%s: pictures %d and %d are drawn alike", d.name(), m, n)
			}
			seen[k] = n
		}
	}
}

func TestOddPictures(t *testing.T) {
	pictures := map[string]image.Image{
		"1×1":              image.NewRGBA(image.Rect(0, 0, 1, 1)),
		"20000×3":          image.NewRGBA(image.Rect(0, 0, 20000, 3)),
		"3×20000":          image.NewRGBA(image.Rect(0, 0, 3, 20000)),
		"grey, off origin": image.NewGray(image.Rect(-7, 5, 40, 80)),
		"16 bit":           image.NewNRGBA64(image.Rect(0, 0, 33, 33)),
		"paletted":         image.NewPaletted(image.Rect(0, 0, 9, 9), color.Palette{color.White}),
		"transparent":      image.NewNRGBA(image.Rect(0, 0, 30, 20)),
	}
	for _, d := range everyDriver {
		for name, img := range pictures {
			for _, box := range []image.Point{{1, 1}, {22, 11}, {3, 40}, {400, 2}} {
				e, err := d.encode(img, box.X, box.Y, image.Pt(9, 19))
				if err != nil {
					t.Fatalf("%s, %s in %v: %v", d.name(), name, box, err)
				}
				if _, ok := d.driver.(sixel); ok {
					drawn(t, d.driver, e, box.X, box.Y, image.Pt(9, 19))
					continue
				}
				if e.wire != nil {
					cfg, err := png.DecodeConfig(bytes.NewReader(e.wire))
					if b := img.Bounds(); err != nil || d.driver == (kittyStore{}) && (cfg.Width > b.Dx() || cfg.Height > b.Dy()) ||
						cfg.Width > 9*box.X || cfg.Height > 19*box.Y {
						t.Errorf("%s in %v: sent as %d×%d (%v)", name, box, cfg.Width, cfg.Height, err)
					}
					continue
				}
				checkSize(t, e.text, box.X, box.Y)
			}
		}
		if _, err := d.encode(image.NewRGBA(image.Rectangle{}), 3, 3, image.Point{}); err == nil {
			t.Errorf("%s draws a picture without pixels", d.name())
		}
	}
}

func checkSize(t *testing.T, lines []string, cols, rows int) {
	t.Helper()
	if len(lines) != rows {
		t.Errorf("%d lines, want %d", len(lines), rows)
	}
	for _, l := range lines {
		if w := ansi.StringWidth(l); w != cols {
			t.Errorf("line of %d cells, want %d: %q", w, cols, l)
		}
	}
}

func TestHalfBlocks(t *testing.T) {
	quad := image.NewRGBA(image.Rect(0, 0, 2, 2))
	for i, c := range []color.RGBA{{1, 0, 0, 255}, {2, 0, 0, 255}, {3, 0, 0, 255}, {4, 0, 0, 255}} {
		quad.SetRGBA(i%2, i/2, c)
	}
	wide := image.NewRGBA(image.Rect(0, 0, 4, 2))
	for i := range wide.Pix {
		wide.Pix[i] = 255
	}
	clear := image.NewNRGBA(image.Rect(0, 0, 1, 2)) // transparent: black
	for _, c := range []struct {
		name       string
		img        image.Image
		cols, rows int
		want       []string
	}{
		{"one pixel a half", quad, 2, 1, []string{
			"\x1b[38;2;1;0;0m\x1b[48;2;3;0;0m▀\x1b[38;2;2;0;0m\x1b[48;2;4;0;0m▀\x1b[39;49m"}},
		{"same colours are said once", clear, 1, 1, []string{
			"\x1b[38;2;0;0;0m\x1b[48;2;0;0;0m▀\x1b[39;49m"}},
		{"narrow: centred", quad, 4, 1, []string{
			" \x1b[38;2;1;0;0m\x1b[48;2;3;0;0m▀\x1b[38;2;2;0;0m\x1b[48;2;4;0;0m▀\x1b[39;49m "}},
		{"wide: centred between halves", wide, 4, 2, []string{
			"\x1b[38;2;255;255;255m▄▄▄▄\x1b[39;49m", "\x1b[38;2;255;255;255m▀▀▀▀\x1b[39;49m"}},
	} {
		e, err := halfBlocks{}.encode(c.img, c.cols, c.rows, image.Point{})
		if err != nil || fmt.Sprintf("%q", e.text) != fmt.Sprintf("%q", c.want) {
			t.Errorf("%s: %q, want %q (%v)", c.name, e.text, c.want, err)
		}
	}
}

// The reason why half-blocks are encoded here and not by go-termimg: on dark sky it draws one colour a cell. When this fails, its
// encoder has learned to keep the halves apart, and ours can go.
func TestTermimgLosesRows(t *testing.T) {
	dark := image.NewRGBA(image.Rect(0, 0, 2, 2))
	for x := range 2 {
		dark.SetRGBA(x, 0, color.RGBA{100, 100, 100, 255})
		dark.SetRGBA(x, 1, color.RGBA{20, 20, 20, 255})
	}
	r, err := termimg.GetRenderer(termimg.Halfblocks)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Render(dark, termimg.RenderOptions{Width: 2, Height: 2, ScaleMode: termimg.ScaleNone})
	if err != nil || strings.ContainsAny(s, "▀▄") {
		t.Errorf("go-termimg draws %q now (%v)", s, err)
	}
}

func TestKittyWire(t *testing.T) {
	small := []byte("png")
	big := bytes.Repeat([]byte{1, 2, 3}, 1500) // 6,000 characters of base64: three commands
	for _, c := range []struct{ name, got, want string }{
		{"one command", strings.Join(kittyStore{}.transmit(17, small, 22, 11), ""),
			"\x1b_Ga=T,U=1,f=100,t=d,i=17,c=22,r=11,m=0;cG5n\x1b\\"},
		{"through tmux", strings.Join(kittyStore{depth: 1}.transmit(17, small, 22, 11), ""),
			"\x1bPtmux;\x1b\x1b_Ga=T,U=1,f=100,t=d,i=17,c=22,r=11,m=0;cG5n\x1b\x1b\\\x1b\\"},
		{"erase", kittyStore{}.erase(255), "\x1b_Ga=d,d=I,q=2,i=255\x1b\\"},
		{"question", askGraphics, "\x1b_Ga=q,t=d,f=24,s=1,v=1,i=15;AAAA\x1b\\"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}

	m := regexp.MustCompile("\x1b_G([^;]*);([^\x1b]*)\x1b\\\\").FindAllStringSubmatch(strings.Join(kittyStore{}.transmit(20, big, 300, 400), ""), -1)
	if len(m) != 3 {
		t.Fatalf("%d commands, want 3", len(m))
	}
	var data string
	for i, want := range []string{"a=T,U=1,f=100,t=d,i=20,c=297,r=297,m=1", "m=1", "m=0"} {
		if m[i][1] != want || len(m[i][2]) > chunk {
			t.Errorf("command %d: %s with %d characters, want %s with at most %d", i, m[i][1], len(m[i][2]), want, chunk)
		}
		data += m[i][2]
	}
	if b, err := base64.StdEncoding.DecodeString(data); err != nil || !bytes.Equal(b, big) {
		t.Errorf("the commands do not make up the picture (%v)", err)
	}
}

func TestKittyPlace(t *testing.T) {
	lines := kittyStore{}.place(200, 3, 2)
	cell := func(r, c int) string {
		return string([]rune{kitty.Placeholder, kitty.Diacritic(r), kitty.Diacritic(c)})
	}
	want := "\x1b[38;5;200m" + cell(1, 0) + cell(1, 1) + cell(1, 2) + "\x1b[39m"
	if len(lines) != 2 || lines[1] != want {
		t.Errorf("%q, want second line %q", lines, want)
	}
	for _, box := range []image.Point{{1, 1}, {22, 11}, {297, 297}, {400, 300}} {
		checkSize(t, kittyStore{}.place(16, box.X, box.Y), box.X, box.Y)
	}
}

func TestThin(t *testing.T) {
	grey := image.NewRGBA(image.Rect(0, 0, 50, 50))
	for i := range grey.Pix {
		grey.Pix[i] = uint8(i / 4)
		if i%4 == 3 {
			grey.Pix[i] = 255
		}
	}
	if g, ok := thin(grey).(*image.Gray); !ok || g.GrayAt(7, 3).Y != grey.RGBAAt(7, 3).R {
		t.Errorf("a grey picture is sent in colour, or wrong")
	}
	if _, ok := thin(blob(0)).(*image.RGBA); !ok {
		t.Errorf("a picture loses its colours")
	}
}
