package dataset

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"unsafe"

	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/failpoint"
	"anomalymatch/internal/parallel"
)

// index is the list of a pool's images, sorted by id, and never changed once made.
//
// On disk it is columns, so that opening a million images is a few copies instead of a million parsed lines:
//
//	magic    "anomalymatch images 1\n"
//	uint32   length of the header
//	header   JSON: indexHeader
//	N uint16 lengths of the ids in bytes
//	N int64  encoded sizes in bytes
//	N int64  modification times, Unix nanoseconds
//	N int64  places in the container; only where a source is one (header: places)
//	ids      one after the other, UTF-8, in ascending order of their bytes
//	uint32   CRC-32C of everything before
//
// All integers are little-endian. A file that does not add up is as good as none: the sources are listed again.
//
// In memory it is the same bytes, so that ten million images of 35 bytes are 530 MB, and opening them copies nothing.
type index struct {
	indexHeader
	columns []byte   // the columns of the file
	ids     string   // the last of them
	at      []uint64 // where in ids every stride-th id begins
}

// stride is how many ids have one offset in memory: 16 lengths are added up in less time than an offset of each is fetched.
const stride = 16

type indexHeader struct {
	Sources []NamedSource `json:"sources"`
	Images  int           `json:"images"`
	Bytes   int           `json:"bytes"` // of all ids
	Places  bool          `json:"places,omitempty"`
	Hash    []byte        `json:"hash"` // SHA-256 of ids and sizes, and of how they are read
	Skipped []BadImage    `json:"skipped,omitempty"`
}

const (
	indexName  = "images.idx"
	indexMagic = "anomalymatch images 1\n"
	maxIDBytes = math.MaxUint16
)

// rowBytes of an image in all columns but the ids.
func (h *indexHeader) rowBytes() int {
	if h.Places {
		return 2 + 8 + 8 + 8
	}
	return 2 + 8 + 8
}

var (
	crcTable = crc32.MakeTable(crc32.Castagnoli)
	le       = binary.LittleEndian
)

func (x *index) len() int            { return x.Images }
func (x *index) length(i int) int    { return int(le.Uint16(x.columns[2*i:])) }
func (x *index) size(i int) int64    { return int64(le.Uint64(x.columns[2*x.Images+8*i:])) }
func (x *index) modTime(i int) int64 { return int64(le.Uint64(x.columns[10*x.Images+8*i:])) }
func (x *index) row(i int) listedImage {
	return listedImage{x.id(i), x.size(i), x.modTime(i), x.place(i)}
}

func (x *index) place(i int) int64 {
	if !x.Places {
		return 0
	}
	return int64(le.Uint64(x.columns[18*x.Images+8*i:]))
}

// begins is where in ids the id of image i begins; Images: where the last one ends.
func (x *index) begins(i int) int {
	first := i / stride * stride
	at := int(x.at[i/stride])
	for k := first; k < i; k++ {
		at += x.length(k)
	}
	return at
}

func (x *index) id(i int) string {
	at := x.begins(i)
	return x.ids[at : at+x.length(i)]
}

func (x *index) find(id string) (int, bool) {
	// The last block that begins at id or before it, then the one in it.
	block := sort.Search((x.len()+stride-1)/stride, func(b int) bool { return x.id(b*stride) > id }) - 1
	if block < 0 {
		return 0, false
	}
	at := int(x.at[block])
	for i := block * stride; i < min(x.len(), (block+1)*stride); i++ {
		next := at + x.length(i)
		if x.ids[at:next] == id {
			return i, true
		}
		at = next
	}
	return 0, false
}

// over makes columns, of which the header tells, an index. They add up, or it says that they do not.
func (x *index) over(columns []byte) bool {
	if x.Images < 0 || x.Bytes < 0 || x.Images > len(columns)/x.rowBytes() || x.Images*x.rowBytes()+x.Bytes != len(columns) || len(x.Hash) != sha256.Size {
		return false
	}
	x.columns = columns
	x.at = make([]uint64, 0, x.Images/stride+1)
	at := uint64(0)
	for i := range x.Images {
		if i%stride == 0 {
			x.at = append(x.at, at)
		}
		at += uint64(x.length(i))
	}
	if x.Images%stride == 0 {
		x.at = append(x.at, at)
	}
	if at != uint64(x.Bytes) {
		return false
	}
	ids := columns[x.Images*x.rowBytes():]
	x.ids = unsafe.String(unsafe.SliceData(ids), len(ids)) // nobody changes columns
	return true
}

// listedImage is a row of the list.
type listedImage struct {
	id            string
	size, modTime int64
	place         int64
}

// listing is what was found in the sources, in columns: an image takes its id and 28 bytes, and few copies are made of ten million.
type listing struct {
	indexHeader
	chunks  [][]byte // of ids, one after the other; none is in two of them
	where   []uint64 // chunk << 40 | offset << 16 | length
	sizes   []int64
	times   []int64
	places  []int64 // nil: all are 0
	inOrder []int32 // of the ids
	more    string  // what else tells the images apart; see identified
}

// identified is a source whose images may be others although their ids and sizes are the same.
type identified interface {
	Identity() string
}

const idChunk = 1 << 20

func (l *listing) add(e Entry) {
	last := len(l.chunks) - 1
	if last < 0 || len(l.chunks[last])+len(e.ID) > idChunk {
		l.chunks = append(l.chunks, make([]byte, 0, idChunk))
		last++
	}
	l.where = append(l.where, uint64(last)<<40|uint64(len(l.chunks[last]))<<16|uint64(len(e.ID)))
	l.chunks[last] = append(l.chunks[last], e.ID...)
	if e.At != 0 && l.places == nil {
		l.places = make([]int64, len(l.sizes), cap(l.sizes))
	}
	if l.places != nil {
		l.places = append(l.places, e.At)
	}
	l.sizes, l.times = append(l.sizes, e.Size), append(l.times, e.ModTime)
}

func (l *listing) id(i int32) []byte {
	w := l.where[i]
	at := w >> 16 & (1<<24 - 1)
	return l.chunks[w>>40][at : at+w&0xffff]
}

// finish sorts what was added.
func (l *listing) finish(sources []NamedSource, skipped []BadImage) {
	l.inOrder = make([]int32, len(l.where))
	for i := range l.inOrder {
		l.inOrder[i] = int32(i)
	}
	slices.SortFunc(l.inOrder, func(a, b int32) int { return cmp.Or(bytes.Compare(l.id(a), l.id(b)), int(a-b)) })
	// A container can hold a name twice, such as a tar that a newer file was appended to: the last one counts.
	kept := l.inOrder[:0]
	for k, i := range l.inOrder {
		if k+1 < len(l.inOrder) && bytes.Equal(l.id(i), l.id(l.inOrder[k+1])) {
			skipped = append(skipped, BadImage{ID: string(l.id(i)), Reason: "is there more than once: the last one counts"})
			continue
		}
		kept = append(kept, i)
	}
	l.inOrder = kept
	slices.SortFunc(skipped, func(a, b BadImage) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Reason, b.Reason))
	})
	hash, total := sha256.New(), 0
	row := make([]byte, 0, 256)
	for _, i := range l.inOrder {
		id := l.id(i)
		total += len(id)
		row = append(append(row[:0], id...), 0)
		hash.Write(le.AppendUint64(row, uint64(l.sizes[i])))
	}
	for _, s := range sources {
		if s.Reading != (Reading{}) { // read in another way, they are other images
			fmt.Fprintf(hash, "%q %+v\n", s.Name, s.Reading)
		}
	}
	io.WriteString(hash, l.more)
	l.indexHeader = indexHeader{Sources: sources, Images: len(l.inOrder), Bytes: total, Places: l.places != nil, Hash: hash.Sum(nil), Skipped: skipped}
}

// row is the i-th in the order of ids; the id is valid as long as the listing.
func (l *listing) row(i int) listedImage {
	k := l.inOrder[i]
	id := l.id(k)
	row := listedImage{id: unsafe.String(unsafe.SliceData(id), len(id)), size: l.sizes[k], modTime: l.times[k]}
	if l.places != nil {
		row.place = l.places[k]
	}
	return row
}

// index of the listing, in memory.
func (l *listing) index() *index {
	x := &index{indexHeader: l.indexHeader}
	columns := make([]byte, 0, l.Images*l.rowBytes()+l.Bytes)
	for _, column := range l.columnsOf() {
		for i := range l.Images {
			columns = column(columns, l.row(i))
		}
	}
	x.over(columns)
	return x
}

// newIndex sorts entries and puts them into columns.
func newIndex(sources []NamedSource, entries []Entry, skipped []BadImage) *index {
	l := &listing{}
	for _, e := range entries {
		l.add(e)
	}
	l.finish(sources, skipped)
	return l.index()
}

// columnsOf append what a row has in each column.
func (h *indexHeader) columnsOf() []func([]byte, listedImage) []byte {
	columns := []func([]byte, listedImage) []byte{
		func(b []byte, r listedImage) []byte { return le.AppendUint16(b, uint16(len(r.id))) },
		func(b []byte, r listedImage) []byte { return le.AppendUint64(b, uint64(r.size)) },
		func(b []byte, r listedImage) []byte { return le.AppendUint64(b, uint64(r.modTime)) },
	}
	if h.Places {
		columns = append(columns, func(b []byte, r listedImage) []byte { return le.AppendUint64(b, uint64(r.place)) })
	}
	return append(columns, func(b []byte, r listedImage) []byte { return append(b, r.id...) })
}

// encode writes the file's format.
func (h indexHeader) encode(w io.Writer, row func(i int) listedImage) error {
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	sum := crc32.New(crcTable)
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	out.WriteString(indexMagic)
	out.Write(le.AppendUint32(nil, uint32(len(head))))
	out.Write(head)
	var b []byte
	for _, column := range h.columnsOf() {
		for i := range h.Images {
			b = column(b[:0], row(i))
			out.Write(b)
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	_, err = w.Write(le.AppendUint32(nil, sum.Sum32()))
	return err
}

// parseIndex reads what encode wrote. It believes no length before it has checked it.
func parseIndex(b []byte) (*index, error) {
	damaged := errors.New("the list of images is damaged")
	rest, ok := strings.CutPrefix(string(b[:min(len(b), len(indexMagic))]), indexMagic)
	if !ok || rest != "" || len(b) < len(indexMagic)+8 {
		return nil, damaged
	}
	body, sum := b[:len(b)-4], le.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, crcTable) != sum {
		return nil, damaged
	}
	body = body[len(indexMagic):]
	n := uint64(le.Uint32(body))
	body = body[4:]
	if n > uint64(len(body)) {
		return nil, damaged
	}
	x := &index{}
	if err := json.Unmarshal(body[:n], &x.indexHeader); err != nil {
		return nil, damaged
	}
	body = body[n:]
	if !x.over(body) {
		return nil, damaged
	}
	var wrong atomic.Bool
	parallel.Parts(x.Images, 4*runtime.GOMAXPROCS(0), func(_, from, to int) {
		if from = max(from, 1); from >= to {
			return
		}
		at := x.begins(from)
		before := x.id(from - 1)
		for i := from; i < to; i++ {
			next := at + x.length(i)
			if id := x.ids[at:next]; before >= id {
				wrong.Store(true)
				return
			}
			before, at = x.ids[at:next], next
		}
	})
	if wrong.Load() {
		return nil, damaged
	}
	return x, nil
}

// Listed tells how many images the index in a folder says there are, by its header alone; false where there is none.
func Listed(dir string) (images int, ok bool) {
	f, err := os.Open(filepath.Join(dir, indexName))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	head := make([]byte, len(indexMagic)+4)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(indexMagic)]) != indexMagic {
		return 0, false
	}
	n := le.Uint32(head[len(indexMagic):])
	const most = 64 << 20
	if n > most {
		return 0, false
	}
	var h indexHeader
	if err := json.NewDecoder(io.LimitReader(f, int64(n))).Decode(&h); err != nil || h.Images < 0 {
		return 0, false
	}
	return h.Images, true
}

// VerifyIndex says why a list of images (images.idx) cannot be believed, or nil.
func VerifyIndex(path string) error {
	b, err := os.ReadFile(path)
	if err == nil {
		_, err = parseIndex(b)
	}
	return err
}

func readIndex(dir string) (*index, error) {
	b, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil {
		return nil, err
	}
	return parseIndex(b)
}

// write replaces the index in dir: all of it, or nothing. keep leaves the one that is there as beforeName, unless an older one is there that
// nobody has taken over what was made of yet (see Before).
func (h indexHeader) write(dir string, keep bool, row func(i int) listedImage) error {
	if err := atomicfile.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(dir, indexName+".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) // fails, as it should, once it has its name
	if err = h.encode(part, row); err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return err
	}
	if err := os.Chmod(part.Name(), 0o644); err != nil {
		return err
	}
	now, before := filepath.Join(dir, indexName), filepath.Join(dir, beforeName)
	if _, err := os.Stat(before); keep && errors.Is(err, fs.ErrNotExist) {
		if os.Link(now, before) != nil { // not all file systems have links; cut off behind this one, the sources are listed again
			_ = os.Rename(now, before)
		}
		failpoint.Hit(failpoint.IndexBefore)
	}
	if err := os.Rename(part.Name(), now); err != nil {
		return err
	}
	failpoint.Hit(failpoint.IndexRenamed)
	return nil
}

// same says whether a listing found the same files.
func (x *index) same(l *listing) bool {
	if x.Images != l.Images || x.Bytes != l.Bytes || !bytes.Equal(x.Hash, l.Hash) || !slices.Equal(x.Skipped, l.Skipped) || !slices.Equal(x.Sources, l.Sources) {
		return false
	}
	for i := range x.Images {
		if x.row(i) != l.row(i) {
			return false
		}
	}
	return true
}

// listAll lists every source.
func listAll(ctx context.Context, named []NamedSource, sources map[string]Source, progress func(done int64)) (*listing, error) {
	l := &listing{}
	var skipped []BadImage
	for _, s := range named {
		if i, ok := sources[s.Name].(identified); ok {
			l.more += fmt.Sprintf("%q %s\n", s.Name, i.Identity())
		}
		for e, err := range sources[s.Name].Entries(ctx) {
			switch {
			case err != nil && e.ID == "":
				return nil, err
			case err != nil:
				skipped = append(skipped, BadImage{ID: e.ID, Reason: err.Error()})
			case len(e.ID) > maxIDBytes:
				skipped = append(skipped, BadImage{ID: e.ID[:200] + "…", Reason: "has a path that is too long"})
			default:
				l.add(e)
			}
			if progress != nil && len(l.where)%1000 == 0 {
				progress(int64(len(l.where)))
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if progress != nil {
		progress(int64(len(l.where)))
	}
	if len(l.where) == 0 {
		return nil, fmt.Errorf("the project has no images: add a source")
	}
	l.finish(named, skipped)
	return l, nil
}
