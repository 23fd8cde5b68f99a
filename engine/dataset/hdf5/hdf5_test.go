package hdf5

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

func open(t testing.TB, path string) (*Images, error) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Open(bytes.NewReader(b), int64(len(b)), array.Options{})
}

func TestSharedValues(t *testing.T) {
	for _, name := range []string{"plain_contiguous.h5", "plain_gzip.h5", "plain_gzip_shuffle_latest.h5"} {
		t.Run(name, func(t *testing.T) {
			s := arraytest.Shared(t, name)
			m, err := open(t, s.Path)
			if err != nil {
				t.Fatal(err)
			}
			if got := arraytest.Hash(t, m); got != s.SHA || m.Len() != 24 {
				t.Errorf("%d images with the hash %s, want 24 with %s", m.Len(), got, s.SHA)
			}
			for i, name := range arraytest.Names(t, m) {
				if name == "" {
					t.Errorf("image %d has no name", i)
				}
			}
		})
	}
}

func TestSharedEncoded(t *testing.T) {
	for _, name := range []string{"am_vlen.h5", "am_vlen_gzip.h5"} {
		t.Run(name, func(t *testing.T) {
			s := arraytest.Shared(t, name)
			m, err := open(t, s.Path)
			if err != nil {
				t.Fatal(err)
			}
			if m.Len() != s.N {
				t.Fatalf("%d images, want %d", m.Len(), s.N)
			}
			for i, want := range s.JPEGs {
				image, err := m.Read(context.Background(), i)
				if err != nil {
					t.Fatal(err)
				}
				if sum := sha256.Sum256(image.Encoded); hex.EncodeToString(sum[:]) != want {
					t.Errorf("image %d has the hash %x, want %s", i, sum, want)
				}
			}
			for e, err := range m.Entries(context.Background()) {
				if err != nil || e.Name == "" || e.Size == 0 {
					t.Errorf("entry %+v, %v", e, err)
				}
			}
		})
	}
}

func TestSharedRefused(t *testing.T) {
	for name, want := range map[string]string{"plain_lzf.h5": "LZF", "truncated.h5": "truncated"} {
		s := arraytest.Shared(t, name)
		if _, err := open(t, s.Path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", name, err, want)
		}
	}
}
