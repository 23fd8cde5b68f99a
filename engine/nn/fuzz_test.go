package nn

import (
	"bytes"
	"encoding/binary"
	"runtime/metrics"
	"strings"
	"testing"
)

// FuzzReadSafetensors: no file panics or takes more memory than it has bytes, a few times over, and what is read is written and read again.
func FuzzReadSafetensors(f *testing.F) {
	var b bytes.Buffer
	if err := WriteSafetensors(&b, Weights{"a": {Dims: []int{2, 1}, Data: []float32{1, 2}}, "b": {Data: []float32{3}}}, map[string]string{"k": "\x1b]0;v\a"}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	for _, head := range []string{`{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
		`{"x":{"dtype":"F16","shape":[4294967296,4294967296],"data_offsets":[0,0]},"__metadata__":{"crc32c":""}}`, strings.Repeat("[", 100), `{"x":null}`} {
		f.Add(append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head+"\x00\x00\x80\x3f"...))
	}
	taken := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := taken()
		w, meta, err := ReadSafetensors(b)
		if used := taken() - before; used > 32<<20+256*uint64(len(b)) {
			t.Fatalf("%d bytes were taken for a file of %d", used, len(b))
		}
		if err != nil {
			return
		}
		for name, v := range w {
			n := 1
			for _, d := range v.Dims {
				n *= d
			}
			if n != len(v.Data) {
				t.Fatalf("%q has shape %v and %d values", name, v.Dims, len(v.Data))
			}
		}
		var out bytes.Buffer
		if _, ok := w["__metadata__"]; ok || WriteSafetensors(&out, w, meta) != nil {
			return
		}
		again, _, err := ReadSafetensors(out.Bytes())
		if err != nil || len(again) != len(w) {
			t.Fatalf("%d tensors, written and read again %d: %v", len(w), len(again), err)
		}
	})
}
