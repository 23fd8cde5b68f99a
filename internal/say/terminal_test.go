package say

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"anomalymatch/internal/hostile"

	"github.com/creack/pty"
)

// What goes through, and what stands there instead.
func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain é 銀河\tx\n":           "plain é 銀河\tx\n",
		"\x1b[1;31mred\x1b[0m":      "\x1b[1;31mred\x1b[0m",
		"\r\x1b[Kscoring":           "\r\x1b[Kscoring",
		"a\r\nb":                    "a\r\nb",
		"good\revil\x1b[K":          `good\u000devil\u001b[K`,
		"\x1b]0;x\a":                `\u001b]0;x\u0007`,
		"\x1b[2J\x1b[?1049h\x1b[>q": `\u001b[2J\u001b[?1049h\u001b[>q`,
		"\u009b31m \x9b31m":         `\u009b31m \x9b31m`,
		"txt.\u202egnp\u200b":       `txt.\u202egnp\u200b`,
		"\b\x7f\x00":                `\u0008\u007f\u0000`,
	} {
		for size := 1; size <= len(in); size++ { // in pieces of every size
			var out bytes.Buffer
			s := &safe{to: &out}
			for i := 0; i < len(in); i += size {
				if n, err := s.Write([]byte(in[i:min(i+size, len(in))])); err != nil || n != min(size, len(in)-i) {
					t.Fatal(n, err)
				}
			}
			if out.String() != want {
				t.Errorf("%q in pieces of %d became %q, want %q", in, size, out.String(), want)
			}
		}
	}
	for _, p := range hostile.Payloads {
		var out bytes.Buffer
		Safe(&out).Write([]byte(p.Text + strings.Repeat("x", longest)))
		if err := hostile.Raw(out.Bytes()); err != nil {
			t.Errorf("%s: %v", p.Does, err)
		}
		out.Reset()
		s := &safe{to: &out}
		s.Write([]byte(p.Text + strings.Repeat("x", longest)))
		if p.Does == "colour" || p.Does == "a line of its own, Windows" { // these are let through
			continue
		}
		if err := hostile.Raw(out.Bytes()); err != nil {
			t.Errorf("%s: %v", p.Does, err)
		}
	}
}

// A terminal gets what is safe, a file gets every byte.
func TestTerminal(t *testing.T) {
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Skip(err)
	}
	defer ours.Close()
	defer theirs.Close()
	if _, err := Terminal(theirs).WriteString("\x1b]0;owned\a.\n"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, _ := ours.Read(b); string(b[:n]) != "\\u001b]0;owned\\u0007.\r\n" {
		t.Errorf("the terminal got %q", b[:n])
	}
	f, err := os.Create(t.TempDir() + "/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := Terminal(f).ReadFrom(strings.NewReader("\x1b]0;a\a\xff")); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(f.Name()); string(b) != "\x1b]0;a\a\xff" {
		t.Errorf("the file got %q", b)
	}
}

// Every payload in a document: nothing raw, and the same document.
func TestJSON(t *testing.T) {
	for _, p := range hostile.Payloads {
		var b bytes.Buffer
		if err := JSON(&b, map[string]string{p.Text: p.Text}); err != nil {
			t.Fatal(err)
		}
		if err := hostile.Raw(b.Bytes()); err != nil {
			t.Errorf("%s: %v", p.Does, err)
		}
		var back map[string]string
		want := string(bytes.ToValidUTF8([]byte(p.Text), []byte("\ufffd")))
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || p.Does != "no UTF-8" && p.Does != "C1 CSI as a byte" && p.Does != "C1 OSC as a byte" && back[p.Text] != want {
			t.Errorf("%s: %q, %v", p.Does, back, err)
		}
	}
}

// Every payload through each way of saying.
func TestPayloads(t *testing.T) {
	for _, p := range hostile.Payloads {
		for name, said := range map[string]string{"Text": Text(p.Text), "Lines": Lines([]byte(p.Text)), "Path": Path(p.Text), "Escaped": Escaped(p.Text), "ASCII": ASCII(p.Text)} {
			if err := hostile.Raw([]byte(said)); err != nil || strings.Contains(said, "\n") {
				t.Errorf("%s by %s: %q, %v", p.Does, name, said, err)
			}
		}
	}
}
