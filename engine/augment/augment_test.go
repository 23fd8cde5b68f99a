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
	load := func(name string) dataset.Pixels {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := dataset.Decode(b, dataset.Limits{})
		if err != nil {
			t.Fatal(name, err)
		}
		return m.Pixels()
	}
	for _, c := range manifest.Cases {
		src, want := load(manifest.Inputs[c.Input]), load(c.File)
		before := slices.Clone(src.Pix)
		v, _ := c.Value.(float64)
		var got dataset.Pixels
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
func marked(w, h int) dataset.Pixels {
	m := dataset.NewPixels(w, h, 3)
	for i := range w * h {
		m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2] = uint8(i%w), uint8(i/w), 200
	}
	return m
}

func TestWeakIsDistributedAsSaid(t *testing.T) {
	const n = 20000
	src := marked(64, 64)
	r := rand.New(rand.NewPCG(1, 2))
	flips, down, shifts := 0, 0, map[int]int{}
	for i := range n {
		var m dataset.Pixels
		if i%2 == 0 {
			m = Weak(src, r, Defaults())
		} else { // the strong view ends in the same
			m = Strong(src, r, Settings{Shift: 0.125, Flip: true})
		}
		p := m.Pix[(32*64+20)*3:] // column 20 or 43, row 32 - shift
		shift := 32 - int(p[1])
		if p[0] == 43 {
			flips++
			if shift > 0 {
				down++
			}
		} else if p[0] != 20 {
			t.Fatalf("column %d", p[0])
		}
		shifts[shift]++
	}
	if share := float64(down) / float64(flips); math.Abs(share-7.5/16) > 0.02 {
		t.Errorf("%.3f of the mirrored are shifted down, as if one depended on the other", share)
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
	count, quarters := make([]int, len(Ops)), make([][4]int, len(Ops))
	var drawn []int // by one view
	for i, op := range Ops {
		Ops[i].Do = func(m dataset.Pixels, v float64) dataset.Pixels {
			if v < op.From || v > op.To {
				t.Errorf("%s of %v", op.Name, v)
			}
			count[i]++
			quarters[i][min(int(4*(v-op.From)/(op.To-op.From)), 3)]++
			drawn = append(drawn, i)
			return m
		}
	}
	const n = 14000
	r := rand.New(rand.NewPCG(3, 4))
	src := marked(16, 16)
	uncut, distinct := 0, 0
	for range n {
		drawn = drawn[:0]
		m := Strong(src, r, Settings{Operations: 3, Cutout: 0.5})
		if bytes.Equal(m.Pix, src.Pix) {
			uncut++
		}
		if len(drawn) != 3 {
			t.Fatalf("%d operations in a view", len(drawn))
		}
		if drawn[0] != drawn[1] && drawn[1] != drawn[2] && drawn[0] != drawn[2] {
			distinct++
		}
	}
	if share, want := float64(distinct)/n, 13.0/14*12/14; math.Abs(share-want) > 0.015 {
		t.Errorf("%.3f of the views have three different operations, want %.3f as drawn with replacement", share, want)
	}
	for i, op := range Ops {
		if share := float64(count[i]) / (3 * n); math.Abs(share-1.0/14) > 0.005 {
			t.Errorf("%s: share %.4f", op.Name, share)
		}
		for q, k := range quarters[i] { // 3,000 draws: four standard deviations are 3.2%
			if share := float64(k) / float64(count[i]); math.Abs(share-0.25) > 0.032 {
				t.Errorf("%s: share %.3f of the values is in quarter %d of the range", op.Name, share, q+1)
			}
		}
	}
	if uncut > n/10 { // only where the box lies outside
		t.Errorf("%d of %d without a cutout", uncut, n)
	}
}

// TestCutoutIsDistributedAsSaid compares the boxes of many strong views with the mean over all sides and centres that the parity
// manifest defines: side U(0, 0.5)·width, centre U(1, width) because of a slip in the reference, ends inclusive.
func TestCutoutIsDistributedAsSaid(t *testing.T) {
	const w, n, grid = 16, 40000, 400
	mid := func(k int, from, to float64) float64 { return from + (to-from)*(float64(k)+0.5)/grid }
	var length, start, area float64
	for i := range grid {
		side := mid(i, 0, w/2)
		mean := 0.0
		for j := range grid {
			x0 := math.Trunc(max(0, mid(j, 1, w)-side/2))
			x1 := min(math.Trunc(min(w, x0+side)), w-1)
			mean += (x1 - x0 + 1) / grid
			start += x0 / grid / grid
		}
		length += mean / grid
		area += mean * mean / grid // both directions are drawn alike
	}
	src := dataset.NewPixels(w, w, 3)
	r := rand.New(rand.NewPCG(9, 10))
	got := map[string]float64{}
	for range n {
		m := Strong(src, r, Settings{Cutout: 0.5})
		x0, y0, x1, y1, count := w, w, 0, 0, 0
		for i := 0; i < w*w; i++ {
			if x, y := i%w, i/w; m.Pix[3*i] != 0 {
				x0, y0, x1, y1, count = min(x0, x), min(y0, y), max(x1, x), max(y1, y), count+1
			}
		}
		if count != (x1-x0+1)*(y1-y0+1) || x1-x0 > w/2 || y1-y0 > w/2 {
			t.Fatalf("%d pixels cut out of columns %d to %d, rows %d to %d", count, x0, x1, y0, y1)
		}
		for what, v := range map[string]int{"left": x0, "top": y0, "width": x1 - x0 + 1, "height": y1 - y0 + 1, "area": count} {
			got[what] += float64(v) / n
		}
	}
	// Four standard deviations of the mean, of those: 4.4, 2.4 and 21.
	for what, want := range map[string][2]float64{"left": {start, 0.09}, "top": {start, 0.09}, "width": {length, 0.05}, "height": {length, 0.05}, "area": {area, 0.45}} {
		if math.Abs(got[what]-want[0]) > want[1] {
			t.Errorf("%s of the cutout is %.2f in the mean, want %.2f", what, got[what], want[0])
		}
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

// noise is an image of random pixels, in as many channels.
func noise(r *rand.Rand, w, h, channels int) dataset.Pixels {
	m := dataset.NewPixels(w, h, channels)
	for i := range m.Pix {
		c := i % channels
		m.Pix[i] = uint8(r.IntN(60) + 8*c*c)
	}
	return m
}

// channel is one channel of m, in as many equal ones.
func channel(m dataset.Pixels, c, copies int) dataset.Pixels {
	out := dataset.NewPixels(m.W, m.H, copies)
	for i := range out.Pix {
		out.Pix[i] = m.Pix[i/copies*m.C+c]
	}
	return out
}

// TestChannels holds images of any number of channels to those of three, whose pixels are Pillow's: one channel is augmented as grey in three is,
// and of many each as if it were alone, but where a grey image is needed.
func TestChannels(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, op := range Ops {
		for range 20 {
			v := between(r, op.From, op.To)
			one, many := noise(r, 13, 11, 1), noise(r, 13, 11, 5)
			if got, want := op.Do(one, v), channel(op.Do(channel(one, 0, 3), v), 1, 1); !bytes.Equal(got.Pix, want.Pix) || got.C != 1 {
				t.Errorf("%s of %v: one channel is not as grey in three", op.Name, v)
			}
			got := op.Do(many, v)
			for c := range 5 {
				if alone := bytes.Equal(channel(got, c, 1).Pix, op.Do(channel(many, c, 1), v).Pix); alone == (op.Name == "Contrast" || op.Name == "Color") {
					t.Errorf("%s of %v: channel %d of five is alone: %v", op.Name, v, c, alone)
				}
			}
		}
	}
	// The mean of all channels is grey: 0 10 20 30 45 have 21.
	m := dataset.Pixels{W: 1, H: 1, C: 5, Pix: []uint8{0, 10, 20, 30, 45}}
	if got := Color(m, 0).Pix; !bytes.Equal(got, []uint8{21, 21, 21, 21, 21}) {
		t.Errorf("without colour %v", got)
	}
	if got := Contrast(m, 0.5).Pix; !bytes.Equal(got, []uint8{10, 15, 20, 25, 33}) {
		t.Errorf("with half of the contrast %v", got)
	}
	for _, channels := range []int{1, 2, 4, 16} {
		src := noise(r, 9, 7, channels)
		before := slices.Clone(src.Pix)
		for i := range uint64(300) {
			x, y := Strong(src, rand.New(rand.NewPCG(5, i)), Defaults()), Strong(src, rand.New(rand.NewPCG(5, i)), Defaults())
			if x.W != 9 || x.H != 7 || x.C != channels || !bytes.Equal(x.Pix, y.Pix) || !bytes.Equal(src.Pix, before) {
				t.Fatalf("%d channels: the view is another one the second time, or the image was changed", channels)
			}
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
