package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"
)

// State is how one journal stands.
type State struct {
	Events int   // in whole lines
	Bad    []int // lines that are damaged, from 1
	Torn   int64 // bytes behind the last whole line: of a write that was cut off and never confirmed
}

// Inspect reads a whole journal, damaged lines or not.
func Inspect(path string) (State, error) {
	var s State
	torn, err := eachLine(path, func(_ []byte, n int, e *Event) {
		switch {
		case e == nil && (len(s.Bad) == 0 || s.Bad[len(s.Bad)-1] != n):
			s.Bad = append(s.Bad, n)
		case e != nil && e.ID != "":
			s.Events++
		}
	})
	s.Torn = int64(len(torn))
	return s, err
}

// eachLine calls do for every line with its number from 1: e is nil for a damaged one (of which a longer one than any comes in pieces), and has no
// ID for the empty one behind marks. What is damaged at the end is what a crash leaves: it is returned.
func eachLine(path string, do func(line []byte, n int, e *Event)) (torn []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, maxLine)
	marked, known, n, at := false, words{}, 1, 0 // at: number of the line in torn
	for {
		line, err := in.ReadSlice('\n')
		if len(torn) > 0 && len(line) > 0 {
			do(torn, at, nil)
			torn = nil
		}
		whole := err == nil
		switch {
		case err == io.EOF:
			return append(torn, line...), nil
		case err != nil && err != bufio.ErrBufferFull:
			return nil, fmt.Errorf("%s cannot be read: %w", say.Path(path), say.Cause(err))
		}
		var e Event
		if !whole || len(line) > 1 || !marked {
			if whole {
				e, err = parseLine(line[:len(line)-1], known)
			}
			if err != nil {
				torn, at, marked = bytes.Clone(line), n, false
				if whole {
					n++
				}
				continue
			}
		}
		marked = e.Mark != ""
		do(line, n, &e)
		n++
	}
}

// Mend takes damaged lines and a torn end out of a journal and puts them into PATH.damaged, for whoever can read more in them. Nothing that is whole is
// lost. A journal that some process has open is left alone, which is an error.
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
	torn, err := eachLine(path, func(line []byte, _ int, e *Event) {
		if e == nil {
			bad.Write(line)
			lines++
		} else {
			good.Write(line)
		}
	})
	if err != nil {
		return 0, err
	}
	if bad.Write(torn); len(torn) > 0 {
		lines++
	}
	if lines == 0 {
		return 0, nil
	}
	aside, err := os.OpenFile(path+".damaged", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err == nil {
		_, err = aside.Write(bad.Bytes())
		err = errors.Join(err, aside.Sync(), aside.Close(), syncDir(filepath.Dir(path)))
	}
	if err == nil {
		err = atomicfile.Write(path, func(w io.Writer) error { _, err := w.Write(good.Bytes()); return err })
	}
	if err != nil {
		return 0, fmt.Errorf("%s cannot be mended: %w", say.Path(path), say.Cause(err))
	}
	return lines, nil
}
