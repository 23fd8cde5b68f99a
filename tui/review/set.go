package review

import tea "charm.land/bubbletea/v2"

// Now is what is said about an image just now, of its label or, where mark is one, of that mark: what is on its way, else what the engine
// said last.
func (d *Desk) Now(id, mark string, said Label) Label {
	if g, ok := d.given[subject{id, mark}]; ok && g.mark != Saved {
		return g.label
	}
	return said
}

// Set does a step that was not made at a picture of the list. It is undone like any other.
func (d *Desk) Set(step Step, say string) tea.Cmd {
	d.undo.Push(step)
	return d.apply(step, say+" · "+d.common.Keys.Label("undo")+" undo")
}
