package say

import (
	"errors"
	"strings"
	"syscall"
)

// disk is what is wrong with a disk in the system's words and in a person's, with what to do.
var disk = []struct {
	errno syscall.Errno
	text  string
}{
	{syscall.ENOSPC, "the disk is full, free some space"},
	{syscall.EDQUOT, "your share of the disk is used up, free some space"},
	{syscall.EROFS, "the file system is read-only, have it made writable"},
	{syscall.EIO, "the disk or the way to it fails (input/output error), have it looked at"},
	{syscall.ESTALE, "the file system went away and is another one now, try again"},
}

// Disk is what is wrong with the disk, and what to do; "" where an error is about something else.
func Disk(err error) string {
	for _, d := range disk {
		if errors.Is(err, d.errno) {
			return d.text
		}
	}
	return ""
}

var inPlainWords = func() *strings.Replacer {
	var pairs []string
	for _, d := range disk {
		if !strings.Contains(d.text, d.errno.Error()) {
			pairs = append(pairs, d.errno.Error(), d.text)
		}
	}
	return strings.NewReplacer(append(pairs, "("+syscall.EIO.Error()+")", "("+syscall.EIO.Error()+")", syscall.EIO.Error(), Disk(syscall.EIO))...)
}()

// Plain is a sentence in which what the system says of a disk is said for people, with what to do. It is for the rim: errors are compared inside.
func Plain(sentence string) string { return inPlainWords.Replace(sentence) }
