// Package input hands on what a terminal sends in whole sequences only.
//
// A slow link delivers an answer of the terminal in parts. A reader that takes ESC for a key after some milliseconds of silence, as that of Bubble Tea
// does, then sees the rest of it as typed: the letters of an error message would label. What is not well-formed (ECMA-48, and as
// that reader parses it) is dropped for the same reason.
package input

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// patience is how long a sequence may pause. A key that comes later is one.
	patience = 2 * time.Second
	// longest is how many bytes of a sequence are kept, a longer one is dropped up to its end. Reader's callers read 4096 at a time.
	longest = 2048
	// escWait is how long ESC may be the beginning of a sequence before it is the key, laterWait the same for the byte after it, and for ESC of a
	// terminal whose key sends a sequence. While it is waited the program cannot leave: Bubble Tea gives a reader 500 ms.
	escWait, laterWait = 50 * time.Millisecond, 400 * time.Millisecond

	esc, bel, can, sub, st = 0x1b, 0x07, 0x18, 0x1a, 0x9c

	pasteStart, pasteEnd = "\x1b[200~", "\x1b[201~"
	escKey               = "\x1b[27u"
)

type state int

const (
	ground state = iota
	afterESC
	ss3       // ESC O, then one byte
	csi       // ESC [
	counted   // `need` more bytes, whatever they are
	character // `need` more bytes of a UTF-8 character
	command   // ESC P or ESC ], before the data
	data      // of a string, up to ST
	dataESC   // an ESC there
	pasted    // between pasteStart and pasteEnd
)

// sifter passes whole sequences, characters and keys, and keeps the part of one that may go on.
type sifter struct {
	state state
	held  []byte
	given int       // of held, what was handed on as keys: nothing more came in time
	escs  int       // before held: esc, or alt with what follows
	last  time.Time // when bytes came
	out   []byte

	bad    bool // what is held is to be dropped at its end
	params int  // separators so far
	digits int  // of the present parameter
	inter  bool // an intermediate byte was there
	need   int
	kitty  bool // the terminal speaks kitty's keyboard protocol: a lone ESC is no key
}

// Feed takes what was read at a time and returns what is whole. It is valid until the next call.
func (s *sifter) Feed(chunk []byte, now time.Time) []byte {
	s.out = s.out[:0]
	if len(chunk) == 0 {
		return nil
	}
	if now.Sub(s.last) >= patience {
		switch {
		case s.state == pasted: // the rest of a text that is late must not become keys: only a key that leaves ends it
			switch string(chunk) {
			case "\x1b", escKey, "\x03", "\x1b[99;5u":
				s.out = append(s.out, pasteEnd...)
				s.reset()
			}
		case s.state >= command && s.ends(chunk), utf8.RuneCount(chunk) > 1: // the link stalled, or the program: what came meanwhile is read late, and at once
		default: // a key
			s.reset()
		}
	}
	s.last = now
	for _, b := range chunk {
		for !s.take(b) {
		}
	}
	return s.out
}

// Wait is how long more bytes may be waited for before Flush; zero: there is nothing to hand on.
func (s *sifter) Wait() time.Duration {
	switch {
	case s.state == afterESC && s.given == 0 && !s.kitty:
		return escWait
	case s.state == afterESC && s.given == 0, s.begun() && s.given < 2:
		return laterWait
	}
	return 0
}

// begun: ESC and one byte, which may have been pressed with alt, or be a key after esc.
func (s *sifter) begun() bool {
	return len(s.held) == 2 && (s.state == ss3 || s.state == csi || s.state == command || s.state == data)
}

// Flush returns what is held because it could begin a sequence as the keys that it is as well, in kitty's form: after ESC itself the reader would wait for
// more, and add the next key to it. If it begins a sequence after all, that is passed whole.
func (s *sifter) Flush() []byte {
	s.out = s.out[:0]
	for ; s.escs > 0; s.escs-- {
		s.out = append(s.out, escKey...)
	}
	switch {
	case s.given > 0:
		s.keys()
	case len(s.held) == 2:
		key, mod := rune(s.held[1]), '3'
		if unicode.IsUpper(key) {
			key, mod = unicode.ToLower(key), '4' // and shift
		}
		s.out = fmt.Appendf(s.out, "\x1b[%d;%cu", key, mod)
		s.given = 2
	case len(s.held) == 1:
		s.out = append(s.out, escKey...)
		s.given = 1
	}
	return s.out
}

func (s *sifter) reset() {
	*s = sifter{held: s.held[:0], out: s.out, last: s.last, kitty: s.kitty}
}

// keys passes what is held as keys, less what was passed before.
func (s *sifter) keys() {
	s.before()
	s.out = append(s.out, s.held[s.given:]...)
	s.reset()
}

// end passes the sequence that is held.
func (s *sifter) end() {
	if s.bad {
		s.reset()
		return
	}
	s.before()
	s.out = append(s.out, s.held...)
	s.reset()
}

// before passes the ESCs before what is held. They are dropped with it: they would change the meaning of what is next.
func (s *sifter) before() {
	for ; s.escs > 0; s.escs-- {
		s.out = append(s.out, esc)
	}
}

// cut ends a sequence that is none: what was taken for keys before is keys.
func (s *sifter) cut() {
	if s.given > 0 {
		s.keys()
		return
	}
	s.reset()
}

func (s *sifter) hold(b byte) {
	if len(s.held) >= longest {
		s.bad = true
		s.held = s.held[:3]
	}
	s.held = append(s.held, b)
}

// ends reports whether chunk has the end of the string that is held.
func (s *sifter) ends(chunk []byte) bool {
	if s.state == dataESC {
		return chunk[0] == '\\'
	}
	i := bytes.IndexFunc(chunk, func(r rune) bool { return r == esc || r == bel && s.held[1] == ']' })
	return i >= 0 && (chunk[i] == bel || i+1 < len(chunk) && chunk[i+1] == '\\')
}

// take moves on by a byte; false: the state changed and the byte is still to be taken.
func (s *sifter) take(b byte) bool {
	switch s.state {
	case ground:
		return s.first(b)
	case afterESC:
		return s.second(b)
	case character:
		if b&0xc0 != 0x80 {
			s.reset()
			return false
		}
		s.hold(b)
		if s.need--; s.need == 0 {
			if !utf8.Valid(bytes.TrimPrefix(s.held, []byte{esc})) {
				s.reset()
				return true
			}
			s.keys()
		}
	case counted:
		s.hold(b)
		if s.need--; s.need == 0 {
			s.end()
		}
	case ss3:
		if s.begun() && s.given > 0 && !strings.ContainsRune("ABCDFHPQRS", rune(b)) {
			s.keys()
			return false
		}
		switch {
		case b >= '0' && b <= '9':
			s.hold(b)
		case b > 0x20 && b < 0x7f:
			s.hold(b)
			s.end()
		default:
			s.cut()
			return false
		}
	case csi:
		return s.control(b)
	case command, data:
		return s.text(b)
	case dataESC:
		if b == '\\' {
			s.hold(b)
			s.end()
			return true
		}
		s.reset() // that ESC ends it and begins something else
		s.state = afterESC
		s.hold(esc)
		return false
	case pasted:
		return s.paste(b)
	}
	return true
}

func (s *sifter) first(b byte) bool {
	switch {
	case b == esc:
		s.state = afterESC
		s.hold(b)
	case b < 0x80:
		s.out = append(s.out, b)
	case b < 0xa0: // C1, in one byte: the same as ESC and b-0x40
		if strings.IndexByte("OPX[]^_", b-0x40) >= 0 {
			s.hold(esc)
			s.state = afterESC
			return s.second(b - 0x40)
		}
	default:
		s.need = continuation(b)
		if s.need > 0 {
			s.state = character
			s.hold(b)
		}
	}
	return true
}

// continuation is how many bytes follow the first one of a character; 0: it is none.
func continuation(b byte) int {
	switch {
	case b >= 0xc2 && b < 0xe0:
		return 1
	case b >= 0xe0 && b < 0xf0:
		return 2
	case b >= 0xf0 && b < 0xf5:
		return 3
	}
	return 0
}

func (s *sifter) second(b byte) bool {
	next := ground
	switch b {
	case esc:
		s.another()
		return true
	case 'O':
		next = ss3
	case '[':
		next = csi
	case 'P', ']':
		next = command
	case '_', '^', 'X':
		next = data
	}
	switch {
	case next == ground && b < 0x80: // with alt
		s.hold(b)
		s.keys()
	case next == ground && continuation(b) > 0:
		s.hold(b)
		s.state, s.need = character, continuation(b)
	case next == ground && b >= 0xa0 || next == ground && strings.IndexByte("OPX[]^_", b-0x40) < 0: // no byte of a character
		s.reset()
	case next == ground:
		s.another()
		return s.second(b - 0x40)
	case s.given > 0 && (b == '^' || b == 'X'): // no terminal answers with these, a person presses them after esc
		s.hold(b)
		s.keys()
	default:
		s.hold(b)
		s.state = next
	}
	return true
}

// another ESC is held, after one that was.
func (s *sifter) another() {
	if s.escs++; s.given > 0 || s.escs > longest {
		s.escs--
	}
	s.given = 0
}

// control takes a byte of a control sequence.
func (s *sifter) control(b byte) bool {
	if s.begun() {
		switch {
		case s.given > 0 && !strings.ContainsRune("0123456789<=>?ABCDFHIMOPQSZ", rune(b)): // no answer begins like this
			s.keys()
			return false
		case b == '[': // a function key of Linux's console, which the reader does not know
			s.hold(b)
			s.state, s.need, s.bad = counted, 1, true
			return true
		case b == 'M': // the mouse, as X10 had it
			s.hold(b)
			s.state, s.need = counted, 3
			return true
		}
	}
	switch {
	case b == can, b == sub:
		s.cut()
	case b >= 0x30 && b < 0x40:
		s.bad = s.bad || s.inter || b >= '<' && !s.begun() || s.digits > 9 || s.params > 30
		if s.digits++; b == ';' || b == ':' {
			s.params++
			s.digits = 0
		}
		s.hold(b)
	case b >= 0x20 && b < 0x30:
		s.inter = true
		s.hold(b)
		if b == '$' && s.params == 0 && len(s.held) > 3 && number(s.held[2:len(s.held)-1]) { // rxvt's keys with shift have no other end
			s.end()
		}
	case b >= 0x40 && b < 0x7f:
		s.hold(b)
		switch text := string(s.held[2:]); {
		case b == 'M' && text[0] != '<', b == '_': // the reader would take three more bytes; Windows' keys are not asked for
			s.bad = true
		case s.bad:
		case text == "200~":
			s.end()
			s.state = pasted
			return true
		case b == '~' && text != "201~":
			first, _, _ := strings.Cut(strings.TrimRight(strings.ReplaceAll(text, ":", ";"), "~"), ";")
			if first = strings.TrimLeft(first, "0"); first == "200" || first == "201" {
				s.bad = true
			}
		case b == 'u' && text[0] == '?':
			s.kitty = len(text) > 2 && (text[len(text)-2]-'0')&1 == 1
		}
		s.end()
	default:
		s.cut()
		return false
	}
	return true
}

func number(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// text takes a byte of a string.
func (s *sifter) text(b byte) bool {
	kind := s.held[1]
	if s.begun() && s.given > 0 && !strings.ContainsRune(map[byte]string{'P': "0123456789>!", ']': "0123456789", '_': "G"}[kind], rune(b)) {
		s.keys()
		return false
	}
	switch {
	case b == can, b == sub:
		s.reset()
		return true
	case b == esc:
		s.bad = s.bad || kind == 'P' && s.state == command
		s.hold(b)
		s.state = dataESC
		return true
	case b == bel && kind == ']', b == st && s.need == 0:
		s.bad = s.bad || kind == 'P' && s.state == command
		s.hold(b)
		s.end()
		return true
	case b >= 0x80: // the reader would see ST in some characters; no answer has one
		s.bad = true
		if s.need > 0 && b < 0xc0 {
			s.need--
		} else {
			s.need = continuation(b)
		}
	default:
		s.need = 0
	}
	if s.state == command {
		switch {
		case kind == ']' && b >= '0' && b <= '9':
		case kind == ']' && b == ';':
			s.state = data
		case kind == 'P' && b >= 0x30 && b < 0x40:
			if b == ';' || b == ':' {
				s.params++
			}
			s.bad = s.bad || s.inter || s.params > 14
		case kind == 'P' && b >= 0x20 && b < 0x30:
			s.inter = true
		case kind == 'P' && b >= 0x40 && b < 0x7f:
			s.state = data
		case s.given > 0:
			s.keys()
			return false
		default:
			s.bad = true
			s.state = data
		}
	}
	s.hold(b)
	return true
}

// paste takes a byte of a text that is pasted. It is passed as it comes, since the reader knows that it is text, less what could hide its end.
func (s *sifter) paste(b byte) bool {
	switch {
	case len(s.held) > 0 && s.held[0] == esc:
		if b != pasteEnd[len(s.held)] {
			s.out = append(s.out, s.held[1:]...)
			s.held = s.held[:0]
			return false
		}
		if s.hold(b); len(s.held) == len(pasteEnd) {
			s.end()
		}
	case s.need > 0:
		if b&0xc0 != 0x80 {
			s.held, s.need = s.held[:0], 0
			return false
		}
		s.hold(b)
		if s.need--; s.need == 0 {
			if utf8.Valid(s.held) {
				s.out = append(s.out, s.held...)
			}
			s.held = s.held[:0]
		}
	case b == esc:
		s.hold(b)
	case b >= 0x20 && b < 0x7f, b == '\t', b == '\r', b == '\n':
		s.out = append(s.out, b)
	default:
		if s.need = continuation(b); s.need > 0 {
			s.hold(b)
		}
	}
	return true
}
