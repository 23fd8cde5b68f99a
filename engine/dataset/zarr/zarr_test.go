package zarr

import (
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func TestShared(t *testing.T) {
	for _, name := range []string{"images_v2.zarr", "images_v2_blosc.zarr"} {
		t.Run(name, func(t *testing.T) {
			s := arraytest.Shared(t, name)
			m, err := OpenFolder(s.Path, array.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if got := arraytest.Hash(t, m); got != s.SHA || m.Len() != 24 {
				t.Errorf("%d images with the hash %s, want 24 with %s", m.Len(), got, s.SHA)
			}
		})
	}
}
