package zarr

import (
	"archive/zip"
	"bytes"
	"io"
	"testing"
	"testing/fstest"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

// FuzzZarr puts any metadata and any chunk together: v2 says which version's names they have.
func FuzzZarr(f *testing.F) {
	for name, b := range arraytest.Samples(f, ".zarr.zip", 16<<10) {
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			f.Fatal(err)
		}
		files := map[string][]byte{}
		for _, member := range z.File {
			r, err := member.Open()
			if err != nil {
				f.Fatal(err)
			}
			if files[member.Name], err = io.ReadAll(r); err != nil {
				f.Fatal(name, err)
			}
			r.Close()
		}
		if meta := files["images/.zarray"]; meta != nil {
			f.Add(true, meta, files["images/0.0.0.0"])
		}
		if meta := files["images/zarr.json"]; meta != nil {
			f.Add(false, meta, files["images/c/0/0/0/0"])
		}
	}
	verify = false
	f.Cleanup(func() { verify = true })
	f.Fuzz(func(t *testing.T, v2 bool, meta, chunk []byte) {
		fsys := fstest.MapFS{}
		put := func(name string, b []byte) { fsys[name] = &fstest.MapFile{Data: b, Mode: 0o444} }
		if v2 {
			put(".zarray", meta)
			for _, name := range []string{"0", "0.0", "0.0.0", "0.0.0.0", "0/0/0/0"} {
				put(name, chunk)
			}
		} else {
			put("zarr.json", meta)
			for _, name := range []string{"c/0", "c/0/0", "c/0/0/0", "c/0/0/0/0", "0.0.0.0"} {
				put(name, chunk)
			}
		}
		arraytest.Bounded(t, append(meta, chunk...), func(o array.Options) (array.Images, error) {
			m, err := OpenFS(fsys, o)
			if err != nil {
				return nil, err
			}
			return m, nil
		})
	})
}

// FuzzBlosc decompresses any bytes.
func FuzzBlosc(f *testing.F) {
	for _, b := range arraytest.Samples(f, ".zarr.zip", 16<<10) {
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			f.Fatal(err)
		}
		for _, member := range z.File {
			r, err := member.Open()
			if err != nil {
				f.Fatal(err)
			}
			if b, err := io.ReadAll(r); err == nil && len(b) > bloscHead && b[0] == 2 {
				f.Add(b)
			}
			r.Close()
		}
	}
	m := &Images{o: arraytest.Limits.Or()}
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := m.unblosc(b, 1<<20); err == nil && len(out) > 1<<20 {
			t.Errorf("%d bytes became %d", len(b), len(out))
		}
	})
}
