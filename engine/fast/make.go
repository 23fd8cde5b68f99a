package fast

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/parallel"

	"github.com/x448/float16"
)

// Progress of making embeddings.
type Progress func(done, total int)

// Options of Create.
type Options struct {
	Batch    int // images a batch
	Workers  int // decoding goroutines
	Progress Progress
	Warn     func(string) // see nn.Model
	Network  Network      // nil: the pretrained one, on the runtime
}

// Network is what embeds pictures, see nn.Device.
type Network interface {
	Embed(pix []uint8, n, batch, size int) ([]float32, error)
}

// Create embeds the whole pool and keeps the result in dir. It goes on where an earlier, interrupted call stopped, and embeds only what is
// missing or damaged where embeddings of the key are there. Images that cannot be read get a row without values.
func Create(ctx context.Context, dir string, key Key, pool *dataset.Pool, on runtime.Opened, opt Options) (*Embeddings, error) {
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	partial, err := openPart(base(dir, key)+".f16.part", key)
	if err != nil {
		return nil, fmt.Errorf("embeddings could not be kept: %w", err)
	}
	defer partial.Close()
	partial.backend = on.Name
	if partial.rows > pool.Len() {
		return nil, fmt.Errorf("embeddings could not be kept: %s has more rows than the pool has images: remove it", partial.file.Name())
	}
	old, err := Open(dir, key)
	if err == nil {
		defer old.Close()
		if old.verify(ctx); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if old.Rows != pool.Len() {
			old = nil
		} else if old.Missing()+old.Damaged() == 0 {
			partial.discard()
			return Open(dir, key)
		}
	}
	w := &work{part: partial, old: old, pool: pool, progress: opt.Progress, row: make([]byte, rowBytes)}
	for i := range pool.Len() {
		switch {
		case old != nil && old.has(i):
		case i < partial.rows:
			w.begun++
		default:
			w.todo = append(w.todo, i)
		}
	}
	w.report(0)
	if len(w.todo) > 0 {
		if err := w.embed(ctx, key, on, opt); err != nil {
			return nil, err
		}
	}
	if err := w.fillTo(pool.Len()); err != nil {
		return nil, fmt.Errorf("embeddings could not be kept: %w", err)
	}
	return partial.keep(dir)
}

// work is one Create.
type work struct {
	part     *part
	old      *Embeddings // what it has is not embedded again; nil: nothing is there
	pool     *dataset.Pool
	todo     []int // images to embed
	begun    int   // of those embedded in this part before
	progress Progress
	row      []byte // the old one at hand
}

// report tells how many of the images that were to be embedded are.
func (w *work) report(done int) {
	if w.progress != nil {
		w.progress(w.begun+done, w.begun+len(w.todo))
	}
}

// fillTo appends the rows before image i: as they were, or empty.
func (w *work) fillTo(i int) error {
	for w.part.rows < i {
		row := emptyRow
		if k := w.part.rows; w.old != nil && w.old.has(k) {
			if !w.old.raw(k, w.row) {
				return fmt.Errorf("%s cannot be read any more", w.old.file.Name())
			}
			row = w.row
		}
		if err := w.part.add(row); err != nil {
			return err
		}
	}
	return nil
}

// embed appends the rows of the images to do, and of those before them. All devices take batches from the same row (see parallel.InOrder).
func (w *work) embed(ctx context.Context, key Key, on runtime.Opened, opt Options) error {
	networks := []Network{opt.Network}
	if opt.Network == nil {
		weights, err := nn.Pretrained(w.pool.Channels())
		if err != nil {
			return err
		}
		model, err := nn.NewModel(on, weights)
		if err != nil {
			return err
		}
		model.Warn = opt.Warn
		defer model.Close()
		networks = nil
		for _, d := range model.Lanes() {
			networks = append(networks, d)
		}
	}
	type answer struct {
		index []int
		rows  []float32
	}
	ask := func(n Network, b dataset.Batch) (answer, error) {
		rows, err := embedViews(n, b.Pix, len(b.Index), opt.Batch, key)
		return answer{b.Index, rows}, err
	}
	row := make([]byte, rowBytes)
	for batch, err := range parallel.InOrder(ctx, networks, w.pool.Batches(ctx, w.todo, key.Size, opt.Batch, opt.Workers), ask, nil) {
		if err != nil {
			return err
		}
		for k, i := range batch.index {
			if err := w.fillTo(i); err != nil {
				return fmt.Errorf("embeddings could not be kept: %w", err)
			}
			for j, v := range batch.rows[k*nn.EmbeddingSize : (k+1)*nn.EmbeddingSize] {
				binary.LittleEndian.PutUint16(row[2*j:], float16.Fromfloat32(v).Bits())
			}
			if err := w.part.add(row); err != nil {
				return fmt.Errorf("embeddings could not be kept: %w", err)
			}
		}
		if err := w.part.flush(); err != nil {
			return fmt.Errorf("embeddings could not be kept: %w", err)
		}
		last, _ := slices.BinarySearch(w.todo, batch.index[len(batch.index)-1])
		w.report(last + 1)
	}
	return nil
}

// embedViews is the mean of the embeddings of all views of n images.
func embedViews(m Network, pix []uint8, n, batch int, key Key) ([]float32, error) {
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

// mirror swaps left and right of a picture [size,size,channels].
func mirror(pix []uint8, size int) {
	channels := len(pix) / (size * size)
	for y := range size {
		row := pix[channels*y*size : channels*(y+1)*size]
		for a, b := 0, channels*(size-1); a < b; a, b = a+channels, b-channels {
			for c := range channels {
				row[a+c], row[b+c] = row[b+c], row[a+c]
			}
		}
	}
}

// transpose swaps rows and columns of a picture [size,size,channels].
func transpose(pix []uint8, size int) {
	channels := len(pix) / (size * size)
	for y := range size {
		for x := range y {
			a, b := channels*(y*size+x), channels*(x*size+y)
			for c := range channels {
				pix[a+c], pix[b+c] = pix[b+c], pix[a+c]
			}
		}
	}
}
