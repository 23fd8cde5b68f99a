//go:build !linux && !darwin

// Package disk tells what may still be written.
package disk

// Free is not known here.
func Free(string) (int64, bool) { return 0, false }
