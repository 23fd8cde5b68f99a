package review

import (
	"slices"

	tea "charm.land/bubbletea/v2"
)

// Now is what is said about an image just now, of its label or, where mark is one, of that mark; said is what the engine said last.
func (d *Desk) Now(id, mark string, said Label) Label {
	if mark == "" {
		l, _ := d.Label(Item{ID: id, Label: said})
		return l
	}
	var marks []string
	if said == On {
		marks = []string{mark}
	}
	if slices.Contains(d.Marks(Item{ID: id, Marks: marks}), mark) {
		return On
	}
	return None
}

// Set does a step that was not made at a picture of the list. It is undone like any other.
func (d *Desk) Set(step Step, say string) tea.Cmd {
	d.undo.Push(step)
	return d.apply(step, say+" · "+d.common.Keys.Label("undo")+" undo")
}
