// Package journal keeps every label that anyone gave to an image of a project, in the order it was given.
//
// Each writer has a file of their own, labels/WRITER.jsonl, that only grows. One line is one label:
//
//	{"lamport":7,"time":"2025-01-31T12:00:00.000Z","by":"ada-lab","uid":"K3…","id":"survey/0042.png","label":"anomaly","prev":"","crc":"0a1b2c3d"}
//
// The fields stand in this order, without spaces; strings are JSON strings in UTF-8. lamport is a logical clock: one more than
// any line the writer had seen (Lamport 1978). by is who labelled, uid the step (lines of one key press share it and are undone
// together), label and prev are "anomaly", "normal", "skip" or "" (none). crc is the CRC-32C of the line's bytes before `,"crc":`,
// eight hexadecimal digits. Undo is a new line. The label of an image is that of its line with the largest (lamport, WRITER).
//
// A bookmark or a tag is such a line with one field more, after prev: "mark" is "bookmark" or "1" to "9", label and prev are "on" or
// "". Marks are merged like labels, each by itself. Behind a step of marks stands an empty line: a program that does not know marks
// then refuses the file and names the line, where it would take marks at the end of a file for a torn step and cut them off.
//
// A line with a right checksum that says something else is of a newer program: it stays, goes along in merges, and counts nothing but for its
// lamport. People are told.
//
// A step is one write to a file opened for appending, and on disk when Append returns. So a crash can tear only the end: a last
// line without newline or with a wrong checksum is not read, and is cut off (into WRITER.jsonl.torn) before its owner writes
// again. Of a step torn between lines the whole lines count; giving it again writes the rest. After a power cut the end may hold zeros
// where sectors were not written: then the last step is torn from there on. Any other damaged line with others behind it
// is no crash: it is refused by file and line. What was cut off between lines is told by a note beside the journal (kept.go).
package journal

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"anomalymatch/engine/label"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/failpoint"
	"anomalymatch/internal/say"
)

const (
	extension = ".jsonl"
	maxLine   = 1 << 16 // bytes
	maxID     = 8000    // bytes, and maxName: six times as many when every one is escaped still fit in a line
	maxName   = 1000
	usualLine = 180
)

// Journal is the labels of all writers, and the file this process appends to. Its methods may be called from several goroutines.
type Journal struct {
	dir    string
	writer string // wanted; own may be WRITER-2 and so on

	mu      sync.Mutex
	files   map[string]*file
	own     appender // nil until the first Append
	ownName string

	clock   uint64         // largest lamport seen
	events  []entry        // of all files
	sorted  bool           // events are in (lamport, file) order
	current map[string]int // image id → its winning event
	marks   map[mark]int   // the same of marks
	steps   map[string]int // uid → lines of it seen
	words   words
	news    bool // read since Poll last told

	notes   map[string]count // journal → what was once on disk
	told    bool             // Poll said what is missing
	unnoted bool             // the own journal went on since its note
	noting  *time.Timer      // writes it
	notesMu sync.Mutex       // held while it is written; taken before mu
}

type file struct {
	name   string // without extension
	count         // of the whole lines that were read
	met    bool   // what the note of it says was among them
	size   int64  // of the file when broken was found
	marked bool   // the last line is of a mark, or of a newer program: an empty one may follow
	newer  int    // lines of a newer program
	broken error
}

// mark is one mark of one image.
type mark struct{ id, name string }

type entry struct {
	Event
	file *file
}

// compare orders events as the merge does.
func (a entry) compare(b entry) int {
	return cmp.Or(cmp.Compare(a.Lamport, b.Lamport), strings.Compare(a.file.name, b.file.name))
}

// appender is the part of *os.File that appending needs, so that tests can run out of disk.
type appender interface {
	io.Writer
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

// Open reads the journals of all writers in dir (PROJECT/labels; it need not exist yet). Nothing is written before the first
// Append, which takes WRITER.jsonl, or WRITER-2.jsonl where another process has that. The error names the file and line that is
// damaged. That labels are missing which were on disk is no error but a warning in the log, and Poll's to tell.
func Open(dir, writer string) (*Journal, error) {
	j := &Journal{dir: dir, writer: clean(writer)}
	j.reset()
	err := j.read()
	if err == nil && j.missing() != nil {
		time.Sleep(Settle)
		j.reset()
		err = j.read()
	}
	if err != nil {
		return nil, err
	}
	if m := j.missing(); m != nil {
		slog.Warn(m.Error())
	}
	if err := j.newer(); err != nil {
		slog.Warn(err.Error())
	}
	j.news = false
	return j, nil
}

// DefaultWriter names the person and the machine: "ada-lab".
func DefaultWriter() string {
	name := cmp.Or(os.Getenv("USER"), os.Getenv("LOGNAME"), os.Getenv("USERNAME"))
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	return clean(strings.Trim(name+"@"+host, "@"))
}

// clean makes a file name of a writer's name: letters, digits, dot, underline and hyphen of ASCII.
func clean(writer string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, writer)
	name = strings.TrimLeft(name[:min(len(name), 100)], ".-")
	return cmp.Or(name, "someone")
}

// Close gives the file to other processes. The journal can be read on.
func (j *Journal) Close() error {
	_ = j.note()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.own == nil {
		return nil
	}
	if j.noting != nil {
		j.noting.Stop()
	}
	own := j.own
	j.own = nil
	return own.Close()
}

// Append writes the changes as one step of who (by) and returns when they are on disk. A step that was written before, by
// whichever process, is not written again; an empty uid is a new step. On an error nothing of the step counts, and the error
// says for people what was not kept and why; the next Append starts afresh.
func (j *Journal) Append(by, uid string, changes []label.Change) error {
	if len(changes) == 0 {
		return nil
	}
	if err := check(by, uid, changes); err != nil {
		return lost(changes, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	own, err := j.ready()
	if err != nil {
		return lost(changes, err)
	}
	uid = cmp.Or(uid, rand.Text())
	changes = changes[min(len(changes), j.steps[uid]):]
	if j.clock+uint64(len(changes)) > maxLamport {
		return lost(changes, fmt.Errorf("%s: the clock of the journal has run out", say.Path(own.path(j.dir))))
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	by = j.words.of([]byte(cmp.Or(by, j.writer)))
	var text []byte
	var events []Event
	marked := 0
	for i, c := range changes {
		e := Event{Lamport: j.clock + 1 + uint64(i), Time: now, By: by, UID: uid, Change: c}
		text, events = appendLine(text, e), append(events, e)
		marked = 0
		if c.Mark != "" { // of the last one: labels behind marks are seen by who does not know marks
			marked = 1
		}
	}
	if len(text) == 0 {
		return nil
	}
	if marked > 0 {
		text = append(text, '\n')
	}
	if err := write(j.own, text); err != nil {
		// What was written must not be found by a later reader as if it had been kept. Where this fails, ready tries again.
		if j.own.Truncate(own.bytes) == nil {
			_ = j.own.Sync()
		}
		return lost(changes, fmt.Errorf("%s: %w", say.Path(own.path(j.dir)), err))
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for i := range len(events) + marked {
		var e Event
		if i < len(events) {
			e = events[i]
			j.add(entry{e, own})
		}
		own.add(lines[i], &e)
	}
	if j.told { // who goes on takes the journal as it is
		delete(j.notes, own.name)
	}
	j.noteLater()
	return nil
}

func write(f appender, text []byte) error {
	failpoint.Hit(failpoint.JournalBegun)
	failpoint.Torn(failpoint.JournalHalf, func() { f.Write(text[:len(text)/2]) })
	n, err := f.Write(text)
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return say.Cause(err)
	}
	failpoint.Hit(failpoint.JournalWritten)
	if err := f.Sync(); err != nil {
		return say.Cause(err)
	}
	failpoint.Hit(failpoint.JournalSynced)
	return nil
}

// check refuses what could not be read back as it was written.
func check(by, uid string, changes []label.Change) error {
	for _, s := range []string{by, uid} {
		if !utf8.ValidString(s) || len(s) > maxName {
			return fmt.Errorf("%q is no name", s[:min(len(s), 100)])
		}
	}
	for _, c := range changes {
		if c.ID == "" || !utf8.ValidString(c.ID) || len(c.ID) > maxID {
			return fmt.Errorf("%q cannot be the id of an image: rename the file", c.ID[:min(len(c.ID), 100)])
		}
		if err := c.Check(); err != nil {
			return err
		}
	}
	return nil
}

// lost says why labels were not kept, what to do, and which they are. What a person can help with comes first: of a long sentence
// a screen shows the beginning.
func lost(changes []label.Change, why error) error {
	what := fmt.Sprintf("label of %q", changes[0].ID)
	if n := len(changes); n > 1 {
		what = fmt.Sprintf("%d labels from %q on", n, changes[0].ID)
	}
	todo := say.Disk(why)
	if errors.Is(why, fs.ErrPermission) || errors.Is(why, syscall.EROFS) {
		todo = "the project folder must be writable"
	}
	if todo != "" {
		todo += "; "
	}
	return fmt.Errorf("%snot kept: %s: %w", todo, what, why)
}

// ready returns the file to append to: taken, read to its end, ending with a whole line.
func (j *Journal) ready() (*file, error) {
	if j.own != nil && !j.inPlace() {
		j.own.Close()
		j.own = nil
	}
	if j.own == nil {
		if err := j.claim(); err != nil {
			return nil, err
		}
	}
	_ = j.read() // damage in the file of someone else is Poll's to tell and keeps nobody from labelling
	own := j.file(j.ownName)
	if own.broken != nil {
		return nil, own.broken
	}
	return own, j.cut(own)
}

// inPlace reports whether the open file is still the one in the folder; what goes into a removed file is lost. A disk that does not say so just now is no reason
// to give up the file, and its lock.
func (j *Journal) inPlace() bool {
	open, err := j.own.Stat()
	if err != nil {
		return !errors.Is(err, syscall.ESTALE)
	}
	named, err := os.Stat(j.file(j.ownName).path(j.dir))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESTALE)
	}
	return os.SameFile(open, named)
}

// claim opens the first of WRITER, WRITER-2, … that no other process has. Where the file system has no locks, that is one that
// does not exist yet.
func (j *Journal) claim() error {
	if err := atomicfile.MkdirAll(j.dir, 0o777); err != nil {
		return fmt.Errorf("%s: %w", say.Path(j.dir), say.Cause(err))
	}
	for n := 1; n < 10000; n++ {
		name := j.writer
		if n > 1 {
			name = fmt.Sprintf("%s-%d", j.writer, n)
		}
		f, created, err := open(filepath.Join(j.dir, name+extension))
		if err != nil {
			return err
		}
		held, can, err := lock(f)
		if created {
			failpoint.Hit(failpoint.JournalMade)
		}
		if err == nil { // also where it is not new: who made it may have ended before this
			err = errors.Join(atomicfile.SyncDir(j.dir), atomicfile.SyncDir(filepath.Dir(j.dir)))
		}
		if err != nil {
			f.Close()
			return fmt.Errorf("%s: %w", say.Path(f.Name()), say.Cause(err))
		}
		if !held && (can || created) {
			j.own, j.ownName = f, name
			return nil
		}
		f.Close()
	}
	return fmt.Errorf("%s: too many journals of %s", say.Path(j.dir), j.writer)
}

// open opens a journal for appending and tells whether this call made it.
func open(path string) (f *os.File, created bool, err error) {
	const flags = os.O_WRONLY | os.O_APPEND
	f, err = os.OpenFile(path, flags|os.O_CREATE|os.O_EXCL, 0o666)
	created = err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, flags, 0)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", say.Path(path), say.Cause(err))
	}
	return f, created, nil
}

// cut takes off what a crash or a full disk left behind the last whole line.
func (j *Journal) cut(own *file) error {
	st, err := j.own.Stat()
	if err != nil || st.Size() <= own.bytes {
		return err
	}
	keepTorn(own.path(j.dir), own.bytes, st.Size()-own.bytes)
	failpoint.Hit(failpoint.JournalTorn)
	if err := j.own.Truncate(own.bytes); err != nil {
		return fmt.Errorf("%s ends in half a line, which cannot be cut off: %w", say.Path(own.path(j.dir)), say.Cause(err))
	}
	return say.Cause(j.own.Sync())
}

// keepTorn copies the torn end of a journal beside it, for whoever wants to look. That may fail: it was never confirmed to anyone.
func keepTorn(path string, at, n int64) {
	src, err := os.Open(path)
	if err != nil {
		return
	}
	defer src.Close()
	dst, err := os.OpenFile(path+".torn", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return
	}
	defer dst.Close()
	if _, err := io.Copy(dst, io.NewSectionReader(src, at, n)); err == nil {
		_, _ = dst.WriteString("\n")
	}
}

// Current returns the label of every image that has one.
func (j *Journal) Current() map[string]label.Value {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := make(map[string]label.Value, len(j.current))
	for id, i := range j.current {
		if v := j.events[i].To; v != label.None {
			m[id] = v
		}
	}
	return m
}

// Marks returns the bookmark and tags of every image that has any.
func (j *Journal) Marks() map[string]label.Marks {
	j.mu.Lock()
	defer j.mu.Unlock()
	m := map[string]label.Marks{}
	for of, i := range j.marks {
		if j.events[i].To == label.On {
			m[of.id] = m[of.id].With(of.name, true)
		}
	}
	return m
}

// Poll reads what other processes appended and tells whether there was anything since the last Poll. After an error about one
// journal the others have been read. A journal that lacks labels which were on disk is such an error ([Missing]), until its writer goes on; so is one
// with lines of a newer program.
func (j *Journal) Poll() (changed bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	err = j.read()
	changed, j.news = j.news, false
	if m := j.missing(); m != nil && err == nil {
		j.told, err = true, *m
	}
	if err == nil {
		err = j.newer()
	}
	return changed, err
}

// newer says which journal has lines of a newer program, if one has.
func (j *Journal) newer() error {
	for _, name := range slices.Sorted(maps.Keys(j.files)) {
		if f := j.files[name]; f.newer > 0 {
			return fmt.Errorf("%s has %d lines that only a newer version of anomalymatch understands: they are kept, and do not count here; get the newest version", say.Path(f.path(j.dir)), f.newer)
		}
	}
	return nil
}

// History returns the newest events of one person, of labels and marks, or of all for an empty name, oldest first: limit of them and what else belongs
// to the step of the oldest one. No limit: 0.
func (j *Journal) History(by string, limit int) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sort()
	var h []Event
	for _, e := range slices.Backward(j.events) {
		if by != "" && e.By != by {
			continue
		}
		if limit > 0 && len(h) >= limit && e.UID != h[len(h)-1].UID {
			break
		}
		h = append(h, e.Event)
	}
	slices.Reverse(h)
	return h
}

// read takes in what the files hold beyond what was read. A file that got shorter, or does not go on where it was left, was cut
// by its writer after a full disk: then everything is read again.
func (j *Journal) read() error {
	again, err := j.readNew()
	if again {
		j.reset()
		_, err = j.readNew()
	}
	return err
}

// reset forgets all that was read, and makes room for what there is to read.
func (j *Journal) reset() {
	lines := 0
	list, _ := os.ReadDir(j.dir)
	for _, d := range list {
		if st, err := d.Info(); err == nil && strings.HasSuffix(d.Name(), extension) {
			lines += min(int(st.Size())/usualLine, 1<<20)
		}
	}
	own := j.files[j.ownName]
	j.readNotes()
	if own != nil && own.bytes > j.notes[j.ownName].bytes { // the note lags
		j.notes[j.ownName] = own.count
	}
	for _, note := range j.notes {
		j.clock = max(j.clock, note.clock) // a label from now on is newer than those that are missing
	}
	j.news = len(j.events) > 0
	j.files, j.events, j.sorted = map[string]*file{}, make([]entry, 0, lines), true
	j.current, j.steps, j.words = make(map[string]int, lines), make(map[string]int, lines), words{}
	j.marks = map[mark]int{}
}

// readNew reads the files from where they were left; err is the first trouble. again: that cannot be done.
func (j *Journal) readNew() (again bool, err error) {
	list, err := os.ReadDir(j.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return len(j.files) > 0, nil
	}
	if err != nil {
		return false, fmt.Errorf("the labels in %s cannot be read: %w", say.Path(j.dir), say.Cause(err))
	}
	seen := 0
	for _, d := range list {
		name, ok := strings.CutSuffix(d.Name(), extension)
		st, gone := d.Info()
		if ok && gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			return false, fmt.Errorf("the labels in %s cannot be read: %w", say.Path(j.dir), say.Cause(gone))
		}
		if !ok || gone != nil || !st.Mode().IsRegular() {
			continue
		}
		seen++
		f := j.file(name)
		switch size := st.Size(); {
		case size < f.bytes:
			return true, nil
		case f.broken != nil && size == f.size:
		case size == f.bytes:
			f.broken = nil
		default:
			resumed := f.bytes > 0 && f.broken == nil
			if f.broken = j.readTail(f); f.broken != nil {
				f.size = size
				if errno := syscall.Errno(0); errors.As(f.broken, &errno) {
					f.size = -1 // the disk, not the file: what was read stays, and the rest is read when it can be
				} else if resumed {
					return true, nil
				}
			}
		}
		if err == nil {
			err = f.broken
		}
	}
	return seen < len(j.files), err
}

// readTail reads the whole lines from f.bytes on. An incomplete end is left for later.
func (j *Journal) readTail(f *file) error {
	path := f.path(j.dir)
	r, err := os.Open(path)
	if err == nil {
		defer r.Close()
		_, err = r.Seek(f.bytes, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("the labels in %s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	return j.scan(f, path, r)
}

// scan reads the whole lines of r, which stand behind f.bytes; path is for people. An incomplete end is left for later.
func (j *Journal) scan(f *file, path string, r io.Reader) error {
	var damaged error
	_, err := eachLine(r, f.bytes, f.marked, f.lines+1, j.words, func(line []byte, n int, e *Event, bad error) error {
		switch {
		case bad == errLong:
			damaged = fmt.Errorf("%s:%d is damaged: %w; restore the file from a copy", say.Path(path), n, bad)
		case bad != nil:
			damaged = fmt.Errorf("%s:%d is damaged: %w; restore the file from a copy, or remove this line to do without its label", say.Path(path), n, bad)
		}
		if damaged != nil {
			return damaged
		}
		f.add(line, e)
		if note := j.notes[f.name]; f.bytes == note.bytes {
			f.met = f.sum == note.sum
		}
		newer := e.ID == "" && len(line) > 1
		f.marked = e.Mark != "" || newer
		if newer {
			f.newer++
			j.clock = max(j.clock, e.Lamport)
		}
		if e.ID != "" {
			j.add(entry{*e, f})
			j.news = true
		}
		return nil
	})
	if damaged == nil && err != nil {
		return fmt.Errorf("the labels in %s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	return damaged
}

// file returns the state of the journal with this name.
func (j *Journal) file(name string) *file {
	f := j.files[name]
	if f == nil {
		f = &file{name: name}
		j.files[name] = f
	}
	return f
}

func (f *file) path(dir string) string { return filepath.Join(dir, f.name+extension) }

// add merges one event.
func (j *Journal) add(e entry) {
	j.clock = max(j.clock, e.Lamport)
	j.steps[e.UID]++
	if n := len(j.events); n > 0 && e.compare(j.events[n-1]) < 0 {
		j.sorted = false
	}
	if e.Mark != "" {
		of := mark{e.ID, e.Mark}
		if i, ok := j.marks[of]; !ok || e.compare(j.events[i]) >= 0 {
			j.marks[of] = len(j.events)
		}
	} else if i, ok := j.current[e.ID]; !ok || e.compare(j.events[i]) >= 0 {
		j.current[e.ID] = len(j.events)
	}
	j.events = append(j.events, e)
}

// sort brings the events into the order of the merge.
func (j *Journal) sort() {
	if j.sorted {
		return
	}
	slices.SortStableFunc(j.events, entry.compare)
	for i, e := range j.events {
		if e.Mark != "" {
			j.marks[mark{e.ID, e.Mark}] = i
		} else {
			j.current[e.ID] = i
		}
	}
	j.sorted = true
}
