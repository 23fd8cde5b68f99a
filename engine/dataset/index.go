package dataset

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
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
	"strings"
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
//	ids      one after the other, UTF-8, in ascending order of their bytes
//	uint32   CRC-32C of everything before
//
// All integers are little-endian. A file that does not add up is as good as none: the sources are listed again.
type index struct {
	indexHeader
	ids   string
	start []int // N+1 offsets into ids
	size  []int64
	time  []int64
}

type indexHeader struct {
	Sources []NamedSource `json:"sources"`
	Images  int           `json:"images"`
	Bytes   int           `json:"bytes"` // of all ids
	Hash    []byte        `json:"hash"`  // SHA-256 of ids and sizes
	Skipped []BadImage    `json:"skipped,omitempty"`
}

const (
	indexName  = "images.idx"
	indexMagic = "anomalymatch images 1\n"
	maxIDBytes = math.MaxUint16
	rowBytes   = 2 + 8 + 8
)

var (
	crcTable = crc32.MakeTable(crc32.Castagnoli)
	le       = binary.LittleEndian
)

func (x *index) len() int        { return len(x.size) }
func (x *index) id(i int) string { return x.ids[x.start[i]:x.start[i+1]] }

func (x *index) find(id string) (int, bool) {
	i := sort.Search(x.len(), func(i int) bool { return x.id(i) >= id })
	return i, i < x.len() && x.id(i) == id
}

// newIndex sorts entries and puts them into columns.
func newIndex(sources []NamedSource, entries []Entry, skipped []BadImage) *index {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(skipped, func(a, b BadImage) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Reason, b.Reason))
	})
	x := &index{start: make([]int, 1, len(entries)+1), size: make([]int64, len(entries)), time: make([]int64, len(entries))}
	var ids strings.Builder
	hash := sha256.New()
	row := make([]byte, 0, 256)
	for i, e := range entries {
		ids.WriteString(e.ID)
		x.start = append(x.start, ids.Len())
		x.size[i], x.time[i] = e.Size, e.ModTime
		row = append(append(row[:0], e.ID...), 0)
		hash.Write(le.AppendUint64(row, uint64(e.Size)))
	}
	x.ids = ids.String()
	x.indexHeader = indexHeader{Sources: sources, Images: len(entries), Bytes: len(x.ids), Hash: hash.Sum(nil), Skipped: skipped}
	return x
}

// encode writes the file's format.
func (x *index) encode(w io.Writer) error {
	head, err := json.Marshal(x.indexHeader)
	if err != nil {
		return err
	}
	sum := crc32.New(crcTable)
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	out.WriteString(indexMagic)
	out.Write(le.AppendUint32(nil, uint32(len(head))))
	out.Write(head)
	var b [8]byte
	for i := range x.len() {
		le.PutUint16(b[:], uint16(x.start[i+1]-x.start[i]))
		out.Write(b[:2])
	}
	for _, column := range [][]int64{x.size, x.time} {
		for _, v := range column {
			le.PutUint64(b[:], uint64(v))
			out.Write(b[:])
		}
	}
	out.WriteString(x.ids)
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
	if x.Images < 0 || x.Bytes < 0 || x.Images > len(body)/rowBytes || x.Images*rowBytes+x.Bytes != len(body) || len(x.Hash) != sha256.Size {
		return nil, damaged
	}
	x.start = make([]int, x.Images+1)
	for i := range x.Images {
		x.start[i+1] = x.start[i] + int(le.Uint16(body[2*i:]))
	}
	if x.start[x.Images] != x.Bytes {
		return nil, damaged
	}
	body = body[2*x.Images:]
	for _, column := range []*[]int64{&x.size, &x.time} {
		*column = make([]int64, x.Images)
		for i := range *column {
			(*column)[i] = int64(le.Uint64(body[8*i:]))
		}
		body = body[8*x.Images:]
	}
	x.ids = string(body)
	for i := 1; i < x.Images; i++ {
		if x.id(i-1) >= x.id(i) {
			return nil, damaged
		}
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

func readIndex(dir string) (*index, error) {
	b, err := os.ReadFile(filepath.Join(dir, indexName))
	if err != nil {
		return nil, err
	}
	return parseIndex(b)
}

// write replaces the index in dir: all of it, or nothing.
func (x *index) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(dir, indexName+".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) // fails, as it should, once it has its name
	if err = x.encode(part); err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return err
	}
	if err := os.Chmod(part.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(part.Name(), filepath.Join(dir, indexName))
}

// same says whether two listings found the same files.
func (x *index) same(y *index) bool {
	return x.ids == y.ids && slices.Equal(x.start, y.start) && slices.Equal(x.size, y.size) && slices.Equal(x.time, y.time) &&
		slices.Equal(x.Skipped, y.Skipped) && slices.Equal(x.Sources, y.Sources)
}

// listAll lists every source.
func listAll(ctx context.Context, named []NamedSource, sources map[string]Source, progress func(done int64)) (*index, error) {
	var entries []Entry
	var skipped []BadImage
	for _, s := range named {
		for e, err := range sources[s.Name].Entries(ctx) {
			switch {
			case err != nil && e.ID == "":
				return nil, err
			case err != nil:
				skipped = append(skipped, BadImage{ID: e.ID, Reason: err.Error()})
			case len(e.ID) > maxIDBytes:
				skipped = append(skipped, BadImage{ID: e.ID[:200] + "…", Reason: "has a path that is too long"})
			default:
				entries = append(entries, e)
			}
			if progress != nil && len(entries)%1000 == 0 {
				progress(int64(len(entries)))
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if progress != nil {
		progress(int64(len(entries)))
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("the project has no images: add a source")
	}
	return newIndex(named, entries, skipped), nil
}
