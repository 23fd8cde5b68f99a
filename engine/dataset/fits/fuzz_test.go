package fits

import (
	"bytes"
	"runtime/metrics"
	"testing"

	"anomalymatch/engine/dataset/raw"
)

// small limits, so that what is taken can be compared with them.
var small = raw.Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 20}

// taken is how many bytes have been allocated so far.
func taken() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// bounded runs use and asks that it takes memory for what the limits allow and for the file, a few times over.
func bounded(t *testing.T, b []byte, use func()) {
	before := taken()
	use()
	if used := taken() - before; used > 32<<20+64*uint64(len(b)) {
		t.Errorf("%d bytes were taken for a file of %d", used, len(b))
	}
}

// FuzzImage: no file panics or takes more memory than its limits allow, and a part of an image is that part of the whole.
func FuzzImage(f *testing.F) {
	f.Add(image(8, []int{3, 2}, []uint8{1, 2, 3, 4, 5, 6}))
	f.Add(image(16, []int{3, 2, 2}, make([]int16, 12), "BZERO = 32768"))
	f.Add(image(32, []int{3, 2}, make([]int32, 6), "BSCALE = 0.5", "BLANK = 0"))
	f.Add(image(-32, []int{3, 2}, make([]float32, 6)))
	f.Add(image(-64, []int{3, 2}, make([]float64, 6)))
	values := ramp(60, 255)
	f.Add(tiled("RICE_1", 8, []int{60, 1}, []int{60, 1}, [][]byte{riced(values, 1, 16)}, "ZNAME1 = 'BYTEPIX'", "ZVAL1 = 1"))
	f.Add(tiled("RICE_1", 16, []int{10, 6}, []int{10, 6}, [][]byte{riced(values, 2, 32)}, "ZNAME1 = 'BYTEPIX'", "ZVAL1 = 2"))
	f.Add(tiled("RICE_1", 32, []int{10, 3, 2}, []int{10, 3, 1}, [][]byte{riced(values[:30], 4, 32), riced(values[30:], 4, 32)}))
	f.Add(tiled("RICE_1", -32, []int{10, 6}, []int{10, 6}, [][]byte{riced(values, 4, 32)}, "ZSCALE = 0.5", "ZZERO = 1.0", "ZQUANTIZ = 'SUBTRACTIVE_DITHER_2'", "ZDITHER0 = 9"))
	f.Add(tiled("GZIP_1", -32, []int{3, 2}, []int{3, 2}, [][]byte{zipped(make([]float32, 6))}))
	f.Add(tiled("GZIP_2", 16, []int{3, 2}, []int{3, 1}, [][]byte{zipped(make([]int16, 3)), zipped(make([]int16, 3))}))
	f.Add(tiled("NOCOMPRESS", 8, []int{3, 2}, []int{3, 2}, [][]byte{{1, 2, 3, 4, 5, 6}}))
	f.Add(zipped(image(8, []int{3, 2}, []uint8{1, 2, 3, 4, 5, 6})))
	f.Fuzz(func(t *testing.T, b []byte) {
		bounded(t, b, func() {
			file, err := Open(bytes.NewReader(b), int64(len(b)), small)
			if err != nil {
				return
			}
			for _, h := range file.HDUs()[:min(4, len(file.HDUs()))] {
				w, height, channels, err := h.Size()
				m, readErr := h.Read()
				if err != nil && readErr == nil {
					t.Fatal(err)
				}
				if readErr != nil {
					continue
				}
				if int64(m.W) != w || int64(m.H) != height || int64(m.C) != channels || len(m.Bytes()) != m.W*m.H*m.C*m.Kind().Size() {
					t.Fatalf("%d×%d×%d is %d×%d×%d", w, height, channels, m.W, m.H, m.C)
				}
				x, y := w/3, height/2
				part, err := h.Cut(x, y, w-x, height-y)
				if err != nil {
					t.Fatal(err)
				}
				all, some := make([]float64, m.W), make([]float64, part.W)
				for c := range m.C {
					m.Row(all, c, int(y))
					part.Row(some, c, 0)
					for i, v := range some {
						if whole := all[int(x)+i]; v != whole && (v == v || whole == whole) {
							t.Fatalf("(%d, %d): %v in the part, %v in the whole", i, y, v, whole)
						}
					}
				}
			}
		})
	})
}

// FuzzTable: no table panics or takes more memory than the file has.
func FuzzTable(f *testing.F) {
	f.Add(table(nil, 12, make([]byte, 36), nil, "TFIELDS = 3", "TTYPE1 = 'a'", "TFORM1 = 'J'", "TNULL1 = 3", "TTYPE2 = 'b'", "TFORM2 = '4A'", "TTYPE3 = 'c'", "TFORM3 = 'E'"))
	f.Add(table(nil, 16, make([]byte, 32), make([]byte, 8), "TFIELDS = 3", "TFORM1 = 'K'", "TZERO1 = 9223372036854775808", "TFORM2 = 'PE(2)'", "TFORM3 = '0D'"))
	f.Add(extension(nil, []string{"XTENSION = 'TABLE'", "BITPIX = 8", "NAXIS = 2", "NAXIS1 = 9", "NAXIS2 = 2", "PCOUNT = 0", "GCOUNT = 1", "TFIELDS = 3", "TFORM1 = 'I3'",
		"TBCOL1 = 1", "TFORM2 = 'F4.1'", "TBCOL2 = 4", "TFORM3 = 'A2'", "TBCOL3 = 8"}, []byte("  1 2.5ab 12 123c ")))
	f.Fuzz(func(t *testing.T, b []byte) {
		bounded(t, b, func() {
			file, err := Open(bytes.NewReader(b), int64(len(b)), small)
			if err != nil {
				return
			}
			table, err := file.FindTable("")
			if err != nil {
				return
			}
			for i := range table.Columns[:min(20, len(table.Columns))] {
				v, err := table.Read(0, table.Rows, i)
				if err != nil {
					continue
				}
				for row := range int(table.Rows) {
					v[0].Float(row)
					_ = v[0].String(row)
				}
			}
		})
	})
}
