package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
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

	Format     string   `json:"format"`
	Unlabelled int      `json:"unlabelled"`           // images that the file names without a label
	Unmatched  int      `json:"unmatched"`            // of the bad lines, those that name no image
	Ambiguous  int      `json:"ambiguous"`            // and those whose name can be several images
	Names      []string `json:"names,omitempty"`      // the first ones that name none
	Bookmarked int      `json:"bookmarked,omitempty"` // with --as bookmark
}

func (m imported) String() string {
	text := fmt.Sprintf("%s: %d anomaly, %d normal", common.Plural(m.Anomalies+m.Normals+m.Skipped, "label"), m.Anomalies, m.Normals)
	if m.Skipped > 0 {
		text += fmt.Sprintf(", %d skip", m.Skipped)
	}
	if m.Unchanged > 0 {
		text += fmt.Sprintf("; %d of them as before", m.Unchanged)
	}
	if m.Bookmarked > 0 {
		text = common.Plural(m.Bookmarked, "bookmark")
	}
	if m.Format != session.OwnLabels {
		text += "; from " + map[string]string{session.Names: "a list of names"}[m.Format] + map[bool]string{true: m.Format}[m.Format != session.Names]
	}
	if m.Unlabelled > 0 {
		text += fmt.Sprintf("; %d without a label", m.Unlabelled)
	}
	if m.Unmatched > 0 {
		text += fmt.Sprintf("; %d match no image: %s", m.Unmatched, common.Cut(common.Clean(strings.Join(m.Names, ", ")), 100))
		if m.Unmatched > len(m.Names) {
			text += ", …"
		}
	}
	if m.Ambiguous > 0 {
		text += fmt.Sprintf("; %d can be several images", m.Ambiguous)
	}
	return text
}

// listed is how many bad lines are shown one by one.
const listed = 20

// importAs is how a file of labels is understood.
type importAs struct {
	session.LabelOptions
	bookmark bool // names are bookmarked, not labelled
}

// importLabels takes the labels of a file into the project's journal. Bad lines are listed and left out; a file that is not understood changes nothing.
func importLabels(p *session.Project, pool *dataset.Pool, file string, how importAs, line *progress.Line) (imported, error) {
	read, err := readLabels(file, how.LabelOptions)
	if err != nil {
		return imported{}, err
	}
	store, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return imported{}, err
	}
	plan := session.PlanImport(read.Rows, meta.Matcher(pool), pool.ID, store.Current())
	bad := append(read.Bad, plan.Bad...)
	m := imported{Format: read.Format, Unlabelled: read.Unlabelled, Bad: len(bad), Unmatched: plan.Unmatched, Ambiguous: plan.Ambiguous, Names: plan.Names}
	if how.bookmark {
		plan.Changes, plan.Counts, plan.Unchanged = plan.Marked(label.Bookmark, store.Marks()), nil, 0
		m.Bookmarked = len(plan.Changes)
	}
	err = errors.Join(store.Append("", label.ImportedUID+rand.Text(), plan.Changes), store.Close())
	if err != nil {
		return imported{}, err
	}
	m.Anomalies, m.Normals, m.Skipped, m.Unchanged = plan.Counts[label.Anomaly], plan.Counts[label.Normal], plan.Counts[label.Skip], plan.Unchanged
	return m, sayBadRows(file, bad, line)
}

// readLabels reads the labels of a file, and which lines are none.
func readLabels(file string, opt session.LabelOptions) (session.LabelFile, error) {
	f, err := os.Open(file)
	if err != nil {
		return session.LabelFile{}, fmt.Errorf("the labels cannot be read: %w", err)
	}
	defer f.Close()
	read, err := session.ReadLabels(f, opt)
	if err != nil {
		return read, fmt.Errorf("%s: %w", file, err)
	}
	return read, nil
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
