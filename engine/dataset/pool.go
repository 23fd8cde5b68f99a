package dataset

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"anomalymatch/engine/dataset/stretch"
	"anomalymatch/internal/parallel"
	"anomalymatch/internal/say"
)

// Pool is every image of a project under one list of ids, sorted, so that number i is the same image until the sources change.
// The list never changes while the pool is open; all methods may be called at the same time. Numbers must be in [0, Len).
type Pool struct {
	*index
	dir     string
	named   []NamedSource
	sources map[string]Source
	limits  Limits

	readings map[string]reading // by source

	sums     *sums     // nil: nobody wants to know; see Same
	prepared *prepared // nil: every image is decoded; see Prepare

	mu     sync.Mutex
	bad    map[int]BadImage // cannot be used
	noted  map[int]BadImage // is listed and tried: it changed, or could not be used for a reason that may have passed
	shared bool             // see Share

	large sync.Mutex // held while a very large image is decoded: one at a time bounds the memory

	byName sync.Once
	names  []uint64 // ascending: hash of the last part of an id << 32 | its image
}

// BadImage is an image that cannot be used, one that changed, or a file or folder that the listing could not look into.
type BadImage struct {
	ID      string `json:"id"`
	Reason  string `json:"reason"`            // continues a sentence that begins with the id
	Passing bool   `json:"passing,omitempty"` // the reason may pass, such as a limit or an error of the file system
	Changed bool   `json:"changed,omitempty"` // it is used, but is not the file that the listing saw
}

// OpenPool opens the images of the sources. dir holds what is remembered about them: the list of images, which is believed
// without a look at the sources where it is of the same sources (see Refresh), and the images that could not be decoded.
// Without such a list, or where it is damaged, the sources are listed, with progress told how many images were found so far.
func OpenPool(ctx context.Context, dir string, sources []NamedSource, l Limits, progress func(done int64)) (*Pool, error) {
	if len(sources) == 0 {
		return nil, errors.New("the project has no source: add a folder of images")
	}
	if err := SameChannels(sources); err != nil {
		return nil, err
	}
	p := &Pool{dir: dir, limits: l.orDefault(), named: slices.Clone(sources), sources: map[string]Source{}, readings: map[string]reading{}, bad: map[int]BadImage{}, noted: map[int]BadImage{}}
	unpack := false // which listing does
	for _, s := range sources {
		if _, twice := p.sources[s.Name]; twice {
			p.Close()
			return nil, fmt.Errorf("two sources have the name %q: every source needs its own", s.Name)
		}
		src, err := OpenSource(s, p.limits)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.sources[s.Name], p.readings[s.Name] = src, understood(s.Reading)
		if c, ok := src.(*packed); ok && !c.keepIn(filepath.Join(dir, unpackedDir)) {
			unpack = true
		}
	}
	dropUnpacked(filepath.Join(dir, unpackedDir), p.sources)
	var err error
	p.index, err = readIndex(dir)
	if err != nil || unpack || !slices.Equal(p.Sources, p.named) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			slog.Warn("listing the sources again", "why", reason(err))
		}
		if unpack && progress != nil {
			progress(0) // it may take long before there is an image
		}
		l, failed := listAll(ctx, p.named, p.sources, progress)
		if failed != nil {
			p.Close()
			return nil, failed
		}
		if err != nil || !p.same(l) {
			if err := l.write(dir, err == nil, l.row); err != nil {
				slog.Warn("the list of images cannot be kept: every start will list the sources", "why", reason(err))
			}
			p.index = l.index()
		}
	}
	p.sums = newSums(dir, len(p.named), p.Len())
	p.LoadBad()
	return p, nil
}

// Close closes the sources.
func (p *Pool) Close() error {
	var errs []error
	for _, s := range p.sources {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Refresh lists the sources again and says whether anything differs from the list in use: files added, gone or changed. The
// new list is kept for the next OpenPool; this pool goes on with its own, because numbers are in use.
func (p *Pool) Refresh(ctx context.Context) (changed bool, err error) {
	l, err := listAll(ctx, p.named, p.sources, nil)
	if err != nil || p.same(l) {
		return false, err
	}
	if err := l.write(p.dir, true, l.row); err != nil {
		return true, fmt.Errorf("the new list of images cannot be kept in %s: %w", say.Path(p.dir), say.Cause(err))
	}
	return true, nil
}

// Len is the number of images, bad ones included.
func (p *Pool) Len() int { return p.len() }

// ID is the id of image i.
func (p *Pool) ID(i int) string { return p.id(i) }

// Hash identifies the list: ids and sizes. Embeddings and scores are valid for one hash.
func (p *Pool) Hash() [32]byte { return [32]byte(p.index.Hash) }

// Find returns the number of an id.
func (p *Pool) Find(id string) (int, bool) { return p.find(id) }

// Entry is what the listing saw of image i.
func (p *Pool) Entry(i int) Entry {
	id := p.id(i)
	return Entry{ID: id, Path: id[strings.IndexByte(id, '/')+1:], Size: p.size(i), ModTime: p.modTime(i), At: p.place(i)}
}

// Match finds the one image that a name in somebody's table means: an id, a path below a source, the end of an id, or a longer
// path that ends in a path below a source. Slashes part names, so "b.jpg" never means "ab.jpg".
func (p *Pool) Match(name string) (int, error) {
	if i, ok := p.find(name); ok {
		return i, nil
	}
	clean := path.Clean(strings.ReplaceAll(name, `\`, "/"))
	p.byName.Do(p.buildNames)
	var found []int
	hash := nameHash(path.Base(clean))
	at, _ := slices.BinarySearch(p.names, uint64(hash)<<32)
	for ; at < len(p.names) && uint32(p.names[at]>>32) == hash; at++ {
		i := int(uint32(p.names[at]))
		if e := p.Entry(i); endsIn(e.ID, clean) || endsIn(clean, e.Path) {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		if plain := say.Unescaped(name); plain != name { // as our own tables have it
			if i, err := p.Match(plain); err == nil {
				return i, nil
			}
		}
		return 0, fmt.Errorf("no image is called %.300q", name)
	case 1:
		return found[0], nil
	}
	for _, i := range found { // a whole path below a source says more than the end of one
		if p.Entry(i).Path == clean && !slices.ContainsFunc(found, func(j int) bool { return j != i && p.Entry(j).Path == clean }) {
			return i, nil
		}
	}
	return 0, severalError{fmt.Sprintf("%.300q can be %d images: write the id, such as %.300q", name, len(found), p.ID(found[0])), len(found)}
}

// endsIn says whether the path s is end or ends in /end.
func endsIn(s, end string) bool {
	head, ok := strings.CutSuffix(s, end)
	return ok && (head == "" || head[len(head)-1] == '/')
}

// buildNames makes names: 8 bytes an image, and only where somebody has names that are not ids.
func (p *Pool) buildNames() {
	p.names = make([]uint64, p.Len())
	parallel.Parts(p.Len(), min(p.Len(), 8*runtime.GOMAXPROCS(0)), func(_, from, to int) {
		at := p.begins(from)
		for i := from; i < to; i++ {
			id := p.ids[at : at+p.length(i)]
			at += len(id)
			p.names[i] = uint64(nameHash(id[strings.LastIndexByte(id, '/')+1:]))<<32 | uint64(i)
		}
	})
	slices.Sort(p.names)
}

// nameHash is 32-bit FNV-1a.
func nameHash(name string) uint32 {
	h := uint32(2166136261)
	for k := range len(name) {
		h = (h ^ uint32(name[k])) * 16777619
	}
	return h
}

// Image decodes image i. An image that cannot be decoded is remembered as bad; the error is a sentence with its id.
func (p *Pool) Image(ctx context.Context, i int) (out RGB, err error) {
	err = p.look(ctx, i, 0, func(_ codec, m image.Image) { out = fromImage(m) })
	return out, err
}

// look decodes image i and lets use see it, as long as it lasts; least is as in codec.decoded.
func (p *Pool) look(ctx context.Context, i, least int, use func(codec, image.Image)) error {
	if i < 0 || i >= p.Len() {
		return fmt.Errorf("there is no image number %d in a pool of %d", i, p.Len())
	}
	err := p.decode(ctx, i, least, use)
	switch {
	case err == nil, errors.Is(err, ErrChanged):
		p.good(i, err != nil)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrSource):
		return err
	}
	p.MarkBad(i, err)
	return fmt.Errorf("%q %w", p.ID(i), err)
}

func (p *Pool) decode(ctx context.Context, i, least int, use func(codec, image.Image)) error {
	e := p.Entry(i)
	source, _, _ := strings.Cut(e.ID, "/")
	has, changed := p.sources[source].Read(ctx, e)
	if changed != nil && !errors.Is(changed, ErrChanged) {
		return changed
	}
	if changed == nil {
		p.sums.note(i, has)
	}
	how := p.readings[source]
	if !how.colours || how.counted { // a decoder that makes the picture smaller makes three bands of one
		least = 0
	}
	var odd error
	err := has.picture(p.limits, how.hdus, least, &p.large, func(c codec, m image.Image) {
		if m, odd = how.prepare(m); odd == nil {
			use(c, m)
		}
	})
	return cmp.Or(err, odd, changed)
}

var thumbEncoder = png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: &pngBuffers{}}

type pngBuffers struct{ sync.Pool }

func (p *pngBuffers) Get() *png.EncoderBuffer  { b, _ := p.Pool.Get().(*png.EncoderBuffer); return b }
func (p *pngBuffers) Put(b *png.EncoderBuffer) { p.Pool.Put(b) }

// compactQuality of a JPEG: its errors are below what half-blocks or a 128-pixel thumbnail show.
const compactQuality = 90

// View is how an image is shown to people. It never changes what the network sees.
type View struct {
	MaxPx   int    // of the longer side; never enlarged
	Compact bool   // as a JPEG where that has fewer bytes than a PNG
	Stretch string // name of a stretch, of the measured values band by band; "" = as the network sees them, channel by channel
	Band    int    // 0 = the first three as colours; from 1 that one alone, in grey; the last one where there are not so many
}

// Thumb is a picture of an image.
type Thumb struct {
	Data       []byte // PNG or JPEG
	W, H       int    // of the picture
	SrcW, SrcH int    // of the image
	Bands      int    // of the image
}

// Thumb returns image i as a picture.
func (p *Pool) Thumb(ctx context.Context, i int, v View) (Thumb, error) {
	curve, known := stretch.ByName(v.Stretch)
	if !known && v.Stretch != "" {
		return Thumb{}, fmt.Errorf("there is no stretch %q", v.Stretch)
	}
	var m RGB
	var grey bool
	var out Thumb
	err := p.look(ctx, i, 0, func(_ codec, img image.Image) {
		planes := planesOf(img)
		out.Bands = planes.Bands
		if v.Stretch == "" {
			seen := pixelsOf(img)
			if grey = v.Band > 0; grey {
				seen.only(min(v.Band, planes.Bands, seen.C) - 1)
			}
			m = seen.RGB()
		} else {
			m, grey = planes.Stretched(curve, v.Band)
		}
	})
	if err != nil {
		return Thumb{}, err
	}
	out.SrcW, out.SrcH = m.W, m.H
	m = Shrink(m, v.MaxPx)
	out.W, out.H = m.W, m.H
	var small image.Image = m.Image()
	if grey {
		small = m.grey()
	}
	var b bytes.Buffer
	if err := thumbEncoder.Encode(&b, small); err != nil {
		return Thumb{}, fmt.Errorf("%q cannot be made a PNG: %w", p.ID(i), err)
	}
	if v.Compact {
		var j bytes.Buffer
		if err := jpeg.Encode(&j, small, &jpeg.Options{Quality: compactQuality}); err == nil && j.Len() < b.Len() {
			b = j
		}
	}
	out.Data = b.Bytes()
	return out, nil
}

// Facts are what the file of an image says.
type Facts struct {
	Format string // PNG
	Planes        // the values themselves are only there while the image is looked at
	Values []Values
}

// Facts of image i.
func (p *Pool) Facts(ctx context.Context, i int) (f Facts, err error) {
	err = p.look(ctx, i, 0, func(c codec, m image.Image) {
		f.Format, f.Planes = c.name, planesOf(m)
		for band := range f.Bands {
			f.Values = append(f.Values, f.Planes.Values(band))
		}
		f.row = nil
	})
	return f, err
}

// Shrink makes an image whose longer side has at most limit pixels. It is never enlarged.
func Shrink(m RGB, limit int) RGB {
	w, h := shrunk(m.W, m.H, limit)
	return Resize(m, w, h)
}

// shrunk is the size of a w × h picture whose longer side has at most limit pixels.
func shrunk(w, h, limit int) (int, int) {
	long := max(w, h)
	if limit = max(limit, 1); long <= limit {
		return w, h
	}
	scale := func(v int) int { return max(1, (v*limit+long/2)/long) }
	return scale(w), scale(h)
}

// IsBad says whether image i could not be used.
func (p *Pool) IsBad(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.bad[i]
	return ok
}

// Unusable are the numbers of the images that could not be used, in their order.
func (p *Pool) Unusable() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.bad))
}

// BadIn lists the images [from, to) that could not be used or changed, in their order.
func (p *Pool) BadIn(from, to int) []BadImage {
	p.mu.Lock()
	defer p.mu.Unlock()
	var at []int
	for _, some := range []map[int]BadImage{p.bad, p.noted} {
		for i := range some {
			if i >= from && i < to {
				at = append(at, i)
			}
		}
	}
	slices.Sort(at)
	at = slices.Compact(at)
	out := make([]BadImage, len(at))
	for k, i := range at {
		out[k] = p.said(i)
	}
	return out
}

// said is what is known against image i. Called with mu held.
func (p *Pool) said(i int) BadImage {
	if b, ok := p.bad[i]; ok {
		return b
	}
	return p.noted[i]
}

// Bad lists what a person should know of, by id: images that cannot be decoded or read, that changed since they were listed, and what the listing
// could not look into.
func (p *Pool) Bad() []BadImage {
	return slices.SortedFunc(slices.Values(append(p.BadIn(0, p.Len()), p.Skipped...)), func(a, b BadImage) int { return strings.Compare(a.ID, b.ID) })
}

// badLine is one line of bad.jsonl. Size and time say which file is meant, Reading how it was read: one that was replaced, or is read in another way,
// gets a new chance. A later line about an image counts; without a reason it says that nothing is wrong any more.
type badLine struct {
	BadImage
	Size    int64  `json:"size"`
	ModTime int64  `json:"mtime"`
	Reading string `json:"reading,omitempty"`
}

// MarkBad remembers that image i cannot be used, in dir/bad.jsonl. One whose reason may pass, such as a limit or an error of the file system, is
// listed from the next start on, but tried again.
func (p *Pool) MarkBad(i int, reason error) {
	p.markBad(i, BadImage{ID: p.ID(i), Reason: reason.Error(), Passing: errors.Is(reason, ErrLimit) || errors.Is(reason, errRead)})
}

// TakeBad remembers what another process found out with the same pool; ids that are not in it are passed over.
func (p *Pool) TakeBad(images []BadImage) {
	for _, b := range images {
		if i, ok := p.find(b.ID); ok {
			p.markBad(i, b)
		}
	}
}

// good remembers that image i could be used, as the file that was listed or as another one.
func (p *Pool) good(i int, changed bool) {
	if changed {
		p.markBad(i, BadImage{ID: p.ID(i), Reason: ErrChanged.Error(), Changed: true})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.bad, i)
	if _, noted := p.noted[i]; noted && !changed {
		delete(p.noted, i)
		p.keep(i, BadImage{ID: p.ID(i)})
	}
}

// Share is for one of many processes that use the same pool at once: what this one finds bad from now on is not kept on disk.
func (p *Pool) Share() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shared = true
}

func (p *Pool) markBad(i int, b BadImage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.said(i)
	switch {
	case b.Changed:
		p.noted[i] = b
	case p.bad[i] != (BadImage{}):
		return
	default:
		p.bad[i] = b
		if b.Passing {
			p.noted[i] = b
		}
	}
	if known != b {
		p.keep(i, b)
	}
}

// keep appends a line about image i. Called with mu held.
func (p *Pool) keep(i int, b BadImage) {
	if p.shared {
		return
	}
	line, err := json.Marshal(badLine{b, p.size(i), p.modTime(i), p.readingOf(i)})
	if err != nil {
		return
	}
	f, err := os.OpenFile(filepath.Join(p.dir, "bad.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return // it will be found again
	}
	defer f.Close()
	f.Write(append(line, '\n'))
}

// readingOf tells how image i is read from other ways.
func (p *Pool) readingOf(i int) string { return p.readings[p.sourceOf(i)].text }

// LoadBad reads again what was found by this process or others, from dir/bad.jsonl; lines that are torn or about other files are passed
// over.
func (p *Pool) LoadBad() {
	b, err := os.ReadFile(filepath.Join(p.dir, "bad.jsonl"))
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for text := range bytes.Lines(b) {
		var line badLine
		if json.Unmarshal(text, &line) != nil {
			continue
		}
		i, ok := p.find(line.ID)
		switch {
		case !ok || p.size(i) != line.Size || p.modTime(i) != line.ModTime || p.readingOf(i) != line.Reading:
		case line.Reason == "":
			delete(p.bad, i)
			delete(p.noted, i)
		case line.Passing || line.Changed:
			p.noted[i] = line.BadImage
		default:
			p.bad[i] = line.BadImage
		}
	}
}

// Subset is a pool of only some images of p, over the same sources: closing p closes it. What it finds bad is remembered with p's.
func (p *Pool) Subset(images []int) *Pool {
	entries := make([]Entry, len(images))
	for k, i := range images {
		entries[k] = p.Entry(i)
	}
	s := &Pool{dir: p.dir, limits: p.limits, named: p.named, sources: p.sources, readings: p.readings, bad: map[int]BadImage{}, noted: map[int]BadImage{}, index: newIndex(p.Sources, entries, nil)}
	s.LoadBad()
	return s
}

// Channels is the number of channels that the network sees of each image: that of the readings of all sources.
func (p *Pool) Channels() int {
	for _, r := range p.readings {
		return r.channels
	}
	return 3
}

// Readings are how the files of each source are read, in the order of the sources.
func (p *Pool) Readings() []Reading {
	var all []Reading
	for _, s := range p.named {
		all = append(all, s.Reading)
	}
	return all
}
