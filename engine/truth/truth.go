// Package truth reads what the images of a project really are, where somebody knows: benchmarks, the demo, a sky that was looked through. Nothing
// is trained on it; it measures the ranking.
package truth

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"anomalymatch/engine/label"
)

// Name is the file in the folder of a project.
const Name = "truth.csv"

// Read reads a CSV with the columns filename and truth (anomaly or 1, normal or 0), in any order, for a pool of n images: match finds the
// image that a name means. The answer is by image number, label.None where the file says nothing. Images that the pool does not have are left
// out; a file that names none of the pool's, and a line that is wrong, are errors, one sentence.
func Read(r io.Reader, n int, match func(name string) (int, error)) ([]label.Value, error) {
	in := bufio.NewReader(r)
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = in.Discard(3)
	}
	table := csv.NewReader(in)
	table.ReuseRecord = true
	header, err := table.Read()
	if err == io.EOF {
		return nil, errors.New("the truth file is empty: its first line must be filename,truth")
	}
	if err != nil {
		return nil, fmt.Errorf("the truth file cannot be read: %w", err)
	}
	column := func(names ...string) int {
		return slices.IndexFunc(header, func(h string) bool {
			return slices.Contains(names, strings.ToLower(strings.TrimSpace(h)))
		})
	}
	name, word := column("filename", "id"), column("truth")
	if name < 0 || word < 0 {
		return nil, fmt.Errorf("the first line of a truth file must be filename,truth; this one is %.100q", strings.Join(header, ","))
	}
	out, found := make([]label.Value, n), 0
	for {
		record, err := table.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the truth file cannot be read: %w", err)
		}
		line, _ := table.FieldPos(0)
		v := label.Value(strings.ToLower(strings.TrimSpace(record[word])))
		switch v {
		case "1":
			v = label.Anomaly
		case "0":
			v = label.Normal
		case label.Anomaly, label.Normal:
		default:
			return nil, fmt.Errorf("line %d of the truth file: %.50q is not anomaly or 1, normal or 0", line, record[word])
		}
		i, err := match(record[name])
		if err != nil {
			continue
		}
		if out[i] != label.None && out[i] != v {
			return nil, fmt.Errorf("line %d of the truth file: %.200q is %s here and %s before", line, record[name], v, out[i])
		}
		out[i] = v
		found++
	}
	if found == 0 {
		return nil, errors.New("the truth file names no image of this project")
	}
	return out, nil
}
