//go:build !purego

package dataset

import "golang.org/x/sys/cpu"

var vector = cpu.X86.HasAVX2

// probe looks at 32·n places of a text. Bit k of out[b] says whether at place 32·b+k the byte that lies offsets[j] behind it is chars[j], once it is or-ed
// with folds[j], for all four j. It reads up to the largest offset behind the last place.
//
//go:noescape
func probe(text *byte, n int, chars, folds *[4]byte, offsets *[4]int, out *uint32)
