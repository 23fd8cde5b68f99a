package table

import (
	"errors"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// WriteParquet writes one group of columns: strings, int64, float and double, Snappy. Numbers that are missing are nulls. The facts are in the
// file's metadata under their names in lower case, as `ranked_by` of scores is.
func WriteParquet(w io.Writer, t *Table) error {
	schema := parquet.NewSchema("images", columnsOf(t))
	options := []parquet.WriterOption{schema, parquet.Compression(&parquet.Snappy)}
	for _, f := range t.Facts {
		options = append(options, parquet.KeyValueMetadata(strings.ToLower(f.Name), strings.ToValidUTF8(f.Value, "\uFFFD")))
	}
	out := parquet.NewWriter(w, options...)
	rows := make([]parquet.Row, 0, 1024)
	flush := func() error {
		_, err := out.WriteRows(rows)
		rows = rows[:0]
		return err
	}
	for i := range t.Rows {
		row := make(parquet.Row, len(t.Columns))
		for k := range t.Columns {
			row[k] = t.Columns[k].parquet(i, k)
		}
		if rows = append(rows, row); len(rows) == cap(rows) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return errors.Join(flush(), out.Close())
}

// parquet is the value of row i as column k holds it.
func (c *Column) parquet(i, k int) parquet.Value {
	if c.Kind == Text { // never null: an empty text is one
		return parquet.ByteArrayValue([]byte(strings.ToValidUTF8(c.Texts[i], "\uFFFD"))).Level(0, 0, k)
	}
	var v parquet.Value
	switch {
	case !c.has(i):
		return v.Level(0, 0, k)
	case c.Kind == Int:
		v = parquet.Int64Value(c.Ints[i])
	case c.Kind == Float32:
		v = parquet.FloatValue(c.Singles[i])
	default:
		v = parquet.DoubleValue(c.Doubles[i])
	}
	if !c.optional() {
		return v.Level(0, 0, k)
	}
	return v.Level(0, 1, k)
}

// optional says whether there may be nulls: always of floating point, so that the schema does not depend on the values.
func (c *Column) optional() bool {
	return c.Kind == Float32 || c.Kind == Float64 || c.Kind == Int && c.Missing != nil
}

// group is a parquet.Group whose columns stand in an order of their own, not in that of their names.
type group struct {
	parquet.Group
	order []string
}

func columnsOf(t *Table) group {
	g := group{Group: parquet.Group{}}
	for k := range t.Columns {
		c := &t.Columns[k]
		var n parquet.Node
		switch c.Kind {
		case Int:
			n = parquet.Int(64)
		case Float32:
			n = parquet.Leaf(parquet.FloatType)
		case Float64:
			n = parquet.Leaf(parquet.DoubleType)
		default:
			n = parquet.String()
		}
		if c.optional() {
			n = parquet.Optional(n)
		}
		name := strings.ToValidUTF8(c.Name, "\uFFFD")
		g.Group[name] = n
		g.order = append(g.order, name)
	}
	return g
}

// Fields are the columns, in their order.
func (g group) Fields() []parquet.Field {
	by := map[string]parquet.Field{}
	for _, f := range g.Group.Fields() {
		by[f.Name()] = f
	}
	out := make([]parquet.Field, len(g.order))
	for k, name := range g.order {
		out[k] = by[name]
	}
	return out
}
