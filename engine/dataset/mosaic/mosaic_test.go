package mosaic

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anomalymatch/engine/dataset/raw"
)

func open(t testing.TB, dir, definition string) *Mosaic {
	t.Helper()
	m, err := Open(write(t, dir, "it"+Extension, definition), "", raw.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// listed are the objects of a mosaic, and why others are none.
func listed(t testing.TB, m *Mosaic) (objects map[string]Object, bad map[string]string) {
	t.Helper()
	objects, bad = map[string]Object{}, map[string]string{}
	for o, err := range m.Objects(t.Context()) {
		switch {
		case o.ID == "":
			t.Fatal(err)
		case err != nil:
			bad[o.ID] = err.Error()
		default:
			objects[o.ID] = o
		}
	}
	return objects, bad
}

func numbers(x, y int) float32 { return float32(1000*y + x) }

// TestBorders cuts in the middle of a mosaic, at its border and beyond, in pixels from 1.
func TestBorders(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "m.fits", image(20, 10, func(x, y int) float32 {
		if x > 15 {
			return float32(math.NaN())
		}
		return numbers(x, y)
	}))
	write(t, dir, "c.csv", "id,x_image,y_image\nmiddle,6,5\ncorner,1,1\nfar,-3,5\nodd,here,5\n,5,5\nempty,19,5\n\"hole, in part\",16,5\n")
	m := open(t, dir, "catalogue = \"c.csv\"\nbands = [\"m.fits\"]\nsize = 4\n")
	objects, bad := listed(t, m)
	if len(objects) != 4 || objects["middle"].Edge || !objects["corner"].Edge || objects["middle"].Row != 0 || objects["middle"].Bytes != 64 {
		t.Errorf("%+v", objects)
	}
	for id, want := range map[string]string{"far": "outside the mosaics of the first band: x -3, y 5", "odd": "has no position", "row 5": "has no id"} {
		if !strings.Contains(bad[id], want) {
			t.Errorf("%s %q, want …%s", id, bad[id], want)
		}
	}
	nan := math.NaN()
	for id, want := range map[string]struct {
		first []float64
		note  string
	}{
		"middle":        {[]float64{2003, 2004, 2005, 2006}, ""},
		"corner":        {[]float64{nan, nan, nan, nan}, "cut off by the border, 75% is missing"},
		"hole, in part": {[]float64{2013, 2014, 2015, nan}, ""},
	} {
		got, err := m.Cut(t.Context(), objects[id].Row)
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float64, 4)
		got.Image.Row(row, 0, 0)
		if !slices.EqualFunc(row, want.first, func(a, b float64) bool { return a == b || a != a && b != b }) || got.Note != want.note {
			t.Errorf("%s: %v %q", id, row, got.Note)
		}
	}
	if _, err := m.Cut(t.Context(), objects["empty"].Row); err == nil || !strings.Contains(err.Error(), "has no measured value") {
		t.Errorf("empty: %v", err)
	}
	if _, err := m.Cut(t.Context(), 99); err == nil {
		t.Error("a row that is not there is cut")
	}
}

// TestBands: bands with other tiles, one of them damaged, and one that lacks the object.
func TestBands(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/V_0.fits", image(40, 40, numbers, tan(10, 5, 20, 20)...))
	write(t, dir, "a/V_1.fits", image(40, 40, func(x, y int) float32 { return -numbers(x, y) }, tan(10, 5, -10, 20)...))
	write(t, dir, "a/V_2.fits", "SIMPLE  = nonsense")
	write(t, dir, "b/Y.fits", image(30, 30, func(x, y int) float32 { return numbers(x, y) + 0.5 }, tan(10, 5, 15, 17)...))
	write(t, dir, "c.csv", "name;dec;ra\nmiddle;5.0001;10\nright;5.0001;9.9947222\nleft;5.0001;10.0047222\n")
	m := open(t, dir, "catalogue = \"c.csv\"\nbands = [\"a/V_*.fits\", \"b/Y.fits\"]\nsize = 6\nby_tile = true\n")
	objects, _ := listed(t, m)
	for name, err := range m.BadTiles() {
		if name != "V_2.fits" || err == nil {
			t.Errorf("%s %v", name, err)
		}
	}
	// By hand: 1 arcsec a pixel; the positions are 0.36 pixels above the middle, so that boxes begin at y = 18 and, in Y, at 15.
	for id, want := range map[string][3]string{
		"V_0/middle": {"18017", "15012.5", ""},
		"V_1/right":  {"-18006", "NaN", "nothing in band 2"},
		"V_0/left":   {"18001", "NaN", "cut off in band 2"},
	} {
		o, ok := objects[id]
		if !ok {
			t.Errorf("there is no %s: %v", id, objects)
			continue
		}
		got, err := m.Cut(t.Context(), o.Row)
		if err != nil || got.Image.C != 2 || got.Image.W != 6 {
			t.Fatal(got, err)
		}
		a, b := make([]float64, 6), make([]float64, 6)
		got.Image.Row(a, 0, 0)
		got.Image.Row(b, 1, 0)
		if fmt.Sprint(a[0]) != want[0] || fmt.Sprint(b[0]) != want[1] || got.Note != want[2] {
			t.Errorf("%s: %v %v %q", id, a, b, got.Note)
		}
		if name, err := m.Name(t.Context(), o.Row); err != nil || name != id {
			t.Errorf("row %d is called %q (%v), not %s", o.Row, name, err, id)
		}
	}
}

// TestNames: without a column of ids the position is the name.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "m.fits", image(50, 50, numbers, tan(187.70593077, 12.39112325, 25, 25)...))
	write(t, dir, "c.csv", "ra,dec\n187.70593077,12.39112325\n-172.29406923,12.39112325\n")
	objects, _ := listed(t, open(t, dir, "catalogue = \"c.csv\"\nbands = [\"m.fits\"]\nsize = \"5 arcsec\"\n"))
	if _, ok := objects["J123049.423+122328.04"]; !ok || len(objects) != 1 { // M87; the second is the same place
		t.Errorf("%v", objects)
	}
	write(t, dir, "c.csv", "x,y\n12.25,3\n")
	objects, _ = listed(t, open(t, dir, "catalogue = \"c.csv\"\nbands = [\"m.fits\"]\nsize = 5\norigin = 1\n"))
	if _, ok := objects["y000003.00_x000012.25"]; !ok {
		t.Errorf("%v", objects)
	}
}

// TestText finds the rows of a catalogue again, whatever is between them.
func TestText(t *testing.T) {
	var text strings.Builder
	text.WriteString("# %ECSV 1.0\n# - a comment, \"with a quote\n\nid,x,y\r\n")
	const rows = 5000
	for i := range rows {
		switch i % 7 {
		case 0:
			fmt.Fprintf(&text, "\"a, \"\"%d\"\"\nb\",%d,0\n", i, i)
		case 1:
			fmt.Fprintf(&text, "%d,%d,0\r\n\r\n# \" in between\n", i, i)
		default:
			fmt.Fprintf(&text, "%d,%d,0\n", i, i)
		}
	}
	for _, end := range []string{"", "\n"} {
		s := strings.TrimRight(text.String(), "\n") + end
		table, err := openText(strings.NewReader(s), int64(len(s)))
		if err != nil {
			t.Fatal(err)
		}
		n, err := table.blocks(t.Context())
		if err != nil || n != (rows+blockRows-1)/blockRows || len(table.starts) != int(n)+1 {
			t.Fatal(n, err)
		}
		for _, row := range []int64{0, 1, 1023, 1024, 3500, rows - 1} {
			first, v, err := table.block(t.Context(), table.find(row), []int{0, 1})
			if err != nil {
				t.Fatal(err)
			}
			if x := v[1].number(int(row - first)); x != float64(row) {
				t.Errorf("row %d is at %v", row, x)
			}
			if want := fmt.Sprintf("a, \"%d\"\nb", row); row%7 == 0 && v[0].text(int(row-first)) != want {
				t.Errorf("%q, want %q", v[0].text(int(row-first)), want)
			}
		}
		if table.find(rows) >= 0 || table.find(-1) >= 0 {
			t.Error("a row that is not there is found")
		}
	}
}

// TestMapping: between the points at which the way is worked out it is as good as exact, with strong distortion.
func TestMapping(t *testing.T) {
	dir := t.TempDir()
	sip := []string{"CTYPE1  = 'RA---TAN-SIP'", "CTYPE2  = 'DEC--TAN-SIP'", "A_ORDER = 2", "B_ORDER = 2", "A_2_0   = 5E-06", "A_1_1   = -3E-06", "B_0_2   = 4E-06", "B_2_0   = 2E-06"}
	write(t, dir, "a.fits", image(300, 300, numbers, tan(10, 70, 150, 150)...))
	write(t, dir, "b.fits", image(300, 300, numbers, append(sip, tan(10.001, 70.001, 140, 160)[2:]...)...))
	write(t, dir, "c.csv", "id,ra,dec\na,10.01,70.01\n")
	m := open(t, dir, "catalogue = \"c.csv\"\nbands = [\"a.fits\", \"b.fits\"]\nsize = 100\n")
	if objects, bad := listed(t, m); len(objects) != 1 {
		t.Fatal(bad)
	}
	a, b := m.bands[0].tiles[0], m.bands[1].tiles[0]
	g := mapping(place{a, box{20, 30, 100, 100}}, b)
	if _, _, ok := g.whole(); ok {
		t.Fatal("the grids are taken for the same")
	}
	worst := 0.0
	for j := range 100 {
		for i := range 100 {
			x, y := g.at(i, j)
			u, v, ok := b.wcs.Pixel(a.wcs.Sky(float64(20+i), float64(30+j)))
			if !ok {
				t.Fatal("no pixel")
			}
			worst = max(worst, math.Hypot(x-u, y-v))
		}
	}
	t.Logf("off by %.2g pixels at most", worst)
	if worst > 1e-3 {
		t.Errorf("off by %g pixels", worst)
	}
	if g := mapping(place{a, box{20, 30, 100, 100}}, a); g == nil {
		t.Error("no way to itself")
	} else if dx, dy, ok := g.whole(); !ok || dx != 0 || dy != 0 {
		t.Error("its own grid is another one")
	}
}

// TestManyFiles reads from more files than may be open, from many goroutines.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	text := "id,ra,dec\n"
	const n = maxOpen + 16
	for k := range n {
		write(t, dir, fmt.Sprintf("m%03d.fits", k), image(12, 12, func(x, y int) float32 { return float32(k) }, tan(float64(k), 0, 6, 6)...))
		text += fmt.Sprintf("%d,%d,0\n", k, k)
	}
	write(t, dir, "c.csv", text)
	m := open(t, dir, "catalogue = \"c.csv\"\nbands = [\"m*.fits\"]\nsize = 4\n")
	if objects, bad := listed(t, m); len(objects) != n {
		t.Fatal(bad)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for k := range 3 * n {
				row := int64((k*7 + g*11) % n)
				got, err := m.Cut(t.Context(), row)
				if err != nil || got.Image.Data.([]float32)[0] != float32(row) {
					t.Errorf("row %d: %v %v", row, got, err)
				}
				m.files.mu.Lock()
				if open := m.files.recent.Len(); open > maxOpen+4 {
					t.Errorf("%d files are open", open)
				}
				m.files.mu.Unlock()
			}
		})
	}
	wg.Wait()
	// A mosaic that is another one now is noticed when it is opened.
	path := filepath.Join(dir, "m000.fits")
	if err := os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	for k := range n {
		m.Cut(t.Context(), int64(n-1-k)) // the first is the last
	}
	m.files.mu.Lock()
	if e, ok := m.files.open[0]; ok {
		m.files.drop(e)
	}
	m.files.mu.Unlock()
	if _, err := m.Cut(t.Context(), 0); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), "changed") {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "m.fits", image(9, 9, numbers))
	write(t, dir, "s1.fits", image(9, 9, numbers, tan(1, 2, 3, 4)...))
	write(t, dir, "s2.fits", image(8, 8, numbers, tan(1, 2, 3, 4)...))
	write(t, dir, "packed.fits", "\x1f\x8b\x08\x00\x00\x00\x00\x00")
	write(t, dir, "xy.csv", "id,x,y\n1,2,3\n")
	write(t, dir, "sky.csv", "id,ra,dec\n1,2,3\n")
	write(t, dir, "one.csv", "id\n1\n")
	write(t, dir, "odd.csv", "id,x\n1,2\n")
	write(t, dir, "quote.csv", "id,x,y\n\"1,2,3\n")
	write(t, dir, "stray.csv", "id,x,y\na\"b\"\",2,3\n\"\n")
	write(t, dir, "long.csv", "id,x,y\n\""+strings.Repeat("1\n", 600_000)+"\",2,3\n")
	for definition, want := range map[string]string{
		"":                      "lacks the catalogue",
		"catalogue = 7":         "no definition",
		"catalogue = \"\nbands": "is no TOML: line 1",
		"catalogue = 'xy.csv'":  "lacks the mosaics",
		"catalogue = 'xy.csv'\nbands = ['m.fits']":                   "lacks the size",
		"catalogue = 'xy.csv'\nbands = ['m.fits']\nsize = 'big'":     "it is pixels",
		"catalogue = 'xy.csv'\nbands = ['m.fits']\nsize = -4":        "it is pixels",
		"catalogue = 'xy.csv'\nbands = ['m.fits']\nsize = 4\nra='x'": "names one of ra and dec",
		"catalogue = 'xy.csv'\nbands = ['m.fits']\nsizes = 4":        `has the key "sizes"`,
		"catalogue = 'xy.csv'\nbands = ['k*.fits']\nsize = 4":        `has no file for band 1, "k*.fits"`,
		"catalogue = 'xy.csv'\nbands = ['m[.fits']\nsize = 4":        "cannot be read",
		"catalogue = 'no.csv'\nbands = ['m.fits']\nsize = 4":         "it does not exist",
		"catalogue = 'one.csv'\nbands = ['m.fits']\nsize = 4":        "has one column",
		"catalogue = 'odd.csv'\nbands = ['m.fits']\nsize = 4":        `name them, ra = and dec =, or x = and y =; it has "id", "x"`,
		"catalogue = 'xy.csv'\nbands = ['m.fits']\nsize = 4\nid='n'": `has no column "n" (setting id)`,
		"catalogue = 'xy.csv'\nbands = ['s*.fits']\nsize = 4":        "with several mosaics the catalogue must have RA and Dec",
		"catalogue = 'm.fits'\nbands = ['m.fits']\nsize = 4":         "holds no table",
		"catalogue = 'sky.csv'\nbands = ['m.fits']\nsize = 4":        "has no sky coordinates",
		"catalogue = 'sky.csv'\nbands = ['packed.fits']\nsize = 4":   "packed by gzip",
		"catalogue = 'xy.csv'\nbands = ['m.fits','s2.fits']\nsize=4": "is not of the same size as the first",
		"catalogue = 'xy.csv'\nbands = ['m.fits[K]']\nsize = 4":      `has no HDU "K"`,
		"catalogue = 'quote.csv'\nbands = ['m.fits']\nsize = 4":      "has a quote that does not end",
		"catalogue = 'stray.csv'\nbands = ['m.fits']\nsize = 4":      "is a quote missing?",
		"catalogue = 'long.csv'\nbands = ['m.fits']\nsize = 4":       "has a row of more than",
	} {
		m, err := Open(write(t, dir, "it"+Extension, definition), "", raw.Limits{})
		if err == nil {
			for o, why := range m.Objects(t.Context()) {
				if o.ID == "" {
					err = why
				}
			}
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want …%s", definition, err, want)
		}
	}
	// A size beyond the limit is told before memory is taken.
	m := open(t, dir, "catalogue = 'xy.csv'\nbands = ['m.fits']\nsize = 2000000000\n")
	if _, bad := listed(t, m); !strings.Contains(bad["1"], "the limit is") {
		t.Errorf("%v", bad)
	}
}

func FuzzCatalogue(f *testing.F) {
	f.Add("id,x,y\n1,2,3\n\"a\nb\",4,5\n# c\n\n")
	f.Add("a\tb\n\"\"\"\t\r\n\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		table, err := openText(strings.NewReader(s), int64(len(s)))
		if err != nil {
			return
		}
		n, err := table.blocks(t.Context())
		if err != nil {
			return
		}
		for k := range n {
			first, v, err := table.block(t.Context(), k, []int{0, 1})
			if err == nil && (table.find(first) != k || v[0].n != v[1].n || int64(v[0].n) != table.rows[k+1]-first) {
				t.Fatalf("block %d of %q", k, s)
			}
		}
	})
}

func FuzzDefinition(f *testing.F) {
	f.Add("catalogue = \"c.csv\"\nbands = [\"*.fits[1]\"]\nsize = \"1 arcmin\"\norigin = 1\n")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse([]byte(s))
		if err == nil && d.SizeColumn == "" {
			if n, err := parseSize(d.Size); err != nil || !(n.value > 0) {
				t.Fatal(n, err)
			}
		}
	})
}
