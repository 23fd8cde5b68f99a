package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

// stopWait is how long an engine may take to keep its training and end.
const stopWait = 60 * time.Second

func stopCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "stop PROJECT",
		GroupID: groupEngine,
		Short:   "End a project's engine, or the job that it is to run in; a running training is kept",
		Args:    exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			was, err := stopEngine(cmd.Context(), p)
			switch {
			case errors.Is(err, rpc.ErrNotRunning), errors.As(err, new(*rpc.QueuedError)):
				text, err := cancelEngineJob(cmd.Context(), p)
				if err != nil {
					return err
				}
				if text == "" {
					text = "no engine runs for this project on this machine"
				}
				fmt.Fprintln(cmd.OutOrStdout(), text)
				return nil
			case err != nil:
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), stopped(was))
			return nil
		},
	}
}

// stopEngine ends the project's engine and returns when it is gone, with what it was doing.
func stopEngine(ctx context.Context, p *session.Project) (*rpc.Status, error) {
	c, err := finder(p).Dial(ctx, p.Dir)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, stopWait, fmt.Errorf("the engine still runs after %v: look into engine.log, or kill it", stopWait))
	defer cancel()
	was, err := c.GetStatus(ctx, &rpc.StatusRequest{})
	if err != nil {
		return nil, said(err)
	}
	if _, err := c.Stop(ctx, &rpc.StopRequest{}); err != nil {
		return nil, said(err)
	}
	for {
		switch err := rpc.Free(p.Dir); {
		case err == nil:
			return was, nil
		case !errors.Is(err, rpc.ErrRunning):
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stopped says what an engine was ended in.
func stopped(was *rpc.Status) string {
	text := fmt.Sprintf("the engine (pid %d) has ended", was.GetPid())
	if was.GetState() == "training" {
		text += fmt.Sprintf("; the training is kept at about step %d of %d and goes on with the next engine", was.GetStep(), was.GetSteps())
	} else if s := was.GetState(); s != "idle" && s != "" {
		text += "; it was " + common.Clean(s)
	}
	return text
}
