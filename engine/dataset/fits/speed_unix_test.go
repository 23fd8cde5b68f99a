//go:build unix

package fits

import (
	"os"
	"testing"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/internal/testdata"
)

// BenchmarkFile: files that astropy wrote, from the disk's cache to pixels.
func BenchmarkFile(b *testing.B) {
	testdata.BenchFiles(b, ".fits", func(path string) (int, error) {
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
		h, err := f.Find("")
		if err != nil {
			return 0, err
		}
		m, err := h.Read()
		return m.W * m.H * m.C * m.Kind().Size(), err
	})
}
