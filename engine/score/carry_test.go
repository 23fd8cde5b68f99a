package score

import (
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"testing"

	"anomalymatch/engine/dataset"
)

func TestCarry(t *testing.T) {
	dir, old, now, other := t.TempDir(), [32]byte{1}, [32]byte{2}, [32]byte{3}
	write := func(pool [32]byte, cycle int, scores ...float32) {
		if err := Write(dir, Header{Pool: hex.EncodeToString(pool[:]), Cycle: cycle, Step: 7}, scores); err != nil {
			t.Fatal(err)
		}
	}
	write(other, 1, 0.5, 0.5, 0.5, 0.5)
	write(old, 2, 0.1, 0.2, nan, 0.4)
	write(old, 3, 0.6, 0.7, nan, 0.9)
	// The second went; one came first and two last.
	before := &dataset.Before{Images: 4, Hash: old, Kept: []dataset.Kept{{From: 0, To: 1, N: 1}, {From: 2, To: 2, N: 2}}}
	for range 2 {
		if err := Carry(dir, before, now, 6); err != nil {
			t.Fatal(err)
		}
		for cycle, want := range map[int][]float32{2: {missing, 0.1, nan, 0.4, missing, missing}, 3: {missing, 0.6, nan, 0.9, missing, missing}} {
			h, got, err := read(Path(dir, cycle))
			if err != nil || h.Pool != hex.EncodeToString(now[:]) || h.Missing != 3 || h.Step != 7 || !bytes.Equal(Bytes(got), Bytes(want)) || !slices.Equal(Missing(got), []int{0, 4, 5}) {
				t.Errorf("cycle %d: %+v %v, %v", cycle, h, got, err)
			}
		}
	}
	if _, s, found := Latest(dir, other); !found || len(s) != 4 {
		t.Error("scores of another list changed")
	}
	// Scored, it is the file of a list that was always this one.
	_, s, _ := Latest(dir, now)
	for _, i := range Missing(s) {
		s[i] = 0.3
	}
	write(now, 3, s...)
	filled, err := os.ReadFile(Path(dir, 3))
	if err != nil {
		t.Fatal(err)
	}
	write(now, 3, 0.3, 0.6, nan, 0.9, 0.3, 0.3)
	if anew, err := os.ReadFile(Path(dir, 3)); err != nil || !bytes.Equal(filled, anew) {
		t.Error("filled and anew differ", err)
	}
}
