package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/label"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/tui/common"
)

// imported is what became of a labels CSV.
type imported struct {
	Anomalies int `json:"anomalies"`
	Normals   int `json:"normals"`
	Skipped   int `json:"skipped"`
	Unchanged int `json:"unchanged"` // of these, labels that the images had already
	Bad       int `json:"bad"`       // lines that were left out
}

func (m imported) String() string {
	text := fmt.Sprintf("%s: %d anomaly, %d normal", common.Plural(m.Anomalies+m.Normals+m.Skipped, "label"), m.Anomalies, m.Normals)
	if m.Skipped > 0 {
		text += fmt.Sprintf(", %d skip", m.Skipped)
	}
	if m.Unchanged > 0 {
		text += fmt.Sprintf("; %d of them as before", m.Unchanged)
	}
	return text
}

// listed is how many bad lines are shown one by one.
const listed = 20

// importLabels takes the labels of a CSV into the project's journal. Bad lines are listed and left out.
func importLabels(p *session.Project, pool *dataset.Pool, file string, line *progress.Line) (imported, error) {
	rows, bad, err := readLabels(file)
	if err != nil {
		return imported{}, err
	}
	store, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return imported{}, err
	}
	plan := session.PlanImport(rows, pool.Match, pool.ID, store.Current())
	bad = append(bad, plan.Bad...)
	err = errors.Join(store.Append("", label.ImportedUID+rand.Text(), plan.Changes), store.Close())
	if err != nil {
		return imported{}, err
	}
	m := imported{Anomalies: plan.Counts[label.Anomaly], Normals: plan.Counts[label.Normal], Skipped: plan.Counts[label.Skip], Unchanged: plan.Unchanged, Bad: len(bad)}
	return m, sayBadRows(file, bad, line)
}

// readLabels reads the rows of a CSV, and which lines are none.
func readLabels(file string) ([]session.LabelRow, []session.BadRow, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fmt.Errorf("the labels cannot be read: %w", err)
	}
	defer f.Close()
	rows, bad, err := session.ReadLabelsCSV(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return rows, bad, nil
}

// sayBadRows lists the lines of a file that were left out, if there are any.
func sayBadRows(file string, bad []session.BadRow, line *progress.Line) error {
	if len(bad) == 0 {
		return nil
	}
	session.SortBadRows(bad)
	for _, b := range bad[:min(len(bad), listed)] {
		line.Say(fmt.Sprintf("%s:%d: %s", file, b.Line, b.Reason))
	}
	if more := len(bad) - listed; more > 0 {
		line.Say(fmt.Sprintf("and %s", common.Plural(more, "more bad line")))
	}
	return badInputs("%s of %s left out, the rest is imported", common.Plural(len(bad), "line"), file)
}
