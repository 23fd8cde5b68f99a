// Package mosaic cuts the objects of a catalogue out of large FITS images as they are asked for: nothing is written, and a survey of any size
// is a source of a few lines of TOML. It knows no pool.
//
// A definition (see Definition) names a catalogue of right ascension and declination, or of pixels, and a pattern of files for each band. The
// files of a band are tiles of the sky in any arrangement, with a WCS each (package wcs: TAN, SIP).
//
//   - An object goes to the tile of the first band that holds most of its cut-out, at a tie to the one with more room around it. That tile is
//     the pixel grid; where the box begins is what astropy's Cutout2D does: ceil(position - size/2) (bench/mosaic.py compares every pixel).
//   - Of each other band the tile is chosen in the same way. Where its pixels are those of the first, moved by a whole number (within 0.01 of a
//     pixel over the whole cut-out), they are copied; otherwise they are resampled, bilinear or by the nearest one, as the definition says:
//     values are interpolated, not summed, so a much finer band loses light between its points. A value of which a neighbour that counts is
//     missing is missing.
//   - What is not there is NaN: beyond the border of a tile, in a band that has no tile there, and wherever the mosaic has NaN. Values are
//     float32, or float64 where a band has more digits. A cut-out without any value is refused with a reason.
//
// Memory is bounded whatever the catalogue: rows are read in blocks of 1024, of which a few are kept; files are opened when they are needed,
// at most 24 at a time; unpacked tiles of compressed images are kept up to 128 MB. What stays in memory is about 300 bytes a tile of the sky.
package mosaic

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/internal/glob"

	"github.com/BurntSushi/toml"
)

// Extension is the end of the name of a definition.
const Extension = ".mosaic.toml"

// Definition is what a file *.mosaic.toml says. Paths are relative to it.
type Definition struct {
	Catalogue string `toml:"catalogue"` // CSV (also with tabs or semicolons), Parquet, or a table of FITS ("cat.fits[LDAC_OBJECTS]", or the first)
	// Bands are patterns of files, one a band: "VIS_*.fits". "tile_*.fits[NIR-Y]" is an HDU by number or name; without it the first image.
	Bands []string `toml:"bands"`
	// Size of a cut-out: pixels of the first band (64), or an angle ("6.4 arcsec").
	Size       any    `toml:"size"`
	SizeColumn string `toml:"size_column,omitempty"` // of the catalogue, instead of size
	SizeUnit   string `toml:"size_unit,omitempty"`   // of that column: "pixels" or "arcsec"

	ID  string `toml:"id,omitempty"` // columns; empty: looked for by the usual names
	RA  string `toml:"ra,omitempty"` // degrees
	Dec string `toml:"dec,omitempty"`
	X   string `toml:"x,omitempty"` // pixels of the first band, which then has one file
	Y   string `toml:"y,omitempty"`
	// Origin is the x and y of the centre of the first pixel: 0 as in Python, 1 as in SExtractor and DS9. Nil: 1 for X_IMAGE and Y_IMAGE, otherwise 0.
	Origin *int `toml:"origin,omitempty"`

	Resample string `toml:"resample,omitempty"` // "bilinear" (default) or "nearest", where bands have other pixel grids
	// ByTile puts the tile's name before the object's in its id, so that a pass over the pool, which goes by ids, reads one mosaic after the other.
	ByTile bool `toml:"by_tile,omitempty"`
}

const (
	maxDefinition = 1 << 20
	maxBands      = 64
	maxTiles      = 200_000
)

// Parse reads a definition. Its errors continue a sentence that begins with the file's name.
func Parse(text []byte) (d Definition, err error) {
	meta, err := toml.NewDecoder(bytes.NewReader(text)).Decode(&d)
	if err != nil {
		var at toml.ParseError
		if errors.As(err, &at) {
			return d, fmt.Errorf("is no TOML: line %d: %.120q", at.Position.Line, at.Message)
		}
		return d, fmt.Errorf("is no definition of mosaics: %.200q", err.Error())
	}
	if odd := meta.Undecoded(); len(odd) > 0 {
		return d, fmt.Errorf("has the key %.60q, which means nothing here", odd[0].String())
	}
	return d, d.check()
}

func (d *Definition) check() error {
	switch {
	case d.Catalogue == "":
		return errors.New(`lacks the catalogue: catalogue = "objects.csv"`)
	case len(d.Bands) == 0:
		return errors.New(`lacks the mosaics: bands = ["VIS_*.fits"]`)
	case len(d.Bands) > maxBands:
		return fmt.Errorf("has %d bands: at most %d are read", len(d.Bands), maxBands)
	case d.Size == nil && d.SizeColumn == "":
		return errors.New(`lacks the size of a cut-out: size = 64 pixels, or size = "6.4 arcsec"`)
	case (d.RA == "") != (d.Dec == ""):
		return errors.New("names one of ra and dec: both are columns of the catalogue")
	case (d.X == "") != (d.Y == ""):
		return errors.New("names one of x and y: both are columns of the catalogue")
	case d.RA != "" && d.X != "":
		return errors.New("names ra and dec, and x and y: one of the two is where an object is")
	case d.Origin != nil && *d.Origin != 0 && *d.Origin != 1:
		return errors.New("has another origin than 0 or 1, the number of the first pixel")
	}
	if d.SizeColumn == "" {
		if _, err := parseSize(d.Size); err != nil {
			return err
		}
	}
	switch d.SizeUnit {
	case "", "pixels", "arcsec":
	default:
		return fmt.Errorf("has the size_unit %.40q: pixels and arcsec are read", d.SizeUnit)
	}
	switch d.Resample {
	case "", "bilinear", "nearest":
	default:
		return fmt.Errorf("has resample = %.40q: bilinear and nearest are known", d.Resample)
	}
	return nil
}

// size is a length of a cut-out's side.
type size struct {
	value  float64
	arcsec bool // otherwise pixels of the first band
}

// parseSize reads 64, "64", "64 pixels", "6.4 arcsec", "0.5 arcmin".
func parseSize(v any) (size, error) {
	odd := func() error {
		return fmt.Errorf(`has size = %.40q: it is pixels of the first band (64) or an angle ("6.4 arcsec")`, fmt.Sprint(v))
	}
	var s size
	switch v := v.(type) {
	case int64:
		s.value = float64(v)
	case int:
		s.value = float64(v)
	case float64:
		s.value = v
	case string:
		number, unit, _ := strings.Cut(strings.TrimSpace(v), " ")
		f, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return s, odd()
		}
		switch s.value = f; strings.TrimSpace(unit) {
		case "", "px", "pixel", "pixels":
		case "arcsec", "\"", "″":
			s.arcsec = true
		case "arcmin", "'", "′":
			s.value, s.arcsec = 60*f, true
		default:
			return s, odd()
		}
	default:
		return s, odd()
	}
	if !(s.value > 0) || math.IsInf(s.value, 0) || !s.arcsec && s.value != math.Trunc(s.value) {
		return s, odd()
	}
	return s, nil
}

// pixels of a side on a grid of scale arcsec a pixel; 0: unknown. False where that is no number of pixels.
func (s size) pixels(scale float64) (int64, bool) {
	n := s.value
	if s.arcsec {
		n = math.RoundToEven(n / scale)
	} else {
		n = math.RoundToEven(n)
	}
	if !(n >= 1 && n <= math.MaxInt32) {
		return 0, false
	}
	return int64(n), true
}

// Mosaic is an open definition. All methods may be called from many goroutines.
type Mosaic struct {
	Definition
	dir    string
	limits raw.Limits
	table  *objects
	size   size
	bands  []*band
	files  *files
	survey func() error

	stamp    int64  // Unix nanoseconds: the newest change of what it is made of
	identity string // tells definitions, catalogues and mosaics apart
}

// band is one entry of Bands.
type band struct {
	pattern, hdu string
	tiles        []*tile
	channels     int64
	kind         raw.Kind // that its values are given in
	sorted       []*tile  // those that are usable and know the sky, by the declination of their centre
	reach        float64  // degrees: of the largest one, from its centre to a corner
	coarsest     *tile    // that with the largest pixels
}

// Open reads a definition, finds its files and opens its catalogue; the headers of the mosaics are read when they are needed. Which is the HDU
// of bands that name none. Errors continue a sentence that begins with the definition's name.
func Open(name, which string, limits raw.Limits) (*Mosaic, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	if info.Size() > maxDefinition {
		return nil, fmt.Errorf("is no definition of mosaics: it has %d bytes", info.Size())
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	text, err := io.ReadAll(io.LimitReader(f, maxDefinition))
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	d, err := Parse(text)
	if err != nil {
		return nil, err
	}
	m, err := d.Open(filepath.Dir(name), which, limits)
	if err == nil {
		m.stamp = max(m.stamp, info.ModTime().UnixNano())
	}
	return m, err
}

// Open is Open for a definition that is not kept in a file yet, but would be in dir.
func (d Definition) Open(dir, which string, limits raw.Limits) (_ *Mosaic, err error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	m := &Mosaic{Definition: d, dir: dir, limits: limits.OrDefault()}
	if m.SizeColumn == "" {
		m.size, _ = parseSize(m.Size)
	}
	var all []*tile
	for i, pattern := range m.Bands {
		b := &band{}
		b.pattern, b.hdu = splitHDU(pattern, which)
		paths, err := m.find(b.pattern)
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			return nil, fmt.Errorf("has no file for band %d, %.200q: is the path right, seen from the definition?", i+1, b.pattern)
		}
		if len(all)+len(paths) > maxTiles {
			return nil, fmt.Errorf("has more than %d files", maxTiles)
		}
		for _, p := range paths {
			t := &tile{path: p, number: len(all), band: i}
			if err := t.stat(); err != nil {
				t.bad = err
			}
			m.stamp = max(m.stamp, t.time)
			b.tiles = append(b.tiles, t)
			all = append(all, t)
		}
		m.bands = append(m.bands, b)
	}
	if m.table, err = m.openCatalogue(splitHDU(m.Catalogue, "")); err != nil {
		return nil, fmt.Errorf("has the catalogue %.200q, which %w", m.Catalogue, err)
	}
	m.stamp = max(m.stamp, m.table.time)
	if !m.table.sky && len(m.bands[0].tiles) > 1 {
		m.table.Close()
		return nil, fmt.Errorf("has %d files in its first band, and objects in pixels: with several mosaics the catalogue must have RA and Dec", len(m.bands[0].tiles))
	}
	var id strings.Builder
	fmt.Fprintf(&id, "%q %q %v %q %q %d %v %q %v", d.Bands, which, d.Size, d.SizeColumn, d.SizeUnit, m.table.origin, m.table.names, d.Resample, m.table.size)
	for _, t := range all {
		fmt.Fprintf(&id, " %q %d", filepath.Base(t.path), t.size)
	}
	m.identity = id.String()
	m.files = newFiles(maxOpen, m.limits)
	m.survey = onceError(m.look)
	return m, nil
}

// splitHDU takes an HDU off the end of a pattern: "a_*.fits[SCI]", as CFITSIO writes it.
func splitHDU(pattern, otherwise string) (files, hdu string) {
	head, rest, ok := strings.Cut(pattern, "[")
	if !ok || !strings.HasSuffix(rest, "]") {
		return pattern, otherwise
	}
	lower := strings.ToLower(head)
	for _, end := range []string{".fits", ".fit", ".fts", ".fz"} {
		if strings.HasSuffix(lower, end) {
			return head, strings.TrimSuffix(rest, "]")
		}
	}
	return pattern, otherwise
}

func (m *Mosaic) at(p string) string {
	p = filepath.FromSlash(p)
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(m.dir, p)
}

// find lists the files of a pattern, sorted. The folders before the first * are taken as they are.
func (m *Mosaic) find(pattern string) ([]string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("has the pattern %.200q, which cannot be read", pattern)
	}
	clean := filepath.ToSlash(filepath.Clean(m.at(pattern)))
	if !strings.ContainsAny(pattern, "*?[") {
		if _, err := os.Stat(filepath.FromSlash(clean)); err != nil {
			return nil, nil
		}
		return []string{filepath.FromSlash(clean)}, nil
	}
	dir, rest := filepath.ToSlash(m.dir), pattern
	if filepath.IsAbs(filepath.FromSlash(pattern)) {
		dir, rest = "/", strings.TrimPrefix(filepath.ToSlash(pattern), "/")
		if v := filepath.VolumeName(filepath.FromSlash(pattern)); v != "" {
			dir, rest = v+"/", strings.TrimPrefix(filepath.ToSlash(pattern[len(v):]), "/")
		}
	}
	for { // up to the first part with a wildcard: io/fs knows no ".."
		head, tail, ok := strings.Cut(rest, "/")
		if !ok || strings.ContainsAny(head, "*?[") {
			break
		}
		dir, rest = path.Join(dir, head), tail
	}
	return glob.In(filepath.FromSlash(dir), rest), nil
}

// Identity tells two mosaics apart that give other pixels: what the definition says, and the sizes of the files that it names.
func (m *Mosaic) Identity() string { return m.identity }

// Time of the newest change of what it is made of, Unix nanoseconds.
func (m *Mosaic) Time() int64 { return m.stamp }

// Same says what became of the catalogue since it was opened, or nil.
func (m *Mosaic) Same() error { return m.table.same() }

// Close closes all files.
func (m *Mosaic) Close() error { return errors.Join(m.table.Close(), m.files.close()) }

// cause is an error of the file system without the path.
func cause(err error) error {
	var p *os.PathError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errors.New("it does not exist")
	case errors.As(err, &p):
		return p.Err
	}
	return err
}

// ErrFile is wrapped by errors of a file that is gone or another one: no object is to blame.
var ErrFile = errors.New("a file of the mosaics cannot be used")

// check that a FITS file is not packed: parts of it cannot be read then.
func refusePacked(r io.ReaderAt) error {
	var magic [2]byte
	if _, err := r.ReadAt(magic[:], 0); err == nil && magic == [2]byte{0x1f, 0x8b} {
		return errors.New("is packed by gzip, so that no part of it can be read: unpack it, or compress it by tiles with fpack")
	}
	return nil
}
