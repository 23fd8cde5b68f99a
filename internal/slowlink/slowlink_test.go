package slowlink

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// arrivals notes when bytes came.
type arrivals struct {
	bytes.Buffer
	start, first, last time.Time
}

func (a *arrivals) Write(p []byte) (int, error) {
	a.last = time.Now()
	if a.first.IsZero() {
		a.first = a.last
	}
	return a.Buffer.Write(p)
}

func near(got, want time.Duration) bool { return (got - want).Abs() < time.Millisecond }

func TestRateAndDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := bytes.Repeat([]byte("0123456789"), 12_500) // 125 KB: a second at 1 Mbit/s
		got := &arrivals{start: time.Now()}
		if err := New(1_000_000, 100*time.Millisecond).Pipe(got, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), data) {
			t.Error("not what was sent")
		}
		if d := got.first.Sub(got.start); !near(d, 50*time.Millisecond+packet*8*time.Microsecond) {
			t.Errorf("the first packet took %v, want half a round trip and its own 11.6 ms", d)
		}
		if d := got.last.Sub(got.start); !near(d, 1050*time.Millisecond) {
			t.Errorf("125 KB took %v, want 1.05 s", d)
		}
	})
}

// What is written after a pause does not profit from it, and a key waits behind what was sent before it.
func TestPauseAndQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		got := &arrivals{}
		done := make(chan error)
		go func() { done <- New(1_000_000, 100*time.Millisecond).Pipe(got, r) }()
		w.Write([]byte("k"))
		time.Sleep(10 * time.Second)
		start := time.Now()
		w.Write(make([]byte, 12_500)) // 100 ms
		time.Sleep(20 * time.Millisecond)
		w.Write([]byte("key"))
		w.Close()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if d := got.last.Sub(start); !near(d, 150*time.Millisecond) {
			t.Errorf("the key arrived after %v, want 150 ms", d)
		}
	})
}

// Only Buffer bytes are taken from the source ahead of the link.
func TestBufferIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		link := New(1_000_000, 100*time.Millisecond)
		link.Buffer = 25_000 // 200 ms
		done := make(chan error)
		go func() { done <- link.Pipe(io.Discard, r) }()
		start := time.Now()
		w.Write(make([]byte, 125_000))
		if d := time.Since(start); (d - 800*time.Millisecond).Abs() > 25*time.Millisecond {
			t.Errorf("written after %v, want about 0.8 s: all but the buffer has left", d)
		}
		w.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Read([]byte) (int, error)  { return 0, errBroken }
func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1_000_000, 0)
		if err := l.Pipe(io.Discard, broken{}); err != errBroken {
			t.Errorf("a broken source: %v", err)
		}
		if err := l.Pipe(broken{}, bytes.NewReader(make([]byte, 1<<20))); err != errBroken {
			t.Errorf("a broken destination: %v", err)
		}
		if err := New(0, 0).Pipe(io.Discard, broken{}); err == nil || err == errBroken {
			t.Errorf("no rate: %v", err)
		}
		time.Sleep(time.Minute) // the reader of the broken destination's source ends
	})
}

func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near1, far1 := net.Pipe()
		near2, far2 := net.Pipe()
		done := make(chan error)
		go func() { done <- New(1_000_000, 100*time.Millisecond).Join(far1, far2) }()
		start := time.Now()
		go func() {
			b := make([]byte, 4)
			io.ReadFull(near2, b)
			near2.Write(b)
		}()
		near1.Write([]byte("ping"))
		b := make([]byte, 4)
		if _, err := io.ReadFull(near1, b); err != nil || string(b) != "ping" {
			t.Fatalf("%q, %v", b, err)
		}
		if d := time.Since(start); !near(d, 100*time.Millisecond) {
			t.Errorf("there and back in %v, want 100 ms", d)
		}
		near1.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
		near2.Close()
		time.Sleep(time.Second) // the other direction ends too
	})
}

// The same with real time, and generous bounds.
func TestRealTime(t *testing.T) {
	start := time.Now()
	if err := New(8_000_000, 40*time.Millisecond).Pipe(io.Discard, bytes.NewReader(make([]byte, 200_000))); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 220*time.Millisecond || d > 2*time.Second {
		t.Errorf("200 KB at 8 Mbit/s took %v, want 0.22 s or a little more", d)
	}
}
