package table

import (
	"encoding/csv"
	"io"

	"anomalymatch/internal/say"
)

// WriteCSV writes a line of names and one a row (RFC 4180, but for line ends of one newline). No value: nothing between the commas. Texts that a
// spreadsheet would take for formulas are escaped, numbers are not.
func WriteCSV(w io.Writer, t *Table) error {
	out := csv.NewWriter(w)
	line := make([]string, len(t.Columns))
	for k := range t.Columns {
		line[k] = say.Cell(t.Columns[k].Name)
	}
	_ = out.Write(line) // Error has it
	for i := range t.Rows {
		for k := range t.Columns {
			if line[k] = t.Columns[k].text(i); t.Columns[k].Kind == Text {
				line[k] = say.Cell(line[k])
			}
		}
		if len(line) == 1 && line[0] == "" { // an empty line would be no row
			line[0] = " "
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
