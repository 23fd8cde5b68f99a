package runtime

import (
	"slices"
	"strings"
)

// noMemory is what runtimes say of a device that has no memory left, in small letters: XLA's status, the allocators of CUDA and cuDNN, and ONNX Runtime,
// whose arena, and the C++ library below it, have words of their own.
var noMemory = []string{
	"resource_exhausted", "resource exhausted", "out of memory", "out_of_memory", "outofmemory", "failed to allocate memory", "failed to allocate request",
	"bad_alloc", "bad allocation", "cudaerrormemoryallocation", "cudnn_status_alloc_failed", "cublas_status_alloc_failed", "cannot allocate memory",
}

// OutOfMemory tells from the error of a run that the device has too little memory for it: fewer images at once may do.
func OutOfMemory(err error) bool {
	if err == nil {
		return false
	}
	return noMemoryIn(strings.ToLower(err.Error()))
}

func noMemoryIn(text string) bool {
	return slices.ContainsFunc(noMemory, func(s string) bool { return strings.Contains(text, s) })
}
