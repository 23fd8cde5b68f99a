package engine

import (
	"context"
	"time"

	"anomalymatch/engine/rpc"

	"google.golang.org/protobuf/proto"
)

// subscriber is one terminal that watches. The status is told as "changed" and read when it is sent, so a slow link gets the newest
// one; steps and notices queue up.
type subscriber struct {
	changed chan struct{}
	events  chan *rpc.Event
}

const eventQueue = 4096 // steps and notices kept for a link that is slow; older ones are in the run's file

// update changes the status and tells everybody.
func (e *Engine) update(change func(*rpc.Status)) {
	e.mu.Lock()
	change(e.status)
	e.mu.Unlock()
	e.publish()
}

// publish tells every subscriber that the status changed.
func (e *Engine) publish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.subs {
		select {
		case s.changed <- struct{}{}:
		default: // it knows already
		}
	}
}

// send queues a step or notice for every subscriber.
func (e *Engine) send(ev *rpc.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.subs {
		select {
		case s.events <- ev:
		default:
		}
	}
}

// mostUnheard is how many warnings wait for somebody to tell; older ones are in engine.log.
const mostUnheard = 5

// notice tells every subscriber something. A warning that nobody is there to hear, as at the start, waits for the next one who comes;
// how a job ended stands in the status.
func (e *Engine) notice(level, text string) {
	e.log.Info("notice", "level", level, "text", text)
	ev := &rpc.Event{Notice: &rpc.Notice{Level: level, Text: text}}
	e.mu.Lock()
	if len(e.subs) == 0 && level == "warning" {
		e.unheard = append(e.unheard, ev)
		e.unheard = e.unheard[max(0, len(e.unheard)-mostUnheard):]
		e.mu.Unlock()
		return // who comes between here and there would hear it twice
	}
	e.mu.Unlock()
	e.send(ev)
}

// snapshot is a copy of the status.
func (e *Engine) snapshot() *rpc.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.used = time.Now()
	s := proto.Clone(e.status).(*rpc.Status)
	s.HostRssMib = memory()
	return s
}

// subscribe calls each with the status at once and after every change, at most 20 times a second, and with steps and notices.
func (e *Engine) subscribe(ctx context.Context, each func(*rpc.Event) error) error {
	s := &subscriber{changed: make(chan struct{}, 1), events: make(chan *rpc.Event, eventQueue)}
	e.mu.Lock()
	e.subs[s] = true
	for _, ev := range e.unheard {
		s.events <- ev
	}
	e.unheard = nil
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.subs, s)
		e.used = time.Now()
		e.mu.Unlock()
	}()
	s.changed <- struct{}{}
	var next <-chan time.Time // set while the last status is too young for another
	changed := s.changed
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case ev := <-s.events:
			err = each(ev)
		case <-changed:
			err = each(&rpc.Event{Status: e.snapshot()})
			next, changed = time.After(50*time.Millisecond), nil
		case <-next:
			next, changed = nil, s.changed
		}
		if err != nil {
			return err
		}
	}
}
