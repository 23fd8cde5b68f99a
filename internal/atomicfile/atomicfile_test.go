package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A line that a crash cut off goes with the next one: nobody was told that it is there.
func TestAppendAfterACrash(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct{ there, want string }{
		{"", "new\n"},
		{"one\n", "one\nnew\n"},
		{"one\ntw", "one\nnew\n"},
		{"tw", "new\n"},
		{"one\n" + long, "one\nnew\n"},
		{long + "\n" + long, long + "\nnew\n"},
		{long, "new\n"},
	} {
		if runtime.GOOS == "windows" && c.there != "" && !strings.HasSuffix(c.there, "\n") {
			c.want = c.there + "\nnew\n"
		}
		path := filepath.Join(t.TempDir(), "lines")
		if err := os.WriteFile(path, []byte(c.there), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := Append(path, []byte("new\n")); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != c.want {
			t.Errorf("behind %.20q…: %.40q…, %v", c.there, got, err)
		}
	}
}

// Several who append at the same time cut nothing off of each other.
func TestAppendTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lines")
	const writers, each = 8, 25
	line := strings.Repeat("y", 9000) + "\n" // more than a page: it can be seen in part
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := Append(path, []byte(line)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != strings.Repeat(line, writers*each) {
		t.Errorf("%d bytes, want %d: %v", len(got), writers*each*len(line), err)
	}
}

// What a killed process left of a file goes with the next Replace, once it is old; nobody else's part does.
func TestReplaceCleans(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * Leftover)
	for _, name := range []string{".list.csv-0123abcd.part", ".list.csv-more-0123abcd.part", ".list.csv-0123abcdef.part", ".other.csv-0123abcd.part", "list.csv-0123abcd.part", ".list.csv-0123abcx.part"} {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), nil, 0o666), os.Chtimes(filepath.Join(dir, name), old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".list.csv-11111111.part"), nil, 0o666); err != nil { // somebody is at work on it
		t.Fatal(err)
	}
	if err := Replace(filepath.Join(dir, "list.csv"), func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range list {
		names = append(names, d.Name())
	}
	want := []string{".list.csv-0123abcdef.part", ".list.csv-0123abcx.part", ".list.csv-11111111.part", ".list.csv-more-0123abcd.part", ".other.csv-0123abcd.part", "list.csv", "list.csv-0123abcd.part"}
	if !slices.Equal(names, want) {
		t.Errorf("left are %q, want %q", names, want)
	}
}
