package session

import (
	"bufio"
	"io"
	"maps"
	"slices"
	"time"

	"anomalymatch/engine/label"
	"anomalymatch/internal/say"
)

// LabelLine is what is known of one image by its labels and marks, as WriteLabelsJSON writes it.
type LabelLine struct {
	ID       string      `json:"id"`
	Label    label.Value `json:"label"`              // empty: only marked
	By       string      `json:"by,omitempty"`       // who gave the label
	Time     *time.Time  `json:"time,omitempty"`     // when, by the clock of their machine
	Imported bool        `json:"imported,omitempty"` // it came from a file
	Bookmark bool        `json:"bookmark"`
	Tags     []string    `json:"tags"`
}

// WriteLabelsJSON writes one line of JSON an image that has a label or a mark, sorted by id. history is that of all writers, oldest first: it
// tells who gave the labels in force.
func WriteLabelsJSON(w io.Writer, labels map[string]label.Value, marks map[string]label.Marks, history []label.Event) error {
	last := map[string]label.Event{}
	for _, e := range history {
		if e.Mark == "" {
			last[e.ID] = e
		}
	}
	all := map[string]bool{}
	for id := range labels {
		all[id] = true
	}
	for id, m := range marks {
		if m != 0 {
			all[id] = true
		}
	}
	out := bufio.NewWriter(w)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		line := LabelLine{ID: id, Label: labels[id], Bookmark: marks[id].Has(label.Bookmark), Tags: []string{}}
		if e, ok := last[id]; ok && line.Label != label.None && e.To == line.Label {
			at := e.Time.UTC()
			line.By, line.Time, line.Imported = e.By, &at, e.Imported()
		}
		for _, m := range marks[id].Names() {
			if m != label.Bookmark {
				line.Tags = append(line.Tags, m)
			}
		}
		if err := say.JSON(out, line); err != nil {
			return err
		}
	}
	return out.Flush()
}
