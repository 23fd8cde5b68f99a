package mosaic

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"path"
	"path/filepath"
	"strings"

	"anomalymatch/engine/dataset/fits"
	"anomalymatch/engine/dataset/raw"
)

// Object is one row of the catalogue.
type Object struct {
	ID    string // as the catalogue has it: anything
	Row   int64
	Bytes int64 // of its cut-out
	Edge  bool  // a part of the first band lies beyond the border of its mosaic
}

// Cutout is an object's image.
type Cutout struct {
	Image raw.Image // planar, the bands one after the other
	Note  string    // what is not whole about it, for people; empty: nothing
}

// BadTiles are the files that cannot be used, with the reason, in their order.
func (m *Mosaic) BadTiles() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if m.survey() != nil {
			return
		}
		for _, b := range m.bands {
			for _, t := range b.tiles {
				if t.bad != nil && !yield(filepath.Base(t.path), t.bad) {
					return
				}
			}
		}
	}
}

// Objects lists the catalogue in its order. An error beside an object is about that one; one beside an empty ID ends the list.
func (m *Mosaic) Objects(ctx context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		blocks, err := int64(0), m.survey()
		if err == nil {
			if blocks, err = m.table.blocks(ctx); err != nil {
				err = fmt.Errorf("has a catalogue that %w", err)
			}
		}
		if err != nil {
			yield(Object{}, err)
			return
		}
		columns := m.table.withID()
		for k := range blocks {
			first, v, err := m.table.block(ctx, k, columns)
			if err != nil {
				yield(Object{}, fmt.Errorf("has a catalogue that %w", err))
				return
			}
			for i, p := range m.table.positionsOf(first, v, m.size).p {
				o, odd := m.object(first+int64(i), p, v[len(v)-1], i)
				if !yield(o, odd) {
					return
				}
			}
		}
	}
}

// object is a row of the catalogue; last are the values of the last column of its block, that of ids where there is one.
func (m *Mosaic) object(row int64, p position, last values, i int) (Object, error) {
	o := Object{Row: row}
	places, odd := m.places(p)
	if odd == nil {
		b := places[0].box
		o.Edge = b.on(places[0].t) != b
		for _, band := range m.bands {
			o.Bytes += b.pixels() * band.channels * int64(band.kind.Size())
		}
	}
	if m.table.id >= 0 {
		o.ID = last.text(i)
	} else {
		o.ID = m.name(p)
	}
	if o.ID == "" {
		o.ID = fmt.Sprintf("row %d", o.Row+1)
		if odd == nil {
			odd = errors.New("has no id in the catalogue")
		}
	}
	if m.ByTile && odd == nil {
		o.ID = stem(places[0].t.path) + "/" + o.ID
	}
	return o, odd
}

// Name is the id of a row as Objects gives it.
func (m *Mosaic) Name(ctx context.Context, row int64) (string, error) {
	if err := m.survey(); err != nil {
		return "", err
	}
	if _, err := m.table.blocks(ctx); err != nil {
		return "", err
	}
	k := m.table.find(row)
	if k < 0 {
		return "", errors.New("is not in the catalogue any more")
	}
	first, v, err := m.table.block(ctx, k, m.table.withID())
	if err != nil {
		return "", err
	}
	i := int(row - first)
	o, _ := m.object(row, m.table.positionsOf(first, v, m.size).p[i], v[len(v)-1], i)
	return o.ID, nil
}

// stem is the name of a file without its ends.
func stem(p string) string {
	name := filepath.Base(p)
	for {
		switch ext := strings.ToLower(path.Ext(name)); ext {
		case ".fits", ".fit", ".fts", ".fz":
			name = name[:len(name)-len(ext)]
		default:
			return name
		}
	}
}

// name is an object's name by its position: J100012.345+021530.12 to 0.01 arcsec, cut off as the IAU asks; y00012.3_x00456.7 in pixels.
func (m *Mosaic) name(p position) string {
	if math.IsNaN(p.a+p.b) || math.IsInf(p.a+p.b, 0) {
		return ""
	}
	if !m.table.sky {
		return fmt.Sprintf("y%09.2f_x%09.2f", p.b+float64(m.table.origin), p.a+float64(m.table.origin))
	}
	const tiny = 1e-6 // of the last digit: 15.0000000001 and 14.9999999999 are one
	ra := math.Mod(math.Mod(p.a, 360)+360, 360)
	t := int64(ra/15*3600*1000+tiny) % (24 * 3600 * 1000)
	d := int64(math.Abs(p.b)*3600*100 + tiny)
	sign := '+'
	if p.b < 0 {
		sign = '-'
	}
	return fmt.Sprintf("J%02d%02d%02d.%03d%c%02d%02d%02d.%02d", t/3600000, t/60000%60, t/1000%60, t%1000, sign, d/360000, d/6000%60, d/100%60, d%100)
}

// places are where an object lies in each band: the first one is the grid. A band that has nothing there has no tile.
func (m *Mosaic) places(p position) ([]place, error) {
	if !(math.Abs(p.a) < 1e9 && math.Abs(p.b) < 1e9) || m.table.sky && math.Abs(p.b) > 90 {
		return nil, fmt.Errorf("has no position in the catalogue: %s", m.said(p))
	}
	if !(p.size.value > 0 && p.size.value < 1e12) {
		return nil, fmt.Errorf("has no size in the catalogue: %g", p.size.value)
	}
	first := m.bands[0]
	out := make([]place, len(m.bands))
	if m.table.sky {
		out[0] = first.best(p.a, p.b, p.size)
	} else {
		t := first.tiles[0]
		if p.size.arcsec && t.wcs == nil {
			return nil, fmt.Errorf("has a size in arcsec, and the mosaic %w", t.noCoords)
		}
		if n, ok := p.size.pixels(t.scale); ok {
			if b, ok := around(p.a, p.b, n, n); ok && b.on(t).pixels() > 0 {
				out[0] = place{t, b}
			}
		}
	}
	t, b := out[0].t, out[0].box
	if t == nil {
		return nil, fmt.Errorf("lies outside the mosaics of the first band: %s", m.said(p))
	}
	channels := int64(0)
	for _, band := range m.bands {
		channels += band.channels
	}
	if err := raw.CheckSize(b.w, b.h, channels, m.limits.MaxPixels); err != nil {
		return nil, err
	}
	// Other bands are looked for at the middle of the box and in its size, so that moved by whole pixels they are the same box.
	for i, band := range m.bands[1:] {
		if t.wcs == nil || len(band.sorted) == 0 {
			out[i+1] = place{band.tiles[0], b}
			continue
		}
		ra, dec := t.wcs.Sky(float64(b.x)+float64(b.w-1)/2, float64(b.y)+float64(b.h-1)/2)
		out[i+1] = band.best(ra, dec, size{float64(b.w) * t.scale, true})
	}
	return out, nil
}

// said is a position for people.
func (m *Mosaic) said(p position) string {
	if m.table.sky {
		return fmt.Sprintf("RA %.6g, Dec %.6g", p.a, p.b)
	}
	return fmt.Sprintf("x %.6g, y %.6g", p.a+float64(m.table.origin), p.b+float64(m.table.origin))
}

// Cut reads the image of a row. Errors continue a sentence that begins with the object's name; ErrFile is among them where a file is gone.
func (m *Mosaic) Cut(ctx context.Context, row int64) (Cutout, error) {
	if err := m.survey(); err != nil {
		return Cutout{}, fmt.Errorf("%w: it %w", ErrFile, err)
	}
	p, err := m.table.position(ctx, row, m.size)
	if err != nil {
		return Cutout{}, err
	}
	places, err := m.places(p)
	if err != nil {
		return Cutout{}, err
	}
	grid := places[0]
	kind, channels := raw.F32, int64(0)
	for _, b := range m.bands {
		if channels += b.channels; b.kind == raw.F64 {
			kind = raw.F64
		}
	}
	w, h := int(grid.box.w), int(grid.box.h)
	out := Cutout{Image: raw.New(kind, w, h, int(channels), true)}
	fillNaN(out.Image.Data)
	at := 0 // channel
	var lacking, cropped []string
	for i, b := range m.bands {
		if err := ctx.Err(); err != nil {
			return Cutout{}, err
		}
		if places[i].t == nil {
			lacking = append(lacking, fmt.Sprint(i+1))
		} else if whole, err := m.band(out.Image, at, grid, places[i]); err == nil {
			if !whole && i > 0 {
				cropped = append(cropped, fmt.Sprint(i+1))
			}
		} else {
			if errors.Is(err, ErrFile) {
				return Cutout{}, err
			}
			return Cutout{}, fmt.Errorf("cannot be cut out of %.100q, which %w", filepath.Base(places[i].t.path), err)
		}
		at += int(b.channels)
	}
	if allNaN(out.Image.Data) {
		return Cutout{}, errors.New("has no measured value: its place in the mosaics is empty")
	}
	var notes []string
	if on := grid.box.on(grid.t); on != grid.box {
		notes = append(notes, fmt.Sprintf("cut off by the border, %.0f%% is missing", max(1, 100-100*float64(on.pixels())/float64(grid.box.pixels()))))
	}
	if cropped != nil {
		notes = append(notes, "cut off in band "+strings.Join(cropped, ", "))
	}
	if lacking != nil {
		notes = append(notes, "nothing in band "+strings.Join(lacking, ", "))
	}
	out.Note = strings.Join(notes, "; ")
	return out, nil
}

// band copies or resamples one band into the channels from at on, and says whether all of it lies on the tile.
func (m *Mosaic) band(out raw.Image, at int, grid, p place) (whole bool, err error) {
	if p.t == grid.t {
		return m.copy(out, at, p.t, grid.box)
	}
	if p.t.wcs == nil || grid.t.wcs == nil { // of the same size: the same pixels
		return m.copy(out, at, p.t, grid.box)
	}
	to := mapping(grid, p.t)
	if to == nil {
		return false, nil // behind the sky
	}
	if dx, dy, ok := to.whole(); ok {
		return m.copy(out, at, p.t, box{grid.box.x + dx, grid.box.y + dy, grid.box.w, grid.box.h})
	}
	return m.resample(out, at, p.t, to)
}

// copy copies what of a box lies on a tile.
func (m *Mosaic) copy(out raw.Image, at int, t *tile, b box) (whole bool, err error) {
	on := b.on(t)
	if on.pixels() == 0 {
		return false, nil
	}
	return on == b, m.files.use(t, func(hdu *fits.HDU) error {
		part, err := hdu.Cut(on.x, on.y, on.w, on.h)
		if err != nil {
			return err
		}
		row := make([]float64, part.W)
		for c := range part.C {
			for y := range part.H {
				part.Row(row, c, y)
				put(out, at+c, int(on.x-b.x), y+int(on.y-b.y), row)
			}
		}
		return nil
	})
}

// put writes values into a planar image of floats.
func put(out raw.Image, c, x, y int, row []float64) {
	i := (c*out.H+y)*out.W + x
	switch d := out.Data.(type) {
	case []float32:
		for k, v := range row {
			d[i+k] = float32(v)
		}
	case []float64:
		copy(d[i:], row)
	}
}

// step is how many pixels lie between two points at which the way between two grids is worked out; it is linear in between, which is
// off by less than 1e-4 pixels for the distortions that telescopes have (TestMapping).
const step = 16

// grids says where the pixels of a box are on another tile.
type grids struct {
	w, h   int64 // of the box
	x0, y0 float64
	nx, ny int64
	x, y   []float64 // [ny × nx], at the pixels (step·i, step·j) of the box
}

// mapping is nil where a part of the box is not on the half of the sky that the tile can show.
func mapping(from place, to *tile) *grids {
	b := from.box
	g := &grids{w: b.w, h: b.h, x0: float64(b.x), y0: float64(b.y), nx: (b.w-1)/step + 2, ny: (b.h-1)/step + 2}
	for j := range g.ny {
		for i := range g.nx {
			ra, dec := from.t.wcs.Sky(float64(b.x+i*step), float64(b.y+j*step))
			x, y, ok := to.wcs.Pixel(ra, dec)
			if !ok || math.Abs(x) > math.MaxInt32 || math.Abs(y) > math.MaxInt32 {
				return nil
			}
			g.x, g.y = append(g.x, x), append(g.y, y)
		}
	}
	return g
}

// whole says whether the grids differ by whole numbers of pixels, and by which.
func (g *grids) whole() (dx, dy int64, ok bool) {
	const near = 0.01
	fx, fy := math.Round(g.x[0]-g.x0), math.Round(g.y[0]-g.y0)
	for k := range g.x {
		i, j := int64(k)%g.nx, int64(k)/g.nx
		if math.Abs(g.x[k]-g.x0-float64(i*step)-fx) > near || math.Abs(g.y[k]-g.y0-float64(j*step)-fy) > near {
			return 0, 0, false
		}
	}
	return int64(fx), int64(fy), true
}

// at is where pixel (i, j) of the box is.
func (g *grids) at(i, j int) (x, y float64) {
	k := int64(j/step)*g.nx + int64(i/step)
	u, v := float64(i%step)/step, float64(j%step)/step
	mix := func(a []float64) float64 {
		return (1-v)*((1-u)*a[k]+u*a[k+1]) + v*((1-u)*a[k+g.nx]+u*a[k+g.nx+1])
	}
	return mix(g.x), mix(g.y)
}

// resample fills channels by the values around each pixel.
func (m *Mosaic) resample(out raw.Image, at int, t *tile, g *grids) (whole bool, err error) {
	x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for k := range g.x {
		x0, x1, y0, y1 = min(x0, g.x[k]), max(x1, g.x[k]), min(y0, g.y[k]), max(y1, g.y[k])
	}
	whole = x0 >= -0.5 && y0 >= -0.5 && x1 <= float64(t.w)-0.5 && y1 <= float64(t.h)-0.5
	need := box{int64(math.Floor(x0)) - 1, int64(math.Floor(y0)) - 1, int64(x1-x0) + 4, int64(y1-y0) + 4}.on(t)
	if need.pixels() == 0 {
		return false, nil
	}
	nearest := m.Resample == "nearest"
	return whole, m.files.use(t, func(hdu *fits.HDU) error {
		part, err := hdu.Cut(need.x, need.y, need.w, need.h)
		if err != nil {
			return err
		}
		plane := make([]float64, part.W*part.H)
		row := make([]float64, out.W)
		for c := range part.C {
			for y := range part.H {
				part.Row(plane[y*part.W:], c, y)
			}
			value := func(x, y float64) float64 { // of a whole pixel of part
				if x < 0 || y < 0 || x >= float64(part.W) || y >= float64(part.H) {
					return math.NaN()
				}
				return plane[int(y)*part.W+int(x)]
			}
			for j := range out.H {
				for i := range row {
					x, y := g.at(i, j)
					x, y = x-float64(need.x), y-float64(need.y)
					if nearest {
						row[i] = value(math.Floor(x+0.5), math.Floor(y+0.5))
						continue
					}
					fx, fy := math.Floor(x), math.Floor(y)
					u, v := x-fx, y-fy
					sum := 0.0
					for _, n := range [4]struct{ w, x, y float64 }{{(1 - u) * (1 - v), fx, fy}, {u * (1 - v), fx + 1, fy}, {(1 - u) * v, fx, fy + 1}, {u * v, fx + 1, fy + 1}} {
						if n.w > 0 {
							sum += n.w * value(n.x, n.y)
						}
					}
					row[i] = sum
				}
				put(out, at+c, 0, j, row)
			}
		}
		return nil
	})
}

func fillNaN(data any) {
	switch d := data.(type) {
	case []float32:
		for i := range d {
			d[i] = float32(math.NaN())
		}
	case []float64:
		for i := range d {
			d[i] = math.NaN()
		}
	}
}

func allNaN(data any) bool {
	switch d := data.(type) {
	case []float32:
		for _, v := range d {
			if v == v {
				return false
			}
		}
	case []float64:
		for _, v := range d {
			if v == v {
				return false
			}
		}
	}
	return true
}
