//go:build unix

package scenario

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"anomalymatch/engine/label"
	"anomalymatch/tui/tuitest"
)

// steps shortens a training where a step takes long.
func steps(n int) int {
	if backend == "go" {
		return max(12, n/10)
	}
	return n
}

// trained is how long a training may take, compiling included.
const trained = 4 * time.Minute

func TestTrainingGoesOnWithoutATerminal(t *testing.T) {
	p := newProject(t, settings{iterations: steps(40)})
	s := p.open(tuitest.Options{Patience: trained})
	s.WaitFor("A 0").WaitFor("novelty")
	s.selected()
	s.Press("ctrl+t").WaitFor("label at least one anomaly first")
	s.label("a", "x", "a", "x")
	s.Press("ctrl+t").WaitFor("● training").Press("tab").WaitFor("Loss").WaitFor("L labelled")
	s.Wait("the first steps", func(screen string) bool { return step.MatchString(screen) })
	s.Wait("a loss", func(screen string) bool {
		return regexp.MustCompile(`loss +\d\.\d{3} = \d\.\d{3} \+ \d\.\d{3}`).MatchString(screen)
	})
	s.WaitFor("images/s")
	s.quit()
	if now := p.status(); now.State != "training" || now.Step == 0 || now.Step >= now.Steps {
		t.Errorf("after the terminal was left the engine is %+v", now)
	}

	s = p.open(tuitest.Options{Patience: trained})
	s.Press("tab").Wait("the training, or its end", func(screen string) bool { return step.MatchString(screen) && strings.Contains(screen, "cycle 1") })
	s.Press("esc").WaitFor("● idle").WaitFor("joint: ")
	s.WaitGone("new ranking").Press("l").WaitFor("2/24").Press("R").WaitFor("1/24").Cell(0).IsSelected()
	s.label("x")
	s.WaitFor("A 2  N 3").WaitFor("joint: ")
	s.quit()
	if now := p.status(); now.Cycle != 1 || now.RankedBy != "joint" || now.Error != "" {
		t.Errorf("after the training the engine is %+v", now)
	}
}

// step is the training page's line of it.
var step = regexp.MustCompile(`step +(\d+) of (\d+)`)

func TestTheEngineDiesWhileItTrains(t *testing.T) {
	p := newProject(t, settings{iterations: steps(40)})
	s := p.open(tuitest.Options{Patience: trained})
	s.label("a", "x", "a", "x")
	s.Press("ctrl+t").WaitFor("● training")
	before := p.until("a checkpoint", func(now status) bool { return now.Step >= 6 })
	s.label("space")
	p.kill()
	s.WaitFor("engine gone, reconnecting…")
	s.label("x", "a") // labelling goes on
	after := p.until("another engine that trains", func(now status) bool { return now.PID != before.PID && now.State == "training" && now.Steps > 0 })
	if after.Step < 5 || after.Steps != before.Steps {
		t.Errorf("it was at step %d of %d, and the next engine began at %d of %d", before.Step, before.Steps, after.Step, after.Steps)
	}
	s.WaitFor("A 3  N 3  S 1")
	s.label("x")
	p.once(7 + 1)
	s.WaitFor("● idle").WaitFor("joint: ")
	s.quit()
	if now := p.status(); now.Cycle != 1 || now.Error != "" || now.Anomalies != 3 || now.Normals != 4 || now.Skipped != 1 {
		t.Errorf("after the training the engine is %+v", now)
	}
}

// once fails unless so many steps were taken, each written once. A step labels several images where they are near-duplicates.
func (p *project) once(n int) {
	p.t.Helper()
	type label struct{ step, image string }
	seen, steps := map[label]bool{}, map[string]bool{}
	for _, e := range p.events() {
		l := label{e.UID, e.ID}
		if seen[l] {
			p.t.Errorf("the label of %s by step %s was written twice", e.ID, e.UID)
		}
		seen[l], steps[e.UID] = true, true
	}
	if len(steps) != n {
		p.t.Errorf("%d steps were written, want %d", len(steps), n)
	}
}

func TestTheEngineDiesBetweenKeyAndBadge(t *testing.T) {
	p := newProject(t, settings{})
	r, seed := random(t)
	s := p.open(tuitest.Options{Cols: 160, Rows: 50})
	s.WaitFor("novelty")
	var want string
	for round := range 5 {
		for range 2 {
			c := s.selected()
			key := []string{"a", "x", "space"}[r.IntN(3)]
			want += letter[key]
			s.Press(key).WaitFor(fmt.Sprintf("%d/24", c.Number+1))
		}
		time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		p.kill()
		s.Wait("every label on disk", func(string) bool { return s.badges() == want })
		if got := written(p.events()); got != want {
			t.Fatalf("seed %d, round %d: %s were given, %s are on disk", seed, round, want, got)
		}
	}
	p.once(len(want))
	s.quit()
}

// written are the letters of the steps in the order in which they were written.
func written(events []label.Event) (letters string) {
	last := ""
	for _, e := range events {
		if e.UID != last {
			letters += map[label.Value]string{label.Anomaly: "A", label.Normal: "N", label.Skip: "S", label.None: "-"}[e.To]
		}
		last = e.UID
	}
	return letters
}

// counted is how the screen counts the labels on disk: images, not steps.
func (p *project) counted() string {
	n := map[string]int{}
	for _, v := range p.labels() {
		n[v]++
	}
	return fmt.Sprintf("A %d  N %d  S %d", n["anomaly"], n["normal"], n["skip"])
}

func TestTheTerminalDiesBetweenTwoKeys(t *testing.T) {
	p := newProject(t, settings{})
	r, seed := random(t)
	var before string // on disk
	for round := range 15 {
		s := p.open(tuitest.Options{Cols: 160, Rows: 50})
		s.WaitFor(p.counted())
		s.selected()
		pressed, page := 0, len(s.Captions())
		for end := time.Now().Add(time.Duration(r.IntN(600)) * time.Millisecond); pressed < page-1 && time.Now().Before(end); time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond) {
			s.Press([]string{"a", "x", "space"}[r.IntN(3)])
			pressed++
		}
		s.Signal(syscall.SIGKILL).Exit()
		s.WaitStill(50 * time.Millisecond)
		shown := s.badges()
		p.until("the engine to be still", func(now status) bool { return now.State == "idle" })
		now := written(p.events())
		news, ok := strings.CutPrefix(now, before)
		if !ok || !strings.HasPrefix(news, shown) || len(news) > pressed {
			t.Fatalf("seed %d, round %d: %d keys were pressed, the screen showed %q as saved, the journal went from %q to %q", seed, round, pressed, shown, before, now)
		}
		before = now
	}
	if len(before) < 15 {
		t.Errorf("only %d labels were given", len(before))
	}
	p.once(len(before))
}

// random is seeded anew every time; the seed is told when something fails, and SCENARIO_SEED takes it again.
func random(t *testing.T) (r *rand.Rand, seed uint64) {
	seed, err := strconv.ParseUint(os.Getenv("SCENARIO_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}

func TestAnyKeys(t *testing.T) {
	p := newProject(t, settings{})
	r, seed := random(t)
	s := p.open(tuitest.Options{Cols: 130, Rows: 40})
	s.label("a", "x", "space")
	keys := []string{"a", "a", "x", "x", "space", "d", "X", "u", "u", "ctrl+r", "left", "right", "up", "down", "h", "j", "k", "l", "g", "G", "]", "[", "pgdown", "pgup",
		"enter", "esc", "tab", "z", "+", "-", "f", "f", "f", "f", "o", "R", "ctrl+l", "?", "ctrl+x", "y", "n", "N", "backspace", "home", "end", "é", "f5", "7", "v", "v", "m", "ctrl+g", "/", "esc", "esc", "enter"}
	var pressed []string
	for i := range 400 {
		k := keys[r.IntN(len(keys))]
		pressed = append(pressed, k)
		s.Press(k)
		if i%67 == 66 {
			s.Resize(50+r.IntN(150), 12+r.IntN(50))
		}
		if i%23 == 22 {
			s.WaitStill(100 * time.Millisecond) // pictures arrive, so that labels are given
		}
		if !s.Running() {
			t.Fatalf("seed %d: the program ended after %v", seed, pressed)
		}
	}
	s.Resize(130, 40).Press("esc", "esc").WaitFor("● idle").WaitGone("unsaved")
	s.Wait("the counts of the journal", func(screen string) bool {
		return strings.Contains(screen, p.counted()+" ")
	})
	if n := len(p.events()); n < 4 {
		t.Errorf("only %d labels were given", n)
	}
	s.Press("q")
	if code := s.Exit(); code != 0 {
		t.Errorf("seed %d: exit code %d", seed, code)
	}
}
