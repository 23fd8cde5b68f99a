package fits

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"anomalymatch/engine/dataset/raw"
)

func open(t *testing.T, b []byte) *File {
	t.Helper()
	f, err := Open(bytes.NewReader(b), int64(len(b)), raw.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestHeader(t *testing.T) {
	b := image(8, []int{1, 1}, []uint8{1},
		"NAME = 'it''s /here  '  / a comment", "EMPTY = ''", "WHOLE = -12 / of something", "REAL = 1.5D-3", "LONG = 'one &'", "CONTINUE  'two &'", "CONTINUE  'three'",
		"LOGICAL = F", "TWICE = 1", "TWICE = 2", "BAD = 'no end", "NOTHING =", "HEX = 0x10", "COMMENT = is text", "BIG = 99999999999999999999", "ACCENT = 'caf\xe9'")
	h := open(t, b).HDUs()[0].Header
	for _, c := range []struct {
		key  string
		want any
	}{
		{"NAME", "it's /here"}, {"EMPTY", ""}, {"WHOLE", int64(-12)}, {"WHOLE", -12.0}, {"REAL", 1.5e-3}, {"LONG", "one two three"}, {"LOGICAL", false}, {"SIMPLE", true},
		{"TWICE", int64(1)}, {"ACCENT", "caf?"},
	} {
		var got any
		var ok bool
		switch c.want.(type) {
		case string:
			got, ok = h.Text(c.key)
		case int64:
			got, ok = h.Int(c.key)
		case float64:
			got, ok = h.Float(c.key)
		case bool:
			got, ok = h.Bool(c.key)
		}
		if !ok || got != c.want {
			t.Errorf("%s: %v %v, want %v", c.key, got, ok, c.want)
		}
	}
	for _, key := range []string{"BAD", "NOTHING", "HEX", "BIG", "REAL", "NAME", "ABSENT"} {
		if v, ok := h.Int(key); ok {
			t.Errorf("%s is the whole number %d", key, v)
		}
	}
	if _, ok := h.Float("HEX"); ok || h.Has("ABSENT") || !h.Has("HEX") {
		t.Error("HEX is a number, or ABSENT there")
	}
}

// Every type, whole and in part.
func TestImages(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		bitpix int
		values any // 2 channels of 2 rows of 3
		cards  []string
		want   any
	}{
		{"uint8", 8, []uint8{0, 1, 2, 3, 4, 255, 6, 7, 8, 9, 10, 11}, nil, []uint8{0, 1, 2, 3, 4, 255, 6, 7, 8, 9, 10, 11}},
		{"int8", 8, []uint8{0, 1, 127, 128, 129, 255, 6, 7, 8, 9, 10, 11}, []string{"BZERO = -128"}, []int8{-128, -127, -1, 0, 1, 127, -122, -121, -120, -119, -118, -117}},
		{"int16", 16, []int16{-32768, 1, 2, 3, 4, 32767, 6, 7, 8, 9, 10, 11}, []string{"BSCALE = 1.0", "BZERO = 0.0"}, []int16{-32768, 1, 2, 3, 4, 32767, 6, 7, 8, 9, 10, 11}},
		{"uint16", 16, []int16{-32768, 0, 32767, 3, 4, 5, 6, 7, 8, 9, 10, 11}, []string{"BZERO = 32768"}, []uint16{0, 32768, 65535, 32771, 32772, 32773, 32774, 32775, 32776, 32777, 32778, 32779}},
		{"int32", 32, []int32{math.MinInt32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, math.MaxInt32}, nil, []int32{math.MinInt32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, math.MaxInt32}},
		{"uint32", 32, []int32{math.MinInt32, 0, math.MaxInt32, 3, 4, 5, 6, 7, 8, 9, 10, 11}, []string{"BZERO = 2147483648"}, []uint32{0, 1 << 31, math.MaxUint32, 1<<31 + 3, 1<<31 + 4, 1<<31 + 5, 1<<31 + 6, 1<<31 + 7, 1<<31 + 8, 1<<31 + 9, 1<<31 + 10, 1<<31 + 11}},
		{"int64", 64, []int64{math.MinInt64, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, math.MaxInt64}, nil, []int64{math.MinInt64, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, math.MaxInt64}},
		{"uint64", 64, []int64{math.MinInt64, 0, -1, math.MaxInt64, 0, 0, 0, 0, 0, 0, 0, 0}, []string{"BZERO = 9223372036854775808"}, []uint64{0, 1 << 63, 1<<63 - 1, math.MaxUint64, 1 << 63, 1 << 63, 1 << 63, 1 << 63, 1 << 63, 1 << 63, 1 << 63, 1 << 63}},
		{"float32", -32, []float32{float32(nan), float32(math.Inf(1)), 2, 3, 4, 5, 6, 7, 8, 9, 10, 1e-40}, nil, []float32{float32(nan), float32(math.Inf(1)), 2, 3, 4, 5, 6, 7, 8, 9, 10, 1e-40}},
		{"float64", -64, []float64{nan, 1e-300, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, nil, []float64{nan, 1e-300, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"scaled", 16, []int16{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -32768}, []string{"BSCALE = 0.5", "BZERO = 100", "BLANK = -32768"}, []float32{100, 100.5, 101, 101.5, 102, 102.5, 103, 103.5, 104, 104.5, 105, float32(nan)}},
		{"blank", 32, []int32{7, 1<<31 - 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, []string{"BLANK = 7"}, []float64{nan, 1<<31 - 1, 2, 3, 4, 5, 6, nan, 8, 9, 10, 11}},
		{"BLANK of floats means nothing", -32, []float32{7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, []string{"BLANK = 7"}, []float32{7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := open(t, image(c.bitpix, []int{3, 2, 1, 2}, c.values, c.cards...))
			h, err := f.Find("")
			if err != nil {
				t.Fatal(err)
			}
			m, err := h.Read()
			if err != nil {
				t.Fatal(err)
			}
			if m.W != 3 || m.H != 2 || m.C != 2 || !m.Planar || fmt.Sprint(m.Data) != fmt.Sprint(c.want) || reflect.TypeOf(m.Data) != reflect.TypeOf(c.want) {
				t.Errorf("%T %v, want %T %v", m.Data, m.Data, c.want, c.want)
			}
			part, err := h.Cut(1, 1, 2, 1)
			if err != nil {
				t.Fatal(err)
			}
			for ch := range 2 {
				all, some := make([]float64, 3), make([]float64, 2)
				m.Row(all, ch, 1)
				part.Row(some, ch, 0)
				if fmt.Sprint(all[1:]) != fmt.Sprint(some) {
					t.Errorf("channel %d: the part is %v of %v", ch, some, all)
				}
			}
		})
	}
}

// Every algorithm and pixel size, in tiles that the border cuts, whole and in part.
func TestTiles(t *testing.T) {
	const w, h, c = 50, 21, 2
	axes, tile := []int{w, h, c}, []int{16, 10, 1}
	for _, bytepix := range []int{1, 2, 4} {
		most := map[int]int32{1: 256, 2: 1 << 15, 4: math.MaxInt32}[bytepix]
		values := ramp(w*h*c, most)
		for _, algorithm := range []string{"RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "NOCOMPRESS"} {
			for _, blocksize := range []int{32, 16} {
				var tiles [][]byte
				for ch := range c {
					for y := 0; y < h; y += tile[1] {
						for x := 0; x < w; x += tile[0] {
							var v []int32
							for dy := y; dy < min(h, y+tile[1]); dy++ {
								v = append(v, values[(ch*h+dy)*w+x:(ch*h+dy)*w+min(w, x+tile[0])]...)
							}
							plain := bigEndianOf(v, bytepix)
							switch algorithm {
							case "GZIP_1":
								plain = zipped(plain)
							case "GZIP_2":
								var s []byte
								for k := range bytepix {
									for i := range v {
										s = append(s, plain[i*bytepix+k])
									}
								}
								plain = zipped(s)
							case "RICE_1", "RICE_ONE":
								plain = riced(v, bytepix, blocksize)
							}
							tiles = append(tiles, plain)
						}
					}
				}
				b := tiled(algorithm, 8*bytepix, axes, tile, tiles, "ZNAME1 = 'BLOCKSIZE'", fmt.Sprintf("ZVAL1 = %d", blocksize), "ZNAME2 = 'BYTEPIX'", fmt.Sprintf("ZVAL2 = %d", bytepix))
				name := fmt.Sprint(algorithm, bytepix, blocksize)
				hdu, err := open(t, b).Find("")
				if err != nil {
					t.Fatal(name, err)
				}
				m, err := hdu.Read()
				if err != nil {
					t.Fatal(name, err)
				}
				if m.W != w || m.H != h || m.C != c || m.Kind().Size() != bytepix {
					t.Fatal(name, m.W, m.H, m.C, m.Kind())
				}
				whole := make([]float64, w)
				for _, cut := range [][4]int64{{0, 0, w, h}, {3, 4, 40, 12}, {16, 10, 16, 10}, {49, 20, 1, 1}} {
					part, err := hdu.Cut(cut[0], cut[1], cut[2], cut[3])
					if err != nil {
						t.Fatal(name, err)
					}
					for ch := range c {
						for y := range part.H {
							row := make([]float64, part.W)
							part.Row(row, ch, y)
							m.Row(whole, ch, y+int(cut[1]))
							for x, v := range row {
								want := float64(values[(ch*h+y+int(cut[1]))*w+x+int(cut[0])])
								if v != want || whole[x+int(cut[0])] != want {
									t.Fatalf("%s %v: (%d, %d, %d) is %v, in the whole image %v, want %v", name, cut, ch, y, x, v, whole[x+int(cut[0])], want)
								}
							}
						}
					}
				}
			}
		}
	}
}

func bigEndianOf(v []int32, size int) []byte {
	var b []byte
	for _, x := range v {
		full := binary.BigEndian.AppendUint32(nil, uint32(x))
		b = append(b, full[4-size:]...)
	}
	return b
}

// The dithering's numbers are those of the standard, whose appendix I gives the last seed.
func TestRandoms(t *testing.T) {
	if last := randoms()[9999]; last != float32(1043618065.0/2147483647.0) {
		t.Errorf("the 10000th number is %v", last)
	}
}

func TestQuantised(t *testing.T) {
	stored := []int32{10, -2147483648, -2147483646, 30}
	r := randoms()
	next := int(r[4] * 500) // tile 1 with ZDITHER0 = 5
	dithered := func(i int) float32 {
		return float32((float64(stored[i])-float64(r[next+i])+0.5)*0.25 + 100)
	}
	nan := float32(math.NaN())
	for _, c := range []struct {
		how  string
		want []float32
	}{
		{"NO_DITHER", []float32{102.5, nan, float32(-2147483646*0.25 + 100), 107.5}},
		{"SUBTRACTIVE_DITHER_1", []float32{dithered(0), nan, dithered(2), dithered(3)}},
		{"SUBTRACTIVE_DITHER_2", []float32{dithered(0), nan, 0, dithered(3)}},
	} {
		b := tiled("RICE_1", -32, []int{4, 1}, []int{4, 1}, [][]byte{riced(stored, 4, 32)}, "ZSCALE = 0.25", "ZZERO = 100.0", "ZBLANK = -2147483648", "ZDITHER0 = 5",
			fmt.Sprintf("ZQUANTIZ = '%s'", c.how))
		m, err := Decode(b, "", raw.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(m.Data) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.how, m.Data, c.want)
		}
	}
}

func TestFind(t *testing.T) {
	ext := func(before []byte, name, version string, v uint8) []byte {
		lines := []string{"XTENSION = 'IMAGE'", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 1", "NAXIS2 = 1", "PCOUNT = 0", "GCOUNT = 1", "EXTNAME = '" + name + "'"}
		if version != "" {
			lines = append(lines, "EXTVER = "+version)
		}
		return extension(before, lines, []byte{v})
	}
	b := ext(ext(ext(ext(nil, "SCI", "", 1), "SCI", "2", 2), "7", "", 3), "Err", "", 4)
	f := open(t, append(b, "after the last HDU anything may follow"...))
	for _, c := range []struct {
		which string
		want  uint8
	}{{"", 1}, {"sci", 1}, {"SCI,1", 1}, {" sci , 2 ", 2}, {"2", 2}, {"7", 3}, {"ERR", 4}, {"4", 4}} {
		h, err := f.Find(c.which)
		if err != nil {
			t.Errorf("%q: %v", c.which, err)
			continue
		}
		if m, err := h.Read(); err != nil || m.Data.([]uint8)[0] != c.want {
			t.Errorf("%q: %v %v, want %d", c.which, m.Data, err, c.want)
		}
	}
	for _, which := range []string{"5", "-1", "NIR", "SCI,3", "SCI,x"} {
		if _, err := f.Find(which); err == nil || !strings.Contains(err.Error(), "no HDU") {
			t.Errorf("%q: %v", which, err)
		}
	}
	// what is behind a damaged extension is not there, what is before it is
	b = append(b[:2880*4], bytes.Repeat([]byte("XTENSION"), 360)...)
	f = open(t, b)
	if _, err := f.Find("SCI"); err != nil {
		t.Error(err)
	}
	long := ext(ext(nil, "SCI", "", 1), "LATER", "", 2)
	f = open(t, long[:len(long)-block])
	if _, err := f.Find("LATER"); err == nil || !strings.Contains(err.Error(), "truncated") {
		t.Error(err)
	}
}

// What must be refused, in a sentence, before memory is taken.
func TestRefused(t *testing.T) {
	one := []byte{0, 0, 0, 0}
	sound := image(8, []int{4, 4}, make([]uint8, 16))
	bomb := zipped(make([]uint8, 17<<20))
	cases := []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "no FITS"},
		{"one byte", []byte("S"), "no FITS"},
		{"text", []byte(strings.Repeat("hello ", 1000)), "no FITS"},
		{"only the beginning", sound[:400], "no end"},
		{"no END", bytes.Replace(sound, []byte("END     "), []byte("        "), 1), "no end"},
		{"no data", sound[:block], "truncated"},
		{"half the data", sound[:block+8], "truncated"},
		{"two axes of 2e9", cards("SIMPLE = T", "BITPIX = -32", "NAXIS = 2", "NAXIS1 = 2000000000", "NAXIS2 = 2000000000"), "more than any file"},
		{"2^32 × 2^32", cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 4294967296", "NAXIS2 = 4294967296"), "more than any file"},
		{"1e9 × 1e9", cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 1000000000", "NAXIS2 = 1000000000"), "truncated"},
		{"negative axis", cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = -1", "NAXIS2 = 1"), "NAXIS1"},
		{"missing axis", cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 1"), "NAXIS2"},
		{"1000 axes", cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 1000"), "NAXIS"},
		{"BITPIX 12", cards("SIMPLE = T", "BITPIX = 12", "NAXIS = 0"), "BITPIX"},
		{"no image", cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 0"), "holds no image"},
		{"one axis", image(8, []int{4}, make([]uint8, 4)), "holds no image"},
		{"no pixels", image(8, []int{4, 0}, []uint8{}), "holds no image"},
		{"random groups", cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 3", "NAXIS1 = 0", "NAXIS2 = 1", "NAXIS3 = 1", "GROUPS = T", "PCOUNT = 0", "GCOUNT = 1"), "truncated"},
		{"BSCALE a text", image(8, []int{1, 1}, one[:1], "BSCALE = 'x'"), "BSCALE"},
		{"gzip without data", []byte{0x1f, 0x8b}, "gzip"},
		{"gzip cut", zipped(sound)[:50], "truncated"},
		{"gzip bomb", bomb, "grow more than"},
		{"HCOMPRESS", tiled("HCOMPRESS_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}), "HCOMPRESS_1"},
		{"PLIO", tiled("PLIO_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}), "PLIO_1"},
		{"mask", tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}, "ZMASKCMP = 'RICE_1'"), "mask"},
		{"unknown quantisation", tiled("RICE_1", -32, []int{4, 4}, []int{4, 4}, [][]byte{one}, "ZQUANTIZ = 'OTHER'"), "OTHER"},
		{"Rice too short", tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one[:2]}, "ZNAME1 = 'BYTEPIX'", "ZVAL1 = 2"), "ends too early"},
		{"Rice of floats", tiled("RICE_1", -32, []int{4, 4}, []int{4, 4}, [][]byte{one}), "without quantisation"},
		{"Rice of 3 bytes", tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}, "ZNAME1 = 'BYTEPIX'", "ZVAL1 = 3"), "pixel size"},
		{"Rice in blocks of 1e9", tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}, "ZNAME1 = 'BLOCKSIZE'", "ZVAL1 = 1000000000"), "block size"},
		{"tile without bytes", tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{{}}), "empty"},
		{"too few tiles", tiled("RICE_1", 16, []int{4, 4}, []int{2, 2}, [][]byte{one}), "4 tiles, its table 1"},
		{"pixels from nothing", tiled("RICE_1", 16, []int{9000, 9000}, []int{9000, 9000}, [][]byte{one}), "81000000 values are said to be in"},
		{"a tile from nothing", tiled("RICE_1", 16, []int{6000, 1}, []int{6000, 1}, [][]byte{one}), "6000 values is said to be in"},
		{"a pixel from much", tiled("RICE_1", 16, []int{1, 1}, []int{1, 1}, [][]byte{make([]byte, 5000)}), "1 values is said to be in 5000"},
		{"one huge tile", tiled("GZIP_1", 16, []int{1 << 40, 1 << 20}, []int{1 << 40, 1 << 20}, [][]byte{one}), "limit"},
		{"tiles beyond counting", tiled("GZIP_1", 16, []int{1 << 40, 1 << 40}, []int{1, 1}, [][]byte{one}), "is refused"},
		{"tile of length 0", tiled("GZIP_1", 16, []int{4, 4}, []int{0, 4}, [][]byte{one}), "ZTILE1"},
		{"gzip tile of other bytes", tiled("GZIP_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}), "unpack"},
		{"gzip tile too long", tiled("GZIP_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{zipped(make([]uint8, 1000))}), "unpack"},
		{"gzip tile too short", tiled("GZIP_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{zipped(make([]uint8, 15))}), "15 bytes"},
		{"heap outside", bytes.Replace(tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}), []byte{0, 0, 0, 4, 0, 0, 0, 0}, []byte{0, 0, 0, 4, 0, 0, 0, 1}, 1), "outside"},
		{"heap in the table", tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}, "THEAP = 0"), "heap begins"},
		{"compressed table", table(nil, 1, []byte{1}, nil, "TFIELDS = 1", "TFORM1 = 'B'", "ZIMAGE = T", "ZTABLE = T", "ZCMPTYPE = 'RICE_1'", "ZNAXIS = 2", "ZNAXIS1 = 1", "ZNAXIS2 = 1", "ZBITPIX = 8"), "compressed table"},
		{"column outside", tiledWith(t, "TFORM1 = '1PB(99)'", "TFORM1 = '2PB(99)'"), "outside the table"},
		{"column of no type", tiledWith(t, "TFORM1 = '1PB(99)'", "TFORM1 = '1ZB(99)'"), "TFORM1"},
		{"heap too large", bytes.Replace(tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{one}), []byte("PCOUNT  = 4                  "), []byte("PCOUNT  = 9223372036854775807"), 1), "more than any file"},
		{"10001 HDUs", bytes.Repeat(cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 0"), 2), "holds no image"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, err := Decode(c.b, "", raw.Limits{})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%d×%d×%d), want %q", err, m.W, m.H, m.C, c.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 && c.name != "gzip bomb" {
				t.Errorf("%d bytes were taken", used)
			}
		})
	}
	if _, err := Decode(sound, "", raw.Limits{MaxPixels: 15}); !errors.Is(err, raw.ErrLimit) {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := Decode(zipped(sound), "", raw.Limits{MaxBytes: 1000}); !errors.Is(err, raw.ErrLimit) {
		t.Errorf("over the limit of bytes: %v", err)
	}
}

// tiledWith is a compressed image with a card replaced by one of the same length.
func tiledWith(t *testing.T, was, is string) []byte {
	b := tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{{0, 0, 0, 0}})
	w := strings.Replace(was, " = ", "  = ", 1)
	if !bytes.Contains(b, []byte(w)) {
		t.Fatal(was)
	}
	return bytes.Replace(b, []byte(w), []byte(strings.Replace(is, " = ", "  = ", 1)), 1)
}

func TestManyHDUs(t *testing.T) {
	b := cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 0")
	b = append(b, bytes.Repeat(cards("XTENSION = 'IMAGE'", "BITPIX = 8", "NAXIS = 0", "PCOUNT = 0", "GCOUNT = 1"), maxHDUs)...)
	f := open(t, b)
	if len(f.HDUs()) != maxHDUs {
		t.Errorf("%d HDUs", len(f.HDUs()))
	}
	if _, err := f.Find(""); err == nil || !strings.Contains(err.Error(), "more than 10000 HDUs") {
		t.Error(err)
	}
}

// vast is a file of a header and pixels that are made when they are read.
type vast struct {
	header []byte
	size   int64
	read   *int64
}

func (v vast) ReadAt(b []byte, at int64) (int, error) {
	*v.read += int64(len(b))
	for i := range b {
		switch p := at + int64(i); {
		case p >= v.size:
			return i, io.EOF
		case p < int64(len(v.header)):
			b[i] = v.header[p]
		default: // of the pixel number n the four bytes of n
			n := (p - int64(len(v.header))) / 4
			b[i] = byte(n >> (8 * (3 - (p-int64(len(v.header)))%4)))
		}
	}
	return len(b), nil
}

// A cut-out of a mosaic of 22 GB reads its own pixels only and takes no more memory than they need.
func TestMosaic(t *testing.T) {
	const w, h, c = 60_000, 46_000, 2
	header := cards("SIMPLE = T", "BITPIX = 32", "NAXIS = 3", "NAXIS1 = 60000", "NAXIS2 = 46000", "NAXIS3 = 2")
	var read int64
	size := int64(len(header)) + 4*w*h*c
	f, err := Open(vast{header, size, &read}, size, raw.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	read = 0
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := f.HDUs()[0].Cut(59_900, 45_990, 64, 10)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	for ch := range c {
		row := make([]float64, 64)
		for y := range 10 {
			m.Row(row, ch, y)
			for x, v := range row {
				if want := float64(int32((ch*h+45_990+y)*w + 59_900 + x)); v != want {
					t.Fatalf("(%d, %d, %d) is %v, want %v", ch, y, x, v, want)
				}
			}
		}
	}
	if want := int64(64 * 10 * c * 4); read != want {
		t.Errorf("%d bytes were read, the part has %d", read, want)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<10 {
		t.Errorf("%d bytes were taken", used)
	}
	if _, err := f.HDUs()[0].Read(); !errors.Is(err, raw.ErrLimit) {
		t.Errorf("the whole: %v", err)
	}
	for _, bad := range [][4]int64{{-1, 0, 1, 1}, {0, 0, 0, 1}, {w, 0, 1, 1}, {w - 1, 0, 2, 1}, {0, h - 1, 1, 2}, {math.MaxInt64, 0, math.MaxInt64, 1}} {
		if _, err := f.HDUs()[0].Cut(bad[0], bad[1], bad[2], bad[3]); err == nil {
			t.Errorf("%v was cut", bad)
		}
	}
}

// A file that becomes shorter after it was opened.
func TestShrinks(t *testing.T) {
	for name, b := range map[string][]byte{
		"plain": image(16, []int{400, 40}, make([]int16, 16000)),
		"tiles": tiled("RICE_1", 16, []int{4, 4}, []int{4, 4}, [][]byte{riced(make([]int32, 16), 4, 32)}),
		"table": table(nil, 4, make([]byte, 4000), nil, "TFIELDS = 1", "TTYPE1 = 'x'", "TFORM1 = 'J'"),
	} {
		r := &shrinking{b, false}
		f, err := Open(r, int64(len(b)), raw.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		r.gone = true
		h := f.HDUs()[len(f.HDUs())-1]
		if name == "table" {
			var tab *Table
			if tab, err = h.Table(); err != nil {
				t.Fatal(err)
			}
			_, err = tab.Read(0, tab.Rows, 0)
		} else {
			_, err = h.Read()
		}
		if err == nil || !strings.Contains(err.Error(), "shorter") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type shrinking struct {
	b    []byte
	gone bool
}

func (s *shrinking) ReadAt(b []byte, at int64) (int, error) {
	if s.gone {
		return bytes.NewReader(s.b[:block]).ReadAt(b, at)
	}
	return bytes.NewReader(s.b).ReadAt(b, at)
}

func TestTable(t *testing.T) {
	var rows []byte
	for i := range 3 {
		rows = binary.BigEndian.AppendUint64(rows, uint64(1<<62+i))
		rows = binary.BigEndian.AppendUint64(rows, math.Float64bits(float64(i)/3))
		rows = binary.BigEndian.AppendUint16(rows, uint16(i))
		rows = append(rows, []string{"abc\x00x", "de   ", "     "}[i]...)
		rows = append(rows, "TF\x00"[i], byte(i), 0, 0, 0, 0, 0, 0, 0, byte(i))
	}
	b := table(nil, len(rows)/3, rows, nil, "TFIELDS = 7", "TTYPE1 = 'ID'", "TFORM1 = 'K'", "TTYPE2 = 'RA'", "TFORM2 = '1D'", "TUNIT2 = 'deg'", "TTYPE3 = 'z'", "TFORM3 = 'I'", "TNULL3 = 1",
		"TTYPE4 = 'name'", "TFORM4 = '5A'", "TTYPE5 = 'star'", "TFORM5 = 'L'", "TTYPE6 = 'half'", "TFORM6 = 'B'", "TSCAL6 = 0.5", "TTYPE7 = 'flux'", "TFORM7 = '2E'")
	f := open(t, b)
	tab, err := f.FindTable("")
	if err != nil {
		t.Fatal(err)
	}
	if tab.Rows != 3 || len(tab.Columns) != 7 || tab.Columns[1].Unit != "deg" || tab.Index("ra") != 1 || tab.Index("none") != -1 {
		t.Fatalf("%+v", tab)
	}
	var types []Type
	for _, c := range tab.Columns {
		types = append(types, c.Type)
	}
	if !slices.Equal(types, []Type{Int, Float, Int, Text, Int, Float, None}) {
		t.Errorf("types %v", types)
	}
	v, err := tab.Read(0, 3, 0, 1, 2, 3, 4, 5)
	if err != nil {
		t.Fatal(err)
	}
	want := [][3]string{{"4611686018427387904", "4611686018427387905", "4611686018427387906"}, {"0", "0.3333333333333333", "0.6666666666666666"}, {"0", "", "2"}, {"abc", "de", ""}, {"1", "0", ""}, {"0", "0.5", "1"}}
	for i := range want {
		for row := range 3 {
			if got := v[i].String(row); got != want[i][row] {
				t.Errorf("column %d row %d: %q, want %q", i, row, got, want[i][row])
			}
		}
	}
	if last, err := tab.Read(2, 1, 0); err != nil || last[0].Ints[0] != 1<<62+2 {
		t.Error(last, err)
	}
	if !math.IsNaN(v[2].Float(1)) || v[3].Float(0) == v[3].Float(0) || v[5].Float(1) != 0.5 {
		t.Error("numbers", v[2].Float(1), v[3].Float(0), v[5].Float(1))
	}
	for _, bad := range []func() error{
		func() error { _, err := tab.Read(0, 4, 0); return err }, func() error { _, err := tab.Read(-1, 1, 0); return err },
		func() error { _, err := tab.Read(0, 1, 7); return err }, func() error { _, err := tab.Read(0, 1, 6); return err },
		func() error { _, err := tab.Read(0, 1, -1); return err }, func() error { _, err := f.HDUs()[0].Table(); return err },
	} {
		if bad() == nil {
			t.Error("was read")
		}
	}
}

// A row longer than what is read at once.
func TestWideRows(t *testing.T) {
	const width = 1<<20 + 8
	rows := make([]byte, 2*width)
	rows[width-1], rows[2*width-1] = 5, 7
	b := table(nil, width, rows, nil, "TFIELDS = 2", fmt.Sprintf("TFORM1 = '%dB'", width-8), "TFORM2 = 'K'")
	tab, err := open(t, b).FindTable("1")
	if err != nil {
		t.Fatal(err)
	}
	v, err := tab.Read(0, 2, 1)
	if err != nil || !slices.Equal(v[0].Ints, []int64{5, 7}) {
		t.Error(v, err)
	}
}

func TestASCIITable(t *testing.T) {
	rows := []byte("  12 1.50D1 abc  " + "  -1   2500      " + " N/A            x")
	b := extension(nil, []string{"XTENSION = 'TABLE'", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 17", "NAXIS2 = 3", "PCOUNT = 0", "GCOUNT = 1", "TFIELDS = 3", "TTYPE1 = 'i'", "TFORM1 = 'I4'",
		"TBCOL1 = 1", "TNULL1 = 'N/A'", "TTYPE2 = 'f'", "TFORM2 = 'F7.2'", "TBCOL2 = 5", "TTYPE3 = 't'", "TFORM3 = 'A5'", "TBCOL3 = 13"}, rows)
	tab, err := open(t, b).FindTable("")
	if err != nil {
		t.Fatal(err)
	}
	v, err := tab.Read(0, 3, 0, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][3]string{{"12", "-1", ""}, {"15", "25", "0"}, {"abc", "", "    x"}} {
		for row := range 3 {
			if got := v[i].String(row); got != want[row] {
				t.Errorf("column %d row %d: %q, want %q", i, row, got, want[row])
			}
		}
	}
}

// One file serves several goroutines; run with -race.
func TestTogether(t *testing.T) {
	v := ramp(64*64, 1<<15)
	var tiles [][]byte
	for y := range 64 {
		tiles = append(tiles, riced(v[y*64:(y+1)*64], 2, 32))
	}
	short := make([]int16, len(v))
	for i, x := range v {
		short[i] = int16(x)
	}
	for _, b := range [][]byte{tiled("RICE_1", 16, []int{64, 64}, []int{64, 1}, tiles, "ZNAME1 = 'BYTEPIX'", "ZVAL1 = 2"), image(16, []int{64, 64}, short)} {
		f := open(t, b)
		var wait sync.WaitGroup
		for i := range 8 {
			wait.Go(func() {
				h, err := f.Find("")
				if err != nil {
					t.Error(err)
					return
				}
				for y := range int64(32) {
					m, err := h.Cut(int64(i), y, 16, 16)
					if err != nil {
						t.Error(err)
					} else if got, want := m.Data.([]int16)[17], short[(y+1)*64+int64(i)+1]; got != want {
						t.Errorf("%d, want %d", got, want)
					}
				}
			})
		}
		wait.Wait()
	}
}
