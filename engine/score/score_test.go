package score

import (
	"crypto/sha256"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var nan = float32(math.NaN())

func TestOrder(t *testing.T) {
	if got := Order([]float32{0.5, nan, 0.9, 0.5, 0}); !slices.Equal(got, []int32{2, 0, 3, 4}) {
		t.Errorf("order %v: want best first, ties by number, no NaN", got)
	}
}

func TestJoint(t *testing.T) {
	n := 200
	up, down, noise := make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range n {
		up[i], down[i] = float32(i)/float32(n), 1-float32(i)/float32(n)
		noise[i] = float32(i*7919%n) / float32(n)
	}
	if a := Agreement(up, up); a != 1 {
		t.Errorf("a ranking agrees with itself by %v", a)
	}
	if a := Agreement(up, down); a != 0 {
		t.Errorf("a ranking agrees with its reverse by %v", a)
	}
	if !slices.Equal(Order(Joint(up, down)), Order(up)) {
		t.Error("a deep ranking that is worse than chance changed the order")
	}
	if !slices.Equal(Order(Joint(up, up)), Order(up)) {
		t.Error("two equal rankings give another one")
	}
	close := slices.Clone(up) // agrees, but puts one image elsewhere
	close[10] = 0.999
	if j := Joint(up, close); j[10] <= j[20] {
		t.Error("a deep ranking that agrees moves nothing")
	}
	gap := slices.Clone(noise)
	gap[3] = nan
	for i, v := range Joint(up, gap) {
		if math.IsNaN(float64(v)) != (i == 3) {
			t.Errorf("image %d: %v", i, v)
		}
	}
}

func TestScoresOnDisk(t *testing.T) {
	dir, pool := t.TempDir(), sha256.Sum256([]byte("pool"))
	if _, _, found := Latest(dir, pool); found {
		t.Error("scores in an empty folder")
	}
	first, second := []float32{0.1, nan, 0.3}, []float32{0.9, 0.8, 0.7}
	for cycle, s := range [][]float32{first, second} {
		if err := Write(dir, pool, cycle+1, s); err != nil {
			t.Fatal(err)
		}
	}
	if h, s, found := Latest(dir, pool); !found || h.Cycle != 2 || !slices.Equal(s, second) {
		t.Errorf("newest: %+v %v %v", h, s, found)
	}
	if _, _, found := Latest(dir, sha256.Sum256([]byte("other"))); found {
		t.Error("scores of another pool are used")
	}
	// A damaged file is passed over, whatever byte it is.
	path := filepath.Join(dir, "cycle-002.scores")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := slices.Clone(whole)
		bad[i] ^= 0x10
		if err := os.WriteFile(path, bad, 0o666); err != nil {
			t.Fatal(err)
		}
		h, s, found := Latest(dir, pool)
		if !found || (h.Cycle == 2 && !slices.Equal(s, second)) {
			t.Fatalf("byte %d flipped: found %v, cycle %d, %v", i, found, h.Cycle, s)
		}
	}
}
