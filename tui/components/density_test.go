package components

import (
	"math"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

func plain(lines []string) string { return ansi.Strip(strings.Join(lines, "\n")) }

func TestDensity(t *testing.T) {
	counts := []int64{
		900, 3, 0, 0,
		5, 40, 0, 0,
		0, 0, 0, 0,
		0, 0, 0, 1,
	}
	want := strings.Join([]string{
		"     1┤      ░░",
		"      │    ╱╱  ",
		"      │░░▓▓    ",
		"     0┤██░░    ",
		"      └────────",
		"       0 new  1",
	}, "\n")
	if got := plain(Density(st, counts, 4, "new", 15, 6)); got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	// Fewer cells than bins: nothing is lost, nothing is counted twice.
	for _, size := range [][2]int{{2, 2}, {3, 3}, {1, 4}, {4, 1}} {
		total := int64(0)
		for _, row := range regrid(counts, 4, size[0], size[1]) {
			for _, n := range row {
				total += n
			}
		}
		if total != 949 {
			t.Errorf("%d×%d cells hold %d images", size[0], size[1], total)
		}
	}
	for w := 0; w < 100; w += 7 {
		for h := range 20 {
			block(t, "density", Density(st, counts, 4, "a name that is long", w, h), w, h)
			block(t, "empty density", Density(st, nil, 4, "x", w, h), w, h)
			block(t, "wrong density", Density(st, counts, 1<<30, "x", w, h), w, h)
			block(t, "nothing", Density(st, make([]int64, 16), 4, "x", w, h), w, h)
		}
	}
}

func TestBars(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  string
	}{{0, "····"}, {0.001, "▏···"}, {0.5, "██··"}, {0.6, "██▍·"}, {1, "████"}, {7, "████"}, {-1, "····"}, {math.NaN(), "····"}, {math.Inf(1), "████"}} {
		if got := ansi.Strip(Bar(st, c.share, 4)); got != c.want {
			t.Errorf("%v: %q, want %q", c.share, got, c.want)
		}
	}
	for _, c := range []struct {
		a, n float64
		want string
	}{{0, 0, "····"}, {1, 1, "▓▓░░"}, {1, 1000, "▓░░░"}, {1000, 1, "▓▓▓░"}, {3, 0, "▓▓▓▓"}, {0, 3, "░░░░"}, {math.NaN(), 1, "····"}, {math.Inf(1), 1, "····"}} {
		if got := ansi.Strip(Balance(st, c.a, c.n, 4)); got != c.want {
			t.Errorf("%v and %v: %q, want %q", c.a, c.n, got, c.want)
		}
	}
	for w := range 9 {
		for _, x := range []float64{-1, 0, 0.01, 0.5, 0.99, 1, math.NaN()} {
			block(t, "bar", []string{Bar(st, x, w)}, w, 1)
			block(t, "balance", []string{Balance(st, x, 1-x, w)}, w, 1)
		}
	}
}

func TestTheXAxisHasAName(t *testing.T) {
	ax := Axes{XMax: 100, XName: "step"}
	for w, want := range map[int]string{40: "0             step            100", 18: "0  step 100", 17: "0      100"} {
		lines := LineChart(st, nil, ax, w, 6)
		if got := strings.TrimLeft(ansi.Strip(lines[5]), " "); got != want {
			t.Errorf("%d cells: %q, want %q", w, got, want)
		}
		block(t, "named", lines, w, 6)
	}
}
