package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The library believes sizes that it reads: a list of two billion entries in a footer of twenty bytes ends the process, since running out of memory is no
// panic. So the footer is walked before it is decoded, its schema is checked before it is opened, and pages reach the library
// one at a time, decompressed here within a limit.

const (
	maxFooter  = 64 << 20
	maxColumns = 10_000
	maxNesting = 32
)

var errDamaged = errors.New("is damaged")

func damaged(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errDamaged}, a...)...)
}

// readFooter reads and checks the metadata of a file.
func readFooter(r io.ReaderAt, size int64) (*format.FileMetaData, error) {
	var head [4]byte
	var tail [8]byte
	if size < 12 {
		return nil, errors.New("is no Parquet file: its signature is missing")
	}
	if err := readFull(r, head[:], 0); err != nil {
		return nil, err
	}
	if err := readFull(r, tail[:], size-8); err != nil {
		return nil, err
	}
	switch {
	case string(head[:]) == "PARE" || string(tail[4:]) == "PARE":
		return nil, errors.New("is encrypted, which is not read")
	case string(head[:]) != "PAR1":
		return nil, errors.New("is no Parquet file: its signature is missing")
	case string(tail[4:]) != "PAR1":
		return nil, errors.New("is truncated: the end of a Parquet file is missing; copy it again")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > size-12 || n > maxFooter {
		return nil, damaged("its footer would have %d bytes", n)
	}
	b := make([]byte, n)
	if err := readFull(r, b, size-8-n); err != nil {
		return nil, err
	}
	w := walker{b: b, structs: 10_000 + len(b)/16}
	if w.structure(0); w.bad {
		return nil, damaged("its footer makes no sense")
	}
	meta := new(format.FileMetaData)
	var p thrift.CompactProtocol
	if err := thrift.NewDecoder(p.NewReaderFromBytes(b)).Decode(meta); err != nil {
		return nil, damaged("its footer makes no sense")
	}
	return meta, checkFooter(meta)
}

func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("is truncated, or has become shorter while it was read")
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// checkFooter checks what the library relies on.
func checkFooter(m *format.FileMetaData) error {
	if m.EncryptionAlgorithm.Value != nil {
		return errors.New("is encrypted, which is not read")
	}
	if len(m.Schema) == 0 || len(m.Schema) > maxColumns {
		return damaged("it has %d columns", len(m.Schema))
	}
	leaves, next := 0, 0
	var group func(depth int) bool
	group = func(depth int) bool {
		if next >= len(m.Schema) || depth > maxNesting {
			return false
		}
		e := &m.Schema[next]
		next++
		children := e.NumChildren.V
		if !e.NumChildren.Valid || children == 0 {
			leaves++
			return e.Type.Valid && depth > 0
		}
		for range children {
			if !group(depth + 1) {
				return false
			}
		}
		return children > 0
	}
	if !group(0) || next != len(m.Schema) {
		return damaged("its schema makes no sense")
	}
	rows := int64(0)
	for i := range m.RowGroups {
		g := &m.RowGroups[i]
		if len(g.Columns) != leaves || g.NumRows < 0 || g.NumRows > 1<<40 {
			return damaged("a row group makes no sense")
		}
		rows += g.NumRows
		for j := range g.Columns {
			c := &g.Columns[j]
			if c.FilePath != "" {
				return errors.New("keeps its columns in other files, which is not read")
			}
			if len(c.EncryptedColumnMetadata) > 0 {
				return errors.New("is encrypted, which is not read")
			}
		}
	}
	if len(m.RowGroups) > 1<<15 || rows != m.NumRows {
		return damaged("its row groups make no sense")
	}
	return nil
}

// walker goes through a thrift structure (compact protocol) without decoding it.
type walker struct {
	b       []byte
	structs int // that lists may still have
	bad     bool
}

func (w *walker) skip(n uint64) {
	if n > uint64(len(w.b)) {
		w.bad, w.b = true, nil
		return
	}
	w.b = w.b[n:]
}

func (w *walker) byte() byte {
	if len(w.b) == 0 {
		w.bad = true
		return 0
	}
	c := w.b[0]
	w.b = w.b[1:]
	return c
}

func (w *walker) varint() uint64 {
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		w.bad, w.b = true, nil
		return 0
	}
	w.b = w.b[n:]
	return v
}

func (w *walker) structure(depth int) {
	if depth > 64 {
		w.bad = true
	}
	for !w.bad {
		head := w.byte()
		if head&15 == 0 {
			return
		}
		if head>>4 == 0 {
			w.varint() // the number of the field
		}
		w.value(head&15, depth, true)
	}
}

func (w *walker) value(kind byte, depth int, field bool) {
	switch thrift.Type(kind) {
	case thrift.TRUE, thrift.FALSE:
		if !field {
			w.skip(1)
		}
	case thrift.I8:
		w.skip(1)
	case thrift.I16, thrift.I32, thrift.I64:
		w.varint()
	case thrift.DOUBLE:
		w.skip(8)
	case thrift.BINARY:
		w.skip(w.varint())
	case thrift.UUID:
		w.skip(16)
	case thrift.STRUCT:
		w.structure(depth + 1)
	case thrift.LIST, thrift.SET:
		head := w.byte()
		n := uint64(head >> 4)
		if n == 15 {
			n = w.varint()
		}
		if head &= 15; n > uint64(len(w.b)) || thrift.Type(head) == thrift.STRUCT && n > uint64(w.structs) || depth > 64 {
			w.bad = true
			return
		}
		if thrift.Type(head) == thrift.STRUCT {
			w.structs -= int(n)
		}
		for ; n > 0 && !w.bad; n-- {
			w.value(head, depth+1, false)
		}
	case thrift.MAP:
		n := w.varint()
		if n == 0 {
			return
		}
		kinds := w.byte()
		if n > uint64(len(w.b)) || depth > 64 {
			w.bad = true
			return
		}
		for ; n > 0 && !w.bad; n-- {
			w.value(kinds>>4, depth+1, false)
			w.value(kinds&15, depth+1, false)
		}
	default:
		w.bad = true
	}
}

// openLibrary opens the columns of a file whose metadata is checked. Its metadata is changed so that all pages seem to be uncompressed
// and to begin at byte 4, where a view shows one page at a time.
func openLibrary(meta *format.FileMetaData) (f *pq.File, err error) {
	defer recovered(&err)
	fake := *meta
	fake.KeyValueMetadata = nil
	fake.RowGroups = make([]format.RowGroup, len(meta.RowGroups))
	for i, g := range meta.RowGroups {
		columns := make([]format.ColumnChunk, len(g.Columns))
		for j, c := range g.Columns {
			columns[j].FileOffset = viewAt
			m := c.MetaData
			m.Codec, m.DataPageOffset, m.DictionaryPageOffset, m.IndexPageOffset, m.BloomFilterOffset = format.Uncompressed, viewAt, 0, 0, 0
			m.TotalCompressedSize = 1 << 40
			m.Statistics, m.KeyValueMetadata, m.EncodingStats = format.Statistics{}, nil, nil
			columns[j].MetaData = m
		}
		g.Columns, g.SortingColumns = columns, nil
		fake.RowGroups[i] = g
	}
	var p thrift.CompactProtocol
	footer, err := thrift.Marshal(&p, &fake)
	if err != nil {
		return nil, damaged("its footer makes no sense")
	}
	b := append([]byte("PAR1"), footer...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(footer)))
	b = append(b, "PAR1"...)
	f, err = pq.OpenFile(view{0, b}, int64(len(b)), pq.SkipPageIndex(true), pq.SkipBloomFilters(true))
	if err != nil {
		return nil, damaged("its schema makes no sense")
	}
	return f, nil
}

const viewAt = 4

// view shows bytes from an offset on.
type view struct {
	at int64
	b  []byte
}

func (v view) ReadAt(b []byte, at int64) (int, error) {
	if at < v.at || at-v.at >= int64(len(v.b)) {
		return 0, io.EOF
	}
	n := copy(b, v.b[at-v.at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// recovered turns a panic of the library into an error: odd bytes must not end the run.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = damaged("the decoder failed")
	}
}
