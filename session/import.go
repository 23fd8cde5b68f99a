package session

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"anomalymatch/engine/label"
)

// Import is what a labels CSV means for a project.
type Import struct {
	Changes   []label.Change      // what is new, in the file's order
	Counts    map[label.Value]int // images by the label that the file gives them
	Unchanged int                 // of these, images that have that label already
	Bad       []BadRow            // lines that cannot be used
	Unmatched int                 // of these, lines that name no image
	Ambiguous int                 // and lines whose name can be several images
	Names     []string            // the first ones that name none, as the file has them

	images []string // ids of all that the file names, in its order
}

// firstNames is how many names that match nothing are kept.
const firstNames = 5

// PlanImport matches the rows of a labels CSV with images: match finds the one image that a name means and id names it; current are
// the labels that there are. Where two lines name one image the first is taken; another one that says otherwise is bad.
func PlanImport(rows []LabelRow, match func(name string) (int, error), id func(i int) string, current map[string]label.Value) Import {
	plan := Import{Counts: map[label.Value]int{}}
	first := map[int]LabelRow{}
	for _, row := range rows {
		i, err := match(row.Name)
		if err != nil {
			plan.Bad = append(plan.Bad, BadRow{row.Line, err.Error()})
			var several interface{ Several() int }
			if errors.As(err, &several) {
				plan.Ambiguous++
			} else if plan.Unmatched++; len(plan.Names) < firstNames {
				plan.Names = append(plan.Names, row.Name)
			}
			continue
		}
		if before, again := first[i]; again {
			if before.Label != row.Label {
				plan.Bad = append(plan.Bad, BadRow{row.Line, fmt.Sprintf("%.200q is %s here and, as %.200q, %s on line %d", row.Name, row.Label, before.Name, before.Label, before.Line)})
			}
			continue
		}
		first[i] = row
		plan.Counts[row.Label]++
		plan.images = append(plan.images, id(i))
		was := current[id(i)]
		if was == row.Label {
			plan.Unchanged++
			continue
		}
		plan.Changes = append(plan.Changes, label.Change{ID: id(i), To: row.Label, From: was})
	}
	return plan
}

// SortBadRows puts lines in the order of the file.
func SortBadRows(bad []BadRow) {
	slices.SortStableFunc(bad, func(a, b BadRow) int { return cmp.Compare(a.Line, b.Line) })
}

// Marked are the changes that give all images of the plan a mark instead of a label.
func (i Import) Marked(mark string, marks map[string]label.Marks) (changes []label.Change) {
	for _, id := range i.images {
		if !marks[id].Has(mark) {
			changes = append(changes, label.Change{ID: id, To: label.On, Mark: mark})
		}
	}
	return changes
}
