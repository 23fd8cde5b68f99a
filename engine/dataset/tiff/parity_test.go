package tiff

import (
	"os"
	"testing"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/internal/testdata"
)

// The files and values are tifffile's and Pillow's, by bench/formats.py.
func TestParity(t *testing.T) {
	for _, c := range testdata.Cases(t, ".tif") {
		b, err := os.Open(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		info, err := b.Stat()
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(b, info.Size(), raw.Limits{})
		var m raw.Image
		if err == nil {
			m, err = f.Read(c.Page)
		}
		c.Check(t, m, err)
	}
}
