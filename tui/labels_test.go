//go:build unix

package tui_test

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

func TestAnyLabelIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, size := range []tuitest.Options{{Cols: 80, Rows: 24}, {Cols: 120, Rows: 40}} {
		t.Run(fmt.Sprint(size.Cols), func(t *testing.T) {
			t.Parallel()
			s := open(t, setup{term: size})
			top := s.engine.Top(3)
			s.Press("f7").WaitFor("history  doubtful  people").WaitFor("nothing is labelled yet").Press("D").WaitFor("there is nothing").Press("esc")
			s.Cell(0).HasPicture()
			s.label("a").Cell(0).HasBadge("A")
			s.Cell(1).HasPicture()
			s.label("x").Cell(1).HasBadge("N")
			s.engine.Said("bob", top[0], "normal", 0)

			s.Press("f7").WaitFor("3 events").Wait("the newest first", func(screen string) bool {
				bob, ann := strings.Index(screen, "bob"), strings.Index(screen, "ann")
				return strings.Contains(screen, "A → N") && strings.Contains(screen, "– → N") && strings.Contains(screen, "– → A") && bob > 0 && bob < ann
			})
			s.WaitFor("▸ ").WaitFor(path.Base(top[0])).WaitFor("in force   normal")

			// nothing newer was said about the second one: it is taken back at once
			s.Press("j").WaitFor(top[1][:8]).Press("D").WaitFor("no label again · u undo").WaitFor("4 events")
			s.saved(map[string]string{top[0]: "normal"})
			s.Press("u").WaitFor("undone").WaitFor("5 events")
			s.saved(map[string]string{top[0]: "normal", top[1]: "normal"})

			// the first one was labelled by bob since
			s.Press("G").WaitFor("– → A").Press("D").WaitFor("Take back an older label").WaitFor("bob said of").Press("n").WaitGone("Take back an older")
			s.saved(map[string]string{top[0]: "normal", top[1]: "normal"})
			s.Press("D").WaitFor("Take back an older label").Press("y").WaitFor("no label again")
			s.saved(map[string]string{top[1]: "normal"})
			s.Press("G", "D").WaitFor("it is as before already: no label")

			// a labelled image is shown large, with what is like it
			s.Press("enter").WaitFor("1 of 640").WaitFor(path.Base(top[0])).Press("esc").WaitFor("like " + path.Base(top[0])).Press("esc").WaitFor("candidates")
		})
	}
}

func TestALongHistoryIsReadAsFarAsOneLooks(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Images: 700}, term: tuitest.Options{Cols: 80, Rows: 24}})
	s.Cell(0).HasPicture()
	ids := s.engine.List(&rpc.RankingRequest{Filter: "all"}, 700)
	for i := range 650 {
		s.engine.Said("bob", ids[i], []string{"normal", "anomaly"}[i%2], time.Duration(700-i)*time.Minute)
	}
	s.Press("f7").WaitFor("the newest 200").WaitFor(path.Base(ids[649]))
	for _, there := range []string{"the newest 400", "the newest 600", "650 events"} { // to the end of what is there, and so on
		s.Press("G").WaitFor(there)
	}
	s.Press("G").WaitFor("650 events").WaitFor(path.Base(ids[0]))
	s.engine.Said("cyd", ids[660], "anomaly", 0)
	s.WaitFor("651 events").WaitFor("▸").WaitFor(path.Base(ids[0])) // the cursor stays
	s.Press("g").WaitFor("cyd").WaitFor(path.Base(ids[660]))
}

func TestDoubtsAndPeople(t *testing.T) {
	t.Parallel()
	s := open(t, setup{term: wide})
	s.Cell(0).HasPicture()
	ids := s.engine.List(&rpc.RankingRequest{Filter: "all"}, 640)
	var rare, usual []string
	for _, id := range ids {
		if s.engine.Rare(id) {
			rare = append(rare, id)
		} else {
			usual = append(usual, id)
		}
	}
	s.Press("f7", "l").WaitFor("nothing is labelled yet").Press("l").WaitFor("→ history").WaitFor("nothing is labelled yet")
	for i, by := range []string{"ann", "bob"} {
		for k := range 4 {
			s.engine.Said(by, rare[k], "anomaly", time.Hour)
			s.engine.Said(by, usual[k+i], "normal", time.Hour)
		}
	}
	s.WaitFor("ann").WaitFor("bob").WaitFor("A 4  N 4").WaitFor("7 of 7 alike").WaitFor("κ 1.00 almost perfect").WaitFor("nobody contradicts anybody")
	s.engine.Said("bob", rare[0], "normal", 0)
	s.WaitFor("6 of 7 alike").WaitFor("1 conflict").WaitFor(path.Base(rare[0])).WaitFor("A ann  N bob").WaitFor("in force   normal")
	s.Press("a").WaitFor("works in the gallery") // labels are given where the picture is judged
	s.Press("D").WaitFor("labels are taken back in the history")

	s.Press("h").WaitFor("there is no model yet")
	s.engine.Rerank("fast", 1)
	s.WaitFor("labelled normal, scored 0.").WaitFor(path.Base(rare[0]))
	s.Press("enter").WaitFor("1 of 640").Press("esc").WaitFor("1/640 like").Cell(0).HasPicture()
	s.label("a").WaitFor("anomaly · u undo").Cell(0).HasBadge("A")
	s.Press("f7").WaitGone("labelled normal, scored")
}
