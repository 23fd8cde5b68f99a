package dataset

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// listed is a pool of which only the list exists.
func listed(ids ...string) *Pool {
	entries := make([]Entry, len(ids))
	for i, id := range ids {
		entries[i] = Entry{ID: id}
	}
	return &Pool{index: newIndex(nil, entries, nil), bad: map[int]BadImage{}}
}

func TestHolding(t *testing.T) {
	t.Run("as here", testHolding)
	defer func(v bool) { vector = v }(vector)
	vector = false
	t.Run("as on any processor", testHolding)
}

func testHolding(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("aAbB0Z[@z/É")
	var ids []string
	for i := range 3 * searchedAtOnce / 2 {
		var b strings.Builder
		fmt.Fprintf(&b, "s/%05d", i)
		for range rng.IntN(6) {
			b.WriteRune(alphabet[rng.IntN(len(alphabet))])
		}
		ids = append(ids, b.String())
	}
	p := listed(ids...)
	for _, text := range []string{"a", "b0", "0s/", "00", "s/", "[", "@a", "z[", "zz", "é", "aé", "9", "05000", "s/04095", "s/04096", "nowhere"} {
		bits, err := p.Holding(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for i := range p.Len() {
			got, want := bits[i>>6]>>(i&63)&1 == 1, strings.Contains(strings.ToLower(p.ID(i)), text)
			if got != want {
				t.Errorf("%q in %q: %v", text, p.ID(i), got)
			}
			if want {
				n++
			}
		}
		t.Logf("%q is in %d", text, n)
	}
	if bits, err := listed().Holding(t.Context(), "a"); err != nil || len(bits) != 0 {
		t.Errorf("in no image: %v, %v", bits, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Holding(ended, "a"); err == nil {
		t.Error("the end of the context is not told")
	}
}

// BenchmarkHolding searches the ids of a million images, as find does.
func BenchmarkHolding(b *testing.B) {
	p := &Pool{index: million()}
	for _, text := range []string{"00123456", "cutout_00123456", ".jpg", "tile0999/"} {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				p.Holding(b.Context(), text)
			}
		})
	}
}
