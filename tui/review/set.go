package review

import tea "charm.land/bubbletea/v2"

// Saves counts the steps that are saved: what is asked for now knows those until now.
func (d *Desk) Saves() uint64 { return d.saves }

// Now is what is said about an image just now, of its label or, where mark is one, of that mark: what was given since the engine was asked,
// after so many saves, else what it said.
func (d *Desk) Now(id, mark string, said Label, saves uint64) Label {
	if g, ok := d.given[subject{id, mark}]; ok && (g.mark != Saved || g.save > saves) {
		return g.label
	}
	return said
}

// Set does a step that was not made at a picture of the list. It is undone like any other.
func (d *Desk) Set(step Step, say string) tea.Cmd {
	d.undo.Push(step)
	return d.apply(step, say+" · "+d.common.Keys.Label("undo")+" undo")
}
