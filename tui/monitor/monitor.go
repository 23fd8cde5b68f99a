// Package monitor keeps what the engine tells of itself: its status, the steps of the training run, the score histogram, what the
// review says so far.
package monitor

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/link"
)

// Bins is the number of bins of the score histogram, and maxSteps the steps kept of a run.
const (
	Bins     = 50
	maxSteps = 20000
)

// Monitor is what is known of the engine; it lives in Update.
type Monitor struct {
	common *common.Common
	link   *link.Link

	Status *rpc.Status // never nil
	Known  bool        // a status has arrived
	Steps  []*rpc.TrainStep
	Hist   *rpc.HistogramReply // nil until there is one
	By     string              // ranking the histogram is asked for; "" = the project's

	Review    *rpc.ReviewReply // nil until there is one
	ReviewWhy string           // why there is none, or no newer one

	Sweep *rpc.SweepReply // the runs of the newest sweep; nil until there is one

	asked  [2]uint64 // ranking and labels version of the newest histogram request
	asking bool

	writer   string    // whose looks count
	reviewed [2]uint64 // ranking and labels version of the newest review request
	req      uint64    // its number
	waiting  bool      // for its answer

	sweepReq uint64
	sweeping bool // waiting for an answer

	shown
}

// New makes a monitor that knows nothing yet; writer is the person whose review it is.
func New(c *common.Common, l *link.Link, writer string) *Monitor {
	return &Monitor{common: c, link: l, writer: writer, Status: &rpc.Status{}}
}

type run struct {
	reply *rpc.RunReply
	err   error
}

type sweep struct {
	req   uint64
	reply *rpc.SweepReply
	err   error
}

type reviewed struct {
	req   uint64
	reply *rpc.ReviewReply
	err   error
}

type histogram struct {
	reply *rpc.HistogramReply
	err   error
}

// Connected asks for the steps so far.
func (m *Monitor) Connected() tea.Cmd {
	m.asking, m.asked = false, [2]uint64{}
	m.req++ // an answer of the engine before is stale
	m.waiting, m.reviewed = false, [2]uint64{}
	m.sweepReq++
	m.sweeping, m.Sweep = false, nil
	m.forget()
	client, ctx := m.link.Client(), m.link.Context()
	if client == nil {
		return nil
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		r, err := client.Run(ctx, &rpc.RunRequest{})
		return run{r, err}
	}
}

// Runs asks how the runs of the newest sweep go, one request at a time: they run elsewhere, and the engine does not tell by itself.
func (m *Monitor) Runs() tea.Cmd {
	client := m.link.Client()
	if m.sweeping || client == nil {
		return nil
	}
	m.sweeping = true
	m.sweepReq++
	ctx, req := m.link.Context(), m.sweepReq
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		r, err := client.Sweep(ctx, &rpc.SweepRequest{})
		return sweep{req, r, err}
	}
}

// Job is the running job in one word; empty when the engine is idle.
func (m *Monitor) Job() string {
	if s := common.Clean(m.Status.GetState()); s != "idle" {
		return s
	}
	return ""
}

// Doing is the running job as people say it. Embeddings that come while there are some already are better ones.
func (m *Monitor) Doing() string {
	if m.Job() == "embedding" && m.Status.GetEmbedded() {
		return "looking closer"
	}
	return m.Job()
}

// Progress is the share done of the running job; false where it is not known.
func (m *Monitor) Progress() (float64, bool) {
	s := m.Status
	if m.Job() == "" || s.GetSteps() <= 0 {
		return 0, false
	}
	return min(1, max(0, float64(s.GetStep())/float64(s.GetSteps()))), true
}

// Event takes one event of the engine.
func (m *Monitor) Event(e *rpc.Event) tea.Cmd {
	if s := e.GetStatus(); s != nil {
		if s.GetError() != "" && s.GetError() != m.Status.GetError() {
			m.common.Say(common.Warning, common.Clean(s.GetError()))
		}
		m.Status, m.Known = s, true
	}
	if t := e.GetStep(); t != nil {
		m.step(t)
	}
	if n := e.GetNotice(); n != nil {
		kind := common.Note
		if n.GetLevel() != "info" {
			kind = common.Warning
		}
		m.common.Say(kind, common.Clean(n.GetText()))
	}
	return tea.Batch(m.histogram(), m.review())
}

// step appends a step; a step of another run, or one before the last, starts anew from there.
func (m *Monitor) step(t *rpc.TrainStep) {
	for len(m.Steps) > 0 {
		last := m.Steps[len(m.Steps)-1]
		if last.GetCycle() == t.GetCycle() && last.GetStep() < t.GetStep() {
			break
		}
		if last.GetCycle() != t.GetCycle() {
			m.Steps = nil
			break
		}
		m.Steps = m.Steps[:len(m.Steps)-1]
	}
	m.Steps = append(m.Steps, t)
	if len(m.Steps) > maxSteps {
		m.Steps = m.Steps[len(m.Steps)-maxSteps:]
	}
}

// Last is the newest step; nil before the first.
func (m *Monitor) Last() *rpc.TrainStep {
	if len(m.Steps) == 0 {
		return nil
	}
	return m.Steps[len(m.Steps)-1]
}

// histogram asks for the scores when ranking or labels have changed, one request at a time.
func (m *Monitor) histogram() tea.Cmd {
	now := [2]uint64{m.Status.GetRankingVersion(), m.Status.GetLabelsVersion()}
	client := m.link.Client()
	if m.asking || client == nil || now == m.asked || now[0] == 0 {
		return nil
	}
	m.asking, m.asked = true, now
	ctx, by := m.link.Context(), m.By
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		r, err := client.Histogram(ctx, &rpc.HistogramRequest{By: by, Bins: Bins})
		return histogram{r, err}
	}
}

// review asks what the review says when ranking or labels have changed, one request at a time.
func (m *Monitor) review() tea.Cmd {
	now := [2]uint64{m.Status.GetRankingVersion(), m.Status.GetLabelsVersion()}
	client := m.link.Client()
	if m.waiting || client == nil || now == m.reviewed || now[0] == 0 {
		return nil
	}
	m.waiting, m.reviewed = true, now
	m.req++
	ctx, by, req := m.link.Context(), m.writer, m.req
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		r, err := client.Review(ctx, &rpc.ReviewRequest{By: by})
		return reviewed{req, r, err}
	}
}

// Choose asks for the histogram of another ranking.
func (m *Monitor) Choose(by string) tea.Cmd {
	m.By, m.asked = by, [2]uint64{}
	return m.histogram()
}

// Update takes the answers of the monitor's own commands.
func (m *Monitor) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case run:
		if msg.err == nil {
			live := m.Steps // steps that came while we asked
			m.Steps = nil
			for _, t := range append(msg.reply.GetSteps(), live...) {
				if last := m.Last(); last == nil || last.GetCycle() != t.GetCycle() || last.GetStep() < t.GetStep() {
					m.step(t)
				}
			}
		}
	case sweep:
		if msg.req != m.sweepReq {
			return nil
		}
		m.sweeping = false
		if msg.err == nil && len(msg.reply.GetRuns()) > 0 {
			m.Sweep = msg.reply
		} else if msg.err == nil {
			m.Sweep = nil
		}
	case reviewed:
		if msg.req != m.req {
			return nil
		}
		m.waiting = false
		if msg.err != nil {
			m.ReviewWhy = link.Reason(msg.err)
		} else {
			m.Review, m.ReviewWhy = msg.reply, ""
		}
		return m.review()
	case pastMsg, curvesMsg, logMsg:
		m.answered(msg)
	case histogram:
		m.asking = false
		if msg.err == nil {
			m.Hist = msg.reply
		}
		return m.histogram()
	}
	return nil
}
