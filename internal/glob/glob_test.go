package glob

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `odd [a]* \?{x}`)
	for _, name := range []string{"b.x", "a.x", "c.y", "sub/a.x"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got := In(dir, "*.x"); !slices.Equal(got, []string{filepath.Join(dir, "a.x"), filepath.Join(dir, "b.x")}) {
		t.Errorf("%q", got)
	}
	if got := In(dir, "*/a.x"); !slices.Equal(got, []string{filepath.Join(dir, "sub", "a.x")}) {
		t.Errorf("below: %q", got)
	}
	if got := In(filepath.Join(dir, "none"), "*"); len(got) != 0 {
		t.Errorf("of no folder: %q", got)
	}
}
