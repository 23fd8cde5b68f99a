package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"anomalymatch/internal/say"
)

// leaveWithin is how long a process may take to end after its standard input was closed.
const leaveWithin = 2 * time.Second

// DialProcess starts cmd, which is to end in an [Attach] on some machine (ssh, srun), skips what is said before its [Sentinel], and returns
// the bytes that follow as a connection. Its Close ends the process. ctx is for connecting only. The error has what the process said.
func DialProcess(ctx context.Context, cmd *exec.Cmd) (net.Conn, error) {
	in, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	theirs, out, err := os.Pipe()
	if err != nil {
		in.Close()
		ours.Close()
		return nil, err
	}
	c := &processConn{in: ours, out: theirs, read: bufio.NewReaderSize(theirs, 64<<10), cmd: cmd}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, &c.said
	cmd.WaitDelay = time.Second // ssh hands its standard error to the master of a kept connection, which may hang
	err = cmd.Start()
	in.Close()
	out.Close()
	if err != nil {
		ours.Close()
		theirs.Close()
		return nil, fmt.Errorf("cannot start %s: %s", say.Text(cmd.Path), reason(err))
	}
	// A deadline, not Close: what the process has said is still wanted.
	stop := context.AfterFunc(ctx, func() { theirs.SetReadDeadline(time.Unix(1, 0)) })
	heard, err := skipSentinel(c.read)
	if !stop() && err == nil { // the deadline may be set already
		err = context.Cause(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			cmd.Process.Kill()
		}
		c.Close()
		<-c.ended
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &ProcessError{Said: c.said.String(), Heard: string(heard), Code: cmd.ProcessState.ExitCode(), err: err}
	}
	return c, nil
}

// ProcessError is that a process on the way to the engine ended before the engine answered.
type ProcessError struct {
	Said  string // on its standard error, the last lines, safe to print
	Heard string // on its standard output, raw
	Code  int    // its exit status; -1 if it was killed
	err   error
}

func (e *ProcessError) Error() string {
	if e.Said != "" {
		return e.Said
	}
	return e.err.Error()
}
func (e *ProcessError) Unwrap() error { return e.err }

// processConn is a connection over the standard input and output of a process.
type processConn struct {
	in, out *os.File
	read    *bufio.Reader
	cmd     *exec.Cmd
	said    tail
	once    sync.Once
	ended   chan struct{} // made by Close
}

func (c *processConn) Read(b []byte) (int, error) { return c.read.Read(b) }

func (c *processConn) Write(b []byte) (int, error) { return c.in.Write(b) }

func (c *processConn) Close() error {
	c.once.Do(func() {
		c.ended = make(chan struct{})
		c.in.Close()
		c.out.Close()
		kill := time.AfterFunc(leaveWithin, func() { c.cmd.Process.Kill() })
		go func() {
			c.cmd.Wait()
			kill.Stop()
			close(c.ended)
		}()
	})
	return nil
}

func (c *processConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c *processConn) SetReadDeadline(t time.Time) error  { return c.out.SetReadDeadline(t) }
func (c *processConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }
func (c *processConn) LocalAddr() net.Addr                { return processAddr{} }
func (c *processConn) RemoteAddr() net.Addr               { return processAddr{} }

type processAddr struct{}

func (processAddr) Network() string { return "process" }
func (processAddr) String() string  { return "process" }

// tail keeps the end of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

var _ io.Writer = (*tail)(nil)

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(b), nil
}

// String is the last lines, joined, safe to print.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return say.Lines(t.text)
}
