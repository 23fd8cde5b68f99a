package score

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"anomalymatch/internal/atomicfile"

	"github.com/parquet-go/parquet-go"
)

// Row is one image of a ranked list.
type Row struct {
	ID    string  `parquet:"id"`
	Score float32 `parquet:"score"`
	Label string  `parquet:"label,dict"` // anomaly, normal, skip or empty
	Rank  int64   `parquet:"rank"`       // 1 is the best
}

// MarshalJSON writes null where there is no score (NaN).
func (r Row) MarshalJSON() ([]byte, error) {
	out := struct {
		ID    string   `json:"id"`
		Score *float32 `json:"score"`
		Label string   `json:"label"`
		Rank  int64    `json:"rank"`
	}{r.ID, &r.Score, r.Label, r.Rank}
	if r.Score != r.Score {
		out.Score = nil
	}
	return json.Marshal(out)
}

// WriteCSV writes id,score,label,rank, one line an image; the score is empty where there is none (NaN). Ids are written as they are, also those a spreadsheet takes for formulas:
// a changed id would not be found again.
func WriteCSV(w io.Writer, rows []Row) error {
	out := csv.NewWriter(w)
	line := []string{"id", "score", "label", "rank"}
	_ = out.Write(line) // Error has it
	for _, r := range rows {
		line[0], line[1], line[2], line[3] = r.ID, "", r.Label, strconv.FormatInt(r.Rank, 10)
		if r.Score == r.Score {
			line[1] = strconv.FormatFloat(float64(r.Score), 'g', -1, 32)
		}
		_ = out.Write(line)
	}
	out.Flush()
	return out.Error()
}

// WriteParquet writes the columns of Row: id and label as strings, score as float, rank as int64. rankedBy is kept in the file's
// metadata under ranked_by.
func WriteParquet(w io.Writer, rows []Row, rankedBy string) error {
	out := parquet.NewGenericWriter[Row](w, parquet.Compression(&parquet.Snappy), parquet.KeyValueMetadata("ranked_by", rankedBy))
	_, err := out.Write(rows)
	return errors.Join(err, out.Close())
}

// Export writes rows to path, all of them or nothing: Parquet for .parquet, else CSV. See Format.
func Export(path string, rows []Row, rankedBy string) error {
	format, err := Format(path)
	if err != nil {
		return err
	}
	err = atomicfile.Replace(path, func(w io.Writer) error {
		if format == "parquet" {
			return WriteParquet(w, rows, rankedBy)
		}
		return WriteCSV(w, rows)
	})
	if err != nil {
		return fmt.Errorf("the ranked list cannot be written: %w", err)
	}
	return nil
}

// Format tells from a file's name what Export writes into it: "csv" or "parquet". Another ending is an error.
func Format(path string) (string, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".csv", ".parquet":
		return ext[1:], nil
	}
	return "", fmt.Errorf("%q ends neither in .csv nor in .parquet", path)
}
