package synth

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"anomalymatch/engine/dataset"
)

// The sum of many pictures must be this on every machine: ids, labels and published demo results depend on it. It changes only
// with the drawing code.
const sumOfAll = "af4e3c34889339ecd1c863220a42229617deb578aa5b09df50203685e44d1256"

func TestGalaxiesAreTheSameEverywhere(t *testing.T) {
	sum := sha256.New()
	p := Params{Seed: 7, Size: 48, Rare: 0.3}
	for i := range 200 {
		m, kind := p.Galaxy(i)
		fmt.Fprintln(sum, kind)
		sum.Write(m.Pix)
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != sumOfAll {
		t.Errorf("the pictures changed: %s, want %s", got, sumOfAll)
	}
}

func TestGalaxyIsPure(t *testing.T) {
	a, kind := Galaxy(3, 41, 64)
	Galaxy(3, 40, 64)
	b, again := Galaxy(3, 41, 64)
	if kind != again || a.W != 64 || a.H != 64 || !bytes.Equal(a.Pix, b.Pix) {
		t.Error("the same call gives another picture")
	}
	if c, _ := Galaxy(4, 41, 64); bytes.Equal(a.Pix, c.Pix) {
		t.Error("another seed gives the same picture")
	}
	if c, _ := Galaxy(3, 42, 64); bytes.Equal(a.Pix, c.Pix) {
		t.Error("another number gives the same picture")
	}
}

func TestRareOnesAreAsManyAsAsked(t *testing.T) {
	for _, c := range []struct {
		rare     float64
		n        int
		from, to int
	}{{0.015, 2000, 29, 31}, {0.015, 400, 5, 7}, {0, 500, 0, 0}, {1, 50, 50, 50}, {0.5, 100, 50, 50}} {
		for seed := range uint64(20) {
			p := Params{Seed: seed, Size: 32, Rare: c.rare}
			rare := 0
			for i := range c.n {
				if p.Kind(i).Rare() {
					rare++
				}
			}
			if rare < c.from || rare > c.to {
				t.Errorf("seed %d: %d of %d are rare, want %d to %d", seed, rare, c.n, c.from, c.to)
			}
		}
	}
	p := Params{Seed: 5, Size: 32, Rare: 0.2, RareKind: Lens}
	seen := map[Kind]int{}
	for i := range 1000 {
		seen[p.Kind(i)]++
	}
	if seen[Lens] != 200 || seen[Ring]+seen[Merger] > 0 || seen[Elliptical] < 200 || seen[Spiral] < 200 || seen[EdgeOn] < 100 {
		t.Errorf("kinds %v", seen)
	}
}

// Every kind is a light on a dark sky at any size: nothing is blank, washed out or off the middle.
func TestEveryKindIsSeen(t *testing.T) {
	for kind := Elliptical; kind <= Lens; kind++ {
		for _, size := range []int{0, 8, 64, 150} {
			p := Params{Seed: 9, Size: size}
			for i := range 12 {
				m := p.draw(i, kind)
				if m.W != max(size, 8) || len(m.Pix) != m.W*m.H*3 {
					t.Fatalf("%v at %d: %d×%d", kind, size, m.W, m.H)
				}
				if size < 64 {
					continue
				}
				inner, sky := brightness(m, 0.3), brightness(m, math.Inf(1))
				if inner < sky+8 || inner > 220 || sky > 60 {
					t.Errorf("%v %d at %d px: middle %.0f, all %.0f", kind, i, size, inner, sky)
				}
			}
		}
	}
}

// brightness is the mean value of the pixels within a share of the side from the middle.
func brightness(m dataset.RGB, within float64) float64 {
	sum, n := 0, 0
	for y := range m.H {
		for x := range m.W {
			if math.Hypot(float64(x)/float64(m.W)-0.5, float64(y)/float64(m.H)-0.5) < within/2 {
				p := m.Pix[(y*m.W+x)*3:]
				sum, n = sum+int(p[0])+int(p[1])+int(p[2]), n+3
			}
		}
	}
	return float64(sum) / float64(n)
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sky")
	p := Params{Seed: 2, Size: 40, Rare: 0.25}
	var told []int
	truth, err := Write(dir, 12, p, func(done int) { told = append(told, done) })
	if err != nil || len(truth) != 12 || len(told) != 12 || told[11] != 12 || !slices.IsSorted(told) {
		t.Fatalf("truth of %d, progress %v, %v", len(truth), told, err)
	}
	for i := range 12 {
		name := fmt.Sprintf("g%06d.jpg", i+1)
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m, err := dataset.Decode(b, dataset.Limits{})
		if err != nil || m.W != 40 {
			t.Errorf("%s: %d px, %v", name, m.W, err)
		}
		if truth[name] != p.Kind(i).Rare() {
			t.Errorf("%s: truth %v", name, truth[name])
		}
	}
	file := filepath.Join(dir, "g000001.jpg")
	if _, err := Write(filepath.Join(file, "below"), 2, p, nil); err == nil {
		t.Error("a folder below a file")
	}
}

func BenchmarkGalaxy96(b *testing.B) {
	p := Defaults()
	for i := 0; b.Loop(); i++ {
		p.Galaxy(i)
	}
}

func BenchmarkWrite(b *testing.B) {
	dir := b.TempDir()
	const n = 200
	for b.Loop() {
		if _, err := Write(dir, n, Defaults(), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "images/s")
}
