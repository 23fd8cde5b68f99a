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

// Path returns a path as it may go to a terminal: quoted where it holds control characters.
func Path(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
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

// Text returns s without what is not to be printed.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
