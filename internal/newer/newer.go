// Package newer is how files say that a newer version of the program wrote them. Such a file is neither believed nor called damaged: it is left as it is.
package newer

import (
	"errors"
	"strconv"
	"strings"
)

// Err is the error about such a file.
var Err = errors.New("a newer version of anomalymatch wrote it: get the newest version")

// Magic is Err where got is the mark of a later version of the format that want is the mark of: the same but for a higher number at the end.
func Magic(got, want string) error {
	name, n := numbered(want)
	other, m := numbered(got)
	if name == other && m > n {
		return Err
	}
	return nil
}

func numbered(mark string) (name string, n int) {
	name = strings.TrimRight(strings.TrimSuffix(mark, "\n"), "0123456789")
	n, _ = strconv.Atoi(strings.TrimSuffix(mark[len(name):], "\n"))
	return name, n
}
