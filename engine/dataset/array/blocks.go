package array

import (
	"math"
	"slices"
)

// Product multiplies; ok is false where a factor is negative or the product does not fit.
func Product(factors ...int64) (p int64, ok bool) {
	p = 1
	for _, f := range factors {
		if f < 0 || f > 0 && p > math.MaxInt64/f {
			return 0, false
		}
		p *= f
	}
	return p, true
}

// CopyBlock copies a box of count elements per axis between arrays in C order, from place at of src to place to of dst. The box must lie
// within both.
func CopyBlock(dst []byte, dstShape, to []int, src []byte, srcShape, at, count []int, size int) {
	if slices.Contains(count, 0) {
		return
	}
	copyAxis(dst, dstShape, to, src, srcShape, at, count, size, 0, 0, 0)
}

func copyAxis(dst []byte, dstShape, to []int, src []byte, srcShape, at, count []int, size, axis, d, s int) {
	if axis == len(count) {
		copy(dst[d*size:(d+1)*size], src[s*size:])
		return
	}
	d, s = d*dstShape[axis]+to[axis], s*srcShape[axis]+at[axis]
	whole := 1 // what lies behind one step of this axis, where the box has all of it in both
	for i := axis + 1; i < len(count); i++ {
		if count[i] != dstShape[i] || count[i] != srcShape[i] {
			whole = 0
			break
		}
		whole *= count[i]
	}
	if whole > 0 {
		copy(dst[d*whole*size:(d+count[axis])*whole*size], src[s*whole*size:])
		return
	}
	for i := range count[axis] {
		copyAxis(dst, dstShape, to, src, srcShape, at, count, size, axis+1, d+i, s+i)
	}
}

// Permute writes the array src of a shape, in C order, anew with its axes in another order: axis i of the result is axis perm[i] of src.
func Permute(src []byte, shape, perm []int, size int) []byte {
	dst := make([]byte, len(src))
	if len(src) == 0 {
		return dst
	}
	stride := make([]int, len(shape)) // of src, in elements
	for i, n := len(shape)-1, 1; i >= 0; i-- {
		stride[i] = n
		n *= shape[i]
	}
	at := 0
	var walk func(axis, s int)
	walk = func(axis, s int) {
		if axis == len(perm) {
			copy(dst[at:at+size], src[s*size:])
			at += size
			return
		}
		step := stride[perm[axis]]
		for i := range shape[perm[axis]] {
			walk(axis+1, s+i*step)
		}
	}
	walk(0, 0)
	return dst
}

// FromFortran writes an array of a shape that is stored in Fortran order in C order.
func FromFortran(src []byte, shape []int, size int) []byte {
	stored, perm := slices.Clone(shape), make([]int, len(shape))
	slices.Reverse(stored)
	for i := range perm {
		perm[i] = len(perm) - 1 - i
	}
	return Permute(src, stored, perm, size)
}

// Unshuffle undoes the byte shuffle of HDF5 and Blosc: src has byte 0 of all elements, then byte 1 of all, and so on. What is left over
// behind the last whole element stands as it is. dst has the length of src.
func Unshuffle(dst, src []byte, size int) {
	n := len(src) / max(size, 1)
	if size <= 1 || n == 0 {
		copy(dst, src)
		return
	}
	for b := range size {
		column := src[b*n : (b+1)*n]
		for i, at := 0, b; i < len(column); i, at = i+1, at+size {
			dst[at] = column[i]
		}
	}
	copy(dst[n*size:], src[n*size:])
}
