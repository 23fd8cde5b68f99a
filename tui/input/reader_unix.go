//go:build unix

package input

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a terminal whose input comes in whole sequences. It is a file like the one it reads, for what asks about raw mode or waits for bytes.
type Terminal struct {
	*os.File
	sifter sifter
	left   []byte // passed, but not read yet
	behind bool   // more was there already when the last was read: how late it is read says nothing
}

// New reads f.
func New(f *os.File) *Terminal { return &Terminal{File: f} }

// Read returns whole sequences, and nothing, without an error, where there is only a part of one: the caller, which can be told to stop, waits for the rest.
func (t *Terminal) Read(p []byte) (int, error) {
	var buf [longest - 64]byte
	for len(t.left) == 0 {
		n, err := t.File.Read(buf[:])
		if err != nil {
			return 0, err
		}
		now := time.Now()
		if t.behind {
			t.sifter.last = now
		}
		t.left = append(t.left, t.sifter.Feed(buf[:n], now)...)
		t.behind = len(t.sifter.held) > 0 && t.more(0)
		if wait := t.sifter.Wait(); wait > 0 {
			if t.more(wait) {
				if len(t.left) > 0 {
					break
				}
				continue
			}
			t.left = append(t.left, t.sifter.Flush()...)
		}
		break
	}
	n := copy(p, t.left)
	t.left = t.left[n:]
	if len(t.left) == 0 {
		t.left = nil
	}
	return n, nil
}

// more waits until there is something to read.
func (t *Terminal) more(wait time.Duration) bool {
	until := time.Now().Add(wait)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(t.Fd()), Events: unix.POLLIN}}, max(0, int(time.Until(until).Milliseconds())))
		if err == unix.EINTR {
			continue
		}
		return err == nil && n > 0
	}
}
