package dialogs

import (
	"testing"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
)

func TestThePaletteFinds(t *testing.T) {
	all, err := keys.Load(keys.Table(), nil)
	if err != nil {
		t.Fatal(err)
	}
	// nothing is labelled: train does nothing
	state := func() keys.State { return keys.State{Page: "gallery", Candidates: 9, Connected: true} }
	for _, c := range []struct {
		typed string
		want  []string // the first ones
		none  string   // not found
	}{
		{typed: "tra", want: []string{"training", "train"}, none: "tag-1"},
		{typed: "train", want: []string{"training", "train", "skip"}}, // what it says: trains nothing
		{typed: "restnorm", want: []string{"rest-normal"}},
		{typed: "undecided", want: []string{"skip"}, none: "undo"},
		{typed: "GALLERY", want: []string{"gallery"}},
	} {
		p := NewPalette(&common.Common{Keys: all}, state)
		p.Type(tea.PasteMsg{Content: c.typed})
		found := p.found()
		for i, id := range c.want {
			if i >= len(found) || found[i].ID != id {
				t.Errorf("%s: %d: want %s of %d", c.typed, i, id, len(found))
			}
		}
		for _, b := range found {
			if b.ID == c.none {
				t.Errorf("%s: %s is found", c.typed, b.ID)
			}
		}
	}
}

func TestPlace(t *testing.T) {
	for text, want := range map[string]int64{"7": 7, " 12,000 ": 12000, "": 0, "0": 0, "-3": 0, "x": 0, "99999999999999999999": 0} {
		if n, ok := place(text); ok != (want > 0) || ok && n != want {
			t.Errorf("%q: %d, %v", text, n, ok)
		}
	}
}
