package dataset

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"anomalymatch/engine/dataset/raw"
	"anomalymatch/engine/dataset/stretch"
)

// Reading is how the files of a source are read, and what the network sees of their values: of the same survey always the same. It is text
// and numbers, as project.toml has it; the zero value takes what there is. A change makes new pixels, so embeddings and scores begin anew.
type Reading struct {
	// Select is which arrays of a file are the image: HDUs of FITS by number or EXTNAME, apart by commas, whose bands follow one another;
	// one array of HDF5, npz or Zarr by its name. Empty: the first image of FITS, the array that is called as images are.
	Select string `json:"select,omitempty" toml:"select,omitempty"`
	// Files are the ends of the names of files that are bands of one object, apart by commas: "_VIS.fits, _Y.fits". The image has the id of the first.
	Files string `json:"files,omitempty" toml:"files,omitempty"`
	// Channels are what the network sees, 1 to MaxChannels of them, the same number in all sources of a pool: how many of the first bands, "5", or
	// for each channel a weight of every band, "1 0 0; 0 1 0; 0 0.5 0.5". Empty: three, the first three bands, or one for all.
	Channels string `json:"channels,omitempty" toml:"channels,omitempty"`
	// Stretch is the curve from values to grey levels, by its name in package stretch. Empty: 8-bit colours as they are, others by percentile.
	Stretch string `json:"stretch,omitempty" toml:"stretch,omitempty"`
	// Low and High are the values that become black and white; both 0: each image by itself, as its stretch chooses.
	Low  float64 `json:"low,omitempty" toml:"low,omitzero"`
	High float64 `json:"high,omitempty" toml:"high,omitzero"`
}

// Check says what is wrong with it, or nil.
func (r Reading) Check() error {
	_, err := r.preparation()
	return err
}

// SameChannels says which sources cannot be in one pool, because they give the network other numbers of channels, or nil.
func SameChannels(sources []NamedSource) error {
	for _, s := range sources {
		if err := s.Check(); err != nil {
			return fmt.Errorf("source %q: %w", s.Name, err)
		}
		if n, first := understood(s.Reading).channels, understood(sources[0].Reading).channels; n != first {
			return fmt.Errorf("the source %q gives the network %s and %q %d: set channels so that all sources of a project give as many", s.Name, count(n, "channel", "channels"), sources[0].Name, first)
		}
	}
	return nil
}

// bandEnds are the parts of Files.
func (r Reading) bandEnds() []string { return parts(r.Files) }

// hdus are the parts of Select.
func (r Reading) hdus() []string { return parts(r.Select) }

func parts(list string) []string {
	var all []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// preparation is Reading understood: how values become what the network sees.
type preparation struct {
	channels int             // that the network sees
	counted  bool            // they are so many of the first bands, which must be there
	weights  [][]float64     // of the bands, for each channel; nil: the bands themselves
	stretch  stretch.Stretch // with limits of its own where Reading has some
	colours  bool            // 8-bit colours stay as they are
}

// MaxChannels is how many channels a network takes at most.
const MaxChannels = 16

func (r Reading) preparation() (p preparation, err error) {
	name := r.Stretch
	if name == "" {
		name = "percentile"
		if r.Low != 0 || r.High != 0 {
			name = "linear"
		}
	}
	var known bool
	if p.stretch, known = stretch.ByName(name); !known {
		return p, fmt.Errorf("the stretch %q is not known: use one of %s", r.Stretch, stretch.Names())
	}
	if r.Low != 0 || r.High != 0 {
		if !(r.Low < r.High) || math.IsInf(r.High-r.Low, 0) {
			return p, fmt.Errorf("low = %v and high = %v are no range: low is what becomes black, high what becomes white", r.Low, r.High)
		}
		p.stretch = p.stretch.Between(r.Low, r.High)
	}
	p.channels = 3
	if n, err := strconv.Atoi(strings.TrimSpace(r.Channels)); err == nil {
		if n < 1 || n > MaxChannels {
			return p, fmt.Errorf("channels = %d: the network takes 1 to %d", n, MaxChannels)
		}
		p.channels, p.counted = n, true
	} else if strings.TrimSpace(r.Channels) != "" {
		for text := range strings.SplitSeq(r.Channels, ";") {
			var weights []float64
			for field := range strings.FieldsSeq(strings.ReplaceAll(text, ",", " ")) {
				w, err := strconv.ParseFloat(field, 64)
				if err != nil || math.IsNaN(w) || math.IsInf(w, 0) {
					return p, fmt.Errorf("channels = %.100q: %.40q is no weight", r.Channels, field)
				}
				weights = append(weights, w)
			}
			p.weights = append(p.weights, weights)
		}
		bands := len(p.weights[0])
		if len(p.weights) > MaxChannels || bands == 0 || slices.ContainsFunc(p.weights, func(w []float64) bool { return len(w) != bands }) {
			return p, fmt.Errorf(`channels = %.100q: give how many of the first bands are channels, "5", or for each of 1 to %d channels a weight of each band: "1 0 0; 0 1 0; 0 0 1"`, r.Channels, MaxChannels)
		}
		p.channels = len(p.weights)
	}
	p.colours = r.Stretch == "" && r.Low == 0 && r.High == 0 && p.weights == nil
	return p, nil
}

// reading is what a pool needs to know of a Reading.
type reading struct {
	preparation
	hdus []string
	text string // tells readings apart; empty for the zero value
}

// understood is for a Reading that was checked.
func understood(r Reading) reading {
	p, _ := r.preparation()
	out := reading{preparation: p, hdus: r.hdus()}
	if r != (Reading{}) {
		out.text = fmt.Sprintf("%+v", r)
	}
	return out
}

// preparedImage is an image of which the network sees what the preparation makes of its values.
type preparedImage struct {
	image.Image
	how preparation
}

// prepare is m as the network is to see it, or an error about its bands.
func (p preparation) prepare(m image.Image) (image.Image, error) {
	switch bands := bandsOf(m); {
	case p.weights != nil && bands != len(p.weights[0]):
		return nil, fmt.Errorf("has %s, and the setting channels weighs %d", count(bands, "band", "bands"), len(p.weights[0]))
	case p.counted && bands < p.channels:
		return nil, fmt.Errorf("has %s, and the setting channels takes %d", count(bands, "band", "bands"), p.channels)
	}
	if _, values := m.(rawPicture); p.colours && !values && p.channels == 3 {
		return m, nil
	}
	return preparedImage{m, p}, nil
}

// asIs says whether values become channels without a stretch.
func (m preparedImage) asIs() bool {
	values, measured := m.Image.(rawPicture)
	return m.how.colours && (!measured || m.how.counted && values.Kind() == raw.U8)
}

// fill makes the channels, into a black picture of the same size.
func (m preparedImage) fill(out Pixels) {
	_, measured := m.Image.(rawPicture)
	switch {
	case m.asIs() && !measured:
		fromImage(m.Image).Pixels().first(out)
	case m.asIs():
		planesOf(m.Image).bytes(out)
	default:
		planesOf(m.Image).mixed(m.how.weights).stretch(out, m.how.stretch, 0)
	}
}

// mixed are bands made of those of p, each by weights.
func (p Planes) mixed(weights [][]float64) Planes {
	if weights == nil {
		return p
	}
	out := Planes{W: p.W, H: p.H, Bands: len(weights), Type: p.Type}
	row := make([]float64, p.W)
	out.row = func(dst []float64, band, y int) {
		clear(dst)
		for b, w := range weights[band] {
			if w == 0 {
				continue
			}
			p.Row(row, b, y)
			for x, v := range row {
				dst[x] += w * v
			}
		}
	}
	return out
}

// bandFiles is a folder in which some files are the bands of one image.
type bandFiles struct {
	Source
	ends   []string
	limits Limits
	hdus   []string
}

func (s *bandFiles) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		n := 0
		for e, err := range s.Source.Entries(ctx) {
			if e.ID != "" && !strings.HasSuffix(e.Path, s.ends[0]) {
				continue
			}
			n++
			if !yield(e, err) {
				return
			}
		}
		if n == 0 && ctx.Err() == nil {
			yield(Entry{}, fmt.Errorf("no file's name ends with %.100q, the first of the setting files", s.ends[0]))
		}
	}
}

func (s *bandFiles) Stat(ctx context.Context, e Entry) (size, modTime int64, err error) {
	of, ok := s.Source.(stater)
	if !ok {
		return e.Size, e.ModTime, nil
	}
	return of.Stat(ctx, e)
}

func (s *bandFiles) Read(ctx context.Context, e Entry) (Content, error) {
	var all raw.Image
	var changed error
	base := strings.TrimSuffix(e.Path, s.ends[0])
	for k, end := range s.ends {
		part := Entry{ID: e.ID, Path: base + end}
		if k == 0 {
			part = e
		}
		has, err := s.Source.Read(ctx, part)
		if errors.Is(err, ErrChanged) {
			changed = err
		} else if err != nil {
			if k > 0 && !errors.Is(err, ErrSource) {
				err = fmt.Errorf("lacks a band: its file %.200q %w", base+end, err)
			}
			return Content{}, err
		}
		var one raw.Image
		if err := has.picture(s.limits, s.hdus, 0, nil, func(_ codec, m image.Image) { one = valuesOf(m) }); err != nil {
			return Content{}, fmt.Errorf("has a band that cannot be used: %.200q %w", base+end, err)
		}
		if all, err = stack(all, one); err != nil {
			return Content{}, fmt.Errorf("has bands that do not fit together: %.200q %w", base+end, err)
		}
	}
	return Content{Values: all, Format: fmt.Sprintf("%d files", len(s.ends))}, changed
}

// valuesOf are the values of an image; colours are three bands.
func valuesOf(m image.Image) raw.Image {
	if v, ok := m.(rawPicture); ok {
		return v.Image
	}
	p := planesOf(m)
	out := raw.New(raw.F32, p.W, p.H, p.Bands, true)
	copyBands(out, 0, p)
	return out
}

// stack puts the bands of b behind those of a, which may be empty, as floats that hold them exactly.
func stack(a, b raw.Image) (raw.Image, error) {
	if a.Data == nil {
		return b, nil
	}
	if a.W != b.W || a.H != b.H {
		return a, fmt.Errorf("is %d×%d pixels, the first %d×%d", b.W, b.H, a.W, a.H)
	}
	kind := raw.F32
	for _, k := range []raw.Kind{a.Kind(), b.Kind()} {
		if k.Size() > 2 && k != raw.F32 {
			kind = raw.F64
		}
	}
	out := raw.New(kind, a.W, a.H, a.C+b.C, true)
	copyBands(out, 0, planesOf(rawPicture{a}))
	copyBands(out, a.C, planesOf(rawPicture{b}))
	return out, nil
}

// copyBands copies all bands of p into out, which is planar and of floats, from a band on.
func copyBands(out raw.Image, from int, p Planes) {
	row := make([]float64, p.W)
	for b := range p.Bands {
		for y := range p.H {
			p.Row(row, b, y)
			at := ((from+b)*p.H + y) * p.W
			switch d := out.Data.(type) {
			case []float32:
				for x, v := range row {
					d[at+x] = float32(v)
				}
			case []float64:
				copy(d[at:], row)
			}
		}
	}
}
