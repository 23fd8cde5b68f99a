package fingerprint

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/synth"
)

func TestMeasure(t *testing.T) {
	// Two rows of two: red 0 10 20 30, green the other way round, blue flat.
	m := measure([]uint8{0, 30, 7, 10, 20, 7, 20, 10, 7, 30, 0, 7}, 3)
	l, sd := layoutOf(3), math.Sqrt(125)
	want := []float64{15, 15, 7, sd, sd, 0, 0, 0, 7, 10, 10, 7, 30, 30, 7, -1, 0, 0, 0, 8, 8}
	for k := range want {
		if math.Abs(m[k]-want[k]) > 1e-9 {
			t.Errorf("%s is %v, want %v", l.name(k), m[k], want[k])
		}
	}
	grey := measure([]uint8{5, 5, 5, 9, 9, 9}, 3)
	flat := measure([]uint8{5, 5, 5, 5, 5, 5}, 3)
	if grey[l.corr] != 1 || flat[l.corr+2] != 1 || flat[3] != 0 {
		t.Errorf("grey %v, flat %v", grey, flat)
	}
	if one := measure([]uint8{0, 10, 20, 30}, 1); !slices.Equal(one, []float64{15, sd, 0, 10, 30}) {
		t.Errorf("one channel: %v", one)
	}
	l = layoutOf(5)
	if got := []string{l.name(0), l.name(24), l.name(25), l.name(44)}; l.all != 45 || !slices.Equal(got, []string{"the mean of channel 1", "the bright end of channel 5",
		"the correlation of channel 1 and channel 2", "the difference of channel 4 and channel 5"}) {
		t.Errorf("five channels: %d features, such as %q", l.all, got)
	}
}

// A permuted print is the print of permuted images.
func TestPermuted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	several := append(orders(3), orders(5)[77], orders(7)[9])
	if len(several) != 8 || several[0][2] != 2 {
		t.Fatalf("orders %v", several)
	}
	for _, order := range several {
		channels := len(order)
		var rows, others [][]float64
		for range 30 {
			pix := make([]uint8, 16*channels)
			for i := range pix {
				pix[i] = uint8(r.IntN(100) + 20*(i%channels))
			}
			other := make([]uint8, len(pix))
			for i := range pix {
				other[i] = pix[i/channels*channels+order[i%channels]]
			}
			rows, others = append(rows, measure(pix, channels)), append(others, measure(other, channels))
		}
		p, q := &Print{Images: 30}, &Print{Images: 30}
		p.Mean, p.SD = moments(rows)
		q.Mean, q.SD = moments(others)
		got, l := p.permuted(order), p.layout()
		if l.channels != channels {
			t.Errorf("%d channels are taken for %d", channels, l.channels)
		}
		for k := range l.all {
			if math.Abs(got.Mean[k]-q.Mean[k]) > 1e-9 || math.Abs(got.SD[k]-q.SD[k]) > 1e-9 {
				t.Errorf("%v: %s is %v ± %v, want %v ± %v", order, l.name(k), got.Mean[k], got.SD[k], q.Mean[k], q.SD[k])
			}
		}
		if _, best, found := swapped(p, q); best > 1e-9 || !same(q.permuted(found).Mean, p.Mean) {
			t.Errorf("%v: the order found is %v, %v apart", order, found, best)
		}
	}
}

func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Abs(x-y) < 1e-9 })
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
