package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"anomalymatch"
	"anomalymatch/engine"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/injob"
	"anomalymatch/session/journal"

	"github.com/spf13/cobra"
)

func engineCommand() *cobra.Command {
	var requeue, wait, replace bool
	var onCluster string
	cmd := &cobra.Command{
		Use:     "engine PROJECT",
		GroupID: groupEngine,
		Short:   "Run a project's engine here, in the foreground, or as a job",
		Long: "Run a project's engine here, in the foreground. The other commands start it in the background when they need it. " +
			"It ends by `anomalymatch stop`, on TERM or ctrl+c (a running training is kept first), or when nobody needed it for engine.idle_minutes. " +
			"On USR1 it keeps a running training and goes on.\n\n" +
			"In a Slurm job it knows when the job ends and keeps a running training before that; with --requeue it then puts the job back into the " +
			"queue (`scontrol requeue`), unless nobody needs the engine any more, or it ran for less than half a minute. The same when the job is preempted.\n\n" +
			"With --cluster it is submitted to a batch system instead, and this returns when it waits there; `anomalymatch jobs` tells how it stands.",
		Args: exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case onCluster != "":
				return engineOnCluster(cmd, args[0], onCluster, wait, replace)
			case wait:
				return usage("--wait is for a job: name its --cluster")
			case replace:
				return usage("--replace is for a job: name its --cluster")
			}
			return runEngine(cmd.Context(), args[0], requeue)
		},
	}
	cmd.Flags().StringVar(&onCluster, "cluster", "", "submit it as a job by this profile, a [cluster.NAME] of the settings")
	cmd.Flags().BoolVar(&replace, "replace", false, "with --cluster: end an engine that runs elsewhere first; a running training is kept and goes on in the job")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when the job runs")
	cmd.Flags().BoolVar(&requeue, "requeue", false, "queue its Slurm job again near the end of its time, and when it is preempted")
	return cmd
}

// batchJob is the job that an engine runs in.
type batchJob struct {
	id      injob.Job // empty: none
	requeue bool      // it is to be queued again near its end
	queued  bool      // again, by the engine
	goesOn  atomic.Bool
}

func engineJob(requeue bool) *batchJob { return &batchJob{id: injob.Here(), requeue: requeue} }

// ended queues the job again after the batch system ended the engine, where that would not do it by itself: within the grace time of a preemption.
func (j *batchJob) ended(ctx context.Context, log *slog.Logger) {
	if !j.requeue || !j.goesOn.Load() || j.queued {
		return
	}
	preempted, err := j.id.Preempted(ctx)
	if err == nil && preempted {
		err = j.id.Requeue(ctx)
	}
	if err != nil {
		log.Error("the job cannot be queued again", "job", j.name(), "err", err)
	}
}

func (j *batchJob) name() string {
	if j.id == "" {
		return ""
	}
	return j.id.Name()
}

func (j *batchJob) forEngine() *engine.Job {
	if j.id == "" {
		return nil
	}
	o := &engine.Job{Name: j.name(), Ends: j.id.Ends}
	if j.requeue {
		o.Requeue = func(ctx context.Context) error {
			err := j.id.Requeue(ctx)
			j.queued = err == nil
			j.goesOn.Store(j.queued)
			return err
		}
	}
	return o
}

// lastWords is how long a stopping engine waits for calls to end, watchers excepted.
const lastWords = 500 * time.Millisecond

func runEngine(ctx context.Context, dir string, requeue bool) error {
	checkpoint := make(chan os.Signal, 1)
	notifyCheckpoint(checkpoint)
	p, err := session.Open(dir)
	if err != nil {
		return err
	}
	// Kept until the end of the process: a second signal must not break off the checkpoint that the first one asked for.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	job := engineJob(requeue)
	held, err := rpc.Lock(p.Dir, job.name())
	if err != nil {
		return err
	}
	// A job that ends its engine is perhaps queued again: who looks for the engine is told of it, and starts none beside it.
	defer func() {
		if job.goesOn.Load() {
			held.Leave()
		} else {
			held.Release()
		}
	}()
	labels, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return err
	}
	defer labels.Close()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	slog.SetDefault(log)
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() {
		select {
		case <-held.Lost():
			log.Warn("an engine on another machine has this project: ending", "project", p.Dir)
			stop()
		case <-ctx.Done():
		}
	}()
	go func() {
		s := <-signals
		job.goesOn.Store(job.id != "" && s != os.Interrupt)
		log.Info("ending, a running training is kept first", "signal", s)
		stop()
	}()
	var running atomic.Pointer[engine.Engine]
	go func() {
		for range checkpoint {
			log.Info("a checkpoint is asked for")
			if e := running.Load(); e != nil {
				e.Checkpoint()
			}
		}
	}()
	log.Info("engine starts", "version", anomalymatch.Version, "pid", os.Getpid(), "project", p.Dir, "read_only", p.ReadOnly, "job", job.name())
	for {
		e := engine.New(engine.Options{Dir: p.Dir, Name: p.Name, Sources: p.NamedSources(), Metadata: p.Tables(), Config: p.Config, Labels: labels, Settings: session.Settings{Dir: p.Dir}, ReadOnly: p.ReadOnly, Job: job.forEngine(), Log: log})
		running.Store(e)
		err = serve(ctx, stop, p.Dir, e)
		if !errors.Is(err, engine.ErrReopen) || ctx.Err() != nil {
			break
		}
		e.Close()
		if p, err = session.Open(p.Dir); err != nil {
			break
		}
	}
	if errors.Is(err, engine.ErrReopen) { // and told to end meanwhile
		err = nil
	}
	job.ended(context.WithoutCancel(ctx), log)
	log.Info("engine ends")
	return err
}

// serve runs an engine with its socket.
func serve(ctx context.Context, stop func(), dir string, e *engine.Engine) error {
	listener, err := rpc.Listen(dir)
	if err != nil {
		return err
	}
	defer listener.Close() // removes the socket
	server := rpc.NewServer()
	rpc.RegisterEngineServer(server, e.Service())
	go func() {
		if err := server.Serve(listener); err != nil {
			slog.Error("the socket is gone: ending", "err", err)
			stop()
		}
	}()
	err = e.Run(ctx)
	time.AfterFunc(lastWords, server.Stop)
	server.GracefulStop()
	return err
}
