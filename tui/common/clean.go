package common

import (
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
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
		case r >= 0x1f3fb && r <= 0x1f3ff: // tone of an emoji: terminals disagree whether it is a character of its own
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

// graphemes: a terminal with mode 2027 takes what a person sees as one character for one; others count code points, so that a syllable of
// Devanagari is as wide as its letters. What is laid out must be counted as the terminal counts.
var graphemes atomic.Bool

// Joins takes the terminal's answer to how it counts; the renderer learns it by the same message.
func Joins(msg tea.ModeReportMsg) {
	if msg.Mode == ansi.ModeUnicodeCore {
		graphemes.Store(msg.Value == ansi.ModeReset || msg.Value == ansi.ModeSet || msg.Value == ansi.ModePermanentlySet)
	}
}

// Width is how many cells s takes; escape sequences take none.
func Width(s string) int {
	if graphemes.Load() {
		return ansi.StringWidth(s)
	}
	return ansi.StringWidthWc(s)
}

// truncate keeps at most the first w cells, tail among them.
func truncate(s string, w int, tail string) string {
	cut := ansi.TruncateWc
	if graphemes.Load() {
		cut = ansi.Truncate
	}
	out := cut(s, w, tail)
	for n := w - 1; n > 0 && Width(out) > w; n-- { // a mark that takes a cell of its own goes with its letter
		out = cut(s, n, tail)
	}
	if Width(out) > w {
		return ""
	}
	return out
}

// truncateLeft drops the first n cells, and the whole of a wide character that begins in them.
func truncateLeft(s string, n int, head string) string {
	cut := ansi.TruncateLeftWc
	if graphemes.Load() {
		cut = ansi.TruncateLeft
	}
	most := max(0, Width(s)-n) + Width(head)
	out := cut(s, n, head)
	for k := n + 1; k <= Width(s) && Width(out) > most; k++ { // joined characters come whole, as wide as all of them
		out = cut(s, k, head)
	}
	return out
}

// Cut shortens s to w cells, with … where something is missing.
func Cut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	return truncate(s, w, "…")
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
	return truncateLeft(s, n-w+1, "…")
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
	if graphemes.Load() {
		return strings.Split(ansi.Wrap(s, w, ""), "\n")
	}
	return strings.Split(ansi.WrapWc(s, w, ""), "\n")
}

// Lines makes exactly h lines of w cells of a block of text; none where there is no room.
func Lines(lines []string, w, h int) []string {
	out := make([]string, max(0, h))
	for i := range out {
		if i < len(lines) {
			out[i] = Fit(lines[i], w)
		} else {
			out[i] = Blank(w)
		}
	}
	return out
}

// behind is what follows the first n cells; of a wide character that is cut in half a blank.
func behind(s string, n int) string {
	rest := truncateLeft(s, n, "")
	return Blank(max(0, Width(s)-n)-Width(rest)) + rest
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
		out[y+i] = Fit(truncate(under, x, ""), x) + "\x1b[m" + line + "\x1b[m" + behind(under, x+w)
	}
	return out
}
