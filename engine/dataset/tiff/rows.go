package tiff

import (
	"bufio"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/x448/float16"
	"golang.org/x/image/tiff/lzw"

	"anomalymatch/engine/dataset/raw"
)

// pixels reads all strips or tiles into m, row by row.
func (f *File) pixels(l layout, m raw.Image) error {
	samples, planes := int(l.samples), []int{0}
	if l.planar {
		samples, planes = 1, l.keep
	}
	row := make([]byte, int(l.chunkW)*samples*l.size)
	shuffled := make([]byte, len(row))
	values := raw.Make(l.kind, int(l.chunkW)*samples)
	in := bufio.NewReader(nil)
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
					order := f.order
					switch l.predictor {
					case 2:
						accumulate(row, samples, l.size, order)
					case 3:
						row, shuffled = unshuffle(shuffled, row, samples, l.size), row
						order = binary.BigEndian
					}
					convert(values, row, order, l.half)
					place(m, values, x, y+dy, w, samples, plane, l)
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

// accumulate undoes predictor 2: each value was stored as the difference from the one before it of its channel.
func accumulate(b []byte, samples, size int, order binary.ByteOrder) {
	step := samples * size
	switch size {
	case 1:
		for i := step; i < len(b); i++ {
			b[i] += b[i-step]
		}
	case 2:
		for i := step; i+2 <= len(b); i += 2 {
			order.PutUint16(b[i:], order.Uint16(b[i:])+order.Uint16(b[i-step:]))
		}
	case 4:
		for i := step; i+4 <= len(b); i += 4 {
			order.PutUint32(b[i:], order.Uint32(b[i:])+order.Uint32(b[i-step:]))
		}
	case 8:
		for i := step; i+8 <= len(b); i += 8 {
			order.PutUint64(b[i:], order.Uint64(b[i:])+order.Uint64(b[i-step:]))
		}
	}
}

// unshuffle undoes predictor 3 (Adobe's TIFF technical note 3): the highest bytes of all values came first, then the next ones, and each
// byte was stored as the difference from the one before it of its channel. The result in dst is big endian. b is changed.
func unshuffle(dst, b []byte, samples, size int) []byte {
	for i := samples; i < len(b); i++ {
		b[i] += b[i-samples]
	}
	n := len(b) / size
	for k := range size {
		for i, v := range b[k*n : (k+1)*n] {
			dst[i*size+k] = v
		}
	}
	return dst
}

// convert makes values of a row of bytes.
func convert(values any, b []byte, order binary.ByteOrder, half bool) {
	switch v := values.(type) {
	case []uint8:
		copy(v, b)
	case []int8:
		for i := range v {
			v[i] = int8(b[i])
		}
	case []uint16:
		words(v, b, order)
	case []int16:
		words(v, b, order)
	case []uint32:
		longs(v, b, order)
	case []int32:
		longs(v, b, order)
	case []uint64:
		for i := range v {
			v[i] = order.Uint64(b[8*i:])
		}
	case []int64:
		for i := range v {
			v[i] = int64(order.Uint64(b[8*i:]))
		}
	case []float32:
		switch {
		case half:
			for i := range v {
				v[i] = float16.Frombits(order.Uint16(b[2*i:])).Float32()
			}
		case order == binary.LittleEndian:
			for i := range v {
				v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
			}
		default:
			for i := range v {
				v[i] = math.Float32frombits(binary.BigEndian.Uint32(b[4*i:]))
			}
		}
	case []float64:
		for i := range v {
			v[i] = math.Float64frombits(order.Uint64(b[8*i:]))
		}
	}
}

func words[T uint16 | int16](v []T, b []byte, order binary.ByteOrder) {
	if order == binary.LittleEndian {
		for i := range v {
			v[i] = T(binary.LittleEndian.Uint16(b[2*i:]))
		}
		return
	}
	for i := range v {
		v[i] = T(binary.BigEndian.Uint16(b[2*i:]))
	}
}

func longs[T uint32 | int32](v []T, b []byte, order binary.ByteOrder) {
	for i := range v {
		v[i] = T(order.Uint32(b[4*i:]))
	}
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
