package score

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Best is an image near the top of a ranking.
type Best struct {
	Image int     `json:"image"` // its number in the pool
	Score float32 `json:"score"`
}

// Compare orders as Order does: higher scores first, ties by number.
func (b Best) Compare(c Best) int {
	return cmp.Or(cmp.Compare(c.Score, b.Score), cmp.Compare(b.Image, c.Image))
}

// Top returns the k best images of a score file, best first, fewer where fewer have a score: the beginning of Order, for files that
// need not fit into memory. It reads the file three times, counting first, and holds k rows.
func Top(path string, k int) (Header, []Best, error) {
	pass := func(each func(i int, s float32)) (Header, error) {
		f, r, h, err := open(path)
		if err != nil {
			return h, err
		}
		defer f.Close()
		return h, rows(r, h, func(i int, s float32) {
			if s == s {
				each(i, s)
			}
		})
	}
	fail := func(err error) (Header, []Best, error) {
		return Header{}, nil, fmt.Errorf("the scores %s cannot be read: %w", path, err)
	}
	// The score of the last row that is taken, found by its upper and then its lower 16 bits.
	var edge uint32
	left := k // rows still to find at or below edge
	for _, shift := range []int{16, 0} {
		counts := make([]int, 1<<16)
		h, err := pass(func(_ int, s float32) {
			if key := sortKey(s); shift == 16 || key>>16 == edge>>16 {
				counts[key>>shift&0xffff]++
			}
		})
		if err != nil {
			return fail(err)
		}
		bin := len(counts) - 1
		for ; bin > 0 && left > counts[bin]; bin-- {
			left -= counts[bin]
		}
		edge |= uint32(bin) << shift
		k = min(k, h.Rows)
	}
	best := make([]Best, 0, max(k, 0))
	h, err := pass(func(i int, s float32) {
		key := sortKey(s)
		if key == edge && left > 0 {
			left--
		} else if key <= edge {
			return
		}
		best = append(best, Best{i, s})
	})
	if err != nil {
		return fail(err)
	}
	slices.SortFunc(best, Best.Compare)
	return h, best, nil
}

// sortKey is a number that orders as the scores do.
func sortKey(s float32) uint32 {
	b := math.Float32bits(s + 0) // one zero only
	if b>>31 == 1 {
		return ^b
	}
	return b | 1<<31
}
