package outbox

import (
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"anomalymatch/engine/label"
)

func step(uid string, ids ...string) Step {
	s := Step{UID: uid, By: "ada-laptop"}
	for _, id := range ids {
		s.Changes = append(s.Changes, label.Change{ID: id, To: label.Anomaly})
	}
	return s
}

func open(t *testing.T, state, project string) *Outbox {
	t.Helper()
	o, err := Open(state, "hpc", project, "ada-laptop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

func TestOutbox(t *testing.T) {
	state := t.TempDir()
	o := open(t, state, "rings")
	steps := []Step{step("u1", "s/1.png"), step("u2", "s/2.png", "s/3.png"), step("u3", "s/1.png"),
		{UID: "u4", By: "ada-laptop", Changes: []label.Change{{ID: "s/1.png", Mark: label.Bookmark, To: label.On}}}}
	for _, s := range steps {
		if err := o.Keep(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Keep(steps[1]); err != nil { // again, by mistake
		t.Fatal(err)
	}
	if got := o.Waiting(); !reflect.DeepEqual(got, steps) {
		t.Errorf("waiting: %+v", got)
	}
	if got := open(t, state, "other").Waiting(); len(got) != 0 {
		t.Errorf("of another project: %+v", got)
	}
	// The terminal is killed: nothing is closed. Another one, beside it, finds what waits.
	o.Delivered("u1")
	next := open(t, state, "rings")
	if got := next.Waiting(); !reflect.DeepEqual(got, steps[1:]) {
		t.Errorf("after a crash: %+v", got)
	}
	if err := next.Keep(step("u4", "s/9.png")); err != nil {
		t.Fatal(err)
	}
	for _, s := range next.Waiting() {
		next.Delivered(s.UID)
	}
	if got := open(t, state, "rings").Waiting(); len(got) != 0 {
		t.Errorf("all was delivered: %+v", got)
	}
	filepath.Walk(state, func(path string, st os.FileInfo, err error) error {
		if err != nil || path != state && st.Mode().Perm()&0o077 != 0 && filepath.Ext(path) != ".jsonl" {
			t.Errorf("%s: %v, mode %v", path, err, st.Mode())
		}
		return nil
	})
}

func TestNoPlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file, "hpc", "p", "ada"); err == nil {
		t.Errorf("a file for a folder: %v", syscall.ENOTDIR)
	}
}
