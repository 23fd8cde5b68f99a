// Package quote makes words of a POSIX shell out of any text, so that nothing in a name or a path is ever obeyed.
package quote

import (
	"slices"
	"strings"
)

// Sh returns s as one word for a POSIX sh: what the shell makes of it is s, byte for byte. A word that begins with '-' stays one; it is for the caller to
// say that no options follow. No argument of a program can hold a NUL, and no script either: everything from the first NUL on is left out, as the kernel would
// leave it out.
func Sh(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	if s != "" && strings.Trim(s, plain) == "" && !slices.Contains(reserved, s) {
		return s
	}
	// Only ' ends a '…'; it is written as "'".
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

// plain are the bytes that mean nothing to any shell, wherever they stand; no '=' and no '~', which mean something at a start.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+"

// reserved are the words that are no command where one begins; of sh, bash, ksh and zsh.
var reserved = strings.Fields("if then else elif fi case esac for while until do done in function select time coproc repeat foreach end nocorrect")

// Line returns a command with its arguments, for a POSIX sh.
func Line(argv ...string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = Sh(a)
	}
	return strings.Join(words, " ")
}
