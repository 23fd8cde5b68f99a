package testdata

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/raw"
)

// Case is a file of another program with the pixels which that program says it has: bench/formats.py makes them.
type Case struct {
	File    string           // its name
	Path    string           `json:"-"`
	Which   string           // HDU
	Page    int              // of a TIFF
	Cut     []int64          // x, y, width, height; empty: all
	Refused string           // the error must hold this; empty: it must be read
	Kind    string           // numpy's name of the values' type
	Shape   [3]int           // channels, height, width
	Planar  bool             // the values are in the order channel, row, column; otherwise row, column, channel
	Values  string           // file with the values, little endian
	Table   map[string][]any // columns of a table; null is missing
}

// Cases are those whose file has an ending, of the folder ANOMALYMATCH_FORMATS; without one the test is skipped.
func Cases(t *testing.T, ending string) []Case {
	t.Helper()
	dir := os.Getenv("ANOMALYMATCH_FORMATS")
	if dir == "" {
		t.Skip("ANOMALYMATCH_FORMATS is not set: bench/formats.py runs this test")
	}
	b, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all, out []Case
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if strings.Contains(c.File, ending) {
			c.Path = filepath.Join(dir, c.File)
			if c.Values != "" {
				c.Values = filepath.Join(dir, c.Values)
			}
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no case of %s in %s", ending, dir)
	}
	return out
}

// Check compares what was read with the case.
func (c Case) Check(t *testing.T, m raw.Image, err error) {
	t.Helper()
	if c.Refused != "" {
		if err == nil || !strings.Contains(err.Error(), c.Refused) {
			t.Errorf("%s: %v, want an error with %q", c.File, err, c.Refused)
		}
		return
	}
	if err != nil {
		t.Errorf("%s %s: %v", c.File, c.Which, err)
		return
	}
	if m.Kind().String() != c.Kind || [3]int{m.C, m.H, m.W} != c.Shape || m.C > 1 && m.Planar != c.Planar {
		t.Errorf("%s %s: %v %d×%d×%d planar %v, want %s %v planar %v", c.File, c.Which, m.Kind(), m.C, m.H, m.W, m.Planar, c.Kind, c.Shape, c.Planar)
		return
	}
	want, err := os.ReadFile(c.Values)
	if err != nil {
		t.Fatal(err)
	}
	got := m.Bytes()
	if len(got) != len(want) {
		t.Errorf("%s %s: %d bytes, want %d", c.File, c.Which, len(got), len(want))
		return
	}
	size, bad, first := m.Kind().Size(), 0, 0
	for i := 0; i < len(got); i += size {
		g, w := got[i:i+size], want[i:i+size]
		if string(g) == string(w) || m.Kind().Float() && nan(g) && nan(w) {
			continue
		}
		if bad == 0 {
			first = i / size
		}
		bad++
	}
	if bad > 0 {
		t.Errorf("%s %s: %d of %d values differ, first number %d: % x, want % x", c.File, c.Which, bad, len(got)/size, first,
			got[first*size:(first+1)*size], want[first*size:(first+1)*size])
	}
}

func nan(b []byte) bool {
	if len(b) == 4 {
		return math.IsNaN(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
	}
	return math.IsNaN(math.Float64frombits(binary.LittleEndian.Uint64(b)))
}
