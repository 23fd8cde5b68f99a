package where

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// op is what a node of the tree does.
type op uint8

const (
	opOr op = iota
	opAnd
	opNot
	opLess
	opAtMost
	opMore
	opAtLeast
	opEqual
	opUnlike
	opLike
	opIn
	opMissing
	opAdd
	opSubtract
	opMultiply
	opDivide
	opNegate
	opColumn
	opNumber
	opText
)

type node struct {
	op     op
	at     int // byte in the text
	kids   []*node
	name   string // of a column, as written; the text of a text
	number float64
	whole  int64 // of a number without point
	exact  bool  // whole is the number

	column int // bound: its place in Filter.Columns
	type_  Type
}

// truth is the type of comparisons and what is made of them; no column has it.
const truth = Text + 1

// words that no column has as its name without backticks.
var words = []string{"and", "or", "not", "is", "missing", "in"}

type kind uint8

const (
	end kind = iota
	name
	word
	number
	text
	sign
)

type token struct {
	kind kind
	at   int
	text string // of a word in lower case; of a name or text without quotes
}

type parser struct {
	text  string
	at    int
	tok   token
	depth int
}

func (p *parser) errorf(at int, format string, a ...any) error {
	return &Error{utf8.RuneCountInString(p.text[:min(at, len(p.text))]) + 1, fmt.Sprintf(format, a...)}
}

func (p *parser) unexpected(want string) error {
	if p.tok.kind == end {
		return p.errorf(len(p.text), "this ends too early: %s is missing", want)
	}
	return p.errorf(p.tok.at, "%s is expected here, not %.40q", want, p.text[p.tok.at:p.at])
}

func letter(r rune) bool { return r == '_' || unicode.IsLetter(r) }
func inName(r rune) bool {
	return letter(r) || unicode.IsDigit(r) || unicode.Is(unicode.M, r) || r == '.' || r == ':'
}

// signs, the longer ones first, and what they mean.
var signs = []string{"<=", ">=", "==", "!=", "<>", "!~", "&&", "||", "<", ">", "=", "~", "!", "(", ")", ",", "+", "-", "*", "/"}

// next reads a token.
func (p *parser) next() error {
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if !unicode.IsSpace(r) {
			break
		}
		p.at += n
	}
	p.tok = token{at: p.at}
	rest := p.text[p.at:]
	if rest == "" {
		return nil
	}
	r, _ := utf8.DecodeRuneInString(rest)
	switch {
	case r == '"' || r == '\'' || r == '`':
		return p.quoted(rest, byte(r))
	case r >= '0' && r <= '9' || r == '.' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9':
		return p.numeral(rest)
	case letter(r):
		n := strings.IndexFunc(rest, func(r rune) bool { return !inName(r) })
		if n < 0 {
			n = len(rest)
		}
		p.at += n
		p.tok.kind, p.tok.text = name, rest[:n]
		if w := strings.ToLower(rest[:n]); slices.Contains(words, w) {
			p.tok.kind, p.tok.text = word, w
		}
		return nil
	}
	for _, s := range signs {
		if !strings.HasPrefix(rest, s) {
			continue
		}
		p.at += len(s)
		p.tok.kind, p.tok.text = sign, s
		switch s {
		case "&&":
			p.tok.kind, p.tok.text = word, "and"
		case "||":
			p.tok.kind, p.tok.text = word, "or"
		case "!":
			p.tok.kind, p.tok.text = word, "not"
		}
		return nil
	}
	return p.errorf(p.at, "%q means nothing here: texts are in quotes, other names in backticks", r)
}

// quoted reads a text, or a name in backticks; a doubled quotation mark is one of them.
func (p *parser) quoted(rest string, mark byte) error {
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] != mark:
			b.WriteByte(rest[i])
		case i+1 < len(rest) && rest[i+1] == mark:
			b.WriteByte(mark)
			i++
		default:
			p.at += i + 1
			if p.tok.kind, p.tok.text = text, b.String(); mark == '`' {
				p.tok.kind = name
			}
			return nil
		}
	}
	return p.errorf(p.at, "the quotation mark %c has no other one that closes it", mark)
}

func (p *parser) numeral(rest string) error {
	digits := func(i int) int {
		for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
			i++
		}
		return i
	}
	n := digits(0)
	if n < len(rest) && rest[n] == '.' {
		n = digits(n + 1)
	}
	if n < len(rest) && (rest[n] == 'e' || rest[n] == 'E') {
		i := n + 1
		if i < len(rest) && (rest[i] == '+' || rest[i] == '-') {
			i++
		}
		if to := digits(i); to > i {
			n = to
		}
	}
	if r, _ := utf8.DecodeRuneInString(rest[n:]); n < len(rest) && inName(r) {
		return p.errorf(p.at, "this is no number; a column whose name begins with a digit is written in backticks: `%.40s…`", rest[:n])
	}
	p.at += n
	p.tok.kind, p.tok.text = number, rest[:n]
	return nil
}

func (p *parser) is(k kind, texts ...string) bool {
	return p.tok.kind == k && slices.Contains(texts, p.tok.text)
}

// deeper counts what is nested.
func (p *parser) deeper() error {
	if p.depth++; p.depth > maxDepth {
		return p.errorf(p.tok.at, "this is nested too deeply")
	}
	return nil
}

func (p *parser) or() (*node, error)  { return p.chain("or", opOr, p.and) }
func (p *parser) and() (*node, error) { return p.chain("and", opAnd, p.not) }

func (p *parser) chain(w string, o op, part func() (*node, error)) (*node, error) {
	first, err := part()
	if err != nil || !p.is(word, w) {
		return first, err
	}
	n := &node{op: o, at: p.tok.at, kids: []*node{first}}
	for p.is(word, w) {
		if err := p.next(); err != nil {
			return nil, err
		}
		kid, err := part()
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, kid)
	}
	return n, nil
}

func (p *parser) not() (*node, error) {
	if !p.is(word, "not") {
		return p.comparison()
	}
	at := p.tok.at
	if err := p.deeper(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if err := p.next(); err != nil {
		return nil, err
	}
	kid, err := p.not()
	if err != nil {
		return nil, err
	}
	return &node{op: opNot, at: at, kids: []*node{kid}}, nil
}

var comparisons = map[string]op{"<": opLess, "<=": opAtMost, ">": opMore, ">=": opAtLeast, "=": opEqual, "==": opEqual, "!=": opUnlike, "<>": opUnlike, "~": opLike, "!~": opLike}

func (p *parser) comparison() (*node, error) {
	left, err := p.sum()
	if err != nil {
		return nil, err
	}
	n := &node{at: p.tok.at, kids: []*node{left}}
	negated := false
	switch {
	case p.tok.kind == sign && slices.Contains([]string{")", ","}, p.tok.text):
		return left, nil
	case p.tok.kind == sign:
		o, ok := comparisons[p.tok.text]
		if !ok {
			return nil, p.unexpected("a comparison")
		}
		n.op, negated = o, p.tok.text == "!~"
		if err := p.next(); err != nil {
			return nil, err
		}
		right, err := p.sum()
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, right)
		if _, again := comparisons[p.tok.text]; again && p.tok.kind == sign {
			return nil, p.errorf(p.tok.at, "two comparisons in one: write them apart, such as 18 < mag and mag < 21")
		}
	case p.is(word, "is"):
		n.op = opMissing
		if err := p.next(); err != nil {
			return nil, err
		}
		if p.is(word, "not") {
			negated = true
			if err := p.next(); err != nil {
				return nil, err
			}
		}
		if !p.is(word, "missing") {
			return nil, p.unexpected("missing, or not missing,")
		}
		if err := p.next(); err != nil {
			return nil, err
		}
	case p.is(word, "in", "not"):
		n.op = opIn
		if p.is(word, "not") {
			negated = true
			if err := p.next(); err != nil {
				return nil, err
			}
		}
		if !p.is(word, "in") {
			return nil, p.unexpected("in, such as class not in (\"ring\", \"lens\"),")
		}
		if err := p.list(n); err != nil {
			return nil, err
		}
	default:
		if p.tok.kind == end || p.tok.kind == word {
			return left, nil
		}
		return nil, p.unexpected("a comparison")
	}
	if negated {
		return &node{op: opNot, at: n.at, kids: []*node{n}}, nil
	}
	return n, nil
}

// list reads what follows "in".
func (p *parser) list(n *node) error {
	if err := p.next(); err != nil {
		return err
	}
	if !p.is(sign, "(") {
		return p.unexpected("a list in parentheses")
	}
	for {
		if err := p.next(); err != nil {
			return err
		}
		kid, err := p.sum()
		if err != nil {
			return err
		}
		n.kids = append(n.kids, kid)
		switch {
		case p.is(sign, ","):
		case p.is(sign, ")"):
			return p.next()
		default:
			return p.unexpected("a comma or a closing parenthesis")
		}
	}
}

func (p *parser) sum() (*node, error) {
	return p.left(map[string]op{"+": opAdd, "-": opSubtract}, p.product)
}
func (p *parser) product() (*node, error) {
	return p.left(map[string]op{"*": opMultiply, "/": opDivide}, p.unary)
}

// left reads what is worked out from left to right.
func (p *parser) left(ops map[string]op, part func() (*node, error)) (*node, error) {
	n, err := part()
	begun := p.depth
	defer func() { p.depth = begun }()
	for err == nil && p.tok.kind == sign {
		o, ok := ops[p.tok.text]
		if !ok {
			break
		}
		at := p.tok.at
		if err = p.deeper(); err != nil {
			break
		}
		if err = p.next(); err != nil {
			break
		}
		var right *node
		if right, err = part(); err == nil {
			n = &node{op: o, at: at, kids: []*node{n, right}}
		}
	}
	return n, err
}

func (p *parser) unary() (*node, error) {
	at := p.tok.at
	switch {
	case p.is(sign, "-", "+", "("):
		s := p.tok.text
		if err := p.deeper(); err != nil {
			return nil, err
		}
		defer func() { p.depth-- }()
		if err := p.next(); err != nil {
			return nil, err
		}
		if s == "(" {
			n, err := p.or()
			if err != nil {
				return nil, err
			}
			if !p.is(sign, ")") {
				return nil, p.unexpected("a closing parenthesis")
			}
			return n, p.next()
		}
		n, err := p.unary()
		if err != nil || s == "+" {
			return n, err
		}
		if n.op == opNumber {
			n.number, n.whole, n.at = -n.number, -n.whole, at
			return n, nil
		}
		return &node{op: opNegate, at: at, kids: []*node{n}}, nil
	case p.tok.kind == name:
		n := &node{op: opColumn, at: at, name: p.tok.text}
		return n, p.next()
	case p.tok.kind == text:
		n := &node{op: opText, at: at, name: p.tok.text}
		return n, p.next()
	case p.tok.kind == number:
		n := &node{op: opNumber, at: at}
		var err error
		if n.whole, err = strconv.ParseInt(p.tok.text, 10, 64); err == nil {
			n.exact = true
		}
		if n.number, err = strconv.ParseFloat(p.tok.text, 64); err != nil {
			return nil, p.errorf(at, "%.40s is out of range", p.tok.text)
		}
		return n, p.next()
	}
	return nil, p.unexpected("a column, a number or a text")
}
