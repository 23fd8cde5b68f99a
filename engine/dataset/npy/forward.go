package npy

import (
	"archive/zip"
	"errors"
	"io"
	"sync"

	"anomalymatch/engine/dataset/array"
)

// forward is the compressed array of a zip, which can only be read from its start on. It is read in blocks of whole images. A few places in it
// are kept, so that one reader that jumps does not send the others back to the start.
type forward struct {
	f     *zip.File
	h     header
	block int64 // bytes of a block
	kept  *array.Cache[int64, []byte]

	mu     sync.Mutex
	places []*place         // the last used first
	passed map[int64][]byte // blocks that lay before one that was wanted: somebody else may be on the way to them
	order  []int64          // of passed
}

const (
	maxPlaces = 4
	maxPassed = 32
)

// place is a decompressor and the block that it stands before.
type place struct {
	r    io.ReadCloser
	next int64
}

func newForward(f *zip.File, h header, image int, o array.Options) *forward {
	images := max(1, (1<<20)/max(1, image))
	return &forward{f: f, h: h, block: int64(image) * int64(images), kept: array.NewCache[int64, []byte](o.Cache), passed: map[int64][]byte{}}
}

func (f *forward) readAt(b []byte, at int64) error {
	for len(b) > 0 {
		k := at / f.block
		data, err := f.kept.Get(k, func() ([]byte, int64, error) {
			data, err := f.decompress(k)
			return data, int64(len(data)), err
		})
		if err != nil {
			return err
		}
		n := copy(b, data[at-k*f.block:])
		b, at = b[n:], at+int64(n)
	}
	return nil
}

// decompress makes block k, from the nearest place before it.
func (f *forward) decompress(k int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, ok := f.passed[k]; ok {
		return b, nil
	}
	best := -1
	for i, p := range f.places {
		if p.next <= k && (best < 0 || p.next > f.places[best].next) {
			best = i
		}
	}
	var p *place
	if best >= 0 {
		p = f.places[best]
		f.places = append(f.places[:best], f.places[best+1:]...)
	} else {
		_, r, err := openMember(f.f)
		if err != nil {
			return nil, errDecompress
		}
		p = &place{r: r}
	}
	for {
		size := min(f.block, f.h.size-p.next*f.block)
		if size <= 0 {
			p.r.Close()
			return nil, errDecompress
		}
		b := make([]byte, size)
		if _, err := io.ReadFull(p.r, b); err != nil {
			p.r.Close()
			return nil, errDecompress
		}
		p.next++
		if p.next > k {
			f.keep(p)
			return b, nil
		}
		if k-p.next < maxPassed/2 {
			f.pass(p.next-1, b)
		}
	}
}

var errDecompress = errors.New("is damaged: its array cannot be decompressed")

func (f *forward) keep(p *place) {
	f.places = append([]*place{p}, f.places...)
	if len(f.places) > maxPlaces {
		f.places[maxPlaces].r.Close()
		f.places = f.places[:maxPlaces]
	}
}

func (f *forward) pass(k int64, b []byte) {
	if _, ok := f.passed[k]; !ok {
		f.order = append(f.order, k)
	}
	f.passed[k] = b
	if len(f.order) > maxPassed {
		delete(f.passed, f.order[0])
		f.order = f.order[1:]
	}
}
