package dataset

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// When files came, changed or went, the new list has other numbers and another hash, and what was made of the images (embeddings, scores,
// prepared pixels) is of the old one. So the old list stays beside the new one, as before.idx in the same format, until all of that is taken
// over: both are in the order of ids, so one look through both tells which images stayed (same id, size and time) and where they stand
// now. Whatever holds rows by number is copied along that, in a stream, and replaced by a rename; cut off anywhere, it is done again at the
// next start, because the old list goes last.
const beforeName = "before.idx"

// Kept is a run of images that stayed the same from one list to the next: N of them, that stood at From in the list before, stand at To in this
// one.
type Kept struct{ From, To, N int }

// Before is what is known of the list that was in use before this one.
type Before struct {
	Images int
	Hash   [32]byte
	Kept   []Kept // ascending; images that are in no run are new or changed
}

// Stayed is the number of images that are the same as before.
func (b *Before) Stayed() (n int) {
	for _, k := range b.Kept {
		n += k.N
	}
	return n
}

// moved says whether anything stands elsewhere than before, in a pool of n images.
func (b *Before) moved(n int) bool {
	for _, k := range b.Kept {
		if k.From != k.To {
			return true
		}
	}
	return b.Images != n
}

// Before compares the list with the one that was in use before it, in bounded memory; nil where there is none of which anything is to be taken over.
// A damaged one is as good as none.
func (p *Pool) Before(ctx context.Context) (*Before, error) {
	f, err := os.Open(filepath.Join(p.dir, beforeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the list of images before this one cannot be read: %s", reason(err))
	}
	defer f.Close()
	was, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if is, err := os.Stat(filepath.Join(p.dir, indexName)); err == nil && os.SameFile(is, was) { // cut off before the new one had its name
		return nil, p.CarriedOver()
	}
	old, err := openRows(f)
	if err != nil {
		slog.Warn("what was made of the images before they changed is made anew", "why", err)
		return nil, p.CarriedOver()
	}
	b := &Before{Images: old.Images, Hash: [32]byte(old.Hash)}
	readings := map[string]string{} // read in another way, an image is another one
	for _, s := range old.Sources {
		readings[s.Name] = understood(s.Reading).text
	}
	j, more := 0, old.next()
	at := 0
	for i := 0; i < p.Len() && more; i++ {
		if i%(1<<16) == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		id := p.ids[at : at+p.length(i)]
		at += len(id)
		for more && string(old.id) < id {
			j++
			more = old.next()
		}
		if !more || string(old.id) != id {
			continue
		}
		source, _, _ := strings.Cut(id, "/")
		if old.size == p.size(i) && old.modTime == p.modTime(i) && readings[source] == p.readings[source].text {
			if last := len(b.Kept) - 1; last >= 0 && b.Kept[last].From+b.Kept[last].N == j && b.Kept[last].To+b.Kept[last].N == i {
				b.Kept[last].N++
			} else {
				b.Kept = append(b.Kept, Kept{j, i, 1})
			}
		}
		j++
		more = old.next()
	}
	if old.err != nil {
		return nil, fmt.Errorf("the list of images before this one cannot be read: %s", reason(old.err))
	}
	return b, nil
}

// CarriedOver says that everything made of the list before is taken over, or never will be.
func (p *Pool) CarriedOver() error {
	err := os.Remove(filepath.Join(p.dir, beforeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// rowsOf reads the rows of a list one after the other, without holding them.
type rowsOf struct {
	indexHeader
	columns [4]*bufio.Reader
	read    int

	id            []byte // of the row at hand; valid until the next one
	size, modTime int64
	err           error
}

// openRows checks the whole file first.
func openRows(f *os.File) (*rowsOf, error) {
	damaged := errors.New("the list of images before this one is damaged")
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	sum, last := crc32.New(crcTable), make([]byte, 4)
	if info.Size() < int64(len(indexMagic)+8) {
		return nil, damaged
	}
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, info.Size()-4)); err != nil {
		return nil, err
	}
	if _, err := f.ReadAt(last, info.Size()-4); err != nil || le.Uint32(last) != sum.Sum32() {
		return nil, damaged
	}
	head := make([]byte, len(indexMagic)+4)
	if _, err := f.ReadAt(head, 0); err != nil || string(head[:len(indexMagic)]) != indexMagic {
		return nil, damaged
	}
	n := int64(le.Uint32(head[len(indexMagic):]))
	at := int64(len(head)) + n
	if at > info.Size()-4 {
		return nil, damaged
	}
	text := make([]byte, n)
	if _, err := f.ReadAt(text, int64(len(head))); err != nil {
		return nil, err
	}
	r := &rowsOf{}
	if json.Unmarshal(text, &r.indexHeader) != nil || r.Images < 0 || r.Bytes < 0 || r.Images > math.MaxInt32 || len(r.Hash) != 32 ||
		at+int64(r.Images)*int64(r.rowBytes())+int64(r.Bytes) != info.Size()-4 {
		return nil, damaged
	}
	places := int64(r.rowBytes()-18) * int64(r.Images) // not read: where an image lies in its container says nothing of it
	for c, bytes := range [4]int64{2 * int64(r.Images), 8 * int64(r.Images), 8 * int64(r.Images), int64(r.Bytes)} {
		if c == 3 {
			at += places
		}
		r.columns[c] = bufio.NewReaderSize(io.NewSectionReader(f, at, bytes), 1<<16)
		at += bytes
	}
	return r, nil
}

// next goes to the next row; false at the end, and where the file cannot be read any more.
func (r *rowsOf) next() bool {
	if r.err != nil || r.read == r.Images {
		return false
	}
	r.read++
	var b [8]byte
	full := func(column int, b []byte) {
		if r.err == nil {
			_, r.err = io.ReadFull(r.columns[column], b)
		}
	}
	full(0, b[:2])
	if n := int(le.Uint16(b[:])); n <= cap(r.id) {
		r.id = r.id[:n]
	} else {
		r.id = make([]byte, n)
	}
	full(1, b[:])
	r.size = int64(le.Uint64(b[:]))
	full(2, b[:])
	r.modTime = int64(le.Uint64(b[:]))
	full(3, r.id)
	return r.err == nil
}

// CarryPrepared gives the pixels that were prepared of the list before their places in this one: shards whose images stand where they did stay, the
// others are written anew, row by row. Cut off at any moment it costs pixels, never wrong ones: each row has a key.
func (p *Pool) CarryPrepared(ctx context.Context, b *Before, progress func(done, total int)) error {
	c := p.prepared
	if c == nil || !c.keep || !b.moved(p.Len()) {
		return nil
	}
	folders, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("prepared pixels: %s", reason(err))
	}
	for _, folder := range folders {
		if size, err := strconv.Atoi(folder.Name()); err == nil && size > 0 && folder.IsDir() {
			if err := p.carryPixels(ctx, size, b, progress); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Pool) carryPixels(ctx context.Context, size int, b *Before, progress func(done, total int)) error {
	old := p.prepared
	now := &prepared{dir: filepath.Join(old.dir, "carry"), keep: true, bytes: old.bytes, channels: old.channels, open: map[string]*pixels{}}
	if err := os.RemoveAll(now.dir); err != nil { // of one that was cut off
		return fmt.Errorf("prepared pixels: %s", reason(err))
	}
	defer os.RemoveAll(now.dir)
	var from *pixels // the shard of the list before that is at hand
	var at shardHeader
	shardOf := func(j int) *pixels {
		if h := old.rangeOf(j, size, b.Images); h != at {
			if from != nil {
				from.file.Close()
			}
			from, _ = openPixels(old.path(h), h)
			at = h
		}
		return from
	}
	defer func() {
		if from != nil {
			from.file.Close()
		}
	}()
	k := &keeper{prepared: now, size: size, n: p.Len(), next: -1, black: make([]uint8, size*size*old.channels)}
	defer k.drop()
	pix := make([]uint8, size*size*old.channels)
	run := 0 // the first one that does not end before the shard at hand
	for first := 0; first < p.Len(); first += now.rows(size) {
		h := now.rangeOf(first, size, p.Len())
		for run < len(b.Kept) && b.Kept[run].To+b.Kept[run].N <= h.From {
			run++
		}
		if run == len(b.Kept) || b.Kept[run].To >= h.To {
			continue // all new
		}
		if was := b.Kept[run]; was.From == was.To && was.To <= h.From && was.To+was.N >= h.To && old.rangeOf(first, size, b.Images) == h {
			if linked(old.path(h), now.path(h)) {
				continue
			}
		}
		// stood is the row of the old shard that image i of this one has, s nil where it has none. i goes up.
		here := run
		stood := func(i int) (s *pixels, j int, key uint64) {
			for here < len(b.Kept) && b.Kept[here].To+b.Kept[here].N <= i {
				here++
			}
			if here == len(b.Kept) || b.Kept[here].To > i {
				return nil, 0, 0
			}
			j, key = b.Kept[here].From+i-b.Kept[here].To, p.keyOf(p.Entry(i))
			if s = shardOf(j); s == nil || s.keys[j-s.From] != key {
				return nil, 0, 0
			}
			return s, j, key
		}
		any := false
		for i := h.From; i < h.To && !any; i++ {
			s, _, _ := stood(i)
			any = s != nil
		}
		if here = run; !any {
			continue
		}
		for i := h.From; i < h.To; i++ {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var has row
			var found []uint8
			if s, j, key := stood(i); s != nil && s.row(j, key, pix) {
				has, found = row{key: key, sum: s.sums[j-s.From]}, pix
			}
			if err := k.take(i, has, found); err != nil {
				return fmt.Errorf("prepared pixels cannot be kept: %s", reason(err))
			}
		}
		if progress != nil {
			progress(h.To, p.Len())
		}
	}
	k.drop()
	folder, gone := filepath.Join(old.dir, strconv.Itoa(size)), filepath.Join(now.dir, "gone")
	if err := os.MkdirAll(filepath.Join(now.dir, strconv.Itoa(size)), 0o777); err != nil {
		return fmt.Errorf("prepared pixels: %s", reason(err))
	}
	if err := os.Rename(folder, gone); err != nil {
		return fmt.Errorf("prepared pixels: %s", reason(err))
	}
	if err := os.Rename(filepath.Join(now.dir, strconv.Itoa(size)), folder); err != nil {
		return fmt.Errorf("prepared pixels: %s", reason(err))
	}
	old.mu.Lock()
	clear(old.open)
	old.mu.Unlock()
	return nil
}

// linked gives a shard that stays as it is a second name; false where that cannot be, or there is none.
func linked(from, to string) bool {
	return os.MkdirAll(filepath.Dir(to), 0o777) == nil && os.Link(from, to) == nil
}
