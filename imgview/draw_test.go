package imgview

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/kitty"
)

// Every driver, and how far its pixels may be from the picture's: the mean difference over the box, of 255.
var everyDriver = []struct {
	driver
	most float64
}{
	{kittyStore{}, 1}, {kittyDirect{}, 1}, {iterm2{}, 1}, {sixel{}, 2}, {sixel{colours: 16}, 8},
	{halfBlocks{}, 5}, {quadrants{}, 6}, {sextants{}, 6}, {text{colours: true}, 16}, {text{}, 20},
}

// drawn is what a terminal shows in a box of cols×rows cells of cell pixels, over blue: what is blue was left as it was.
func drawn(t *testing.T, d driver, e encoded, cols, rows int, cell image.Point) *image.RGBA {
	t.Helper()
	out := image.NewRGBA(image.Rect(0, 0, cols*cell.X, rows*cell.Y))
	draw.Draw(out, out.Rect, image.NewUniform(color.RGBA{0, 0, 255, 255}), image.Point{}, draw.Src)
	switch d.(type) {
	case sixel:
		s, at := string(e.wire), image.Point{}
		for strings.HasPrefix(s, "\x1b[") {
			var n int
			fmt.Sscanf(s[2:], "%d", &n)
			end := strings.IndexAny(s, "BC")
			if s[2] == 'B' || s[2] == 'C' {
				n = 1
			}
			if s[end] == 'B' {
				at.Y += n * cell.Y
			} else {
				at.X += n * cell.X
			}
			s = s[end+1:]
		}
		head, body, ok := strings.Cut(s, "q")
		body, end := strings.CutSuffix(body, "\x1b\\")
		if !ok || !end || head != "\x1bP0;1" {
			t.Fatalf("no sixel: %.20q…", s)
		}
		img := readSixel(t, body)
		if strings.HasSuffix(body, "-") {
			t.Error("a line feed behind the last row scrolls the screen")
		}
		if !img.Bounds().Add(at).In(out.Rect) {
			t.Errorf("sixel of %v at %v in a box of %v", img.Bounds().Size(), at, out.Rect.Size())
		}
		draw.Draw(out, out.Rect, img, image.Point{}.Sub(at), draw.Over)
	case kittyStore: // the terminal keeps the aspect
		img, err := png.Decode(bytes.NewReader(e.wire))
		if err != nil {
			t.Fatal(err)
		}
		w, h := fit(img.Bounds(), out.Rect.Dx(), out.Rect.Dy(), 1)
		at := image.Pt((out.Rect.Dx()-w)/2, (out.Rect.Dy()-h)/2)
		scaled := flatten(img, w, h)
		draw.Draw(out, scaled.Rect.Add(at), scaled, image.Point{}, draw.Src)
	case iterm2, kittyDirect: // and here stretches
		img, err := png.Decode(bytes.NewReader(e.wire))
		if err != nil {
			t.Fatal(err)
		}
		for y := range out.Rect.Dy() {
			for x := range out.Rect.Dx() {
				b := img.Bounds()
				c := color.NRGBAModel.Convert(img.At(x*b.Dx()/out.Rect.Dx(), y*b.Dy()/out.Rect.Dy())).(color.NRGBA)
				if c.A > 0 {
					out.SetRGBA(x, y, color.RGBA{c.R, c.G, c.B, 255})
				}
			}
		}
	default:
		readText(t, out, e.text, cell)
	}
	return out
}

// readSixel reads the data of a sixel picture. (x/ansi's decoder gives other colours than terminals show.)
func readSixel(t *testing.T, s string) *image.RGBA {
	t.Helper()
	var pan, pad, w, h int
	if _, err := fmt.Sscanf(s, "\"%d;%d;%d;%d", &pan, &pad, &w, &h); err != nil {
		t.Fatalf("sixel begins with %.20q: %v", s, err)
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	registers := map[int]color.RGBA{}
	var now color.RGBA
	numbers := func(i int) (n []int, end int) {
		n = []int{0}
		for ; i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == ';'); i++ {
			if s[i] == ';' {
				n = append(n, 0)
			} else {
				n[len(n)-1] = 10*n[len(n)-1] + int(s[i]-'0')
			}
		}
		return n, i
	}
	x, y, count := 0, 0, 1
	for i := 0; i < len(s); {
		c := s[i]
		i++
		switch {
		case c == '"':
			_, i = numbers(i)
		case c == '#':
			var n []int
			if n, i = numbers(i); len(n) == 5 && n[1] == 2 {
				level := func(percent int) uint8 { return uint8((percent*255 + 50) / 100) }
				registers[n[0]] = color.RGBA{level(n[2]), level(n[3]), level(n[4]), 255}
			}
			now = registers[n[0]]
		case c == '!':
			var n []int
			n, i = numbers(i)
			count = n[0]
		case c == '$':
			x = 0
		case c == '-':
			x, y = 0, y+6
		case c >= '?' && c <= '~':
			for range count {
				for b := range 6 {
					if (c-'?')>>b&1 == 1 {
						if !image.Pt(x, y+b).In(img.Rect) {
							t.Fatalf("a pixel at %d,%d of %d×%d", x, y+b, w, h)
						}
						img.SetRGBA(x, y+b, now)
					}
				}
				x++
			}
			count = 1
		default:
			t.Fatalf("%q in a sixel picture", c)
		}
	}
	if len(registers) > 256 {
		t.Errorf("%d colours", len(registers))
	}
	return img
}

// shapes are block characters by the quarters or sixths that they fill (their names in Unicode), row by row.
var shapes = map[rune][]string{
	' ': {"0"}, '█': {"1"}, '▀': {"1", "0"}, '▄': {"0", "1"}, '▌': {"10"}, '▐': {"01"},
	'▘': {"10", "00"}, '▝': {"01", "00"}, '▖': {"00", "10"}, '▗': {"00", "01"}, '▚': {"10", "01"}, '▞': {"01", "10"},
	'▛': {"11", "10"}, '▜': {"11", "01"}, '▙': {"10", "11"}, '▟': {"01", "11"},
}

func init() {
	bits := 1
	for r := rune(0x1fb00); r <= 0x1fb3b; r++ { // BLOCK SEXTANT-1, -2, -12, -3, …: binary numbers, without those that were there before
		if bits == 0b010101 || bits == 0b101010 {
			bits++
		}
		s := fmt.Sprintf("%06b", bits)
		shapes[r] = []string{string([]byte{s[5], s[4]}), string([]byte{s[3], s[2]}), string([]byte{s[1], s[0]})}
		bits++
	}
}

func TestSextantNames(t *testing.T) {
	for r, filled := range map[rune]string{0x1fb00: "1", 0x1fb02: "12", 0x1fb13: "35", 0x1fb14: "235", 0x1fb27: "146", 0x1fb3b: "23456"} {
		got := ""
		for i := range 6 {
			if shapes[r][i/2][i%2] == '1' {
				got += fmt.Sprint(i + 1)
			}
		}
		if got != filled {
			t.Errorf("U+%X is BLOCK SEXTANT-%s, read as %s", r, filled, got)
		}
	}
}

// readText draws lines of block characters and shades.
func readText(t *testing.T, out *image.RGBA, lines []string, cell image.Point) {
	t.Helper()
	grey := map[int]uint8{90: 127, 37: 229, 97: 255}
	for y, line := range lines {
		x := 0
		fg, bg := color.RGBA{255, 255, 255, 255}, color.RGBA{}
		p := ansi.NewParser()
		for state := byte(0); line != ""; {
			seq, width, n, next := ansi.DecodeSequence(line, state, p)
			state, line = next, line[n:]
			if width == 0 {
				ps := p.Params()
				for i := 0; i < len(ps); i++ {
					v, _, _ := ps.Param(i, 0)
					rgb := func() color.RGBA {
						r, _, _ := ps.Param(i+2, 0)
						g, _, _ := ps.Param(i+3, 0)
						b, _, _ := ps.Param(i+4, 0)
						i += 4
						return color.RGBA{uint8(r), uint8(g), uint8(b), 255}
					}
					switch v {
					case 38:
						fg = rgb()
					case 48:
						bg = rgb()
					case 39:
						fg = color.RGBA{255, 255, 255, 255}
					case 49:
						bg = color.RGBA{}
					case 40:
						bg = color.RGBA{0, 0, 0, 255}
					default:
						fg = color.RGBA{grey[v], grey[v], grey[v], 255}
					}
				}
				continue
			}
			r := []rune(seq)[0]
			shape, known := shapes[r]
			for py := range cell.Y {
				for px := range cell.X {
					c := bg
					switch {
					case known:
						row := shape[py*len(shape)/cell.Y]
						if row[px*len(row)/cell.X] == '1' {
							c = fg
						}
					default: // a shade, or a letter: how much of the cell it covers
						share := 0.0
						for _, l := range append(letters, level{'░', 0, 64}, level{'▒', 0, 127}, level{'▓', 0, 191}) {
							if l.glyph == r {
								share = float64(l.bright) / 255
							}
						}
						c = color.RGBA{uint8(float64(fg.R) * share), uint8(float64(fg.G) * share), uint8(float64(fg.B) * share), 255}
					}
					if c.A > 0 {
						out.SetRGBA(x*cell.X+px, y*cell.Y+py, c)
					}
				}
			}
			x++
		}
	}
}

// galaxy is a bright core in a faint disc on dark sky, with a star in a corner: what is to be judged by eye.
func galaxy(n int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 96, 96))
	a := float64(n) * 0.52
	for y := range 96 {
		for x := range 96 {
			dx, dy := float64(x)-48-10*math.Cos(a), float64(y)-48-10*math.Sin(a)
			u, v := dx*math.Cos(a)+dy*math.Sin(a), 2*(dy*math.Cos(a)-dx*math.Sin(a))
			i := 12 + 230*math.Exp(-math.Sqrt(u*u+v*v)/12) + 200*math.Exp(-(math.Pow(float64(x)-80, 2)+math.Pow(float64(y)-12, 2))/8)
			i = min(i, 255)
			img.SetRGBA(x, y, color.RGBA{uint8(i), uint8(i * 0.85), uint8(i * 0.6), 255})
		}
	}
	return img
}

func luminance(c color.RGBA) float64 {
	return 0.299*float64(c.R) + 0.587*float64(c.G) + 0.114*float64(c.B)
}

func TestWhatIsDrawnIsThePicture(t *testing.T) {
	const cols, rows = 22, 11
	cell := image.Pt(10, 20)
	for _, d := range everyDriver {
		for n := range 4 {
			src := galaxy(n)
			e, err := d.encode(src, cols, rows, cell)
			if err != nil {
				t.Fatal(err)
			}
			got, want := drawn(t, d.driver, e, cols, rows, cell), flatten(src, cols*cell.X, rows*cell.Y)
			_, isText := d.driver.(text)
			sum := 0.0
			for y := range got.Rect.Dy() {
				for x := range got.Rect.Dx() {
					g, w := got.RGBAAt(x, y), want.RGBAAt(x, y)
					if isText {
						sum += math.Abs(luminance(g) - luminance(w))
					} else {
						sum += (math.Abs(float64(g.R)-float64(w.R)) + math.Abs(float64(g.G)-float64(w.G)) + math.Abs(float64(g.B)-float64(w.B))) / 3
					}
				}
			}
			if mean := sum / float64(got.Rect.Dx()*got.Rect.Dy()); mean > d.most {
				t.Errorf("%s, picture %d: mean difference %.2f, at most %.1f", d.name(), n, mean, d.most)
			} else if testing.Verbose() {
				t.Logf("%s, picture %d: mean difference %.2f", d.name(), n, mean)
			}
		}
	}
}

// A picture that is not as wide as its box stands in the middle, with its own aspect, and nothing is drawn beside it.
func TestMargins(t *testing.T) {
	white := image.NewRGBA(image.Rect(0, 0, 100, 50))
	draw.Draw(white, white.Rect, image.White, image.Point{}, draw.Src)
	const cols, rows = 20, 16
	cell := image.Pt(10, 20)
	for _, d := range everyDriver {
		if _, ok := d.driver.(text); ok {
			continue
		}
		e, err := d.encode(white, cols, rows, cell)
		if err != nil {
			t.Fatal(err)
		}
		got := drawn(t, d.driver, e, cols, rows, cell)
		var bright image.Rectangle
		for y := range got.Rect.Dy() {
			for x := range got.Rect.Dx() {
				if c := got.RGBAAt(x, y); c.R > 128 {
					bright = bright.Union(image.Rect(x, y, x+1, y+1))
				} else if c != (color.RGBA{0, 0, 255, 255}) {
					t.Fatalf("%s draws %v beside the picture", d.name(), c)
				}
			}
		}
		if want := image.Rect(0, 110, 200, 210); !near(bright.Min, want.Min, 7) || !near(bright.Max, want.Max, 7) {
			t.Errorf("%s draws it at %v, want about %v", d.name(), bright, want)
		}
	}
}

func near(a, b image.Point, d int) bool { return abs(a.X-b.X) <= d && abs(a.Y-b.Y) <= d }

// Twelve pictures of a grid are twelve pictures with every driver that draws text; the others are in TestTwelvePicturesInTwelveSlots
// and TestPaintedPictures.
func TestTwelvePicturesAsText(t *testing.T) {
	for _, name := range []string{"halfblocks", "quadrants", "sextants", "text"} {
		b := newBench(t, Options{Force: name}, map[string]string{"TERM": "xterm"})
		var wants []Want
		for n := range 12 {
			wants = append(wants, Want{Key: fmt.Sprint(n), Img: blob(n), Cols: boxCols, Rows: boxRows})
		}
		b.run(b.s.Show(wants))
		b.pass(2 * frameTime)
		cell := image.Pt(10, 20)
		seen := map[string]int{}
		for n, w := range wants {
			lines := b.s.Lines(w.Key, w.Cols, w.Rows)
			checkSize(t, lines, w.Cols, w.Rows)
			if !b.s.Visible(w.Key, w.Cols, w.Rows) {
				t.Errorf("%s: picture %d is not visible", name, n)
			}
			if m, twice := seen[strings.Join(lines, "\n")]; twice {
				t.Errorf("%s: pictures %d and %d look alike", name, m, n)
			}
			seen[strings.Join(lines, "\n")] = n
			// its spot is where the picture has it
			got := drawn(t, b.s.driver, encoded{text: lines}, w.Cols, w.Rows, cell)
			bx, by := 8+n%4*12+5, 12+n/4*14+5
			if c := got.RGBAAt(bx*got.Rect.Dx()/64, by*got.Rect.Dy()/64); luminance(c) < 90 {
				t.Errorf("%s: picture %d has %v at its spot", name, n, c)
			}
		}
		if w, h := b.s.Grid(); w < 1 || h < 1 || w > 2 || h > 3 {
			t.Errorf("%s: %d×%d pixels a cell", name, w, h)
		}
	}
}

func TestColours(t *testing.T) {
	for n, want := range map[int]int{2: 2, 16: 16, 255: 255} {
		img := image.NewRGBA(image.Rect(0, 0, 64, 64))
		for i := range img.Pix {
			img.Pix[i] = uint8(i * 7919 >> 3)
		}
		if got := len(colours(img, n)); got > want || got < want*3/4 {
			t.Errorf("%d colours of %d", got, n)
		}
	}
	one := image.NewRGBA(image.Rect(0, 0, 8, 8))
	if got := colours(one, 255); len(got) != 1 || got[0] != (color.RGBA{0, 0, 0, 255}) {
		t.Errorf("black has the colours %v", got)
	}
	again, first := colours(galaxy(1), 64), colours(galaxy(1), 64)
	if fmt.Sprint(again) != fmt.Sprint(first) {
		t.Error("the same picture has other colours the second time")
	}
}

func TestITerm2Wire(t *testing.T) {
	got := iterm2{}.paint(7, []byte("png"), 22, 400)
	if want := "\x1b]1337;File=size=3;width=22;height=297;preserveAspectRatio=0;inline=1;doNotMoveCursor=1:cG5n\a"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	got = kittyDirect{}.paint(20, []byte("png"), 22, 11)
	if want := "\x1b_Ga=T,f=100,t=d,q=2,C=1,p=1,i=20,c=22,r=11,m=0;cG5n\x1b\\"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever a terminal answers, the Screen has a driver, draws, and says nothing raw.
func FuzzAnswers(f *testing.F) {
	f.Add("kitty(0.41.1)", "OK", "\x1b[?1;0;256S", 62, 4, 10, 20, 3, 5)
	f.Add("tmux 3.5a", "EINVAL", "\x1b[?1;0;99999999999999999999S", 1, 2, -1, 1<<30, 0, 0)
	f.Add("\x1b]0;x\a", "\x1b[2J", "", -4, 0, 1, 1, -1, 1<<40)
	f.Add("XTerm(379)", "", "\x1b[?1;0;0S", 64, 4, 1<<20, 1, 9, 9)
	f.Fuzz(func(t *testing.T, version, payload, csi string, a, b, w, h, x, y int) {
		for _, env := range []map[string]string{{"TERM": "xterm-256color"}, {"TERM": "tmux-256color", "TMUX": "x"}, {"TERM": "xterm-kitty"}} {
			bb := newBench(t, Options{Pixels: func() (int, int, int, int) { return a, b, w, h }}, env)
			bb.send(tea.WindowSizeMsg{Width: 80, Height: 24})
			bb.send(tea.TerminalVersionMsg{Name: version})
			bb.send(uv.KittyGraphicsEvent{Options: kitty.Options{ID: queryID}, Payload: []byte(payload)})
			bb.send(uv.KittyGraphicsEvent{Options: kitty.Options{ID: a}, Payload: []byte(payload)})
			bb.send(uv.PrimaryDeviceAttributesEvent{a, b, 4})
			bb.send(uv.PrimaryDeviceAttributesEvent{})
			bb.send(uv.UnknownCsiEvent(csi))
			bb.send(uv.CellSizeEvent{Width: w, Height: h})
			bb.send(tea.CursorPositionMsg{X: x, Y: y})
			bb.show(0, 2)
			bb.s.Frame(strings.Join(bb.s.Lines("p0", boxCols, boxRows), "\n"))
			bb.pass(10 * patience)
			checkSize(t, bb.s.Lines("p0", boxCols, boxRows), boxCols, boxRows)
			if s := bb.s.Why() + bb.s.Hint(); strings.ContainsAny(s, "\x1b\a\x00") {
				t.Errorf("raw: %q", s)
			}
			if bb.s.Driver() == "none" {
				t.Errorf("no driver: %s", bb.s.Why())
			}
		}
	})
}
