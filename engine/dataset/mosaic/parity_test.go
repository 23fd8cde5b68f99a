package mosaic

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/engine/dataset/raw"
)

// The mosaics, catalogues and cut-outs are astropy's, by bench/mosaic.py.
func TestParity(t *testing.T) {
	dir := os.Getenv("ANOMALYMATCH_MOSAICS")
	if dir == "" {
		t.Skip("bench/mosaic.py makes the mosaics")
	}
	text, err := os.ReadFile(filepath.Join(dir, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name    string
		Objects []struct {
			ID, File, Kind string
			Shape          []int
		}
		Tolerance float64
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatal(len(cases), err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			m, err := Open(filepath.Join(dir, c.Name+Extension), "", raw.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			rows := map[string]int64{}
			for o, err := range m.Objects(t.Context()) {
				switch {
				case o.ID == "":
					t.Fatal(err)
				case err == nil:
					rows[o.ID] = o.Row
				}
			}
			values, worst, edges := 0, 0.0, 0
			for _, o := range c.Objects {
				row, there := rows[o.ID]
				if o.File == "" {
					if there {
						if got, err := m.Cut(t.Context(), row); err == nil {
							t.Errorf("%s is %d pixels wide, astropy has nothing", o.ID, got.Image.W)
						}
					}
					continue
				}
				if !there {
					t.Errorf("%s is left out", o.ID)
					continue
				}
				got, err := m.Cut(t.Context(), row)
				if err != nil {
					t.Errorf("%s %v", o.ID, err)
					continue
				}
				if got.Note != "" {
					edges++
				}
				b, err := os.ReadFile(filepath.Join(dir, o.File))
				if err != nil {
					t.Fatal(err)
				}
				if len(o.Shape) == 2 {
					o.Shape = append([]int{1}, o.Shape...)
				}
				g := got.Image
				if g.C != o.Shape[0] || g.H != o.Shape[1] || g.W != o.Shape[2] || g.Kind().String() != o.Kind {
					t.Fatalf("%s is %d×%d×%d %s, want %v %s", o.ID, g.C, g.H, g.W, g.Kind(), o.Shape, o.Kind)
				}
				values += g.C * g.H * g.W
				if bytes.Equal(g.Bytes(), b) {
					continue
				}
				want := raw.New(g.Kind(), g.W, g.H, g.C, true)
				fill(t, want, b)
				x, y := make([]float64, g.W), make([]float64, g.W)
				for ch := range g.C {
					for row := range g.H {
						g.Row(x, ch, row)
						want.Row(y, ch, row)
						for k := range x {
							off := math.Abs(x[k] - y[k])
							if math.IsNaN(x[k]) && math.IsNaN(y[k]) || math.IsInf(y[k], 1) { // infinite: any value
								off = 0
							}
							if !(off <= c.Tolerance) {
								t.Fatalf("%s: band %d (%d, %d) is %v, want %v", o.ID, ch+1, k, row, x[k], y[k])
							}
							worst = max(worst, off)
						}
					}
				}
			}
			if values == 0 || edges == 0 {
				t.Errorf("%d values, %d objects at the border", values, edges)
			}
			t.Logf("%d objects, %d values, %d objects cut off, off by %g", len(c.Objects), values, edges, worst)
		})
	}
}

func fill(t *testing.T, m raw.Image, b []byte) {
	if err := readValues(m.Data, b); err != nil {
		t.Fatal(err)
	}
}
