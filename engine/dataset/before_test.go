package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// stayedOf compares two lists by their entries.
func stayedOf(p, q *Pool) (out []Kept) {
	for to := range q.Len() {
		from, ok := p.Find(q.ID(to))
		if !ok || p.Entry(from) != q.Entry(to) {
			continue
		}
		if last := len(out) - 1; last >= 0 && out[last].From+out[last].N == from && out[last].To+out[last].N == to {
			out[last].N++
		} else {
			out = append(out, Kept{from, to, 1})
		}
	}
	return out
}

// relisted changes files of a pool and opens it with the new list.
func relisted(t *testing.T, p *Pool, change func(root string)) *Pool {
	t.Helper()
	change(p.named[0].Path)
	if changed, err := open(t, p.dir, p.named...).Refresh(t.Context()); err != nil || !changed {
		t.Fatal(changed, err)
	}
	return open(t, p.dir, p.named...)
}

func remove(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, n := range names {
		if err := os.Remove(filepath.Join(root, n)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBefore(t *testing.T) {
	later := time.Now().Add(time.Minute)
	for name, c := range map[string]struct {
		change func(root string)
		stayed int
	}{
		"one came first":    {func(root string) { put(t, root, map[string]string{"0.jpg": "jpg"}) }, 11},
		"one came last":     {func(root string) { put(t, root, map[string]string{"z.jpg": "jpg"}) }, 11},
		"a folder came":     {func(root string) { put(t, root, map[string]string{"005/a.jpg": "jpg", "005/b.jpg": "jpg"}) }, 11},
		"first and last go": {func(root string) { remove(t, root, "000.jpg", "torn.jpg") }, 9},
		"some of each": {func(root string) {
			put(t, root, map[string]string{"0.jpg": "jpg", "003a.jpg": "jpg", "005.png": "jpg"})
			remove(t, root, "001.png", "006.jpg")
		}, 8},
		"another time": {func(root string) {
			if err := os.Chtimes(filepath.Join(root, "004.jpg"), later, later); err != nil {
				t.Fatal(err)
			}
		}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := mixed(t, 8)
			if b, err := p.Before(t.Context()); b != nil || err != nil {
				t.Fatalf("a first list has one before: %+v, %v", b, err)
			}
			q := relisted(t, p, c.change)
			b, err := q.Before(t.Context())
			if err != nil || b == nil || b.Hash != p.Hash() || b.Images != p.Len() || b.Stayed() != c.stayed || !slices.Equal(b.Kept, stayedOf(p, q)) {
				t.Fatalf("before: %+v, %v; want %v", b, err, stayedOf(p, q))
			}
			// Until that is taken over the oldest list stays, whatever comes; then it goes.
			r := relisted(t, q, func(root string) { put(t, root, map[string]string{"again.png": "png"}) })
			if b, err := r.Before(t.Context()); err != nil || b.Hash != p.Hash() || !slices.Equal(b.Kept, stayedOf(p, r)) {
				t.Errorf("after a second change: %+v, %v", b, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := r.Before(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if err := errors.Join(r.CarriedOver(), r.CarriedOver()); err != nil {
				t.Error(err)
			}
			if b, err := r.Before(t.Context()); b != nil || err != nil {
				t.Errorf("after it was taken over: %+v, %v", b, err)
			}
		})
	}
}

// Another source is another list, too, and a list that is cut off, damaged, or the same as this one is passed over.
func TestBeforeOfOtherSources(t *testing.T) {
	p, dir, _ := mixed(t, 6)
	more := NamedSource{Name: "a", Path: tree(t, map[string]string{"1.jpg": "jpg"})}
	q := open(t, dir, append(slices.Clone(p.named), more)...)
	if b, err := q.Before(t.Context()); err != nil || b == nil || !slices.Equal(b.Kept, []Kept{{0, 1, p.Len()}}) {
		t.Fatalf("%+v, %v", b, err)
	}
	file := filepath.Join(dir, beforeName)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for k := 0; k < len(whole); k += 3 {
		flipped := slices.Clone(whole)
		flipped[k] ^= 8
		for _, b := range [][]byte{flipped, whole[:k]} {
			if err := os.WriteFile(file, b, 0o666); err != nil {
				t.Fatal(err)
			}
			if b, err := q.Before(t.Context()); b != nil || err != nil {
				t.Fatalf("byte %d: %+v, %v", k, b, err)
			}
		}
	}
	if err := os.Link(filepath.Join(dir, indexName), file); err != nil {
		t.Skip("no links here:", err)
	}
	if b, err := q.Before(t.Context()); b != nil || err != nil {
		t.Errorf("the list itself: %+v, %v", b, err)
	}
}

// Pixels that were prepared of images that stayed are not decoded again, and the shards are those that are made of the new list anew.
func TestPreparedIsCarriedOver(t *testing.T) {
	for name, change := range map[string]func(root string){
		"first":      func(root string) { put(t, root, map[string]string{"0.jpg": "jpg"}) },
		"last":       func(root string) { put(t, root, map[string]string{"zz.jpg": "jpg"}) },
		"many first": func(root string) { put(t, root, numbered("0/", 12)) },
		"gone":       func(root string) { remove(t, root, "003.png", "017.png", "empty.png") },
		"both": func(root string) {
			put(t, root, map[string]string{"004a.png": "png", "010.jpg": "png"})
			remove(t, root, "001.png", "020.jpg", "torn.jpg")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, dir := preparing(t, 23, true)
			pass(t, p)
			good := p.Len() - len(p.Unusable())
			q := relisted(t, p, change)
			before, err := q.Before(t.Context())
			if err != nil || before == nil {
				t.Fatal(err)
			}
			prepare(q, dir, true)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			was := shardsIn(t, dir)
			if err := q.CarryPrepared(ctx, before, nil); err != nil && (!errors.Is(err, context.Canceled) || !maps.EqualFunc(was, shardsIn(t, dir), bytes.Equal)) { // where all are links it is done at once
				t.Errorf("cut off: %v", err)
			}
			if err := q.CarryPrepared(t.Context(), before, nil); err != nil {
				t.Fatal(err)
			}
			have, gone := 0, 0
			for from := 0; from < q.Len(); from += 5 {
				if s := q.prepared.shard(q.prepared.rangeOf(from, preparedSize, q.Len())); s != nil {
					for _, k := range s.keys {
						have += int(min(k, 1))
					}
				}
			}
			for i := range p.Len() { // of the good ones
				if j, ok := q.Find(p.ID(i)); !p.IsBad(i) && (!ok || q.Entry(j) != p.Entry(i)) {
					gone++
				}
			}
			if have != good-gone {
				t.Errorf("%d rows are there, want %d", have, good-gone)
			}
			samePixels(t, "carried over", pass(t, q), fresh(t, q))
			anew, other := t.TempDir(), open(t, t.TempDir(), q.named...)
			prepare(other, anew, true)
			pass(t, other)
			if got, want := shardsIn(t, dir), shardsIn(t, anew); !maps.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%d shards are not the %d made anew", len(got), len(want))
			}
		})
	}
}

func numbered(folder string, n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("%s%d.jpg", folder, i)] = "jpg"
	}
	return out
}
