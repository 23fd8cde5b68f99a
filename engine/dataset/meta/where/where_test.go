package where

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Four images: the last one has no values.
var (
	columns = []Column{{"mag", Number}, {"z", Number}, {"source_id", Integer}, {"class", Text}, {"flux (mJy)", Number}, {"Name", Text}, {"name", Text}, {"count", Integer}, {"and", Integer}}
	nan     = math.NaN()
	data    = []Vector{
		{Numbers: []float64{20, 21.5, 19, nan}},
		{Numbers: []float64{0.05, 0.2, 0.3, nan}},
		{Integers: []int64{587725469055320114, 587725469055320115, 7, Missing}},
		{Texts: []string{"spiral", "Spiral barred", "ring?", ""}},
		{Numbers: []float64{1, 2, 3, nan}},
		{Texts: []string{"a", "b", "c", ""}},
		{Texts: []string{"x", "y", "z", ""}},
		{Integers: []int64{1, 2, 3, Missing}},
		{Integers: []int64{1, 2, 3, Missing}},
	}
)

func choose(text string) (string, error) {
	c, err := Parse(text)
	if err != nil {
		return "", err
	}
	f, err := c.On(columns)
	if err != nil {
		return "", err
	}
	var vectors []Vector
	for _, at := range f.Columns() {
		vectors = append(vectors, data[at])
	}
	out := ""
	for i, ok := range f.Match(vectors, 4) {
		if ok {
			out += string(rune('0' + i))
		}
	}
	return out, nil
}

func TestMatch(t *testing.T) {
	for text, want := range map[string]string{
		"mag < 21":                                     "02",
		"mag<21 and z > 0.1":                           "2",
		"mag < 21 AND Not z > .1":                      "0",
		"mag < 21 or z > 0.1":                          "012",
		"mag >= 2.0e1 && z<=2e-1":                      "01",
		"not mag < 21":                                 "1",
		"! (mag < 21) || mag is missing":               "13",
		"mag is not missing":                           "012",
		"class == \"spiral\"":                          "0",
		"class = 'spiral'":                             "0",
		"class != 'spiral'":                            "12",
		"class <> 'spiral'":                            "12",
		"class ~ 'SPIRAL*'":                            "01",
		"class ~ '*?'":                                 "012",
		"class ~ 'ring?'":                              "2",
		"class ~ '????'":                               "",
		"class !~ '*spiral*'":                          "2",
		"class is missing":                             "3",
		"class in ('spiral', 'ring?')":                 "02",
		"class not in ('spiral')":                      "12",
		"count in (1, 3.0, mag)":                       "02",
		"count not in (mag)":                           "012",
		"source_id == 587725469055320114":              "0",
		"source_id > 587725469055320114":               "1",
		"source_id < 7.5":                              "2",
		"mag - z > 20":                                 "1",
		"-count < -1":                                  "12",
		"- 2 + count * 2 == 2":                         "1",
		"2 * (count + 1) / 4 > 1.4":                    "12",
		"mag > 20 == z > 20 or z > 0":                  "?",
		"`flux (mJy)` > 1 and `and` < 3":               "1",
		"NAME == 'a'":                                  "?",
		"Name == 'a' or name == 'z'":                   "02",
		"18 < mag and MAG < 20.5":                      "02",
		"class > 'r'":                                  "02",
		"mag < 21 and z > 0.1 or count=1":              "02",
		"(((mag))) < (21)":                             "02",
		"mag / 0 > 1":                                  "012",
		"z < 1 and not (mag > 21 or class ~ '*ring*')": "0",
	} {
		got, err := choose(text)
		if want == "?" && err == nil || want != "?" && (err != nil || got != want) {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		at   int
		why  string
	}{
		{"", 1, "a condition is needed"},
		{"mag", 1, "no condition"},
		{"mag <", 6, "ends too early"},
		{"mag < 21 and", 13, "ends too early"},
		{"mag < 21 z > 1", 10, "and, or, or the end is expected here, not \"z\""},
		{"mag 21", 5, "a comparison is expected"},
		{"(mag < 21", 10, "closing parenthesis"},
		{"mag < 21)", 9, "not \")\""},
		{"mga < 21", 1, "is mag meant?"},
		{"é and wavelength < 2", 1, "there is no column \"é\"; there are"},
		{"mag < 1 and wavelength < 2", 13, "there is no column \"wavelength\"; there are mag, z, source_id, class, `flux (mJy)`"},
		{"class == 3", 7, "cannot be compared"},
		{"mag == '3'", 5, "cannot be compared"},
		{"mag ~ '3*'", 5, "cannot be compared"},
		{"class ~ name", 7, "a pattern in quotes"},
		{"class == ''", 7, "is missing"},
		{"class == \"spiral", 10, "no other one that closes it"},
		{"18 < mag < 21", 10, "write them apart"},
		{"2mass > 1", 1, "backticks"},
		{"mag < 21 ; z", 10, "';' means nothing here"},
		{"mag and z > 1", 1, "a condition is expected here"},
		{"class + 1 > 2", 1, "a number is expected here, not a text"},
		{"mag is 3", 8, "missing, or not missing, is expected"},
		{"class in 'ring'", 10, "a list in parentheses"},
		{"class in ('ring' 'lens')", 18, "a comma or a closing parenthesis"},
		{"mag < 1e999", 7, "out of range"},
		{strings.Repeat("(", 200) + "mag", 101, "too deeply"},
		{strings.Repeat("not ", 200) + "mag < 1", 401, "too deeply"},
		{"mag < 0" + strings.Repeat("+1", 200), 208, "too deeply"},
		{strings.Repeat("x", 5000), 4097, "at most 4096 bytes"},
		{"mag < \xff", 1, "UTF-8"},
		{"NAME == 'a'", 1, "several columns"},
	} {
		_, err := choose(c.text)
		var e *Error
		if !errors.As(err, &e) || e.At != c.at || !strings.Contains(e.Why, c.why) {
			t.Errorf("%.60q: %v; want %d, %q", c.text, err, c.at, c.why)
		}
	}
}

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{"mag": "mag", "not": "`not`", "AND": "`AND`", "flux (mJy)": "`flux (mJy)`", "2mass": "`2mass`", "a`b": "`a``b`", "": "``", "ß_1.5:x": "ß_1.5:x"} {
		if got := Quote(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
		c, err := Parse(Quote(name) + " > 1")
		if err != nil || c.root.kids[0].name != name {
			t.Errorf("%q is read as %+v, %v", name, c, err)
		}
	}
}

// A chain of as many conditions as fit is no deeper than one.
func TestLong(t *testing.T) {
	if got, err := choose("mag < 1" + strings.Repeat(" or mag<21", 400)); err != nil || got != "02" {
		t.Error(got, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"mag < 21 and z > 0.1", "class == \"spiral\" or not (z is missing)", "class in ('a', \"b\")", "`flux (mJy)` - 2 * count >= -1e-3", "class !~ '*?x'", "((", "not not", "a''", "1..2", "-9223372036854775808 < source_id"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := choose(text)
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.At < 1 || e.At > utf8.RuneCountInString(text)+1 || e.Why == "") {
			t.Errorf("%q: %v", text, err)
		}
		for _, s := range []string{"spiral", "", "ring"} {
			if !slices.ContainsFunc([]rune(text), func(r rune) bool { return r == '*' || r == '?' || r == utf8.RuneError }) && wild([]rune(text), s) != (text == s) {
				t.Errorf("%q ~ %q", s, text)
			}
		}
	})
}
