//go:build unix

package tui_test

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui"
	"anomalymatch/tui/tuitest"
	"anomalymatch/tui/tuitest/fake"
)

// settled is an engine that keeps settings.
type settled struct {
	rpc.EngineClient
	mu     sync.Mutex
	values map[string]string
}

func (s *settled) Settings(context.Context, *rpc.SettingsRequest, ...grpc.CallOption) (*rpc.SettingsReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &rpc.SettingsReply{}
	for k, v := range s.values {
		out.Settings = append(out.Settings, &rpc.Setting{Key: k, Value: v, Own: true})
	}
	return out, nil
}

func (s *settled) SetSetting(_ context.Context, in *rpc.SetSettingRequest, _ ...grpc.CallOption) (*rpc.SettingsReply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[in.Key] = in.Value
	return &rpc.SettingsReply{}, nil
}

func (s *settled) get(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.values[key]
}

// keeping opens a screen on an engine that keeps settings.
func keeping(t *testing.T, s setup, values map[string]string) (sitting, *settled) {
	kept := &settled{values: values}
	s.options = func(o *tui.Options) { kept.EngineClient, o.Client = o.Client, kept }
	return open(t, s), kept
}

func TestTheDisplayIsLiveAndSticky(t *testing.T) {
	t.Parallel()
	for _, term := range []tuitest.Options{{Cols: 120, Rows: 40}, {Plain: true}} {
		s, kept := keeping(t, setup{term: term}, map[string]string{})
		top := s.engine.Top(2)
		s.Cell(0).HasPicture()
		s.Press("l").Cell(1).IsSelected().HasPicture()
		s.WaitStill(300 * time.Millisecond)
		asked := len(s.engine.Asked())
		s.Press("t").WaitFor("linear").Cell(0).HasPicture()
		s.Wait("the stretch", func(string) bool { return len(s.engine.Asked()) > asked+1 })
		if got := s.engine.Asked()[asked]; got != top[1] {
			t.Errorf("%s is asked for first, want the selected %s", got, top[1])
		}
		for _, how := range s.engine.Looks()[asked:] {
			if how != "linear/0" {
				t.Errorf("asked for %s", how)
			}
		}
		s.Press("b").WaitFor("linear · band 1").Cell(1).HasPicture()
		s.Wait("the band", func(string) bool { return slices.Contains(s.engine.Looks(), "linear/1") })
		s.WaitStill(300 * time.Millisecond)

		// What the screen does by itself is not asked for.
		asked = len(s.engine.Asked())
		s.Press("i", "c", "c", ".").WaitFor("linear · viridis · band 1 · inverted").Cell(1).HasPicture()
		s.WaitStill(300 * time.Millisecond)
		if n := len(s.engine.Asked()); n != asked {
			t.Errorf("%d pictures were asked for again", n-asked)
		}
		s.Wait("the choice to be kept", func(string) bool {
			return kept.get("display.stretch") == `"linear"` && kept.get("display.band") == "1" && kept.get("display.colours") == `"viridis"` &&
				kept.get("display.invert") == "true" && kept.get("display.brightness") == "1"
		})
		if kept.get("display.contrast") != "" {
			t.Error("what was not changed was written")
		}

		// The same on the large picture, and labels go on.
		s.Press("enter").WaitFor("shown      linear").WaitFor("band 1").WaitStill(300 * time.Millisecond)
		s.label("a")
		s.saved(map[string]string{top[1]: "anomaly"})
		s.Press("0").WaitGone("viridis")
		s.Wait("as it was", func(string) bool {
			return kept.get("display.stretch") == `"none"` && kept.get("display.brightness") == "0"
		})
		s.Press("q")
		s.Exit()
	}
}

func TestTheDisplayOfTheProjectIsTakenUp(t *testing.T) {
	t.Parallel()
	s, kept := keeping(t, setup{}, map[string]string{"display.stretch": `"asinh"`, "display.colours": `"magma"`, "display.contrast": "-2", "display.band": "no number"})
	s.WaitFor("asinh · magma · -2 contrast").Cell(0).HasPicture()
	s.Wait("its pictures", func(string) bool { return slices.Contains(s.engine.Looks(), "asinh/0") })

	s.Press("t").WaitFor("log · magma").Press("q")
	if s.Exit(); kept.get("display.stretch") != `"log"` {
		t.Errorf("who leaves at once loses the choice: %v", kept.values)
	}

	// The project says nothing: the settings of this machine hold.
	plain := open(t, setup{options: func(o *tui.Options) { o.Config.Display.Stretch = "sqrt" }})
	plain.WaitFor("sqrt").Cell(0).HasPicture()
	plain.Press("t").WaitFor("asinh").Wait("the choice to be kept", func(string) bool { return strings.Contains(plain.engine.File(), `stretch = "asinh"`) })
}

func TestZoomShowsTruePixels(t *testing.T) {
	t.Parallel()
	// 20 rows of 20 pixels: the picture has 400 × 400 of the screen's.
	s := open(t, setup{engine: fake.Options{Size: 300}})
	top := s.engine.Top(2)
	s.Cell(0).HasPicture()
	s.Press("enter").WaitFor("300 × 300 pixels").Press("L").WaitFor("z zooms in first")
	s.Press("z").WaitFor("zoom       1:1\n").Press("L").WaitFor("all of the image is in view")
	s.Press("z").WaitFor("2:1, x 50–249, y 50–249").Press("L").WaitFor("x 100–299, y 50–249").Press("L").WaitFor("this is the edge")
	s.Type("\x1b[1;2A").WaitFor("x 100–299, y 0–199").Press("H", "J").WaitFor("x 50–249, y 50–249")
	s.Press("z").WaitFor("4:1, x 100–199, y 100–199").Press("K").WaitFor("y 75–174").WaitStill(300 * time.Millisecond)
	s.label("a").WaitFor("anomaly · u undo") // the part in view is a picture that can be labelled
	s.saved(map[string]string{top[0]: "anomaly"})
	s.WaitFor("2 of 24").WaitFor("4:1, x 100–199, y 100–199").Press("z").WaitGone("zoom ")
}

func TestLargePictureSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	for _, term := range []tuitest.Options{{}, {Cols: 120, Rows: 40}} {
		s := open(t, setup{engine: fake.Options{Step: time.Millisecond, Steps: 10}, term: term})
		top := s.engine.Top(1)
		s.Cell(0).HasPicture()
		s.Press("enter").WaitFor("File ──").WaitFor("format     PNG").Press("esc")
		s.Cell(0).HasPicture()
		s.label("a").Cell(0).HasBadge("A")
		s.Press("ctrl+t").WaitFor("joint: fast")
		s.Press("g", "enter").WaitFor(path.Base(top[0])).WaitFor("Why ──").WaitFor("log-odds").WaitFor("█").WaitFor("Cycles ──").WaitFor("deep score, cycle 1").WaitFor("rank ")
		if term.Rows == 40 {
			for _, layer := range []string{"edges", "fine texture", "whole image", "any image -1.5", "anomaly, ann"} {
				s.WaitFor(layer)
			}
		}
		s.Resize(60, 16).WaitFor(path.Base(top[0])).WaitFor("label").WaitFor("score")
		s.Press("q")
		s.Exit()
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for _, term := range []tuitest.Options{{Cols: 120, Rows: 40}, {Plain: true}} {
		s := open(t, setup{term: term})
		top := s.engine.Top(1)
		s.Cell(0).HasPicture()
		s.label("a").Cell(0).HasBadge("A")
		list := s.engine.List(&rpc.RankingRequest{}, 4)
		s.Press("R").WaitFor("1/24").Cell(0).IsSelected().HasPicture()
		name := func(i int) string { return path.Base(list[i]) }

		// the selected image beside the nearest anomaly
		s.Press("w").WaitFor("▸ " + name(0)).WaitFor(path.Base(top[0])).WaitFor("similarity ").WaitFor("A  anomaly")
		s.Press("l").WaitFor(name(1)).WaitGone(path.Base(top[0]))
		s.Press("l").WaitFor(name(2)).Press("h").WaitFor(name(1))
		s.Press("h").WaitFor("the list ends here").WaitFor(name(1)).WaitStill(300 * time.Millisecond)
		s.label("x").WaitFor("normal · u undo")
		s.saved(map[string]string{top[0]: "anomaly", list[0]: "normal"})
		s.WaitFor("▸ " + name(1)).WaitFor(name(2)) // the next image, and another one beside it

		// in turn: nobody can say which of them a key is meant for
		s.Press("w").WaitFor("blinking")
		for _, shown := range []string{name(2), name(1), name(2)} {
			s.WaitFor(shown)
		}
		s.Press("x").WaitFor("they blink: ↑ stops that").Press("up").WaitFor("the selected one").WaitFor("▸ " + name(1))
		s.Press("down").WaitFor("the other one").WaitFor(name(2)).WaitGone("▸").Press("a").WaitFor("the other image is on screen")
		s.Press("up").WaitFor("the selected one").WaitFor("▸ " + name(1)).WaitStill(300 * time.Millisecond)
		s.label("a").WaitFor("anomaly · u undo")
		s.saved(map[string]string{top[0]: "anomaly", list[0]: "normal", list[1]: "anomaly"})

		// back where it came from; the second image stays
		s.Press("w").WaitFor("▸ " + name(2)).WaitFor(name(3)).Press("l").WaitGone(name(3)).Press("esc").WaitFor("3/24").Press("w").WaitFor("▸ " + name(2)).WaitGone(name(3))
		s.Press("q")
		s.Exit()
	}
}
