package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"anomalymatch/engine/dataset/fits"
	"anomalymatch/engine/dataset/raw"
	"anomalymatch/engine/dataset/wcs"
)

// Content returns image i as its source holds it. The error is a sentence with its id.
func (p *Pool) Content(ctx context.Context, i int) (Content, error) {
	e := p.Entry(i)
	source, _, _ := strings.Cut(e.ID, "/")
	c, err := p.sources[source].Read(ctx, e)
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrSource) {
		err = fmt.Errorf("%q %w", e.ID, err)
	}
	return c, err
}

// Ext is how the name of a file with these bytes ends, by what they are, not by what anybody calls them; empty for values and for unknown bytes.
func (c Content) Ext() string {
	for _, f := range codecs {
		if bytes.HasPrefix(c.Encoded, []byte(f.magic)) {
			switch f.name {
			case "JPEG":
				return ".jpg"
			case "TIFF", "BigTIFF":
				return ".tif"
			case "FITS":
				if f.magic != fits.Magic {
					return ".fits.gz"
				}
			}
			return "." + strings.ToLower(f.name)
		}
	}
	return ""
}

// Position is where an image lies on the sky: its centre, and half of its longer side, in degrees (ICRS or FK5, which agree to what cut-outs need).
type Position struct{ RA, Dec, Radius float64 }

// positioned are sources that know where their images lie.
type positioned interface {
	Position(ctx context.Context, e Entry) (Position, error)
}

// Position tells where image i lies on the sky, by the WCS of its FITS header. The error is a sentence with its id: most images do not say.
func (p *Pool) Position(ctx context.Context, i int) (Position, error) {
	e := p.Entry(i)
	source, _, _ := strings.Cut(e.ID, "/")
	s := p.sources[source]
	if b, ok := s.(*bandFiles); ok {
		s = b.Source // the header of the first band
	}
	at, err := Position{}, error(nil)
	if knows, ok := s.(positioned); ok {
		at, err = knows.Position(ctx, e)
	} else {
		var c Content
		if c, err = s.Read(ctx, e); err == nil {
			at, err = c.position(p.limits, p.readings[source].hdus)
		}
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrSource) {
		err = fmt.Errorf("%q %w", e.ID, err)
	}
	return at, err
}

func (c Content) position(l Limits, hdus []string) (at Position, err error) {
	if !strings.HasPrefix(c.Ext(), ".fits") {
		return at, errors.New("does not say where on the sky it is: it is no FITS file")
	}
	f, err := fits.Open(bytes.NewReader(c.Encoded), int64(len(c.Encoded)), raw.Limits(l))
	if err != nil {
		return at, err
	}
	which := ""
	if len(hdus) > 0 {
		which = hdus[0]
	}
	h, err := f.Find(which)
	if err != nil {
		return at, err
	}
	width, height, _, err := h.Size()
	if err != nil {
		return at, err
	}
	if frame, _ := h.Header.Text("RADESYS"); strings.HasPrefix(frame, "FK4") {
		return at, fmt.Errorf("gives its position in %.20q, which is not converted", frame)
	}
	w, err := wcs.New(h.Header)
	if err != nil {
		return at, err
	}
	at.RA, at.Dec = w.Sky(float64(width-1)/2, float64(height-1)/2)
	at.Radius = w.Scale() * float64(max(width, height)) / 2
	if !(at.RA >= 0 && at.RA <= 360 && at.Dec >= -90 && at.Dec <= 90 && at.Radius > 0) {
		return Position{}, errors.New("has a position that is none")
	}
	return at, nil
}
