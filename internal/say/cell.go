package say

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// formula is the beginning of what spreadsheets work out: of a cell, or of what is one where cells end with semicolons (in the wide forms too).
var formula = regexp.MustCompile(`(^|;)([\s"']*)([=+\-@＝＋－＠])`)

// Cell is Escaped for a cell of a CSV. Spreadsheets take what begins with = + - or @ for a formula, which may run programs or send cells to somebody: there
// the sign stands as Go writes it (\u003d). Numbers, and a sign alone, stay as they are.
func Cell(s string) string {
	s = Escaped(s)
	if !strings.ContainsAny(s, "=+-@＝＋－＠") {
		return s
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil || len(s) == 1 {
		return s
	}
	return formula.ReplaceAllStringFunc(s, func(m string) string {
		at := strings.LastIndexAny(m, "=+-@＝＋－＠")
		return m[:at] + fmt.Sprintf(`\u%04x`, []rune(m[at:])[0])
	})
}

// Unescaped is what Escaped, ASCII or Cell was given, as far as it can be told: a name that had such a backslash of its own looks the same.
func Unescaped(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		digits := 0
		if len(s) > 1 && s[0] == '\\' {
			digits = map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[1]]
		}
		if digits > 0 && len(s) >= 2+digits {
			if n, err := strconv.ParseUint(s[2:2+digits], 16, 32); err == nil {
				if digits == 2 {
					b.WriteByte(byte(n))
				} else {
					b.WriteRune(rune(n))
				}
				s = s[2+digits:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}
