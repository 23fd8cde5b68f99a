package npy

import (
	"bytes"
	"os"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func open(t testing.TB, path string) (array.Images, error) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Open(bytes.NewReader(b), int64(len(b)), array.Options{})
}

func TestShared(t *testing.T) {
	for _, name := range []string{"images.npy", "images.npz"} {
		t.Run(name, func(t *testing.T) {
			s := arraytest.Shared(t, name)
			m, err := open(t, s.Path)
			if err != nil {
				t.Fatal(err)
			}
			if got := arraytest.Hash(t, m); got != s.SHA || m.Len() != 24 {
				t.Errorf("%d images with the hash %s, want 24 with %s", m.Len(), got, s.SHA)
			}
		})
	}
}
