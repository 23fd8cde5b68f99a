package common

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Visual puts right-to-left writing of a drawn screen into the order in which it is read, cell by cell: most terminals (xterm, kitty, Ghostty,
// tmux) draw letters in the order in which they come. Each run of text of one style is ordered by itself, so that a Hebrew name never moves what
// stands beside it. The marks that isolate writing (FSI, PDI) would do that only in the few
// terminals that know them, and others draw boxes for them.
func Visual(s string) string {
	if !rightToLeft(s) {
		return s
	}
	var b strings.Builder
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		if !rightToLeft(line) {
			b.WriteString(line)
			continue
		}
		var run strings.Builder
		flush := func() {
			b.WriteString(ordered(run.String()))
			run.Reset()
		}
		var state byte
		for rest := line; rest != ""; {
			seq, width, n, next := ansi.DecodeSequence(rest, state, nil)
			if width > 0 || n > 0 && !strings.HasPrefix(seq, "\x1b") {
				run.WriteString(seq)
			} else {
				flush()
				b.WriteString(seq)
			}
			rest, state = rest[n:], next
		}
		flush()
	}
	return b.String()
}

// rightToLeft tells whether there may be letters that are written from right to left, by the first bytes of their UTF-8: of screens nearly
// all have none.
func rightToLeft(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0xd6:
		case c <= 0xdf: // Hebrew, Arabic, Syriac, Thaana, N'Ko
			return true
		case i+1 >= len(s):
		case c == 0xe0 && s[i+1] <= 0xa3, c == 0xef && s[i+1] >= 0xac && s[i+1] <= 0xbb: // Samaritan to Arabic Extended; presentation forms
			return true
		case c == 0xf0 && (s[i+1] == 0x9e || s[i+1] == 0x90 && i+2 < len(s) && s[i+2] >= 0xa0): // Adlam and others; Phoenician and others
			return true
		}
	}
	return false
}

// writtenLeft are the scripts that are written from right to left.
var writtenLeft = []*unicode.RangeTable{unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Samaritan, unicode.Mandaic,
	unicode.Adlam, unicode.Mende_Kikakui, unicode.Hanifi_Rohingya}

// ordered is plain text, written from left to right, with what is written from right to left in it turned round: from one such letter to the
// last before a letter of the other direction, with the digits that follow at once. Numbers keep their order. It is the Unicode algorithm (UAX 9)
// for text without marks of direction, which Clean lets none through, but for numbers that stand apart: they stay where they are.
func ordered(s string) string {
	if !rightToLeft(s) {
		return s
	}
	var parts []string // characters as a person sees them
	for s != "" {
		g, _ := ansi.FirstGraphemeCluster(s, ansi.GraphemeWidth)
		if g == "" {
			_, n := utf8.DecodeRuneInString(s)
			g = s[:n]
		}
		s = s[len(g):]
		parts = append(parts, g)
	}
	const other, left, right, digit = 0, 1, 2, 3
	kind := func(g string) int {
		r, _ := utf8.DecodeRuneInString(g)
		switch {
		case unicode.IsDigit(r):
			return digit
		case !unicode.IsLetter(r):
			return other
		case unicode.In(r, writtenLeft...):
			return right
		}
		return left
	}
	for i := 0; i < len(parts); i++ {
		if kind(parts[i]) != right {
			continue
		}
		end := i + 1
		for j := i + 1; j < len(parts); j++ {
			k := kind(parts[j])
			if k == left {
				break
			}
			if k == right || k == digit && j == end {
				end = j + 1
			}
		}
		run := parts[i:end]
		slices.Reverse(run)
		for j := 0; j < len(run); j++ {
			if kind(run[j]) == digit {
				from := j
				for j+1 < len(run) && (kind(run[j+1]) == digit || j+2 < len(run) && (run[j+1] == "." || run[j+1] == ",") && kind(run[j+2]) == digit) {
					j++
				}
				slices.Reverse(run[from : j+1])
				continue
			}
			if at := strings.Index("()[]{}<>", run[j]); at >= 0 && len(run[j]) == 1 { // they look the other way
				run[j] = "()[]{}<>"[at^1 : at^1+1]
			}
		}
		i = end - 1
	}
	return strings.Join(parts, "")
}
