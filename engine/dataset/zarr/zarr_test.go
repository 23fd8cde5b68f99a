package zarr

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

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

// TestLargeBloscChunk reads images out of a chunk of 1 GiB, as Cutana writes them: only the blocks that are needed. Its blocks are stored as they are,
// in a file with holes.
func TestLargeBloscChunk(t *testing.T) {
	const n, side, block = 65536, 128, 1 << 18
	size := int64(n * side * side)
	dir := t.TempDir()
	meta := fmt.Sprintf(`{"zarr_format": 2, "shape": [%d, %d, %d], "chunks": [%d, %d, %d], "dtype": "|u1", "order": "C", "fill_value": 0, "filters": null,
		"compressor": {"id": "blosc"}}`, n, side, side, n, side, side)
	if err := os.WriteFile(filepath.Join(dir, ".zarray"), []byte(meta), 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "0.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	blocks := size / block
	first := bloscHead + 4*blocks
	head := []byte{2, 1, 1 << 5, 1}
	for _, v := range []int64{size, block, first + blocks*(4+block)} {
		head = binary.LittleEndian.AppendUint32(head, uint32(v))
	}
	for i := range blocks {
		at := first + i*(4+block)
		head = binary.LittleEndian.AppendUint32(head, uint32(at))
		if _, err := f.WriteAt([]byte{0, 0, 4, 0}, at); err != nil { // the length of the block
			t.Skip(err)
		}
		f.WriteAt([]byte{byte(i)}, at+4)
	}
	f.WriteAt(head, 0)
	if err := f.Truncate(first + blocks*(4+block)); err != nil {
		t.Skip(err)
	}
	m, err := OpenFolder(dir, array.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	before := arraytest.Allocated()
	for _, i := range []int{0, n / 2, n - 1} {
		image, err := m.Read(context.Background(), i)
		if err != nil {
			t.Fatal(err)
		}
		want := byte(0)
		if i%(block/side/side) == 0 {
			want = byte(i / (block / side / side))
		}
		if v := image.Pixels.Data.([]uint8)[0]; v != want {
			t.Errorf("image %d begins with %d, want %d", i, v, want)
		}
	}
	if used := arraytest.Allocated() - before; used > 8<<20 {
		t.Errorf("three images cost %d MB of memory", used>>20)
	}
}

func TestRefused(t *testing.T) {
	v2 := func(change string) string {
		all := map[string]string{"shape": "[2, 4, 5]", "chunks": "[1, 4, 5]", "dtype": `"|u1"`, "compressor": "null", "filters": "null", "order": `"C"`, "fill_value": "0", "zarr_format": "2"}
		key, value, _ := strings.Cut(change, "=")
		all[key] = value
		var parts []string
		for k, v := range all {
			parts = append(parts, fmt.Sprintf("%q: %s", k, v))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	for change, want := range map[string]string{
		`compressor={"id": "lzma"}`:          `"lzma"`,
		`filters=[{"id": "delta"}]`:          `"delta"`,
		`dtype="|O"`:                         "pickle",
		`dtype="<c8"`:                        `"<c8"`,
		`dtype=[["a", "|u1"]]`:               "structured",
		`zarr_format=4`:                      "version 4",
		`shape=[2, 100000, 100000]`:          "setting",
		`shape=[-1, 4, 5]`:                   "metadata",
		`shape=[2, 4]`:                       "chunks",
		`chunks=[0, 4, 5]`:                   "metadata",
		`chunks=[4611686018427387904, 4, 5]`: "metadata",
		`order="X"`:                          "metadata",
		`fill_value="x"`:                     "metadata",
	} {
		_, err := OpenFS(fstest.MapFS{".zarray": {Data: []byte(v2(change)), Mode: 0o444}}, array.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", change, err, want)
		}
	}
	for name, fsys := range map[string]fstest.MapFS{"no array": {}, "junk": {".zarray": {Data: []byte("junk"), Mode: 0o444}}} {
		if _, err := OpenFS(fsys, array.Options{}); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
}

// TestLinksStayInside reads no file outside of the store.
func TestLinksStayInside(t *testing.T) {
	out, dir := t.TempDir(), t.TempDir()
	meta := `{"zarr_format": 2, "shape": [1, 5, 6], "chunks": [1, 5, 6], "dtype": "|u1", "order": "C", "fill_value": 0, "filters": null, "compressor": null}`
	os.WriteFile(filepath.Join(dir, ".zarray"), []byte(meta), 0o666)
	os.WriteFile(filepath.Join(out, "secret"), bytes.Repeat([]byte("s"), 30), 0o666)
	if err := os.Symlink(filepath.Join(out, "secret"), filepath.Join(dir, "0.0.0")); err != nil {
		t.Skip(err)
	}
	m, err := OpenFolder(dir, array.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if image, err := m.Read(context.Background(), 0); err == nil {
		t.Errorf("a file outside was read: %q", image.Pixels.Bytes())
	}
}

func TestSidecar(t *testing.T) {
	for dir, want := range map[string]string{"a/images.zarr": "a/images_metadata.parquet", "a/images.zarr/": "a/images_metadata.parquet", "store": "store_metadata.parquet"} {
		if got := Sidecar(filepath.FromSlash(dir)); got != filepath.FromSlash(want) {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
}
