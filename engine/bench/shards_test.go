package bench

import (
	"math"
	"testing"
)

func TestShards(t *testing.T) {
	r, err := Shards(t.Context(), t.TempDir(), 2_100_000, 12, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The eighth power of a uniform number is above 0.99^8 in a hundredth of the cases.
	if r.Bad != 2 || r.TopRows != 21_000 || math.Abs(float64(r.TopScore)-math.Pow(0.99, 8)) > 0.01 || r.FileBytes < 8_400_000 || r.DiskBytes < 2*8_400_000 {
		t.Errorf("%+v", r)
	}
	for _, n := range []int{0, 1_000_000} {
		if _, err := Shards(t.Context(), t.TempDir(), 1000, n, 7, nil); err == nil {
			t.Errorf("%d shards", n)
		}
	}
	if _, err := Shards(t.Context(), t.TempDir(), 1000, 1, 7, nil); err != nil {
		t.Errorf("one shard: %v", err)
	}
}
