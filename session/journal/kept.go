package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"
)

// A journal that was cut between two lines is a whole, shorter journal. So that this is noticed its writer notes beside it, in .WRITER.kept, how much
// of it was on disk: a line of bytes, lines, label events and the clock, with the checksum of those bytes and one of the line itself. The note lags:
// it is written some seconds after a label and at the end, never while one waits, so a journal may be longer than its note, also since an older
// program knows none. It is read when journals are opened and by verify; a note that is damaged says nothing. The note never keeps anybody from
// labelling. The next label of the journal's writer, after it was told, is taken as consent, and so is a repair.

const (
	noteSuffix = ".kept"
	noteEvery  = 5 * time.Second
)

// Settle is how long a file of a network file system may look shorter than it is: what seems to be missing is looked at again after it.
var Settle = 2 * time.Second

// count is how far a journal goes: so many bytes, whole lines, events, up to this clock, and the CRC-32C of the bytes.
type count struct {
	bytes  int64
	lines  int
	events int
	clock  uint64
	sum    uint32
}

// add counts one line.
func (c *count) add(line []byte, e *Event) {
	c.bytes += int64(len(line))
	c.lines++
	c.sum = crc32.Update(c.sum, castagnoli, line)
	if e.ID != "" {
		c.events++
	}
	c.clock = max(c.clock, e.Lamport)
}

// text is the note's line.
func (c count) text() []byte {
	b := strconv.AppendInt([]byte(`{"bytes":`), c.bytes, 10)
	b = strconv.AppendInt(append(b, `,"lines":`...), int64(c.lines), 10)
	b = strconv.AppendInt(append(b, `,"events":`...), int64(c.events), 10)
	b = strconv.AppendUint(append(b, `,"lamport":`...), c.clock, 10)
	b = strconv.AppendUint(append(b, `,"sum":`...), uint64(c.sum), 10)
	return append(seal(b, b), '\n')
}

// parseNote reads what text wrote.
func parseNote(b []byte) (c count, ok bool) {
	n := len(b) - crcLen - 1
	if n < 0 || !bytes.Equal(b[n:], append(seal(nil, b[:n]), '\n')) {
		return c, false
	}
	s := scanner{rest: b[:n]}
	c.bytes, c.lines, c.events = int64(s.number(`{"bytes":`)), int(s.number(`,"lines":`)), int(s.number(`,"events":`))
	c.clock = s.number(`,"lamport":`)
	sum := s.number(`,"sum":`)
	c.sum = uint32(sum)
	return c, !s.failed && c.bytes >= 0 && c.clock <= maxLamport && sum == uint64(c.sum)
}

func notePath(dir, name string) string { return filepath.Join(dir, "."+name+noteSuffix) }

// readNote reads the note of a journal. There is none: the zero count. A damaged one is an error.
func readNote(dir, name string) (count, error) {
	path := notePath(dir, name)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return count{}, nil
	}
	var b []byte
	if err == nil {
		defer f.Close()
		b, err = io.ReadAll(io.LimitReader(f, 1<<10))
	}
	if err != nil {
		return count{}, fmt.Errorf("%s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	c, ok := parseNote(b)
	if !ok {
		return count{}, fmt.Errorf("%s is damaged", say.Path(path))
	}
	return c, nil
}

// writeNote replaces the note of a journal. Whoever does so holds the journal.
func writeNote(dir, name string, c count) error {
	return atomicfile.Write(notePath(dir, name), func(w io.Writer) error { _, err := w.Write(c.text()); return err })
}

// within reports whether text begins with what the note is of.
func (c count) within(text []byte) bool {
	return int64(len(text)) >= c.bytes && crc32.Checksum(text[:c.bytes], castagnoli) == c.sum
}

// Missing is what a journal lacks of what was on disk.
type Missing struct {
	Path   string
	Gone   bool // there is no such file
	Events int  // that it lacks
	Of     int  // that were on disk
}

// What says for people what is missing.
func (m Missing) What() string {
	what := fmt.Sprintf("%s lacks %d of %d labels that were on disk: it was cut, or an older copy took its place", say.Path(m.Path), m.Events, m.Of)
	switch {
	case m.Gone:
		what = fmt.Sprintf("%s, in which %d labels were, is gone", say.Path(m.Path), m.Of)
	case m.Events <= 0:
		what = fmt.Sprintf("%s is not what was on disk: it was changed somewhere before label %d", say.Path(m.Path), m.Of)
	}
	return what
}

// Error says also what to do.
func (m Missing) Error() string {
	return m.What() + "; a copy of the file brings them back (`anomalymatch labels merge PROJECT FILE`), and `anomalymatch verify PROJECT --repair` takes the project as it is"
}

// lacks compares a journal, which was read to its end, with its note. met: the bytes that the note is of were there.
func lacks(path string, found, note count, met bool) *Missing {
	if met || note.bytes == 0 {
		return nil
	}
	return &Missing{Path: path, Events: note.events - found.events, Of: note.events}
}

// readNotes reads the notes of all journals in the folder. Damaged ones are verify's to tell.
func (j *Journal) readNotes() {
	j.notes = map[string]count{}
	list, _ := os.ReadDir(j.dir)
	for _, d := range list {
		name, ok := strings.CutSuffix(d.Name(), noteSuffix)
		if name, dot := strings.CutPrefix(name, "."); ok && dot {
			if c, err := readNote(j.dir, name); err == nil && c.bytes > 0 {
				j.notes[name] = c
			}
		}
	}
}

// missing is the first journal, by name, that lacks what was on disk; nil if none does.
func (j *Journal) missing() *Missing {
	var first *Missing
	for name, note := range j.notes {
		f := j.files[name]
		var m *Missing
		switch path := filepath.Join(j.dir, name+extension); {
		case f == nil:
			m = &Missing{Path: path, Gone: true, Events: note.events, Of: note.events}
		case f.broken == nil:
			m = lacks(path, f.count, note, f.met)
		}
		if m != nil && (first == nil || m.Path < first.Path) {
			first = m
		}
	}
	return first
}

// noteLater has the note written in a while, once for all labels until then.
func (j *Journal) noteLater() {
	if !j.unnoted {
		j.unnoted = true
		j.noting = time.AfterFunc(noteEvery, func() { _ = j.note() })
	}
}

// note writes the note of the own journal, if something is new. That it fails does no harm: the next label has it tried again.
func (j *Journal) note() error {
	j.notesMu.Lock()
	defer j.notesMu.Unlock()
	j.mu.Lock()
	if j.own == nil || !j.unnoted {
		j.mu.Unlock()
		return nil
	}
	own := j.file(j.ownName)
	name, c := own.name, own.count
	j.unnoted = false
	j.mu.Unlock()
	return writeNote(j.dir, name, c)
}

// accept notes a journal as it is. Whoever does so holds it.
func accept(path string) error {
	s, err := Inspect(path)
	if err != nil {
		return err
	}
	return writeNote(filepath.Dir(path), strings.TrimSuffix(filepath.Base(path), extension), s.count)
}
