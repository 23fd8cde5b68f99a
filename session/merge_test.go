package session

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch/engine/label"
	"anomalymatch/session/journal"
)

// said makes a folder of labels with the journal of a writer.
func said(t *testing.T, dir, writer string, changes ...label.Change) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, writer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	for k, c := range changes {
		if err := j.Append("", fmt.Sprintf("%s-%d-%s", writer, k, c.ID), []label.Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func current(t *testing.T, dir string) map[string]label.Value {
	t.Helper()
	j, err := journal.Open(dir, "reader")
	if err != nil {
		t.Fatal(err)
	}
	return j.Current()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func anywhere(string) bool { return true }

func TestMergeJournals(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	said(t, ours, "ann", label.Change{ID: "s/1", To: label.Anomaly}).Close()
	said(t, theirs, "bob", label.Change{ID: "s/2", To: label.Normal}, label.Change{ID: "s/2", To: label.On, Mark: label.Bookmark}, label.Change{ID: "s/1", To: label.Normal}).Close()
	bob := filepath.Join(theirs, "bob.jsonl")

	// new, then known, then longer
	m, err := MergeJournals(ours, []string{bob}, anywhere)
	if err != nil || len(m) != 1 || m[0].Standing != journal.New || m[0].Added != 3 || m[0].Writer != "bob" {
		t.Fatalf("%+v, %v", m, err)
	}
	want := map[string]label.Value{"s/1": label.Normal, "s/2": label.Normal} // bob's clock was ahead
	if got := current(t, ours); !maps.Equal(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
	if read(t, filepath.Join(ours, "bob.jsonl")) != read(t, bob) {
		t.Error("the journal is not the one that came")
	}
	if m, err = MergeJournals(ours, []string{bob}, anywhere); err != nil || m[0].Standing != journal.Known || m[0].Added != 0 {
		t.Errorf("once more: %+v, %v", m, err)
	}
	older := read(t, bob)
	said(t, theirs, "bob", label.Change{ID: "s/3", To: label.Skip}).Close()
	if m, err = MergeJournals(ours, []string{bob}, anywhere); err != nil || m[0].Standing != journal.Longer || m[0].Added != 1 {
		t.Errorf("longer: %+v, %v", m, err)
	}

	// an older copy takes nothing away
	longer := read(t, bob)
	write(t, bob, older)
	if m, err = MergeJournals(ours, []string{bob}, anywhere); err != nil || m[0].Standing != journal.Known {
		t.Errorf("an older copy: %+v, %v", m, err)
	}
	if read(t, filepath.Join(ours, "bob.jsonl")) != longer {
		t.Error("an older copy changed the journal")
	}

	// of two copies the longer one counts, in any order; an end that a crash tore is left out
	elsewhere := t.TempDir()
	copied := filepath.Join(t.TempDir(), "bob.jsonl")
	write(t, copied, longer+`{"lamport":9,"ti`)
	for _, paths := range [][]string{{bob, copied}, {copied, bob}} {
		if m, err = MergeJournals(elsewhere, paths, anywhere); err != nil || len(m) != 1 || m[0].Events != 4 {
			t.Errorf("two copies: %+v, %v", m, err)
		}
		if got := read(t, filepath.Join(elsewhere, "bob.jsonl")); got != longer {
			t.Errorf("two copies make %q", got)
		}
		os.Remove(filepath.Join(elsewhere, "bob.jsonl"))
	}

	// a torn end here is no difference
	write(t, filepath.Join(elsewhere, "bob.jsonl"), older+longer[len(older):len(older)+20])
	if m, err = MergeJournals(elsewhere, []string{copied}, anywhere); err != nil || m[0].Added != 1 {
		t.Errorf("torn here: %+v, %v", m, err)
	}
	if got := read(t, filepath.Join(elsewhere, "bob.jsonl")); got != longer {
		t.Errorf("torn here makes %q", got)
	}
}

func TestMergeRefuses(t *testing.T) {
	ours := t.TempDir()
	said(t, ours, "ann", label.Change{ID: "s/1", To: label.Anomaly}, label.Change{ID: "s/2", To: label.Anomaly}).Close()
	before := read(t, filepath.Join(ours, "ann.jsonl"))
	fine := t.TempDir()
	said(t, fine, "bob", label.Change{ID: "s/9", To: label.Normal}).Close()

	diverged := t.TempDir()
	first, _, _ := strings.Cut(before, "\n")
	write(t, filepath.Join(diverged, "ann.jsonl"), first+"\n")
	said(t, diverged, "ann", label.Change{ID: "s/3", To: label.Normal}, label.Change{ID: "s/4", To: label.Normal}, label.Change{ID: "s/5", To: label.Normal}).Close()

	damaged := filepath.Join(t.TempDir(), "cyd.jsonl")
	write(t, damaged, strings.Replace(before, "anomaly", "normal", 1))
	named := filepath.Join(t.TempDir(), "..what's this.jsonl")
	write(t, named, before)
	stranger := t.TempDir()
	said(t, stranger, "eve", label.Change{ID: "x/1", To: label.Normal}).Close()

	for name, c := range map[string]struct{ path, want string }{
		"another way":      {filepath.Join(diverged, "ann.jsonl"), "went different ways at line 2"},
		"damage":           {damaged, "cyd.jsonl:1 is damaged"},
		"a name":           {named, "is not called like a journal"},
		"another project":  {filepath.Join(stranger, "eve.jsonl"), "none of the images"},
		"nothing":          {filepath.Join(fine, "nosuch.jsonl"), "cannot be read"},
		"a folder":         {fine + "/.", "is not called like a journal"},
		"what is no label": {filepath.Join(fine, "..", "bob.txt"), "is not called like a journal"},
	} {
		_, err := MergeJournals(ours, []string{filepath.Join(fine, "bob.jsonl"), c.path}, func(id string) bool { return strings.HasPrefix(id, "s/") })
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err := os.Stat(filepath.Join(ours, "bob.jsonl")); err == nil {
			t.Fatalf("%s: the file beside it was taken", name)
		}
	}
	if read(t, filepath.Join(ours, "ann.jsonl")) != before {
		t.Error("the project's journal was changed")
	}

	// a journal that somebody writes to is left alone
	writing := said(t, ours, "bob", label.Change{ID: "s/7", To: label.Normal})
	longer := filepath.Join(t.TempDir(), "bob.jsonl")
	write(t, longer, read(t, filepath.Join(ours, "bob.jsonl")))
	said(t, filepath.Dir(longer), "bob", label.Change{ID: "s/8", To: label.Normal}).Close()
	if _, err := MergeJournals(ours, []string{longer}, anywhere); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("somebody labels: %v", err)
	}
	writing.Close()
	if m, err := MergeJournals(ours, []string{longer}, anywhere); err != nil || m[0].Added != 1 {
		t.Errorf("when they have left: %+v, %v", m, err)
	}
}

func TestFindLabelFiles(t *testing.T) {
	dir := t.TempDir()
	project := filepath.Join(dir, "project")
	for _, path := range []string{"mail/bob.jsonl", "mail/notes.txt", "mail/bob.jsonl.torn", "project/project.toml", "project/labels/cyd.jsonl", "project/jobs.jsonl", "dan.csv", "empty/x.txt"} {
		path = filepath.Join(dir, path)
		os.MkdirAll(filepath.Dir(path), 0o777)
		write(t, path, "")
	}
	got, err := FindLabelFiles([]string{filepath.Join(dir, "mail"), project, filepath.Join(dir, "dan.csv")})
	want := []string{filepath.Join(dir, "mail/bob.jsonl"), filepath.Join(project, "labels/cyd.jsonl")}
	if err != nil || !slices.Equal(got.Journals, want) || len(got.CSVs) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, path := range []string{filepath.Join(dir, "empty"), filepath.Join(dir, "nosuch")} {
		if _, err := FindLabelFiles([]string{path}); err == nil {
			t.Errorf("%s is taken", path)
		}
	}
}

func TestPlanOpinions(t *testing.T) {
	ids := []string{"s/1", "s/2", "s/3", "s/4"}
	match := func(name string) (int, error) {
		if i := slices.Index(ids, name); i >= 0 {
			return i, nil
		}
		return 0, fmt.Errorf("no image is called %q", name)
	}
	rows := []LabelRow{{2, "s/1", label.Anomaly}, {3, "s/2", label.Anomaly}, {4, "s/3", label.Normal}, {5, "s/4", label.Normal}, {6, "s/9", label.Normal}}
	own := map[string]label.Value{"s/3": label.Normal}
	current := map[string]label.Value{"s/1": label.Anomaly, "s/2": label.Normal, "s/3": label.Anomaly}
	p := PlanOpinions(rows, match, func(i int) string { return ids[i] }, own, current)
	want := []label.Change{{ID: "s/1", To: label.Anomaly, From: label.Anomaly}, {ID: "s/2", To: label.Anomaly, From: label.Normal}, {ID: "s/4", To: label.Normal}}
	if !slices.Equal(p.Changes, want) || p.Replaced != 1 || p.Unchanged != 1 || len(p.Bad) != 1 {
		t.Errorf("%+v", p)
	}
}
