package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"
)

// Foreign is the journal of a writer as it came from another copy of the project.
type Foreign struct {
	Path   string
	Name   string // of its writer: WRITER of WRITER.jsonl
	Events []Event
	text   []byte // its whole lines
	count         // of them
}

// maxForeign is the largest file that is taken for a journal: five million labels.
const maxForeign = 1 << 30

// ReadForeign reads a journal from anywhere and checks every line. A torn end is left out, as Open does it.
func ReadForeign(path string) (Foreign, error) {
	name, ok := strings.CutSuffix(filepath.Base(path), extension)
	if !ok || clean(name) != name {
		return Foreign{}, fmt.Errorf("%s is not called like a journal: WRITER%s, of letters, digits, dots, underlines and hyphens", say.Path(path), extension)
	}
	unread := func(err error) (Foreign, error) {
		return Foreign{}, fmt.Errorf("%s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return unread(err)
	case !st.Mode().IsRegular():
		return Foreign{}, fmt.Errorf("%s is no file", say.Path(path))
	case st.Size() > maxForeign:
		return Foreign{}, fmt.Errorf("%s is too large for a journal", say.Path(path))
	}
	in, err := os.Open(path)
	if err != nil {
		return unread(err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxForeign))
	if err != nil {
		return unread(err)
	}
	j, f := &Journal{}, &file{name: name}
	j.reset()
	if err := j.scan(f, path, bytes.NewReader(text)); err != nil {
		return Foreign{}, err
	}
	if f.bytes == 0 && len(text) > 0 {
		return Foreign{}, fmt.Errorf("%s is no journal, or damaged from its first line on: restore it from a copy", say.Path(path))
	}
	out := Foreign{Path: path, Name: name, text: text[:f.bytes], count: f.count}
	for _, e := range j.events {
		out.Events = append(out.Events, e.Event)
	}
	return out, nil
}

// Standing is how a foreign journal stands to the one of the same name.
type Standing int

// The standings.
const (
	New    Standing = iota // there is none of this name
	Longer                 // it goes on where the other one ends
	Known                  // the other one holds all of it
)

// String is the standing in a word.
func (s Standing) String() string { return [...]string{"new", "longer", "known"}[s] }

// Compare tells how f stands to the journal of its name in dir (PROJECT/labels). Journals that went different ways are an error, which says
// where.
func (f Foreign) Compare(dir string) (Standing, error) {
	have, err := os.ReadFile(filepath.Join(dir, f.Name+extension))
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(f.text) > 0:
		return New, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("%s cannot be read: %w", say.Path(filepath.Join(dir, f.Name+extension)), say.Cause(err))
	}
	s, _, err := f.against(have)
	return s, err
}

// against compares f with the text of a journal, whose torn end counts nothing, and counts the events of f that it lacks.
func (f Foreign) against(have []byte) (Standing, int, error) {
	if bytes.HasPrefix(have, f.text) {
		return Known, 0, nil
	}
	same := 0
	for same < min(len(have), len(f.text)) && have[same] == f.text[same] {
		same++
	}
	line := bytes.LastIndexByte(f.text[:same], '\n') + 1 // where the line of the first difference begins
	if rest := have[line:]; bytes.IndexByte(rest, '\n') < 0 {
		lacking := 0
		for l := range bytes.Lines(f.text[line:]) {
			if len(l) > 1 { // behind marks stands an empty one
				lacking++
			}
		}
		return Longer, lacking, nil
	}
	return 0, 0, fmt.Errorf("%s and the project's journal of the same name went different ways at line %d: %s labelled in two copies of the project at the same time; "+
		"nothing is overwritten. To bring it in besides, rename it, for example to %s-b%s",
		say.Path(f.Path), bytes.Count(f.text[:line], []byte("\n"))+1, say.Text(f.Name), say.Text(f.Name), extension)
}

// Same tells how f stands to another journal of the same name, as Compare does.
func (f Foreign) Same(other Foreign) (Standing, error) {
	s, _, err := f.against(other.text)
	return s, err
}

// Into brings what the journal of f's name lacks into dir, and is on disk when it returns. Nothing that is there is changed; a journal that
// some process has open is left alone, which is an error.
func (f Foreign) Into(dir string) (added int, err error) {
	if err := atomicfile.MkdirAll(dir, 0o777); err != nil {
		return 0, fmt.Errorf("%s: %w", say.Path(dir), say.Cause(err))
	}
	path := filepath.Join(dir, f.Name+extension)
	out, created, err := open(path)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	held, can, err := lock(out)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%s: %w", say.Path(path), say.Cause(err))
	case held:
		return 0, fmt.Errorf("%s is in use: somebody labels as %s in this project just now; leave that program (`anomalymatch stop` ends an engine) and merge again", say.Path(path), say.Text(f.Name))
	case !can && !created:
		return 0, fmt.Errorf("%s cannot be locked on this file system: nobody can tell whether somebody is writing to it", say.Path(path))
	}
	have, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("%s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	standing, added, err := f.against(have)
	if err != nil || standing == Known {
		return 0, err
	}
	whole := bytes.LastIndexByte(have, '\n') + 1
	if whole < len(have) { // a crash tore its end
		keepTorn(path, int64(whole), int64(len(have)-whole))
		if err := out.Truncate(int64(whole)); err != nil {
			return 0, fmt.Errorf("%s ends in half a line, which cannot be cut off: %w", say.Path(path), say.Cause(err))
		}
	}
	if err := write(out, f.text[whole:]); err != nil {
		_ = out.Truncate(int64(whole))
		return 0, fmt.Errorf("%s: %w", say.Path(path), err)
	}
	if err := errors.Join(atomicfile.SyncDir(dir), atomicfile.SyncDir(filepath.Dir(dir))); err != nil {
		return 0, fmt.Errorf("%s: %w", say.Path(path), say.Cause(err))
	}
	if note, err := readNote(dir, f.Name); err != nil || note.within(f.text) { // else more is missing than this copy has
		_ = writeNote(dir, f.Name, f.count)
	}
	return added, nil
}
