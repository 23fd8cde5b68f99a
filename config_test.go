package anomalymatch

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreTheFile(t *testing.T) {
	c := Default()
	if c.Seed != 42 || c.Model.Size != 64 || c.FixMatch.LearningRate != 0.0075 || !c.FixMatch.Nesterov || c.Queue.Ranking != "auto" {
		t.Errorf("defaults were not read: %+v", c)
	}
}

// Each setting stands in config.toml once, under a comment that ends with what is allowed.
func TestEverySettingIsDocumented(t *testing.T) {
	lines := strings.Split(string(defaults), "\n")
	var c Config
	for _, s := range settings(&c) {
		if s.path.String() == "cluster" {
			continue // has no line of its own, only its tables do
		}
		n := line(defaults, s.path)
		if n < 2 || !strings.HasPrefix(lines[n-2], "#") {
			t.Errorf("%s has no comment above it (line %d)", s.path, n)
			continue
		}
		if want := s.describe(); want != "" && !strings.HasSuffix(lines[n-2], "["+want+"]") {
			t.Errorf("config.toml:%d: comment of %s does not end with [%s]", n-1, s.path, want)
		}
		switch s.value.Kind() {
		case reflect.Int, reflect.Int64, reflect.Float64:
			if s.words() != nil {
				break
			}
			least, most, found := s.limits()
			for _, limit := range []string{least, most} {
				if _, err := strconv.ParseFloat(limit, 64); !found || limit != "" && err != nil {
					t.Errorf("%s has no range", s.path)
				}
			}
		case reflect.String:
			if s.words() == nil && s.describe() == "" {
				t.Errorf("%s has neither a list of words nor a form", s.path)
			}
		}
	}
}

func TestLoadOverlaysInOrder(t *testing.T) {
	user := write(t, "user.toml", "seed = 1\n[fixmatch]\niterations = 7\nema = 1e-3\n[keys]\ntrain = [\"f5\"]\nundo = []\n")
	project := write(t, "project.toml", "fixmatch.iterations = 9\nmodel = { size = 96 }\nfast.regularisation = 1\n[keys]\ntrain = [\"f6\"]\n")
	c, err := Load(user, "", filepath.Join(t.TempDir(), "none.toml"), project)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Seed, want.FixMatch.Iterations, want.FixMatch.EMA, want.Model.Size, want.Fast.Regularisation = 1, 9, 1e-3, 96, 1
	want.Keys = map[string][]string{"train": {"f6"}, "undo": {}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"typo":              {"seed = 1\n\n[fixmatch]\niteration = 3\n", `p.toml:4: unknown key "fixmatch.iteration"; did you mean "fixmatch.iterations"?`},
		"typo in dotted":    {"\nfixmatch.itrations = 3\n", `p.toml:2: unknown key "fixmatch.itrations"; did you mean "fixmatch.iterations"?`},
		"wrong case":        {"Seed = 3\n", `p.toml:1: unknown key "Seed"; did you mean "seed"?`},
		"typo in table":     {"[fixmach]\niterations = 3\n", `p.toml:1: unknown key "fixmach"; did you mean "fixmatch"?`},
		"wrong table":       {"iterations = 3\n", `p.toml:1: unknown key "iterations"; did you mean "fixmatch.iterations"?`},
		"nothing near":      {"zzzzzzzz = 3\n", `p.toml:1: unknown key "zzzzzzzz"`},
		"of a project":      {"name = 'x'\n", `p.toml:1: unknown key "name"`},
		"hidden name":       {"\"a\\u001b[31m\" = 3\n", `unknown key "\"a\\u001b[31m\""`},
		"text for number":   {"[model]\nsize = '64'\n", `p.toml:2: model.size must be a whole number`},
		"float for int":     {"[model]\nsize = 64.0\n", `p.toml:2: model.size must be a whole number`},
		"number for text":   {"[queue]\nranking = 3\n", `p.toml:2: queue.ranking must be text in quotes`},
		"number for bool":   {"[augment]\nflip = 1\n", `p.toml:2: augment.flip must be true or false`},
		"value for table":   {"model = 3\n", `p.toml:1: model must be a table`},
		"key not a list":    {"[keys]\ntrain = 'f5'\n", `p.toml:2: keys.train must be a list`},
		"list of numbers":   {"[keys]\ntrain = [1]\n", `line 2 (last key "keys.train")`},
		"too small":         {"[model]\n# size\nsize = 31\n", `p.toml:3: model.size = 31: must be 32 to 512`},
		"too large":         {"[fixmatch]\nema = 1\n", `p.toml:2: fixmatch.ema = 1: must be 0 to 0.999999`},
		"not a number":      {"[fixmatch]\nema = nan\n", `p.toml:2: fixmatch.ema = NaN: must be 0 to 0.999999`},
		"negative":          {"seed = -1\n", `p.toml:1: seed = -1: must be 0 or more`},
		"not in list":       {"[tui]\nimages = 'sixels'\n", `p.toml:2: tui.images = "sixels": must be auto, kitty, kitty-direct, iterm2, sixel, halfblocks, quadrants, sextants, text or none`},
		"syntax":            {"seed = 1\nmodel =\n", `p.toml:2: `},
		"open table":        {"seed = 1\n[model\n[x]\n", `p.toml:2: `},
		"twice":             {"seed = 1\nseed = 2\n", `p.toml:2: `},
		"typo in cluster":   {"[cluster.leo]\npartion = 'gpu'\n", `p.toml:2: unknown key "cluster.leo.partion"; did you mean "cluster.leo.partition"?`},
		"deep in cluster":   {"[cluster.leo.more]\nx = 1\n", `p.toml:1: unknown key "cluster.leo.more"`},
		"cluster no table":  {"cluster = 3\n", `p.toml:1: cluster must be a table`},
		"profile no table":  {"[cluster]\nleo = 3\n", `p.toml:2: cluster.leo must be a table`},
		"cluster name":      {"[cluster.\"-o x\"]\ngpus = 1\n", `p.toml:1: [cluster."-o x"]: the name must be letters, digits and _ . , : @ / + -`},
		"no cluster name":   {"[cluster.\"\"]\ngpus = 1\n", `the name must be letters`},
		"scheduler":         {"[cluster.leo]\nscheduler = 'slrum'\n", `p.toml:2: cluster.leo.scheduler = "slrum": must be slurm, pbs, lsf, sge, kubernetes or ssh`},
		"line in partition": {"[cluster.leo]\npartition = \"gpu\\n#SBATCH --uid=0\"\n", `p.toml:2: cluster.leo.partition = "gpu\n#SBATCH --uid=0": must be letters, digits`},
		"account an option": {"[cluster.leo]\naccount = '-v'\n", `must be letters, digits`},
		"line in extra":     {"[cluster.leo]\nextra = ['--mem=1G', \"a\\nb\"]\n", `p.toml:2: cluster.leo.extra = ["--mem=1G" "a\nb"]: must be a list of texts of one line each`},
		"line in scratch":   {"[cluster.leo]\nscratch = \"/a\\rb\"\n", `must be a path on one line`},
		"scratch relative":  {"[cluster.leo]\nscratch = 'a'\n", `must be a path on one line that begins with / or $`},
		"module an option":  {"[cluster.leo]\nmodules = ['--force']\n", `must be a list of names`},
		"host an option":    {"[cluster.leo]\nhost = '-oProxyCommand=x'\n", `must be a name without spaces`},
		"time":              {"[cluster.leo]\ntime = '1h'\n", `p.toml:2: cluster.leo.time = "1h": must be minutes, hours:minutes:seconds or days-hours:minutes:seconds`},
		"gpus":              {"[cluster.leo]\ngpus = -1\n", `p.toml:2: cluster.leo.gpus = -1: must be 0 to 64`},
		"no text":           {"seed = \x00\n", `p.toml:1: `},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(write(t, "p.toml", c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant …%s", err, c.want)
			}
			if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("control characters in %q", err)
			}
		})
	}
}

func TestProfiles(t *testing.T) {
	user := write(t, "user.toml", "[cluster.leo]\nextra = ['--mem=8G']\ntime = '1-2'\n[cluster.NAME]\nmodules = ['cuda']\n")
	project := write(t, "project.toml", "cluster.leo.gpus = 2\n[cluster.juno]\nscheduler = 'pbs'\nmodules = []\n")
	c, err := Load(user, project)
	if err != nil {
		t.Fatal(err)
	}
	leo, err := c.Profile("leo")
	if want := (Cluster{Scheduler: "slurm", GPUs: 2, Time: "1-2", Extra: []string{"--mem=8G"}, Modules: []string{"cuda"}, Attach: "ssh"}); err != nil || !reflect.DeepEqual(leo, want) {
		t.Errorf("got %+v, %v\nwant %+v", leo, err, want)
	}
	juno, err := c.Profile("juno")
	if want := (Cluster{Scheduler: "pbs", GPUs: 1, Extra: []string{}, Modules: []string{}, Attach: "ssh"}); err != nil || !reflect.DeepEqual(juno, want) {
		t.Errorf("got %+v, %v\nwant %+v", juno, err, want)
	}
	if got := c.Profiles(); !reflect.DeepEqual(got, []string{"juno", "leo"}) {
		t.Errorf("profiles %q", got)
	}
	for _, name := range []string{"NAME", "nope", ""} {
		if _, err := c.Profile(name); err == nil || !strings.Contains(err.Error(), "there is juno, leo") {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := Default().Profile("leo"); err == nil || !strings.Contains(err.Error(), "no [cluster.NAME]") {
		t.Errorf("got %v", err)
	}
	if got := Default().Cluster[profileDefaults].Modules; len(got) != 0 {
		t.Errorf("a file changed the defaults: %q", got)
	}
}

func TestWalltime(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"": 0, "90": 90 * time.Minute, "1:30": 90 * time.Second, "2:03:04": 2*time.Hour + 3*time.Minute + 4*time.Second,
		"1-2": 26 * time.Hour, "1-2:30": 26*time.Hour + 30*time.Minute, "1-0:0:9": 24*time.Hour + 9*time.Second, "1h": 0, "-1": 0, "1-": 0, "UNLIMITED": 0,
	} {
		if got := Walltime(s); got != want {
			t.Errorf("%q is %v, want %v", s, got, want)
		}
	}
}

func TestLoadNamesAFileThatCannotBeRead(t *testing.T) {
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a folder was read as settings: %v", err)
	}
}

// The keys that belong to a project and not to the settings are read beside them, and only where they are asked for.
func TestOverlayReadsOtherKeys(t *testing.T) {
	type source struct {
		Path string `toml:"path"`
	}
	var project struct {
		Name   string   `toml:"name"`
		Source []source `toml:"source"`
	}
	c := Default()
	err := c.Overlay("p", []byte("name = 'x'\nseed = 3\n[[source]]\npath = '/a'\n[[source]]\npath = '/b'\n"), &project)
	if err != nil || project.Name != "x" || len(project.Source) != 2 || project.Source[1].Path != "/b" || c.Seed != 3 {
		t.Errorf("got %+v, seed %d, %v", project, c.Seed, err)
	}
	c = Default()
	err = c.Overlay("p", []byte("name = 'x'\n[[source]]\npth = '/a'\n"), &project)
	if err == nil || !strings.Contains(err.Error(), `did you mean "source.path"?`) {
		t.Errorf("got %v", err)
	}
}

func FuzzOverlay(f *testing.F) {
	f.Add([]byte(defaults))
	f.Add([]byte("\x14"))
	f.Add([]byte("[[seed]]\n[keys]\n\"\" = [1]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := Default()
		if err := c.Overlay("f", text, nil); err != nil {
			return
		}
		for _, s := range settings(&c) {
			if err := s.inRange(); err != nil {
				t.Errorf("accepted %v from %q", err, text)
			}
		}
	})
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
