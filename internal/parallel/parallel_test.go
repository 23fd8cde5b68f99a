package parallel

import (
	"sync/atomic"
	"testing"
)

func TestPartsCoverAll(t *testing.T) {
	for _, c := range []struct{ n, parts int }{{0, 0}, {0, 3}, {1, 8}, {10, 3}, {1000, 16}, {7, 7}} {
		seen := make([]atomic.Int32, c.n)
		var calls atomic.Int32
		Parts(c.n, c.parts, func(part, from, to int) {
			calls.Add(1)
			if from != part*c.n/c.parts {
				t.Errorf("%v: part %d begins at %d", c, part, from)
			}
			for i := from; i < to; i++ {
				seen[i].Add(1)
			}
		})
		if int(calls.Load()) != c.parts {
			t.Errorf("%v: %d calls", c, calls.Load())
		}
		for i := range seen {
			if seen[i].Load() != 1 && c.parts > 0 {
				t.Errorf("%v: %d was done %d times", c, i, seen[i].Load())
			}
		}
	}
}

func TestAPanicIsTheCallers(t *testing.T) {
	defer func() {
		if r := recover(); r != "odd" {
			t.Errorf("recovered %v", r)
		}
	}()
	Parts(100, 50, func(part, _, _ int) {
		if part%7 == 3 {
			panic("odd")
		}
	})
	t.Error("no panic")
}
