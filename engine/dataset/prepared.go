package dataset

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"anomalymatch/engine/dataset/turbo"
	"anomalymatch/internal/age"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/failpoint"
	"anomalymatch/internal/glob"
)

// Prepared pixels are a cache of images decoded and at one size, so that a later pass over the pool decodes nothing: DIR/SIZE/NNNNNN.pix,
// each a fixed range of the pool's numbers of at most shardBytes. They are made while a pass goes through the pool, not by a pass of their
// own, and nothing needs them: what is missing, damaged or of a file that changed is decoded, and set right when the pass leaves the shard.
//
// A shard is rows, then what tells whether to believe them:
//
//	N × size × size × C   uint8, image From+i in row i; rows of images without pixels are zeros
//	N uint64              key of each image: of its id, and of its file's size and time when it was read; 0: no pixels
//	N uint32              CRC-32C of each row
//	header                JSON: shardHeader
//	uint32                length of the header
//	uint32                CRC-32C of everything behind the rows, but for this and the magic
//	magic                 "AMPIXELS"
//
// All integers are little-endian. The keys are what makes a shard belong to this pool: ids that moved, since images were added before
// them, do not have them. Files are written beside their name and renamed, without fsync: the checksums tell what did not reach the disk.
//
// Rows are read, not mapped: they are copied into a batch anyway; a shard that is cut off under a map kills the process, and mapped pages
// count as the engine's memory.
type prepared struct {
	dir      string
	keep     bool // shards may be written
	bytes    int  // of the rows of a shard, at most
	channels int

	mu   sync.Mutex
	open map[string]*pixels // by path; nil: cannot be used
}

type shardHeader struct {
	Of       string `json:"of"`       // how the pixels were made: pixelsMade
	Size     int    `json:"size"`     // pixels a side
	Channels int    `json:"channels"` // 3 where an older program made it
	From     int    `json:"from"`     // numbers in the pool, as in Block
	To       int    `json:"to"`
}

const (
	shardMagic = "AMPIXELS"
	shardTail  = 4 + 4 + len(shardMagic)
	shardBytes = 128 << 20
	openShards = 64 // held open at most
)

// pixelsMade changes with whatever changes pixels: decoders, resizing, what is done to the values before.
var pixelsMade = map[bool]string{false: "rgb 1, libjpeg, bilinear", true: "rgb 1, libjpeg scaled, bilinear"}[turbo.Available]

// Prepare has passes over the pool (Batches, Blocks) and Sized read the pixels that are prepared below dir and, with keep, prepare those
// that are not. Call it before the pool is used.
func (p *Pool) Prepare(dir string, keep bool) {
	p.prepared = &prepared{dir: dir, keep: keep, bytes: shardBytes, channels: p.Channels(), open: map[string]*pixels{}}
}

// rows is how many images at that size a shard holds.
func (c *prepared) rows(size int) int { return max(1, c.bytes/(size*size*c.channels)) }

// rangeOf is the shard that image i is in, in a pool of n.
func (c *prepared) rangeOf(i, size, n int) shardHeader {
	from := i - i%c.rows(size)
	return shardHeader{Of: pixelsMade, Size: size, Channels: c.channels, From: from, To: min(from+c.rows(size), n)}
}

func (h shardHeader) rows() int     { return h.To - h.From }
func (h shardHeader) rowBytes() int { return h.Size * h.Size * h.Channels }

func (c *prepared) path(h shardHeader) string {
	return filepath.Join(c.dir, fmt.Sprint(h.Size), fmt.Sprintf("%06d.pix", h.From/c.rows(h.Size)))
}

// pixels is an open shard. Files close themselves when nobody holds them any more.
type pixels struct {
	shardHeader
	file *os.File
	keys []uint64
	sums []uint32
}

// shard returns the shard that h means, nil where there is none that can be used.
func (c *prepared) shard(h shardHeader) *pixels {
	path := c.path(h)
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known := c.open[path]
	if known {
		return s
	}
	s, err := openPixels(path, h)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		slog.Warn("prepared pixels are not used", "file", path, "why", reason(err))
	}
	for some := range c.open {
		if len(c.open) < openShards {
			break
		}
		delete(c.open, some)
	}
	c.open[path] = s
	return s
}

func (c *prepared) forget(h shardHeader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, c.path(h))
}

// openPixels reads everything but the rows. It believes no length before it has checked it.
func openPixels(path string, want shardHeader) (s *pixels, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	n := want.rows()
	rows := int64(n) * int64(want.rowBytes())
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const mostHeader = 4096
	behind := info.Size() - rows
	if behind < int64(12*n+shardTail) || behind > int64(12*n+shardTail+mostHeader) {
		return nil, errors.New("it is cut off, or of another pool or size")
	}
	b := make([]byte, behind)
	if _, err := f.ReadAt(b, rows); err != nil {
		return nil, err
	}
	tail := b[len(b)-shardTail:]
	if string(tail[8:]) != shardMagic || crc32.Checksum(b[:len(b)-shardTail+4], crcTable) != le.Uint32(tail[4:]) ||
		int64(le.Uint32(tail)) != behind-int64(12*n+shardTail) {
		return nil, errors.New("it is damaged, or of another pool or size")
	}
	s = &pixels{shardHeader: shardHeader{Channels: 3}, file: f, keys: make([]uint64, n), sums: make([]uint32, n)}
	if err := json.Unmarshal(b[12*n:len(b)-shardTail], &s.shardHeader); err != nil || s.shardHeader != want {
		return nil, errors.New("it is of another pool, size or version")
	}
	for i := range n {
		s.keys[i], s.sums[i] = le.Uint64(b[8*i:]), le.Uint32(b[8*n+4*i:])
	}
	return s, nil
}

// VerifyPrepared says why a shard of prepared pixels (SIZE/NNNNNN.pix) cannot be believed, or nil.
func VerifyPrepared(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	damaged := errors.New("it is damaged")
	info, err := f.Stat()
	if err != nil {
		return err
	}
	const most = 1 << 16 // of the tail and the header
	end := make([]byte, min(info.Size(), most))
	if _, err := f.ReadAt(end, info.Size()-int64(len(end))); err != nil {
		return err
	}
	if len(end) < shardTail {
		return damaged
	}
	tail := end[len(end)-shardTail:]
	n := int(le.Uint32(tail))
	h := shardHeader{Channels: 3} // where an older program made it
	if n > len(end)-shardTail || json.Unmarshal(end[len(end)-shardTail-n:len(end)-shardTail], &h) != nil ||
		h.From < 0 || h.Size < 1 || h.Size > 1<<16 || h.Channels < 1 || h.Channels > MaxChannels || h.To <= h.From || int64(h.To-h.From) > info.Size()/12 {
		return damaged
	}
	s, err := openPixels(path, h)
	if err != nil {
		return err
	}
	defer s.file.Close()
	rows := bufio.NewReaderSize(s.file, 1<<20)
	row, none := make([]byte, s.rowBytes()), crc32.Checksum(make([]byte, s.rowBytes()), crcTable)
	for i := range s.sums {
		if _, err := io.ReadFull(rows, row); err != nil {
			return err
		}
		want := s.sums[i]
		if s.keys[i] == 0 {
			want = none
		}
		if crc32.Checksum(row, crcTable) != want {
			return damaged
		}
	}
	return nil
}

// row reads image i with that key; false where the shard does not have it, or damaged.
func (s *pixels) row(i int, key uint64, dst []uint8) bool {
	r := i - s.From
	if s.keys[r] != key || key == 0 {
		return false
	}
	_, err := s.file.ReadAt(dst, int64(r)*int64(len(dst)))
	return err == nil && crc32.Checksum(dst, crcTable) == s.sums[r]
}

// stater is a source that can tell what there is of an image now, without reading it.
type stater interface {
	Stat(ctx context.Context, e Entry) (size, modTime int64, err error)
}

// key of image i as it is now; 0 where that cannot be told.
func (p *Pool) key(ctx context.Context, i int) uint64 {
	e := p.Entry(i)
	source, _, _ := strings.Cut(e.ID, "/")
	s, ok := p.sources[source].(stater)
	if !ok {
		return 0
	}
	size, modTime, err := s.Stat(ctx, e)
	if err != nil {
		return 0
	}
	e.Size, e.ModTime = size, modTime
	return p.keyOf(e)
}

// keyOf an image of that id, size and time, read as it is; never 0.
func (p *Pool) keyOf(e Entry) uint64 {
	source, _, _ := strings.Cut(e.ID, "/")
	e.ID += p.readings[source].text
	h := uint64(14695981039346656037) // FNV-1a
	for k := range len(e.ID) {
		h = (h ^ uint64(e.ID[k])) * 1099511628211
	}
	for _, v := range [2]uint64{uint64(e.Size), uint64(e.ModTime)} {
		for range 8 {
			h = (h ^ v&255) * 1099511628211
			v >>= 8
		}
	}
	return max(h, 1)
}

// Sized writes image i at size × size pixels to dst, which holds size*size*Channels() bytes: prepared, or decoded. Errors are those of Image.
func (p *Pool) Sized(ctx context.Context, i, size int, dst []uint8) error {
	_, err := p.sized(ctx, i, size, dst)
	return err
}

// sized is Sized, and tells what the shard should have of the image.
func (p *Pool) sized(ctx context.Context, i, size int, dst []uint8) (has row, err error) {
	if p.prepared != nil {
		has.key = p.key(ctx, i) // before the image is read: a change after this is noticed, since the key is the old one
		if s := p.prepared.shard(p.prepared.rangeOf(i, size, p.Len())); s != nil && s.row(i, has.key, dst) {
			has.sum, has.kept = s.sums[i-s.From], true
			p.good(i, has.key != p.keyOf(p.Entry(i)))
			return has, nil
		}
	}
	if err := p.look(ctx, i, size, func(_ codec, m image.Image) { resized(dst, m, size) }); err != nil {
		return row{}, err
	}
	if p.prepared != nil && p.prepared.keep {
		has.sum = crc32.Checksum(dst, crcTable)
	}
	return has, nil
}

// row is what a shard says of one image.
type row struct {
	key  uint64
	sum  uint32
	kept bool // the shard has it already
}

// keeper follows a pass over the pool and writes the shards that it goes through whole. Memory is bounded by the tables of one shard.
type keeper struct {
	*prepared
	size, n int
	off     bool // something failed
	next    int  // the image that the shard at hand waits for; -1: none is at hand
	shard   shardHeader
	old     *pixels  // the shard as it is, while nothing differs
	part    *os.File // the shard as it will be
	out     *bufio.Writer
	keys    []uint64
	sums    []uint32
	black   []uint8
}

func (p *Pool) keeper(size int) *keeper {
	if p.prepared == nil || !p.prepared.keep {
		return nil
	}
	return &keeper{prepared: p.prepared, size: size, n: p.Len(), next: -1, black: make([]uint8, size*size*p.Channels())}
}

// add takes the next image of the pass; pix is nil where it has none. What fails is logged and costs only the cache.
func (k *keeper) add(i int, has row, pix []uint8) {
	if k == nil || k.off {
		return
	}
	if err := k.take(i, has, pix); err != nil {
		slog.Warn("prepared pixels cannot be kept", "folder", k.dir, "why", reason(err))
		k.drop()
		k.off = true
	}
}

func (k *keeper) take(i int, has row, pix []uint8) error {
	if i != k.next {
		k.drop()
		k.shard = k.rangeOf(i, k.size, k.n)
		if i != k.shard.From {
			return nil // it goes through a part only
		}
		if err := k.begin(); err != nil {
			return err
		}
	}
	r := i - k.shard.From
	k.next = i + 1
	usable := pix != nil && has.key != 0
	if k.old != nil && usable && !has.kept {
		if err := k.remake(r); err != nil {
			return err
		}
	}
	if k.old == nil {
		if !usable {
			has, pix = row{}, k.black
		}
		k.keys[r], k.sums[r] = has.key, has.sum
		if _, err := k.out.Write(pix); err != nil {
			return err
		}
	}
	if k.next < k.shard.To {
		return nil
	}
	defer k.drop()
	if k.next == k.n { // the pool had more images once
		for _, path := range glob.In(filepath.Dir(k.path(k.shard)), "*.pix") {
			if path > k.path(k.shard) {
				os.Remove(path)
			}
		}
	}
	if k.old != nil {
		return nil
	}
	return k.finish()
}

// begin takes up the shard at hand.
func (k *keeper) begin() error {
	k.old = k.prepared.shard(k.shard)
	k.keys, k.sums = make([]uint64, k.shard.rows()), make([]uint32, k.shard.rows())
	if k.old == nil {
		return k.create()
	}
	return nil
}

// remake begins the shard anew with the first r rows as they are: the next one differs.
func (k *keeper) remake(r int) error {
	if err := k.create(); err != nil {
		return err
	}
	n := int64(r) * int64(k.shard.rowBytes())
	if _, err := io.Copy(k.out, io.NewSectionReader(k.old.file, 0, n)); err != nil {
		return err
	}
	copy(k.keys, k.old.keys[:r])
	copy(k.sums, k.old.sums[:r])
	k.old = nil
	return nil
}

func (k *keeper) create() (err error) {
	path := k.path(k.shard)
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	for _, old := range glob.In(filepath.Dir(path), "*.part") { // of processes that were killed
		if info, err := os.Stat(old); err == nil && age.Of(old, info) > 24*time.Hour {
			os.Remove(old)
		}
	}
	k.part, err = os.OpenFile(fmt.Sprintf("%s-%08x.part", path, rand.Uint32()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	k.out = bufio.NewWriterSize(k.part, 1<<20)
	return nil
}

// finish gives the shard its name.
func (k *keeper) finish() error {
	behind := make([]byte, 0, 12*len(k.keys)+256)
	for _, v := range k.keys {
		behind = le.AppendUint64(behind, v)
	}
	for _, v := range k.sums {
		behind = le.AppendUint32(behind, v)
	}
	head, err := json.Marshal(k.shard)
	if err != nil {
		return err
	}
	behind = le.AppendUint32(append(behind, head...), uint32(len(head)))
	behind = append(le.AppendUint32(behind, crc32.Checksum(behind, crcTable)), shardMagic...)
	_, err = k.out.Write(behind)
	if err = errors.Join(err, k.out.Flush(), k.part.Close()); err != nil {
		return err
	}
	failpoint.Hit(failpoint.PixelsWhole)
	if err := os.Rename(k.part.Name(), k.path(k.shard)); err != nil {
		return err
	}
	failpoint.Hit(failpoint.PixelsRenamed)
	k.part = nil
	k.forget(k.shard)
	return nil
}

// drop lets go of the shard at hand.
func (k *keeper) drop() {
	if k == nil {
		return
	}
	if k.part != nil {
		k.part.Close()
		os.Remove(k.part.Name())
	}
	k.part, k.out, k.old, k.next = nil, nil, nil, -1
}
