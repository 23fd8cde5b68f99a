package fits

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// A byte of compressed data holds at most this many values: DEFLATE grows by 1032 at most, Rice by far less.
const densest = 1100

// tiles reads the tiles of a compressed image: the rows of a table.
type tiles struct {
	h         *HDU
	table     *Table
	algorithm string
	stored    raw.Kind
	tile      []int64 // its lengths
	grid      []int64 // number of tiles along each axis
	// columns of the table; -1 where there is none
	data, gzipped, plain, scale, zero, null int
	fixed                                   struct{ scale, zero float64 } // where there are no such columns
	quantised                               bool
	blank                                   int64 // of quantised values
	hasBlank                                bool
	dither                                  int // 0, 1 or 2
	seed                                    int64
	bytepix, blocksize                      int

	row, packed, unpacked []byte // room
	i32                   []int32
	i64                   []int64
	values                any
}

// untile reads the part c of a compressed image.
func (h *HDU) untile(c cut) (raw.Image, error) {
	once, err := h.tiling()
	if err != nil {
		return raw.Image{}, err
	}
	own := *once // with room of its own
	t := &own
	channels, _ := product(c.shape[2:]...)
	if n := c.w * c.h * channels; n/densest > h.bytes {
		return raw.Image{}, damaged("%d values are said to be in %d bytes", n, h.bytes)
	}
	c.allocate(channels)
	index := make([]int64, len(t.grid))
	from := func(axis int) int64 { // of the tiles that c touches
		switch axis {
		case 0:
			return c.x / t.tile[0]
		case 1:
			return c.y / t.tile[1]
		}
		return 0
	}
	to := func(axis int) int64 {
		switch axis {
		case 0:
			return (c.x + c.w - 1) / t.tile[0]
		case 1:
			return (c.y + c.h - 1) / t.tile[1]
		}
		return t.grid[axis] - 1
	}
	for a := range index {
		index[a] = from(a)
	}
	for {
		if err := t.copy(&c, index); err != nil {
			return raw.Image{}, err
		}
		a := 0
		for ; a < len(index); a++ {
			if index[a]++; index[a] <= to(a) {
				break
			}
			index[a] = from(a)
		}
		if a == len(index) {
			return c.m, nil
		}
	}
}

// copy unpacks one tile and copies what lies in c.
func (t *tiles) copy(c *cut, index []int64) error {
	row, step, n := int64(0), int64(1), int64(1)
	size := make([]int64, len(index)) // of this tile, which the border of the image may cut
	for a, i := range index {
		row += i * step
		step *= t.grid[a]
		size[a] = min(t.tile[a], c.shape[a]-i*t.tile[a])
		n *= size[a] // at most the product of the axes
	}
	if n > int64(t.h.f.limits.MaxPixels) {
		return raw.Limitf("has tiles of %d pixels, the limit is %.4g million values (setting images.max_megapixels)",
			n, float64(t.h.f.limits.MaxPixels)/1e6)
	}
	values, err := t.cached(row, int(n))
	if err != nil {
		return err
	}
	x := max(c.x, index[0]*t.tile[0])
	width := min(c.x+c.w, index[0]*t.tile[0]+size[0]) - x
	line := make([]int64, len(index)) // of the tile, along axis 0
	for at := x - index[0]*t.tile[0]; at < n; at += size[0] {
		y := index[1]*t.tile[1] + line[1] - c.y
		channel, step := int64(0), int64(1)
		for a := 2; a < len(index); a++ {
			channel += (index[a]*t.tile[a] + line[a]) * step
			step *= c.shape[a]
		}
		if y >= 0 && y < c.h {
			c.store(int((channel*c.h+y)*c.w+x-c.x), values, int(at), int(width))
		}
		for a := 1; a < len(line); a++ {
			if line[a]++; line[a] < size[a] {
				break
			}
			line[a] = 0
		}
	}
	return nil
}

// TileCache keeps unpacked tiles of the files that share it, up to a number of bytes: cut-outs side by side touch the same tiles.
type TileCache struct {
	tiles *array.Cache[tileKey, any]
}

type tileKey struct {
	file int64
	hdu  int
	row  int64
}

// NewTileCache makes a cache of limit bytes.
func NewTileCache(limit int64) *TileCache { return &TileCache{array.NewCache[tileKey, any](limit)} }

// UseCache has f keep its tiles in c under a number of its own. Call it before f is read.
func (f *File) UseCache(c *TileCache, key int64) { f.cache, f.key = c, key }

// cached is unpack, or what is left of another time; nobody may change the values.
func (t *tiles) cached(row int64, n int) (any, error) {
	f := t.h.f
	if f.cache == nil {
		err := t.unpack(row, n)
		return t.values, err
	}
	return f.cache.tiles.Get(tileKey{f.key, t.h.Number, row}, func() (any, int64, error) {
		t.values = nil
		err := t.unpack(row, n)
		values := t.values
		t.values = nil
		return values, int64(n) * int64(t.stored.Size()), err
	})
}

// readTiling reads how the image is compressed.
func (h *HDU) readTiling() (*tiles, error) {
	shape, err := h.shape()
	if err != nil {
		return nil, err
	}
	s, err := h.scaling()
	if err != nil {
		return nil, err
	}
	t := &tiles{h: h, stored: s.stored, bytepix: 4, blocksize: 32}
	t.algorithm, _ = h.Header.Text("ZCMPTYPE")
	switch t.algorithm {
	case "RICE_1", "GZIP_1", "GZIP_2", "NOCOMPRESS":
	case "RICE_ONE":
		t.algorithm = "RICE_1"
	default:
		return nil, fmt.Errorf("is compressed by %.20q, which is not read: RICE_1, GZIP_1 and GZIP_2 are; unpack it with funpack", t.algorithm)
	}
	if h.Header.Has("ZMASKCMP") {
		return nil, errors.New("has a null-pixel mask (ZMASKCMP), which is not read; unpack it with funpack")
	}
	for i := 1; h.Header.Has("ZNAME" + strconv.Itoa(i)); i++ {
		name, _ := h.Header.Text("ZNAME" + strconv.Itoa(i))
		v, ok := h.Header.Int("ZVAL" + strconv.Itoa(i))
		switch strings.ToUpper(name) {
		case "BLOCKSIZE":
			if !ok || v < 1 || v > 1024 {
				return nil, damaged("the Rice block size is not a number from 1 to 1024")
			}
			t.blocksize = int(v)
		case "BYTEPIX":
			if !ok || v != 1 && v != 2 && v != 4 {
				return nil, damaged("the Rice pixel size is none of 1, 2, 4")
			}
			t.bytepix = int(v)
		}
	}
	total := int64(1)
	for a, n := range shape {
		tile := int64(1)
		if a == 0 {
			tile = n
		}
		if key := "ZTILE" + strconv.Itoa(a+1); h.Header.Has(key) {
			v, ok := h.Header.Int(key)
			if !ok || v < 1 {
				return nil, damaged("%s is not a length", key)
			}
			tile = min(v, n)
		}
		t.tile = append(t.tile, tile)
		t.grid = append(t.grid, (n+tile-1)/tile)
		total *= t.grid[a] // at most the product of the axes
	}
	if t.table, err = h.Table(); err != nil {
		return nil, err
	}
	if t.table.Rows < total {
		return nil, damaged("its image has %d tiles, its table %d", total, t.table.Rows)
	}
	for name, column := range map[string]*int{"COMPRESSED_DATA": &t.data, "GZIP_COMPRESSED_DATA": &t.gzipped, "UNCOMPRESSED_DATA": &t.plain,
		"ZSCALE": &t.scale, "ZZERO": &t.zero, "ZBLANK": &t.null} {
		*column = t.table.Index(name)
	}
	if t.table.Index("NULL_PIXEL_MASK") >= 0 {
		return nil, errors.New("has a null-pixel mask, which is not read; unpack it with funpack")
	}
	if t.data < 0 && t.gzipped < 0 && t.plain < 0 {
		return nil, damaged("its table has no column COMPRESSED_DATA")
	}
	return t, t.quantisation()
}

// quantisation reads how floats became integers.
func (t *tiles) quantisation() (err error) {
	if !t.stored.Float() {
		return nil
	}
	header := t.h.Header
	scale, hasScale := header.Float("ZSCALE")
	zero, hasZero := header.Float("ZZERO")
	t.fixed.scale, t.fixed.zero = scale, zero
	t.quantised = (t.scale >= 0 || hasScale) && (t.zero >= 0 || hasZero)
	t.blank, t.hasBlank = header.Int("ZBLANK")
	switch how, _ := header.Text("ZQUANTIZ"); how {
	case "", "NO_DITHER", "NONE":
	case "SUBTRACTIVE_DITHER_1":
		t.dither = 1
	case "SUBTRACTIVE_DITHER_2":
		t.dither = 2
	default:
		return fmt.Errorf("is quantised by %.30q, which is not read; unpack it with funpack", how)
	}
	t.seed, _ = header.Int("ZDITHER0")
	return nil
}

// unpack reads tile number row, of n values, into t.values, []T of the stored kind.
func (t *tiles) unpack(row int64, n int) error {
	t.row = grown(t.row, int(t.table.width))
	if err := t.h.f.readAt(t.row, t.h.data+row*t.table.width); err != nil {
		return err
	}
	t.values = room(t.values, t.stored, n)
	for _, way := range []struct {
		column    int
		algorithm string
		lossless  bool
	}{{t.data, t.algorithm, !t.quantised}, {t.gzipped, "GZIP_1", true}, {t.plain, "NOCOMPRESS", true}} {
		if way.column < 0 {
			continue
		}
		at, length, err := t.table.heap(t.row, way.column)
		if err != nil {
			return err
		}
		if length == 0 {
			continue
		}
		if int64(n)/densest > length || length > 16*int64(n)+4096 { // too few, or so many that each tile might name the whole heap
			return damaged("a tile of %d values is said to be in %d bytes", n, length)
		}
		t.packed = grown(t.packed, int(length))
		if err := t.h.f.readAt(t.packed, at); err != nil {
			return err
		}
		return t.decode(way.algorithm, way.lossless, row, n)
	}
	return damaged("tile %d is empty", row+1)
}

func (t *tiles) decode(algorithm string, lossless bool, row int64, n int) error {
	b := t.packed
	switch algorithm {
	case "RICE_1":
		if t.stored == raw.I64 || t.stored.Float() && lossless {
			return damaged("Rice coding of %s values without quantisation", t.stored)
		}
		t.i32 = grown(t.i32, n)
		if !rice(t.i32, b, t.bytepix, t.blocksize) {
			return damaged("the Rice code of tile %d ends too early", row+1)
		}
		return integers(t, t.i32, row, t.values)
	case "GZIP_1", "GZIP_2":
		var err error
		if b, err = t.gunzip(n); err != nil {
			return damaged("the gzip data of tile %d do not unpack", row+1)
		}
	}
	size := len(b) / n
	if len(b)%n != 0 || size != 1 && size != 2 && size != 4 && size != 8 {
		return damaged("tile %d of %d values unpacks to %d bytes", row+1, n, len(b))
	}
	if algorithm == "GZIP_2" {
		t.packed = grown(t.packed, len(b))
		for i := range size { // the first bytes of all values, the second bytes of all …
			for j, x := range b[i*n : (i+1)*n] {
				t.packed[j*size+i] = x
			}
		}
		b = t.packed
	}
	if t.stored.Float() && lossless {
		if size != t.stored.Size() {
			return damaged("tile %d holds values of %d bytes, not %s", row+1, size, t.stored)
		}
		raw.Load(t.values, 0, b, true)
		return nil
	}
	if size == 8 {
		t.i64 = grown(t.i64, n)
		raw.Load(t.i64, 0, b, true)
		return integers(t, t.i64, row, t.values)
	}
	t.i32 = grown(t.i32, n)
	for i := range t.i32 {
		switch size {
		case 1:
			t.i32[i] = int32(b[i])
		case 2:
			t.i32[i] = int32(int16(uint16(b[2*i])<<8 | uint16(b[2*i+1])))
		case 4:
			t.i32[i] = int32(uint32(b[4*i])<<24 | uint32(b[4*i+1])<<16 | uint32(b[4*i+2])<<8 | uint32(b[4*i+3]))
		}
	}
	return integers(t, t.i32, row, t.values)
}

var unzippers = sync.Pool{New: func() any { return new(gzip.Reader) }}

// gunzip unpacks t.packed into t.unpacked: at most 8 bytes for each of n values.
func (t *tiles) gunzip(n int) ([]byte, error) {
	z := unzippers.Get().(*gzip.Reader)
	defer unzippers.Put(z)
	if err := z.Reset(bytes.NewReader(t.packed)); err != nil {
		return nil, err
	}
	z.Multistream(false)
	t.unpacked = grown(t.unpacked, 4*n+1) // the common sizes at once
	for got := 0; ; {
		k, err := z.Read(t.unpacked[got:])
		got += k
		switch {
		case err == io.EOF:
			return t.unpacked[:got], nil
		case err != nil:
			return nil, err
		case got > 8*n:
			return nil, errors.New("too long")
		case got == len(t.unpacked):
			t.unpacked = append(t.unpacked, make([]byte, 4*n)...)
		}
	}
}

// integers makes values of the stored kind of integers: floats by undoing the quantisation.
func integers[S int32 | int64](t *tiles, src []S, row int64, dst any) error {
	switch d := dst.(type) {
	case []uint8:
		convert(d, src)
	case []int16:
		convert(d, src)
	case []int32:
		convert(d, src)
	case []int64:
		convert(d, src)
	case []float32:
		return dequantise(t, d, src, row)
	case []float64:
		return dequantise(t, d, src, row)
	}
	return nil
}

func convert[D, S raw.Value](d []D, src []S) {
	for i, v := range src {
		d[i] = D(v)
	}
}

// randoms are the numbers of the dithering: the "minimal standard" generator (Park and Miller 1988), as appendix I of the standard asks.
var randoms = sync.OnceValue(func() *[10000]float32 {
	var r [10000]float32
	seed := int64(1)
	for i := range r {
		seed = seed * 16807 % 2147483647
		r[i] = float32(float64(seed) / 2147483647)
	}
	return &r
})

// zeroed is what SUBTRACTIVE_DITHER_2 stores for exactly 0.
const zeroed = -2147483646

// dequantise undoes the quantisation of tile number row: (value - random + 0.5) × scale + zero.
func dequantise[D float32 | float64, S int32 | int64](t *tiles, d []D, src []S, row int64) error {
	if !t.quantised {
		return damaged("its float values are stored as integers without ZSCALE and ZZERO")
	}
	scale, zero, blank, hasBlank := t.fixed.scale, t.fixed.zero, t.blank, t.hasBlank
	if t.scale >= 0 {
		v, err := t.table.cell(t.row, t.scale)
		if err != nil {
			return err
		}
		scale = v.Float(0)
	}
	if t.zero >= 0 {
		v, err := t.table.cell(t.row, t.zero)
		if err != nil {
			return err
		}
		zero = v.Float(0)
	}
	if t.null >= 0 {
		v, err := t.table.cell(t.row, t.null)
		if err != nil {
			return err
		}
		if len(v.Ints) != 1 {
			return damaged("ZBLANK is not a column of whole numbers")
		}
		blank, hasBlank = v.Ints[0], true
	}
	if t.dither == 0 {
		for i, v := range src {
			d[i] = D(float64(float64(v)*scale) + zero)
		}
	} else {
		r := randoms()
		start := int((row%10000 + t.seed%10000 + 19999) % 10000)
		next := int(r[start] * 500)
		for i, v := range src {
			d[i] = D(float64((float64(v)-float64(r[next])+0.5)*scale) + zero)
			if t.dither == 2 && v == zeroed {
				d[i] = 0
			}
			if next++; next == len(r) {
				start = (start + 1) % len(r)
				next = int(r[start] * 500)
			}
		}
	}
	if hasBlank {
		for i, v := range src {
			if int64(v) == blank {
				d[i] = D(math.NaN())
			}
		}
	}
	return nil
}

// grown returns room for n values, of b if that is large enough.
func grown[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}

// room is grown for []T of a kind.
func room(values any, k raw.Kind, n int) any {
	switch v := values.(type) {
	case []uint8:
		return grown(v, n)
	case []int16:
		return grown(v, n)
	case []int32:
		return grown(v, n)
	case []int64:
		return grown(v, n)
	case []float32:
		return grown(v, n)
	case []float64:
		return grown(v, n)
	}
	return raw.Make(k, n)
}
