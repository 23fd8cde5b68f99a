package session

import (
	"cmp"
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
}

// PlanImport matches the rows of a labels CSV with images: match finds the one image that a name means and id names it; current are
// the labels that there are. Where two lines name one image the first is taken; another one that says otherwise is bad.
func PlanImport(rows []LabelRow, match func(name string) (int, error), id func(i int) string, current map[string]label.Value) Import {
	plan := Import{Counts: map[label.Value]int{}}
	first := map[int]LabelRow{}
	for _, row := range rows {
		i, err := match(row.Name)
		if err != nil {
			plan.Bad = append(plan.Bad, BadRow{row.Line, err.Error()})
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
