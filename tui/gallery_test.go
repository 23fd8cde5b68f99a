//go:build unix

package tui_test

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// marked waits until these and no other marks are on disk.
func (s sitting) marked(want map[string][]string) {
	s.t.Helper()
	s.Wait(fmt.Sprintf("marks on disk: %v", want), func(string) bool { return reflect.DeepEqual(s.engine.Marks(), want) })
}

func TestBookmarksAndTags(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	top := s.engine.Top(4)
	s.WaitFor("1/24 candidates").Cell(0).HasPicture()
	s.Press("m").WaitFor("bookmark · u undo").WaitFor("★ ")
	s.Press("3").WaitFor("tag 3 · u undo").WaitFor(" ★ #3 ").Press("right", "right", "3").WaitFor("tag 3 · u undo")
	s.marked(map[string][]string{top[0]: {"bookmark", "3"}, top[2]: {"3"}})
	s.saved(map[string]string{})
	s.Press("left", "left", "enter").WaitFor("marks      bookmark, tag 3").Press("7").WaitFor("bookmark, tag 3, tag 7").Press("u").WaitFor("undone").WaitGone("tag 7").Press("esc")

	s.Press("f").WaitFor("bookmarks   1 image").WaitFor("tag 3       2 images").Press("m").WaitFor("1/1 bookmarks of 640 images").Press("enter").WaitFor(path.Base(top[0])).Press("esc")
	s.Press("f", "3").WaitFor("1/2 with tag 3").Press("m").WaitFor("bookmark taken away").Press("f", "t").WaitFor("1/2 marked")
	s.Press("f").WaitFor("▸ t ● marked").Press("f", "enter").WaitFor("showing images with tag 3").Press("f", "c").WaitFor("1/24 candidates")
	s.marked(map[string][]string{top[0]: {"3"}, top[2]: {"3"}})
	s.Press("u").WaitFor("undone").WaitFor(" ★ #3 ")
	s.marked(map[string][]string{top[0]: {"bookmark", "3"}, top[2]: {"3"}})
}

func TestTheListIsSorted(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.WaitFor("1/24 candidates").Cell(0).HasPicture()
	s.Press("f", "i").WaitFor("1/640 images").Press("o", "i").WaitFor("1/640 images, by id").Press("enter").WaitFor("img-00000.png").Press("esc")
	s.Press("o").WaitFor("i ● id").Press("w").WaitFor("images, worst first")
	worst := s.engine.List(&rpc.RankingRequest{Filter: "all", Sort: "worst"}, 2)
	s.Press("enter").WaitFor(path.Base(worst[0])).Press("esc").Cell(0).HasPicture()
	s.label("x").Cell(0).HasBadge("N")
	s.Cell(1).HasPicture()
	s.label("x").Cell(1).HasBadge("N")
	s.Wait("two labels", func(string) bool { return len(s.engine.Labels()) == 2 })
	s.Press("o", "l").WaitFor("last labelled first")
	s.Press("enter").WaitFor(path.Base(s.engine.List(&rpc.RankingRequest{Filter: "all", Sort: "newest"}, 1)[0])).Press("esc", "o", "r").WaitGone("last labelled first, ")
}

func TestSearchGoesFromMatchToMatch(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.WaitFor("1/24 candidates").Cell(0).HasPicture()
	s.Press("n").WaitFor("nothing was searched for yet: / searches")
	s.Press("f", "i").WaitFor("1/640 images").Press("/").WaitFor("a part of the id is enough").Type("IMG-0061").WaitFor("10 images of this list").Press("enter")
	all := s.engine.List(&rpc.RankingRequest{Filter: "all"}, 640)
	var want []int
	for i, id := range all {
		if strings.Contains(id, "img-0061") {
			want = append(want, i+1)
		}
	}
	at := func(n int) { s.t.Helper(); s.WaitFor(fmt.Sprintf("%d/640 images", want[n])) }
	at(0)
	s.Press("n")
	at(1)
	s.Press("N")
	at(0)
	s.Press("N") // round the beginning
	at(len(want) - 1)
	s.WaitFor("10 of 10 · n next, N before").Press("n")
	at(0)

	// A paste goes into the line, and what the candidates lack is listed aside.
	queue := s.engine.Top(24)
	i := slices.IndexFunc(all, func(id string) bool { return !slices.Contains(queue, id) })
	s.Press("f", "c").WaitFor("/24 candidates").Press("/").WaitFor("Search").Paste(path.Base(all[i])).WaitFor("none in this list").Press("enter")
	s.WaitFor("1/1 matching "+path.Base(all[i])).Press("enter").WaitFor(path.Base(all[i])).Press("esc", "esc").WaitFor("/24 candidates")
	s.Press("/").WaitFor("Search").Type("nosuch").Press("enter").WaitFor("no image has nosuch in its id").WaitFor("/24 candidates")
	s.saved(map[string]string{})
}

func TestALongListIsAWindow(t *testing.T) {
	if testing.Short() {
		t.Skip("a pool of 100,000 images")
	}
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Images: 100_000}})
	s.WaitFor("1/1,000 candidates of 100,000 images").Press("f", "i").WaitFor("1/100,000 images")
	all := s.engine.List(&rpc.RankingRequest{Filter: "all"}, 100_000)
	s.Press("ctrl+g").WaitFor("Go to").Type("50,000").Press("enter").WaitFor("50,000/100,000 images").WaitFor("50000").Press("enter").WaitFor(path.Base(all[49_999]))
	s.Press("right").WaitFor("50,001 of 100,000").WaitFor(path.Base(all[50_000])).Press("esc")
	s.Press("G").WaitFor("100,000/100,000 images").Press("enter").WaitFor(path.Base(all[99_999])).Press("esc")
	s.Press("g").WaitFor("1/100,000 images").Press("enter").WaitFor(path.Base(all[0])).Press("esc")
	s.Press(":").Type("77000").WaitFor("place 77,000").Press("enter").WaitFor("77,000/100,000 images")
	s.Press("pgup", "pgdown", "up", "down", "pgdown").WaitFor(fmt.Sprintf("%d", 76_999/8*8+8+1)).Press("ctrl+g").Type("0").WaitFor("this is no number from 1 to 100,000").Press("esc")
}

func TestSeveralAreLabelledInOneStep(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	top := s.engine.Top(24)
	s.WaitFor("kitty")
	for i := range 8 {
		s.Cell(i).HasPicture()
	}
	s.Press("right", "v").WaitFor("1 image selected").Press("right", "right").WaitFor("3 images selected").Cell(3).IsSelected()
	if all := s.Captions(); !all[1].Member || !all[2].Member || all[0].Member {
		t.Errorf("%+v", all)
	}
	s.Press("esc").WaitGone("selected").Press("v").WaitFor("1 image selected").Press("down").WaitFor("5 images selected").Press("left", "left").WaitFor("3 images selected")
	s.label("x").WaitFor("3 images normal · u undo").WaitFor("7/24")
	s.saved(map[string]string{top[3]: "normal", top[4]: "normal", top[5]: "normal"})
	if n := len(s.engine.Uids()); n != 1 {
		t.Errorf("%d label requests, want one step", n)
	}
	s.Press("u").WaitFor("undone").Cell(3).HasNoBadge().IsSelected()
	s.saved(map[string]string{})

	s.Press("v", "right", "4").WaitFor("2 images: tag 4 · u undo").WaitGone("selected")
	s.marked(map[string][]string{top[3]: {"4"}, top[4]: {"4"}})

	// What was never on screen is not labelled, and more than a page is asked about.
	s.Press("home", "v").WaitFor("1 image selected").Press("G").WaitFor("24 images selected").Press("x").WaitFor("of the selection").WaitFor("never on screen: look at all of them first")
	s.Press("esc", "home").Cell(0).HasPicture()
	s.label("a").Cell(0).HasBadge("A")
	s.Press("home", "v").WaitFor("1 image selected")
	for page := range 3 {
		if page > 0 {
			s.Press("]").WaitFor(fmt.Sprintf("%d/24", 8*page+1))
		}
		for i := range 8 {
			s.Cell(i).HasPicture()
		}
	}
	s.WaitFor("17 images selected").Press("x").WaitFor("Label 17 images as normal?").WaitFor("Of them, 1 labelled anomaly now.").Press("n").WaitGone("Label 17 images").WaitFor("17 images selected")
	s.Press("x").WaitFor("Label 17 images").Press("y").WaitFor("17 images normal · u undo").WaitFor("18/24")
	s.Wait("17 labels", func(string) bool { return len(s.engine.Labels()) == 17 })
	s.Press("u").WaitFor("undone")
	s.saved(map[string]string{top[0]: "anomaly"})
}

func TestTheMouseSelectsAndNeverLabels(t *testing.T) {
	t.Parallel()
	for _, term := range []tuitest.Options{{}, wide} {
		s := open(t, setup{term: term})
		top := s.engine.Top(8)
		s.WaitFor("1/24 candidates").WaitFor("  kitty").Cell(0).HasPicture() // the grid is laid out anew for kitty
		s.Cell(5).Click().IsSelected()
		s.WaitFor("6/24")
		time.Sleep(450 * time.Millisecond) // one click and another
		s.Cell(2).Click().IsSelected()
		s.Click(0, 3).WaitFor("3/24") // beside the pictures
		s.Wheel(true).Wait("a row down", func(screen string) bool { return !strings.Contains(screen, " 3/24") }).Wheel(false).WaitFor("3/24")
		s.Press("v").WaitFor("1 image selected").Cell(0).Click().IsSelected()
		s.WaitFor("3 images selected").Press("esc").WaitGone("images selected")
		time.Sleep(450 * time.Millisecond)
		s.Cell(1).Click().Click()
		s.WaitFor("2 of 24").WaitFor(path.Base(top[1])).Press("esc").WaitGone("2 of 24")
		s.saved(map[string]string{})
	}
}
