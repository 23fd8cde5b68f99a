package fits

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	block    = 2880 // bytes: headers and data are whole numbers of blocks
	cardSize = 80
	maxCards = 1 << 16 // of one header: 5 MB; the longest of the surveys are near 5000
	maxHDUs  = 10_000
)

// Header holds the keywords of one HDU. Of a keyword that occurs twice the first counts, as in astropy.
type Header struct{ values map[string]value }

// value is one card's value as it is written: a string without its quotes and trailing blanks, or the text of a number or logical.
type value struct {
	text   string
	quoted bool
}

// Int is the value of an integer keyword.
func (h Header) Int(key string) (int64, bool) {
	v, ok := h.values[key]
	if !ok || v.quoted {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil
}

// Float is the value of a keyword that holds a number, whole or not.
func (h Header) Float(key string) (float64, bool) {
	v, ok := h.values[key]
	if !ok || v.quoted {
		return 0, false
	}
	return parseFloat(v.text)
}

// parseFloat reads what FITS calls a real number: also with D before the exponent; no hexadecimal, no infinity.
func parseFloat(s string) (float64, bool) {
	if strings.Trim(s, "+-.0123456789eEdD") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.Map(func(r rune) rune {
		if r == 'D' || r == 'd' {
			return 'E'
		}
		return r
	}, s), 64)
	return f, err == nil
}

// Text is the value of a string keyword, without trailing blanks; printable ASCII.
func (h Header) Text(key string) (string, bool) {
	v, ok := h.values[key]
	return v.text, ok && v.quoted
}

// Bool is the value of a logical keyword.
func (h Header) Bool(key string) (value, ok bool) {
	v, ok := h.values[key]
	return v.text == "T", ok && !v.quoted && (v.text == "T" || v.text == "F")
}

// Has says whether the keyword is there, with whatever value.
func (h Header) Has(key string) bool { _, ok := h.values[key]; return ok }

// readHeader reads the header that begins at offset, and says where it ends.
func readHeader(r io.ReaderAt, offset, size int64) (h Header, end int64, err error) {
	h.values = make(map[string]value, 36)
	var b [block]byte
	long := "" // keyword whose string may go on in CONTINUE cards
	for n := 0; n < maxCards; n += block / cardSize {
		if size-offset < block {
			return h, 0, damaged("its header has no end")
		}
		if _, err := r.ReadAt(b[:], offset); err != nil && err != io.EOF {
			return h, 0, fmt.Errorf("cannot be read: %w", err)
		} else if err == io.EOF && offset+block < size {
			return h, 0, errShrunk
		}
		offset += block
		for c := b[:]; len(c) > 0; c = c[cardSize:] {
			card := c[:cardSize]
			for i, x := range card { // some writers put accents into comments
				if x < ' ' || x > '~' {
					card[i] = '?'
				}
			}
			key := string(bytes.TrimRight(card[:8], " "))
			switch {
			case key == "END" && len(bytes.TrimSpace(card[8:])) == 0:
				return h, offset, nil
			case key == "CONTINUE":
				if v, ok := parseValue(card[8:]); ok && v.quoted && long != "" {
					if was := h.values[long]; strings.HasSuffix(was.text, "&") {
						h.values[long] = value{was.text[:len(was.text)-1] + v.text, true}
					}
				}
			case card[8] == '=' && card[9] == ' ':
				v, ok := parseValue(card[10:])
				long = ""
				if _, twice := h.values[key]; ok && !twice {
					h.values[key] = v
					if v.quoted {
						long = key
					}
				}
			}
		}
	}
	return h, 0, damaged("its header has more than %d cards", maxCards)
}

// parseValue reads the value of a card, up to its comment.
func parseValue(b []byte) (value, bool) {
	s := strings.TrimLeft(string(b), " ")
	if !strings.HasPrefix(s, "'") {
		text, _, _ := strings.Cut(s, "/")
		text = strings.TrimRight(text, " ")
		return value{text, false}, text != ""
	}
	var text strings.Builder
	for s = s[1:]; ; {
		part, rest, ok := strings.Cut(s, "'")
		if !ok {
			return value{}, false
		}
		text.WriteString(part)
		if !strings.HasPrefix(rest, "'") {
			return value{strings.TrimRight(text.String(), " "), true}, true
		}
		text.WriteByte('\'')
		s = rest[1:]
	}
}
