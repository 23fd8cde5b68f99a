// Package pagetest has what tests of single pages need: pages without a terminal or an engine.
package pagetest

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"anomalymatch/engine/rpc"
	"anomalymatch/imgview"
	"anomalymatch/tui/batch"
	"anomalymatch/tui/common"
	"anomalymatch/tui/keys"
	"anomalymatch/tui/link"
	"anomalymatch/tui/monitor"
	"anomalymatch/tui/near"
	"anomalymatch/tui/pages"
	"anomalymatch/tui/review"
	"anomalymatch/tui/styles"
	"anomalymatch/tui/thumbs"
)

// Env is what a page is given when there is no engine, and the link that it would be reached by.
func Env(t testing.TB) (*pages.Env, *link.Link) {
	t.Helper()
	bindings, err := keys.Load(keys.Table(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &common.Common{Styles: styles.New("dark", false), Keys: bindings, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	l := link.New(context.Background(), nil, "dev", func(context.Context) (rpc.EngineClient, error) { return nil, context.Canceled })
	return &pages.Env{Common: c, Desk: review.NewDesk(c, l, "ann"), Thumbs: thumbs.New(l), Monitor: monitor.New(c, l, "ann"), Near: near.New(l),
		Screen: imgview.New(imgview.Options{Force: "none", Env: func(string) string { return "" }}), Board: batch.New(context.Background(), c, nil), Waits: l.Told}, l
}

// Fits draws a page in many sizes and checks that each drawing is as large as the page.
func Fits(t testing.TB, name string, p pages.Page) {
	t.Helper()
	for _, w := range []int{60, 61, 80, 103, 120, 154, 207, 250} {
		for _, h := range []int{1, 13, 16, 21, 28, 37, 50, 67} {
			p.SetSize(w, h)
			lines := strings.Split(p.View(), "\n")
			if len(lines) != h {
				t.Fatalf("%s at %d×%d has %d lines", name, w, h, len(lines))
			}
			for y, l := range lines {
				if common.Width(l) != w {
					t.Fatalf("%s at %d×%d: line %d has %d cells: %q", name, w, h, y, common.Width(l), ansi.Strip(l))
				}
			}
		}
	}
}
