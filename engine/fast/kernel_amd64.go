//go:build !purego

package fast

import "golang.org/x/sys/cpu"

// vector says whether this processor has what the functions below are made of.
var vector = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C

// measure4 is measure for four rows that lie stride bytes apart, n values each, a multiple of 8: out has Σ weight·value of the rows, then
// Σ value², each in eight sums.
//
//go:noescape
func measure4(raw *byte, stride int, mean, gain, weights *float32, n int, out *[8][8]float32)

// dotAVX is dot for n values, a multiple of 16, in four sums.
//
//go:noescape
func dotAVX(w *float64, row *float32, n int, out *[4]float64)

// addAVX is add for n values, a multiple of 16.
//
//go:noescape
func addAVX(sum *float64, a float64, row *float32, n int)
