package anomalymatch

import (
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestSetKey(t *testing.T) {
	for name, c := range map[string]struct{ text, key, value, want string }{
		"change":             {"# mine\nseed = 1 # why\n\n[model]\nsize = 64\n", "seed", "7", "# mine\nseed = 7 # why\n\n[model]\nsize = 64\n"},
		"change in table":    {"[fixmatch]\n  iterations=9\nema = 0.5\n", "fixmatch.iterations", "10", "[fixmatch]\n  iterations=10\nema = 0.5\n"},
		"change dotted":      {"fixmatch . \"iterations\" = 9\n", "fixmatch.iterations", "10", "fixmatch . \"iterations\" = 10\n"},
		"change list":        {"[keys]\ntrain = [ # two\n  \"f5\", # ]\n  \"x\\\"]\",\n]# end\nundo = []\n", "keys.train", `["f7"]`, "[keys]\ntrain = [\"f7\"]# end\nundo = []\n"},
		"change text":        {"[tui]\ntheme = 'dark'\n", "tui.theme", `"light"`, "[tui]\ntheme = \"light\"\n"},
		"change long text":   {"[queue]\nranking = \"\"\"\nauto\"\"\"\nstrategy = 'top'\n", "queue.ranking", `"fast"`, "[queue]\nranking = \"fast\"\nstrategy = 'top'\n"},
		"CRLF":               {"seed = 1\r\n[model]\r\nsize = 64\r\n", "model.score_batch", "8", "seed = 1\r\n[model]\r\nsize = 64\r\nscore_batch = 8\r\n"},
		"add to table":       {"[fixmatch]\n  ema = 0.5 # slow\n\n# next\n[tui]\n", "fixmatch.iterations", "10", "[fixmatch]\n  ema = 0.5 # slow\n  iterations = 10\n\n# next\n[tui]\n"},
		"add to empty table": {"[fixmatch]\n[tui]\n", "fixmatch.iterations", "10", "[fixmatch]\niterations = 10\n[tui]\n"},
		"add table":          {"seed = 1", "fixmatch.iterations", "10", "seed = 1\n\n[fixmatch]\niterations = 10\n"},
		"add to nothing":     {"", "fixmatch.iterations", "10", "[fixmatch]\niterations = 10\n"},
		"add beside dotted":  {"fixmatch.ema = 0.5\n[tui]\n", "fixmatch.iterations", "10", "fixmatch.ema = 0.5\nfixmatch.iterations = 10\n[tui]\n"},
		"add at the top":     {"# about\n\n# pictures\n[model]\nsize = 64\n", "seed", "3", "# about\n\nseed = 3\n\n# pictures\n[model]\nsize = 64\n"},
		"add below the top":  {"method = 'best'\n\n[model]\n", "seed", "3", "method = 'best'\nseed = 3\n\n[model]\n"},
		"add to a comment":   {"# about", "seed", "3", "# about\nseed = 3\n"},
		"add a profile":      {"[cluster.leo]\ngpus = 2\n", "cluster.juno.gpus", "1", "[cluster.leo]\ngpus = 2\n\n[cluster.juno]\ngpus = 1\n"},
		"add to a profile":   {"[cluster.leo]\ngpus = 2\n[tui]\n", "cluster.leo.host", `"leo"`, "[cluster.leo]\ngpus = 2\nhost = \"leo\"\n[tui]\n"},
		"quoted profile":     {"[cluster.\"a.b\"]\ngpus = 2\n", `cluster."a.b".gpus`, "3", "[cluster.\"a.b\"]\ngpus = 3\n"},
		"key with hyphen":    {"[keys]\n", "keys.rest-normal", `["Y"]`, "[keys]\nrest-normal = [\"Y\"]\n"},
		"project":            {"# head\n\nname = \"x\"\n\n[[source]]\nname = \"a\"\npath = \"/a\"\n", "model.size", "96", "# head\n\nname = \"x\"\n\n[[source]]\nname = \"a\"\npath = \"/a\"\n\n[model]\nsize = 96\n"},
		"project, top":       {"# head\n\n[[source]]\nname = \"a\"\n", "seed", "1", "# head\n\nseed = 1\n\n[[source]]\nname = \"a\"\n"},
		"remove":             {"# mine\nseed = 1\nmethod = 'best'\n", "seed", "", "# mine\nmethod = 'best'\n"},
		"remove, comment":    {"  seed = 1 # why\nmethod = 'best'\n", "seed", "", "  # why\nmethod = 'best'\n"},
		"remove the last":    {"[keys]\n  train = [\n 'f5'\n]", "keys.train", "", "[keys]\n"},
		"remove what is not": {"seed = 1\n", "fixmatch.ema", "", "seed = 1\n"},
		"byte order mark":    {"\ufeffseed = 1\n", "seed", "2", "\ufeffseed = 2\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SetKey([]byte(c.text), c.key, c.value)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestSetIn(t *testing.T) {
	const two = "# head\n[[source]]\n  name = \"a\" # mine\n  stretch = 'log' # why\n\n[[ source ]]\nname = \"b\"\n\n# after\n[model]\nstretch = 1\n"
	for name, c := range map[string]struct {
		text       string
		n          int
		key, value string
		want       string // empty: refused
	}{
		"change":             {two, 0, "stretch", `"asinh"`, strings.Replace(two, "'log'", `"asinh"`, 1)},
		"take away":          {two, 0, "stretch", "", strings.Replace(two, "stretch = 'log' # why", "# why", 1)},
		"add":                {two, 0, "low", "-0.5", strings.Replace(two, "# why\n", "# why\n  low = -0.5\n", 1)},
		"add to another":     {two, 1, "stretch", `"log"`, strings.Replace(two, "\"b\"\n", "\"b\"\nstretch = \"log\"\n", 1)},
		"take away nothing":  {two, 1, "stretch", "", two},
		"add at the end":     {"[[source]]\nname = 'a'", 0, "high", "3.0", "[[source]]\nname = 'a'\nhigh = 3.0\n"},
		"add to nothing":     {"[[source]]\r\n[model]\r\n", 0, "high", "3.0", "[[source]]\r\nhigh = 3.0\r\n[model]\r\n"},
		"a list in brackets": {"source = [{name = 'a'}]\n", 0, "high", "3.0", ""},
		"no such one":        {two, 2, "high", "3.0", ""},
		"no list":            {"source = 3\n", 0, "high", "3.0", ""},
		"no TOML":            {"source", 0, "high", "3.0", ""},
		"no value":           {two, 0, "high", "3 4", ""},
		"two lines":          {two, 0, "high", "3\nlow = 4", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SetIn([]byte(c.text), "source", c.n, c.key, c.value)
			if string(got) != c.want || (err != nil) != (c.want == "") {
				t.Errorf("got  %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestSetKeyRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, key, value, want string }{
		"inline":        {"fixmatch = { ema = 0.5 }\n", "fixmatch.iterations", "3", "fixmatch is written on one line in braces: change it in the file by hand"},
		"inline remove": {"fixmatch = { ema = 0.5 }\n", "fixmatch.ema", "", "fixmatch is written on one line in braces"},
		"range":         {"", "model.size", "31", "model.size = 31: must be 32 to 512"},
		"type":          {"", "model.size", `"x"`, "model.size must be a whole number"},
		"no value":      {"", "model.size", "12 13", "model.size must be a whole number"},
		"two lines":     {"", "seed", "1\nmethod = 'best'", "seed must be a whole number"},
		"comment":       {"", "seed", "1 # x", "seed must be a whole number"},
		"unquoted":      {"", "tui.theme", "dark", "tui.theme must be text in quotes"},
		"unknown":       {"", "fixmatch.iteration", "1", `unknown key "fixmatch.iteration"; did you mean "fixmatch.iterations"?`},
		"table":         {"", "fixmatch", "{ema = 0.5}", "a table is no value"},
		"empty key":     {"", "", "1", "is no key"},
		"two keys":      {"", "seed = 1\nmethod", "1", "is no key"},
		"broken file":   {"seed =\n", "seed", "1", "the settings:1: "},
		"no table":      {"fixmatch = 3\n", "fixmatch.ema", "0.5", "something above it in the file is no table"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := SetKey([]byte(c.text), c.key, c.value)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, %v\nwant …%s", got, err, c.want)
			}
			if err != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("control characters in %q", err)
			}
		})
	}
}

// FuzzSetKey: what comes out says what went in with that one key changed, and differs from it in one place.
func FuzzSetKey(f *testing.F) {
	docs, _ := Docs()
	values := map[string][]string{}
	for _, d := range docs {
		v := []string{d.Default}
		v = append(v, d.Words...)
		values[d.Key] = append(v, "")
	}
	values["keys.train"] = []string{`["f5", "ctrl+t"]`, "[]", ""}
	values[`cluster."a.b".gpus`] = []string{"3", ""}
	f.Add([]byte(defaults), uint8(0), uint8(0))
	for i := range len(docs) + 2 {
		f.Add([]byte(defaults), uint8(i), uint8(i))
		f.Add([]byte("seed = 3 # x\nmodel.size = 96\r\n[tui]\ntheme = '''light'''\n[cluster.leo]\nextra = [\n'a', # ]\n]\n[keys]\ntrain = ['f7']"), uint8(i), uint8(i/2))
	}
	var keys []string
	for _, d := range docs {
		keys = append(keys, d.Key)
	}
	keys = append(keys, "keys.train", `cluster."a.b".gpus`)
	f.Fuzz(func(t *testing.T, text []byte, which, what uint8) {
		key := keys[int(which)%len(keys)]
		value := values[key][int(what)%len(values[key])]
		before := Default()
		if before.Overlay("f", text, nil) != nil {
			return
		}
		out, err := SetKey(text, key, value)
		if err != nil {
			return
		}
		after := Default()
		if err := after.Overlay("f", out, nil); err != nil {
			t.Fatalf("%s = %s in %q makes %q: %v", key, value, text, out, err)
		}
		x, y := map[string]any{}, map[string]any{}
		toml.Decode(string(text), &x)
		toml.Decode(string(out), &y)
		path, _ := dotted(key)
		remove(x, path)
		if value != "" {
			got, ok := lookup(y, path)
			if !ok || !reflect.DeepEqual(got, Value(value)) {
				t.Fatalf("%s is %v in %q", key, got, out)
			}
		} else if _, ok := lookup(y, path); ok {
			t.Fatalf("%s is still there in %q", key, out)
		}
		remove(y, path)
		if !same(pruned(x), pruned(y)) {
			t.Fatalf("%s = %s changed more: %q to %q", key, value, text, out)
		}
		// one place: what is before it and behind it is as it was
		a, b := 0, 0
		for a < min(len(text), len(out)) && text[a] == out[a] {
			a++
		}
		for b < min(len(text), len(out))-a && text[len(text)-1-b] == out[len(out)-1-b] {
			b++
		}
		if added := string(out[a : len(out)-b]); len(added) > len(key)+len(value)+12 {
			t.Fatalf("%s = %s wrote %q into %q", key, value, added, text)
		}
	})
}

func lookup(m map[string]any, path []string) (any, bool) {
	for _, p := range path[:len(path)-1] {
		t, ok := m[p].(map[string]any)
		if !ok {
			return nil, false
		}
		m = t
	}
	v, ok := m[path[len(path)-1]]
	return v, ok
}

// Each key of config.toml is documented, its default is what Values says and may be written again.
func TestDocs(t *testing.T) {
	docs, tables := Docs()
	c := Default()
	values := c.Values()
	if len(docs) != len(values) {
		t.Errorf("%d documented, %d values", len(docs), len(values))
	}
	for _, d := range docs {
		if d.Help == "" || strings.HasSuffix(d.Help, "]") || d.Default == "" || d.Default != values[d.Key] {
			t.Errorf("%+v, value %q", d, values[d.Key])
		}
		for _, v := range append([]string{d.Default}, d.Words...) {
			if err := Check(d.Key, v); err != nil {
				t.Errorf("%s = %s: %v", d.Key, v, err)
			}
		}
	}
	if tables["fixmatch"] == "" || tables["keys"] == "" || tables["cluster.NAME"] == "" {
		t.Errorf("tables: %q", tables)
	}
	if got := Says([]byte("seed = 3\nname = 'x'\n[keys]\ntrain = []\n[cluster.leo]\ngpus = 1\n[[source]]\npath = '/a'\n")); !reflect.DeepEqual(got, []string{"seed", "keys.train", "cluster.leo.gpus"}) {
		t.Errorf("%q", got)
	}
}
