package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
)

// Preview is what the network would see of an image, were it read in another way.
type Preview struct {
	RGB               // as large as was asked for, its first three channels as colours
	Bands     int     // of the image
	Low, High float64 // what is black and white in the first channel; NaN: colours as they are
	Err       error   // why the image cannot be read so; continues a sentence that begins with the image
}

// PNG writes the picture.
func (v Preview) PNG(w io.Writer) error { return png.Encode(w, v.Image()) }

// Preview is what the network would see of image i at size × size pixels under each of some readings, which may differ from that of its source in
// channels, stretch and range; which files and arrays are the image stays. It goes the way of the network's own pixels, but is decoded at full size
// and once for all. Nothing is remembered of it: an image that cannot be read so is no bad one. The error is about the image itself.
func (p *Pool) Preview(ctx context.Context, i, size int, readings []Reading) ([]Preview, error) {
	if i < 0 || i >= p.Len() {
		return nil, fmt.Errorf("there is no image number %d in a pool of %d", i, p.Len())
	}
	e := p.Entry(i)
	source, _, _ := strings.Cut(e.ID, "/")
	has, changed := p.sources[source].Read(ctx, e)
	if changed != nil && !errors.Is(changed, ErrChanged) {
		return nil, changed
	}
	all := make([]Preview, len(readings))
	err := has.picture(p.limits, p.readings[source].hdus, 0, &p.large, func(_ codec, m image.Image) {
		for n, r := range readings {
			if ctx.Err() == nil {
				all[n] = r.preview(m, size)
			}
		}
	})
	return all, cmp.Or(err, ctx.Err())
}

func (r Reading) preview(m image.Image, size int) Preview {
	out := Preview{Bands: bandsOf(m), Low: math.NaN(), High: math.NaN()}
	how, err := r.preparation()
	if err == nil {
		m, err = how.prepare(m)
	}
	if err != nil {
		out.Err = err
		return out
	}
	pix := NewPixels(size, size, channelsOf(m))
	resized(pix.Pix, m, size)
	out.RGB = pix.RGB()
	if of, ok := m.(preparedImage); ok && !of.asIs() {
		out.Low, out.High = planesOf(of.Image).mixed(how.weights).limits(how.stretch, 0)
	}
	return out
}

// In is where the images of a source stand: [from, to).
func (p *Pool) In(source string) (from, to int) {
	from = sort.Search(p.Len(), func(i int) bool { return p.id(i) >= source+"/" })
	return from, from + sort.Search(p.Len()-from, func(n int) bool { return !strings.HasPrefix(p.id(from+n), source+"/") })
}

// Sample draws up to n different images of a source, by a seed: those that can be used first, since how it is read may be why others cannot.
func (p *Pool) Sample(source string, n int, seed uint64) []int {
	from, to := p.In(source)
	r := rand.New(rand.NewPCG(seed, 0))
	drawn := map[int]bool{}
	var good, bad []int
	for range 20 * n {
		if to-from == len(drawn) || len(good) == n {
			break
		}
		i := from + r.IntN(to-from)
		if drawn[i] {
			continue
		}
		drawn[i] = true
		if p.IsBad(i) {
			bad = append(bad, i)
		} else {
			good = append(good, i)
		}
	}
	all := append(good, bad...)
	return all[:min(n, len(all))]
}
