package rpc

import (
	"errors"
	"io/fs"
	"strings"
	"unicode"
)

// clean drops what could move the cursor or colour a terminal; tabs become spaces.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
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
