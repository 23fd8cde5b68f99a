//go:build unix

package tui_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// learnt opens a sitting in which a few images are labelled, so that there is something to train on.
func learnt(t *testing.T, cols, rows int, engine fake.Options) sitting {
	t.Helper()
	s := open(t, setup{engine: engine, term: tuitest.Options{Cols: cols, Rows: rows}})
	for i, key := range []string{"a", "x", "a", "x"} {
		s.Cell(i).IsSelected().HasPicture()
		s.Press(key).Cell(i).HasBadge(map[string]string{"a": "A", "x": "N"}[key])
	}
	return s
}

// abreast waits until two texts stand on one line.
func (s sitting) abreast(a, b string) {
	s.t.Helper()
	s.Wait(a+" beside "+b, func(screen string) bool {
		for l := range strings.Lines(screen) {
			if at := strings.Index(l, a); at >= 0 && strings.Contains(l[at+len(a):], b) {
				return true
			}
		}
		return false
	})
}

func TestTrainingPage(t *testing.T) {
	t.Parallel()
	cards := []*rpc.Gpu{{Name: "H100", UsePercent: 93, MemoryMib: 30000, TotalMib: 80000}, {Name: "H100", UsePercent: -1, MemoryMib: -1, TotalMib: 80000}}
	for _, size := range [][2]int{{80, 24}, {100, 30}, {120, 40}, {250, 70}} {
		s := learnt(t, size[0], size[1], fake.Options{Past: true, Cards: cards, Step: 250 * time.Millisecond}) // a large screen that changes more often is too much for the emulator under the race detector
		s.Press("f3").WaitFor("a cycle 2").WaitFor("b cycle 1").WaitFor("none since the engine began")
		if size[0] >= 104 {
			s.WaitFor("a cycle 2 · A 8 N 60").WaitFor("Runs before")
		}
		s.Press("ctrl+t").WaitFor("T total").WaitFor("cycle 3").WaitFor("87%").WaitFor("3.3 GB of 17 GB").WaitFor("GPU 0").WaitFor("31 GB of 84 GB").WaitFor("labels     A 2 ").WaitFor("░ N 2")
		s.Wait("times and shares", func(screen string) bool {
			for _, want := range []string{`step +\d+ of 100, 0\.\d s each`, `loss +0\.\d{3} = 0\.\d{3} \+ 0\.\d{3}`, `kept +\d+% of the unl`, `pseudo +A 5% +▓+░+ N 95%`, `images/s +\d+ s left`} {
				if !regexp.MustCompile(want).MatchString(screen) {
					return false
				}
			}
			return true
		})
		if size[0] < 104 {
			s.abreast("Run ──", "Classes ──")
		} else {
			s.abreast("Loss ──", "Run ──")
			s.WaitFor("Unlabelled images kept").WaitFor("K passed the cut-off")
		}
		if size[0] >= 200 {
			s.abreast("Loss ──", "Loss by its parts ──")
			s.abreast("Unlabelled images kept ──", "Images a second ──")
		} else {
			s.WaitFor("U unlabelled")
		}
		s.Press("ctrl+x").WaitFor("● idle").WaitGone("left")
		s.Close()
	}
}

func TestScoresPage(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{120, 40}, {250, 70}} {
		s := open(t, setup{term: tuitest.Options{Cols: size[0], Rows: size[1]}})
		s.WaitFor("1/24").Press("f4").WaitFor("nothing was looked at yet").WaitFor("two anomalies and two").WaitFor("train and score twice")
		s.Press("l").WaitFor("all charts are on screen")
		s.Press("f2")
		for i, key := range []string{"a", "x", "a", "x"} {
			s.Cell(i).IsSelected().HasPicture()
			s.Press(key).Cell(i).HasBadge(map[string]string{"a": "A", "x": "N"}[key])
		}
		s.Press("f4")
		s.abreast("Scores ──", "Precision and recall ──")
		s.WaitFor("AUROC 0.").WaitFor("recall →, precision ↑, C chance").WaitFor("fast ranking, truth of 640 images").WaitFor("2 anomalies in 4 looks, of 28 that there are").WaitFor("train and score twice").WaitFor("go on: ")
		if size[0] > 200 {
			s.abreast("Precision and recall ──", "ROC ──")
			s.WaitFor("Ranking ──")
		}
		s.Press("ctrl+t").WaitFor("rank correlation 0.83").WaitFor("score of cycle 1").WaitFor("joint ranking, truth of 640 images")
		s.Close()
	}

	// Where there is no room one chart stands for all of them.
	s := learnt(t, 80, 24, fake.Options{})
	s.Press("f4").WaitFor("fast · 1 of 5 · → next").WaitFor("logarithmic").WaitFor("Review ──")
	for _, want := range []string{"2 of 5", "AUROC", "2 anomalies in 4 looks", "train and score twice", "logarithmic"} {
		s.Press("right").WaitFor(want)
	}
	s.Press("h").WaitFor("Cycle against cycle").WaitFor("5 of 5").Press("g").WaitFor("1 of 5").Press("G").WaitFor("5 of 5")
	s.Press("enter").WaitFor("there is nothing to select here")
	s.Resize(60, 16).WaitFor("Review ──").Resize(100, 30)
	s.abreast("Cycle against cycle ──", "Scores ──")
}

// TestShownIsAskedWhileItIsShown: nobody works out curves that nobody looks at, nor twice what did not change.
func TestShownIsAskedWhileItIsShown(t *testing.T) {
	t.Parallel()
	s := learnt(t, 120, 40, fake.Options{})
	if a, b, c := s.engine.Told("curves"), s.engine.Told("runs"), s.engine.Told("log"); a+b+c > 0 {
		t.Errorf("the gallery asked for curves, runs, log %d, %d, %d times", a, b, c)
	}
	s.Press("f4").WaitFor("AUROC")
	n := s.engine.Told("curves")
	s.Press("f8").WaitFor("looked at").WaitFor("n=2").Press("f4").WaitFor("AUROC")
	if again := s.engine.Told("curves"); again != n {
		t.Errorf("curves were asked for %d more times though nothing changed", again-n)
	}
	s.Press("f2").Cell(4).IsSelected().HasPicture()
	s.label("a").Cell(4).HasBadge("A")
	s.Press("f4").WaitFor("3 anomalies in 5 looks")
}

func TestLogOnTheJobsPage(t *testing.T) {
	t.Parallel()
	s := open(t, setup{term: tuitest.Options{Cols: 80, Rows: 24}})
	s.WaitFor("1/24").Press("f8").WaitFor("runs on    this machine").WaitFor("does       nothing just now").WaitFor("Log ──").WaitFor(`"looked at" n=1`).WaitFor(`"looked at" n=2`)
	s.Press("enter").WaitFor("there is no profile to start the engine by")
	s.Press("j").WaitFor("there is nothing to select")
	s.Press("[").WaitFor("lines below").WaitGone(`"looked at" n=`)
	for range 6 {
		s.Press("pgup")
	}
	s.WaitFor("msg=\"engine starts\"").WaitFor(`␛[2J hostile`)
	was := regexp.MustCompile(`(\d+) lines below`)
	first := was.FindString(s.Screen())
	s.Wait("lines that come stay below", func(screen string) bool {
		return strings.Contains(screen, "engine starts") && was.FindString(screen) != first
	})
	for range 8 {
		s.Press("]")
	}
	s.WaitGone("lines below").WaitFor(`"looked at" n=3`)
	s.Resize(60, 16).WaitFor("Log ──").Resize(250, 70).WaitFor("n=60")
}
