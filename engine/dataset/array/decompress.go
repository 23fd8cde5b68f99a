package array

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// ErrDecompress says that bytes are not what they should decompress to.
var ErrDecompress = errors.New("cannot be decompressed")

// Zlib decompresses b, which becomes at most most bytes.
func Zlib(b []byte, most int64) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, ErrDecompress
	}
	defer z.Close()
	return readMost(z, len(b), most)
}

// Gzip decompresses b, which becomes at most most bytes.
func Gzip(b []byte, most int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, ErrDecompress
	}
	defer z.Close()
	return readMost(z, len(b), most)
}

// zstds are decoders, each of which decodes one buffer at a time, by the power of two of the largest window that they make room for.
var zstds [64]sync.Pool

// Zstd decompresses b, which becomes at most most bytes. A frame with a window much larger than that is refused.
func Zstd(b []byte, most int64) ([]byte, error) {
	class := bits.Len64(uint64(max(most, 8<<20) - 1))
	d, ok := zstds[class].Get().(*zstd.Decoder)
	if !ok {
		var err error
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(1<<class)); err != nil {
			return nil, ErrDecompress
		}
	}
	defer zstds[class].Put(d)
	defer d.Reset(nil)
	if err := d.Reset(bytes.NewReader(b)); err != nil {
		return nil, ErrDecompress
	}
	return readMost(d, len(b), most)
}

// readMost reads all of r. Memory grows with what comes, so that n bytes that claim to be large cost little.
func readMost(r io.Reader, n int, most int64) ([]byte, error) {
	var out bytes.Buffer
	out.Grow(int(min(most, 1<<16+int64(n)*8)) + bytes.MinRead)
	got, err := out.ReadFrom(io.LimitReader(r, most+1))
	if err != nil || got > most {
		return nil, ErrDecompress
	}
	return out.Bytes(), nil
}
