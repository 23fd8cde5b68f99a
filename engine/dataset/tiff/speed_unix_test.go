//go:build unix

package tiff

import (
	"os"
	"testing"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/internal/testdata"
)

// BenchmarkFile: files that tifffile wrote, from the disk's cache to pixels.
func BenchmarkFile(b *testing.B) {
	testdata.BenchFiles(b, ".tiff", func(path string) (int, error) {
		file, err := os.Open(path)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return 0, err
		}
		f, err := Open(file, info.Size(), raw.Limits{})
		if err != nil {
			return 0, err
		}
		m, err := f.Read(0)
		return m.W * m.H * m.C * m.Kind().Size(), err
	})
}
