// Package where is the small language in which images are chosen by what is known of them: mag < 21 and z > 0.1. It knows no files and no images, only columns
// of values.
//
//	mag < 21 and z > 0.1          < <= > >= = == != <> of numbers, of texts too; and, or, not, parentheses
//	g - r > 0.7                   + - * / of numbers
//	class == "spiral"             texts in quotes of either kind; upper and lower case differ
//	class ~ "*spiral*"            * stands for any characters, ? for one; upper and lower case alike; !~ for all others
//	class in ("ring", "lens")     one of several; not in
//	z is missing                  no value; is not missing
//	`flux (mJy)` > 3              names of other characters than letters, digits, _ . and : in backticks
//
// What has no value is neither chosen by a comparison nor by its opposite, as in SQL and ADQL: mag < 21 and not mag < 21 both leave out an image without a
// magnitude; is missing finds it. Whole numbers are compared with all their digits, so that an id of 19 of them means one object.
package where

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Error is what is wrong with a condition, and where.
type Error struct {
	At  int // character, from 1
	Why string
}

func (e *Error) Error() string { return fmt.Sprintf("at character %d: %s", e.At, e.Why) }

// Type of a column.
type Type uint8

// The types.
const (
	Integer Type = iota
	Number
	Text
)

// Column is what a condition can be about.
type Column struct {
	Name string
	Type Type
}

// Missing is the whole number that stands for none; NaN and "" are those of the other types.
const Missing = math.MinInt64

// Vector holds the values of a column for some images: the slice of its type.
type Vector struct {
	Integers []int64
	Numbers  []float64
	Texts    []string
}

// Limits of a condition.
const (
	maxBytes = 4096
	maxDepth = 100
)

// Condition is a text that was understood.
type Condition struct {
	text string
	root *node
}

// Parse reads a condition. The errors are *Error.
func Parse(text string) (*Condition, error) {
	p := &parser{text: text}
	if len(text) > maxBytes {
		return nil, p.errorf(maxBytes, "a condition has at most %d bytes", maxBytes)
	}
	if !utf8.ValidString(text) {
		return nil, p.errorf(0, "this is not UTF-8")
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	if p.tok.kind == end {
		return nil, p.errorf(0, "a condition is needed, such as mag < 21")
	}
	root, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != end {
		return nil, p.unexpected("and, or, or the end")
	}
	return &Condition{text, root}, nil
}

// Filter is a condition on columns that are there.
type Filter struct {
	root    *node
	columns []int
}

// On finds the columns of a condition, by their names as written or, where only one fits, without regard to upper and lower case. The errors are *Error.
func (c *Condition) On(columns []Column) (*Filter, error) {
	b := &binder{text: c.text, columns: columns}
	root, err := b.bind(c.root)
	if err != nil {
		return nil, err
	}
	if root.type_ != truth {
		return nil, b.errorf(root.at, "this is no condition: compare it with something, such as mag < 21")
	}
	return &Filter{root, b.used}, nil
}

// Columns are the numbers of the columns that the filter reads.
func (f *Filter) Columns() []int { return f.columns }

// Match says which of n images are chosen: vectors are the values of Columns, in that order. It may be called from many goroutines.
func (f *Filter) Match(vectors []Vector, n int) []bool {
	said := f.root.eval(vectors, n).truth
	out := make([]bool, n)
	for i, t := range said {
		out[i] = t == yes
	}
	return out
}

// Find returns the number of the column that a name means, -1 where there is none or more than one.
func Find(columns []Column, name string) int {
	if i := slices.IndexFunc(columns, func(c Column) bool { return c.Name == name }); i >= 0 {
		return i
	}
	found := -1
	for i, c := range columns {
		if strings.EqualFold(c.Name, name) {
			if found >= 0 {
				return -1
			}
			found = i
		}
	}
	return found
}

// Quote writes a column's name as a condition has it.
func Quote(name string) string {
	plain := name != "" && !slices.Contains(words, strings.ToLower(name))
	for i, r := range name {
		plain = plain && (letter(r) || i > 0 && inName(r))
	}
	if plain {
		return name
	}
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}
