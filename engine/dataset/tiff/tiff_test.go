package tiff

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/internal/testdata"
)

// picture describes a TIFF to be built.
type picture struct {
	order       appender
	big         bool
	w, h, c     int
	values      any // []T, row by row, channels together
	bits        int
	format      int
	compression int
	predictor   int
	planar      bool
	tile        [2]int // width, height; zero: strips
	rows        int    // of a strip; zero: all
	fields      map[uint16][]uint64
	drop        []uint16
}

// build writes the picture.
func (p picture) build() []byte {
	if p.order == nil {
		p.order = binary.LittleEndian
	}
	size := p.bits / 8
	all, err := binary.Append(nil, p.order, p.values)
	if err != nil {
		panic(err)
	}
	chunkW, chunkH := p.w, p.h
	switch {
	case p.tile[0] > 0:
		chunkW, chunkH = p.tile[0], p.tile[1]
	case p.rows > 0:
		chunkH = p.rows
	}
	samples, planes := p.c, 1
	if p.planar {
		samples, planes = 1, p.c
	}
	head := 8
	if p.big {
		head = 16
	}
	out := make([]byte, head)
	var offsets, counts []uint64
	for plane := range planes {
		for y := 0; y < p.h; y += chunkH {
			for x := 0; x < p.w; x += chunkW {
				var chunk []byte
				rows := min(chunkH, p.h-y)
				if p.tile[0] > 0 {
					rows = chunkH
				}
				for dy := range rows {
					row := make([]byte, chunkW*samples*size)
					for dx := range chunkW {
						for s := range samples {
							if x+dx < p.w && y+dy < p.h {
								from := (((y+dy)*p.w+x+dx)*p.c + plane + s) * size
								copy(row[(dx*samples+s)*size:], all[from:from+size])
							}
						}
					}
					chunk = append(chunk, p.predict(row, samples, size)...)
				}
				chunk = packed(p.compression, chunk)
				offsets, counts = append(offsets, uint64(len(out))), append(counts, uint64(len(chunk)))
				out = append(out, chunk...)
			}
		}
	}
	fields := map[uint16][]uint64{tagWidth: {uint64(p.w)}, tagHeight: {uint64(p.h)}, tagSamples: {uint64(p.c)}, tagCompression: {uint64(max(1, p.compression))}, tagPhotometric: {1}}
	for range p.c {
		fields[tagBits] = append(fields[tagBits], uint64(p.bits))
		fields[tagSampleFormat] = append(fields[tagSampleFormat], uint64(max(1, p.format)))
	}
	if p.predictor > 1 {
		fields[tagPredictor] = []uint64{uint64(p.predictor)}
	}
	if p.planar {
		fields[tagPlanar] = []uint64{2}
	}
	if p.tile[0] > 0 {
		fields[tagTileWidth], fields[tagTileHeight] = []uint64{uint64(chunkW)}, []uint64{uint64(chunkH)}
		fields[tagTileOffsets], fields[tagTileBytes] = offsets, counts
	} else {
		fields[tagRowsPerStrip], fields[tagStripOffsets], fields[tagStripBytes] = []uint64{uint64(chunkH)}, offsets, counts
	}
	for tag, v := range p.fields {
		fields[tag] = v
	}
	for _, tag := range p.drop {
		delete(fields, tag)
	}
	return p.directory(out, fields)
}

// directory appends the fields and sets the beginning.
func (p picture) directory(out []byte, fields map[uint16][]uint64) []byte {
	var tags []int
	for tag := range fields {
		tags = append(tags, int(tag))
	}
	sort.Ints(tags)
	kind, size, inline := uint16(4), 4, 4
	if p.big {
		kind, size, inline = 16, 8, 8
	}
	number := func(b []byte, v uint64) []byte {
		if size == 8 {
			return p.order.AppendUint64(b, v)
		}
		return p.order.AppendUint32(b, uint32(v))
	}
	var entries []byte
	for _, tag := range tags {
		v := fields[uint16(tag)]
		var data []byte
		for _, x := range v {
			data = number(data, x)
		}
		entries = p.order.AppendUint16(entries, uint16(tag))
		entries = p.order.AppendUint16(entries, kind)
		entries = number(entries, uint64(len(v)))
		if len(data) > inline {
			entries = number(entries, uint64(len(out)))
			out = append(out, data...)
		} else {
			entries = append(entries, append(data, make([]byte, inline-len(data))...)...)
		}
	}
	at := uint64(len(out))
	if p.big {
		out = p.order.AppendUint64(out, uint64(len(tags)))
	} else {
		out = p.order.AppendUint16(out, uint16(len(tags)))
	}
	out = number(append(out, entries...), 0)
	head := []byte("II")
	if p.order == binary.BigEndian {
		head = []byte("MM")
	}
	if p.big {
		head = p.order.AppendUint16(p.order.AppendUint16(p.order.AppendUint16(head, 43), 8), 0)
	} else {
		head = p.order.AppendUint16(head, 42)
	}
	copy(out, number(head, at))
	return out
}

type appender interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func (p picture) predict(row []byte, samples, size int) []byte {
	switch p.predictor {
	case 2:
		for i := len(row) - size; i >= samples*size; i -= size {
			a, b := row[i:i+size], row[i-samples*size:]
			switch size {
			case 1:
				a[0] -= b[0]
			case 2:
				p.order.PutUint16(a, p.order.Uint16(a)-p.order.Uint16(b))
			case 4:
				p.order.PutUint32(a, p.order.Uint32(a)-p.order.Uint32(b))
			case 8:
				p.order.PutUint64(a, p.order.Uint64(a)-p.order.Uint64(b))
			}
		}
	case 3:
		n := len(row) / size
		s := make([]byte, len(row))
		for i := range n {
			for k := range size {
				from := k
				if p.order == binary.LittleEndian {
					from = size - 1 - k
				}
				s[k*n+i] = row[i*size+from]
			}
		}
		for i := len(s) - 1; i >= samples; i-- {
			s[i] -= s[i-samples]
		}
		return s
	}
	return row
}

var deflater = zlib.NewWriter(nil)

func packed(compression int, b []byte) []byte {
	var out bytes.Buffer
	switch compression {
	case 5: // LZW in its simplest form: literals of 9 bits, with a clear code before the table grows
		used, acc := 0, uint64(0)
		put := func(code uint64) {
			acc, used = acc<<9|code, used+9
			for used >= 8 {
				out.WriteByte(byte(acc >> (used - 8)))
				used -= 8
			}
		}
		for i, x := range b {
			if i%200 == 0 {
				put(256)
			}
			put(uint64(x))
		}
		put(257)
		if used > 0 {
			out.WriteByte(byte(acc << (8 - used)))
		}
		return out.Bytes()
	case 8, 32946:
		deflater.Reset(&out)
		deflater.Write(b)
		deflater.Close()
		return out.Bytes()
	case 32773:
		for len(b) > 0 {
			n := 1
			for n < len(b) && n < 128 && b[n] == b[0] {
				n++
			}
			if n > 1 {
				out.Write([]byte{byte(1 - n), b[0]})
			} else {
				n = min(len(b), 3)
				out.WriteByte(byte(n - 1))
				out.Write(b[:n])
			}
			out.WriteByte(128) // says nothing
			b = b[n:]
		}
		return out.Bytes()
	}
	return b
}

// kinds of values with samples of each.
var kinds = []struct {
	values       func(n int) any
	bits, format int
	want         raw.Kind
}{
	{func(n int) any { return made(n, func(i int) uint8 { return uint8(7 * i) }) }, 8, 1, raw.U8},
	{func(n int) any { return made(n, func(i int) int8 { return int8(7 * i) }) }, 8, 2, raw.I8},
	{func(n int) any { return made(n, func(i int) uint16 { return uint16(1009 * i) }) }, 16, 1, raw.U16},
	{func(n int) any { return made(n, func(i int) int16 { return int16(1009 * i) }) }, 16, 2, raw.I16},
	{func(n int) any { return made(n, func(i int) uint32 { return uint32(1e8 * i) }) }, 32, 1, raw.U32},
	{func(n int) any { return made(n, func(i int) int32 { return int32(1e8 * i) }) }, 32, 2, raw.I32},
	{func(n int) any { return made(n, func(i int) uint64 { return uint64(i) << 57 }) }, 64, 1, raw.U64},
	{func(n int) any { return made(n, func(i int) int64 { return int64(i) << 57 }) }, 64, 2, raw.I64},
	{func(n int) any { return made(n, func(i int) float32 { return float32(i)/3 - 5 }) }, 32, 3, raw.F32},
	{func(n int) any { return made(n, func(i int) float64 { return 1e-200 * float64(i) }) }, 64, 3, raw.F64},
}

func made[T any](n int, f func(int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}

// Every type in every order, compression, predictor and arrangement has the values that were written.
func TestRead(t *testing.T) {
	const w, h, c = 21, 17, 3
	for _, k := range kinds {
		values := k.values(w * h * c)
		want := raw.Image{W: w, H: h, C: c, Data: values}
		for _, order := range []appender{binary.LittleEndian, binary.BigEndian} {
			for _, compression := range []int{1, 5, 8, 32946, 32773} {
				for predictor := 1; predictor <= 3; predictor++ {
					if predictor == 3 && k.format != 3 || predictor > 1 && compression != 5 && compression != 8 || compression == 32946 && k.bits > 8 {
						continue
					}
					for _, p := range []picture{{rows: 5}, {tile: [2]int{16, 8}}, {planar: true}, {planar: true, tile: [2]int{8, 16}}, {big: true, rows: 4}} {
						p.order, p.w, p.h, p.c, p.values, p.bits, p.format, p.compression, p.predictor = order, w, h, c, values, k.bits, k.format, compression, predictor
						name := fmt.Sprint(k.want, order, compression, predictor, p.planar, p.tile, p.big)
						m, err := Decode(p.build(), raw.Limits{})
						if err != nil {
							t.Fatal(name, err)
						}
						if m.W != w || m.H != h || m.C != c || m.Kind() != k.want || m.Planar != p.planar {
							t.Fatal(name, m.W, m.H, m.C, m.Kind(), m.Planar)
						}
						if err := equal(m, want); err != nil {
							t.Fatal(name, err)
						}
					}
				}
			}
		}
	}
}

func equal(got, want raw.Image) error {
	a, b := make([]float64, got.W), make([]float64, got.W)
	for c := range want.C {
		for y := range want.H {
			got.Row(a, c, y)
			want.Row(b, c, y)
			for x := range a {
				if a[x] != b[x] {
					return fmt.Errorf("(%d, %d, %d) is %v, want %v", c, y, x, a[x], b[x])
				}
			}
		}
	}
	return nil
}

// What the fields say about the meaning of the values.
func TestMeaning(t *testing.T) {
	palette := make([]uint64, 768)
	for i := range palette {
		palette[i] = uint64(i%256)<<8 | 0x33
	}
	for i := range 256 {
		palette[512+i] = 0xffff
	}
	for _, c := range []struct {
		name string
		p    picture
		want raw.Image
	}{
		{"white is zero", picture{w: 2, h: 1, c: 1, values: []uint8{0, 200}, bits: 8, fields: map[uint16][]uint64{tagPhotometric: {0}}}, raw.Image{W: 2, H: 1, C: 1, Data: []uint8{255, 55}}},
		{"white is zero, 16 bits", picture{w: 2, h: 1, c: 1, values: []uint16{0, 200}, bits: 16, fields: map[uint16][]uint64{tagPhotometric: {0}}}, raw.Image{W: 2, H: 1, C: 1, Data: []uint16{65535, 65335}}},
		{"alpha is dropped", picture{w: 2, h: 1, c: 4, values: []uint8{1, 2, 3, 99, 4, 5, 6, 99}, bits: 8, fields: map[uint16][]uint64{tagPhotometric: {2}, tagExtraSamples: {2}}}, raw.Image{W: 2, H: 1, C: 3, Data: []uint8{1, 2, 3, 4, 5, 6}}},
		{"alpha of a planar file", picture{w: 2, h: 1, c: 2, planar: true, values: []uint8{1, 99, 2, 99}, bits: 8, fields: map[uint16][]uint64{tagExtraSamples: {1}}}, raw.Image{W: 2, H: 1, C: 1, Data: []uint8{1, 2}}},
		{"a fourth band is kept", picture{w: 1, h: 1, c: 4, values: []uint8{1, 2, 3, 4}, bits: 8, fields: map[uint16][]uint64{tagPhotometric: {2}, tagExtraSamples: {0}}}, raw.Image{W: 1, H: 1, C: 4, Data: []uint8{1, 2, 3, 4}}},
		{"five bands", picture{w: 1, h: 1, c: 5, values: []float32{1, 2, 3, 4, 5}, bits: 32, format: 3, fields: map[uint16][]uint64{tagExtraSamples: {0, 0, 0, 0}}}, raw.Image{W: 1, H: 1, C: 5, Data: []float32{1, 2, 3, 4, 5}}},
		{"palette", picture{w: 2, h: 1, c: 1, values: []uint8{3, 200}, bits: 8, fields: map[uint16][]uint64{tagPhotometric: {3}, tagColorMap: palette}}, raw.Image{W: 2, H: 1, C: 3, Data: []uint8{3, 3, 255, 200, 200, 255}}},
		{"float16", picture{w: 2, h: 1, c: 1, values: []uint16{0x3c00, 0xc500}, bits: 16, format: 3}, raw.Image{W: 2, H: 1, C: 1, Data: []float32{1, -5}}},
		{"no lengths", picture{w: 2, h: 3, c: 1, rows: 2, values: []uint8{1, 2, 3, 4, 5, 6}, bits: 8, drop: []uint16{tagStripBytes}}, raw.Image{W: 2, H: 3, C: 1, Data: []uint8{1, 2, 3, 4, 5, 6}}},
		{"a predictor without compression means nothing", picture{w: 2, h: 1, c: 1, values: []uint8{1, 2}, bits: 8, fields: map[uint16][]uint64{tagPredictor: {2}}}, raw.Image{W: 2, H: 1, C: 1, Data: []uint8{1, 2}}},
	} {
		m, err := Decode(c.p.build(), raw.Limits{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if m.W != c.want.W || m.H != c.want.H || m.C != c.want.C || m.Kind() != c.want.Kind() || fmt.Sprint(m.Data) != fmt.Sprint(c.want.Data) {
			t.Errorf("%s: %d×%d×%d %v, want %v", c.name, m.W, m.H, m.C, m.Data, c.want.Data)
		}
	}
}

func TestRefused(t *testing.T) {
	grey := func(fields map[uint16][]uint64, drop ...uint16) []byte {
		return picture{w: 4, h: 4, c: 1, values: make([]uint8, 16), bits: 8, fields: fields, drop: drop}.build()
	}
	sound := grey(nil)
	loop := bytes.Clone(sound)
	copy(loop[len(loop)-4:], loop[4:8])
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "no TIFF"}, {"text", []byte("hello, hello"), "no TIFF"}, {"other version", []byte("II\x2d\x00\x08\x00\x00\x00"), "version"},
		{"no directory", []byte("II*\x00\x00\x00\x00\x00"), "no page"}, {"directory outside", []byte("II*\x00\xff\xff\xff\xff"), "past its end"},
		{"cut", sound[:len(sound)-30], "past its end"}, {"loop", loop, "back to themselves"},
		{"no width", grey(nil, tagWidth), "holds no picture"}, {"no height", grey(map[uint16][]uint64{tagHeight: {0}}), "holds no picture"},
		{"huge", grey(map[uint16][]uint64{tagWidth: {4e9}, tagHeight: {4e9}}), "too many"}, {"large", grey(map[uint16][]uint64{tagWidth: {60000}, tagHeight: {60000}}), "limit"},
		{"65535 channels", grey(map[uint16][]uint64{tagWidth: {9000}, tagHeight: {9000}, tagSamples: {65535}}), "limit"},
		{"pixels from nothing", grey(map[uint16][]uint64{tagWidth: {9000}, tagHeight: {9000}, tagRowsPerStrip: {9000}}), "are said to be in"},
		{"Deflate from nothing", grey(map[uint16][]uint64{tagWidth: {9000}, tagHeight: {9000}, tagRowsPerStrip: {9000}, tagCompression: {8}}), "are said to be in"},
		{"JPEG", grey(map[uint16][]uint64{tagCompression: {7}}), "JPEG"}, {"Zstandard", grey(map[uint16][]uint64{tagCompression: {50000}}), "Zstandard"},
		{"unknown compression", grey(map[uint16][]uint64{tagCompression: {12345}}), "12345"}, {"CCITT", grey(map[uint16][]uint64{tagCompression: {4}}), "CCITT"},
		{"1 bit", grey(map[uint16][]uint64{tagBits: {1}}), "1 bits"}, {"12 bits", grey(map[uint16][]uint64{tagBits: {12}}), "12 bits"}, {"no bits", grey(nil, tagBits), "1 bits"},
		{"complex", grey(map[uint16][]uint64{tagSampleFormat: {6}}), "complex"}, {"CMYK", grey(map[uint16][]uint64{tagPhotometric: {5}}), "CMYK"}, {"YCbCr", grey(map[uint16][]uint64{tagPhotometric: {6}}), "YCbCr"},
		{"RGB of one channel", grey(map[uint16][]uint64{tagPhotometric: {2}}), "RGB"}, {"half a palette", grey(map[uint16][]uint64{tagPhotometric: {3}, tagColorMap: make([]uint64, 300)}), "palette"},
		{"predictor 3 of integers", grey(map[uint16][]uint64{tagPredictor: {3}, tagCompression: {8}}), "floating point"}, {"predictor 4", grey(map[uint16][]uint64{tagPredictor: {4}}), "predictor 4"},
		{"reversed bits", grey(map[uint16][]uint64{tagFillOrder: {2}}), "reversed"}, {"planar 3", grey(map[uint16][]uint64{tagPlanar: {3}}), "planar configuration"},
		{"different channels", picture{w: 1, h: 1, c: 2, values: []uint8{1, 2}, bits: 8, fields: map[uint16][]uint64{tagBits: {8, 16}}}.build(), "different types"},
		{"strips outside", grey(map[uint16][]uint64{tagStripOffsets: {1e9}}), "truncated"}, {"strips too long", grey(map[uint16][]uint64{tagStripBytes: {1e9}}), "truncated"},
		{"strips of no rows", grey(map[uint16][]uint64{tagRowsPerStrip: {0}}), "no rows"}, {"too few strips", grey(map[uint16][]uint64{tagRowsPerStrip: {1}}), "of 4"},
		{"no strips", grey(nil, tagStripOffsets), "of 1"}, {"tiles without size", grey(map[uint16][]uint64{tagTileOffsets: {8}, tagTileBytes: {16}}), "tiles of 0×0"},
		{"huge tiles", grey(map[uint16][]uint64{tagTileOffsets: {8}, tagTileBytes: {16}, tagTileWidth: {2e9}, tagTileHeight: {2e9}}), "tiles are 2000000000 pixels wide"},
		{"wide tiles", grey(map[uint16][]uint64{tagTileOffsets: {8}, tagTileBytes: {16}, tagTileWidth: {1e6}, tagTileHeight: {16}, tagCompression: {8}}), "said to be in 16"},
		{"Deflate that is none", grey(map[uint16][]uint64{tagCompression: {8}}), "unpack"},
		{"LZW that is none", picture{w: 4, h: 4, c: 1, values: bytes.Repeat([]byte{255}, 16), bits: 8, fields: map[uint16][]uint64{tagCompression: {5}}}.build(), "unpack"},
		{"PackBits too short", grey(map[uint16][]uint64{tagCompression: {32773}, tagStripBytes: {3}}), "truncated"},
		{"white floats", picture{w: 1, h: 1, c: 1, values: []float32{1}, bits: 32, format: 3, fields: map[uint16][]uint64{tagPhotometric: {0}}}.build(), "zero is white"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m, err := Decode(c.b, raw.Limits{})
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%d×%d×%d), want %q", err, m.W, m.H, m.C, c.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
				t.Errorf("%d bytes were taken", used)
			}
		})
	}
	if _, err := Decode(sound, raw.Limits{MaxPixels: 15}); !errors.Is(err, raw.ErrLimit) {
		t.Errorf("over the limit: %v", err)
	}
}

// Every TIFF of the shared folder of formats has the pixels that its manifest names.
func TestManifest(t *testing.T) {
	dir := testdata.Shared(t, "data/formats")
	type entry struct {
		SHA256     json.RawMessage `json:"sha256"`
		SamePixels string          `json:"same_pixels_as"`
	}
	var manifest map[string]entry
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name, e := range manifest {
		if !strings.Contains(name, ".tif") {
			continue
		}
		seen++
		if e.SamePixels != "" {
			e = manifest[e.SamePixels]
		}
		var want string
		if err := json.Unmarshal(e.SHA256, &want); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Decode(b, raw.Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if sum := sha256.Sum256(m.Bytes()); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s: %d×%d×%d %v, other pixels than the manifest's", name, m.W, m.H, m.C, m.Kind())
		}
	}
	if seen < 3 {
		t.Errorf("only %d TIFFs in the manifest", seen)
	}
}

// BenchmarkDecode: images of 256 and 2048 pixels, in memory.
func BenchmarkDecode(b *testing.B) {
	for _, side := range []int{256, 2048} {
		n := side * side
		noise := func(i int) float64 { return 100 + 12*math.Sin(float64(i*i)) }
		f32, u16 := made(n, func(i int) float32 { return float32(noise(i)) }), made(n, func(i int) uint16 { return uint16(10 * noise(i)) })
		rgb := made(3*n, func(i int) uint8 { return uint8(noise(i)) })
		for _, c := range []struct {
			name string
			p    picture
		}{
			{"float32", picture{c: 1, values: f32, bits: 32, format: 3}}, {"uint16", picture{c: 1, values: u16, bits: 16}}, {"RGB", picture{c: 3, values: rgb, bits: 8}},
			{"float32 tiles Deflate predictor 3", picture{c: 1, values: f32, bits: 32, format: 3, compression: 8, predictor: 3, tile: [2]int{256, 256}}},
			{"uint16 Deflate predictor 2", picture{c: 1, values: u16, bits: 16, compression: 8, predictor: 2, rows: 16}}, {"uint16 LZW", picture{c: 1, values: u16, bits: 16, compression: 5, rows: 16}},
		} {
			c.p.w, c.p.h = side, side
			file := c.p.build()
			b.Run(fmt.Sprintf("%s/%d", c.name, side), func(b *testing.B) {
				b.SetBytes(int64(n * c.p.c * c.p.bits / 8))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Decode(file, raw.Limits{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
			})
		}
	}
}
