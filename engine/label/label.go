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

// Change is one label event before it is written: the image, its new label, the label it replaces.
type Change struct {
	ID   string
	To   Value
	From Value
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
