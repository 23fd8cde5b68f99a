package say

import (
	"strings"
	"testing"

	"anomalymatch/internal/hostile"
)

func TestCell(t *testing.T) {
	for in, want := range map[string]string{
		"spiral":      "spiral",
		"-1.5":        "-1.5",
		"+1e-3":       "+1e-3",
		"-":           "-",
		"a-b=c":       "a-b=c",
		"=1+1":        `\u003d1+1`,
		"-rf":         `\u002drf`,
		" @SUM(1)":    ` \u0040SUM(1)`,
		"＝1":          `\uff1d1`,
		"a;=1;-2":     `a;\u003d1;\u002d2`,
		"\t=1":        `\u0009=1`,
		"\x1b[m":      `\u001b[m`,
		"sky/=1.jpg":  "sky/=1.jpg",
		"'=1":         `'\u003d1`,
		"\"=1":        `"\u003d1`,
		"a; b; \"-c":  `a; b; "\u002dc`,
		"NaN":         "NaN",
		"-inf":        "-inf",
		"\ufeff=1":    `\ufeff=1`,
		"\\u003d":     `\u003d`,
		"x;\u200b=1;": `x;\u200b=1;`,
	} {
		if got := Cell(in); got != want {
			t.Errorf("Cell(%q) = %q, want %q", in, got, want)
		}
	}
	for _, p := range hostile.Payloads {
		got := Cell(p.Text)
		if got != "" && strings.ContainsAny(got[:1], "=+-@") {
			t.Errorf("%s: %q", p.Does, got)
		}
		if back := Unescaped(got); back != p.Text {
			t.Errorf("%s: %q comes back as %q", p.Does, p.Text, back)
		}
	}
}
