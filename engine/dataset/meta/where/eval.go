package where

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// What a comparison says of an image.
const (
	no uint8 = iota
	yes
	unknown // something has no value
)

// binder finds columns and checks types.
type binder struct {
	text    string
	columns []Column
	used    []int
}

func (b *binder) errorf(at int, format string, a ...any) error {
	return (&parser{text: b.text}).errorf(at, format, a...)
}

var typeNames = map[Type]string{Integer: "a number", Number: "a number", Text: "a text", truth: "a condition"}

func numeric(t Type) bool { return t == Integer || t == Number }

// bind returns a copy of n that knows columns and types.
func (b *binder) bind(n *node) (*node, error) {
	out := *n
	out.kids = make([]*node, len(n.kids))
	for i, k := range n.kids {
		var err error
		if out.kids[i], err = b.bind(k); err != nil {
			return nil, err
		}
	}
	n = &out
	switch n.op {
	case opColumn:
		at := Find(b.columns, n.name)
		if at < 0 {
			return nil, b.errorf(n.at, "%s", b.unknown(n.name))
		}
		n.type_ = b.columns[at].Type
		if n.column = slices.Index(b.used, at); n.column < 0 {
			n.column, b.used = len(b.used), append(b.used, at)
		}
	case opNumber:
		if n.type_ = Number; n.exact {
			n.type_ = Integer
		}
	case opText:
		n.type_ = Text
	case opOr, opAnd, opNot:
		n.type_ = truth
		for _, k := range n.kids {
			if k.type_ != truth {
				return nil, b.errorf(k.at, "a condition is expected here, such as mag < 21, not %s", typeNames[k.type_])
			}
		}
	case opAdd, opSubtract, opMultiply, opDivide, opNegate:
		n.type_ = Number
		for _, k := range n.kids {
			if !numeric(k.type_) {
				return nil, b.errorf(k.at, "a number is expected here, not %s", typeNames[k.type_])
			}
		}
	case opMissing:
		n.type_ = truth
		if n.kids[0].type_ == truth {
			return nil, b.errorf(n.kids[0].at, "only a column can be missing")
		}
	default: // comparisons
		n.type_ = truth
		left := n.kids[0]
		for _, right := range n.kids[1:] {
			switch {
			case left.type_ == truth || right.type_ == truth:
				return nil, b.errorf(n.at, "conditions are not compared: join them with and, or")
			case numeric(left.type_) != numeric(right.type_):
				return nil, b.errorf(n.at, "%s and %s cannot be compared: numbers are written without quotes, texts with", typeNames[left.type_], typeNames[right.type_])
			case right.op == opText && right.name == "" || left.op == opText && left.name == "":
				return nil, b.errorf(n.at, "an empty text is no value: write is missing, or is not missing")
			case n.op == opLike && (right.op != opText || left.type_ != Text):
				return nil, b.errorf(n.at, "~ compares a text with a pattern in quotes, such as class ~ \"spiral*\"")
			}
		}
	}
	return n, nil
}

// unknown says that there is no such column, and which one may be meant.
func (b *binder) unknown(name string) string {
	if len(b.columns) == 0 {
		return "there are no columns: the project has no metadata"
	}
	folded := func(c Column) bool { return strings.EqualFold(c.Name, name) }
	if slices.ContainsFunc(b.columns, folded) {
		return fmt.Sprintf("%.40q can be several columns, which differ in upper and lower case", name)
	}
	letters := utf8.RuneCountInString(name)
	best, least := -1, min(letters, max(2, letters/3)+1) // of what is farther nothing is left
	for i, c := range b.columns {
		if d := distance(strings.ToLower(name), strings.ToLower(c.Name)); d < least {
			best, least = i, d
		}
	}
	if best >= 0 {
		return fmt.Sprintf("there is no column %.40q: is %s meant?", name, Quote(b.columns[best].Name))
	}
	var some []string
	for _, c := range b.columns[:min(len(b.columns), 8)] {
		some = append(some, Quote(c.Name))
	}
	if len(b.columns) > len(some) {
		some = append(some, "…")
	}
	return fmt.Sprintf("there is no column %.40q; there are %s", name, strings.Join(some, ", "))
}

// distance is how many letters have to be changed, of names that are not long.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	if len(x) > 64 || len(y) > 64 {
		return math.MaxInt
	}
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range x {
		before := row[0]
		row[0] = i + 1
		for j, s := range y {
			change := before
			if r != s {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(y)]
}

// values of a node for some images: one of the slices, by its type.
type values struct {
	Vector
	truth []uint8
}

func (n *node) eval(vectors []Vector, count int) values {
	switch n.op {
	case opColumn:
		return values{Vector: vectors[n.column]}
	case opNumber:
		if n.exact {
			return values{Vector: Vector{Integers: slices.Repeat([]int64{n.whole}, count)}}
		}
		return values{Vector: Vector{Numbers: slices.Repeat([]float64{n.number}, count)}}
	case opText:
		return values{Vector: Vector{Texts: slices.Repeat([]string{n.name}, count)}}
	case opNot:
		said := n.kids[0].eval(vectors, count).truth
		for i, t := range said {
			if t != unknown {
				said[i] = yes - t
			}
		}
		return values{truth: said}
	case opOr, opAnd:
		said := n.kids[0].eval(vectors, count).truth
		decides := yes // by itself
		if n.op == opAnd {
			decides = no
		}
		for _, k := range n.kids[1:] {
			for i, t := range k.eval(vectors, count).truth {
				switch {
				case said[i] == decides:
				case t == decides || said[i] != unknown:
					said[i] = t
				}
			}
		}
		return values{truth: said}
	case opMissing:
		return values{truth: missing(n.kids[0].eval(vectors, count), count)}
	case opLike:
		return values{truth: like(n.kids[0].eval(vectors, count).Texts, n.kids[1].name)}
	case opIn:
		left := n.kids[0].eval(vectors, count)
		said := make([]uint8, count)
		for _, k := range n.kids[1:] {
			for i, t := range compare(opEqual, left, k.eval(vectors, count), count) {
				if said[i] == no || t == yes {
					said[i] = t
				}
			}
		}
		return values{truth: said}
	case opNegate:
		x := slices.Clone(n.kids[0].eval(vectors, count).numbers(count))
		for i := range x {
			x[i] = -x[i]
		}
		return values{Vector: Vector{Numbers: x}}
	case opAdd, opSubtract, opMultiply, opDivide:
		x, y := slices.Clone(n.kids[0].eval(vectors, count).numbers(count)), n.kids[1].eval(vectors, count).numbers(count)
		for i := range x {
			switch n.op {
			case opAdd:
				x[i] += y[i]
			case opSubtract:
				x[i] -= y[i]
			case opMultiply:
				x[i] *= y[i]
			default:
				x[i] /= y[i]
			}
		}
		return values{Vector: Vector{Numbers: x}}
	}
	return values{truth: compare(n.op, n.kids[0].eval(vectors, count), n.kids[1].eval(vectors, count), count)}
}

// numbers are whole ones too.
func (v values) numbers(count int) []float64 {
	if v.Integers == nil {
		return v.Numbers
	}
	out := make([]float64, count)
	for i, x := range v.Integers {
		if out[i] = float64(x); x == Missing {
			out[i] = math.NaN()
		}
	}
	return out
}

func missing(v values, count int) []uint8 {
	out := make([]uint8, count)
	for i := range out {
		if v.Integers != nil && v.Integers[i] == Missing || v.Numbers != nil && v.Numbers[i] != v.Numbers[i] || v.Texts != nil && v.Texts[i] == "" {
			out[i] = yes
		}
	}
	return out
}

func compare(o op, left, right values, count int) []uint8 {
	out := make([]uint8, count)
	say := func(i, order int) {
		ok := false
		switch o {
		case opLess:
			ok = order < 0
		case opAtMost:
			ok = order <= 0
		case opMore:
			ok = order > 0
		case opAtLeast:
			ok = order >= 0
		case opUnlike:
			ok = order != 0
		default:
			ok = order == 0
		}
		if ok {
			out[i] = yes
		}
	}
	switch {
	case left.Texts != nil:
		for i, a := range left.Texts {
			if b := right.Texts[i]; a == "" || b == "" {
				out[i] = unknown
			} else {
				say(i, strings.Compare(a, b))
			}
		}
	case left.Integers != nil && right.Integers != nil:
		for i, a := range left.Integers {
			if b := right.Integers[i]; a == Missing || b == Missing {
				out[i] = unknown
			} else {
				say(i, cmp.Compare(a, b))
			}
		}
	default:
		x, y := left.numbers(count), right.numbers(count)
		for i, a := range x {
			if b := y[i]; a != a || b != b {
				out[i] = unknown
			} else {
				say(i, cmp.Compare(a, b))
			}
		}
	}
	return out
}

// like compares texts with a pattern, upper and lower case alike.
func like(texts []string, pattern string) []uint8 {
	out := make([]uint8, len(texts))
	want := []rune(strings.ToLower(pattern))
	for i, s := range texts {
		switch {
		case s == "":
			out[i] = unknown
		case wild(want, strings.ToLower(s)):
			out[i] = yes
		}
	}
	return out
}

// wild reports whether a text is as the pattern says: * is any characters, ? one. It takes no more than their lengths multiplied.
func wild(pattern []rune, s string) bool {
	p, at, star, mark := 0, 0, -1, 0
	for at < len(s) {
		r, n := utf8.DecodeRuneInString(s[at:])
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, at
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == r):
			p, at = p+1, at+n
		case star >= 0:
			_, n := utf8.DecodeRuneInString(s[mark:])
			mark += n
			p, at = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
