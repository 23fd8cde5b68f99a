//go:build unix

package tui_test

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// scene is a sitting in which one action after the other is tried with each of its keys.
type scene struct {
	sitting
	jobs *fake.Systems
	ids  []string // at the top of the first list
	page int      // pictures of a page
	cols int      // across
}

// home goes back to the first picture of the queue.
func (s *scene) home() *scene {
	s.t.Helper()
	s.Press("esc", "esc", "f2", "g")
	s.at(1)
	s.Cell(0).IsSelected().HasPicture()
	return s
}

var placeInList = regexp.MustCompile(`([\d,]+)/[\d,]+`)

// at waits until the cursor is at a place of the list, from 1.
func (s *scene) at(n int) *scene {
	s.t.Helper()
	s.Wait(fmt.Sprintf("place %d", n), func(screen string) bool {
		header, _, _ := strings.Cut(screen, "\n")
		m := placeInList.FindStringSubmatch(header)
		if m == nil {
			return false
		}
		at, _ := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
		return at == n
	})
	return s
}

// intact looks at what must be on every screen.
func (s *scene) intact(of string) {
	s.t.Helper()
	s.Wait("header and status line after "+of, func(screen string) bool {
		lines := strings.Split(strings.TrimRight(screen, "\n"), "\n")
		return strings.HasPrefix(lines[0], " mergers ") && strings.HasPrefix(lines[len(lines)-1], " ● ") && !strings.Contains(screen, "internal error")
	})
}

// unlabel takes back what a key did.
func (s *scene) unlabel() {
	s.t.Helper()
	s.Press("u").WaitFor("undone")
	s.Wait("no labels", func(string) bool { return len(s.engine.Labels()) == 0 })
}

// gives tries a label key.
func gives(said, letter string) func(*scene, string) {
	return func(s *scene, key string) {
		s.label(key).WaitFor(said + " · u undo").Cell(0).HasBadge(letter)
		s.at(2)
		s.unlabel()
	}
}

// goes tries a key that shows a page.
func goes(page, text string) func(*scene, string) {
	return func(s *scene, key string) { s.Press(key).WaitFor(text) }
}

// says tries a key that answers with a sentence, here or on another page.
func says(before []string, text string) func(*scene, string) {
	return func(s *scene, key string) { s.Press(before...).Press(key).WaitFor(text) }
}

// moves tries a key that moves the cursor from a place to another, from 0.
func moves(from, to func(*scene) int) func(*scene, string) {
	return func(s *scene, key string) {
		if n := from(s); n > 0 {
			s.Press("ctrl+g").WaitFor("Go to").Press(strings.Split(fmt.Sprint(n+1), "")...).Press("enter")
			s.at(n + 1)
		}
		s.Press(key).WaitGone("Go to")
		s.at(to(s) + 1)
	}
}

// marks tries a key that gives the picture a mark and takes it away.
func marks(name string) func(*scene, string) {
	return func(s *scene, key string) {
		s.Press(key).WaitFor(name + " · u undo")
		s.Wait("the mark", func(string) bool { return len(s.engine.Marks()[s.ids[0]]) == 1 })
		time.Sleep(100 * time.Millisecond) // the key is not held down
		s.Press(key).WaitFor(name + " taken away · u undo")
		s.Wait("no marks", func(string) bool { return len(s.engine.Marks()) == 0 })
	}
}

// search looks for a digit that several candidates have in their ids, and returns their places, from 0; the cursor is at the first.
func (s *scene) search(key string) (want []int) {
	s.t.Helper()
	for digit := '0'; len(want) < 2; digit++ {
		want = nil
		for i, id := range s.ids {
			if strings.ContainsRune(id, digit) {
				want = append(want, i)
			}
		}
		if len(want) >= 2 {
			s.Press(key).WaitFor("a part of the id is enough").Press(string(digit)).WaitFor("of this list").Press("enter").WaitFor(fmt.Sprintf("1 of %d · n next", len(want)))
		}
	}
	s.at(want[0] + 1)
	return want
}

// shows tries a key that changes how pictures are shown.
func shows(how string) func(*scene, string) {
	return func(s *scene, key string) {
		s.Press(key).WaitFor(how) // said, and then named as long as it holds
		s.Press("0").WaitGone(how)
	}
}

func place(n int) func(*scene) int { return func(*scene) int { return n } }

// checks are what each action must do, seen on the terminal's screen; the scene is at home. An action without one fails the test.
var checks = map[string]func(s *scene, key string){
	"anomaly": gives("anomaly", "A"),
	"normal":  gives("normal", "N"),
	"skip":    gives("skip", "S"),
	"clear": func(s *scene, key string) {
		s.Press(key).WaitFor("this picture has no label")
		s.label("a").Cell(0).HasBadge("A")
		s.Press("left", key).WaitFor("no label · u undo").Cell(0).HasNoBadge().IsSelected()
		s.Wait("no labels", func(string) bool { return len(s.engine.Labels()) == 0 })
	},
	"rest-normal": func(s *scene, key string) {
		for i := range s.page {
			s.Cell(i).HasPicture()
		}
		s.Press("right")
		s.at(2)
		time.Sleep(1600 * time.Millisecond) // a page that was just reordered is not believed
		s.label(key).WaitFor(fmt.Sprintf("%d images normal · u undo", s.page-1))
		s.Wait("the labels", func(string) bool { return len(s.engine.Labels()) == s.page-1 })
		s.unlabel()
	},
	"undo": func(s *scene, key string) {
		s.label("a").Cell(0).HasBadge("A")
		s.Press(key).WaitFor("undone").Cell(0).HasNoBadge().IsSelected()
	},
	"select": func(s *scene, key string) {
		s.Press(key).WaitFor("1 image selected").Press("right").WaitFor("2 images selected").Press(key).WaitGone("selected ·")
	},
	"bookmark": marks("bookmark"),
	"tag-1":    marks("tag 1"), "tag-2": marks("tag 2"), "tag-3": marks("tag 3"), "tag-4": marks("tag 4"), "tag-5": marks("tag 5"),
	"tag-6": marks("tag 6"), "tag-7": marks("tag 7"), "tag-8": marks("tag 8"), "tag-9": marks("tag 9"),
	"redo": func(s *scene, key string) {
		s.label("a").Cell(0).HasBadge("A")
		s.Press("u").WaitFor("undone").Cell(0).HasNoBadge()
		s.Press(key).WaitFor("done again").Cell(0).HasBadge("A")
		s.unlabel()
	},

	"left":  moves(place(1), place(0)),
	"right": moves(place(0), place(1)),
	"up":    moves(func(s *scene) int { return s.cols }, place(0)),
	"down":  moves(place(0), func(s *scene) int { return s.cols }),
	"next-page": func(s *scene, key string) {
		if s.page >= 24 {
			s.Press(key)
			s.at(24)
			return
		}
		s.Press(key)
		s.at(s.page + 1)
	},
	"previous-page": moves(place(23), func(s *scene) int { return max(0, 23/s.page-1) * s.page }),
	"first":         moves(place(5), place(0)),
	"last":          moves(place(0), place(23)),
	"search":        func(s *scene, key string) { s.search(key) },
	"next-match": func(s *scene, key string) {
		want := s.search("/")
		s.Press(key)
		s.at(want[1] + 1)
	},
	"previous-match": func(s *scene, key string) {
		want := s.search("/")
		s.Press(key)
		s.at(want[len(want)-1] + 1)
	},
	"jump": func(s *scene, key string) {
		s.Press(key).WaitFor("Go to").WaitFor("1 to 24").Press("9", "9").WaitFor("no number from 1 to 24").Press("backspace", "enter")
		s.at(9)
	},

	"open": func(s *scene, key string) {
		s.Press(key).WaitFor("1 of 24").WaitFor(s.ids[0][strings.LastIndex(s.ids[0], "/")+1:]).Press(key).WaitGone("1 of 24")
	},
	"back":    func(s *scene, key string) { s.Press("enter").WaitFor("1 of 24").Press(key).WaitGone("1 of 24") },
	"larger":  sized(+1),
	"smaller": sized(-1),
	"zoom":    says([]string{"enter"}, "true"),
	"filter":  func(s *scene, key string) { s.Press(key).WaitFor("all images").Press("esc").WaitGone("all images") },
	"ranking": func(s *scene, key string) {
		s.Press(key).WaitFor("What picks the candidates").Press("5").WaitFor("random candidates").Press("o", "1").WaitGone("random")
	},
	"where":   func(s *scene, key string) { s.Press(key).WaitFor("there is no metadata") },
	"similar": func(s *scene, key string) { s.Press(key).WaitFor("/640 like ").Press("esc").WaitFor("1/24 candidates") },
	"restart": func(s *scene, key string) {
		s.Press("right")
		s.at(2).Press(key).WaitFor("at the top of the newest ranking")
		s.at(1)
	},
	"redraw": func(s *scene, key string) {
		before, _ := sentPictures(s)
		s.Press(key).Wait("the pictures again", func(string) bool { n, _ := sentPictures(s); return n > before })
		s.Cell(0).HasPicture()
	},
	"compare": func(s *scene, key string) {
		s.Press(key).WaitFor("▸ " + path.Base(s.ids[0])).Press(key).WaitFor("blinking").Press("esc").WaitGone("blinking")
		s.Press("esc")
	},
	"pan-left":  pans,
	"pan-right": pans,
	"pan-up":    pans,
	"pan-down":  pans,

	"stretch":       shows("linear"),
	"invert":        shows("inverted"),
	"colours":       shows("grey"),
	"channel":       shows("band 1"),
	"brighter":      shows("+1 bright"),
	"darker":        shows("-1 bright"),
	"more-contrast": shows("+1 contrast"),
	"less-contrast": shows("-1 contrast"),
	"plain":         func(s *scene, key string) { s.Press("i").WaitFor("inverted").Press(key).WaitGone("inverted") },

	"pages":      func(s *scene, key string) { s.Press(key).WaitFor("Loss of the runs") },
	"pages-back": func(s *scene, key string) { s.Press(key).WaitFor("max_megapixels") },
	"gallery": func(s *scene, key string) {
		s.Press("f4").WaitFor("logarithmic").Press(key).WaitGone("logarithmic")
		s.at(1)
	},
	"training":    func(s *scene, key string) { s.Press(key).WaitFor("Loss of the runs") },
	"scores":      func(s *scene, key string) { s.Press(key).WaitFor("logarithmic") },
	"preparation": goes("preparation", "What the network sees"),
	"map":         goes("map", "neighbours  pca  anomaly"),
	"labels":      goes("labels", "history  doubtful  people"),
	"jobs":        func(s *scene, key string) { s.Press(key).WaitFor("Start the engine as a job").Press("f2") },
	"settings":    goes("settings", "max_megapixels"),

	"train": func(s *scene, key string) {
		s.Press(key).WaitFor("label at least one anomaly first")
		s.label("a").Cell(0).HasBadge("A")
		s.Press(key).WaitFor("● training").Press("ctrl+x").WaitFor("● idle")
		s.unlabel()
	},
	"score": func(s *scene, key string) { s.Press(key).WaitFor("● scoring").Press("ctrl+x").WaitFor("● idle") },
	"use-run": func(s *scene, key string) {
		s.Press("f3").WaitFor("Loss of the runs").Press(key).WaitFor("Use a run of sweep").Press("n").WaitGone("Use a run of sweep")
	},
	"range": func(s *scene, key string) { s.tries(key, "Range of values", "3 90", "3 to 90, all images alike") },
	"bands": func(s *scene, key string) { s.tries(key, "Channels", "0 0 1", "channels 0 0 1") },
	"sample": func(s *scene, key string) {
		s.Press("f5").WaitFor("In force")
		n := len(s.engine.Previewed())
		s.Press(key).Wait("other images", func(string) bool { return len(s.engine.Previewed()) > n })
	},
	"cancel": func(s *scene, key string) {
		s.Press(key).WaitFor("no job is running").Press("ctrl+e").WaitFor("● scoring").Press(key).WaitFor("● idle")
	},
	"cancel-job": func(s *scene, key string) {
		s.Press("f8").WaitFor("Start the engine as a job").Press("g", "j", "j", "j", "j").WaitFor("▸ ○ 4711").Press(key).WaitFor("Cancel").Press("n")
		s.Press("f2")
	},
	"palette": func(s *scene, key string) {
		s.Press(key).WaitFor("Do what?").Press("r", "a", "n", "k").WaitFor("ranking").Press("esc").WaitGone("Do what?")
	},
	"help": func(s *scene, key string) {
		s.Press(key).WaitFor("Keys").WaitFor("label the picture as anomaly").Press("esc").WaitGone("label the picture as anomaly")
	},
	"suspend": says(nil, "there is no shell to go back to"),
	"sign-in": says(nil, "nobody asks for it"), // with a host: cmd/anomalymatch/clustertest
}

// tries tries a key of the preparation page that asks for a text.
func (s *scene) tries(key, asks, text, says string) {
	s.t.Helper()
	s.Press("f5").WaitFor("In force").Press(key).WaitFor(asks).Press("ctrl+u").Type(text).Press("enter").WaitFor(says).WaitFor("enter uses it")
	s.Press("esc").WaitFor("nothing is changed")
}

// pans tries a key that looks elsewhere in a zoomed picture: the picture is smaller than the screen here, and that is said.
func pans(s *scene, key string) {
	s.Press("enter").WaitFor("1 of 24")
	for range 4 { // zooms
		s.Press("z").WaitFor("1 of 24").Press(key)
	}
}

func sentPictures(s *scene) (int, int) {
	held, sent := s.Pictures()
	return sent, len(held)
}

func sized(by int) func(*scene, string) {
	return func(s *scene, key string) {
		before := s.Captions()[0].Width
		s.Press(key).Wait("another size", func(screen string) bool {
			c := s.Captions()
			return len(c) > 0 && (c[0].Width-before)*by > 0 || strings.Contains(screen, "as they fit") || strings.Contains(screen, "as they get")
		})
		s.Press(map[int]string{1: "-", -1: "+"}[by])
	}
}

// TestEveryKeyDoesWhatItSays tries every action of the table with each of its keys in a terminal, at three sizes.
func TestEveryKeyDoesWhatItSays(t *testing.T) {
	groups := []string{}
	for _, b := range keys.Table() {
		if !slices.Contains(groups, b.Group) {
			groups = append(groups, b.Group)
		}
		if checks[b.ID] == nil && b.ID != "quit" {
			t.Errorf("there is no check of what %q does", b.ID)
		}
	}
	for _, size := range [][2]int{{80, 24}, {120, 40}, {250, 70}} {
		for _, group := range groups {
			t.Run(fmt.Sprintf("%dx%d %s", size[0], size[1], group), func(t *testing.T) {
				if size[0] > 120 && (testing.Short() || tui.RaceEnabled) {
					t.Skip("the emulator is slow under the race detector")
				}
				t.Parallel()
				s := openScene(t, size[0], size[1])
				for _, b := range keys.Table() {
					if b.Group != group || b.ID == "quit" {
						continue
					}
					for _, k := range b.Keys {
						s.home()
						checks[b.ID](s, k)
						s.intact(b.ID + " by " + k)
					}
				}
				s.home().Press("q")
				if code := s.Exit(); code != 0 {
					t.Errorf("exit code %d", code)
				}
			})
		}
	}
}

func openScene(t *testing.T, cols, rows int) *scene {
	t.Helper()
	s := &scene{jobs: systems(fake.Cluster(time.Now()), nil)}
	sweep := &rpc.SweepReply{Name: "003", Best: -1, Verdict: "too few to tell", Runs: []*rpc.SweepRun{
		{Run: 0, Name: "seed 42", Phase: "done", Done: 50, Total: 50, Steps: []*rpc.TrainStep{{Cycle: 1, Step: 1, Steps: 50, Loss: 1}, {Cycle: 1, Step: 50, Steps: 50, Loss: 0.5}}},
		{Run: 1, Name: "seed 43", Phase: "training", Done: 20, Total: 50}}}
	s.sitting = open(t, setup{engine: fake.Options{Sweep: sweep, Step: 20 * time.Millisecond, Steps: 1000}, term: tuitest.Options{Cols: cols, Rows: rows}, options: func(o *tui.Options) { o.Jobs = s.jobs }})
	s.ids = s.engine.Top(24)
	s.WaitFor("1/24 candidates of 640 images").WaitFor("kitty").Cell(0).IsSelected().HasPicture()
	all := s.Captions()
	s.page = len(all)
	for _, c := range all {
		if c.Y == all[0].Y {
			s.cols++
		}
	}
	return s
}

// TestQuitByEachKey: every key that leaves ends with 0.
func TestQuitByEachKey(t *testing.T) {
	t.Parallel()
	for _, b := range keys.Table() {
		if b.ID != "quit" {
			continue
		}
		for _, k := range b.Keys {
			s := open(t, setup{})
			s.Cell(0).HasPicture()
			s.Press(k)
			if code := s.Exit(); code != 0 {
				t.Errorf("%s: exit code %d", k, code)
			}
		}
	}
}
