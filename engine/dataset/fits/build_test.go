package fits

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
)

// cards writes a header: "KEY = value" each, END added.
func cards(lines ...string) []byte {
	var b bytes.Buffer
	for _, l := range append(lines, "END") {
		if key, value, ok := strings.Cut(l, "="); ok && !strings.HasPrefix(l, "CONTINUE") {
			l = fmt.Sprintf("%-8s= %s", strings.TrimSpace(key), strings.TrimSpace(value))
		}
		fmt.Fprintf(&b, "%-80.80s", l)
	}
	return padded(b.Bytes(), ' ')
}

func padded(b []byte, with byte) []byte {
	return append(b, bytes.Repeat([]byte{with}, (block-len(b)%block)%block)...)
}

// image writes a primary image of values, []T, in axes; more are cards.
func image(bitpix int, axes []int, values any, more ...string) []byte {
	lines := []string{"SIMPLE = T", fmt.Sprintf("BITPIX = %d", bitpix), fmt.Sprintf("NAXIS = %d", len(axes))}
	for i, n := range axes {
		lines = append(lines, fmt.Sprintf("NAXIS%d = %d", i+1, n))
	}
	data, err := binary.Append(nil, binary.BigEndian, values)
	if err != nil {
		panic(err)
	}
	return append(cards(append(lines, more...)...), padded(data, 0)...)
}

// extension writes an extension behind an empty primary HDU, or behind others.
func extension(before []byte, lines []string, data []byte) []byte {
	if before == nil {
		before = cards("SIMPLE = T", "BITPIX = 8", "NAXIS = 0", "EXTEND = T")
	}
	return append(append(bytes.Clone(before), cards(lines...)...), padded(bytes.Clone(data), 0)...)
}

// table writes a binary table of rows with a heap.
func table(before []byte, width int, rows, heap []byte, more ...string) []byte {
	n := 0
	if width > 0 {
		n = len(rows) / width
	}
	return extension(before, append([]string{"XTENSION = 'BINTABLE'", "BITPIX = 8", "NAXIS = 2", fmt.Sprintf("NAXIS1 = %d", width),
		fmt.Sprintf("NAXIS2 = %d", n), fmt.Sprintf("PCOUNT = %d", len(heap)), "GCOUNT = 1"}, more...), append(bytes.Clone(rows), heap...))
}

// tiled writes a compressed image: one row of 8 bytes for each tile, that points to its bytes.
func tiled(algorithm string, bitpix int, axes, tile []int, tiles [][]byte, more ...string) []byte {
	var rows, heap []byte
	for _, t := range tiles {
		rows = binary.BigEndian.AppendUint32(rows, uint32(len(t)))
		rows = binary.BigEndian.AppendUint32(rows, uint32(len(heap)))
		heap = append(heap, t...)
	}
	lines := []string{"TFIELDS = 1", "TTYPE1 = 'COMPRESSED_DATA'", "TFORM1 = '1PB(99)'", "ZIMAGE = T", fmt.Sprintf("ZCMPTYPE = '%s'", algorithm),
		fmt.Sprintf("ZBITPIX = %d", bitpix), fmt.Sprintf("ZNAXIS = %d", len(axes))}
	for i, n := range axes {
		lines = append(lines, fmt.Sprintf("ZNAXIS%d = %d", i+1, n), fmt.Sprintf("ZTILE%d = %d", i+1, tile[i]))
	}
	return table(nil, 8, rows, heap, append(lines, more...)...)
}

var zipper = gzip.NewWriter(nil)

func zipped(values any) []byte {
	var b bytes.Buffer
	zipper.Reset(&b)
	if err := binary.Write(zipper, binary.BigEndian, values); err != nil {
		panic(err)
	}
	zipper.Close()
	return b.Bytes()
}

// riced is the coding of rice in all its ways: of the blocks that are not all the same every third is not coded, the others are split after
// any number of bits.
func riced(values []int32, bytepix, blocksize int) []byte {
	most := map[int]int{1: 6, 2: 14, 4: 25}[bytepix]
	return coded(values, bytepix, blocksize, func(n int, diffs []uint32) int {
		if fs := n % most; n%3 != 1 && slices.Max(diffs)>>fs <= 200 {
			return fs
		}
		return most
	})
}

// short is the coding of rice as writers do it: split where the mean difference ends.
func short(values []int32, bytepix, blocksize int) []byte {
	return coded(values, bytepix, blocksize, func(_ int, diffs []uint32) int {
		sum := 0
		for _, d := range diffs {
			sum += int(d)
		}
		return min(bits.Len(uint(max(0, sum-len(diffs)/2-1)/len(diffs)/2)), map[int]int{1: 6, 2: 14, 4: 25}[bytepix])
	})
}

// coded packs blocks by Rice's way; choose says after how many bits block n is split.
func coded(values []int32, bytepix, blocksize int, choose func(n int, diffs []uint32) int) []byte {
	width, selector, most := 8*bytepix, map[int]int{1: 3, 2: 4, 4: 5}[bytepix], map[int]int{1: 6, 2: 14, 4: 25}[bytepix]
	var out []byte
	used := 0
	put := func(v uint64, n int) {
		for i := n - 1; i >= 0; i-- {
			if used%8 == 0 {
				out = append(out, 0)
			}
			out[len(out)-1] |= byte(v>>i&1) << (7 - used%8)
			used++
		}
	}
	mask := uint32(1<<width - 1)
	last := uint32(values[0]) & mask
	put(uint64(last), width)
	for n := 0; len(values) > 0; n++ {
		part := values[:min(blocksize, len(values))]
		var diffs []uint32
		same := true
		for _, v := range part {
			d := (uint32(v) - last) & mask
			last = uint32(v) & mask
			folded := d << 1 & mask
			if d>>(width-1) == 1 {
				folded = ^folded & mask
			}
			diffs = append(diffs, folded)
			same = same && folded == 0
		}
		fs := choose(n, diffs)
		switch {
		case same:
			put(0, selector)
		case fs == most:
			put(uint64(most+1), selector)
			for _, d := range diffs {
				put(uint64(d), width)
			}
		default:
			put(uint64(fs+1), selector)
			for _, d := range diffs {
				put(0, int(d>>fs))
				put(1, 1)
				put(uint64(d)&(1<<fs-1), fs)
			}
		}
		values = values[len(part):]
	}
	return out
}

// ramp are n values that stay, rise and jump.
func ramp(n int, most int32) []int32 {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]int32, n)
	v := int32(3)
	for i := range out {
		switch {
		case i%100 < 40:
		case i%100 < 80:
			v = max(0, v+r.Int32N(9)-4)
		default:
			v = r.Int32N(most)
		}
		out[i] = v
	}
	return out
}
