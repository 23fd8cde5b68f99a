// Package label holds the words a person can say about an image. It is apart from everything else because the journal, the
// engine and the link all need them and nothing more.
package label

import (
	"fmt"
	"strings"
	"time"
)

// Value is what a person said about an image. The zero value means: no label.
type Value string

const (
	None    Value = ""        // never labelled, or cleared
	Anomaly Value = "anomaly" // what is being looked for
	Normal  Value = "normal"  // everything else
	Skip    Value = "skip"    // looked at, undecided; trains nothing
)

// Parse reads a label as journals and CSV files write it.
func Parse(s string) (Value, error) {
	switch v := Value(s); v {
	case None, Anomaly, Normal, Skip:
		return v, nil
	}
	return None, fmt.Errorf("label %q is not one of anomaly, normal, skip", s)
}

// Trains reports whether the label is a training example.
func (v Value) Trains() bool { return v == Anomaly || v == Normal }

// On is what a mark's change goes to when the image gets the mark.
const On Value = "on"

// Bookmark is the mark that is no tag. The tags are "1" to "9". Marks train nothing.
const Bookmark = "bookmark"

// Marks is a set of marks: the bookmark and nine tags.
type Marks uint16

// bit is a mark's place in the set; -1: there is no such mark.
func bit(mark string) int {
	switch {
	case mark == Bookmark:
		return 0
	case len(mark) == 1 && mark[0] >= '1' && mark[0] <= '9':
		return int(mark[0] - '0')
	}
	return -1
}

// Has reports whether the mark is in the set.
func (m Marks) Has(mark string) bool { b := bit(mark); return b >= 0 && m&(1<<b) != 0 }

// With is the set with the mark, or without it.
func (m Marks) With(mark string, on bool) Marks {
	b := bit(mark)
	switch {
	case b < 0:
		return m
	case on:
		return m | 1<<b
	}
	return m &^ (1 << b)
}

// Names are the marks of the set, the bookmark first, tags in their order.
func (m Marks) Names() (names []string) {
	if m.Has(Bookmark) {
		names = append(names, Bookmark)
	}
	for tag := '1'; tag <= '9'; tag++ {
		if m.Has(string(tag)) {
			names = append(names, string(tag))
		}
	}
	return names
}

// Change is one label event before it is written: the image, its new label, the label it replaces. Where Mark is a mark, To and From
// are On or None.
type Change struct {
	ID   string
	To   Value
	From Value
	Mark string // empty: of the label
}

// Check refuses a change that says nothing that can be said.
func (c Change) Check() error {
	for _, v := range []Value{c.To, c.From} {
		switch {
		case c.Mark == "":
			if _, err := Parse(string(v)); err != nil {
				return err
			}
		case bit(c.Mark) < 0:
			return fmt.Errorf("mark %q is not bookmark or one of 1 to 9", c.Mark)
		case v != None && v != On:
			return fmt.Errorf("a mark goes on or off, not to %q", string(v))
		}
	}
	return nil
}

// Event is a label event as a journal holds it.
type Event struct {
	Lamport uint64    // logical clock of its writer, ≥ 1
	Time    time.Time // wall clock of its writer, whole milliseconds, UTC; for people, never for the order
	By      string    // who
	UID     string    // the step it belongs to
	Change
}

// ImportedUID begins the uid of a step that was read from a file: nobody looked at the images.
const ImportedUID = "import-"

// Imported reports whether the event came from a file.
func (e Event) Imported() bool { return strings.HasPrefix(e.UID, ImportedUID) }
