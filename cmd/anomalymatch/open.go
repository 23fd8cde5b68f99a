package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/cluster"
	"anomalymatch/session/journal"
	"anomalymatch/session/outbox"
	"anomalymatch/tui"
	"anomalymatch/tui/common"
	tuilink "anomalymatch/tui/link"

	"golang.org/x/term"
)

// openProject shows a project until the person leaves, its pictures as images says. Its engine goes on.
func openProject(ctx context.Context, dir, images string) error {
	p, err := session.Open(dir)
	if err != nil {
		return err
	}
	if !terminal() {
		return errors.New("this needs a terminal; `anomalymatch status PROJECT` and `anomalymatch train PROJECT` work without one")
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	defer logAside()()
	session.Remember(p.Dir)
	link := &link{project: p, exe: exe}
	defer link.close()
	writer := journal.DefaultWriter()
	opt := tui.Options{
		Reconnect:         link.connect,
		Jobs:              systemsHere{p.Dir},
		Settings:          anomalymatch.UserFile(),
		Config:            p.Config,
		Images:            images,
		Writer:            writer,
		Version:           anomalymatch.Version,
		Project:           p.Name,
		RuntimeDeclined:   session.RuntimeDeclined(),
		SaveRuntimeAnswer: session.SaveRuntimeAnswer,
		SaveSetting: func(key, value string) (anomalymatch.Config, error) {
			if err := session.SaveSetting(key, value); err != nil {
				return anomalymatch.Config{}, err
			}
			now, err := session.Open(p.Dir)
			if err != nil {
				return anomalymatch.Config{}, err
			}
			return now.Config, nil
		},
		OwnSettings: session.OwnSettings,
		Log:         slog.Default(),
	}
	if p.ReadOnly {
		return tui.Run(ctx, opt)
	}
	// Where the engine may be away for long, in a queue, labels go this way; else those do that the project's disk does not take.
	opt.Beside = !mayQueue(p)
	box, err := outbox.Open(session.StateFolder(), "", p.Dir, writer)
	switch {
	case err != nil && opt.Beside:
		slog.Warn("labels that the project's disk does not take cannot be kept on this machine", "why", err)
		return tui.Run(ctx, opt)
	case err != nil:
		return err
	}
	defer box.Close()
	opt.Outbox, opt.Waiting = toOutbox{box}, waiting(box)
	err = tui.Run(ctx, opt)
	stillWaiting(box, "the engine")
	return err
}

// logAside sends what is logged to the person's log file, or nowhere: nothing may write over the screen.
func logAside() (end func()) {
	f, err := session.OpenLog()
	if err != nil {
		slog.SetDefault(slog.New(slog.DiscardHandler))
		return func() {}
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(f, nil)))
	return func() { f.Close() }
}

// mayQueue tells whether the engine may be away for long, in a queue: labels are then kept on this machine meanwhile.
func mayQueue(p *session.Project) bool {
	jobs, _ := cluster.Remembered(p.Dir)
	return !p.ReadOnly && len(jobs)+len(p.Config.Profiles()) > 0
}

// stillWaiting says that labels did not reach where they go.
func stillWaiting(box *outbox.Outbox, to string) {
	if n := len(box.Waiting()); n > 0 {
		fmt.Fprintf(os.Stderr, "%s of labelling %s on this machine; %s when this project is opened again\n", common.Plural(n, "step"), map[bool]string{true: "is", false: "are"}[n == 1],
			map[bool]string{true: "it reaches ", false: "they reach "}[n == 1]+sentence(errors.New(to)))
	}
}

// link is the way to a project's engine, which is started when none answers.
type link struct {
	project *session.Project
	exe     string

	mu     sync.Mutex
	client *rpc.Client
}

func (l *link) connect(ctx context.Context) (rpc.EngineClient, error) {
	p := l.project
	if now, err := session.Open(p.Dir); err == nil { // profiles may have come
		p = now
	}
	c, err := finder(p).Start(ctx, p.Dir, l.exe)
	if err != nil {
		return nil, tuilink.Told{Err: err}
	}
	l.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client = c
	return c, nil
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil {
		l.client.Close()
	}
}

// terminal says whether there is somebody to show something to and to listen to.
func terminal() bool {
	return term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
}
