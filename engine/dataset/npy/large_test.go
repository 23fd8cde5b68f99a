package npy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/array/arraytest"
)

// TestMemoryIsFlat reads an array of 20 GB, which takes no room on the disk.
func TestMemoryIsFlat(t *testing.T) {
	const n, image = 5_000_000, 64 * 64
	header := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 64, 64), }", n)
	header += strings.Repeat(" ", 118-len(header)-1) + "\n"
	f, err := os.Create(filepath.Join(t.TempDir(), "large.npy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString(magic + "\x01\x00\x76\x00" + header)
	size := int64(128 + n*image)
	if err := f.Truncate(size); err != nil {
		t.Skipf("the disk holds no file of %d bytes: %v", size, err)
	}
	last := int64(n - 1)
	f.WriteAt([]byte{7}, 128+last*image+5)
	before := arraytest.Allocated()
	m, err := Open(f, size, array.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, n / 2, n - 1} {
		got, err := m.Read(context.Background(), i)
		if err != nil {
			t.Fatal(err)
		}
		if v := got.Pixels.Data.([]uint8)[5]; v != 7 && i == n-1 || v != 0 && i < n-1 {
			t.Errorf("image %d has the value %d", i, v)
		}
	}
	if used := arraytest.Allocated() - before; used > 1<<20 {
		t.Errorf("%d KB were used", used>>10)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ b, want string }{
		{"", "signature"},
		{"\x93NUMPY\x04\x00\x02\x00{}", "version 4"},
		{"\x93NUMPY\x01\x00\xff\xff{}", "cut off"},
		{"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "4294967295"},
		{npyFile("'|u1'", "(3, 4, 5)"), "truncated"},
		{npyFile("'|O'", "(3,)"), "pickle"},
		{npyFile("'<U7'", "(3,)"), "text"},
		{npyFile("'<f16'", "(3, 4)"), `"<f16"`},
		{npyFile("'<f4'", "(9223372036854775807, 9223372036854775807)"), "elements"},
		{npyFile("'<f4'", "(-1, 5)"), "header"},
		{npyFile("'<f4'", "(100000, 100000)"), "setting"},
		{npyFile("[('a', '<f4')]", "(3, 4)"), "structured"},
		{"PK\x03\x04junk", "zip"},
	} {
		if _, err := Open(strings.NewReader(c.b), int64(len(c.b)), array.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %q", c.b, err, c.want)
		}
	}
}

func npyFile(descr, shape string) string {
	s := fmt.Sprintf("{'descr': %s, 'fortran_order': False, 'shape': %s, }\n", descr, shape)
	return magic + "\x01\x00" + string([]byte{byte(len(s)), byte(len(s) >> 8)}) + s
}
