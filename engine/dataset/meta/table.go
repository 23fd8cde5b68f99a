package meta

import (
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
	"unsafe"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/meta/where"
)

// Name is the file of the columns in the folder of the list of images:
//
//	magic   "anomalymatch metadata 1\n"
//	blocks  of each column, one after the other: 16384 rows (the last one fewer), 8 bytes each for numbers;
//	        for texts uint32 ends of the rows' texts, then the texts
//	header  JSON: header, with the place, length and CRC-32C of each block
//	uint32  length of the header, uint32 its CRC-32C, magic again
//
// All integers are little-endian.
const Name = "metadata.cols"

const (
	magic     = "anomalymatch metadata 1\n"
	blockRows = 1 << 14
	maxHeader = 256 << 20
)

type header struct {
	Pool    string     `json:"pool"` // hash, hexadecimal
	Images  int        `json:"images"`
	Files   []stamp    `json:"files"`
	Reports []Report   `json:"reports"`
	Columns []Column   `json:"columns"`
	Blocks  [][]stored `json:"blocks"` // of each column
}

// stored is where a block lies: place, length, checksum.
type stored [3]int64

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	le         = binary.LittleEndian
)

// Table is the metadata of a pool. All methods may be called from many goroutines.
type Table struct {
	f     *os.File
	head  header
	cache *array.Cache[[2]int, block]
}

// block are the values of some rows of a column.
type block struct {
	ints   []int64
	floats []float64
	texts  []string
}

var (
	errStale   = errors.New("the columns are of other images or tables")
	errDamaged = errors.New("the columns are damaged")
)

// Open opens the columns in dir. Where files is not nil they must be of these, as they are now.
func Open(dir string, images Images, files []File) (*Table, error) {
	f, err := os.Open(filepath.Join(dir, Name))
	if err != nil {
		return nil, err
	}
	t := &Table{f: f, cache: array.NewCache[[2]int, block](32 << 20)}
	if err := t.open(images, files); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

func (t *Table) open(images Images, files []File) error {
	if err := t.readHead(); err != nil {
		return err
	}
	h := &t.head
	hash := images.Hash()
	if h.Pool != hex.EncodeToString(hash[:]) || h.Images != images.Len() {
		return errStale
	}
	if files != nil {
		var now []stamp
		for _, f := range files {
			s, err := stampOf(f)
			if err != nil {
				continue // what is not there cannot be read anew: the columns stay
			}
			now = append(now, s)
		}
		if len(now) == len(files) && !slices.Equal(now, h.Files) || len(files) != len(h.Files) {
			return errStale
		}
	}
	return nil
}

// readHead reads everything but the blocks.
func (t *Table) readHead() error {
	st, err := t.f.Stat()
	if err != nil {
		return err
	}
	tail := make([]byte, 8+len(magic))
	if st.Size() < int64(2*len(magic)+8) {
		return errDamaged
	}
	if _, err := t.f.ReadAt(tail, st.Size()-int64(len(tail))); err != nil {
		return err
	}
	n := int64(le.Uint32(tail))
	end := st.Size() - int64(len(tail)) - n
	if string(tail[8:]) != magic || n > maxHeader || end < int64(len(magic)) {
		return errDamaged
	}
	text := make([]byte, n)
	if _, err := t.f.ReadAt(text, end); err != nil {
		return err
	}
	h := &t.head
	if crc32.Checksum(text, castagnoli) != le.Uint32(tail[4:]) || json.Unmarshal(text, h) != nil || h.Images < 0 || len(h.Blocks) != len(h.Columns) {
		return errDamaged
	}
	for _, blocks := range h.Blocks {
		if len(blocks) != (h.Images+blockRows-1)/blockRows {
			return errDamaged
		}
		for _, b := range blocks {
			if b[0] < 0 || b[1] < 0 || b[0] > end || b[1] > end-b[0] {
				return errDamaged
			}
		}
	}
	return nil
}

// Verify says why a file of columns cannot be believed, or nil.
func Verify(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	t := &Table{f: f}
	defer t.Close()
	if err := t.readHead(); err != nil {
		return err
	}
	first := make([]byte, len(magic))
	if _, err := f.ReadAt(first, 0); err != nil || string(first) != magic {
		return errDamaged
	}
	for c, blocks := range t.head.Blocks {
		for k := range blocks {
			if _, err := t.read(c, k); err != nil {
				return errDamaged
			}
		}
	}
	return nil
}

// Close closes the file.
func (t *Table) Close() error { return t.f.Close() }

// Images is how many there are.
func (t *Table) Images() int { return t.head.Images }

// Columns are the columns of all tables, in their order. Nobody may change them.
func (t *Table) Columns() []Column { return t.head.Columns }

// Reports say how each table was matched.
func (t *Table) Reports() []Report { return t.head.Reports }

// Column returns the number of a column by its name, -1 where there is none.
func (t *Table) Column(name string) int { return where.Find(t.where(), name) }

func (t *Table) where() []where.Column {
	out := make([]where.Column, len(t.head.Columns))
	for i, c := range t.head.Columns {
		out[i] = where.Column{Name: c.Name, Type: map[Type]where.Type{Int: where.Integer, Float: where.Number}[c.Type]}
		if c.Type == Text {
			out[i].Type = where.Text
		}
	}
	return out
}

// rows is how many a block has.
func (t *Table) rows(k int) int { return min(blockRows, t.head.Images-k*blockRows) }

// read reads block k of a column.
func (t *Table) read(column, k int) (block, error) {
	at := t.head.Blocks[column][k]
	b := make([]byte, at[1])
	if _, err := t.f.ReadAt(b, at[0]); err != nil {
		if err == io.EOF {
			err = errDamaged
		}
		return block{}, fmt.Errorf("the metadata cannot be read: %w", cause(err))
	}
	if int64(crc32.Checksum(b, castagnoli)) != at[2] {
		return block{}, fmt.Errorf("the metadata cannot be read: %w", errDamaged)
	}
	out, ok := decode(b, t.head.Columns[column].Type, t.rows(k))
	if !ok {
		return block{}, fmt.Errorf("the metadata cannot be read: %w", errDamaged)
	}
	return out, nil
}

func decode(b []byte, of Type, n int) (out block, ok bool) {
	switch of {
	case Int, Float:
		if len(b) != 8*n {
			return out, false
		}
		if of == Int {
			out.ints = make([]int64, n)
			for i := range out.ints {
				out.ints[i] = int64(le.Uint64(b[8*i:]))
			}
			return out, true
		}
		out.floats = make([]float64, n)
		for i := range out.floats {
			out.floats[i] = math.Float64frombits(le.Uint64(b[8*i:]))
		}
		return out, true
	case Text:
		if len(b) < 4*n {
			return out, false
		}
		ends, all := b[:4*n], b[4*n:]
		text := unsafe.String(unsafe.SliceData(all), len(all)) // nobody changes it
		out.texts = make([]string, n)
		from := uint32(0)
		for i := range out.texts {
			to := le.Uint32(ends[4*i:])
			if to < from || int(to) > len(text) {
				return out, false
			}
			out.texts[i], from = text[from:to], to
		}
		return out, true
	}
	return out, false
}

// cached is read with what was read lately.
func (t *Table) cached(column, k int) (block, error) {
	return t.cache.Get([2]int{column, k}, func() (block, int64, error) {
		b, err := t.read(column, k)
		return b, 2 * t.head.Blocks[column][k][1], err
	})
}

// Value is the value of an image in a column; of the type None where there is none. Numbers must be those of a column and of an image.
func (t *Table) Value(column, image int) (Value, error) {
	b, err := t.cached(column, image/blockRows)
	if err != nil {
		return Value{}, err
	}
	return b.at(image % blockRows), nil
}

func (b block) at(i int) Value {
	switch {
	case b.ints != nil && b.ints[i] != missingInt:
		return Value{Type: Int, Int: b.ints[i]}
	case b.floats != nil && b.floats[i] == b.floats[i]:
		return Value{Type: Float, Float: b.floats[i]}
	case b.texts != nil && b.texts[i] != "":
		return Value{Type: Text, Text: b.texts[i]}
	}
	return Value{}
}

// Row is what is known of an image, by column.
func (t *Table) Row(image int) ([]Value, error) {
	out := make([]Value, len(t.head.Columns))
	for i := range out {
		var err error
		if out[i], err = t.Value(i, image); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Check reads a condition and finds its columns. The errors are *where.Error: they say where in the text.
func (t *Table) Check(condition string) (*where.Filter, error) {
	c, err := where.Parse(condition)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return c.On(nil)
	}
	return c.On(t.where())
}

// Select finds the images that a condition chooses, a bit an image. In memory it has one block of the columns that are named.
func (t *Table) Select(ctx context.Context, f *where.Filter) ([]uint64, error) {
	bits := make([]uint64, (t.head.Images+63)/64)
	vectors := make([]where.Vector, len(f.Columns()))
	for k := range (t.head.Images + blockRows - 1) / blockRows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for i, c := range f.Columns() {
			b, err := t.read(c, k)
			if err != nil {
				return nil, err
			}
			vectors[i] = where.Vector{Integers: b.ints, Numbers: b.floats, Texts: b.texts}
		}
		for i, ok := range f.Match(vectors, t.rows(k)) {
			if ok {
				at := k*blockRows + i
				bits[at>>6] |= 1 << (at & 63)
			}
		}
	}
	return bits, nil
}

// Sort puts images into the order of a column, those that are equal in the order that they have, those without a value last whichever way. It holds the
// column in memory.
func (t *Table) Sort(ctx context.Context, column int, descending bool, images []int32) error {
	if column < 0 || column >= len(t.head.Columns) {
		return fmt.Errorf("there is no column %d", column)
	}
	blocks := make([]block, len(t.head.Blocks[column]))
	for k := range blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if blocks[k], err = t.read(column, k); err != nil {
			return err
		}
	}
	switch t.head.Columns[column].Type {
	case Int:
		sort(images, descending, func(i int32) (int64, bool) { v := blocks[i/blockRows].ints[i%blockRows]; return v, v != missingInt })
	case Float:
		sort(images, descending, func(i int32) (float64, bool) { v := blocks[i/blockRows].floats[i%blockRows]; return v, v == v })
	default:
		sort(images, descending, func(i int32) (string, bool) { v := blocks[i/blockRows].texts[i%blockRows]; return v, v != "" })
	}
	return nil
}

// sort is stable: the place counts where values are equal, which takes a fraction of the time of a stable sort.
func sort[V cmp.Ordered](images []int32, descending bool, value func(i int32) (v V, known bool)) {
	type keyed struct {
		value     V
		at, image int32
	}
	keys := make([]keyed, 0, len(images))
	var unknown []int32
	for at, i := range images {
		if v, ok := value(i); ok {
			keys = append(keys, keyed{v, int32(at), i})
		} else {
			unknown = append(unknown, i)
		}
	}
	slices.SortFunc(keys, func(a, b keyed) int {
		c := cmp.Compare(a.value, b.value)
		if descending {
			c = -c
		}
		if c == 0 {
			c = cmp.Compare(a.at, b.at)
		}
		return c
	})
	for k := range keys {
		images[k] = keys[k].image
	}
	copy(images[len(keys):], unknown)
}

// Position finds the columns of right ascension and declination, in degrees, by their usual names; false where there are none.
func (t *Table) Position() (ra, dec int, ok bool) {
	for _, names := range [][2]string{{"ra", "dec"}, {"ra_deg", "dec_deg"}, {"raj2000", "dej2000"}, {"_raj2000", "_dej2000"}, {"ra_j2000", "dec_j2000"}, {"ra_icrs", "de_icrs"}, {"ra_icrs", "dec_icrs"},
		{"alpha_j2000", "delta_j2000"}, {"right_ascension", "declination"}, {"target_ra", "target_dec"}, {"s_ra", "s_dec"}} {
		ra, dec = t.Column(names[0]), t.Column(names[1])
		if ra >= 0 && dec >= 0 && t.head.Columns[ra].Type != Text && t.head.Columns[dec].Type != Text {
			return ra, dec, true
		}
	}
	return 0, 0, false
}

// At is where in the sky an image is, in degrees; false where that is not known, or is no place.
func (t *Table) At(image int) (ra, dec float64, ok bool) {
	i, j, ok := t.Position()
	if !ok {
		return 0, 0, false
	}
	x, err := t.Value(i, image)
	if err != nil {
		return 0, 0, false
	}
	y, err := t.Value(j, image)
	if err != nil {
		return 0, 0, false
	}
	ra, dec = x.Number(), y.Number()
	return ra, dec, ra >= -180 && ra <= 360 && dec >= -90 && dec <= 90
}

// Values are those of a column for some images, in their order: for tables that are written. Images may be named in any order and more than once.
func (t *Table) Values(ctx context.Context, column int, images []int) ([]Value, error) {
	out := make([]Value, len(images))
	for k, i := range images {
		if k%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var err error
		if out[k], err = t.Value(column, i); err != nil {
			return nil, err
		}
	}
	return out, nil
}
