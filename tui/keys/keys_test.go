package keys

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/keys.md")

func TestMarkdownIsCurrent(t *testing.T) {
	m, err := Load(Table(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../docs/keys.md"
	if *update {
		if err := os.WriteFile(file, []byte(m.Markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != m.Markdown() {
		t.Error("docs/keys.md is not what the table says: go test ./tui/keys -update")
	}
}

func TestTable(t *testing.T) {
	ids := map[string]bool{}
	for _, b := range Table() {
		if b.ID == "" || b.Does == "" || b.Group == "" || ids[b.ID] {
			t.Errorf("%+v: an id, what it does and a group, and no id twice", b)
		}
		ids[b.ID] = true
		for _, k := range b.Keys {
			if n, err := Name(k); err != nil || n != k {
				t.Errorf("%s: key %q is %q, %v", b.ID, k, n, err)
			}
		}
	}
}

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		other map[string][]string
		key   string
		id    string
		fails string
	}{
		{name: "defaults", key: "a", id: "anomaly"},
		{name: "moved", other: map[string][]string{"train": {"Ctrl+O", "F5"}}, key: "ctrl+o", id: "train"},
		{name: "moved, second key", other: map[string][]string{"train": {"Ctrl+O", "F5"}}, key: "f5", id: "train"},
		{name: "old key is free", other: map[string][]string{"train": {"f5"}}, key: "ctrl+t"},
		{name: "swapped", other: map[string][]string{"anomaly": {"x"}, "normal": {"a"}}, key: "a", id: "normal"},
		{name: "tags yield", other: map[string][]string{"anomaly": {"1"}}, key: "1", id: "anomaly"},
		{name: "but not where a person wants them", other: map[string][]string{"anomaly": {"1"}, "tag-1": {"1"}}, fails: "1 is taken twice, by anomaly and by tag-1"},
		{name: "taken", other: map[string][]string{"train": {"a"}}, fails: "a is taken twice, by anomaly and by train"},
		{name: "unknown id", other: map[string][]string{"trian": {"f5"}}, fails: `no action "trian"`},
		{name: "unknown key", other: map[string][]string{"train": {"ctrl+enterr"}}, fails: "is no key"},
		{name: "no way out", other: map[string][]string{"quit": {}}, fails: "quit needs a key"},
		{name: "without a key", other: map[string][]string{"suspend": {}}, key: "ctrl+z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Load(Table(), c.other)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := m.Match(c.key); b.ID != c.id {
				t.Errorf("%s is %q, want %q", c.key, b.ID, c.id)
			}
		})
	}
}

func TestName(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "A": "A", "shift+a": "A", "Ctrl+T": "ctrl+t", "pgdn": "pgdown", " ": "space", "Escape": "esc", "F12": "f12",
		"ctrl+alt+x": "ctrl+alt+x", "ö": "ö", "]": "]", "+": "+", "ctrl++": "ctrl++", "": "", "f21": "", "ab": "", "ctrl+": "", "\x1b": "",
	} {
		if got, err := Name(in); got != want || (err != nil) != (want == "") {
			t.Errorf("Name(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestDisabled(t *testing.T) {
	ready := State{Page: "gallery", Candidates: 5, Anomalies: 1, Normals: 1, Connected: true}
	m, _ := Load(Table(), nil)
	for _, c := range []struct {
		id   string
		edit func(*State)
		want string
	}{
		{"train", func(s *State) {}, ""},
		{"train", func(s *State) { s.Anomalies = 0 }, "label at least one anomaly first"},
		{"train", func(s *State) { s.Job = "training" }, "the engine is training just now"},
		{"train", func(s *State) { s.Connected = false }, "the engine is not connected"},
		{"cancel", func(s *State) {}, "no job is running"},
		{"cancel", func(s *State) { s.Job = "scoring" }, ""},
		{"anomaly", func(s *State) { s.Picture = "wait" }, "wait"},
		{"anomaly", func(s *State) { s.Connected = false }, ""}, // kept and sent later
		{"anomaly", func(s *State) { s.Candidates = 0 }, "the list is empty"},
		{"anomaly", func(s *State) { s.Page = "scores" }, "works in the gallery, on the large picture and when comparing"},
		{"clear", func(s *State) {}, "this picture has no label"},
		{"down", func(s *State) { s.Here = func(id string) string { return id + " does nothing" } }, "down does nothing"},
		{"train", func(s *State) { s.Here = func(id string) string { return "" } }, ""},
		{"cancel-job", func(s *State) {}, "works on the jobs page, on the labels page and on the settings page"},
		{"cancel-job", func(s *State) { s.Page, s.Connected = "jobs", false }, ""},
		{"undo", func(s *State) {}, "nothing to undo"},
		{"undo", func(s *State) { s.CanUndo = true }, ""},
		{"rest-normal", func(s *State) { s.Page = "single" }, "works in the gallery"},
		{"similar", func(s *State) { s.Embedded = true }, ""},
		{"similar", func(s *State) {}, "the images are not embedded yet: nobody knows which are alike"},
		{"similar", func(s *State) { s.Embedded, s.Candidates = true, 0 }, "the list is empty"},
	} {
		s := ready
		c.edit(&s)
		if got := m.Pick(c.id)[0].Why(s); got != c.want {
			t.Errorf("%s: %q, want %q", c.id, got, c.want)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"ctrl+t", "shift+alt+f5", "ß", "\xff", "f0x1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Name(s)
		if err != nil {
			return
		}
		if again, err := Name(n); err != nil || again != n {
			t.Fatalf("Name(%q) = %q, Name of that = %q, %v", s, n, again, err)
		}
	})
}
