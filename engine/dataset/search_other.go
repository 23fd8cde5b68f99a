//go:build !amd64 || purego

package dataset

var vector = false

func probe(text *byte, n int, chars, folds *[4]byte, offsets *[4]int, out *uint32) {}
