package say

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 銀河":                            "plain é 銀河",
		"\x1b[31mred\x1b[0m":                    "[31mred[0m",
		"a\tb\r\nc":                             "a b  c",
		"bidi \u202e \ufeff!":                   "bidi  !",
		"bad \xff utf-8":                        "bad  utf-8",
		"c1 \u009b31m":                          "c1 31m",
		"evil\u202egpj.exe":                     "evilgpj.exe",
		"a\u2066b\u2069\u061c":                  "ab",
		"h\u200bi\u3164d\ufe0f":                 "hid",
		"z\u0301\u0301\u0301\u0301\u0301\u0301": "z\u0301\u0301\u0301\u0301",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\tb", "\x1b[2J", "\x1b]52;c;eA==\x07", "\xc3\x28", "\xc2\x9b31m", "\u202e", "\u2066x\u2069", "\u200b\u200d\ufeff", "\u3164", "\U000e0041", "\U0010eeee", "z" + strings.Repeat("\u0301", 9)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || Text(got) != got {
			t.Fatalf("Text(%q) = %q is not clean", s, got)
		}
		marks := 0
		for _, r := range got {
			if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Join_Control, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
				t.Fatalf("Text(%q) lets %U through", s, r)
			}
			if !unicode.Is(unicode.M, r) {
				marks = 0
			} else if marks++; marks > maxMarks {
				t.Fatalf("Text(%q) lets more than %d marks through", s, maxMarks)
			}
		}
	})
}
