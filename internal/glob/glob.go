// Package glob finds files by a pattern in a folder of any name: filepath.Glob takes a bracket in the folder's name for a part of the pattern.
package glob

import (
	"io/fs"
	"os"
	"path/filepath"
)

// In returns the paths of the files in dir that match the pattern (see path.Match; it may name folders below), sorted. What cannot be read is left out.
func In(dir, pattern string) []string {
	names, _ := fs.Glob(os.DirFS(dir), pattern)
	for i := range names {
		names[i] = filepath.Join(dir, filepath.FromSlash(names[i]))
	}
	return names
}
