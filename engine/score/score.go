// Package score runs a model over a pool and keeps what it said.
package score

import (
	"bytes"
	"cmp"
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
	"sort"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/metrics"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/atomicfile"
)

// Options of Pool.
type Options struct {
	Size, Batch, Workers int // pixels a side, images a batch, decoding goroutines
	Progress             func(done, total int)
}

// Batch is how many images the network takes at once: as many as wanted, fewer where they are large (size pixels a side), and not
// more than there are.
func Batch(wanted, size, images int) int {
	n := max(1, min(wanted, images))
	for n > 8 && n*size*size > 256*64*64 {
		n /= 2
	}
	return n
}

// Pool returns the probability of anomaly of every image, NaN for those that cannot be read (the pool lists them as bad).
func Pool(ctx context.Context, pool *dataset.Pool, m *nn.Model, opt Options) ([]float32, error) {
	out := make([]float32, pool.Len())
	idx := make([]int, pool.Len())
	for i := range out {
		out[i], idx[i] = float32(math.NaN()), i
	}
	done := 0
	for b, err := range pool.Batches(ctx, idx, opt.Size, opt.Batch, opt.Workers) {
		if err != nil {
			return nil, err
		}
		s, err := m.Scores(b.Pix, len(b.Index), opt.Batch, opt.Size)
		if err != nil {
			return nil, err
		}
		for k, i := range b.Index {
			if math.IsNaN(float64(s[k])) {
				return nil, errors.New("the network answers NaN: its weights are damaged, train again")
			}
			out[i] = s[k]
		}
		done += len(b.Index)
		if opt.Progress != nil {
			opt.Progress(done, len(idx))
		}
	}
	return out, nil
}

// Header of a score file.
type Header struct {
	Pool  string    `json:"pool"` // hash of the pool the scores belong to
	Cycle int       `json:"cycle"`
	Made  time.Time `json:"made"`
	Rows  int       `json:"rows"`
	CRC   uint32    `json:"crc32c"`
}

const magic = "AMSCORE1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Write keeps scores as DIR/cycle-NNN.scores: the magic line, the header as one line of JSON, then float32 little endian in the
// pool's order.
func Write(dir string, pool [32]byte, cycle int, scores []float32) error {
	raw := make([]byte, 0, 4*len(scores))
	for _, s := range scores {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(s))
	}
	h := Header{Pool: hex.EncodeToString(pool[:]), Cycle: cycle, Made: time.Now().UTC(), Rows: len(scores), CRC: crc32.Checksum(raw, castagnoli)}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("the scores could not be kept: %w", err)
	}
	err := atomicfile.Write(filepath.Join(dir, fmt.Sprintf("cycle-%03d.scores", cycle)), func(w io.Writer) error {
		head, err := json.Marshal(h)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s%s\n%s", magic, head, raw)
		return err
	})
	if err != nil {
		return fmt.Errorf("the scores could not be kept: %w", err)
	}
	return nil
}

// Latest reads the newest undamaged scores of the pool in dir; found is false where there are none.
func Latest(dir string, pool [32]byte) (h Header, scores []float32, found bool) {
	files, _ := filepath.Glob(filepath.Join(dir, "cycle-*.scores"))
	sort.Sort(sort.Reverse(sort.StringSlice(files)))
	for _, f := range files {
		if h, scores, err := read(f); err == nil && h.Pool == hex.EncodeToString(pool[:]) {
			return h, scores, true
		}
	}
	return Header{}, nil, false
}

func read(path string) (Header, []float32, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Header{}, nil, err
	}
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	head, raw, ok2 := bytes.Cut(rest, []byte("\n"))
	var h Header
	if !ok || !ok2 || json.Unmarshal(head, &h) != nil || len(raw) != 4*h.Rows || crc32.Checksum(raw, castagnoli) != h.CRC {
		return Header{}, nil, errors.New("the file is damaged")
	}
	scores := make([]float32, h.Rows)
	for i := range scores {
		scores[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return h, scores, nil
}

// Order lists the images that have a score, best first, ties by number.
func Order(scores []float32) []int32 {
	order := make([]int32, 0, len(scores))
	for i, s := range scores {
		if s == s {
			order = append(order, int32(i))
		}
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b)) })
	return order
}

// Joint ranks by the places in the fast and the deep ranking: 1 for an image that is first in both, towards 0 for the last; NaN where
// either has no score. The deep ranking counts as far as it agrees with the fast one on what is at the top (see Agreement): a
// network that was trained on a handful of labels can be anywhere between better than the fast head and worse than chance.
func Joint(fast, deep []float32) []float32 {
	weight := Agreement(fast, deep)
	out := make([]float32, len(fast))
	for i := range out {
		if fast[i] != fast[i] || deep[i] != deep[i] {
			out[i] = float32(math.NaN())
		}
	}
	for _, r := range []struct {
		scores []float32
		weight float64
	}{{fast, 1 / (1 + weight)}, {deep, weight / (1 + weight)}} {
		order := Order(r.scores)
		for place, i := range order {
			out[i] += float32((1 - float64(place)/float64(len(order))) * r.weight)
		}
	}
	return out
}

// Agreement is how well deep tells fast's top 5% from the rest: 1 perfectly, 0 no better than chance, or worse.
func Agreement(fast, deep []float32) float64 {
	order := Order(fast)
	top := max(1, len(order)/20)
	labels, scores := make([]bool, len(order)), make([]float64, len(order))
	for place, i := range order {
		labels[place], scores[place] = place < top, float64(deep[i])
	}
	auroc, ok := metrics.AUROC(labels, scores)
	if !ok {
		return 0
	}
	return max(0, 2*auroc-1)
}
