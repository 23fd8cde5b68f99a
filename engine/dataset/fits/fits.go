// Package fits reads images and catalogue columns of FITS files (standard 4.0, Pence et al. 2010 and its tiled image compression, White
// et al. 2013), in place, through an io.ReaderAt: whole images, and cut-outs of images too large to be read.
//
// What is read: the primary image and IMAGE extensions of all six BITPIX; BSCALE and BZERO (unsigned integers exactly), BLANK; tiles
// compressed by RICE_1, GZIP_1, GZIP_2 or not at all, with floats quantised (NO_DITHER, SUBTRACTIVE_DITHER_1 and 2) or kept whole; binary
// and ASCII tables' columns of one number, logical or string. Files packed by gzip are unpacked in memory. What is refused, by name:
// HCOMPRESS_1, PLIO_1, null-pixel masks, compressed tables, random groups. Checksums are not verified.
//
// Axes 1 and 2 are x and y; row 0 is the first of the file (the bottom one for most viewers), as in astropy's arrays. All further axes
// are channels, in the file's order: numpy's (C, H, W), and (1, 1, H, W) is one channel.
//
// Why no library: astrogo/fitsio v0.3.0, the one that is kept up and can be had, reads no compressed tiles, allocates what the header
// asks for (it panics on NAXIS1 = NAXIS2 = 2e9) and reads no part of an image; others have no release or no users yet.
//
// Nothing in a file is trusted: sizes are multiplied with care and compared with the file and the limits before memory is taken, and no
// input panics (FuzzImage, FuzzTable). Errors continue a sentence that begins with the file's name ("is truncated: …").
package fits

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"anomalymatch/engine/dataset/raw"
)

var errShrunk = errors.New("became shorter while it was read")

func damaged(format string, a ...any) error {
	return fmt.Errorf("is a damaged FITS: "+format, a...)
}

// File is an open FITS file. It may be used by several goroutines at once.
type File struct {
	r      io.ReaderAt
	size   int64
	limits raw.Limits
	hdus   []*HDU
	rest   error // why there are no HDUs after these; nil at the end of the file

	cache *TileCache // nil: none
	key   int64      // of this file in it
}

// HDU is one header with its data.
type HDU struct {
	Header  Header
	Number  int    // 0 is the primary one
	Name    string // EXTNAME; may be empty, may hold any printable text
	Version int64  // EXTVER, 1 where there is none

	f     *File
	kind  string  // "IMAGE", "BINTABLE", "TABLE" or the name of what is not read
	axes  []int64 // NAXISn, at most 999 of them, none negative
	data  int64   // offset
	bytes int64   // of data, without the filling of the last block

	tiling func() (*tiles, error) // how a compressed image is compressed, worked out once
}

// Magic is how every FITS file begins.
const Magic = "SIMPLE  ="

// Open reads the headers of a file of size bytes. Files packed by gzip are unpacked into memory, at most limits.MaxBytes. An error in
// a later HDU is told by Find, those before can be used.
func Open(r io.ReaderAt, size int64, limits raw.Limits) (*File, error) {
	limits = limits.OrDefault()
	var magic [2]byte
	if n, err := r.ReadAt(magic[:], 0); n < 2 {
		if err == io.EOF {
			return nil, fmt.Errorf("is no FITS: it has %d bytes", size)
		}
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if magic == [2]byte{0x1f, 0x8b} {
		b, err := gunzip(r, size, limits.MaxBytes)
		if err != nil {
			return nil, err
		}
		r, size = bytes.NewReader(b), int64(len(b))
	}
	f := &File{r: r, size: size, limits: limits}
	for at := int64(0); ; {
		h, err := f.next(at)
		if err != nil && len(f.hdus) == 0 {
			return nil, err
		}
		if err != nil || h == nil {
			f.rest = err
			return f, nil
		}
		f.hdus = append(f.hdus, h)
		at = h.data + (h.bytes+block-1)/block*block
	}
}

// Decode reads one image of a FITS file that lies in memory, which may be packed by gzip. Which: see Find.
func Decode(b []byte, which string, limits raw.Limits) (raw.Image, error) {
	f, err := Open(bytes.NewReader(b), int64(len(b)), limits)
	if err != nil {
		return raw.Image{}, err
	}
	h, err := f.Find(which)
	if err != nil {
		return raw.Image{}, err
	}
	return h.Read()
}

// A gzip file may grow by this factor where it becomes larger than 16 MiB: more is a bomb, or an image without content.
const maxRatio = 200

func gunzip(r io.ReaderAt, size, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, errors.New("is a damaged gzip file: it has no header")
	}
	most := limit
	if size < limit/maxRatio {
		most = min(limit, max(16<<20, size*maxRatio))
	}
	var b bytes.Buffer
	var tail [4]byte // says how large it becomes, if it is true
	if _, err := r.ReadAt(tail[:], size-4); err == nil || err == io.EOF {
		b.Grow(int(min(most, int64(binary.LittleEndian.Uint32(tail[:])), size*20)) + bytes.MinRead)
	}
	n, err := b.ReadFrom(io.LimitReader(z, most+1))
	switch {
	case n > most && most == limit:
		return nil, raw.Limitf("unpacks to more than %.4g MB (setting images.max_file_mib)", float64(limit)/(1<<20))
	case n > most:
		return nil, fmt.Errorf("is refused: its gzip data grow more than %d times", maxRatio)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("is truncated: its gzip data end too early")
	case err != nil:
		return nil, errors.New("is a damaged gzip file: its data do not unpack")
	}
	return b.Bytes(), nil
}

// next reads the HDU that begins at offset; nil at the end of the file.
func (f *File) next(at int64) (*HDU, error) {
	if len(f.hdus) > 0 && f.size-at < block { // the standard allows anything after the last HDU
		return nil, nil
	}
	if len(f.hdus) == maxHDUs {
		return nil, damaged("it has more than %d HDUs", maxHDUs)
	}
	var magic [9]byte
	if _, err := f.r.ReadAt(magic[:], at); err != nil && err != io.EOF {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	want := "XTENSION="
	if len(f.hdus) == 0 {
		want = Magic
	}
	if string(magic[:]) != want {
		if len(f.hdus) == 0 {
			return nil, errors.New("is no FITS: it does not begin with SIMPLE")
		}
		return nil, nil
	}
	header, data, err := readHeader(f.r, at, f.size)
	if err != nil {
		return nil, err
	}
	h := &HDU{Header: header, Number: len(f.hdus), Version: 1, f: f, kind: "IMAGE", data: data}
	h.tiling = sync.OnceValues(h.readTiling)
	h.Name, _ = header.Text("EXTNAME")
	if v, ok := header.Int("EXTVER"); ok {
		h.Version = v
	}
	if x, ok := header.Text("XTENSION"); ok && len(f.hdus) > 0 {
		h.kind = x
	}
	if h.axes, err = axes(header, "NAXIS"); err != nil {
		return nil, err
	}
	if groups, _ := header.Bool("GROUPS"); groups && len(f.hdus) == 0 && len(h.axes) > 0 && h.axes[0] == 0 {
		h.kind = "random groups"
	}
	if h.bytes, err = h.length(); err != nil {
		return nil, err
	}
	if h.bytes > f.size-data {
		if len(f.hdus) == 0 || h.kind == "IMAGE" {
			return nil, fmt.Errorf("is truncated: HDU %d needs %d bytes of data, the file has %d more", h.Number, h.bytes, f.size-data)
		}
		return nil, fmt.Errorf("is truncated: the table of HDU %d needs %d bytes, the file has %d more", h.Number, h.bytes, f.size-data)
	}
	return h, nil
}

// axes are the lengths that NAXIS, NAXIS1 … name; prefix "Z": those of a compressed image.
func axes(h Header, key string) ([]int64, error) {
	n, ok := h.Int(key)
	if !ok || n < 0 || n > 999 {
		return nil, damaged("%s is not a number from 0 to 999", key)
	}
	out := make([]int64, n)
	for i := range out {
		k := key + strconv.Itoa(i+1)
		if out[i], ok = h.Int(k); !ok || out[i] < 0 {
			return nil, damaged("%s is not a length", k)
		}
	}
	return out, nil
}

// length of the data in bytes, without filling.
func (h *HDU) length() (int64, error) {
	bitpix, ok := h.Header.Int("BITPIX")
	if !ok || kindOf(bitpix) == 0 {
		return 0, damaged("BITPIX is none of 8, 16, 32, 64, -32, -64")
	}
	if len(h.axes) == 0 {
		return 0, nil
	}
	lengths, pcount, gcount := h.axes, int64(0), int64(1)
	if h.kind == "random groups" {
		lengths = lengths[1:]
	}
	if h.Number > 0 || h.kind == "random groups" {
		if v, ok := h.Header.Int("PCOUNT"); ok {
			pcount = v
		}
		if v, ok := h.Header.Int("GCOUNT"); ok {
			gcount = v
		}
	}
	n, ok := product(lengths...)
	if ok = ok && pcount >= 0 && gcount >= 0 && n <= math.MaxInt64-pcount; ok {
		n, ok = product(n+pcount, gcount, int64(kindOf(bitpix).Size()))
	}
	if !ok || n > math.MaxInt64-h.data-block {
		return 0, fmt.Errorf("is refused: HDU %d is %s, more than any file holds", h.Number, sizes(h.axes))
	}
	return n, nil
}

// product of numbers that are not negative; false where it overflows.
func product(n ...int64) (int64, bool) {
	p := int64(1)
	for _, v := range n {
		if v == 0 {
			return 0, true
		}
	}
	for _, v := range n {
		if p > math.MaxInt64/v {
			return 0, false
		}
		p *= v
	}
	return p, true
}

// sizes writes lengths for people: "48×48×3".
func sizes(axes []int64) string {
	var s []string
	for _, a := range axes[:min(len(axes), 6)] {
		s = append(s, strconv.FormatInt(a, 10))
	}
	return strings.Join(s, "×")
}

func kindOf(bitpix int64) raw.Kind {
	switch bitpix {
	case 8:
		return raw.U8
	case 16:
		return raw.I16
	case 32:
		return raw.I32
	case 64:
		return raw.I64
	case -32:
		return raw.F32
	case -64:
		return raw.F64
	}
	return 0
}

// HDUs are those whose headers could be read, in the file's order.
func (f *File) HDUs() []*HDU { return f.hdus }

// Find returns an HDU: by its number ("0" is the primary one), by its EXTNAME without regard to case ("VIS"), also with an EXTVER
// ("SCI,2"; without it the first of the name), or for "" the first image that has pixels.
func (f *File) Find(which string) (*HDU, error) {
	name, version, hasVersion := strings.Cut(strings.TrimSpace(which), ",")
	name = strings.TrimSpace(name)
	v, err := strconv.ParseInt(strings.TrimSpace(version), 10, 64)
	if hasVersion && err != nil {
		return nil, fmt.Errorf("has no HDU %.40q: after the comma there must be a number (EXTVER)", which)
	}
	for _, h := range f.hdus {
		if name == "" && h.IsImage() || name != "" && strings.EqualFold(h.Name, name) && (!hasVersion || h.Version == v) {
			return h, nil
		}
	}
	if n, err := strconv.Atoi(name); err == nil && !hasVersion && n >= 0 && n < len(f.hdus) {
		return f.hdus[n], nil
	}
	if f.rest != nil {
		return nil, f.rest
	}
	if name == "" {
		return nil, errors.New("holds no image: none of its HDUs has pixels")
	}
	var names []string
	for _, h := range f.hdus {
		if h.Name != "" && len(names) < 10 {
			names = append(names, fmt.Sprintf("%.40q", h.Name))
		}
	}
	return nil, fmt.Errorf("has no HDU %.40q: it has %d, named %s", which, len(f.hdus), strings.Join(names, ", "))
}
