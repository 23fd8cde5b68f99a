// Package say prepares what goes into sentences for people.
package say

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode"
)

// Path returns a path as it may go to a terminal: quoted where it holds what is not shown as it is.
func Path(s string) string {
	if Escaped(s) != s {
		return Escaped(strconv.Quote(s)) // Quote lets fillers through
	}
	return s
}

// Cause is what went wrong without operation and path, which the sentence around it has.
func Cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return err
}

// Lines returns the last few lines of what a program said, on one line and without control characters.
func Lines(text []byte) string {
	const lines, length = 4, 300
	var last []string
	for line := range strings.Lines(string(text)) {
		s := []rune(Text(strings.TrimSpace(line)))
		if len(s) > 0 {
			last = append(last, string(s[:min(len(s), length)]))
		}
	}
	return strings.Join(last[max(0, len(last)-lines):], " | ")
}

// maxMarks is how many combining marks one character may carry; more would paint over other lines.
const maxMarks = 4

// Text drops what could move the cursor, colour a terminal, turn the writing direction or hide: control and format characters,
// ones that draw nothing, marks beyond the fourth on a character. Blanks of every kind become a space. What other machines, files and
// programs say is printed only so.
func Text(s string) string {
	marks := 0
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return -1
		}
		if !unicode.Is(unicode.M, r) {
			marks = 0
		} else if marks++; marks > maxMarks {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
