package components

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"
	"anomalymatch/tui/styles"
)

var st = styles.New("dark", false)

// block checks that lines are exactly h of w cells.
func block(t *testing.T, name string, lines []string, w, h int) {
	t.Helper()
	if len(lines) != h {
		t.Errorf("%s at %d×%d has %d lines", name, w, h, len(lines))
	}
	for i, l := range lines {
		if common.Width(l) != w {
			t.Errorf("%s at %d×%d: line %d has %d cells: %q", name, w, h, i, common.Width(l), ansi.Strip(l))
		}
	}
}

func TestSizes(t *testing.T) {
	x, y := []float64{1, 2, 3, 4, 5}, []float64{0.7, math.NaN(), 0.5, math.Inf(1), 0.1}
	pool := []int64{5, 0, 3, 1, 100000, 0, 0, 2}
	for w := 0; w < 120; w += 7 {
		for h := 0; h < 30; h += 3 {
			block(t, "line chart", LineChart(st, []Series{{X: x, Y: y}, {X: x[:1], Y: y[:1]}}, Axes{}, w, h), w, h)
			block(t, "empty chart", LineChart(st, nil, Axes{}, w, h), w, h)
			block(t, "histogram", Histogram(st, pool, []int64{0, 0, 0, 0, 0, 0, 0, 1}, []int64{1, 0, 0, 0, 0, 0, 0, 0}, 0.99, w, h), w, h)
			block(t, "empty histogram", Histogram(st, nil, nil, nil, math.NaN(), w, h), w, h)
		}
		if w >= 20 {
			block(t, "section", []string{Section(st, "Title", "a note that is long", w)}, w, 1)
			block(t, "field", []string{Field(st, "name", "a value that is long", w)}, w, 1)
		}
		for _, share := range []float64{-1, 0, 0.3, 0.999, 1, 7, math.NaN()} {
			block(t, "progress", []string{Progress(st, share, w)}, w, 1)
		}
	}
}

func TestLineChart(t *testing.T) {
	lines := LineChart(st, []Series{{X: []float64{0, 10}, Y: []float64{0, 1}}}, Axes{}, 20, 8)
	text := ansi.Strip(strings.Join(lines, "\n"))
	want := strings.Join([]string{
		"     1┤          ⣀⠔⠁",
		"      │        ⢀⠔⠊  ",
	}, "\n")
	if !strings.Contains(text, "┤") || !strings.Contains(text, "10") || strings.Count(text, "\n") != 7 {
		t.Errorf("%s\nshould rise like\n%s", text, want)
	}
	first, last := []rune(ansi.Strip(lines[0])), []rune(ansi.Strip(lines[5]))
	if first[len(first)-1] == ' ' || last[7] == ' ' || first[7] != ' ' {
		t.Errorf("the line does not go from the lower left to the upper right:\n%s", text)
	}
}

// TestMarks: lines are told apart at their ends without colour, also where they end in one place.
func TestMarks(t *testing.T) {
	one := Series{X: []float64{0, 10}, Y: []float64{1, 0}, Mark: "0"}
	two, short, none := one, Series{X: []float64{0, 5}, Y: []float64{1, 1}, Mark: "7"}, Series{Mark: "9"}
	two.Mark = "1"
	lines := LineChart(st, []Series{one, two, short, none}, Axes{}, 27, 8)
	if bottom := []rune(ansi.Strip(lines[5])); string(bottom[len(bottom)-1:])+string(bottom[len(bottom)-3:len(bottom)-2]) != "01" {
		t.Errorf("the ends are not marked beside each other: %q", string(bottom))
	}
	top := []rune(ansi.Strip(lines[0]))
	if !strings.Contains(string(top), "7") || strings.Contains(ansi.Strip(strings.Join(lines[:6], "")), "9") {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
}

func TestHistogram(t *testing.T) {
	pool := make([]int64, 10)
	pool[0], pool[9] = 1000, 1
	anomalies, normals := make([]int64, 10), make([]int64, 10)
	anomalies[9], normals[0] = 1, 2
	lines := Histogram(st, pool, anomalies, normals, 0.95, 27, 10)
	var text []string
	for _, l := range lines {
		text = append(text, ansi.Strip(l))
	}
	if !strings.Contains(text[0], "1.0k┤██ ") || !strings.HasSuffix(strings.TrimRight(text[5], " "), "▅▅") { // logarithmic: one of a thousand is still to be seen
		t.Errorf("columns:\n%s", strings.Join(text, "\n"))
	}
	if !strings.Contains(text[6], "▲") || strings.Index(text[7], "A") < 20 || strings.Index(text[8], "N") > 10 {
		t.Errorf("marks:\n%s", strings.Join(text, "\n"))
	}
}

func TestBadgeSaysEverythingWithoutColour(t *testing.T) {
	for _, c := range []struct {
		letter           string
		pending, unsaved bool
		want             string
	}{{"A", false, false, " A "}, {"N", true, false, " N…"}, {"S", false, true, " S!"}, {"", false, false, "   "}, {"", true, false, " –…"}, {"", false, true, " –!"}} {
		if got := ansi.Strip(Badge(styles.New("dark", true), c.letter, c.pending, c.unsaved)); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestStatusLine(t *testing.T) {
	now := time.Unix(100, 0)
	idle := Status{State: "idle", A: 3, N: 12, Ranked: Ranked{By: "fast", At: now.Add(-2 * time.Second)}, Backend: "xla:cpu", Driver: "kitty", Bad: 2}
	joint := idle
	joint.Bad = 0
	joint.Ranked = Ranked{By: "joint", At: now.Add(-2 * time.Second), Fast: now.Add(-2 * time.Second), Deep: now.Add(-14 * time.Minute), Cycle: 2}
	busy := idle
	busy.State, busy.Share, busy.HasShare, busy.Rate, busy.Left, busy.Detail = "training", 0.54, true, 1240, 12, "compiling the training step"
	job, ending := idle, busy
	job.Job, job.Ends = "slurm 1234", now.Add(130*time.Minute)
	ending.Job, ending.Ends = "slurm 1234", now.Add(9*time.Minute)
	endless := idle
	endless.Job = "slurm 1234"
	gone := job
	gone.Gone, gone.Unsaved = "engine gone, reconnecting…", 3
	for _, c := range []struct {
		s    Status
		w    int
		want []string
	}{
		{idle, 80, []string{"● idle", "A 3  N 12  S 0", "fast, 2 s ago", "2 bad files", "xla:cpu", "kitty"}},
		{joint, 80, []string{"● idle", "A 3  N 12  S 0", "joint: fast 2 s ago · deep 14 min ago", "xla:cpu", "kitty"}},
		{joint, 60, []string{"● idle", "A 3  N 12  S 0", "joint: fast 2 s · deep 14 min"}},
		{joint, 120, []string{"joint: fast 2 s ago · deep (cycle 2) 14 min ago", "xla:cpu", "kitty"}},
		{busy, 80, []string{"● training", "54%", "1,240 images/s", "12 s left", "A 3  N 12  S 0"}},
		{busy, 200, []string{"54%", "1,240 images/s", "12 s left", "compiling the training step", "A 3", "fast, 2 s ago", "2 bad files", "xla:cpu", "kitty"}},
		{job, 110, []string{"● idle", "job slurm 1234 · 2 h 10 min left", "A 3", "fast, 2 s ago"}},
		{ending, 80, []string{"● training", "! job slurm 1234 · 9 min left", "A 3"}},
		{endless, 110, []string{"● idle", "job slurm 1234", "A 3"}},
		{gone, 80, []string{"○ engine gone, reconnecting…", "! 3 unsaved", "A 3  N 12"}},
		{busy, 60, []string{"● training", "54%", "A 3"}},
	} {
		line := StatusLine(st, c.s, now, c.w)
		block(t, "status", []string{line}, c.w, 1)
		for _, want := range c.want {
			if !strings.Contains(ansi.Strip(line), want) {
				t.Errorf("at %d: %q lacks %q", c.w, ansi.Strip(line), want)
			}
		}
	}
}

func TestRankingsAreNamedWithTheirTime(t *testing.T) {
	now := time.Unix(10000, 0)
	ago := func(s int) time.Time { return now.Add(-time.Duration(s) * time.Second) }
	for _, c := range []struct {
		r    Ranked
		want []string
	}{
		{Ranked{}, nil},
		{Ranked{By: "order"}, []string{"no ranking yet"}},
		{Ranked{By: "novelty", At: ago(3)}, []string{"novelty, 3 s ago", "novelty"}},
		{Ranked{By: "joint", At: ago(3)}, []string{"joint, 3 s ago", "joint"}},
		{Ranked{By: "fast", At: ago(3), Fast: ago(3)}, []string{"fast, 3 s ago", "fast"}},
		{Ranked{By: "fast", At: ago(3), Fast: ago(3), Deep: ago(600), Cycle: 1},
			[]string{"fast, 3 s ago · deep (cycle 1) 10 min ago", "fast, 3 s ago · deep 10 min ago", "fast, 3 s · deep 10 min", "fast"}},
		{Ranked{By: "deep", At: ago(600), Fast: ago(3), Deep: ago(600), Cycle: 1},
			[]string{"deep (cycle 1), 10 min ago · fast 3 s ago", "deep, 10 min ago · fast 3 s ago", "deep, 10 min · fast 3 s", "deep"}},
		{Ranked{By: "joint", At: ago(3), Fast: ago(3), Deep: ago(600), Cycle: 1},
			[]string{"joint: fast 3 s ago · deep (cycle 1) 10 min ago", "joint: fast 3 s ago · deep 10 min ago", "joint: fast 3 s · deep 10 min", "joint"}},
	} {
		if got := c.r.Names(now); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
	}
}

func TestEstimates(t *testing.T) {
	known := func(v, lo, hi float64) *rpc.Estimate { return &rpc.Estimate{Known: true, Value: v, Low: lo, High: hi} }
	for _, c := range []struct{ got, want string }{
		{About(known(12.3, 6.2, 19.4), ""), "~12 (6–19)"},
		{About(known(12345, 9000, 20000), ""), "~12k (9.0k–20k)"},
		{About(known(0.4, 0, 2.6), ""), "~0.4 (0–3)"},
		{About(nil, "label an anomaly"), "label an anomaly"},
		{Share(known(0.62, 0.482, 0.741), ""), "62% (48–74%)"},
		{Share(&rpc.Estimate{Value: 0.5}, "nothing looked at"), "nothing looked at"},
	} {
		if got := c.got; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestPartsAndSpark(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	parts := []Part{{"edges", 0.5}, {"texture", -2}, {"shape", 1}}
	for _, c := range []struct {
		name  string
		parts []Part
		w, h  int
		want  []string
	}{
		{"all, in their order", parts, 24, 5, []string{"edges    +0.5 ██▌", "texture  -2.0 ██████████", "shape    +1.0 █████"}},
		{"those that count most", parts, 24, 2, []string{"texture  -2.0 ██████████", "shape    +1.0 █████"}},
		{"no room", parts, 24, 0, nil},
		{"odd values", []Part{{"a", nan}, {"b", inf}, {"c", 0}}, 20, 3, []string{"a  +NaN", "b  +Inf", "c  +0.0"}},
		{"one that is endless", []Part{{"a", -inf}, {"b", 1}}, 12, 3, []string{"a  -Inf ████", "b  +1.0 ████"}},
	} {
		got := Parts(st, c.parts, c.w, c.h)
		for i := range got {
			got[i] = strings.TrimRight(ansi.Strip(got[i]), " ")
			if common.Width(got[i]) > c.w {
				t.Errorf("%s: %q is wider than %d", c.name, got[i], c.w)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
	if got := Spark([]float64{9, 0, 0.5, nan, 1}, 4); got != "▁▅ █" {
		t.Errorf("spark %q", got)
	}
}
