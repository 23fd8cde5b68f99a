package session

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"anomalymatch/engine/label"
	"anomalymatch/internal/say"
)

// LabelRow is one line of a labels CSV: an image as the file names it (id, path or base name), and its label.
type LabelRow struct {
	Line  int // 1 = the header
	Name  string
	Label label.Value
}

// BadRow is a line that could not be used.
type BadRow struct {
	Line   int
	Reason string // a sentence for people
}

// The words that are read; upper case and spaces around them do not matter.
var (
	nameColumns  = []string{"filename", "id"}
	labelColumns = []string{"label"}
	labelWords   = map[string]label.Value{
		"anomaly": label.Anomaly, "1": label.Anomaly,
		"normal": label.Normal, "0": label.Normal,
		"skip": label.Skip,
	}
)

// ReadLabelsCSV reads images and their labels. The first line names the columns, in any order: filename (or id) and label;
// further columns are ignored. Labels are anomaly or 1, normal or 0, skip. A line that cannot be used is in bad, with the
// reason, and the rest is read. Of an image that is there twice the first line is taken; another one that says otherwise is bad.
// err: the file as a whole is no such table, or could not be read to its end.
func ReadLabelsCSV(r io.Reader) (rows []LabelRow, bad []BadRow, err error) {
	in := bufio.NewReader(r)
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = in.Discard(3)
	}
	table := csv.NewReader(in)
	table.FieldsPerRecord = -1
	table.ReuseRecord = true
	header, err := table.Read()
	if err == io.EOF {
		return nil, nil, errors.New("the labels file is empty: its first line must be filename,label")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the labels file cannot be read: %w", err)
	}
	name, word := column(header, nameColumns), column(header, labelColumns)
	if name < 0 || word < 0 {
		return nil, nil, fmt.Errorf("the first line of a labels file must be filename,label; this one is %.100q", strings.Join(header, ","))
	}
	first := map[string]LabelRow{}
	for {
		record, err := table.Read()
		var syntax *csv.ParseError
		switch {
		case err == io.EOF:
			return rows, bad, nil
		case errors.As(err, &syntax):
			bad = append(bad, BadRow{syntax.StartLine, "a quotation mark is wrong here: " + syntax.Err.Error()})
			continue
		case err != nil:
			return rows, bad, fmt.Errorf("the labels file cannot be read to its end: %w", err)
		}
		line, _ := table.FieldPos(0)
		row, err := labelRow(line, record, name, word)
		if err != nil {
			bad = append(bad, BadRow{line, err.Error()})
			continue
		}
		switch before, ok := first[row.Name]; {
		case !ok:
			first[row.Name] = row
			rows = append(rows, row)
		case before.Label != row.Label:
			bad = append(bad, BadRow{line, fmt.Sprintf("%.200q is %s here and %s on line %d", row.Name, row.Label, before.Label, before.Line)})
		}
	}
}

func labelRow(line int, record []string, name, word int) (LabelRow, error) {
	if len(record) <= max(name, word) {
		return LabelRow{}, fmt.Errorf("there are %d columns, and the first line has more", len(record))
	}
	row := LabelRow{Line: line, Name: strings.Clone(record[name])} // a copy, so that the whole line is not kept in memory
	if row.Name == "" {
		return LabelRow{}, errors.New("the name of the image is missing")
	}
	v, ok := labelWords[strings.ToLower(strings.TrimSpace(record[word]))]
	if !ok {
		return LabelRow{}, fmt.Errorf("%.50q is no label: anomaly or 1, normal or 0, or skip", record[word])
	}
	row.Label = v
	return row, nil
}

// column finds the first of the names among the header's, or -1.
func column(header, names []string) int {
	for _, name := range names {
		if i := slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) }); i >= 0 {
			return i
		}
	}
	return -1
}

// WriteLabelsCSV writes filename,label, one line an image that has a label, sorted by name. What of a name would act on a terminal or in a spreadsheet is
// escaped (say.Cell), and found again when it is imported (dataset.Pool.Match).
func WriteLabelsCSV(w io.Writer, labels map[string]label.Value) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"filename", "label"}) // Error has it
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if v := labels[name]; v != label.None {
			_ = out.Write([]string{say.Cell(name), string(v)})
		}
	}
	out.Flush()
	return out.Error()
}

// WriteMarksCSV writes filename,mark, one line a mark, sorted by name.
func WriteMarksCSV(w io.Writer, marks map[string]label.Marks) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"filename", "mark"}) // Error has it
	for _, name := range slices.Sorted(maps.Keys(marks)) {
		for _, mark := range marks[name].Names() {
			_ = out.Write([]string{say.Cell(name), say.Cell(mark)})
		}
	}
	out.Flush()
	return out.Error()
}
