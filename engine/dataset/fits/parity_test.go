package fits

import (
	"fmt"
	"os"
	"testing"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/internal/testdata"
)

// The files and values are astropy's, by bench/formats.py.
func TestParity(t *testing.T) {
	for _, c := range testdata.Cases(t, ".fits") {
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
		if c.Table != nil {
			if err != nil {
				t.Errorf("%s: %v", c.File, err)
				continue
			}
			tableParity(t, c, f)
			continue
		}
		m, err := func() (raw.Image, error) {
			if err != nil {
				return raw.Image{}, err
			}
			h, err := f.Find(c.Which)
			if err != nil {
				return raw.Image{}, err
			}
			if len(c.Cut) == 4 {
				return h.Cut(c.Cut[0], c.Cut[1], c.Cut[2], c.Cut[3])
			}
			return h.Read()
		}()
		c.Check(t, m, err)
	}
}

func tableParity(t *testing.T, c testdata.Case, f *File) {
	table, err := f.FindTable(c.Which)
	if err != nil {
		t.Errorf("%s: %v", c.File, err)
		return
	}
	for name, want := range c.Table {
		if int64(len(want)) != table.Rows {
			t.Errorf("%s: %d rows, want %d", c.File, table.Rows, len(want))
			continue
		}
		v, err := table.Read(0, table.Rows, table.Index(name))
		if err != nil {
			t.Errorf("%s %s: %v", c.File, name, err)
			continue
		}
		for i, w := range want {
			ok := false
			switch w := w.(type) {
			case nil:
				ok = v[0].String(i) == ""
			case float64:
				ok = v[0].Float(i) == w
			case string: // whole numbers are written as text, so that none loses digits
				ok = v[0].String(i) == w
			}
			if !ok {
				t.Errorf("%s %s row %d: %q (%v), want %v", c.File, name, i, v[0].String(i), v[0].Float(i), fmt.Sprint(w))
			}
		}
	}
}
