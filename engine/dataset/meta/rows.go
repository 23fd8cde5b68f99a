package meta

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"anomalymatch/engine/dataset/array"
	"anomalymatch/engine/dataset/fits"
	"anomalymatch/engine/dataset/parquet"
	"anomalymatch/engine/dataset/raw"
)

// heading is a column as its file names it.
type heading struct{ name, unit string }

// cell is one value of a row, valid until the next one.
type cell struct {
	kind cellKind
	i    int64
	f    float64
	text []byte
}

type cellKind uint8

const (
	nothing cellKind = iota
	written          // text that may be a number
	ofInt
	ofFloat
	ofText
)

// source is a table in a file. each calls do with the wanted columns of each row; line is what people count.
type source interface {
	headings() []heading
	each(ctx context.Context, want []int, do func(row, line int64, cells []cell) error, bad func(line int64, why string)) error
}

// openSource opens a table by how its file begins. close is to be called in the end.
func openSource(path string) (s source, close func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	if !st.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("is no file")
	}
	head := make([]byte, len(fits.Magic))
	n, _ := f.ReadAt(head, 0)
	switch head = head[:n]; {
	case string(head) == fits.Magic, n > 1 && head[0] == 0x1f && head[1] == 0x8b:
		file, err := fits.Open(f, st.Size(), raw.Limits{})
		if err != nil {
			return nil, nil, err
		}
		table, err := file.FindTable("")
		if err != nil {
			return nil, nil, err
		}
		s = newFITS(table)
	case n >= 4 && string(head[:4]) == "PAR1":
		table, err := parquet.OpenTable(f, st.Size(), array.Options{})
		if err != nil {
			return nil, nil, err
		}
		s = newParquet(table)
	default:
		s, err = openText(func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(f, 0, math.MaxInt64)), nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return s, f.Close, nil
}

const blockOfRows = 4096 // read at once of tables that are columns

// fitsTable is a table of a FITS file.
type fitsTable struct {
	table   *fits.Table
	columns []int // that can be read
}

func newFITS(t *fits.Table) *fitsTable {
	s := &fitsTable{table: t}
	for i, c := range t.Columns {
		if c.Type != fits.None {
			s.columns = append(s.columns, i)
		}
	}
	return s
}

func (s *fitsTable) headings() (out []heading) {
	for _, i := range s.columns {
		out = append(out, heading{s.table.Columns[i].Name, s.table.Columns[i].Unit})
	}
	return out
}

func (s *fitsTable) each(ctx context.Context, want []int, do func(row, line int64, cells []cell) error, _ func(int64, string)) error {
	columns := make([]int, len(want))
	for i, c := range want {
		columns[i] = s.columns[c]
	}
	cells := make([]cell, len(want))
	for from := int64(0); from < s.table.Rows; from += blockOfRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(blockOfRows, s.table.Rows-from)
		values, err := s.table.Read(from, n, columns...)
		if err != nil {
			return err
		}
		for k := range int(n) {
			for i, v := range values {
				cells[i] = cell{}
				switch {
				case v.Missing != nil && v.Missing[k]:
				case v.Ints != nil:
					cells[i] = cell{kind: ofInt, i: v.Ints[k]}
				case v.Floats != nil:
					cells[i] = cell{kind: ofFloat, f: v.Floats[k]}
				case v.Text != nil:
					cells[i] = cell{kind: ofText, text: []byte(v.Text[k])}
				}
			}
			if err := do(from+int64(k), from+int64(k)+1, cells); err != nil {
				return err
			}
		}
	}
	return nil
}

// parquetTable is a Parquet file.
type parquetTable struct {
	table   *parquet.Table
	columns []*parquet.Column // without those that hold images
}

func newParquet(t *parquet.Table) *parquetTable {
	s := &parquetTable{table: t}
	for _, c := range t.Columns() {
		if c.Kind != parquet.Binary {
			s.columns = append(s.columns, c)
		}
	}
	return s
}

func (s *parquetTable) headings() (out []heading) {
	for _, c := range s.columns {
		out = append(out, heading{name: c.Name})
	}
	return out
}

func (s *parquetTable) each(ctx context.Context, want []int, do func(row, line int64, cells []cell) error, _ func(int64, string)) error {
	block := make([][]cell, len(want))
	cells := make([]cell, len(want))
	for from := int64(0); from < s.table.Rows(); from += blockOfRows {
		n := min(blockOfRows, s.table.Rows()-from)
		for i, c := range want {
			block[i] = block[i][:0]
			column := s.columns[c]
			for v, err := range column.Values(ctx, from) {
				if err != nil {
					return err
				}
				block[i] = append(block[i], parquetCell(column, v))
				if int64(len(block[i])) == n {
					break
				}
			}
		}
		for k := range int(n) {
			for i := range want {
				cells[i] = block[i][k]
			}
			if err := do(from+int64(k), from+int64(k)+1, cells); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func parquetCell(c *parquet.Column, v parquet.Value) cell {
	if v.Null() {
		return cell{}
	}
	switch c.Kind {
	case parquet.Integer:
		if i, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return cell{kind: ofInt, i: i}
		}
		return cell{kind: ofText, text: []byte(v.String())} // above 2^63
	case parquet.Float:
		if f, ok := v.Float(); ok {
			return cell{kind: ofFloat, f: f}
		}
		return cell{}
	case parquet.Bool:
		f, _ := v.Float()
		return cell{kind: ofInt, i: int64(f)}
	case parquet.Text:
		return cell{kind: ofText, text: v.Bytes()}
	}
	return cell{kind: ofText, text: []byte(v.String())}
}
