package batch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
)

// scripted answers with what it is told to.
type scripted struct {
	report Report
	err    error
	text   string
}

func (s *scripted) Look(context.Context) (Report, error)                   { return s.report, s.err }
func (s *scripted) Start(context.Context, string) (string, error)          { return s.text, s.err }
func (s *scripted) Cancel(context.Context, string, string) (string, error) { return s.text, s.err }

func jobs(ids ...string) (r Report) {
	for _, id := range ids {
		r.Jobs = append(r.Jobs, Job{ID: id, State: "running"})
	}
	return r
}

func newBoard(t *testing.T) (*Board, *scripted) {
	s := &scripted{}
	return New(t.Context(), &common.Common{Now: time.Now}, s), s
}

func TestOneQuestionAtATime(t *testing.T) {
	b, s := newBoard(t)
	if b.Watch(false) != nil {
		t.Error("asked though nobody looks")
	}
	ask := b.Watch(true)
	if ask == nil || b.Watch(true) != nil {
		t.Fatal("who looks asks once")
	}
	if b.Watch(false) != nil || b.Watch(true) != nil {
		t.Error("asked again before there was an answer")
	}
	s.report = jobs("1")
	if b.Update(ask()) == nil || !b.Known || len(b.Jobs) != 1 || b.Waits() != 0 {
		t.Errorf("after the answer: %+v", b)
	}
	if b.Update(askAgain{b.req}) == nil {
		t.Error("not asked again")
	}
	b.Watch(false)
	b.asking = false
	if b.Update(askAgain{b.req}) != nil {
		t.Error("asked again though nobody looks")
	}
}

func TestAnAnswerOfBeforeAnOrderIsStale(t *testing.T) {
	b, s := newBoard(t)
	ask := b.Watch(true)
	s.report = jobs("1")
	before := ask() // how it stood before the order
	order := b.Cancel("leo", "1")
	if b.Start("leo") != nil {
		t.Error("two orders at once")
	}
	s.report, s.text = jobs("1", "2"), "done\x1b[2J"
	again := b.Update(order())
	if again == nil || b.Doing != "" {
		t.Fatal("not asked after an order")
	}
	if said, _ := b.common.Said(); said.Text != "done␛[2J" {
		t.Errorf("said %q", said.Text)
	}
	if b.Update(before) != nil || b.Known {
		t.Error("a stale answer was taken")
	}
	b.Update(again())
	if len(b.Jobs) != 2 {
		t.Errorf("the jobs are %v", b.Jobs)
	}
	s.err = errors.New("sbatch: no\nsuch partition")
	b.Update(b.Start("leo")())
	if said, _ := b.common.Said(); said.Text != "sbatch: no such partition" || said.Kind != common.Warning {
		t.Errorf("said %+v", said)
	}
}

func TestWhatIsKnownStays(t *testing.T) {
	b, s := newBoard(t)
	b.Watch(true)
	answer := func(r Report, err error) {
		s.report, s.err = r, err
		b.Update(b.ask()())
	}
	answer(Report{}, errors.New("no link"))
	if b.Known || b.Why != "no link" {
		t.Errorf("nothing was answered: %+v", b)
	}
	answer(jobs("1"), nil)
	answer(Report{}, errors.New("no link"))
	if !b.Known || b.Why != "no link" || len(b.Jobs) != 1 {
		t.Errorf("what was known is gone: %+v", b)
	}
	answer(jobs("1", "2"), errors.New("half of it"))
	if b.Why != "half of it" || len(b.Jobs) != 2 {
		t.Errorf("what was answered beside an error: %+v", b)
	}
	answer(Report{}, nil)
	if b.Why != "" || len(b.Jobs) != 0 {
		t.Errorf("at last: %+v", b)
	}
}

func TestASystemThatHangs(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	b := New(ctx, &common.Common{Now: time.Now}, hangs{})
	ask := b.Watch(true)
	answer := make(chan tea.Msg, 1)
	go func() { answer <- ask() }()
	cancel(errors.New("the screen ends"))
	b.Update(<-answer)
	if !strings.Contains(b.Why, "the screen ends") {
		t.Errorf("why is %q", b.Why)
	}
}

type hangs struct{ Systems }

func (hangs) Look(ctx context.Context) (Report, error) {
	<-ctx.Done()
	return Report{}, ctx.Err()
}
