package augment

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/internal/testdata"
)

func TestOperationsArePillows(t *testing.T) {
	dir := testdata.Shared(t, "parity/augment")
	var manifest struct {
		Inputs map[string]string
		Cases  []struct {
			Input, Op, File string
			Value           any
			Centre          [2]float64
		}
		Operations struct{ Ranges map[string][2]float64 }
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(b, &manifest)
	}
	if err != nil || len(manifest.Cases) != 90 {
		t.Fatalf("%d cases, %v", len(manifest.Cases), err)
	}
	byName := map[string]Op{}
	for _, op := range Ops {
		byName[op.Name] = op
		if r, ok := manifest.Operations.Ranges[op.Name]; !ok || r != [2]float64{op.From, op.To} {
			t.Errorf("%s has the range %v to %v, want %v", op.Name, op.From, op.To, r)
		}
	}
	if len(byName) != 14 {
		t.Errorf("%d operations", len(byName))
	}
	load := func(name string) dataset.RGB {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := dataset.Decode(b, dataset.Limits{})
		if err != nil {
			t.Fatal(name, err)
		}
		return m
	}
	for _, c := range manifest.Cases {
		src, want := load(manifest.Inputs[c.Input]), load(c.File)
		before := slices.Clone(src.Pix)
		v, _ := c.Value.(float64)
		var got dataset.RGB
		switch c.Op {
		case "Cutout":
			got = Cutout(src, v, c.Centre[0], c.Centre[1])
		case "HorizontalFlip":
			got = HorizontalFlip(src)
		case "VerticalShift":
			got = VerticalShift(src, int(v))
		case "Chain":
			got = VerticalShift(HorizontalFlip(Cutout(Solarize(Sharpness(Rotate(src, 17), 0.3), 180), 0.25, 20, 50)), -5)
		default:
			op, ok := byName[c.Op]
			if !ok {
				t.Fatalf("no operation %q", c.Op)
			}
			got = op.Do(src, v)
		}
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("%s: other pixels", c.File)
		}
		if !bytes.Equal(src.Pix, before) {
			t.Errorf("%s: the input was changed", c.File)
		}
	}
}

// marked is an image in which every pixel tells where it was: R = column, G = row.
func marked(w, h int) dataset.RGB {
	m := dataset.NewRGB(w, h)
	for i := range w * h {
		m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2] = uint8(i%w), uint8(i/w), 200
	}
	return m
}

func TestWeakIsDistributedAsSaid(t *testing.T) {
	const n = 20000
	src := marked(64, 64)
	r := rand.New(rand.NewPCG(1, 2))
	flips, shifts := 0, map[int]int{}
	for range n {
		m := Weak(src, r, Defaults())
		p := m.Pix[(32*64+20)*3:] // column 20 or 43, row 32 - shift
		if p[0] == 43 {
			flips++
		} else if p[0] != 20 {
			t.Fatalf("column %d", p[0])
		}
		shifts[32-int(p[1])]++
	}
	if share := float64(flips) / n; math.Abs(share-0.5) > 0.015 {
		t.Errorf("%.3f are mirrored", share)
	}
	for s := -8; s <= 8; s++ {
		want := 1.0 / 16
		if s == -8 || s == 8 { // half a row's worth rounds to the ends
			want /= 2
		}
		if share := float64(shifts[s]) / n; math.Abs(share-want) > 0.008 {
			t.Errorf("shift %d: share %.4f, want %.4f", s, share, want)
		}
		delete(shifts, s)
	}
	if len(shifts) > 0 {
		t.Errorf("shifts %v", shifts)
	}
	if m := Weak(src, r, Settings{}); !bytes.Equal(m.Pix, src.Pix) || &m.Pix[0] == &src.Pix[0] {
		t.Error("with nothing to do, the view is not a copy")
	}
}

func TestStrongDrawsEvenly(t *testing.T) {
	old := slices.Clone(Ops)
	defer func() { Ops = old }()
	Ops = slices.Clone(Ops)
	count, sum := make([]int, len(Ops)), make([]float64, len(Ops))
	for i, op := range Ops {
		Ops[i].Do = func(m dataset.RGB, v float64) dataset.RGB {
			if v < op.From || v > op.To {
				t.Errorf("%s of %v", op.Name, v)
			}
			count[i], sum[i] = count[i]+1, sum[i]+(v-op.From)/(op.To-op.From)
			return m
		}
	}
	const n = 14000
	r := rand.New(rand.NewPCG(3, 4))
	src := marked(16, 16)
	uncut := 0
	for range n {
		m := Strong(src, r, Settings{Operations: 3, Cutout: 0.5})
		if bytes.Equal(m.Pix, src.Pix) {
			uncut++
		}
	}
	for i, op := range Ops {
		if share := float64(count[i]) / (3 * n); math.Abs(share-1.0/14) > 0.005 {
			t.Errorf("%s: share %.4f", op.Name, share)
		}
		if mean := sum[i] / float64(count[i]); math.Abs(mean-0.5) > 0.03 {
			t.Errorf("%s: mean value %.3f of the range", op.Name, mean)
		}
	}
	if uncut > n/10 { // only where the box lies outside
		t.Errorf("%d of %d without a cutout", uncut, n)
	}
}

func TestStrongIsRepeatableAndSafe(t *testing.T) {
	for _, size := range [][2]int{{64, 64}, {1, 1}, {2, 9}, {31, 4}} {
		src := marked(size[0], size[1])
		before := slices.Clone(src.Pix)
		a, b := rand.New(rand.NewPCG(5, 6)), rand.New(rand.NewPCG(5, 6))
		for range 300 {
			x, y := Strong(src, a, Defaults()), Strong(src, b, Defaults())
			if x.W != src.W || x.H != src.H || !bytes.Equal(x.Pix, y.Pix) {
				t.Fatalf("%v: the same seed gives another view", size)
			}
			x.Pix[0]++
		}
		if !bytes.Equal(src.Pix, before) {
			t.Errorf("%v: the image was changed", size)
		}
	}
}

// BenchmarkStep is what one training step needs: 96 weak and 80 strong views.
func BenchmarkStep(b *testing.B) {
	src := marked(64, 64)
	r := rand.New(rand.NewPCG(7, 8))
	b.ReportAllocs()
	for b.Loop() {
		for range 96 {
			Weak(src, r, Defaults())
		}
		for range 80 {
			Strong(src, r, Defaults())
		}
	}
}
