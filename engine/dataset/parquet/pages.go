package parquet

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

// checkPage compares what a decompressed page of a column without lists says about numbers of values with what its header says, before the library
// makes room for them: a run of two billion levels takes five bytes. most bounds the bytes of values that share beginnings.
func checkPage(h *format.PageHeader, b []byte, maxDefinition int, boolean bool, most int64) error {
	var n int64
	var encoding format.Encoding
	levels, ok := []byte(nil), true
	switch h.Type {
	case format.DataPage:
		v := h.DataPageHeader.V
		n, encoding = int64(v.NumValues), v.Encoding
		if maxDefinition > 0 {
			if v.DefinitionLevelEncoding != format.RLE {
				return fmt.Errorf("has levels in the encoding %s, which is not read", v.DefinitionLevelEncoding)
			}
			levels, b, ok = prefixed(b)
		}
	case format.DataPageV2:
		v := h.DataPageHeaderV2.V
		n, encoding = int64(v.NumValues), v.Encoding
		repetition, definition := int(v.RepetitionLevelsByteLength), int(v.DefinitionLevelsByteLength)
		if ok = repetition+definition <= len(b); ok {
			levels, b = b[repetition:repetition+definition], b[repetition+definition:]
		}
	}
	if !ok || !runs(levels, bits.Len(uint(maxDefinition)), n) {
		return damaged("the levels of a page make no sense")
	}
	switch encoding {
	case format.Plain, format.ByteStreamSplit:
	case format.PlainDictionary, format.RLEDictionary:
		ok = len(b) == 0 || b[0] <= 32 && runs(b[1:], int(b[0]), n)
	case format.RLE:
		if levels, _, ok = prefixed(b); ok {
			ok = boolean && runs(levels, 1, n)
		}
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		_, ok = skipDelta(b, n)
	case format.DeltaByteArray:
		ok = checkDeltaBytes(b, n, most)
	default:
		return fmt.Errorf("has values in the encoding %s, which is not read", encoding)
	}
	if !ok {
		return damaged("the values of a page make no sense")
	}
	return nil
}

// prefixed cuts off what its length stands before.
func prefixed(b []byte) (inside, rest []byte, ok bool) {
	if len(b) < 4 || int64(binary.LittleEndian.Uint32(b)) > int64(len(b)-4) {
		return nil, nil, false
	}
	n := 4 + int(binary.LittleEndian.Uint32(b))
	return b[4:n], b[n:], true
}

// runs says whether runs and packed groups of values of some bits are together no more than n, but for what fills up the last group.
func runs(b []byte, width int, n int64) bool {
	left := uint64(n) + 512
	for len(b) > 0 {
		head, size := binary.Uvarint(b)
		if size <= 0 {
			return false
		}
		b = b[size:]
		count, bytes := head>>1, uint64(width+7)/8
		if head&1 != 0 {
			if count > left {
				return false
			}
			count, bytes = 8*count, count*uint64(width)
		}
		if count > left {
			return false
		}
		left -= count
		b = b[min(bytes, uint64(len(b))):]
	}
	return true
}

// skipDelta goes over delta-packed integers, which are at most most.
func skipDelta(b []byte, most int64) (rest []byte, ok bool) {
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if ok = n > 0; ok {
			b = b[n:]
		}
		return v
	}
	if len(b) == 0 {
		return nil, true
	}
	block := number()
	if !ok {
		return nil, false
	}
	parts := number()
	if !ok {
		return nil, false
	}
	total := number()
	if !ok || total > uint64(most) || block == 0 || block > 1<<16 || parts == 0 || parts > block {
		return nil, false
	}
	if number(); !ok { // the first value
		return nil, false
	}
	for left := int64(total) - 1; left > 0; {
		if number(); !ok || uint64(len(b)) < parts { // the least difference
			return nil, false
		}
		widths := b[:parts]
		b = b[parts:]
		for _, w := range widths {
			if left <= 0 {
				break
			}
			if w > 64 {
				return nil, false
			}
			b = b[min(int(block/parts)*int(w)/8, len(b)):]
			left -= int64(block / parts)
		}
	}
	return b, true
}

// checkDeltaBytes says whether values that share beginnings have at most most bytes together.
func checkDeltaBytes(b []byte, n, most int64) bool {
	rest, ok := skipDelta(b, n)
	if !ok {
		return false
	}
	if _, ok = skipDelta(rest, n); !ok {
		return false
	}
	sum := int64(0)
	for _, part := range [][]byte{b[:len(b)-len(rest)], rest} { // how much each shares, and how long its own end is
		if len(part) == 0 {
			continue
		}
		lengths, err := new(delta.BinaryPackedEncoding).DecodeInt32(nil, part)
		if err != nil {
			return false
		}
		for _, l := range lengths {
			if l < 0 || int64(l) > most {
				return false
			}
			sum += int64(l)
		}
	}
	return sum <= most
}
