// Package array is what readers of containers of arrays (HDF5, npy, Zarr, Parquet) have in common: what they return, which axes of an
// array are images, how stored elements become values, and a cache of decoded chunks. It knows no format and no pool.
package array

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/x448/float16"

	"anomalymatch/engine/dataset/raw"
)

// Images are the images of one container, numbered from 0 in storage order. All methods may be called from many goroutines. Errors of
// readers continue a sentence that begins with the name of the container (when it is opened or listed) or of the image (when it is read),
// and are safe to print.
type Images interface {
	Len() int
	// Entries lists all images in order. An error is about the container and ends the listing.
	Entries(ctx context.Context) iter.Seq2[Entry, error]
	// Read returns image i. What it returns is the caller's.
	Read(ctx context.Context, i int) (Image, error)
	Close() error
}

// Entry is an image as a listing sees it.
type Entry struct {
	Name string // from the container, "" where it has none: the number is the name then. Names may repeat; nothing was checked or cleaned
	Size int64  // bytes in the container, decompressed; 0 where only reading would tell
}

// Image is one image as its container holds it: the bytes of an image file, or values.
type Image struct {
	Encoded []byte    // a JPEG, a PNG or whatever was put in; nil for values
	Pixels  raw.Image // where Encoded is nil
}

// WithNames gives images the names of another list, such as a table beside their container. A list that ends early leaves the rest without.
func WithNames(m Images, names func(context.Context) iter.Seq2[string, error]) Images {
	return named{m, names}
}

type named struct {
	Images
	names func(context.Context) iter.Seq2[string, error]
}

func (m named) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		next, stop := iter.Pull2(m.names(ctx))
		defer stop()
		for e, err := range m.Images.Entries(ctx) {
			if err == nil {
				e.Name, err, _ = next()
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Options say what to read of a container, and what it may cost. Zero values mean the defaults.
type Options struct {
	Images string // the array or column of images; "" looks for one
	Names  string // the array or column of their names; "" looks for one
	Axes   Axes   // of an array of three or four dimensions

	MaxValues int   // values of one image, all channels: 100 million
	MaxBytes  int64 // of one encoded image: 256 MiB
	MaxChunk  int64 // of what must be decompressed at once (a chunk, a page): 512 MiB
	Cache     int64 // of decoded chunks that are kept: 64 MiB
}

// Or fills in the defaults.
func (o Options) Or() Options {
	if o.MaxValues <= 0 {
		o.MaxValues = 100_000_000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxChunk <= 0 {
		o.MaxChunk = 512 << 20
	}
	if o.Cache <= 0 {
		o.Cache = 64 << 20
	}
	return o
}

// CheckChunk says whether a chunk of n bytes may be decompressed.
func (o Options) CheckChunk(n int64) error {
	if n < 0 || n > o.MaxChunk {
		return raw.Limitf("has chunks of %s, the limit is %s: store it in smaller chunks", Bytes(n), Bytes(o.MaxChunk))
	}
	return nil
}

// CheckBytes says whether an encoded image of n bytes may be read.
func (o Options) CheckBytes(n int64) error {
	if n < 0 || n > o.MaxBytes {
		return raw.Limitf("has %s, the limit is %s (setting images.max_file_mib)", Bytes(n), Bytes(o.MaxBytes))
	}
	return nil
}

// Bytes writes a number of bytes for people.
func Bytes(n int64) string {
	if n < 0 {
		return "more bytes than can be counted"
	}
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.4g MB", float64(n)/(1<<20))
}

// ImageNames and FileNames are what arrays and columns of images and of their names are called, the most telling first.
var (
	ImageNames = []string{"images", "image", "cutouts", "data", "img", "x", "arr_0"}
	FileNames  = []string{"original_filename", "filenames", "filename", "file_name", "names", "name", "ids", "id", "source_id", "object_id", "paths", "path"}
)

// Rank is the place of name (its last part, capitals or not) among those names, len(names) if it is not there.
func Rank(name string, names []string) int {
	name = strings.ToLower(name[strings.LastIndexByte(name, '/')+1:])
	if i := slices.Index(names, name); i >= 0 {
		return i
	}
	return len(names)
}

// Axes say where the channels are.
type Axes int

const (
	Auto Axes = iota // of the first and the last axis of an image, channels are the shorter one; the last at a tie
	HWC
	CHW
)

// Layout is how an array of any shape is a list of images.
type Layout struct {
	N       int  // images along the first axis; 1 where the array is one image
	One     bool // the array has no axis for images
	H, W, C int
	Planar  bool // [C, H, W] rather than [H, W, C]
}

// Values of one image.
func (l Layout) Values() int { return l.H * l.W * l.C }

// Plan says what the images of an array are: [N,H,W], [N,H,W,C] or [N,C,H,W]. [H,W] is one grey image. Where one says so, or where the
// last axis of three has at most four, three axes are one image with channels.
func Plan(shape []int64, axes Axes, one bool, maxValues int) (Layout, error) {
	l := Layout{N: 1, One: true, C: 1}
	var image []int64
	switch {
	case len(shape) == 2:
		image = shape
	case len(shape) == 3 && (one || shape[2] <= 4 && shape[1] > 4):
		image = shape
	case (len(shape) == 3 || len(shape) == 4) && !one:
		l.One, image = false, shape[1:]
		if shape[0] > math.MaxInt32 {
			return l, raw.Limitf("says it has %d images: more than can be counted here", shape[0])
		}
		l.N = int(shape[0])
	default:
		return l, fmt.Errorf("has the shape %s, which is no list of images: N×H×W×C, N×C×H×W, N×H×W and H×W are read", Shape(shape))
	}
	h, w, c := image[0], image[1], int64(1)
	if len(image) == 3 {
		if l.Planar = axes == CHW || axes == Auto && image[0] < image[2]; l.Planar {
			c, h, w = image[0], image[1], image[2]
		} else {
			c = image[2]
		}
	}
	if err := raw.CheckSize(w, h, c, maxValues); err != nil {
		return l, err
	}
	l.H, l.W, l.C = int(h), int(w), int(c)
	return l, nil
}

// Shape writes a shape for people: "24×48×48×3".
func Shape(shape []int64) string {
	if len(shape) == 0 {
		return "of a single value"
	}
	var b strings.Builder
	for i, n := range shape {
		if i > 0 {
			b.WriteString("×")
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}

// Type is how elements are stored: float16 becomes F32 and bool U8, others stay what they are.
type Type struct {
	Kind raw.Kind
	Size int // bytes, stored
	Big  bool
}

func (t Type) half() bool { return t.Kind == raw.F32 && t.Size == 2 }

// String is numpy's name.
func (t Type) String() string {
	if t.half() {
		return "float16"
	}
	return t.Kind.String()
}

// ParseType reads numpy's codes: "<f4", "|u1", ">i2", "|b1". ok is false for what is no number (complex, strings, objects).
func ParseType(s string) (t Type, ok bool) {
	if len(s) < 2 {
		return t, false
	}
	big := false
	switch s[0] {
	case '<', '|', '=':
		s = s[1:]
	case '>':
		big, s = true, s[1:]
	}
	i := slices.Index([]string{"u1", "b1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "f2"}, s)
	if i < 0 {
		return t, false
	}
	kinds := []raw.Kind{raw.U8, raw.U8, raw.I8, raw.U16, raw.I16, raw.U32, raw.I32, raw.U64, raw.I64, raw.F32, raw.F64, raw.F32}
	return Type{Kind: kinds[i], Size: int(s[1] - '0'), Big: big}, true
}

// Pixels makes an image of its stored bytes, in C order. It takes b, which has at least t.Size bytes for each value.
func (l Layout) Pixels(t Type, b []byte) raw.Image {
	m := raw.Image{W: l.W, H: l.H, C: l.C, Planar: l.Planar}
	n := l.Values()
	b = b[:n*t.Size]
	var order binary.ByteOrder = binary.LittleEndian
	if t.Big {
		order = binary.BigEndian
	}
	if t.Kind == raw.U8 {
		m.Data = b
		return m
	}
	m.Data = raw.Make(t.Kind, n)
	switch d := m.Data.(type) {
	case []int8:
		for i := range d {
			d[i] = int8(b[i])
		}
	case []uint16:
		for i := range d {
			d[i] = order.Uint16(b[2*i:])
		}
	case []int16:
		for i := range d {
			d[i] = int16(order.Uint16(b[2*i:]))
		}
	case []uint32:
		for i := range d {
			d[i] = order.Uint32(b[4*i:])
		}
	case []int32:
		for i := range d {
			d[i] = int32(order.Uint32(b[4*i:]))
		}
	case []uint64:
		for i := range d {
			d[i] = order.Uint64(b[8*i:])
		}
	case []int64:
		for i := range d {
			d[i] = int64(order.Uint64(b[8*i:]))
		}
	case []float32:
		for i := range d {
			if t.half() {
				d[i] = float16.Frombits(order.Uint16(b[2*i:])).Float32()
			} else {
				d[i] = math.Float32frombits(order.Uint32(b[4*i:]))
			}
		}
	case []float64:
		for i := range d {
			d[i] = math.Float64frombits(order.Uint64(b[8*i:]))
		}
	}
	return m
}
