package dataset

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"anomalymatch/internal/atomicfile"
)

// The same picture in two sources is noticed by what is stored: the bytes of an image file, in a folder as in a zip or a column of Parquet, or the
// values of an array with their type and shape. Pixels are not compared: the same picture in another encoding is what near-duplicates are for,
// and needs embeddings, while this does not.
//
// Every image that is decoded, for whatever purpose, is hashed on the way, so there is no pass for this alone: the first one that embeds, scores or
// trains on all has them all. Only pools of several sources do it. The hashes are kept as index/same.sums, by what the image was, not by its
// number, so that a new list takes over what it can:
//
//	magic   "anomalymatch sums 1\n"
//	N       uint64 key of an image (id, size, time), uint64 first 8 bytes of the SHA-256 of its content; ascending, little-endian
//	uint32  CRC-32C of everything before
//
// In memory it is 8 bytes an image.
type sums struct {
	path  string
	of    []uint64 // by image number; 0: not known
	fresh atomic.Int64
	disk  sync.Mutex
}

const (
	sumsName  = "same.sums"
	sumsMagic = "anomalymatch sums 1\n"
)

// sum of the content; never 0.
func (c Content) sum() uint64 {
	h := sha256.New()
	if c.Values.Data != nil {
		fmt.Fprintf(h, "%v %d %d %d %v\n", c.Values.Kind(), c.Values.W, c.Values.H, c.Values.C, c.Values.Planar)
		h.Write(c.Values.Bytes())
	} else {
		h.Write(c.Encoded)
	}
	return max(1, le.Uint64(h.Sum(nil)))
}

// note takes what image i holds.
func (s *sums) note(i int, c Content) {
	if s != nil && atomic.LoadUint64(&s.of[i]) == 0 {
		atomic.StoreUint64(&s.of[i], c.sum())
		s.fresh.Add(1)
	}
}

// HasNewSums says whether images were read since Same was called last of which it would know more.
func (p *Pool) HasNewSums() bool { return p.sums != nil && p.sums.fresh.Load() > 0 }

// Same are the images that are the same in several sources, as far as they were read so far: sets of two or more in the order of the pool, each with
// images of two sources at least. What is known is kept on disk.
func (p *Pool) Same(ctx context.Context) ([][]int32, error) {
	s := p.sums
	if s == nil {
		return nil, nil
	}
	s.disk.Lock()
	defer s.disk.Unlock()
	fresh := s.fresh.Swap(0)
	if err := p.keepSums(ctx, fresh > 0); err != nil {
		return nil, err
	}
	type known struct {
		sum uint64
		i   int32
	}
	var all []known
	for i := range s.of {
		if sum := atomic.LoadUint64(&s.of[i]); sum != 0 {
			all = append(all, known{sum, int32(i)})
		}
	}
	slices.SortFunc(all, func(a, b known) int { return cmp.Or(cmp.Compare(a.sum, b.sum), cmp.Compare(a.i, b.i)) })
	var sets [][]int32
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].sum == all[from].sum {
			to++
		}
		if first, last := p.sourceOf(int(all[from].i)), p.sourceOf(int(all[to-1].i)); first != last { // ids are sorted, so sources are
			var set []int32
			for _, k := range all[from:to] {
				set = append(set, k.i)
			}
			sets = append(sets, set)
		}
		from = to
	}
	slices.SortFunc(sets, func(a, b []int32) int { return cmp.Compare(a[0], b[0]) })
	return sets, ctx.Err()
}

// sourceOf is the name of the source that image i is from.
func (p *Pool) sourceOf(i int) string {
	source, _, _ := strings.Cut(p.id(i), "/")
	return source
}

// keepSums takes what the file knows, and writes it anew where this process knows more.
func (p *Pool) keepSums(ctx context.Context, more bool) error {
	s := p.sums
	old, err := readSums(s.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		more = true // it is damaged: what is known is as good
	}
	rows := len(old) / 16
	var out [][2]uint64
	for i := range s.of {
		if i%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		sum, key := atomic.LoadUint64(&s.of[i]), uint64(0)
		if sum == 0 && rows == 0 || sum != 0 && !more {
			continue
		}
		key = p.keyOf(p.Entry(i))
		if sum == 0 {
			at, found := sort.Find(rows, func(r int) int { return cmp.Compare(key, le.Uint64(old[16*r:])) })
			if !found {
				continue
			}
			sum = le.Uint64(old[16*at+8:])
			atomic.StoreUint64(&s.of[i], sum)
		}
		if more {
			out = append(out, [2]uint64{key, sum})
		}
	}
	p.mu.Lock()
	shared := p.shared
	p.mu.Unlock()
	if !more || shared {
		return nil
	}
	slices.SortFunc(out, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	err = atomicfile.Write(s.path, func(w io.Writer) error {
		sum := crc32.New(crcTable)
		both := io.MultiWriter(w, sum)
		io.WriteString(both, sumsMagic)
		for ; len(out) > 0; out = out[min(len(out), 1<<12):] {
			if _, err := both.Write(pairs(out[:min(len(out), 1<<12)])); err != nil {
				return err
			}
		}
		_, err := w.Write(le.AppendUint32(nil, sum.Sum32()))
		return err
	})
	if err != nil { // such as in a folder that cannot be written: it is found again
		slog.Warn("what is the same in several sources cannot be kept", "why", reason(err))
	}
	return nil
}

func pairs(of [][2]uint64) (b []byte) {
	for _, p := range of {
		b = le.AppendUint64(le.AppendUint64(b, p[0]), p[1])
	}
	return b
}

// VerifySums says why a file of hashes (same.sums) cannot be believed, or nil.
func VerifySums(path string) error { _, err := readSums(path); return err }

// readSums returns the rows of the file.
func readSums(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rows := len(b) - len(sumsMagic) - 4
	if rows < 0 || rows%16 != 0 || !bytes.HasPrefix(b, []byte(sumsMagic)) || crc32.Checksum(b[:len(b)-4], crcTable) != le.Uint32(b[len(b)-4:]) {
		return nil, errors.New("it is damaged")
	}
	return b[len(sumsMagic) : len(b)-4], nil
}

// newSums is for a pool of several sources; nil for others, since there is nothing to notice.
func newSums(dir string, sources, images int) *sums {
	if sources < 2 {
		return nil
	}
	return &sums{path: filepath.Join(dir, sumsName), of: make([]uint64, images)}
}
