package rpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"anomalymatch/internal/say"

	"golang.org/x/term"
)

// Sentinel is what an attach writes before the bytes of the engine, so that what a shell says when it starts can be skipped.
const Sentinel = "\n\x00AMX1\x00\n"

// Attach joins in and out to the engine of the project on this machine: [Finder.Attach].
func Attach(ctx context.Context, project string, in io.Reader, out io.Writer) error {
	return Finder{}.Attach(ctx, project, in, out)
}

// Attach joins in and out, usually the standard input and output of a process that ssh or srun started, to the socket of
// the project's engine, or to an attach on the engine's machine, until either side ends. It writes [Sentinel] to out first.
// A terminal is made 8-bit clean for as long as it lasts. It starts no engine: see [Start].
func (w Finder) Attach(ctx context.Context, project string, in io.Reader, out io.Writer) error {
	c, err := w.connect(ctx, project)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	defer raw(in)()
	defer raw(out)()
	if _, err := io.WriteString(out, Sentinel); err != nil {
		return fmt.Errorf("cannot answer: %w", err)
	}
	up, down := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := io.Copy(c, in)
		c.(interface{ CloseWrite() error }).CloseWrite() // of a socket or of a process
		up <- err
	}()
	go func() {
		_, err := io.Copy(out, c)
		down <- err
	}()
	select {
	case err = <-down: // the engine ended, or nobody reads out; a read of in cannot be broken off
	case err = <-up:
		select { // let the engine's last words through
		case err = <-down:
		case <-time.After(2 * time.Second):
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("the link to the engine broke: %w", err)
	}
	return nil
}

// raw makes v pass bytes as they are if it is a terminal (srun's pty), and returns what undoes that.
func raw(v any) (undo func()) {
	f, ok := v.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	was, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return func() {}
	}
	return func() { term.Restore(int(f.Fd()), was) }
}

// skipSentinel reads up to and including [Sentinel], and returns it with what came before: the other end of [Attach]. The error has what
// came if the sentinel does not come within 64 KiB.
func skipSentinel(r *bufio.Reader) (seen []byte, err error) {
	const most = 64 << 10
	for len(seen) < most {
		b, err := r.ReadByte()
		if err != nil {
			return seen, fmt.Errorf("the engine's machine hung up before the engine answered; it said: %s: %w", excerpt(seen), err)
		}
		if seen = append(seen, b); bytes.HasSuffix(seen, []byte(Sentinel)) {
			return seen, nil
		}
	}
	return seen, fmt.Errorf("the engine's machine did not answer as expected; it said: %s", excerpt(seen))
}

// excerpt is the end of what a machine said, safe to print.
func excerpt(b []byte) string {
	s := []rune(say.Text(string(b[max(0, len(b)-300):])))
	if len(s) == 0 {
		return "nothing"
	}
	return string(s)
}
