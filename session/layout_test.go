package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A newer project is refused with the program to get, whatever else its file holds; a wrong value is a mistake of a person.
func TestNewerProjects(t *testing.T) {
	const source = "\n[[source]]\nname = \"s\"\npath = \"/s\"\n"
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"layout = 1", ""},
		{"layout = 1\nfeatures = []\nprogram = \"1.0.0\"", ""},
		{"layout = 2", "layout 2, and this version"},
		{"layout = 2\nprogram = \"1.4.0\"", "get anomalymatch 1.4.0 or a later"},
		{"layout = 2\nunknown = 7\n[strange]\nlist = [1, \"a\"]", "newest version"},
		{"layout = 2\nname = 7", "newest version"},
		{"features = [\"boxes\"]\nprogram = \"1.3.1\"", `needs "boxes"`},
		{"features = [{name = \"boxes\"}]", "needs"},
		{"layout = 2\nprogram = \"\\u001b[31m1.4\\n\"", "get anomalymatch [31m1.4  or"},
		{"layout = 2\nprogram = 7", "newest version"},
		{"layout = 0", "from 1 on"},
		{"layout = -3", "from 1 on"},
		{"layout = \"2\"", "from 1 on"},
		{"features = \"boxes\"", "list of texts"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, projectFile), []byte(test.text+source), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.text, err, test.want)
		}
		if _, err := (Settings{Dir: dir}).Set("seed", "7"); (err == nil) != (test.want == "") {
			t.Errorf("%q: a setting was changed: %v", test.text, err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, projectFile)); err != nil || test.want != "" && string(text) != test.text+source {
			t.Errorf("%q became %q, %v", test.text, text, err)
		}
	}
}
