//go:build !unix

package atomicfile

import "os"

// SyncDir has nothing to do: names are durable with the file.
func SyncDir(string) error { return nil }

func lock(*os.File) bool { return false }
