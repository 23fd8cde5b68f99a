package plots

import (
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"anomalymatch/engine/bench"
	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"

	"github.com/charmbracelet/x/ansi"
)

// report is two classes and two seeds; a curve is x to a power.
func report() *bench.PaperReport {
	r := &bench.PaperReport{Setting: bench.Settings()[1], Method: "fast", Size: 64, Seeds: []int64{1, 2}}
	run := &bench.PaperRun{Images: 5000, Report: bench.Report{Cycles: make([]bench.Cycle, 2)}}
	run.Cycles[1].Labels.Anomaly, run.Cycles[1].Labels.Normal = 20, 40
	for _, class := range []string{"ring", "mer\x1b[31mger"} {
		r.Classes = append(r.Classes, bench.ClassOf{Class: class, Images: 5000, Anomalies: 50, Runs: []*bench.PaperRun{run, run}})
	}
	power := func(p float64) (out []float64) {
		for _, x := range bench.Grid {
			out = append(out, math.Pow(x, p))
		}
		return out
	}
	r.Curves.X = bench.Grid
	for _, b := range []*bench.Band{&r.Curves.ROC, &r.Curves.PrecisionRecall, &r.Curves.Detection} {
		*b = bench.Band{Mean: power(0.2), SD: make([]float64, len(bench.Grid)), Classes: [][]float64{power(0.1), power(0.3)}}
		for k := range b.SD {
			b.SD[k] = 0.05
		}
	}
	r.Curves.Anomaly, r.Curves.Normal = make([]int64, 50), make([]int64, 50)
	r.Curves.Anomaly[40], r.Curves.Normal[5] = 30, 4950
	return r
}

// share of the picture that has about this colour, by every ninth pixel.
func share(m image.Image, c color.NRGBA) float64 {
	n, b := 0, m.Bounds()
	near := func(a uint32, b uint8) bool { return math.Abs(float64(a>>8)-float64(b)) < 12 }
	for y := b.Min.Y; y < b.Max.Y; y += 3 {
		for x := b.Min.X; x < b.Max.X; x += 3 {
			if r, g, bl, _ := m.At(x, y).RGBA(); near(r, c.R) && near(g, c.G) && near(bl, c.B) {
				n++
			}
		}
	}
	return 9 * float64(n) / float64(b.Dx()*b.Dy())
}

func TestWritePNG(t *testing.T) {
	against := &Points{&bench.Points{X: []float64{0, 1e-9, 0.002, 0.5}, Y: []float64{0, 0, 0.1, 0.9}}, "their\x1b[2Js.csv"}
	for name, c := range map[string]struct {
		change  func(*bench.PaperReport)
		against *Points
		dots    bool
	}{
		"all":         {against: against, dots: true},
		"nobody else": {},
		"one small class, one seed, no scores": {change: func(r *bench.PaperReport) {
			r.Classes = r.Classes[:1]
			r.Classes[0].Images = 30
			r.Curves.ROC.SD, r.Curves.PrecisionRecall.SD, r.Curves.Detection.SD = nil, nil, nil
			r.Curves.Anomaly, r.Curves.Normal = make([]int64, 50), make([]int64, 50)
		}},
		"points at zero": {against: &Points{&bench.Points{X: []float64{0}, Y: []float64{0}}, "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, dir := report(), t.TempDir()
			if c.change != nil {
				c.change(r)
			}
			files, err := WritePNG(dir, r, c.against)
			if err != nil || len(files) != 4 {
				t.Fatalf("%v, %v", files, err)
			}
			for _, file := range files {
				f, err := os.Open(file)
				if err != nil {
					t.Fatal(err)
				}
				m, err := png.Decode(f)
				f.Close()
				if err != nil || m.Bounds().Dx() != 960 || m.Bounds().Dy() != 720 {
					t.Fatalf("%s: %v %v", file, m.Bounds(), err)
				}
				what := filepath.Base(file)
				if line := share(m, blue) > 0.001; line != (what != "scores.png") {
					t.Errorf("%s has a mean curve: %v", what, line)
				}
				if dots := share(m, orange) > 0.0002; what == "detection.png" && dots != c.dots {
					t.Errorf("%s has the other program's points: %v", what, dots)
				}
				if share(m, color.NRGBA{255, 255, 255, 255}) < 0.4 {
					t.Errorf("%s is not on white", what)
				}
			}
		})
	}
	if _, err := WritePNG(filepath.Join(t.TempDir(), "nowhere"), report(), nil); err == nil {
		t.Error("written into a folder that is not there")
	}
}

func TestTerminal(t *testing.T) {
	against := &Points{&bench.Points{X: []float64{0.002, 0.5}, Y: []float64{0.1, 0.9}}, "their\x1b[2Js.csv"}
	for _, w := range []int{40, 80, 120} {
		lines := Terminal(styles.New("dark", false), report(), against, w)
		text := ansi.Strip(strings.Join(lines, "\n"))
		for _, line := range lines {
			if n := common.Width(line); n > w || line != "" && n < w-1 {
				t.Errorf("at %d cells: %d in %q", w, n, ansi.Strip(line))
			}
		}
		for _, title := range []string{"ROC", "Precision and recall", "Detection", "Scores"} {
			if strings.Count(text, title+" ─") != 1 {
				t.Errorf("at %d cells %s is missing", w, title)
			}
		}
		if strings.ContainsRune(text, 0x1b) || !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x2801 && r < 0x2900 }) {
			t.Errorf("at %d cells: %q", w, text)
		}
	}
}

func TestFound(t *testing.T) {
	r := report()
	for k, x := range r.Curves.X {
		r.Curves.Detection.Mean[k] = math.Sqrt(x)
	}
	if got, want := Found(r), "found after inspecting 1%: 10% · 2%: 14% · 5%: 22% · 10%: 32% · 20%: 45% · 50%: 71%"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReach(t *testing.T) {
	x := []float64{0, 0.01, 0.1, 0.3, 1}
	for want, mean := range map[float64][]float64{0.02: {0, 1, 1, 1, 1}, 0.1: {0, 0.5, 0.98, 1, 1}, 0.5: {0, 0, 0, 0.99, 1}, 1: {0, 0, 0, 0.3, 1}} {
		if got := reach(mean, x); got != want {
			t.Errorf("%v: the axis goes to %v, want %v", mean, got, want)
		}
	}
}
