package array

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"anomalymatch/engine/dataset/raw"
)

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		axes  Axes
		one   bool
		want  Layout
		ok    bool
	}{
		{[]int64{24, 48, 40, 3}, Auto, false, Layout{N: 24, H: 48, W: 40, C: 3}, true},
		{[]int64{24, 3, 48, 40}, Auto, false, Layout{N: 24, H: 48, W: 40, C: 3, Planar: true}, true},
		{[]int64{24, 3, 48, 40}, HWC, false, Layout{N: 24, H: 3, W: 48, C: 40}, true},
		{[]int64{24, 48, 40, 3}, CHW, false, Layout{N: 24, H: 40, W: 3, C: 48, Planar: true}, true},
		{[]int64{24, 5, 6, 5}, Auto, false, Layout{N: 24, H: 5, W: 6, C: 5}, true}, // a tie
		{[]int64{24, 48, 40}, Auto, false, Layout{N: 24, H: 48, W: 40, C: 1}, true},
		{[]int64{48, 40, 3}, Auto, false, Layout{N: 1, One: true, H: 48, W: 40, C: 3}, true},
		{[]int64{3, 48, 40}, Auto, true, Layout{N: 1, One: true, H: 48, W: 40, C: 3, Planar: true}, true},
		{[]int64{48, 40}, Auto, false, Layout{N: 1, One: true, H: 48, W: 40, C: 1}, true},
		{[]int64{0, 4, 5, 3}, Auto, false, Layout{N: 0, H: 4, W: 5, C: 3}, true},
		{shape: []int64{48}},
		{shape: []int64{2, 3, 4, 5, 6}},
		{shape: []int64{24, 48, 0, 3}},
		{shape: []int64{24, 1 << 40, 1 << 40, 3}},
		{shape: []int64{1 << 40, 4, 5, 3}},
	} {
		got, err := Plan(c.shape, c.axes, c.one, 1_000_000)
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%v: %+v, %v, want %+v", c.shape, got, err, c.want)
		}
	}
}

func TestPixels(t *testing.T) {
	l := Layout{N: 1, H: 1, W: 2, C: 1}
	for code, c := range map[string]struct {
		b    []byte
		want any
	}{
		"|u1": {[]byte{1, 255}, []uint8{1, 255}},
		"|i1": {[]byte{1, 255}, []int8{1, -1}},
		"|b1": {[]byte{0, 1}, []uint8{0, 1}},
		"<u2": {[]byte{1, 2, 3, 4}, []uint16{0x201, 0x403}},
		">i2": {[]byte{1, 2, 255, 254}, []int16{0x102, -2}},
		"<i4": {[]byte{1, 0, 0, 0, 254, 255, 255, 255}, []int32{1, -2}},
		">u4": {[]byte{0, 0, 0, 1, 255, 255, 255, 254}, []uint32{1, math.MaxUint32 - 1}},
		">u8": {[]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0}, []uint64{1, 256}},
		"<i8": {append(bytes.Repeat([]byte{255}, 8), 2, 0, 0, 0, 0, 0, 0, 0), []int64{-1, 2}},
		"<f2": {[]byte{0, 0x3c, 0, 0xc0}, []float32{1, -2}},
		">f4": {[]byte{0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0}, []float32{1, -2}},
		"<f8": {[]byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, []float64{1, -2}},
	} {
		typ, ok := ParseType(code)
		if !ok {
			t.Errorf("%s is not known", code)
			continue
		}
		m := l.Pixels(typ, c.b)
		if want := (raw.Image{W: 2, H: 1, C: 1, Data: c.want}); !bytes.Equal(m.Bytes(), want.Bytes()) || m.Kind() != want.Kind() {
			t.Errorf("%s: %v, want %v", code, m.Data, c.want)
		}
	}
	for _, code := range []string{"", "u", "<c8", "|O", "<U5", "f16", "<u3"} {
		if typ, ok := ParseType(code); ok {
			t.Errorf("%q is %v", code, typ)
		}
	}
}

// at reads an element of an array in C order.
func at(b []byte, shape, place []int, size int) []byte {
	i := 0
	for a, p := range place {
		i = i*shape[a] + p
	}
	return b[i*size : (i+1)*size]
}

// places visits all places of a box.
func places(count []int, visit func([]int)) {
	place := make([]int, len(count))
	for !slices.Contains(count, 0) {
		visit(place)
		a := len(count) - 1
		for ; a >= 0; a-- {
			if place[a]++; place[a] < count[a] {
				break
			}
			place[a] = 0
		}
		if a < 0 {
			return
		}
	}
}

func add(a, b []int) []int {
	out := slices.Clone(a)
	for i := range b {
		out[i] += b[i]
	}
	return out
}

func TestCopyBlock(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		rank, size := 1+r.IntN(4), 1+r.IntN(3)
		var from, to, src, dst, count []int
		n, m := size, size
		for range rank {
			count = append(count, r.IntN(4))
			from, to = append(from, r.IntN(3)*r.IntN(2)), append(to, r.IntN(3)*r.IntN(2))
			a := len(count) - 1
			src, dst = append(src, from[a]+count[a]+r.IntN(3)*r.IntN(2)), append(dst, to[a]+count[a]+r.IntN(3)*r.IntN(2))
			n, m = n*src[a], m*dst[a]
		}
		b, got, want := make([]byte, n), make([]byte, m), make([]byte, m)
		for i := range b {
			b[i] = byte(r.Int())
		}
		CopyBlock(got, dst, to, b, src, from, count, size)
		places(count, func(p []int) { copy(at(want, dst, add(to, p), size), at(b, src, add(from, p), size)) })
		if !bytes.Equal(got, want) {
			t.Fatalf("box %v from %v of %v to %v of %v: %v, want %v", count, from, src, to, dst, got, want)
		}
	}
}

func TestPermute(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		rank, size := 1+r.IntN(4), 1+r.IntN(3)
		var shape []int
		n := size
		for range rank {
			shape = append(shape, r.IntN(4))
			n *= shape[len(shape)-1]
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Int())
		}
		perm := r.Perm(rank)
		moved := func(p []int) []int {
			out := make([]int, rank)
			for i, a := range perm {
				out[i] = p[a]
			}
			return out
		}
		got := Permute(b, shape, perm, size)
		places(shape, func(p []int) {
			if !bytes.Equal(at(got, moved(shape), moved(p), size), at(b, shape, p, size)) {
				t.Fatalf("%v by %v: the value of %v is elsewhere", shape, perm, p)
			}
		})
		reversed := slices.Clone(shape)
		slices.Reverse(reversed)
		got = FromFortran(b, shape, size)
		places(shape, func(p []int) {
			q := slices.Clone(p)
			slices.Reverse(q)
			if !bytes.Equal(at(got, shape, p, size), at(b, reversed, q, size)) {
				t.Fatalf("Fortran order of %v: the value of %v is elsewhere", shape, p)
			}
		})
	}
}

func TestUnshuffle(t *testing.T) {
	for _, c := range []struct {
		src  string
		size int
		want string
	}{
		{"adbecf", 3, "abcdef"}, {"adbecfxy", 3, "abcdefxy"}, {"abc", 1, "abc"}, {"abc", 4, "abc"}, {"", 4, ""}, {"acebdf", 2, "abcdef"},
	} {
		got := make([]byte, len(c.src))
		if Unshuffle(got, []byte(c.src), c.size); string(got) != c.want {
			t.Errorf("%q in %d: %q, want %q", c.src, c.size, got, c.want)
		}
	}
}

func TestProduct(t *testing.T) {
	if p, ok := Product(3, 4, 5); p != 60 || !ok {
		t.Error(p, ok)
	}
	if p, ok := Product(1<<40, 0, 1<<40); p != 0 || !ok {
		t.Error(p, ok)
	}
	if _, ok := Product(1<<40, 1<<40); ok {
		t.Error("it fits")
	}
	if _, ok := Product(3, -1); ok {
		t.Error("it counts")
	}
}

func TestCache(t *testing.T) {
	c := NewCache[int, int](100)
	var made atomic.Int32
	get := func(k int, size int64) int {
		v, err := c.Get(k, func() (int, int64, error) { made.Add(1); return 10 * k, size, nil })
		if err != nil || v != 10*k {
			t.Errorf("%d is %d, %v", k, v, err)
		}
		return int(made.Load())
	}
	for i, want := range []int{1, 2, 2, 3, 3, 4, 4, 5} { // the third pushes out the first but for the second, which was asked for last
		if got := get([]int{1, 2, 1, 3, 1, 2, 1, 3}[i], 40); got != want {
			t.Errorf("%d: %d were made, want %d", i, got, want)
		}
	}
	get(4, 1000) // larger than all: alone, but there
	if n := get(4, 1000); n != 6 {
		t.Errorf("%d were made, want 6", n)
	}
	if c.used > 1000 || len(c.items) != 1 || c.recent.Len() != 1 {
		t.Errorf("%d items of %d bytes", len(c.items), c.used)
	}
	if get(1, 10); c.used > 100 {
		t.Errorf("%d bytes are kept", c.used)
	}

	// Errors and panics are not kept, and nobody waits for ever.
	failed := errors.New("no")
	for range 2 {
		if _, err := c.Get(7, func() (int, int64, error) { return 0, 0, failed }); err != failed {
			t.Error(err)
		}
	}
	func() {
		defer func() { recover() }()
		c.Get(8, func() (int, int64, error) { panic("odd bytes") })
	}()
	get(8, 1)

	// Many that ask for the same at once.
	made.Store(0)
	var wg sync.WaitGroup
	start := make(chan bool)
	for range 50 {
		wg.Go(func() {
			<-start
			for k := range 3 {
				get(100+k, 1)
			}
		})
	}
	close(start)
	wg.Wait()
	if n := made.Load(); n != 3 {
		t.Errorf("%d were made, want 3", n)
	}
}

func TestDecompressLimits(t *testing.T) {
	for name, f := range map[string]func([]byte, int64) ([]byte, error){"zlib": Zlib, "gzip": Gzip, "zstd": Zstd} {
		for _, b := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("junk"), 100)} {
			if out, err := f(b, 1000); err == nil && len(b) > 0 {
				t.Errorf("%s: junk became %d bytes", name, len(out))
			}
		}
	}
}

// TestZstdWindow refuses nine bytes that ask for a window of 128 MB.
func TestZstdWindow(t *testing.T) {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x88, 0x18, 0, 0, 'a', 'b', 'c', 1, 0, 0}
	if out, err := Zstd(frame, 1000); err == nil {
		t.Errorf("it became %q", out)
	}
	if out, err := Zstd(frame, 128<<20); err != nil || string(out) != "abc" {
		t.Errorf("%q, %v, want abc", out, err)
	}
}
