package arraytest_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/hdf5"
	"anomalymatch/engine/dataset/npy"
	"anomalymatch/engine/dataset/parquet"
	"anomalymatch/engine/dataset/zarr"
)

// variant is an entry of expect.json, which bench/formats_arrays.py writes.
type variant struct {
	File, Images, Named, Refused string
	N                            int
	SHA256                       string
	Encoded                      bool
	Names                        []string
}

func open(t testing.TB, path string, o array.Options) (array.Images, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, size := bytes.NewReader(b), int64(len(b))
	switch filepath.Ext(strings.TrimSuffix(path, ".zip")) {
	case ".h5":
		return opened(hdf5.Open(r, size, o))
	case ".npy", ".npz":
		return npy.Open(r, size, o)
	case ".zarr":
		return opened(zarr.OpenZip(r, size, o))
	case ".parquet":
		return opened(parquet.Open(r, size, o))
	}
	t.Fatalf("no reader for %s", path)
	return nil, nil
}

func opened[M array.Images](m M, err error) (array.Images, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}

// TestVariants compares what we read with what h5py, NumPy, zarr and pyarrow wrote: the small files in testdata/formats.zip, or those in the folder
// ANOMALYMATCH_FORMATS.
func TestVariants(t *testing.T) {
	dir := os.Getenv("ANOMALYMATCH_FORMATS")
	if dir == "" {
		dir = unzip(t, filepath.FromSlash("testdata/formats.zip"))
	}
	b, err := os.ReadFile(filepath.Join(dir, "expect.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []variant
	if err := json.Unmarshal(b, &all); err != nil || len(all) == 0 {
		t.Fatal(err, len(all))
	}
	read := 0
	for _, v := range all {
		t.Run(v.File+":"+v.Images, func(t *testing.T) {
			path := filepath.Join(dir, v.File)
			if strings.HasSuffix(path, ".zarr.zip") {
				check(t, v, "folder", func(o array.Options) (array.Images, error) { return opened(zarr.OpenFolder(unzip(t, path), o)) })
			}
			check(t, v, "file", func(o array.Options) (array.Images, error) { return open(t, path, o) })
		})
		read++
	}
	t.Logf("%d variants", read)
}

func check(t *testing.T, v variant, kind string, open func(array.Options) (array.Images, error)) {
	t.Helper()
	m, err := open(array.Options{Images: v.Images, Names: v.Named})
	if v.Refused != "" {
		if err == nil {
			_, err = m.Read(context.Background(), 0) // some are found only when read
		}
		if err == nil || !strings.Contains(err.Error(), v.Refused) {
			t.Errorf("%s: %v, want an error with %q", kind, err, v.Refused)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: it %v", kind, err)
		return
	}
	defer m.Close()
	if m.Len() != v.N {
		t.Errorf("%s: %d images, want %d", kind, m.Len(), v.N)
		return
	}
	// Many at once, last ones first, as nobody reads; then in order.
	images := make([][]byte, v.N)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := v.N - 1 - w; i >= 0; i -= 4 {
				image, err := m.Read(context.Background(), i)
				if err != nil {
					t.Errorf("%s: image %d %v", kind, i, err)
					return
				}
				if images[i] = image.Encoded; !v.Encoded {
					images[i] = image.Pixels.Bytes()
				}
			}
		})
	}
	wg.Wait()
	h := sha256.New()
	for i, b := range images {
		h.Write(b)
		if i%100 == 0 && !t.Failed() {
			image, err := m.Read(context.Background(), i)
			if again := image.Encoded; err != nil || v.Encoded && !bytes.Equal(again, b) || !v.Encoded && !bytes.Equal(image.Pixels.Bytes(), b) {
				t.Errorf("%s: image %d is another one the second time (%v)", kind, i, err)
			}
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != v.SHA256 && !t.Failed() {
		t.Errorf("%s: other values than written", kind)
	}
	var names []string
	n := 0
	for e, err := range m.Entries(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; v.Names != nil {
			names = append(names, e.Name)
		}
	}
	if n != v.N || !slices.Equal(names, v.Names) {
		t.Errorf("%s: %d entries %.5q, want %d %.5q", kind, n, names, v.N, v.Names)
	}
}

func unzip(t *testing.T, path string) string {
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dir := t.TempDir()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		to := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o777)
		}
		if err == nil {
			err = os.WriteFile(to, b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
