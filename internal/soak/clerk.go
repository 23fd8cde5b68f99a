//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/session/journal"
)

// clerk gives labels through a link to an engine, one step after the other, and remembers what was confirmed: in this process, which nobody kills.
type clerk struct {
	p    *project
	r    *rand.Rand
	dial func(context.Context) (*rpc.Client, error)

	steps   int
	acked   []*rpc.LabelRequest
	doubt   *rpc.LabelRequest // sent and not confirmed: it is sent again, as the same step
	dropped map[string]bool   // uids of steps that were in doubt and are not sent again
	refused error             // by an engine that was alive
	told    int               // of acked, in the tally
}

func (p *project) clerk() *clerk {
	return &clerk{p: p, r: rand.New(rand.NewPCG(p.w.r.Uint64(), 1)), dial: p.dial, dropped: map[string]bool{}}
}

// next makes a step of one label, or a few, or a mark.
func (c *clerk) next() *rpc.LabelRequest {
	r := c.r
	c.steps++
	req := &rpc.LabelRequest{Uid: fmt.Sprintf("step-%d", c.steps), By: "soak"}
	n := 1
	if r.IntN(4) == 0 {
		n = 2 + r.IntN(4)
	}
	mark := ""
	if r.IntN(8) == 0 {
		mark = []string{"bookmark", "1", "9"}[r.IntN(3)]
	}
	for _, i := range r.Perm(len(c.p.w.ids))[:n] {
		to := []string{"anomaly", "normal", "skip", ""}[r.IntN(4)]
		if mark != "" {
			to = []string{"on", ""}[r.IntN(2)]
		}
		req.Changes = append(req.Changes, &rpc.LabelChange{Id: c.p.w.ids[i], To: to, Mark: mark})
	}
	return req
}

// work gives labels until ctx ends or the link does.
func (c *clerk) work(ctx context.Context) {
	client, err := c.dial(ctx)
	if err != nil {
		return
	}
	defer client.Close()
	for ctx.Err() == nil {
		if c.doubt == nil {
			c.doubt = c.next()
		}
		if !c.send(ctx, client) {
			return
		}
		pause(ctx, time.Duration(c.r.IntN(2000))*time.Microsecond)
	}
}

// give gives these labels to as many images, one step each.
func (c *clerk) give(ctx context.Context, labels []string) {
	client, err := c.dial(ctx)
	if err != nil {
		return
	}
	defer client.Close()
	for i, to := range labels {
		c.steps++
		c.doubt = &rpc.LabelRequest{Uid: fmt.Sprintf("step-%d", c.steps), By: "soak", Changes: []*rpc.LabelChange{{Id: c.p.w.ids[i], To: to}}}
		if !c.send(ctx, client) {
			return
		}
	}
}

// send sends the step in doubt.
func (c *clerk) send(ctx context.Context, client *rpc.Client) (ok bool) {
	_, err := client.Label(ctx, c.doubt)
	switch s, _ := status.FromError(err); {
	case err == nil:
		c.acked, c.doubt = append(c.acked, c.doubt), nil
		return true
	case s.Code() != codes.Unavailable && s.Code() != codes.Canceled && s.Code() != codes.DeadlineExceeded:
		c.refused = err
	}
	return false
}

// lines are those of one step in the journals, in their order.
type lines struct {
	uid   string
	lines []label.Event
}

// written are the steps in a folder of journals, in the order of the merge.
func written(dir string) (steps []*lines, err error) {
	j, err := journal.Open(dir, "reader")
	if err != nil {
		return nil, err
	}
	at := map[string]*lines{}
	for _, e := range j.History("", 0) {
		s := at[e.UID]
		if s == nil {
			s = &lines{uid: e.UID}
			at[e.UID] = s
			steps = append(steps, s)
		}
		s.lines = append(s.lines, e)
	}
	return steps, nil
}

// check compares the project's journals with what was confirmed: that all of it is there, once and in its order, and nothing besides but the step
// that was on its way.
func (c *clerk) check(t *tally) {
	steps, err := written(c.p.sub("labels"))
	if err != nil {
		t.say("the journal cannot be read: %v", err)
		return
	}
	found, at := map[string]*lines{}, map[string]int{}
	for i, s := range steps {
		found[s.uid], at[s.uid] = s, i
	}
	last := -1
	for _, want := range c.acked {
		got := found[want.GetUid()]
		if got == nil {
			t.lost++
			t.say("%s was confirmed and is gone", want.GetUid())
			continue
		}
		delete(found, want.GetUid())
		if at[want.GetUid()] < last {
			t.say("%s stands before a step that was given earlier", want.GetUid())
		}
		last = at[want.GetUid()]
		switch n := len(got.lines); {
		case n > len(want.GetChanges()):
			t.doubled++
			t.say("%s has %d lines of %d", got.uid, n, len(want.GetChanges()))
			continue
		case n < len(want.GetChanges()):
			t.lost++
			t.say("%s has %d lines of %d", got.uid, n, len(want.GetChanges()))
			continue
		}
		for i, e := range got.lines {
			if w := want.GetChanges()[i]; e.ID != w.GetId() || string(e.To) != w.GetTo() || e.Mark != w.GetMark() {
				t.lost++
				t.say("%s is %v in the journal, and was %v", got.uid, e.Change, w)
			}
		}
	}
	if c.doubt != nil {
		delete(found, c.doubt.GetUid())
	}
	for uid := range found {
		if !c.dropped[uid] {
			t.say("%s is in the journal, and was neither confirmed nor on its way", uid)
		}
	}
	if c.refused != nil {
		t.say("a label was refused: %v", c.refused)
	}
	t.acked += len(c.acked) - c.told
	c.told = len(c.acked)
	if c.doubt != nil && c.r.IntN(3) == 0 { // somebody who gives up: it may have been written, or not
		c.dropped[c.doubt.GetUid()], c.doubt = true, nil
	}
}
