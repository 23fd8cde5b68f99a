package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"anomalymatch/tui/common"
)

// warnings shows what libraries log as lines for people. The engine replaces it by a log with times.
type warnings struct{ out io.Writer }

func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w warnings) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += "; " + a.Key + ": " + a.Value.String()
		return true
	})
	_, err := fmt.Fprintln(w.out, "warning: "+common.Clean(text))
	return err
}

func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w warnings) WithGroup(string) slog.Handler      { return w }
