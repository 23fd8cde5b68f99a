package arraytest

import (
	"archive/zip"
	"context"
	"io"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// Samples are the files that the formats' own libraries wrote (testdata/formats.zip) whose names end as one says.
func Samples(t testing.TB, suffix string, most int) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(filepath.FromSlash("../array/arraytest/testdata/formats.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out := map[string][]byte{}
	for _, f := range z.File {
		if !strings.HasSuffix(f.Name, suffix) || f.UncompressedSize64 > uint64(most) {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name] = b
	}
	if len(out) == 0 {
		t.Fatalf("no sample ends with %s", suffix)
	}
	return out
}

// Limits are small ones, so that what goes over them is seen.
var Limits = array.Options{MaxValues: 1 << 18, MaxBytes: 1 << 20, MaxChunk: 1 << 20, Cache: 1 << 20}

// maxAlloc is what one odd file of size bytes may cost under Limits, all that is freed again counted.
func maxAlloc(size int) uint64 { return 192<<20 + 256*uint64(size) }

// Bounded opens a file of any bytes and reads some of its images. It fails where that costs more memory than the limits allow, or where
// what comes back is not what it says.
func Bounded(t testing.TB, b []byte, open func(array.Options) (array.Images, error)) {
	t.Helper()
	before := Allocated()
	m, err := open(Limits)
	if err == nil {
		n := 0
		for _, err := range m.Entries(context.Background()) {
			if n++; err != nil || n == 300 {
				break
			}
		}
		for _, i := range []int{0, 1, m.Len() / 2, m.Len() - 1, m.Len(), -1} {
			image, err := m.Read(context.Background(), i)
			if err == nil {
				sound(t, image, i, m.Len())
			} else if err.Error() == "" {
				t.Error("an error without a word")
			}
		}
		m.Close()
	}
	if used := Allocated() - before; used > maxAlloc(len(b)) {
		t.Errorf("%d bytes cost %d MB of memory", len(b), used>>20)
	}
}

func sound(t testing.TB, image array.Image, i, n int) {
	t.Helper()
	if i < 0 || i >= n {
		t.Errorf("image %d of %d was read", i, n)
	}
	if image.Encoded != nil {
		if int64(len(image.Encoded)) > Limits.MaxBytes {
			t.Errorf("an image of %d bytes", len(image.Encoded))
		}
		return
	}
	p := image.Pixels
	if k := p.Kind(); k == 0 || len(p.Bytes()) != p.W*p.H*p.C*k.Size() || raw.CheckSize(int64(p.W), int64(p.H), int64(p.C), Limits.MaxValues) != nil {
		t.Errorf("an image of %d×%d×%d %v with %d bytes", p.W, p.H, p.C, k, len(p.Bytes()))
	}
}

// Allocated is how many bytes the program allocated so far, freed ones counted.
func Allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Shrinks cuts a file off at many places, before it is opened and afterwards: reading it may fail, in a sentence, and must not do worse.
func Shrinks(t testing.TB, b []byte, open func(r *Cut, o array.Options) (array.Images, error)) {
	t.Helper()
	failed := 0
	for n := len(b); n >= 0; n -= 1 + len(b)/64 {
		r := &Cut{b: b, N: len(b)}
		m, err := open(r, Limits)
		if err != nil {
			t.Fatalf("whole, it %v", err)
		}
		r.N = n
		for i := range min(m.Len(), 5) {
			if image, err := m.Read(context.Background(), i); err != nil {
				failed++
			} else {
				sound(t, image, i, m.Len())
			}
		}
		if m, err := open(&Cut{b: b[:n], N: n}, Limits); err == nil {
			for i := range min(m.Len(), 5) {
				m.Read(context.Background(), i)
			}
		}
	}
	if failed == 0 {
		t.Error("nothing failed: what was read does not come from the file")
	}
}

// Cut is a file that has become N bytes long.
type Cut struct {
	b []byte
	N int
}

func (c *Cut) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(c.N) {
		return 0, io.EOF
	}
	n := copy(p, c.b[at:c.N])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
