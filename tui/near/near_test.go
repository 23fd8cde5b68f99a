package near

import (
	"slices"
	"testing"

	tea "charm.land/bubbletea/v2"

	"anomalymatch/tui/link"
	"anomalymatch/tui/tuitest/fake"
)

// connected is a finder on a fake engine.
func connected(t *testing.T) (*Finder, *fake.Engine) {
	t.Helper()
	e := fake.New(fake.Options{Images: 40})
	t.Cleanup(e.Die)
	client, err := e.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := link.New(t.Context(), client, "dev", nil)
	l.Update(l.Init()())
	if l.Client() == nil {
		t.Fatal("the link is not up")
	}
	return New(l), e
}

func TestOnlyTheImageTheCursorRestsOnIsAskedAbout(t *testing.T) {
	f, e := connected(t)
	top := e.Top(3)
	var ticks []tea.Msg
	for _, id := range top {
		ticks = append(ticks, f.Look(id, 1)())
	}
	if f.Look(top[2], 1) != nil {
		t.Error("asked twice about the same image")
	}
	var answers []tea.Msg
	for _, tick := range ticks {
		if ask := f.Update(tick); ask != nil {
			answers = append(answers, ask())
		}
	}
	if asked := e.AskedNear(); !slices.Equal(asked, top[2:]) {
		t.Errorf("asked about %v, want %v", asked, top[2:])
	}
	if _, known, _ := f.Of(top[2]); known || len(answers) != 1 {
		t.Fatalf("%d answers, known before they came: %v", len(answers), known)
	}
	f.Update(answers[0])
	if found, known, why := f.Of(top[2]); !known || why != "" || len(found) != 0 { // nothing is labelled
		t.Errorf("%v, %v, %q", found, known, why)
	}
	if _, known, _ := f.Of(top[0]); known {
		t.Error("the neighbours of another image are taken for its own")
	}
}

func TestAStaleAnswerIsDropped(t *testing.T) {
	f, e := connected(t)
	top := e.Top(2)
	ask := f.Update(f.Look(top[0], 1)())
	old := ask()
	again := f.Look(top[1], 1)
	f.Update(old)
	if _, known, _ := f.Of(top[1]); known {
		t.Error("the answer to another question was taken")
	}
	f.Update(f.Update(again())())
	if _, known, _ := f.Of(top[1]); !known {
		t.Error("the answer was not taken")
	}
	if f.Look(top[1], 2) == nil {
		t.Error("not asked again with newer labels")
	}
	if _, known, _ := f.Of(top[1]); !known {
		t.Error("what is known went before the newer answer came")
	}
	e.Die()
	ask = f.Update(f.Look(top[0], 2)())
	f.Update(ask())
	if _, _, why := f.Of(top[0]); why != "the engine is gone" {
		t.Errorf("why: %q", why)
	}
}
