package session

import (
	"slices"

	"anomalymatch/engine/label"
	"anomalymatch/session/journal"
)

// Undo remembers one person's steps. It is pure: what it returns has to be written to the journal like any other step, but not
// pushed. The zero value has nothing to undo.
type Undo struct {
	done, undone [][]label.Change
}

// UndoFrom continues where the events of one person end (journal.History, oldest first). A step that takes the one before it
// back was an undo, so that undo after a restart goes on into the past.
func UndoFrom(events []journal.Event) *Undo {
	u := &Undo{}
	for _, step := range stepsOf(events) {
		switch {
		case len(u.done) > 0 && slices.Equal(step, inverse(u.done[len(u.done)-1])):
			u.Undo()
		case len(u.undone) > 0 && slices.Equal(step, u.undone[len(u.undone)-1]):
			u.Redo()
		default:
			u.Push(step)
		}
	}
	return u
}

// Push adds a step that was just done; what was undone before can then not be redone.
func (u *Undo) Push(step []label.Change) {
	if len(step) == 0 {
		return
	}
	u.done = append(u.done, slices.Clone(step))
	u.undone = nil
}

// Undo returns the changes that take the last step back; false: there is none.
func (u *Undo) Undo() ([]label.Change, bool) {
	step, ok := move(&u.done, &u.undone)
	return inverse(step), ok
}

// Redo returns the changes of the step that was undone last; false: there is none.
func (u *Undo) Redo() ([]label.Change, bool) {
	step, ok := move(&u.undone, &u.done)
	return slices.Clone(step), ok
}

func move(from, to *[][]label.Change) ([]label.Change, bool) {
	n := len(*from) - 1
	if n < 0 {
		return nil, false
	}
	step := (*from)[n]
	*from = (*from)[:n]
	*to = append(*to, step)
	return step, true
}

// inverse takes the changes back, last one first.
func inverse(step []label.Change) []label.Change {
	var back []label.Change
	for _, c := range slices.Backward(step) {
		back = append(back, label.Change{ID: c.ID, To: c.From, From: c.To})
	}
	return back
}

// stepsOf groups events by their uid, in the order in which the steps began.
func stepsOf(events []journal.Event) [][]label.Change {
	var steps [][]label.Change
	at := map[string]int{}
	for _, e := range events {
		i, ok := at[e.UID]
		if !ok {
			i = len(steps)
			at[e.UID] = i
			steps = append(steps, nil)
		}
		steps[i] = append(steps[i], e.Change)
	}
	return steps
}
