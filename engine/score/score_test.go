package score

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

var nan = float32(math.NaN())

func TestOrder(t *testing.T) {
	if got := Order([]float32{0.5, nan, 0.9, 0.5, 0}); !slices.Equal(got, []int32{2, 0, 3, 4}) {
		t.Errorf("order %v: want best first, ties by number, no NaN", got)
	}
}

// TestOrderIsThatOfComparing: whatever the scores are, their order is the one that comparing them gives.
func TestOrderIsThatOfComparing(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	zero := float32(math.Copysign(0, -1))
	for name, draw := range map[string]func() float32{
		"spread": rng.Float32,
		"tied":   func() float32 { return float32(rng.IntN(4)) / 4 },
		"close":  func() float32 { return 0.5 + float32(rng.IntN(9))*1e-7 },
		"signs":  func() float32 { return float32(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(60)-30))) },
		"odd": func() float32 {
			return []float32{0, zero, 1, -1, 1e-45, nan, float32(math.Inf(1)), float32(math.Inf(-1))}[rng.IntN(8)]
		},
		"none":  func() float32 { return nan },
		"equal": func() float32 { return 0.25 },
	} {
		for _, n := range []int{0, 1, 2, 100, 5000} {
			scores := make([]float32, n)
			var want []int32
			for i := range scores {
				if scores[i] = draw(); scores[i] == scores[i] {
					want = append(want, int32(i))
				}
			}
			slices.SortStableFunc(want, func(a, b int32) int { return cmp.Compare(scores[b], scores[a]) })
			if got := Order(scores); !slices.Equal(got, want) {
				t.Errorf("%s, %d: another order", name, n)
			}
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	rng := rand.New(rand.NewPCG(9, 10))
	scores := make([]float32, 1_000_000)
	for i := range scores {
		scores[i] = rng.Float32()
	}
	for b.Loop() {
		Order(scores)
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
		if err := Write(dir, Header{Pool: hex.EncodeToString(pool[:]), Cycle: cycle + 1, Step: 50}, s); err != nil {
			t.Fatal(err)
		}
	}
	if h, s, found := Latest(dir, pool); !found || h.Cycle != 2 || h.Step != 50 || h.Made.IsZero() || !slices.Equal(s, second) {
		t.Errorf("newest: %+v %v %v", h, s, found)
	}
	if _, _, found := Latest(dir, sha256.Sum256([]byte("other"))); found {
		t.Error("scores of another pool are used")
	}
	// Written from a stream the file is the same; what is not the bytes that were told of is not written.
	path := Path(dir, 2)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw := Bytes(second)
	h := Header{Pool: hex.EncodeToString(pool[:]), Cycle: 2, Step: 50, Rows: 3, CRC: Checksum(Checksum(0, raw[:4]), raw[4:])}
	other := t.TempDir()
	if err := WriteFrom(other, h, bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(Path(other, 2)); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("streamed %q, %v; want %q", got, err, whole)
	}
	for _, wrong := range [][]byte{raw[:8], append(slices.Clone(raw), raw...), append(slices.Clone(raw[:11]), 1)} {
		if err := WriteFrom(t.TempDir(), h, bytes.NewReader(wrong)); err == nil {
			t.Errorf("%x was taken", wrong)
		}
	}
	// A damaged file is passed over, whatever byte it is.
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

// TestTop: the best of a file are the beginning of its order, also where many scores are equal.
func TestTop(t *testing.T) {
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(3, 4))
	draw := map[string]func() float32{
		"spread": rng.Float32,
		"tied":   func() float32 { return float32(rng.IntN(4)) / 4 },
		"close":  func() float32 { return 0.5 + float32(rng.IntN(9))*1e-7 },
		"odd": func() float32 {
			return []float32{0, float32(math.Copysign(0, -1)), 1, -1, 1e-45, nan, nan}[rng.IntN(7)]
		},
		"none": func() float32 { return nan },
	}
	for name, f := range draw {
		scores := make([]float32, 20000) // more than one buffer
		for i := range scores {
			scores[i] = f()
		}
		if err := Write(dir, Header{Pool: "p", Cycle: 1}, scores); err != nil {
			t.Fatal(err)
		}
		order := Order(scores)
		for _, k := range []int{0, 1, 7, 5000, len(order), 30000} {
			h, got, err := Top(Path(dir, 1), k)
			if err != nil || h.Rows != len(scores) || len(got) != min(k, len(order)) {
				t.Fatalf("%s, %d: %d of %d, %v", name, k, len(got), h.Rows, err)
			}
			for n, b := range got {
				if b.Image != int(order[n]) || b.Score != scores[b.Image] {
					t.Fatalf("%s, %d: place %d is %v, want image %d", name, k, n, b, order[n])
				}
			}
		}
	}
	if err := os.Truncate(Path(dir, 1), 1000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Top(Path(dir, 1), 5); err == nil {
		t.Error("a cut file has a top")
	}
}
