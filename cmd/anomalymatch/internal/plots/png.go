// Package plots shows the curves of `bench paper`: as PNG files and in the terminal.
package plots

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"strconv"

	"anomalymatch/engine/bench"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/tui/common"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	xfont "golang.org/x/image/font"
)

// Points are another program's, with the name to show.
type Points struct {
	*bench.Points
	Name string
}

var (
	blue   = color.NRGBA{0x2e, 0x5f, 0xc9, 0xff}
	orange = color.NRGBA{0xd9, 0x66, 0x0b, 0xff}
	teal   = color.NRGBA{0x0f, 0x76, 0x6e, 0xff}
	ink    = color.NRGBA{0x2b, 0x2f, 0x3a, 0xff}
	grey   = color.NRGBA{0x8b, 0x93, 0xa7, 0xff}
	pale   = color.NRGBA{0xe4, 0xe7, 0xee, 0xff}
)

func clear(c color.NRGBA, alpha uint8) color.NRGBA { c.A = alpha; return c }

// WritePNG draws the four pictures of the report into dir, which exists, and returns their paths. against may be nil.
func WritePNG(dir string, r *bench.PaperReport, against *Points) ([]string, error) {
	var out []string
	for _, f := range []struct {
		name string
		draw func(*bench.PaperReport, *Points) (*plot.Plot, error)
	}{{"roc.png", roc}, {"precision-recall.png", precisionRecall}, {"detection.png", detection}, {"scores.png", scores}} {
		p, err := f.draw(r, against)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		c := vgimg.NewWith(vgimg.UseWH(6*vg.Inch, 4.5*vg.Inch), vgimg.UseDPI(160))
		p.Draw(draw.Crop(draw.New(c), 8, -16, 8, -8))
		file := filepath.Join(dir, f.name)
		if err := atomicfile.Write(file, func(w io.Writer) error { _, err := vgimg.PngCanvas{Canvas: c}.WriteTo(w); return err }); err != nil {
			return nil, fmt.Errorf("the picture could not be kept: %w", err)
		}
		out = append(out, file)
	}
	return out, nil
}

func roc(r *bench.PaperReport, _ *Points) (*plot.Plot, error) {
	p := frame("ROC: "+heading(r), "share of normal images taken for anomalies", "share of anomalies found", percents(0, 0.2, 0.4, 0.6, 0.8, 1))
	p.Legend.XOffs, p.Legend.YOffs = -8, 8
	err := bands(p, r, r.Curves.ROC, linear, fmt.Sprintf("%s: area %s", mean(r), value(r.Mean.OverSeeds.AUROC.Mean)))
	if err == nil {
		err = line(p, plotter.XYs{{X: 0, Y: 0}, {X: 1, Y: 1}}, chance, "chance")
	}
	return p, err
}

func precisionRecall(r *bench.PaperReport, _ *Points) (*plot.Plot, error) {
	p := frame("Precision and recall: "+heading(r), "recall: share of anomalies found", "precision: share of anomalies at the top", percents(0, 0.2, 0.4, 0.6, 0.8, 1))
	p.Legend.Top, p.Legend.XOffs, p.Legend.YOffs = true, -8, -8
	err := bands(p, r, r.Curves.PrecisionRecall, linear, fmt.Sprintf("%s: area %s", mean(r), value(r.Mean.OverSeeds.AUPRC.Mean)))
	if err != nil {
		return nil, err
	}
	rest, found := 0.0, 0.0
	for k := range r.Curves.Anomaly {
		found += float64(r.Curves.Anomaly[k])
		rest += float64(r.Curves.Anomaly[k] + r.Curves.Normal[k])
	}
	share := found / max(rest, 1)
	return p, line(p, plotter.XYs{{X: 0, Y: share}, {X: 1, Y: share}}, chance, "chance")
}

// labelled is how many labels a run had after the last cycle: the same in all.
func labelled(r *bench.PaperReport) int {
	run := r.Classes[0].Runs[0]
	l := run.Cycles[len(run.Cycles)-1].Labels
	return l.Anomaly + l.Normal
}

func detection(r *bench.PaperReport, against *Points) (*plot.Plot, error) {
	// The axis is logarithmic, since all happens at its beginning, and starts with a few images.
	from := min(0.01, max(1e-4, math.Pow(10, math.Ceil(-math.Log10(float64(r.Classes[0].Images))))))
	if against != nil {
		for _, x := range against.X {
			for x >= 1e-4 && x < from {
				from /= 10
			}
		}
	}
	// The logarithms are taken here: with plot.LogScale the axis label is measured where it does not stand.
	place := func(x float64) (float64, bool) { return math.Log10(x), x >= from*0.999 }
	var ticks plot.ConstantTicks
	for decade := from; decade < 1.001; decade *= 10 {
		for k := 1.0; k < 10 && k*decade < 1.001; k++ {
			t := plot.Tick{Value: math.Log10(k * decade)}
			if k == 1 || k == 2 && from > 0.0005 || k == 5 && from > 0.0005 {
				t.Label = percent(k * decade)
			}
			ticks = append(ticks, t)
		}
	}
	p := frame("Detection: "+heading(r), fmt.Sprintf("share of the images inspected, besides %d labelled", labelled(r)), "share of anomalies found", ticks)
	p.X.Min, p.X.Max = math.Log10(from), 0
	p.Legend.Top, p.Legend.Left, p.Legend.XOffs, p.Legend.YOffs = true, true, 8, -8
	if err := bands(p, r, r.Curves.Detection, place, mean(r)); err != nil {
		return nil, err
	}
	if against != nil {
		if err := dots(p, against, place); err != nil {
			return nil, err
		}
	}
	return p, line(p, placed(bench.Grid, place, func(k int) float64 { return bench.Grid[k] }), chance, "chance")
}

// dots draws the other program's points.
func dots(p *plot.Plot, against *Points, place func(float64) (float64, bool)) error {
	points := placed(against.X, place, func(k int) float64 { return against.Y[k] })
	if len(points) == 0 {
		return nil
	}
	s, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	s.GlyphStyle = draw.GlyphStyle{Color: orange, Radius: 3, Shape: draw.CircleGlyph{}}
	p.Add(s)
	p.Legend.Add(common.Cut(common.Clean(against.Name), 40), s)
	return nil
}

// placed are the points of a curve that have a place on the axis.
func placed(xs []float64, place func(float64) (float64, bool), height func(k int) float64) plotter.XYs {
	var out plotter.XYs
	for k, x := range xs {
		if at, ok := place(x); ok {
			out = append(out, plotter.XY{X: at, Y: min(1, max(0, height(k)))})
		}
	}
	return out
}

func linear(x float64) (float64, bool) { return x, true }

// scores are columns of a logarithmic height, log10(1+n), so that one anomaly shows beside thousands of normal images.
func scores(r *bench.PaperReport, _ *Points) (*plot.Plot, error) {
	p := frame("Scores: "+heading(r), "score after the last cycle", "images without a label, all runs", plot.ConstantTicks{{Value: 0, Label: "0"}, {Value: 0.25, Label: "0.25"}, {Value: 0.5, Label: "0.5"}, {Value: 0.75, Label: "0.75"}, {Value: 1, Label: "1"}})
	p.Legend.Top, p.Legend.XOffs, p.Legend.YOffs = true, -8, -8
	top := int64(1)
	for _, s := range []struct {
		bins  []int64
		color color.NRGBA
		name  string
	}{{r.Curves.Normal, teal, "normal"}, {r.Curves.Anomaly, orange, "anomalies"}} {
		outline := plotter.XYs{{X: 0, Y: 0}}
		for k, n := range s.bins {
			top = max(top, n)
			h := math.Log10(1 + float64(n))
			outline = append(outline, plotter.XY{X: float64(k) / float64(len(s.bins)), Y: h}, plotter.XY{X: float64(k+1) / float64(len(s.bins)), Y: h})
		}
		area, err := plotter.NewPolygon(append(outline, plotter.XY{X: 1, Y: 0}))
		if err != nil {
			return nil, err
		}
		area.Color, area.LineStyle = clear(s.color, 90), draw.LineStyle{Color: s.color, Width: 0.9}
		p.Add(area)
		p.Legend.Add(s.name, area)
	}
	ticks := plot.ConstantTicks{{Value: 0, Label: "0"}}
	for n := 1; ; n *= 10 {
		ticks = append(ticks, plot.Tick{Value: math.Log10(1 + float64(n)), Label: common.Count(n)})
		if int64(n) >= top {
			break
		}
	}
	p.Y.Tick.Marker, p.Y.Min, p.Y.Max = ticks, 0, math.Log10(1+1.5*float64(top))
	return p, nil
}

// frame is an empty plot, both axes shares from 0 to 1.
func frame(title, x, y string, ticks plot.ConstantTicks) *plot.Plot {
	p := plot.New()
	sans := func(size vg.Length) font.Font { return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size} }
	bold := sans(11)
	bold.Weight = xfont.WeightBold
	p.Title.Text, p.Title.Padding, p.Title.TextStyle.Font, p.Title.TextStyle.Color = title, 8, bold, ink
	for _, a := range []struct {
		axis  *plot.Axis
		label string
		ticks plot.Ticker
	}{{&p.X, x, ticks}, {&p.Y, y, percents(0, 0.2, 0.4, 0.6, 0.8, 1)}} {
		a.axis.Min, a.axis.Max, a.axis.Padding = 0, 1, 0
		a.axis.Label.Text, a.axis.Label.TextStyle.Font, a.axis.Label.TextStyle.Color, a.axis.Label.Padding = a.label, sans(10), ink, 3
		a.axis.Tick.Marker, a.axis.Tick.Label.Font, a.axis.Tick.Label.Color = a.ticks, sans(9), ink
		a.axis.LineStyle, a.axis.Tick.LineStyle = draw.LineStyle{Color: grey, Width: 0.6}, draw.LineStyle{Color: grey, Width: 0.6}
	}
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color, p.Legend.ThumbnailWidth, p.Legend.Padding = sans(9), ink, 18, 2
	g := plotter.NewGrid()
	g.Vertical, g.Horizontal = draw.LineStyle{Color: pale, Width: 0.5}, draw.LineStyle{Color: pale, Width: 0.5}
	p.Add(g)
	return p
}

var chance = draw.LineStyle{Color: grey, Width: 1, Dashes: []vg.Length{4, 3}}

func line(p *plot.Plot, points plotter.XYs, style draw.LineStyle, name string) error {
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.LineStyle = style
	p.Add(l)
	if name != "" {
		p.Legend.Add(name, l)
	}
	return nil
}

// bands draws a thin line for each class, the deviation over the seeds as a band, and the mean.
func bands(p *plot.Plot, r *bench.PaperReport, b bench.Band, place func(float64) (float64, bool), name string) error {
	curve := func(height func(k int) float64) plotter.XYs { return placed(r.Curves.X, place, height) }
	if len(b.Classes) > 1 {
		for n, class := range b.Classes {
			label := ""
			if n == 0 {
				label = "each class"
			}
			if err := line(p, curve(func(k int) float64 { return class[k] }), draw.LineStyle{Color: clear(blue, 80), Width: 0.6}, label); err != nil {
				return err
			}
		}
	}
	var area *plotter.Polygon
	if b.SD != nil {
		outline := curve(func(k int) float64 { return b.Mean[k] + b.SD[k] })
		low := curve(func(k int) float64 { return b.Mean[k] - b.SD[k] })
		for k := len(low) - 1; k >= 0; k-- {
			outline = append(outline, low[k])
		}
		var err error
		if area, err = plotter.NewPolygon(outline); err != nil {
			return err
		}
		area.Color, area.LineStyle.Width = clear(blue, 60), 0
		p.Add(area)
	}
	if err := line(p, curve(func(k int) float64 { return b.Mean[k] }), draw.LineStyle{Color: blue, Width: 1.8}, name); err != nil {
		return err
	}
	if area != nil {
		p.Legend.Add(fmt.Sprintf("± deviation over %d seeds", len(r.Seeds)), area)
	}
	return nil
}

func heading(r *bench.PaperReport) string {
	return fmt.Sprintf("setting %s, method %s at %d px", r.Setting.Name, r.Method, r.Size)
}

// mean names the thick line.
func mean(r *bench.PaperReport) string {
	if len(r.Classes) == 1 {
		return common.Cut(common.Clean(r.Classes[0].Class), 30)
	}
	return fmt.Sprintf("mean of %d classes", len(r.Classes))
}

func value(v *float64) string {
	if v == nil {
		return "–"
	}
	return strconv.FormatFloat(*v, 'f', 3, 64)
}

func percent(share float64) string {
	return strconv.FormatFloat(math.Round(share*1e6)/1e4, 'f', -1, 64) + "%"
}

func percents(shares ...float64) plot.ConstantTicks {
	var out plot.ConstantTicks
	for _, s := range shares {
		out = append(out, plot.Tick{Value: s, Label: percent(s)})
	}
	return out
}
