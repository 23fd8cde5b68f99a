package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// tree writes files below a new folder: the text "jpg" or "png" stands for a picture that differs from name to name.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	put(t, root, files)
	return root
}

func put(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		data := []byte(text)
		switch text {
		case "jpg":
			data = jpegOf(t, noise(uint64(len(name)), 20+len(name), 16).Image())
		case "png":
			data = pngOf(t, noise(uint64(len(name)), 20, 10+len(name)).Image())
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func list(t *testing.T, root string) (ids []string, bad []string, err error) {
	t.Helper()
	s, err := OpenFolder("sky", root, Limits{})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	for e, err := range s.Entries(t.Context()) {
		switch {
		case err == nil:
			if e.ID != "sky/"+e.Path || e.Size <= 0 || e.ModTime == 0 {
				t.Errorf("entry %+v", e)
			}
			ids = append(ids, e.Path)
		case e.ID == "":
			return ids, bad, err
		default:
			bad = append(bad, e.ID+" "+err.Error())
		}
	}
	slices.Sort(ids)
	return ids, bad, nil
}

func TestFolderLists(t *testing.T) {
	root := tree(t, map[string]string{
		"b.jpg": "x", "a.JPEG": "x", "deep/er/c.Png": "x", "deep/d.png": "x", "new\nline.jpg": "x", "ü.jpg": "x",
		".hidden.jpg": "x", ".git/e.jpg": "x", "notes.txt": "x", "deep/f.csv": "x", "jpg": "x",
	})
	outside := tree(t, map[string]string{"g.jpg": "x", "sub/h.jpg": "x"})
	for name, target := range map[string]string{
		"deep/loop": root, "deep/up": filepath.Dir(root), "again": filepath.Join(root, "deep"), "out": outside, "out2": outside,
		"link.jpg": filepath.Join(root, "b.jpg"), "broken.jpg": filepath.Join(root, "nowhere"), "broken.txt": filepath.Join(root, "nowhere"),
	} {
		if err := os.Symlink(target, filepath.Join(root, filepath.FromSlash(name))); err != nil {
			t.Skip("no links here:", err)
		}
	}
	if err := os.Symlink(root, filepath.Join(outside, "back")); err != nil {
		t.Fatal(err)
	}
	ids, bad, err := list(t, root)
	want := []string{"a.JPEG", "b.jpg", "deep/d.png", "deep/er/c.Png", "link.jpg", "new\nline.jpg", "out/g.jpg", "out/sub/h.jpg", "ü.jpg"}
	if err != nil || !slices.Equal(ids, want) {
		t.Errorf("ids %q, %v\nwant %q", ids, err, want)
	}
	if len(bad) != 1 || bad[0] != "sky/broken.jpg cannot be read: it does not exist" {
		t.Errorf("bad %v", bad)
	}
}

// BenchmarkListFolders lists 2,000 folders of five files, each folder after a delay as a file system far away has, with and without reading ahead.
func BenchmarkListFolders(b *testing.B) {
	files := map[string]string{}
	for i := range 10_000 {
		files[fmt.Sprintf("%02d/%02d/%d.jpg", i/500, i/5%100, i)] = "x"
	}
	root := tree(b, files)
	was := foldersAhead
	defer func() { foldersAhead, readDir = was, os.ReadDir }()
	for _, delay := range []time.Duration{0, time.Millisecond} {
		readDir = func(name string) ([]os.DirEntry, error) {
			time.Sleep(delay)
			return os.ReadDir(name)
		}
		for _, foldersAhead = range []int{0, was} {
			b.Run(fmt.Sprintf("delay=%v/ahead=%d", delay, foldersAhead), func(b *testing.B) {
				for b.Loop() {
					s, err := OpenFolder("sky", root, Limits{})
					if err != nil {
						b.Fatal(err)
					}
					n := 0
					for _, err := range s.Entries(b.Context()) {
						if err != nil {
							b.Fatal(err)
						}
						n++
					}
					if n != len(files) {
						b.Fatalf("%d files", n)
					}
				}
			})
		}
	}
}

func TestFolderErrors(t *testing.T) {
	file := filepath.Join(tree(t, map[string]string{"x.jpg": "x"}), "x.jpg")
	for name, c := range map[string]struct{ root, want string }{
		"missing":     {filepath.Join(t.TempDir(), "no\x1b[31m"), `no\x1b[31m" of source "sky" does not exist`},
		"a file":      {file, "is a file of a kind that is not read"},
		"empty":       {t.TempDir(), "it is empty; put images there"},
		"other files": {tree(t, map[string]string{"a.txt": "x", "b/c.csv": "x", "d": "x"}), "it has 3 other files; JPEG, PNG, WebP, TIFF and FITS are read"},
		"one other":   {tree(t, map[string]string{"a.txt": "x"}), "it has 1 other file; JPEG, PNG, WebP, TIFF and FITS are read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := list(t, c.root)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsRune(err.Error(), 0x1b) {
				t.Errorf("error %q, want %q", err, c.want)
			}
		})
	}
	for _, name := range []string{"", "..", "a/b", "a\nb", "a\xffb"} {
		if _, err := OpenFolder(name, t.TempDir(), Limits{}); err == nil {
			t.Errorf("source name %q is taken", name)
		}
	}
}

func TestFolderReadStaysInside(t *testing.T) {
	root := tree(t, map[string]string{"in/a.jpg": "x", "secret": "s"})
	s, err := OpenFolder("sky", filepath.Join(root, "in"), Limits{MaxBytes: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"../secret", "/etc/passwd", "a/../../secret", ""} {
		if _, err := s.Read(t.Context(), Entry{Path: p}); err == nil {
			t.Errorf("%q is read", p)
		}
	}
	put(t, root, map[string]string{"in/a.jpg": "four"})
	if _, err := s.Read(t.Context(), Entry{Path: "a.jpg"}); !errors.Is(err, ErrLimit) {
		t.Errorf("over the limit: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(root, "in")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), Entry{Path: "a.jpg"}); !errors.Is(err, ErrSource) {
		t.Errorf("a folder that is gone: %v", err)
	}
}

func open(t testing.TB, dir string, sources ...NamedSource) *Pool {
	t.Helper()
	p, err := OpenPool(context.Background(), dir, sources, Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func ids(p *Pool) (out []string) {
	for i := range p.Len() {
		out = append(out, p.ID(i))
	}
	return out
}

func TestPoolIsSortedAndKept(t *testing.T) {
	a := tree(t, map[string]string{"2.jpg": "jpg", "10.jpg": "jpg", "x/1.png": "png"})
	b := tree(t, map[string]string{"2.jpg": "jpg"})
	dir := filepath.Join(t.TempDir(), "index")
	var progress []int64
	sources := []NamedSource{{Name: "b", Path: b}, {Name: "a", Path: a}}
	p, err := OpenPool(t.Context(), dir, sources, Limits{}, func(n int64) { progress = append(progress, n) })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"a/10.jpg", "a/2.jpg", "a/x/1.png", "b/2.jpg"}
	if got := ids(p); !slices.Equal(got, want) {
		t.Fatalf("ids %q, want %q", got, want)
	}
	if len(progress) == 0 || progress[len(progress)-1] != 4 {
		t.Errorf("progress %v", progress)
	}
	for i, id := range want {
		if j, ok := p.Find(id); !ok || j != i {
			t.Errorf("Find(%q) = %d, %v", id, j, ok)
		}
	}
	for _, id := range []string{"", "a", "a/3.jpg", "c/1"} {
		if _, ok := p.Find(id); ok {
			t.Errorf("Find(%q) finds something", id)
		}
	}

	// The list is believed until Refresh, which leaves the open pool alone.
	if err := os.Remove(filepath.Join(b, "2.jpg")); err != nil {
		t.Fatal(err)
	}
	put(t, b, map[string]string{"3.jpg": "jpg"})
	q := open(t, dir, sources...)
	if !slices.Equal(ids(q), want) || q.Hash() != p.Hash() {
		t.Errorf("opened again: %q", ids(q))
	}
	if changed, err := q.Refresh(t.Context()); !changed || err != nil {
		t.Errorf("Refresh: %v, %v", changed, err)
	}
	if q.ID(3) != "b/2.jpg" {
		t.Error("Refresh changed an open pool")
	}
	r := open(t, dir, sources...)
	if r.ID(3) != "b/3.jpg" || r.Hash() == p.Hash() {
		t.Errorf("after Refresh: %q", ids(r))
	}
	if changed, err := r.Refresh(t.Context()); changed || err != nil {
		t.Errorf("Refresh of an unchanged folder: %v, %v", changed, err)
	}
	// Other sources are another list.
	if s := open(t, dir, NamedSource{Name: "a", Path: a}); s.Len() != 3 {
		t.Errorf("with one source: %q", ids(s))
	}
}

func TestPoolErrors(t *testing.T) {
	a := tree(t, map[string]string{"1.jpg": "x"})
	for name, c := range map[string]struct {
		sources []NamedSource
		want    string
	}{
		"none":    {nil, "the project has no source"},
		"twice":   {[]NamedSource{{Name: "a", Path: a}, {Name: "a", Path: a}}, `two sources have the name "a"`},
		"missing": {[]NamedSource{{Name: "a", Path: a}, {Name: "b", Path: a + "x"}}, `of source "b" does not exist`},
		"empty":   {[]NamedSource{{Name: "a", Path: a}, {Name: "b", Path: t.TempDir()}}, "no images in"},
	} {
		if _, err := OpenPool(t.Context(), t.TempDir(), c.sources, Limits{}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenPool(ctx, t.TempDir(), []NamedSource{{Name: "a", Path: a}}, Limits{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestIndexDamageIsNoticed(t *testing.T) {
	x := newIndex([]NamedSource{{Name: "a", Path: "/somewhere"}}, []Entry{{ID: "a/2", Size: 5, ModTime: 7}, {ID: "a/1", Size: 6, ModTime: 8}},
		[]BadImage{{ID: "a/3", Reason: "is empty"}})
	var b bytes.Buffer
	if err := x.encode(&b, x.row); err != nil {
		t.Fatal(err)
	}
	y, err := parseIndex(b.Bytes())
	if err != nil || !bytes.Equal(x.columns, y.columns) || !slices.Equal(x.Skipped, y.Skipped) || !slices.Equal(x.Sources, y.Sources) || !bytes.Equal(x.Hash, y.Hash) {
		t.Fatalf("read back: %+v, %v", y, err)
	}
	for i := range b.Len() {
		broken := slices.Clone(b.Bytes())
		broken[i] ^= 4
		if _, err := parseIndex(broken); err == nil {
			t.Errorf("a flipped bit in byte %d goes unnoticed", i)
		}
		if _, err := parseIndex(b.Bytes()[:i]); err == nil {
			t.Errorf("an end at byte %d goes unnoticed", i)
		}
	}

	a := tree(t, map[string]string{"1.jpg": "jpg"})
	dir := t.TempDir()
	open(t, dir, NamedSource{Name: "a", Path: a})
	file := filepath.Join(dir, indexName)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1]++
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if p := open(t, dir, NamedSource{Name: "a", Path: a}); p.Len() != 1 {
		t.Error("a damaged list is not made again")
	}
	if _, err := readIndex(dir); err != nil {
		t.Errorf("nor kept: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// BenchmarkMatch is the first name of a table that is matched against a million images, and then one of them.
func BenchmarkMatch(b *testing.B) {
	x := million()
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p := &Pool{index: x}
			if _, err := p.Match("cutout_00123456.jpg"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("next", func(b *testing.B) {
		p := &Pool{index: x}
		for b.Loop() {
			if _, err := p.Match("cutout_00123456.jpg"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func FuzzIndex(f *testing.F) {
	var b bytes.Buffer
	x0 := newIndex([]NamedSource{{Name: "a", Path: "p"}}, []Entry{{ID: "a/1", Size: 3}, {ID: "a/2"}}, nil)
	x0.encode(&b, x0.row)
	f.Add(b.Bytes()[:b.Len()-4])
	f.Add([]byte(indexMagic))
	f.Fuzz(func(t *testing.T, body []byte) {
		x, err := parseIndex(le.AppendUint32(body, crc32.Checksum(body, crcTable))) // past the checksum: what a hostile file would have
		if err != nil {
			return
		}
		for i := range x.len() {
			if j, ok := x.find(x.id(i)); !ok || i != j {
				t.Fatalf("id %d is found at %d", i, j)
			}
		}
	})
}

func TestPoolMatch(t *testing.T) {
	a := tree(t, map[string]string{"1.jpg": "x", "x/1.jpg": "x", "x/2.jpg": "x", "y/2.jpg": "x", "x/only.jpg": "x", "ponly.jpg": "x"})
	b := tree(t, map[string]string{"far.jpg": "x"})
	p := open(t, t.TempDir(), NamedSource{Name: "a", Path: a}, NamedSource{Name: "b", Path: b})
	for name, want := range map[string]string{
		"a/x/1.jpg": "a/x/1.jpg", "x/1.jpg": "a/x/1.jpg", "1.jpg": "a/1.jpg", "only.jpg": "a/x/only.jpg", "./far.jpg": "b/far.jpg",
		`x\2.jpg`: "a/x/2.jpg", filepath.Join(a, "y", "2.jpg"): "a/y/2.jpg", "/elsewhere/b/far.jpg": "b/far.jpg",
	} {
		if i, err := p.Match(name); err != nil || p.ID(i) != want {
			t.Errorf("Match(%q) = %d, %v; want %s", name, i, err, want)
		}
	}
	for name, want := range map[string]string{
		"2.jpg": "can be 2 images: write the id, such as \"a/x/2.jpg\"", "no.jpg": `no image is called "no.jpg"`,
		"z/only.jpg": "no image", "": "no image", "nly.jpg": "no image", "a/far.jpg\x1b": `"a/far.jpg\x1b"`,
	} {
		if i, err := p.Match(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Match(%q) = %d, %v; want %q", name, i, err, want)
		}
	}
}

// Names that have one hash are still told apart, and what the names take is 8 bytes an image.
func TestMatchOfOneHash(t *testing.T) {
	names, seen := []string(nil), map[uint32]string{}
	for i := 0; names == nil; i++ {
		name := fmt.Sprintf("%d.jpg", i)
		if other, ok := seen[nameHash(name)]; ok {
			names = []string{other, name}
		}
		seen[nameHash(name)] = name
	}
	p := open(t, t.TempDir(), NamedSource{Name: "a", Path: tree(t, map[string]string{names[0]: "x", names[1]: "x"})})
	for _, name := range names {
		if i, err := p.Match(name); err != nil || p.ID(i) != "a/"+name {
			t.Errorf("Match(%q) = %d, %v", name, i, err)
		}
	}
}

// mixed is a pool of good and bad images.
func mixed(t testing.TB, n int) (p *Pool, dir, root string) {
	files := map[string]string{"empty.png": "", "text.jpg": "hello", "torn.jpg": "\xff\xd8\xff\xe0"}
	for i := range n {
		files[fmt.Sprintf("%03d.%s", i, []string{"jpg", "png"}[i%2])] = []string{"jpg", "png"}[i%2]
	}
	root, dir = tree(t, files), t.TempDir()
	return open(t, dir, NamedSource{Name: "sky", Path: root}), dir, root
}

func TestBadImagesAreRemembered(t *testing.T) {
	p, dir, root := mixed(t, 2)
	i, _ := p.Find("sky/empty.png")
	if _, err := p.Image(t.Context(), i); err == nil || err.Error() != `"sky/empty.png" is empty: it has 0 bytes` {
		t.Fatalf("error %v", err)
	}
	for i := range p.Len() {
		p.Image(t.Context(), i)
	}
	want := []BadImage{{ID: "sky/empty.png", Reason: "is empty: it has 0 bytes"}, {ID: "sky/text.jpg", Reason: "is not an image this program reads (JPEG, PNG, WebP, TIFF and FITS)"},
		{ID: "sky/torn.jpg", Reason: "is truncated: the JPEG ends too early"}}
	if got := p.Bad(); !slices.Equal(got, want) || !p.IsBad(i) {
		t.Errorf("bad %v", got)
	}
	q := open(t, dir, p.named...)
	if got := q.Bad(); !slices.Equal(got, want) {
		t.Errorf("opened again: bad %v", got)
	}

	// What may pass is listed, but tried again: a file that is gone, a limit.
	if err := os.Remove(filepath.Join(root, "000.jpg")); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Image(t.Context(), 0); err == nil || err.Error() != `"sky/000.jpg" cannot be read: it does not exist` {
		t.Errorf("error %v", err)
	}
	q.limits.MaxPixels = 10
	if _, err := q.Image(t.Context(), 1); !errors.Is(err, ErrLimit) {
		t.Errorf("error %v", err)
	}
	if again := open(t, dir, p.named...); len(q.Bad()) != 5 || len(again.Bad()) != 5 || len(again.Unusable()) != 3 {
		t.Errorf("bad %v, opened again %v", q.Bad(), again.Bad())
	}
	again := open(t, dir, p.named...)
	if _, err := again.Image(t.Context(), 1); err != nil || len(again.Bad()) != 4 || len(open(t, dir, p.named...).Bad()) != 4 {
		t.Errorf("without the limit: %v, bad %v", err, again.Bad())
	}

	// A file that was replaced gets a new chance.
	put(t, root, map[string]string{"empty.png": "png"})
	if _, err := q.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := open(t, dir, p.named...); len(r.Bad()) != 2 {
		t.Errorf("bad %v", r.Bad())
	}
	if _, err := q.Image(t.Context(), p.Len()); err == nil {
		t.Error("no error for a number outside the pool")
	}
}

// An image that is another file than the listing saw is used as it is and listed, by whoever opens the pool, until it is listed anew or is the one that
// was listed again; also where its pixels are prepared.
func TestChangedImagesAreListed(t *testing.T) {
	for name, prepared := range map[string]bool{"decoded": false, "prepared": true} {
		t.Run(name, func(t *testing.T) {
			p, _, root := mixed(t, 4)
			look := func(p *Pool) (usable int) {
				if prepared {
					prepare(p, filepath.Join(p.dir, "prepared"), true)
				}
				for _, pix := range pass(t, p) {
					if pix != nil {
						usable++
					}
				}
				return usable
			}
			look(p)
			before := p.Bad()
			path := filepath.Join(root, "002.jpg")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			later := info.ModTime().Add(time.Second)
			if err := os.Chtimes(path, later, later); err != nil {
				t.Fatal(err)
			}
			want := append(slices.Clone(before), BadImage{ID: "sky/002.jpg", Reason: "changed since the list was made", Changed: true})
			slices.SortFunc(want, func(a, b BadImage) int { return strings.Compare(a.ID, b.ID) })
			for range 2 { // the second time its pixels are prepared
				if n := look(p); n != 4 || !slices.Equal(p.Bad(), want) || p.IsBad(2) {
					t.Errorf("%d usable, bad %v", n, p.Bad())
				}
			}
			if q := open(t, p.dir, p.named...); !slices.Equal(q.Bad(), want) || q.IsBad(2) {
				t.Errorf("another process: bad %v", q.Bad())
			}
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			if look(p); !slices.Equal(p.Bad(), before) || !slices.Equal(open(t, p.dir, p.named...).Bad(), before) {
				t.Errorf("as it was: bad %v", p.Bad())
			}
			put(t, root, map[string]string{"002.jpg": "png"})
			if look(p); !slices.Equal(p.Bad(), want) {
				t.Errorf("another picture: bad %v", p.Bad())
			}
			if changed, err := p.Refresh(t.Context()); err != nil || !changed {
				t.Fatal(changed, err)
			}
			q := open(t, p.dir, p.named...)
			if look(q); !slices.Equal(q.Bad(), before) {
				t.Errorf("listed anew: bad %v", q.Bad())
			}
			if b, err := q.Before(t.Context()); err != nil || b.Stayed() != q.Len()-1 {
				t.Errorf("%+v, %v", b, err)
			}
		})
	}
}

func TestBatches(t *testing.T) {
	p, _, _ := mixed(t, 23)
	idx := rand.New(rand.NewPCG(1, 2)).Perm(p.Len())
	var want Batch
	for _, i := range idx {
		m, err := p.Image(t.Context(), i)
		if err != nil {
			continue
		}
		want.Index, want.Pix = append(want.Index, i), append(want.Pix, Resize(m, 12, 12).Pix...)
	}
	if len(want.Index) != 23 {
		t.Fatalf("%d images", len(want.Index))
	}
	for _, n := range []int{1, 5, 23, 100} {
		for _, workers := range []int{0, 1, 4} {
			p, _, _ := mixed(t, 23)
			var got Batch
			for b, err := range p.Batches(t.Context(), idx, 12, n, workers) {
				if err != nil || b.Size != 12 || len(b.Index) == 0 || len(b.Index) > n || len(b.Pix) != len(b.Index)*12*12*3 {
					t.Fatalf("n %d: %d images, %d bytes, %v", n, len(b.Index), len(b.Pix), err)
				}
				got.Index, got.Pix = append(got.Index, b.Index...), append(got.Pix, b.Pix...)
			}
			if !slices.Equal(got.Index, want.Index) || !bytes.Equal(got.Pix, want.Pix) {
				t.Errorf("n %d, workers %d: other images, order or pixels", n, workers)
			}
			if len(p.Bad()) != 3 {
				t.Errorf("bad %v", p.Bad())
			}
		}
	}
}

func TestBatchesStop(t *testing.T) {
	p, _, root := mixed(t, 20)
	all := make([]int, 200)
	for range p.Batches(t.Context(), all, 8, 4, 3) {
		break // must return with all its workers
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for b, err := range p.Batches(ctx, all, 8, 4, 3) {
		cancel()
		if last = err; err == nil && len(b.Index) != 4 {
			t.Errorf("%d images", len(b.Index))
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled: %v", last)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range p.Batches(t.Context(), all, 8, 4, 3) {
		n, last = n+1, err
	}
	if n != 1 || !errors.Is(last, ErrSource) || len(p.Bad()) != 0 {
		t.Errorf("source gone: %d batches, %v, bad %v", n, last, p.Bad())
	}
	for range p.Batches(t.Context(), nil, 8, 4, 3) {
		t.Error("a batch of nothing")
	}
}

// holey is a pool of 20 images of which 4 are bad: the first, two in the middle, the last.
func holey(t *testing.T) (p *Pool, dir, root string) {
	files := map[string]string{}
	for i := range 20 {
		files[fmt.Sprintf("%02d.png", i)] = "png"
	}
	for _, i := range []int{0, 7, 8, 19} {
		files[fmt.Sprintf("%02d.png", i)] = ""
	}
	root, dir = tree(t, files), t.TempDir()
	return open(t, dir, NamedSource{Name: "sky", Path: root}), dir, root
}

// TestBlocks: an image has its place whatever becomes of the others, whether they are known to be bad or found so, and a part of the
// pool that begins at a block has the blocks of the whole.
func TestBlocks(t *testing.T) {
	p, dir, _ := holey(t)
	const n, size, bytes = 6, 12, 12 * 12 * 3
	blocks := func(p *Pool, from, to int) (all []Block) {
		for b, err := range p.Blocks(t.Context(), from, to, size, n, 3) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		return all
	}
	found := blocks(p, 0, 20)
	known := blocks(open(t, dir, p.named...), 0, 20)
	if len(p.BadIn(0, 20)) != 4 || len(p.BadIn(1, 8)) != 1 || !reflect.DeepEqual(found, known) {
		t.Errorf("bad %v; the blocks differ once the bad images are known", p.BadIn(0, 20))
	}
	if parts := append(blocks(p, 0, 12), blocks(p, 12, 20)...); !reflect.DeepEqual(parts, found) {
		t.Error("two parts have other blocks than the whole")
	}
	for k, b := range found {
		if b.From != k*n || b.To != min(b.From+n, 20) || len(b.Usable) != b.To-b.From || len(b.Pix) != n*bytes {
			t.Fatalf("block %d: %d to %d, %d, %d bytes", k, b.From, b.To, len(b.Usable), len(b.Pix))
		}
		for place := range n {
			want := make([]uint8, bytes)
			if i := b.From + place; i < b.To {
				if m, err := p.Image(t.Context(), i); err == nil {
					want = Resize(m, size, size).Pix
				}
				if b.Usable[place] == p.IsBad(i) {
					t.Errorf("image %d: usable %v", i, b.Usable[place])
				}
			}
			if got := b.Pix[place*bytes : (place+1)*bytes]; !slices.Equal(got, want) {
				t.Errorf("block %d, place %d: other pixels", k, place)
			}
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range p.Blocks(ctx, 0, 20, size, 4, 3) {
		cancel()
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled: %v", last)
	}
	for range p.Blocks(t.Context(), 3, 3, size, 4, 3) {
		t.Error("a block of nothing")
	}
}

// TestSharedPools: what one of several processes finds bad goes to another by hand, with all that is known of it.
func TestSharedPools(t *testing.T) {
	p, dir, root := holey(t)
	p.Share()
	if err := os.Remove(filepath.Join(root, "03.png")); err != nil {
		t.Fatal(err)
	}
	for i := range p.Len() {
		p.Image(t.Context(), i)
	}
	found := p.Bad()
	q := open(t, dir, p.named...)
	if len(found) != 5 || len(q.Bad()) != 0 {
		t.Fatalf("%v; on disk %v", found, q.Bad())
	}
	r := open(t, dir, p.named...) // beside q, in another process
	q.TakeBad(append(slices.Clone(found), BadImage{ID: "sky/unknown.png", Reason: "is not there"}))
	if !slices.Equal(q.Bad(), found) {
		t.Errorf("taken %v, want %v", q.Bad(), found)
	}
	r.LoadBad()
	if !slices.Equal(r.Bad(), found) || len(r.Unusable()) != 4 { // the file that is gone may come back
		t.Errorf("another process reads %v; %d cannot be used", r.Bad(), len(r.Unusable()))
	}
}

func TestThumb(t *testing.T) {
	root := tree(t, nil)
	wide := noise(1, 90, 30)
	if err := os.WriteFile(filepath.Join(root, "w.png"), pngOf(t, wide.Image()), 0o644); err != nil {
		t.Fatal(err)
	}
	p := open(t, t.TempDir(), NamedSource{Name: "s", Path: root})
	for limit, want := range map[int][2]int{30: {30, 10}, 1: {1, 1}, 90: {90, 30}, 5000: {90, 30}, 0: {1, 1}, 45: {45, 15}} {
		thumb, err := p.Thumb(t.Context(), 0, View{MaxPx: limit})
		data, w, h, srcW, srcH := thumb.Data, thumb.W, thumb.H, thumb.SrcW, thumb.SrcH
		if err != nil || [2]int{w, h} != want || srcW != 90 || srcH != 30 {
			t.Errorf("limit %d: %d×%d of %d×%d, %v; want %v", limit, w, h, srcW, srcH, err, want)
			continue
		}
		m, err := Decode(data, Limits{})
		if err != nil || !bytes.Equal(m.Pix, Resize(wide, w, h).Pix) {
			t.Errorf("limit %d: other pixels, %v", limit, err)
		}
		if cfg, err := png.DecodeConfig(bytes.NewReader(data)); err != nil || cfg.Width != w {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// million is a list as large as the ones the program is for.
func million() *index {
	entries := make([]Entry, 1_000_000)
	for i := range entries {
		entries[i] = Entry{ID: fmt.Sprintf("survey/tile%04d/cutout_%08d.jpg", i%1000, i), Size: int64(9000 + i%777), ModTime: time.Now().UnixNano()}
	}
	return newIndex([]NamedSource{{Name: "survey", Path: "/data"}}, entries, nil)
}

// BenchmarkOpenMillion opens a million images and says what one of them costs on disk, in memory, and while it is being opened.
func BenchmarkOpenMillion(b *testing.B) {
	dir := b.TempDir()
	x := million()
	n := x.len()
	if err := x.write(dir, false, x.row); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, indexName))
	if err != nil {
		b.Fatal(err)
	}
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	x = nil
	before := heap()
	b.ReportAllocs()
	for b.Loop() {
		if x, err = readIndex(dir); err != nil || x.len() != n {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(x.id(0))), "id-bytes")
	b.ReportMetric(float64(info.Size())/float64(n), "disk-bytes/image")
	b.ReportMetric((heap()-before)/float64(n), "heap-bytes/image")
	runtime.KeepAlive(x)
}

func BenchmarkBatches(b *testing.B) {
	p, _, _ := mixed(b, 64)
	idx := make([]int, 512)
	for i := range idx {
		idx[i] = i % 64
	}
	for b.Loop() {
		for range p.Batches(b.Context(), idx, 64, 64, 2) {
		}
	}
	b.ReportMetric(float64(len(idx)*b.N)/b.Elapsed().Seconds(), "images/s")
}

// TestListed: the header alone says how many images there are.
func TestListed(t *testing.T) {
	dir := t.TempDir()
	if _, ok := Listed(dir); ok {
		t.Error("nothing is listed yet")
	}
	x := newIndex(nil, []Entry{{ID: "a/1.png", Size: 3}, {ID: "a/2.png", Size: 4}}, nil)
	if err := x.write(dir, false, x.row); err != nil {
		t.Fatal(err)
	}
	if n, ok := Listed(dir); !ok || n != 2 {
		t.Errorf("%d, %v", n, ok)
	}
	for _, text := range []string{"", "other", indexMagic, indexMagic + "\xff\xff\xff\xff{}", indexMagic + "\x02\x00\x00\x00{x", indexMagic + "\x0d\x00\x00\x00{\"images\":-1}"} {
		if err := os.WriteFile(filepath.Join(dir, indexName), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, ok := Listed(dir); ok {
			t.Errorf("%q counts", text)
		}
	}
}
