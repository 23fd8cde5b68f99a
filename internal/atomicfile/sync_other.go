//go:build !unix

package atomicfile

// SyncDir has nothing to do: names are durable with the file.
func SyncDir(string) error { return nil }
