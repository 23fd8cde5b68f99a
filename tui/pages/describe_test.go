package pages

import (
	"slices"
	"testing"
)

func TestColumn(t *testing.T) {
	draw := func(int) []string { return nil }
	blocks := []Block{{Least: 2, Good: 3, Most: 5, Draw: draw}, {}, {Least: 3, Good: 4, Most: 4, Draw: draw}, {Least: 2, Good: 2, Most: 6, Spare: true, Draw: draw}}
	for _, c := range []struct {
		h     int
		want  []int
		blank bool
	}{
		{1, []int{0, 0, 0, 0}, true}, // not even the first
		{2, []int{2, 0, 0, 0}, true},
		{5, []int{2, 0, 3, 0}, false},
		{6, []int{3, 0, 3, 0}, false}, // the first has what is good for it before the second
		{7, []int{3, 0, 4, 0}, false},
		{8, []int{3, 0, 4, 0}, true},
		{10, []int{5, 0, 4, 0}, true},
		{12, []int{5, 0, 4, 0}, true}, // one line is none for what takes the rest
		{13, []int{5, 0, 4, 2}, true},
		{99, []int{5, 0, 4, 6}, true},
	} {
		got, blank := Column(blocks, c.h)
		if !slices.Equal(got, c.want) || c.h > 2 && blank != c.blank {
			t.Errorf("%d lines: %v, blank %v, want %v, %v", c.h, got, blank, c.want, c.blank)
		}
		used, n := 0, 0
		for _, h := range got {
			used += h
			n += min(h, 1)
		}
		if blank {
			used += max(0, n-1)
		}
		if used > c.h {
			t.Errorf("%d lines: %d are used", c.h, used)
		}
	}
}
