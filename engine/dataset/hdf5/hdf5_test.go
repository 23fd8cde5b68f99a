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

func TestShrinks(t *testing.T) {
	for name, b := range arraytest.Samples(t, ".h5", 1<<20) {
		if strings.HasPrefix(name, "one_") || strings.HasPrefix(name, "am_") {
			arraytest.Shrinks(t, b, func(r *arraytest.Cut, o array.Options) (array.Images, error) {
				m, err := Open(r, int64(r.N), o)
				if err != nil {
					return nil, err
				}
				return m, nil
			})
		}
	}
}

func TestChecksums(t *testing.T) {
	for s, want := range map[string]uint32{"": 0xdeadbeef, "Four score and seven years ago": 0x17770551} { // from lookup3.c
		if got := lookup3([]byte(s)); got != want {
			t.Errorf("lookup3(%q) is %#x, want %#x", s, got, want)
		}
	}
	b := bytes.Clone(arraytest.Samples(t, "one_gzip_latest.h5", 1<<20)["one_gzip_latest.h5"])
	wrong := 0
	for i := range b { // no flipped bit changes a value: an error, or what was written
		b[i] ^= 1
		m, err := Open(bytes.NewReader(b), int64(len(b)), array.Options{})
		for n := range 4 {
			if err != nil {
				break
			}
			var image array.Image
			if image, err = m.Read(context.Background(), n); err == nil {
				v, ok := image.Pixels.Data.([]uint16)
				if ok = ok && len(v) == 30; ok {
					for k := range v {
						ok = ok && v[k] == uint16((n*30+k)%251*261)
					}
				}
				if !ok {
					wrong++
				}
			}
		}
		b[i] ^= 1
	}
	if wrong > 0 {
		t.Errorf("%d flipped bits were read as other values", wrong)
	}
}
