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
	"anomalymatch/internal/glob"
	"anomalymatch/internal/say"
)

// State is how one journal stands.
type State struct {
	Events  int      // in whole lines
	Bad     []int    // lines that are damaged, from 1
	Torn    int64    // bytes behind the last whole line: of a write that was cut off
	Missing *Missing // what was on disk once, unless it is in damaged lines; nil: nothing

	count // of all lines but the torn end
}

// Inspect reads a whole journal, damaged lines or not.
func Inspect(path string) (State, error) {
	var s State
	note, _ := readNote(filepath.Dir(path), strings.TrimSuffix(filepath.Base(path), extension)) // before the journal, which only grows
	met := false
	torn, err := read(path, func(line []byte, n int, e *Event, bad error) error {
		if bad != nil && (len(s.Bad) == 0 || s.Bad[len(s.Bad)-1] != n) {
			s.Bad = append(s.Bad, n)
		}
		if e == nil {
			e = &Event{}
		}
		if s.add(line, e); s.bytes == note.bytes {
			met = s.sum == note.sum
		}
		return nil
	})
	s.Events, s.Torn = s.events, int64(len(torn))
	if err == nil && len(s.Bad) == 0 {
		s.Missing = lacks(path, s.count, note, met)
	}
	return s, err
}

// Notes lists the notes in a folder of how much of each journal was on disk, and what is wrong with each: nil, or that it is damaged, or [Missing] where
// its journal is gone. What a journal lacks that is there Inspect tells.
func Notes(dir string) map[string]error {
	all := map[string]error{}
	for _, path := range glob.In(dir, ".*"+noteSuffix) {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "."), noteSuffix)
		journal := filepath.Join(dir, name+extension)
		note, err := readNote(dir, name)
		if _, gone := os.Stat(journal); err == nil && note.bytes > 0 && errors.Is(gone, fs.ErrNotExist) {
			err = Missing{Path: journal, Gone: true, Events: note.events, Of: note.events}
		}
		all[path] = err
	}
	return all
}

// read is eachLine of a file.
func read(path string, do func(line []byte, n int, e *Event, bad error) error) (torn []byte, err error) {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		torn, err = eachLine(f, 0, false, 1, words{}, do)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	return torn, nil
}

// Mend takes damaged lines and a torn end out of a journal and puts them into PATH.damaged, for whoever can read more in them. Nothing that is whole is
// lost, and what was lost before is not told any more. A journal that some process has open is left alone, which is an error.
func Mend(path string) (lines int, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", say.Path(path), say.Cause(err))
	}
	defer f.Close()
	if held, _, err := lock(f); err != nil || held {
		return 0, errors.Join(err, fmt.Errorf("%s is in use: leave the program that labels there", say.Path(path)))
	}
	var good, bad bytes.Buffer
	at := 0
	torn, err := read(path, func(line []byte, n int, _ *Event, wrong error) error {
		if wrong == nil {
			good.Write(line)
			return nil
		}
		bad.Write(line)
		if n != at {
			lines++
		}
		at = n
		return nil
	})
	if err != nil {
		return 0, err
	}
	if bad.Write(torn); len(torn) > 0 {
		lines++
	}
	if lines == 0 {
		return 0, accept(path)
	}
	aside, err := os.OpenFile(path+".damaged", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err == nil {
		_, err = aside.Write(bad.Bytes())
		err = errors.Join(err, aside.Sync(), aside.Close(), atomicfile.SyncDir(filepath.Dir(path)))
	}
	if err == nil {
		err = atomicfile.Write(path, func(w io.Writer) error { _, err := w.Write(good.Bytes()); return err })
	}
	if err != nil {
		return 0, fmt.Errorf("%s cannot be mended: %w", say.Path(path), say.Cause(err))
	}
	return lines, accept(path)
}
