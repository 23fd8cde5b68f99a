package common

import (
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

func TestVisual(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"galaxies/a.png  0.98", "galaxies/a.png  0.98"},
		{"漢字 größe", "漢字 größe"},
		{"שלום", "םולש"},
		{"img/שלום.png  0.98", "img/םולש.png  0.98"},
		{"שלום עולם", "םלוע םולש"},
		{"שלום  0.98", "םולש  0.98"},
		{"שלום12.png", "12םולש.png"},
		{"תמונה 12 טובה", "הבוט 12 הנומת"},
		{"שלום (1) עולם", "םלוע (1) םולש"},
		{"صورة ١٢٣.jpg", "ةروص ١٢٣.jpg"},
		{"שָׁלוֹם", "םוֹלשָׁ"}, // points stay on their letters
		{"\x1b[31mשלום\x1b[m אב\nגד", "\x1b[31mםולש\x1b[m בא\nדג"},
		{"a\x1b[1mשל\x1b[mום", "a\x1b[1mלש\x1b[mםו"},
	} {
		if got := Visual(c.in); got != c.want {
			t.Errorf("Visual(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// FuzzVisual: it moves characters, it makes and loses none, and lines keep their width.
func FuzzVisual(f *testing.F) {
	for _, s := range []string{"", "שלום 12", "\x1b[31mשלום\x1b[m x", "a\nשב\n", "صورة", "ש\u05b0", "\xd6", "\u07ca\u0800 \U0001e900"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ReplaceAll(Clean(s), "␛[31m", "\x1b[31m")
		got := Visual(s)
		if Width(got) != Width(s) {
			t.Fatalf("Visual(%q) = %q: %d cells, were %d", s, got, Width(got), Width(s))
		}
		turn := strings.NewReplacer("(", ")", "[", "]", "{", "}", "<", ">")
		a, b := []rune(turn.Replace(ansi.Strip(s))), []rune(turn.Replace(ansi.Strip(got)))
		slices.Sort(a)
		slices.Sort(b)
		if string(a) != string(b) {
			t.Fatalf("Visual(%q) = %q has other characters", s, got)
		}
	})
}

// TestWidths: names of all scripts fit where they are cut, filled and covered, as both kinds of terminals count.
func TestWidths(t *testing.T) {
	names := []string{"漢字と長い名前", "한글 파일", "क्षि-का.png", "👍🏽👨\u200d👩\u200d👧🇩🇪.png", "e\u0301\u0301x", "שלום.png", "صورة", "ไทย.png", "ｆｕｌｌ", "നി"}
	for _, on := range []bool{false, true} {
		graphemes.Store(on)
		defer graphemes.Store(false)
		for _, n := range names {
			n = Clean(n)
			for w := range 12 {
				if got := Width(Fit(n, w)); got != w {
					t.Errorf("graphemes %v: Fit(%q, %d) has %d cells", on, n, w, got)
				}
				if got := Width(CutLeft(n, w)); got > w {
					t.Errorf("graphemes %v: CutLeft(%q, %d) has %d cells", on, n, w, got)
				}
				line := Fit("\x1b[31m"+n+"\x1b[m"+n, 24)
				for i, l := range Over([]string{line}, []string{Fit(n, 5)}, w, 0) {
					if Width(l) != 24 {
						t.Errorf("graphemes %v: Over(%q) at %d: line %d has %d cells: %q", on, n, w, i, Width(l), l)
					}
				}
			}
		}
	}
	if strings.ContainsRune(Clean("👍🏽"), '🏽') {
		t.Error("terminals disagree how wide that is")
	}
}
