package monitor

import "testing"

func TestSince(t *testing.T) {
	for _, c := range []struct {
		before, now []string
		want        int
	}{
		{nil, []string{"a", "b"}, 2},
		{[]string{"a", "b"}, []string{"a", "b"}, 0},
		{[]string{"a", "b"}, []string{"a", "b", "c"}, 1},
		{[]string{"a", "b"}, []string{"b", "c", "d"}, 2},
		{[]string{"x", "b"}, []string{"x", "b", "y", "b"}, 2}, // lines that are there twice are told apart by those before them
		{[]string{"a"}, nil, 0},
		{[]string{"a"}, []string{"new file"}, 1},
	} {
		if got := since(c.before, c.now); got != c.want {
			t.Errorf("%q after %q: %d new, want %d", c.now, c.before, got, c.want)
		}
	}
}
