//go:build unix

package tui_test

import (
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// TestPreparation chooses by looking: candidates, range, channels, another source; then leaves it as it was, and then uses it.
func TestPreparation(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		s := open(t, setup{term: tuitest.Options{Cols: size[0], Rows: size[1]}})
		first := s.engine.Top(1)[0]
		s.Cell(0).HasPicture()
		s.label("a").Cell(0).HasBadge("A")
		s.Press("left").WaitFor("1/24")
		_, before := s.Pictures()
		s.Press("f5").WaitFor("What the network sees: 16 × 16 pixels").WaitFor("galaxies (1 of 2), 640 images").WaitFor("━ now ━").WaitFor("In force · usual")
		s.WaitFor("each image by itself, about 0 to 300").WaitFor("The screen's own stretch (t) is another thing")
		if size[1] >= 30 {
			s.WaitFor(path.Base(first)).WaitFor("black 0  white 300")
		}
		s.Wait("pictures of every candidate", func(string) bool {
			_, sent := s.Pictures()
			return sent >= before+7*3
		})
		s.Press("enter").WaitFor("the network sees them so already")

		// Another stretch, and its range by keys and typed.
		s.Press("right", "right", "right").WaitFor("enter uses it · asinh").WaitFor("about 0 to 1000")
		s.Press(".").WaitFor("0 to 800, all images alike").Press(">").WaitFor("80 to 800, all").Press("<", ",").WaitFor("8 to 998, all")
		s.Press("0").WaitFor("each image by itself").Press("V").WaitFor("Range of values").Press("ctrl+u").Type("9 3").WaitFor("must be less than what becomes white")
		s.Press("ctrl+u").Type("-5 2e3").Press("enter").WaitFor("-5 to 2000, all images alike")

		// Channels that do not fit are said in every picture, not remembered.
		s.Press("M").WaitFor("these images have 3 bands").Type("1 x").WaitFor("x is no weight").Press("backspace").Type("1").Press("enter").WaitFor("weighs 2").Press("enter").WaitFor("none of these images can be read so")
		s.Press("M").WaitFor("Channels").Press("ctrl+u").Type("0 0 1; 0 1 0; 1 0 0").Press("enter").WaitGone("weighs 2")

		// Other images, the selected one with them; another source is as it is.
		asked := len(s.engine.Previewed())
		s.Press("r").Wait("other images", func(string) bool {
			more := s.engine.Previewed()[asked:]
			return len(more) > 0 && slices.ContainsFunc(more, func(q string) bool { return !strings.HasPrefix(q, first) })
		})
		s.Press("]").WaitFor("south (2 of 2), 640 images").WaitFor("In force · usual").Press("[").WaitFor("galaxies (1 of 2)").WaitFor("-5 to 2000")

		// Esc leaves it as it was.
		s.Press("esc").WaitFor("nothing is changed").Press("f5").WaitFor("In force · usual")
		if r := s.engine.Reading("galaxies"); r != " 0 0 " {
			t.Errorf("read so: %q", r)
		}

		// Asked first, then used; labels stay, and the pictures of the other pages are made anew.
		s.Press("right", "right", "right").WaitFor("enter uses it · asinh").Press("enter").WaitFor("Another preparation").WaitFor("All labels stay").Press("n").WaitGone("Another preparation")
		if r := s.engine.Reading("galaxies"); r != " 0 0 " {
			t.Errorf("read so before the answer: %q", r)
		}
		thumbs := len(s.engine.Asked())
		use := func() { // and waits until the engine is back
			t.Helper()
			n := s.engine.Greeted()
			s.Press("enter").WaitFor("Another preparation").Press("y").Wait("the engine again", func(string) bool { return s.engine.Greeted() > n })
			s.WaitFor("● idle")
		}
		s.Press("]").WaitFor("south (2 of 2)").Press("right", "right").WaitFor("enter uses it · zscale")
		use()
		s.WaitFor("In force · zscale").WaitFor("south (2 of 2)")
		s.Wait("the reading of that one", func(string) bool {
			return s.engine.Reading("galaxies") == " 0 0 " && s.engine.Reading("south") == "zscale 0 0 "
		})
		s.Press("[").WaitFor("galaxies (1 of 2)").WaitFor("enter uses it · asinh")
		use()
		s.WaitFor("In force · asinh")
		s.Wait("the reading", func(string) bool {
			return s.engine.Reading("galaxies") == "asinh 0 0 " && s.engine.Reading("south") == "zscale 0 0 "
		})
		s.WaitFor("● idle").Press("f2").Cell(0).HasBadge("A").HasPicture()
		if !slices.Contains(s.engine.Asked()[thumbs:], first) {
			t.Error("the gallery shows the pictures of before")
		}
		s.saved(map[string]string{first: "anomaly"})
		s.Press("q")
		if code := s.Exit(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestPreparationWaitsForTheJob: while the network is trained, its pixels stay.
func TestPreparationWaitsForTheJob(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Step: time.Second}})
	s.Cell(0).HasPicture()
	s.label("a").Cell(0).HasBadge("A")
	s.Press("ctrl+t").WaitFor("training").Press("f5").WaitFor("In force").Press("right").WaitFor("enter").Press("enter").WaitFor("the engine is training just now: ctrl+x ends that")
	s.Press("ctrl+x").WaitFor("● idle").Press("enter").WaitFor("Another preparation").Press("esc").WaitGone("Another preparation")
}
