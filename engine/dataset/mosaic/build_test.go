package mosaic

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func readValues(data any, b []byte) error {
	return binary.Read(bytes.NewReader(b), binary.LittleEndian, data)
}

// write puts a file into a folder of its own.
func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// image is a FITS of 32-bit floats with more cards.
func image(w, h int, value func(x, y int) float32, more ...string) string {
	var out bytes.Buffer
	for _, card := range append([]string{"SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2",
		fmt.Sprintf("NAXIS1  = %20d", w), fmt.Sprintf("NAXIS2  = %20d", h)}, append(more, "END")...) {
		fmt.Fprintf(&out, "%-80.80s", card)
	}
	for out.Len()%2880 != 0 {
		out.WriteByte(' ')
	}
	for y := range h {
		for x := range w {
			binary.Write(&out, binary.BigEndian, value(x, y))
		}
	}
	for out.Len()%2880 != 0 {
		out.WriteByte(0)
	}
	return out.String()
}

// tan are the cards of a projection of 1 arcsec a pixel whose pixel (x, y), from 0, is at a position.
func tan(ra, dec, x, y float64, more ...string) []string {
	return append([]string{"CTYPE1  = 'RA---TAN'", "CTYPE2  = 'DEC--TAN'", fmt.Sprintf("CRVAL1  = %.12f", ra), fmt.Sprintf("CRVAL2  = %.12f", dec),
		fmt.Sprintf("CRPIX1  = %.9f", x+1), fmt.Sprintf("CRPIX2  = %.9f", y+1), "CDELT1  = -0.000277777777777778", "CDELT2  = 0.000277777777777778"}, more...)
}
