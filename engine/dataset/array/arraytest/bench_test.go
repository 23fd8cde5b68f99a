package arraytest_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/hdf5"
	"anomalymatch/engine/dataset/npy"
	"anomalymatch/engine/dataset/parquet"
	"anomalymatch/engine/dataset/zarr"
)

var benchOptions = array.Options{Cache: 4 << 20}

// BenchmarkFormats reads the images of each file in the folder ANOMALYMATCH_FORMATS one at a time, in order, over and over.
// bench/formats_arrays.py --speed makes the files. The cache holds some chunks only, so that each pass decodes each chunk once, as a pass over a large
// file does.
func BenchmarkFormats(b *testing.B) {
	dir := os.Getenv("ANOMALYMATCH_FORMATS")
	if dir == "" {
		b.Skip("ANOMALYMATCH_FORMATS names no folder of files")
	}
	items, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for _, item := range items {
		path := filepath.Join(dir, item.Name())
		b.Run(item.Name(), func(b *testing.B) {
			m, err := openPath(b, path)
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			b.ReportAllocs()
			total, i := 0, 0
			for b.Loop() {
				image, err := m.Read(context.Background(), i%m.Len())
				if err != nil {
					b.Fatal(err)
				}
				i++
				if total += len(image.Encoded); image.Encoded == nil {
					p := image.Pixels
					total += p.W * p.H * p.C * p.Kind().Size()
				}
			}
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "images/s")
			b.ReportMetric(float64(total)/b.Elapsed().Seconds()/1e6, "MB/s")
		})
	}
}

func openPath(b *testing.B, path string) (array.Images, error) {
	if filepath.Ext(path) == ".zarr" {
		return opened(zarr.OpenFolder(path, benchOptions))
	}
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	switch filepath.Ext(path) {
	case ".h5":
		return opened(hdf5.Open(f, info.Size(), benchOptions))
	case ".parquet":
		return opened(parquet.Open(f, info.Size(), benchOptions))
	}
	return npy.Open(f, info.Size(), benchOptions)
}
