package dataset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/disk"

	"github.com/gofrs/flock"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packed is a source: the images in a tar file that is compressed as a whole, by gzip or Zstandard, whatever its name says.
//
// Nothing can be read from the middle of such a file, so its listing unpacks it once into a plain tar, which is read in place from then on. That lies
// in the project's folder (index/unpacked), not beside the original: archives are often read-only and short of inodes, and what is made from the images
// goes where the project is, is removed with it and can be made again. It is the same tar byte for byte, so that an entry has the same place
// in both, but files that are no images are holes. Behind it lies what it was made of: where size or time of the original are others now, it is made anew.
//
// Until it is unpacked, and where no folder was named, each read unpacks what lies before its image: right, and slow, for a look at a few.
type packed struct {
	*container
	dir   string                 // where it is unpacked to
	alone sync.Mutex             // held while it is unpacked
	mu    sync.Mutex             // held while it is looked for
	plain atomic.Pointer[tarred] // what it was unpacked to
}

const (
	packedRatio   = 200         // what is unpacked over what it was packed in: more is no archive of images
	packedFiles   = 100_000_000 // in one archive
	packedWindow  = 128 << 20   // of Zstandard; the zstd program wants to be asked for more, too
	spaceEvery    = 64 << 20    // bytes after which it is looked at how much of the disk is left
	unpackedMagic = "anomalymatch unpacked 1\n"
)

// Variables for tests.
var (
	packedFree int64 = 1 << 30 // bytes that may come of little, as blank images do
	spaceLeft  int64 = 1 << 30 // bytes of the disk that are left to others
)

// OpenPackedTar opens the images in a tar file that is compressed by gzip or Zstandard as the source name.
func OpenPackedTar(name, path string, l Limits) (Source, error) {
	c, err := openContainer(name, path, "tar", l)
	if err != nil {
		return nil, err
	}
	p := &packed{container: c}
	var magic [4]byte
	n, _ := c.file.ReadAt(magic[:], 0)
	switch {
	case bytes.HasPrefix(magic[:n], []byte("\x1f\x8b")):
		c.kind = "tar.gz"
	case string(magic[:n]) == "\x28\xb5\x2f\xfd", n == 4 && magic[0]&0xf0 == 0x50 && string(magic[1:]) == "\x2a\x4d\x18":
		c.kind = "tar.zst"
	default:
		c.Close()
		return nil, fmt.Errorf("the file %q of source %q is compressed neither by gzip nor by Zstandard: a tar that is not compressed is called .tar", path, name)
	}
	return p, nil
}

// keepIn names the folder that it is unpacked to, and says whether it is there already.
func (p *packed) keepIn(dir string) bool {
	p.dir = dir
	return p.unpacked() != nil
}

func (p *packed) Close() error {
	err := p.container.Close()
	if t := p.plain.Load(); t != nil {
		err = errors.Join(err, t.Close())
	}
	return err
}

func (p *packed) spool() string { return filepath.Join(p.dir, p.name+".tar") }

// madeOf is what lies behind the plain tar: JSON, its length as a uint32, unpackedMagic.
type madeOf struct {
	Size    int64  `json:"size"` // of the original
	ModTime int64  `json:"mtime"`
	Cut     string `json:"cut,omitempty"` // why it is not whole
}

const unpackedTail = 4 + len(unpackedMagic)

// unpacked is the plain tar, if there is one of this file.
func (p *packed) unpacked() *tarred {
	if t := p.plain.Load(); t != nil || p.dir == "" {
		return t
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.plain.Load(); t != nil {
		return t
	}
	c, err := openContainer(p.name, p.spool(), p.kind, p.limits)
	if err != nil {
		return nil
	}
	t := &tarred{container: c}
	var made madeOf
	tail := make([]byte, unpackedTail)
	_, err = c.file.ReadAt(tail, c.size-int64(len(tail)))
	if n := int64(le.Uint32(tail)) + int64(len(tail)); err == nil && string(tail[4:]) == unpackedMagic && n <= min(c.size, 1<<16) {
		text := make([]byte, n-int64(len(tail)))
		t.length = c.size - n
		if _, err := c.file.ReadAt(text, t.length); err == nil && json.Unmarshal(text, &made) == nil && made.Size == p.size && made.ModTime == p.modTime.UnixNano() {
			if made.Cut != "" {
				t.cut = errors.New(made.Cut)
			}
			p.plain.Store(t)
			return t
		}
	}
	c.Close()
	return nil
}

// Entries lists the images, and unpacks them on the way where that was not done yet. The plain tar is there when the listing is over; one that ends
// early leaves nothing.
func (p *packed) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if t := p.unpacked(); t != nil {
			t.Entries(ctx)(yield)
			return
		}
		u, err := p.unpacker(ctx)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer func() { u.close() }()
		if p.dir != "" {
			p.alone.Lock()
			defer p.alone.Unlock()
			lock, err := u.begin()
			if err != nil {
				yield(Entry{}, err)
				return
			}
			defer lock.Unlock()
			if t := p.unpacked(); t != nil { // by another listing or process meanwhile
				t.Entries(ctx)(yield)
				return
			}
		}
		(&tarred{container: p.container}).list(ctx, u, yield)
	}
}

// Read reads e from the plain tar; without one, from the beginning of the file to e.
func (p *packed) Read(ctx context.Context, e Entry) (Content, error) {
	if err := ctx.Err(); err != nil {
		return Content{}, err
	}
	if t := p.unpacked(); t != nil {
		return t.Read(ctx, e)
	}
	if e.At < 0 || e.At%tarBlock != 0 {
		return Content{}, errors.New("is not in the tar any more")
	}
	u, err := p.unpacker(ctx)
	if err != nil {
		return Content{}, err
	}
	defer u.close()
	if _, err = io.CopyN(io.Discard, u, e.At); err == nil {
		var c Content
		if c, err = (&tarred{container: p.container}).read(u, e); u.err == nil {
			return c, err
		}
	}
	switch _, fatal := u.why(); {
	case ctx.Err() != nil:
		return Content{}, ctx.Err()
	case fatal != nil:
		return Content{}, fatal
	}
	return Content{}, errors.New("is not in the tar any more")
}

// unpacker reads what a packed tar unpacks to, from its beginning, within limits; part gets the same bytes, but holes where hole is set.
type unpacker struct {
	*packed
	ctx    context.Context
	from   counted // the packed bytes
	stream io.Reader
	close  func() error
	n      int64 // bytes unpacked
	files  int
	err    error // what ended it, other than its end
	part   *os.File
	hole   bool
	looked int64 // n when the space on the disk was looked at
	wrong  error // what is wrong with the whole source
}

// counted counts what is read.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

func (p *packed) unpacker(ctx context.Context) (*unpacker, error) {
	u := &unpacker{packed: p, ctx: ctx, close: func() error { return nil }}
	u.from.Reader = io.NewSectionReader(p.file, 0, p.size)
	in := bufio.NewReaderSize(&u.from, 1<<17)
	var err error
	if p.kind == "tar.gz" {
		u.stream, err = gzip.NewReader(in)
	} else {
		var d *zstd.Decoder
		if d, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(packedWindow)); err == nil {
			u.stream, u.close = d, func() error { d.Close(); return nil }
		}
	}
	if err != nil {
		u.err = err
		why, fatal := u.why()
		if fatal == nil {
			fatal = fmt.Errorf("no images in %q: it %w", p.path, why)
		}
		return nil, fatal
	}
	return u, nil
}

func (u *unpacker) Read(b []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	if u.err = u.ctx.Err(); u.err == nil {
		u.err = u.check()
	}
	if u.err != nil {
		return 0, u.err
	}
	k, err := u.stream.Read(b)
	if u.part != nil && !u.hole && k > 0 {
		if _, odd := u.part.WriteAt(b[:k], u.n); odd != nil {
			u.wrong = u.cannot(odd)
			u.err = u.wrong
			return 0, u.err
		}
	}
	u.n += int64(k)
	if err != nil && err != io.EOF {
		u.err = err
	}
	return k, err
}

// check holds what comes to the limits.
func (u *unpacker) check() error {
	switch {
	case u.n > packedFree && u.n/packedRatio > u.from.n:
		u.wrong = fmt.Errorf("the file %q of source %q unpacks to more than %d times its bytes, which no archive of images does: unpack it yourself if you know what it is", u.path, u.name, packedRatio)
	case u.files > packedFiles:
		u.wrong = fmt.Errorf("the file %q of source %q holds more than %d files: make several of it", u.path, u.name, packedFiles)
	case u.part != nil && u.n-u.looked >= spaceEvery:
		u.looked = u.n
		if free, ok := disk.Free(u.dir); ok && free < spaceLeft {
			u.wrong = u.full(free)
		}
	}
	return u.wrong
}

func (u *unpacker) full(free int64) error {
	return fmt.Errorf("the file %q of source %q is unpacked once into %q, and that disk is full: %s MB are free, and %d are left to other things; "+
		"make space, or put the project on another disk", u.path, u.name, u.dir, megas(free, 1<<20), spaceLeft>>20)
}

func (u *unpacker) cannot(err error) error {
	return fmt.Errorf("the file %q of source %q is unpacked once into %q, and that cannot be written: %s", u.path, u.name, u.dir, reason(err))
}

// begin makes the part file, and holds a lock so that no other process does the same.
func (u *unpacker) begin() (*flock.Flock, error) {
	if err := os.MkdirAll(u.dir, 0o755); err != nil {
		return nil, u.cannot(err)
	}
	lock := flock.New(u.spool() + ".lock")
	if _, err := lock.TryLockContext(u.ctx, 100*time.Millisecond); err != nil && u.ctx.Err() != nil {
		return nil, u.ctx.Err()
	} // where there are no locks, two may do the same work
	if free, ok := disk.Free(u.dir); ok && free < u.size+spaceLeft { // images hardly shrink: it takes as much at least
		lock.Unlock()
		return nil, u.full(free)
	}
	var err error
	if u.part, err = os.OpenFile(u.spool()+".part", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
		lock.Unlock()
		return nil, u.cannot(err)
	}
	end := u.close
	u.close = func() error {
		if u.part != nil {
			u.part.Close()
			os.Remove(u.part.Name())
		}
		return end()
	}
	return lock, nil
}

func (u *unpacker) at() int64 { return u.n }

// has reads a file's bytes, since nothing can be passed over.
func (u *unpacker) has(r io.Reader, size int64, image bool) bool {
	u.files++
	u.hole = !image
	n, err := io.Copy(io.Discard, r)
	u.hole = false
	return err == nil && n == size
}

// end reads what is behind the tar, for its checksum, and puts the plain one in its place.
func (u *unpacker) end(broken error) (why, fatal error) {
	length := u.n
	u.hole = true
	if broken == nil {
		io.Copy(io.Discard, u)
	}
	if why, fatal = u.why(); fatal != nil {
		return nil, fatal
	}
	if why == nil {
		why = broken
	}
	if gone := u.same(); gone != nil {
		return nil, gone
	}
	if u.part != nil {
		if err := u.finish(length, why); err != nil {
			return nil, u.cannot(err)
		}
	}
	return why, nil
}

// why says what ended it too early: something about the bytes, which are used as far as they go, or about the whole source.
func (u *unpacker) why() (cut, fatal error) {
	var system *os.PathError
	switch err := u.err; {
	case err == nil:
		return nil, nil
	case u.wrong != nil:
		return nil, u.wrong
	case u.ctx.Err() != nil:
		return nil, u.ctx.Err()
	case errors.As(err, &system):
		return nil, fmt.Errorf("%w: the file %q of source %q cannot be read any more: %s", ErrSource, u.path, u.name, reason(err))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("ends too early"), nil
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, zstd.ErrCRCMismatch):
		return errors.New("does not have the checksum that it says: images in it may be damaged"), nil
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, fmt.Errorf("the file %q of source %q needs more than %d MB of memory to be unpacked: pack it without --long or --ultra", u.path, u.name, packedWindow>>20)
	case errors.Is(err, gzip.ErrHeader) && u.hole: // after its end
		return nil, nil
	}
	return errors.New("is damaged: it cannot be unpacked any further"), nil
}

// finish gives the part its name.
func (u *unpacker) finish(length int64, cut error) error {
	made := madeOf{Size: u.size, ModTime: u.modTime.UnixNano()}
	if cut != nil {
		made.Cut = cut.Error()
	}
	text, err := json.Marshal(made)
	if err != nil {
		return err
	}
	if err := u.part.Truncate(length); err != nil { // it may end in a hole
		return err
	}
	tail := append(le.AppendUint32(text, uint32(len(text))), unpackedMagic...)
	if _, err := u.part.WriteAt(tail, length); err != nil {
		return err
	}
	if err := errors.Join(u.part.Sync(), u.part.Close()); err != nil {
		return err
	}
	if err := atomicfile.Rename(u.part.Name(), u.spool()); err != nil {
		return err
	}
	u.part = nil
	if u.unpacked() == nil {
		return errors.New("it is not there after it was written")
	}
	return nil
}

// unpackedDir is below the folder of a pool.
const unpackedDir = "unpacked"

// dropUnpacked removes what was unpacked of sources that a pool does not have any more.
func dropUnpacked(dir string, sources map[string]Source) {
	items, _ := os.ReadDir(dir)
	for _, item := range items {
		name := strings.TrimSuffix(strings.TrimSuffix(item.Name(), ".part"), ".lock")
		source, ours := strings.CutSuffix(name, ".tar")
		if _, used := sources[source].(*packed); ours && !used {
			os.Remove(filepath.Join(dir, item.Name()))
		}
	}
}
