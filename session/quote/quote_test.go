package quote

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

var odd = []string{
	"", "plain", "-rf", "--", "-n", "a b", " ", "\t", "a\nb", "\n", "\r\n", "'", `"`, `'"'"'`, `\`, `\'`, `a\`, "$HOME", "$(touch /pwn)", "`id`", "!", "!!", "!$",
	"a!b'c!", "*", "?", "[a-z]", "{a,b}", "~", "~root", "a=b", "PATH=x", "#", "a#b", ";", "&", "|", "<", ">", "(", ")", "if", "\x01\x1b[31m", "é", "银河", "\xff\xfe", "\u2028",
	"'$(id)'", "%s", "%%", "\\n", strings.Repeat("'", 100), strings.Repeat("x", 5000),
}

func TestSh(t *testing.T) {
	for s, want := range map[string]string{"": "''", "a-b.c/d": "a-b.c/d", "a b": "'a b'", "it's": `'it'"'"'s'`, "a=b": "'a=b'", "~": "'~'", "a\x00b": "a", "if": "'if'", "iffy": "iffy", "\x00": "''"} {
		if got := Sh(s); got != want {
			t.Errorf("%q is quoted as %s, want %s", s, got, want)
		}
	}
	if got := Line("echo", "a b", "-n"); got != "echo 'a b' -n" {
		t.Errorf("line %s", got)
	}
}

// What a real sh makes of the words is what went in; all of them in one command, so that none spills into the next.
func TestShellUnderstands(t *testing.T) {
	for _, shell := range []string{"sh", "bash", "dash", "ksh", "zsh"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		got := ask(t, shell, Line(append([]string{"printf", `%s\0`}, odd...)...))
		if want := strings.Join(odd, "\x00") + "\x00"; got != want {
			t.Errorf("%s:\ngot  %q\nwant %q", shell, got, want)
		}
	}
}

func FuzzSh(f *testing.F) {
	for _, s := range odd {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, _, _ := strings.Cut(s, "\x00")
		if got := ask(t, "sh", "printf %s "+Sh(s)+"\nprintf . "+Sh(s)); got != want+"." {
			t.Errorf("%q comes out of sh as %q", s, got)
		}
	})
}

// ask runs a script that is given on standard input, where no limit of an argument cuts it.
func ask(t *testing.T, shell, script string) string {
	t.Helper()
	cmd := exec.Command(shell)
	cmd.Stdin = strings.NewReader(script)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("%s: %v: %s", shell, err, errs.Bytes())
	}
	return string(out)
}
