package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Scales is what a plot is made of: reports of `bench scale --json`, of pools and of costs.
type Scales struct {
	Pools []ScaleReport
	Costs []CostReport
}

// Add takes in one report as JSON.
func (s *Scales) Add(text []byte) error {
	var probe struct {
		Images int               `json:"images"`
		Sizes  []json.RawMessage `json:"sizes"`
	}
	if err := json.Unmarshal(text, &probe); err != nil {
		return fmt.Errorf("is no JSON of bench scale: %w", err)
	}
	switch {
	case len(probe.Sizes) > 0:
		s.Costs = append(s.Costs, CostReport{})
		return json.Unmarshal(text, &s.Costs[len(s.Costs)-1])
	case probe.Images > 0:
		s.Pools = append(s.Pools, ScaleReport{})
		return json.Unmarshal(text, &s.Pools[len(s.Pools)-1])
	}
	return fmt.Errorf("is no report of bench scale: it has neither images nor sizes")
}

// dot is a measurement in a panel.
type dot struct {
	n, v      float64
	simulated bool
}

// panel is one diagram: a figure by the number of images, both axes logarithmic.
type panel struct {
	title, unit string
	dots        []dot     // ascending by n; of several reports of one n that of real files, and of those the last
	goals       []float64 // pairs of n and most; one with n 0 is for all
}

func (s *Scales) panels() []panel {
	of := func(title, unit string, goals []float64, value func(ScaleReport) float64) panel {
		by := map[float64]dot{}
		for _, r := range s.Pools {
			if v := value(r); v > 0 {
				if d := (dot{float64(r.Images), v, !r.Real}); !d.simulated || by[d.n].simulated || by[d.n].v == 0 {
					by[d.n] = d
				}
			}
		}
		return panel{title, unit, sortedDots(by), goals}
	}
	phase := func(r ScaleReport, what string) (p Phase) {
		if k := slices.IndexFunc(r.Phases, func(p Phase) bool { return strings.HasPrefix(p.What, what) }); k >= 0 {
			p = r.Phases[k]
		}
		return p
	}
	cost := map[float64]dot{}
	for _, c := range s.Costs {
		for _, size := range c.Sizes {
			cost[float64(size.Images)] = dot{n: float64(size.Images), v: size.All.CPU}
		}
	}
	costs := panel{title: "cost of an image, processor time", unit: "µs", dots: sortedDots(cost)}
	if len(costs.dots) > 0 {
		costs.goals = []float64{0, 1.1 * costs.dots[0].v}
	}
	return []panel{
		of("start to first picture", "s", []float64{0, 2}, func(r ScaleReport) float64 { return phase(r, "open the project").Seconds }),
		of("peak memory of the engine", "MiB", []float64{0, 1536}, func(r ScaleReport) float64 {
			return max(phase(r, "open the project").Peak, phase(r, "pages, labels").Peak)
		}),
		of("search among all ids", "ms", []float64{1e7, 100}, func(r ScaleReport) float64 { return r.Search.Median }),
		of("page after a label", "ms", []float64{0, 50}, func(r ScaleReport) float64 { return r.PageAfter.Median }),
		of("refit and new order", "s", []float64{1e5, 0.5, 1e6, 2}, func(r ScaleReport) float64 { return r.Refit.Median / 1000 }),
		costs,
	}
}

func sortedDots(by map[float64]dot) []dot {
	return slices.SortedFunc(maps.Values(by), func(a, b dot) int { return cmp.Compare(a.n, b.n) })
}

// The plot's measures in pixels.
const (
	panelW, panelH                   = 320, 220
	padLeft, padTop, padRight, padIn = 56, 34, 14, 34
	perRow                           = 3
)

// style draws in the colours of the page, light or dark; filled and hollow marks and dashes tell apart what colours would.
const style = `text{font:12px system-ui,sans-serif;fill:#333}.t{font-weight:600}.g{stroke:#888;stroke-opacity:.25}.l{stroke:#0072b2;stroke-width:2;fill:none}` +
	`.r{fill:#0072b2;stroke:#0072b2;stroke-width:2}.s{fill:#fff;stroke:#0072b2;stroke-width:2}.w{stroke:#d55e00;stroke-width:2;stroke-dasharray:5 4}` +
	`@media(prefers-color-scheme:dark){text{fill:#ddd}.l{stroke:#56b4e9}.r{fill:#56b4e9;stroke:#56b4e9}.s{fill:#111;stroke:#56b4e9}.w{stroke:#e69f00}}`

// SVG draws the figures of pools of all sizes as a picture: the same bytes for the same reports.
func (s *Scales) SVG() []byte {
	panels := s.panels()
	rows := (len(panels) + perRow - 1) / perRow
	var b strings.Builder
	w, h := perRow*panelW, rows*panelH+26
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="What pools of different sizes need"><style>%s</style>`+"\n", w, h, w, h, style)
	from, to := math.Inf(1), math.Inf(-1)
	for _, p := range panels {
		for _, d := range p.dots {
			from, to = min(from, math.Log10(d.n)), max(to, math.Log10(d.n))
		}
	}
	if from < to {
		for k, p := range panels {
			fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`+"\n", k%perRow*panelW, k/perRow*panelH)
			p.draw(&b, math.Floor(from), math.Ceil(to))
			b.WriteString("</g>\n")
		}
	}
	y := h - 10
	fmt.Fprintf(&b, `<circle class="r" cx="%d" cy="%d" r="4"/><text x="%d" y="%d">files</text>`, padLeft, y-4, padLeft+10, y)
	fmt.Fprintf(&b, `<circle class="s" cx="%d" cy="%d" r="4"/><text x="%d" y="%d">simulated list</text>`, padLeft+64, y-4, padLeft+74, y)
	fmt.Fprintf(&b, `<path class="w" d="M%d %dh26"/><text x="%d" y="%d">goal: at most</text>`, padLeft+180, y-4, padLeft+212, y)
	b.WriteString("\n</svg>\n")
	return []byte(b.String())
}

func (p panel) draw(b *strings.Builder, from, to float64) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, d := range p.dots {
		low, high = min(low, math.Log10(d.v)), max(high, math.Log10(d.v))
	}
	for k := 1; k < len(p.goals); k += 2 {
		high = max(high, math.Log10(p.goals[k]))
	}
	fmt.Fprintf(b, `<text class="t" x="%d" y="18">%s, %s</text>`+"\n", padLeft, html.EscapeString(p.title), p.unit)
	if len(p.dots) == 0 {
		fmt.Fprintf(b, `<text x="%d" y="%d">not measured</text>`+"\n", padLeft, panelH/2)
		return
	}
	low, high = math.Floor(low-0.01), math.Ceil(high+0.01)
	x := func(n float64) float64 {
		return padLeft + 10 + (math.Log10(n)-from)/(to-from)*(panelW-padLeft-padRight-20)
	}
	y := func(v float64) float64 {
		return panelH - padIn - (math.Log10(v)-low)/(high-low)*(panelH-padTop-padIn)
	}
	num := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	for e := low; e <= high; e++ {
		v := math.Pow(10, e)
		fmt.Fprintf(b, `<path class="g" d="M%d %sH%d"/><text x="%d" y="%s" text-anchor="end">%s</text>`, padLeft, num(y(v)), panelW-padRight, padLeft-6, num(y(v)+4), strconv.FormatFloat(v, 'g', -1, 64))
	}
	for e := from; e <= to; e++ {
		fmt.Fprintf(b, `<text x="%s" y="%d" text-anchor="middle">10<tspan dy="-5" font-size="9">%d</tspan></text>`, num(x(math.Pow(10, e))), panelH-padIn+18, int(e))
	}
	b.WriteString("\n")
	for k := 0; k+1 < len(p.goals); k += 2 {
		n, v := p.goals[k], p.goals[k+1]
		if n > 0 && (math.Log10(n) < from || math.Log10(n) > to) {
			continue
		}
		left, right := float64(padLeft), float64(panelW-padRight)
		if n > 0 {
			left, right = x(n)-16, x(n)+16
		}
		fmt.Fprintf(b, `<path class="w" d="M%s %sH%s"/>`, num(left), num(y(v)), num(right))
	}
	var line []string
	for _, d := range p.dots {
		line = append(line, num(x(d.n))+" "+num(y(d.v)))
	}
	fmt.Fprintf(b, `<path class="l" d="M%s"/>`, strings.Join(line, "L"))
	for _, d := range p.dots {
		class := "r"
		if d.simulated {
			class = "s"
		}
		fmt.Fprintf(b, `<circle class="%s" cx="%s" cy="%s" r="4"><title>%s images: %s %s</title></circle>`, class, num(x(d.n)), num(y(d.v)),
			strconv.FormatFloat(d.n, 'f', -1, 64), strconv.FormatFloat(d.v, 'g', 4, 64), p.unit)
	}
	b.WriteString("\n")
}
