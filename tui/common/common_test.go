package common

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"galaxies/a.png", "galaxies/a.png"},
		{"größe/漢字.png", "größe/漢字.png"},
		{"\x1b[31mred\x1b]0;title\x07", "␛[31mred␛]0;title␇"},
		{"two\nlines\ttab\x7f", "two␊lines␉tab␡"},
		{"bad \xff\xfe utf8", "bad �� utf8"},
		{"txt.\u202egnp", "txt.�gnp"},
		{"zero\u200bwidth\ufeff", "zero�width�"},
		{"c1\u009b31m", "c1�31m"},
		{"picture \U0010eeee", "picture �"},
		{"emoji\ufe0f", "emoji"},
		{"a\u202ab\u2066c\u2069d\u061ce", "a�b�c�d�e"},
		{"fillers \u3164\u115f\uffa0", "fillers ���"},
		{"joined\u200d\u2060\u034f\u180b", "joined��"},
		{"한글 a\u0301", "한글 a\u0301"},
		{"nbsp\u00a0x\u2028y", "nbsp x�y"},
		{"z" + strings.Repeat("\u0301", 50), "z" + strings.Repeat("\u0301", maxMarks)},
	} {
		if got := Clean(c.in); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[2J", "\x1b]52;c;eA==\x07", "\xc3\x28", "\u009b31m", "\u202e", "\u2066x\u2069", "\u200b\u200d\ufeff", "\u3164", "\U000e0041", "\U0010eeee", "e\u0301", "z" + strings.Repeat("\u0301", 9)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Clean(%q) = %q is not UTF-8", s, got)
		}
		marks := 0
		for _, r := range got {
			switch {
			case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp):
				t.Fatalf("Clean(%q) lets %U through", s, r)
			case unicode.In(r, unicode.Bidi_Control, unicode.Join_Control, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
				t.Fatalf("Clean(%q) lets %U through, which nobody sees", s, r)
			}
			if !unicode.Is(unicode.M, r) {
				marks = 0
			} else if marks++; marks > maxMarks {
				t.Fatalf("Clean(%q) lets more than %d marks through", s, maxMarks)
			}
		}
		if Clean(got) != got {
			t.Fatalf("Clean is not idempotent on %q", s)
		}
		if ansi.Strip(got) != got {
			t.Fatalf("Clean(%q) = %q holds an escape sequence", s, got)
		}
	})
}

func TestFormat(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(6446), "6,446"}, {Count(1234567), "1,234,567"}, {Count(-1000), "-1,000"}, {Count(-100), "-100"},
		{Short(999), "999"}, {Short(1000), "1.0k"}, {Short(12345), "12k"}, {Short(9_999_999), "10M"},
		{Plural(1, "label"), "1 label"}, {Plural(0, "label"), "0 labels"},
		{Bytes(63_000_000), "63 MB"}, {Bytes(1_500_000_000), "1.5 GB"}, {Bytes(12), "12 B"},
		{Rate(0), ""}, {Rate(math.NaN()), ""}, {Rate(3.21), "3.2 images/s"}, {Rate(1240.4), "1,240 images/s"},
		{Seconds(-1), ""}, {Seconds(12), "12 s"}, {Seconds(200), "3 min"}, {Seconds(4800 + 3600), "2 h 20 min"}, {Seconds(86400 * 3), "3 days"},
		{Age(now, now), "just now"}, {Age(now, now.Add(-2*time.Second)), "2 s ago"}, {Age(now, time.Time{}), ""},
		{Score(0.98123), "0.981"}, {Score(float32(math.NaN())), "  –  "}, {Percent(0.345), "34%"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{
		{"abc", 5, "abc  "}, {"abcdef", 4, "abc…"}, {"漢字", 3, "漢…"}, {"漢字", 4, "漢字"}, {"abc", 0, ""},
	} {
		if got := Fit(c.in, c.w); got != c.want || Width(got) != c.w {
			t.Errorf("Fit(%q, %d) = %q", c.in, c.w, got)
		}
	}
	if got := CutLeft("source/folder/name.png", 9); got != "…name.png" {
		t.Errorf("CutLeft = %q", got)
	}
	if got := Ends("left", "right", 12); got != "left   right" {
		t.Errorf("Ends = %q", got)
	}
}

func TestOver(t *testing.T) {
	base := []string{"\x1b[31maaaaaa\x1b[m", "bbbbbb", "cccccc"}
	got := Over(base, []string{"XX", "YY"}, 2, 0)
	for i, want := range []string{"aaXXaa", "bbYYbb", "cccccc"} {
		if ansi.Strip(got[i]) != want {
			t.Errorf("line %d = %q, want %q", i, ansi.Strip(got[i]), want)
		}
	}
	if base[1] != "bbbbbb" {
		t.Error("the base was changed")
	}
}

// A box may cover half of a wide character, wherever it lies; and what is cut from the left may begin with one.
func TestHalvesOfWideCharacters(t *testing.T) {
	const wide = "a漢字漢字漢字b👩‍👩‍👧‍👦e\u0301漢"
	for x := range Width(wide) {
		for w := range Width(wide) - x {
			got := Over([]string{"\x1b[31m" + wide + "\x1b[m"}, []string{strings.Repeat("X", w)}, x, 0)[0]
			if Width(got) != Width(wide) {
				t.Errorf("%d cells from %d on: %d cells wide, want %d: %q", w, x, Width(got), Width(wide), got)
			}
		}
	}
	for w := range Width(wide) + 2 {
		if got := CutLeft(wide, w); Width(got) > w {
			t.Errorf("CutLeft to %d is %d cells wide: %q", w, Width(got), got)
		}
		if got := Fit(CutLeft(wide, w), w); Width(got) != w {
			t.Errorf("Fit to %d is %d cells wide: %q", w, Width(got), got)
		}
	}
}
