package review

import (
	"slices"

	"anomalymatch/engine/rpc"
)

// Change is one label event before it is on disk. Mark is empty for labels; else it is "bookmark" or "1" to "9", and To and From are
// On or None.
type Change struct {
	ID       string
	To, From Label
	Mark     string
}

// subject is what a change is about: the label of an image, or one of its marks.
type subject struct{ id, mark string }

func (c Change) subject() subject { return subject{c.ID, c.Mark} }

func change(c *rpc.LabelChange) Change {
	return Change{ID: c.GetId(), To: Label(c.GetTo()), From: Label(c.GetFrom()), Mark: c.GetMark()}
}

// Step is what one key did and one undo takes back.
type Step []Change

func (s Step) inverse() Step {
	var back Step
	for _, c := range slices.Backward(s) {
		back = append(back, Change{ID: c.ID, To: c.From, From: c.To, Mark: c.Mark})
	}
	return back
}

// Undo remembers the steps of a writer, newest last.
type Undo struct{ done, undone []Step }

// maxSteps is how far back undo goes.
const maxSteps = 1000

// Push remembers a new step; what was undone before it cannot be done again.
func (u *Undo) Push(s Step) {
	u.done = append(u.done, s)
	if len(u.done) > maxSteps {
		u.done = slices.Delete(u.done, 0, len(u.done)-maxSteps)
	}
	u.undone = nil
}

// Undo returns the changes that take the newest step back.
func (u *Undo) Undo() (Step, bool) {
	if len(u.done) == 0 {
		return nil, false
	}
	s := u.done[len(u.done)-1]
	u.done = u.done[:len(u.done)-1]
	u.undone = append(u.undone, s)
	return s.inverse(), true
}

// Redo returns the changes of the step that was undone last.
func (u *Undo) Redo() (Step, bool) {
	if len(u.undone) == 0 {
		return nil, false
	}
	s := u.undone[len(u.undone)-1]
	u.undone = u.undone[:len(u.undone)-1]
	u.done = append(u.done, s)
	return s, true
}

// CanUndo and CanRedo tell whether there is a step.
func (u *Undo) CanUndo() bool { return len(u.done) > 0 }
func (u *Undo) CanRedo() bool { return len(u.undone) > 0 }

// Seed starts from a writer's history, oldest first: events with one uid are one step; a step that exactly takes back the one
// before it was an undo.
func (u *Undo) Seed(events []*rpc.LabelEvent) {
	*u = Undo{}
	var step Step
	for i, e := range events {
		step = append(step, change(e.GetChange()))
		if i+1 < len(events) && events[i+1].GetUid() == e.GetUid() {
			continue
		}
		switch n, m := len(u.done), len(u.undone); {
		case n > 0 && slices.Equal(u.done[n-1].inverse(), step):
			u.Undo()
		case m > 0 && slices.Equal(u.undone[m-1], step):
			u.Redo()
		default:
			u.Push(step)
		}
		step = nil
	}
}
