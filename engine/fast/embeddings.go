// Package fast ranks a pool without training the network: a logistic head on embeddings of the frozen ImageNet network, refitted
// at every label.
//
// The embedding of an image is two spatial means, one around the centre and one over all of it, of each channel of blocks 0, 2, 4, 7,
// 10, 14, 15 and of the head convolution (nn.EmbeddingSize values), averaged over mirrored and turned views of the image: what is
// looked for has no up and down. It is computed once and kept as float16 in a file, frozen-128x8.f16:
//
//	N rows    in the pool's order, float16; an image without an embedding has NaN in its first value
//	uint32    CRC-32C of each block of 32 rows
//	uint8     bit i%8 of byte i/8: image i is yet to be embedded
//	header    JSON: what the rows are (Key), mean and standard deviation of each value
//	uint32    length of the header
//	uint32    CRC-32C of everything behind the rows, but for this and the magic
//	magic     "AMEMBED2"
//
// All integers are little-endian. It is one file, so that a rename replaces it at one moment. Rows are not looked at when it is opened,
// since ten million are 82 GB: a block is checked when it is first read, and the images of a damaged one have no embedding from then on, so
// that nothing is ever ranked by damaged values; Create embeds them again, and only them. When images come, change or go, Carry makes the
// file of the new list from what there was of the old one, and Create embeds what is new.
package fast

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	mathbits "math/bits"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"anomalymatch/engine/nn"
	"anomalymatch/internal/newer"
	"anomalymatch/internal/parallel"

	"github.com/x448/float16"
)

// Key is what embeddings were made of; other embeddings are no use.
type Key struct {
	Pool    string `json:"pool"`    // hash of the pool's ids and sizes
	Network string `json:"network"` // architecture, weights and layers
	Size    int    `json:"size"`    // pixels a side
	Views   int    `json:"views"`   // of each image: 1 as it is, 2 mirrored too, 8 also turned by quarters
}

// KeyOf is the key for a pool at size px, seen in 1, 2 or 8 views.
func KeyOf(hash [32]byte, size, views int) Key {
	return Key{Pool: hex.EncodeToString(hash[:]), Network: nn.Architecture + " imagenet blocks 0,2,4,7,10,14,15,head centre+mean", Size: size, Views: views}
}

type header struct {
	Key
	Rows int       `json:"rows"`
	Dims int       `json:"dims"`
	CRC  uint32    `json:"crc32c"` // of the checksums of all blocks: tells one file from another
	Mean []float32 `json:"mean"`
	Std  []float32 `json:"std"`

	Backend string `json:"backend,omitempty"` // that made the last of them; empty: not known
}

const (
	fileMagic = "AMEMBED2"
	fileTail  = 4 + 4 + len(fileMagic)
	// blockRows have one checksum and are read at once: 264 KB stay in a core's cache while they are checked and measured.
	blockRows = 32
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Embeddings of a pool. Safe for concurrent readers.
type Embeddings struct {
	header
	file    *os.File // not mapped: pages of it would count as memory of this process, and the file has 8 KB an image
	sums    []uint32 // of each block
	missing []byte   // bits of images that are yet to be embedded
	whole   []atomic.Uint64
	spoilt  []atomic.Uint64 // bits of blocks that were found whole, and damaged
	damaged atomic.Int64    // images in damaged blocks
}

// ErrNone says that there are no embeddings for the key, or damaged ones: make them.
var ErrNone = errors.New("no embeddings of this pool yet")

// Open opens the embeddings in dir, in a time that hardly depends on how many there are. Other keys and damage behind the rows are ErrNone with
// the reason; damaged rows are found when they are read, see Damaged.
func Open(dir string, key Key) (*Embeddings, error) {
	e, err := open(base(dir, key) + ".f16")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if e.Key != key {
		e.Close()
		return nil, fmt.Errorf("%w: the pool or the network changed", ErrNone)
	}
	return e, nil
}

// open reads everything but the rows. It believes no length before it has checked it.
func open(path string) (e *Embeddings, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	damaged := errors.New("the file is damaged")
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tail := make([]byte, fileTail)
	if info.Size() < int64(fileTail) {
		return nil, damaged
	}
	if _, err := f.ReadAt(tail, info.Size()-int64(fileTail)); err != nil {
		return nil, err
	}
	headBytes := int64(binary.LittleEndian.Uint32(tail))
	const mostHeader = 1 << 20
	if newer.Magic(string(tail[8:]), fileMagic) != nil {
		return nil, newer.Err
	}
	if string(tail[8:]) != fileMagic || headBytes > mostHeader || headBytes > info.Size()-int64(fileTail) {
		return nil, damaged
	}
	head := make([]byte, headBytes)
	if _, err := f.ReadAt(head, info.Size()-int64(fileTail)-headBytes); err != nil {
		return nil, err
	}
	e = &Embeddings{file: f}
	if json.Unmarshal(head, &e.header) != nil || e.Rows < 0 || e.Dims != nn.EmbeddingSize || len(e.Mean) != e.Dims || len(e.Std) != e.Dims ||
		int64(e.Rows) > info.Size()/int64(2*e.Dims) {
		return nil, damaged
	}
	rows, columns := int64(e.Rows)*int64(2*e.Dims), 4*e.blocks()+(e.Rows+7)/8
	if info.Size() != rows+int64(columns)+headBytes+int64(fileTail) {
		return nil, damaged
	}
	b := make([]byte, columns)
	if _, err := f.ReadAt(b, rows); err != nil {
		return nil, err
	}
	sum := crc32.Update(crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, head), castagnoli, tail[:4])
	if sum != binary.LittleEndian.Uint32(tail[4:]) {
		return nil, damaged
	}
	e.sums = make([]uint32, e.blocks())
	for k := range e.sums {
		e.sums[k] = binary.LittleEndian.Uint32(b[4*k:])
	}
	e.missing = b[4*len(e.sums):]
	e.whole, e.spoilt = make([]atomic.Uint64, (e.blocks()+63)/64), make([]atomic.Uint64, (e.blocks()+63)/64)
	return e, nil
}

func base(dir string, key Key) string {
	return filepath.Join(dir, fmt.Sprintf("frozen-%dx%d", key.Size, key.Views))
}

// Close closes the file.
func (e *Embeddings) Close() error { return e.file.Close() }

// Missing is the number of images that are yet to be embedded: what was carried over from another list has none of the new ones.
func (e *Embeddings) Missing() (n int) {
	for _, b := range e.missing {
		n += mathbits.OnesCount8(b)
	}
	return n
}

// Damaged is the number of images whose rows were found damaged so far.
func (e *Embeddings) Damaged() int { return int(e.damaged.Load()) }

func (e *Embeddings) blocks() int { return (e.Rows + blockRows - 1) / blockRows }

// has reports whether the file has something to say about image i, if only that it cannot be embedded.
func (e *Embeddings) has(i int) bool {
	block := i / blockRows
	return e.missing[i>>3]&(1<<(i&7)) == 0 && e.spoilt[block>>6].Load()&(1<<(block&63)) == 0
}

// blockSpan is where the rows of a block are in the file.
func (e *Embeddings) blockSpan(block int) (at int64, bytes int) {
	first := block * blockRows
	return int64(first) * int64(2*e.Dims), min(blockRows, e.Rows-first) * 2 * e.Dims
}

// block reads the rows of a block into buf, which holds blockRows of them; nil where they are damaged. Those read before are not checked again.
func (e *Embeddings) block(block int, buf []byte) []byte {
	word, bit := block>>6, uint64(1)<<(block&63)
	if e.spoilt[word].Load()&bit != 0 {
		return nil
	}
	at, n := e.blockSpan(block)
	_, err := e.file.ReadAt(buf[:n], at)
	if err == nil && e.whole[word].Load()&bit != 0 {
		return buf[:n]
	}
	if err != nil || crc32.Checksum(buf[:n], castagnoli) != e.sums[block] {
		if e.spoilt[word].Or(bit)&bit == 0 {
			e.damaged.Add(int64(n / (2 * e.Dims)))
		}
		return nil
	}
	e.whole[word].Or(bit)
	return buf[:n]
}

// verify looks at all blocks that nobody has read yet, until ctx ends.
func (e *Embeddings) verify(ctx context.Context) {
	parallel.Parts(e.blocks(), min(e.blocks(), 16*runtime.GOMAXPROCS(0)), func(_, from, to int) {
		buf := make([]byte, blockRows*2*e.Dims)
		for b := from; b < to && ctx.Err() == nil; b++ {
			if e.whole[b>>6].Load()&(1<<(b&63)) == 0 {
				e.block(b, buf)
			}
		}
	})
}

// DamagedRows says that the rows of so many images are damaged, and all else is whole: Create embeds them again, and only them.
type DamagedRows int

func (n DamagedRows) Error() string {
	return fmt.Sprintf("the embeddings of %d images are damaged", int(n))
}

// Verify says why a file of embeddings (*.f16) cannot be believed, or nil.
func Verify(ctx context.Context, path string) error {
	e, err := open(path)
	if err != nil {
		return err
	}
	defer e.Close()
	if e.verify(ctx); ctx.Err() == nil && e.Damaged() > 0 {
		return DamagedRows(e.Damaged())
	}
	return ctx.Err()
}

const maxDims = 4224 // Row keeps its bytes on the stack

// Row reads embedding i into dst [Dims]; false where the image has none.
func (e *Embeddings) Row(i int, dst []float32) bool {
	var buf [2 * maxDims]byte
	b := buf[:2*e.Dims]
	if !e.raw(i, b) {
		return false
	}
	table := halves()
	for j := range dst[:e.Dims] {
		dst[j] = table[binary.LittleEndian.Uint16(b[2*j:])]
	}
	return !math.IsNaN(float64(dst[0]))
}

var blockBuffers = sync.Pool{New: func() any { b := make([]byte, blockRows*2*maxDims); return &b }}

// raw reads the bytes of embedding i; false where they are damaged.
func (e *Embeddings) raw(i int, dst []byte) bool {
	if i < 0 || i >= e.Rows {
		return false
	}
	block := i / blockRows
	if e.whole[block>>6].Load()&(1<<(block&63)) != 0 {
		_, err := e.file.ReadAt(dst, int64(i)*int64(len(dst)))
		return err == nil
	}
	buf := blockBuffers.Get().(*[]byte)
	defer blockBuffers.Put(buf)
	rows := e.block(block, *buf)
	if rows == nil {
		return false
	}
	copy(dst, rows[i%blockRows*len(dst):])
	return true
}

// absent says of a row's bytes that the image has no embedding.
func absent(raw []byte) bool {
	v := halves()[binary.LittleEndian.Uint16(raw)]
	return v != v
}

// halves maps float16 bits to float32.
var halves = sync.OnceValue(func() *[1 << 16]float32 {
	t := new([1 << 16]float32)
	for i := range t {
		t[i] = float16.Frombits(uint16(i)).Float32()
	}
	return t
})
