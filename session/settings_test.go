package session

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/engine/dataset"
)

func TestProjectSettings(t *testing.T) {
	top := home(t)
	images := folder(t, top, "cutouts")
	p, err := Create(filepath.Join(top, "p"), Options{Images: []string{images}, Name: "rings"})
	if err != nil {
		t.Fatal(err)
	}
	file(t, anomalymatch.UserFile(), "[fixmatch]\niterations = 50\n")
	before, _ := os.ReadFile(p.Sub(projectFile))
	s := Settings{p.Dir}
	c, err := s.Set("fixmatch.iterations", "20")
	if err != nil || c.FixMatch.Iterations != 20 {
		t.Fatalf("%d, %v", c.FixMatch.Iterations, err)
	}
	if text, _ := os.ReadFile(s.File()); string(text) != string(before)+"\n[fixmatch]\niterations = 20\n" {
		t.Errorf("the file is now %q", text)
	}
	if own, err := s.Own(); err != nil || !slices.Equal(own, []string{"fixmatch.iterations"}) {
		t.Errorf("own %q, %v", own, err)
	}
	if again, err := Open(p.Dir); err != nil || again.Config.FixMatch.Iterations != 20 || again.Name != "rings" {
		t.Errorf("%+v, %v", again, err)
	}
	for _, c := range []struct{ key, value, want string }{
		{"model.size", "1", "model.size = 1: must be 32 to 512"},
		{"name", `"x"`, `unknown key "name"`},
		{"source", "[]", `unknown key "source"`},
	} {
		if _, err := s.Set(c.key, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %s: %v", c.key, c.value, err)
		}
	}
	if c, err = s.Set("fixmatch.iterations", ""); err != nil || c.FixMatch.Iterations != 50 {
		t.Errorf("%d, %v", c.FixMatch.Iterations, err)
	}
	if left, _ := filepath.Glob(filepath.Join(p.Dir, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSetReading(t *testing.T) {
	top := home(t)
	p, err := Create(filepath.Join(top, "p"), Options{Images: []string{folder(t, top, "north"), folder(t, top, "south")}, Reading: dataset.Reading{Select: "SCI", Stretch: "log", Low: 1, High: 9}})
	if err != nil {
		t.Fatal(err)
	}
	s := Settings{p.Dir}
	first, _ := os.ReadFile(s.File())
	want := dataset.Reading{Stretch: "asinh", High: 1e-7, Channels: "1 0; 0 1; 0.5 0.5"}
	if err := s.SetReading("south", want); err != nil {
		t.Fatal(err)
	}
	again, err := Open(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	want.Select = "SCI" // is not what is set
	if again.Sources[0] != p.Sources[0] || again.Sources[1].Reading != want || again.Sources[1].Path != p.Sources[1].Path {
		t.Errorf("%+v", again.Sources)
	}
	for source, r := range map[string]dataset.Reading{"west": {}, "north": {Stretch: "cubic"}} {
		if err := s.SetReading(source, r); err == nil || !strings.Contains(err.Error(), map[string]string{"west": "has no source \"west\"", "north": "the stretch \"cubic\" is not known"}[source]) {
			t.Errorf("%s: %v", source, err)
		}
	}
	if err := s.SetReading("south", p.Sources[1].Reading); err != nil {
		t.Fatal(err)
	}
	if back, _ := Open(p.Dir); !slices.Equal(back.Sources, p.Sources) {
		text, _ := os.ReadFile(s.File())
		t.Errorf("%s\nbecame\n%s", first, text)
	}
}

func TestSaveSetting(t *testing.T) {
	top := home(t)
	if err := SaveSetting("tui.theme", `"light"`); err != nil {
		t.Fatal(err)
	}
	if c, err := anomalymatch.Load(anomalymatch.UserFile()); err != nil || c.TUI.Theme != "light" {
		t.Fatalf("%+v, %v", c.TUI, err)
	}
	// A file kept elsewhere stays there, and what is wrong with it is said.
	kept := filepath.Join(top, "dotfiles.toml")
	file(t, kept, "seed = 1\n")
	if err := os.Remove(anomalymatch.UserFile()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kept, anomalymatch.UserFile()); err != nil {
		t.Fatal(err)
	}
	if err := SaveSetting("seed", "2"); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(kept); string(text) != "seed = 2\n" {
		t.Errorf("%q", text)
	}
	if target, err := os.Readlink(anomalymatch.UserFile()); err != nil || target != kept {
		t.Errorf("the link is now %q, %v", target, err)
	}
	file(t, kept, "sed = 1\n")
	if err := SaveSetting("seed", "2"); err == nil || !strings.Contains(err.Error(), `unknown key "sed"`) {
		t.Errorf("%v", err)
	}
}
