//go:build !linux && !darwin

package runtime

// freeBytes is not asked where no runtime can be installed.
func freeBytes(string) (int64, bool) { return 0, false }
