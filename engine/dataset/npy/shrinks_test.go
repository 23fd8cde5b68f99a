package npy

import (
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func TestShrinks(t *testing.T) {
	for _, b := range arraytest.Samples(t, ".npz", 8<<10) {
		if _, err := Open(&arraytest.Cut{}, 0, array.Options{}); err == nil {
			t.Error("an empty file was opened")
		}
		arraytest.Shrinks(t, b, func(r *arraytest.Cut, o array.Options) (array.Images, error) {
			m, err := Open(r, int64(r.N), o)
			if err != nil {
				return nil, err
			}
			return m, nil
		})
	}
}
