package fits

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"anomalymatch/engine/dataset/raw"
)

// noise are n values like those of a detector: sky with noise.
func noise(n int) []int32 {
	r := rand.New(rand.NewPCG(3, 4))
	out := make([]int32, n)
	for i := range out {
		out[i] = 1000 + int32(r.NormFloat64()*12)
	}
	return out
}

// squares cuts values of a w × w image into tiles of side t.
func squares(v []int32, w, t int) (out [][]int32) {
	for y := 0; y < w; y += t {
		for x := 0; x < w; x += t {
			var tile []int32
			for dy := range t {
				tile = append(tile, v[(y+dy)*w+x:(y+dy)*w+x+t]...)
			}
			out = append(out, tile)
		}
	}
	return out
}

// BenchmarkDecode: images of 256 and 2048 pixels, in memory.
func BenchmarkDecode(b *testing.B) {
	for _, side := range []int{256, 2048} {
		v := noise(side * side)
		f32, i16 := make([]float32, len(v)), make([]int16, len(v))
		for i, x := range v {
			f32[i], i16[i] = float32(x)/7, int16(x)
		}
		axes := []int{side, side}
		each := func(tile int, pack func([]int32) []byte) (out [][]byte) {
			for _, t := range squares(v, side, tile) {
				out = append(out, pack(t))
			}
			return out
		}
		floats := func(t []int32) []byte {
			f := make([]float32, len(t))
			for i, x := range t {
				f[i] = float32(x) / 7
			}
			return zipped(f)
		}
		for _, c := range []struct {
			name string
			file []byte
			size int
		}{
			{"float32", image(-32, axes, f32), 4},
			{"int16", image(16, axes, i16), 2},
			{"uint16", image(16, axes, i16, "BZERO = 32768"), 2},
			{"scaled int16", image(16, axes, i16, "BZERO = 100", "BSCALE = 0.1"), 4},
			{"float32 gz", zipped(image(-32, axes, f32)), 4},
			{"RICE_1 int16", tiled("RICE_1", 16, axes, []int{128, 128}, each(128, func(t []int32) []byte { return short(t, 2, 32) }), "ZNAME1 = 'BYTEPIX'", "ZVAL1 = 2"), 2},
			{"RICE_1 float32 dithered", tiled("RICE_1", -32, axes, []int{128, 128}, each(128, func(t []int32) []byte { return short(t, 4, 32) }), "ZSCALE = 0.1", "ZZERO = 3.0", "ZQUANTIZ = 'SUBTRACTIVE_DITHER_1'", "ZDITHER0 = 1"), 4},
			{"GZIP_1 float32", tiled("GZIP_1", -32, axes, []int{128, 128}, each(128, floats)), 4},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, side), func(b *testing.B) {
				b.SetBytes(int64(side * side * c.size))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Decode(c.file, "", raw.Limits{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}

// BenchmarkCut: cut-outs of 128 pixels of a mosaic of 4096, in memory.
func BenchmarkCut(b *testing.B) {
	const side = 4096
	v := noise(side * side)
	i16 := make([]int16, len(v))
	for i, x := range v {
		i16[i] = int16(x)
	}
	var rows, tiles [][]byte
	for y := range side {
		rows = append(rows, short(v[y*side:(y+1)*side], 2, 32))
	}
	for _, t := range squares(v, side, 256) {
		tiles = append(tiles, short(t, 2, 32))
	}
	two := []string{"ZNAME1 = 'BYTEPIX'", "ZVAL1 = 2"}
	for _, c := range []struct {
		name string
		file []byte
	}{{"plain", image(16, []int{side, side}, i16)}, {"Rice rows", tiled("RICE_1", 16, []int{side, side}, []int{side, 1}, rows, two...)},
		{"Rice tiles 256", tiled("RICE_1", 16, []int{side, side}, []int{256, 256}, tiles, two...)}} {
		b.Run(c.name, func(b *testing.B) {
			f, err := Open(bytes.NewReader(c.file), int64(len(c.file)), raw.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			h, err := f.Find("")
			if err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(5, 6))
			for b.Loop() {
				if _, err := h.Cut(r.Int64N(side-128), r.Int64N(side-128), 128, 128); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cut-outs/s")
		})
	}
}

// BenchmarkTable: three columns of a catalogue of 100 000 rows of 80 bytes.
func BenchmarkTable(b *testing.B) {
	const n = 100_000
	file := table(nil, 80, make([]byte, 80*n), nil, "TFIELDS = 4", "TFORM1 = 'K'", "TFORM2 = 'D'", "TFORM3 = 'D'", "TFORM4 = '56A'")
	b.SetBytes(80 * n)
	for b.Loop() {
		f, err := Open(bytes.NewReader(file), int64(len(file)), raw.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		t, err := f.FindTable("")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := t.Read(0, n, 0, 1, 2); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
