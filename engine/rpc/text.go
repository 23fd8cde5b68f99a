package rpc

import (
	"errors"
	"io/fs"
	"strings"
	"unicode"
)

// maxMarks is how many combining marks one character may carry; more would paint over other lines.
const maxMarks = 4

// clean drops what could move the cursor, colour a terminal, turn the writing direction or hide: control and format characters,
// ones that draw nothing, marks beyond the fourth on a character. Tabs become spaces. What other machines and log files say is
// printed only so.
func clean(s string) string {
	marks := 0
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
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

// reason is the cause of a file error with its path cleaned.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return clean(pe.Path) + ": " + pe.Err.Error()
	}
	return clean(err.Error())
}
