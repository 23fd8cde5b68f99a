package table

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"anomalymatch/internal/say"
)

// WriteVOTable writes a VOTable 1.4 of one table (its namespace is still that of 1.3, as the standard says). Texts are char, or unicodeChar
// where one is not ASCII; what is missing is an empty cell.
func WriteVOTable(w io.Writer, t *Table) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<?xml version="1.0" encoding="UTF-8"?>
<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">
<RESOURCE type="results">
<TABLE name="%s" nrows="%d">
`, escapeXML(t.Name), t.Rows)
	for _, f := range t.Facts {
		fmt.Fprintf(out, "<PARAM name=\"%s\" datatype=\"%s\" arraysize=\"*\" value=\"%s\"/>\n", escapeXML(strings.ToLower(f.Name)), textType(f.Value), escapeXML(f.Value))
	}
	for k := range t.Columns {
		c := &t.Columns[k]
		fmt.Fprintf(out, `<FIELD name="%s" %s`, escapeXML(c.Name), c.voType())
		if c.UCD != "" {
			fmt.Fprintf(out, ` ucd="%s"`, escapeXML(c.UCD))
		}
		if c.Unit != "" {
			fmt.Fprintf(out, ` unit="%s"`, escapeXML(c.Unit))
		}
		if c.About == "" {
			fmt.Fprintln(out, "/>")
			continue
		}
		fmt.Fprintf(out, "><DESCRIPTION>%s</DESCRIPTION></FIELD>\n", escapeXML(c.About))
	}
	fmt.Fprint(out, "<DATA>\n<TABLEDATA>\n")
	for i := range t.Rows {
		out.WriteString("<TR>")
		for k := range t.Columns {
			out.WriteString("<TD>")
			if err := xml.EscapeText(out, []byte(t.Columns[k].text(i))); err != nil {
				return err
			}
			out.WriteString("</TD>")
		}
		out.WriteString("</TR>\n")
	}
	fmt.Fprint(out, "</TABLEDATA>\n</DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n")
	return out.Flush()
}

func (c *Column) voType() string {
	switch c.Kind {
	case Int:
		return `datatype="long"`
	case Float32:
		return `datatype="float"`
	case Float64:
		return `datatype="double"`
	}
	for _, s := range c.Texts {
		if textType(s) != "char" {
			return `datatype="unicodeChar" arraysize="*"`
		}
	}
	return `datatype="char" arraysize="*"`
}

// textType is the type that holds a text: char is ASCII.
func textType(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return "unicodeChar"
		}
	}
	return "char"
}

func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(say.Escaped(s))) // a Builder takes all
	return b.String()
}
