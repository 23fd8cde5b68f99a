package anomalymatch_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestDependencies holds the packages to the rule of docs/design.md.
func TestDependencies(t *testing.T) {
	forbidden := func(from, to string) bool {
		in := func(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }
		switch {
		case in(from, "imgview"):
			return in(to, "engine") || in(to, "tui") || in(to, "session")
		case in(from, "engine"):
			return in(to, "tui") || in(to, "session")
		case in(from, "session"):
			return in(to, "tui")
		case in(from, "tui"):
			return in(to, "engine") && to != "engine/rpc"
		}
		return false
	}
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		from := filepath.ToSlash(filepath.Dir(path))
		for _, i := range f.Imports {
			to, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			if to, ours := strings.CutPrefix(to, "anomalymatch/"); ours {
				seen++
				if forbidden(from, to) {
					t.Errorf("%s imports %s", path, to)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("only %d imports between packages were looked at", seen)
	}
}
