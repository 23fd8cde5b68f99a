//go:build unix

package tui_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

var wide = tuitest.Options{Cols: 124, Rows: 36} // as small as a panel can be: the emulator is slow

func TestAStrategyIsChosenInABox(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.WaitFor("1/24 candidates of 640 images").Cell(0).HasPicture()
	s.Press("o").WaitFor("What picks the candidates").WaitFor("▸ 1 ● top").WaitFor("6 ● best")
	for _, why := range []string{"uncertain  label an anomaly first", "deep       not trained yet: ctrl+t trains", "joint      not trained yet"} {
		s.WaitFor(why)
	}
	s.Press("2", "8").WaitFor("▸ 8   deep").Press("esc").WaitGone("What picks").WaitFor("1/24 candidates")

	drawn := s.engine.List(&rpc.RankingRequest{Strategy: "random"}, 2)
	s.Press("o", "5").WaitFor("1/24 random candidates of 640 images").Press("enter").WaitFor(path.Base(drawn[0]))
	s.Press("l").WaitFor(path.Base(drawn[1]))
	s.Press("esc").Cell(1).HasPicture()

	s.label("a").Cell(1).HasBadge("A")
	s.Press("o").WaitFor("▸ 5 ● random").Press("k", "k", "up").WaitFor("▸ 2   uncertain  where the model is in doubt").Press("enter")
	s.WaitFor("1/24 uncertain candidates")
	doubtful := s.engine.List(&rpc.RankingRequest{Strategy: "uncertain"}, 1)
	s.Press("enter").WaitFor(path.Base(doubtful[0]))
	s.Press("esc", "o", "1").WaitFor("1/24 candidates of 640 images")
	s.Press("o", "0").WaitFor("ordering by the novelty ranking").WaitFor("novelty, ").Press("o").WaitFor("0 ● novelty").WaitFor("7   fast").Press("7")
	s.WaitFor("ordering by the fast ranking").WaitFor("fast, ")
}

func TestTheBoxFitsTheSmallestTerminal(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Embed: 3 * time.Second}, term: tuitest.Options{Cols: 60, Rows: 16}})
	s.WaitFor("embedding").Press("o").WaitFor("1 ● top").Press("end").WaitFor("▸ c   column…").WaitFor("0   novelty    the images are not embedded yet").Press("esc").WaitGone("novelty ")
	s.Press("s").WaitFor("the images are not embedded yet: nobody knows")
}

// Better embeddings are made while the list is there: what goes on is said, and nothing is promised to appear.
func TestALookCloserIsNotTheFirstLook(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Images: 30, Embed: 300 * time.Millisecond, Closer: 4 * time.Second}, term: wide})
	s.WaitFor("● embedding").WaitFor("● looking closer").WaitFor("8 views of each image").WaitFor("novelty, ").Cell(0).HasPicture()
	s.Press("f", "a").WaitFor("no image is labelled anomaly").Press("f", "c").WaitFor("1/24 candidates")
	s.Resize(80, 24).WaitFor("looking closer").WaitFor(" left ")
	s.WaitFor("● idle").WaitGone("looking closer")
}

func TestBothRankingsAreNamedWithTheirTime(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Step: 10 * time.Millisecond, Steps: 10}, term: wide})
	s.WaitFor("novelty, ").WaitFor("fast       needs an anomaly").WaitFor("deep       not trained yet").Cell(0).HasPicture()
	s.label("a").WaitFor("fast, ").WaitFor("ordered by fast (auto)")
	s.Press("ctrl+t").WaitFor("joint: fast ").WaitFor("deep (cycle 1) ").WaitFor("ordered by joint (auto)").WaitFor("deep       cycle 1, ")
	s.Press("o", "8").WaitFor("deep (cycle 1), ").WaitFor("ordered by deep\n")
	s.Press("o", "6").WaitFor("joint: fast ")
	s.Resize(80, 24).WaitFor("joint: fast ").WaitFor("· deep ").WaitFor("A 1  N 0  S 0")
}

func TestSimilarImages(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	top := s.engine.Top(3)
	like := s.engine.List(&rpc.RankingRequest{Strategy: "similar", Like: top[2]}, 4)
	s.Cell(0).HasPicture()
	s.Press("l", "l").WaitFor("3/24").Press("s").WaitFor("1/640 like " + path.Base(top[2])).Cell(0).IsSelected().HasPicture()
	s.Press("l").WaitFor("2/640").Press("enter").WaitFor(path.Base(like[1]))

	// alike to that one, and back step by step
	s.Press("s").WaitFor("1/").WaitFor("like " + path.Base(like[1])).WaitFor("esc back")
	s.Press("esc").WaitFor("2/640 like " + path.Base(top[2])).Cell(1).IsSelected().HasPicture()
	s.label("a").Cell(1).HasBadge("A")
	s.saved(map[string]string{like[1]: "anomaly"})
	s.Press("esc").WaitFor("3/24 candidates").Cell(2).IsSelected()
	s.Press("esc").WaitFor("3/24 candidates")
}

func TestReviewSaysWhatIsLeftAndWhatToDo(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Ponder: 50 * time.Millisecond}, term: wide})
	s.WaitFor("0 labels so far").WaitFor("last looked at").WaitFor("nothing yet").WaitFor("left in top 3.8%  needs anomalies").WaitFor("label: a few images")
	s.Cell(0).HasPicture()
	s.label("a").WaitFor("last 1: 1 anomaly").WaitFor("100% (").WaitFor("left in the pool   needs normals")
	for i := range 6 {
		s.Cell(i + 1).HasPicture()
		s.label("x").Cell(i + 1).HasBadge("N")
	}
	s.WaitFor("7 labels so far").WaitFor("last 7: 1 anomaly").WaitFor("14% (").WaitFor("train: 7 labels are new")
	s.Wait("the estimates", func(screen string) bool {
		return strings.Contains(screen, "left in top 3.8%   ~") && strings.Contains(screen, "left in the pool   ~")
	})
	if n := s.engine.ReviewsTogether(); n != 1 {
		t.Errorf("%d estimates were asked for at once, want one at a time", n)
	}
	s.Resize(80, 24).WaitGone("last 7").Press("f4").WaitFor("last 7: 1 anomaly").WaitFor("left in the pool").WaitFor("train: 7 labels")
	s.Resize(60, 16).WaitFor("last 7: 1 anomaly").WaitFor("left in the pool").WaitFor("train: 7 labels")
}

func TestNearDuplicatesAreOneCell(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Groups: 2}})
	top := s.engine.List(&rpc.RankingRequest{Fold: true}, 3)
	group := s.engine.Alike(top[0])
	anomalies := map[string]string{}
	for _, id := range group {
		anomalies[id] = "anomaly"
	}
	s.Cell(0).StandsFor(3).HasPicture()
	s.Cell(1).StandsFor(1)
	s.Press("enter").WaitFor("×3, one label for all").WaitFor(path.Base(group[1])).WaitFor(path.Base(group[2])).Press("esc")
	s.Cell(0).HasPicture()
	s.label("a").WaitFor("3 images anomaly · u undo").Cell(0).HasBadge("A").StandsFor(3)
	s.saved(anomalies)
	if n := len(s.engine.Uids()); n != 1 {
		t.Errorf("%d label requests, want 1: the cell is one step", n)
	}
	s.Press("u").WaitFor("undone").Cell(0).IsSelected().HasNoBadge().StandsFor(3)
	s.saved(map[string]string{})
	s.Press("ctrl+r").Cell(0).HasBadge("A")
	s.saved(anomalies)
	s.label("d").WaitFor("3 images no label").Cell(0).HasNoBadge().IsSelected()
	s.saved(map[string]string{})

	// in the list of all images each is seen, and each has its own label
	s.Press("f", "i").WaitFor("1/640 images").Cell(0).StandsFor(1).HasPicture()
	s.label("x").Cell(0).HasBadge("N")
	s.Wait("one label", func(string) bool { return len(s.engine.Labels()) == 1 })
}

func TestUndoOfNearDuplicatesThatLeftTheList(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Groups: 1}})
	group := s.engine.Alike(s.engine.Top(1)[0])
	s.Cell(0).StandsFor(3).HasPicture()
	s.label("a").Cell(0).HasBadge("A")
	s.Press("R").WaitFor("1/24").Cell(0).StandsFor(1).HasNoBadge().HasPicture()
	s.Press("u").WaitFor("undone").Cell(0).IsSelected().StandsFor(3).HasNoBadge()
	s.saved(map[string]string{})
	s.Press("enter").Wait("the whole group", func(screen string) bool {
		return !slices.ContainsFunc(group, func(id string) bool { return !strings.Contains(screen, path.Base(id)) })
	})
}

func TestAudit(t *testing.T) {
	t.Parallel()
	s := open(t, setup{term: wide})
	s.Cell(0).HasPicture()
	wrong := ""
	for i, id := range s.engine.Top(8) { // nobody has labelled anything: the order is that of novelty
		if !s.engine.Rare(id) {
			wrong = id
			break
		}
		s.Press("l")
		s.WaitFor(fmt.Sprintf("%d/24", i+2)).Cell(i + 1).HasPicture()
	}
	s.Press("f", "d").WaitFor("0/0 doubtful labels").Press("f", "c").WaitGone("doubtful labels").WaitFor("candidates of 640 images")
	s.Cell(slices.Index(s.engine.Top(8), wrong)).HasPicture()
	s.label("a").WaitFor("fast, ")
	s.saved(map[string]string{wrong: "anomaly"})
	s.Press("f", "f", "f", "f", "f", "f", "enter").WaitFor("1/1 doubtful labels of 1").Cell(0).HasBadge("A").HasPicture()
	s.WaitFor("doubt: labelled anomaly, scored 0.")
	s.Press("enter").WaitFor(path.Base(wrong))
	s.WaitFor("doubt: labelled anomaly, scored 0.").WaitFor("no other image is labelled").Press("esc")
	s.Cell(0).HasPicture()
	s.label("x").Cell(0).HasBadge("N")
	s.saved(map[string]string{wrong: "normal"})
	s.WaitGone("doubt:")
	s.Press("R").WaitFor("there is no model yet to doubt the labels")
}

func TestNearestLabelledImages(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.Cell(0).HasPicture()
	s.Press("enter").WaitFor("nothing is labelled yet").Press("esc")
	s.Cell(0).HasPicture()
	s.label("a").Cell(0).HasBadge("A")
	s.Cell(1).HasPicture()
	s.label("x").Cell(1).HasBadge("N")
	s.Press("enter").WaitFor("Nearest labelled").WaitFor("similarity").Wait("both pictures side by side", func(screen string) bool {
		_, near, _ := strings.Cut(screen, "similarity")
		return slices.ContainsFunc(strings.Split(near, "\n"), func(line string) bool { return strings.Contains(line, " A ") && strings.Contains(line, " N ") })
	})
	near := s.engine.AskedNear()
	s.Press("l").WaitFor("4 of 24").Wait("the neighbours of the next", func(string) bool { return len(s.engine.AskedNear()) > len(near) })
	s.Resize(124, 36).Press("esc").WaitFor("Nearest labelled")
	s.engine.Die()
	s.WaitFor("engine gone").Press("l").WaitFor("5/24")
	s.Press("s").WaitFor("the engine is not connected")
	s.engine.Live()
	s.WaitFor("● idle").WaitFor("similarity")
}
