//go:build unix

package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/tui/tuitest"
)

// TestFirstRun: a person who knows no command picks a folder, looks at what is in it, and labels.
func TestFirstRun(t *testing.T) {
	t.Parallel()
	if _, err := shared(); err != nil {
		t.Fatal(err)
	}
	p := &project{t: t, home: t.TempDir(), exe: program}
	p.dir = filepath.Join(p.home, "rings")
	t.Cleanup(p.end)
	// What the first sitting needs to be quick.
	own := filepath.Join(p.home, "config", "anomalymatch", "config.toml")
	if err := os.MkdirAll(filepath.Dir(own), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own, []byte("[fast]\nsize = 32\nviews = 1\n[engine]\nruntime = \""+backend+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := tuitest.Start(t, tuitest.Options{Dir: p.home, Env: environ(p.home), Patience: patience}, p.exe)
	d.WaitFor("pick the folder of the images").Press("enter").WaitFor("use this folder")
	d.Press("/").WaitFor("Which folder?").Press("ctrl+u").Paste(filepath.Join(work, "sky")).Press("enter").WaitFor("120 images")
	d.Press("enter").WaitFor("Where is the project to be kept?").Press("ctrl+u").Type("~/rings").Press("enter").WaitFor("of 120 images")
	d.WaitFor("● idle").WaitFor("novelty")
	sitting{d, p}.label("a")
	d.Press("q")
	if code := d.Exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	d = tuitest.Start(t, tuitest.Options{Cols: 120, Rows: 40, Dir: p.home, Env: environ(p.home), Patience: patience}, p.exe)
	d.WaitFor("rings").WaitFor("120 images · A 1 N 0").WaitFor("● engine runs").Press("q")
	if code := d.Exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestSettingsOfAProject: what is changed on the settings page is in project.toml, its comments and all else are as they were, and the list follows.
func TestSettingsOfAProject(t *testing.T) {
	t.Parallel()
	p := newProject(t, settings{})
	file := filepath.Join(p.dir, "project.toml")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := p.open()
	s.WaitFor("/24 candidates of 120 images")
	s.Press("f9").WaitFor("Start of every random choice").Press("/").WaitFor("Find a setting").Type("top_percent").Press("enter").WaitGone("Find a setting")
	s.WaitFor("project").Press("enter").WaitFor("default 1.0").Press("ctrl+u").Type("0").WaitFor("must be 0.0001 to 100").Press("backspace").Type("50").Press("enter")
	s.WaitFor("queue.top_percent = 50.0").WaitFor("/60 candidates of 120 images")
	after, err := os.ReadFile(file)
	if want := strings.Replace(string(before), "top_percent = 20\n", "top_percent = 50.0\n", 1); err != nil || string(after) != want || want == string(before) {
		t.Errorf("project.toml is now\n%s%v", after, err)
	}
	s.Press("/").WaitFor("Find a setting").Press("ctrl+u").Type("theme").Press("enter").WaitGone("Find a setting").Press("enter").WaitFor("counts at once").Press("3").WaitFor(`tui.theme = "light"`)
	if own, err := os.ReadFile(filepath.Join(p.home, "config", "anomalymatch", "config.toml")); string(own) != "[tui]\ntheme = \"light\"\n" {
		t.Errorf("the person's file is %q, %v", own, err)
	}
	s.quit()
}
