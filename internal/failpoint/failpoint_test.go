//go:build unix

package failpoint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPoints holds the list to the constants, and each of them to a place in the program.
func TestPoints(t *testing.T) {
	names := map[string]Point{} // by the name of the constant
	f, err := parser.ParseFile(token.NewFileSet(), "failpoint.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if c, ok := n.(*ast.ValueSpec); ok && len(c.Values) == 1 {
			if id, ok := c.Type.(*ast.Ident); ok && id.Name == "Point" {
				text, err := strconv.Unquote(c.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				names[c.Names[0].Name] = Point(text)
			}
		}
		return true
	})
	for name, p := range names {
		if !slices.Contains(Points, p) {
			t.Errorf("%s is not among Points", name)
		}
	}
	if len(names) != len(Points) || len(names) < 20 {
		t.Errorf("there are %d constants and %d Points", len(names), len(Points))
	}
	text := source(t)
	for name := range names {
		if n := bytes.Count(text, []byte("(failpoint."+name+")")) + bytes.Count(text, []byte("(failpoint."+name+",")); n == 0 {
			t.Errorf("%s marks no place", name)
		}
	}
}

// source is that of the program, in one piece, without tests and this package.
func source(t *testing.T) (text []byte) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "failpoint" || d.Name() == "soak"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		text = append(text, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestReleases builds as releases are built: neither the hook nor the name of its variable is in the program. With the tag a process dies where it
// was told to, the time that it was told to.
func TestReleases(t *testing.T) {
	build := func(of string, flags ...string) (exe string, there bool) {
		t.Helper()
		exe = filepath.Join(t.TempDir(), "program")
		if out, err := exec.Command("go", append(append([]string{"build", "-o", exe}, flags...), of)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		return exe, bytes.Contains(b, []byte(variable))
	}
	if _, there := build("./testdata/program"); there {
		t.Error("the hook is in a program that was built without the tag")
	}
	exe, there := build("./testdata/program", "-tags", "failpoints")
	if !there {
		t.Error("the hook is not in a program that was built with the tag: this test cannot fail")
	}
	for _, c := range []struct {
		p    Point
		n    int
		want string // what it says, and how it ends
	}{
		{PartMade, 1, "half killed at the failpoint part.made\nsignal: killed"},
		{PartMade, 3, "0 1 half killed at the failpoint part.made\nsignal: killed"},
		{PartMade, 4, "0 1 2 <nil>"},
		{PartFilled, 1, "0 1 2 <nil>"},
	} {
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), At(c.p, c.n))
		out, err := cmd.CombinedOutput()
		if got := fmt.Sprintf("%s%v", out, err); got != c.want {
			t.Errorf("%s, time %d: %q, want %q", c.p, c.n, got, c.want)
		}
	}
	if testing.Short() {
		return // the next one links all of it
	}
	if _, there := build("anomalymatch/cmd/anomalymatch"); there {
		t.Error("the hook is in the released program")
	}
}
