//go:build unix

package tui_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// TestGarbageFromTheTerminal sends what no terminal should: random bytes, sequences without an end, answers about pictures that nobody
// sent, floods. The screen stays up, nothing is labelled by it, and then a key labels as ever.
func TestGarbageFromTheTerminal(t *testing.T) {
	t.Parallel()
	for _, terminal := range []tuitest.Options{{Cols: 120, Rows: 40}, {Cols: 120, Rows: 40, Plain: true}} {
		t.Run(fmt.Sprintf("plain=%v", terminal.Plain), func(t *testing.T) {
			t.Parallel()
			terminal.Patience = 5 * time.Minute // a thousand answers are a thousand frames, ten to a second under the race detector on a busy machine
			s := open(t, setup{term: terminal})
			top := s.engine.Top(1)
			s.WaitFor("1/24").Cell(0).HasPicture()
			seed := uint64(time.Now().UnixNano())
			dice := rand.New(rand.NewPCG(seed, 1))
			word := func(n int, from string) string {
				b := make([]byte, n)
				for i := range b {
					b[i] = from[dice.IntN(len(from))]
				}
				return string(b)
			}
			high := ""
			for b := 0x80; b < 0x100; b++ {
				high += string([]byte{byte(b)})
			}
			for range 150 {
				switch dice.IntN(9) { // nothing here is a letter by itself
				case 0:
					s.Type(word(1+dice.IntN(40), high))
				case 1:
					s.Type(fmt.Sprintf("\x1b_Gi=%d;%s\x1b\\", dice.IntN(400)-20, []string{"OK", "ENOENT:no", "", "OKOK"}[dice.IntN(4)]))
				case 2:
					s.Type("\x1b_Gi=" + word(dice.IntN(30), "0123456789,;=") + ";OK\x1b\\")
				case 3:
					s.Type("\x1b[" + word(1+dice.IntN(40), "0123456789;:<=>?") + word(1, "tvwz{|}~"))
				case 4:
					s.Type("\x1bP" + word(dice.IntN(40), "0123456789;+$>|") + "\x1b\\")
				case 5:
					s.Type("\x1b]" + word(dice.IntN(40), "0123456789;:/") + "\x07")
				case 6:
					s.Type(strings.Repeat("\x1b[6;20;10t", 50))
				case 7:
					s.Type(strings.Repeat("\x1b[?62;c", 30) + "\x1b[6;0;0t\x1b[6;99999;99999t\x1b[6;-1;-1t")
				case 8:
					s.Type("\x1b[200~" + word(dice.IntN(200), "axX du\x1b[\r\n") + "\x1b[201~") // pasted
				}
			}
			s.taken()
			s.untouched(seed)
			for _, half := range []string{"\x1b[", "\x1b[12;", "\x1b_Gi=17", "\x1bP>|kit", "\x1b]11;rgb", "\x1b[200"} { // no end comes: what follows may count to it
				s.Type(half)
				time.Sleep(120 * time.Millisecond)
				s.Type("\x1b\\").Press("esc", "esc")
			}
			s.Type("\x1b[6;20;10t").Resize(120, 40) // some garbage is a size
			s.taken()
			s.untouched(seed)
			s.Press("f2", "ctrl+l", "g").Wait("the screen", func(screen string) bool {
				return strings.Contains(screen, "1/24") && !strings.Contains(screen, "internal error")
			})
			s.Cell(0).IsSelected().HasPicture()
			s.label("a")
			s.saved(map[string]string{top[0]: "anomaly"})
		})
	}
}

var dialog = regexp.MustCompile(`╭─ \S`)

// ends are the first line of a screen, with the page and the place in the list, and the one of keys.
func ends(screen string) string {
	lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
	return lines[0] + "\n" + lines[max(0, len(lines)-2)]
}

// quiet waits until what was typed has come to the program.
func (s sitting) quiet() {
	s.t.Helper()
	s.WaitStill(300 * time.Millisecond)
}

// taken waits until the program has come to the end of what was typed: it moves on and back. What garbage opened is closed before: `CSI 11~` is
// F1. A screen that stands still says nothing, as most garbage changes nothing on it.
func (s sitting) taken() {
	s.t.Helper()
	s.Type(strings.Repeat("\x1b[27u", 10) + "l").WaitFor("2/24").Type("h").WaitFor("1/24")
}

// untouched fails when there is a label or a mark, or no program.
func (s sitting) untouched(of any) {
	s.t.Helper()
	if labels, marks := s.engine.Labels(), s.engine.Marks(); len(labels)+len(marks) > 0 || !s.Running() {
		s.t.Fatalf("after %v: labels %v, marks %v, running %v", of, labels, marks, s.Running())
	}
}

// TestAnswersInParts is a link that delivers a byte in 80 ms: what the terminal says is not taken for what a person presses.
func TestAnswersInParts(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"\x1b_Gi=217;OK\x1b\\", "\x1b_Gi=31;ENOENT:no such image: a x d 1\x1b\\", "\x1bP>|XTerm(390)\x1b\\", "\x1b]11;rgb:1a1a/1a1a/1a1a\x07",
		"\x1b[6;20;10t", "\x1b[<35;3;1M"} {
		t.Run(fmt.Sprintf("%q", answer), func(t *testing.T) {
			t.Parallel()
			s := open(t, setup{term: tuitest.Options{Cols: 120, Rows: 40, Plain: true}})
			top := s.engine.Top(2)
			s.WaitFor("1/24").Cell(0).HasPicture()
			s.Press("l").WaitFor("2/24").Cell(1).IsSelected().HasPicture()
			s.quiet()
			before := ends(s.Screen())
			for i := range len(answer) {
				s.Type(answer[i : i+1])
				time.Sleep(80 * time.Millisecond)
			}
			s.quiet()
			s.untouched(answer)
			if now := ends(s.Screen()); now != before || dialog.MatchString(s.Screen()) {
				t.Fatalf("it was\n%s\nand is\n%s", before, s.Screen())
			}
			s.Press("a") // and a key is one
			s.saved(map[string]string{top[1]: "anomaly"})
		})
	}
}

// TestOneCellAndBack: a terminal shrunk to nothing, by steps and at once, and back.
func TestOneCellAndBack(t *testing.T) {
	t.Parallel()
	for _, plain := range []bool{false, true} {
		s := open(t, setup{term: tuitest.Options{Cols: 120, Rows: 40, Plain: plain}})
		s.Cell(0).HasPicture()
		for _, size := range [][2]int{{1, 1}, {120, 40}, {60, 1}, {1, 40}, {2, 2}, {59, 15}, {60, 16}, {1, 1}} {
			s.Resize(size[0], size[1]).Press("a", "enter", "tab")
			time.Sleep(30 * time.Millisecond)
			if !s.Running() {
				t.Fatalf("ended at %d × %d", size[0], size[1])
			}
			if size[0] >= 60 && size[1] >= 16 {
				s.Press("f2", "u")
			}
		}
		s.Resize(120, 40).Press("esc", "esc", "f2", "g").Wait("the screen", func(screen string) bool {
			return strings.Contains(screen, "/24 candidates of 640 images") && strings.Contains(screen, "● idle") && !strings.Contains(screen, "internal error")
		})
		s.Cell(0).HasPicture()
	}
}

// TestImagesOfOddShapes: a single pixel, and one line of many.
func TestImagesOfOddShapes(t *testing.T) {
	t.Parallel()
	shapes := [][2]int{{1, 1}, {20_000, 3}, {3, 20_000}, {1, 4000}, {2, 1}}
	for _, plain := range []bool{false, true} {
		s := open(t, setup{engine: fake.Options{Images: 30, Picture: func(i int, _ bool) []byte { return fake.Plain(shapes[i%len(shapes)][0], shapes[i%len(shapes)][1]) }},
			term: tuitest.Options{Plain: plain}})
		s.WaitFor("1/24")
		s.WaitStill(500 * time.Millisecond)
		for i := range 5 {
			s.Wait("the picture to be on screen", func(string) bool {
				if len(s.engine.Labels()) == i {
					s.Press("x")
					time.Sleep(100 * time.Millisecond)
				}
				return len(s.engine.Labels()) == i+1
			})
		}
		s.Press("g", "enter").WaitFor("1 of 24")
		for i := range 5 {
			s.WaitFor(fmt.Sprintf("%d of 24", i+1)).Press("z", "z", "z", "z")
			s.Wait("status line", func(screen string) bool {
				return strings.Contains(screen, "● idle") && !strings.Contains(screen, "internal error")
			})
			s.Press("l")
		}
		s.Press("esc").WaitFor("6/24")
	}
}
