package tiff

import (
	"bytes"
	"encoding/binary"
	"runtime/metrics"
	"testing"

	"anomalymatch/engine/dataset/raw"
)

// FuzzTIFF: no file panics or takes more memory than its limits allow.
func FuzzTIFF(f *testing.F) {
	for _, k := range kinds {
		for i, p := range []picture{{rows: 1}, {tile: [2]int{4, 2}, compression: 5}, {planar: true, compression: 8, predictor: 2}, {big: true, compression: 32773}, {order: binary.BigEndian, compression: 8, predictor: 3}} {
			if p.predictor == 3 && k.format != 3 || i == 1 && k.bits > 16 {
				continue
			}
			if p.order == nil {
				p.order = binary.LittleEndian
			}
			p.w, p.h, p.c, p.values, p.bits, p.format = 5, 3, 2, k.values(30), k.bits, k.format
			f.Add(p.build())
		}
	}
	f.Add(picture{w: 2, h: 1, c: 1, values: []uint8{3, 200}, bits: 8, fields: map[uint16][]uint64{tagPhotometric: {3}, tagColorMap: make([]uint64, 768)}}.build())
	f.Add(picture{w: 2, h: 1, c: 4, values: make([]uint8, 8), bits: 8, fields: map[uint16][]uint64{tagPhotometric: {2}, tagExtraSamples: {2}}}.build())
	taken := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := taken()
		file, err := Open(bytes.NewReader(b), int64(len(b)), raw.Limits{MaxPixels: 1 << 16, MaxBytes: 1 << 20})
		if err != nil {
			return
		}
		for page := range min(4, file.Pages()) {
			w, h, c, err := file.Size(page)
			m, readErr := file.Read(page)
			if readErr != nil {
				continue
			}
			if err != nil || m.W != w || m.H != h || m.C != c || len(m.Bytes()) != w*h*c*m.Kind().Size() {
				t.Fatalf("%d×%d×%d is %d×%d×%d (%v)", w, h, c, m.W, m.H, m.C, err)
			}
		}
		if used := taken() - before; used > 32<<20+64*uint64(len(b)) {
			t.Errorf("%d bytes were taken for a file of %d", used, len(b))
		}
	})
}
