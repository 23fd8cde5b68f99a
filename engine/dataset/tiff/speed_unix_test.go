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
		data, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		m, err := Decode(data, raw.Limits{})
		return m.W * m.H * m.C * m.Kind().Size(), err
	})
}
