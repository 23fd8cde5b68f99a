package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"time"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/session/outbox"
	"anomalymatch/session/remote"
	"anomalymatch/session/thumbs"
	"anomalymatch/tui"
	tuilink "anomalymatch/tui/link"
)

// openThere shows a project of the host, in this terminal.
func (f *hostFlags) openThere(ctx context.Context, project, images string) error {
	if !terminal() {
		return errors.New("this needs a terminal; `anomalymatch -H HOST status PROJECT` and `anomalymatch -H HOST train PROJECT` work without one")
	}
	config, err := anomalymatch.Load(anomalymatch.UserFile())
	if err != nil {
		return err
	}
	h, err := f.connect()
	if err != nil {
		return err
	}
	far := &farLink{host: h, project: project}
	if far.settings, err = profiles(f.host); err != nil {
		return err
	}
	if dir, err := thumbs.Folder(); err == nil {
		if far.pictures, err = thumbs.Open(dir, thumbs.Budget); err == nil { // without it pictures come over the link again
			go far.pictures.Trim(thumbs.Budget)
		}
	}
	defer far.close()
	var first rpc.EngineClient
	line := progress.New(os.Stderr)
	err = signedIn(h, func() (err error) {
		line.Set("connecting to " + h.Name)
		first, err = far.dial(ctx, bringing(line, h.Name))
		line.Clear()
		return err
	})
	if waits := (*remote.EndedError)(nil); errors.As(err, &waits) && waits.Code == exitQueued {
		first, err = nil, nil // what there is to see is that
	}
	if err != nil {
		return err
	}
	defer logAside()()
	session.RememberThere(session.There{Host: f.host, Project: project})
	writer := journal.DefaultWriter()
	box, err := outbox.Open(session.StateFolder(), f.host, project, writer)
	if err != nil {
		return err
	}
	defer box.Close()
	err = tui.Run(ctx, tui.Options{
		Client: first, Host: h.Name,
		Reconnect: far.connect,
		Jobs:      systemsThere{h, f.host, project},
		Settings:  anomalymatch.UserFile(),
		SignIn:    func() *exec.Cmd { return h.SignIn() },
		Outbox:    toOutbox{box}, Waiting: waiting(box),
		Config:            config,
		Images:            images,
		Writer:            writer,
		Version:           anomalymatch.Version,
		RuntimeDeclined:   session.RuntimeDeclined(),
		SaveRuntimeAnswer: session.SaveRuntimeAnswer,
		SaveSetting: func(key, value string) (anomalymatch.Config, error) {
			if err := session.SaveSetting(key, value); err != nil {
				return anomalymatch.Config{}, err
			}
			return anomalymatch.Load(anomalymatch.UserFile())
		},
		OwnSettings: session.OwnSettings,
		Log:         slog.Default(),
	})
	stillWaiting(box, h.Name)
	return err
}

// toOutbox lets the screen use the outbox in the words of the wire.
type toOutbox struct{ *outbox.Outbox }

func (o toOutbox) Keep(r *rpc.LabelRequest) error {
	s := outbox.Step{UID: r.GetUid(), By: r.GetBy()}
	for _, c := range r.GetChanges() {
		s.Changes = append(s.Changes, label.Change{ID: c.GetId(), To: label.Value(c.GetTo()), From: label.Value(c.GetFrom()), Mark: c.GetMark()})
	}
	return o.Outbox.Keep(s)
}

func waiting(o *outbox.Outbox) (all []*rpc.LabelRequest) {
	for _, s := range o.Waiting() {
		r := &rpc.LabelRequest{Uid: s.UID, By: s.By}
		for _, c := range s.Changes {
			r.Changes = append(r.Changes, &rpc.LabelChange{Id: c.ID, To: string(c.To), From: string(c.From), Mark: c.Mark})
		}
		all = append(all, r)
	}
	return all
}

// farLink is the way to the engine of a project on a host.
type farLink struct {
	settings string // that go along
	host     *remote.Host
	project  string
	pictures *thumbs.Cache // nil: none are kept

	mu     sync.Mutex
	client *rpc.Client
}

const (
	// answersWithin is how long a host may take to answer, an engine to start there included.
	answersWithin = 12 * time.Second
	// doubtAfter is when the kept connection is doubted: it may hang on a line that is gone.
	doubtAfter = 3 * time.Second
)

// connect is for the screen: it asks nothing, and says so when only a person can help. A connection that is kept and does not answer is given up
// once it is seen that a new one works, and not before: it may be one that the person signed in for.
func (l *farLink) connect(ctx context.Context) (rpc.EngineClient, error) {
	limit, cancel := context.WithTimeoutCause(ctx, answersWithin, fmt.Errorf("%s does not answer", l.host.Name))
	defer cancel()
	kept, giveUp := context.WithCancel(limit)
	defer giveUp()
	dead := make(chan bool, 1)
	go func() {
		select {
		case <-kept.Done():
			dead <- false
		case <-time.After(doubtAfter):
			works := l.host.Reachable(kept) == nil
			if works {
				giveUp()
			}
			dead <- works
		}
	}()
	c, err := l.dial(kept, nil)
	giveUp()
	if <-dead && err != nil {
		l.host.Forget()
		c, err = l.dial(limit, nil)
	}
	var e *remote.Error
	var ended *remote.EndedError
	switch {
	case errors.As(err, &ended) && ended.Code == exitQueued:
		err = tuilink.Told{Err: errors.New(ended.Said)}
	case errors.As(err, &ended):
		err = tuilink.Told{Err: err}
	case err != nil && limit.Err() != nil && ctx.Err() == nil:
		err = context.Cause(limit)
	case errors.As(err, &e) && e.Person:
		err = tuilink.Hold{Err: err}
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (l *farLink) dial(ctx context.Context, progress func(sent, total int64)) (rpc.EngineClient, error) {
	conn, err := l.host.Dial(ctx, remote.Call{Args: []string{"attach", "--start", "--", l.project}, Settings: l.settings}, progress)
	if err != nil {
		return nil, err
	}
	c, err := rpc.OnConn(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	l.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client = c
	if l.pictures != nil {
		return l.pictures.Client(c, l.host.Name+"\x00"+l.project), nil
	}
	return c, nil
}

func (l *farLink) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.client != nil {
		l.client.Close()
		l.client = nil
	}
}
