package fast

import (
	"fmt"
	"testing"
)

// The eight views of a picture are the eight ways to lay it on itself: no two alike, each corner in each corner twice.
func TestViewsAreAllEight(t *testing.T) {
	const size = 3
	pix := make([]uint8, size*size*3)
	for i := range pix {
		pix[i] = uint8(i)
	}
	seen, corner := map[string]int{}, map[uint8]int{}
	for k := range 8 {
		if k > 0 {
			turn(pix, size, k)
		}
		seen[fmt.Sprint(pix)]++
		corner[pix[0]]++
		for i := range size * size { // colours stay together
			if pix[3*i+1] != pix[3*i]+1 || pix[3*i+2] != pix[3*i]+2 {
				t.Fatalf("view %d: pixel %d is %v", k, i, pix[3*i:3*i+3])
			}
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d different views", len(seen))
	}
	if len(corner) != 4 {
		t.Errorf("upper left corners: %v", corner)
	}
	for c, n := range corner {
		if n != 2 {
			t.Errorf("pixel %d is %d times in the upper left corner", c, n)
		}
	}
	turn(pix, size, 8)
	for i := range pix {
		if pix[i] != uint8(i) {
			t.Fatal("the ninth view is not the first")
		}
	}
}
