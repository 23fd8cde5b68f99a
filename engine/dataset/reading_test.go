package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
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

func TestReadingRefuses(t *testing.T) {
	for want, r := range map[string]Reading{
		"is not known: use one of linear": {Stretch: "cubic"},
		"are no range":                    {Low: 5, High: 5},
		"is no weight":                    {Channels: "1 x"},
		"give a weight for each band":     {Channels: "1 0; 0 1"},
		"for red, green and blue":         {Channels: ";;"},
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
