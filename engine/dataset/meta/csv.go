package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a text table. A quotation mark that nothing closes takes in a record's bytes before that is noticed, so not many of them are borne with.
const (
	maxRecord  = 1 << 20 // bytes of a line, or of a record with line breaks in quotes
	maxColumns = 1000
	maxOdd     = 1000 // records that are no record at all
)

// scanner reads the records of a text table. It holds one record in memory, at most maxRecord bytes, whatever the file has: encoding/csv takes a line of
// any length.
type scanner struct {
	r          io.Reader
	comma      byte
	buf        []byte // what was read and not yet used: buf[from:to]
	from, to   int
	line       int64 // of the next record, from 1
	err        error // of the reader
	fields     [][]byte
	unescaped  []byte // bytes of the fields that had doubled quotation marks
	odd        int
	recordLine int64 // of the record that was read last
}

// errOdd is a record that cannot be used; the next one can be read.
type errOdd struct{ why string }

func (e errOdd) Error() string { return e.why }

// more reads on, and says whether there is more than before.
func (s *scanner) more() bool {
	if s.err != nil || s.to-s.from >= maxRecord {
		return false
	}
	if s.from > 0 && s.to == len(s.buf) {
		s.to = copy(s.buf, s.buf[s.from:s.to])
		s.from = 0
	}
	if s.to == len(s.buf) {
		s.buf = append(s.buf, make([]byte, min(max(len(s.buf), 64<<10), maxRecord))...)
	}
	for range 100 {
		n, err := s.r.Read(s.buf[s.to:])
		s.to += n
		if s.err = err; n > 0 || err != nil {
			return n > 0
		}
	}
	s.err = io.ErrNoProgress
	return false
}

// skip leaves out the rest of the line.
func (s *scanner) skip() {
	for {
		if i := bytes.IndexByte(s.buf[s.from:s.to], '\n'); i >= 0 {
			s.from += i + 1
			s.line++
			return
		}
		s.from = s.to
		if !s.more() {
			return
		}
	}
}

// next reads a record; its fields are valid until the next one. The end is io.EOF. Lines without a character are passed over.
func (s *scanner) next() ([][]byte, error) {
	for {
		s.recordLine = s.line
		s.fields, s.unescaped = s.fields[:0], s.unescaped[:0]
		used, lines, err := s.record()
		switch {
		case err == io.EOF:
			if s.err != io.EOF {
				return nil, s.err
			}
			return nil, err
		case err != nil:
			if s.odd++; s.odd > maxOdd {
				return nil, fmt.Errorf("has more than %d lines that are none of a table, the last one line %d: %w", maxOdd, s.line, err)
			}
			s.skip()
			return nil, errOdd{err.Error()}
		}
		blank := len(s.fields) == 1 && len(s.fields[0]) == 0 && s.buf[s.from] != '"'
		s.from += used
		s.line += lines
		if blank {
			continue
		}
		return s.fields, nil
	}
}

var (
	errOpen  = errors.New("a quotation mark is not closed")
	errAfter = errors.New("something follows a quotation mark that closes a field")
	errLong  = fmt.Errorf("the line has more than %d bytes", maxRecord)
)

// record finds the fields of the record at the beginning of the buffer: how many bytes and lines it takes.
func (s *scanner) record() (used int, lines int64, err error) {
	at := 0
	// has says whether there is a byte at i.
	has := func(i int) bool { return s.from+i < s.to || s.more() && s.from+i < s.to }
	if !has(0) {
		return 0, 0, io.EOF
	}
	var cut []struct{ from, to, unescaped int } // of each field; unescaped < 0: bytes of the buffer, which may move meanwhile
	for {
		if has(at) && s.buf[s.from+at] == '"' {
			from, escaped := at+1, false
			i := from
			kept := len(s.unescaped)
			for {
				if !has(i) {
					if s.to-s.from >= maxRecord {
						return 0, 0, errLong
					}
					return 0, 0, errOpen
				}
				c := s.buf[s.from+i]
				if c == '"' {
					if !has(i+1) || s.buf[s.from+i+1] != '"' {
						break
					}
					if !escaped {
						escaped = true
						s.unescaped = append(s.unescaped, s.buf[s.from+from:s.from+i]...)
					}
					i++
				} else if c == '\n' {
					lines++
				}
				if escaped {
					s.unescaped = append(s.unescaped, c)
				}
				i++
			}
			if escaped {
				cut = append(cut, struct{ from, to, unescaped int }{kept, len(s.unescaped), 1})
			} else {
				cut = append(cut, struct{ from, to, unescaped int }{from, i, -1})
			}
			at = i + 1
			if has(at) && s.buf[s.from+at] == '\r' && (!has(at+1) || s.buf[s.from+at+1] == '\n') {
				at++
			}
			if has(at) && s.buf[s.from+at] != s.comma && s.buf[s.from+at] != '\n' {
				return 0, 0, errAfter
			}
		} else {
			from := at
			for has(at) && s.buf[s.from+at] != s.comma && s.buf[s.from+at] != '\n' {
				at++
			}
			to := at
			if to > from && s.buf[s.from+to-1] == '\r' && (!has(at) || s.buf[s.from+at] == '\n') {
				to--
			}
			cut = append(cut, struct{ from, to, unescaped int }{from, to, -1})
		}
		if len(cut) > maxColumns {
			return 0, 0, fmt.Errorf("the line has more than %d columns", maxColumns)
		}
		if !has(at) {
			if s.to-s.from >= maxRecord {
				return 0, 0, errLong
			}
			break
		}
		end := s.buf[s.from+at] == '\n'
		at++
		if end {
			lines++
			break
		}
	}
	for _, c := range cut {
		if c.unescaped > 0 {
			s.fields = append(s.fields, s.unescaped[c.from:c.to])
		} else {
			s.fields = append(s.fields, s.buf[s.from+c.from:s.from+c.to])
		}
	}
	return at, lines, nil
}

// textTable is a CSV, or the like with tabs, semicolons or bars.
type textTable struct {
	open    func() (io.ReadCloser, error)
	comma   byte
	columns []heading
}

// openText reads the heading of a text table.
func openText(open func() (io.ReadCloser, error)) (*textTable, error) {
	t := &textTable{open: open}
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	s, err := t.start(r)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(s.buf[:s.to], 0) >= 0 {
		return nil, errors.New("is no table that is read: CSV, Parquet and FITS are")
	}
	head, err := s.next()
	if err == io.EOF {
		return nil, errors.New("is empty: its first line must name the columns")
	}
	if err != nil {
		return nil, fmt.Errorf("has a first line that names no columns: %w", err)
	}
	for _, name := range head {
		t.columns = append(t.columns, heading{name: string(name)})
	}
	return t, nil
}

// start finds the heading and what parts the columns.
func (t *textTable) start(r io.Reader) (*scanner, error) {
	s := &scanner{r: r, comma: ',', line: 1}
	for s.to < 3 && s.more() {
	}
	s.from += len(s.buf[s.from:s.to]) - len(bytes.TrimPrefix(s.buf[s.from:s.to], []byte("\ufeff")))
	for {
		for s.from == s.to && s.more() {
		}
		if s.from == s.to || s.buf[s.from] != '#' && s.buf[s.from] != '\n' && s.buf[s.from] != '\r' {
			break
		}
		s.skip() // remarks of ECSV and of TOPCAT
	}
	if s.err != nil && s.err != io.EOF {
		return nil, s.err
	}
	if t.comma == 0 {
		for bytes.IndexByte(s.buf[s.from:s.to], '\n') < 0 && s.more() {
		}
		first, _, _ := bytes.Cut(s.buf[s.from:s.to], []byte("\n"))
		t.comma = ','
		most := 0
		for _, c := range []byte(",\t;|") {
			if n := bytes.Count(first, []byte{c}); n > most {
				t.comma, most = c, n
			}
		}
	}
	s.comma = t.comma
	return s, nil
}

func (t *textTable) headings() []heading { return t.columns }

func (t *textTable) each(ctx context.Context, want []int, do func(row, line int64, cells []cell) error, bad func(line int64, why string)) error {
	r, err := t.open()
	if err != nil {
		return err
	}
	defer r.Close()
	s, err := t.start(r)
	if err != nil {
		return err
	}
	if _, err := s.next(); err != nil {
		return err
	}
	cells := make([]cell, len(want))
	for row := int64(0); ; row++ {
		if row%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		fields, err := s.next()
		var odd errOdd
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &odd):
			bad(s.recordLine, odd.why)
			continue
		case err != nil:
			return err
		case len(fields) != len(t.columns):
			bad(s.recordLine, fmt.Sprintf("it has %d columns, the first line %d", len(fields), len(t.columns)))
			continue
		}
		for i, c := range want {
			cells[i] = cell{kind: written, text: fields[c]}
		}
		if err := do(row, s.recordLine, cells); err != nil {
			return err
		}
	}
}

// absent are the words for no number.
var absent = []string{"", "nan", "null", "none", "na", "n/a", "-", "--", "\\n", "masked", "<na>"}

// number reads a written number; none: it is a word for no number. Numbers that begin with 0 and others with more digits than fit are names.
func number(text []byte) (t Type, i int64, f float64) {
	s := bytes.TrimSpace(text)
	if len(s) == 0 {
		return None, 0, 0
	}
	c := s[0]
	if c >= '0' && c <= '9' || (c == '-' || c == '+' || c == '.') && len(s) > 1 {
		whole := true
		digits := s
		if c == '-' {
			digits = s[1:]
		}
		for _, d := range digits {
			whole = whole && d >= '0' && d <= '9'
		}
		if whole {
			if len(digits) > 1 && digits[0] == '0' {
				return Text, 0, 0
			}
			i, err := strconv.ParseInt(string(s), 10, 64)
			if err != nil || i == missingInt {
				return Text, 0, 0
			}
			return Int, i, 0
		}
		if len(s) > 40 || bytes.ContainsAny(s, "xXpP_") {
			return Text, 0, 0
		}
		if f, err := strconv.ParseFloat(string(s), 64); err == nil || errors.Is(err, strconv.ErrRange) {
			return Float, 0, f
		}
	}
	if len(s) <= 9 {
		low := strings.ToLower(string(s))
		for _, w := range absent {
			if low == w {
				return None, 0, 0
			}
		}
		switch strings.TrimLeft(low, "+-") {
		case "inf", "infinity":
			f, err := strconv.ParseFloat(low, 64)
			if err == nil {
				return Float, 0, f
			}
		}
	}
	return Text, 0, 0
}

// valid is text as UTF-8 of at most maxText bytes.
func valid(text []byte) []byte {
	if len(text) > maxText {
		text = text[:maxText]
		for len(text) > 0 && !utf8.RuneStart(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
		if n := len(text); n > 0 && text[n-1] >= utf8.RuneSelf {
			text = text[:n-1] // a character that may be cut
		}
	}
	if !utf8.Valid(text) {
		return bytes.ToValidUTF8(text, []byte("\ufffd"))
	}
	return text
}
