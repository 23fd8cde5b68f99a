package session

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"anomalymatch/engine/label"
	"anomalymatch/session/journal"
)

const a, n, s, none = label.Anomaly, label.Normal, label.Skip, label.None

func ch(id string, from, to label.Value) label.Change {
	return label.Change{ID: id, From: from, To: to}
}

func TestUndoRedo(t *testing.T) {
	var u Undo
	if _, ok := u.Undo(); ok {
		t.Error("nothing was done, and undone")
	}
	u.Push(nil)
	u.Push([]label.Change{ch("1", none, a)})
	u.Push([]label.Change{ch("1", a, n), ch("2", none, n), ch("1", n, s)})
	for i, c := range []struct {
		do   func() ([]label.Change, bool)
		want []label.Change
	}{
		{u.Redo, nil},
		{u.Undo, []label.Change{ch("1", s, n), ch("2", n, none), ch("1", n, a)}},
		{u.Undo, []label.Change{ch("1", a, none)}},
		{u.Undo, nil},
		{u.Redo, []label.Change{ch("1", none, a)}},
		{u.Redo, []label.Change{ch("1", a, n), ch("2", none, n), ch("1", n, s)}},
		{u.Redo, nil},
		{u.Undo, []label.Change{ch("1", s, n), ch("2", n, none), ch("1", n, a)}},
		{func() ([]label.Change, bool) { u.Push([]label.Change{ch("3", none, n)}); return u.Redo() }, nil},
		{u.Undo, []label.Change{ch("3", n, none)}},
		{u.Undo, []label.Change{ch("1", a, none)}},
	} {
		if got, ok := c.do(); !slices.Equal(got, c.want) || ok != (c.want != nil) {
			t.Errorf("step %d: got %v, %v; want %v", i, got, ok, c.want)
		}
	}
}

func TestUndoFrom(t *testing.T) {
	events := func(steps ...[]label.Change) []journal.Event {
		var all []journal.Event
		for i, step := range steps {
			for _, c := range step {
				all = append(all, journal.Event{UID: fmt.Sprint(i), Change: c})
			}
		}
		return all
	}
	one, two := []label.Change{ch("1", none, a)}, []label.Change{ch("2", none, n), ch("3", none, n)}
	for name, c := range map[string]struct {
		events     []journal.Event
		undo, redo []label.Change
	}{
		"nothing":           {nil, nil, nil},
		"steps":             {events(one, two), inverse(two), nil},
		"undone":            {events(one, two, inverse(two)), inverse(one), two},
		"undone twice":      {events(one, two, inverse(two), inverse(one)), nil, one},
		"redone":            {events(one, two, inverse(two), two), inverse(two), nil},
		"something instead": {events(one, inverse(one), two), inverse(two), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := UndoFrom(c.events).Undo(); !slices.Equal(got, c.undo) {
				t.Errorf("undo: got %v, want %v", got, c.undo)
			}
			if got, _ := UndoFrom(c.events).Redo(); !slices.Equal(got, c.redo) {
				t.Errorf("redo: got %v, want %v", got, c.redo)
			}
		})
	}
}

// Whatever was done: undoing all of it leads back to the beginning, and redoing all of it to the end. Through the journal too.
func TestUndoLeadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	now := map[string]label.Value{}
	apply := func(step []label.Change) {
		for _, c := range step {
			if now[c.ID] != c.From {
				t.Fatalf("%v, but it is %q", c, now[c.ID])
			}
			if now[c.ID] = c.To; c.To == none {
				delete(now, c.ID)
			}
		}
	}
	j, err := journal.Open(t.TempDir(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for range 30 {
		var step []label.Change
		for i := range 1 + r.IntN(3) {
			id := fmt.Sprint(i, r.IntN(4))
			step = append(step, ch(id, now[id], []label.Value{a, n, s, none}[r.IntN(4)]))
		}
		apply(step)
		if err := j.Append("ada", "", step); err != nil {
			t.Fatal(err)
		}
	}
	end := maps.Clone(now)
	if !maps.Equal(j.Current(), end) {
		t.Fatalf("the journal says %v, not %v", j.Current(), end)
	}
	u := UndoFrom(j.History("ada", 0))
	for step, ok := u.Undo(); ok; step, ok = u.Undo() {
		apply(step)
	}
	if len(now) != 0 {
		t.Errorf("undone: %v", now)
	}
	for step, ok := u.Redo(); ok; step, ok = u.Redo() {
		apply(step)
	}
	if !maps.Equal(now, end) {
		t.Errorf("redone: %v, want %v", now, end)
	}
}
