package npy

import (
	"fmt"
	"io"
	"strings"

	"anomalymatch/engine/dataset/raw"
)

// Write writes one image as an npy file of version 1.0, little endian, in the order that m has: (C, H, W) where it is planar, else (H, W, C); (H, W) of one channel.
func Write(w io.Writer, m raw.Image) error {
	kind := m.Kind()
	var values []byte
	if kind != 0 {
		values = m.Bytes()
	}
	if kind == 0 || len(values) != m.W*m.H*m.C*kind.Size() {
		return fmt.Errorf("an image of %d×%d pixels with %d channels has no values of that number", m.W, m.H, m.C)
	}
	shape := fmt.Sprintf("(%d, %d, %d)", m.H, m.W, m.C)
	switch {
	case m.C == 1:
		shape = fmt.Sprintf("(%d, %d)", m.H, m.W)
	case m.Planar:
		shape = fmt.Sprintf("(%d, %d, %d)", m.C, m.H, m.W)
	}
	about := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr(kind), shape)
	const front, unit = 10, 64 // bytes before the text; the values begin at a multiple
	about += strings.Repeat(" ", unit-1-(front+len(about))%unit) + "\n"
	head := append([]byte("\x93NUMPY\x01\x00"), byte(len(about)), byte(len(about)>>8))
	if _, err := w.Write(append(head, about...)); err != nil {
		return err
	}
	_, err := w.Write(values)
	return err
}

func descr(k raw.Kind) string {
	name := k.String()
	letter, order := name[:1], "<"
	if k.Size() == 1 {
		order = "|"
	}
	return fmt.Sprintf("%s%s%d", order, letter, k.Size())
}
