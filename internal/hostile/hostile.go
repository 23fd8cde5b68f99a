// Package hostile has texts that do something to terminals, spreadsheets, browsers and shells, and finds them where they came through. They go into
// every way that text comes in from outside (names, metadata, labels, hosts, engines, checkpoints, batch systems, the environment), in tests of every way
// out of the program: screen, standard output, errors, exports. The tests are with the ways out; docs/threats.md lists them.
package hostile

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// A Payload is a text and what it would do.
type Payload struct{ Does, Text string }

// Payloads are all of them. Each can be a file's name but those with NUL.
var Payloads = []Payload{
	{"title", "\x1b]0;owned\a"},
	{"title, ended by ST", "\x1b]2;owned\x1b\\"},
	{"link", "\x1b]8;;file:owned\x1b\\click\x1b]8;;\x1b\\"},
	{"clipboard", "\x1b]52;c;b3duZWQ=\a"},
	{"notification", "\x1b]9;owned\a"},
	{"iTerm2 file", "\x1b]1337;File=inline=1:b3duZWQ=\a"},
	{"settings of the terminal (DCS)", "\x1bP$q q\x1b\\"},
	{"sixel", "\x1bPq#0;2;9;9;9#0~~\x1b\\"},
	{"kitty's picture (APC)", "\x1b_Ga=T,f=24,s=1,v=1,i=201;AAAA\x1b\\"},
	{"kitty deletes pictures", "\x1b_Ga=d,d=A\x1b\\"},
	{"privacy message", "\x1b^owned\x1b\\"},
	{"string", "\x1bXowned\x1b\\"},
	{"through tmux", "\x1bPtmux;\x1b\x1b]52;c;b3duZWQ=\a\x1b\\"},
	{"name of a tmux window", "\x1bkowned\x1b\\"},
	{"clears the screen", "\x1b[2J\x1b[1;1H"},
	{"colour", "\x1b[31mred"},
	{"alternate screen", "\x1b[?1049h"},
	{"asks and gets typed", "\x1b[6n\x1b[c\x1b[>q"},
	{"reset", "\x1bc"},
	{"other characters", "\x1b(0"},
	{"half a sequence", "owned\x1b["},
	{"C1 CSI as UTF-8", "\u009b31mred"},
	{"C1 OSC as UTF-8", "\u009d0;owned\u009c"},
	{"C1 DCS as UTF-8", "\u0090q\u009c"},
	{"C1 CSI as a byte", "\x9b31mred"},
	{"C1 OSC as a byte", "\x9d0;owned\x9c"},
	{"over the line", "good\rowned"},
	{"over the last letters", "good\b\b\b\bevil"},
	{"a line of its own", "good\nowned: done"},
	{"a line of its own, Windows", "good\r\nowned: done"},
	{"line separator", "good\u2028owned\u2029done"},
	{"next line", "good\u0085owned"},
	{"bell", "owned\a"},
	{"deletes", "good\x7f\x7f"},
	{"form feed and tabs", "a\fb\vc\td"},
	{"shift out", "a\x0eb\x0fc"},
	{"right to left", "txt.\u202egnp"},
	{"isolate", "a\u2066b\u2067c\u2068d\u2069"},
	{"marks of direction", "a\u200eb\u200fc\u061cd"},
	{"zero width", "a\u200bb\u200cc\u200dd\u2060e\ufefff"},
	{"tags", "a\U000e0001\U000e0068\U000e0069\U000e007fb"},
	{"fillers", "a\u3164b\u115fc\uffa0d\u034fe"},
	{"variation selectors", "a\ufe0fb\U000e0100c"},
	{"soft hyphen", "a\u00adb"},
	{"picture placeholder of kitty", "a\U0010eeee\u0305\u0305b"},
	{"flood of marks", "z" + strings.Repeat("\u0335\u0301", 40)},
	{"no UTF-8", "a\xff\xfe\xc3\x28\xed\xa0\x80\xf8b"},
	{"NUL", "good\x00owned"},
	{"formula", "=HYPERLINK(\"x:owned\",\"click\")"},
	{"formula with a plus", "+cmd|' /C owned'!A0"},
	{"formula with a minus", "-2+3+cmd|' /C owned'!A0"},
	{"formula with an at", "@SUM(1+1)*cmd|'owned'!A0"},
	{"formula of the next cell", "a;=1+1"},
	{"wide formula", "＝1+1"},
	{"element", "<img src=x onerror=owned()>"},
	{"out of an attribute", "\"' onmouseover='owned()"},
	{"out of the script", "</script></title></textarea><script>owned()</script>"},
	{"out of XML", "]]></TD><TD>&owned;<!--"},
	{"out of a region", "} color=red\ncircle(0,0,9\") # text={owned"},
	{"out of a PDF text", ") Tj ET (owned\\"},
	{"up", "../../../../tmp/owned"},
	{"up, Windows", "..\\..\\owned"},
	{"absolute", "/tmp/owned"},
	{"device", "CON"},
	{"switch", "-rf"},
	{"shell", "$(touch owned)`touch owned`;touch owned&&'\""},
	{"format", "%s%n%!d(MISSING)"},
	{"template", "{{.Env}}${HOME}"},
	{"long", strings.Repeat("long ", 50)},
}

// Names are those that a file of this system can have as part of its name: no slash, no NUL, at most 255 bytes.
func Names() (all []string) {
	for _, p := range Payloads {
		if name := strings.NewReplacer("/", "_", "\x00", "").Replace(p.Text); len(name) < 240 {
			all = append(all, name)
		}
	}
	return all
}

// Raw says what in a text would act on a terminal, hide in it or turn it; nil: nothing. Lines end with \n; tabs may be in them. Programs that draw want
// [Frame], [Marks] finds texts of this package in any stream.
func Raw(text []byte) error { return raw(text, func(r rune) bool { return r == '\n' || r == '\t' }) }

func raw(text []byte, fine func(rune) bool) error {
	marks := 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return fmt.Errorf("byte %d is no UTF-8: …%q", i, around(text, i))
		case fine(r):
		case !unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return fmt.Errorf("byte %d is %U: …%q", i, r, around(text, i))
		}
		if !unicode.Is(unicode.M, r) {
			marks = 0
		} else if marks++; marks > 8 {
			return fmt.Errorf("at byte %d one character has more than %d marks", i, marks-1)
		}
		i += n
	}
	return nil
}

func around(text []byte, i int) []byte { return text[max(0, i-30):min(len(text), i+30)] }

// Frame is Raw for what a program draws: colours (CSI … m) and links to where link allows are its own.
func Frame(text string, link func(to string) bool) error {
	var rest bytes.Buffer
	var state byte
	for p := ansi.GetParser(); len(text) > 0; {
		seq, width, n, next := ansi.DecodeSequence(text, state, p)
		state, text = next, text[n:]
		switch {
		case width > 0 || seq == "\n" || seq[0] >= 0xc3: // marks without a letter too
			rest.WriteString(seq)
		case strings.HasPrefix(seq, "\x1b[") && strings.HasSuffix(seq, "m"):
		case strings.HasPrefix(seq, "\x1b]8;"):
			_, to, _ := strings.Cut(seq[4:], ";")
			if to = strings.TrimRight(to, "\x1b\\\a"); to != "" && !link(to) {
				return fmt.Errorf("a link to %q", to)
			}
		default:
			return fmt.Errorf("the sequence %q", seq)
		}
	}
	return raw(rest.Bytes(), func(r rune) bool { return r == '\n' || r == placeholder })
}

// placeholder of kitty's pictures stands in frames.
const placeholder = 0x10eeee

// Marks are the payloads that are in a stream as they were, of those that act on a terminal by an escape sequence.
func Marks(stream []byte) (found []string) {
	for _, p := range Payloads {
		if strings.ContainsAny(p.Text, "\x1b\u009b\u009d\u0090") && bytes.Contains(stream, []byte(p.Text)) {
			found = append(found, p.Does)
		}
	}
	return found
}
