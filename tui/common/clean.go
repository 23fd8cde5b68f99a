package common

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// maxMarks is how many combining marks one character may carry: enough for every script, too few to paint over other lines.
const maxMarks = 4

// Clean makes text from file names, files and the engine safe to draw on one line: control characters, invalid UTF-8, marks that
// turn the writing direction, invisible and private characters (kitty's picture placeholder is one) become a visible sign. What
// comes out has no escape sequences and no line breaks.
func Clean(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	marks := 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if unicode.Is(unicode.M, r) {
			if marks++; marks > maxMarks || ignorable(r) {
				continue
			}
			b.WriteRune(r)
			continue
		}
		marks = 0
		switch {
		case r < 0x20:
			b.WriteRune('␀' + r)
		case r == 0x7f:
			b.WriteRune('␡')
		case r == utf8.RuneError || ignorable(r) || !unicode.IsPrint(r) && !unicode.Is(unicode.Zs, r):
			b.WriteRune('�')
		case unicode.Is(unicode.Zs, r):
			b.WriteByte(' ')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plain tells that s is printable ASCII, which nearly every name is.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// ignorable characters count as letters or marks and draw nothing (fillers), or change the width of what is before them, and
// terminals disagree by how much (variation selectors).
func ignorable(r rune) bool {
	return r > 0x7e && unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Width is how many cells s takes; escape sequences take none.
func Width(s string) int { return ansi.StringWidth(s) }

// Cut shortens s to w cells, with … where something is missing.
func Cut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	return ansi.Truncate(s, w, "…")
}

// CutLeft shortens s to its last w cells, with … in front: of a path the end tells more.
func CutLeft(s string, w int) string {
	n := Width(s)
	if n <= w {
		return s
	}
	if w <= 0 {
		return ""
	}
	return ansi.TruncateLeft(s, n-w+1, "…")
}

// Fit makes s exactly w cells wide: cut, or filled with blanks.
func Fit(s string, w int) string {
	n := Width(s)
	if n > w {
		s = Cut(s, w)
		n = Width(s)
	}
	return s + Blank(w-n)
}

// Blank is n blanks.
func Blank(n int) string { return strings.Repeat(" ", max(0, n)) }

// Ends puts left and right at the ends of a line of w cells; where both do not fit, left is cut.
func Ends(left, right string, w int) string {
	r := Width(right)
	if r >= w {
		return Fit(right, w)
	}
	return Fit(left, w-r) + right
}

// Wrap breaks plain text into lines of at most w cells, at blanks where it can.
func Wrap(s string, w int) []string {
	if w <= 0 {
		return nil
	}
	return strings.Split(ansi.Wrap(s, w, ""), "\n")
}

// Lines makes exactly h lines of w cells of a block of text.
func Lines(lines []string, w, h int) []string {
	h = max(0, h)
	out := make([]string, h)
	for i := range out {
		if i < len(lines) {
			out[i] = Fit(lines[i], w)
		} else {
			out[i] = Blank(w)
		}
	}
	return out
}

// Over lays block over the lines of base, its first cell at column x of line y. Both keep their styles.
func Over(base, block []string, x, y int) []string {
	out := append([]string(nil), base...)
	for i, line := range block {
		if y+i < 0 || y+i >= len(out) {
			continue
		}
		under := out[y+i]
		w := Width(line)
		out[y+i] = Fit(ansi.Truncate(under, x, ""), x) + "\x1b[m" + line + "\x1b[m" + ansi.TruncateLeft(under, x+w, "")
	}
	return out
}
