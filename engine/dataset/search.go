package dataset

import (
	"bytes"
	"context"
	mathbits "math/bits"
	"strings"
	"unicode/utf8"
	"unsafe"

	"anomalymatch/internal/parallel"
)

// searchedAtOnce is how many ids are searched as one text, a multiple of 64: they stay in a core's cache.
const searchedAtOnce = 4096

// Holding says which images have a text, in lower case, in their ids, where upper and lower case are alike: image i has bit i%64 of word i/64. All
// cores search ids that lie behind one another as one text.
func (p *Pool) Holding(ctx context.Context, text string) ([]uint64, error) {
	bits := make([]uint64, (p.Len()+63)/64)
	ascii := strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
	chunks := (p.Len() + searchedAtOnce - 1) / searchedAtOnce
	parallel.Parts(chunks, chunks, func(_, chunk, _ int) {
		if ctx.Err() != nil {
			return
		}
		first, last := chunk*searchedAtOnce, min((chunk+1)*searchedAtOnce, p.Len())
		if !ascii || text == "" {
			for i := first; i < last; i++ {
				if strings.Contains(strings.ToLower(p.id(i)), text) {
					bits[i>>6] |= 1 << (i & 63)
				}
			}
			return
		}
		from := p.begins(first)
		i, end := first, from+p.length(first) // of the image that is searched, and where its id ends
		search(p.ids, from, p.begins(last), text, func(at int) {
			for end <= at {
				i++
				end += p.length(i)
			}
			if at+len(text) <= end { // else it begins in one id and ends in the next
				bits[i>>6] |= 1 << (i & 63)
			}
		})
	})
	return bits, ctx.Err()
}

// search calls hit for the places [from, to) of s where text begins, which is ASCII and in lower case, upper and lower case alike, in their order.
func search(s string, from, to int, text string, hit func(at int)) {
	if vector {
		// The last letters of a text, or digits, tell ids apart: four of them leave few places to look at.
		var chars, folds [4]byte
		var offsets [4]int
		for k := range chars {
			at := max(0, len(text)-1-k)
			if chars[k], offsets[k] = text[at], at; text[at] >= 'a' && text[at] <= 'z' {
				folds[k] = 'a' - 'A'
			}
		}
		var masks [64]uint32
		for from < to {
			n := min(len(masks), (to-from+31)/32, (len(s)-from-len(text)+1)/32)
			if n <= 0 {
				break // the very end
			}
			probe(unsafe.StringData(s[from:]), n, &chars, &folds, &offsets, &masks[0])
			for k, m := range masks[:n] {
				for ; m != 0; m &= m - 1 {
					if at := from + 32*k + mathbits.TrailingZeros32(m); at < to && isFold(s[at:at+len(text)], text) {
						hit(at)
					}
				}
			}
			from += 32 * n
		}
	}
	if from >= to {
		return
	}
	part := lowered(s[from:min(to+len(text)-1, len(s))])
	for at := 0; ; at++ {
		next := strings.Index(part[at:], text)
		if next < 0 {
			return
		}
		at += next
		hit(from + at)
	}
}

// isFold reports whether s is text, which is in lower case and as long, but for its letters A to Z.
func isFold(s, text string) bool {
	for k := range len(text) {
		c := s[k]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != text[k] {
			return false
		}
	}
	return true
}

// lowered is s with the letters A to Z in lower case, and all else as it is: s is no longer than it was. Eight bytes are done at once.
func lowered(s string) string {
	const each = 0x0101010101010101
	b := append(make([]byte, 0, len(s)+8), s...)
	n := len(b)
	b = append(b, bytes.Repeat([]byte{0}, 8)...)
	for k := 0; k < n; k += 8 {
		x := le.Uint64(b[k:])
		low := x & (0x7f * each)
		upper := ((low + (0x80-'A')*each) ^ (low + (0x7f-'Z')*each)) & ^x & (0x80 * each)
		le.PutUint64(b[k:], x|upper>>2)
	}
	return unsafe.String(unsafe.SliceData(b), n) // nobody changes b any more
}
