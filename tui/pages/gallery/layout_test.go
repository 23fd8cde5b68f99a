package gallery

import (
	"fmt"
	"testing"
)

func TestArrange(t *testing.T) {
	for _, c := range []struct {
		w, h, level int
		cols, rows  int
		panel       bool
	}{
		{80, 21, -1, 4, 2, false},
		{80, 19, -1, 5, 2, false},
		{60, 13, -1, 5, 1, false},
		{250, 67, -1, 8, 5, true},
		{160, 47, -1, 4, 3, true},
		{80, 21, 99, 2, 1, false},
		{80, 21, 0, 6, 3, false},
	} {
		t.Run(fmt.Sprintf("%dx%d %d", c.w, c.h, c.level), func(t *testing.T) {
			l := arrange(c.w, c.h, c.level, 2)
			if l.cols != c.cols || l.rows != c.rows || l.panel > 0 != c.panel {
				t.Errorf("%+v", l)
			}
		})
	}
}

// Whatever the size, the grid fits the page.
func TestArrangeFits(t *testing.T) {
	for w := 60; w <= 400; w += 7 {
		for h := 12; h <= 120; h += 5 {
			for level := -1; level < len(heights); level++ {
				for _, ratio := range []float64{1.5, 2, 2.3} {
					l := arrange(w, h, level, ratio)
					need := l.left + l.cols*(l.pw+2) + (l.cols-1)*l.gap
					if need > l.width || l.rows*(l.ph+2) > h || l.width+l.panel > w || l.cols*l.rows > most {
						t.Fatalf("%d×%d, level %d, ratio %v: %+v does not fit", w, h, level, ratio, l)
					}
				}
			}
		}
	}
}
