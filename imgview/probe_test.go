package imgview

import (
	"strings"
	"testing"

	"github.com/charmbracelet/colorprofile"
)

func TestDecide(t *testing.T) {
	const ok = "OK"
	for _, c := range []struct {
		name string
		f    facts
		want string
		why  string // part of it
	}{
		{"nothing yet", facts{term: "xterm-kitty"}, "half-blocks", "not answered yet"},
		{"silent terminal", facts{term: "vt220", waited: true}, "half-blocks", "did not say"},
		{"only DA1", facts{term: "xterm", fenced: 1}, "half-blocks", "did not say"},
		{"kitty", facts{term: "xterm-kitty", version: "kitty(0.41.1)", graphics: ok}, "kitty", "kitty(0.41.1)"},
		{"first kitty with placeholders", facts{term: "xterm-kitty", version: "kitty(0.28.0)", graphics: ok}, "kitty", ""},
		{"kitty before placeholders", facts{term: "xterm-kitty", version: "kitty(0.26.5)", graphics: ok}, "half-blocks", "not known to draw"},
		{"kitty 1.0", facts{term: "xterm-kitty", version: "kitty(1.0.0)", graphics: ok}, "kitty", ""},
		{"kitty says who but not OK", facts{term: "xterm-kitty", version: "kitty(0.41.1)"}, "half-blocks", "not answered yet"},
		{"kitty refuses", facts{term: "xterm-kitty", version: "kitty(0.41.1)", graphics: "EINVAL:no", fenced: 1}, "sextants", "just now"},
		{"OK without a name", facts{term: "xterm-kitty", graphics: ok, fenced: 1}, "half-blocks", "did not say"},
		{"ghostty", facts{term: "xterm-ghostty", version: "ghostty 1.1.3-arch1", graphics: ok}, "kitty", ""},
		{"ghostty over ssh", facts{term: "xterm-256color", profile: colorprofile.ANSI256, version: "ghostty 1.1.3", graphics: ok}, "kitty", ""},
		{"WezTerm says OK, draws boxes", facts{term: "xterm-256color", version: "WezTerm 20240203-110809-5046fc22", graphics: ok}, "iterm2", "at the cursor"},
		{"WezTerm through tmux", facts{term: "tmux-256color", depth: 1, version: "WezTerm 20240203-110809-5046fc22", fenced: 1}, "half-blocks", "not known to draw"},
		{"iTerm2", facts{term: "xterm-256color", version: "iTerm2 3.6.2"}, "iterm2", ""},
		{"mintty", facts{term: "xterm", version: "mintty 3.7.0"}, "iterm2", ""},
		{"VS Code, pictures on", facts{term: "xterm-256color", version: "xterm.js(5.6.0)", fenced: 1, sixel: true}, "iterm2", ""},
		{"VS Code, pictures off", facts{term: "xterm-256color", version: "xterm.js(5.6.0)", fenced: 1}, "half-blocks", "switched off"},
		{"older VS Code", facts{term: "xterm-256color", program: "vscode", fenced: 1, sixel: true}, "iterm2", "vscode"},
		{"xterm as VT340", facts{term: "xterm", version: "XTerm(379)", fenced: 2, fences: 2, sixel: true, cell: "8×17", colours: 1024}, "sixel", "XTerm(379)"},
		{"sixel's colours are still asked", facts{term: "xterm", version: "XTerm(379)", fenced: 1, fences: 2, sixel: true, cell: "8×17"}, "half-blocks", ""},
		{"sixel of unknown size", facts{term: "xterm", version: "XTerm(379)", fenced: 1, sixel: true}, "half-blocks", "how many pixels"},
		{"mlterm", facts{term: "mlterm", fenced: 1, sixel: true, cell: "10×19"}, "sixel", "mlterm"},
		{"Windows Terminal", facts{term: "xterm-256color", fenced: 1, sixel: true, cell: "10×20", colours: 256}, "sixel", ""},
		{"contour", facts{term: "contour", version: "contour 0.4.3", fenced: 1, sixel: true, cell: "10×20"}, "sixel", ""},
		{"sixel behind tmux", facts{term: "tmux-256color", depth: 1, version: "XTerm(390)", fenced: 1, sixel: true, cell: "10×20"}, "half-blocks", "not go through tmux"},
		{"old tmux", facts{term: "tmux-256color", depth: 1, tmux: [2]int{3, 2}, version: "kitty(0.41.1)", graphics: ok}, "half-blocks", "tmux 3.2"},
		{"tmux 3.3", facts{term: "tmux-256color", depth: 1, tmux: [2]int{3, 3}, version: "kitty(0.41.1)", graphics: ok}, "kitty", ""},
		{"GNU screen", facts{term: "screen.xterm-kitty", inside: "screen", version: "kitty(0.41.1)", graphics: ok}, "half-blocks", "screen"},
		{"zellij", facts{term: "xterm-kitty", inside: "zellij", version: "kitty(0.41.1)", graphics: ok}, "half-blocks", "zellij"},
		{"Alacritty", facts{term: "alacritty", fenced: 1}, "half-blocks", ""},
		{"Linux console", facts{term: "linux", profile: colorprofile.ANSI, fenced: 1}, "text", "16 colours"},
		{"16 colours promised, more there", facts{term: "xterm", profile: colorprofile.ANSI, version: "XTerm(379)"}, "half-blocks", ""},
		{"Konsole says OK, draws boxes", facts{term: "xterm-256color", version: "Konsole 24.12.0", graphics: ok}, "kitty-direct", "at the cursor"},
		{"xterm", facts{term: "xterm", version: "XTerm(379)", fenced: 1}, "half-blocks", "XTerm(379)"},
		{"foot", facts{term: "foot", version: "foot(1.16.2)", fenced: 1}, "sextants", ""},
		{"kitty through tmux", facts{term: "tmux-256color", depth: 1, version: "kitty(0.41.1)", graphics: ok}, "kitty", ""},
		{"16 colours", facts{term: "xterm", profile: colorprofile.ANSI, version: "kitty(0.41.1)", graphics: ok}, "half-blocks", "16 colours"},
		{"NO_COLOR", facts{term: "xterm-kitty", profile: colorprofile.ASCII, version: "kitty(0.41.1)", graphics: ok}, "text", "colours"},
		{"no terminal", facts{term: "xterm", profile: colorprofile.NoTTY}, "none", "not a terminal"},
		{"dumb", facts{term: "dumb"}, "none", "TERM=dumb"},
		{"no TERM", facts{}, "none", "TERM="},
		{"no TERM, but colours (Windows)", facts{profile: colorprofile.TrueColor}, "half-blocks", ""},
		{"forced kitty", facts{force: "kitty", term: "dumb"}, "kitty", "settings"},
		{"forced half-blocks", facts{force: "halfblocks", term: "xterm-kitty", version: "kitty(0.41.1)", graphics: ok}, "half-blocks", "settings"},
		{"forced sixel", facts{force: "sixel", term: "dumb"}, "sixel", "settings"},
		{"forced text", facts{force: "text", term: "xterm-kitty"}, "text", "settings"},
		{"forced none", facts{force: "none", term: "xterm-kitty"}, "none", "settings"},
		{"auto", facts{force: "auto", term: "xterm-kitty", version: "kitty(0.41.1)", graphics: ok}, "kitty", ""},
		{"a version like no other", facts{term: "xterm", version: "\x1b]0;boo\a(99999999999999999999.1)", graphics: ok}, "half-blocks", "]0;boo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, why := c.f.decide()
			if got != c.want || !strings.Contains(why, c.why) {
				t.Errorf("%s, %q; want %s, …%s…", got, why, c.want, c.why)
			}
			for _, s := range []string{why, c.f.why(), c.f.hint()} {
				if strings.ContainsAny(s, "\x1b\a") {
					t.Errorf("raw terminal text in %q", s)
				}
			}
			if !strings.Contains(c.f.why(), "chosen: "+c.want) {
				t.Errorf("why: %q", c.f.why())
			}
		})
	}
}

func TestHint(t *testing.T) {
	for _, c := range []struct {
		name string
		f    facts
		want string // part of it; "": no hint at all
	}{
		{"tmux in the way", facts{term: "tmux", depth: 1, waited: true}, "tmux set -p allow-passthrough on"},
		{"tmux, still waiting", facts{term: "tmux", depth: 1}, ""},
		{"plain xterm", facts{term: "xterm", version: "XTerm(379)", fenced: 1}, "xterm -ti vt340"},
		{"VS Code, pictures off", facts{term: "xterm-256color", version: "xterm.js(5.6.0)", fenced: 1}, "enableImages"},
		{"old tmux", facts{term: "tmux", depth: 1, tmux: [2]int{3, 2}}, "3.3"},
		{"zellij", facts{term: "xterm", inside: "zellij"}, "Outside zellij"},
		{"tmux in WezTerm", facts{term: "tmux", depth: 1, version: "WezTerm 20240203", fenced: 1}, "Outside tmux"},
		{"tmux lets through, xterm outside", facts{term: "tmux", depth: 1, version: "XTerm(379)", waited: true}, ""},
		{"old kitty", facts{term: "xterm-kitty", version: "kitty(0.26.5)", graphics: "OK"}, "0.28"},
		{"kitty with 16 colours", facts{term: "xterm", profile: colorprofile.ANSI, version: "kitty(0.41.1)", graphics: "OK"}, "256"},
		{"all well", facts{term: "xterm-kitty", version: "kitty(0.41.1)", graphics: "OK"}, ""},
		{"wanted so", facts{force: "halfblocks", term: "tmux", depth: 1, waited: true}, ""},
	} {
		if got := c.f.hint(); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want …%s…", c.name, got, c.want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"", "kitty(0.41.1)", "ghostty 1.1.3", "tmux 3.5a", "(", " ", "x(.", "XTerm(379)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, v := parseVersion(s)
		if v[0] < 0 || v[1] < 0 || strings.ContainsAny(name, "( ") {
			t.Errorf("%q: %q %v", s, name, v)
		}
		if c := clean(s); len(c) > 60 || strings.ContainsAny(c, "\x1b\n\x00") {
			t.Errorf("%q: clean is %q", s, c)
		}
	})
}
