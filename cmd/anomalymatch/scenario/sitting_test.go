//go:build unix

package scenario

import (
	"strings"
	"testing"
	"time"

	"anomalymatch/tui/tuitest"
)

func TestASittingAndTheNext(t *testing.T) {
	p := newProject(t, settings{})
	s := p.open()
	s.WaitFor("1/24 candidates of 120 images").WaitFor("A 0  N 0  S 0")
	s.selected()
	if c := s.Captions(); c[0].Score < c[1].Score {
		t.Errorf("the first picture has score %s, the second %s", c[0].Score, c[1].Score)
	}
	s.label("a", "x", "space")
	s.WaitFor("A 1  N 1  S 1").WaitFor("4/24")

	// Every label on screen is on disk, under the name that the large picture shows.
	s.Press("g", "enter")
	first := s.large(1)
	onScreen := map[string]string{first.name: first.label}
	s.Press("l")
	second := s.large(2)
	onScreen[second.name] = second.label
	s.Press("l")
	third := s.large(3)
	onScreen[third.name] = third.label
	if first.label != "anomaly" || second.label != "normal" || third.label != "skip" {
		t.Errorf("the large pictures are labelled %v, %v, %v", first, second, third)
	}
	p.has(onScreen)

	// Undo goes back step by step and returns to the picture; redo does it again.
	s.Press("esc", "u").Cell(2).HasNoBadge().IsSelected()
	s.WaitFor("S 0")
	s.Press("u").Cell(1).HasNoBadge().IsSelected()
	s.WaitFor("A 1  N 0  S 0")
	p.has(map[string]string{first.name: "anomaly"})
	s.Press("ctrl+r").Cell(1).HasBadge("N")
	s.WaitFor("A 1  N 1  S 0")
	p.has(map[string]string{first.name: "anomaly", second.name: "normal"})

	// Pages, ends, the large picture, the other pages, help.
	s.Press("g").WaitFor("1/24").Press("]").WaitFor("9/24").Press("]").WaitFor("17/24").Press("]").WaitFor("24/24")
	s.Press("[").WaitFor("9/24").Press("[").WaitFor("1/24").Press("G").WaitFor("24/24").Press("pgup").WaitFor("9/24").Press("g").WaitFor("1/24")
	s.Press("enter").WaitFor(first.name).WaitFor("48 × 48 pixels").Press("esc").WaitGone(first.name)
	s.Press("tab").WaitFor("not trained yet").Press("tab").WaitFor("logarithmic").Press("f8").WaitFor("[cluster.leo]").Press("f2").Cell(0).IsSelected()
	s.Press("?").WaitFor("label the picture as anomaly").Press("esc").WaitGone("label the picture as anomaly")
	s.quit()

	// The next day everything is there, and undo reaches back into the day before.
	s = p.open()
	s.WaitFor("A 1  N 1  S 0")
	s.selected()
	s.Press("f", "a").WaitFor("1/1 labelled anomaly").Press("enter")
	if got := s.large(1); got != first {
		t.Errorf("the anomaly is %v, was %v", got, first)
	}
	s.Press("esc", "f", "f", "enter").WaitFor("1/1 labelled normal").Press("enter")
	if got := s.large(1); got != second {
		t.Errorf("the normal image is %v, was %v", got, second)
	}
	s.Press("esc", "f", "d").WaitFor("every label agrees with the model").Press("f", "c").WaitFor("1/24")
	s.selected()
	s.Press("u").WaitFor("A 1  N 0  S 0")
	p.has(map[string]string{first.name: "anomaly"})
	s.Press("u").WaitFor("A 0  N 0  S 0")
	p.has(map[string]string{})
	s.Press("u").WaitFor("nothing to undo")
	s.Press("ctrl+r").WaitFor("A 1  N 0  S 0")
	p.has(map[string]string{first.name: "anomaly"})
	s.quit()
}

func TestTheListFollowsEveryLabel(t *testing.T) {
	p := newProject(t, settings{})
	s := p.open()
	s.WaitFor("novelty")
	s.selected()
	var took []time.Duration
	for n := range 5 {
		s.selected()
		s.Press("l").Press("enter")
		here := s.large(n + 2)
		s.Press("h", "esc")
		s.selected()
		before := s.behind(n + 2)
		began := time.Now()
		s.Press(map[bool]string{true: "a", false: "x"}[n%2 == 0])
		s.Wait("another order", func(string) bool { return s.behind(n+2) != before })
		took = append(took, time.Since(began))
		s.WaitFor("fast, ")
		if c := s.selected(); c.Number != n+2 {
			t.Fatalf("the cursor is on picture %d, want %d", c.Number, n+2)
		}
		s.Press("enter")
		if got := s.large(n + 2); got != here {
			t.Fatalf("the picture under the cursor was %v and is %v", here, got)
		}
		s.Press("esc")
	}
	t.Logf("from key to new list: %v", took)
	best := took[0]
	for _, d := range took {
		best = min(best, d)
	}
	if best > time.Second && !raceEnabled {
		t.Errorf("no label reordered the list within a second: %v", took)
	}
	s.quit()
}

// behind is what is on screen of the list from behind picture n on: scores change with every ranking.
func (s sitting) behind(n int) (text string) {
	for _, c := range s.Captions() {
		if c.Number > n {
			text += " " + c.Score
		}
	}
	return text
}

func TestTwoPeopleOnOneProject(t *testing.T) {
	p := newProject(t, settings{})
	first := p.open()
	first.WaitFor("novelty, ").WaitFor("1/24")
	first.quit() // the engine stays: what both see is ranked

	ann, bob := p.open(), p.open()
	ann.WaitFor("A 0  N 0  S 0")
	ann.selected()
	bob.WaitFor("A 0  N 0  S 0")
	bob.selected()
	ann.label("a")
	bob.WaitFor("A 1").Cell(0).HasBadge("A") // what bob looks at stays, and says what ann said
	bob.label("x")                           // bob thinks otherwise
	ann.WaitFor("A 0  N 1").Cell(0).HasBadge("N")
	bob.label("x")
	ann.WaitFor("A 0  N 2")
	bob.Press("u").WaitFor("A 0  N 1").Press("u").WaitFor("A 1  N 0")
	ann.WaitFor("A 1  N 0").Cell(0).HasBadge("A")
	bob.quit()
	ann.label("a", "x")
	ann.WaitFor("A 2  N 1")
	ann.quit()
	if n := len(p.labels()); n != 3 {
		t.Errorf("%d images are labelled on disk, want 3", n)
	}
}

func TestATerminalThatNeverAnswers(t *testing.T) {
	p := newProject(t, settings{})
	s := p.open(tuitest.Options{Plain: true})
	s.WaitFor("half-blocks")
	s.label("a", "x", "space")
	s.WaitFor("A 1  N 1  S 1")
	s.Press("u").WaitFor("A 1  N 1  S 0")
	if _, sent := s.Pictures(); sent > 0 {
		t.Errorf("%d pictures were sent to a terminal that cannot draw them", sent)
	}
	s.quit()
	if got := p.labels(); len(got) != 2 {
		t.Errorf("on disk are %v", got)
	}
}

func TestATerminalTooSmall(t *testing.T) {
	p := newProject(t, settings{})
	s := p.open(tuitest.Options{Cols: 30, Rows: 8})
	s.says("anomalymatch needs 60 × 16 cells; this terminal has 30 × 8")
	s.Press("a", "x").Resize(100, 30).WaitFor("1/24")
	s.label("a")
	s.Resize(30, 8)
	s.says("this terminal has 30 × 8")
	s.Press("x").Resize(80, 24).WaitFor("2/24").WaitFor("A 1  N 0")
	s.quit()
}

func TestNoTerminal(t *testing.T) {
	p := newProject(t, settings{})
	out, errs, code := p.runs(p.dir)
	if code != 1 || out != "" || !strings.Contains(errs, "this needs a terminal") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	if _, errs, code = p.runs(); code != 2 || !strings.Contains(errs, "which project?") {
		t.Errorf("exit code %d, stderr %q", code, errs)
	}
	if s := p.status(); s.PID != 0 {
		t.Error("an engine was started for nobody")
	}
}

func TestAnEngineOfAnotherVersion(t *testing.T) {
	other, err := build("other", "-ldflags", "-X anomalymatch.Version=other")
	if err != nil {
		t.Fatal(err)
	}
	p := newProject(t, settings{})
	p.exe = other
	s := p.open()
	s.label("a").quit()
	p.until("the engine of the other version", func(s status) bool { return s.Version == "other" && s.PID > 0 })

	p.exe = program
	before := p.status().PID
	s = p.open()
	s.WaitFor("Another version").WaitFor("anomalymatch other, this").WaitFor("program is dev")
	s.Press("r").WaitGone("Another version")
	p.until("an engine of this version", func(s status) bool { return s.Version == "dev" && s.PID > 0 && s.PID != before })
	s.WaitFor("● idle")
	s.label("x")
	s.WaitFor("A 1  N 1")
	s.quit()
}

// Bookmarks and tags are in the journal, train nothing, and are there the next day; a search and a jump go where they say.
func TestMarksAndSearch(t *testing.T) {
	p := newProject(t, settings{})
	s := p.open()
	s.WaitFor("1/24 candidates of 120 images").WaitFor("● idle")
	s.selected()
	s.Press("m").WaitFor("bookmark · u undo").Press("4").WaitFor("tag 4 · u undo").Press("enter").WaitFor("bookmark, tag 4")
	marked := s.large(1).name
	s.Press("l", "5").WaitFor("tag 5 · u undo").Press("u").WaitFor("undone").Press("esc")
	s.WaitFor("A 0  N 0  S 0")
	if out, _, code := p.runs("labels", "export", p.dir, "--marks"); code != 0 || out != "filename,mark\nsky/"+marked+",bookmark\nsky/"+marked+",4\n" {
		t.Errorf("exit code %d: %s", code, out)
	}
	if out, _, _ := p.runs("labels", "export", p.dir); out != "filename,label\n" {
		t.Errorf("marks are labels: %s", out)
	}
	if out, _, _ := p.runs("labels", "history", p.dir); !strings.Contains(out, "tag 5 taken away") {
		t.Errorf("the history is %s", out)
	}
	s.quit()

	s = p.open()
	s.WaitFor("1/24 candidates of 120 images").WaitFor("● idle").Press("f").WaitFor("bookmarks   1 image").WaitFor("tag 4       1 image").Press("m").WaitFor("1/1 bookmarks")
	s.Press("enter")
	if got := s.large(1).name; got != marked {
		t.Errorf("the bookmark is %s, was %s", got, marked)
	}
	s.Press("esc", "f", "i").WaitFor("1/120 images").Press("o", "i").WaitFor("1/120 images, by id").Press("ctrl+g").WaitFor("Go to").Type("100").Press("enter").WaitFor("100/120")
	s.Press("/").WaitFor("Search").Type(strings.ToUpper(marked)).WaitFor("1 image of this list").Press("enter").WaitFor("1 of 1 · n next").Press("enter").WaitFor("bookmark, tag 4").Press("esc")
	s.Press("u").WaitFor("undone").Press("u").WaitFor("undone").Press("u").WaitFor("nothing to undo")
	s.quit()
	if out, _, _ := p.runs("labels", "export", p.dir, "--marks"); out != "filename,mark\n" {
		t.Errorf("undo has left %s", out)
	}
}
