package batch

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/link"
)

const (
	// again is the time between an answer and the next question; batch systems want to be asked little.
	again = 5 * time.Second
	// patience is how long an answer may take, and orders how long starting and cancelling may: an engine that is ended keeps its training first.
	patience, orders = 45 * time.Second, 3 * time.Minute
)

// Board is what is known of the batch systems; it lives in Update. It asks while it is watched.
type Board struct {
	common  *common.Common
	systems Systems
	ctx     context.Context

	Report
	Known bool      // something was answered
	Why   string    // what could not be found out; empty: nothing
	At    time.Time // of the newest answer
	Doing string    // what was ordered and is not done yet; empty: nothing

	watched bool
	asking  bool
	since   time.Time // when the question under way was asked
	req     uint64    // number of the newest question
}

// New makes a board that knows nothing yet; systems nil: there are none.
func New(ctx context.Context, c *common.Common, systems Systems) *Board {
	return &Board{common: c, systems: systems, ctx: ctx}
}

// None tells that there are no batch systems to ask.
func (b *Board) None() bool { return b.systems == nil }

type (
	told struct {
		req    uint64
		report Report
		err    error
	}
	askAgain struct{ req uint64 }
	ordered  struct {
		text string
		err  error
	}
)

// Watch says whether somebody looks at the board.
func (b *Board) Watch(watched bool) tea.Cmd {
	opened := watched && !b.watched
	b.watched = watched
	if !opened || b.asking {
		return nil
	}
	return b.ask()
}

// Waits is how long the question under way has not been answered; 0: none is.
func (b *Board) Waits() time.Duration {
	if !b.asking {
		return 0
	}
	return b.common.Now().Sub(b.since)
}

func (b *Board) ask() tea.Cmd {
	if b.systems == nil {
		return nil
	}
	b.req++
	b.asking, b.since = true, b.common.Now()
	req, systems, ctx := b.req, b.systems, b.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the batch system does not answer"))
		defer cancel()
		report, err := systems.Look(ctx)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return told{req, report, err}
	}
}

// Start has the engine run as a job.
func (b *Board) Start(profile string) tea.Cmd {
	return b.order("the engine is submitted to "+profile, func(ctx context.Context) (string, error) { return b.systems.Start(ctx, profile) })
}

// Cancel ends a job.
func (b *Board) Cancel(cluster, id string) tea.Cmd {
	return b.order("job "+id+" is cancelled", func(ctx context.Context) (string, error) { return b.systems.Cancel(ctx, cluster, id) })
}

func (b *Board) order(doing string, do func(context.Context) (string, error)) tea.Cmd {
	if b.systems == nil || b.Doing != "" {
		return nil
	}
	b.Doing = doing
	ctx := b.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeoutCause(ctx, orders, errors.New("this took too long: look whether it was done"))
		defer cancel()
		text, err := do(ctx)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return ordered{text, err}
	}
}

// Update takes the answers of the board's own commands.
func (b *Board) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case told:
		if msg.req != b.req {
			return nil
		}
		b.asking, b.At, b.Why = false, b.common.Now(), ""
		if msg.err != nil {
			b.Why = link.Reason(msg.err)
		}
		if msg.err == nil || len(msg.report.Profiles)+len(msg.report.Jobs) > 0 {
			b.Report, b.Known = cleaned(msg.report), true
		}
		req := b.req
		return tea.Tick(again, func(time.Time) tea.Msg { return askAgain{req} })
	case askAgain:
		if msg.req == b.req && b.watched && !b.asking {
			return b.ask()
		}
	case ordered:
		b.Doing = ""
		if msg.err != nil {
			b.common.Say(common.Warning, link.Reason(msg.err))
		} else {
			b.common.Say(common.Note, common.Clean(msg.text))
		}
		return b.ask() // what was asked before is stale
	}
	return nil
}

// Waiting is the job that the engine is to run in and does not yet; nil: there is none.
func (b *Board) Waiting() *Job {
	if b.Engine != nil {
		return nil
	}
	for i, j := range b.Jobs {
		if j.Kind == "engine" && j.Live() {
			return &b.Jobs[i]
		}
	}
	return nil
}

// cleaned makes a report safe to draw.
func cleaned(r Report) Report {
	c := common.Clean
	if e := r.Engine; e != nil {
		r.Engine = &Engine{c(e.Host), e.Here, e.PID, c(e.Job), e.Since}
	}
	profiles, jobs := r.Profiles, r.Jobs
	r.Profiles, r.Jobs = nil, nil
	for _, p := range profiles {
		r.Profiles = append(r.Profiles, Profile{c(p.Name), c(p.Scheduler), c(p.Host), c(p.Partition), c(p.Time), p.GPUs})
	}
	for _, j := range jobs {
		j.ID, j.Project, j.Cluster, j.Kind, j.State, j.Reason, j.Node = c(j.ID), c(j.Project), c(j.Cluster), c(j.Kind), c(j.State), c(j.Reason), c(j.Node)
		tasks := j.Tasks
		j.Tasks = nil
		for _, t := range tasks {
			j.Tasks = append(j.Tasks, Tasks{c(t.State), t.N, c(t.Reason)})
		}
		if j.Shards != nil {
			s := *j.Shards
			s.Nodes = nil
			for _, n := range j.Shards.Nodes {
				s.Nodes = append(s.Nodes, Node{c(n.Name), n.Speed})
			}
			j.Shards = &s
		}
		r.Jobs = append(r.Jobs, j)
	}
	return r
}
