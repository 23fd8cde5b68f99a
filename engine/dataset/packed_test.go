package dataset

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compressed writes b into a new file, packed by gzip ("gz") or Zstandard ("zst").
func compressed(t testing.TB, kind string, b io.Reader, o ...zstd.EOption) string {
	path := filepath.Join(t.TempDir(), "images.tar."+kind)
	f, err := os.Create(path)
	must(t, err)
	var w io.WriteCloser = gzip.NewWriter(f)
	if kind == "zst" {
		w, err = zstd.NewWriter(f, o...)
		must(t, err)
	}
	_, err = io.Copy(w, b)
	must(t, errors.Join(err, w.Close(), f.Close()))
	return path
}

func packedOf(t testing.TB, kind, plain string) string {
	b, err := os.ReadFile(plain)
	must(t, err)
	return compressed(t, kind, bytes.NewReader(b))
}

// fivePNGs hardly shrink, so that a cut is somewhere among them; the other file does.
func fivePNGs(t testing.TB) map[string][]byte {
	files := map[string][]byte{"0.bin": bytes.Repeat([]byte("x"), 1<<20)}
	for k := range 5 {
		files[fmt.Sprintf("%d.png", k)] = pngOf(t, noise(uint64(k), 60, 60).Image())
	}
	return files
}

// TestPackedTarsThatAreDamaged: what is whole is there, why the rest is not is said, and the plain tar says the same.
func TestPackedTarsThatAreDamaged(t *testing.T) {
	files := fivePNGs(t)
	change := func(kind string, do func(b []byte) []byte) string {
		path := packedOf(t, kind, tarOf(t, tar.FormatPAX, files))
		b, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, do(b), 0o644))
		return path
	}
	half := func(b []byte) []byte { return b[:len(b)*6/10] }
	for name, c := range map[string]struct {
		path   string
		images int
		want   []string
	}{
		"gzip, cut":       {change("gz", half), 2, []string{"sky/ ends too early, after 3 images", "sky/2.png is truncated: the tar.gz ends too early"}},
		"Zstandard, cut":  {change("zst", half), 0, []string{"ends too early"}},
		"gzip, last byte": {change("gz", func(b []byte) []byte { return b[:len(b)-1] }), 5, []string{"sky/ ends too early, after 5 images"}},
		"gzip, checksum":  {change("gz", func(b []byte) []byte { b[len(b)-5] ^= 1; return b }), 5, []string{"sky/ does not have the checksum that it says: images in it may be damaged, after 5 images"}},
		"Zstandard, checksum": {change("zst", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), 0,
			[]string{"does not have the checksum that it says: images in it may be damaged"}}, // a small frame is decoded at once
		"gzip, zeros behind": {change("gz", func(b []byte) []byte { return append(b, make([]byte, 100)...) }), 5, nil},
		"gzip, two members":  {change("gz", func(b []byte) []byte { return append(b, b...) }), 5, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenSource(NamedSource{Name: "sky", Path: c.path}, Limits{})
			must(t, err)
			defer s.Close()
			streamed, said, ended := entries(s)
			if c.images == 0 && ended != nil { // nothing of it is whole
				if !strings.Contains(ended.Error(), c.want[0]) {
					t.Error(ended)
				}
				return
			}
			slices.Sort(said)
			if len(streamed) != c.images && c.images > 0 || len(c.want) > 1 && !slices.Equal(said, c.want) || ended != nil {
				t.Fatalf("%d images, said %q, ended %v", len(streamed), said, ended)
			}
			dir := t.TempDir()
			for _, how := range []string{"unpacking", "unpacked", "opened again"} {
				if how == "opened again" {
					must(t, s.Close())
					s, err = OpenSource(NamedSource{Name: "sky", Path: c.path}, Limits{})
					must(t, err)
				}
				if there := s.(*packed).keepIn(dir); there != (how != "unpacking") {
					t.Fatalf("%s: there %v", how, there)
				}
				images, bad, ended := entries(s)
				slices.Sort(bad)
				if !slices.Equal(images, streamed) || !slices.Equal(bad, said) || ended != nil {
					t.Errorf("%s: %d images, said %q, ended %v", how, len(images), bad, ended)
				}
				for _, e := range images {
					if has, err := s.Read(t.Context(), e); err != nil || !bytes.Equal(has.Encoded, files[e.Path]) {
						t.Errorf("%s: %s: %v", how, e.Path, err)
					}
				}
			}
			b, err := os.ReadFile(filepath.Join(dir, "sky.tar"))
			must(t, err)
			if bytes.Contains(b, []byte("xxxx")) || len(b) < 1<<20 {
				t.Errorf("%d bytes; a file that is no image is no hole", len(b))
			}
		})
	}
}

// zeros are n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestPackedTarsThatAreRefused(t *testing.T) {
	defer func(bytes, left int64) { packedFree, spaceLeft = bytes, left }(packedFree, spaceLeft)
	packedFree = 1 << 20
	good := tarOf(t, tar.FormatPAX, fivePNGs(t))
	bomb := func(kind string) string { // a file of 64 MB in a tar
		var head bytes.Buffer
		must(t, tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "a.png", Size: 64 << 20, Mode: 0o644}))
		return compressed(t, kind, io.MultiReader(&head, zeros(64<<20)))
	}
	plain := filepath.Join(t.TempDir(), "x.tar.gz")
	must(t, os.WriteFile(plain, []byte("hello, this is no gzip"), 0o644))
	b, err := os.ReadFile(good)
	must(t, err)
	for name, c := range map[string]struct {
		path, want string
		left       int64
	}{
		"bomb, gzip":       {path: bomb("gz"), want: "more than 200 times its bytes"},
		"bomb, Zstandard":  {path: bomb("zst"), want: "more than 200 times its bytes"},
		"window":           {path: compressed(t, "zst", io.MultiReader(bytes.NewReader(b), zeros(300<<20)), zstd.WithWindowSize(256<<20)), want: "pack it without --long"},
		"neither":          {path: plain, want: "compressed neither by gzip nor by Zstandard"},
		"no tar":           {path: compressed(t, "gz", strings.NewReader(strings.Repeat("no tar", 1000))), want: "it is no tar, or damaged"},
		"nothing":          {path: compressed(t, "gz", zeros(10240)), want: "the tar.gz is empty"},
		"no space":         {path: packedOf(t, "gz", good), want: "are left to other things; make space", left: 1 << 60},
		"only other files": {path: packedOf(t, "gz", tarOf(t, tar.FormatPAX, map[string][]byte{"a.txt": []byte("x")})), want: "the tar.gz has 1 other file"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.left > 0 {
				spaceLeft = c.left
				defer func() { spaceLeft = 0 }()
			}
			dir := t.TempDir()
			p, err := OpenPool(t.Context(), dir, []NamedSource{{Name: "sky", Path: c.path}}, Limits{}, nil)
			if err == nil {
				p.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want …%s", err, c.want)
			}
			if parts, _ := filepath.Glob(filepath.Join(dir, unpackedDir, "*.part")); len(parts) > 0 {
				t.Errorf("%q are left", parts)
			}
		})
	}
}

// TestPackedTarIsMadeAnew where the original is another one, and where what was unpacked is gone or of a source that is gone; a listing that nobody
// waits for leaves nothing.
func TestPackedTarIsMadeAnew(t *testing.T) {
	files := fivePNGs(t)
	path, dir := packedOf(t, "zst", tarOf(t, tar.FormatPAX, files)), t.TempDir()
	spool := filepath.Join(dir, unpackedDir, "sky.tar")
	sources := []NamedSource{{Name: "sky", Path: path}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := OpenPackedTar("sky", path, Limits{})
	must(t, err)
	s.(*packed).keepIn(filepath.Dir(spool))
	for range s.Entries(ctx) {
		cancel()
	}
	must(t, s.Close())
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(spool), "*tar*")); !slices.Equal(left, []string{spool + ".lock"}) {
		t.Errorf("cancelled: %q are left", left)
	}
	check := func(when string, want int) {
		t.Helper()
		p, err := OpenPool(t.Context(), dir, sources, Limits{}, nil)
		must(t, err)
		defer p.Close()
		if p.Len() != want {
			t.Errorf("%s: %d images, want %d", when, p.Len(), want)
		}
		for i := range p.Len() {
			if has, err := p.Content(t.Context(), i); err != nil || !bytes.Equal(has.Encoded, files[p.Entry(i).Path]) {
				t.Errorf("%s: %s: %v", when, p.ID(i), err)
			}
		}
		if changed, err := p.Refresh(t.Context()); changed || err != nil {
			t.Errorf("%s: changed %v, %v", when, changed, err)
		}
	}
	check("new", 5)
	was, err := os.Stat(spool)
	must(t, err)
	check("again", 5)
	if is, err := os.Stat(spool); err != nil || !os.SameFile(is, was) {
		t.Errorf("it is unpacked twice: %v", err)
	}
	must(t, os.Truncate(spool, 1000))
	check("cut off", 5)
	must(t, os.Remove(spool))
	check("removed", 5)
	must(t, os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)))
	was, err = os.Stat(spool)
	must(t, err)
	check("touched", 5)
	if is, err := os.Stat(spool); err != nil || os.SameFile(is, was) {
		t.Errorf("it is not unpacked again: %v", err)
	}
	files["0.png"], files["9.png"] = files["4.png"], files["1.png"]
	must(t, os.Rename(packedOf(t, "gz", tarOf(t, tar.FormatPAX, files)), path))
	check("another", 6)
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "a.png"), files["1.png"], 0o644))
	p, err := OpenPool(t.Context(), dir, []NamedSource{{Name: "sky", Path: folder}}, Limits{}, nil)
	must(t, err)
	must(t, p.Close())
	if _, err := os.Stat(spool); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was unpacked of a source that is gone: %v", err)
	}
}
