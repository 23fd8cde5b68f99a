// Package raw is what the decoders of scientific formats return: the values of one image as its file holds them, in the file's own type.
// It knows nothing of files, pools or stretches.
//
// A decoder keeps the order of its file (FITS, CHW arrays: planar; TIFF, HWC arrays: interleaved) and Image says which, so that nothing is
// copied twice. Types the field does not use for images become the next wider one where they are decoded: bool is U8, float16 is F32.
//
// Missing values: NaN in F32 and F64 is kept, never replaced; so are infinities. What to do with them is the stretch's choice (it shows
// them as the minimum). Integers have no NaN: a decoder whose format names a value that means "missing" (BLANK of FITS) returns floats of
// a type that holds the other values exactly (F32 for 8 and 16 bits, F64 for wider ones; 64-bit integers beyond 2^53 lose digits).
package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// Kind is the type of the values of an image.
type Kind uint8

const (
	U8 Kind = iota + 1
	I8
	U16
	I16
	U32
	I32
	U64
	I64
	F32
	F64
)

var kinds = [...]struct {
	name string
	size int
}{{"unknown", 1}, {"uint8", 1}, {"int8", 1}, {"uint16", 2}, {"int16", 2}, {"uint32", 4}, {"int32", 4}, {"uint64", 8}, {"int64", 8},
	{"float32", 4}, {"float64", 8}}

// String is the name numpy uses: "uint16".
func (k Kind) String() string { return kinds[k.valid()].name }

// Size of one value in bytes.
func (k Kind) Size() int { return kinds[k.valid()].size }

// Float says whether values of k may be NaN.
func (k Kind) Float() bool { return k == F32 || k == F64 }

func (k Kind) valid() Kind {
	if int(k) < len(kinds) {
		return k
	}
	return 0
}

// Value is a type of the values of an image.
type Value interface {
	uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64 | float32 | float64
}

// Image holds H × W pixels of C values each. Row 0 is the first of the file.
type Image struct {
	W, H, C int
	Planar  bool // value (c, y, x) lies at (c*H+y)*W + x; otherwise at (y*W+x)*C + c
	Data    any  // []T of W*H*C values, T one of Value, in this machine's byte order
}

// New allocates an image of zeros. Check its size with CheckSize before.
func New(k Kind, w, h, c int, planar bool) Image {
	return Image{W: w, H: h, C: c, Planar: planar, Data: Make(k, w*h*c)}
}

// Make allocates []T of n zeros, T the type of k; nil for no kind.
func Make(k Kind, n int) any {
	switch k {
	case U8:
		return make([]uint8, n)
	case I8:
		return make([]int8, n)
	case U16:
		return make([]uint16, n)
	case I16:
		return make([]int16, n)
	case U32:
		return make([]uint32, n)
	case I32:
		return make([]int32, n)
	case U64:
		return make([]uint64, n)
	case I64:
		return make([]int64, n)
	case F32:
		return make([]float32, n)
	case F64:
		return make([]float64, n)
	}
	return nil
}

// Kind is the type of the values; 0 where Data is none of Value's slices.
func (m Image) Kind() Kind { k, _ := describe(m.Data); return k }

func describe(data any) (Kind, int) {
	switch d := data.(type) {
	case []uint8:
		return U8, len(d)
	case []int8:
		return I8, len(d)
	case []uint16:
		return U16, len(d)
	case []int16:
		return I16, len(d)
	case []uint32:
		return U32, len(d)
	case []int32:
		return I32, len(d)
	case []uint64:
		return U64, len(d)
	case []int64:
		return I64, len(d)
	case []float32:
		return F32, len(d)
	case []float64:
		return F64, len(d)
	}
	return 0, 0
}

// Row reads the W values of row y of channel c, both from 0, into dst. 64-bit integers beyond 2^53 lose their last digits.
func (m Image) Row(dst []float64, c, y int) { row(m, dst, c, y) }

// Plane reads channel c, from 0, into dst [H*W], row by row. Integers beyond 2^24 and F64 are rounded to the next float32.
func (m Image) Plane(dst []float32, c int) {
	for y := range m.H {
		row(m, dst[y*m.W:], c, y)
	}
}

func row[F float32 | float64](m Image, dst []F, c, y int) {
	at, step := y*m.W*m.C+c, m.C
	if m.Planar {
		at, step = (c*m.H+y)*m.W, 1
	}
	dst = dst[:m.W]
	switch d := m.Data.(type) {
	case []uint8:
		every(dst, d[at:], step)
	case []int8:
		every(dst, d[at:], step)
	case []uint16:
		every(dst, d[at:], step)
	case []int16:
		every(dst, d[at:], step)
	case []uint32:
		every(dst, d[at:], step)
	case []int32:
		every(dst, d[at:], step)
	case []uint64:
		every(dst, d[at:], step)
	case []int64:
		every(dst, d[at:], step)
	case []float32:
		every(dst, d[at:], step)
	case []float64:
		every(dst, d[at:], step)
	}
}

func every[F float32 | float64, T Value](dst []F, s []T, step int) {
	for x := range dst {
		dst[x] = F(s[x*step])
	}
}

// Join makes one image of the channels of several, in their order: bands that come in files or HDUs of their own. They must be of one size. Values of
// different kinds become F64, or F32 where that holds all of them exactly.
func Join(images ...Image) (Image, error) {
	if len(images) == 0 {
		return Image{}, errors.New("holds no picture: it has no bands")
	}
	out := images[0]
	if len(images) == 1 {
		return out, nil
	}
	kind, same, wide := out.Kind(), true, false
	out.C, out.Planar = 0, true
	for i, m := range images {
		if m.W != out.W || m.H != out.H {
			return Image{}, fmt.Errorf("has bands of different sizes: the first is %d×%d pixels, number %d is %d×%d", out.W, out.H, i+1, m.W, m.H)
		}
		k := m.Kind()
		same = same && k == kind
		wide = wide || k == F64 || !k.Float() && k.Size() > 2
		out.C += m.C
	}
	switch {
	case same:
	case wide:
		kind = F64
	default:
		kind = F32
	}
	out.Data = Make(kind, out.W*out.H*out.C)
	if same {
		_ = gather[uint8](out, images) || gather[int8](out, images) || gather[uint16](out, images) || gather[int16](out, images) || gather[uint32](out, images) ||
			gather[int32](out, images) || gather[uint64](out, images) || gather[int64](out, images) || gather[float32](out, images) || gather[float64](out, images)
		return out, nil
	}
	at := 0
	for _, m := range images {
		for c := range m.C {
			for y := range m.H {
				switch d := out.Data.(type) {
				case []float32:
					row(m, d[at:], c, y)
				case []float64:
					row(m, d[at:], c, y)
				}
				at += m.W
			}
		}
	}
	return out, nil
}

// gather copies the values of images of one kind, if that is T.
func gather[T Value](out Image, images []Image) bool {
	d, ok := out.Data.([]T)
	for _, m := range images {
		if !ok {
			break
		}
		s := m.Data.([]T)
		if m.Planar {
			copy(d, s)
		} else {
			for c := range m.C {
				for i := range m.W * m.H {
					d[c*m.W*m.H+i] = s[i*m.C+c]
				}
			}
		}
		d = d[len(s):]
	}
	return ok
}

// Pad puts m, planar, with its corner at (x, y) into a picture of w × h that is missing elsewhere: NaN, or 0 of integers. So a cut-out at the border
// of a mosaic has the size of the others. m must fit.
func Pad(m Image, x, y, w, h int) Image {
	if x == 0 && y == 0 && w == m.W && h == m.H {
		return m
	}
	out := New(m.Kind(), w, h, m.C, true)
	switch d := out.Data.(type) {
	case []float32:
		fill(d, float32(math.NaN()))
	case []float64:
		fill(d, math.NaN())
	}
	from, to := reflect.ValueOf(m.Data), reflect.ValueOf(out.Data)
	for c := range m.C {
		for line := range m.H {
			at := (c*h+y+line)*w + x
			reflect.Copy(to.Slice(at, at+m.W), from.Slice((c*m.H+line)*m.W, (c*m.H+line+1)*m.W))
		}
	}
	return out
}

func fill[T float32 | float64](d []T, v T) {
	for i := range d {
		d[i] = v
	}
}

// Bytes are the values in the order of Data, little endian: what a content hash is made of, and numpy's tobytes() of the same array.
func (m Image) Bytes() []byte {
	k, n := describe(m.Data)
	b, _ := binary.Append(make([]byte, 0, n*k.Size()), binary.LittleEndian, m.Data)
	return b
}

// ErrLimit is wrapped by errors that another setting would avoid: the image may be sound.
var ErrLimit = errors.New("over a limit")

type limitError string

func (e limitError) Error() string        { return string(e) }
func (e limitError) Is(target error) bool { return target == ErrLimit }

// Limitf is an error with a sentence of its own that wraps ErrLimit.
func Limitf(format string, a ...any) error { return limitError(fmt.Sprintf(format, a...)) }

// Limits bound what one image may cost, before anything is allocated; zero means the default.
type Limits struct {
	MaxPixels int   // values of one image: width × height × channels; images.max_megapixels in the settings
	MaxBytes  int64 // of one encoded image, and of what a compressed file unpacks to; images.max_file_mib in the settings
}

// OrDefault replaces what is not given.
func (l Limits) OrDefault() Limits {
	if l.MaxPixels <= 0 {
		l.MaxPixels = 100_000_000
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = 256 << 20
	}
	return l
}

// CheckSize says whether an image of w × h pixels of c values may be allocated: at least one value, at most limit of them (all channels
// counted). The sentence begins with the image's name. No product overflows.
func CheckSize(w, h, c int64, limit int) error {
	if w <= 0 || h <= 0 || c <= 0 {
		return fmt.Errorf("is %d×%d pixels in %d channels: it holds no picture", w, h, c)
	}
	if l := int64(limit); w > l || h > l/w || c > l/(w*h) {
		return Limitf("is %d×%d pixels in %d channels, the limit is %.4g million values (setting images.max_megapixels)",
			w, h, c, float64(limit)/1e6)
	}
	if w > math.MaxInt32 || h > math.MaxInt32 || c > math.MaxInt32 {
		return Limitf("is %d×%d pixels in %d channels: too many", w, h, c)
	}
	return nil
}
