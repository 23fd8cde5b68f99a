package say

import (
	"bytes"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Terminal is f as what commands print to. Where it is a terminal, only text, line ends, tabs, colours (CSI … m) and what wipes a line (CR CSI K, of progress)
// go through; all else stands as [Escaped] has it. So what was not cleaned before, what is written for programs and
// what another host prints cannot act on the terminal either. Where it is none, every byte goes through.
func Terminal(f *os.File) *Screen {
	s := &Screen{File: f}
	if term.IsTerminal(int(f.Fd())) {
		s.safe = &safe{to: f}
	}
	return s
}

// Safe is w for what another host says to a person, wherever that goes: as for a terminal, but that only text, line ends and tabs go through.
func Safe(w io.Writer) io.Writer { return &safe{to: w, plain: true} }

// Screen is a file whose Write is as [Terminal] says.
type Screen struct {
	*os.File
	safe *safe
}

func (s *Screen) Write(b []byte) (int, error) {
	if s.safe == nil {
		return s.File.Write(b)
	}
	return s.safe.Write(b)
}

// WriteString is Write: the file's own would go past it.
func (s *Screen) WriteString(text string) (int, error) { return s.Write([]byte(text)) }

// ReadFrom likewise.
func (s *Screen) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

// safe writes what may act on a terminal as text. A sequence or a character may come in several writes.
type safe struct {
	to    io.Writer
	plain bool   // no colours, no CR
	rest  []byte // the beginning of one
	drawn
}

// longest sequence that is waited for.
const longest = 64

func (s *safe) Write(b []byte) (int, error) {
	all := append(s.rest, b...)
	s.rest = nil
	var out bytes.Buffer
	for i := 0; i < len(all); {
		if n, whole := s.allowed(all[i:]); n > 0 {
			out.Write(all[i : i+n])
			i += n
			continue
		} else if !whole && len(all)-i < longest {
			s.rest = bytes.Clone(all[i:])
			break
		}
		_, n := utf8.DecodeRune(all[i:])
		out.WriteString(escaped(string(all[i:i+n]), func(rune) bool { return false }))
		i += n
	}
	_, err := s.to.Write(out.Bytes())
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

// allowed is how many bytes at the beginning of b may go to a terminal as they are; whole is false where that is not known before more comes.
func (s *safe) allowed(b []byte) (n int, whole bool) {
	switch {
	case b[0] == '\n', b[0] == '\t':
		return 1, true
	case s.plain && b[0] < ' ':
		return 0, true
	case b[0] == '\r':
		for _, fine := range []string{"\r\n", "\r\x1b[K"} {
			if bytes.HasPrefix(b, []byte(fine)) {
				return len(fine), true
			} else if strings.HasPrefix(fine, string(b)) {
				return 0, false
			}
		}
		return 0, true
	case b[0] == 0x1b:
		if len(b) == 1 {
			return 0, false
		}
		if b[1] != '[' {
			return 0, true
		}
		for i := 2; i < len(b); i++ {
			switch c := b[i]; {
			case c == 'm':
				return i + 1, true
			case (c < '0' || c > '9') && c != ';' && c != ':':
				return 0, true
			}
		}
		return 0, false
	}
	if !utf8.FullRune(b) {
		return 0, false
	}
	r, n := utf8.DecodeRune(b)
	if r == utf8.RuneError && n == 1 || !s.shown(r) {
		return 0, true
	}
	return n, true
}
