package session

import (
	"anomalymatch/engine/dataset"

	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// home gives the test a person without settings and without recent projects.
func home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	return dir
}

func folder(t *testing.T, elem ...string) string {
	t.Helper()
	dir := filepath.Join(elem...)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func file(t *testing.T, path, text string) {
	t.Helper()
	folder(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestCreateAndOpen(t *testing.T) {
	top := home(t)
	a, b, c := folder(t, top, "one", "cutouts"), folder(t, top, "two", "cutouts"), folder(t, top, "ü \"x\"")
	dir := filepath.Join(top, "deep", "mergers")
	p, err := Create(dir, Options{Images: []string{a, b + "/", c}, Size: 96, Prepare: true})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Source{{Name: "cutouts", Path: a}, {Name: "cutouts-2", Path: b}, {Name: "ü \"x\"", Path: c}}
	for _, p := range []*Project{p, again} {
		if p.Dir != dir || p.Name != "mergers" || !slices.Equal(p.Sources, want) || p.Config.Model.Size != 96 || !p.Config.Images.Prepare || p.ReadOnly {
			t.Errorf("got %+v", p)
		}
	}
	if got := p.Sub("index", "bad.jsonl"); got != filepath.Join(dir, "index", "bad.jsonl") {
		t.Errorf("Sub: %s", got)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("a new project has %v", list)
	}
}

func TestReadingIsKept(t *testing.T) {
	top := home(t)
	dir := filepath.Join(top, "p")
	r := dataset.Reading{Select: "VIS,NIR-Y", Channels: "1 0; 0.5 0.5; 0 1", Stretch: "asinh", Low: -1, High: 2.5}
	if _, err := Create(dir, Options{Images: []string{folder(t, top, "cutouts")}, Reading: r}); err != nil {
		t.Fatal(err)
	}
	p, err := Open(dir)
	if err != nil || p.NamedSources()[0].Reading != r {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestCreateTakesARelativePathAndAName(t *testing.T) {
	top := home(t)
	t.Chdir(top)
	folder(t, "pictures")
	folder(t, "empty")
	p, err := Create("empty", Options{Images: []string{"pictures"}, Name: "Edge on"})
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "Edge on" || p.Sources[0].Path != filepath.Join(top, "pictures") || p.Config.Model.Size != 64 {
		t.Errorf("%+v", p)
	}
}

// A Create that was killed leaves a folder, or a part of project.toml in it: the same command makes the project.
func TestCreateAgainAfterACrash(t *testing.T) {
	top := home(t)
	images, dir := folder(t, top, "images"), filepath.Join(top, "p")
	file(t, filepath.Join(dir, "."+projectFile+"-0123abcd.part"), "name")
	if _, err := Create(dir, Options{Images: []string{images}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
}

func TestCreateRefuses(t *testing.T) {
	top := home(t)
	images := folder(t, top, "images")
	file(t, filepath.Join(top, "a.doc"), "PK")
	file(t, filepath.Join(top, "full", "thesis.tex"), "")
	file(t, filepath.Join(top, "old", projectFile), "")
	for name, c := range map[string]struct {
		dir  string
		opt  Options
		want string
	}{
		"no images":      {"p", Options{}, "--images PATH"},
		"missing folder": {"p", Options{Images: []string{top + "/imges"}}, "/imges: check the path"},
		"hidden letters": {"p", Options{Images: []string{top + "/\x1b[31m"}}, `\x1b[31m": check the path`},
		"a file":         {"p", Options{Images: []string{top + "/a.doc"}}, "name the folder that the images are in"},
		"twice":          {"p", Options{Images: []string{images, images + "/."}}, "is named twice"},
		"not empty":      {"full", Options{Images: []string{images}}, "is not empty: choose a new folder"},
		"is one":         {"old", Options{Images: []string{images}}, "is a project already: open it"},
		"in a file":      {"a.doc", Options{Images: []string{images}}, "choose another folder"},
		"size":           {"p", Options{Images: []string{images}, Size: 20}, "model.size = 20: must be 32 to 512"},
		"name":           {"p", Options{Images: []string{images}, Name: "a\x1bb"}, "cannot be shown"},
		"no UTF-8":       {"p", Options{Images: []string{images}, Name: "a\xffb"}, "is not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Create(filepath.Join(top, c.dir), c.opt)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("control characters in %q", err)
			}
			if _, err := os.Stat(filepath.Join(top, "p")); err == nil {
				t.Error("left a folder behind")
			}
		})
	}
}

func TestOpenLayersTheSettings(t *testing.T) {
	top := home(t)
	file(t, filepath.Join(top, "config", "anomalymatch", "config.toml"), "seed = 1\n[fixmatch]\niterations = 7\n")
	file(t, filepath.Join(top, "p", projectFile), "name = 'x'\n[[source]]\nname = 'a'\npath = 'sub/../images'\n[fixmatch]\niterations = 9\n")
	p, err := Open(filepath.Join(top, "p"))
	if err != nil {
		t.Fatal(err)
	}
	if c := p.Config; c.Seed != 1 || c.FixMatch.Iterations != 9 || c.FixMatch.EMA != 0.99 {
		t.Errorf("%+v", c)
	}
	if want := filepath.Join(top, "p", "images"); p.Name != "x" || p.Sources[0].Path != want {
		t.Errorf("%+v: a relative path starts at the project", p)
	}
}

func TestOpenRefuses(t *testing.T) {
	const one = "[[source]]\nname = 'a'\npath = '/a'\n"
	for name, c := range map[string]struct{ text, want string }{
		"typo in setting": {one + "[fixmatch]\niteration = 3\n", `project.toml:5: unknown key "fixmatch.iteration"; did you mean "fixmatch.iterations"?`},
		"typo in source":  {"[[source]]\nname = 'a'\npth = '/a'\n", `unknown key "source.pth"; did you mean "source.path"?`},
		"no source":       {"", "names no images"},
		"no path":         {"[[source]]\nname = 'a'\n", `[[source]] number 1 ("a") has no path`},
		"no name":         {"[[source]]\npath = '/a'\n", "needs a name"},
		"slash":           {"[[source]]\nname = 'a/b'\npath = '/a'\n", "needs a name"},
		"same name":       {one + one, "number 2 (\"a\") has the name of another one"},
		"syntax":          {"[[source]\n", "project.toml:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			top := home(t)
			file(t, filepath.Join(top, projectFile), c.text)
			if _, err := Open(top); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s", err, c.want)
			}
		})
	}
}

func TestOpenWhatIsNoProject(t *testing.T) {
	top := home(t)
	file(t, filepath.Join(top, "file"), "")
	for dir, want := range map[string]string{"": "there is no project.toml in it", "none": "there is no such folder"} {
		_, err := Open(filepath.Join(top, dir))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "anomalymatch new PROJECT --images FOLDER") {
			t.Errorf("%q: %v", dir, err)
		}
	}
	if _, err := Open(filepath.Join(top, "file")); err == nil {
		t.Error("a file was opened")
	}
}

func TestReadOnlyProject(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("to root every folder is writable")
	}
	top := home(t)
	file(t, filepath.Join(top, "p", projectFile), "[[source]]\nname = 'a'\npath = '/a'\n")
	if err := os.Chmod(filepath.Join(top, "p"), 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(top, "p"), 0o777) })
	p, err := Open(filepath.Join(top, "p"))
	if err != nil || !p.ReadOnly || !strings.Contains(p.Notice, "cannot be written to") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestRecent(t *testing.T) {
	top := home(t)
	if got := Recent(); len(got) != 0 {
		t.Fatalf("%v", got)
	}
	var dirs []string
	for _, name := range []string{"a", "b", "c"} {
		file(t, filepath.Join(top, name, projectFile), "")
		dirs = append(dirs, filepath.Join(top, name))
		Remember(dirs[len(dirs)-1])
	}
	Remember(dirs[0])
	if got, want := Recent(), []string{dirs[0], dirs[2], dirs[1]}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	os.Remove(filepath.Join(dirs[2], projectFile))
	if got, want := Recent(), []string{dirs[0], dirs[1]}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: what is gone is not offered", got, want)
	}
	for range recentLimit + 5 {
		Remember(t.TempDir())
	}
	if got := len(recent[string](recentFile())); got != recentLimit {
		t.Errorf("%d are kept", got)
	}
	file(t, recentFile(), "{broken")
	Remember(dirs[0])
	if got := Recent(); !slices.Equal(got, dirs[:1]) {
		t.Errorf("after a broken file: %v", got)
	}
	t.Setenv("XDG_STATE_HOME", filepath.Join(dirs[0], projectFile)) // a file: nothing can be made below it
	Remember(dirs[1])
	if got := Recent(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
