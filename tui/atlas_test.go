//go:build unix

package tui_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

var inTheBox = regexp.MustCompile(`([\d,]+) images?`)

// boxed is how many images the box on screen holds.
func boxed(screen string) int {
	_, screen, _ = strings.Cut(screen, "In the box")
	m := inTheBox.FindStringSubmatch(screen)
	if m == nil {
		return -1
	}
	n, _ := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	return n
}

// drawn waits for dots.
func drawn(s sitting) {
	s.t.Helper()
	s.Wait("dots", func(screen string) bool {
		return strings.ContainsFunc(screen, func(r rune) bool { return r > 0x2800 && r < 0x2900 })
	})
}

func TestTheMapShowsWhatLiesWhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size  tuitest.Options
		steps int // from the corner to the middle of the rare ones
	}{{tuitest.Options{Cols: 80, Rows: 24}, 2}, {tuitest.Options{Cols: 120, Rows: 40}, 3}} {
		t.Run(fmt.Sprint(c.size.Cols), func(t *testing.T) {
			t.Parallel()
			s := open(t, setup{term: c.size})
			s.Cell(0).HasPicture()
			s.label("a").Cell(0).HasBadge("A")
			s.Press("f6").WaitFor("neighbours  pca  anomaly").WaitFor("directions mean nothing").WaitFor("┌──")
			drawn(s)
			s.Wait("the labelled image", func(screen string) bool {
				_, plot, _ := strings.Cut(screen, "neighbours")
				return strings.Count(strings.Split(plot, "● idle")[0], "A") == 1
			})

			// the rare ones lie by themselves in the upper right corner: go there
			for range 40 {
				s.Press("l", "k")
			}
			s.Wait("the box to be in the corner", func(screen string) bool { return boxed(screen) == 0 }).WaitFor("0 images")
			s.Press("enter").WaitFor("no image lies in the box")
			best := 0
			for range c.steps {
				s.Press("h", "j")
			}
			s.Wait("images in the box", func(screen string) bool { best = boxed(screen); return best > 0 })
			s.WaitFor("mean score 0.").WaitStill(300e6)
			best = boxed(s.Screen())

			s.Press("enter").WaitFor(fmt.Sprintf("1/%d of a region of the map", best)).Cell(0).IsSelected().HasPicture()
			s.Press("esc").WaitFor("/24 candidates")
		})
	}
}

func TestTheMapComesCloser(t *testing.T) {
	t.Parallel()
	s := open(t, setup{term: tuitest.Options{Cols: 80, Rows: 24}, engine: fake.Options{Images: 2000}})
	s.Press("f6")
	drawn(s)
	s.Press("g").WaitFor("this is the whole map")
	s.Press("-").WaitFor("this is the whole map")
	s.Press("+").WaitFor("×2").Press("+").WaitFor("×4").Press("-").WaitFor("×2").WaitFor("g whole map")
	for range 16 { // past the border of what is on screen
		s.Press("h")
	}
	s.Wait("images", func(screen string) bool { return boxed(screen) > 0 })
	s.Press("g").WaitGone("×2")
	s.Press("c").WaitFor("colour: score, 0").Press("c").WaitFor("colour: how many")

	// other maps
	s.Press("]").WaitGone("directions mean nothing").WaitStill(200e6)
	s.Press("]").WaitFor("the map is being worked out: 40%").WaitFor("→ log-odds of the fast score")
	s.Press("]").WaitFor("directions mean nothing").Press("[").WaitFor("→ log-odds of the fast score")

	// what is drawn follows the labels of others
	id := s.engine.Top(1)[0]
	s.engine.Said("bob", id, "anomaly", 0)
	s.Wait("a mark", func(screen string) bool { return strings.Contains(screen, "A") && strings.Contains(screen, "A 1") })
	s.Resize(60, 16).WaitFor("image").WaitFor("┌──")
	s.Resize(120, 40).WaitFor("In the box")
	s.engine.Die()
	s.WaitFor("engine gone").Press("+").WaitFor("×2")
	s.engine.Live()
	s.WaitFor("● idle").Press("g").WaitGone("×2")
}

func TestTheMapWaitsForEmbeddings(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Embed: 1500e6}})
	s.Press("f6").WaitFor("the images are not embedded yet").Press("l").WaitFor("nobody knows which are alike")
	s.WaitFor("┌──")
	if n := s.engine.Inside(&rpc.Region{Projection: "pca", Right: 1, Bottom: 1}); n != 640 {
		t.Errorf("the fake's map has %d images", n)
	}
}

// A click puts the box where it was; a second one lists what is there.
func TestTheMouseOnTheMap(t *testing.T) {
	t.Parallel()
	s := open(t, setup{term: tuitest.Options{Cols: 80, Rows: 24}})
	s.Press("f6").WaitFor("┌──")
	drawn(s)
	x, y := 0.0, 0.0
	for _, id := range s.engine.List(&rpc.RankingRequest{Filter: "all"}, 640) {
		if s.engine.Rare(id) {
			x, y = s.engine.Where(id, "neighbours")
			break
		}
	}
	click := fmt.Sprintf("\x1b[<0;%d;%dM", 2+int(x*56), 3+int(y*19))
	s.Type(click).Wait("images in the box", func(screen string) bool { return boxed(screen) > 0 })
	s.WaitStill(500e6)
	n := boxed(s.Screen())
	s.Type(click).Type(click).WaitFor(fmt.Sprintf("1/%d of a region", n))
}
