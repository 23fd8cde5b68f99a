package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/raw"
)

// fitsOf makes a FITS file of an HDU of 32-bit floats for each plane; planes have names.
func fitsOf(names []string, w, h int, value func(hdu, x, y int) float32) []byte {
	var out bytes.Buffer
	pad := func(with byte) {
		for out.Len()%2880 != 0 {
			out.WriteByte(with)
		}
	}
	card := func(format string, a ...any) { fmt.Fprintf(&out, "%-80.80s", fmt.Sprintf(format, a...)) }
	for i, name := range names {
		if i == 0 {
			card("SIMPLE  =                    T")
		} else {
			card("XTENSION= 'IMAGE   '")
		}
		card("BITPIX  =                  -32")
		card("NAXIS   =                    2")
		card("NAXIS1  = %20d", w)
		card("NAXIS2  = %20d", h)
		if i == 0 {
			card("EXTEND  =                    T")
		} else {
			card("PCOUNT  =                    0")
			card("GCOUNT  =                    1")
		}
		card("EXTNAME = '%-8s'", name)
		card("END")
		pad(' ')
		for y := range h {
			for x := range w {
				binary.Write(&out, binary.BigEndian, value(i, x, y))
			}
		}
		pad(0)
	}
	return out.Bytes()
}

// TestReading reads the same files in several ways: what the network sees is worked out by hand.
func TestReading(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) { must(t, os.WriteFile(filepath.Join(dir, name), b, 0o644)) }
	// Three bands: x, 10 y, and 100 everywhere but for a hole.
	value := func(hdu, x, y int) float32 {
		switch hdu {
		case 0:
			return float32(x)
		case 1:
			return float32(10 * y)
		}
		if x == 0 && y == 0 {
			return float32(math.NaN())
		}
		return 100
	}
	write("a_all.fits", fitsOf([]string{"VIS", "NIR-Y", "NIR-H"}, 5, 3, value))
	for k, band := range []string{"VIS", "Y", "H"} {
		write("a_"+band+".fits", fitsOf([]string{band}, 5, 3, func(_, x, y int) float32 { return value(k, x, y) }))
	}
	write("b_VIS.fits", fitsOf([]string{"VIS"}, 5, 3, value)) // its other bands are missing
	write("c_VIS.fits", fitsOf([]string{"VIS"}, 5, 3, value))
	write("c_Y.fits", fitsOf([]string{"Y"}, 4, 3, value))
	write("c_H.fits", fitsOf([]string{"H"}, 5, 3, value))

	pool := func(r Reading) *Pool {
		p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "s", Path: dir, Reading: r}}, Limits{}, nil)
		must(t, err)
		t.Cleanup(func() { p.Close() })
		return p
	}
	at := func(r Reading, id string, x, y int) (string, error) {
		p := pool(r)
		i, ok := p.Find("s/" + id)
		if !ok {
			t.Fatalf("there is no %s", id)
		}
		m, err := p.Image(t.Context(), i)
		if err != nil {
			return "", err
		}
		return fmt.Sprint(m.Pix[3*(y*m.W+x):][:3]), nil
	}
	three := Reading{Select: "VIS, NIR-Y,2", Low: 0, High: 100}
	files := Reading{Files: "_VIS.fits, _Y.fits,_H.fits", Low: 0, High: 100}
	for name, c := range map[string]struct {
		r         Reading
		id        string
		x, y      int
		want, err string
	}{
		"the first image":     {r: Reading{Stretch: "linear"}, id: "a_all.fits", x: 4, want: "[255 255 255]"},
		"with a range":        {r: Reading{Low: 0, High: 8}, id: "a_all.fits", x: 2, want: "[64 64 64]"},
		"three HDUs":          {r: three, id: "a_all.fits", x: 4, y: 2, want: "[10 51 255]"},
		"missing is black":    {r: three, id: "a_all.fits", want: "[0 0 0]"},
		"three files":         {r: files, id: "a_VIS.fits", x: 4, y: 2, want: "[10 51 255]"},
		"channels":            {r: Reading{Select: "VIS,NIR-Y,NIR-H", High: 100, Channels: "0 0 1; 0 1 0; 5 0.5 0"}, id: "a_all.fits", x: 4, y: 2, want: "[255 51 77]"},
		"grey":                {r: Reading{Select: "VIS,NIR-Y,NIR-H", High: 100, Channels: "0,0,1"}, id: "a_all.fits", x: 4, y: 2, want: "[255 255 255]"},
		"a weight too few":    {r: Reading{Select: "VIS,NIR-Y,NIR-H", Channels: "1 0"}, id: "a_all.fits", err: "has 3 bands, and the setting channels weighs 2"},
		"an HDU that is not":  {r: Reading{Select: "VIS,K"}, id: "a_all.fits", err: "K"},
		"a band is missing":   {r: files, id: "b_VIS.fits", err: `lacks a band: its file "b_Y.fits" cannot be read: it does not exist`},
		"a band does not fit": {r: files, id: "c_VIS.fits", err: `"c_Y.fits" is 4×3 pixels, the first 5×3`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := at(c.r, c.id, c.x, c.y)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want …%s", err, c.err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%s, %v; want %s", got, err, c.want)
			}
		})
	}
	if n := pool(files).Len(); n != 3 {
		t.Errorf("%d images, where three have a first band", n)
	}
	if pool(Reading{}).Hash() == pool(Reading{Stretch: "log"}).Hash() || pool(Reading{}).Hash() != pool(Reading{}).Hash() {
		t.Error("embeddings of one stretch would be taken for those of another")
	}
	// Colours are left alone unless something is asked for.
	red := NewRGB(4, 4)
	for i := range red.Pix {
		red.Pix[i] = uint8(i % 3 * 50)
	}
	write("red.png", pngOf(t, red.Image()))
	for r, want := range map[Reading]string{{}: "[0 50 100]", {Low: 0, High: 50}: "[0 255 255]", {Channels: "0 0 1", High: 255}: "[100 100 100]"} {
		if got, err := at(r, "red.png", 1, 1); err != nil || got != want {
			t.Errorf("%+v: %s, %v; want %s", r, got, err, want)
		}
	}
}

// TestReadingPrepared: pixels that are prepared are of one way of reading.
func TestReadingPrepared(t *testing.T) {
	dir, cache, index := t.TempDir(), t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a.fits"), fitsOf([]string{"A"}, 8, 8, func(_, x, y int) float32 { return float32(x * y) }), 0o644))
	var before []uint8
	for _, r := range []Reading{{High: 50}, {High: 100}} {
		p, err := OpenPool(t.Context(), index, []NamedSource{{Name: "s", Path: dir, Reading: r}}, Limits{}, nil)
		must(t, err)
		p.Prepare(cache, true)
		for range 2 {
			for b, err := range p.Batches(t.Context(), []int{0}, 8, 1, 1) {
				must(t, err)
				whole, err := p.Image(t.Context(), 0)
				must(t, err)
				if !bytes.Equal(b.Pix, whole.Pix) || bytes.Equal(b.Pix, before) {
					t.Errorf("%+v: pixels of another way of reading", r)
				}
			}
		}
		m, _ := p.Image(t.Context(), 0)
		before = m.Pix
		must(t, p.Close())
	}
}

// TestChannels reads cubes as one to five channels: values in, pixels worked out by hand; every way to ask for an image gives the same, and pixels that
// were prepared for another number of channels are not used.
func TestChannels(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	write := func(name string, b []byte) { must(t, os.WriteFile(filepath.Join(dir, name), b, 0o644)) }
	// Five bands of 4 × 4: 10 in the first, 20 in the second, …; one more in column 1.
	cube := func(scale float32) []byte {
		return fitsOf([]string{"A", "B", "C", "D", "E"}, 4, 4, func(hdu, x, _ int) float32 {
			if x == 1 {
				return scale * float32(10*hdu+11)
			}
			return scale * float32(10*hdu+10)
		})
	}
	write("a.fits", cube(1))
	red := NewRGB(4, 4)
	for i := range red.Pix {
		red.Pix[i] = uint8(i%3*50 + 7)
	}
	write("b.png", pngOf(t, red.Image()))
	write("c.png", pngOf(t, red.grey()))
	all := "A,B,C,D,E"
	for name, c := range map[string]struct {
		r         Reading
		id        string
		want, err string // of the pixel in column 1
		shown     string // as a thumbnail
		band2     string // its second band alone
	}{
		"five":                     {r: Reading{Select: all, High: 255, Channels: "5"}, id: "a.fits", want: "[11 21 31 41 51]", shown: "[11 21 31]", band2: "[21 21 21]"},
		"two of five":              {r: Reading{Select: all, High: 255, Channels: "2"}, id: "a.fits", want: "[11 21]", shown: "[11 21 0]", band2: "[21 21 21]"},
		"one of five":              {r: Reading{Select: all, High: 255, Channels: "1"}, id: "a.fits", want: "[11]", shown: "[11 11 11]", band2: "[11 11 11]"},
		"mixed":                    {r: Reading{Select: all, High: 255, Channels: "1 0 0 0 0; 0 1 0 0 0; 0 0 1 0 0; 1 1 1 1 1"}, id: "a.fits", want: "[11 21 31 155]", shown: "[11 21 31]", band2: "[21 21 21]"},
		"each stretched by itself": {r: Reading{Select: all, Stretch: "linear", Channels: "4"}, id: "a.fits", want: "[255 255 255 255]", shown: "[255 255 255]", band2: "[255 255 255]"},
		"bands that are not there": {r: Reading{Select: "A,B", Channels: "3"}, id: "a.fits", err: "has 2 bands, and the setting channels takes 3"},
		"grey":                     {r: Reading{Channels: "1"}, id: "c.png", want: "[7]", shown: "[7 7 7]", band2: "[7 7 7]"},
		"red of colours":           {r: Reading{Channels: "1"}, id: "b.png", want: "[7]", shown: "[7 7 7]", band2: "[7 7 7]"},
		"colours":                  {r: Reading{Channels: "3"}, id: "b.png", want: "[7 57 107]", shown: "[7 57 107]", band2: "[57 57 57]"},
		"grey is no colour":        {r: Reading{Channels: "3"}, id: "c.png", err: "has 1 band, and the setting channels takes 3"},
		"unless nothing is said":   {id: "c.png", want: "[7 7 7]", shown: "[7 7 7]", band2: "[7 7 7]"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "s", Path: dir, Reading: c.r}}, Limits{}, nil)
			must(t, err)
			defer p.Close()
			p.Prepare(cache, true)
			i, ok := p.Find("s/" + c.id)
			if !ok {
				t.Fatal("it is not there")
			}
			for range 2 { // the second time prepared
				pix := make([]uint8, 4*4*p.Channels())
				err = p.Sized(t.Context(), i, 4, pix)
				if c.err != "" {
					if err == nil || !strings.Contains(err.Error(), c.err) {
						t.Errorf("%v, want …%s", err, c.err)
					}
					return
				}
				must(t, err)
				if got := fmt.Sprint(pix[p.Channels():][:p.Channels()]); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				for b, err := range p.Batches(t.Context(), []int{0, 1, 2}, 4, 3, 1) {
					must(t, err)
					at := slices.Index(b.Index, i) * len(pix)
					if len(b.Pix) != len(b.Index)*len(pix) || !bytes.Equal(b.Pix[at:at+len(pix)], pix) {
						t.Error("a batch has other pixels")
					}
				}
				for b, err := range p.Blocks(t.Context(), 0, 3, 4, 4, 1) {
					must(t, err)
					if len(b.Pix) != 4*len(pix) || !bytes.Equal(b.Pix[i*len(pix):][:len(pix)], pix) {
						t.Error("a block has other pixels")
					}
				}
			}
			for band, want := range map[int]string{0: c.shown, 2: c.band2} {
				thumb, err := p.Thumb(t.Context(), i, View{MaxPx: 4, Band: band})
				must(t, err)
				m, err := Decode(thumb.Data, Limits{})
				must(t, err)
				if got := fmt.Sprint(m.Pix[3:6]); got != want {
					t.Errorf("band %d is shown as %s, want %s", band, got, want)
				}
			}
		})
	}
	// 8-bit values stay as they are in any number, as colours do.
	small := raw.New(raw.U8, 2, 1, 4, false)
	copy(small.Data.([]uint8), []uint8{3, 5, 7, 9, 4, 6, 8, 10})
	for text, want := range map[string]string{"4": "[3 5 7 9 4 6 8 10]", "2": "[3 5 4 6]"} {
		m, err := understood(Reading{Channels: text}).prepare(pictureOf(small))
		must(t, err)
		if got := fmt.Sprint(pixelsOf(m).Pix); got != want {
			t.Errorf("8 bits in %s channels: %s, want %s", text, got, want)
		}
	}
	_, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "a", Path: dir}, {Name: "b", Path: dir, Reading: Reading{Channels: "1"}}}, Limits{}, nil)
	if err == nil || !strings.Contains(err.Error(), `the source "b" gives the network 1 channel and "a" 3`) {
		t.Errorf("sources of different channels: %v", err)
	}
}

// TestResizeChannels: each channel of many is resized as it would be alone.
func TestResizeChannels(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range [][4]int{{40, 30, 16, 16}, {10, 60, 16, 16}, {16, 60, 16, 8}, {7, 5, 20, 9}, {300, 16, 16, 16}} {
		for _, channels := range []int{1, 2, 5} {
			m := NewPixels(c[0], c[1], channels)
			for i := range m.Pix {
				m.Pix[i] = uint8(r.Uint32())
			}
			got := NewPixels(c[2], c[3], channels)
			resizeInto(got.Pix, m, c[2], c[3])
			for k := range channels {
				alone := NewRGB(m.W, m.H)
				for i := range alone.Pix {
					alone.Pix[i] = m.Pix[i/3*channels+k]
				}
				want := Resize(alone, c[2], c[3])
				for i := range c[2] * c[3] {
					if got.Pix[i*channels+k] != want.Pix[3*i] {
						t.Fatalf("%v, channel %d of %d: pixel %d is %d, want %d", c, k, channels, i, got.Pix[i*channels+k], want.Pix[3*i])
					}
				}
			}
		}
	}
}

func TestReadingRefuses(t *testing.T) {
	for want, r := range map[string]Reading{
		"is not known: use one of linear":  {Stretch: "cubic"},
		"are no range":                     {Low: 5, High: 5},
		"is no weight":                     {Channels: "1 x"},
		"for each of 1 to 16 channels":     {Channels: "1 0; 0 1; 1"},
		"how many of the first bands are":  {Channels: ";;"},
		"channels = 17: the network takes": {Channels: "17"},
		"channels = 0: the network takes":  {Channels: " 0 "},
		"channels = -3":                    {Channels: "-3"},
		"16 channels a weight of each":     {Channels: strings.Repeat("1 0;", 16) + "1 0"},
	} {
		if err := r.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want …%s", r, err, want)
		}
	}
	for _, high := range []float64{math.NaN(), math.Inf(1)} {
		if err := (Reading{High: high}).Check(); err == nil {
			t.Errorf("high = %v is taken", high)
		}
	}
	if _, err := OpenSource(NamedSource{Name: "s", Path: zipOf(t, 0, nil), Reading: Reading{Files: "a,b"}}, Limits{}); err == nil || !strings.Contains(err.Error(), "is for a folder") {
		t.Errorf("files of a zip: %v", err)
	}
}
