package fits

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"anomalymatch/engine/dataset/raw"
)

// IsImage says whether the HDU holds pixels: an image of two axes or more, compressed or not.
func (h *HDU) IsImage() bool {
	axes := h.axes
	if h.compressed() {
		n, _ := h.Header.Int("ZNAXIS")
		return n >= 2
	}
	return h.kind == "IMAGE" && len(axes) >= 2 && !slices.Contains(axes, 0)
}

func (h *HDU) compressed() bool {
	z, _ := h.Header.Bool("ZIMAGE")
	return z && h.kind == "BINTABLE"
}

// shape are the axes of the image, at least two, whose product does not overflow.
func (h *HDU) shape() ([]int64, error) {
	shape := h.axes
	switch {
	case h.compressed():
		var err error
		if shape, err = axes(h.Header, "ZNAXIS"); err != nil {
			return nil, err
		}
	case h.kind != "IMAGE":
		return nil, fmt.Errorf("holds no image in HDU %d: it is of the kind %.40q", h.Number, h.kind)
	}
	n, ok := product(shape...)
	switch {
	case !ok:
		return nil, fmt.Errorf("is refused: HDU %d is %s pixels", h.Number, sizes(shape))
	case len(shape) < 2 || n == 0:
		return nil, fmt.Errorf("holds no image in HDU %d: it has %d axes and %d values", h.Number, len(shape), n)
	}
	return shape, nil
}

// Size of the image: width, height, channels. Nothing is checked against the limits: a part of it may be read.
func (h *HDU) Size() (width, height, channels int64, err error) {
	shape, err := h.shape()
	if err != nil {
		return 0, 0, 0, err
	}
	channels, _ = product(shape[2:]...)
	return shape[0], shape[1], channels, nil
}

// Read reads the whole image.
func (h *HDU) Read() (raw.Image, error) {
	w, height, _, err := h.Size()
	if err != nil {
		return raw.Image{}, err
	}
	return h.Cut(0, 0, w, height)
}

// Cut reads the pixels of w × height from (x0, y0), counted from 0, in all channels, planar. It must lie within the image. Of a compressed
// image the tiles that it touches are unpacked.
func (h *HDU) Cut(x0, y0, w, height int64) (raw.Image, error) {
	shape, err := h.shape()
	if err != nil {
		return raw.Image{}, err
	}
	if x0 < 0 || y0 < 0 || w <= 0 || height <= 0 || w > shape[0]-x0 || height > shape[1]-y0 {
		return raw.Image{}, fmt.Errorf("has no part of %d×%d pixels at (%d, %d): it is %d×%d", w, height, x0, y0, shape[0], shape[1])
	}
	channels, _ := product(shape[2:]...)
	if err := raw.CheckSize(w, height, channels, h.f.limits.MaxPixels); err != nil {
		return raw.Image{}, err
	}
	s, err := h.scaling()
	if err != nil {
		return raw.Image{}, err
	}
	c := cut{shape: shape, x: x0, y: y0, w: w, h: height, scaling: s}
	if h.compressed() {
		return h.untile(c)
	}
	c.allocate(channels)
	return c.m, h.pixels(&c)
}

// cut is a part of an image on its way into memory.
type cut struct {
	scaling
	shape      []int64
	x, y, w, h int64
	m          raw.Image
}

func (c *cut) allocate(channels int64) {
	c.m = raw.New(c.out, int(c.w), int(c.h), int(channels), true)
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// chunk is about how many values are read at once.
const chunk = 32 << 10

// pixels reads pixels that lie uncompressed.
func (h *HDU) pixels(c *cut) error {
	size := int64(c.stored.Size())
	rows := int64(1) // at once
	if c.w == c.shape[0] {
		rows = min(c.h, max(1, chunk/c.w))
	}
	part := min(c.w, chunk) // of a row
	room := buffers.Get().(*[]byte)
	defer buffers.Put(room)
	*room = grown(*room, int(rows*part*size))
	buf := *room
	var values any
	if !c.scaling.plain() {
		values = raw.Make(c.stored, int(rows*part))
	}
	at := 0
	for ch := range int64(c.m.C) {
		for y := int64(0); y < c.h; y += rows {
			for x := int64(0); x < c.w; x += part {
				n := min(part, c.w-x) * min(rows, c.h-y)
				first := (ch*c.shape[1]+c.y+y)*c.shape[0] + c.x + x
				if err := h.f.readAt(buf[:n*size], h.data+first*size); err != nil {
					return err
				}
				if values == nil {
					raw.Load(c.m.Data, at, buf[:n*size], true)
				} else {
					raw.Load(values, 0, buf[:n*size], true)
					c.store(at, values, 0, int(n))
				}
				at += int(n)
			}
		}
	}
	return nil
}

// readAt fills b.
func (f *File) readAt(b []byte, at int64) error {
	n, err := f.r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF || err == nil:
		return errShrunk
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// scaling is what the values of the file become: value = zero + scale × stored.
type scaling struct {
	stored, out raw.Kind
	scale, zero float64
	blank       int64 // this stored value becomes NaN, where hasBlank
	hasBlank    bool
	unsigned    bool // zero is half the range of integers, which are stored as if they had the other sign
}

func (h *HDU) scaling() (scaling, error) {
	s := scaling{scale: 1}
	key := "BITPIX"
	if h.compressed() {
		key = "ZBITPIX"
	}
	bitpix, _ := h.Header.Int(key)
	if s.stored = kindOf(bitpix); s.stored == 0 {
		return s, damaged("%s is none of 8, 16, 32, 64, -32, -64", key)
	}
	for key, v := range map[string]*float64{"BSCALE": &s.scale, "BZERO": &s.zero} {
		if !h.Header.Has(key) {
			continue
		}
		f, ok := h.Header.Float(key)
		if !ok {
			return s, damaged("%s is not a number", key)
		}
		*v = f
	}
	if !s.stored.Float() {
		s.blank, s.hasBlank = h.Header.Int("BLANK")
		if !s.hasBlank && h.compressed() {
			s.blank, s.hasBlank = h.Header.Int("ZBLANK")
		}
	}
	s.out = s.stored
	opposite := map[raw.Kind]raw.Kind{raw.U8: raw.I8, raw.I16: raw.U16, raw.I32: raw.U32, raw.I64: raw.U64}[s.stored]
	half := math.Ldexp(1, 8*s.stored.Size()-1)
	if s.stored == raw.U8 {
		half = -128
	}
	switch {
	case s.stored.Float():
	case !s.hasBlank && s.scale == 1 && s.zero == half:
		s.unsigned, s.out = true, opposite
	case !s.hasBlank && s.scale == 1 && s.zero == 0:
	case s.stored.Size() <= 2:
		s.out = raw.F32
	default:
		s.out = raw.F64
	}
	return s, nil
}

// plain says that values stay as they are stored.
func (s scaling) plain() bool { return s.scale == 1 && s.zero == 0 && !s.hasBlank }

// store puts n values of src, []T of the stored kind, into the image at value number at.
func (c *cut) store(at int, src any, from, n int) {
	switch s := src.(type) {
	case []uint8:
		put(c, at, s[from:from+n])
	case []int16:
		put(c, at, s[from:from+n])
	case []int32:
		put(c, at, s[from:from+n])
	case []int64:
		put(c, at, s[from:from+n])
	case []float32:
		put(c, at, s[from:from+n])
	case []float64:
		put(c, at, s[from:from+n])
	}
}

func put[S raw.Value](c *cut, at int, src []S) {
	if d, ok := c.m.Data.([]S); ok && c.scaling.plain() {
		copy(d[at:], src)
		return
	}
	switch d := c.m.Data.(type) {
	case []int8:
		flip(d[at:], src, -0x80)
	case []uint16:
		flip(d[at:], src, 1<<15)
	case []uint32:
		flip(d[at:], src, 1<<31)
	case []uint64:
		flip(d[at:], src, 1<<63)
	case []float32:
		scaled(d[at:], src, c.scaling)
	case []float64:
		scaled(d[at:], src, c.scaling)
	}
}

// flip adds half the range, modulo the range: integers of one sign become those of the other.
func flip[D int8 | uint16 | uint32 | uint64, S raw.Value](d []D, src []S, half D) {
	for i, v := range src {
		d[i] = D(v) + half
	}
}

func scaled[D float32 | float64, S raw.Value](d []D, src []S, s scaling) {
	for i, v := range src {
		d[i] = D(float64(float64(v)*s.scale) + s.zero) // rounded in between, on every machine
	}
	if s.hasBlank {
		for i, v := range src {
			if int64(v) == s.blank {
				d[i] = D(math.NaN())
			}
		}
	}
}
