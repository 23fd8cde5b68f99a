// Package tiff reads the pixels of TIFF and BigTIFF files: 8, 16, 32 and 64-bit integers and floats of 16, 32 and 64 bits, any number of
// channels, in strips or tiles, interleaved or planar, uncompressed or by LZW, Deflate or PackBits, with the predictors 1, 2 and 3, in both
// byte orders; 8-bit palettes become three channels. Alpha is dropped, a fourth channel that is no alpha is kept. All else is refused by
// name (JPEG, CCITT, Zstandard, fewer than 8 bits, YCbCr, CMYK …). The orientation tag is not applied, as by tifffile.
//
// Why not golang.org/x/image/tiff alone: it reads no floats, no planar files, no BigTIFF and no more than four channels, and what it
// does read comes as colours. Its LZW decoder is used.
//
// Nothing in a file is trusted: sizes are compared with the limits, with the file and with what its bytes can hold before memory is taken;
// one row is unpacked at a time; no input panics (FuzzTIFF). Errors continue a sentence that begins with the file's name.
package tiff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"anomalymatch/engine/dataset/raw"
)

const (
	maxPages   = 10_000
	maxEntries = 4096    // of a directory
	maxTile    = 1 << 20 // values of a tile's row, where it is wider than the picture
)

var (
	errShrunk    = errors.New("became shorter while it was read")
	errTruncated = errors.New("is truncated: its pixels end too early")
)

func damaged(format string, a ...any) error { return fmt.Errorf("is a damaged TIFF: "+format, a...) }
func refused(format string, a ...any) error {
	return fmt.Errorf("has "+format+", which is not read; save it as a plain TIFF", a...)
}

// Magic are the four beginnings of TIFF and BigTIFF files.
var Magic = []string{"II*\x00", "MM\x00*", "II+\x00", "MM\x00+"}

// File is an open TIFF. It may be used by several goroutines at once.
type File struct {
	r      io.ReaderAt
	size   int64
	limits raw.Limits
	order  binary.ByteOrder
	big    bool
	pages  []directory
}

// directory holds the fields of one picture.
type directory map[uint16]field

type field struct {
	kind   uint16
	count  uint64
	inline [8]byte // the values, where they fit, or where they lie
}

// Open reads the directories of a file of size bytes.
func Open(r io.ReaderAt, size int64, limits raw.Limits) (*File, error) {
	f := &File{r: r, size: size, limits: limits.OrDefault(), order: binary.LittleEndian}
	var head [16]byte
	n, err := r.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if n < 8 {
		return nil, fmt.Errorf("is no TIFF: it has %d bytes", n)
	}
	switch string(head[:2]) {
	case "MM":
		f.order = binary.BigEndian
	case "II":
	default:
		return nil, errors.New("is no TIFF: it does not begin with II or MM")
	}
	at := uint64(f.order.Uint32(head[4:]))
	switch version := f.order.Uint16(head[2:]); {
	case version == 43 && n == 16 && f.order.Uint16(head[4:]) == 8:
		f.big = true
		at = f.order.Uint64(head[8:])
	case version != 42:
		return nil, fmt.Errorf("is no TIFF: its version is %d", version)
	}
	seen := map[uint64]bool{}
	for at != 0 {
		if seen[at] {
			return nil, damaged("its directories lead back to themselves")
		}
		if len(seen) == maxPages {
			return nil, damaged("it has more than %d pages", maxPages)
		}
		seen[at] = true
		d, next, err := f.directory(at)
		if err != nil {
			if len(f.pages) > 0 { // the pictures before are sound
				break
			}
			return nil, err
		}
		if kind, err := f.number(d, tagSubfile, 0); err != nil || kind&5 == 0 { // 1: a preview, 4: a mask
			f.pages = append(f.pages, d)
		}
		at = next
	}
	if len(f.pages) == 0 {
		return nil, errors.New("holds no picture: it has no page")
	}
	return f, nil
}

// Decode reads the first page of a TIFF that lies in memory.
func Decode(b []byte, limits raw.Limits) (raw.Image, error) {
	f, err := Open(bytes.NewReader(b), int64(len(b)), limits)
	if err != nil {
		return raw.Image{}, err
	}
	return f.Read(0)
}

// Pages is the number of pictures at full resolution, at least 1; previews and masks do not count.
func (f *File) Pages() int { return len(f.pages) }

// at reads n bytes; they must lie within the file.
func (f *File) at(b []byte, offset uint64) error {
	if offset > uint64(f.size) || uint64(len(b)) > uint64(f.size)-offset {
		return damaged("it points past its end")
	}
	n, err := f.r.ReadAt(b, int64(offset))
	switch {
	case n == len(b):
		return nil
	case err == io.EOF || err == nil:
		return errShrunk
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// directory reads the fields at an offset, and where the next directory is; 0 for none.
func (f *File) directory(at uint64) (directory, uint64, error) {
	countSize, entrySize, nextSize := 2, 12, 4
	if f.big {
		countSize, entrySize, nextSize = 8, 20, 8
	}
	var head [8]byte
	if err := f.at(head[:countSize], at); err != nil {
		return nil, 0, err
	}
	n := uint64(f.order.Uint16(head[:]))
	if f.big {
		n = f.order.Uint64(head[:])
	}
	if n == 0 || n > maxEntries {
		return nil, 0, damaged("a directory of %d entries", n)
	}
	b := make([]byte, int(n)*entrySize+nextSize)
	switch err := f.at(b, at+uint64(countSize)); {
	case err != nil && uint64(f.size)-at-uint64(countSize) >= n*uint64(entrySize) && !errors.Is(err, errShrunk):
		b = b[:len(b)-nextSize] // some writers leave out what follows the last directory
		if err := f.at(b, at+uint64(countSize)); err != nil {
			return nil, 0, err
		}
		b = append(b, make([]byte, nextSize)...)
	case err != nil:
		return nil, 0, err
	}
	d := directory{}
	for range n {
		e := field{kind: f.order.Uint16(b[2:]), count: uint64(f.order.Uint32(b[4:]))}
		if f.big {
			e.count = f.order.Uint64(b[4:])
			copy(e.inline[:], b[12:20])
		} else {
			copy(e.inline[:], b[8:12])
		}
		if tag := f.order.Uint16(b); len(d) == 0 || d[tag].count == 0 {
			d[tag] = e
		}
		b = b[entrySize:]
	}
	if f.big {
		return d, f.order.Uint64(b), nil
	}
	return d, uint64(f.order.Uint32(b)), nil
}

const (
	tagSubfile      = 254
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagCompression  = 259
	tagPhotometric  = 262
	tagFillOrder    = 266
	tagStripOffsets = 273
	tagSamples      = 277
	tagRowsPerStrip = 278
	tagStripBytes   = 279
	tagPlanar       = 284
	tagPredictor    = 317
	tagColorMap     = 320
	tagTileWidth    = 322
	tagTileHeight   = 323
	tagTileOffsets  = 324
	tagTileBytes    = 325
	tagExtraSamples = 338
	tagSampleFormat = 339
)

// numbers reads a field of whole numbers, at most most of them; nil where there is none.
func (f *File) numbers(d directory, tag uint16, most uint64) ([]uint64, error) {
	e, ok := d[tag]
	if !ok || e.count == 0 {
		return nil, nil
	}
	size := map[uint16]uint64{1: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}[e.kind]
	if size == 0 {
		return nil, damaged("field %d is of the type %d", tag, e.kind)
	}
	n := min(e.count, most)
	fits := uint64(4)
	if f.big {
		fits = 8
	}
	b := e.inline[:]
	if e.count > fits/size { // no product: it may overflow
		at := uint64(f.order.Uint32(b))
		if f.big {
			at = f.order.Uint64(b)
		}
		if n > uint64(f.size)/size {
			return nil, damaged("field %d has %d values", tag, e.count)
		}
		b = make([]byte, n*size)
		if err := f.at(b, at); err != nil {
			return nil, err
		}
	}
	out := make([]uint64, n)
	for i := range out {
		switch v := b[uint64(i)*size:]; size {
		case 1:
			out[i] = uint64(v[0])
		case 2:
			out[i] = uint64(f.order.Uint16(v))
		case 4:
			out[i] = uint64(f.order.Uint32(v))
		case 8:
			out[i] = f.order.Uint64(v)
		}
	}
	return out, nil
}

// number reads the first number of a field.
func (f *File) number(d directory, tag uint16, otherwise uint64) (uint64, error) {
	v, err := f.numbers(d, tag, 1)
	if err != nil || len(v) == 0 {
		return otherwise, err
	}
	return v[0], nil
}

// same reads a field with a number for each channel that must all be equal.
func (f *File) same(d directory, tag uint16, otherwise, most uint64) (uint64, error) {
	v, err := f.numbers(d, tag, most)
	if err != nil || len(v) == 0 {
		return otherwise, err
	}
	for _, x := range v {
		if x != v[0] {
			return 0, refused("channels of different types (%d and %d in field %d)", v[0], x, tag)
		}
	}
	return v[0], nil
}

// layout is how the pixels of a page lie in the file.
type layout struct {
	w, h, samples       int64
	kind                raw.Kind
	size                int // bytes of a value in the file
	half                bool
	compression         uint64
	predictor           uint64
	planar              bool
	inverted            bool
	palette             []uint64
	keep                []int // the samples of a pixel that are no alpha
	chunkW, chunkH      int64
	across              int64 // number of chunks in a row of them
	down                int64
	offsets, bytesCount []uint64
}

var compressions = map[uint64]string{2: "CCITT", 3: "CCITT fax 3", 4: "CCITT fax 4", 6: "JPEG (old)", 7: "JPEG", 34661: "JBIG", 34712: "JPEG 2000",
	34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 33003: "JPEG 2000", 33005: "JPEG 2000"}

var colours = map[uint64]string{4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "CFA (a camera's raw image)",
	32844: "LogL", 32845: "LogLuv", 34892: "linear raw"}

// densest is how many bytes one byte of each compression unpacks to at most: a file that promises more is refused unread.
var densest = map[uint64]float64{1: 1, 5: 4096, 8: 1100, 32946: 1100, 32773: 64}

// layout reads and checks the fields of a page.
func (f *File) layout(d directory) (l layout, err error) {
	get := func(tag uint16, otherwise uint64) uint64 {
		v, e := f.number(d, tag, otherwise)
		if err == nil {
			err = e
		}
		return v
	}
	width, height := get(tagWidth, 0), get(tagHeight, 0)
	samples := get(tagSamples, 1)
	l.compression, l.predictor = get(tagCompression, 1), get(tagPredictor, 1)
	photometric, planar, order := get(tagPhotometric, 1), get(tagPlanar, 1), get(tagFillOrder, 1)
	if err != nil {
		return l, err
	}
	if width > math.MaxInt32 || height > math.MaxInt32 || samples > math.MaxUint16 {
		return l, raw.Limitf("is %d×%d pixels in %d channels: too many", width, height, samples)
	}
	l.w, l.h, l.samples = int64(width), int64(height), int64(samples)
	if err := raw.CheckSize(l.w, l.h, l.samples, f.limits.MaxPixels); err != nil {
		return l, err
	}
	bits, err := f.same(d, tagBits, 1, samples)
	if err != nil {
		return l, err
	}
	format, err := f.same(d, tagSampleFormat, 1, samples)
	if err != nil {
		return l, err
	}
	if format == 4 { // undefined
		format = 1
	}
	if format > 3 {
		return l, refused("complex values")
	}
	l.kind = map[[2]uint64]raw.Kind{{8, 1}: raw.U8, {8, 2}: raw.I8, {16, 1}: raw.U16, {16, 2}: raw.I16, {16, 3}: raw.F32, {32, 1}: raw.U32, {32, 2}: raw.I32,
		{32, 3}: raw.F32, {64, 1}: raw.U64, {64, 2}: raw.I64, {64, 3}: raw.F64}[[2]uint64{bits, format}]
	if l.kind == 0 {
		return l, refused("values of %d bits", bits)
	}
	l.size = int(bits / 8)
	l.half = bits == 16 && format == 3
	if _, ok := densest[l.compression]; !ok {
		name, ok := compressions[l.compression]
		if !ok {
			name = fmt.Sprintf("number %d", l.compression)
		}
		return l, refused("the compression %s", name)
	}
	switch {
	case l.predictor == 3 && !l.kind.Float():
		return l, damaged("the predictor of floating point on %v values", l.kind)
	case l.predictor < 1 || l.predictor > 3:
		return l, refused("the predictor %d", l.predictor)
	case l.compression == 1 || l.compression == 32773: // a predictor belongs to LZW and Deflate only, as in libtiff
		l.predictor = 1
	}
	if order != 1 {
		return l, refused("bits in reversed order")
	}
	colour := int64(1)
	switch photometric {
	case 0:
		if l.kind != raw.U8 && l.kind != raw.U16 {
			return l, refused("%v values whose zero is white", l.kind)
		}
		l.inverted = true
	case 1:
	case 2:
		colour = 3
	case 3:
		if l.palette, err = f.numbers(d, tagColorMap, 768); err != nil {
			return l, err
		}
		if l.kind != raw.U8 || l.samples != 1 || len(l.palette) != 768 {
			return l, refused("a palette of other than 256 colours")
		}
	default:
		name, ok := colours[photometric]
		if !ok {
			name = fmt.Sprintf("number %d", photometric)
		}
		return l, refused("the colours %s", name)
	}
	if l.samples < colour {
		return l, damaged("RGB of %d channels", l.samples)
	}
	extra, err := f.numbers(d, tagExtraSamples, samples)
	if err != nil {
		return l, err
	}
	for s := range int(l.samples) {
		// the last fields of the pixel are the extra ones
		if i := s - int(l.samples) + len(extra); i < 0 || extra[i] != 1 && extra[i] != 2 || s < int(colour) {
			l.keep = append(l.keep, s)
		}
	}
	l.planar = planar == 2 && l.samples > 1
	if planar != 1 && planar != 2 {
		return l, damaged("the planar configuration %d", planar)
	}
	return l, f.chunks(d, &l)
}

// chunks finds the strips or tiles.
func (f *File) chunks(d directory, l *layout) error {
	offsets, counts := uint16(tagStripOffsets), uint16(tagStripBytes)
	if _, tiled := d[tagTileOffsets]; tiled {
		offsets, counts = tagTileOffsets, tagTileBytes
		w, err := f.number(d, tagTileWidth, 0)
		if err != nil {
			return err
		}
		h, err := f.number(d, tagTileHeight, 0)
		if err != nil {
			return err
		}
		if w == 0 || h == 0 || w > math.MaxInt32 || h > math.MaxInt32 {
			return damaged("tiles of %d×%d pixels", w, h)
		}
		l.chunkW, l.chunkH = int64(w), int64(h)
	} else {
		rows, err := f.number(d, tagRowsPerStrip, math.MaxUint32)
		if err != nil {
			return err
		}
		if rows == 0 {
			return damaged("strips of no rows")
		}
		l.chunkW, l.chunkH = l.w, int64(min(rows, uint64(l.h)))
	}
	perPixel := l.samples
	planes := int64(1)
	if l.planar {
		perPixel, planes = 1, l.samples
	}
	if l.chunkW > max(l.w, maxTile/perPixel) {
		return damaged("its tiles are %d pixels wide, the picture %d", l.chunkW, l.w)
	}
	l.across, l.down = (l.w+l.chunkW-1)/l.chunkW, (l.h+l.chunkH-1)/l.chunkH
	n := uint64(l.across * l.down * planes) // at most the number of values
	var err error
	if l.offsets, err = f.numbers(d, offsets, n); err != nil {
		return err
	}
	if l.bytesCount, err = f.numbers(d, counts, n); err != nil {
		return err
	}
	if l.bytesCount == nil && l.compression == 1 && uint64(len(l.offsets)) == n { // some writers leave them out
		for i := range l.offsets {
			rows := min(l.chunkH, l.h-int64(i)/l.across%l.down*l.chunkH)
			l.bytesCount = append(l.bytesCount, uint64(rows*l.chunkW*perPixel*int64(l.size)))
		}
	}
	if uint64(len(l.offsets)) != n || uint64(len(l.bytesCount)) != n {
		return damaged("it has %d strips or tiles with %d lengths, of %d", len(l.offsets), len(l.bytesCount), n)
	}
	for i, at := range l.offsets {
		if at > uint64(f.size) || l.bytesCount[i] > uint64(f.size)-at {
			return fmt.Errorf("is truncated: a part of its pixels lies past its end")
		}
		rows := min(l.chunkH, l.h-int64(i)/l.across%l.down*l.chunkH) // no more are unpacked
		if want := float64(rows) * float64(l.chunkW*perPixel) * float64(l.size); want > densest[l.compression]*float64(l.bytesCount[i]) {
			return damaged("%.0f bytes of pixels are said to be in %d", want, l.bytesCount[i])
		}
	}
	return nil
}

// Size of a page's picture: width, height, channels.
func (f *File) Size(page int) (width, height, channels int, err error) {
	l, err := f.page(page)
	return int(l.w), int(l.h), l.channels(), err
}

func (l layout) channels() int {
	if l.palette != nil {
		return 3
	}
	return len(l.keep)
}

func (f *File) page(page int) (layout, error) {
	if page < 0 || page >= len(f.pages) {
		return layout{}, fmt.Errorf("has no page %d: it has %d", page+1, len(f.pages))
	}
	return f.layout(f.pages[page])
}

// Read reads the picture of a page, from 0. It is planar where the file is.
func (f *File) Read(page int) (raw.Image, error) {
	l, err := f.page(page)
	if err != nil {
		return raw.Image{}, err
	}
	m := raw.New(l.kind, int(l.w), int(l.h), len(l.keep), l.planar)
	if err := f.pixels(l, m); err != nil {
		return raw.Image{}, err
	}
	switch d := m.Data.(type) {
	case []uint8:
		if l.inverted {
			invert(d)
		}
		if l.palette != nil {
			return coloured(m, d, l.palette), nil
		}
	case []uint16:
		if l.inverted {
			invert(d)
		}
	}
	return m, nil
}

func invert[T uint8 | uint16](d []T) {
	for i := range d {
		d[i] = ^d[i]
	}
}

// coloured looks up the colours of a palette: 256 reds, 256 greens, 256 blues, of which the high bytes count.
func coloured(m raw.Image, index []uint8, palette []uint64) raw.Image {
	pix := make([]uint8, 3*len(index))
	for i, v := range index {
		for c := range 3 {
			pix[3*i+c] = uint8(palette[256*c+int(v)] >> 8)
		}
	}
	return raw.Image{W: m.W, H: m.H, C: 3, Data: pix}
}
