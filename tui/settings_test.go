//go:build unix

package tui_test

import (
	"strings"
	"sync"
	"testing"

	"anomalymatch"
	"anomalymatch/tui"
	"anomalymatch/tui/tuitest"
)

// mine is a person's file of settings in memory.
type mine struct {
	mu   sync.Mutex
	text []byte
}

func (m *mine) save(key, value string) (anomalymatch.Config, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := anomalymatch.Default()
	text, err := anomalymatch.SetKey(m.text, key, value)
	if err != nil {
		return c, err
	}
	m.text = text
	return c, c.Overlay("config.toml", text, nil)
}

func (m *mine) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.text)
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		var file mine
		s := open(t, setup{term: tuitest.Options{Cols: size[0], Rows: size[1]}, options: func(o *tui.Options) {
			o.Settings = "/home/ann/.config/anomalymatch/config.toml"
			o.SaveSetting = file.save
			o.OwnSettings = func() ([]string, error) { return anomalymatch.Says([]byte(file.String())), nil }
		}})
		s.WaitFor("1/24")
		s.Press("f9").WaitFor("Start of every random choice").WaitFor("42")

		// A number: checked while it is typed, kept in the project.
		s.Press("/").WaitFor("Find a setting").Type("iterat").WaitFor("iterations  ").WaitGone("max_megapixels").Press("enter").WaitGone("Find a setting")
		s.Press("enter").WaitFor("1 to 1000000 · default 100").Press("ctrl+u").Type("0").WaitFor("must be 1 to 1000000")
		s.Press("enter").WaitFor("must be 1 to 1000000")
		s.Press("backspace").Type("50").Press("enter").WaitFor("fixmatch.iterations = 50 · counts from the next training on").WaitFor("project")
		s.Wait("the project's file", func(string) bool { return s.engine.File() == "[fixmatch]\niterations = 50\n" })
		s.Press("D").WaitFor("no longer set")
		s.Wait("the project's file", func(string) bool { return s.engine.File() == "[fixmatch]\n" })
		s.Press("D").WaitFor("is not set in this project")
		s.Press("esc").WaitFor("max_megapixels")

		// One of a few, and one of two: kept in the person's file, and taken up at once.
		s.Press("/").WaitFor("Find a setting").Type("tui.").WaitGone("iterations").Press("enter").WaitGone("Find a setting")
		s.Press("down", "down").WaitFor("auto asks the terminal whether").Press("enter").WaitFor("counts at once").Press("4").WaitFor(`tui.theme = "contrast"`).WaitFor("your file")
		s.Press("down", "enter").WaitFor("tui.mouse = false")
		s.Wait("the person's file", func(string) bool { return file.String() == "[tui]\ntheme = \"contrast\"\nmouse = false\n" })

		// Keys: one that is taken is an error, another works at once.
		s.Press("/").WaitFor("Find a setting").Press("ctrl+u").Type("keys.train").Press("enter").WaitGone("Find a setting")
		s.WaitFor("ctrl+t").Press("enter").WaitFor("such as ctrl+t f5").Press("ctrl+u").Type("a").WaitFor("The key a is taken twice, by anomaly and by train")
		s.Press("backspace").Type("ctrl+enterr").WaitFor("is no key").Press("ctrl+u").Type("ctrl+o f5").Press("enter").WaitFor(`keys.train = ["ctrl+o", "f5"]`)
		s.Press("?").WaitFor("Keys ·").Press("esc").WaitGone("Keys ·").Press("f5").WaitFor("label at least one anomaly first")

		s.Press("/").WaitFor("Find a setting").Press("ctrl+u").Type("nothing like it").WaitFor("no setting has").Press("esc").WaitGone("Find a setting")
		s.Press("esc").WaitFor("thumbnail").Press("esc").WaitGone("thumbnail").Press("q")
		if code := s.Exit(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestSettingsWithoutFile: where the own file cannot be changed that is said.
func TestSettingsWithoutFile(t *testing.T) {
	t.Parallel()
	s := open(t, setup{})
	s.WaitFor("1/24")
	s.Press("f9").WaitFor("seed")
	s.Press("G").WaitFor("Leave; the engine goes on").Press("enter").WaitFor("your settings cannot be changed from here")
	screen := s.Screen()
	for _, l := range strings.Split(screen, "\n") {
		if len([]rune(l)) > 80 {
			t.Errorf("%q is wider than the screen", l)
		}
	}
}
