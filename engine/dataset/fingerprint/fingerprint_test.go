package fingerprint

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
)

func TestMeasure(t *testing.T) {
	// Two rows of two: red 0 10 20 30, green the other way round, blue flat.
	m := measure([]uint8{0, 30, 7, 10, 20, 7, 20, 10, 7, 30, 0, 7})
	sd := math.Sqrt(125)
	want := []float64{15, 15, 7, sd, sd, 0, 0, 0, 7, 10, 10, 7, 30, 30, 7, -1, 0, 0, 0, 8, 8}
	for k := range want {
		if math.Abs(m[k]-want[k]) > 1e-9 {
			t.Errorf("%s is %v, want %v", name(k), m[k], want[k])
		}
	}
	grey := measure([]uint8{5, 5, 5, 9, 9, 9})
	flat := measure([]uint8{5, 5, 5, 5, 5, 5})
	if grey[corr] != 1 || flat[corr+2] != 1 || flat[3] != 0 {
		t.Errorf("grey %v, flat %v", grey, flat)
	}
}

// A permuted print is the print of permuted images.
func TestPermuted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, order := range [][3]int{{0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		var rows, others [][]float64
		for range 30 {
			pix := make([]uint8, 48)
			for i := range pix {
				pix[i] = uint8(r.IntN(100) + 40*(i%3))
			}
			other := make([]uint8, len(pix))
			for i := range pix {
				other[i] = pix[i/3*3+order[i%3]]
			}
			rows, others = append(rows, measure(pix)), append(others, measure(other))
		}
		p, q := &Print{Images: 30}, &Print{Images: 30}
		p.Mean, p.SD = moments(rows)
		q.Mean, q.SD = moments(others)
		got := p.permuted(order)
		for k := range all {
			if math.Abs(got.Mean[k]-q.Mean[k]) > 1e-9 || math.Abs(got.SD[k]-q.SD[k]) > 1e-9 {
				t.Errorf("%v: %s is %v ± %v, want %v ± %v", order, name(k), got.Mean[k], got.SD[k], q.Mean[k], q.SD[k])
			}
		}
	}
}

// TestSynthetic: galaxies of the demo, other ones of the same kind, and the same ones shown in other ways.
func TestSynthetic(t *testing.T) {
	folder := func(seed uint64) string {
		dir := t.TempDir()
		p := synth.Defaults()
		p.Size, p.Seed = 48, seed
		if _, err := synth.Write(dir, 120, p, nil); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	of := func(dir string, r dataset.Reading) *Print {
		p, err := dataset.OpenPool(t.Context(), t.TempDir(), []dataset.NamedSource{{Name: "s", Path: dir, Reading: r}}, dataset.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		print, err := Of(t.Context(), p, 32)
		if err != nil {
			t.Fatal(err)
		}
		return print
	}
	one, two := folder(1), folder(2)
	p := of(one, dataset.Reading{})
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again := &Print{}
	if err := json.Unmarshal(text, again); err != nil || !reflect.DeepEqual(p, again) || !reflect.DeepEqual(p, of(one, dataset.Reading{})) {
		t.Errorf("it is not the same once more: %v\n%s", err, text)
	}
	if p.Images != 120 || p.Side != 48 || strings.Join(p.Kinds, ",") != "3 bands of 8 bits" {
		t.Errorf("%+v", p)
	}
	for what, c := range map[string]struct {
		q    *Print
		want string // "" = nothing is unlike
	}{
		"other galaxies": {of(two, dataset.Reading{}), ""},
		"asinh":          {of(two, dataset.Reading{Stretch: "asinh"}), "they are shown to the network with the stretch asinh, those of the training with no stretch of their own"},
		"a range":        {of(two, dataset.Reading{High: 60}), "no stretch of their own from 0 to 60"},
	} {
		why := p.Check(c.q)
		if (why == nil) != (c.want == "") || why != nil && !strings.Contains(why.Error(), c.want) {
			t.Errorf("%s: %v", what, why)
		}
	}
	// As if the files had been made so.
	q := of(two, dataset.Reading{Stretch: "log"})
	q.Readings = p.Readings
	if why := p.Check(q); why == nil || !strings.Contains(why.Error(), "they look like another survey, or are prepared in another way: the ") {
		t.Errorf("log: %v", why)
	}
	q = of(two, dataset.Reading{Channels: "0 0 1; 0 1 0; 1 0 0", High: 255})
	q.Readings = p.Readings
	if why := p.Check(q); why == nil || !strings.Contains(why.Error(), "what was red is blue here, what was blue is red here") {
		t.Errorf("permuted: %v", why)
	}
	few := *q
	few.Images = fewest - 1
	if why := p.Check(&few); why != nil {
		t.Errorf("a few images: %v", why)
	}
	large := *p
	large.Side, large.Kinds = 200, []string{"one band of 32-bit floats"}
	if why := p.Compare(&large); len(why) != 2 {
		t.Errorf("large floats: %v", why)
	}
	if (*Print)(nil).Check(p) != nil || p.Check(nil) != nil {
		t.Error("a network that says nothing is refused")
	}
	if why := p.Check(&Print{Images: 300, Readings: p.Readings, Mean: []float64{1}}); why != nil {
		t.Errorf("a print of another version: %v", why)
	}
	empty := t.TempDir()
	if err := os.WriteFile(filepath.Join(empty, "a.png"), []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := of(empty, dataset.Reading{}); p != nil {
		t.Errorf("a print of nothing: %+v", p)
	}
}
