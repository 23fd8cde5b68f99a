package say

import "testing"

func TestEscaped(t *testing.T) {
	for _, c := range []struct{ in, shown, ascii string }{
		{"plain \\ text", "plain \\ text", "plain \\ text"},
		{"é星", "é星", `\u00e9\u661f`},
		{"\x1b[m\n", `\u001b[m\u000a`, `\u001b[m\u000a`},
		{"\u202e\u200b", `\u202e\u200b`, `\u202e\u200b`},
		{"\U000e0001", `\U000e0001`, `\U000e0001`},
		{"a\xffb", `a\xffb`, `a\xffb`},
		{"", "", ""},
	} {
		if got := Escaped(c.in); got != c.shown {
			t.Errorf("Escaped(%q) = %q, not %q", c.in, got, c.shown)
		}
		if got := ASCII(c.in); got != c.ascii {
			t.Errorf("ASCII(%q) = %q, not %q", c.in, got, c.ascii)
		}
	}
}
