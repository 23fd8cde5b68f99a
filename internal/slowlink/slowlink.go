// Package slowlink stands in for a slow network, so that tests and benchmarks measure what a person behind one sees.
//
//	link := slowlink.New(1_000_000, 100*time.Millisecond) // 1 Mbit/s each way, 100 ms there and back
//	go link.Pipe(pty, terminal)                           // keys and answers
//	link.Pipe(terminal, pty)                              // frames and pictures
//
// Every Pipe is one direction with a rate of its own: bytes leave one packet after the other at the rate, and arrive half a round trip
// later. At most Buffer bytes wait before the link; beyond that the source is not read, as when a socket is full. There is no loss, no
// jitter and no overhead of packets; good up to 100 Mbit/s. Under testing/synctest time is exact.
package slowlink

import (
	"errors"
	"io"
	"time"
)

// packet is the most bytes that travel together: what TCP puts into a packet of Ethernet.
const packet = 1448

// Link is a network's rate and delay. The fields may be set until the first Pipe.
type Link struct {
	BitsPerSecond int
	RoundTrip     time.Duration
	Buffer        int // bytes waiting before the link, in each direction
}

// New is a link with 64 KiB of buffer, about what ssh and its socket hold.
func New(bitsPerSecond int, roundTrip time.Duration) *Link {
	return &Link{BitsPerSecond: bitsPerSecond, RoundTrip: roundTrip, Buffer: 64 << 10}
}

// Pipe carries what comes from src to dst until src ends, which is no error, or one of them fails. It closes neither; when dst fails
// one more Read of src may be under way.
func (l *Link) Pipe(dst io.Writer, src io.Reader) error {
	if l.BitsPerSecond <= 0 {
		return errors.New("slowlink: the rate must be above 0 bits per second")
	}
	type parcel struct {
		data []byte
		at   time.Time // of arrival
		err  error     // src's, after data
	}
	travelling, gone := make(chan parcel, 1024), make(chan struct{})
	defer close(gone)
	go func() {
		var free time.Time // when all that was read has left
		for {
			time.Sleep(time.Until(free.Add(-l.takes(l.Buffer))))
			buf := make([]byte, packet)
			n, err := src.Read(buf)
			if now := time.Now(); free.Before(now) {
				free = now
			}
			free = free.Add(l.takes(n))
			select {
			case travelling <- parcel{buf[:n], free.Add(l.RoundTrip / 2), err}:
			case <-gone:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		p := <-travelling
		time.Sleep(time.Until(p.at))
		if len(p.data) > 0 {
			if _, err := dst.Write(p.data); err != nil {
				return err
			}
		}
		if p.err == io.EOF {
			return nil
		}
		if p.err != nil {
			return p.err
		}
	}
}

// Join carries both directions between a and b until one of them ends.
func (l *Link) Join(a, b io.ReadWriter) error {
	done := make(chan error, 2)
	go func() { done <- l.Pipe(a, b) }()
	go func() { done <- l.Pipe(b, a) }()
	return <-done
}

// takes is how long n bytes keep the link busy.
func (l *Link) takes(n int) time.Duration {
	return time.Duration(float64(n) * 8 / float64(l.BitsPerSecond) * float64(time.Second))
}
