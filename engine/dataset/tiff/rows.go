package tiff

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"reflect"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/x448/float16"
	"golang.org/x/image/tiff/lzw"

	"anomalymatch/engine/dataset/raw"
)

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 32<<10) }}

// pixels reads all strips or tiles into m, row by row.
func (f *File) pixels(l layout, m raw.Image) error {
	samples, planes := int(l.samples), []int{0}
	if l.planar {
		samples, planes = 1, l.keep
	}
	row := make([]byte, int(l.chunkW)*samples*l.size)
	// rows as wide as the picture go to their place at once
	straight := int(l.chunkW) == m.W && (l.planar || len(l.keep) == samples)
	var values any
	if !straight {
		values = raw.Make(l.kind, int(l.chunkW)*samples)
	}
	in := readers.Get().(*bufio.Reader)
	defer readers.Put(in)
	var inflater io.ReadCloser
	for plane, sample := range planes {
		for j := range int(l.down) {
			for i := range int(l.across) {
				n := (sample*int(l.down)+j)*int(l.across) + i
				x, y := i*int(l.chunkW), j*int(l.chunkH)
				w, h := min(int(l.chunkW), m.W-x), min(int(l.chunkH), m.H-y)
				in.Reset(io.NewSectionReader(f.r, int64(l.offsets[n]), int64(l.bytesCount[n])))
				var r io.Reader = in
				switch l.compression {
				case 5:
					r = lzw.NewReader(in, lzw.MSB, 8)
				case 8, 32946:
					var err error
					if inflater == nil {
						inflater, err = zlib.NewReader(in)
					} else {
						err = inflater.(zlib.Resetter).Reset(in, nil)
					}
					if err != nil {
						return readError(err)
					}
					r = inflater
				case 32773:
					r = &packBits{r: in}
				}
				for dy := range h {
					if _, err := io.ReadFull(r, row); err != nil {
						return readError(err)
					}
					if straight {
						n := m.W * samples
						at := (plane*m.H + y + dy) * n
						values = reflect.ValueOf(m.Data).Slice(at, at+n).Interface()
					}
					if l.predictor == 2 && l.kind.Float() {
						accumulate(row, samples, l.size, f.order)
					}
					if l.predictor == 3 {
						unshuffle(values, row, samples, l.size)
					} else {
						load(values, row, f.order, l.half)
					}
					if l.predictor == 2 && !l.kind.Float() {
						sum(values, samples)
					}
					if !straight {
						place(m, values, x, y+dy, w, samples, plane, l)
					}
				}
			}
		}
	}
	return nil
}

func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTruncated
	}
	return damaged("its pixels do not unpack: %.120q", err.Error())
}

// packBits unpacks the run lengths of PackBits.
type packBits struct {
	r     *bufio.Reader
	left  int // bytes of this run
	value int // that is repeated; -1: the bytes follow
}

func (p *packBits) Read(b []byte) (n int, err error) {
	for n < len(b) {
		if p.left == 0 {
			c, err := p.r.ReadByte()
			switch {
			case err != nil:
				return n, err
			case int8(c) >= 0:
				p.left, p.value = int(c)+1, -1
			case c == 128:
			default:
				v, err := p.r.ReadByte()
				if err != nil {
					return n, err
				}
				p.left, p.value = 1-int(int8(c)), int(v)
			}
			continue
		}
		part := b[n:min(len(b), n+p.left)]
		if p.value < 0 {
			if _, err := io.ReadFull(p.r, part); err != nil {
				return n, err
			}
		} else {
			for i := range part {
				part[i] = uint8(p.value)
			}
		}
		n += len(part)
		p.left -= len(part)
	}
	return n, nil
}

// sum undoes predictor 2: each value was stored as the difference from the one before it of its channel.
func sum(values any, samples int) {
	switch v := values.(type) {
	case []uint8:
		add(v, samples)
	case []int8:
		add(v, samples)
	case []uint16:
		add(v, samples)
	case []int16:
		add(v, samples)
	case []uint32:
		add(v, samples)
	case []int32:
		add(v, samples)
	case []uint64:
		add(v, samples)
	case []int64:
		add(v, samples)
	}
}

func add[T raw.Value](v []T, samples int) {
	for i := samples; i < len(v); i++ {
		v[i] += v[i-samples]
	}
}

// accumulate is sum for floats, whose bits were subtracted as if they were whole numbers.
func accumulate(b []byte, samples, size int, order binary.ByteOrder) {
	step := samples * size
	for i := step; i+size <= len(b); i += size {
		switch size {
		case 2:
			order.PutUint16(b[i:], order.Uint16(b[i:])+order.Uint16(b[i-step:]))
		case 4:
			order.PutUint32(b[i:], order.Uint32(b[i:])+order.Uint32(b[i-step:]))
		case 8:
			order.PutUint64(b[i:], order.Uint64(b[i:])+order.Uint64(b[i-step:]))
		}
	}
}

// unshuffle undoes predictor 3 (Adobe's TIFF technical note 3): the highest bytes of all values came first, then the next ones, and each
// byte was stored as the difference from the one before it of its channel. b is changed.
func unshuffle(values any, b []byte, samples, size int) {
	add(b, samples)
	n := len(b) / size
	switch v := values.(type) {
	case []float32:
		if size == 2 {
			for i := range v {
				v[i] = float16.Frombits(uint16(b[i])<<8 | uint16(b[n+i])).Float32()
			}
			return
		}
		b0, b1, b2, b3 := b[:n], b[n:2*n], b[2*n:3*n], b[3*n:]
		for i := range v[:n] {
			v[i] = math.Float32frombits(uint32(b0[i])<<24 | uint32(b1[i])<<16 | uint32(b2[i])<<8 | uint32(b3[i]))
		}
	case []float64:
		for i := range v[:n] {
			var bits uint64
			for k := range 8 {
				bits = bits<<8 | uint64(b[k*n+i])
			}
			v[i] = math.Float64frombits(bits)
		}
	}
}

// load makes values of a row of bytes.
func load(values any, b []byte, order binary.ByteOrder, half bool) {
	if v, ok := values.([]float32); ok && half {
		for i := range v {
			v[i] = float16.Frombits(order.Uint16(b[2*i:])).Float32()
		}
		return
	}
	raw.Load(values, 0, b, order == binary.BigEndian)
}

// place puts w pixels of a row of a strip or tile at (x, y).
func place(m raw.Image, values any, x, y, w, samples, plane int, l layout) {
	switch v := values.(type) {
	case []uint8:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []int8:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []uint16:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []int16:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []uint32:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []int32:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []uint64:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []int64:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []float32:
		put(m, v, x, y, w, samples, plane, l.keep)
	case []float64:
		put(m, v, x, y, w, samples, plane, l.keep)
	}
}

func put[T raw.Value](m raw.Image, v []T, x, y, w, samples, plane int, keep []int) {
	d := m.Data.([]T)
	switch {
	case m.Planar:
		copy(d[(plane*m.H+y)*m.W+x:], v[:w])
	case len(keep) == samples:
		copy(d[(y*m.W+x)*m.C:], v[:w*samples])
	default:
		at := (y*m.W + x) * m.C
		for i := range w {
			for c, s := range keep {
				d[at+i*m.C+c] = v[i*samples+s]
			}
		}
	}
}
