package fingerprint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/dataset"
)

// TestPools is the measurement behind the thresholds: halves of one survey, other surveys, other channels and stretches. It prints what
// the package comment says: go test ./engine/dataset/fingerprint -run Pools -v
func TestPools(t *testing.T) {
	if testing.Short() {
		t.Skip("looks at thousands of images")
	}
	root := filepath.Join("..", "..", "..", "..", "shared", "data")
	if _, err := os.Stat(root); err != nil {
		t.Skip("there are no real images here")
	}
	folders := map[string]string{}
	for _, name := range []string{"galaxies", "natural", "radio"} { // some of each, which are listed in no time
		from := filepath.Join(root, name, "images")
		if _, err := os.Stat(from); err != nil {
			from = filepath.Join(root, name)
		}
		from, err := filepath.Abs(from)
		if err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for k := 0; k < len(files); k += max(1, len(files)/700) {
			if err := os.Symlink(filepath.Join(from, files[k].Name()), filepath.Join(dir, files[k].Name())); err != nil {
				t.Fatal(err)
			}
		}
		folders[name] = dir
	}
	pool := func(name string, r dataset.Reading) *dataset.Pool {
		p, err := dataset.OpenPool(t.Context(), t.TempDir(), []dataset.NamedSource{{Name: "s", Path: folders[name], Reading: r}}, dataset.Limits{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	of := func(p *dataset.Pool) *Print {
		print, err := Of(t.Context(), p, 64)
		if err != nil {
			t.Fatal(err)
		}
		return print
	}
	part := func(p *dataset.Pool, take func(i int) bool) *Print {
		var some []int
		for i := range p.Len() {
			if take(i) {
				some = append(some, i)
			}
		}
		return of(p.Subset(some))
	}
	show := func(what string, p, q *Print) {
		e := effects(p, q)
		worst := slices.Index(e, slices.Max(e))
		d, best, order := swapped(p, q)
		t.Logf("%-42s %3d, %3d images: rms %5.2f, most %5.2f (%s); best order %v %5.2f", what, p.Images, q.Images, d, e[worst], p.layout().name(worst), order, best)
	}
	surveys := map[string]*Print{}
	for _, name := range []string{"galaxies", "natural", "radio"} {
		p := pool(name, dataset.Reading{})
		surveys[name] = of(p)
		n := p.Len()
		for what, halves := range map[string][2]*Print{
			"by id": {part(p, func(i int) bool { return i < n/2 }), part(p, func(i int) bool { return i >= n/2 })},
			"mixed": {part(p, func(i int) bool { return i%2 == 0 }), part(p, func(i int) bool { return i%2 == 1 })},
		} {
			show(fmt.Sprintf("halves of %s, %s", name, what), halves[0], halves[1])
			if why := halves[0].Compare(halves[1]); why != nil {
				t.Errorf("a false alarm: %v", why)
			}
		}
		small := part(p, func(i int) bool { return i%max(1, n/25) == 0 })
		show("25 images of "+name, surveys[name], small)
		if why := surveys[name].Compare(small); why != nil {
			t.Errorf("a false alarm: %v", why)
		}
	}
	for _, pair := range [][2]string{{"galaxies", "natural"}, {"galaxies", "radio"}, {"natural", "radio"}} {
		p, q := surveys[pair[0]], *surveys[pair[1]]
		show(pair[0]+" and "+pair[1], p, &q)
		q.Kinds, q.Side = p.Kinds, p.Side // as if nothing but the pixels told
		if why := p.Compare(&q); len(why) != 1 || !strings.Contains(why[0], "another survey") {
			t.Errorf("another survey goes unnoticed: %v", why)
		}
	}
	for _, name := range []string{"galaxies", "natural"} {
		for _, order := range [][]int{{2, 1, 0}, {1, 0, 2}, {0, 2, 1}, {1, 2, 0}} {
			words := ""
			for _, c := range order {
				words += []string{"1 0 0;", "0 1 0;", "0 0 1;"}[c]
			}
			q := of(pool(name, dataset.Reading{Channels: words[:len(words)-1], High: 255}))
			show(fmt.Sprintf("%s, channels %v", name, order), surveys[name], q)
			q.Readings = surveys[name].Readings
			if why := surveys[name].Compare(q); len(why) != 1 || !strings.Contains(why[0], "another order") {
				t.Errorf("permuted channels go unnoticed: %v", why)
			}
		}
		for _, s := range []string{"linear", "percentile", "asinh", "log", "zscale"} {
			q := of(pool(name, dataset.Reading{Stretch: s}))
			show(name+", stretch "+s, surveys[name], q)
			if why := surveys[name].Compare(q); len(why) == 0 || !strings.Contains(why[0], "the stretch "+s) {
				t.Errorf("another stretch goes unnoticed: %v", why)
			}
		}
	}
	for _, s := range []string{"linear", "asinh", "log", "zscale"} {
		show("radio, stretch "+s, surveys["radio"], of(pool("radio", dataset.Reading{Stretch: s})))
	}
}
