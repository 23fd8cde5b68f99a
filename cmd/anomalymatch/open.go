package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/tui"
	"anomalymatch/tui/start"
	"anomalymatch/tui/styles"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// openProject shows a project until the person leaves. Its engine goes on.
func openProject(ctx context.Context, dir string) error {
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
	log := slog.DiscardHandler
	if f, err := session.OpenLog(); err == nil {
		defer f.Close()
		log = slog.NewTextHandler(f, nil)
	}
	slog.SetDefault(slog.New(log)) // nothing may write over the screen
	session.Remember(p.Dir)
	link := &link{project: p, exe: exe}
	defer link.close()
	return tui.Run(ctx, tui.Options{
		Reconnect:         link.connect,
		Config:            p.Config,
		Writer:            journal.DefaultWriter(),
		Version:           anomalymatch.Version,
		Project:           p.Name,
		RuntimeDeclined:   session.RuntimeDeclined(),
		SaveRuntimeAnswer: session.SaveRuntimeAnswer,
		Log:               slog.Default(),
	})
}

// link is the way to a project's engine, which is started when none answers.
type link struct {
	project *session.Project
	exe     string

	mu     sync.Mutex
	client *rpc.Client
}

func (l *link) connect(ctx context.Context) (rpc.EngineClient, error) {
	c, err := finder(l.project).Start(ctx, l.project.Dir, l.exe)
	if err != nil {
		return nil, err
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

// startPage offers what can be done without a project.
func startPage(cmd *cobra.Command) error {
	if !terminal() {
		return usage("which project? `anomalymatch PROJECT` opens one in a terminal, `anomalymatch new PROJECT --images FOLDER` makes one, `anomalymatch --help` lists the rest")
	}
	config, err := anomalymatch.Load(anomalymatch.UserFile())
	if err != nil {
		return err
	}
	choice, err := start.Run(cmd.Context(), start.Options{Recent: session.Recent(), Styles: styles.New(config.TUI.Theme, os.Getenv("NO_COLOR") != "")})
	switch {
	case err != nil:
		return err
	case choice.Demo:
		demo, _, err := cmd.Root().Find([]string{"demo"})
		if err != nil {
			return err
		}
		demo.SetContext(cmd.Context())
		return demo.RunE(demo, nil)
	case choice.Project != "":
		return openProject(cmd.Context(), choice.Project)
	}
	return nil
}
