package export

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/export/table"
	"anomalymatch/engine/label"
	"anomalymatch/internal/say"
)

// DefaultRadius of a region, in degrees, where nothing says how large the image is on the sky: 5 seconds of arc.
const DefaultRadius = 5. / 3600

// colours of regions, by label.
var colours = map[label.Value]string{label.Anomaly: "red", label.Normal: "cyan", label.Skip: "yellow"}

// WriteRegions writes a region file of DS9: a circle around each image, named after it, in the list's order. Images without a position are left out;
// missing tells how many. In the names braces, which end a text of DS9, are brackets.
func WriteRegions(w io.Writer, l List, at func(i int) (dataset.Position, bool)) (missing int, err error) {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "# Region file format: DS9 version 4.1")
	fmt.Fprintln(out, `global color=green width=1 font="helvetica 10 normal roman" select=1 edit=0 move=0 delete=1`)
	fmt.Fprintln(out, "fk5")
	for i, c := range l.Candidates {
		p, ok := at(i)
		if !ok {
			missing++
			continue
		}
		name := strings.NewReplacer("{", "(", "}", ")").Replace(say.Escaped(c.ID))
		fmt.Fprintf(out, `circle(%.7f,%.7f,%.2f") # text={%s}`, p.RA, p.Dec, p.Radius*3600, name)
		if colour := colours[c.Label]; colour != "" {
			fmt.Fprintf(out, " color=%s tag={%s}", colour, c.Label)
		}
		fmt.Fprintln(out)
	}
	return missing, out.Flush()
}

// Positions are those that columns called ra and dec have, in degrees; nil where there are no such columns.
func Positions(columns []table.Column) func(i int) (dataset.Position, bool) {
	column := func(names ...string) func(i int) float64 {
		for _, name := range names {
			for k := range columns {
				if c := &columns[k]; strings.EqualFold(c.Name, name) && (c.Kind == table.Float64 || c.Kind == table.Float32) {
					if c.Kind == table.Float32 {
						return func(i int) float64 { return float64(c.Singles[i]) }
					}
					return func(i int) float64 { return c.Doubles[i] }
				}
			}
		}
		return nil
	}
	ra, dec := column("ra", "ra_deg", "right_ascension"), column("dec", "dec_deg", "declination")
	if ra == nil || dec == nil {
		return nil
	}
	return func(i int) (dataset.Position, bool) {
		p := dataset.Position{RA: math.Mod(ra(i)+360, 360), Dec: dec(i), Radius: DefaultRadius}
		return p, p.RA >= 0 && p.RA <= 360 && math.Abs(p.Dec) <= 90
	}
}
