package single

import (
	"image"
	"testing"

	"anomalymatch/imgview"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/thumbs"
)

// In half-blocks a cell is 1 × 2 pixels: the box of 40 × 20 cells has 40 × 40 of them.
func TestViewOfOddImages(t *testing.T) {
	for _, c := range []struct {
		name       string
		w, h, zoom int
		has        image.Point // pixels that are here; zero: all
		part       image.Rectangle
		cols, rows int // 0: shown as it fits
	}{
		{"1 × 1", 1, 1, 1, image.Point{}, image.Rect(0, 0, 1, 1), 1, 1},
		{"1 × 1, four times", 1, 1, 3, image.Point{}, image.Rect(0, 0, 1, 1), 4, 2},
		{"20,000 × 3", 20_000, 3, 1, image.Point{}, image.Rect(9_980, 0, 10_020, 3), 40, 2},
		{"3 × 20,000", 3, 20_000, 2, image.Point{}, image.Rect(0, 9_990, 3, 10_010), 6, 20},
		{"as it fits", 100, 100, 0, image.Point{}, image.Rectangle{}, 0, 0},
		{"not all pixels are here", 100, 100, 1, image.Pt(50, 50), image.Rectangle{}, 0, 0},
		{"more pixels than a picture can have", 9_000, 9_000, 1, image.Pt(4_091, 4_091), image.Rect(2_025, 2_025, 2_065, 2_065), 40, 20},
	} {
		env := &pages.Env{Screen: imgview.New(imgview.Options{Force: "halfblocks"})}
		p := &Page{env: env, cols: 40, rows: 20, zoom: c.zoom}
		if c.has == (image.Point{}) {
			c.has = image.Pt(c.w, c.h)
		}
		pic := thumbs.Picture{ID: "a", SourceWidth: c.w, SourceHeight: c.h, Img: image.NewGray(image.Rectangle{Max: c.has})}
		v, zoomed := p.view(pic)
		if zoomed != (c.cols > 0) || v.part != c.part || v.cols != c.cols || v.rows != c.rows {
			t.Errorf("%s: %v in %d × %d cells, want %v in %d × %d", c.name, v.part, v.cols, v.rows, c.part, c.cols, c.rows)
		}
	}
}
