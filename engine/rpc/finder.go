package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"time"

	"anomalymatch/internal/say"
)

// Finder finds engines on other machines too: an engine in a job on a node, from the login node. The zero value knows this machine only, and
// names an engine elsewhere where it would be in the way.
type Finder struct {
	// Hop makes the command that ends in an [Attach] of the project on the machine of h. What h says is somebody's word.
	Hop func(h Holder, project string) (*exec.Cmd, error)
	// Queued tells what the batch system makes of a job whose engine does not run ("PENDING: Resources"), and that as a sentence for people, if it
	// knows one; both are empty when the job is no more, or when it is the job that this process is in.
	Queued func(ctx context.Context, job string) (state, said string, err error)
}

// hopWithin is how long a machine may take to answer.
const hopWithin = 20 * time.Second

// ElsewhereError is that the engine runs on another machine and cannot be reached there.
type ElsewhereError struct {
	Holder Holder
	Err    error
}

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("the engine runs on %v, and does not answer from here: %v", e.Holder, e.Err)
}
func (e *ElsewhereError) Unwrap() error { return e.Err }

// QueuedError is that the engine's job waits to run, or starts.
type QueuedError struct{ Job, State, Said string }

func (e *QueuedError) Error() string {
	if e.Said != "" {
		return say.Text(e.Said)
	}
	return fmt.Sprintf("the engine runs in the job %s, which does not answer yet (%s): wait for it, or take the job out of the queue", say.Text(e.Job), say.Text(e.State))
}

// connect returns a connection to the engine wherever it runs.
func (w Finder) connect(ctx context.Context, project string) (net.Conn, error) {
	c, err := dialSocket(ctx, project)
	if !errors.Is(err, ErrNotRunning) {
		return c, err
	}
	h, held := holder(project)
	switch {
	case held && !h.here() && w.Hop != nil:
		if c, err = w.hop(ctx, h, project); err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if _, held := holder(project); held { // else it ended meanwhile
			return nil, &ElsewhereError{h, err}
		}
	case !held && h.Job != "" && w.Queued != nil:
		switch state, said, err := w.Queued(ctx, h.Job); {
		case err != nil:
			return nil, fmt.Errorf("the engine's job %s cannot be asked for: %w", say.Text(h.Job), err)
		case state != "":
			return nil, &QueuedError{h.Job, state, said}
		}
	}
	return nil, ErrNotRunning
}

func (w Finder) hop(ctx context.Context, h Holder, project string) (net.Conn, error) {
	abs, err := absolute(project)
	if err != nil {
		return nil, err
	}
	cmd, err := w.Hop(h, abs)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = detached() // ctrl+c is for us: what it cancels is told over this link
	ctx, cancel := context.WithTimeoutCause(ctx, hopWithin, fmt.Errorf("no answer within %v", hopWithin))
	defer cancel()
	return DialProcess(ctx, cmd)
}

// CloseWrite tells the other end that nothing more comes.
func (c *processConn) CloseWrite() error { return c.in.Close() }
