package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"anomalymatch/engine/label"
)

func init() { Settle = 0 } // no file of a test looks shorter than it is

// journalOf makes a journal of n labels in a folder of its own, closes it, and returns the folder, its path and its text.
func journalOf(t *testing.T, n int) (dir, path string, text []byte) {
	t.Helper()
	dir = t.TempDir()
	j := mustOpen(t, dir, "ada")
	for i := range n {
		mustAppend(t, j, "", set(fmt.Sprint("s/", i), label.Normal))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "ada.jsonl")
	return dir, path, mustRead(t, path)
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustWrite(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// missingOf is what a Poll says is missing.
func missingOf(t *testing.T, j *Journal) *Missing {
	t.Helper()
	_, err := j.Poll()
	var m Missing
	if err != nil && !errors.As(err, &m) {
		t.Fatal(err)
	}
	if err == nil {
		return nil
	}
	return &m
}

// TestACutBetweenLinesIsNoticed damages a journal in the ways that leave whole lines only, and the ones that are no damage.
func TestACutBetweenLinesIsNoticed(t *testing.T) {
	lines := func(text []byte) [][]byte { return bytes.SplitAfter(text, []byte("\n")) }
	more := appendLine(nil, Event{Lamport: 50, By: "old", UID: "u", Change: set("s/new", label.Anomaly)})
	tests := map[string]struct {
		change func(text []byte) []byte // nil: the file is removed
		lacks  int                      // events; -1: nothing is wrong
	}{
		"nothing":                     {func(b []byte) []byte { return b }, -1},
		"an older program went on":    {func(b []byte) []byte { return append(bytes.Clone(b), more...) }, -1},
		"the end of a write":          {func(b []byte) []byte { return append(bytes.Clone(b), more[:20]...) }, -1},
		"the last label":              {func(b []byte) []byte { return bytes.Join(lines(b)[:9], nil) }, 1},
		"half of it":                  {func(b []byte) []byte { return bytes.Join(lines(b)[:5], nil) }, 5},
		"all of it":                   {func(b []byte) []byte { return nil }, 10},
		"a line in the middle":        {func(b []byte) []byte { return bytes.Join(append(lines(b)[:4:4], lines(b)[5:]...), nil) }, 1},
		"cut in a line":               {func(b []byte) []byte { return b[:len(b)-7] }, 1},
		"an older copy, and more":     {func(b []byte) []byte { return append(bytes.Join(lines(b)[:8], nil), bytes.Repeat(more, 2)...) }, 0},
		"two lines changed places":    {func(b []byte) []byte { l := lines(b); l[3], l[4] = l[4], l[3]; return bytes.Join(l, nil) }, 0},
		"the file":                    {nil, 10},
		"the file, and a new one":     {func(b []byte) []byte { return more }, 9},
		"the file, of another length": {func(b []byte) []byte { return bytes.Repeat(more, 30) }, -20},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir, path, text := journalOf(t, 10)
			if test.change == nil {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else {
				mustWrite(t, path, test.change(text))
			}
			j := mustOpen(t, dir, "bob")
			m := missingOf(t, j)
			if (m != nil) != (test.lacks != -1) {
				t.Fatalf("%v", m)
			}
			if m == nil {
				return
			}
			if m.Of != 10 || m.Events != test.lacks || m.Gone != (test.change == nil) {
				t.Errorf("%+v", *m)
			}
			mustAppend(t, j, "", set("s/1", label.Anomaly)) // of somebody else
			if missingOf(t, j) == nil {
				t.Error("a label of somebody else was taken as consent")
			}
			if test.change != nil {
				if s, err := Inspect(path); err != nil || s.Missing == nil || *s.Missing != *m {
					t.Errorf("Inspect: %+v, %v", s.Missing, err)
				}
			}
		})
	}
}

// What is missing is told at every start until the writer goes on, comes back with the copy, or the journal is mended.
func TestWhatIsMissingIsToldUntil(t *testing.T) {
	again := func(t *testing.T, dir string) *Missing { return missingOf(t, mustOpen(t, dir, "eve")) }
	cut := func(t *testing.T) (dir, path string, text []byte) {
		dir, path, text = journalOf(t, 10)
		mustWrite(t, path, text[:bytes.IndexByte(text, '\n')+1])
		for range 2 {
			if m := again(t, dir); m == nil || m.Events != 9 {
				t.Fatalf("%v", m)
			}
		}
		return dir, path, text
	}
	t.Run("its writer labels", func(t *testing.T) {
		dir, _, _ := cut(t)
		j := mustOpen(t, dir, "ada")
		if missingOf(t, j) == nil {
			t.Fatal("not told")
		}
		mustAppend(t, j, "", set("s/1", label.Anomaly))
		if m := missingOf(t, j); m != nil {
			t.Errorf("told again: %v", m)
		}
		if e := j.History("ada", 1)[0]; e.Lamport != 11 {
			t.Errorf("the clock went back: the new label is number %d, and one that is missing was number 10", e.Lamport)
		}
		j.Close()
		if m := again(t, dir); m != nil {
			t.Errorf("told again: %v", m)
		}
	})
	t.Run("its writer only looks", func(t *testing.T) {
		dir, _, _ := cut(t)
		mustOpen(t, dir, "ada").Close()
		if again(t, dir) == nil {
			t.Error("forgotten")
		}
	})
	t.Run("a copy comes back", func(t *testing.T) {
		dir, path, text := cut(t)
		half := text[:len(text)/2]
		half = half[:bytes.LastIndexByte(half, '\n')+1]
		for _, copied := range [][]byte{half, text} {
			from := filepath.Join(t.TempDir(), "ada.jsonl")
			mustWrite(t, from, copied)
			f, err := ReadForeign(from)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Into(dir); err != nil {
				t.Fatal(err)
			}
			if m := again(t, dir); (m == nil) != (len(copied) == len(text)) {
				t.Errorf("with %d of %d bytes: %v", len(copied), len(text), m)
			}
		}
		if !bytes.Equal(mustRead(t, path), text) {
			t.Error("the journal is another one")
		}
	})
	t.Run("it is mended", func(t *testing.T) {
		dir, path, _ := cut(t)
		if _, err := Mend(path); err != nil {
			t.Fatal(err)
		}
		if m := again(t, dir); m != nil {
			t.Errorf("told again: %v", m)
		}
	})
}

// A cut under the hands of its writer is told too, though the note lags.
func TestACutWhileOpen(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, "ada")
	for i := range 10 {
		mustAppend(t, j, "", set(fmt.Sprint("s/", i), label.Normal))
	}
	path := filepath.Join(dir, "ada.jsonl")
	text := mustRead(t, path)
	mustWrite(t, path, text[:bytes.IndexByte(text, '\n')+1])
	mustAppend(t, j, "", set("s/1", label.Anomaly)) // before anybody was told
	if m := missingOf(t, j); m == nil || m.Events != 8 {
		t.Errorf("%v", m)
	}
	mustAppend(t, j, "", set("s/2", label.Anomaly))
	if m := missingOf(t, j); m != nil {
		t.Errorf("told again: %v", m)
	}
}

// A damaged note is nobody's reason to speak of missing labels, and every damage of it is found.
func TestDamagedNotes(t *testing.T) {
	dir, path, text := journalOf(t, 3)
	note := notePath(dir, "ada")
	whole := mustRead(t, note)
	mustWrite(t, path, text[:bytes.IndexByte(text, '\n')+1])
	for i := range whole {
		for _, b := range [][]byte{whole[:i], append(append(bytes.Clone(whole[:i]), whole[i]^1), whole[i+1:]...)} {
			mustWrite(t, note, b)
			if m := missingOf(t, mustOpen(t, dir, "eve")); m != nil {
				t.Fatalf("%q: %v", b, m)
			}
			if err := Notes(dir)[note]; err == nil {
				t.Errorf("%q is taken for whole", b)
			}
		}
	}
	j := mustOpen(t, dir, "ada")
	mustAppend(t, j, "", set("s/1", label.Anomaly))
	j.Close()
	if err := Notes(dir)[note]; err != nil {
		t.Errorf("not made again: %v", err)
	}
}

// Labels do not wait for the note: it is written once for many.
func TestTheNoteLags(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, "ada")
	for i := range 5 {
		mustAppend(t, j, "", set(fmt.Sprint("s/", i), label.Normal))
		if n, err := readNote(dir, "ada"); err != nil || n.bytes != 0 {
			t.Fatalf("%+v, %v: a label waited for its note", n, err)
		}
	}
	if err := j.note(); err != nil { // what the timer does
		t.Fatal(err)
	}
	n, err := readNote(dir, "ada")
	if text := mustRead(t, filepath.Join(dir, "ada.jsonl")); err != nil || n.events != 5 || n.lines != 5 || n.clock != 5 || n.bytes != int64(len(text)) || !n.within(text) {
		t.Errorf("%+v, %v", n, err)
	}
	// A crash in the part file leaves the note before.
	mustWrite(t, filepath.Join(dir, "..ada.kept-00000001.part"), []byte(`{"by`))
	mustAppend(t, j, "", set("s/9", label.Normal))
	if m := missingOf(t, mustOpen(t, dir, "eve")); m != nil {
		t.Errorf("%v", m)
	}
}

// FuzzNote: what is read is what would be written.
func FuzzNote(f *testing.F) {
	f.Add([]byte(`{"bytes":1,"lines":1,"events":1,"lamport":1,"sum":1`))
	f.Add([]byte(`{"bytes":99999999999999999999,"lines":-1,"events":,"lamport":1,"sum":4294967296`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = parseNote(body)
		c, ok := parseNote(append(seal(bytes.Clone(body), body), '\n'))
		if !ok {
			return
		}
		if again, ok := parseNote(c.text()); !ok || again != c {
			t.Errorf("%+v became %+v, %t", c, again, ok)
		}
	})
}
