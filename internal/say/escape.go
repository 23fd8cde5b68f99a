package say

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escaped is s for files that people look at and programs read: what Text would drop stands as Go writes it (\u001b), bytes that are no UTF-8 as \xff.
// Every other text stays as it is, a backslash too.
func Escaped(s string) string { return escaped(s, new(drawn).shown) }

// drawn says of one character of a text after the other whether it draws something where it stands, and nothing else.
type drawn struct{ marks int }

func (d *drawn) shown(r rune) bool {
	if !unicode.Is(unicode.M, r) {
		d.marks = 0
	} else if d.marks++; d.marks > maxMarks {
		return false
	}
	return shown(r)
}

// ASCII is Escaped for formats that hold nothing but printable ASCII.
func ASCII(s string) string {
	return escaped(s, func(r rune) bool { return r >= ' ' && r <= '~' })
}

// shown says whether a character draws something where it stands, and nothing else.
func shown(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// plain: printable ASCII, as nearly all names are.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func escaped(s string, stays func(rune) bool) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case stays(r):
			b.WriteString(s[i : i+n])
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += n
	}
	return b.String()
}
