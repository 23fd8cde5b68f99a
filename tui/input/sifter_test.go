package input

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	uv "github.com/charmbracelet/ultraviolet"
)

// answers and keys as terminals send them.
var corpus = []string{
	"\x1b_Gi=17;OK\x1b\\", "\x1b_Gi=31,p=2;ENOENT:no such image a x 1 2 3\x1b\\",
	"\x1bP>|kitty(0.41.1)\x1b\\", "\x1bP>|XTerm(390)\x1b\\", "\x1bP1+r524742=38\x1b\\", "\x1bP0+r\x1b\\", "\x1bP!|00000000\x1b\\", "\x1bP1$r0m\x1b\\",
	"\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\", "\x1b]10;rgb:ffff/ffff/ffff\x07", "\x1b]4;1;rgb:aa/aa/aa\x07", "\x1b]52;c;YXhk\x1b\\",
	"\x1b[?62;4;22c", "\x1b[>41;390;0c", "\x1b[6;20;10t", "\x1b[4;800;1200t", "\x1b[?2026;2$y", "\x1b[12;2$y", "\x1b[?1u", "\x1b[?997;1n", "\x1b[24;80R",
	"\x1b[A", "\x1b[1;5C", "\x1b[3~", "\x1b[15;2~", "\x1b[3$", "\x1b[27u", "\x1b[97;5u", "\x1b[97:65;2;97u", "\x1b[27;5;109~", "\x1b[Z", "\x1b[I", "\x1b[O",
	"\x1bOP", "\x1bOA", "\x1b[<0;12;30M", "\x1b[<0;12;30m", "\x1b[<65;1;1M", "\x1b[M !\"", "\x1b[M\xa0ax",
	"\x1b[200~ax 123 é 漢\tq\r\nX\x1b[201~", "a", "x", "1", "é", "漢", "🙂", "\r", "\t", "\x7f", "\x03", "\x1ba", "\x1bé", "\x1b\x7f", "\x1b^private 1\x1b\\", "\x1bXstring 2\x1b\\",
}

// events are what the reader makes of whole chunks, each after a silence that makes keys of all that is cut.
func events(t testing.TB, chunks ...[]byte) (seen []string) {
	t.Helper()
	out := make(chan uv.Event, 1<<16)
	for _, c := range slices.Insert(chunks, len(chunks), nil) {
		if len(c) == 0 {
			continue
		}
		if err := uv.NewTerminalReader(bytes.NewReader(c), "xterm-256color").StreamEvents(context.Background(), out); err != nil {
			t.Fatal(err)
		}
	}
	close(out)
	for e := range out {
		seen = append(seen, fmt.Sprintf("%T %v", e, e))
	}
	return seen
}

// feeder is a sifter and its clock, and does what a Read does: it flushes where more does not come in time.
type feeder struct {
	sifter sifter
	now    time.Time
	chunks [][]byte
	again  int // ESCs that were passed and turned out to begin a sequence
}

func (f *feeder) feed(chunk []byte, pause time.Duration) {
	out := bytes.Clone(f.sifter.Feed(chunk, f.now))
	if w := f.sifter.Wait(); w > 0 && pause >= w {
		out = append(out, f.sifter.Flush()...)
		f.again++
	}
	if len(out) > 0 {
		f.chunks = append(f.chunks, out)
	}
	f.now = f.now.Add(pause)
}

func (f *feeder) all() string { return string(bytes.Join(f.chunks, nil)) }

// TestEverySplit cuts every answer and key at every place, with a pause before the rest: nothing of it is ever taken for something else.
func TestEverySplit(t *testing.T) {
	for _, seq := range corpus {
		for at := 1; at < len(seq); at++ {
			for _, pause := range []time.Duration{time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond, 390 * time.Millisecond, 1900 * time.Millisecond} {
				var f feeder
				f.feed([]byte(seq[:at]), pause)
				f.feed([]byte(seq[at:]+"l"), pause)
				want := seq + "l"
				switch {
				case f.again == 0:
				case seq[0] == '\x1b' && at == 1 && strings.IndexByte("OP[]_", seq[1]) >= 0: // the key, it seemed; the sequence comes whole all the same
					want = escKey + want
				case at == 1: // alt and a key, or a string that no terminal sends: esc and the key
					want = escKey + want[1:]
				case at == 2: // alt and such a key, it seemed
					want = alt(seq[1]) + want
				default:
					t.Fatalf("%q after %q: ESC for no reason", seq[at:], seq[:at])
				}
				if f.again > 0 && (strings.HasPrefix(seq, "\x1b^") || strings.HasPrefix(seq, "\x1bX")) {
					continue
				}
				if got := f.all(); got != want {
					t.Fatalf("%q | %v | %q: got %q", seq[:at], pause, seq[at:], got)
				}
			}
		}
	}
}

func alt(key byte) string {
	if key >= 'A' && key <= 'Z' {
		return fmt.Sprintf("\x1b[%d;4u", key+'a'-'A')
	}
	return fmt.Sprintf("\x1b[%d;3u", key)
}

// TestAnySplit cuts streams of them anywhere, by pauses that are shorter than ESC waits: what comes out is what went in, and every part of it is whole
// sequences.
func TestAnySplit(t *testing.T) {
	dice := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		var stream string
		for range 1 + dice.IntN(12) {
			stream += corpus[dice.IntN(len(corpus))]
		}
		stream += "l"
		var f feeder
		for rest := []byte(stream); len(rest) > 0; {
			n := 1 + dice.IntN(min(len(rest), 1+dice.IntN(30)))
			pause := time.Duration(dice.IntN(1990)) * time.Millisecond
			if strings.HasSuffix(stream[:len(stream)-len(rest)+n], "\x1b") || n == 1 || f.sifter.begun() || strings.IndexByte("OPX[]^_", rest[n-1]) >= 0 {
				pause = time.Duration(dice.IntN(49)) * time.Millisecond
			}
			f.feed(rest[:n], pause)
			rest = rest[n:]
		}
		if f.again > 0 || f.all() != stream {
			t.Fatalf("%q became %q (flushed %d)", stream, f.chunks, f.again)
		}
		// the reader of each part would not know that it is pasted, and takes what is behind rxvt's $ for its end
		if strings.Contains(stream, "200~") || strings.Contains(stream, "[3$") {
			continue
		}
		if got, want := events(t, f.chunks...), partwise(t, stream); !slices.Equal(got, want) {
			t.Fatalf("%q cut to %q is\n%q, not\n%q", stream, f.chunks, got, want)
		}
	}
}

// partwise reads the sequences of a stream one by one.
func partwise(t *testing.T, stream string) []string {
	var f feeder
	for i := range len(stream) {
		f.feed([]byte{stream[i]}, 0)
	}
	return events(t, f.chunks...)
}

// TestByteByByte is a link that delivers a byte in 80 ms: answers make nothing but esc, which has no consequence, and themselves.
func TestByteByByte(t *testing.T) {
	for _, seq := range corpus {
		if seq[0] != '\x1b' || len(seq) < 4 && seq[1] != 'O' && seq[1] != '[' || strings.IndexByte("^X", seq[1]) >= 0 {
			continue
		}
		for _, kitty := range []bool{false, true} {
			f := feeder{sifter: sifter{kitty: kitty}}
			for i := range len(seq) {
				f.feed([]byte{seq[i]}, 80*time.Millisecond)
			}
			want := escKey + seq
			if kitty {
				want = seq
			}
			if got := f.all(); got != want {
				t.Errorf("%q (kitty %v) became %q", seq, kitty, f.chunks)
			}
		}
	}
}

func TestSifter(t *testing.T) {
	const second = time.Second
	type step struct {
		chunk string
		pause time.Duration
	}
	for name, c := range map[string]struct {
		steps []step
		want  string
	}{
		"esc":                              {[]step{{"\x1b", 60 * time.Millisecond}, {"", 0}}, escKey},
		"esc, then a key":                  {[]step{{"\x1b", second}, {"a", 0}}, escKey + "a"},
		"esc, then a page":                 {[]step{{"\x1b", second}, {"]", second}, {"1", 0}}, escKey + "]1"},
		"esc, then a page back":            {[]step{{"\x1b", second}, {"[", second}, {"[", 600 * time.Millisecond}, {"a", 0}}, escKey + "[[a"},
		"esc, then two pages":              {[]step{{"\x1b", 100 * time.Millisecond}, {"]", 100 * time.Millisecond}, {"]", 0}}, escKey + "]]"},
		"esc, page, tag, in haste":         {[]step{{"\x1b", 100 * time.Millisecond}, {"]", 100 * time.Millisecond}, {"1", 100 * time.Millisecond}, {"a", 0}}, escKey + "]1a"},
		"esc, then the rest of the page":   {[]step{{"\x1b", 100 * time.Millisecond}, {"X", 0}}, escKey + "X"},
		"esc twice":                        {[]step{{"\x1b", 100 * time.Millisecond}, {"\x1b", second}, {"a", 0}}, escKey + escKey + "a"},
		"alt with a bracket":               {[]step{{"\x1b[", second}, {"l", 0}}, alt('[') + "l"},
		"the rest never comes":             {[]step{{"\x1b_Gi=17", 3 * second}, {"a", 0}}, "a"},
		"of a control sequence":            {[]step{{"\x1b[12;", 3 * second}, {"a", 0}}, "a"},
		"of a character":                   {[]step{{"\xe6\xbc", 3 * second}, {"a", 0}}, "a"},
		"the rest comes after a stall":     {[]step{{"\x1b_Gi=17;ENOENT:no im", 9 * second}, {"age a\x1b\\l", 0}}, "\x1b_Gi=17;ENOENT:no image a\x1b\\l"},
		"after many":                       {[]step{{"\x1b_Gi=17;ENOENT:no im", 9 * second}, {"age a", 9 * second}, {" x\x1b\\l", 0}}, "\x1b_Gi=17;ENOENT:no image a x\x1b\\l"},
		"of a size, with more":             {[]step{{"\x1b[6;2", 9 * second}, {"0;10t\x1b[6;20;10t", 0}}, "\x1b[6;20;10t\x1b[6;20;10t"},
		"in the middle of ST":              {[]step{{"\x1b_Gi=17;OK\x1b", 9 * second}, {"\\l", 0}}, "\x1b_Gi=17;OK\x1b\\l"},
		"a broken string, then esc":        {[]step{{"\x1b_Gi=1", 100 * time.Millisecond}, {"\x1b", 500 * time.Millisecond}, {"\x1b", second}, {"a", 0}}, escKey + escKey + "a"},
		"a string cut by a key":            {[]step{{"\x1b]11;rgb\x1b[Aa", 0}}, "\x1b[Aa"},
		"a control sequence cut by one":    {[]step{{"\x1b[12\x1b[Aa", 0}}, "\x1b[Aa"},
		"cancelled":                        {[]step{{"\x1b_Gi=1;a\x18\x1b[12\x1aa", 0}}, "a"},
		"long":                             {[]step{{"\x1b_Gi=1;" + strings.Repeat("a", 100_000), second}, {"aaaa\x1b\\l", 0}}, "l"},
		"more parameters than there are":   {[]step{{"\x1b[" + strings.Repeat("1;", 50) + "1ml", 0}}, "l"},
		"parameters after an intermediate": {[]step{{"\x1b[1 2ml\x1bP1+2|a\x1b\\l", 0}}, "ll"},
		"an empty DCS":                     {[]step{{"\x1bP\x1b\\l", 0}}, "l"},
		"a key of Windows":                 {[]step{{"\x1b[0;0;97;1;0;1_l", 0}}, "l"},
		"a key of Linux":                   {[]step{{"\x1b[[Al", 0}}, "l"},
		"C1":                               {[]step{{"\x9fGi=1;OK\x9cl\x9b", 0}, {"5~\x85l", 0}}, "\x1b_Gi=1;OK\x9cl\x1b[5~l"},
		"no UTF-8":                         {[]step{{"\xffl\xc3l\xbf\xed\xa0\x80l", 0}}, "lll"},
		"ESC before what is dropped":       {[]step{{"\x1b\xff[\x1b\x85_l", 0}}, "[_l"},
		"ESC before a dropped string":      {[]step{{"\x1b\x1b_\x18Xl\x1b\x98\x18Xl", 0}}, "XlXl"},
		"alt with an arrow, cut":           {[]step{{"\x1b\x1b", 20 * time.Millisecond}, {"[", 20 * time.Millisecond}, {"A", 0}}, "\x1b\x1b[A"},
		"ST in a character":                {[]step{{"\x1b]2;✜ a\x07l", 0}}, "l"},
		"a paste that stalls":              {[]step{{"\x1b[200~ab", 9 * second}, {"a", 9 * second}, {"x\x1b[20", 9 * second}, {"1~l", 0}}, "\x1b[200~abax\x1b[201~l"},
		"a paste without end, left":        {[]step{{"\x1b[200~ab", 9 * second}, {"\x1b", second}, {"a", 0}}, "\x1b[200~ab\x1b[201~" + escKey + "a"},
		"a paste with sequences":           {[]step{{"\x1b[200~\x1b_Ga\x1b[\x1b[201~l", 0}}, "\x1b[200~_Ga[\x1b[201~l"},
		"another sort of paste":            {[]step{{"\x1b[0200~l\x1b[200;1~l\x1b[2<00~l", 0}}, "lll"},
	} {
		t.Run(name, func(t *testing.T) {
			var f feeder
			for _, s := range c.steps {
				f.feed([]byte(s.chunk), s.pause)
			}
			if got := f.all(); got != c.want {
				t.Errorf("got %q, not %q", f.chunks, c.want)
			}
			if len(f.sifter.held) > longest {
				t.Errorf("%d bytes are held", len(f.sifter.held))
			}
		})
	}
}

// FuzzSifter: of any bytes, cut anywhere, the reader sees the same whether they come at once or in parts, and a label's key only where
// there was one.
func FuzzSifter(f *testing.F) {
	for _, s := range corpus {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, n uint8) {
		if len(b) > 4000 {
			return
		}
		var whole, parts feeder
		whole.feed(b, 0)
		for rest := b; len(rest) > 0; {
			k := min(len(rest), 1+int(n)%17)
			parts.feed(rest[:k], time.Millisecond)
			rest = rest[k:]
			if len(parts.sifter.held) > longest {
				t.Fatalf("%d bytes are held", len(parts.sifter.held))
			}
		}
		if whole.all() != parts.all() {
			t.Fatalf("%q at once is %q, in parts %q", b, whole.all(), parts.chunks)
		}
		var again feeder // what was passed is passed again as it is
		if again.feed([]byte(whole.all()), 0); again.all()+string(again.sifter.held) != whole.all() {
			t.Fatalf("%q, of %q, passes as %q", whole.all(), b, again.chunks)
		}
	})
}
