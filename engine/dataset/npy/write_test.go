package npy

import (
	"bytes"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/raw"
)

// What is written is read again; bench/export.py asks numpy.
func TestWrite(t *testing.T) {
	for _, m := range []raw.Image{
		{W: 3, H: 2, C: 1, Data: []uint8{1, 2, 3, 4, 5, 6}},
		{W: 2, H: 3, C: 1, Data: []float32{1, 2.5, -3, 4, 5, 6}},
		{W: 2, H: 3, C: 1, Data: []int16{1, -2, 3, 4, 5, 6}},
	} {
		var b bytes.Buffer
		if err := Write(&b, m); err != nil {
			t.Fatal(err)
		}
		all, err := Open(bytes.NewReader(b.Bytes()), int64(b.Len()), array.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := all.Read(t.Context(), 0)
		if err != nil || all.Len() != 1 || got.Pixels.W != m.W || got.Pixels.H != m.H || got.Pixels.C != m.C || !bytes.Equal(got.Pixels.Bytes(), m.Bytes()) {
			t.Errorf("%v is read as %v (%v)", m, got, err)
		}
	}
	for _, planar := range []bool{false, true} { // our own reader takes three axes for several images
		var b bytes.Buffer
		if err := Write(&b, raw.Image{W: 2, H: 4, C: 3, Planar: planar, Data: make([]uint16, 24)}); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{false: "'<u2', 'fortran_order': False, 'shape': (4, 2, 3)", true: "'<u2', 'fortran_order': False, 'shape': (3, 4, 2)"}[planar]; !strings.Contains(b.String(), want) || b.Len() != 128+48 {
			t.Errorf("%d bytes: %.120q lacks %s", b.Len(), b.String(), want)
		}
	}
	if err := Write(new(bytes.Buffer), raw.Image{W: 2, H: 2, C: 1, Data: []uint8{1}}); err == nil {
		t.Error("an image without its values was written")
	}
	if err := Write(new(bytes.Buffer), raw.Image{W: 1, H: 1, C: 1}); err == nil {
		t.Error("an image without values was written")
	}
}
