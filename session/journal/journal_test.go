package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"anomalymatch/engine/label"
)

type labels = map[string]label.Value

func set(id string, to label.Value) label.Change { return label.Change{ID: id, To: to} }

func TestAppendIsReadBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "labels")
	j := mustOpen(t, dir, "ada@lab")
	odd := "s/ü \"q\" \\ \u2028\t\x1b[31m<&>.png"
	mustAppend(t, j, "k1", set("s/1", label.Anomaly))
	mustAppend(t, j, "k2", set("s/2", label.Normal), set(odd, label.Skip))
	mustAppend(t, j, "k3", label.Change{ID: "s/1", From: label.Anomaly})
	want := labels{"s/2": label.Normal, odd: label.Skip}
	again := mustOpen(t, dir, "eve")
	for name, j := range map[string]*Journal{"writer": j, "reader": again} {
		if got := j.Current(); !maps.Equal(got, want) {
			t.Errorf("%s sees %v, want %v", name, got, want)
		}
	}
	if !slices.Equal(j.History("", 0), again.History("", 0)) {
		t.Errorf("history changed on disk:\n%v\n%v", j.History("", 0), again.History("", 0))
	}
	if got := names(t, dir); !slices.Equal(got, []string{"ada-lab.jsonl"}) {
		t.Errorf("files: %v; who only reads writes nothing", got)
	}
}

func TestAStepIsWrittenOnce(t *testing.T) {
	dir := t.TempDir()
	a, b := mustOpen(t, dir, "ada"), mustOpen(t, dir, "bob")
	step := []label.Change{set("1", label.Anomaly), set("2", label.Normal)}
	for _, j := range []*Journal{a, a, b} { // b delivers what a had written already
		mustAppend(t, j, "k1", step...)
	}
	if n := len(mustOpen(t, dir, "x").History("", 0)); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
	mustAppend(t, a, "", step[0])
	mustAppend(t, a, "", step[0])
	if n := len(a.History("", 0)); n != 4 {
		t.Errorf("%d lines: steps without uid are always new", n)
	}
}

func TestAppendRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		by, uid string
		change  label.Change
		want    string
	}{
		"no id":       {"a", "u", set("", label.Normal), "cannot be the id of an image"},
		"not UTF-8":   {"a", "u", set("\xff\x1b.png", label.Normal), `not kept: label of "\xff\x1b.png"`},
		"long id":     {"a", "u", set(strings.Repeat("x", maxID+1), label.Normal), "cannot be the id"},
		"no label":    {"a", "u", set("1", "maybe"), `label "maybe"`},
		"odd name":    {"\xff", "u", set("1", label.Normal), "is no name"},
		"former":      {"a", "u", label.Change{ID: "1", From: "maybe"}, `label "maybe"`},
		"odd step id": {"a", "\xff", set("1", label.Normal), "is no name"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := mustOpen(t, dir, "ada").Append(c.by, c.uid, []label.Change{c.change})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want …%s", err, c.want)
			}
			if got := names(t, dir); len(got) != 0 {
				t.Errorf("wrote %v", got)
			}
		})
	}
}

// What everything fits in is what the reader accepts, escapes included.
func TestTheLongestLineIsReadBack(t *testing.T) {
	dir := t.TempDir()
	id, by := strings.Repeat("\x01", maxID), strings.Repeat("\x02", maxName)
	if err := mustOpen(t, dir, "ada").Append(by, by, []label.Change{set(id, label.Normal)}); err != nil {
		t.Fatal(err)
	}
	if got := mustOpen(t, dir, "x").Current(); !maps.Equal(got, labels{id: label.Normal}) {
		t.Errorf("%d labels", len(got))
	}
}

func TestMergeIsByLamportThenWriter(t *testing.T) {
	line := func(lamport uint64, v label.Value) Event {
		return Event{Lamport: lamport, By: "x", UID: fmt.Sprint(lamport, v), Change: set("1", v)}
	}
	for name, c := range map[string]struct {
		a, b []Event
		want label.Value
	}{
		"later wins":             {[]Event{line(1, label.Normal)}, []Event{line(2, label.Skip)}, label.Skip},
		"later wins, other file": {[]Event{line(3, label.Normal)}, []Event{line(2, label.Skip)}, label.Normal},
		"tie: larger name":       {[]Event{line(2, label.Normal)}, []Event{line(2, label.Skip)}, label.Skip},
		"last of many":           {[]Event{line(1, label.Normal), line(5, label.None)}, []Event{line(4, label.Skip)}, label.None},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "a", c.a)
			put(t, dir, "b", c.b)
			j := mustOpen(t, dir, "x")
			before := j.Current()["1"]
			h := j.History("", 0) // sorts
			if got := j.Current()["1"]; got != c.want || before != c.want || h[len(h)-1].To != c.want {
				t.Errorf("got %q, %q after sorting, want %q; history %v", before, got, c.want, h)
			}
		})
	}
}

func TestTheClockFollowsOthers(t *testing.T) {
	dir := t.TempDir()
	a, b := mustOpen(t, dir, "zoe"), mustOpen(t, dir, "ada")
	mustAppend(t, a, "", set("1", label.Normal))
	mustAppend(t, a, "", set("1", label.Skip))
	mustAppend(t, b, "", set("1", label.Anomaly)) // no Poll before it
	for name, j := range map[string]*Journal{"a": a, "b": b, "new": mustOpen(t, dir, "x")} {
		j.Poll()
		if got := j.Current()["1"]; got != label.Anomaly {
			t.Errorf("%s sees %q: what was said last counts", name, got)
		}
	}
}

func TestPollTellsWhatOthersWrote(t *testing.T) {
	dir := t.TempDir()
	a, b := mustOpen(t, dir, "ada"), mustOpen(t, dir, "bob")
	poll := func(j *Journal, want bool) {
		t.Helper()
		if got, err := j.Poll(); got != want || err != nil {
			t.Errorf("Poll: %v, %v; want %v", got, err, want)
		}
	}
	poll(b, false)
	mustAppend(t, a, "", set("1", label.Normal))
	poll(a, false)
	poll(b, true)
	poll(b, false)
	mustAppend(t, a, "", set("2", label.Normal))
	mustAppend(t, b, "", set("3", label.Normal)) // reads a's line on the way
	poll(b, true)
	if got := len(b.Current()); got != 3 {
		t.Errorf("%d labels, want 3", got)
	}
}

func TestTwoProcessesOfOneWriter(t *testing.T) {
	dir := t.TempDir()
	a, b, c := mustOpen(t, dir, "ada"), mustOpen(t, dir, "ada"), mustOpen(t, dir, "ada")
	mustAppend(t, a, "", set("1", label.Normal))
	mustAppend(t, b, "", set("2", label.Normal))
	if got := names(t, dir); !slices.Equal(got, []string{"ada-2.jsonl", "ada.jsonl"}) {
		t.Errorf("files %v", got)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, c, "", set("3", label.Normal))
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("files %v: a closed journal's file is free again", got)
	}
	if got := mustOpen(t, dir, "x").Current(); len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// A crash may leave any part of the last line. Nobody reads it, its owner goes on behind the last whole line.
func TestTornTailAtEveryByte(t *testing.T) {
	good := appendLine(nil, Event{Lamport: 1, By: "ada", UID: "k1", Change: set("1", label.Normal)})
	last := appendLine(nil, Event{Lamport: 2, By: "ada", UID: "k2", Change: set("2", label.Anomaly)})
	for n := 1; n < len(last); n++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "ada.jsonl")
		text := append(slices.Clone(good), last[:n]...)
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		reader, owner := mustOpen(t, dir, "bob"), mustOpen(t, dir, "ada")
		if got := reader.Current(); !maps.Equal(got, labels{"1": label.Normal}) {
			t.Fatalf("%d bytes: %v", n, got)
		}
		if on, _ := os.ReadFile(path); !bytes.Equal(on, text) {
			t.Fatalf("%d bytes: reading changed the file", n)
		}
		mustAppend(t, owner, "k2", set("2", label.Anomaly))
		if changed, err := reader.Poll(); !changed || err != nil {
			t.Fatalf("%d bytes: Poll %v, %v", n, changed, err)
		}
		for _, j := range []*Journal{reader, owner, mustOpen(t, dir, "x")} {
			if got := j.Current(); !maps.Equal(got, labels{"1": label.Normal, "2": label.Anomaly}) {
				t.Fatalf("%d bytes: %v", n, got)
			}
		}
		if torn, _ := os.ReadFile(path + ".torn"); !bytes.Equal(torn, append(last[:n:n], '\n')) {
			t.Fatalf("%d bytes: kept %q", n, torn)
		}
	}
}

// A line that came out wrong at the very end, newline and all, is a torn one too.
func TestDamagedLastLineIsTorn(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "ada", []Event{{Lamport: 1, By: "ada", UID: "1", Change: set("1", label.Normal)}})
	appendRaw(t, dir, "ada", strings.Repeat("\x00", 50)+"\n")
	j := mustOpen(t, dir, "ada")
	mustAppend(t, j, "", set("2", label.Normal))
	if got := mustOpen(t, dir, "x").Current(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

func TestAStepTornBetweenLinesIsCompleted(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "ada", []Event{{Lamport: 1, By: "ada", UID: "k", Change: set("1", label.Normal)}})
	j := mustOpen(t, dir, "ada")
	mustAppend(t, j, "k", set("1", label.Normal), set("2", label.Normal), set("3", label.Skip))
	h := j.History("", 0)
	if len(h) != 3 || h[2].ID != "3" || h[2].Lamport != 3 {
		t.Errorf("%v", h)
	}
}

func TestDamageInTheMiddleIsRefused(t *testing.T) {
	var events []Event
	for i := range 5 {
		events = append(events, Event{Lamport: uint64(i + 1), By: "ada", UID: fmt.Sprint(i), Change: set(fmt.Sprint(i), label.Normal)})
	}
	for name, hurt := range map[string]func(line []byte) []byte{
		"one bit":       func(l []byte) []byte { l[30] ^= 1; return l },
		"label changed": func(l []byte) []byte { return bytes.Replace(l, []byte("normal"), []byte("skip"), 1) },
		"garbage":       func(l []byte) []byte { return []byte("\x1b]0;x\x07\n") },
		"empty line":    func(l []byte) []byte { return []byte("\n") },
		"endless":       func(l []byte) []byte { return append(bytes.Repeat([]byte("x"), maxLine+10), '\n') },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var text []byte
			for i, e := range events {
				line := appendLine(nil, e)
				if i == 2 {
					line = hurt(line)
				}
				text = append(text, line...)
			}
			path := filepath.Join(dir, "ada.jsonl")
			os.WriteFile(path, text, 0o666)
			_, err := Open(dir, "bob")
			if want := path + ":3 is damaged"; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want …%s", err, want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\x07\n") {
				t.Errorf("file content in the error: %q", err)
			}
			if on, _ := os.ReadFile(path); !bytes.Equal(on, text) {
				t.Error("the damaged file was changed")
			}
		})
	}
}

// Damage that turns up while working is told by Poll, keeps nobody else from labelling, and ends when it is repaired.
func TestDamageWhileOpen(t *testing.T) {
	dir := t.TempDir()
	a, b := mustOpen(t, dir, "ada"), mustOpen(t, dir, "bob")
	mustAppend(t, a, "", set("1", label.Normal))
	b.Poll()
	before, _ := os.ReadFile(filepath.Join(dir, "ada.jsonl"))
	appendRaw(t, dir, "ada", "garbage\n"+string(appendLine(nil, Event{Lamport: 9, UID: "9", Change: set("9", label.Skip)})))
	for range 2 {
		if _, err := b.Poll(); err == nil || !strings.Contains(err.Error(), "ada.jsonl:2 is damaged") {
			t.Errorf("Poll: %v", err)
		}
		mustAppend(t, b, "", set("2", label.Normal))
	}
	if err := a.Append("", "", []label.Change{set("3", label.Normal)}); err == nil {
		t.Error("appended behind damage in the own file")
	}
	if got := b.Current(); len(got) != 2 {
		t.Errorf("%v", got)
	}
	os.WriteFile(filepath.Join(dir, "ada.jsonl"), before, 0o666)
	if _, err := b.Poll(); err != nil {
		t.Errorf("after the repair: %v", err)
	}
	mustAppend(t, a, "", set("3", label.Normal))
	b.Poll()
	if got := b.Current(); len(got) != 3 {
		t.Errorf("%v", got)
	}
}

// fullDisk writes some bytes and fails, like a disk that runs full.
type fullDisk struct {
	appender
	room                    int
	noTruncate, noSync, err error
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.err == nil {
		return d.appender.Write(b)
	}
	n, _ := d.appender.Write(b[:min(len(b), d.room)])
	return n, &fs.PathError{Op: "write", Path: "x", Err: d.err}
}

func (d *fullDisk) Truncate(n int64) error {
	if d.noTruncate != nil {
		return d.noTruncate
	}
	return d.appender.Truncate(n)
}

func (d *fullDisk) Sync() error {
	if d.noSync != nil {
		return d.noSync
	}
	return d.appender.Sync()
}

func TestFullDisk(t *testing.T) {
	for name, d := range map[string]fullDisk{
		"nothing written":     {err: syscall.ENOSPC},
		"half a line":         {err: syscall.ENOSPC, room: 40},
		"a line and a half":   {err: syscall.ENOSPC, room: 200},
		"cannot cut either":   {err: syscall.ENOSPC, room: 200, noTruncate: syscall.EIO},
		"found at fsync":      {noSync: syscall.EDQUOT},
		"fsync, cannot cut":   {noSync: syscall.ENOSPC, noTruncate: syscall.EIO},
		"written and not cut": {err: syscall.ENOSPC, room: 1 << 20, noTruncate: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := mustOpen(t, dir, "ada")
			mustAppend(t, j, "k1", set("s/1", label.Normal))
			before := j.Current()
			real := j.own
			d.appender = real
			j.own = &d
			step := []label.Change{set("s/2", label.Anomaly), set("s/3", label.Normal)}
			for range 2 {
				err := j.Append("ada", "k2", step)
				if d.noTruncate == nil || err != nil {
					if err == nil || !strings.Contains(err.Error(), `not kept: 2 labels from "s/2" on`) {
						t.Fatalf("got %v", err)
					}
					if !maps.Equal(j.Current(), before) && d.noTruncate == nil {
						t.Errorf("a label that was not kept is shown: %v", j.Current())
					}
				}
			}
			j.own = real // there is space again
			mustAppend(t, j, "k2", step...)
			mustAppend(t, j, "k3", set("s/4", label.Skip))
			want := labels{"s/1": label.Normal, "s/2": label.Anomaly, "s/3": label.Normal, "s/4": label.Skip}
			for _, j := range []*Journal{j, mustOpen(t, dir, "x")} {
				if got := j.Current(); !maps.Equal(got, want) {
					t.Errorf("%v", got)
				}
				if n := len(j.History("", 0)); n != 4 {
					t.Errorf("%d lines, want 4", n)
				}
			}
		})
	}
}

func TestFullDiskSaysWhatToDo(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC:   "the disk is full, free some space; not kept: ",
		syscall.EDQUOT:   "your share of the disk is used up, free some space; not kept: ",
		syscall.EROFS:    "the project folder must be writable; not kept: ",
		fs.ErrPermission: "the project folder must be writable; not kept: ",
		errors.New("x"):  `not kept: label of "1": x`,
	} {
		if got := lost([]label.Change{{ID: "1"}}, err).Error(); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}

// A reader may have seen lines that their writer then took back.
func TestReaderOfAJournalThatShrank(t *testing.T) {
	dir := t.TempDir()
	a, b := mustOpen(t, dir, "ada"), mustOpen(t, dir, "bob")
	mustAppend(t, a, "k1", set("1", label.Normal))
	st, _ := os.Stat(filepath.Join(dir, "ada.jsonl"))
	mustAppend(t, a, "k2", set("2", label.Normal))
	b.Poll()
	os.Truncate(filepath.Join(dir, "ada.jsonl"), st.Size())
	if changed, err := b.Poll(); !changed || err != nil || len(b.Current()) != 1 {
		t.Errorf("%v, %v, %v", changed, err, b.Current())
	}
	// cut and written on with something longer before the reader looks
	mustAppend(t, a, "k3", set("3", label.Normal))
	b.Poll()
	os.Truncate(filepath.Join(dir, "ada.jsonl"), st.Size())
	mustAppend(t, a, "k4", set("a much longer name than the one that was there", label.Normal), set("5", label.Skip))
	if _, err := b.Poll(); err != nil || len(b.Current()) != 3 {
		t.Errorf("%v, %v", err, b.Current())
	}
}

func TestRemovedFileIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, "ada")
	mustAppend(t, j, "", set("1", label.Normal))
	os.Remove(filepath.Join(dir, "ada.jsonl"))
	mustAppend(t, j, "", set("2", label.Normal))
	if got := mustOpen(t, dir, "x").Current(); !maps.Equal(got, labels{"2": label.Normal}) {
		t.Errorf("%v", got)
	}
}

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, "host")
	for i, by := range []string{"ada", "bob", "ada", "ada"} {
		if err := j.Append(by, fmt.Sprint("k", i), []label.Change{set(fmt.Sprint(i), label.Normal), set(fmt.Sprint(i, "b"), label.Skip)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		by    string
		limit int
		want  string
	}{
		{"", 0, "0 0b 1 1b 2 2b 3 3b"},
		{"ada", 0, "0 0b 2 2b 3 3b"},
		{"bob", 0, "1 1b"},
		{"ada", 2, "3 3b"},
		{"ada", 1, "3 3b"}, // never half a step
		{"ada", 3, "2 2b 3 3b"},
		{"eve", 0, ""},
	} {
		var ids []string
		for _, e := range j.History(c.by, c.limit) {
			ids = append(ids, strings.ReplaceAll(e.ID, " ", ""))
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("History(%q, %d) = %s, want %s", c.by, c.limit, got, c.want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, "ada")
	other := mustOpen(t, dir, "ada")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 10 {
				w := []*Journal{j, other}[g%2]
				if err := w.Append("", fmt.Sprint(g, "-", i), []label.Change{set(fmt.Sprint(g, "/", i), label.Normal)}); err != nil {
					t.Error(err)
				}
				w.Current()
				w.Poll()
				w.History("", 3)
			}
		})
	}
	wg.Wait()
	if got := mustOpen(t, dir, "x").Current(); len(got) != 40 {
		t.Errorf("%d labels, want 40", len(got))
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"ada@lab": "ada-lab", "../../etc/x": "etc-x", "": "someone", ".hidden": "hidden", "Ünal": "nal", "a_b-c.d": "a_b-c.d",
		`DOM\ada@pc`: "DOM-ada-pc", strings.Repeat("a", 300): strings.Repeat("a", 100),
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	if w := DefaultWriter(); w == "" || w != clean(w) {
		t.Errorf("DefaultWriter() = %q", w)
	}
}

func TestOtherFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("x\ny\n"), 0o666)
	os.WriteFile(filepath.Join(dir, "a.jsonl.torn"), []byte("x\ny\n"), 0o666)
	os.Mkdir(filepath.Join(dir, "d.jsonl"), 0o777)
	j := mustOpen(t, dir, "ada")
	if got := j.Current(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func mustOpen(t testing.TB, dir, writer string) *Journal {
	t.Helper()
	j, err := Open(dir, writer)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func mustAppend(t testing.TB, j *Journal, uid string, changes ...label.Change) {
	t.Helper()
	if err := j.Append("", uid, changes); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, dir, writer string, events []Event) {
	t.Helper()
	var text []byte
	for _, e := range events {
		text = appendLine(text, e)
	}
	if err := os.WriteFile(filepath.Join(dir, writer+extension), text, 0o666); err != nil {
		t.Fatal(err)
	}
}

func appendRaw(t testing.TB, dir, writer, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, writer+extension), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func names(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, d := range list {
		if !strings.HasPrefix(d.Name(), ".") { // notes
			names = append(names, d.Name())
		}
	}
	return names
}

// Marks are kept and merged like labels, each by itself, and leave the labels as they are.
func TestMarks(t *testing.T) {
	dir := t.TempDir()
	ada, bob := mustOpen(t, dir, "ada"), mustOpen(t, dir, "bob")
	give := func(j *Journal, uid string, changes ...label.Change) {
		t.Helper()
		if err := j.Append("", uid, changes); err != nil {
			t.Fatal(err)
		}
	}
	on := func(id, mark string) label.Change { return label.Change{ID: id, Mark: mark, To: label.On} }
	off := func(id, mark string) label.Change { return label.Change{ID: id, Mark: mark, From: label.On} }
	give(ada, "1", label.Change{ID: "a", To: label.Anomaly})
	give(ada, "2", on("a", label.Bookmark), on("b", "3"))
	give(bob, "3", on("a", "3"), off("a", label.Bookmark))
	give(ada, "4", on("c", "9"))
	give(ada, "4", on("c", "9")) // the same step once more
	give(bob, "5", label.Change{ID: "b", To: label.Skip})
	want := map[string][]string{"a": {"3"}, "b": {"3"}, "c": {"9"}}
	for name, j := range map[string]*Journal{"ada": ada, "bob": bob, "new": mustOpen(t, dir, "cy")} {
		if _, err := j.Poll(); err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		for id, m := range j.Marks() {
			got[id] = m.Names()
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: marks %v, want %v", name, got, want)
		}
		if l := j.Current(); !maps.Equal(l, map[string]label.Value{"a": label.Anomaly, "b": label.Skip}) {
			t.Errorf("%s: labels %v", name, l)
		}
		if h := j.History("", 0); len(h) != 7 || h[1].Mark != label.Bookmark || h[1].To != label.On {
			t.Errorf("%s: history %v", name, h)
		}
	}
	for _, c := range []label.Change{{ID: "a", Mark: "10", To: label.On}, {ID: "a", Mark: "1", To: label.Anomaly}, {ID: "a", To: label.On}} {
		if err := ada.Append("", "", []label.Change{c}); err == nil {
			t.Errorf("%+v was kept", c)
		}
	}
}

// A program that does not know marks must not take them for a torn end, which it would cut off: a line stands behind them.
func TestMarksAreNoTornEndForOldPrograms(t *testing.T) {
	dir := t.TempDir()
	j := mustOpen(t, dir, "ada")
	if err := j.Append("", "1", []label.Change{{ID: "a", Mark: "1", To: label.On}}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "ada.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	line, rest, _ := strings.Cut(text, "\n")
	if rest != "\n" || !strings.Contains(line, `,"label":"on","prev":"","mark":"1","crc":"`) {
		t.Fatalf("%q", text)
	}
	// A crash in the middle of the step leaves whole lines or a torn one, and labelling goes on behind them.
	j.Close()
	path := filepath.Join(dir, "ada.jsonl")
	for _, left := range []string{line + "\n", line[:40]} {
		if err := os.WriteFile(path, []byte(left), 0o666); err != nil {
			t.Fatal(err)
		}
		j := mustOpen(t, dir, "ada")
		if err := j.Append("", "2", []label.Change{{ID: "b", To: label.Normal}}); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if got := mustOpen(t, dir, "ada").Current(); got["b"] != label.Normal {
			t.Errorf("after %q: %v", left, got)
		}
	}
}

// Lines of a newer program stay where they are, wherever they stand; they count nothing here but for the clock, and people are told.
func TestLinesOfANewerProgram(t *testing.T) {
	newer := func(lamport int, rest string) string {
		return sealed(fmt.Sprintf(`{"lamport":%d,"time":"2031-01-31T12:00:00.000Z","by":"ada","uid":"n","id":"s/1",%s`, lamport, rest)) + "\n"
	}
	kinds := map[string]string{
		"another label":     newer(9, `"label":"artefact","prev":""`),
		"another mark":      newer(9, `"label":"on","prev":"","mark":"red"`),
		"one field more":    newer(9, `"label":"normal","prev":"","grade":3`),
		"two lines, a seal": newer(8, `"label":"on","prev":"","box":[1,2,3,4]`) + newer(9, `"label":"on","prev":"","sure":0.5`) + "\n",
		"another form":      newer(9, `"label":"anomaly","prev":"anomaly"`) + sealed(`{"poll":"what is this","lamport":0`) + "\n",
	}
	for name, text := range kinds {
		for _, at := range []string{"end", "middle"} {
			t.Run(name+" at the "+at, func(t *testing.T) {
				dir := t.TempDir()
				j := mustOpen(t, dir, "ada")
				mustAppend(t, j, "", set("s/1", label.Anomaly))
				j.Close()
				appendRaw(t, dir, "ada", text)
				if at == "middle" {
					appendRaw(t, dir, "ada", string(appendLine(nil, Event{Lamport: 10, By: "ada", UID: "z", Change: set("s/2", label.Normal)})))
				}
				path := filepath.Join(dir, "ada.jsonl")
				before := mustRead(t, path)
				j = mustOpen(t, dir, "ada")
				if _, err := j.Poll(); err == nil || !strings.Contains(err.Error(), "newer version") {
					t.Errorf("people are told: %v", err)
				}
				mustAppend(t, j, "", set("s/3", label.Normal))
				if e := j.History("", 1)[0]; e.Lamport < 10 {
					t.Errorf("a label after those of the newer program is number %d", e.Lamport)
				}
				after := mustRead(t, path)
				if !bytes.HasPrefix(after, before) {
					t.Errorf("lines of the newer program were changed:\n%s\nwas\n%s", after, before)
				}
				if s, err := Inspect(path); err != nil || len(s.Bad) > 0 || s.Torn > 0 {
					t.Errorf("Inspect: %+v, %v", s, err)
				}
				if _, err := Mend(path); err == nil || !strings.Contains(err.Error(), "in use") {
					t.Error(err)
				}
				j.Close()
				if n, err := Mend(path); err != nil || n != 0 {
					t.Errorf("mended %d lines, %v", n, err)
				}
				f, err := ReadForeign(path)
				if err != nil {
					t.Fatal(err)
				}
				copied := t.TempDir()
				if _, err := f.Into(copied); err != nil {
					t.Fatal(err)
				}
				if got := mustRead(t, filepath.Join(copied, "ada.jsonl")); !bytes.Equal(got, after) || !bytes.Equal(mustRead(t, path), after) {
					t.Error("they were not passed on as they are")
				}
				want := labels{"s/1": label.Anomaly, "s/3": label.Normal}
				if at == "middle" {
					want["s/2"] = label.Normal
				}
				if got := j.Current(); !maps.Equal(got, want) {
					t.Errorf("%v, want %v", got, want)
				}
			})
		}
	}
}

// A step may hold labels and marks in any order.
func TestLabelsAndMarksInOneStep(t *testing.T) {
	dir := t.TempDir()
	j, err := Open(dir, "ada")
	if err != nil {
		t.Fatal(err)
	}
	changes := []label.Change{{ID: "p/1.png", To: label.On, Mark: "bookmark"}, {ID: "p/1.png", To: label.Anomaly}}
	for _, uid := range []string{"one", "two"} {
		if err := j.Append("ada", uid, changes); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(changes)
	}
	j.Close()
	if j, err = Open(dir, "ada"); err != nil || len(j.History("", 0)) != 4 {
		t.Errorf("%v", err)
	}
}
