//go:build unix

package tui_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"anomalymatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/tui"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// sitting is a person at the screen with a fake engine behind it.
type sitting struct {
	*tuitest.Driver
	engine *fake.Engine
	t      *testing.T
}

type setup struct {
	engine  fake.Options
	term    tuitest.Options
	options func(*tui.Options)
}

func open(t *testing.T, s setup) sitting {
	t.Helper()
	if s.engine.Size == 0 {
		s.engine.Size = 16
	}
	s.term.Patience = max(s.term.Patience, 30*time.Second) // the emulator is slow under the race detector
	e := fake.New(s.engine)
	t.Cleanup(e.Die)
	d := tuitest.Inside(t, s.term, func(ctx context.Context, tty *os.File, environ []string) error {
		client, err := e.Dial(ctx)
		if err != nil {
			return err
		}
		opt := tui.Options{Client: client, Reconnect: e.Dial, Config: anomalymatch.Default(), Writer: "ann", Version: "dev", Project: "mergers",
			Environ: environ, Input: tty, Output: tty}
		if s.options != nil {
			s.options(&opt)
		}
		return tui.Run(ctx, opt)
	})
	return sitting{d, e, t}
}

// label presses a label key as a person does: again, where the program says that the picture, or one of the page, is not there yet. It may not
// have heard so, as the terminal's answer comes after the picture.
func (s sitting) label(key string) *tuitest.Driver {
	s.t.Helper()
	const refusal = "wait: "
	for {
		s.WaitGone(refusal)
		before, refused := len(s.engine.Uids()), false
		s.Press(key).Wait("an answer to "+key, func(screen string) bool {
			refused = strings.Contains(screen, refusal)
			return refused || len(s.engine.Uids()) > before
		})
		if !refused {
			return s.Driver
		}
	}
}

// saved waits until these and no other labels are on disk.
func (s sitting) saved(want map[string]string) {
	s.t.Helper()
	s.Wait("labels on disk", func(string) bool { return maps.Equal(s.engine.Labels(), want) })
}

func TestLabelUndoRedo(t *testing.T) {
	t.Parallel()
	for _, terminal := range []struct {
		name   string
		opt    tuitest.Options
		driver string
	}{
		{"kitty", tuitest.Options{}, "kitty"}, {"plain", tuitest.Options{Plain: true}, "half-blocks"},
		{"sixel", tuitest.Options{Terminal: "sixel"}, "sixel"}, {"iterm2", tuitest.Options{Terminal: "iterm2"}, "iterm2"},
	} {
		t.Run(terminal.name, func(t *testing.T) {
			s := open(t, setup{term: terminal.opt})
			top := s.engine.Top(3)
			s.WaitFor("1/24 candidates of 640 images").WaitFor(terminal.driver).Cell(0).IsSelected().HasPicture()
			s.label("a").Cell(0).HasBadge("A")
			s.saved(map[string]string{top[0]: "anomaly"})
			s.WaitFor("2/24").Cell(1).IsSelected().HasPicture()
			s.WaitGone("anomaly · u undo")
			s.Press("u").WaitFor("undone").Cell(0).HasNoBadge().IsSelected()
			s.saved(map[string]string{})
			s.Press("ctrl+r").Cell(0).HasBadge("A")
			s.label("x").WaitFor("normal · u undo").Cell(0).HasBadge("N")
			s.saved(map[string]string{top[0]: "normal"})
			s.Press("left", "d").WaitFor("no label · u undo").Cell(0).HasNoBadge().IsSelected()
			s.Press("q")
			if code := s.Exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			s.saved(map[string]string{})
		})
	}
}

// What lies over painted pictures takes them away; they come back when it goes.
func TestPaintedPicturesComeBack(t *testing.T) {
	t.Parallel()
	for _, terminal := range []string{"sixel", "iterm2"} {
		t.Run(terminal, func(t *testing.T) {
			s := open(t, setup{term: tuitest.Options{Terminal: terminal, Cols: 120, Rows: 40}})
			whole := func(what string) {
				t.Helper()
				s.WaitFor(terminal)
				for i := range 8 {
					s.Cell(i).HasPicture()
				}
				s.Wait(what+": whole pictures", func(string) bool { return s.Torn() == "" })
			}
			whole("at first")
			s.Press("l", "l", "h").WaitFor("2/24").Cell(1).IsSelected()
			s.Press("?").WaitFor("Keys")
			s.Press("esc").WaitGone("label the picture as")
			whole("after the help")
			s.Press("]").WaitGone("2/24")
			whole("on the next page")
			s.Press("enter").WaitFor(" of 24").Press("esc")
			whole("after the large picture")
			s.Resize(100, 30)
			whole("in another size")
			s.Press("ctrl+l")
			whole("drawn again")
			s.Press("q")
			if code := s.Exit(); code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// TestPaintedPicturesStay is not parallel: a resize elsewhere signals the whole process, and every program in it then draws its screen anew.
func TestPaintedPicturesStay(t *testing.T) {
	for _, terminal := range []string{"sixel", "iterm2"} {
		t.Run(terminal, func(t *testing.T) {
			s := open(t, setup{term: tuitest.Options{Terminal: terminal, Cols: 120, Rows: 40}})
			s.WaitFor(terminal)
			for i := range 8 {
				s.Cell(i).HasPicture()
			}
			s.WaitStill(500 * time.Millisecond)
			_, n := s.Pictures()
			s.Press("l", "l", "h").WaitFor("2/24").Cell(1).IsSelected()
			s.WaitStill(300 * time.Millisecond)
			if _, now := s.Pictures(); now != n {
				t.Errorf("%d pictures were painted anew because the cursor moved", now-n)
			}
		})
	}
}

func TestRestOfThePageNormalIsOneStep(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	top := s.engine.Top(8)
	s.WaitFor("kitty")
	for i := range 8 {
		s.Cell(i).HasPicture()
	}
	s.label("a").Cell(0).HasBadge("A")
	s.Cell(7).HasPicture()
	time.Sleep(1600 * time.Millisecond) // a page that was just reordered is not believed
	s.label("X").WaitFor("7 images normal · u undo").WaitFor("9/24")
	s.Wait("7 normal labels on disk", func(string) bool {
		n := 0
		for _, l := range s.engine.Labels() {
			if l == "normal" {
				n++
			}
		}
		return n == 7 && s.engine.Labels()[top[0]] == "anomaly" && s.engine.Labels()[top[1]] == "normal"
	})
	if n := len(s.engine.Uids()); n != 2 {
		t.Errorf("%d label requests, want 2: the page is one step", n)
	}
	s.Press("u").Cell(1).HasNoBadge().IsSelected()
	s.saved(map[string]string{top[0]: "anomaly"})
}

func TestWhatWasLookedAtStays(t *testing.T) {
	t.Parallel()
	s := open(t, setup{term: tuitest.Options{Cols: 80, Rows: 24}})
	before := s.engine.Top(8)
	s.Cell(0).HasPicture()
	s.Press("l", "l").WaitFor("3/24").Press("enter").WaitFor("3 of 24").WaitFor(strings.TrimPrefix(before[2], "galaxies/"))
	s.engine.Rerank("joint", 5)
	s.WaitFor("new ranking (joint) – R starts at its top")
	s.WaitFor(strings.TrimPrefix(before[2], "galaxies/")) // under the cursor
	s.Press("h").WaitFor(strings.TrimPrefix(before[1], "galaxies/"))
	after := s.engine.Top(24)
	var ahead []string
	for _, id := range after {
		if id != before[0] && id != before[1] && id != before[2] {
			ahead = append(ahead, id)
		}
	}
	s.Press("l", "l").WaitFor(strings.TrimPrefix(ahead[0], "galaxies/"))
	s.Press("esc", "R").WaitFor("1/24").Cell(0).IsSelected()
	s.Press("enter").WaitFor("1 of 24").WaitFor(strings.TrimPrefix(after[0], "galaxies/"))
}

func TestLabelsAreNeverLost(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	top := s.engine.Top(2)
	s.Cell(0).HasPicture()
	s.engine.FailLabels("the disk is full")
	s.Press("a").Cell(0).IsUnsaved("A")
	s.WaitFor("1 label not saved yet: the disk is full").Cell(1).HasPicture()
	s.Press("x").Cell(1).IsUnsaved("N")
	s.WaitFor("2 labels not saved yet: the disk is full")
	s.Press("q").WaitFor("Quit?").WaitFor("loses what is not saved").Press("n").WaitGone("Quit?")
	s.engine.FailLabels("")
	s.Cell(0).HasBadge("A")
	s.Cell(1).HasBadge("N")
	s.saved(map[string]string{top[0]: "anomaly", top[1]: "normal"})
	if n := len(s.engine.Uids()); n != 2 {
		t.Errorf("%d uids for 2 labels: a retry must use the same", n)
	}
}

func TestEngineGoneAndBack(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	top := s.engine.Top(2)
	s.Cell(1).HasPicture()
	s.Cell(0).HasPicture()
	s.engine.Die()
	s.WaitFor("engine gone, reconnecting…")
	s.Press("a").Cell(0).IsUnsaved("A").IsUnsaved("A")
	s.Press("a").WaitFor("2 labels not saved yet")
	s.Press("ctrl+t").WaitFor("the engine is not connected")
	s.engine.Live()
	s.WaitFor("● idle").Cell(0).HasBadge("A")
	s.saved(map[string]string{top[0]: "anomaly", top[1]: "anomaly"})
	s.Press("u").Cell(1).HasNoBadge()
}

func TestUndoGoesOnFromTheJournal(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.Cell(0).HasPicture()
	s.label("a").Cell(0).HasBadge("A")
	s.Press("q").Exit()
	d := tuitest.Inside(t, tuitest.Options{}, func(ctx context.Context, tty *os.File, environ []string) error {
		c, err := s.engine.Dial(ctx)
		if err != nil {
			return err
		}
		return tui.Run(ctx, tui.Options{Client: c, Config: anomalymatch.Default(), Writer: "ann", Version: "dev", Environ: environ, Input: tty, Output: tty})
	})
	d.WaitFor("u undo").Press("u").WaitFor("undone")
	s.saved(map[string]string{})
	d.Cell(0).IsSelected().HasNoBadge()
}

func TestPasteAndHeldKeysDoNotLabel(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.Cell(0).HasPicture()
	s.Paste("aaaxxx").Type("\x1b[97;1:2u\x1b[97;1:2;97u") // a, repeated
	s.Press("l").WaitFor("2/24")
	time.Sleep(100 * time.Millisecond)
	s.saved(map[string]string{})
	s.Cell(1).HasPicture()
	s.Type("aaaaa").Cell(1).HasBadge("A") // held, in a terminal that does not say so
	s.WaitFor("3/24").Press("u").Cell(1).HasNoBadge()
	s.Type("\x1b[97;1:1u\x1b[97;1:2u\x1b[97;1:2u\x1b[97;1:3u").Cell(1).HasBadge("A") // pressed, held, let go: one label
	s.WaitFor("3/24")
	if n := len(s.engine.Labels()); n != 1 {
		t.Errorf("%d labels", n)
	}
}

func TestNoLabelWithoutAPicture(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Slow: 400 * time.Millisecond}})
	s.WaitFor("1/24").Press("a").WaitFor("wait: the picture is not on screen yet")
	s.Cell(0).HasPicture()
	s.label("a").Cell(0).HasBadge("A")

	n := open(t, setup{options: func(o *tui.Options) { o.Config.TUI.Images = "none" }})
	n.WaitFor("1/24").WaitFor("none").Press("a").WaitFor("labels need a picture")
	n.saved(map[string]string{})
}

func TestTrainScoresAndRanks(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Step: 5 * time.Millisecond, Steps: 60}, term: tuitest.Options{Cols: 160, Rows: 50}})
	s.WaitFor("not trained yet").Press("ctrl+t").WaitFor("label at least one anomaly first")
	s.Cell(0).HasPicture()
	s.label("a").Cell(0).HasBadge("A")
	s.Press("ctrl+t").WaitFor("training").WaitFor("images/s").WaitFor("kept").WaitFor("cycle 1")
	s.Press("tab").WaitFor("Unlabelled images kept").Press("tab").WaitFor("logarithmic").Press("f2")
	s.WaitFor("new ranking (joint) – R starts at its top").WaitFor("● idle")
	s.Press("R").WaitFor("1/24")
}

// TestRunsBesideEachOther: a sweep that runs elsewhere is on the training page, and its runs can be used from there.
func TestRunsBesideEachOther(t *testing.T) {
	t.Parallel()
	steps := func(n int, from float32) (out []*rpc.TrainStep) {
		for i := 1; i <= n; i++ {
			out = append(out, &rpc.TrainStep{Cycle: 1, Step: int32(i), Steps: 50, Loss: from / float32(i)})
		}
		return out
	}
	sweep := &rpc.SweepReply{Name: "003", Anomalies: 7, Normals: 30, Best: -1, Verdict: "too few to tell the best run from the others", Ensemble: &rpc.Estimate{Known: true, Value: 0.93, Low: 0.81, High: 0.98},
		Runs: []*rpc.SweepRun{
			{Run: 0, Name: "seed 42", Phase: "done", Done: 50, Total: 50, Steps: steps(50, 2), Auroc: &rpc.Estimate{Known: true, Value: 0.91, Low: 0.79, High: 0.97}},
			{Run: 1, Name: "seed \x1b[2J43", Phase: "done", Done: 50, Total: 50, Steps: steps(50, 3), Auroc: &rpc.Estimate{Known: true, Value: 0.92, Low: 0.8, High: 0.97}},
			{Run: 2, Name: "seed 44", Phase: "training", Host: "gpu07", Done: 20, Total: 50, Steps: steps(20, 9)},
		}}
	for _, size := range []tuitest.Options{{Cols: 160, Rows: 50}, {Cols: 90, Rows: 40}} {
		s := open(t, setup{engine: fake.Options{Sweep: sweep}, term: size})
		s.Cell(0).HasPicture()
		s.Press("e").WaitFor("works on the training page")
		s.Press("tab").WaitFor("Loss of the runs").WaitFor("0.91 (0.79–0.97)").WaitFor("seed ␛[2J43").WaitFor("step 20/50 gpu07").WaitFor("all, averaged").WaitFor("too few to tell the best")
		s.Press("e").WaitFor("Use a run of sweep 003").Press("n").WaitGone("Use a run of sweep 003")
		s.Press("e").WaitFor("Use a run of sweep 003").Press("1").WaitFor("run 1 is what the project is trained to")
		s.Press("e").WaitFor("Use a run of sweep 003").Press("a").WaitFor("the mean of all runs is the deep ranking")
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Step: 20 * time.Millisecond, Steps: 1000}})
	s.Cell(0).HasPicture()
	s.Press("ctrl+x").WaitFor("no job is running")
	s.label("a").Cell(0).HasBadge("A")
	s.Press("ctrl+t").WaitFor("● training").Press("ctrl+e").WaitFor("the engine is training just now")
	s.WaitFor("images/s").Press("ctrl+x").WaitFor("● idle")
}

func TestRuntimeOffer(t *testing.T) {
	t.Parallel()
	answer := make(chan bool, 1)
	save := func(o *tui.Options) { o.SaveRuntimeAnswer = func(i bool) error { answer <- i; return nil } }
	s := open(t, setup{engine: fake.Options{Offer: true, Step: 5 * time.Millisecond}, options: save})
	s.WaitFor("63 MB download").WaitFor("13 times faster").WaitFor("[y] yes")
	s.Cell(0).HasPicture()
	s.label("a").Cell(0).HasBadge("A") // it is not in the way
	s.WaitFor("63 MB download").Press("y").WaitFor("installing").WaitGone("[y] yes").WaitFor("the faster runtime is installed").WaitFor("xla:cpu")
	if !<-answer {
		t.Error("the answer was not remembered")
	}
	no := open(t, setup{engine: fake.Options{Offer: true}, options: save})
	no.WaitFor("[n] not now").Press("n").WaitGone("[n] not now")
	if <-answer {
		t.Error("no was remembered as yes")
	}
	onnx := open(t, setup{engine: fake.Options{Offer: true, OfferOf: "onnx"}})
	onnx.WaitFor("ONNX Runtime").WaitFor("scoring more than twice as fast").WaitFor("[y] yes")
	never := open(t, setup{engine: fake.Options{Offer: true}, options: func(o *tui.Options) { o.RuntimeDeclined = true }})
	never.Cell(0).HasPicture()
	if strings.Contains(never.Screen(), "63 MB") {
		t.Error("offered again")
	}
}

func TestAnotherVersion(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Version: "0.9"}})
	s.WaitFor("Another version").WaitFor("anomalymatch 0.9").Press("esc").WaitGone("Another version")
	s.Cell(0).HasPicture()

	r := open(t, setup{engine: fake.Options{Version: "0.9"}})
	r.WaitFor("Another version").Press("r").WaitFor("engine gone, reconnecting…")
	r.engine.SetVersion("dev")
	r.engine.Live()
	r.WaitFor("● idle").Cell(0).HasPicture()
	if r.engine.Stopped() != 1 {
		t.Error("the old engine was not stopped")
	}
}

func TestTooSmallAndBack(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.Cell(0).HasPicture()
	s.Resize(40, 10).WaitFor("needs 60 × 16 cells").Press("a")
	s.Resize(100, 40).WaitFor("1/24").Cell(0).HasPicture().HasNoBadge()
	s.saved(map[string]string{})
	s.Resize(60, 16).WaitFor("1/24").Cell(0).HasPicture()
	s.Resize(30, 5).WaitFor("needs 60").Press("q").Exit()
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	names := []string{"g/\x1b[31mred\x1b[2J.png", "g/two\nlines\t.png", "g/txt.\u202egnp", "g/" + string(rune(0x10eeee)) + ".png", "g/漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字.png", strings.Repeat("long/", 100)}
	s := open(t, setup{engine: fake.Options{Images: 6, Names: names, Bad: map[string]string{names[1]: "bad \x1b]0;title\x07 bytes"}}})
	s.WaitFor("1 bad file").WaitFor("cannot read").WaitFor("␛]0")
	s.Press("enter")
	seen := ""
	for i := range 6 {
		s.WaitFor(fmt.Sprintf("%d of 6", i+1))
		seen += s.Screen()
		s.Press("l")
	}
	for _, want := range []string{"␛[31mred␛[2J.png", "two␊lines␉.png", "txt.�gnp", "�.png", "漢字", "long/long/"} {
		if !strings.Contains(seen, want) {
			t.Errorf("%q was not seen", want)
		}
	}
}

func TestFiltersAndEmptyStates(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Images: 30, Embed: 600 * time.Millisecond}})
	s.WaitFor("the engine looks at the images:").WaitFor("embedding").WaitFor("1/24 candidates of 30 images")
	s.Press("f", "i").WaitFor("1/30 images").Press("f", "a").WaitFor("no image is labelled anomaly").WaitFor("0/0 labelled anomaly of 30 images")
	s.Press("f", "d").WaitFor("nothing is labelled yet").Press("f", "c").WaitFor("1/24 candidates")
	s.Press("?").WaitFor("Keys").WaitFor("label the picture as anomaly").Press("esc").WaitGone("label the picture")
}

func TestQuitWaitsForTheLastLabel(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	top := s.engine.Top(1)
	s.Cell(0).HasPicture()
	release := s.engine.HoldLabels()
	s.Press("a", "q").WaitFor("saving the last labels…")
	time.Sleep(100 * time.Millisecond)
	if !s.Running() {
		t.Fatal("left before the label was saved")
	}
	release()
	s.Exit()
	s.saved(map[string]string{top[0]: "anomaly"})
}

func TestOtherKeys(t *testing.T) {
	t.Parallel()
	s := open(t, setup{options: func(o *tui.Options) { o.Config.Keys = map[string][]string{"anomaly": {"1"}, "normal": {"2"}} }})
	s.WaitFor("1 anomaly   2 normal").Cell(0).HasPicture()
	s.Press("a", "x", "1").Cell(0).HasBadge("A")
	_, err := tui.New(context.Background(), tui.Options{Config: anomalymatch.Config{Keys: map[string][]string{"anomaly": {"x"}}}})
	if err == nil || !strings.Contains(err.Error(), "x is taken twice") {
		t.Errorf("error %v", err)
	}
}

func TestWideScreenShowsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, setup{term: tuitest.Options{Cols: 250, Rows: 70}})
	for _, want := range []string{"1/24 candidates of 640 images", "Ranking", "novelty (auto)", "Review", "Nearest labelled", "not trained yet", "Scores", "0.5", "● idle", "kitty"} {
		s.WaitFor(want)
	}
	s.Cell(23).HasPicture()
	s.Press("+", "+").Wait("larger pictures", func(string) bool { c := s.Captions(); return len(c) > 0 && c[0].Width > 30 })
}

func TestOtherAlphabets(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.Cell(0).HasPicture()
	s.Type("\x1b[1092::97;1:1;1092u").Cell(0).HasBadge("A") // ф, where a PC keyboard has a
}

func TestNoColor(t *testing.T) {
	t.Parallel()
	s := open(t, setup{term: tuitest.Options{Env: []string{"NO_COLOR=1"}}})
	s.WaitFor("kitty").Cell(0).HasPicture().IsSelected()
	s.label("a").Cell(0).HasBadge("A")
}

// TestAnyKeys presses keys at random: the screen stays up and every label on disk is one that exists.
func TestAnyKeys(t *testing.T) {
	t.Parallel()
	s := open(t, setup{engine: fake.Options{Images: 60, Groups: 2, Step: time.Millisecond, Steps: 10}, term: tuitest.Options{Cols: 130, Rows: 40},
		options: func(o *tui.Options) { o.Jobs = systems(fake.Cluster(time.Now()), nil) }})
	s.Cell(0).HasPicture()
	keys := []string{"a", "x", "space", "d", "u", "ctrl+r", "left", "right", "up", "down", "h", "j", "k", "l", "g", "G", "]", "[", "pgdown", "pgup", "enter", "tab",
		"z", "+", "-", "X", "ctrl+t", "ctrl+e", "f", "o", "R", "s", "1", "2", "4", "7", "ctrl+l", "?", "ctrl+x", "y", "n", "N", "backspace", "home", "end", "é", "D", "v", "v", "m", "3", "ctrl+g", "/", "esc", "esc", "enter", "i", "w", "r"}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	var pressed []string
	for i := range 400 {
		k := keys[r.IntN(len(keys))]
		pressed = append(pressed, k)
		s.Press(k)
		if i%97 == 0 {
			s.Resize(50+r.IntN(150), 12+r.IntN(50))
		}
		if i == 200 {
			s.engine.Die()
			time.Sleep(50 * time.Millisecond)
			s.engine.Live()
		}
	}
	if !s.Running() {
		t.Fatalf("ended by %v", pressed)
	}
	s.Resize(130, 40).Press("esc", "esc").Wait("the screen", func(screen string) bool {
		return strings.Contains(screen, "mergers") && !strings.Contains(screen, "internal error")
	})
	for id, l := range s.engine.Labels() {
		if l != "anomaly" && l != "normal" && l != "skip" {
			t.Errorf("%s is labelled %q", id, l)
		}
	}
}
