package zarr

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/x448/float16"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// meta is what is known of an array before a chunk is read.
type meta struct {
	path  string
	shape []int64
	chunk []int64 // of a file
	typ   array.Type
	text  textType
	fill  []byte // one element; nil for zeros
	key   func(place []int64) string
	codec codec
	shard *shard // nil where each file is one chunk
}

// textType is how names are stored.
type textType struct {
	size int  // bytes of an element of fixed length
	wide bool // UTF-32
	big  bool
	vlen bool // zarr's vlen-utf8
}

func (t textType) any() bool { return t.size > 0 || t.vlen }

// shard says how a file holds many chunks (sharding_indexed).
type shard struct {
	chunk    []int64 // of the array
	codec    codec
	index    codec
	atStart  bool
	count    int64 // chunks of a file
	indexLen int64
}

// codec undoes what was done to a chunk.
type codec struct {
	perm  []int // how its axes are stored: axis i of what is stored is axis perm[i]; nil for as they are
	big   bool
	steps []step // from bytes to bytes, in the order of writing
}

// step is one of gzip, zlib, zstd, blosc, crc32c.
type step string

const (
	maxMeta   = 4 << 20
	maxRank   = 16
	maxArrays = 1000
)

func readMeta(s store, name string) ([]byte, error) {
	b, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if b.n > maxMeta {
		return nil, fmt.Errorf("has metadata of %s", array.Bytes(b.n))
	}
	return b.bytes(0, b.n)
}

// openArray reads the metadata of the array in a folder, of version 3 or 2; fs.ErrNotExist where it holds none.
func openArray(s store, dir string, o array.Options) (*meta, error) {
	b, err := readMeta(s, path.Join(dir, "zarr.json"))
	if err == nil {
		return parse3(dir, b, o)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if b, err = readMeta(s, path.Join(dir, ".zarray")); err != nil {
		return nil, err
	}
	return parse2(dir, b, o)
}

func decode(b []byte, into any) error {
	if err := json.Unmarshal(b, into); err != nil {
		return errors.New("is damaged: its metadata is no JSON that makes sense")
	}
	return nil
}

var errMeta = errors.New("is damaged: its metadata makes no sense")

func parse2(dir string, b []byte, o array.Options) (*meta, error) {
	var j struct {
		Format     int             `json:"zarr_format"`
		Shape      []int64         `json:"shape"`
		Chunks     []int64         `json:"chunks"`
		DType      json.RawMessage `json:"dtype"`
		Compressor *struct{ ID string }
		Fill       json.RawMessage       `json:"fill_value"`
		Order      string                `json:"order"`
		Filters    []struct{ ID string } `json:"filters"`
		Separator  string                `json:"dimension_separator"`
	}
	if err := decode(b, &j); err != nil {
		return nil, err
	}
	if j.Format != 2 {
		return nil, fmt.Errorf("is Zarr of version %d: versions 2 and 3 are read", j.Format)
	}
	m := &meta{path: dir, shape: j.Shape, chunk: j.Chunks}
	var dtype string
	if json.Unmarshal(j.DType, &dtype) != nil {
		return nil, errors.New("is a table of several columns (a structured array), not of images")
	}
	if err := m.setType2(dtype, j.Filters); err != nil {
		return nil, err
	}
	m.codec.big = m.typ.Big
	if c := j.Compressor; c != nil {
		switch c.ID {
		case "zlib", "gzip", "zstd", "blosc":
			m.codec.steps = []step{step(c.ID)}
		default:
			return nil, refused(c.ID)
		}
	}
	switch {
	case j.Order == "F" && len(j.Shape) <= maxRank:
		for i := range j.Shape {
			m.codec.perm = append(m.codec.perm, len(j.Shape)-1-i)
		}
	case j.Order != "C":
		return nil, errMeta
	}
	if err := m.setFill(j.Fill); err != nil {
		return nil, err
	}
	separator := j.Separator
	switch separator {
	case "":
		separator = "."
	case ".", "/":
	default:
		return nil, errMeta
	}
	m.key = func(place []int64) string { return joined("", place, separator) }
	return m, m.check(o)
}

func refused(name string) error {
	return fmt.Errorf("is compressed by %.40q, which is not read: gzip, zlib, zstd and blosc (lz4, zstd, zlib, blosclz) are", name)
}

func (m *meta) setType2(dtype string, filters []struct{ ID string }) error {
	kind := strings.TrimLeft(dtype, "<>|")
	t, number := array.ParseType(dtype)
	switch {
	case len(filters) == 1 && filters[0].ID == "vlen-utf8" && kind == "O":
		m.text.vlen = true
		return nil
	case len(filters) > 0:
		return fmt.Errorf("is changed by the filter %.40q, which is not read", filters[0].ID)
	case number:
		m.typ = t
	case strings.HasPrefix(kind, "S"), strings.HasPrefix(kind, "U"):
		n, err := strconv.Atoi(kind[1:])
		if err != nil || n < 1 || n > 1<<16 {
			return errMeta
		}
		m.text = textType{size: n, wide: kind[0] == 'U', big: dtype[0] == '>'}
		if m.text.wide {
			m.text.size *= 4
		}
	case strings.HasPrefix(kind, "O"):
		return errors.New("holds Python objects (pickle), which could run programs and are never loaded: save numbers")
	default:
		return fmt.Errorf("has elements of the type %.20q, which is not read", dtype)
	}
	return nil
}

// codec3 is a codec of version 3.
type codec3 struct {
	Name string          `json:"name"`
	Conf json.RawMessage `json:"configuration"`
}

func parse3(dir string, b []byte, o array.Options) (*meta, error) {
	var j struct {
		Format int             `json:"zarr_format"`
		Node   string          `json:"node_type"`
		Shape  []int64         `json:"shape"`
		Type   json.RawMessage `json:"data_type"`
		Grid   struct {
			Name string `json:"name"`
			Conf struct {
				Chunk []int64 `json:"chunk_shape"`
			} `json:"configuration"`
		} `json:"chunk_grid"`
		Keys struct {
			Name string `json:"name"`
			Conf struct {
				Separator string `json:"separator"`
			} `json:"configuration"`
		} `json:"chunk_key_encoding"`
		Fill         json.RawMessage   `json:"fill_value"`
		Codecs       []codec3          `json:"codecs"`
		Transformers []json.RawMessage `json:"storage_transformers"`
	}
	if err := decode(b, &j); err != nil {
		return nil, err
	}
	if j.Format != 3 {
		return nil, fmt.Errorf("is Zarr of version %d: versions 2 and 3 are read", j.Format)
	}
	if j.Node != "array" {
		return nil, fs.ErrNotExist
	}
	m := &meta{path: dir, shape: j.Shape, chunk: j.Grid.Conf.Chunk}
	switch {
	case j.Grid.Name != "regular":
		return nil, fmt.Errorf("has chunks in a grid of the kind %.40q, which is not read: regular ones are", j.Grid.Name)
	case len(j.Transformers) > 0:
		return nil, errors.New("uses storage transformers, which are not read")
	}
	if err := m.setType3(j.Type); err != nil {
		return nil, err
	}
	var err error
	if m.codec, m.shard, err = m.codecs3(j.Codecs, len(m.shape), m.chunk, true, o); err != nil {
		return nil, err
	}
	if err := m.setFill(j.Fill); err != nil {
		return nil, err
	}
	prefix, separator := "c", j.Keys.Conf.Separator
	switch j.Keys.Name {
	case "default":
		if separator == "" {
			separator = "/"
		}
	case "v2":
		prefix = ""
		if separator == "" {
			separator = "."
		}
	default:
		return nil, fmt.Errorf("names its chunks by the scheme %.40q, which is not read", j.Keys.Name)
	}
	if separator != "." && separator != "/" {
		return nil, errMeta
	}
	m.key = func(place []int64) string { return joined(prefix, place, separator) }
	return m, m.check(o)
}

func joined(prefix string, place []int64, separator string) string {
	parts := make([]string, 0, len(place)+1)
	if prefix != "" {
		parts = append(parts, prefix)
	}
	for _, p := range place {
		parts = append(parts, strconv.FormatInt(p, 10))
	}
	return strings.Join(parts, separator)
}

func (m *meta) setType3(b json.RawMessage) error {
	var name string
	if json.Unmarshal(b, &name) != nil {
		var j struct {
			Name string
			Conf struct {
				Bytes int `json:"length_bytes"`
			} `json:"configuration"`
		}
		if err := decode(b, &j); err != nil {
			return err
		}
		if n := j.Conf.Bytes; n > 0 && n <= 1<<18 && (j.Name == "null_terminated_bytes" || j.Name == "fixed_length_utf32" && n%4 == 0) {
			m.text = textType{size: n, wide: j.Name == "fixed_length_utf32"}
			return nil
		}
		name = j.Name
	}
	switch name {
	case "string":
		m.text.vlen = true
		return nil
	case "bool":
		m.typ = array.Type{Kind: raw.U8, Size: 1}
		return nil
	case "float16":
		m.typ = array.Type{Kind: raw.F32, Size: 2}
		return nil
	}
	for k := raw.U8; k <= raw.F64; k++ {
		if k.String() == name {
			m.typ = array.Type{Kind: k, Size: k.Size()}
			return nil
		}
	}
	return fmt.Errorf("has elements of the type %.40q, which is not read: bool, integers of 1 to 8 bytes and floats of 2, 4 and 8 are", name)
}

// codecs3 reads a chain of codecs. outer is false inside of a shard, where no other shard is read.
func (m *meta) codecs3(list []codec3, rank int, chunk []int64, outer bool, o array.Options) (c codec, s *shard, err error) {
	const (
		arrays = iota // stages of the chain: array to array, array to bytes, bytes to bytes
		bytesStage
	)
	if len(list) > 16 {
		return c, nil, errMeta
	}
	stage := arrays
	for _, x := range list {
		switch {
		case x.Name == "transpose" && stage == arrays:
			var j struct{ Order json.RawMessage }
			var order []int
			if err := decode(x.Conf, &j); err != nil {
				return c, nil, err
			}
			if err := decode(j.Order, &order); err != nil {
				return c, nil, err
			}
			sorted := slices.Sorted(slices.Values(order))
			for i, v := range sorted {
				if v != i {
					return c, nil, errMeta
				}
			}
			if len(order) != rank {
				return c, nil, errMeta
			}
			if c.perm == nil {
				c.perm = order
			} else {
				next := make([]int, rank)
				for i, v := range order {
					next[i] = c.perm[v]
				}
				c.perm = next
			}
		case (x.Name == "bytes" || x.Name == "vlen-utf8") && stage == arrays:
			var j struct{ Endian string }
			if len(x.Conf) > 0 {
				if err := decode(x.Conf, &j); err != nil {
					return c, nil, err
				}
			}
			if x.Name == "vlen-utf8" != m.text.vlen {
				return c, nil, errMeta
			}
			c.big = j.Endian == "big"
			stage = bytesStage
		case x.Name == "sharding_indexed" && stage == arrays && outer && c.perm == nil:
			if s, err = m.shard3(x.Conf, rank, chunk, o); err != nil {
				return c, nil, err
			}
			stage = bytesStage
		case x.Name == "sharding_indexed":
			return c, nil, errors.New("has shards within shards, or shards that were transposed, which are not read")
		case (x.Name == "gzip" || x.Name == "zstd" || x.Name == "blosc" || x.Name == "crc32c" || x.Name == "zlib" || x.Name == "numcodecs.zlib") && stage == bytesStage:
			if s != nil {
				return c, nil, errors.New("has shards that are compressed as a whole, which are not read")
			}
			c.steps = append(c.steps, step(strings.TrimPrefix(x.Name, "numcodecs.")))
		default:
			return c, nil, refused(x.Name)
		}
	}
	if stage == arrays {
		return c, nil, errMeta
	}
	return c, s, nil
}

func (m *meta) shard3(conf json.RawMessage, rank int, chunk []int64, o array.Options) (*shard, error) {
	var j struct {
		Chunk    []int64  `json:"chunk_shape"`
		Codecs   []codec3 `json:"codecs"`
		Index    []codec3 `json:"index_codecs"`
		Location string   `json:"index_location"`
	}
	if err := decode(conf, &j); err != nil {
		return nil, err
	}
	if len(j.Chunk) != rank || len(chunk) != rank {
		return nil, errMeta
	}
	s := &shard{chunk: j.Chunk, count: 1}
	for i, n := range j.Chunk {
		if n < 1 || chunk[i] < n || chunk[i]%n != 0 {
			return nil, errMeta
		}
		var ok bool
		if s.count, ok = array.Product(s.count, chunk[i]/n); !ok || s.count > 1<<24 {
			return nil, raw.Limitf("has shards of more than 16 million chunks each")
		}
	}
	switch j.Location {
	case "start":
		s.atStart = true
	case "", "end":
	default:
		return nil, errMeta
	}
	var err error
	if s.codec, _, err = m.codecs3(j.Codecs, rank, j.Chunk, false, o); err != nil {
		return nil, err
	}
	number := &meta{} // the index is of numbers, whatever the array is of
	if s.index, _, err = number.codecs3(j.Index, rank+1, nil, false, o); err != nil {
		return nil, err
	}
	s.indexLen = 16 * s.count
	for _, x := range s.index.steps {
		if x != "crc32c" {
			return nil, errors.New("has a compressed index of shards, which is not read")
		}
		s.indexLen += 4
	}
	if s.index.perm != nil {
		return nil, errMeta
	}
	return s, nil
}

// setFill reads the value of what was never written: a number, a boolean, "NaN", "Infinity" or "0x7fc00000".
func (m *meta) setFill(b json.RawMessage) error {
	b = bytes.TrimSpace(b)
	if m.text.any() || len(b) == 0 || string(b) == "null" {
		return nil
	}
	s := strings.Trim(string(b), `"`)
	k, size := m.typ.Kind, m.typ.Size
	var bits uint64
	switch {
	case s == "true":
		bits = 1
	case s == "false":
	case strings.HasPrefix(s, "0x"):
		v, err := strconv.ParseUint(s[2:], 16, 64)
		if err != nil {
			return errMeta
		}
		bits = v
	case k.Float():
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return errMeta
		}
		switch size {
		case 2:
			bits = uint64(float16.Fromfloat32(float32(v)).Bits())
		case 4:
			bits = uint64(math.Float32bits(float32(v)))
		case 8:
			bits = math.Float64bits(v)
		}
	default:
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			bits = uint64(v)
		} else if bits, err = strconv.ParseUint(s, 10, 64); err != nil {
			f, err := strconv.ParseFloat(s, 64) // 0.0
			if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
				return errMeta
			}
			bits = uint64(int64(f))
		}
	}
	if bits == 0 {
		return nil
	}
	m.fill = make([]byte, 8)
	binary.LittleEndian.PutUint64(m.fill, bits)
	m.fill = m.fill[:size]
	if m.codecOfChunks().big {
		slices.Reverse(m.fill)
	}
	return nil
}

// codecOfChunks is the codec of a chunk, in a shard or not.
func (m *meta) codecOfChunks() codec {
	if m.shard != nil {
		return m.shard.codec
	}
	return m.codec
}

// chunkShape is the shape of a chunk, in a shard or not.
func (m *meta) chunkShape() []int64 {
	if m.shard != nil {
		return m.shard.chunk
	}
	return m.chunk
}

// elementSize in bytes, stored; 0 for text of any length.
func (m *meta) elementSize() int {
	if m.text.any() {
		return m.text.size
	}
	return m.typ.Size
}

// check compares shapes with each other and with the limits.
func (m *meta) check(o array.Options) error {
	if len(m.shape) == 0 || len(m.shape) > maxRank || len(m.chunk) != len(m.shape) {
		return fmt.Errorf("has the shape %s and chunks of %s, which is not read", array.Shape(m.shape), array.Shape(m.chunk))
	}
	for i, n := range m.chunk {
		if n < 1 || m.shape[i] < 0 {
			return errMeta
		}
	}
	m.typ.Big = m.codecOfChunks().big
	size := max(1, int64(m.elementSize()))
	if _, ok := array.Product(append([]int64{size}, m.shape...)...); !ok {
		return errMeta
	}
	bytes, ok := array.Product(append([]int64{size}, m.chunkShape()...)...)
	if !ok {
		return errMeta
	}
	if m.inParts() {
		return nil // whatever its size: only parts of it are read
	}
	return o.CheckChunk(bytes)
}

// inParts says whether a part of a chunk can be read without the rest.
func (m *meta) inParts() bool {
	c := m.codecOfChunks()
	return c.perm == nil && !m.text.vlen && (len(c.steps) == 0 || len(c.steps) == 1 && c.steps[0] == "blosc")
}
