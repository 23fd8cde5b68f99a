package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"sync"

	"anomalymatch/engine/dataset/baseline"
	"anomalymatch/engine/dataset/fits"
	"anomalymatch/engine/dataset/raw"
	"anomalymatch/engine/dataset/tiff"
	"anomalymatch/engine/dataset/turbo"

	"golang.org/x/image/webp"
)

// Limits bound what one image may cost. They are checked before pixels are allocated; zero means the default.
type Limits struct {
	MaxPixels int   // width × height of one image; images.max_megapixels in the settings
	MaxBytes  int64 // size of one encoded image; images.max_file_mib in the settings
}

// The limits where none are given: no cut-out comes near them, and a decoded image stays below a few hundred MB.
const (
	DefaultMaxPixels = 100_000_000
	DefaultMaxBytes  = 256 << 20
)

func (l Limits) orDefault() Limits {
	if l.MaxPixels <= 0 {
		l.MaxPixels = DefaultMaxPixels
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	return l
}

// ErrLimit is wrapped by errors that another setting would avoid: the image may be sound.
var ErrLimit = raw.ErrLimit

// checkPixels says whether an image of w × h pixels may be decoded.
func (l Limits) checkPixels(w, h int) error {
	if w <= 0 || h <= 0 {
		return fmt.Errorf("is %d×%d pixels: it holds no picture", w, h)
	}
	if h > l.MaxPixels/w {
		return raw.Limitf("is %d×%d pixels, the limit is %s Mpx (setting images.max_megapixels)",
			w, h, megas(int64(l.MaxPixels), 1e6))
	}
	return nil
}

// checkBytes says whether an encoded image of n bytes may be read.
func (l Limits) checkBytes(n int64) error {
	if n > l.MaxBytes {
		return raw.Limitf("has %s MB, the limit is %s MB (setting images.max_file_mib)",
			megas(n, 1<<20), megas(l.MaxBytes, 1<<20))
	}
	return nil
}

func megas(n int64, unit float64) string { return fmt.Sprintf("%.4g", float64(n)/unit) }

// codec is one encoded picture format: how it begins and ends, and its decoder.
type codec struct {
	name  string
	magic string
	end   string // what a whole file ends with, or near; empty: nothing tells
	// open reads what is in front of the pixels; decode reads them, from the same bytes.
	open  func(b []byte, l Limits, hdus []string) (size image.Point, decode func() (image.Image, error), err error)
	quick func(b []byte, size image.Point, least int, use func(image.Image)) bool // decodes the common kinds; false: decode must; may be nil
	says  bool                                                                    // its errors are sentences for people
}

var codecs = []codec{
	{name: "JPEG", magic: "\xff\xd8\xff", end: "\xff\xd9", open: standard(jpeg.DecodeConfig, jpeg.Decode), quick: quickJPEG},
	{name: "PNG", magic: "\x89PNG\r\n\x1a\n", end: "IEND", open: standard(png.DecodeConfig, png.Decode)},
	{name: "WebP", magic: "RIFF", open: standard(webp.DecodeConfig, webp.Decode)},
	{name: "FITS", magic: fits.Magic, open: openFITS, says: true},
	{name: "FITS", magic: "\x1f\x8b", open: openFITS, says: true}, // packed by gzip
	{name: "TIFF", magic: tiff.Magic[0], open: openTIFF, says: true},
	{name: "TIFF", magic: tiff.Magic[1], open: openTIFF, says: true},
	{name: "BigTIFF", magic: tiff.Magic[2], open: openTIFF, says: true},
	{name: "BigTIFF", magic: tiff.Magic[3], open: openTIFF, says: true},
}

func openTIFF(b []byte, l Limits, _ []string) (size image.Point, decode func() (image.Image, error), err error) {
	f, err := tiff.Open(bytes.NewReader(b), int64(len(b)), raw.Limits(l))
	if err != nil {
		return size, nil, err
	}
	w, h, _, err := f.Size(0)
	return image.Pt(w, h), func() (image.Image, error) {
		m, err := f.Read(0)
		return pictureOf(m), err
	}, err
}

// standard is open by the two functions that packages of the image kind have.
func standard(config func(io.Reader) (image.Config, error), decode func(io.Reader) (image.Image, error)) func([]byte, Limits, []string) (image.Point, func() (image.Image, error), error) {
	return func(b []byte, _ Limits, _ []string) (image.Point, func() (image.Image, error), error) {
		cfg, err := config(bytes.NewReader(b))
		return image.Pt(cfg.Width, cfg.Height), func() (image.Image, error) { return decode(bytes.NewReader(b)) }, err
	}
}

// openFITS finds the HDUs that are asked for, or the first image; their bands follow one another.
func openFITS(b []byte, l Limits, hdus []string) (size image.Point, decode func() (image.Image, error), err error) {
	f, err := fits.Open(bytes.NewReader(b), int64(len(b)), raw.Limits(l))
	if err != nil {
		return size, nil, err
	}
	if len(hdus) == 0 {
		hdus = []string{""}
	}
	var found []*fits.HDU
	for _, which := range hdus {
		hdu, err := f.Find(which)
		if err != nil {
			return size, nil, err
		}
		found = append(found, hdu)
	}
	w, h, _, err := found[0].Size()
	return image.Pt(int(min(w, math.MaxInt32)), int(min(h, math.MaxInt32))), func() (image.Image, error) {
		var all raw.Image
		for _, hdu := range found {
			one, err := hdu.Read()
			if err != nil {
				return nil, err
			}
			if all, err = stack(all, one); err != nil {
				return nil, err
			}
		}
		return pictureOf(all), nil
	}, err
}

var (
	turbos   = sync.Pool{New: func() any { return turbo.New() }}
	jpegs    = sync.Pool{New: func() any { return new(baseline.Decoder) }}
	pictures = sync.Pool{New: func() any { return new([]uint8) }}
)

// quickJPEG decodes by libjpeg-turbo where this program has it and only the pixels count, otherwise as baseline does; both give the same
// pixels to the bit, as far as their size is the same.
func quickJPEG(b []byte, size image.Point, least int, use func(image.Image)) bool {
	return turbo.Available && least > 0 && turboJPEG(b, size, least, use) || pureJPEG(b, size, least, use)
}

func pureJPEG(b []byte, size image.Point, _ int, use func(image.Image)) bool {
	d := jpegs.Get().(*baseline.Decoder)
	defer jpegs.Put(d)
	m, ok := d.Decode(b)
	if ok = ok && m.Bounds().Size() == size; ok {
		use(m)
	}
	return ok
}

// turboJPEG makes the picture smaller where it decodes, by a half, a quarter or an eighth, as long as both its sides stay twice as long as
// least or longer. What that changes after the resize is in TestTurboScales.
func turboJPEG(b []byte, size image.Point, least int, use func(image.Image)) bool {
	eighths := 8
	for eighths > 1 && min(size.X, size.Y)*eighths/16 >= 2*least {
		eighths /= 2
	}
	scaled := func(n int) int { return (n*eighths + 7) / 8 }
	pix := pictures.Get().(*[]uint8)
	defer pictures.Put(pix)
	m := RGB{scaled(size.X), scaled(size.Y), nil}
	m.Pix = room(pix, m.W*m.H*3)
	d := turbos.Get().(*turbo.Decoder)
	w, h, ok := d.Decode(m.Pix, b, eighths)
	turbos.Put(d)
	if ok = ok && w == m.W && h == m.H; ok {
		use(decodedRGB{m})
	}
	return ok
}

// decodedRGB is what a decoder returns that makes RGB.
type decodedRGB struct{ RGB }

func (decodedRGB) ColorModel() color.Model   { return color.RGBAModel }
func (m decodedRGB) Bounds() image.Rectangle { return image.Rect(0, 0, m.W, m.H) }
func (m decodedRGB) At(x, y int) color.Color {
	p := m.Pix[(y*m.W+x)*3:]
	return color.RGBA{p[0], p[1], p[2], 255}
}

// largePixels is from where on images are decoded one at a time: 16 Mpx are at most about 200 MB.
const largePixels = 16_000_000

// picture decodes what a source holds and lets use look at it, as codec.decoded does. one, if not nil, is held while a very large image is decoded.
func (c Content) picture(l Limits, hdus []string, least int, one *sync.Mutex, use func(codec, image.Image)) error {
	if c.Encoded == nil && c.Values.Data != nil {
		if err := l.orDefault().checkPixels(c.Values.W, c.Values.H); err != nil {
			return err
		}
		use(codec{name: c.Format}, pictureOf(c.Values))
		return nil
	}
	format, size, err := identify(c.Encoded, l, hdus)
	if err != nil {
		return err
	}
	if size.X*size.Y > largePixels && one != nil {
		one.Lock()
		defer one.Unlock()
	}
	return format.decoded(c.Encoded, size, least, func(m image.Image) { use(format, m) })
}

// Decode reads one image of a source, as Decode does an encoded one.
func (c Content) Decode(l Limits) (out RGB, err error) {
	err = c.picture(l, nil, 0, nil, func(_ codec, m image.Image) { out = fromImage(m) })
	return out, err
}

// Decode reads one image. Grey becomes three equal channels, 16 bits become 8 (the high byte), alpha is dropped, as
// Pillow's convert("RGB") does. It never panics. Errors continue a sentence that begins with the image's name ("is empty").
func Decode(b []byte, l Limits) (RGB, error) {
	c, size, err := identify(b, l, nil)
	if err != nil {
		return RGB{}, err
	}
	return c.pixels(b, size)
}

// identify finds the format and the size of b without decoding pixels, and checks the limits. The format that it returns is good for b alone.
func identify(b []byte, l Limits, hdus []string) (c codec, size image.Point, err error) {
	l = l.orDefault()
	if len(b) == 0 {
		return c, size, errors.New("is empty: it has 0 bytes")
	}
	if err := l.checkBytes(int64(len(b))); err != nil {
		return c, size, err
	}
	for _, c = range codecs {
		if bytes.HasPrefix(b, []byte(c.magic)) {
			defer recovered(c, &err)
			size, decode, err := c.open(b, l, hdus)
			if err != nil {
				return c, size, c.say(b, err)
			}
			c.open = func([]byte, Limits, []string) (image.Point, func() (image.Image, error), error) {
				return size, decode, nil
			}
			return c, size, l.checkPixels(size.X, size.Y)
		}
	}
	return c, size, errors.New("is not an image this program reads (" + readable + ")")
}

// pixels decodes b, which identify found to be of this format and size.
func (c codec) pixels(b []byte, size image.Point) (out RGB, err error) {
	err = c.decoded(b, size, 0, func(m image.Image) { out = fromImage(m) })
	return out, err
}

// decoded decodes b, which identify found to be of this format and size, and lets use look at it; it is gone afterwards. The picture may
// be smaller, with sides at least twice least, where that is quicker; not for least 0.
func (c codec) decoded(b []byte, size image.Point, least int, use func(image.Image)) (err error) {
	defer recovered(c, &err)
	if c.quick != nil && c.quick(b, size, least, use) {
		return nil
	}
	_, decode, err := c.open(b, Limits{}, nil)
	if err != nil {
		return c.say(b, err)
	}
	m, err := decode()
	if err != nil {
		return c.say(b, err)
	}
	if m.Bounds().Size() != size {
		return fmt.Errorf("is a damaged %s: its parts disagree about its size", c.name)
	}
	use(m)
	return nil
}

// recovered turns a decoder's panic into an error: odd bytes must not end the run.
func recovered(c codec, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("is a damaged %s: the decoder failed", c.name)
	}
}

// say explains a decoder's error on b. Its text may hold bytes of the file, so it is quoted.
func (c codec) say(b []byte, err error) error {
	if c.says {
		return err
	}
	if tail := b[max(0, len(b)-64):]; !bytes.Contains(tail, []byte(c.end)) {
		return fmt.Errorf("is truncated: the %s ends too early", c.name)
	}
	return fmt.Errorf("is a damaged %s: %.120q", c.name, err.Error())
}

// fromImage is what people see of the pixels of every type that the decoders return.
func fromImage(m image.Image) RGB { return pixelsOf(m).RGB() }

// pixelsOf is what the network sees of them.
func pixelsOf(m image.Image) Pixels {
	r := m.Bounds()
	out := NewPixels(r.Dx(), r.Dy(), channelsOf(m))
	fill(out, m)
	return out
}

func channelsOf(m image.Image) int {
	if m, ok := m.(preparedImage); ok {
		return m.how.channels
	}
	return 3
}

// resized writes the pixels of m to dst, which holds size × size of them.
func resized(dst []uint8, m image.Image, size int) {
	r, channels := m.Bounds(), channelsOf(m)
	if r.Dx() == size && r.Dy() == size {
		fill(Pixels{size, size, channels, dst}, m)
		return
	}
	if m, ok := m.(decodedRGB); ok {
		resizeInto(dst, m.Pixels(), size, size)
		return
	}
	pix := pictures.Get().(*[]uint8)
	defer pictures.Put(pix)
	whole := Pixels{r.Dx(), r.Dy(), channels, room(pix, r.Dx()*r.Dy()*channels)}
	fill(whole, m)
	resizeInto(dst, whole, size, size)
}

// fill is pixelsOf into a picture of the same size and channels.
func fill(out Pixels, m image.Image) {
	r := m.Bounds()
	switch m := m.(type) {
	case *image.YCbCr:
		ycbcr(out.Pix, m)
		return
	case decodedRGB:
		copy(out.Pix, m.Pix)
		return
	case preparedImage:
		clear(out.Pix)
		m.fill(out)
		return
	case rawPicture:
		clear(out.Pix)
		planesOf(m).stretch(out, asSeen, 0)
		return
	}
	for y := range out.H {
		row := out.Pix[y*out.W*3:][:out.W*3]
		switch m := m.(type) {
		case *image.Gray:
			channels(row, m.Pix[y*m.Stride:], 1, 0)
		case *image.Gray16:
			channels(row, m.Pix[y*m.Stride:], 2, 0)
		case *image.RGBA: // opaque pictures: nothing is premultiplied
			channels(row, m.Pix[y*m.Stride:], 4, 1)
		case *image.NRGBA:
			channels(row, m.Pix[y*m.Stride:], 4, 1)
		case *image.RGBA64:
			channels(row, m.Pix[y*m.Stride:], 8, 2)
		case *image.NRGBA64:
			channels(row, m.Pix[y*m.Stride:], 8, 2)
		case *image.CMYK:
			for x, s := 0, m.Pix[y*m.Stride:]; x < out.W; x++ {
				row[3*x], row[3*x+1], row[3*x+2] = color.CMYKToRGB(s[4*x], s[4*x+1], s[4*x+2], s[4*x+3])
			}
		default: // paletted, and whatever a decoder may return in future
			for x := range out.W {
				c := color.NRGBAModel.Convert(m.At(r.Min.X+x, r.Min.Y+y)).(color.NRGBA)
				row[3*x], row[3*x+1], row[3*x+2] = c.R, c.G, c.B
			}
		}
	}
}

// channels copies bytes 0, step and 2*step of each pixel of size bytes: the high bytes of three channels, or of one.
func channels(row, s []uint8, size, step int) {
	for x, p := 0, 0; x+3 <= len(row); x, p = x+3, p+size {
		row[x], row[x+1], row[x+2] = s[p], s[p+step], s[p+2*step]
	}
}
