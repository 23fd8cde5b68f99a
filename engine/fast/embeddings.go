// Package fast ranks a pool without training the network: a logistic head on embeddings of the frozen ImageNet network, refitted
// at every label.
//
// The embedding of an image is two spatial means, one around the centre and one over all of it, of each channel of blocks 0, 2, 4, 7,
// 10, 14, 15 and of the head convolution (nn.EmbeddingSize values), averaged over mirrored and turned views of the image: what is
// looked for has no up and down. It is computed once and kept as float16 in a file:
//
//	frozen-128x8.f16   rows in the pool's order, float16 little endian; an image without pixels has NaN in its first value
//	frozen-128x8.json  what the rows are (Key), mean and standard deviation of each value, CRC-32C of the rows
package fast

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/internal/atomicfile"
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
	CRC  uint32    `json:"crc32c"`
	Mean []float32 `json:"mean"`
	Std  []float32 `json:"std"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Embeddings of a pool. Safe for concurrent readers.
type Embeddings struct {
	header
	file *os.File // not mapped: pages of it would count as memory of this process, and the file has 8 KB an image
}

// ErrNone says that there are no embeddings for the key, or damaged ones: make them.
var ErrNone = errors.New("no embeddings of this pool yet")

// Open opens the embeddings in dir. Other keys and damage are ErrNone with the reason.
func Open(dir string, key Key) (*Embeddings, error) {
	name := base(dir, key)
	text, err := os.ReadFile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	e := &Embeddings{}
	if err := json.Unmarshal(text, &e.header); err != nil {
		return nil, fmt.Errorf("%w: damaged header: %w", ErrNone, err)
	}
	if e.Key != key || e.Dims != nn.EmbeddingSize || len(e.Mean) != e.Dims || len(e.Std) != e.Dims {
		return nil, fmt.Errorf("%w: the pool or the network changed", ErrNone)
	}
	if e.file, err = os.Open(name + ".f16"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	crc := crc32.New(castagnoli)
	if n, err := io.Copy(crc, e.file); err != nil || n != int64(e.Rows)*int64(e.Dims)*2 || crc.Sum32() != e.CRC {
		e.file.Close()
		return nil, fmt.Errorf("%w: the file is damaged", ErrNone)
	}
	return e, nil
}

func base(dir string, key Key) string {
	return filepath.Join(dir, fmt.Sprintf("frozen-%dx%d", key.Size, key.Views))
}

// Close closes the file.
func (e *Embeddings) Close() error { return e.file.Close() }

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

// raw reads the bytes of embedding i.
func (e *Embeddings) raw(i int, dst []byte) bool {
	_, err := e.file.ReadAt(dst, int64(i)*int64(len(dst)))
	return err == nil
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

// Progress of making embeddings.
type Progress func(done, total int)

// Options of Create.
type Options struct {
	Batch    int // images a batch
	Workers  int // decoding goroutines
	Progress Progress
	Warn     func(string) // see nn.Model
}

// Create embeds the whole pool and keeps the result in dir. It goes on where an earlier, interrupted call stopped. Images that
// cannot be read get a row without values.
func Create(ctx context.Context, dir string, key Key, pool *dataset.Pool, on runtime.Opened, opt Options) (*Embeddings, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	partial, err := openPart(base(dir, key)+".f16.part", key)
	if err != nil {
		return nil, fmt.Errorf("embeddings could not be kept: %w", err)
	}
	defer partial.Close()
	done := partial.rows
	if opt.Progress != nil {
		opt.Progress(done, pool.Len())
	}
	if done < pool.Len() {
		if err := embed(ctx, partial, done, key, pool, on, opt); err != nil {
			return nil, err
		}
	}
	return partial.keep(dir, key, pool.Len())
}

// embed appends the rows of images from… to the part file. All devices take batches from the same row (see parallel.InOrder).
func embed(ctx context.Context, part *part, from int, key Key, pool *dataset.Pool, on runtime.Opened, opt Options) error {
	w, err := nn.Pretrained()
	if err != nil {
		return err
	}
	m, err := nn.NewModel(on, w)
	if err != nil {
		return err
	}
	m.Warn = opt.Warn
	defer m.Close()
	idx := make([]int, 0, pool.Len()-from)
	for i := from; i < pool.Len(); i++ {
		idx = append(idx, i)
	}
	next := from
	out := bufio.NewWriterSize(part, 1<<20)
	row := make([]byte, 2*nn.EmbeddingSize)
	empty := make([]byte, 2*nn.EmbeddingSize)
	binary.LittleEndian.PutUint16(empty, float16.NaN().Bits())
	fillTo := func(i int) error {
		for ; next < i; next++ {
			if _, err := out.Write(empty); err != nil {
				return err
			}
		}
		return nil
	}
	type answer struct {
		index []int
		rows  []float32
	}
	ask := func(d *nn.Device, b dataset.Batch) (answer, error) {
		rows, err := embedViews(d, b.Pix, len(b.Index), opt.Batch, key)
		return answer{b.Index, rows}, err
	}
	for batch, err := range parallel.InOrder(ctx, m.Lanes(), pool.Batches(ctx, idx, key.Size, opt.Batch, opt.Workers), ask, nil) {
		if err != nil {
			return err
		}
		for k, i := range batch.index {
			if err := fillTo(i); err != nil {
				return err
			}
			for j, v := range batch.rows[k*nn.EmbeddingSize : (k+1)*nn.EmbeddingSize] {
				binary.LittleEndian.PutUint16(row[2*j:], float16.Fromfloat32(v).Bits())
			}
			if _, err := out.Write(row); err != nil {
				return err
			}
			next++
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("embeddings could not be kept: %w", err)
		}
		if opt.Progress != nil {
			opt.Progress(next, pool.Len())
		}
	}
	if err := fillTo(pool.Len()); err != nil {
		return err
	}
	return out.Flush()
}

// embedViews is the mean of the embeddings of all views of n images.
func embedViews(m *nn.Device, pix []uint8, n, batch int, key Key) ([]float32, error) {
	var sum []float32
	view := pix
	for k := range key.Views {
		if k > 0 {
			view = slices.Clone(view)
			for i := range n {
				turn(view[i*len(pix)/n:(i+1)*len(pix)/n], key.Size, k)
			}
		}
		r, err := m.Embed(view, n, batch, key.Size)
		if err != nil {
			return nil, err
		}
		if sum == nil {
			sum = r
			continue
		}
		for j, v := range r {
			sum[j] += v
		}
	}
	for j := range sum {
		sum[j] /= float32(key.Views)
	}
	return sum, nil
}

// turn makes view k ≥ 1 of a picture out of view k-1, in place. Mirroring left to right and along the diagonal by turns goes through all
// eight ways to lay a square on itself; the first is the mirror image.
func turn(pix []uint8, size, k int) {
	if k%2 == 1 {
		mirror(pix, size)
	} else {
		transpose(pix, size)
	}
}

// mirror swaps left and right of a picture [size,size,3].
func mirror(pix []uint8, size int) {
	for y := range size {
		row := pix[3*y*size : 3*(y+1)*size]
		for a, b := 0, 3*(size-1); a < b; a, b = a+3, b-3 {
			for c := range 3 {
				row[a+c], row[b+c] = row[b+c], row[a+c]
			}
		}
	}
}

// transpose swaps rows and columns of a picture [size,size,3].
func transpose(pix []uint8, size int) {
	for y := range size {
		for x := range y {
			a, b := 3*(y*size+x), 3*(x*size+y)
			for c := range 3 {
				pix[a+c], pix[b+c] = pix[b+c], pix[a+c]
			}
		}
	}
}

// part is the unfinished file; a sidecar says what it is.
type part struct {
	*os.File
	rows int
}

func openPart(path string, key Key) (*part, error) {
	want, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	have, _ := os.ReadFile(path + ".json")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	p := &part{File: f}
	if string(have) == string(want) {
		if st, err := f.Stat(); err == nil {
			p.rows = int(st.Size() / (2 * int64(nn.EmbeddingSize)))
		}
	}
	if err := f.Truncate(int64(p.rows) * 2 * int64(nn.EmbeddingSize)); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		f.Close()
		return nil, err
	}
	if string(have) != string(want) {
		if err := os.WriteFile(path+".json", want, 0o666); err != nil {
			f.Close()
			return nil, err
		}
	}
	return p, nil
}

// keep makes the part file, now whole, the embeddings of the key.
func (p *part) keep(dir string, key Key, rows int) (*Embeddings, error) {
	h, err := p.finish(key, rows)
	if err != nil {
		return nil, fmt.Errorf("embeddings could not be kept: %w", err)
	}
	if err := os.Rename(p.Name(), base(dir, key)+".f16"); err != nil {
		return nil, err
	}
	err = atomicfile.Write(base(dir, key)+".json", func(w io.Writer) error { return json.NewEncoder(w).Encode(h) })
	if err != nil {
		return nil, fmt.Errorf("embeddings could not be kept: %w", err)
	}
	return Open(dir, key)
}

// finish syncs the rows and works out what stands in the header.
func (p *part) finish(key Key, rows int) (header, error) {
	if err := p.Sync(); err != nil {
		return header{}, err
	}
	if _, err := p.Seek(0, io.SeekStart); err != nil {
		return header{}, err
	}
	h := header{Key: key, Rows: rows, Dims: nn.EmbeddingSize, Mean: make([]float32, nn.EmbeddingSize), Std: make([]float32, nn.EmbeddingSize)}
	crc := crc32.New(castagnoli)
	in := io.TeeReader(bufio.NewReaderSize(p, 1<<20), crc)
	sum, squares := make([]float64, h.Dims), make([]float64, h.Dims)
	b, table, n := make([]byte, 2*h.Dims), halves(), 0.0
	for range rows {
		if _, err := io.ReadFull(in, b); err != nil {
			return header{}, err
		}
		if v := table[binary.LittleEndian.Uint16(b)]; v != v {
			continue
		}
		n++
		for j := range sum {
			v := float64(table[binary.LittleEndian.Uint16(b[2*j:])])
			sum[j] += v
			squares[j] += v * v
		}
	}
	for j := range sum {
		mean := sum[j] / max(n, 1)
		h.Mean[j] = float32(mean)
		h.Std[j] = float32(math.Sqrt(max(squares[j]/max(n, 1)-mean*mean, 0)))
	}
	h.CRC = crc.Sum32()
	os.Remove(p.Name() + ".json")
	return h, nil
}
