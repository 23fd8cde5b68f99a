package components

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"anomalymatch/tui/common"
)

// TestProgressAt80: on 80 columns the status line tells of everything long how far it is, or how long it takes.
func TestProgressAt80(t *testing.T) {
	now := time.Unix(1e9, 0)
	ranked := Ranked{By: "joint", At: now, Fast: now, Deep: now, Cycle: 3}
	for _, c := range []struct {
		s    Status
		want []string
	}{
		{Status{State: "indexing", Detail: "1,234,567 images so far", Left: -1}, []string{"indexing", "1,234,567 images so far"}},
		{Status{State: "embedding", HasShare: true, Share: 0.42, Rate: 1234, Left: 5 * 3600, Detail: "8 views of each image", Bad: 12}, []string{"embedding", "42%", "5 h 0 min left", "1,234 images/s"}},
		{Status{State: "looking closer", HasShare: true, Share: 0.42, Rate: 1234, Left: 5 * 3600}, []string{"looking closer", "42%", "5 h 0 min left"}},
		{Status{State: "training", Detail: "compiling the training step", Left: -1}, []string{"training", "compiling the training step"}},
		{Status{State: "training", HasShare: true, Share: 0.62, Rate: 176, Left: 62}, []string{"training", "62%", "62 s left", "176 images/s"}},
		{Status{State: "scoring", HasShare: true, Share: 0.07, Rate: 764, Left: 8000}, []string{"scoring", "7%", "2 h 13 min left", "764 images/s"}},
		{Status{State: "installing", HasShare: true, Share: 0.5, Left: 20}, []string{"installing", "50%", "20 s left"}},
		{Status{Gone: "connecting to the engine…"}, []string{"connecting to the engine…"}},
		{Status{Gone: "no link, reconnecting…", Waiting: 12}, []string{"no link, reconnecting…", "↑ 12 waiting"}},
		{Status{State: "idle", Unsaved: 3}, []string{"idle", "! 3 unsaved"}},
	} {
		c.s.A, c.s.N, c.s.S, c.s.Ranked, c.s.Driver, c.s.Backend = 123, 4567, 12, ranked, "half-blocks", "xla:cpu"
		line := ansi.Strip(StatusLine(st, c.s, now, 80))
		if common.Width(line) != 80 {
			t.Errorf("%d cells: %q", common.Width(line), line)
		}
		for _, want := range append(c.want, "A 123", "N 4,567") {
			if !strings.Contains(line, want) {
				t.Errorf("%s: no %q in %q", c.s.State+c.s.Gone, want, line)
			}
		}
	}
}
