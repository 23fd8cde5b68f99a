package nn

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"anomalymatch/engine/runtime"
)

// fake is a device whose logits are the first pixel of each image and its place in the batch.
type fake struct {
	fails   int        // runs until it fails for good; 0: it does not
	memory  int        // images that it has memory for; 0: any number
	batches []int      // that it ran or had no memory for
	clock   *time.Time // goes on by the time that a run takes
	each    time.Duration
	fixed   time.Duration
	closed  bool
}

func (f *fake) run(pix []uint8, n, size int, want part) (r Result, err error) {
	f.batches = append(f.batches, n)
	if f.fails == 1 {
		return Result{}, errors.New("INTERNAL: the device fell off the bus.")
	}
	f.fails = max(0, f.fails-1)
	if f.memory > 0 && n > f.memory {
		return Result{}, errors.New("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes.")
	}
	if f.clock != nil {
		*f.clock = f.clock.Add(f.fixed + time.Duration(n)*f.each)
	}
	for i := range n {
		r.Logits = append(r.Logits, 0, float32(pix[i*size*size*3]))
	}
	if want.embedding {
		r.Embedding = make([]float32, n*EmbeddingSize)
	}
	return r, nil
}
func (f *fake) close() { f.closed = true }

// modelOf is a model on fake devices, and what it said.
func modelOf(t *testing.T, other func() (runtime.Opened, error), devices ...*fake) (*Model, *[]string) {
	t.Helper()
	var said []string
	m := &Model{w: withRandomHead(t), Warn: func(text string) { said = append(said, text) }}
	nets := make([]net, len(devices))
	for i, d := range devices {
		nets[i] = d
	}
	m.place(runtime.Opened{Name: "xla:cuda", Other: other}, nets)
	return m, &said
}

// numbered are n images of size 4 whose first pixels are their numbers.
func numbered(n int) []uint8 {
	pix := make([]uint8, n*4*4*3)
	for i := range n {
		pix[i*4*4*3] = uint8(i)
	}
	return pix
}

// TestSmallerBatches: a device without memory for a batch gets half as many at once until it can, and goes on with that.
func TestSmallerBatches(t *testing.T) {
	const n = 21
	for _, memory := range []int{0, 21, 20, 8, 7, 3, 1} {
		f := &fake{memory: memory}
		m, said := modelOf(t, nil, f)
		for range 2 {
			r, err := m.Run(numbered(n), n, 4)
			if err != nil || len(r.Logits) != n*Classes || len(r.Embedding) != n*EmbeddingSize {
				t.Fatalf("memory for %d: %d logits, %v", memory, len(r.Logits), err)
			}
			for i := range n {
				if r.Logits[2*i+1] != float32(i) {
					t.Fatalf("memory for %d: image %d has the logit %v", memory, i, r.Logits[2*i+1])
				}
			}
		}
		refused := map[int]int{}
		for _, b := range f.batches {
			if memory > 0 && b > memory {
				if refused[b]++; refused[b] > 1 {
					t.Errorf("memory for %d: asked again for %d: %v", memory, b, f.batches)
				}
			}
		}
		if short := memory > 0 && memory < n; short != (len(*said) > 0) || short && !strings.Contains((*said)[0], "no memory for 21 images of 4 px at once: it gets 10") {
			t.Errorf("memory for %d: said %q", memory, *said)
		}
	}
	m, _ := modelOf(t, nil, &fake{})
	m.devices[0].net = none{}
	if _, err := m.Scores(numbered(8), 8, 8, 4); err == nil || !runtime.OutOfMemory(err) {
		t.Errorf("no memory for one image: %v", err)
	}
}

// none has no memory for anything.
type none struct{}

func (none) run([]uint8, int, int, part) (Result, error) {
	return Result{}, errors.New("ONNX Runtime: Failed to allocate memory for requested buffer of size 9")
}
func (none) close() {}

// TestAnotherBackendTakesOver: what fails last is replaced, once, and said so.
func TestAnotherBackendTakesOver(t *testing.T) {
	other, err := runtime.Open(runtime.Infer, "go")
	if err != nil {
		t.Fatal(err)
	}
	bad := func() *fake { return &fake{fails: 1} }
	first, second := bad(), bad()
	m, said := modelOf(t, func() (runtime.Opened, error) { return other, nil }, first, second)
	for range 2 { // said once
		s, err := m.Scores(pixels(1, 32), 1, 1, 32)
		if err != nil || len(s) != 1 {
			t.Fatalf("scores %v, %v", s, err)
		}
	}
	want := []string{
		"xla:cuda, device 1 of 2, failed (INTERNAL: the device fell off the bus): the other devices do its work.",
		"xla:cuda, device 2 of 2 could not run the network (INTERNAL: the device fell off the bus); go does it instead, slower.",
	}
	if !slices.Equal(*said, want) || first.closed || !second.closed || m.Backend() != "go" {
		t.Errorf("said %q, want %q; closed %v, %v; backend %s", *said, want, first.closed, second.closed, m.Backend())
	}
	m.Close()
	if !first.closed {
		t.Error("the device that failed is not closed")
	}

	m, _ = modelOf(t, func() (runtime.Opened, error) { return runtime.Opened{}, errors.New("no") }, bad())
	if _, err := m.Scores(pixels(1, 32), 1, 1, 32); err == nil || !strings.Contains(err.Error(), "fell off the bus") {
		t.Errorf("nothing takes over: %v", err)
	}
	if len(m.Devices()) != 1 {
		t.Errorf("%d devices", len(m.Devices()))
	}
}

// TestDeviceFails: a device that failed says so and is not run again; the others do not care.
func TestDeviceFails(t *testing.T) {
	dead, alive := &fake{fails: 2}, &fake{}
	m, said := modelOf(t, nil, dead, alive)
	d := m.Devices()
	if _, err := d[0].Scores(numbered(2), 2, 2, 4); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := d[0].Scores(numbered(2), 2, 2, 4); err == nil {
			t.Error("no error")
		}
	}
	if s, err := d[1].Scores(numbered(2), 2, 3, 4); err != nil || len(s) != 2 || s[1] <= s[0] {
		t.Errorf("%v, %v", s, err)
	}
	if e, err := m.Embed(numbered(2), 2, 2, 4); err != nil || len(e) != 2*EmbeddingSize {
		t.Errorf("%d values, %v", len(e), err)
	}
	if len(dead.batches) != 2 || len(*said) != 1 {
		t.Errorf("ran %v, said %q", dead.batches, *said)
	}
}

// TestTrial: the batch that a device is fastest at, within its memory and what a trial may cost.
func TestTrial(t *testing.T) {
	for name, tt := range map[string]struct {
		fake         fake
		cpu          bool
		start, most  int
		images, want int
	}{
		"grows as long as it pays":      {fake{fixed: 100 * time.Millisecond, each: 100 * time.Microsecond}, false, 256, 1 << 20, 1 << 30, 16384},
		"up to the most":                {fake{fixed: 100 * time.Millisecond, each: 100 * time.Microsecond}, false, 256, 4096, 1 << 30, 4096},
		"as far as there is memory":     {fake{fixed: 100 * time.Millisecond, each: 100 * time.Microsecond, memory: 3000}, false, 256, 1 << 20, 1 << 30, 2048},
		"less than the start":           {fake{fixed: 100 * time.Millisecond, each: 100 * time.Microsecond, memory: 100}, false, 256, 1 << 20, 1 << 30, 64},
		"no memory for one":             {fake{memory: -1}, false, 256, 1 << 20, 1 << 30, 1},
		"all alike":                     {fake{each: 100 * time.Microsecond}, false, 256, 1 << 20, 1 << 30, 256},
		"a short run":                   {fake{fixed: 100 * time.Millisecond, each: 100 * time.Microsecond}, false, 256, 1 << 20, 5000, 256},
		"a processor's, two seconds":    {fake{fixed: 100 * time.Millisecond, each: 100 * time.Microsecond}, true, 256, 1 << 20, 1 << 30, 2048},
		"that fails":                    {fake{fails: 1}, false, 256, 1 << 20, 1 << 30, 256},
		"that fails in the second size": {fake{fixed: time.Second, fails: 3}, false, 256, 1 << 20, 1 << 30, 256},
	} {
		t.Run(name, func(t *testing.T) {
			f := &tt.fake
			clock := time.Unix(0, 0)
			f.clock = &clock
			m, said := modelOf(t, nil, f)
			if f.memory < 0 {
				m.devices[0].net = none{}
			}
			if tt.cpu {
				m.devices[0].name = "onnx"
			}
			if got := m.devices[0].trial(4, tt.start, tt.most, tt.images, func() time.Time { return clock }); got != tt.want {
				t.Errorf("%d images at once, want %d; tried %v", got, tt.want, f.batches)
			}
			if spent := clock.Sub(time.Unix(0, 0)); tt.cpu && spent > 2*time.Second {
				t.Errorf("it took %v", spent)
			}
			if len(*said) > 0 {
				t.Errorf("said %q", *said)
			}
		})
	}
}

// TestLanes: batches at the same time on one device agree on what takes over when it fails, and each is done.
func TestLanes(t *testing.T) {
	other, err := runtime.Open(runtime.Infer, "go")
	if err != nil {
		t.Fatal(err)
	}
	if raceDetector {
		t.Skip("the Go backend stops the race detector's pointer checks")
	}
	m, said := modelOf(t, func() (runtime.Opened, error) { return other, nil }, &fake{})
	m.on.ONNX, m.on.Name = true, "onnx"
	m.devices[0].net = gone{}
	lanes := m.Lanes()
	if len(lanes) < 2 || lanes[0] != lanes[1] {
		t.Fatalf("%d lanes", len(lanes))
	}
	var wg sync.WaitGroup
	got := make([][]float32, len(lanes))
	for i, d := range lanes {
		wg.Go(func() {
			var err error
			if got[i], err = d.Scores(pixels(2, 32), 2, 2, 32); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range got {
		if len(got[i]) != 2 || !slices.Equal(got[i], got[0]) {
			t.Errorf("lane %d: %v, want %v", i, got[i], got[0])
		}
	}
	if len(*said) != 1 || m.Backend() != "go" || len(m.Lanes()) != 1 {
		t.Errorf("said %q, backend %s", *said, m.Backend())
	}
}

// gone is a device that is not there any more.
type gone struct{}

func (gone) run([]uint8, int, int, part) (Result, error) { return Result{}, errors.New("it is gone") }
func (gone) close()                                      {}
