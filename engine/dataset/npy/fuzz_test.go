package npy

import (
	"bytes"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func FuzzNPY(f *testing.F) {
	for _, b := range arraytest.Samples(f, ".npy", 16<<10) {
		f.Add(b)
	}
	for _, b := range arraytest.Samples(f, ".npz", 16<<10) {
		f.Add(b)
	}
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
