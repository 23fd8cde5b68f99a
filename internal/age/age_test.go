package age

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A machine whose clock is days away from that of the file system takes files for as old as they are.
func TestClocksThatDiffer(t *testing.T) {
	for _, skew := range []time.Duration{0, 5 * 24 * time.Hour, -5 * 24 * time.Hour} {
		clock = func() time.Time { return time.Now().Add(skew) }
		defer func() { clock = time.Now }()
		path := filepath.Join(t.TempDir(), "lease")
		for _, old := range []time.Duration{0, 20 * time.Second, time.Hour} {
			if err := os.WriteFile(path, nil, 0o666); err != nil {
				t.Fatal(err)
			}
			if old > 0 {
				at := time.Now().Add(-old) // by the clock of the file system, which is this machine's
				if err := os.Chtimes(path, at, at); err != nil {
					t.Fatal(err)
				}
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := Of(path, info); (got - old).Abs() > 2*time.Second {
				t.Errorf("with a clock %v ahead a file of %v is taken for %v old", skew, old, got)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// Where nothing can be written the own clock counts.
func TestWithoutAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := Of(filepath.Join(t.TempDir(), "none", "f"), info); got.Abs() > time.Minute {
		t.Error(got)
	}
}

// Nobody else compares the time of a file with the machine's clock.
func TestNobodyElseTellsAges(t *testing.T) {
	wrong := regexp.MustCompile(`time\.(Since|Until)\([^)]*ModTime\(\)|ModTime\(\)\.(Before|After|Sub)\(time\.|time\.Now\(\)\.Sub\([^)]*ModTime`)
	root, tried := filepath.Join("..", ".."), 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2 {
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		tried++
		text, err := os.ReadFile(path)
		if m := wrong.Find(text); m != nil {
			t.Errorf("%s: %s: use age.Of", path, m)
		}
		return err
	})
	if err != nil || tried < 100 {
		t.Errorf("%d files, %v", tried, err)
	}
}
