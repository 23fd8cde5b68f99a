package dataset

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// kinds make a source of files, each in its way.
var kinds = map[string]func(t testing.TB, files map[string][]byte) string{
	"folder": func(t testing.TB, files map[string][]byte) string {
		dir := t.TempDir()
		for name, b := range files {
			path := filepath.Join(dir, filepath.FromSlash(name))
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.WriteFile(path, b, 0o644))
		}
		return dir
	},
	"zip, stored":   func(t testing.TB, files map[string][]byte) string { return zipOf(t, zip.Store, files) },
	"zip, deflated": func(t testing.TB, files map[string][]byte) string { return zipOf(t, zip.Deflate, files) },
	"zip behind a program": func(t testing.TB, files map[string][]byte) string {
		path := zipOf(t, zip.Deflate, files)
		b, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(path, append([]byte("#!/bin/sh\nexit\n"), b...), 0o644))
		return path
	},
	"pax": func(t testing.TB, files map[string][]byte) string { return tarOf(t, tar.FormatPAX, files) },
	"gnu": func(t testing.TB, files map[string][]byte) string { return tarOf(t, tar.FormatGNU, files) },
	"tar.gz": func(t testing.TB, files map[string][]byte) string {
		return packedOf(t, "gz", tarOf(t, tar.FormatPAX, files))
	},
	"tar.zst": func(t testing.TB, files map[string][]byte) string {
		return packedOf(t, "zst", tarOf(t, tar.FormatGNU, files))
	},
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func zipOf(t testing.TB, method uint16, files map[string][]byte) string {
	path := filepath.Join(t.TempDir(), "images.zip")
	f, err := os.Create(path)
	must(t, err)
	w := zip.NewWriter(f)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		part, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: time.Unix(1e9, 0)})
		must(t, err)
		part.Write(files[name])
	}
	must(t, errors.Join(w.Close(), f.Close()))
	return path
}

func tarOf(t testing.TB, format tar.Format, files map[string][]byte) string {
	path := filepath.Join(t.TempDir(), "images.tar")
	f, err := os.Create(path)
	must(t, err)
	w := tar.NewWriter(f)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		must(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(files[name])), Mode: 0o644, ModTime: time.Unix(1e9, 0), Format: format}))
		w.Write(files[name])
	}
	must(t, errors.Join(w.Close(), f.Close()))
	return path
}

// entries lists a source: its images, what it says of others, and why it ended.
func entries(s Source) (images []Entry, bad []string, ended error) {
	for e, err := range s.Entries(context.Background()) {
		switch {
		case err == nil:
			images = append(images, e)
		case e.ID == "":
			ended = err
		default:
			bad = append(bad, e.ID+" "+err.Error())
		}
	}
	return images, bad, ended
}

// TestSources holds every kind of source to the same.
func TestSources(t *testing.T) {
	files := map[string][]byte{"notes.txt": []byte("no image"), ".hidden.png": []byte("x"), "a/._b.jpg": []byte("x"), "a/key.json": []byte("{}")}
	want := map[string][]byte{}
	for k := range 20 {
		name := fmt.Sprintf("a/%03d.png", k)
		want[name] = pngOf(t, noise(uint64(k), 20+k, 12).Image())
	}
	want["ü b.JPG"] = jpegOf(t, noise(7, 30, 40).Image())
	maps.Copy(files, want)
	for kind, make := range kinds {
		t.Run(kind, func(t *testing.T) {
			path := make(t, files)
			s, err := OpenSource(NamedSource{Name: "sky", Path: path}, Limits{})
			must(t, err)
			defer s.Close()
			images, bad, ended := entries(s)
			if len(bad) > 0 || ended != nil || len(images) != len(want) {
				t.Fatalf("%d images, bad %q, ended %v", len(images), bad, ended)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for _, e := range images {
						c, err := s.Read(t.Context(), e)
						b := c.Encoded
						if err != nil || !bytes.Equal(b, want[e.Path]) || e.Size != int64(len(b)) || e.ID != "sky/"+e.Path || e.ModTime == 0 {
							t.Errorf("%+v: %d bytes, %v", e, len(b), err)
						}
					}
				})
			}
			wg.Wait()
			again, _, _ := entries(s)
			if !slices.Equal(again, images) {
				t.Error("a second listing is another one")
			}
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := s.Read(cancelled, images[0]); !errors.Is(err, context.Canceled) {
				t.Errorf("a read that nobody waits for any more: %v", err)
			}
			for _, odd := range []Entry{
				{ID: "sky/../x.png", Path: "../x.png", At: images[0].At},
				{ID: "sky/none.png", Path: "none.png", At: images[0].At},
				{ID: images[0].ID, Path: images[0].Path, At: 1 << 50},
				{ID: images[0].ID, Path: images[0].Path, At: -512},
			} {
				if b, err := s.Read(t.Context(), odd); kind != "folder" && err == nil || err == nil && !bytes.Equal(b.Encoded, want[odd.Path]) {
					t.Errorf("%+v is read", odd)
				}
			}
			small, err := OpenSource(NamedSource{Name: "sky", Path: path}, Limits{MaxBytes: 10})
			must(t, err)
			defer small.Close()
			if _, err := small.Read(t.Context(), images[0]); !errors.Is(err, ErrLimit) {
				t.Errorf("over the limit of bytes: %v", err)
			}

			dir := t.TempDir()
			var hash [32]byte
			for range 2 { // listed, then by the list
				p, err := OpenPool(t.Context(), dir, []NamedSource{{Name: "sky", Path: path}}, Limits{}, nil)
				must(t, err)
				for i := range p.Len() {
					m, err := p.Image(t.Context(), i)
					whole, _ := Decode(want[p.Entry(i).Path], Limits{})
					if err != nil || !bytes.Equal(m.Pix, whole.Pix) {
						t.Errorf("%s: %v", p.ID(i), err)
					}
				}
				if hash != [32]byte{} && hash != p.Hash() {
					t.Error("the list that was kept is another one")
				}
				hash = p.Hash()
				if changed, err := p.Refresh(t.Context()); changed || err != nil {
					t.Errorf("changed %v, %v", changed, err)
				}
				must(t, p.Close())
			}

			must(t, os.RemoveAll(path))
			must(t, os.WriteFile(path, []byte("gone"), 0o644))
			if st, ok := s.(interface {
				Stat(context.Context, Entry) (int64, int64, error)
			}); ok {
				if _, _, err := st.Stat(t.Context(), images[0]); err == nil {
					t.Error("another file in its place is not noticed")
				}
			}
		})
	}
}

// TestContainersThatAreCut lists what is there, and says what is missing.
func TestContainersThatAreCut(t *testing.T) {
	files := map[string][]byte{}
	for k := range 5 {
		files[fmt.Sprintf("%d.png", k)] = pngOf(t, noise(uint64(k), 30, 30).Image())
	}
	path := tarOf(t, tar.FormatPAX, files)
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.Truncate(path, info.Size()/2))
	s, err := OpenTar("sky", path, Limits{})
	must(t, err)
	defer s.Close()
	images, bad, ended := entries(s)
	if len(images) == 0 || len(bad) != 2 || ended != nil || !strings.Contains(bad[0], "the tar ends too early") || !strings.Contains(bad[1], "after 3 images") {
		t.Errorf("%d images, bad %q, ended %v", len(images), bad, ended)
	}
	for _, e := range images {
		if b, err := s.Read(t.Context(), e); err != nil || !bytes.Equal(b.Encoded, files[e.Path]) {
			t.Errorf("%s: %v", e.Path, err)
		}
	}

	path = zipOf(t, zip.Deflate, files)
	z, err := OpenZip("sky", path, Limits{})
	must(t, err)
	defer z.Close()
	images, _, _ = entries(z)
	must(t, os.Truncate(path, 100))
	if _, err := z.Read(t.Context(), images[4]); !errors.Is(err, ErrSource) {
		t.Errorf("the zip was cut off while it was in use: %v", err)
	}
	if _, err := OpenZip("sky", path, Limits{}); err == nil || !strings.Contains(err.Error(), "its end is missing") {
		t.Errorf("a zip without its end: %v", err)
	}
}

// TestHostileContainers says of each part what is wrong with it, and reads the good one.
func TestHostileContainers(t *testing.T) {
	good := pngOf(t, noise(1, 9, 9).Image())
	zipped := func(name string, change func(*zip.FileHeader, *[]byte), broken func([]byte)) string {
		path := filepath.Join(t.TempDir(), "x.zip")
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		h, body := &zip.FileHeader{Name: name, Method: zip.Store}, slices.Clone(good)
		if change != nil {
			change(h, &body)
		}
		part, err := w.CreateRaw(h)
		must(t, err)
		part.Write(body)
		part, err = w.Create("good.png")
		must(t, err)
		part.Write(good)
		must(t, w.Close())
		if broken != nil {
			broken(b.Bytes())
		}
		must(t, os.WriteFile(path, b.Bytes(), 0o644))
		return path
	}
	sized := func(method uint16, size, packed uint64) func(*zip.FileHeader, *[]byte) {
		return func(h *zip.FileHeader, b *[]byte) {
			h.Method, h.UncompressedSize64, h.CompressedSize64 = method, size, packed
		}
	}
	n := uint64(len(good))
	for name, c := range map[string]struct{ path, want string }{
		"leads out":      {zipped("../up.png", sized(0, n, n), nil), "leads out"},
		"absolute":       {zipped("/etc/up.png", sized(0, n, n), nil), "leads out"},
		"no UTF-8":       {zipped("\xff\xfe.png", sized(0, n, n), nil), "not valid UTF-8"},
		"method":         {zipped("a.png", sized(93, n, n), nil), "by method 93"},
		"checksum":       {zipped("a.png", sized(0, n, n), nil), "checksum"},
		"two sizes":      {zipped("a.png", sized(0, n+1, n), nil), "two sizes"},
		"over the limit": {zipped("a.png", sized(8, 1<<40, n), nil), "images.max_file_mib"},
		"no deflate":     {zipped("a.png", sized(8, n, n), nil), "inflated"},
		"encrypted":      {zipped("a.png", func(h *zip.FileHeader, b *[]byte) { sized(0, n, n)(h, b); h.Flags = 1 }, nil), "encrypted"},
		"moved": {zipped("a.png", sized(0, n, n), func(b []byte) {
			i := bytes.Index(b, []byte(zipRecord))
			le.PutUint32(b[i+42:], 7)
		}), "something else in its place"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := OpenZip("sky", c.path, Limits{})
			must(t, err)
			defer s.Close()
			images, bad, ended := entries(s)
			must(t, ended)
			read := 0
			for _, e := range images {
				b, err := s.Read(t.Context(), e)
				if err != nil {
					bad = append(bad, e.ID+" "+err.Error())
				} else if bytes.Equal(b.Encoded, good) {
					read++
				}
			}
			if read != 1 || len(bad) != 1 || !strings.Contains(bad[0], c.want) {
				t.Errorf("%d read, bad %q", read, bad)
			}
		})
	}
	// A newer file of the same name was appended: it counts, and the older one is named.
	path := filepath.Join(t.TempDir(), "x.tar")
	f, err := os.Create(path)
	must(t, err)
	w := tar.NewWriter(f)
	for _, b := range [][]byte{[]byte("old"), good} {
		must(t, w.WriteHeader(&tar.Header{Name: "./a.png", Size: int64(len(b)), Mode: 0o644}))
		w.Write(b)
	}
	must(t, errors.Join(w.Close(), f.Close()))
	p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "sky", Path: path}}, Limits{}, nil)
	must(t, err)
	defer p.Close()
	if _, err := p.Image(t.Context(), 0); err != nil || p.Len() != 1 || len(p.Skipped) != 1 {
		t.Errorf("%d images, skipped %v, %v", p.Len(), p.Skipped, err)
	}
}

// fuzzContainer lists and reads whatever is in a file; a panic fails it.
func fuzzContainer(f *testing.F, open func(name, path string, l Limits) (Source, error)) {
	path := filepath.Join(f.TempDir(), "x")
	f.Fuzz(func(t *testing.T, b []byte) {
		must(t, os.WriteFile(path, b, 0o644))
		s, err := open("sky", path, Limits{MaxBytes: 1 << 20})
		if err != nil {
			return
		}
		defer s.Close()
		next, stop := iter.Pull2(s.Entries(t.Context()))
		defer stop()
		for range 1000 {
			e, err, more := next()
			if !more {
				break
			}
			if err == nil {
				if b, err := s.Read(t.Context(), e); err == nil && len(b.Encoded) > 1<<20 {
					t.Errorf("%d bytes are read, over the limit", len(b.Encoded))
				}
			}
		}
	})
}

func seedsOf(f *testing.F, kind ...string) {
	files := map[string][]byte{"a/b.png": pngOf(f, noise(1, 9, 9).Image()), "c.jpg": []byte("x"), "d.txt": nil}
	for _, k := range kind {
		r, err := os.Open(kinds[k](f, files))
		must(f, err)
		b, err := io.ReadAll(r)
		must(f, errors.Join(err, r.Close()))
		f.Add(b)
	}
}

func FuzzZip(f *testing.F) {
	seedsOf(f, "zip, stored", "zip, deflated", "zip behind a program")
	fuzzContainer(f, OpenZip)
}

func FuzzPackedTar(f *testing.F) {
	seedsOf(f, "tar.gz", "tar.zst")
	fuzzContainer(f, func(name, path string, l Limits) (Source, error) {
		s, err := OpenPackedTar(name, path, l)
		if err == nil && s.(*packed).size%2 == 0 {
			s.(*packed).keepIn(filepath.Join(filepath.Dir(path), "unpacked"))
		}
		return s, err
	})
}

func FuzzTar(f *testing.F) {
	seedsOf(f, "pax", "gnu")
	fuzzContainer(f, OpenTar)
}
