package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"anomalymatch/engine/label"
)

// Event is one label change as it was written.
type Event = label.Event

const (
	timeLayout = "2006-01-02T15:04:05.000Z"
	crcKey     = `,"crc":"`
	crcLen     = len(crcKey) + 8 + len(`"}`)
	maxLamport = 1 << 53 // what every JSON reader holds exactly
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine adds the event's line to b, with the newline.
func appendLine(b []byte, e Event) []byte {
	start := len(b)
	b = append(b, `{"lamport":`...)
	b = strconv.AppendUint(b, e.Lamport, 10)
	b = append(b, `,"time":"`...)
	b = e.Time.UTC().AppendFormat(b, timeLayout)
	b = appendString(append(b, `","by":`...), e.By)
	b = appendString(append(b, `,"uid":`...), e.UID)
	b = appendString(append(b, `,"id":`...), e.ID)
	b = appendString(append(b, `,"label":`...), string(e.To))
	b = appendString(append(b, `,"prev":`...), string(e.From))
	if e.Mark != "" {
		b = appendString(append(b, `,"mark":`...), e.Mark)
	}
	return append(seal(b, b[start:]), '\n')
}

// seal adds to b the checksum of fields, and the end of the line.
func seal(b, fields []byte) []byte {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.Checksum(fields, castagnoli))
	b = append(b, crcKey...)
	b = hex.AppendEncode(b, sum[:])
	return append(b, `"}`...)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always has a JSON form
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// words holds strings that many lines share, so that they are kept in memory once.
type words map[string]string

func (w words) of(b []byte) string {
	s, ok := w[string(b)]
	if !ok {
		s = string(b)
		w[s] = s
	}
	return s
}

var (
	errForm  = errors.New("not a line of a journal")
	errNewer = errors.New("a line of a newer program") // whole, of unknown meaning; its event has the clock alone
)

// parseLine reads one line, without its newline. It understands the fields in the order that appendLine writes them, nothing else: another line with a
// right checksum is errNewer.
func parseLine(line []byte, w words) (Event, error) {
	n := len(line) - crcLen
	if n < 0 || !bytes.HasPrefix(line[n:], []byte(crcKey)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return Event{}, errForm
	}
	if !bytes.Equal(line[n:], seal(nil, line[:n])) {
		return Event{}, errors.New("the checksum is wrong")
	}
	s := scanner{rest: line[:n]}
	var e Event
	e.Lamport = s.number(`{"lamport":`)
	at := s.text(`,"time":`)
	e.By = w.of(s.text(`,"by":`))
	e.UID = string(s.text(`,"uid":`))
	e.ID = string(s.text(`,"id":`))
	e.To, e.From = label.Value(w.of(s.text(`,"label":`))), label.Value(w.of(s.text(`,"prev":`)))
	if len(s.rest) > 0 {
		e.Mark = w.of(s.text(`,"mark":`))
		s.failed = s.failed || e.Mark == ""
	}
	var err error
	e.Time, err = time.Parse(timeLayout, string(at))
	if s.failed || len(s.rest) != 0 || e.Lamport == 0 || e.Lamport > maxLamport || e.ID == "" || err != nil || e.Check() != nil {
		if e.Lamport > maxLamport {
			e.Lamport = 0
		}
		return Event{Lamport: e.Lamport}, errNewer
	}
	return e, nil
}

var errLong = errors.New("the line does not end")

// eachLine calls do for the lines of r, which begin with number n at byte at of the file: with the event of a whole one, which has no ID where the line is
// the empty one behind marks (marked: the line before was of one) or of a newer program; with what is wrong with a damaged one, of which an endless one comes
// in pieces. What is damaged at the end is what a crash leaves: it is returned. Line and event are lent. The error is of r or of do.
func eachLine(r io.Reader, at int64, marked bool, n int, known words, do func(line []byte, n int, e *Event, bad error) error) (torn []byte, err error) {
	in := bufio.NewReaderSize(r, maxLine)
	var bad error // of the line in torn
	long, looked := false, false
	var e Event
	for {
		line, err := in.ReadSlice('\n')
		if bad != nil && len(line) > 0 {
			if err := do(torn, n-1, nil, bad); err != nil {
				return nil, err
			}
			torn, bad = nil, nil
		}
		if !looked && bytes.IndexByte(line, 0) >= 0 {
			looked = true
			begin := len(line)
			whole, more := io.ReadAll(io.MultiReader(bytes.NewReader(bytes.Clone(line)), in))
			if more != nil {
				return nil, more
			}
			if unwritten(whole, at, known) {
				return whole, nil
			}
			line = whole[:begin:begin]
			in = bufio.NewReaderSize(bytes.NewReader(whole[begin:]), maxLine)
		}
		at += int64(len(line))
		switch {
		case err == io.EOF:
			return append(torn, line...), nil
		case err == bufio.ErrBufferFull, err == nil && long:
			if err := do(line, n, nil, errLong); err != nil {
				return nil, err
			}
			if long = err != nil; !long {
				n++
			}
			marked = false
			continue
		case err != nil:
			return nil, err
		}
		n++
		e = Event{}
		if len(line) > 1 || !marked {
			if e, bad = parseLine(line[:len(line)-1], known); bad == errNewer {
				bad = nil
			}
			if bad != nil {
				torn, marked = bytes.Clone(line), false
				continue
			}
		}
		marked = e.Mark != "" || e.ID == "" && len(line) > 1
		if err := do(line, n-1, &e, nil); err != nil {
			return nil, err
		}
	}
}

// unwritten tells whether the end of a journal, which begins with a line at byte at, is one step of which a disk that lost its power left out sectors: a file
// that has become longer holds zeros there, which no line does. They reach from the beginning of a sector, or of the step, to the end of one, or of the
// file; and the lines that are whole belong together. (etcd's log tells such a record in the same way.) What was damaged otherwise is no crash.
func unwritten(end []byte, at int64, known words) bool {
	const sector = 512
	for i := 0; i < len(end); {
		if end[i] != 0 {
			i++
			continue
		}
		from := i
		for i < len(end) && end[i] == 0 {
			i++
		}
		if from > 0 && (at+int64(from))%sector != 0 || i < len(end) && (at+int64(i))%sector != 0 {
			return false
		}
	}
	step := ""
	for line := range bytes.Lines(end) {
		e, err := parseLine(bytes.TrimSuffix(line, []byte("\n")), known)
		switch {
		case err != nil && err != errNewer && len(line) > 1 && bytes.IndexByte(line, 0) < 0 && line[len(line)-1] == '\n':
			return false
		case err != nil:
		case step != "" && e.UID != step:
			return false
		default:
			step = e.UID
		}
	}
	return true
}

// scanner takes fields off the front of a line; after the first surprise it has failed and returns nothing more.
type scanner struct {
	rest   []byte
	failed bool
}

func (s *scanner) skip(prefix string) {
	if s.failed = s.failed || len(s.rest) < len(prefix) || string(s.rest[:len(prefix)]) != prefix; !s.failed {
		s.rest = s.rest[len(prefix):]
	}
}

func (s *scanner) number(key string) uint64 {
	s.skip(key)
	end := 0
	for !s.failed && end < len(s.rest) && s.rest[end] >= '0' && s.rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(string(s.rest[:end]), 10, 64)
	s.failed = s.failed || err != nil
	s.rest = s.rest[end:]
	return n
}

// text returns the bytes of a JSON string; they are good until the line's buffer is used again.
func (s *scanner) text(key string) []byte {
	s.skip(key)
	s.skip(`"`)
	if s.failed {
		return nil
	}
	plain := true
	for i, c := range s.rest {
		switch {
		case c == '"' && (plain || !escaped(s.rest[:i])):
			raw := s.rest[:i]
			s.rest = s.rest[i+1:]
			if plain {
				s.failed = !utf8.Valid(raw)
				return raw
			}
			var text string
			quoted := append(append([]byte{'"'}, raw...), '"')
			s.failed = !utf8.Valid(raw) || json.Unmarshal(quoted, &text) != nil
			return []byte(text)
		case c < ' ':
			s.failed = true
			return nil
		case c == '\\':
			plain = false
		}
	}
	s.failed = true
	return nil
}

// escaped reports whether what follows b is behind an odd number of backslashes.
func escaped(b []byte) bool {
	return (len(b)-len(bytes.TrimRight(b, `\`)))%2 == 1
}
