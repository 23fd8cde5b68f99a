package table

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"anomalymatch/internal/say"
)

// block is what FITS counts in.
const block = 2880

// WriteFITS writes an empty primary HDU and one binary table. Texts are as wide as the longest of their column, padded with blanks; missing
// whole numbers are TNULL, missing floats NaN.
func WriteFITS(w io.Writer, t *Table) error {
	widths := make([]int, len(t.Columns)) // bytes of a value
	line := 0
	for k := range t.Columns {
		c := &t.Columns[k]
		switch c.Kind {
		case Int, Float64:
			widths[k] = 8
		case Float32:
			widths[k] = 4
		default:
			widths[k] = 1
			for _, s := range c.Texts {
				widths[k] = max(widths[k], len(say.ASCII(s)))
			}
		}
		line += widths[k]
	}
	out := bufio.NewWriter(w)
	var h header
	h.add("SIMPLE", true, "")
	h.add("BITPIX", 8, "")
	h.add("NAXIS", 0, "")
	h.add("EXTEND", true, "")
	h.write(out)

	h = header{}
	h.add("XTENSION", "BINTABLE", "")
	h.add("BITPIX", 8, "")
	h.add("NAXIS", 2, "")
	h.add("NAXIS1", line, "bytes of a row")
	h.add("NAXIS2", t.Rows, "rows")
	h.add("PCOUNT", 0, "")
	h.add("GCOUNT", 1, "")
	h.add("TFIELDS", len(t.Columns), "")
	h.add("EXTNAME", t.Name, "")
	for k := range t.Columns {
		c, n := &t.Columns[k], k+1
		h.add(fmt.Sprint("TTYPE", n), c.Name, "")
		switch c.Kind {
		case Int:
			h.add(fmt.Sprint("TFORM", n), "K", "")
			if c.Missing != nil {
				h.add(fmt.Sprint("TNULL", n), missingInt, "")
			}
		case Float32:
			h.add(fmt.Sprint("TFORM", n), "E", "")
		case Float64:
			h.add(fmt.Sprint("TFORM", n), "D", "")
		default:
			h.add(fmt.Sprint("TFORM", n), fmt.Sprintf("%dA", widths[k]), "")
		}
		if c.Unit != "" {
			h.add(fmt.Sprint("TUNIT", n), c.Unit, "")
		}
		if c.UCD != "" {
			h.add(fmt.Sprint("TUCD", n), c.UCD, "")
		}
		if c.About != "" {
			h.add(fmt.Sprint("TCOMM", n), c.About, "")
		}
	}
	for _, f := range t.Facts {
		h.add(f.Name, f.Value, "")
	}
	h.write(out)

	var b []byte
	for i := range t.Rows {
		b = b[:0]
		for k := range t.Columns {
			c := &t.Columns[k]
			switch c.Kind {
			case Int:
				v := int64(missingInt)
				if c.has(i) {
					v = c.Ints[i]
				}
				b = binary.BigEndian.AppendUint64(b, uint64(v))
			case Float32:
				b = binary.BigEndian.AppendUint32(b, math.Float32bits(c.Singles[i]))
			case Float64:
				b = binary.BigEndian.AppendUint64(b, math.Float64bits(c.Doubles[i]))
			default:
				s := say.ASCII(c.Texts[i])
				b = append(b, s...)
				for range widths[k] - len(s) {
					b = append(b, ' ')
				}
			}
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	if rest := int64(line) * int64(t.Rows) % block; rest > 0 {
		out.Write(make([]byte, block-rest)) // Flush has the error
	}
	return out.Flush()
}

// header of an HDU: cards of 80 characters.
type header struct{ b strings.Builder }

// add adds a keyword of at most eight characters. A text that has no room is cut off; it is one for people.
func (h *header) add(key string, value any, about string) {
	var card string
	switch v := value.(type) {
	case string:
		s := say.ASCII(v)
		for strings.Count(s, "'")+len(s) > 68 {
			s = s[:len(s)-1]
		}
		card = fmt.Sprintf("%-8s= '%-8s'", key, strings.ReplaceAll(s, "'", "''"))
	case bool:
		card = fmt.Sprintf("%-8s= %20s", key, map[bool]string{true: "T", false: "F"}[v])
	default:
		card = fmt.Sprintf("%-8s= %20d", key, v)
	}
	if about != "" {
		card += " / " + about
	}
	fmt.Fprintf(&h.b, "%-80.80s", card)
}

func (h *header) write(w *bufio.Writer) {
	fmt.Fprintf(&h.b, "%-80s", "END")
	text := h.b.String()
	w.WriteString(text)
	if rest := len(text) % block; rest > 0 {
		w.WriteString(strings.Repeat(" ", block-rest))
	}
}
