package dataset

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"anomalymatch/engine/dataset/mosaic"
	"anomalymatch/engine/dataset/raw"
)

// mosaics is a source: the objects of a catalogue, cut out of large images. An entry keeps its row.
type mosaics struct {
	*container // the definition
	m          *mosaic.Mosaic
}

func openMosaic(name, path string, l Limits, which string) (Source, error) {
	c, err := openContainer(name, path, "mosaic", l)
	if err != nil {
		return nil, err
	}
	m, err := mosaic.Open(path, which, raw.Limits(c.limits))
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("the file %q of source %q %w", path, name, err)
	}
	return &mosaics{c, m}, nil
}

func (s *mosaics) Close() error { return errors.Join(s.m.Close(), s.container.Close()) }

// Identity is for the pool's hash: cut by another definition, the objects are other images.
func (s *mosaics) Identity() string { return s.m.Identity() }

// listedOutside is how many objects that cannot be cut out are listed one by one: a catalogue may be of the whole sky.
const listedOutside = 1000

func (s *mosaics) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for name, why := range s.m.BadTiles() {
			e, odd := s.member(name, 0, 0, s.modTime)
			if odd == nil {
				odd = fmt.Errorf("is left out: the mosaic %w", why)
			}
			if !yield(e, odd) {
				return
			}
		}
		images, outside := 0, 0
		var last error // why the last one is outside
		for o, why := range s.m.Objects(ctx) {
			if ctx.Err() != nil {
				yield(Entry{}, ctx.Err())
				return
			}
			if o.ID == "" {
				s.ended(images, outside, why, yield)
				return
			}
			e, odd := s.member(o.ID, o.Bytes, o.Row, s.modTime)
			e.ModTime = s.m.Time()
			if why == nil {
				why = odd
			}
			if why != nil {
				last = why
				if outside++; outside > listedOutside {
					continue
				}
			} else {
				images++
			}
			if !yield(e, why) {
				return
			}
		}
		if more := outside - listedOutside; more > 0 &&
			!yield(Entry{ID: s.name + "/", Path: "."}, fmt.Errorf("has %s more that cannot be cut out; the last %w", count(more, "object", "objects"), last)) {
			return
		}
		if images == 0 && outside > 0 {
			yield(Entry{}, fmt.Errorf("no images in %q: of %s in its catalogue none can be cut out; the last %w", s.path, count(outside, "object", "objects"), last))
			return
		}
		s.ended(images, 0, nil, yield)
	}
}

func (s *mosaics) Read(ctx context.Context, e Entry) (Content, error) {
	if err := s.same(); err != nil {
		return Content{}, err
	}
	if e.ModTime != s.m.Time() { // listed before something changed: is it still in that row?
		if id, err := s.m.Name(ctx, e.At); err != nil || id != e.Path {
			return Content{}, fmt.Errorf("%w: it is in another row of the catalogue now, start the engine again", errRead)
		}
	}
	cut, err := s.m.Cut(ctx, e.At)
	switch {
	case ctx.Err() != nil:
		return Content{}, ctx.Err()
	case errors.Is(err, mosaic.ErrFile):
		return Content{}, fmt.Errorf("%w: of source %q %w", ErrSource, s.name, err)
	case err != nil:
		return Content{}, err
	}
	format := "mosaic"
	if cut.Note != "" {
		format += ", " + cut.Note
	}
	return Content{Values: cut.Image, Format: format}, nil
}

// Stat tells the time of the newest of all files that the cut-outs are made of.
func (s *mosaics) Stat(ctx context.Context, e Entry) (size, modTime int64, err error) {
	if err := s.same(); err != nil {
		return 0, 0, err
	}
	return e.Size, s.m.Time(), ctx.Err()
}

// same says what became of the definition and the catalogue.
func (s *mosaics) same() error {
	if err := s.container.same(); err != nil {
		return err
	}
	if err := s.m.Same(); err != nil {
		return fmt.Errorf("%w: of source %q %w", ErrSource, s.name, err)
	}
	return nil
}
