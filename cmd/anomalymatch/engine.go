package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"anomalymatch"
	"anomalymatch/engine"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/journal"

	"github.com/spf13/cobra"
)

func engineCommand() *cobra.Command {
	var onCluster string
	var wait bool
	cmd := &cobra.Command{
		Use:     "engine PROJECT",
		GroupID: groupEngine,
		Short:   "Run a project's engine here, in the foreground, or as a job",
		Long: "Run a project's engine here, in the foreground. The other commands start it in the background when they need it. " +
			"It ends by `anomalymatch stop`, on TERM or ctrl+c (a running training is kept first), or when nobody needed it for engine.idle_minutes.\n\n" +
			"With --cluster it is submitted to a batch system instead, and this returns when it waits there; `anomalymatch jobs` tells how it stands.",
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case onCluster != "":
				return engineOnCluster(cmd, args[0], onCluster, wait)
			case wait:
				return usage("--wait is for a job: name its --cluster")
			}
			return runEngine(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringVar(&onCluster, "cluster", "", "submit it as a job by this profile, a [cluster.NAME] of the settings")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the job runs")
	return cmd
}

// lastWords is how long a stopping engine waits for calls to end, watchers excepted.
const lastWords = 500 * time.Millisecond

func runEngine(ctx context.Context, dir string) error {
	p, err := session.Open(dir)
	if err != nil {
		return err
	}
	// Kept until the end of the process: a second signal must not break off the checkpoint that the first one asked for.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	release, err := rpc.Lock(p.Dir)
	if err != nil {
		return err
	}
	defer release()
	labels, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return err
	}
	defer labels.Close()
	listener, err := rpc.Listen(p.Dir)
	if err != nil {
		return err
	}
	defer listener.Close() // removes the socket
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	slog.SetDefault(log)
	log.Info("engine starts", "version", anomalymatch.Version, "pid", os.Getpid(), "project", p.Dir, "read_only", p.ReadOnly)

	e := engine.New(engine.Options{Dir: p.Dir, Name: p.Name, Sources: p.NamedSources(), Config: p.Config, Labels: labels, ReadOnly: p.ReadOnly, Log: log})
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	server := rpc.NewServer()
	rpc.RegisterEngineServer(server, e.Service())
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Error("the socket is gone: ending", "err", err)
			stop()
		}
	}()
	go func() {
		s := <-signals
		log.Info("ending, a running training is kept first", "signal", s)
		stop()
	}()
	err = e.Run(ctx)
	time.AfterFunc(lastWords, server.Stop)
	server.GracefulStop()
	log.Info("engine ends")
	return err
}
