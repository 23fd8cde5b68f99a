package mosaic

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"anomalymatch/engine/dataset/fits"
	"anomalymatch/engine/dataset/raw"
	"anomalymatch/engine/dataset/wcs"
	"anomalymatch/internal/parallel"
)

const (
	maxOpen   = 24        // files at once
	tileCache = 128 << 20 // bytes of unpacked tiles
)

// tile is one file of a band, as far as it stays in memory.
type tile struct {
	path       string
	number     int // among all
	band       int
	size, time int64
	bad        error // why it cannot be used; continues a sentence that begins with its name

	hdu      int
	w, h, c  int64
	kind     raw.Kind
	wcs      *wcs.WCS // nil: it knows no sky
	scale    float64  // arcsec a pixel
	dec      float64  // degrees, of the centre
	centre   [3]float64
	radius   float64 // degrees, from the centre to the farthest corner
	noCoords error   // why wcs is nil
}

func (t *tile) stat() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", cause(err))
	}
	if !info.Mode().IsRegular() {
		return errors.New("is no regular file")
	}
	t.size, t.time = info.Size(), info.ModTime().UnixNano()
	return nil
}

// look reads the headers of all tiles.
func (m *Mosaic) look() error {
	var all []*tile
	for _, b := range m.bands {
		all = append(all, b.tiles...)
	}
	parallel.Parts(len(all), len(all), func(_, from, to int) {
		for _, t := range all[from:to] {
			if t.bad == nil {
				t.bad = m.describe(t, m.bands[t.band].hdu)
			}
		}
	})
	first := m.bands[0]
	for i, b := range m.bands {
		for _, t := range b.tiles { // the first one that can be used says how many channels the band has
			switch {
			case t.bad != nil:
			case b.channels == 0:
				b.channels = t.c
			case t.c != b.channels:
				t.bad = fmt.Errorf("has %d channels, others of its band have %d", t.c, b.channels)
			}
			if t.bad == nil && m.table.sky && t.wcs == nil {
				t.bad = t.noCoords
			}
			if t.bad == nil {
				if k := kindOf(t.kind); b.kind != raw.F64 {
					b.kind = k
				}
				if t.wcs != nil {
					b.sorted = append(b.sorted, t)
					b.reach = max(b.reach, t.radius)
					if b.coarsest == nil || t.scale > b.coarsest.scale {
						b.coarsest = t
					}
				}
			}
		}
		slices.SortStableFunc(b.sorted, func(a, b *tile) int { return cmp.Compare(a.dec, b.dec) })
		usable := slices.IndexFunc(b.tiles, func(t *tile) bool { return t.bad == nil })
		if usable < 0 {
			return fmt.Errorf("has no file that can be used in band %d; %q %w", i+1, filepath.Base(b.tiles[0].path), b.tiles[0].bad)
		}
		if m.table.sky || i == 0 {
			continue
		}
		if t, f := b.tiles[usable], first.tiles[0]; t.wcs == nil || f.wcs == nil {
			if len(b.tiles) > 1 || t.w != f.w || t.h != f.h {
				return fmt.Errorf("has objects in pixels, and band %d is not of the same size as the first: it needs a WCS in all of its files (%q has none that is read)",
					i+1, filepath.Base(t.path))
			}
		}
	}
	return nil
}

// kindOf is the type that holds values of k with NaN.
func kindOf(k raw.Kind) raw.Kind {
	if k.Size() > 2 && k != raw.F32 {
		return raw.F64
	}
	return raw.F32
}

// describe reads the header of one tile.
func (m *Mosaic) describe(t *tile, hdu string) error {
	file, err := os.Open(t.path)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", cause(err))
	}
	defer file.Close()
	if err := refusePacked(file); err != nil {
		return err
	}
	f, err := fits.Open(file, t.size, m.limits)
	if err != nil {
		return err
	}
	h, err := f.Find(hdu)
	if err != nil {
		return err
	}
	if t.w, t.h, t.c, err = h.Size(); err != nil {
		return err
	}
	if t.w > math.MaxInt32 || t.h > math.MaxInt32 {
		return fmt.Errorf("is %d×%d pixels: too many", t.w, t.h)
	}
	one, err := h.Cut(0, 0, 1, 1) // its type, and whether it can be read at all
	if err != nil {
		return err
	}
	t.hdu, t.kind = h.Number, one.Kind()
	if t.wcs, t.noCoords = wcs.New(h.Header); t.noCoords != nil {
		t.wcs = nil
		return nil
	}
	t.scale = t.wcs.Scale() * 3600
	right, top := float64(t.w-1)/2, float64(t.h-1)/2
	ra, dec := t.wcs.Sky(right, top)
	t.dec, t.centre = dec, vector(ra, dec)
	for _, c := range [4][2]float64{{-1, -1}, {2*right + 1, -1}, {-1, 2*top + 1}, {2*right + 1, 2*top + 1}} {
		t.radius = max(t.radius, apart(t.centre, vector(t.wcs.Sky(c[0], c[1]))))
	}
	if math.IsNaN(t.radius) || math.IsNaN(t.dec) {
		t.wcs, t.noCoords = nil, errors.New("has sky coordinates that are no numbers")
	}
	return nil
}

// vector of a position in degrees.
func vector(ra, dec float64) [3]float64 {
	sinA, cosA := math.Sincos(ra * math.Pi / 180)
	sinD, cosD := math.Sincos(dec * math.Pi / 180)
	return [3]float64{cosA * cosD, sinA * cosD, sinD}
}

// apart is the angle between two in degrees, exact for small ones too.
func apart(a, b [3]float64) float64 {
	x, y, z := a[1]*b[2]-a[2]*b[1], a[2]*b[0]-a[0]*b[2], a[0]*b[1]-a[1]*b[0]
	return math.Atan2(math.Sqrt(x*x+y*y+z*z), a[0]*b[0]+a[1]*b[1]+a[2]*b[2]) * 180 / math.Pi
}

// box is where a cut-out of w × h lies on a tile, in pixels from 0; it may leave it.
type box struct{ x, y, w, h int64 }

// around is the box of a size around a position: ceil(position - size/2), as astropy's Cutout2D. False where it is no place of an image.
func around(x, y float64, w, h int64) (box, bool) {
	bx, by := math.Ceil(x-float64(w)/2), math.Ceil(y-float64(h)/2)
	if !(math.Abs(bx) < math.MaxInt32 && math.Abs(by) < math.MaxInt32) {
		return box{}, false
	}
	return box{int64(bx), int64(by), w, h}, true
}

// on is what of b lies on a tile.
func (b box) on(t *tile) box {
	x0, y0 := max(b.x, 0), max(b.y, 0)
	x1, y1 := min(b.x+b.w, t.w), min(b.y+b.h, t.h)
	return box{x0, y0, max(0, x1-x0), max(0, y1-y0)}
}

func (b box) pixels() int64 { return b.w * b.h }

// place is where an object lies on one tile.
type place struct {
	t   *tile
	box box
}

// best finds the tile that holds most of a cut-out at a position of the sky; nil where none holds any of it. Centre counts at a tie.
func (b *band) best(ra, dec float64, s size) place {
	var out place
	here := vector(ra, dec)
	half := func(t *tile) float64 { // degrees, from the object to a corner of its box
		side := s.value
		if !s.arcsec {
			side *= t.scale
		}
		return side/3600*math.Sqrt2/2 + 2*t.scale/3600
	}
	most, room := 0.0, 0.0
	look := func(t *tile) {
		if apart(here, t.centre) > t.radius+half(t) {
			return
		}
		x, y, ok := t.wcs.Pixel(ra, dec)
		if !ok {
			return
		}
		n, ok := s.pixels(t.scale)
		if !ok {
			return
		}
		at, ok := around(x, y, n, n)
		if !ok {
			return
		}
		share := float64(at.on(t).pixels()) / float64(at.pixels())
		inside := min(x, y, float64(t.w-1)-x, float64(t.h-1)-y)
		const near = 1e-3 // of a pixel: nothing between two tiles, of which the first by name is taken
		if share > most || share > 0 && share == most && (inside > room+near || inside > room-near && t.number < out.t.number) {
			most, room, out = share, inside, place{t, at}
		}
	}
	if len(b.sorted) == 0 {
		return out
	}
	margin := b.reach + half(b.coarsest)
	from := sort.Search(len(b.sorted), func(i int) bool { return b.sorted[i].dec >= dec-margin })
	for _, t := range b.sorted[from:] {
		if t.dec > dec+margin {
			break
		}
		look(t)
	}
	return out
}

// files are the open ones, at most a number of them at a time.
type files struct {
	limits raw.Limits
	most   int
	tiles  *fits.TileCache

	mu     sync.Mutex
	open   map[int]*list.Element // by the tile's number
	recent *list.List            // of *opened, the last used first
	closed bool
}

type opened struct {
	number int
	once   func() error
	file   *os.File
	hdu    *fits.HDU
	users  int
	old    bool // closed by the last user
}

func newFiles(most int, l raw.Limits) *files {
	return &files{limits: l, most: most, tiles: fits.NewTileCache(tileCache), open: map[int]*list.Element{}, recent: list.New()}
}

// use opens a tile's image as long as do lasts.
func (f *files) use(t *tile, do func(*fits.HDU) error) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return fmt.Errorf("%w: it is closed", ErrFile)
	}
	var o *opened
	if e, ok := f.open[t.number]; ok {
		o = e.Value.(*opened)
		f.recent.MoveToFront(e)
	} else {
		o = &opened{number: t.number}
		o.once = onceError(func() error { return f.load(o, t) })
		f.open[t.number] = f.recent.PushFront(o)
		for e := f.recent.Back(); e != nil && f.recent.Len() > f.most; {
			before := e.Prev()
			if e.Value.(*opened).users == 0 && e.Value != o {
				f.drop(e)
			}
			e = before
		}
	}
	o.users++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if o.users--; o.users == 0 && o.old {
			o.close()
		}
	}()
	if err := o.once(); err != nil {
		f.mu.Lock()
		if e, ok := f.open[t.number]; ok && e.Value == o { // the next one tries again
			f.drop(e)
		}
		f.mu.Unlock()
		return err
	}
	return do(o.hdu)
}

// drop forgets an open file, and closes it unless somebody reads it.
func (f *files) drop(e *list.Element) {
	o := f.recent.Remove(e).(*opened)
	delete(f.open, o.number)
	if o.old = true; o.users == 0 {
		o.close()
	}
}

func (o *opened) close() {
	if o.file != nil {
		o.file.Close()
		o.file = nil
	}
}

func (f *files) load(o *opened, t *tile) error {
	name := filepath.Base(t.path)
	file, err := os.Open(t.path)
	if err != nil {
		return fmt.Errorf("%w: the mosaic %q cannot be read: %w", ErrFile, name, cause(err))
	}
	info, err := file.Stat()
	if err == nil && (info.Size() != t.size || info.ModTime().UnixNano() != t.time) {
		err = errors.New("it changed while it was in use: stop the engine and start it again")
	}
	if err != nil {
		file.Close()
		return fmt.Errorf("%w: the mosaic %q: %w", ErrFile, name, cause(err))
	}
	in, err := fits.Open(file, t.size, f.limits)
	if err == nil && t.hdu >= len(in.HDUs()) {
		err = errors.New("has fewer HDUs than before")
	}
	if err != nil {
		file.Close()
		return fmt.Errorf("%w: the mosaic %q %w", ErrFile, name, err)
	}
	in.UseCache(f.tiles, int64(t.number))
	o.file, o.hdu = file, in.HDUs()[t.hdu]
	return nil
}

func (f *files) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for e := f.recent.Front(); e != nil; e = f.recent.Front() {
		f.drop(e)
	}
	return nil
}

// onceError is sync.OnceValue for functions that may fail; a panic is not kept.
func onceError(do func() error) func() error { return sync.OnceValue(do) }
