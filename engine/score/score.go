// Package score runs a model over a pool and keeps what it said.
package score

import (
	"bufio"
	"bytes"
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
	"sort"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/metrics"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/glob"
	"anomalymatch/internal/newer"
)

// Options of Pool.
type Options struct {
	Size, Batch, Workers int // pixels a side, images a batch, decoding goroutines
	Progress             func(done, total int)
	Waits                *Waits // told who waits for whom; nil: nobody asks
}

// Batch is how many images the network takes at once: as many as wanted (0: the usual), fewer where they are large (size pixels a side), and not
// more than there are. It depends on nothing else, so that several machines that share a pool have the same; see Fit.
func Batch(wanted, size, images int) int {
	if wanted <= 0 {
		wanted = usual
	}
	n := max(1, min(wanted, images))
	for n > 8 && n*size*size > 256*64*64 {
		n /= 2
	}
	return n
}

// Pool returns the probability of anomaly of every image, NaN for those that cannot be read (the pool lists them as bad).
func Pool(ctx context.Context, pool *dataset.Pool, m *nn.Model, opt Options) ([]float32, error) {
	out := make([]float32, 0, pool.Len())
	for s, err := range Range(ctx, pool, m, 0, pool.Len(), opt) {
		if err != nil {
			return nil, err
		}
		out = append(out, s...)
	}
	return out, nil
}

// Header of a score file. The same scores make the same file, byte for byte.
type Header struct {
	Pool  string `json:"pool"` // hash of the pool the scores belong to, hexadecimal
	Cycle int    `json:"cycle"`
	Step  int    `json:"step"` // of the checkpoint in its cycle
	Rows  int    `json:"rows"`
	CRC   uint32 `json:"crc32c"` // of the rows' bytes

	Missing int `json:"missing,omitempty"` // images that are yet to be scored, see Carry

	Backend string `json:"backend,omitempty"` // that computed them; empty: not known
	Batch   int    `json:"batch,omitempty"`   // images that it took at once; 0: the usual, see Batch

	Check uint32 `json:"check,omitempty"` // CRC-32C of the header without it; 0 in files of older programs

	Made time.Time `json:"-"` // when the file was written
}

// line is the header as files hold it, with its checksum.
func (h Header) line() []byte {
	h.Check = 0
	text, _ := json.Marshal(h) // numbers and strings always have a JSON form
	h.Check = Checksum(0, text)
	text, _ = json.Marshal(h)
	return append(text, '\n')
}

// parseHeader reads what line wrote. Whatever differs by a byte is no header; those of older programs differ by the missing checksum only.
func parseHeader(text []byte) (h Header, ok bool) {
	if json.Unmarshal(text, &h) != nil || h.Rows < 0 {
		return h, false
	}
	if h.Check == 0 {
		old, _ := json.Marshal(h)
		return h, bytes.Equal(text, append(old, '\n'))
	}
	return h, bytes.Equal(text, h.line())
}

const magic = "AMSCORE1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Bytes are scores as files hold them: float32, little endian.
func Bytes(scores []float32) []byte {
	raw := make([]byte, 0, 4*len(scores))
	for _, s := range scores {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(s))
	}
	return raw
}

// Checksum is the CRC-32C of score bytes that follow those of the checksum before, 0 at first.
func Checksum(before uint32, raw []byte) uint32 { return crc32.Update(before, castagnoli, raw) }

// Write keeps scores as DIR/cycle-NNN.scores: the magic line, the header as one line of JSON, then the scores in the pool's order, as
// Bytes. Of h it takes all but what follows from the scores.
func Write(dir string, h Header, scores []float32) error {
	raw := Bytes(scores)
	h.Rows, h.CRC, h.Missing = len(scores), Checksum(0, raw), len(Missing(scores))
	return WriteFrom(dir, h, bytes.NewReader(raw))
}

// WriteFrom is Write for scores that are not in memory: raw gives their bytes, of which h tells the number of rows and the checksum. If
// other bytes come nothing is written.
func WriteFrom(dir string, h Header, raw io.Reader) error {
	err := atomicfile.MkdirAll(dir, 0o777)
	if err == nil {
		err = atomicfile.Write(Path(dir, h.Cycle), func(w io.Writer) error {
			if _, err := fmt.Fprintf(w, "%s%s", magic, h.line()); err != nil {
				return err
			}
			sum := crc32.New(castagnoli)
			n, err := io.Copy(io.MultiWriter(w, sum), raw)
			if err == nil && (n != 4*int64(h.Rows) || sum.Sum32() != h.CRC) {
				err = errors.New("they changed while they were written")
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("the scores could not be kept: %w", err)
	}
	return nil
}

// Path is the score file of a cycle.
func Path(dir string, cycle int) string {
	return filepath.Join(dir, fmt.Sprintf("cycle-%03d.scores", cycle))
}

// Files lists the score files of dir, the newest cycle first.
func Files(dir string) []string {
	files := glob.In(dir, "cycle-*.scores")
	sort.Sort(sort.Reverse(sort.StringSlice(files)))
	return files
}

// Stamp names the newest score file of dir, its size and its time, so that a new one is noticed without reading it; "" without one.
func Stamp(dir string) string {
	files := Files(dir)
	if len(files) == 0 {
		return ""
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d", info.Name(), info.Size(), info.ModTime().UnixNano())
}

// Latest reads the newest undamaged scores of the pool in dir; found is false where there are none.
func Latest(dir string, pool [32]byte) (h Header, scores []float32, found bool) {
	for _, f := range Files(dir) {
		if h, scores, err := read(f); err == nil && h.Pool == hex.EncodeToString(pool[:]) {
			return h, scores, true
		}
	}
	return Header{}, nil, false
}

// Before reads the newest undamaged scores of the pool in dir that are of an older cycle; found is false where there are none.
func Before(dir string, pool [32]byte, cycle int) (h Header, scores []float32, found bool) {
	for _, f := range Files(dir) {
		if h, scores, err := read(f); err == nil && h.Cycle < cycle && h.Pool == hex.EncodeToString(pool[:]) {
			return h, scores, true
		}
	}
	return Header{}, nil, false
}

var errDamaged = errors.New("the file is damaged")

// open reads a file's header; the rows follow in r, which are not checked yet.
func open(path string) (f *os.File, r *bufio.Reader, h Header, err error) {
	f, err = os.Open(path)
	if err != nil {
		return nil, nil, h, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, h, err
	}
	r = bufio.NewReaderSize(f, 1<<18)
	first, err := r.ReadSlice('\n')
	if err == nil && newer.Magic(string(first), magic) != nil {
		return nil, nil, h, newer.Err
	}
	if err != nil || string(first) != magic {
		return nil, nil, h, errDamaged
	}
	head, err := r.ReadSlice('\n')
	if err != nil {
		return nil, nil, h, errDamaged
	}
	var ok bool
	if h, ok = parseHeader(head); !ok || info.Size() != int64(len(magic)+len(head))+4*int64(h.Rows) {
		return nil, nil, h, errDamaged
	}
	h.Made = info.ModTime()
	return f, r, h, nil
}

// Verify says why a score file cannot be believed, or nil.
func Verify(path string) error {
	f, r, h, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return rows(r, h, func(int, float32) {})
}

func read(path string) (Header, []float32, error) {
	f, r, h, err := open(path)
	if err != nil {
		return Header{}, nil, err
	}
	defer f.Close()
	scores := make([]float32, 0, h.Rows)
	if err := rows(r, h, func(_ int, s float32) { scores = append(scores, s) }); err != nil {
		return Header{}, nil, err
	}
	return h, scores, nil
}

// Place is the score of image i in a score file of the pool, and its rank from 0: how many images score higher. found is false where the file
// is damaged, of another pool, or has no score for the image.
func Place(path string, pool [32]byte, i int) (h Header, score float32, rank int64, found bool) {
	f, r, h, err := open(path)
	if err != nil {
		return h, 0, 0, false
	}
	defer f.Close()
	if h.Pool != hex.EncodeToString(pool[:]) || i < 0 || i >= h.Rows {
		return h, 0, 0, false
	}
	var b [4]byte
	info, err := f.Stat()
	if err != nil {
		return h, 0, 0, false
	}
	if _, err := f.ReadAt(b[:], info.Size()-4*int64(h.Rows-i)); err != nil {
		return h, 0, 0, false
	}
	score = math.Float32frombits(binary.LittleEndian.Uint32(b[:]))
	err = rows(r, h, func(_ int, s float32) {
		if s > score {
			rank++
		}
	})
	return h, score, rank, err == nil && score == score
}

// rows calls each for every row that r holds, and says in the end whether they are the ones that h tells of.
func rows(r io.Reader, h Header, each func(i int, s float32)) error {
	var buffer [1 << 16]byte
	sum := uint32(0)
	for i := 0; i < h.Rows; {
		b := buffer[:min(len(buffer), 4*(h.Rows-i))]
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		sum = Checksum(sum, b)
		for ; len(b) > 0; b, i = b[4:], i+1 {
			each(i, math.Float32frombits(binary.LittleEndian.Uint32(b)))
		}
	}
	if sum != h.CRC {
		return errDamaged
	}
	return nil
}

// Order lists the images that have a score, best first, ties by number.
func Order(scores []float32) []int32 {
	n := 0
	for _, s := range scores {
		if s == s {
			n++
		}
	}
	keys, order := make([]uint32, 0, n), make([]int32, 0, n)
	for i, s := range scores {
		if s == s {
			keys, order = append(keys, ^sortKey(s)), append(order, int32(i))
		}
	}
	return sorted(keys, order)
}

// sorted puts order in the order of its keys, equal ones as they are: by their lowest eleven bits, the next, and the highest (radix sort). Ten
// million take a fifth of what comparing them takes. Both slices are used up.
func sorted(keys []uint32, order []int32) []int32 {
	const digit = 1<<11 - 1
	otherKeys, other := make([]uint32, len(keys)), make([]int32, len(order))
	for shift := 0; shift < 32; shift += 11 {
		var at [digit + 1]int
		for _, k := range keys {
			at[k>>shift&digit]++
		}
		if len(keys) > 0 && at[keys[0]>>shift&digit] == len(keys) {
			continue // all alike
		}
		sum := 0
		for d, n := range at {
			at[d] = sum
			sum += n
		}
		for i, k := range keys {
			to := &at[k>>shift&digit]
			otherKeys[*to], other[*to] = k, order[i]
			*to++
		}
		keys, otherKeys, order, other = otherKeys, keys, other, order
	}
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
