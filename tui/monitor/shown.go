package monitor

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/link"
)

// shown is what is asked for only while a page shows it.
type shown struct {
	Past []*rpc.TrainRun // training runs, the newest first, the present one among them

	Curves    *rpc.CurvesReply // nil until there are some
	CurvesWhy string           // why there are none, or no newer ones; safe to draw

	Log    []string // the last lines of the engine's log, safe to draw
	LogWhy string   // why there are none; safe to draw
	LogNew int      // lines that came at its end since the screen began

	past, curves, log asked
}

// asked is one kind of question, of which one is under way at a time.
type asked struct {
	req     uint64 // number of the newest
	waiting bool
	key     curvesKey // what the newest was about
	done    bool      // it was answered, well or not
	at      time.Time
}

// curvesKey says what an answer depends on.
type curvesKey struct {
	ranking, labels uint64
	cycle           int32
	by, state       string
}

type (
	pastMsg struct {
		req   uint64
		reply *rpc.RunsReply
		err   error
	}
	curvesMsg struct {
		req   uint64
		reply *rpc.CurvesReply
		err   error
	}
	logMsg struct {
		req   uint64
		reply *rpc.LogReply
		err   error
	}
)

// logEvery is the time between two looks into the log, pastRuns and pastPoints how many earlier runs are drawn, and of how many points; logLines is more
// than a screen has.
const (
	logEvery             = 2 * time.Second
	pastRuns, pastPoints = 8, 200
	logLines             = 400
	patience             = 30 * time.Second
)

// forget drops what is under way when the engine changes.
func (s *shown) forget() {
	for _, a := range []*asked{&s.past, &s.curves, &s.log} {
		*a = asked{req: a.req + 1}
	}
}

// Show asks for what a page shows, if there may be news of it. Called when the page is opened and each second.
func (m *Monitor) Show(page string) tea.Cmd {
	client := m.link.Client()
	if client == nil {
		return nil
	}
	ctx := m.link.Context()
	s, now := m.Status, m.common.Now()
	again := func(a *asked, key curvesKey) (req uint64, ok bool) {
		if a.waiting || a.done && a.key == key {
			return 0, false
		}
		a.req++
		a.waiting, a.key, a.at = true, key, now
		return a.req, true
	}
	switch page {
	case "training":
		key := curvesKey{cycle: s.GetCycle(), state: m.Job()}
		if req, ok := again(&m.past, key); ok {
			return tea.Batch(m.Runs(), func() tea.Msg {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				r, err := client.Runs(ctx, &rpc.RunsRequest{Limit: pastRuns, Points: pastPoints})
				return pastMsg{req, r, err}
			})
		}
		return m.Runs()
	case "scores":
		by := m.By
		key := curvesKey{s.GetRankingVersion(), s.GetLabelsVersion(), s.GetCycle(), by, ""}
		if req, ok := again(&m.curves, key); ok {
			return func() tea.Msg {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				r, err := client.Curves(ctx, &rpc.CurvesRequest{By: by})
				return curvesMsg{req, r, err}
			}
		}
	case "jobs":
		if now.Sub(m.log.at) >= logEvery {
			m.log.done = false
		}
		if req, ok := again(&m.log, curvesKey{}); ok {
			return func() tea.Msg {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				r, err := client.Log(ctx, &rpc.LogRequest{Lines: logLines})
				return logMsg{req, r, err}
			}
		}
	}
	return nil
}

// take takes an answer; false: it is a stale one.
func (a *asked) take(req uint64) bool {
	if req != a.req {
		return false
	}
	a.waiting, a.done = false, true
	return true
}

// answered takes the answers to what Show asked.
func (m *Monitor) answered(msg tea.Msg) {
	switch msg := msg.(type) {
	case pastMsg:
		if m.past.take(msg.req) && msg.err == nil {
			m.Past = msg.reply.GetRuns()
		}
	case curvesMsg:
		if !m.curves.take(msg.req) {
			return
		}
		if msg.err != nil {
			m.CurvesWhy = link.Reason(msg.err)
		} else {
			m.Curves, m.CurvesWhy = msg.reply, ""
		}
	case logMsg:
		if !m.log.take(msg.req) {
			return
		}
		if msg.err != nil {
			m.LogWhy = link.Reason(msg.err)
			return
		}
		before := m.Log
		m.Log, m.LogWhy = nil, ""
		for _, l := range msg.reply.GetLines() {
			m.Log = append(m.Log, common.Clean(l))
		}
		m.LogNew += since(before, m.Log)
		if len(m.Log) == 0 {
			m.LogWhy = "nothing is written to " + common.Clean(msg.reply.GetFile()) + ": an engine that was started by hand says it where it was started"
		}
	}
}

// since is how many lines of now came after those of before; all of them where the two do not meet.
func since(before, now []string) int {
	if len(before) == 0 {
		return len(now)
	}
	for n := range now { // the fewest first
		if at := len(now) - n; now[at-1] == before[len(before)-1] && (at < 2 || len(before) < 2 || now[at-2] == before[len(before)-2]) {
			return n
		}
	}
	return len(now)
}
