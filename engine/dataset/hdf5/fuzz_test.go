package hdf5

import (
	"bytes"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func FuzzHDF5(f *testing.F) {
	for _, b := range arraytest.Samples(f, ".h5", 16<<10) {
		f.Add(b)
	}
	verify = false
	f.Cleanup(func() { verify = true })
	f.Fuzz(func(t *testing.T, b []byte) {
		arraytest.Bounded(t, b, func(o array.Options) (array.Images, error) {
			m, err := Open(bytes.NewReader(b), int64(len(b)), o)
			if err != nil {
				return nil, err
			}
			return m, nil
		})
	})
}
